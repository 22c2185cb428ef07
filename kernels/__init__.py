"""Backends: which code computes a kernel, and where arrays are stored.

A kernel is a function that costs time. Its NumPy reference, with its derivation, is marked `@kernel` in the file that explains it
(scratchac/nn.py, conv.py, distributions.py, returns.py, optim.py). A call goes to the active backend's function of the same name
if there is one, and otherwise to the reference.

    kernels.use("numba")                    # for the rest of the process; `scratchac.train` and `resume` choose their own
    with kernels.using("numpy"): ...        # for a block; afterwards the previous backend is active again
    kernels.backend.asarray(x)              # an array on the device of the active backend
"""

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module

from kernels import registry
from kernels.backend import Backend, BackendError
from kernels.registry import compiled, kernel

__all__ = ["BACKENDS", "Backend", "BackendError", "backend", "compiled", "default_backend", "kernel", "load", "use", "using"]

# name → (module, class, the command that installs its packages)
BACKENDS: dict[str, tuple[str, str, str | None]] = {
    "numpy": ("kernels.backend", "Backend", None),
    "numba": ("kernels.numba_kernels", "NumbaBackend", "pip install numba scipy"),
    "cupy": ("kernels.cupy_kernels", "CupyBackend", "pip install cupy-cuda13x"),
}
SCRATCHAC_KERNELS = True        # tells this package from an unrelated one of the same name

backend: Backend = Backend()    # the active one


def use(name: str = "auto") -> Backend:
    """Make a backend the active one, for the rest of the process, and return it.

    "auto" is Numba where it is installed and NumPy otherwise; it is never a GPU, since a CPU is often faster for small networks.
    Raises BackendError for a name that is unknown or a backend that cannot run here.
    """
    return _activate(load(name))


@contextmanager
def using(name: str = "auto") -> Iterator[Backend]:
    """Make a backend the active one for a block. Raises BackendError as `use` does, before the block begins."""
    before = backend
    try:
        yield use(name)
    finally:
        _activate(before)


def default_backend() -> str:
    """The name in $SCRATCHAC_BACKEND; "auto" where it is not set, or empty."""
    return os.environ.get("SCRATCHAC_BACKEND") or "auto"


def load(name: str) -> Backend:
    """The backend of that name, without making it the active one. Raises BackendError as `use` does."""
    if not isinstance(name, str) or name not in ("auto", *BACKENDS):
        raise BackendError(f"no backend {name!r}; there are: auto, {', '.join(BACKENDS)}")
    if name == "auto":
        with suppress(BackendError):
            return load("numba")
        name = "numpy"
    module, cls, command = BACKENDS[name]
    try:
        return getattr(import_module(module), cls)()
    except ImportError as error:
        raise BackendError(f"backend {name} cannot run here ({error}): {command}") from None


def _activate(chosen: Backend) -> Backend:
    global backend
    backend = chosen
    registry.activate(chosen)
    return chosen


def _keep_freed_memory() -> None:
    """Tell glibc to keep memory that NumPy frees: up to 256 MiB, in pieces of up to 32 MiB.

    An update frees some megabytes of activations and allocates as many again at once. By default they go back to the system and
    come from it page by page, cleared, which takes a fifth of the time of a SAC or DDPG update with 256-256 networks.
    """
    M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(M_TRIM_THRESHOLD, 2**28)
        libc.mallopt(M_MMAP_THRESHOLD, 2**25)


_keep_freed_memory()
