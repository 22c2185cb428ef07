"""A backend that stands in for a GPU. Its arrays refuse what CuPy's refuse, and what would make the host wait for the device.

A DeviceArray is, like CuPy's, no np.ndarray. NumPy hands its calls on to it, and it answers only those that CuPy takes, with
CuPy's signatures (tests/cupy_api.py). `calls` lists what was asked of it.
"""

import contextlib

import cupy_api
import numpy as np

import kernels

waiting_allowed = True
calls = set()           # (kind, name, keywords), as `cupy_api.check` takes them


class Waited(AssertionError):
    """The host asked for a value while an update was under way."""


class DeviceArray(np.lib.mixins.NDArrayOperatorsMixin):
    """It computes only with its own kind and with plain numbers, and gives a value to the host only while that is allowed."""

    def __init__(self, host):
        self._host = host

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        asked("ufunc" if method == "__call__" else method, ufunc.__name__, inputs, kwargs)
        return returned(getattr(ufunc, method)(*to_host(inputs), **to_host(kwargs)), *kwargs.get("out", ()))

    def __array_function__(self, func, types, args, kwargs):
        asked("function", func.__name__, args, kwargs)
        if func.__name__ in cupy_api.WAITS:
            wait()
        return returned(func(*to_host(args), **to_host(kwargs)), kwargs.get("out"))

    def __getattr__(self, name):
        if name in cupy_api.ATTRIBUTES:
            return returned(getattr(self._host, name))
        if name not in cupy_api.METHODS:
            raise AttributeError(f"CuPy's arrays, or tests/cupy_api.py, have no {name}")

        def method(*args, **kwargs):
            asked("method", name, args, kwargs)
            return returned(getattr(self._host, name)(*to_host(args), **to_host(kwargs)), kwargs.get("out"))
        return method

    def __getitem__(self, key):
        if any(isinstance(x, DeviceArray) and x.dtype == bool for x in leaves(key)):
            wait()                              # CuPy counts the true ones to know the shape of the result
        self._index(key)
        return on_device(self._host[to_host(key)])

    def __setitem__(self, key, value):
        self._index(key)
        same_side(value)
        # Of several values for one place NumPy keeps the last, and CuPy any of them.
        for x in leaves(key):
            if isinstance(x, DeviceArray) and x.dtype != bool and len(np.unique(x._host)) != x.size:
                raise IndexError("places occur several times: CuPy stores one of the values, and does not say which")
        self._host[to_host(key)] = to_host(value)

    def _index(self, key):
        for x in leaves(key):
            same_side(x)
            # NumPy refuses an index that is out of range, and CuPy takes it from the other end.
            if not (x is None or x is Ellipsis or isinstance(x, int | np.integer | slice | DeviceArray)):
                raise TypeError(f"an index of the device's arrays cannot be {x!r}")

    def __len__(self):
        return len(self._host)

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __array__(self, dtype=None, copy=None):
        raise TypeError("Implicit conversion to a NumPy array is not allowed")

    def __float__(self):
        return float(wait(self))

    def __int__(self):
        return int(wait(self))

    def __bool__(self):
        return bool(wait(self))

    def item(self):
        return wait(self).item()


def wait(x=None):
    """The values of x on the host, or AssertionError while nothing may wait for the device."""
    if not waiting_allowed:
        raise Waited("an update waits for a value from the device")
    return x if x is None else x._host


def asked(kind, name, args, kwargs):
    for x in leaves([args, kwargs]):
        same_side(x)
    calls.add((kind, name, tuple(sorted(kwargs))))
    cupy_api.check(kind, name, args, kwargs)


def on_device(x):
    return DeviceArray(np.asarray(x))


def returned(result, out=None):
    """What an operation returns: `out` itself if it was given, else an array of the device, also where NumPy has a number."""
    return out if out is not None else on_device(result) if isinstance(result, np.ndarray | np.generic) else result


def to_host(x):
    if isinstance(x, tuple | list):
        return type(x)(to_host(part) for part in x)
    if isinstance(x, dict):
        return {name: to_host(part) for name, part in x.items()}
    return x._host if isinstance(x, DeviceArray) else x


def leaves(x):
    if isinstance(x, tuple | list):
        return [leaf for part in x for leaf in leaves(part)]
    return leaves(list(x.values())) if isinstance(x, dict) else [x]


def same_side(x):
    if isinstance(x, np.ndarray):
        raise TypeError("an array of the host among arrays of the device")


class DeviceBackend(kernels.Backend):
    """It overrides no kernel, so the references run on DeviceArrays."""

    name = "double"
    device = "double"

    def zeros(self, shape, dtype):
        return on_device(np.zeros(shape, dtype))

    def asarray(self, x, dtype=None):
        return x.astype(dtype or x.dtype, copy=False) if isinstance(x, DeviceArray) else on_device(np.array(x, dtype))

    def wait(self):
        pass

    def to_numpy(self, x):
        return np.array(wait(x)) if isinstance(x, DeviceArray) else x


@contextlib.contextmanager
def no_waiting():
    global waiting_allowed
    waiting_allowed = False
    try:
        yield
    finally:
        waiting_allowed = True
