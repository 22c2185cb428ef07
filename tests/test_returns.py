"""Estimators agree with numbers computed by hand, with each other, and with slow sums that follow their definitions."""

import numpy as np
import pytest

from scratchac import returns


def column(*x):
    return np.array(x, float)[:, None]


def slow_gae(r, v, v_next, term, done, gamma, lam):
    """Âₜ = Σₖ (γλ)ᵏ δₜ₊ₖ up to the end of the episode, summed in O(T²)."""
    out = np.zeros_like(r)
    for n in range(r.shape[1]):
        for t in range(len(r)):
            weight = 1.0
            for k in range(t, len(r)):
                out[t, n] += weight * (r[k, n] + gamma * (0 if term[k, n] else v_next[k, n]) - v[k, n])
                if done[k, n]:
                    break
                weight *= gamma * lam
    return out


def slow_n_step(r, v_next, term, done, gamma, n):
    out = np.zeros_like(r)
    for i in range(r.shape[1]):
        for t in range(len(r)):
            weight = 1.0
            for k in range(t, min(t + n, len(r))):
                out[t, i] += weight * r[k, i]
                weight *= gamma
                if done[k, i] or k == min(t + n, len(r)) - 1:
                    out[t, i] += weight * (0 if term[k, i] else v_next[k, i])
                    break
    return out


@pytest.fixture
def data(rng):
    """Random rollouts whose episodes terminate, are truncated, or both at once."""
    T, N = 12, 5
    term, trunc = (rng.random((2, T, N)) < 0.2).astype(float)
    done = np.maximum(term, trunc)
    r, v, v_next = rng.standard_normal((3, T, N))
    v_next[:-1] = np.where(done[:-1] > 0, v_next[:-1], v[1:])       # within an episode s′ₜ is sₜ₊₁
    return r, v, v_next, term, done


def test_gae_by_hand():
    """Here γ = λ = .5, the rewards are 1, 2, 3, V is 1 everywhere, and the last row is terminal.

    δ = 1 + .5 − 1 = .5;  2 + .5 − 1 = 1.5;  3 − 1 = 2.   Â₂ = 2;  Â₁ = 1.5 + .25·2 = 2;  Â₀ = .5 + .25·2 = 1.
    """
    one = column(1, 1, 1)
    adv = returns.gae(column(1, 2, 3), one, one, column(0, 0, 1), column(0, 0, 1), 0.5, 0.5)
    assert adv.ravel().tolist() == [1.0, 2.0, 2.0]


def test_the_last_row_bootstraps():
    """Where a rollout ends within an episode, Â_{T−1} is r + γV(s′) − V(s), and neither 0 nor r − V(s)."""
    adv = returns.gae(column(1), column(2), column(10), column(0), column(0), 0.9, 0.95)
    assert adv[0, 0] == pytest.approx(1 + 9 - 2)


def test_monte_carlo_by_hand():
    """With γ = .5 an episode that terminates has 1 + .5·2 = 2, and one that is truncated at V(s′) = 8 has 4 + .5·8 = 8."""
    g = returns.monte_carlo(column(1, 2, 4), column(7, 7, 8), column(0, 1, 0), column(0, 1, 1), 0.5)
    assert g.ravel().tolist() == [2.0, 2.0, 8.0]


def test_truncation_is_not_termination():
    """A reward of 1 for ever has V = 1/(1−γ). A time limit must not change that; a terminal state must."""
    gamma = 0.9
    forever = 1 / (1 - gamma)
    r, v = np.ones((6, 1)), np.full((6, 1), forever)
    end, never = column(0, 0, 0, 0, 0, 1), np.zeros((6, 1))
    np.testing.assert_allclose(returns.monte_carlo(r, v, never, end, gamma), v)
    np.testing.assert_allclose(returns.gae(r, v, v, never, end, gamma, 0.95), 0, atol=1e-12)
    np.testing.assert_allclose(returns.lambda_return(r, v, never, end, gamma, 0.5), v)
    np.testing.assert_allclose(returns.n_step(r, v, never, end, gamma, 3), v)
    finite = sum(gamma**k for k in range(6))
    assert returns.monte_carlo(r, v, end, end, gamma)[0, 0] == pytest.approx(finite)
    assert finite < forever - 1                         # the wrong mask would not go unnoticed


def test_terminal_and_truncated_at_once_does_not_bootstrap():
    v = column(100)
    for estimate in (returns.monte_carlo(column(1), v, column(1), column(1), 0.9),
                     returns.n_step(column(1), v, column(1), column(1), 0.9, 2),
                     returns.td_target(column(1), v, column(1), 0.9),
                     returns.lambda_return(column(1), v, column(1), column(1), 0.9, 0.5)):
        assert estimate[0, 0] == 1


def test_gae_follows_its_definition(data):
    r, v, v_next, term, done = data
    np.testing.assert_allclose(returns.gae(r, v, v_next, term, done, 0.9, 0.8), slow_gae(r, v, v_next, term, done, 0.9, 0.8))


@pytest.mark.parametrize("n", [1, 2, 5, 12, 99])
def test_n_step_follows_its_definition(data, n):
    r, _, v_next, term, done = data
    np.testing.assert_allclose(returns.n_step(r, v_next, term, done, 0.9, n), slow_n_step(r, v_next, term, done, 0.9, n))


def test_identities(data):
    r, v, v_next, term, done = data
    gamma = 0.97
    td = returns.td_target(r, v_next, term, gamma)
    mc = returns.monte_carlo(r, v_next, term, done, gamma)
    np.testing.assert_allclose(returns.gae(r, v, v_next, term, done, gamma, 0.0), td - v)
    np.testing.assert_allclose(returns.gae(r, v, v_next, term, done, gamma, 1.0), mc - v)
    np.testing.assert_allclose(returns.n_step(r, v_next, term, done, gamma, 1), td)
    np.testing.assert_allclose(returns.n_step(r, v_next, term, done, gamma, len(r)), mc)
    lam = returns.lambda_return(r, v_next, term, done, gamma, 0.7)
    np.testing.assert_allclose(lam, v + returns.gae(r, v, v_next, term, done, gamma, 0.7))


def test_lambda_return_is_the_weighted_mean_of_n_step_returns(rng):
    """G^λ = (1−λ) Σₙ λⁿ⁻¹ G⁽ⁿ⁾ + λ^{T−1} G_T for one episode of T steps (Sutton & Barto 2018, eq. 12.3)."""
    T, lam, gamma = 6, 0.6, 0.9
    r, v_next = rng.standard_normal((2, T, 1))
    end = column(0, 0, 0, 0, 0, 1)
    n_steps = [returns.n_step(r, v_next, end, end, gamma, n)[0, 0] for n in range(1, T + 1)]
    expected = (1 - lam) * sum(lam ** (n - 1) * n_steps[n - 1] for n in range(1, T)) + lam ** (T - 1) * n_steps[-1]
    assert returns.lambda_return(r, v_next, end, end, gamma, lam)[0, 0] == pytest.approx(expected)


def test_v_of_s_equals_s_environment():
    """A countdown 3, 2, 1 that pays 1 a step has V(s) = s at γ = 1, and with that critic every advantage is 0."""
    v, v_next = column(3, 2, 1), column(2, 1, 0)
    adv = returns.gae(np.ones((3, 1)), v, v_next, column(0, 0, 1), column(0, 0, 1), 1.0, 0.95)
    np.testing.assert_allclose(adv, 0, atol=1e-12)


@pytest.mark.parametrize("estimator", ["monte_carlo", "n_step", "lambda_return", "gae"])
def test_inputs_are_not_changed_and_dtype_is_kept(data, estimator):
    r, v, v_next, term, done = (x.astype(np.float32) for x in data)
    arguments = {"monte_carlo": (r, v_next, term, done, 0.9), "n_step": (r, v_next, term, done, 0.9, 3),
                 "lambda_return": (r, v_next, term, done, 0.9, 0.5), "gae": (r, v, v_next, term, done, 0.9, 0.5)}[estimator]
    kept = [x.copy() for x in arguments if isinstance(x, np.ndarray)]
    assert getattr(returns, estimator)(*arguments).dtype == np.float32
    assert all(np.array_equal(a, b) for a, b in zip(kept, (x for x in arguments if isinstance(x, np.ndarray)), strict=True))
