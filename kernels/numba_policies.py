"""One row of the policies whose updates are compiled: an action, log π(a), the entropy, and the gradients of both.

Actions (B,) are those of a categorical policy, actions (B, A) those of a Gaussian one. The compiler knows how many axes there are
and leaves the other branch out. A Gaussian's log σ are the last A of the actor's parameters, its `constants`; where there are none,
they are the first A of its outputs.
"""

import math

import numpy as np

from kernels.numba_jit import jit

HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


@jit
def log_std(constants, y, i, k):
    """log σ of feature k at row i of the outputs y."""
    return constants[k] if constants.size > 0 else y[i, k]


@jit
def draw_actions(y, constants, noise, actions):
    """Fill `actions` from outputs y (B, outputs).

    Categorical, noise u (B,): the action whose interval of the cumulative probability contains u.
    Gaussian, noise ε (B, A): μ + σ ε.
    """
    n = y.shape[1]
    if actions.ndim == 1:
        cdf = np.empty(n, y.dtype)
        for i in range(len(y)):
            top, total = y[i, 0], y.dtype.type(0)
            for j in range(1, n):
                top = max(top, y[i, j])
            for j in range(n):
                total += np.exp(y[i, j] - top)
                cdf[j] = total
            actions[i] = 0
            for j in range(n - 1):
                actions[i] += noise[i] * total >= cdf[j]
    else:
        A = actions.shape[1]
        for i in range(len(y)):
            for k in range(A):
                actions[i, k] = y[i, n - A + k] + np.exp(log_std(constants, y, i, k)) * y.dtype.type(noise[i, k])


@jit
def evaluate(y, constants, a, i, row):
    """log π(a) and the entropy at row i of the outputs y; `row` (2, outputs) is filled with what `backward` needs.

    Categorical: log π and π. Gaussian: z = (a − μ)/σ and 1/σ.
    """
    T, n = y.dtype.type, y.shape[1]
    if a.ndim == 1:
        top, total = y[i, 0], T(0)
        for j in range(1, n):
            top = max(top, y[i, j])
        for j in range(n):
            row[1, j] = np.exp(y[i, j] - top)
            total += row[1, j]
        log_total, entropy = np.log(total), T(0)
        for j in range(n):
            row[0, j] = y[i, j] - top - log_total
            row[1, j] /= total
            entropy -= row[1, j] * row[0, j]
        return row[0, a[i]], entropy
    A = a.shape[1]
    logp = entropy = 0.0
    for k in range(A):
        wide = log_std(constants, y, i, k)
        row[1, k] = np.exp(-wide)
        row[0, k] = (a[i, k] - y[i, n - A + k]) * row[1, k]
        logp -= 0.5 * row[0, k] * row[0, k] + wide + HALF_LOG_2PI
        entropy += wide + HALF_LOG_2PI + 0.5
    return T(logp), T(entropy)


@jit
def backward(a, i, row, entropy, dlogp, dentropy, dy, dconstants):
    """Fill row i of ∂L/∂y from ∂L/∂log π(a) and ∂L/∂H, and add to ∂L/∂constants."""
    if a.ndim == 1:
        for j in range(dy.shape[1]):
            dy[i, j] = -dentropy * row[1, j] * (row[0, j] + entropy) - dlogp * row[1, j]
        dy[i, a[i]] += dlogp
    else:
        A = a.shape[1]
        for k in range(A):
            dlog_std = dlogp * (row[0, k] * row[0, k] - 1) + dentropy
            if dconstants.size > 0:
                dconstants[k] += dlog_std
            else:
                dy[i, k] = dlog_std
            dy[i, dy.shape[1] - A + k] = dlogp * row[0, k] * row[1, k]
