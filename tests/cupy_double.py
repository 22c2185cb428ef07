"""Stands in for the package cupy, so that kernels/cupy_kernels.py runs as it is: on DeviceArrays, its CUDA source compiled by g++.

`installed()` is a block with it. As a plugin of pytest (`-p cupy_double`) it shows what the tests for a GPU would do with one.
"""

import contextlib
import re
import sys
from types import ModuleType, SimpleNamespace

import cuda_host
import cupy_api
import device_double
import numpy as np
from device_double import DeviceArray, on_device

launches = []           # the names of the fused kernels that were launched


class CUDARuntimeError(RuntimeError):
    """What CuPy raises without a device."""


class ElementwiseKernel:
    """CuPy's rules for arguments (cupy/_core/_kernel.pyx): all arrays of one dtype, given outputs of the broadcast shape."""

    def __init__(self, in_params, out_params, operation, name="kernel"):
        source = cuda_host.KERNELS[name]
        assert operation == source.body and re.fullmatch(r"[A-Za-z_]\w*", name)
        names = [[re.fullmatch(r"T (\w+)", part)[1] for part in text.split(", ")] for text in (in_params, out_params)]
        assert names[0] == (source.inputs + " " + source.numbers).split() and names[1] == source.outputs.split()
        # CuPy's own names within a kernel
        assert not {"i", "n", "T"} & {x for part in names for x in part} and not any(x[0] == "_" for part in names for x in part)
        self.name, self.inputs, self.outputs = name, names[0], names[1]

    def __call__(self, *args):
        given = args[len(self.inputs):]
        if len(args) not in (len(self.inputs), len(self.inputs) + len(self.outputs)):
            raise TypeError(f"Wrong number of arguments for {self.name!r}")
        arrays = [x for x in args if isinstance(x, DeviceArray)]
        if not all(isinstance(x, DeviceArray | int | float) for x in args) or not all(isinstance(x, DeviceArray) for x in given):
            raise TypeError(f"{self.name}: not an array of the device, or an output that is a number")
        if len({x.dtype for x in arrays}) > 1:
            raise TypeError("Type is mismatched")
        shape, dtype = np.broadcast_shapes(*(x.shape for x in arrays)), arrays[0].dtype
        if any(x.shape != shape for x in given):
            raise ValueError("Out shape is mismatched")
        launches.append(self.name)
        outputs = given or [on_device(np.full(shape, np.nan, dtype)) for _ in self.outputs]
        flat = [np.ascontiguousarray(np.broadcast_to(x._host, shape)) if isinstance(x, DeviceArray) else x
                for x in args[:len(self.inputs)]]
        written = [np.array(x._host, order="C") for x in outputs]
        cuda_host.run(self.name, [*flat, *written])
        for x, values in zip(outputs, written, strict=True):
            x._host[...] = values
        return tuple(outputs) if len(outputs) > 1 else outputs[0]


def function(name, compute):
    def call(*args, **kwargs):
        cupy_api.check("cupy", name, args, kwargs)
        return compute(*args, **kwargs)
    return call


def asarray(x, dtype=None):
    return device_double.DeviceBackend().asarray(x, dtype)


def matmul(x, W, out):
    if x.dtype != out.dtype or W.dtype != out.dtype or not out._host.flags.c_contiguous:
        raise TypeError("CuPy would compute into another array and copy it")
    return np.matmul(x, W, out=out)


def asnumpy(x):
    return device_double.DeviceBackend().to_numpy(x)


def module(devices=1):
    """The stand-in; without a device it raises what CuPy raises."""
    def count():
        if not devices:
            raise CUDARuntimeError("cudaErrorNoDevice: no CUDA-capable device is detected")
        return devices

    stream = SimpleNamespace(synchronize=lambda: None)
    runtime = SimpleNamespace(getDeviceCount=count, memGetInfo=lambda: (2**34, 2**35), CUDARuntimeError=CUDARuntimeError,
                              getDeviceProperties=lambda i: {"name": b"a stand-in", "major": 0, "minor": 0},
                              runtimeGetVersion=lambda: 0, driverGetVersion=lambda: 0)
    cupy = ModuleType("cupy")
    cupy.__version__ = "a stand-in"
    cupy.ndarray = DeviceArray
    cupy.ElementwiseKernel = ElementwiseKernel
    cupy.cuda = SimpleNamespace(runtime=runtime, get_current_stream=lambda: stream)
    for name, compute in {"asarray": asarray, "asnumpy": asnumpy, "matmul": matmul, "sum": np.sum,
                          "empty": lambda shape, dtype: on_device(np.full(shape, np.nan, dtype)),
                          "zeros": lambda shape, dtype: on_device(np.zeros(shape, dtype))}.items():
        setattr(cupy, name, function(name, compute))
    return cupy


@contextlib.contextmanager
def installed(devices=1):
    """A block in which `import cupy` gives the stand-in. Afterwards the backend is imported anew."""
    before = {name: sys.modules.pop(name, None) for name in ("cupy", "kernels.cupy_kernels")}
    sys.modules["cupy"] = module(devices)
    try:
        yield
    finally:
        for name, was in before.items():
            sys.modules.pop(name, None)
            if was is not None:
                sys.modules[name] = was


def pytest_configure():
    sys.modules["cupy"] = module()
