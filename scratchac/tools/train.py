"""The subcommand `train`: its options are the parameters of `scratchac.train`, and the hyperparameters of one algorithm."""

import inspect
import os
import re
from dataclasses import asdict, field, fields, make_dataclass
from json import dumps
from pathlib import Path
from typing import Annotated, Any

import tyro

from scratchac.errors import UserError
from scratchac.messages import tell
from scratchac.tools.flags import Backend, env_args_from, in_words, parse, value_after

# Parameters of `scratchac.train` that differ on a command line: (type, default, help or None for the docstring's).
FROM_ENVIRONMENT = field(default_factory=lambda: os.environ.get("SCRATCHAC_BACKEND", "auto"))
ON_A_COMMAND_LINE: dict[str, tuple[Any, Any, str | None]] = {
    "algorithm": (Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="ALGO")], "", "algorithm to train"),
    "env": (str, "", "Gymnasium id of the environment, MODULE:ID to import MODULE.py from here first, or a game's name"),
    "backend": (Backend, FROM_ENVIRONMENT, "backend that does the arithmetic; auto is numba if it is installed"),
    "init": (Path | None, None, "folder of a run of the same algorithm, from whose parameters training starts"),
    "out": (Path | None, None, "new folder for the run; runs/ALGO-ENV-seedS if not given"),
    "quiet": (bool, False, "show no progress bar"),
    "video": (bool, True, "record a video of the final policy"),
    "env_args": (tuple[str, ...], (), "arguments of the environment, as name=value in JSON or Python; other values are text"),
}
NOT_THERE = {"steps", "on_row", "callbacks", "hyperparameters"}      # `steps` is a hyperparameter here


def train(argv: list[str]) -> None:
    """Train an agent; the flags depend on the algorithm, so they are read in two passes."""
    import kernels
    from scratchac import algorithms, api
    from scratchac.algorithms.config import Layers, configure
    from scratchac.environments.make import Named
    from scratchac.experiments.presets import find_preset
    from scratchac.experiments.run import new_folder
    from scratchac.tools import outcome

    names = ", ".join(algorithms.ALGORITHMS)
    algorithm = argv[0] if argv and not argv[0].startswith("-") else None
    if algorithm is None:
        if not {"-h", "--help"} & set(argv):
            raise UserError(f"train needs an algorithm first: {names}")
        print(f"usage: scratchac train ALGO [options]\n\nALGO: {names}\n\n`scratchac train ALGO --help` lists the options of one.")
        return
    config_class: Any = algorithms.find(algorithm).config_class
    env = value_after("--env", argv, algorithms.ALGORITHMS[algorithm].env)
    preset = value_after("--preset", argv)
    tuned, env_args = find_preset(algorithm, env, preset)
    config = configure(config_class, algorithm, tuned)
    words = tuple(f"{name}={dumps(value)}" for name, value in env_args.items())
    run_class = options_of(api.train)
    defaults = run_class(algorithm=algorithm, env=env, preset=preset, env_args=words)
    without_prefix: Any = tyro.conf.OmitArgPrefixes
    options_class: Any = make_dataclass("Options", [
        ("run", without_prefix[run_class], field(default_factory=lambda: defaults)),
        ("hyperparameters", without_prefix[config_class], field(default_factory=lambda: config)),
    ], frozen=True)
    tuned_for = f"{env}, {preset}" if preset else env
    about = f"Train {algorithm}. Defaults are the preset for {tuned_for}."
    lists = {f"--{f.name.replace('_', '-')}" for f in fields(config_class) if f.type == Layers}
    parsed = parse(options_class, in_words(argv, lists), f"scratchac train {algorithm}", about)
    options = vars(parsed.run) | {"env": Named(parsed.run.env), "env_args": env_args_from(parsed.run.env_args)}
    if options["backend"] == "auto" and not options["quiet"] and kernels.load("auto").name == "numpy":
        tell(f"the NumPy backend computes; this makes training faster: {kernels.BACKENDS['numba'][2]}")
    out = options.pop("out") or new_folder(algorithm, options["env"], options["seed"])
    # Only what the user has changed: `api.train` knows the preset, and some defaults depend on other values.
    default = asdict(config)
    given = {name: value for name, value in asdict(parsed.hyperparameters).items() if value != default[name]}
    agent = api.train(**options, out=out, **given)
    outcome.show(out, agent.step, options["quiet"])


def options_of(function: Any) -> Any:
    """A dataclass of the parameters of `scratchac.train`, each with the line of its docstring that explains it."""
    lines = dict(re.findall(r"^ +(\w+): (.+)$", inspect.getdoc(function) or "", re.MULTILINE))
    fields: list[Any] = []
    for name, parameter in inspect.signature(function).parameters.items():
        if name not in NOT_THERE:
            kind, default, text = ON_A_COMMAND_LINE.get(name, (parameter.annotation, parameter.default, None))
            fields.append((name, Annotated[kind, tyro.conf.arg(help=text or lines[name])], default))
    return make_dataclass("Run", fields, frozen=True)
