"""The fused kernels of the CuPy backend as text: parameters and the arithmetic of one element, in what CUDA and C++ share.

`kernels/cupy_kernels.py` makes an ElementwiseKernel of each. `translation_unit()` is a whole file with all of them, for float and
for double: nvcc compiles it for a device (a .cu file), and g++ for the host, where the tests compare it with the references.

    python -m kernels.cuda_source > kernels.cu && nvcc -arch=sm_90 -cubin kernels.cu
    python -m kernels.cuda_source > kernels.cpp && g++ -O2 -shared -fPIC kernels.cpp -o kernels.so

T is the type of all parameters. T(…) keeps float32 from being computed in float64. ReLU is a comparison and not max(), since it
must pass NaN on.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple


class Source(NamedTuple):
    """One element of a kernel; names are separated by spaces."""

    inputs: str                 # arrays that are read
    numbers: str                # the same for all elements
    outputs: str                # arrays that are written; the body may read what they had before
    body: str                   # statements, the last one without its semicolon, as CuPy takes them


KERNELS: dict[str, Source] = {
    # -- y ← f(y + b) after a layer's product; dz = dy ∘ f′(z) as a function of y = f(z)
    "add_bias_identity": Source("b", "", "y", "y = y + b"),
    "add_bias_relu": Source("b", "", "y", "T z = y + b; y = z < T(0) ? T(0) : z"),
    "add_bias_tanh": Source("b", "", "y", "y = tanh(y + b)"),
    "through_relu": Source("dy y", "", "dz", "dz = y > T(0) ? dy : T(0)"),
    "through_tanh": Source("dy y", "", "dz", "dz = dy * (T(1) - y * y)"),
    # -- optimisers; lr has the factor 1/(1 − β₁ᵗ), and scale is 1/√(1 − β₂ᵗ)
    "adam": Source("g", "lr beta1 beta2 eps scale", "p m v", """
        m = beta1 * m + (T(1) - beta1) * g;
        v = beta2 * v + (T(1) - beta2) * g * g;
        p = p - lr * m / (sqrt(v) * scale + eps)"""),
    "rmsprop": Source("g", "lr decay eps", "p v", """
        v = decay * v + (T(1) - decay) * g * g;
        p = p - lr * g / sqrt(v + eps)"""),
    "polyak": Source("online", "tau", "target", "target = (T(1) - tau) * target + tau * online"),
    # -- a = tanh(u), u = μ + σε, and a feature's part of log π(a); their derivatives
    "tanh_gaussian": Source("mu log_std eps", "", "a u logp", f"""
        u = mu + exp(log_std) * eps;
        T softplus = max(T(-2) * u, T(0)) + log1p(exp(T(-2) * abs(u)));
        logp = T(-0.5) * eps * eps - log_std - T({0.5 * math.log(2 * math.pi)!r}) - T(2) * (T({math.log(2)!r}) - u - softplus);
        a = tanh(u)"""),
    "tanh_gaussian_backward": Source("a log_std eps da dlogp", "", "dmu dlog_std", """
        dmu = da * (T(1) - a * a) + dlogp * T(2) * a;
        dlog_std = dmu * exp(log_std) * eps - dlogp"""),
}

TYPES = {"float32": "float", "float64": "double"}
# What differs between a device, where each thread takes some elements, and the host, where a loop takes all.
HEADER = """\
#ifdef __CUDACC__
#define KERNEL extern "C" __global__ void
#define FOR_EACH(i, n) for (long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x; i < n; \\
                            i += (long long)gridDim.x * blockDim.x)
#else
#include <algorithm>
#include <cmath>
using std::abs; using std::exp; using std::log1p; using std::max; using std::sqrt; using std::tanh;
#define KERNEL extern "C" void
#define FOR_EACH(i, n) for (long long i = 0; i < n; i++)
#endif
"""


def translation_unit(kernels: Mapping[str, Source] = KERNELS) -> str:
    """A whole file, CUDA and C++ at once: for each kernel `NAME_float32` and `NAME_float64`, which take n and then, as CuPy's
    kernels do, inputs, numbers and outputs. Arrays have n elements each, side by side."""
    return HEADER + "".join(_function(name, source, kind) for name, source in kernels.items() for kind in TYPES)


def _function(name: str, source: Source, kind: str) -> str:
    inputs, numbers, outputs = (text.split() for text in source[:3])
    parameters = [*(f"const T *_{x}" for x in inputs), *(f"T {x}" for x in numbers), *(f"T *_{x}" for x in outputs)]
    elements = [*(f"const T &{x} = _{x}[_i];" for x in inputs), *(f"T &{x} = _{x}[_i];" for x in outputs)]
    return f"""
#define T {TYPES[kind]}
KERNEL {name}_{kind}(long long _n, {", ".join(parameters)}) {{
    FOR_EACH(_i, _n) {{
        {" ".join(elements)}
        {source.body.strip()};
    }}
}}
#undef T
"""


if __name__ == "__main__":
    print(translation_unit())
