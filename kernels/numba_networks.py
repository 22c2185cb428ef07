"""Compiled loops over whole networks, with a stack's members or pieces of a batch on several cores.

A vector contains a stack layer by layer, as nn.Parameters lays it out: [W1 (K, I, H) | b1 (K, H) | W2 …], so that each member's W
is contiguous, which np.dot requires. Products run in BLAS, or in plain loops if they are too small for a BLAS call.
"""

import numpy as np
from numba import prange

from kernels.numba_jit import jit

IDENTITY, RELU, TANH = 0, 1, 2
CODES = {"identity": IDENTITY, "relu": RELU, "tanh": TANH}
BLAS_WORK = 16_000                  # below that many multiply-adds a plain loop beats the call of a BLAS routine


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
        np.dot(x, W.reshape(I), y.reshape(rows))
        for i in range(rows):
            y[i, 0] += b[0]
    elif H < 8 and _is_small(rows, I, H):                # few columns: sums in registers, in the same order
        for i in range(rows):
            for h in range(H):
                z = b[h]
                for k in range(I):
                    z += x[i, k] * W[k, h]
                y[i, h] = z
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
                y[i, h] = zero if y[i, h] < 0 else y[i, h]                  # NaN is not below 0, and is passed on
    elif code == TANH:
        tanh(y)


@jit
def _tanh_of_float32(z):
    """tanh(z) by a rational function on [−8, 8] (with Eigen's coefficients), a few units in the last place off."""
    x = min(max(z, np.float32(-7.99881172180175781)), np.float32(7.99881172180175781))
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
    return x * p / q if z == z else z


@jit
def tanh(z):
    """tanh in place, of any shape in contiguous memory."""
    z = z.reshape(z.size)
    if z.itemsize == 4:
        for i in range(z.size):
            z[i] = _tanh_of_float32(z[i])
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
    if H == 1:                                          # a single output needs no matrix product
        for i in range(rows):
            for k in range(I):
                dx[i, k] = dz[i, 0] * W[k, 0]
    elif rows <= 4 and _is_small(rows, H, I):
        for i in range(rows):
            np.dot(W, dz[i], dx[i])
    else:
        np.dot(dz, W.T, dx)


@jit
def through_activation(dy, y, code):
    """dy ← dy f′, with f′ from y = f(z): 1 − y² for tanh, [y > 0] for ReLU. Of any shape in contiguous memory."""
    dy, y = dy.reshape(dy.size), y.reshape(y.size)
    if code == TANH:
        for i in range(y.size):
            dy[i] -= dy[i] * y[i] * y[i]
    elif code == RELU:
        zero = y.dtype.type(0)
        for i in range(y.size):
            dy[i] = dy[i] if y[i] > 0 else zero


# -- some rows of one member through the whole network --------------------------------------------------------------------
#
# `y` contains the outputs of every layer: layer 1 (n, B, H1), then layer 2 …; j is the member's index among the n requested ones.


@jit
def weights_of(vector, sizes, K, k, layer):
    """W (I, H) and b (H,) of one member, as views into a vector of parameters or gradients."""
    start = 0
    for i in range(layer):
        start += K * (sizes[i] + 1) * sizes[i + 1]
    I, H = sizes[layer], sizes[layer + 1]
    W = vector[start + k * I * H : start + (k + 1) * I * H].reshape(I, H)
    start += K * I * H
    return W, vector[start + k * H : start + (k + 1) * H]


@jit
def output_of(y, sizes, n, j, B, layer):
    """The output of a layer for one member's rows, (B, H), as a view into y."""
    start = 0
    for i in range(1, layer + 1):
        start += n * B * sizes[i]
    H = sizes[layer + 1]
    return y[start + j * B * H : start + (j + 1) * B * H].reshape(B, H)


@jit
def size_of(sizes):
    """The parameters of one network's layers."""
    count = 0
    for i in range(len(sizes) - 1):
        count += (sizes[i] + 1) * sizes[i + 1]
    return count


@jit
def forward_rows(flat, sizes, K, k, j, n, code, x, y, low, high):
    given, last = x[low:high], len(sizes) - 2
    for layer in range(last + 1):
        W, b = weights_of(flat, sizes, K, k, layer)
        out = output_of(y, sizes, n, j, len(x), layer)[low:high]
        linear(given, W, b, code if layer < last else IDENTITY, out)
        given = out


@jit
def backward_rows(flat, grad, sizes, K, k, j, n, code, x, y, dy, dx, low, high):
    """Write the gradients of these rows alone to `grad`, and ∂L/∂x to dx unless that is empty."""
    dz = dy[low:high]
    for layer in range(len(sizes) - 2, -1, -1):
        W, _ = weights_of(flat, sizes, K, k, layer)
        dW, db = weights_of(grad, sizes, K, k, layer)
        given = output_of(y, sizes, n, j, len(x), layer - 1)[low:high] if layer > 0 else x[low:high]
        input_times(given, dz, dW)
        for h in range(db.size):
            db[h] = 0
        for i in range(len(dz)):
            for h in range(db.size):
                db[h] += dz[i, h]
        if layer > 0:
            d = np.empty(given.shape, flat.dtype)
            times_weights(dz, W, d)
            through_activation(d, given, code)
            dz = d
        elif dx.size > 0:
            times_weights(dz, W, dx[low:high])


@jit
def input_gradient_rows(flat, sizes, K, k, j, n, code, x, y, dy, dx, low, high, skip):
    """∂L/∂x alone, without the first `skip` inputs. Rows whose dy is 0, such as those where the minimum chose another critic, are
    left out of every product."""
    kept = np.empty(high - low, np.uint64)              # unsigned: an index that may be negative is slower
    m = 0
    for i in range(low, high):
        counts = False
        for h in range(dy.shape[1]):
            counts |= dy[i, h] != 0
        if counts:
            kept[m] = i
            m += 1
        else:
            dx[i].fill(0)
    dz = np.empty((m, dy.shape[1]), flat.dtype)
    for i in range(m):
        for h in range(dy.shape[1]):
            dz[i, h] = dy[kept[i], h]
    for layer in range(len(sizes) - 2, -1, -1):
        W, _ = weights_of(flat, sizes, K, k, layer)
        W = W[skip:] if layer == 0 else W
        d = np.empty((m, len(W)), flat.dtype)
        if m > 0:
            times_weights(dz, W, d)
        if layer > 0:
            given = output_of(y, sizes, n, j, len(x), layer - 1)
            if m < high - low:
                chosen = np.empty(d.shape, flat.dtype)
                for i in range(m):
                    for h in range(d.shape[1]):
                        chosen[i, h] = given[kept[i], h]
                through_activation(d, chosen, code)
            else:
                through_activation(d, given[low:high], code)
        dz = d
    for i in range(m):
        for h in range(dx.shape[1]):
            dx[kept[i], h] = dz[i, h]


# -- all members and rows: one after another, or on several threads ---------------------------------------------------------


@jit
def forward(flat, sizes, K, first, n, code, x, y, chunks):
    for j in range(n):
        forward_rows(flat, sizes, K, first + j, j, n, code, x[j % len(x)], y, 0, x.shape[1])


@jit
def backward(flat, grad, parts, sizes, K, first, n, code, x, y, dy, dx, chunks):
    for j in range(n):
        backward_rows(flat, grad, sizes, K, first + j, j, n, code, x[j % len(x)], y, dy[j], dx[j], 0, x.shape[1])


@jit
def input_gradient(flat, sizes, K, first, n, code, x, y, dy, dx, chunks):
    for j in range(n):
        input_gradient_rows(flat, sizes, K, first + j, j, n, code, x[j % len(x)], y, dy[j], dx[j], 0, x.shape[1], 0)


@jit(parallel=True)
def forward_parallel(flat, sizes, K, first, n, code, x, y, chunks):
    B = x.shape[1]
    for task in prange(n * chunks):
        j, c = task // chunks, task % chunks
        forward_rows(flat, sizes, K, first + j, j, n, code, x[j % len(x)], y, c * B // chunks, (c + 1) * B // chunks)


@jit(parallel=True)
def backward_parallel(flat, grad, parts, sizes, K, first, n, code, x, y, dy, dx, chunks):
    B = x.shape[1]
    for task in prange(n * chunks):
        j, c = task // chunks, task % chunks
        into = grad if c == 0 else parts[c - 1]
        backward_rows(flat, into, sizes, K, first + j, j, n, code, x[j % len(x)], y, dy[j], dx[j],
                       c * B // chunks, (c + 1) * B // chunks)
    for part in parts:
        for i in range(grad.size):
            grad[i] += part[i]


@jit(parallel=True)
def input_gradient_parallel(flat, sizes, K, first, n, code, x, y, dy, dx, chunks):
    B = x.shape[1]
    for task in prange(n * chunks):
        j, c = task // chunks, task % chunks
        input_gradient_rows(flat, sizes, K, first + j, j, n, code, x[j % len(x)], y, dy[j], dx[j],
                             c * B // chunks, (c + 1) * B // chunks, 0)
