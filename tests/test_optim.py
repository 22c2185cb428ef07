"""Optimisers, clipping and the proximal step agree with numbers computed by hand."""

import math

import numpy as np
import pytest

from scratchac import optim
from scratchac.optim import SGD, Adam, RMSprop


def test_adam_by_hand():
    """Ten steps agree with a scalar loop that is the paper's algorithm 1, line by line."""
    gradients = [0.3, -0.2, 0.5, 0.1, -0.4, 0.6, 0.0, 0.2, -0.1, 0.7]
    p, m, v, expected = 1.0, 0.0, 0.0, []
    for t, g in enumerate(gradients, start=1):
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        p -= 0.01 * (m / (1 - 0.9**t)) / (math.sqrt(v / (1 - 0.999**t)) + 1e-8)
        expected.append(p)
    params = np.ones(1)
    adam = Adam(params)
    seen = []
    for g in gradients:
        adam.step(np.array([g]), 0.01)
        seen.append(params[0])
    np.testing.assert_allclose(seen, expected, rtol=1e-12)


def test_adams_first_step_is_the_sign(rng):
    """Bias correction makes the first step −lr · sign(g), however small the gradient."""
    g = rng.standard_normal(6) * 10.0 ** np.arange(-3, 3)
    params = np.zeros(6)
    Adam(params).step(g, 0.01)
    np.testing.assert_allclose(params, -0.01 * np.sign(g), rtol=1e-3)


def test_rmsprop_by_hand():
    params = np.zeros(1)
    rmsprop = RMSprop(params, decay=0.9, eps=0.1)
    rmsprop.step(np.array([2.0]), 0.5)                          # v = .1·4 = .4, step .5·2/√.5
    assert params[0] == pytest.approx(-1 / math.sqrt(0.5))
    rmsprop.step(np.array([1.0]), 0.5)                          # v = .36 + .1 = .46, step .5/√.56
    assert params[0] == pytest.approx(-1 / math.sqrt(0.5) - 0.5 / math.sqrt(0.56))


def test_sgd_by_hand():
    params = np.array([1.0, 2.0])
    SGD(params).step(np.array([10.0, -10.0]), 0.1)
    assert params.tolist() == [0.0, 3.0]


@pytest.mark.parametrize("kind", [SGD, RMSprop, Adam])
def test_state_goes_round(kind, rng):
    a, b = np.ones(4), np.ones(4)
    first, second = kind(a), kind(b)
    for _ in range(3):
        first.step(rng.standard_normal(4), 0.1)
    b[:] = a
    second.load_state(first.state())
    g = rng.standard_normal(4)
    first.step(g, 0.1)
    second.step(g, 0.1)
    assert np.array_equal(a, b)


@pytest.mark.parametrize("kind", [SGD, RMSprop, Adam])
def test_gradients_are_not_changed_and_float32_stays(kind, rng):
    params, g = np.ones(4, np.float32), rng.standard_normal(4).astype(np.float32)
    kept = g.copy()
    kind(params).step(g, 0.1)
    assert np.array_equal(g, kept) and params.dtype == np.float32


def test_clip_global_norm():
    g = np.array([3.0, 4.0])
    assert optim.clip_global_norm(g, 1.0) == 5.0
    np.testing.assert_allclose(g, [0.6, 0.8])
    assert optim.clip_global_norm(g, 2.0) == pytest.approx(1.0)
    np.testing.assert_allclose(g, [0.6, 0.8])                   # already short enough
    g = np.array([3.0, 4.0])
    assert optim.clip_global_norm(g, 0.0) == 5.0 and g.tolist() == [3.0, 4.0]
    for bad in (np.nan, np.inf):
        with pytest.raises(FloatingPointError):
            optim.clip_global_norm(np.array([1.0, bad]), 1.0)


def test_proximal_step_is_the_minimum(rng):
    """It minimises ‖w − w_opt‖²/2α + κ‖w − w_old‖², so every small displacement makes that larger."""
    w_old, w_opt, lr, kappa = rng.standard_normal(3), rng.standard_normal(3), 0.1, 2.0

    def objective(w):
        return ((w - w_opt) ** 2).sum() / (2 * lr) + kappa * ((w - w_old) ** 2).sum()

    w = w_opt.copy()
    optim.proximal_step(w, w_old, lr, kappa)
    for d in np.concatenate([np.eye(3), -np.eye(3)]):
        assert objective(w + 1e-4 * d) > objective(w)


def test_proximal_step_of_one_gradient_step(rng):
    """With one step per batch Δ = −αg/(1 + 2ακ), so κ only lowers the learning rate."""
    w_old, g = rng.standard_normal((2, 3))
    w = w_old - 0.1 * g
    optim.proximal_step(w, w_old, 0.1, 3.0)
    np.testing.assert_allclose(w - w_old, -0.1 * g / (1 + 2 * 0.1 * 3.0))
    w = w_old - 0.1 * g
    optim.proximal_step(w, w_old, 0.1, 0.0)
    np.testing.assert_allclose(w, w_old - 0.1 * g)


def test_rmsprops_defaults():
    """ρ = .99 and ε = 1e-5: at g = .1 the first step has v = .01·.01 = 1e-4, so it is lr·.1/√1.1e-4."""
    params = np.zeros(1)
    RMSprop(params).step(np.array([0.1]), 0.5)
    assert params[0] == pytest.approx(-0.05 / math.sqrt(1.1e-4))


def test_polyak_by_hand():
    """A quarter of the way from 1 to 5 is 2, and all of it is 5, to the last bit."""
    target, online = np.array([1.0, -0.1]), np.array([5.0, 0.3])
    optim.polyak(target, online, 0.25)
    np.testing.assert_allclose(target, [2.0, 0.0], atol=1e-15)
    optim.polyak(target, online, 1.0)
    assert np.array_equal(target, online) and online.tolist() == [5.0, 0.3]
