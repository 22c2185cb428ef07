"""Compiled optimiser steps and the step of target networks: one pass over memory, in place, for one thread.

A moment smaller than the smallest normal number of its dtype becomes 0. A ReLU that is never active again has the gradient 0, so
its moments decay, and after some 800 steps of Adam they are subnormal numbers, with which processors compute many times slower.
No step of a parameter changes by it: 10⁻³⁸ is divided by √v̂ + ε, which is at least ε.
"""

import numpy as np

from kernels.numba_jit import jit


@jit
def _smallest(x):
    """The smallest normal number of the dtype of x."""
    return x.dtype.type(1.1754943508222875e-38 if x.itemsize == 4 else 2.2250738585072014e-308)


@jit
def adam(p, g, m, v, lr, beta1, beta2, eps, scale):
    T = p.dtype.type                                    # a Python float would turn float32 arithmetic into float64
    lr, b1, b2, c1, c2, eps, scale = T(lr), T(beta1), T(beta2), T(1 - beta1), T(1 - beta2), T(eps), T(scale)
    zero, smallest = T(0), _smallest(p)
    for i in range(p.size):
        first = b1 * m[i] + c1 * g[i]
        second = b2 * v[i] + c2 * g[i] * g[i]
        m[i] = zero if abs(first) < smallest else first                     # NaN is not smaller, and is passed on
        v[i] = zero if second < smallest else second
        p[i] -= lr * m[i] / (np.sqrt(v[i]) * scale + eps)


@jit
def rmsprop(p, g, v, lr, decay, eps):
    T = p.dtype.type
    lr, a, c, eps = T(lr), T(decay), T(1 - decay), T(eps)
    zero, smallest = T(0), _smallest(p)
    for i in range(p.size):
        second = a * v[i] + c * g[i] * g[i]
        v[i] = zero if second < smallest else second
        p[i] -= lr * g[i] / np.sqrt(v[i] + eps)


@jit
def polyak(target, online, tau):
    a, b = target.dtype.type(1 - tau), target.dtype.type(tau)
    for i in range(target.size):
        target[i] = a * target[i] + b * online[i]
