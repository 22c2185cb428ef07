"""Changes the source of one of the library's functions for a block, and puts it back.

    with Patch(returns.gae, "gamma * lam * (1 - done)", "gamma * lam * (1 - term)"):
        …                                       every caller of `gae` runs the changed line
    with Installed(returns.gae, my_gae):
        …                                       every caller of `gae` runs `my_gae`

Only the function's `__code__` is exchanged, so that modules which have imported it by name see the change, too. No file changes,
and the library has no switch for it. Within the block the NumPy backend is active; another one, if it is chosen there, does not use
compiled code for the function's module.
"""

import ast
import inspect
import textwrap
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import CodeType
from typing import Any, Self

import kernels

ROOT = Path(__file__).parents[2]
installed: dict[str, Callable[..., Any]] = {}           # "module.function" → what runs in its place


class _Exchanged:
    """A block in which a function has another code."""

    function: Callable[..., Any]
    _stack: ExitStack

    def code(self) -> CodeType:
        """The code of the block."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        function: Any = inspect.unwrap(self.function)
        code, before = self.code(), function.__code__
        with ExitStack() as stack:
            stack.enter_context(kernels.using("numpy"))
            stack.enter_context(kernels.shipped.patched(function.__module__))
            stack.callback(setattr, function, "__code__", before)
            function.__code__ = code
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


@dataclass
class Patch(_Exchanged):
    """In a function's source `old`, which must occur exactly once, becomes `new`. Raises ValueError if it does not."""

    function: Callable[..., Any]
    old: str
    new: str
    _stack: ExitStack = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.name = qualified(self.function)
        count = source(self.function)[0].count(self.old)
        if count != 1:
            raise ValueError(f"{self.old!r} occurs {count} times in {self.name}")

    def code(self) -> CodeType:
        """The code of the changed source. Its line numbers are those of the file."""
        return _changed(self.function, self.old, self.new)

    def lines(self) -> tuple[int, int]:
        """The numbers of the first and the last line of `old` in its file."""
        text, first = source(self.function)
        start = first + text[: text.index(self.old)].count("\n")
        return start, start + self.old.count("\n")

    def diff(self) -> str:
        """File and line, and the lines that change, as `-` and `+`."""
        text, first = source(self.function)
        number, last = self.lines()
        start, end = number - first, last - first
        lines, changed = text.splitlines(), text.replace(self.old, self.new).splitlines()
        new_end = end + self.new.count("\n") - self.old.count("\n")
        return "\n".join([f"{place(self.function)}:{number} {self.name}", *(f"- {line.strip()}" for line in lines[start : end + 1]),
                          *(f"+ {line.strip()}" for line in changed[start : new_end + 1])])


@cache
def _changed(function: Callable[..., Any], old: str, new: str) -> CodeType:
    text, first = source(function)
    free = inspect.unwrap(function).__code__.co_freevars                    # such as __class__, where super() is called
    outer = f"def outer({', '.join(free)}):\n" + textwrap.indent(text.replace(old, new), " ")
    tree = ast.increment_lineno(ast.parse(outer), first - 2)
    module = compile(tree, inspect.getsourcefile(inspect.unwrap(function)) or "?", "exec", dont_inherit=True)
    code = _inner(_inner(module))
    if code.co_freevars != free:
        raise ValueError(f"{qualified(function)}: the changed source has other free variables, {code.co_freevars} for {free}")
    return code


@dataclass
class Installed(_Exchanged):
    """Calls of `function` call `mine` instead, with the same arguments."""

    function: Callable[..., Any]
    mine: Callable[..., Any]
    _stack: ExitStack = field(init=False, repr=False)

    def code(self) -> CodeType:
        """A call of `mine`. It is looked up by name, since its own code would not find the globals of its module."""
        name = qualified(self.function)
        installed[name] = self.mine
        free = inspect.unwrap(self.function).__code__.co_freevars
        return _inner(_inner(compile(
            f"def outer({', '.join(free)}):\n def call(*args, **kwargs):\n  {''.join(f'{x}; ' for x in free)}"
            f"from scratchac.lab.patch import installed\n  return installed[{name!r}](*args, **kwargs)", "<installed>", "exec")))


def qualified(function: Callable[..., Any]) -> str:
    """The name of a function with its module, without the package: `returns.gae`."""
    function = inspect.unwrap(function)
    return f"{function.__module__}.{function.__qualname__}".removeprefix("scratchac.")


def place(function: Callable[..., Any]) -> str:
    """The file of a function, from the folder of the project."""
    path = Path(inspect.getsourcefile(inspect.unwrap(function)) or "?")
    return (path.relative_to(ROOT) if path.is_relative_to(ROOT) else path).as_posix()


@cache
def source(function: Callable[..., Any]) -> tuple[str, int]:
    """The source of a function without its decorators and indentation, and the number of its first line."""
    lines, first = inspect.getsourcelines(inspect.unwrap(function))
    skip = next(i for i, line in enumerate(lines) if line.lstrip().startswith("def "))
    return textwrap.dedent("".join(lines[skip:])), first + skip


def _inner(code: CodeType) -> CodeType:
    return next(x for x in code.co_consts if isinstance(x, CodeType))
