"""The subcommands `sweep` and `tune` with the flags of `train`: a hyperparameter's flag takes its values, as in --lam 0.9,0.95."""

import inspect
import re
from collections.abc import Callable
from dataclasses import fields
from typing import Any

from scratchac.errors import UserError, unknown

NUMBERS = re.compile(r"\d+(,\d+)*,?")


def with_choices(argv: list[str], command: Callable[..., None]) -> list[str]:
    """The words with `--set lam=0.9,0.95` in the place of `--lam 0.9,0.95`: hyperparameters of the algorithms in the first word.

    `--hidden 64,64` and `--hidden 64 64` are the layers of one setting, as for `train`; `--hidden [64,64],[32,32]` is two settings.
    `--shared-body` is true, `--no-shared-body` false. Raises UserError for a flag that nobody knows, and for one without a value.
    """
    from scratchac import algorithms
    from scratchac.algorithms.config import Layers

    if not argv or argv[0].startswith("-"):
        return argv
    kinds: dict[str, Any] = {}
    for algorithm in argv[0].split(","):
        kinds |= {f.name: f.type for f in fields(algorithms.find(algorithm).config_class)}
    own = {*inspect.signature(command).parameters, "help"}
    words, left = [argv[0]], argv[1:]
    while left:
        word = left.pop(0)
        flag, equals, text = word.partition("=")
        name = flag.removeprefix("--").replace("-", "_")
        off = name.startswith("no_") and name not in kinds and kinds.get(name[3:]) is bool
        name = name[3:] if off else name
        if not word.startswith("--") or name in own or name.removeprefix("no_") in own:
            words.append(word)
            continue
        if name not in kinds:
            raise unknown("option", flag, [f"--{known.replace('_', '-')}" for known in (*kinds, *sorted(own))])
        given = [text] if equals else _following(left, kinds[name] == Layers)
        if off or (kinds[name] is bool and not given):
            given = ["false" if off else "true"]
        if not any(given):
            raise UserError(f"{flag} takes a value, or several with commas between")
        joined = ",".join(given)
        listed = kinds[name] == Layers and NUMBERS.fullmatch(joined)
        words += ["--set", f"{name}=[{joined.rstrip(',')}]" if listed else f"{name}={joined}"]
    return words


def _following(left: list[str], several: bool) -> list[str]:
    """Take the words of a flag's value from those that are left: one or, for layers, all that are numbers."""
    taken: list[str] = []
    while left and not left[0].startswith("--") and (not taken or (several and NUMBERS.fullmatch(left[0]))):
        taken.append(left.pop(0).rstrip(",") if several else left.pop(0))
    return taken
