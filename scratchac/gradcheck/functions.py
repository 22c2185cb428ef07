"""Gradient checks of distributions and losses."""

from collections.abc import Callable
from typing import Any

import numpy as np

from scratchac import losses
from scratchac.distributions import Categorical, ClippedGaussian, Gaussian, MultiCategorical, TanhGaussian
from scratchac.gradcheck.differences import Checked, Rng, check
from scratchac.policies import Mask, mask_illegal

# -- distributions ---------------------------------------------------------------------------------------------------


def _distribution_check(dist: Any, rng: Rng, a: np.ndarray, of: int, spoil: Callable[[Any, Any], Any]) -> Checked:
    y = rng.standard_normal((5, dist.outputs))
    c = rng.standard_normal(5)
    zero = np.zeros(5)
    _, _, cache = dist.evaluate(y, a)
    grad = dist.backward(cache, c, zero) if of == 0 else dist.backward(cache, zero, c)
    return lambda: float(c @ dist.evaluate(y, a)[of]), y, grad, spoil(grad, c)


@check("Categorical: log-probability", "softmax not subtracted")
def _(rng: Rng) -> Checked:
    """L = Σ c log π(a) with random c, by the logits y."""
    a = rng.integers(4, size=5)
    return _distribution_check(Categorical(4), rng, a, 0, lambda g, c: np.eye(4)[a] * c[:, None])


@check("Categorical: entropy", "sign flipped")
def _(rng: Rng) -> Checked:
    """L = Σ c H with random c, by the logits y."""
    return _distribution_check(Categorical(4), rng, rng.integers(4, size=5), 1, lambda g, c: -g)


def _masked_check(rng: Rng, dist: Any, mask: np.ndarray, a: np.ndarray, of: int, confused: Callable[[Any, Any], Any]) -> Checked:
    """The gradient through the mask to the raw logits; the spoilt one uses the logits `confused(y, mask)` instead."""
    y, c, zero = 2 * rng.standard_normal(mask.shape), rng.standard_normal(5), np.zeros(5)
    masked = Mask(slice(None), dist.sizes)
    f = lambda: float(c @ dist.evaluate(mask_illegal(y, mask, masked), a)[of])  # noqa: E731
    grad, spoilt = (dist.backward(dist.evaluate(logits, a)[2], *((c, zero) if of == 0 else (zero, c)))
                    for logits in (mask_illegal(y, mask, masked), confused(y, mask)))
    return f, y, grad, spoilt


MASK = np.array([[1, 1, 0, 1], [0, 1, 0, 1], [0, 0, 1, 1], [1, 1, 1, 1], [1, 0, 1, 0]], float)
LEGAL = np.array([1, 3, 2, 0, 2])                                           # a legal action of each row


@check("Categorical, masked: log-probability", "mask forgotten")
def _(rng: Rng) -> Checked:
    """L = Σ c log π(a) with random c, by the logits before the mask."""
    return _masked_check(rng, Categorical(4), MASK, LEGAL, 0, lambda y, mask: y)


@check("Categorical, masked: entropy", "logits multiplied by the mask")
def _(rng: Rng) -> Checked:
    """L = Σ c H with random c, by the logits before the mask."""
    return _masked_check(rng, Categorical(4), MASK, LEGAL, 1, lambda y, mask: y * mask)


FACTORS = MultiCategorical(np.array([3, 2, 4]), np.zeros(3, int))


def _choices(rng: Rng) -> np.ndarray:
    return rng.integers(FACTORS.sizes, size=(5, 3))


@check("MultiCategorical: log-probability", "the first factor alone")
def _(rng: Rng) -> Checked:
    """L = Σ c log π(a) with random c, by the logits of three factors side by side."""
    return _distribution_check(FACTORS, rng, _choices(rng), 0, lambda g, c: g * (np.arange(9) < 3))


@check("MultiCategorical: entropy", "mean over the factors")
def _(rng: Rng) -> Checked:
    """L = Σ c H with random c, by the logits of three factors side by side."""
    return _distribution_check(FACTORS, rng, _choices(rng), 1, lambda g, c: g / 3)


@check("MultiCategorical, masked: log-probability", "mask forgotten")
def _(rng: Rng) -> Checked:
    """L = Σ c log π(a) with random c, by the logits of three factors before the mask."""
    mask, a = np.concatenate([np.ones((5, 3)), np.eye(2)[[0, 1, 0, 1, 0]], MASK], axis=1), _choices(rng)
    a[:, 1], a[:, 2] = [0, 1, 0, 1, 0], LEGAL
    return _masked_check(rng, FACTORS, mask, a, 0, lambda y, mask: y)


@check("MultiCategorical, masked: entropy", "logits multiplied by the mask")
def _(rng: Rng) -> Checked:
    """L = Σ c H with random c, by the logits of three factors before the mask."""
    mask = np.concatenate([np.ones((5, 3)), np.eye(2)[[0, 1, 0, 1, 0]], MASK], axis=1)
    return _masked_check(rng, FACTORS, mask, np.zeros((5, 3), int), 1, lambda y, mask: y * mask)


@check("Gaussian: log-probability", "normalisation −log σ forgotten")
def _(rng: Rng) -> Checked:
    """L = Σ c log π(a) with random c, by y = [log σ | μ]."""
    dist = Gaussian(-np.ones(2), np.ones(2), state_dependent_std=True)
    return _distribution_check(dist, rng, rng.standard_normal((5, 2)), 0,
                               lambda g, c: g + np.concatenate([np.ones((5, 2)), np.zeros((5, 2))], axis=1) * c[:, None])


@check("Gaussian: entropy", "doubled, as for a variance")
def _(rng: Rng) -> Checked:
    """L = Σ c H with random c, by y = [log σ | μ]."""
    dist = Gaussian(-np.ones(2), np.ones(2), state_dependent_std=True)
    return _distribution_check(dist, rng, rng.standard_normal((5, 2)), 1, lambda g, c: 2 * g)


@check("Gaussian, clipped: log-probability", "no gradient beyond the bounds")
def _(rng: Rng) -> Checked:
    """L = Σ c log π(a) with random c, by y = [log σ | μ], for actions inside of the box, above and below it."""
    dist = ClippedGaussian(-np.ones(2), np.ones(2), state_dependent_std=True)
    a = np.array([[0.3, 1.5], [-2.0, 0.1], [1.2, -1.1], [-0.4, 0.9], [3.0, -3.0]])

    return _distribution_check(dist, rng, a, 0, lambda g, c: g * np.tile(np.abs(a) < 1, 2))


def _tanh_gaussian_check(rng: Rng, log_std: Any, spoil: Callable[..., np.ndarray]) -> Checked:
    """L = Σ (c · a + d log π(a)) with ε fixed: the path through the sample, the tanh correction and the bound on log σ together."""
    dist = TanhGaussian(-np.ones(2), np.ones(2), log_std)
    y, eps = rng.standard_normal((5, 4)), rng.standard_normal((5, 2))
    if log_std == "clamp":
        y[:, :2] += [[-30.0, 0.0], [0.0, 8.0], [0.0, 0.0], [-25.0, 0.0], [0.5, -0.5]]       # below, inside, above the bounds
        eps[y[:, :2] > 2] *= 0.01                                                           # e² · ε would saturate tanh
    c, d = rng.standard_normal((5, 2)), rng.standard_normal(5)
    _, _, cache = dist.sample(y, eps)

    def f() -> float:
        a, logp, _ = dist.sample(y, eps)
        return float((c * a).sum() + d @ logp)

    return f, y, dist.backward(cache, c, d), spoil(dist, cache, c, d)


@check("tanh-Gaussian: sample and log-probability", "tanh correction forgotten")
def _(rng: Rng) -> Checked:
    """L = Σ (c · a + d log π(a)) with ε fixed and random c and d, by y = [log σ before its tanh | μ]."""
    def spoil(dist: TanhGaussian, cache: Any, c: np.ndarray, d: np.ndarray) -> np.ndarray:
        a, log_std, slope, eps = cache
        correction = d[:, None] * 2 * a
        return dist.backward(cache, c, d) - np.concatenate([correction * np.exp(log_std) * eps * slope, correction], axis=1)

    return _tanh_gaussian_check(rng, "tanh", spoil)


@check("tanh-Gaussian, log σ clamped", "gradient passed on outside the clamp")
def _(rng: Rng) -> Checked:
    """L = Σ (c · a + d log π(a)) with ε fixed and random c and d, by y = [log σ before the clamp | μ]."""
    def spoil(dist: TanhGaussian, cache: Any, c: np.ndarray, d: np.ndarray) -> np.ndarray:
        a, log_std, slope, eps = cache
        return dist.backward((a, log_std, np.ones_like(slope), eps), c, d)

    return _tanh_gaussian_check(rng, "clamp", spoil)


# -- losses ----------------------------------------------------------------------------------------------------------


def _loss_check(loss: Callable[[np.ndarray], Any], x: np.ndarray, spoil: Callable[[np.ndarray], np.ndarray]) -> Checked:
    _, grad = loss(x)
    return lambda: loss(x)[0], x, grad, spoil(grad)


@check("policy gradient loss", "1/B forgotten")
def _(rng: Rng) -> Checked:
    """L = −mean A log π, by log π."""
    adv = rng.standard_normal(6)
    return _loss_check(lambda logp: losses.policy_gradient(logp, adv), rng.standard_normal(6), lambda g: 6 * g)


@check("clipped surrogate, A > 0 and A < 0, below, inside and above the clip", "gradient passed on beyond the clip")
def _(rng: Rng) -> Checked:
    """L = −mean min(ρA, clip(ρ, 0.8, 1.2)A) with ρ = π/π_old, by log π."""
    ratio, adv = np.tile([0.5, 0.9, 1.1, 1.7], 2), np.repeat([1.0, -1.0], 4) * rng.uniform(0.5, 2, 8)
    old = rng.standard_normal(8)
    return _loss_check(lambda logp: losses.clipped_surrogate(logp, old, adv, 0.2), old + np.log(ratio), lambda g: -ratio * adv / 8)


@check("entropy bonus", "sign flipped")
def _(rng: Rng) -> Checked:
    """L = −0.3 mean H, by H."""
    return _loss_check(lambda entropy: losses.entropy_bonus(entropy, 0.3), rng.random(6), lambda g: -g)


@check("MSE value loss", "factor 2 of a loss without ½")
def _(rng: Rng) -> Checked:
    """L = mean ½(v − target)², by v."""
    target = rng.standard_normal(6)
    return _loss_check(lambda v: losses.mse(v, target), rng.standard_normal(6), lambda g: 2 * g)


@check("Huber value loss, inside and outside", "not clipped")
def _(rng: Rng) -> Checked:
    """L = mean of ½e² where |e| ≤ 1, else |e| − ½, with e = v − target, by v."""
    error = np.array([-3.0, -0.9, -0.2, 0.4, 0.8, 2.5])
    target = rng.standard_normal(6)
    return _loss_check(lambda v: losses.huber(v, target, 1.0), target + error, lambda g: error / 6)


@check("clipped value loss, running towards the target and away", "gradient passed on beyond the clip")
def _(rng: Rng) -> Checked:
    """L = mean ½ max((v − target)², (v clipped to v_old ± 0.3 − target)²), by v."""
    old, moved, target = np.zeros(6), np.array([-0.9, -0.1, 0.1, 0.9, 0.9, -0.9]), np.array([2.0, 2.0, 2.0, 2.0, -2.0, -2.0])
    return _loss_check(lambda v: losses.clipped_mse(v, old, target, 0.3), moved, lambda g: (moved - target) / 6)


@check("MSE of two critics with one target", "averaged over the critics")
def _(rng: Rng) -> Checked:
    """L = Σₖ mean ½(qₖ − target)², by q."""
    target = rng.standard_normal(6)
    return _loss_check(lambda q: losses.stacked_mse(q, target), rng.standard_normal((2, 6)), lambda g: g / 2)


@check("proximal term κ‖w − w_old‖²", "factor 2 forgotten")
def _(rng: Rng) -> Checked:
    """L = 0.7 ‖w − w_old‖², by w."""
    old = rng.standard_normal(6)
    return _loss_check(lambda w: losses.proximal(w, old, 0.7), rng.standard_normal(6), lambda g: g / 2)
