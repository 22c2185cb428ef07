"""Losses agree with numbers computed by hand, and refuse shapes that would broadcast."""

import numpy as np
import pytest

from scratchac import losses


@pytest.mark.parametrize("loss", [losses.policy_gradient, losses.mse, losses.huber,
                                  lambda x, y: losses.proximal(x, y, 1.0), lambda x, y: losses.clipped_surrogate(x, x, y, 0.2),
                                  lambda x, y: losses.clipped_surrogate(x, y, y, 0.2),
                                  lambda x, y: losses.clipped_mse(x, y, y, 0.2)])
@pytest.mark.parametrize("shapes", [((3, 1), (3,)), ((3,), (3, 1)), ((3, 1), (3, 1)), ((3,), (4,))])
def test_shapes_are_asserted_at_the_door(loss, shapes):
    """(B, 1) against (B,) would broadcast to (B, B) and train on nonsense."""
    with pytest.raises(ValueError, match="two vectors of one length"):
        loss(*(np.zeros(shape) for shape in shapes))


def test_entropy_bonus_takes_a_vector():
    with pytest.raises(ValueError, match="two vectors"):
        losses.entropy_bonus(np.zeros((3, 1)), 0.1)


@pytest.mark.parametrize("loss", [losses.policy_gradient, losses.mse, losses.huber])
def test_a_batch_is_the_mean_of_its_rows(loss, rng):
    x, y = rng.standard_normal((2, 7))
    rows = [loss(x[i : i + 1], y[i : i + 1]) for i in range(7)]
    total, grad = loss(x, y)
    assert total == pytest.approx(np.mean([value for value, _ in rows]))
    np.testing.assert_allclose(grad, np.concatenate([g for _, g in rows]) / 7)


def test_stacked_critics_are_the_mean_of_their_rows_and_the_sum_of_their_losses(rng):
    q, target = rng.standard_normal((2, 7)), rng.standard_normal(7)
    rows = [losses.stacked_mse(q[:, i : i + 1], target[i : i + 1]) for i in range(7)]
    total, grad = losses.stacked_mse(q, target)
    assert total == pytest.approx(np.mean([value for value, _ in rows]))
    assert total == pytest.approx(sum(losses.mse(one, target)[0] for one in q))
    np.testing.assert_allclose(grad, np.concatenate([g for _, g in rows], axis=1) / 7)


def test_by_hand():
    logp, adv = np.log([0.5, 0.25]), np.array([2.0, -1.0])
    assert losses.policy_gradient(logp, adv)[0] == pytest.approx(-(2 * np.log(0.5) - np.log(0.25)) / 2)
    assert losses.mse(np.array([1.0, 5.0]), np.array([0.0, 3.0])) == (pytest.approx(2.5 / 2), pytest.approx([0.5, 1.0]))
    # errors 0.5 and 3 with δ = 1: ½·¼ and 3 − ½
    value, grad = losses.huber(np.array([0.5, 3.0]), np.zeros(2), 1.0)
    assert value == pytest.approx((0.125 + 2.5) / 2) and grad.tolist() == [0.25, 0.5]
    assert losses.entropy_bonus(np.array([1.0, 3.0]), 0.1) == (pytest.approx(-0.2), pytest.approx([-0.05, -0.05]))
    assert losses.proximal(np.array([3.0]), np.array([1.0]), 0.5) == (pytest.approx(2.0), pytest.approx([2.0]))


def test_huber_is_mse_for_small_errors(rng):
    v, y = 0.1 * rng.standard_normal((2, 9))
    assert losses.huber(v, y)[0] == pytest.approx(losses.mse(v, y)[0])


def test_proximal_gradient_is_zero_where_updates_begin(rng):
    w = rng.standard_normal(5)
    assert not losses.proximal(w, w.copy(), 3.0)[1].any()


def test_the_clip_by_hand():
    """Good actions that are likelier than 1 + ε times, and bad ones less likely than 1 − ε times, teach nothing more."""
    ratio, adv = np.array([0.5, 0.5, 1.5, 1.5, 1.1]), np.array([2.0, -2.0, 2.0, -2.0, 2.0])
    loss, grad = losses.clipped_surrogate(np.log(ratio), np.zeros(5), adv, 0.2)
    assert loss == pytest.approx(-(0.5 * 2 - 0.8 * 2 + 1.2 * 2 - 1.5 * 2 + 1.1 * 2) / 5)
    np.testing.assert_allclose(grad, [-1.0 / 5, 0, 0, 3.0 / 5, -2.2 / 5])
    assert losses.clipped_surrogate(np.zeros(5), np.zeros(5), adv, 0.2)[1] == pytest.approx(losses.policy_gradient(adv, adv)[1])


def test_not_a_number_is_not_clipped_away():
    assert np.isnan(losses.clipped_surrogate(np.full(1, np.nan), np.zeros(1), np.ones(1), 0.2)[1]).all()
    assert np.isnan(losses.clipped_mse(np.full(1, np.nan), np.zeros(1), np.ones(1), 0.2)[1]).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1e-6, 1e-2, 1, 1e3])
def test_values_within_the_clip_have_the_gradient_of_the_squared_error(size, dtype, rng):
    """v_old + (v − v_old) is not always v: taken for clipping, this gave up to a tenth of the rows a gradient of 0."""
    v_old, target = (size * rng.standard_normal((2, 10_000))).astype(dtype)
    v = v_old + (rng.uniform(-0.2, 0.2, 10_000) * rng.choice([1e-3, 1], 10_000)).astype(dtype)
    inside = np.abs(v - v_old) <= 0.2
    loss, grad = losses.clipped_mse(v, v_old, target, 0.2)
    np.testing.assert_array_equal(grad[inside], losses.mse(v, target)[1][inside])
    assert inside.mean() > 0.9 and loss == pytest.approx(losses.mse(v, target)[0], rel=1e-4)
    beyond, _ = losses.clipped_mse(v_old + 1, v_old, v_old + 3, 0.2)[0], None
    assert beyond == pytest.approx(2.8**2 / 2, rel=1e-3)            # the larger error: 3 − 0.2 instead of 3 − 1


def test_the_clip_of_values_by_hand():
    """From 0 by ±1 with ε = .2: towards ±3 the larger error is 3 − .2 and teaches nothing, away from ∓3 it is 4 and does."""
    v, target = np.array([1.0, -1.0, 1.0, -1.0]), np.array([3.0, -3.0, -3.0, 3.0])
    loss, grad = losses.clipped_mse(v, np.zeros(4), target, 0.2)
    assert loss == pytest.approx((2.8**2 + 2.8**2 + 4**2 + 4**2) / 8) and grad.tolist() == [0, 0, 1, -1]


@pytest.mark.parametrize("loss", [lambda old: losses.clipped_surrogate(np.zeros(3), old, np.ones(3), 0.2),
                                  lambda old: losses.clipped_mse(np.zeros(3), old, np.ones(3), 0.2)])
@pytest.mark.parametrize("shape", [(3, 1), (1,), (2,)])
def test_the_shape_of_old_values_is_asserted_too(loss, shape):
    with pytest.raises(ValueError, match="two vectors of one length"):
        loss(np.zeros(shape))


def test_huber_is_linear_beyond_1_unless_told():
    value, grad = losses.huber(np.array([3.0]), np.zeros(1))
    assert value == 2.5 and grad.tolist() == [1.0]


@pytest.mark.parametrize("shapes", [((3,), ()), ((2, 3, 1), (3, 1)), ((2, 3), (2,)), ((2, 3), (1,)), ((2, 1), (3,))])
def test_stacked_critics_have_one_axis_more_than_their_target(shapes):
    with pytest.raises(ValueError, match=r"critics \(K, B\) and targets \(B,\)"):
        losses.stacked_mse(*(np.zeros(shape) for shape in shapes))
