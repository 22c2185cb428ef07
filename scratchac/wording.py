"""How a message names what a user has given: as flags on the command line, as arguments in Python.

Messages are written for the command line: "--envs 4", "--vector sync", "--no-scale-actions". In Python they become "envs=4",
'vector="sync"', "scale_actions=False". A command that a message names, from "scratchac" on, stays as it is.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager

# a command; or a flag, with its value if that is a pair, a number, a word in capitals that stands for one, or a known word
SPOKEN = re.compile(
    r"(?P<command>\bscratchac [a-z][^;,()\n]*)"
    r"|(?<![\w-])--(?P<no>no-)?(?P<name>[a-z][a-z-]*[a-z]|[a-z])"
    r"(?: (?P<key>\w+)=(?P<of>[^\s;,()]+)"
    r"|[ =](?P<number>-?\d[\w.]*\b)"
    r"|[ =](?P<capitals>[A-Z][A-Z_]*\b)"
    r"|[ =](?P<word>(?:sync|async|compiled|envpool|auto|numpy|numba|cupy|qv|onnx|html|tensorboard|wandb)\b))?")

_commands = 0                   # how many commands of the command line this process is in


@contextmanager
def command_line() -> Iterator[None]:
    """Within the block, in all threads, messages name flags."""
    global _commands
    _commands += 1
    try:
        yield
    finally:
        _commands -= 1


def either(flags: str, arguments: str) -> str:
    """One text on the command line, the other in Python."""
    return flags if _commands else arguments


def spoken(text: str) -> str:
    """A message as the user of the command line, or of Python, has to read it."""
    return text if _commands else SPOKEN.sub(_argument, text)


def _argument(found: re.Match[str]) -> str:
    if found["command"]:
        return found["command"]
    name = found["name"].replace("-", "_")
    if found["no"]:
        return f"{name}=False"
    if found["key"]:
        value = found["of"] if re.fullmatch(r"[A-Z]+|-?[\d.]+", found["of"]) else f'"{found["of"]}"'
        return f'{name}={{"{found["key"]}": {value}}}'
    if found["word"]:
        return f'{name}="{found["word"]}"'
    value = found["number"] or found["capitals"]
    return f"{name}={value}" if value else name
