"""Compiled kernels for a CPU (Numba). They override the functions that `scratchac bench` shows to matter, and agree with them.

They are fast because a whole network (numba_networks) or a whole update is one call, and because an optimiser step is one pass over
memory, where NumPy makes a dozen. Arguments, results and equations are in the references' docstrings.
"""

import math
from collections.abc import Callable, Mapping
from functools import lru_cache
from itertools import pairwise
from typing import Any, ClassVar, Protocol

import numpy as np
from numba import get_num_threads

from kernels import (
    numba_discrete_soft,
    numba_networks,
    numba_off_policy_rollouts,
    numba_off_policy_updates,
    numba_optimisers,
    numba_ppo,
    numba_rollouts,
    numba_updates,
)
from kernels.backend import Backend, Update
from kernels.numba_jit import jit
from kernels.numba_networks import CODES
from kernels.registry import REFERENCES

PARALLEL_WORK = 2_000_000           # multiply-adds from which a second thread saves more time than waking it costs
NUMPY_SIZE = 600                    # elements from which NumPy's vectorised exp and tanh beat a compiled loop over libm's


class MLP(Protocol):
    """The attributes of scratchac.nn.MLP that are read."""

    @property
    def sizes(self) -> tuple[int, ...]: ...
    @property
    def activation(self) -> str: ...
    @property
    def stack(self) -> tuple[int, ...]: ...


class Parameters(Protocol):
    """The attribute of scratchac.nn.Parameters that is read."""

    flat: np.ndarray


# -- networks ----------------------------------------------------------------------------------------------------------


def mlp_forward(mlp: MLP, params: Parameters, x: np.ndarray, member: int | None = None) -> Any:
    """As the reference, but the cache is x (1 or n, B, I) and the outputs of all layers, one after another."""
    flat = params.flat
    sizes, least = _sizes(mlp.sizes, mlp.stack)
    lead = mlp.stack if member is None else ()
    # Mixed types, stacks of stacks, further leading axes and wrong shapes are left to the reference, with its errors.
    if (x.dtype != flat.dtype or x.shape[-1] != mlp.sizes[0] or flat.size < least or len(mlp.stack) > 1
            or not (x.ndim == 2 or x.shape[:-2] == lead)):
        return NotImplemented
    K, first, n = _members(mlp, member)
    own = np.ascontiguousarray(x).reshape(-1, *x.shape[-2:])
    B = own.shape[1]
    y = np.empty(n * B * int(sizes[1:].sum()), flat.dtype)
    (forward, _, _), chunks = _plan(n, B, mlp.sizes)
    forward(flat, sizes, K, first, n, CODES[mlp.activation], own, y, chunks)
    out = y[n * B * int(sizes[1:-1].sum()):].reshape(n, B, mlp.sizes[-1])
    return out if mlp.stack and member is None else out[0], (own, y)


def mlp_backward(mlp: MLP, params: Parameters, cache: Any, dy: np.ndarray, grads: Parameters | None, input_gradient: bool = False,
                 member: int | None = None) -> Any:
    if isinstance(cache, list):                                             # the forward pass was the reference's
        return NotImplemented
    flat, (x, y) = params.flat, cache
    sizes, _ = _sizes(mlp.sizes, mlp.stack)
    if grads is not None and grads.flat.size != flat.size:
        raise ValueError(f"{grads.flat.size} gradients for {flat.size} parameters")
    K, first, n = _members(mlp, member)
    B = x.shape[1]
    dy = np.ascontiguousarray(dy, flat.dtype).reshape(n, B, mlp.sizes[-1])
    (_, backward, input_gradient_alone), chunks = _plan(n, B, mlp.sizes)
    dx = np.empty((n, B, mlp.sizes[0]) if input_gradient else (n, 0, 0), flat.dtype)
    network = sizes, K, first, n, CODES[mlp.activation], x, y, dy, dx, chunks
    if grads is None:
        input_gradient_alone(flat, *network)
    else:
        # Zeros, since the gradients of members that were not requested must not change.
        parts = np.zeros((chunks - 1, grads.flat.size), flat.dtype)
        backward(flat, grads.flat, parts, *network)
    if not input_gradient:
        return None
    return dx if mlp.stack and member is None else dx[0]


@lru_cache(maxsize=64)
def _sizes(sizes: tuple[int, ...], stack: tuple[int, ...]) -> tuple[np.ndarray, int]:
    """The sizes as an array, and how many parameters the layers of a stack have."""
    count = sum((rows + 1) * cols for rows, cols in pairwise(sizes))
    return np.array(sizes, np.int64), count * math.prod(stack)


def _members(mlp: MLP, member: int | None) -> tuple[int, int, int]:
    """(networks in the stack, the first one wanted, how many are wanted)."""
    K = mlp.stack[0] if mlp.stack else 1
    return (K, 0, K) if member is None else (K, member, 1)


@lru_cache(maxsize=256)
def _plan(n: int, B: int, sizes: tuple[int, ...]) -> tuple[tuple[Callable[..., None], ...], int]:
    """Which functions to run, serial or parallel, and into how many chunks the rows of a network are cut."""
    work = n * B * sum(a * b for a, b in pairwise(sizes))
    threads = get_num_threads()
    if threads == 1 or work < PARALLEL_WORK:
        return (numba_networks.forward, numba_networks.backward, numba_networks.input_gradient), 1
    parallel = numba_networks.forward_parallel, numba_networks.backward_parallel, numba_networks.input_gradient_parallel
    return parallel, max(1, min(threads // n, B // 64))


# -- convolution: everything except its matrix products -----------------------------------------------------------------


def conv2d(x: np.ndarray, W: np.ndarray, b: np.ndarray, stride: int) -> Any:
    if not (x.dtype == W.dtype == b.dtype and b.shape == W.shape[-1:]):
        return NotImplemented
    windows = REFERENCES["scratchac.conv.windows_of"](x, len(W), stride)
    rows = windows.reshape(-1, windows.shape[-1]) @ W.reshape(-1, len(b))
    _add_bias_relu(rows, b)
    return rows.reshape(*windows.shape[:3], len(b)), windows


def conv2d_backward(dy: np.ndarray, shape: tuple[int, ...], windows: np.ndarray, y: np.ndarray, W: np.ndarray, stride: int,
                    dW: np.ndarray, db: np.ndarray, input_gradient: bool = True) -> np.ndarray | None:
    F = len(db)
    dz = np.empty((y.size // F, F), y.dtype)
    _through_relu(np.ascontiguousarray(dy, y.dtype).reshape(-1, F), y.reshape(-1, F), dz, db)
    np.matmul(windows.reshape(len(dz), -1).T, dz, out=dW.reshape(-1, F))
    return add_windows(dz @ W.reshape(-1, F).T, shape, W, stride) if input_gradient else None


def add_windows(windows: np.ndarray, shape: tuple[int, ...], W: np.ndarray, stride: int) -> np.ndarray:
    x, k = np.zeros(shape, windows.dtype), len(W)
    height, width = ((n - k) // stride + 1 for n in shape[1:3])
    _add_windows(windows.reshape(len(x), height, width, -1), k, stride, shape[-1], x.reshape(*shape[:2], -1))
    return x


@jit
def _add_bias_relu(y, b):
    zero = y.dtype.type(0)
    for i in range(len(y)):
        for f in range(b.size):
            z = y[i, f] + b[f]
            y[i, f] = zero if z < 0 else z                  # NaN is not below 0, and is passed on


@jit
def _through_relu(dy, y, dz, db):
    zero = y.dtype.type(0)
    for f in range(db.size):
        db[f] = 0
    for i in range(len(y)):
        for f in range(db.size):
            dz[i, f] = dy[i, f] if y[i, f] > 0 else zero
            db[f] += dz[i, f]


@jit
def _add_windows(windows, k, stride, C, x):
    """x (B, H, W·C): a window's row of k pixels with all their channels is contiguous in both arrays."""
    B, height, width, _ = windows.shape
    for n in range(B):
        for i in range(height):
            for p in range(k):
                into = x[n, i * stride + p]
                for j in range(width):
                    window = windows[n, i, j]
                    for q in range(k * C):
                        into[j * stride * C + q] += window[p * k * C + q]


# -- categorical distribution, returns ----------------------------------------------------------------------------------------


def log_softmax(logits: np.ndarray) -> Any:
    if logits.ndim != 2 or logits.dtype.kind != "f" or logits.size == 0:
        return NotImplemented
    return _log_softmax(np.ascontiguousarray(logits))


def categorical_sample(logits: np.ndarray, u: np.ndarray) -> Any:
    if logits.ndim != 2 or logits.dtype.kind != "f" or u.shape != logits.shape[:1] or logits.size == 0:
        return NotImplemented
    return _categorical_sample(np.ascontiguousarray(logits), u)


def reverse_scan(x: np.ndarray, decay: np.ndarray) -> Any:
    if x.ndim != 2 or x.dtype.kind != "f" or x.shape != np.shape(decay) or x.size == 0:
        return NotImplemented
    return _reverse_scan(np.ascontiguousarray(x), np.ascontiguousarray(decay, x.dtype))


@jit
def _log_softmax(logits):
    out = np.empty_like(logits)
    for i in range(len(logits)):
        top = logits[i].max()
        total = logits.dtype.type(0)
        for j in range(logits.shape[1]):
            out[i, j] = logits[i, j] - top
            total += np.exp(out[i, j])
        log_total = np.log(total)
        for j in range(logits.shape[1]):
            out[i, j] -= log_total
    return out


@jit
def _categorical_sample(logits, u):
    B, n = logits.shape
    out = np.zeros(B, np.int64)
    cdf = np.empty(n, logits.dtype)
    for i in range(B):
        top = logits[i].max()
        total = logits.dtype.type(0)
        for j in range(n):
            total += np.exp(logits[i, j] - top)
            cdf[j] = total
        for j in range(n - 1):
            out[i] += u[i] * total >= cdf[j]
    return out


@jit
def _reverse_scan(x, decay):
    y = np.empty_like(x)
    for i in range(x.shape[1]):
        y[-1, i] = x[-1, i]
    for t in range(len(x) - 2, -1, -1):
        for i in range(x.shape[1]):
            y[t, i] = x[t, i] + decay[t, i] * y[t + 1, i]
    return y


# -- optimisers: one pass ---------------------------------------------------------------------------------------------------


def adam(p: np.ndarray, g: np.ndarray, m: np.ndarray, v: np.ndarray, lr: float, beta1: float, beta2: float, eps: float,
         t: int) -> Any:
    if not _vectors(p, g, m, v):
        return NotImplemented
    lr, scale = lr / (1 - beta1**t), 1 / (1 - beta2**t) ** 0.5
    return numba_optimisers.adam(p, g, m, v, lr, beta1, beta2, eps, scale)


def rmsprop(p: np.ndarray, g: np.ndarray, v: np.ndarray, lr: float, decay: float, eps: float) -> Any:
    return numba_optimisers.rmsprop(p, g, v, lr, decay, eps) if _vectors(p, g, v) else NotImplemented


def polyak(target: np.ndarray, online: np.ndarray, tau: float) -> Any:
    return numba_optimisers.polyak(target, online, tau) if _vectors(target, online) else NotImplemented


def _vectors(*arrays: np.ndarray) -> bool:
    """Whether these are vectors of one length and one type of floating-point numbers, as the loops below take them."""
    first = arrays[0]
    shape, dtype = first.shape, first.dtype
    return len(shape) == 1 and dtype.kind == "f" and all(x.shape == shape and x.dtype is dtype for x in arrays[1:])


# -- tanh-squashed Gaussian --------------------------------------------------------------------------------------------------


def tanh_gaussian(mu: np.ndarray, log_std: np.ndarray, eps: np.ndarray) -> Any:
    same = mu.shape == np.shape(log_std) == np.shape(eps) and mu.dtype == log_std.dtype == eps.dtype
    return _tanh_gaussian(mu, log_std, eps) if same and mu.ndim == 2 and mu.size <= NUMPY_SIZE else NotImplemented


def tanh_gaussian_backward(a: np.ndarray, log_std: np.ndarray, eps: np.ndarray, da: np.ndarray, dlogp: np.ndarray) -> Any:
    same = a.shape == np.shape(log_std) == np.shape(eps) == np.shape(da) and np.shape(dlogp) == a.shape[:1]
    return _tanh_gaussian_backward(a, log_std, eps, da, dlogp) if same and a.ndim == 2 else NotImplemented


@jit
def _tanh_gaussian(mu, log_std, eps):
    T = mu.dtype.type
    B, A = mu.shape
    a, u, logp = np.empty((B, A), mu.dtype), np.empty((B, A), mu.dtype), np.empty(B, mu.dtype)
    half_log_2pi, log_2 = T(0.9189385332046727), T(0.6931471805599453)
    for i in range(B):
        total = T(0)
        for j in range(A):
            x = mu[i, j] + np.exp(log_std[i, j]) * eps[i, j]
            softplus = max(T(-2) * x, T(0)) + np.log1p(np.exp(T(-2) * abs(x)))
            total += T(-0.5) * eps[i, j] * eps[i, j] - log_std[i, j] - half_log_2pi - T(2) * (log_2 - x - softplus)
            u[i, j] = x
            a[i, j] = np.tanh(x)
        logp[i] = total
    return a, logp, u


@jit
def _tanh_gaussian_backward(a, log_std, eps, da, dlogp):
    T = a.dtype.type
    B, A = a.shape
    dmu, dlog_std = np.empty((B, A), a.dtype), np.empty((B, A), a.dtype)
    for i in range(B):
        for j in range(A):
            d = da[i, j] * (T(1) - a[i, j] * a[i, j]) + dlogp[i] * T(2) * a[i, j]
            dmu[i, j] = d
            dlog_std[i, j] = d * np.exp(log_std[i, j]) * eps[i, j] - dlogp[i]
    return dmu, dlog_std


# -- the backend ---------------------------------------------------------------------------------------------------------


class NumbaBackend(Backend):
    """The arithmetic of the project, compiled on first use and cached on disk."""

    name = "numba"
    overrides: ClassVar[Mapping[str, Callable[..., Any]]] = {function.__name__: function for function in (
        mlp_forward, mlp_backward, conv2d, conv2d_backward, add_windows, log_softmax, categorical_sample, reverse_scan,
        adam, rmsprop, polyak, tanh_gaussian, tanh_gaussian_backward)}
    updates: ClassVar[Mapping[str, Update]] = (
        numba_updates.UPDATES | numba_rollouts.UPDATES | numba_ppo.UPDATES | numba_off_policy_updates.UPDATES
        | numba_discrete_soft.UPDATES | numba_off_policy_rollouts.UPDATES)
