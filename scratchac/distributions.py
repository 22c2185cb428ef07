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


class ActionScale:
    """Between the policy's [−1, 1] and the environment's [low, high]: a_env = low + (a + 1)/2 · (high − low).

    Off-policy agents act, store and compute entropies in [−1, 1]; scale and bias occur here and nowhere else.
    """

    def __init__(self, low, high):
        self.low, self.high = low, high
        self.features = len(low)                                    # A

    def to_env(self, a):
        a_env = self.low + 0.5 * (a + 1) * (self.high - self.low)
        return np.clip(a_env, self.low, self.high).astype(self.low.dtype)      # rounding must not leave the box

    def random(self, rng, rows):
        """Uniform actions in [−1, 1]^A: what is tried before anything has been learnt."""
        return rng.uniform(-1, 1, (rows, self.features))


class TanhGaussian(ActionScale):
    """a = tanh(u), u ~ N(μ, σ²): a Gaussian squeezed into (−1, 1) (Haarnoja et al. 2018, appendix C). y = [raw log σ | μ].

    log_std = "tanh":   log σ = −5 + 3.5 (tanh(raw) + 1), smooth, σ in [e⁻⁵, e²]
              "clamp":  log σ = clip(raw, −20, 2); the gradient is zero wherever the clip binds

    Log-probabilities are densities in [−1, 1]; in the environment's units they would be smaller by Σ log(half the range).
    """

    def __init__(self, low, high, log_std="tanh"):
        super().__init__(low, high)
        self.outputs, self.log_std = 2 * self.features, log_std

    def noise(self, rng, rows):
        return rng.standard_normal((rows, self.features))

    def _read(self, y):
        """(μ, log σ, ∂log σ/∂raw) from the network's outputs."""
        raw, mu = y[..., : self.features], y[..., self.features :]
        if self.log_std == "tanh":
            squeezed = np.tanh(raw)
            return mu, -5 + 3.5 * (squeezed + 1), 3.5 * (1 - squeezed * squeezed)
        inside = (raw > -20) & (raw < 2)
        return mu, np.clip(raw, -20, 2), inside.astype(y.dtype)

    def sample(self, y, eps):
        """a (B, A) in (−1, 1), log π(a) (B,), and the cache for `backward`: the noise ε is given, so da/dy exists."""
        mu, log_std, slope = self._read(y)
        eps = kernels.backend.asarray(eps, y.dtype)
        a, logp, _ = kernels.backend.tanh_gaussian(mu, log_std, eps)
        return a, logp, (a, log_std, slope, eps)

    def backward(self, cache, da, dlogp):
        """∂L/∂y (B, 2A) from ∂L/∂a (B, A) and ∂L/∂log π (B,), through the sample (the reparameterisation trick)."""
        a, log_std, slope, eps = cache
        dmu, dlog_std = kernels.backend.tanh_gaussian_backward(a, log_std, eps, da, dlogp)
        return np.concatenate([dlog_std * slope, dmu], axis=-1)

    def mode(self, y):
        """tanh(μ): what a deterministic evaluation plays."""
        return np.tanh(y[..., self.features :])
