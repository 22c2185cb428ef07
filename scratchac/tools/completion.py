"""What a shell completes: tyro's script for all commands, algorithms, options, ids of environments and names of presets."""

import contextlib
import inspect
import io
from collections.abc import Callable
from dataclasses import fields, make_dataclass
from functools import partial
from typing import Annotated, Any, Literal, Union, get_type_hints

import tyro

from scratchac.errors import UserError

Shell = Annotated[Literal["bash", "zsh", "fish"], tyro.conf.Positional]


def script(shell: str, commands: dict[str, Any]) -> str:
    """The script for a shell, which is made once: what is registered or installed later is not in it. Raises UserError."""
    from scratchac.tools.exercise import ACTIONS

    actions: dict[str, Any] = ACTIONS
    nested = {"train": for_algorithms(train_options),
              "exercise": subcommands({name: options(action) for name, action in actions.items()}),
              **{name: for_algorithms(partial(options, commands[name])) for name in ("sweep", "presets")}}
    targets = {name: nested[name] if name in nested else options(command) for name, command in commands.items()}
    text = io.StringIO()
    try:
        with contextlib.redirect_stdout(text):
            tyro.cli(subcommands(targets), args=["--tyro-write-completion", shell, "-"], prog="scratchac")
    except SystemExit as stop:
        if stop.code:
            raise
    except AssertionError:
        raise UserError(f"tyro {tyro.__version__} has no completion for {shell}: pip install --upgrade tyro") from None
    return text.getvalue()


def subcommands(targets: dict[str, Any]) -> Any:
    """A type that tyro reads as subcommands: name → a dataclass, or such a type again."""
    return Union[tuple(Annotated[Any, tyro.conf.subcommand(name, constructor_factory=partial(_same, target))]  # noqa: UP007
                       for name, target in targets.items())]


def _same(target: Any) -> Any:
    return target


def for_algorithms(make: Callable[[str], Any]) -> Any:
    """Each algorithm as a subcommand, with the options that `make` gives for it."""
    from scratchac import algorithms

    return subcommands({name: make(name) for name in algorithms.ALGORITHMS})


def options(function: Callable[..., Any], algorithm: str | None = None) -> Any:
    """A dataclass of a command's options; ids of environments and names of presets are choices."""
    hints = get_type_hints(function, include_extras=True)
    choices = values_of(algorithm)
    parts: list[Any] = []
    for name, parameter in inspect.signature(function).parameters.items():
        if name in choices or parameter.default is inspect.Parameter.empty:
            parts.append((name, choices.get(name, hints.get(name, str))))
        elif name != "algorithm":
            parts.append((name, hints[name], parameter.default))
    return make_dataclass(function.__name__, parts, kw_only=True)


def train_options(algorithm: str) -> Any:
    """A dataclass of the options of `train` for an algorithm."""
    from scratchac import algorithms, api
    from scratchac.tools.train import options_of

    without_prefix: Any = tyro.conf.OmitArgPrefixes
    choices = values_of(algorithm)
    run = options_of(api.train)
    chosen = make_dataclass("Run", [(f.name, choices[f.name]) if f.name in choices else (f.name, f.type, f) for f in fields(run)],
                            kw_only=True)
    return make_dataclass("Options", [
        ("run", without_prefix[chosen]), ("hyperparameters", without_prefix[algorithms.find(algorithm).config_class])])


def values_of(algorithm: str | None) -> dict[str, Any]:
    """Types with the values that can be completed: every id of an environment, and the names of an algorithm's presets."""
    import gymnasium as gym

    from scratchac.environments.games import GAMES
    from scratchac.experiments.presets import presets

    named = sorted({key.partition(":")[2] for key in presets().get(algorithm or "", {})} - {""})
    return {"env": Literal[(*sorted(gym.registry), *GAMES)],
            **({"preset": Literal[tuple(named)]} if named else {})}
