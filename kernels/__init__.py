"""Backends: the same arithmetic behind one protocol, `numpy_kernels.NumpyKernels` being the complete reference.

    kernels.use("numpy")                 # for the rest of the process
    with kernels.use("numpy"): ...       # for a block; the previous backend comes back afterwards

Code calls `kernels.backend.linear(...)` and never holds on to the backend, so that a switch reaches it.
"""

import ctypes
import sys
from contextlib import suppress
from importlib import import_module

# name → (module, class, what installs what it needs)
BACKENDS = {
    "numpy": ("kernels.numpy_kernels", "NumpyKernels", None),
    "numba": ("kernels.numba_kernels", "NumbaKernels", "pip install numba scipy"),
    "cupy": ("kernels.cupy_kernels", "CupyKernels", "pip install cupy-cuda13x"),
}
SCRATCHAC_KERNELS = True        # tells this package from an unrelated one of the same name


class BackendError(ValueError):
    """The backend is unknown or cannot run here; the message says what to do."""


class use:
    """Make `name` the active backend at once; as a context manager, until the block ends.

    "auto" takes Numba where it is installed and otherwise NumPy; a GPU is never taken unasked, since for these small networks a CPU
    is often the faster one. Raises BackendError for a name that is unknown or cannot run here.
    """

    def __init__(self, name="auto"):
        global backend
        self.previous = backend
        backend = load(name)

    def __enter__(self):
        return backend

    def __exit__(self, *_):
        global backend
        backend = self.previous


def load(name):
    """The backend of that name, without making it the active one."""
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


def _keep_freed_memory():
    """Tell glibc to hold on to what NumPy frees: up to 256 MiB, in pieces of up to 32 MiB.

    An update frees some megabytes of activations and asks for as many at once after. By default the system gets them in between
    and hands them back page by page, cleared: a fifth of the time of a SAC or DDPG update with 256-256 networks.
    """
    M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(M_TRIM_THRESHOLD, 2**28)
        libc.mallopt(M_MMAP_THRESHOLD, 2**25)


_keep_freed_memory()
backend = load("numpy")
