"""Backends: the same arithmetic behind one protocol, `numpy_kernels.NumpyKernels` being the complete reference.

    kernels.use("numpy")                 # for the rest of the process
    with kernels.use("numpy"): ...       # for a block; the previous backend comes back afterwards

Code calls `kernels.backend.linear(...)` and never holds on to the backend, so that a switch reaches it.
"""

from importlib import import_module

# name -> (module, class, the extra that installs what it needs)
BACKENDS = {
    "numpy": ("kernels.numpy_kernels", "NumpyKernels", None),
}
SCRATCHAC_KERNELS = True        # tells this package from an unrelated one of the same name


class BackendError(ValueError):
    """The backend is unknown or cannot run here; the message says what to do."""


class use:
    """Make `name` the active backend at once; as a context manager, until the block ends.

    "auto" takes the fastest backend that can run on this machine. Raises BackendError for any other name that cannot run.
    """

    def __init__(self, name="auto"):
        global backend
        self.previous = backend
        backend = _load(name)

    def __enter__(self):
        return backend

    def __exit__(self, *_):
        global backend
        backend = self.previous


def _load(name):
    if name == "auto":
        name = "numpy"
    if name not in BACKENDS:
        raise BackendError(f"no backend {name!r} in this version; there are: auto, {', '.join(BACKENDS)}")
    module, cls, _ = BACKENDS[name]
    return getattr(import_module(module), cls)()


backend = _load("numpy")
