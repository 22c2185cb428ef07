"""Whole networks in one compiled call: a stack's members, or pieces of a batch, on several cores.

A vector holds a stack layer by layer, as nn.Parameters lays it out: [W1 (K, I, H) | b1 (K, H) | W2 …], so that each member's W is
contiguous, which np.dot insists on. Products run in BLAS, or in plain loops where they are too small for its calls.

One file, long as it is: Numba's cache on disk does not notice a change in a function of another file.
"""

import os
from functools import lru_cache, partial
from itertools import pairwise

# A thread that waits for the other one spins; for as long as GNU OpenMP has it by default, a busy machine makes a quarter of the
# updates (5.6 instead of 24.7 SAC updates/s with three other processes on two cores), and a quiet one no more. Read at loading.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

import numpy as np
import scipy.linalg.cython_blas  # noqa: F401  np.dot in compiled code is SciPy's BLAS; loaded before its threads are limited
from numba import get_num_threads, njit, prange

# error_model: Python's check for division by zero would keep a loop from being vectorised. fastmath: sums may be reordered, but NaN
# and infinity stay, which training looks for.
jit = partial(njit, cache=True, nogil=True, error_model="numpy", fastmath={"contract", "reassoc", "nsz", "arcp"})

IDENTITY, RELU, TANH = 0, 1, 2
CODES = {"identity": IDENTITY, "relu": RELU, "tanh": TANH}
BLAS_WORK = 16_000                  # below that many multiply-adds a plain loop beats the call of a BLAS routine
PARALLEL_WORK = 2_000_000           # multiply-adds from which a second thread pays for being woken


def forward(mlp, params, x, member):
    """Outputs (…, B, H) and the cache, x and what all layers gave; or None for mixed types, which the reference takes."""
    flat, sizes = params.flat, int_array(mlp.sizes)
    K, first, n = _members(mlp, member)
    if x.dtype != flat.dtype or x.ndim > 3 or len(mlp.stack) > 1:
        return None
    own = np.ascontiguousarray(x).reshape(-1, *x.shape[-2:])            # (1 or n, B, I)
    B = own.shape[1]
    y = np.empty(n * B * int(sizes[1:].sum()), flat.dtype)              # what all layers give, one after another
    run, chunks = _plan(n, B, mlp.sizes)
    run[0](flat, sizes, K, first, n, CODES[mlp.activation], own, y, chunks)
    out = y[n * B * int(sizes[1:-1].sum()):].reshape(n, B, mlp.sizes[-1])
    return out if mlp.stack and member is None else out[0], (own, y)


def backward(mlp, params, cache, dy, grads, input_gradient, member):
    """Fill `grads` unless None, and return ∂L/∂x, or None unless `input_gradient`."""
    flat, sizes = params.flat, int_array(mlp.sizes)
    K, first, n = _members(mlp, member)
    x, y = cache
    B = x.shape[1]
    dy = np.ascontiguousarray(dy, flat.dtype).reshape(n, B, mlp.sizes[-1])
    run, chunks = _plan(n, B, mlp.sizes)
    dx = np.empty((n, B, mlp.sizes[0]) if input_gradient else (n, 0, 0), flat.dtype)
    if grads is None:
        run[2](flat, sizes, K, first, n, CODES[mlp.activation], x, y, dy, dx, chunks)
    else:
        parts = np.zeros((chunks, grads.flat.size if chunks > 1 else 0), flat.dtype)
        run[1](flat, grads.flat, parts, sizes, K, first, n, CODES[mlp.activation], x, y, dy, dx, chunks)
    if not input_gradient:
        return None
    return dx if mlp.stack and member is None else dx[0]


@lru_cache(maxsize=64)
def int_array(sizes):
    return np.array(sizes, np.int64)


def _members(mlp, member):
    """(networks in the stack, the first one wanted, how many are wanted)."""
    K = mlp.stack[0] if mlp.stack else 1
    return (K, 0, K) if member is None else (K, member, 1)


@lru_cache(maxsize=256)
def _plan(n, B, sizes):
    """Which functions to run, serial or parallel, and into how many chunks the rows of a network are cut."""
    work = n * B * sum(a * b for a, b in pairwise(sizes))
    threads = get_num_threads()
    if threads == 1 or work < PARALLEL_WORK:
        return (_forward, _backward, _input_gradient), 1
    return (_forward_parallel, _backward_parallel, _input_gradient_parallel), max(1, min(threads // n, B // 64))


# -- one dense layer, for one thread -------------------------------------------------------------------------------------


@jit
def _is_small(a, b, columns):
    """Whether a plain loop beats a BLAS routine: few multiply-adds, in rows long enough for vector registers, or next to none."""
    work = a * b * columns
    return work < BLAS_WORK and (columns >= 8 or work < 1_000)


@jit
def linear(x, W, b, code, y):
    """y ← f(x W + b)."""
    rows, I = x.shape
    H = W.shape[1]
    if H == 1:
        for i in range(rows):
            total = b[0]
            for k in range(I):
                total += x[i, k] * W[k, 0]
            y[i, 0] = total
    elif _is_small(rows, I, H):
        for i in range(rows):
            for h in range(H):
                y[i, h] = b[h]
            for k in range(I):
                for h in range(H):                      # innermost over contiguous columns: vectorised
                    y[i, h] += x[i, k] * W[k, h]
    else:
        np.dot(x, W, y)
        for i in range(rows):
            for h in range(H):
                y[i, h] += b[h]
    if code == RELU:
        zero = y.dtype.type(0)
        for i in range(rows):
            for h in range(H):
                y[i, h] = zero if y[i, h] < 0 else y[i, h]                  # NaN is not below 0, and goes on
    elif code == TANH:
        for i in range(rows):
            _tanh(y[i])


@jit
def _tanh(z):
    """tanh in place; for float32 a rational function on [−8, 8] (with Eigen's coefficients), a few units in the last place off."""
    if z.itemsize == 4:
        for i in range(z.size):
            x = min(max(z[i], np.float32(-7.99881172180175781)), np.float32(7.99881172180175781))
            s = x * x
            p = s * np.float32(-2.76076847742355e-16) + np.float32(2.00018790482477e-13)
            p = s * p + np.float32(-8.60467152213735e-11)
            p = s * p + np.float32(5.12229709037114e-08)
            p = s * p + np.float32(1.48572235717979e-05)
            p = s * p + np.float32(6.37261928875436e-04)
            p = s * p + np.float32(4.89352455891786e-03)
            q = s * np.float32(1.19825839466702e-06) + np.float32(1.18534705686654e-04)
            q = s * q + np.float32(2.26843463243900e-03)
            q = s * q + np.float32(4.89352518554385e-03)
            z[i] = x * p / q if z[i] == z[i] else z[i]
    else:
        for i in range(z.size):
            z[i] = np.tanh(z[i])


@jit
def input_times(x, dz, dW):
    """dW ← xᵀ dz."""
    rows, I = x.shape
    H = dz.shape[1]
    if _is_small(rows, I, H):
        for k in range(I):
            for h in range(H):
                dW[k, h] = 0
        for i in range(rows):
            for k in range(I):
                for h in range(H):
                    dW[k, h] += x[i, k] * dz[i, h]
    else:
        np.dot(x.T, dz, dW)


@jit
def times_weights(dz, W, dx):
    """dx ← dz Wᵀ."""
    rows, H = dz.shape
    I = W.shape[0]
    if H == 1:                                          # a single output: no product to speak of
        for i in range(rows):
            for k in range(I):
                dx[i, k] = dz[i, 0] * W[k, 0]
    elif _is_small(rows, H, I):
        for i in range(rows):
            for k in range(I):
                total = dz[i, 0] * W[k, 0]
                for h in range(1, H):
                    total += dz[i, h] * W[k, h]
                dx[i, k] = total
    else:
        np.dot(dz, W.T, dx)


@jit
def through_activation(dy, y, code):
    """One row: dy ← dy f′, with f′ from y = f(z): 1 − y² for tanh, [y > 0] for ReLU."""
    if code == TANH:
        for i in range(y.size):
            dy[i] -= dy[i] * y[i] * y[i]
    elif code == RELU:
        zero = y.dtype.type(0)
        for i in range(y.size):
            dy[i] = dy[i] if y[i] > 0 else zero


# -- some rows of one member through the whole network --------------------------------------------------------------------
#
# `y` holds what every layer gives: layer 1 (n, B, H1), then layer 2 …; j is the member's place among the n wanted ones.


@jit
def _weights(vector, sizes, K, k, layer):
    """W (I, H) and b (H,) of one member, as views into a vector of parameters or gradients."""
    start = 0
    for i in range(layer):
        start += K * (sizes[i] + 1) * sizes[i + 1]
    I, H = sizes[layer], sizes[layer + 1]
    W = vector[start + k * I * H : start + (k + 1) * I * H].reshape(I, H)
    start += K * I * H
    return W, vector[start + k * H : start + (k + 1) * H]


@jit
def _given_by(y, sizes, n, j, B, layer):
    """What the layer gave to one member's rows (B, H), as a view into y."""
    start = 0
    for i in range(1, layer + 1):
        start += n * B * sizes[i]
    H = sizes[layer + 1]
    return y[start + j * B * H : start + (j + 1) * B * H].reshape(B, H)


@jit
def forward_rows(flat, sizes, K, k, j, n, code, x, y, low, high):
    given, last = x[low:high], len(sizes) - 2
    for layer in range(last + 1):
        W, b = _weights(flat, sizes, K, k, layer)
        out = _given_by(y, sizes, n, j, len(x), layer)[low:high]
        linear(given, W, b, code if layer < last else IDENTITY, out)
        given = out


@jit
def backward_rows(flat, grad, sizes, K, k, j, n, code, x, y, dy, dx, low, high):
    """Gradients of these rows alone go to `grad`; ∂L/∂x to dx unless that is empty."""
    dz = dy[low:high]
    for layer in range(len(sizes) - 2, -1, -1):
        W, _ = _weights(flat, sizes, K, k, layer)
        dW, db = _weights(grad, sizes, K, k, layer)
        given = _given_by(y, sizes, n, j, len(x), layer - 1)[low:high] if layer > 0 else x[low:high]
        input_times(given, dz, dW)
        for h in range(db.size):
            db[h] = 0
        for i in range(len(dz)):
            for h in range(db.size):
                db[h] += dz[i, h]
        if layer > 0:
            d = np.empty(given.shape, flat.dtype)
            times_weights(dz, W, d)
            for i in range(len(d)):
                through_activation(d[i], given[i], code)
            dz = d
        elif dx.size > 0:
            times_weights(dz, W, dx[low:high])


@jit
def _input_gradient_rows(flat, sizes, K, k, j, n, code, x, y, dy, dx, low, high):
    """∂L/∂x alone. Rows whose dy is 0, such as those where the minimum chose another critic, are left out of every product."""
    kept = np.empty(high - low, np.int64)
    m = 0
    for i in range(low, high):
        counts = False
        for h in range(dy.shape[1]):
            counts |= dy[i, h] != 0
        if counts:
            kept[m] = i
            m += 1
        else:
            dx[i] = 0
    dz = np.empty((m, dy.shape[1]), flat.dtype)
    for i in range(m):
        dz[i] = dy[kept[i]]
    for layer in range(len(sizes) - 2, -1, -1):
        W, _ = _weights(flat, sizes, K, k, layer)
        d = np.empty((m, len(W)), flat.dtype)
        if m > 0:
            times_weights(dz, W, d)
        if layer > 0:
            given = _given_by(y, sizes, n, j, len(x), layer - 1)
            for i in range(m):
                through_activation(d[i], given[kept[i]], code)
        dz = d
    for i in range(m):
        dx[kept[i]] = dz[i]


# -- all members and rows: one after another, or on several threads ---------------------------------------------------------


@jit
def _forward(flat, sizes, K, first, n, code, x, y, chunks):
    for j in range(n):
        forward_rows(flat, sizes, K, first + j, j, n, code, x[j % len(x)], y, 0, x.shape[1])


@jit
def _backward(flat, grad, parts, sizes, K, first, n, code, x, y, dy, dx, chunks):
    for j in range(n):
        backward_rows(flat, grad, sizes, K, first + j, j, n, code, x[j % len(x)], y, dy[j], dx[j], 0, x.shape[1])


@jit
def _input_gradient(flat, sizes, K, first, n, code, x, y, dy, dx, chunks):
    for j in range(n):
        _input_gradient_rows(flat, sizes, K, first + j, j, n, code, x[j % len(x)], y, dy[j], dx[j], 0, x.shape[1])


@jit(parallel=True)
def _forward_parallel(flat, sizes, K, first, n, code, x, y, chunks):
    B = x.shape[1]
    for task in prange(n * chunks):
        j, c = task // chunks, task % chunks
        forward_rows(flat, sizes, K, first + j, j, n, code, x[j % len(x)], y, c * B // chunks, (c + 1) * B // chunks)


@jit(parallel=True)
def _backward_parallel(flat, grad, parts, sizes, K, first, n, code, x, y, dy, dx, chunks):
    B = x.shape[1]
    for task in prange(n * chunks):
        j, c = task // chunks, task % chunks
        into = grad if c == 0 else parts[c]
        backward_rows(flat, into, sizes, K, first + j, j, n, code, x[j % len(x)], y, dy[j], dx[j],
                       c * B // chunks, (c + 1) * B // chunks)
    for c in range(1, chunks):
        for i in range(grad.size):
            grad[i] += parts[c, i]


@jit(parallel=True)
def _input_gradient_parallel(flat, sizes, K, first, n, code, x, y, dy, dx, chunks):
    B = x.shape[1]
    for task in prange(n * chunks):
        j, c = task // chunks, task % chunks
        _input_gradient_rows(flat, sizes, K, first + j, j, n, code, x[j % len(x)], y, dy[j], dx[j],
                             c * B // chunks, (c + 1) * B // chunks)
