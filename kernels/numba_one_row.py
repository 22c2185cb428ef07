"""The one-step actor-critic on one row: a forward pass, and a backward pass that moves the parameters as it goes.

With a single row the gradient of a layer's weights is an outer product. It goes straight into the trace and the parameters, in
place of a pass over memory that writes it and another one that reads it. The sums are those of numba_networks and of
`one_step_actor_critic`, in the same order.
"""

import numpy as np

from kernels.numba_jit import jit
from kernels.numba_networks import IDENTITY, RELU, TANH, tanh, through_activation


@jit
def forward_row(flat, sizes, code, x, y):
    """Outputs of all layers, one after another, to y, for one row x (I,); the last layer has no activation."""
    start, out, last = 0, 0, len(sizes) - 2
    given = x
    for layer in range(last + 1):
        I, H = sizes[layer], sizes[layer + 1]
        z = y[out : out + H]
        if H == 1:
            np.dot(given.reshape(1, I), flat[start : start + I], z)
            z[0] += flat[start + I]
        else:
            _outputs(flat, np.uint64(start), np.uint64(I), np.uint64(H), given, z)
        _activate(z, code if layer < last else IDENTITY)
        given = z
        start += (I + 1) * H
        out += H


@jit
def _outputs(flat, start, I, H, x, z):
    """z (H,) ← x W + b. The numbers of rows and columns have no sign: Numba then knows that no index is negative."""
    b = start + I * H
    if H < 8:
        for h in range(H):
            total = flat[b + h]
            for k in range(I):
                total += x[k] * flat[start + k * H + h]
            z[h] = total
    else:
        for h in range(H):
            z[h] = flat[b + h]
        for k in range(I):
            factor, row = x[k], start + k * H
            for h in range(H):
                z[h] += factor * flat[row + h]


@jit
def _activate(z, code):
    if code == RELU:
        zero = z.dtype.type(0)
        for h in range(z.size):
            z[h] = zero if z[h] < 0 else z[h]
    elif code == TANH:
        tanh(z)


@jit
def step_row(flat, trace, sizes, code, x, y, dy, rates, delta, done):
    """z ← γλ z + weight · ∇(dy · output), p ← p + η δ z, and z ← 0 if done, for outputs y of `forward_row` at x.

    flat, trace     parameters p and trace z, (P,)
    rates           (γλ, weight, η), `TraceStep` of numba_updates
    """
    T = flat.dtype.type
    decay, weight, lr = rates
    factors = T(decay), T(weight), T(lr * delta), T(0 if done else 1)
    start, out = flat.size, y.size
    dz = dy
    for layer in range(len(sizes) - 2, -1, -1):
        I, H = sizes[layer], sizes[layer + 1]
        start -= (I + 1) * H
        out -= H
        below = out - I
        given = y[below : out] if layer > 0 else x
        d = np.empty(I if layer > 0 else 0, flat.dtype)
        if layer > 0:                                       # before the weights move
            if H == 1:
                W, factor = flat[start : start + I], dz[0]
                for k in range(I):
                    d[k] = factor * W[k]
            else:
                np.dot(flat[start : start + I * H].reshape(I, H), dz, d)
        _move(flat, trace, np.uint64(start), np.uint64(I), np.uint64(H), given, dz, factors)
        if layer > 0:
            through_activation(d, given, code)
            dz = d


@jit
def _move(p, z, start, I, H, x, dz, factors):
    """One layer: the gradient of W is x dz, that of b is dz."""
    decay, weight, step, keep = factors
    b = start + I * H
    if H < 8:                                               # the long loop inside
        for h in range(H):
            d = dz[h]
            for k in range(I):
                i = start + k * H + h
                moved = decay * z[i] + weight * (x[k] * d)
                p[i] += step * moved
                z[i] = keep * moved
    else:
        for k in range(I):
            factor, row = x[k], start + k * H
            for h in range(H):
                i = row + h
                moved = decay * z[i] + weight * (factor * dz[h])
                p[i] += step * moved
                z[i] = keep * moved
    for h in range(H):
        i = b + h
        moved = decay * z[i] + weight * dz[h]
        p[i] += step * moved
        z[i] = keep * moved


@jit
def draw(logits, u, log_pi):
    """The action of `act` for one row of logits (n,) and u; log π (n,) goes to log_pi. Returns (action, entropy)."""
    n = logits.size
    top, total = logits[0], logits.dtype.type(0)
    for j in range(1, n):
        top = max(top, logits[j])
    for j in range(n):
        total += np.exp(logits[j] - top)
    action, cdf = 0, logits.dtype.type(0)
    for j in range(n - 1):
        cdf += np.exp(logits[j] - top)
        action += u * total >= cdf
    log_total, entropy = top + np.log(total), logits.dtype.type(0)
    for j in range(n):
        log_pi[j] = logits[j] - log_total
        entropy -= np.exp(log_pi[j]) * log_pi[j]
    return action, entropy
