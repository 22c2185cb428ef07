"""Kernels for a CUDA device (CuPy). Arrays are on the device, and nothing in an update waits for it.

The files of the algorithms are the same: NumPy's functions pass CuPy's arrays on to CuPy. The overrides replace functions that
would launch many small kernels, since each launch costs about as much time as one layer of these networks takes to compute.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import cupy

from kernels.backend import Backend, BackendError
from kernels.cuda_source import KERNELS

# -- networks: one product and one fused kernel for each layer and direction -------------------------------------------


def linear(x, W, b, activation):
    y = products(x, W, cupy.empty((*W.shape[:-2], x.shape[-2], W.shape[-1]), W.dtype))
    ADD_BIAS[activation](b[..., None, :], y)
    return y


def linear_backward(dy, x, y, W, activation, dW, db, input_gradient=True):
    dz = dy if activation == "identity" else THROUGH_ACTIVATION[activation](dy, y)
    if dW is not None:
        products(x.swapaxes(-1, -2), dz, dW)
        cupy.sum(dz, axis=-2, out=db)
    if not input_gradient:
        return None
    return products(dz, W.swapaxes(-1, -2), cupy.empty((*dz.shape[:-1], W.shape[-2]), W.dtype))


def products(x, W, out):
    """out ← x @ W, member by member: CuPy copies transposed operands of a batched product, and not those of a plain one."""
    if out.ndim == 2:
        return cupy.matmul(x, W, out=out)
    for k in range(len(out)):
        products(x[k] if x.ndim == out.ndim else x, W[k] if W.ndim == out.ndim else W, out[k])
    return out


# -- fused kernels: one element's arithmetic is in cuda_source.py ----------------------------------------------------------------


def fused(name):
    """A kernel of CuPy's. It takes inputs, numbers and outputs of one dtype, or makes the outputs if it does not read them."""
    inputs, numbers, outputs, body = KERNELS[name]
    return cupy.ElementwiseKernel(parameters(inputs + " " + numbers), parameters(outputs), body, name)


def parameters(names):
    return ", ".join(f"T {name}" for name in names.split())


ADD_BIAS = {activation: fused(f"add_bias_{activation}") for activation in ("identity", "relu", "tanh")}
THROUGH_ACTIVATION = {activation: fused(f"through_{activation}") for activation in ("relu", "tanh")}
ADAM, RMSPROP, POLYAK = fused("adam"), fused("rmsprop"), fused("polyak")
TANH_GAUSSIAN, TANH_GAUSSIAN_BACKWARD = fused("tanh_gaussian"), fused("tanh_gaussian_backward")


# -- one pass over memory ------------------------------------------------------------------------------------------------


def adam(p, g, m, v, lr, beta1, beta2, eps, t):
    ADAM(g, lr / (1 - beta1**t), beta1, beta2, eps, 1 / math.sqrt(1 - beta2**t), p, m, v)


def rmsprop(p, g, v, lr, decay, eps):
    RMSPROP(g, lr, decay, eps, p, v)


def polyak(target, online, tau):
    POLYAK(online, tau, target)


def tanh_gaussian(mu, log_std, eps):
    a, u, logp = TANH_GAUSSIAN(mu, log_std, eps)
    return a, logp.sum(axis=-1), u


def tanh_gaussian_backward(a, log_std, eps, da, dlogp):
    return TANH_GAUSSIAN_BACKWARD(a, log_std, eps, da, dlogp[..., None])


# -- the backend -----------------------------------------------------------------------------------------------------------


class CupyBackend(Backend):
    """The arithmetic of the project on a CUDA device. Raises BackendError where there is none."""

    name = "cupy"
    device = "cuda"
    overrides: ClassVar[Mapping[str, Callable[..., Any]]] = {function.__name__: function for function in (
        linear, linear_backward, adam, rmsprop, polyak, tanh_gaussian, tanh_gaussian_backward)}

    def __init__(self):
        try:
            cupy.cuda.runtime.getDeviceCount()
        except cupy.cuda.runtime.CUDARuntimeError as error:
            raise BackendError(f"backend cupy cannot run here: {error}") from None

    def zeros(self, shape, dtype):
        return cupy.zeros(shape, dtype)

    def asarray(self, x, dtype=None):
        return cupy.asarray(x, dtype)

    def to_numpy(self, x):
        return cupy.asnumpy(x)

    def wait(self):
        cupy.cuda.get_current_stream().synchronize()

    def memory(self):
        return cupy.cuda.runtime.memGetInfo()[0]                            # free, total
