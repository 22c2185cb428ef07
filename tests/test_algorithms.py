"""Agents learn on environments with a known answer; each test exposes a mistake that would go unnoticed elsewhere."""

from types import SimpleNamespace

import numpy as np
import pytest
from probes import Bandit, Constant, Match, Target

import scratchac
from scratchac import losses
from scratchac.algorithms.a2c import A2C
from scratchac.algorithms.a2c import Config as A2CConfig
from scratchac.algorithms.actor_critic import ActorCritic
from scratchac.algorithms.actor_critic import Config as ActorCriticConfig
from scratchac.environments.vector import VectorEnv
from scratchac.errors import TrainingError, UserError
from scratchac.lab.patch import Installed
from scratchac.policies import act
from scratchac.training.evaluation import evaluate
from scratchac.training.loops import train
from scratchac.training.memory import Batch

ALL = ["reinforce", "reinforce-baseline", "actor-critic", "a2c", "ppo"]


def batch_for(agent, rng, T=4, N=3, O=3):
    obs, next_obs = rng.standard_normal((2, T, N, O)).astype(agent.dtype)
    rewards, zero = rng.standard_normal((T, N)).astype(agent.dtype), np.zeros((T, N), agent.dtype)
    return Batch(obs, np.stack([agent.sample(o) for o in obs]), rewards, next_obs, zero, zero, np.zeros((T, N), int))


def a2c(discrete=True, dtype=np.float64, **options):
    import gymnasium as gym

    action_space = gym.spaces.Discrete(4) if discrete else gym.spaces.Box(-1, 1, (2,))
    options = {"hidden": (8,), "envs": 3, "rollout": 4} | options
    return A2C(A2CConfig(**options), gym.spaces.Box(-1, 1, (3,)), action_space, seed=0, dtype=dtype)


# -- learning ---------------------------------------------------------------------------------------------------------

# Calibrated on 20 other seeds, every one of which got there; the continuous threshold is more than 3 standard deviations away.
LEARNS = {
    "reinforce": {"steps": 2000, "lr": 0.02},
    "reinforce-baseline": {"steps": 2000, "actor_lr": 0.02, "critic_lr": 0.02},
    "actor-critic": {"steps": 2000, "actor_lr": 0.05, "critic_lr": 0.05},
    "a2c": {"steps": 4000, "actor_lr": 0.01, "critic_lr": 0.01},
    "ppo": {"steps": 4000, "lr": 0.01, "rollout": 32},
}


@pytest.mark.parametrize("algorithm", ALL)
def test_finds_the_paying_action(algorithm):
    """Of the actions 5, 6 and 7 only 6 pays. This also checks that actions are translated to a space that starts at 5."""
    agent = scratchac.train(algorithm, env=lambda: Bandit(start=5), hidden=(8,), **LEARNS[algorithm])
    assert evaluate(agent, lambda: Bandit(start=5), episodes=5).mean() == 1
    assert agent.act(np.ones(1), explore=False) == 6


@pytest.mark.parametrize("algorithm", ALL)
def test_looks_at_the_observation(algorithm):
    agent = scratchac.train(algorithm, env=Match, hidden=(8,), **LEARNS[algorithm])
    assert evaluate(agent, Match, episodes=50).mean() == 1


@pytest.mark.parametrize("options", [{}, {"shared_body": True}, {"advantage": "qv"}, {"advantage": "td"},
                                     {"advantage": "nstep", "n_step": 2}, {"advantage": "mc"}, {"value_loss": "huber"},
                                     {"critic_steps": 3, "kappa": 0.5},
                                     {"normalise_obs": True, "scale_rewards": True}, {"normalise_advantage": True},
                                     {"discount_actor": True}, {"optimiser": "adam"},
                                     pytest.param({"vector": "async", "envs": 2}, marks=pytest.mark.slow)], ids=str)
def test_every_variant_of_a2c_learns(options):
    agent = scratchac.train("a2c", env=Match, hidden=(8,), **(LEARNS["a2c"] | options))
    assert evaluate(agent, Match, episodes=50).mean() == 1


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"state_dependent_std": True}, {"shared_body": True}], ids=str)
def test_continuous_actions(options):
    """The reward −(a − ½)² draws the mean to ½. The policy samples actions outside the box, but the environment sees none."""
    settings = {"steps": 20_000, "envs": 8, "rollout": 4, "actor_lr": 0.005, "critic_lr": 0.01}
    agent = scratchac.train("a2c", env=Target, hidden=(8,), **settings, **options)
    assert abs(float(agent.act(np.ones(1), explore=False)[0]) - 0.5) < 0.3


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"clip_value": 0.2}, {"target_kl": 0.01}, {"normalise_obs": True, "scale_rewards": True},
                                     {"entropy_coef": 0.01, "clip": "linear:0.2:0"}, {"batch_size": 50}], ids=str)
def test_every_variant_of_ppo_learns(options):
    agent = scratchac.train("ppo", env=Match, hidden=(8,), **(LEARNS["ppo"] | options))
    assert evaluate(agent, Match, episodes=50).mean() == 1


def test_ppo_stops_early_where_the_policy_has_moved_enough(rng):
    """If the first pass exceeds the bound, there is no second one, and the parameters are those after one pass."""
    agents = [scratchac.make_agent("ppo", Match, 0, envs=3, rollout=4, batch_size=4, hidden=(8,), lr=0.1, epochs=epochs,
                                   target_kl=target) for epochs, target in ((5, 1e-9), (1, 0.0), (5, 0.0))]
    batch = batch_for(agents[0], rng, O=agents[0].model.actor.sizes[0])
    for agent in agents:
        agent.update(batch)
    early, once, full = (agent.model.flat for agent in agents)
    np.testing.assert_array_equal(early, once)
    assert np.abs(full - once).max() > 1e-3


def test_a_minibatch_step_uses_the_gradient_that_it_is_given_or_else_its_own():
    agent = scratchac.make_agent("ppo", Match, 0, hidden=(8,))
    s, a, data, h = np.zeros((2, agent.observation_shape[0]), "f"), np.zeros(2, int), np.ones(2, "f"), agent.schedules(0)
    assert agent.minibatch_step(s, a, data, data, data, h, lambda *_: {"mine": 1}).keys() == {"mine", "grad_norm"}
    assert agent.minibatch_step(s, a, data, data, data, h).keys() == set(agent.metrics)


@pytest.mark.parametrize("scale, unit", [(False, 1), (True, 0.75)])
def test_the_advantages_of_ppo_by_hand(scale, unit):
    """V = 0, γ = ½, λ = ¼ and the rewards 1 and 2 give 1 + ⅛·2 and 2. The scale of rewards is the deviation of 1 and 2 + ½·1."""
    agent, seen = scratchac.make_agent("ppo", Constant, envs=1, rollout=2, batch_size=2, epochs=1, hidden=(4,), gamma=0.5, lam=0.25,
                                       scale_rewards=scale), []
    agent.model.w.flat[:] = 0
    agent.minibatch_step = lambda s, a, logp, v, adv, *_: seen.extend(sorted(adv)) or dict.fromkeys(agent.metrics, 0)
    obs, zeros = np.zeros((2, 1, 1), np.float32), np.zeros((2, 1), np.float32)
    agent.update(Batch(obs, zeros.astype(int), np.array([[1], [2]], np.float32), obs, zeros, zeros, zeros.astype(int)))
    assert seen == pytest.approx([1.25 / unit, 2 / unit])


@pytest.mark.parametrize("value", [0.1, 0.3, 7.77, 123.4, -1e-3])
@pytest.mark.parametrize("rows", [2, 63, 256])
def test_equal_advantages_are_no_better_than_others(rows, value, rng):
    """In float32 their mean may differ from each of them; divided by their deviation, that would be ±1."""
    seen, equal = [], np.full(rows, value, np.float32)
    ppo = scratchac.make_agent("ppo", "CartPole-v1", hidden=(4,))
    ppo.minibatch_step(np.zeros((rows, 4), np.float32), np.zeros(rows, np.int64), equal, equal, equal, ppo.schedules(0),
                       lambda s, a, logp, v, adv, target, h: seen.append(adv) or {})
    actor_critic = a2c(dtype=np.float32, normalise_advantage=True)
    actor_critic.estimate = lambda *_: (equal, equal)
    with Installed(losses.policy_gradient, lambda logp, adv: seen.append(adv) or (0.0, np.zeros_like(logp))):
        actor_critic.gradient(batch_for(actor_critic, rng, T=rows, N=1), actor_critic.schedules(0))
    for adv in seen:
        assert adv.dtype == np.float32 and not adv.any()
    assert len(seen) == 2


def test_a_minibatch_larger_than_the_rollout():
    with pytest.raises(UserError, match=r"batch_size=64 is more than the 40 rows"):
        scratchac.make_agent("ppo", Match, envs=8, rollout=5)


@pytest.mark.slow
def test_eligibility_traces_learn():
    agent = scratchac.train("actor-critic", env=Match, hidden=(8,), lam_actor=0.8, lam_critic=0.8, **LEARNS["actor-critic"])
    assert evaluate(agent, Match, episodes=50).mean() == 1


@pytest.mark.parametrize("ends, expected", [("trunc", 1 / (1 - 0.9)), ("term", 1.0), ("both", 1.0)])
def test_truncation_is_not_termination(ends, expected):
    """A reward of 1 for ever is worth 1/(1−γ) = 10 if every step is truncated, and 1 if every step terminates."""
    agent = scratchac.train("a2c", env=lambda: Constant(limit=1, ends=ends), steps=12_000, gamma=0.9, hidden=(8,), actor_lr=1e-4,
                            critic_lr=0.02, optimiser="adam", max_grad_norm=0)
    value = float(agent.model.value(np.zeros((1, 1), np.float32))[0, 0])
    assert value == pytest.approx(expected, rel=0.1)


# -- updates, one at a time --------------------------------------------------------------------------------------------


def test_entropy_bonus_raises_entropy(rng):
    """With rewards and values of 0 all advantages are 0, so the bonus alone moves the policy, towards more entropy."""
    agent = a2c(entropy_coef=0.1, optimiser="sgd", actor_lr=0.1)
    agent.model.theta.flat[:] += 0.5 * rng.standard_normal(agent.model.theta.flat.size)
    agent.model.w.flat[:] = 0
    batch = batch_for(agent, rng)._replace(rewards=np.zeros((4, 3)))

    def entropy():
        y = agent.model.policy(batch.obs.reshape(12, 3))
        return agent.dist.evaluate(y, batch.actions.ravel())[1].mean()

    before = entropy()
    agent.update(batch)
    assert entropy() > before


def test_stored_actions_are_the_sampled_ones(rng):
    """The log-probability of a stored action is that of the sampled one, since actions are clipped for the environment alone."""
    agent = a2c(discrete=False)
    agent.model.theta["constants"][:] = 2.0                                 # σ = e²: most samples lie outside [−1, 1]
    obs = rng.standard_normal((50, 3))
    raw = agent.sample(obs)
    played = agent.dist.to_env(raw)
    assert np.abs(raw).max() > 1 and np.abs(played).max() <= 1
    y = agent.model.policy(obs)
    eps = (raw - y[:, 2:]) / np.exp(y[:, :2])
    expected = (-0.5 * eps**2 - y[:, :2] - 0.5 * np.log(2 * np.pi)).sum(axis=1)
    np.testing.assert_allclose(agent.dist.evaluate(y, raw)[0], expected)
    assert not np.allclose(agent.dist.evaluate(y, played)[0], expected)


def test_one_step_actor_critic_is_a2c_with_one_step(rng):
    """With T = N = 1, λ = 0 and plain gradient steps A2C is the same algorithm, so parameters agree after five updates."""
    import gymnasium as gym

    common = {"hidden": (8,), "gamma": 0.9, "discount_actor": True, "activation": "tanh", "initialiser": "orthogonal",
              "actor_lr": 0.05, "critic_lr": 0.1}
    spaces = gym.spaces.Box(-1, 1, (3,)), gym.spaces.Discrete(4)
    one = ActorCritic(ActorCriticConfig(**common), *spaces, seed=3, dtype=np.float64)
    many = A2C(A2CConfig(envs=1, rollout=1, advantage="td", optimiser="sgd", max_grad_norm=0.0, value_coef=1.0, **common),
               *spaces, seed=3, dtype=np.float64)
    for t in range(5):
        batch = batch_for(one, rng, T=1, N=1)._replace(t=np.array([[t]]))
        one.update(batch)
        many.update(batch)
    np.testing.assert_allclose(one.model.flat, many.model.flat, rtol=1e-10)


def test_eligibility_traces_sum_past_gradients(rng):
    """After two steps the trace is z = γλ ∇₁ + ∇₂, and after the end of an episode it is zero again."""
    import gymnasium as gym

    config = ActorCriticConfig(hidden=(8,), gamma=0.9, lam_actor=0.5, lam_critic=0.7, actor_lr=1e-12, critic_lr=1e-12)
    agent = ActorCritic(config, gym.spaces.Box(-1, 1, (3,)), gym.spaces.Discrete(4), dtype=np.float64)
    grads = []
    for t in range(2):
        agent.update(batch_for(agent, rng, T=1, N=1)._replace(t=np.array([[t]])))
        grads.append(agent.model.grad.copy())
    actor, critic = agent.model.groups
    np.testing.assert_allclose(agent.trace[critic], 0.9 * 0.7 * grads[0][critic] + grads[1][critic], rtol=1e-6)
    np.testing.assert_allclose(agent.trace[actor], 0.9 * 0.5 * grads[0][actor] + 0.9 * grads[1][actor], rtol=1e-6)     # I = γ
    agent.update(batch_for(agent, rng, T=1, N=1)._replace(term=np.ones((1, 1)), t=np.array([[2]])))
    assert not agent.trace.any()


def test_the_discount_of_the_actor_scales_its_gradient(rng):
    """For one transition at time t the actor's step shrinks by γᵗ, and the critic's does not."""
    batch = batch_for(a2c(), rng, T=1, N=1)._replace(t=np.array([[7]]))
    moved = {}
    for discounted in (False, True):
        agent = a2c(envs=1, rollout=1, gamma=0.9, discount_actor=discounted, optimiser="sgd", actor_lr=0.1, max_grad_norm=0.0)
        before = agent.model.flat.copy()
        agent.update(batch)
        moved[discounted] = agent.model.flat - before
    actor, critic = agent.model.groups
    np.testing.assert_allclose(moved[True][actor], 0.9**7 * moved[False][actor], rtol=1e-6)
    np.testing.assert_allclose(moved[True][critic], moved[False][critic])


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("advantage, outputs", [("gae", 1), ("qv", 1 + 4)])
def test_the_critic_has_one_output_and_for_qv_one_for_each_action_besides(advantage, outputs, shared, rng):
    assert a2c(advantage=advantage, shared_body=shared).model.value(rng.standard_normal((2, 3))).shape == (2, outputs)


def test_kappa_holds_the_critic_back(rng):
    """With several critic steps per batch, κ shortens the critic's way from w_old and does not change the actor."""
    batch = batch_for(a2c(), rng)
    distance, actors = [], []
    for kappa in (0.0, 5.0):
        agent = a2c(critic_steps=10, kappa=kappa, optimiser="sgd", critic_lr=0.1, max_grad_norm=0.0)
        w = agent.model.w.flat.copy()
        agent.update(batch)
        distance.append(np.linalg.norm(agent.model.w.flat - w))
        actors.append(agent.model.theta.flat.copy())
    assert 0 < distance[1] < 0.6 * distance[0]
    assert np.array_equal(*actors)


@pytest.mark.parametrize("algorithm", ALL)
def test_learning_rates_follow_their_schedules_over_all_rows(algorithm, rng):
    """Halfway through training, rates that fall linearly to 0 are half of what they were. A row is a step."""
    rates = ["lr"] if algorithm in ("reinforce", "ppo") else ["actor_lr", "critic_lr"]
    rollout = {"envs": 3, "rollout": 4} if algorithm in ("a2c", "ppo") else {}
    rollout |= {"batch_size": 4} if algorithm == "ppo" else {}
    T, N = {"actor-critic": (1, 1), "a2c": (4, 3), "ppo": (4, 3)}.get(algorithm, (4, 1))
    moving, constant = (scratchac.make_agent(algorithm, Match, 0, steps=100, hidden=(8,), **rollout, **dict.fromkeys(rates, rate))
                        for rate in ("linear:0.02:0", 0.01))
    batch = batch_for(scratchac.make_agent(algorithm, Match, 0, hidden=(8,), **rollout), rng, T, N, moving.observation_shape[0])
    for agent in (moving, constant):
        agent.step = 50
        agent.update(batch)
        assert agent.step == 50 + T * N
    np.testing.assert_array_equal(moving.state()["parameters"], constant.state()["parameters"])


@pytest.mark.parametrize("algorithm", ALL)
def test_the_first_policy_is_nearly_uniform(algorithm, rng):
    """The gain of the actor's last layer is 0.01, so no action is more than 2 % likelier than another."""
    agent = scratchac.make_agent(algorithm, "CartPole-v1", 0)
    networks = agent.networks()
    y = networks.actor.forward(networks.theta, rng.standard_normal((100, 4)).astype(np.float32))[0]
    assert 0 < np.abs(y[:, 0] - y[:, 1]).max() < 0.08


@pytest.mark.parametrize("options", [{}, {"normalise_advantage": True}], ids=str)
@pytest.mark.parametrize("envs", [1, 2, 3])
def test_a_batch_of_few_rows(envs, options, rng):
    """Two rows can be normalised, one cannot."""
    agent = a2c(envs=envs, rollout=1, **options)
    metrics = agent.update(batch_for(agent, rng, T=1, N=envs))
    assert np.isfinite(list(metrics.values())).all() and np.isfinite(agent.model.flat).all()
    assert not options or metrics["advantage_std"] == pytest.approx(float(envs > 1))


@pytest.mark.parametrize("options", [{}, {"discrete": False}, {"optimiser": "adam", "normalise_obs": True, "scale_rewards": True},
                                     {"shared_body": True}, {"discount_actor": True, "advantage": "qv"}], ids=str)
def test_float32_stays_float32(options, rng):
    """Environments hand out float64; parameters, gradients and moments must not follow."""
    agent = a2c(dtype=np.float32, **options)
    for _ in range(10):
        agent.update(batch_for(agent, rng))
    moments = [x for optimiser in agent.optimisers for x in optimiser.state().values() if isinstance(x, np.ndarray)]
    assert {x.dtype for x in (agent.model.flat, agent.model.grad, *moments)} == {np.dtype(np.float32)}
    y, v, _ = agent.model.forward(agent.behaviour.see(rng.standard_normal((5, 3))))
    assert y.dtype == v.dtype == np.float32


def test_evaluation_changes_nothing():
    agent = scratchac.train("a2c", env="CartPole-v1", steps=400, normalise_obs=True)
    before = agent.state()
    count, stream = agent.normaliser.count, agent.rng.bit_generator.state
    evaluate(agent, "CartPole-v1", episodes=3)
    assert agent.normaliser.count == count and agent.rng.bit_generator.state == stream
    assert np.array_equal(before["parameters"], agent.state()["parameters"])


def test_evaluation_is_repeatable_and_plays_what_was_asked_for():
    agent = scratchac.make_agent("a2c", "CartPole-v1")
    first, again, other = (evaluate(agent, "CartPole-v1", 7, seed) for seed in (0, 0, 1))
    assert np.array_equal(first, again) and len(first) == 7
    assert np.array_equal(first[1:], other[:-1])                            # episode i is seeded with seed + i


@pytest.mark.parametrize("algorithm", ALL)
def test_same_seed_same_run(algorithm):
    runs = [scratchac.train(algorithm, env="CartPole-v1", steps=300, seed=seed).state()["parameters"] for seed in (5, 5, 6)]
    assert np.array_equal(runs[0], runs[1]) and not np.array_equal(runs[0], runs[2])


@pytest.mark.parametrize("algorithm", ALL)
def test_act_takes_one_observation_or_several(algorithm):
    agent = scratchac.make_agent(algorithm, "CartPole-v1")
    assert agent.act(np.zeros(4)) in (0, 1)
    assert agent.act(np.zeros((6, 4))).shape == (6,)


class Doubling:
    """Its actions are the observations' sums, doubled if it explores."""

    observation_shape, dist = (2,), SimpleNamespace(to_env=lambda raw: raw)

    def greedy(self, obs):
        return obs.sum(axis=-1)

    def explore(self, obs):
        return 2 * obs.sum(axis=-1)


def test_act_checks_observations():
    """Whole numbers, floats and truth values of the shape, one observation or several; it explores unless told."""
    agent = Doubling()
    assert act(agent, [1, 2]) == 6 and act(agent, np.float32([1, 2]), explore=False) == 3 and act(agent, [True, True]) == 4
    assert act(agent, np.uint8([[1, 2], [3, 4]]), explore=False).tolist() == [3, 7]
    for wrong in ([1, 2, 3], [[1], [2]], [[[1, 2]]], 1, [1j, 2], ["1", "2"], [[1, 2], [3]]):
        with pytest.raises(UserError, match=r"observations are numbers of shape \(2,\), or several of these"):
            act(agent, wrong)
    for wrong in ([1, np.nan], [[0, 0], [np.inf, 1]]):
        with pytest.raises(UserError, match="not finite"):
            act(agent, wrong)


def test_act_on_a_box_stays_inside():
    agent = scratchac.make_agent("a2c", "Pendulum-v1")
    actions = np.array([agent.act(np.zeros(3)) for _ in range(100)])
    assert actions.shape == (100, 1) and np.abs(actions).max() <= 2 and actions.std() > 0.5


@pytest.mark.parametrize("what", ["reward", "obs"])
def test_values_that_are_no_numbers_stop_training(what):
    from probes import Poison

    agent = scratchac.make_agent("a2c", Poison, envs=2)
    venv = VectorEnv(Poison, 2, 0, what=what)
    with pytest.raises(TrainingError, match="environment 0"):
        train(agent, venv, 100, lambda *_: False)
    venv.close()


@pytest.mark.parametrize("options, message", [
    ({"advantage": "qv"}, "Discrete"), ({"shared_body": True, "kappa": 0.1}, "separate"),
    ({"shared_body": True, "critic_steps": 2}, "separate"), ({"shared_body": True, "kappa": "linear:0.1:0"}, "separate"),
    ({"shared_body": True, "kappa": "linear:0:0.1"}, "separate"),
    ({"shared_body": True, "kappa": lambda progress: float(progress < 0.5)}, "separate"),
])
def test_options_that_do_not_go_together(options, message):
    with pytest.raises(UserError, match=message):
        a2c(discrete=False, **options)


@pytest.mark.parametrize("name", ["reinforce-baseline", "a2c", "ddpg", "td3", "sac"])
def test_optimisers_are_restored_each_to_its_own_parameters(name):
    """Their moments differ, so a state in which they are exchanged would differ, too."""
    env = "CartPole-v1" if name in ("reinforce-baseline", "a2c") else "Pendulum-v1"
    options = {"learning_starts": 20, "batch_size": 8, "buffer_size": 100} if env == "Pendulum-v1" else {"optimiser": "adam"}
    trained = scratchac.train(name, env, 200, hidden=(4,), **options)
    state = {key: value for key, value in trained.state().items() if "optimiser" in key}
    moments = [value["m"].tolist() for value in state.values()]
    assert len(moments) >= 2 and all(any(one) for one in moments) and len({str(one) for one in moments}) == len(moments)
    fresh = scratchac.make_agent(name, env, hidden=(4,), **options)
    fresh.load_state(trained.state())
    assert [fresh.state()[key]["m"].tolist() for key in state] == moments
