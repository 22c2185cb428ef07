"""Action distributions, their log-probability and entropy, and the gradients of both, derived by hand.

A distribution reads its parameters from the outputs y (B, outputs) of a network:

    a = dist.sample(y, dist.noise(rng, B))                  noise is an argument, so a sample can be repeated exactly
    logp, entropy, cache = dist.evaluate(y, a)              (B,), (B,)
    dy = dist.backward(cache, dlogp, dentropy)              ∂L/∂y from ∂L/∂logp and ∂L/∂entropy
    env.step(dist.to_env(a))                                the raw action a is what is learnt from

`outputs` counts the numbers read per row; the first `constants` of them need not depend on the state.
"""

import math

import numpy as np

import kernels

HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


class Categorical:
    """π(i) = exp(yᵢ) / Σⱼ exp(yⱼ) over n actions; `start` is the environment's number for the first of them."""

    constants = 0
    action_shape = ()

    def __init__(self, n, start=0):
        self.n, self.start = n, start
        self.outputs = n

    def noise(self, rng, rows):
        return rng.random(rows)

    def sample(self, y, u):
        """Inverse CDF at u ~ U[0, 1): actions (B,) in 0 … n−1."""
        return kernels.backend.categorical_sample(y, u)

    def mode(self, y):
        return y.argmax(axis=-1)

    def to_env(self, a):
        return a + self.start

    def evaluate(self, y, a):
        """log π(a) = y_a − log Σⱼ exp yⱼ  and  H = −Σᵢ πᵢ log πᵢ for y (B, n), a (B,)."""
        log_pi = kernels.backend.log_softmax(y)                     # (B, n)
        pi = np.exp(log_pi)
        entropy = -(pi * log_pi).sum(axis=-1)                       # (B,)
        return log_pi[np.arange(len(a)), a], entropy, (a, pi, log_pi, entropy)

    def backward(self, cache, dlogp, dentropy):
        """∂log π(a)/∂yⱼ = 1[j = a] − πⱼ   and   ∂H/∂yⱼ = −πⱼ (log πⱼ + H).

        The second: ∂H/∂yⱼ = −Σᵢ (log πᵢ + 1) ∂πᵢ/∂yⱼ with ∂πᵢ/∂yⱼ = πᵢ(1[i = j] − πⱼ); the ones cancel.
        """
        a, pi, log_pi, entropy = cache
        dy = (log_pi + entropy[:, None]) * -dentropy[:, None]       # (B, n)
        dy -= dlogp[:, None]
        dy *= pi
        dy[np.arange(len(a)), a] += dlogp
        return dy


class Gaussian:
    """Independent normal distributions, one per action feature: y = [log σ | μ], so y is (B, 2A).

    With `state_dependent_std` off, log σ is a learnt vector that ignores the state (`constants` = A).
    The sample is unbounded. `to_env` clips it to [low, high] for the environment only: the gradient needs the density of
    what was drawn, and a clipped action has another one.
    """

    def __init__(self, low, high, state_dependent_std=False):
        self.low, self.high = low, high
        self.features = len(low)                                    # A
        self.outputs = 2 * self.features
        self.constants = 0 if state_dependent_std else self.features
        self.action_shape = (self.features,)

    def noise(self, rng, rows):
        return rng.standard_normal((rows, self.features))

    def sample(self, y, eps):
        """a = μ + σ ε with ε ~ N(0, 1) of shape (B, A)."""
        log_std, mu = y[:, : self.features], y[:, self.features :]
        return mu + np.exp(log_std) * eps.astype(y.dtype)

    def mode(self, y):
        return y[:, self.features :]

    def to_env(self, a):
        return np.clip(a, self.low, self.high)

    def evaluate(self, y, a):
        """log π(a) = Σᵢ [−½ zᵢ² − log σᵢ − ½ log 2π], z = (a−μ)/σ;   H = Σᵢ [log σᵢ + ½ log 2πe]. Both (B,).

        The sum runs over action features, never over rows: features are independent, so their log-probabilities add.
        """
        log_std, mu = y[:, : self.features], y[:, self.features :]  # (B, A) each
        inv_std = np.exp(-log_std)
        z = (a - mu) * inv_std
        logp = (-0.5 * z * z - log_std - HALF_LOG_2PI).sum(axis=-1)
        entropy = (log_std + (HALF_LOG_2PI + 0.5)).sum(axis=-1)
        return logp, entropy, (z, inv_std)

    def backward(self, cache, dlogp, dentropy):
        """∂log π/∂μᵢ = zᵢ/σᵢ,   ∂log π/∂log σᵢ = zᵢ² − 1,   ∂H/∂log σᵢ = 1."""
        z, inv_std = cache
        dlogp = dlogp[:, None]
        dlog_std = dlogp * (z * z - 1) + dentropy[:, None]          # (B, A)
        return np.concatenate([dlog_std, dlogp * z * inv_std], axis=-1)
