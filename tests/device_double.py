"""A backend that stands in for a GPU. Its arrays refuse what CuPy's refuse, and what would make the host wait for the device."""

import contextlib

import numpy as np

import kernels

waiting_allowed = True


class Waited(AssertionError):
    """The host asked for a value while an update was under way."""


class DeviceArray(np.ndarray):
    """It computes only with its own kind and with plain numbers, and gives a value to the host only while that is allowed."""

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **kwargs):
        for x in (*inputs, *(out or ())):
            same_side(x)
        plain = tuple(x.view(np.ndarray) if isinstance(x, DeviceArray) else x for x in inputs)
        if out is not None:
            kwargs["out"] = tuple(x.view(np.ndarray) for x in out)
        result = getattr(ufunc, method)(*plain, **kwargs)
        return out[0] if out is not None else on_device(result)

    def __array_function__(self, func, types, args, kwargs):
        for x in leaves([args, kwargs]):
            same_side(x)
        result = func(*to_host(args), **to_host(kwargs))
        return on_device(result) if isinstance(result, np.ndarray | np.generic) else result

    def __getitem__(self, key):
        for x in leaves(key):
            same_side(x)
        return on_device(self.view(np.ndarray)[to_host(key)])

    def __setitem__(self, key, value):
        for x in leaves([key, value]):
            same_side(x)
        self.view(np.ndarray)[to_host(key)] = to_host(value)

    def _wait(self, convert):
        if not waiting_allowed:
            raise Waited("an update waits for a value from the device")
        return convert(self.view(np.ndarray))

    def __float__(self):
        return self._wait(float)

    def __int__(self):
        return self._wait(int)

    def __bool__(self):
        return self._wait(bool)

    def item(self, *args):
        return self._wait(lambda x: x.item(*args))


def on_device(x):
    return np.asarray(x).view(DeviceArray)


def to_host(x):
    if isinstance(x, tuple | list):
        return type(x)(to_host(part) for part in x)
    if isinstance(x, dict):
        return {name: to_host(part) for name, part in x.items()}
    return x.view(np.ndarray) if isinstance(x, DeviceArray) else x


def leaves(x):
    if isinstance(x, tuple | list):
        return [leaf for part in x for leaf in leaves(part)]
    return leaves(list(x.values())) if isinstance(x, dict) else [x]


def same_side(x):
    if isinstance(x, np.ndarray) and not isinstance(x, DeviceArray):
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
        return np.array(x.view(np.ndarray)) if isinstance(x, DeviceArray) else x


@contextlib.contextmanager
def no_waiting():
    global waiting_allowed
    waiting_allowed = False
    try:
        yield
    finally:
        waiting_allowed = True
