"""The interface of a backend, and the one that is always available: NumPy, on the host.

A backend decides where arrays are stored and lists the functions that it has instead of references. The NumPy backend lists none.
"""

import math
import os
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, DTypeLike


class BackendError(ValueError):
    """A backend is unknown or cannot run here; the message says what to do."""


class Update(NamedTuple):
    """A compiled function that stands in for a whole method of an algorithm."""

    function: Callable[..., Any]
    stands_for: str                 # the class whose method it replaces, with its module
    modules: tuple[str, ...]        # the modules whose code it repeats; it is used only while all of them are the shipped ones


class Backend:
    """NumPy: every kernel is the reference, and arrays are on the host."""

    name = "numpy"
    device = "cpu"                                      # where its arrays are
    overrides: ClassVar[Mapping[str, Callable[..., Any]]] = {}      # kernel → the function that replaces the reference
    updates: ClassVar[Mapping[str, Update]] = {}                    # name → a compiled update, for `kernels.compiled`

    def zeros(self, shape: int | tuple[int, ...], dtype: DTypeLike) -> np.ndarray:
        """A new array of zeros."""
        return np.zeros(shape, dtype)

    def asarray(self, x: ArrayLike, dtype: DTypeLike | None = None) -> np.ndarray:
        """An array of this backend with the values of x; it may be x itself."""
        return np.asarray(x, dtype)

    def to_numpy(self, x: np.ndarray) -> np.ndarray:
        """The same values on the host. This waits for a GPU, so no update calls it."""
        return x

    def wait(self) -> None:
        """Return when all computations are finished, which is at once on a CPU. It is used only for timing."""

    def memory(self) -> float:
        """Bytes of memory for arrays; infinity if the system does not report it."""
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else math.inf
