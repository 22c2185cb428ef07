"""The CUDA source of the fused kernels, compiled by g++ for the host and called with NumPy's arrays."""

import ctypes
import functools
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from kernels.cuda_source import KERNELS, translation_unit

NUMBERS = {"float32": ctypes.c_float, "float64": ctypes.c_double}


def compiler():
    """The path of g++, or None."""
    return shutil.which("g++")


@functools.cache
def library():
    """All kernels as a shared library. The folder is removed once it is loaded."""
    return compiled(translation_unit())


def compiled(text, optimise="-O2"):
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "kernels.cpp"), Path(folder, "kernels.so")
        source.write_text(text)
        subprocess.run([compiler(), optimise, "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", str(source), "-o", str(target)],
                       check=True)
        return ctypes.CDLL(str(target))


def run(name, arguments, own=None, symbol=None):
    """Run a kernel for contiguous arrays and numbers in the order of its source: inputs, numbers, outputs.

    own, symbol     another library, and the function in it that takes the kernel's arguments
    """
    source = KERNELS[name]
    count = len((source.inputs + " " + source.outputs).split()) + len(source.numbers.split())
    arrays = [x for x in arguments if isinstance(x, np.ndarray)]
    kinds, sizes = {x.dtype.name for x in arrays}, {x.size for x in arrays}
    assert len(arguments) == count and len(kinds) == len(sizes) == 1 and all(x.flags.c_contiguous for x in arrays)
    kind = kinds.pop()
    function = getattr(own or library(), f"{symbol or name}_{kind}")
    pointers = [x.ctypes.data_as(ctypes.c_void_p) if isinstance(x, np.ndarray) else NUMBERS[kind](x) for x in arguments]
    function(ctypes.c_longlong(sizes.pop()), *pointers)
