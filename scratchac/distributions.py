"""Action distributions, their log-probability and entropy, and the gradients of both, derived by hand.

A distribution reads its parameters from the outputs y (B, outputs) of a network:

    a = dist.sample(y, dist.noise(rng, B))                  the noise is an argument, so a sample can be repeated exactly
    logp, entropy, cache = dist.evaluate(y, a)              (B,), (B,)
    dy = dist.backward(cache, dlogp, dentropy)              ∂L/∂y from ∂L/∂logp and ∂L/∂entropy
    env.step(dist.to_env(a))                                the agent learns from the raw action a
    a = dist.greedy(y)                                      without chance: the most likely of a few, or of numbers a mean

`outputs` is the number of outputs per row; the first `constants` of them do not depend on the state.
"""

import math
from typing import Any, Literal

import numpy as np

import kernels
from kernels import kernel

HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)
_erf, _erfc = (np.vectorize(f, otypes=[np.float64]) for f in (math.erf, math.erfc))          # NumPy has none


# -- categorical -----------------------------------------------------------------------------------------------------


@kernel
def log_softmax(logits: np.ndarray) -> np.ndarray:
    """log πᵢ = zᵢ − max z − log Σⱼ exp(zⱼ − max z), row by row (…, n); subtracting the maximum keeps exp from overflowing."""
    z = logits - logits.max(axis=-1, keepdims=True)
    return z - np.log(np.exp(z).sum(axis=-1, keepdims=True))


@kernel
def categorical_sample(logits: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Inverse-CDF sampling from logits (…, B, n): the number of cumulative probabilities ≤ u, (…, B), for u ∈ [0, 1)."""
    p = np.exp(logits - logits.max(axis=-1, keepdims=True))
    cdf = p.cumsum(axis=-1)
    # u is scaled by the total instead of dividing p by it, and the last sum is left out, so that rounding can never give class n.
    return (u[..., None] * cdf[..., -1:] >= cdf[..., :-1]).sum(axis=-1)


class Categorical:
    """π(i) = exp(yᵢ) / Σⱼ exp(yⱼ) over n actions; `start` is the environment's number for the first of them."""

    constants = 0
    action_shape: tuple[int, ...] = ()

    def __init__(self, n: int, start: int = 0, dtype: Any = np.int64):
        self.dtype = np.dtype(dtype)                                # the environment's
        self.n = n
        self.sizes = (n,)
        self.start = start
        self.outputs = n

    def noise(self, rng: np.random.Generator, rows: int) -> np.ndarray:
        """u ~ U[0, 1) (B,)."""
        return rng.random(rows)

    def sample(self, y: np.ndarray, u: np.ndarray) -> np.ndarray:
        """Inverse CDF at u ~ U[0, 1): actions (B,) in 0 … n−1."""
        return categorical_sample(y, u)

    def greedy(self, y: np.ndarray) -> np.ndarray:
        """The most likely action of each row, (B,)."""
        return y.argmax(axis=-1)

    def to_env(self, a: np.ndarray) -> np.ndarray:
        """The environment's numbers for actions (B,)."""
        return (a + self.start).astype(self.dtype, copy=False)

    def evaluate(self, y: np.ndarray, a: np.ndarray) -> tuple[np.ndarray, np.ndarray, Any]:
        """log π(a) = y_a − log Σⱼ exp yⱼ  and  H = −Σᵢ πᵢ log πᵢ for y (B, n), a (B,)."""
        log_pi = log_softmax(y)                     # (B, n)
        pi = np.exp(log_pi)
        entropy = -(pi * log_pi).sum(axis=-1)                       # (B,)
        return log_pi[np.arange(len(a)), a], entropy, (a, pi, log_pi, entropy)

    def backward(self, cache: Any, dlogp: np.ndarray, dentropy: np.ndarray) -> np.ndarray:
        """∂log π(a)/∂yⱼ = 1[j = a] − πⱼ   and   ∂H/∂yⱼ = −πⱼ (log πⱼ + H).

        The second: ∂H/∂yⱼ = −Σᵢ (log πᵢ + 1) ∂πᵢ/∂yⱼ with ∂πᵢ/∂yⱼ = πᵢ(1[i = j] − πⱼ); the ones cancel.
        """
        a, pi, log_pi, entropy = cache
        dy = (log_pi + entropy[:, None]) * -dentropy[:, None]       # (B, n)
        dy -= dlogp[:, None]
        dy *= pi
        dy[np.arange(len(a)), a] += dlogp
        return dy


class MultiCategorical:
    """Independent categorical distributions, one for each of the K numbers of an action: π(a) = Πₖ πₖ(aₖ).

    So log-probabilities and entropies add up over k. y = [y₁ | y₂ | …] has the logits of all factors side by side, factor k with
    `sizes[k]` of them. `n` has the sizes in the shape of an action, `start` the environment's number for each first choice.
    """

    constants = 0

    def __init__(self, n: np.ndarray, start: np.ndarray):
        self.shape: tuple[int, ...] = n.shape
        self.start = start
        self.sizes: tuple[int, ...] = tuple(n.ravel().tolist())
        self.factors = [Categorical(size) for size in self.sizes]   # K
        self.outputs = sum(self.sizes)
        self.action_shape: tuple[int, ...] = (len(self.factors),)
        ends = np.cumsum(self.sizes).tolist()
        self.columns = [slice(end - size, end) for size, end in zip(self.sizes, ends, strict=True)]

    def noise(self, rng: np.random.Generator, rows: int) -> np.ndarray:
        """u ~ U[0, 1) (B, K)."""
        return rng.random((rows, len(self.factors)))

    def sample(self, y: np.ndarray, u: np.ndarray) -> np.ndarray:
        """Inverse CDF of each factor: actions (B, K), the k-th number in 0 … sizes[k] − 1."""
        return np.stack([categorical_sample(y[:, columns], u[:, k]) for k, columns in enumerate(self.columns)], axis=1)

    def greedy(self, y: np.ndarray) -> np.ndarray:
        """The most likely number of each factor, (B, K), which is the most likely action."""
        return np.stack([y[:, columns].argmax(axis=-1) for columns in self.columns], axis=1)

    def to_env(self, a: np.ndarray) -> np.ndarray:
        """The environment's actions (B, …shape) for actions (B, K)."""
        return a.reshape(len(a), *self.shape).astype(self.start.dtype) + self.start

    def evaluate(self, y: np.ndarray, a: np.ndarray) -> tuple[np.ndarray, np.ndarray, Any]:
        """log π(a) = Σₖ log πₖ(aₖ)  and  H = Σₖ H(πₖ) for y (B, outputs), a (B, K). Both (B,)."""
        parts = [factor.evaluate(y[:, columns], a[:, k])
                 for k, (factor, columns) in enumerate(zip(self.factors, self.columns, strict=True))]
        logp, entropy, caches = zip(*parts, strict=True)
        return sum(logp), sum(entropy), caches

    def backward(self, cache: Any, dlogp: np.ndarray, dentropy: np.ndarray) -> np.ndarray:
        """∂L/∂y (B, outputs): yₖ occurs in πₖ alone, so its derivative is that of factor k."""
        return np.concatenate([factor.backward(part, dlogp, dentropy) for factor, part in zip(self.factors, cache, strict=True)],
                              axis=-1)


# -- from the policy's units to the environment's ------------------------------------------------------------------------


def into_box(a: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Actions as elements of the box [low, high]: clipped, of its dtype, and rounded (halves up) if that is of whole numbers."""
    if low.dtype.kind != "f":
        a = np.floor(np.asarray(a, np.float64) + 0.5)
    return np.clip(a, low, high).astype(low.dtype, copy=False)


class ActionScale:
    """Maps the policy's [−1, 1] to the environment's [low, high]: a_env = low + (a + 1)/2 · (high − low).

    Policies act, are stored and have their densities in [−1, 1]; scale and bias occur only in this class. The A features are the
    numbers of the environment's action, of any shape, row by row. A box of whole numbers counts as [low − ½, high + ½], whose
    points are rounded: so uniform actions make each number as likely as the next.
    """

    def __init__(self, low: np.ndarray, high: np.ndarray):
        self.shape: tuple[int, ...] = low.shape
        self.low = low = low.ravel()
        self.high = high = high.ravel()
        self.features = len(low)                                    # A
        self.whole = low.dtype.kind != "f"
        self.range = np.array([int(h) - int(l) + 1.0 for l, h in zip(low, high, strict=True)]) if self.whole else high - low

    def to_env(self, a: np.ndarray) -> np.ndarray:
        """Actions in the environment's units, (B, …shape), of its dtype. Rounding never leaves the box."""
        way = 0.5 * (a + 1) * self.range                            # from the lower end of the box
        if self.whole:
            steps = np.clip(np.floor(np.asarray(way, np.float64)), 0, self.range - 1)
            # Whole numbers are added as such: a float cannot hold large ones. uint64 wraps around, to the right sum.
            actions = (self.low.astype(np.uint64) + steps.astype(np.uint64)).astype(self.low.dtype)
        else:
            actions = into_box(self.low + way, self.low, self.high)
        return actions.reshape(len(a), *self.shape)

    def random(self, rng: np.random.Generator, rows: int) -> np.ndarray:
        """Uniform actions in [−1, 1]^A, which are taken before learning begins."""
        return rng.uniform(-1, 1, (rows, self.features))


# -- Gaussian --------------------------------------------------------------------------------------------------------


def mean_excess(x: np.ndarray) -> np.ndarray:
    """h(x) = E[max(x − ε, 0)] = x Φ(x) + φ(x) for ε ~ N(0, 1), with its distribution function Φ and density φ. h(−∞) = 0.

    By parts, since h′ = Φ: h(x) = ∫_{−∞}^x Φ = x Φ(x) − ∫_{−∞}^x t φ(t) dt, and φ′ = −t φ.
    """
    x = np.maximum(x, -40)                                          # h(−40) is 0, and −∞ · 0 would be NaN
    return 0.5 * x * (1 + _erf(x / math.sqrt(2))) + np.exp(-0.5 * x * x - HALF_LOG_2PI)


class Gaussian:
    """Independent normal distributions, one per action feature: y = [log σ | μ], so y is (B, 2A).

    With `state_dependent_std` off, log σ is a learnt vector that ignores the state (`constants` = A). With `scaled` off, a is in
    the environment's units.
    The sample is unbounded. `to_env` clips it for the environment only: the gradient needs the density of the action that was
    drawn, and a clipped action has another density. `greedy` counts in the clipping.
    """

    def __init__(self, low: np.ndarray, high: np.ndarray, state_dependent_std: bool = False, scaled: bool = True):
        self.shape: tuple[int, ...] = low.shape                     # of an action in the environment
        self.low = low.ravel()
        self.high = high.ravel()
        # A box that is [−1, 1] already stays as it is, to the last bit.
        stays = low.dtype.kind == "f" and (low == -1).all() and (high == 1).all()
        self.scale = ActionScale(low, high) if scaled and not stays else None
        self.features = low.size                                    # A
        self.outputs = 2 * self.features
        self.constants = 0 if state_dependent_std else self.features
        self.action_shape: tuple[int, ...] = (self.features,)

    def noise(self, rng: np.random.Generator, rows: int) -> np.ndarray:
        """ε ~ N(0, 1) (B, A)."""
        return rng.standard_normal((rows, self.features))

    def sample(self, y: np.ndarray, eps: np.ndarray) -> np.ndarray:
        """a = μ + σ ε with ε ~ N(0, 1) of shape (B, A)."""
        log_std, mu = y[:, : self.features], y[:, self.features :]
        return mu + np.exp(log_std) * eps.astype(y.dtype)

    def greedy(self, y: np.ndarray) -> np.ndarray:
        """The mean of what the environment gets, E[clip(a, low, high)] (B, A), which is not clip(μ).

            E[clip(a)] = μ + σ h((low − μ)/σ) − σ h((μ − high)/σ),      h(x) = E[max(x − ε, 0)] = x Φ(x) + φ(x)

        Where actions are whole numbers, it is the mean before they are rounded.

        Let the brake of a car be in [0, 1], with μ = −0.2 and σ = 0.3: samples brake by 0.05 on average, and clip(μ) never.
        """
        log_std, mu = (part.astype(np.float64) for part in (y[:, : self.features], y[:, self.features :]))
        low, high = (-1, 1) if self.scale else (self.low.astype(np.float64), self.high.astype(np.float64))
        std = np.exp(log_std)
        return (mu + std * (mean_excess((low - mu) / std) - mean_excess((mu - high) / std))).astype(y.dtype)

    def to_env(self, a: np.ndarray) -> np.ndarray:
        """Actions in the environment's units, (B, …shape), clipped to [low, high], of its dtype."""
        return self.scale.to_env(a) if self.scale else into_box(a, self.low, self.high).reshape(len(a), *self.shape)

    def evaluate(self, y: np.ndarray, a: np.ndarray) -> tuple[np.ndarray, np.ndarray, Any]:
        """log π(a) = Σᵢ [−½ zᵢ² − log σᵢ − ½ log 2π], z = (a−μ)/σ;   H = Σᵢ [log σᵢ + ½ log 2πe]. Both (B,).

        The sum is over action features, never over rows: features are independent, so their log-probabilities add up.
        """
        log_std, mu = y[:, : self.features], y[:, self.features :]  # (B, A) each
        inv_std = np.exp(-log_std)
        z = (a - mu) * inv_std
        logp = (-0.5 * z * z - log_std - HALF_LOG_2PI).sum(axis=-1)
        entropy = (log_std + (HALF_LOG_2PI + 0.5)).sum(axis=-1)
        return logp, entropy, (z, inv_std)

    def backward(self, cache: Any, dlogp: np.ndarray, dentropy: np.ndarray) -> np.ndarray:
        """∂log π/∂μᵢ = zᵢ/σᵢ,   ∂log π/∂log σᵢ = zᵢ² − 1,   ∂H/∂log σᵢ = 1."""
        z, inv_std = cache
        dlogp = dlogp[:, None]
        dlog_std = dlogp * (z * z - 1) + dentropy[:, None]          # (B, A)
        return np.concatenate([dlog_std, dlogp * z * inv_std], axis=-1)


def log_normal_cdf(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """log Φ(x) and its derivative φ(x)/Φ(x), for x ≥ −37, with the density φ and the distribution function Φ of N(0, 1)."""
    cdf = 0.5 * _erfc(-x / math.sqrt(2))
    return np.log(cdf), np.exp(-0.5 * x * x - HALF_LOG_2PI) / cdf


class ClippedGaussian(Gaussian):
    """A Gaussian whose log π(a) is that of the clipped action (Fujita & Maeda 2018), which is all that the environment sees of a.

    A clipped action is on a bound with a probability, and inside it has a density. Beyond a bound, the gradient is the mean of
    ∇log N(a; μ, σ) over all a that are clipped to it: the same direction in the mean, and less variance.
    """

    def evaluate(self, y: np.ndarray, a: np.ndarray) -> tuple[np.ndarray, np.ndarray, Any]:
        """log π(a) = Σᵢ log Φ((μᵢ − high)/σᵢ) where aᵢ ≥ high, log Φ((low − μᵢ)/σᵢ) where aᵢ ≤ low, else as a Gaussian's, (B,).

        The entropy (B,) is the Gaussian's.
        """
        log_std, mu = y[:, : self.features], y[:, self.features :]  # (B, A) each
        _, entropy, (z, inv_std) = super().evaluate(y, a)
        asarray = kernels.backend.asarray
        low, high = (-1, 1) if self.scale else (asarray(self.low, y.dtype), asarray(self.high, y.dtype))
        above, below = a >= high, a <= low
        # Used where a is clipped. Farther out Φ(x) would be too small for float64.
        x = np.maximum(np.where(above, mu - high, low - mu) * inv_std, -37)
        log_tail, slope = (asarray(part, y.dtype) for part in log_normal_cdf(kernels.backend.to_numpy(x).astype(np.float64)))
        logp = np.where(above | below, log_tail, -0.5 * z * z - log_std - HALF_LOG_2PI).sum(axis=-1)
        dlog_std = np.where(above | below, -x * slope, z * z - 1)
        return logp, entropy, (dlog_std, np.where(above, slope, np.where(below, -slope, z)) * inv_std)

    def backward(self, cache: Any, dlogp: np.ndarray, dentropy: np.ndarray) -> np.ndarray:
        """With m = φ(x)/Φ(x), for aᵢ ≥ high x = (μᵢ − high)/σᵢ and ∂log π/∂μᵢ = m/σᵢ; for aᵢ ≤ low x = (low − μᵢ)/σᵢ and −m/σᵢ.

        For both ∂log π/∂log σᵢ = −m x.
        """
        dlog_std, dmu = cache
        dlogp = dlogp[:, None]
        return np.concatenate([dlogp * dlog_std + dentropy[:, None], dlogp * dmu], axis=-1)


# -- actions in [−1, 1]: deterministic, and the tanh-squashed Gaussian ---------------------------------------------------


class Deterministic(ActionScale):
    """a = tanh(y), (B, A) from outputs y (B, A) of a network: the policy of DDPG and TD3."""

    def greedy(self, y: np.ndarray) -> np.ndarray:
        """tanh(y)."""
        return np.tanh(y)

    def greedy_backward(self, a: np.ndarray, da: np.ndarray) -> np.ndarray:
        """∂L/∂y = ∂L/∂a (1 − a²), since tanh′ = 1 − tanh²."""
        return da * (1 - a * a)


@kernel
def tanh_gaussian(mu: np.ndarray, log_std: np.ndarray, eps: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """a = tanh(u), u = μ + σε, and log π(a) summed over features; returns (a, logp, u) of shapes (B, A), (B,), (B, A).

    log π = Σ [−½ε² − log σ − ½ log 2π − log(1 − tanh²u)] with log(1 − tanh²u) = 2(log 2 − u − softplus(−2u)), which is exact
    for every u; log(1 − a² + 1e-6) is wrong by 4.8 at u = 10. softplus(x) = log(1 + eˣ) = max(x, 0) + log1p(e^−|x|).
    """
    u = mu + np.exp(log_std) * eps
    softplus = np.maximum(-2 * u, 0) + np.log1p(np.exp(-2 * np.abs(u)))
    logp = -0.5 * eps * eps - log_std - HALF_LOG_2PI - 2 * (math.log(2) - u - softplus)
    return np.tanh(u), logp.sum(axis=-1), u


@kernel
def tanh_gaussian_backward(a: np.ndarray, log_std: np.ndarray, eps: np.ndarray, da: np.ndarray,
                           dlogp: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(∂L/∂μ, ∂L/∂log σ) from ∂L/∂a (B, A) and ∂L/∂log π (B,), with ε held fixed.

        ∂a/∂u = 1 − a²,   ∂log π/∂u = 2a   (since ∂/∂u [−log(1 − tanh²u)] = 2 tanh u),   ∂u/∂μ = 1,   ∂u/∂log σ = σε
        dμ = da (1 − a²) + dlogp · 2a,      dlog σ = dμ · σε − dlogp
    """
    dlogp = dlogp[..., None]
    dmu = da * (1 - a * a) + dlogp * (2 * a)
    return dmu, dmu * (np.exp(log_std) * eps) - dlogp


class TanhGaussian(ActionScale):
    """a = tanh(u), u ~ N(μ, σ²): a Gaussian squashed into (−1, 1) (Haarnoja et al. 2018, appendix C). y = [raw log σ | μ].

    log_std = "tanh":   log σ = −5 + 3.5 (tanh(raw) + 1), smooth, σ in [e⁻⁵, e²]
              "clamp":  log σ = clip(raw, −20, 2); the gradient is zero wherever the clip binds

    Log-probabilities are densities in [−1, 1]; in the environment's units they would be smaller by Σ log(half the range).
    """

    def __init__(self, low: np.ndarray, high: np.ndarray, log_std: Literal["tanh", "clamp"] = "tanh"):
        super().__init__(low, high)
        self.outputs = 2 * self.features
        self.log_std = log_std

    def noise(self, rng: np.random.Generator, rows: int) -> np.ndarray:
        """ε ~ N(0, 1) (B, A)."""
        return rng.standard_normal((rows, self.features))

    def _read(self, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(μ, log σ, ∂log σ/∂raw) from the network's outputs."""
        raw, mu = y[..., : self.features], y[..., self.features :]
        if self.log_std == "tanh":
            squeezed = np.tanh(raw)
            return mu, -5 + 3.5 * (squeezed + 1), 3.5 * (1 - squeezed * squeezed)
        inside = (raw > -20) & (raw < 2)
        return mu, np.clip(raw, -20, 2), inside.astype(y.dtype)

    def sample(self, y: np.ndarray, eps: np.ndarray) -> tuple[np.ndarray, np.ndarray, Any]:
        """a (B, A) in (−1, 1), log π(a) (B,), and the cache for `backward`; ε is an argument, so da/dy exists."""
        mu, log_std, slope = self._read(y)
        eps = kernels.backend.asarray(eps, y.dtype)
        a, logp, _ = tanh_gaussian(mu, log_std, eps)
        return a, logp, (a, log_std, slope, eps)

    def backward(self, cache: Any, da: np.ndarray, dlogp: np.ndarray) -> np.ndarray:
        """∂L/∂y (B, 2A) from ∂L/∂a (B, A) and ∂L/∂log π (B,), through the sample (the reparameterisation trick)."""
        a, log_std, slope, eps = cache
        dmu, dlog_std = tanh_gaussian_backward(a, log_std, eps, da, dlogp)
        return np.concatenate([dlog_std * slope, dmu], axis=-1)

    def greedy(self, y: np.ndarray) -> np.ndarray:
        """tanh(μ), the action of a deterministic evaluation."""
        return np.tanh(y[..., self.features :])


Distribution = Categorical | MultiCategorical | Gaussian                               # the distributions of on-policy agents
