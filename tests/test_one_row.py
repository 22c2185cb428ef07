"""One row through compiled networks, and whole rollouts, against the reference's steps one by one."""

import gymnasium as gym
import numpy as np
import pytest

from scratchac.algorithms.actor_critic import ActorCritic, Config
from scratchac.distributions import Categorical
from scratchac.environments.compiled_worlds import STOCK, CompiledWorlds
from scratchac.nn import MLP, Parameters, linear
from scratchac.training import compiled_rollouts
from scratchac.training.compiled import traced_networks
from scratchac.training.compiled_rollouts import Ended
from scratchac.training.episodes import Episodes
from scratchac.training.memory import Batch

one_row = pytest.importorskip("kernels.numba_one_row", reason="Numba is not installed")
from kernels import numba_rollouts  # noqa: E402  only with Numba
from kernels.numba_networks import CODES  # noqa: E402

# layers of one, two, few and many units, which have loops of their own, in different places
NETWORKS = [(sizes, activation) for sizes in ((3, 1), (3, 9, 2, 1), (2, 7, 8, 3), (5, 1, 8, 4, 2))
            for activation in ("relu", "tanh")]


def network(sizes, activation, rng):
    """(MLP, its Parameters, what the compiled functions take for sizes and activation)."""
    mlp = MLP(sizes, activation)
    params = Parameters(mlp.shapes(), np.float64)
    params.flat[:] = rng.standard_normal(params.flat.size)
    return mlp, params, (np.array(sizes), CODES[activation])


@pytest.mark.parametrize("sizes, activation", NETWORKS)
def test_outputs_of_all_layers_at_one_row(sizes, activation, rng):
    mlp, params, kind = network(sizes, activation, rng)
    x, right, y = rng.standard_normal(sizes[0]), [], np.full(sum(sizes[1:]), np.nan)
    given = x[None]
    for i in range(1, mlp.layers + 1):
        given = linear(given, params[f"W{i}"], params[f"b{i}"], activation if i < mlp.layers else "identity")
        right.append(given[0])
    one_row.forward_row(params.flat, *kind, x, y)
    np.testing.assert_allclose(y, np.concatenate(right), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("sizes, activation", NETWORKS)
def test_a_step_along_the_trace_at_one_row(sizes, activation, rng):
    """z ← 0.3 z + 0.7 g and p ← p − 0.02 z, twice; the second step ends the episode."""
    mlp, params, kind = network(sizes, activation, rng)
    x, dy = rng.standard_normal((1, sizes[0])), rng.standard_normal((1, sizes[-1]))
    trace, grads = rng.standard_normal(params.flat.size), params.zeros_like()
    flat, z, y = params.flat.copy(), trace.copy(), np.empty(sum(sizes[1:]))
    for done in (False, True):
        _, cache = mlp.forward(params, x)
        mlp.backward(params, cache, dy, grads)
        trace = 0.3 * trace + 0.7 * grads.flat
        params.flat[:] -= 0.02 * trace
        one_row.forward_row(flat, *kind, x[0], y)
        one_row.step_row(flat, z, *kind, x[0], y, dy[0].copy(), (0.3, 0.7, 0.01), -2.0, done)
        np.testing.assert_allclose(flat, params.flat, rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(z, 0 * trace if done else trace, rtol=1e-12, atol=1e-14)


def test_an_action_is_drawn_by_hand():
    """The cumulative probabilities are 0.2, 0.5 and 1."""
    log_pi, pi = np.empty(3), np.array([0.2, 0.3, 0.5])
    drawn = [one_row.draw(np.log(pi) + 7, u, log_pi) for u in (0.0, 0.19, 0.21, 0.49, 0.51)]
    assert [action for action, _ in drawn] == [0, 0, 1, 1, 2]
    assert [entropy for _, entropy in drawn] == pytest.approx([-(pi * np.log(pi)).sum()] * 5)
    assert np.exp(log_pi) == pytest.approx(pi)


def test_an_action_is_drawn_where_an_exponential_overflows():
    """The largest logit may be the first, another or the last one."""
    for largest, logits in enumerate(([1000.0, 0, -1000], [0, 1000.0, -1000], [-1000, 0, 1000.0])):
        log_pi = np.empty(3)
        assert one_row.draw(np.array(logits), 0.5, log_pi) == (largest, 0)
        assert log_pi.tolist() == [x - 1000 for x in logits]


# -- rollouts ----------------------------------------------------------------------------------------------------------------


def twins(n, stock):
    """The same carts twice, with 11 steps to an episode, of which the first has `stock` first states left."""
    made = [CompiledWorlds("CartPole-v1", n, 3) for _ in range(2)]
    for worlds in made:
        worlds.worlds = worlds.worlds._replace(limit=11)
        worlds.reset()
        worlds.worlds.used[0] = STOCK - stock
    return made


def same_episodes(ours, right):
    assert (ours.finished, list(ours.recent)) == (right.finished, list(right.recent))
    np.testing.assert_array_equal(ours.returns, right.returns)
    np.testing.assert_array_equal(ours.lengths, right.lengths)


def test_a_rollout_is_acting_and_stepping_in_turn(rng):
    """Also where it stops for new first states and goes on."""
    T, N = 50, 2
    worlds, twin = twins(N, 3)
    mlp, params, kind = network((4, 5, 2), "tanh", rng)
    params["W2"][:] /= 4
    params["b2"][:] = 0, 2                                                  # mostly one way, so that some poles fall in time
    u, episodes, right, ends = rng.random((T, N)), Episodes(N), Episodes(N), [0]
    (s, s2), (r, term, done), a = np.full((2, T, N, 4), np.nan), np.full((3, T, N), np.nan), np.full((T, N), -1)
    ended, obs = Ended(episodes, T * N), twin.worlds.obs.copy()
    while ends[-1] < T:
        worlds.refill()
        ends.append(numba_rollouts.rollout(tuple(worlds.worlds), (params.flat, params.zeros_like().flat, *kind), np.empty(N * 7), u,
                                           (0.0, 0.0, 0.0), (s, a, r, s2, term, done), ended.progress, ends[-1]))
        assert worlds.worlds.used.max() == STOCK or ends[-1] == T
    ended.record()
    for t in range(T):
        actions = Categorical(2).sample(mlp.forward(params, obs.astype(np.float64))[0], u[t])
        seen, (obs, rewards, next_obs, terminated, truncated) = obs, twin.step(actions)
        right.add(rewards, terminated | truncated)
        came = seen, actions, rewards, next_obs, terminated, terminated | truncated
        for x, y in zip((s, a, r, s2, term, done), came, strict=True):
            np.testing.assert_array_equal(x[t], y)
    same_episodes(episodes, right)
    assert len(ends) == 3 and 0 < term.sum() < done.sum() < T * N


@pytest.mark.parametrize("discount_actor", [False, True])
def test_steps_of_the_actor_critic_in_one_call(discount_actor, rng):
    """The parameters, traces, sums of metrics and episodes of the reference."""
    T = 60
    (worlds, twin), episodes, right, ends = twins(1, 3), Episodes(1), Episodes(1), [0]
    options = {"hidden": (2, 9), "gamma": 0.9, "lam_actor": 0.5, "lam_critic": 0.7, "actor_lr": 0.02, "critic_lr": 0.05,
               "activation": "tanh", "discount_actor": discount_actor}
    agent, reference = (ActorCritic(Config(**options), twin.observation_space, gym.spaces.Discrete(2), 1, np.float64)
                        for _ in range(2))
    agent.model.flat[:] = reference.model.flat[:] = rng.standard_normal(agent.model.flat.size)
    u, sums, metrics = rng.random(T), np.zeros(6), np.zeros(5)
    ended, rates = Ended(episodes, T), np.tile([0.9, 0.45, 0.02, 0.63, 0.05], (T, 1))
    obs, terms, truncs = twin.worlds.obs.copy(), 0, 0
    while ends[-1] < T:
        worlds.refill()
        ends.append(numba_rollouts.one_step_rollout(tuple(worlds.worlds), *traced_networks(agent), u, rates, discount_actor,
                                                    ended.progress, sums, ends[-1]))
    ended.record()
    for t in range(T):
        actions, length = Categorical(2).sample(reference.model.policy(obs.astype(np.float64)), u[t : t + 1]), right.lengths.copy()
        start, rewards, next_obs, term, trunc = twin.step(actions)
        batch = Batch(*(x[None].astype(y) for x, y in zip((obs, actions, rewards, next_obs, term, trunc, length),
                                                          (float, int, float, float, float, float, int), strict=True)))
        metrics += list(reference.update(batch).values())
        right.add(rewards, term | trunc)
        obs, terms, truncs = start, terms + term.sum(), truncs + (trunc & ~term).sum()
    np.testing.assert_allclose(agent.model.flat, reference.model.flat, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(agent.trace, reference.trace, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(sums, [*metrics, 0], rtol=1e-9)
    same_episodes(episodes, right)
    assert len(ends) == 3 and terms and truncs


def test_an_infinite_td_error_changes_nothing():
    worlds = CompiledWorlds("CartPole-v1", 1, 0)
    worlds.reset()
    agent = ActorCritic(Config(hidden=(3,)), worlds.observation_space, gym.spaces.Discrete(2), 1, np.float64)
    agent.model.w.flat[-1] = np.inf
    before, sums, ended = agent.model.flat.copy(), np.zeros(6), Ended(Episodes(1), 5)
    with np.errstate(all="ignore"):                                         # NumPy warns where the kernels run as Python
        came = numba_rollouts.one_step_rollout(tuple(worlds.worlds), *traced_networks(agent), np.full(5, 0.5),
                                               np.full((5, 5), 0.1), True, ended.progress, sums, 2)
    assert (came, sums.tolist(), ended.progress[1].tolist()) == (2, [0, 0, 0, 0, 0, 1], [0])
    np.testing.assert_array_equal(agent.model.flat, before)


def test_each_rollout_is_that_of_its_algorithm():
    assert {name: (update.function, update.stands_for) for name, update in numba_rollouts.UPDATES.items()} == {
        "one_step_rollout": (numba_rollouts.one_step_rollout, "scratchac.algorithms.actor_critic.ActorCritic"),
        "a2c_rollout": (numba_rollouts.rollout, "scratchac.algorithms.a2c.A2C"),
        "ppo_rollout": (numba_rollouts.rollout, "scratchac.algorithms.ppo.PPO")}
    assert compiled_rollouts.LOOPS.keys() == numba_rollouts.UPDATES.keys()
