"""What a value from a file may be: kinds of values, each with a type and a range.

A kind's `check(value, name)` raises ValueError, in one line that names the value, unless the value is of that kind. Kinds that hold
values, such as `Record`, are made of others, so the kinds of a whole file are written as one expression.
"""

import math
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

MOST = 2**53                    # of what counts something: float64 holds every whole number up to here
LONGEST = 60                    # characters of a wrong value that a message shows


class Kind(Protocol):
    """A kind of values. `str` of it tells in words what they are."""

    def check(self, value: Any, name: str) -> None:
        """Raise ValueError unless `value` is of this kind."""


def shown(value: Any) -> str:
    """A value in at most about LONGEST characters, in one line."""
    if isinstance(value, np.ndarray):
        return f"an array {value.dtype} {value.shape}"
    if isinstance(value, dict | list | tuple):
        return f"a {type(value).__name__} of {len(value)}"
    text = ascii(value) if not isinstance(value, int) or abs(value) < 10**LONGEST else f"a number of {value.bit_length()} bits"
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def require(right: bool, value: Any, name: str, kind: Any) -> None:
    """Raise ValueError unless `right`."""
    if not right:
        raise ValueError(f"{name} is {shown(value)}, not {kind}")


@dataclass(frozen=True)
class Whole:
    """A whole number from `low` to `high`."""

    low: int = 0
    high: float = MOST

    def check(self, value: Any, name: str) -> None:
        """Raise ValueError unless `value` is of this kind."""
        require(type(value) is int and self.low <= value <= self.high, value, name, self)

    def __str__(self) -> str:
        return f"a whole number {_range(self.low, self.high)}"


@dataclass(frozen=True)
class Number:
    """A finite number from `low` to `high`."""

    low: float = -math.inf
    high: float = math.inf

    def check(self, value: Any, name: str) -> None:
        """Raise ValueError unless `value` is of this kind."""
        right = type(value) in (int, float) and abs(value) <= sys.float_info.max and self.low <= value <= self.high
        require(right, value, name, self)

    def __str__(self) -> str:
        return f"a finite number {_range(self.low, self.high)}".rstrip()


@dataclass(frozen=True)
class Text:
    """Text that can be printed in one line, or any text; with `pattern`, text that matches this regular expression."""

    pattern: str = ".+"
    printable: bool = True

    def check(self, value: Any, name: str) -> None:
        """Raise ValueError unless `value` is of this kind."""
        right = isinstance(value, str) and (value.isprintable() or not self.printable)
        require(right and re.fullmatch(self.pattern, value) is not None, value, name, self)

    def __str__(self) -> str:
        return "text in one line" if self.pattern == ".+" else f"text like {self.pattern}"


@dataclass(frozen=True)
class OneOf:
    """One of a few values, of the same type."""

    values: tuple[Any, ...]

    def check(self, value: Any, name: str) -> None:
        """Raise ValueError unless `value` is of this kind."""
        require(any(type(value) is type(x) and value == x for x in self.values), value, name, self)

    def __str__(self) -> str:
        return " or ".join(map(repr, self.values))


FLAG = OneOf((False, True))
NOTHING = OneOf((None,))


@dataclass(frozen=True)
class Maybe:
    """A value of a kind, or None."""

    kind: Kind

    def check(self, value: Any, name: str) -> None:
        """Raise ValueError unless `value` is of this kind."""
        if value is not None:
            self.kind.check(value, name)


class Either:
    """A value of one of some kinds."""

    def __init__(self, *kinds: Kind):
        self.kinds = kinds

    def check(self, value: Any, name: str) -> None:
        """Raise ValueError, as the first kind does, unless `value` is of one of them."""
        for other in self.kinds[1:]:
            try:
                return other.check(value, name)
            except ValueError:
                continue
        self.kinds[0].check(value, name)


@dataclass(frozen=True)
class Many:
    """A list of `least` to `most` values of a kind."""

    kind: Kind
    least: int = 0
    most: float = math.inf

    def check(self, value: Any, name: str) -> None:
        """Raise ValueError unless `value` is of this kind."""
        require(isinstance(value, list) and self.least <= len(value) <= self.most, value, name, self)
        for i, x in enumerate(value):
            self.kind.check(x, f"{name}.{i}")

    def __str__(self) -> str:
        return f"a list of {self.least}" + (f" to {self.most}" if self.most > self.least else "")


@dataclass(frozen=True)
class Row:
    """A list of one value of each of these kinds."""

    kinds: Sequence[Kind]

    def check(self, value: Any, name: str) -> None:
        """Raise ValueError unless `value` is of this kind."""
        require(isinstance(value, list) and len(value) == len(self.kinds), value, name, f"a list of {len(self.kinds)}")
        for i, (kind, x) in enumerate(zip(self.kinds, value, strict=True)):
            kind.check(x, f"{name}.{i}")


@dataclass(frozen=True)
class Record:
    """A dict with an entry of each name in `entries`, and perhaps of those in `optional`, which earlier versions do not have."""

    entries: Mapping[str, Any]
    optional: Mapping[str, Any] = field(default_factory=dict)

    def check(self, value: Any, name: str) -> None:
        """Raise ValueError unless `value` is of this kind."""
        require(isinstance(value, dict), value, name, "a dict")
        if missing := self.entries.keys() - value.keys():
            raise ValueError(f"{name} has no {', '.join(sorted(missing))}")
        if more := value.keys() - self.entries.keys() - self.optional.keys():
            raise ValueError(f"{name} has {', '.join(sorted(map(shown, more)))[:LONGEST]}, which this version does not know")
        for key, kind in (*self.entries.items(), *self.optional.items()):
            if key in value:
                kind.check(value[key], f"{name}.{key}")


@dataclass(frozen=True)
class Named:
    """A dict of names, which are words, and values of a kind."""

    kind: Kind

    def check(self, value: Any, name: str) -> None:
        """Raise ValueError unless `value` is of this kind."""
        require(isinstance(value, dict), value, name, "a dict")
        for key, x in value.items():
            Text(r"\w+").check(key, f"a name in {name}")
            self.kind.check(x, f"{name}.{key}")


@dataclass(frozen=True)
class Array:
    """A NumPy array of a dtype, given by its name, or of any real one if that is None, and of a shape, with a range.

    shape       None in it is any length up to `longest`
    finite      whether NaN and infinities are refused
    """

    dtype: str | None
    shape: tuple[int | None, ...]
    low: float = -math.inf
    high: float = math.inf
    longest: float = math.inf
    finite: bool = True

    def check(self, value: Any, name: str) -> None:
        """Raise ValueError unless `value` is of this kind."""
        right = (isinstance(value, np.ndarray) and value.dtype.isnative and value.dtype.kind in "fiub"
                 and self.dtype in (None, value.dtype.name) and len(value.shape) == len(self.shape)
                 and all(n == m or (m is None and n <= self.longest) for n, m in zip(value.shape, self.shape, strict=True)))
        require(right, value, name, self)
        if not value.size or not self.finite:
            return
        least, largest = value.min(), value.max()           # NaN if there is one; no copy, for a replay buffer is large
        if not (np.isfinite(least) and np.isfinite(largest) and self.low <= least and largest <= self.high):
            wanted = f"finite ones {_range(self.low, self.high)}".rstrip()
            raise ValueError(f"{name} has numbers from {least} to {largest}, not {wanted}")

    def __str__(self) -> str:
        return f"an array {self.dtype or 'of numbers'} ({', '.join('…' if n is None else str(n) for n in self.shape)})"


_WORDS: dict[str, Kind] = {"bit_generator": Text(r"\w+"), "has_uint32": Whole(0, 1), "uinteger": Whole(0, 2**32 - 1)}
_PCG = Record(_WORDS | {"state": Record({"state": Whole(0, 2**128 - 1), "inc": Whole(0, 2**128 - 1)})})
# NumPy's generators, and their states. NumPy itself does not check all of it: a position beyond the buffer reads foreign memory.
GENERATORS: dict[str, Kind] = {
    "PCG64": _PCG, "PCG64DXSM": _PCG,
    "MT19937": Record({"bit_generator": Text(r"\w+"), "state": Record({"key": Array("uint32", (624,)), "pos": Whole(0, 624)})}),
    "SFC64": Record(_WORDS | {"state": Record({"state": Array("uint64", (4,))})}),
    "Philox": Record(_WORDS | {"state": Record({"counter": Array("uint64", (4,)), "key": Array("uint64", (2,))}),
                               "buffer": Array("uint64", (4,)), "buffer_pos": Whole(0, 4)}),
}


@dataclass(frozen=True)
class Generator:
    """The state of a generator of NumPy's, of one of these names."""

    names: tuple[str, ...] = tuple(GENERATORS)

    def check(self, value: Any, name: str) -> None:
        """Raise ValueError unless `value` is of this kind."""
        which: Any = value.get("bit_generator") if isinstance(value, dict) else None
        require(which in self.names, value, name, f"the state of a generator ({', '.join(self.names)})")
        GENERATORS[which].check(value, name)


def _range(low: float, high: float) -> str:
    if high in (math.inf, MOST):
        return "" if low == -math.inf else f"of at least {low:g}"
    return f"from {low:g} to {high:g}"
