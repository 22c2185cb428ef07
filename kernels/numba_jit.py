"""Numba's compiler with the options of all kernels, and its cache on disk.

Numba's own cache of a function notices a change in that function's file, not in the files of the functions that it calls. Here the
text of all files of compiled kernels is part of the key, so that an edit to one of them compiles all of them anew.
"""

import hashlib
import os
from functools import partial
from pathlib import Path
from typing import Any

# A thread that waits for the other one spins. With GNU OpenMP's default duration a busy machine makes a quarter of the updates (5.6
# instead of 24.7 SAC updates/s with three other processes on two cores), and an idle one makes no more. OpenMP reads it at loading.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

import scipy.linalg.cython_blas  # noqa: F401  np.dot in compiled code is SciPy's BLAS; loaded before its threads are limited
from numba import njit, types
from numba.core.caching import FunctionCache

from kernels import registry

SOURCES = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("numba_*.py")))).hexdigest()


# error_model: Python's check for division by zero would keep a loop from being vectorised. No fastmath: it lets two compiled copies
# of one function round differently, and which one a process runs depends on what was in its cache. no_cfunc_wrapper: nobody calls
# these functions from C.
# Kernels assign to single elements, or with `fill`: at the first assignment to a slice Numba also compiles the text of an error
# (5 of the 29 s that an update of SAC took to compile).
def jit(function: Any = None, **options: Any) -> Any:
    """Numba's njit with a cache on disk; without one where no folder for it can be written, and then a message says so."""
    if function is None:
        return partial(jit, **options)
    options |= {"nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True}
    made: Any = njit(**options)(function)
    if made is not function:                                                # as it is with NUMBA_DISABLE_JIT
        made.get_call_template = partial(_any_number, made.get_call_template)
        try:
            made._cache = Cache(function)                                   # as its enable_caching does
            made._cache.parallel = options.get("parallel", False)
        except RuntimeError as error:
            if "cannot cache" not in str(error):
                raise
            registry.say("Numba cannot keep what it compiles, since it finds no folder to write: each process compiles anew "
                         "(NUMBA_CACHE_DIR names a folder)")
    return made


def _any_number(find: Any, args: Any, kws: Any) -> Any:
    """Numba would compile f(x, 0) apart from f(x, i): here it is one function, which takes half the time."""
    return find([types.unliteral(x) for x in args], {name: types.unliteral(x) for name, x in kws.items()})


class Cache(FunctionCache):
    """Numba's cache of one function. What it cannot write, as on a full disk, the next process compiles anew.

    A function may be compiled twice, for one thread and for several.
    """

    parallel = False

    def _index_key(self, sig: Any, codegen: Any) -> Any:
        return super()._index_key(sig, codegen), SOURCES, self.parallel

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep what has been compiled for a signature."""
        try:
            super().save_overload(sig, data)
        except OSError as error:
            registry.say(f"Numba cannot keep what it compiles ({error.strerror}): the next process compiles it anew")
