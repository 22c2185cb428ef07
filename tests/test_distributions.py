"""Densities, samples, entropies and clipping of the action distributions."""

import math
from statistics import NormalDist

import numpy as np
import pytest

from scratchac.distributions import (
    ActionScale,
    Categorical,
    ClippedGaussian,
    Gaussian,
    TanhGaussian,
    categorical_sample,
    log_softmax,
)


def test_categorical_by_hand():
    """The odds are 1 : 2 : 5."""
    y = np.log([[1.0, 2.0, 5.0]])
    logp, entropy, _ = Categorical(3).evaluate(y, np.array([1]))
    p = np.array([1, 2, 5]) / 8
    assert logp[0] == pytest.approx(np.log(2 / 8)) and entropy[0] == pytest.approx(-(p * np.log(p)).sum())


def test_categorical_survives_large_logits():
    logp, entropy, cache = Categorical(2).evaluate(np.array([[1e4, -1e4]]), np.array([0]))
    dy = Categorical(2).backward(cache, np.ones(1), np.ones(1))
    assert logp[0] == 0 and entropy[0] == 0 and np.isfinite(dy).all()


def test_categorical_sampling_frequencies(rng):
    """Over 100,000 draws every frequency is within 5 standard errors."""
    dist, y = Categorical(4), np.log([[0.1, 0.2, 0.3, 0.4]])
    a = dist.sample(np.repeat(y, 100_000, axis=0), dist.noise(rng, 100_000))
    p = np.array([0.1, 0.2, 0.3, 0.4])
    assert (np.abs(np.bincount(a, minlength=4) / 100_000 - p) < 5 * np.sqrt(p * (1 - p) / 100_000)).all()


def test_categorical_sample_is_the_inverse_cdf():
    dist, y = Categorical(3), np.log(np.array([[0.25, 0.25, 0.5]], np.float32)).repeat(6, axis=0)
    u = np.array([0.0, 0.24, 0.26, 0.49, 0.51, np.nextafter(1, 0)])
    assert dist.sample(y, u).tolist() == [0, 0, 1, 1, 2, 2]     # also at the very end of [0, 1): never class 3


def test_categorical_start_is_for_the_environment_only():
    dist = Categorical(3, start=5)
    assert dist.to_env(np.array([0, 2])).tolist() == [5, 7] and Categorical(3).to_env(np.array([0, 2])).tolist() == [0, 2]
    assert dist.greedy(np.array([[0.0, 3.0, 1.0]])).tolist() == [1]


@pytest.fixture
def gaussian():
    return Gaussian(np.array([-1.0, -2.0]), np.array([1.0, 2.0]))


def test_gaussian_log_prob_is_a_product_of_densities(gaussian, rng):
    """Features are independent, so log-densities are summed over features and not over rows."""
    y = rng.standard_normal((3, 4))
    a = rng.standard_normal((3, 2))
    sigma, mu = np.exp(y[:, :2]), y[:, 2:]
    density = np.exp(-((a - mu) ** 2) / (2 * sigma**2)) / (np.sqrt(2 * np.pi) * sigma)
    logp, _, _ = gaussian.evaluate(y, a)
    np.testing.assert_allclose(np.exp(logp), density.prod(axis=1), rtol=1e-12)


def test_gaussian_density_integrates_to_one(gaussian):
    """Quadrature over a box of ±8σ catches a wrong scale, a wrong sign and a missing sum."""
    x = np.linspace(-8, 8, 401)
    grid = np.stack(np.meshgrid(0.5 * x + 0.3, 1.5 * x - 1), axis=-1).reshape(-1, 2)
    y = [*np.log([0.5, 1.5]), 0.3, -1.0]
    logp, entropy, _ = gaussian.evaluate(np.tile(y, (len(grid), 1)), grid)
    area = (0.5 * (x[1] - x[0])) * (1.5 * (x[1] - x[0]))
    assert np.exp(logp).sum() * area == pytest.approx(1, rel=1e-9)
    assert -(np.exp(logp) * logp).sum() * area == pytest.approx(entropy[0], rel=1e-9)


def test_gaussian_sample_is_reparameterised(gaussian):
    y = np.array([[np.log(2.0), np.log(3.0), 10.0, 20.0]])
    np.testing.assert_allclose(gaussian.sample(y, np.array([[1.0, -1.0]])), [[12.0, 17.0]])


@pytest.mark.parametrize("low, high, scaled", [
    ([-1, -2], [1, 2], True), ([-1, 0], [1, 1], False), ([-np.inf, -1], [0, np.inf], False), ([-np.inf] * 2, [np.inf] * 2, False)])
def test_a_greedy_gaussian_does_in_the_mean_what_samples_do(low, high, scaled, rng):
    """The mean of 200,000 actions that the environment gets is within 5 standard errors of it; the mean, clipped, is not."""
    dist = Gaussian(np.array(low, float), np.array(high, float), state_dependent_std=True, scaled=scaled)
    y = np.log([[0.7, 0.5, np.exp(0.2), np.exp(-0.3)]])                         # σ = 0.7 and 0.5, μ = 0.2 and −0.3
    played = dist.to_env(dist.sample(y.repeat(200_000, axis=0), dist.noise(rng, 200_000)))
    mean, error = played.mean(axis=0), 5 * played.std(axis=0) / np.sqrt(len(played))
    assert (np.abs(dist.to_env(dist.greedy(y)) - mean) < error).all()
    naive = dist.to_env(y[:, 2:])
    assert (np.abs(naive - mean) > error).any() or np.isinf([low, high]).all()


def test_a_greedy_gaussian_without_spread_is_its_clipped_mean():
    dist, mu = Gaussian(np.zeros(3), np.ones(3), True, scaled=False), [-2.0, 0.25, 7.0]
    np.testing.assert_allclose(dist.greedy(np.array([[-20.0] * 3 + mu])), [[0, 0.25, 1]], atol=1e-8)
    y = np.float32([[0, 0, 0, -2, 0.25, 7]])
    assert dist.greedy(y).dtype == np.float32 and dist.greedy(y)[0, 0] == pytest.approx(0.00811, abs=1e-5)


@pytest.mark.parametrize("scaled", [True, False])
def test_log_probabilities_of_clipped_actions(scaled):
    """By the distribution function and the density of Python's own normal distribution; without bounds they are the Gaussian's."""
    low, high = (np.array([-5.0, 2.0]), np.array([7.0, 9.0])) if scaled else (np.array([-1.0, -np.inf]), np.array([0.5, np.inf]))
    dist, top = ClippedGaussian(low, high, state_dependent_std=True, scaled=scaled), 1.0 if scaled else 0.5
    y = np.array([[math.log(0.5), 0.2, 0.4, -1.0]]).repeat(4, axis=0)
    a = np.array([[7.0, 0.9], [top, -0.9], [-1.0, 0.3], [0.1, 0.2]])
    first, second = NormalDist(0.4, 0.5), NormalDist(-1.0, math.exp(0.2))
    expected = [1 - first.cdf(top), 1 - first.cdf(top), first.cdf(-1), first.pdf(0.1)] * np.array([second.pdf(x) for x in a[:, 1]])
    np.testing.assert_allclose(np.exp(dist.evaluate(y, a)[0]), expected, rtol=1e-12)
    plain = Gaussian(low, high, state_dependent_std=True, scaled=scaled)
    np.testing.assert_allclose(dist.evaluate(y, a)[1], plain.evaluate(y, a)[1])
    np.testing.assert_array_equal(dist.greedy(y), plain.greedy(y))


def test_a_clipped_action_says_as_much_with_less_variance(rng):
    """Given the clipped action, the mean of the plain score is the other: so the means of f · score agree, and its spread is less.

    Where nearly all actions are clipped, as for μ = 8, the plain score is noise of size 1/σ, and the other nothing.
    """
    pair = [kind(-np.ones(1), np.ones(1), True) for kind in (Gaussian, ClippedGaussian)]
    for mu, ratio in ((0.9, 0.9), (8.0, 0.01)):
        y = np.tile([math.log(0.75), mu], (200_000, 1))
        a = pair[0].sample(y, pair[0].noise(rng, len(y)))
        f = np.clip(a[:, 0], -1, 1) ** 2
        plain, clipped = (f[:, None] * dist.backward(dist.evaluate(y, a)[2], np.ones(len(y)), np.zeros(len(y))) for dist in pair)
        error = 5 * (plain - clipped).std(axis=0) / np.sqrt(len(y))
        assert (np.abs((plain - clipped).mean(axis=0)) < error).all()
        assert (clipped.std(axis=0) < ratio * plain.std(axis=0)).all()


def test_actions_far_beyond_a_bound_have_finite_gradients():
    dist = ClippedGaussian(-np.ones(1, np.float32), np.ones(1, np.float32), state_dependent_std=True)
    for mu, a in ((-1e4, 2.0), (1e4, 2.0), (1e4, -2.0), (0.0, 1e4)):
        logp, _, cache = dist.evaluate(np.float32([[0.0, mu]]), np.float32([[a]]))
        dy = dist.backward(cache, np.ones(1, np.float32), np.zeros(1, np.float32))
        assert logp.dtype == dy.dtype == np.float32 and np.isfinite(logp).all() and np.isfinite(dy).all()
    assert (dist.evaluate(np.float32([[0, 1e4]]), np.float32([[2]]))[0] == 0).all()


def test_gaussian_clips_for_the_environment_only(gaussian):
    y = np.array([[0.0, 0.0, 5.0, 0.0]])
    a = gaussian.sample(y, np.zeros((1, 2)))
    assert a.tolist() == [[5.0, 0.0]] and gaussian.to_env(a).tolist() == [[1.0, 0.0]]


def test_score_function_has_mean_zero(gaussian, rng):
    """E[∇log π] = 0 is the identity behind every baseline; the mean of 200,000 draws is within 5 standard errors of it."""
    y = np.array([[0.2, -0.3, 0.5, -0.5]]).repeat(200_000, axis=0)
    a = gaussian.sample(y, gaussian.noise(rng, len(y)))
    _, _, cache = gaussian.evaluate(y, a)
    score = gaussian.backward(cache, np.ones(len(y)), np.zeros(len(y)))
    assert (np.abs(score.mean(axis=0)) < 5 * score.std(axis=0) / np.sqrt(len(y))).all()


def test_score_function_gradient_of_a_quadratic(gaussian, rng):
    """The mean of f(a) ∇log π for f(a) = −(a − c)² is ∇_μ E[f] = −2(μ − c), within 5 standard errors."""
    mu, c = np.array([0.5, -1.0]), np.array([1.0, 2.0])
    y = np.tile([np.log(0.5), np.log(0.7), *mu], (400_000, 1))
    a = gaussian.sample(y, gaussian.noise(rng, len(y)))
    _, _, cache = gaussian.evaluate(y, a)
    estimates = gaussian.backward(cache, -((a - c) ** 2).sum(axis=1), np.zeros(len(y)))[:, 2:]
    assert (np.abs(estimates.mean(axis=0) + 2 * (mu - c)) < 5 * estimates.std(axis=0) / np.sqrt(len(y))).all()


@pytest.mark.parametrize("dist", [Categorical(3), Gaussian(-np.ones(2), np.ones(2))], ids=["categorical", "gaussian"])
def test_dtype_is_kept(dist, rng):
    y = rng.standard_normal((4, dist.outputs)).astype(np.float32)
    a = dist.sample(y, dist.noise(rng, 4))
    logp, entropy, cache = dist.evaluate(y, a)
    dy = dist.backward(cache, logp, entropy)
    assert logp.dtype == entropy.dtype == dy.dtype == np.float32
    assert a.dtype.kind == "i" or a.dtype == np.float32


# -- the tanh-Gaussian -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("log_std", ["tanh", "clamp"])
def test_tanh_gaussian_density_integrates_to_one(log_std):
    """Quadrature over the actions (−1, 1) catches a wrong scale or sign, and missing terms, of the correction for tanh."""
    dist = TanhGaussian(-np.ones(1), np.ones(1), log_std)
    y = np.array([[-0.3, 0.4]])
    _, log_sigma, _ = dist._read(y)
    u = np.linspace(-12, 12, 20_001)[:, None]
    eps = (u - 0.4) / np.exp(log_sigma)
    a, logp, _ = dist.sample(np.repeat(y, len(u), axis=0), eps)
    a = a[:, 0]
    assert np.sum(0.5 * (np.exp(logp[1:]) + np.exp(logp[:-1])) * np.diff(a)) == pytest.approx(1, abs=1e-3)


def test_tanh_correction_is_exact_far_out():
    """log(1 − tanh²u) is exact for |u| up to 50; the naive form is −∞ there, and wrong by 4.8 at u = 10."""
    dist = TanhGaussian(-np.ones(1), np.ones(1), "clamp")
    for u in (0.0, 1.0, 10.0, 50.0, -10.0, -50.0):
        _, logp, _ = dist.sample(np.array([[0.0, u]]), np.zeros((1, 1)))
        truth = 2 * (np.log(2) - abs(u) - np.log1p(np.exp(-2 * abs(u))))            # log sech²u
        assert logp[0] == pytest.approx(-0.5 * np.log(2 * np.pi) - truth, rel=1e-12)
    naive = np.log(1 - np.tanh(10.0) ** 2 + 1e-6)
    assert abs(naive - 2 * (np.log(2) - 10 - np.log1p(np.exp(-20)))) > 4


def test_conventions_for_log_sigma():
    y = np.array([[-50.0, 0.0], [0.0, 0.0], [50.0, 0.0]])
    _, log_std, slope = TanhGaussian(-np.ones(1), np.ones(1), "clamp")._read(y)
    assert log_std.ravel().tolist() == [-20, 0, 2] and slope.ravel().tolist() == [0, 1, 0]
    _, log_std, slope = TanhGaussian(-np.ones(1), np.ones(1), "tanh")._read(y)
    assert log_std.ravel() == pytest.approx([-5, -1.5, 2]) and slope.ravel() == pytest.approx([0, 3.5, 0])


def test_actions_are_scaled_in_one_place():
    dist = TanhGaussian(np.float32([-1, -3]), np.float32([2, 5]))
    np.testing.assert_allclose(dist.to_env(np.array([[-1.0, -1.0], [1.0, 1.0], [0.0, 0.5]])), [[-1, -3], [2, 5], [0.5, 3]])


def test_random_actions_reach_from_the_lower_end_to_the_upper():
    """The generator's numbers of [0, 1) become [−1, 1), one for each feature."""
    scale = ActionScale(np.zeros((2, 2), np.float32), np.ones((2, 2), np.float32))
    expected = 2 * np.random.default_rng(7).random((5, 4)) - 1
    np.testing.assert_allclose(scale.random(np.random.default_rng(7), 5), expected)


def test_leading_axes_are_free(rng):
    """A stack of K batches gives what each batch gives by itself."""
    y, u = rng.standard_normal((3, 5, 4)), rng.random((3, 5))
    np.testing.assert_allclose(log_softmax(y), [log_softmax(one) for one in y])
    np.testing.assert_array_equal(Categorical(4).greedy(y), [Categorical(4).greedy(one) for one in y])
    np.testing.assert_array_equal(categorical_sample(y, u), [categorical_sample(one, draw) for one, draw in zip(y, u, strict=True)])
    dist, eps, da = TanhGaussian(-np.ones(2), np.ones(2)), rng.standard_normal((3, 5, 2)), rng.standard_normal((3, 5, 2))
    a, logp, cache = dist.sample(y, eps)
    dy = dist.backward(cache, da, u)
    for k in range(3):
        one, alone, cache = dist.sample(y[k], eps[k])
        np.testing.assert_allclose(a[k], one)
        np.testing.assert_allclose(logp[k], alone)
        np.testing.assert_allclose(dy[k], dist.backward(cache, da[k], u[k]))
        np.testing.assert_allclose(dist.greedy(y)[k], dist.greedy(y[k]))


def test_the_clamp_of_log_sigma_binds_at_its_ends():
    y = np.array([[-20.5, 0], [-19.5, 0], [1.5, 0], [2.5, 0]])
    _, log_std, slope = TanhGaussian(-np.ones(1), np.ones(1), "clamp")._read(y)
    assert log_std.ravel().tolist() == [-20, -19.5, 1.5, 2] and slope.ravel().tolist() == [0, 1, 1, 0]


def test_a_gaussian_ignores_the_state_in_its_spread_and_is_scaled_unless_told():
    low, high = np.float32([10]), np.float32([100])
    assert Gaussian(low, high).constants == 1 and Gaussian(low, high, state_dependent_std=True).constants == 0
    assert Gaussian(low, high).to_env(np.float32([[0]])) == 55
