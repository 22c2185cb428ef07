"""Compiled updates: their own gradients against finite differences, and when they are used and when not."""

import contextlib
import functools
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import gymnasium as gym
import numpy as np
import pytest

import kernels
import scratchac
from scratchac import losses, optim, returns
from scratchac.algorithms import find
from scratchac.algorithms.a2c import A2C
from scratchac.algorithms.a2c import Config as A2CConfig
from scratchac.algorithms.actor_critic import ActorCritic
from scratchac.algorithms.actor_critic import Config as ActorCriticConfig
from scratchac.algorithms.plumbing import DeterministicAgent
from scratchac.algorithms.ppo import PPO
from scratchac.algorithms.ppo import Config as PPOConfig
from scratchac.algorithms.sac import SAC
from scratchac.distributions import Categorical
from scratchac.environments.compiled_worlds import CompiledWorlds
from scratchac.environments.vector import VectorEnv
from scratchac.gradcheck import TOLERANCE, numerical_gradient
from scratchac.gradcheck.differences import relative_error
from scratchac.nn import MLP
from scratchac.policies import SeparateBodies
from scratchac.training.compiled import network, ppo_update
from scratchac.training.loops import train

layers = pytest.importorskip("kernels.numba_networks", reason="Numba is not installed")
updates = pytest.importorskip("kernels.numba_updates")
ppo = pytest.importorskip("kernels.numba_ppo")
policy_rows = pytest.importorskip("kernels.numba_policies")

ROOT = Path(__file__).parents[1]
OBSERVATIONS, ACTIONS = gym.spaces.Box(-1, 1, (3,), np.float64), gym.spaces.Discrete(3)
# The policies that are compiled: categories, and normal distributions with a σ of their own or one that the state decides.
POLICIES = {"categorical": (ACTIONS, {}), "Gaussian": (gym.spaces.Box(-2, 2, (2,), np.float32), {}),
            "Gaussian, σ(s)": (gym.spaces.Box(-2, 2, (2,), np.float32), {"state_dependent_std": True})}
policies = pytest.mark.parametrize("policy", POLICIES)


# -- gradients of their own ----------------------------------------------------------------------------------------------


def agent_for(agent_class, config, rng, policy="categorical"):
    actions, options = POLICIES[policy]
    agent = agent_class(replace(config, **options), OBSERVATIONS, actions, seed=1, dtype=np.float64)
    agent.model.flat[:] += 0.3 * rng.standard_normal(agent.model.flat.size)
    return agent


def actions_of(agent, rng, rows):
    return rng.integers(3, size=rows) if isinstance(agent.dist, Categorical) else rng.standard_normal((rows, 2))


def agrees(loss, agent, mistake):
    """`model.grad` is that of the loss, and not that of the loss with a mistake in it."""
    grad = agent.model.grad.copy()
    assert relative_error(grad, numerical_gradient(loss, agent.model.flat)) < TOLERANCE
    assert relative_error(grad, numerical_gradient(mistake, agent.model.flat)) > 0.01


@policies
def test_gradient_of_a2c(policy, rng):
    agent = agent_for(A2C, A2CConfig(hidden=(5, 4)), rng, policy)
    (s, s2), a = rng.standard_normal((2, 12, 3)), actions_of(agent, rng, 12)
    r, (term, trunc) = rng.standard_normal((4, 3)), (rng.random((2, 4, 3)) < 0.3).astype(float)
    done = np.maximum(term, trunc)
    v, v2 = (agent.model.value(x)[:, 0].reshape(4, 3) for x in (s, s2))
    adv = returns.gae(r, v, v2, term, done, 0.9, 0.8).ravel()
    target = adv + v.ravel()

    def loss(entropy_coef=0.2):
        y, v, _ = agent.model.forward(s)
        logp, entropy, _ = agent.dist.evaluate(y, a)
        return float(-(adv * logp).mean() - entropy_coef * entropy.mean() + 0.7 * 0.5 * ((v[:, 0] - target) ** 2).mean())

    reported = updates.a2c_gradient(network(agent.model, 0), network(agent.model, 1), (s, s2, a, r, term, done), 0.9, 0.8, 0.2, 0.7)
    agrees(loss, agent, lambda: loss(-0.2))
    logp, entropy, _ = agent.dist.evaluate(agent.model.policy(s), a)
    assert reported == pytest.approx((-(adv * logp).mean(), 0.5 * (adv**2).mean(), entropy.mean(), v.mean(), adv.std()))


@policies
def test_gradient_of_ppo(policy, rng):
    """In each cell of the clip: A > 0 and A < 0, the ratio below, inside and above."""
    agent = agent_for(PPO, PPOConfig(hidden=(5, 4)), rng, policy)
    s, a, target = rng.standard_normal((10, 3)), actions_of(agent, rng, 10), rng.standard_normal(10)
    ratio, adv = np.tile([0.5, 0.7, 0.9, 1.1, 1.7], 2), np.repeat([1.0, -1.0], 5) * rng.uniform(0.5, 2, 10)
    logp_old = agent.dist.evaluate(agent.model.policy(s), a)[0] - np.log(ratio)

    def loss(clip=0.2):
        y, v, _ = agent.model.forward(s)
        logp, entropy, _ = agent.dist.evaluate(y, a)
        return (losses.clipped_surrogate(logp, logp_old, adv, clip)[0] - 0.1 * float(entropy.mean())
                + 0.5 * float(losses.mse(v[:, 0], target)[0]))

    reported = np.zeros(7)
    ppo._actor_gradient(*network(agent.model, 0), s, a, logp_old, adv, 0.2, 0.1, reported)
    ppo._critic_gradient(*network(agent.model, 1), s, target, 0.5, reported)
    agrees(loss, agent, lambda: loss(np.inf))
    y, v, _ = agent.model.forward(s)
    surrogate, entropy = losses.clipped_surrogate(agent.dist.evaluate(y, a)[0], logp_old, adv, 0.2)[0], agent.dist.evaluate(y, a)[1]
    assert reported == pytest.approx((surrogate, 0.5 * ((v[:, 0] - target) ** 2).mean(), entropy.mean(),
                                      0, (ratio - 1 - np.log(ratio)).mean(), 0.6, v.mean()))


@policies
def test_estimates_of_ppo(policy, rng):
    """log π, V and Â of the reference, also where two episodes in a row end in the same state and one goes on to the last step."""
    agent = agent_for(PPO, PPOConfig(hidden=(5, 4)), rng, policy)
    s, a, r = rng.standard_normal((5, 2, 3)), actions_of(agent, rng, 8), rng.standard_normal((4, 2))
    s2, (term, done) = s[1:].copy(), np.zeros((2, 4, 2))
    s2[1:3, 0], done[1:3, 0], term[2, 0] = 5, 1, 1
    s, s2 = s[:-1].reshape(8, 3), s2.reshape(8, 3)
    logp, v, adv = ppo.estimate(network(agent.model, 0), network(agent.model, 1), (s, s2, a, r, term, done), 0.9, 0.8)
    np.testing.assert_allclose(logp, agent.dist.evaluate(agent.model.policy(s), a)[0], rtol=1e-9)
    np.testing.assert_allclose(v, agent.model.value(s)[:, 0], rtol=1e-9)
    values, next_values = (agent.model.value(x).reshape(4, 2) for x in (s, s2))
    np.testing.assert_allclose(adv, returns.gae(r, values, next_values, term, done, 0.9, 0.8).ravel(), rtol=1e-9)


def test_logits_of_any_size():
    """exp of the largest is 1, and of the others 0, where exp of the logits themselves would be infinite."""
    logits, outputs, actions = np.array([-1000.0, 1000.0, 0.0]), np.empty(3), np.zeros(1, np.int64)
    np.testing.assert_array_equal(updates._log_softmax(logits), [-2000, 0, -1000])
    theta = np.concatenate([logits, np.zeros(3)])                           # W (1, 3), b (3,)
    updates.act(theta, np.array([1, 3]), outputs, layers.CODES["tanh"], np.ones((1, 1)), np.array([0.5]), actions)
    assert actions.tolist() == [1]
    theta[:2] = theta[1], theta[0]
    updates.act(theta, np.array([1, 3]), outputs, layers.CODES["tanh"], np.ones((1, 1)), np.array([0.5]), actions)
    assert actions.tolist() == [0]


def test_step_of_the_one_step_actor_critic(rng):
    """With step sizes 1 and no trace, the step is −∇L of L = −γᵗ δ log π + ½(target − V)²."""
    agent = agent_for(ActorCritic, ActorCriticConfig(hidden=(5, 4), activation="tanh"), rng)
    model, (s, s2) = agent.model, rng.standard_normal((2, 1, 3))
    target = 0.5 + 0.9 * float(model.value(s2)[0, 0])
    delta, action = target - float(model.value(s)[0, 0]), 2

    def loss(weight=delta):
        y, v, _ = model.forward(s)
        logp, _, _ = agent.dist.evaluate(y, np.array([action]))
        return float(-0.7 * weight * logp[0] + 0.5 * (target - v[0, 0]) ** 2)

    actor, critic = ((*network(model, i), np.zeros_like(model.flat[model.groups[i]]), np.empty(sum(mlp.sizes[1:])))
                     for i, mlp in enumerate((model.actor, model.critic)))
    updates.act(model.theta.flat, np.array(model.actor.sizes), actor[5], actor[3], s, np.array([0.5]), np.zeros(1, np.int64))
    before = model.flat.copy()
    infinite = np.array([[np.inf, 0, 0]])                                   # of one infinite number tanh makes finite values
    for bad in ((s + infinite, s2), (s, s2 - infinite), (s, s2 * np.nan)):
        with np.errstate(all="ignore"):
            broken = updates.one_step_actor_critic(actor, critic, (*bad, action, 0.5, False), 0.9, (0.0, 0.7, 1.0), (0.0, 1.0, 1.0))
        assert np.isnan(broken[0]) and np.array_equal(model.flat, before)
    logp, entropy, _ = agent.dist.evaluate(model.policy(s), np.array([action]))
    reported = updates.one_step_actor_critic(actor, critic, (s, s2, action, 0.5, False), 0.9, (0.0, 0.7, 1.0), (0.0, 1.0, 1.0))
    assert reported == pytest.approx((delta, logp[0], entropy[0], target - delta))
    model.grad[:] = before - model.flat
    model.flat[:] = before
    agrees(loss, agent, lambda: loss(1.0))


def test_step_along_a_trace_by_hand():
    """z ← 0.5 z + 2 g is (2, 0), then (2, −2), and p moves 0.1 · 3 times as far. The end of an episode sets z to 0."""
    p, g, z = np.array([1.0, 2.0]), np.array([0.5, -1.0]), np.array([2.0, 4.0])
    updates._step_along_trace(p, g, z, (0.5, 2.0, 0.1), 3.0, False)
    np.testing.assert_allclose([p, z], [[1.6, 2.0], [2.0, 0.0]])
    updates._step_along_trace(p, g, z, (0.5, 2.0, 0.1), 3.0, True)
    np.testing.assert_allclose([p, z], [[2.2, 1.4], [0.0, 0.0]])


def test_input_gradient_by_hand():
    """One layer with W = (3, −2): ∂L/∂x = dy Wᵀ, which is 0 where dy is 0, whatever was in the memory."""
    dy, dx = np.array([[[1.0], [0.0], [2.0]]]), np.full((1, 3, 2), np.nan)
    flat, sizes = np.array([3.0, -2.0, 5.0]), np.array([2, 1])
    layers.input_gradient(flat, sizes, 1, 0, 1, layers.TANH, np.ones((1, 3, 2)), np.ones(3), dy, dx, 1)
    assert dx[0].tolist() == [[3, -2], [0, 0], [6, -4]]


def test_act_by_hand():
    """Logits log 0.2, log 0.3, log 0.5, whatever s is: the cumulative probabilities are 0.2, 0.5 and 1."""
    theta = np.concatenate([np.zeros(6), np.log([0.2, 0.3, 0.5])])
    actions = np.full(5, 9)
    u = np.array([0.0, 0.19, 0.21, 0.49, 0.51])
    updates.act(theta, np.array([2, 3]), np.empty(15), layers.TANH, np.ones((5, 2)), u, actions)
    assert actions.tolist() == [0, 0, 1, 1, 2]


# -- used only while they do what the agent's code says ------------------------------------------------------------------------

AGENTS = {"actor-critic": ("actor_critic", "ActorCritic"), "a2c": ("a2c", "A2C"), "ppo": ("ppo", "PPO")}


class Reached(Exception):
    """The code under test ran."""


def made(algorithm, cls=None, **options):
    """An agent, of a class of its own if one is given, and its environments."""
    env = "Pendulum-v1" if algorithm in ("ddpg", "td3", "sac") else "CartPole-v1"
    if find(algorithm).family == "off-policy":
        options |= {"learning_starts": 20, "batch_size": 20, "buffer_size": 50}
    agent = scratchac.make_agent(algorithm, env, 0, hidden=(8,), **options)
    envs = VectorEnv(env, agent.n_envs, 0)
    if cls is not None:
        agent = cls(agent.config, envs.observation_space, envs.action_space)
    return agent, envs


@pytest.mark.parametrize("algorithm", AGENTS)
def test_the_shipped_agent_has_a_fast_path(algorithm):
    agent, envs = made(algorithm)
    with kernels.using("numba"):
        assert agent.fast_path(envs).method.startswith(AGENTS[algorithm][1])
        assert agent.fast_path(CompiledWorlds("CartPole-v1", agent.n_envs, 0)).name.endswith("rollout")
    with kernels.using("numpy"):
        assert agent.fast_path(envs) is None


def test_an_update_is_for_the_class_that_it_was_written_for(monkeypatch, capsys):
    """PPO is a shipped class, too, but A2C's update is not its own. One line says why the reference runs."""
    monkeypatch.setattr(kernels.registry, "_said", set())
    with kernels.using("numba"):
        other, a2c = made("ppo")[0], made("a2c")[0]
        assert kernels.compiled("a2c_gradient", a2c) is updates.a2c_gradient and kernels.compiled("no such update", a2c) is None
        assert capsys.readouterr().err == ""
        assert kernels.compiled("a2c_gradient", other) is None
    assert capsys.readouterr().err == ("scratchac: scratchac.algorithms.ppo.PPO is not scratchac.algorithms.a2c.A2C: the reference "
                                       "runs, not the compiled a2c_gradient\n")


METHODS = [("actor-critic", "update"), ("actor-critic", "sample"), ("a2c", "update"), ("a2c", "gradient"), ("a2c", "estimate"),
           ("a2c", "sample"), ("ppo", "update"), ("ppo", "gradient"), ("ppo", "minibatch_step"), ("ppo", "sample"),
           ("reinforce", "update"), ("reinforce-baseline", "update"), ("ddpg", "actor_step"), ("td3", "critic_step"),
           ("sac", "temperature_step"), ("sac", "update"), ("sac", "sample"), ("sac", "pi"), ("td3", "actor_step"),
           ("ddpg", "update"), ("ddpg", "sample"), ("discrete-sac", "actor_step")]


@pytest.mark.parametrize("backend", ["numpy", "numba", "auto"])
@pytest.mark.parametrize("algorithm, method", METHODS)
def test_a_subclass_runs_what_it_overrides(algorithm, method, backend):
    def raising(self, *arguments):
        raise Reached

    with kernels.using(backend):
        agent, envs = made(algorithm, type("Mine", (find(algorithm),), {method: raising}))
        with pytest.raises(Reached):
            train(agent, envs, 5_000, lambda *_: False)


@pytest.mark.parametrize("algorithm, method", METHODS)
def test_a_method_replaced_on_an_agent_or_its_class_runs(algorithm, method, monkeypatch, capsys):
    def raising(*arguments):
        raise Reached

    with kernels.using("numba"):
        agent, envs = made(algorithm)
        setattr(agent, method, raising)
        with pytest.raises(Reached):
            train(agent, envs, 5_000, lambda *_: False)
        agent, envs = made(algorithm)
        monkeypatch.setattr(type(agent), method, raising)
        with pytest.raises(Reached):
            train(agent, envs, 5_000, lambda *_: False)


@pytest.mark.parametrize("wrapped", ["functools.wraps", "Mock", "staticmethod"])
@pytest.mark.parametrize("algorithm, cls, method", [("a2c", A2C, "update"), ("actor-critic", ActorCritic, "update"),
                                                    ("a2c", Categorical, "evaluate"), ("ppo", Categorical, "backward"),
                                                    ("a2c", MLP, "forward"), ("ppo", MLP, "backward")])
def test_a_wrapped_method_is_called(algorithm, cls, method, wrapped, monkeypatch):
    original, calls = getattr(cls, method), []

    @functools.wraps(original)
    def counting(*arguments, **named):
        calls.append(1)
        return original(*arguments, **named)

    replacement = {"functools.wraps": counting, "Mock": Mock(side_effect=Reached), "staticmethod": staticmethod(counting)}[wrapped]
    with kernels.using("numba"):
        agent, envs = made(algorithm)
        monkeypatch.setattr(cls, method, replacement)
        with contextlib.suppress(Reached, TypeError):                       # a Mock and a static method get no `self`
            train(agent, envs, 300, lambda *_: False)
    assert calls or replacement is not counting
    if wrapped == "Mock":
        assert replacement.called


@pytest.mark.parametrize("algorithm", AGENTS)
def test_another_activation_of_the_critic(algorithm):
    """Compiled or not, actor and critic each have their own."""
    flat = {}
    for backend in ("numpy", "numba"):
        with kernels.using(backend):
            agent, envs = made(algorithm)
            other = "relu" if agent.model.critic.activation == "tanh" else "tanh"
            agent.model.critic = replace(agent.model.critic, activation=other)
            train(agent, envs, 300, lambda *_: False)
            flat[backend] = agent.model.flat
    np.testing.assert_allclose(flat["numba"], flat["numpy"], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("algorithm", ["a2c", "actor-critic"])
def test_another_horizon(algorithm):
    steps = {}
    for backend in ("numpy", "numba"):
        with kernels.using(backend):
            agent, envs = made(algorithm)
            agent.horizon = 7 if algorithm == "a2c" else 1
            train(agent, envs, 100, lambda *_: False)
            steps[backend] = agent.step
    assert steps["numba"] == steps["numpy"]


class Bytes(gym.Env):
    """Observations are vectors of bytes; an action must be what NumPy makes."""

    observation_space = gym.spaces.Box(0, 255, (4,), np.uint8)
    action_space = gym.spaces.Discrete(2)

    def reset(self, **kwargs):
        super().reset(**kwargs)
        return self.np_random.integers(256, size=4, dtype=np.uint8), {}

    def step(self, action):
        over = bool(self.np_random.random() < 0.1)
        return self.np_random.integers(256, size=4, dtype=np.uint8), 0.1 * action.item(), over, False, {}


@pytest.mark.parametrize("algorithm", AGENTS)
def test_bytes_and_the_kind_of_an_action(algorithm):
    """The same returns of episodes, and parameters that rounding in float32 alone has moved, on both backends."""
    seen = {}
    for backend in ("numpy", "numba"):
        rows = []
        agent = scratchac.train(algorithm, Bytes, 2_048, backend=backend, hidden=(4,), on_row=rows.append,
                                **({} if algorithm != "actor-critic" else {"actor_lr": 1e-8, "critic_lr": 1e-8}))
        seen[backend] = agent.model.flat, rows[-1]["return_mean"]
    np.testing.assert_allclose(seen["numba"][0], seen["numpy"][0], rtol=1e-2, atol=1e-3)
    assert seen["numba"][1] == pytest.approx(seen["numpy"][1], rel=0.05)


class InPlace(gym.Env):
    """It returns one array, which each step changes, and counts what ends its episode."""

    observation_space, action_space = gym.spaces.Box(-9, 9, (2,), np.float32), gym.spaces.Discrete(2)

    def reset(self, **kwargs):
        super().reset(**kwargs)
        self.state = self.np_random.uniform(-1, 1, 2).astype(np.float32)
        return self.state, {}

    def step(self, action):
        self.state += np.array([0.3, 0.2 * (2 * action - 1)], np.float32)
        return self.state, float(self.state[1]), 2 * int(self.state[0] > 2), 3 * int(abs(self.state[1]) > 2), {}


@pytest.mark.parametrize("algorithm", AGENTS)
def test_an_array_that_changes_and_ends_that_are_counted(algorithm):
    flat = {}
    for backend in ("numpy", "numba"):
        flat[backend] = scratchac.train(algorithm, InPlace, 1_000, seed=1, backend=backend, hidden=(8,)).model.flat
    np.testing.assert_allclose(flat["numba"], flat["numpy"], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("algorithm, cls, name, other", [
    ("sac", SAC, "sample", SAC.greedy), ("td3", DeterministicAgent, "sample", DeterministicAgent.greedy),
    ("sac", optim.Adam, "step", optim.SGD.step), ("ppo", optim.Adam, "step", optim.SGD.step),
    ("ppo", MLP, "forward", MLP.backward), ("a2c", Categorical, "sample", Categorical.greedy)])
def test_a_method_that_another_one_of_its_module_replaces_runs(algorithm, cls, name, other, monkeypatch):
    with kernels.using("numba"):
        agent, envs = made(algorithm)
        worlds = CompiledWorlds("Pendulum-v1" if algorithm in ("td3", "sac") else "CartPole-v1", agent.n_envs, 0)
        assert agent.fast_path(envs) and agent.fast_path(worlds)
        monkeypatch.setattr(cls, name, other)
        assert agent.fast_path(envs) is agent.fast_path(worlds) is None


@pytest.mark.parametrize("change", [
    lambda agent: setattr(agent, "optimiser", optim.SGD(agent.model.flat)), lambda agent: setattr(agent.optimiser, "step", raising),
    lambda agent: setattr(agent.optimiser, "params", agent.model.flat.copy())])
def test_an_optimiser_of_ppo_that_is_changed_runs(change):
    with kernels.using("numba"):
        agent, envs = made("ppo")
        change(agent)
        assert agent.fast_path(envs) is agent.fast_path(CompiledWorlds("CartPole-v1", agent.n_envs, 0)) is None


def test_a_file_that_is_being_written_counts_as_edited(tmp_path):
    (tmp_path / "half.py").write_text("def f(:\n    x = (1,\n")
    assert kernels.shipped._fingerprint_of(tmp_path / "half.py", 0) is None


class OtherCategorical(Categorical):
    def sample(self, y, u):
        raise Reached


class OtherBodies(SeparateBodies):
    def forward(self, s):
        raise Reached


class OtherEnvironments(VectorEnv):
    def step(self, actions):
        raise Reached


def raising(*arguments):
    raise Reached


CHANGES = {     # what a reader may change of an agent or its environments → the change
    "distribution": lambda agent, envs: setattr(agent, "dist", OtherCategorical(2)),
    "distribution's method": lambda agent, envs: setattr(agent.dist, "evaluate", raising),
    "model's class": lambda agent, envs: setattr(agent.model, "__class__", OtherBodies),
    "model's method": lambda agent, envs: setattr(agent.model, "backward", raising),
    "environments": lambda agent, envs: setattr(envs, "__class__", OtherEnvironments),
    "environments' method": lambda agent, envs: setattr(envs, "step", raising),
    "behaviour's method": lambda agent, envs: setattr(agent.behaviour, "see", raising),
    "behaviour's policy": lambda agent, envs: setattr(agent.behaviour, "policy", raising),
    "normaliser": lambda agent, envs: setattr(agent.behaviour, "normaliser", raising),
}


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize("algorithm", AGENTS)
@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_part_runs(change, algorithm, backend):
    with kernels.using(backend):
        agent, envs = made(algorithm)
        CHANGES[change](agent, envs)
        agent.behaviour.dist = agent.dist
        with pytest.raises(Reached):
            train(agent, envs, 5_000, lambda *_: False)


def test_an_option_that_is_not_compiled_runs_the_reference(capsys):
    """Without a message: nobody has changed anything."""
    with kernels.using("numba"):
        for clipped in (True, False):
            agent = scratchac.make_agent("ppo", "Pendulum-v1", 0, hidden=(8,), preset={"clipped_log_prob": clipped})
            worlds = CompiledWorlds("Pendulum-v1", agent.n_envs, 0)
            assert (agent.fast_path() is None) == (agent.fast_path(worlds) is None) == clipped
        switches = "normalise_advantage", "discount_actor", "shared_body", "normalise_obs", "scale_rewards"
        for options in ({"advantage": "td"}, {"value_loss": "huber"}, {"critic_steps": 2}, {"kappa": 0.1},
                        *({name: True} for name in switches)):
            agent, envs = made("a2c", **options)
            assert agent.fast_path(envs) is None
        assert made("ppo", clip_value=0.2)[0].fast_path() is None
    assert capsys.readouterr().err == ""


EDITS = {       # file of a copy of the project → what is put first into which function, and a run that calls it
    "algorithms/actor_critic.py": ("    def update(", "actor-critic"),
    "algorithms/a2c.py": ("    def gradient(", "a2c"),
    "algorithms/ppo.py": ("    def gradient(", "ppo"),
    "algorithms/reinforce.py": ("    def update(", "reinforce"),
    "algorithms/reinforce_baseline.py": ("    def update(", "reinforce-baseline"),
    "algorithms/ddpg.py": ("    def actor_step(", "ddpg"),
    "algorithms/td3.py": ("    def critic_step(", "td3"),
    "algorithms/a3c.py": ("def work(", "a3c"),
    "algorithms/sac.py": ("    def temperature_step(", "sac"),
    "algorithms/discrete_sac.py": ("    def actor_step(", "discrete-sac"),
    "losses.py": ("def entropy_bonus(", "a2c"),
    "returns.py": ("def gae(", "a2c"),
    "returns.py, kernel": ("def reverse_scan(", "ppo"),
    "nn.py": ("def linear_backward(", "sac"),
    "nn.py, network": ("def mlp_forward(", "a2c"),
    "optim.py": ("def adam(", "td3"),
    "optim.py, RMSprop": ("def rmsprop(", "a2c"),
    "distributions.py": ("def tanh_gaussian_backward(", "sac"),
    "distributions.py, categorical": ("def categorical_sample(", "actor-critic"),
    "policies.py": ("    def see(", "actor-critic"),
    "algorithms/plumbing.py": ("    def __init__(", "a2c"),
}


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of the packages, where a reader edits."""
    folder = tmp_path_factory.mktemp("copy")
    for package in ("scratchac", "kernels"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


PROGRAM = """
import scratchac
for backend in {backends}:
    try:
        scratchac.train({algorithm!r}, {env!r}, 300, backend=backend, **{options})
        print(backend, "trained")
    except RuntimeError as error:
        print(backend, error)
"""


def run_in(folder, algorithm, *backends):
    """Short runs in a process that imports the copy: (what came of each, what was said on stderr)."""
    env = "Pendulum-v1" if algorithm in ("ddpg", "td3", "sac") else "CartPole-v1"
    options = {"hidden": (4,), **{"a3c": {"envs": 1}, "a2c": {"optimiser": "rmsprop"}}.get(algorithm, {})}
    if algorithm in ("ddpg", "td3", "sac", "discrete-sac"):
        options |= {"learning_starts": 20, "batch_size": 20, "buffer_size": 50}
    program = PROGRAM.format(backends=backends, algorithm=algorithm, env=env, options=options)
    done = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, timeout=300)
    return done.stdout.splitlines(), done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_of_a_file_takes_effect_on_every_backend(edit, copy):
    path = copy / "scratchac" / edit.split(",")[0]
    (function, algorithm), source = EDITS[edit], path.read_text()
    begin = source.index(function)
    body = source.index(":\n", source.index(")", begin)) + 2                # after the signature, which may take several lines
    indent = " " * (8 if function.startswith(" ") else 4)
    path.write_text(f"{source[:body]}{indent}raise RuntimeError('this edit runs')\n{source[body:]}")
    try:
        came, said = run_in(copy, algorithm, "numpy", "numba", "auto")
    finally:
        path.write_text(source)
    assert [line.split()[0] for line in came if "this edit runs" in line] == ["numpy", "numba", "auto"], (came, said[-1500:])


@pytest.mark.slow
def test_a_comment_is_no_edit_and_an_edit_is_said_in_one_line(copy):
    path = copy / "scratchac/algorithms/a2c.py"
    source = path.read_text()
    try:
        path.write_text(source.replace("    def update(", "    # A comment.\n    def update("))
        assert run_in(copy, "a2c", "numba") == (["numba trained"], "")
        path.write_text(source.replace("h.value_coef * dv)", "2 * h.value_coef * dv)"))
        came = run_in(copy, "a2c", "numba")
    finally:
        path.write_text(source)
    assert came == (["numba trained"], "scratchac: scratchac.algorithms.a2c has been edited: the reference runs, not the compiled "
                                       "a2c_gradient\n")


PASS = """
import numpy as np
from kernels import numba_updates
actions = np.zeros(1, np.int64)
theta = np.array([1.0, -1.0, 0.0, 0.0])                 # logits (s, −s)
numba_updates.act(theta, np.array([1, 2]), np.empty(2), 0, np.ones((1, 1)), np.full(1, 0.5), actions)
print(*actions)
"""


@pytest.mark.slow
def test_an_edit_of_a_compiled_layer_reaches_the_updates_that_call_it(copy):
    """They are cached on disk, each with the file of its own text."""
    def act():
        return subprocess.run([sys.executable, "-c", PASS], cwd=copy, capture_output=True, text=True, check=True).stdout

    assert act() == "0\n" == act()
    path = copy / "kernels/numba_networks.py"
    source = path.read_text()
    assert "z += x[i, k] * W[k, h]" in source
    path.write_text(source.replace("z += x[i, k] * W[k, h]", "z -= x[i, k] * W[k, h]"))
    try:
        assert act() == "1\n"
    finally:
        path.write_text(source)


def test_fingerprints_are_those_of_the_present_files():
    """After an edit to a reference the overrides have to agree with it again; then `python -m kernels` records it."""
    changed = [module for module in kernels.shipped.recorded() if not kernels.shipped.is_shipped(module)]
    assert not changed, f"python -m kernels, once tests/test_backends.py passes; changed: {changed}"


def test_a_fingerprint_ignores_comments_and_docstrings_only():
    one = '"""Doc.\n\nMore."""\nx = 1  # why\n\ndef f():\n    """Doc."""  # why\n    return "s"\n'
    assert kernels.shipped.fingerprint(one) == kernels.shipped.fingerprint('x = 1\ndef f():\n    return "s"\n')
    for other in (one.replace("x = 1", "x = 2"), one.replace('"s"', '"t"'), one.replace("return", "yield")):
        assert kernels.shipped.fingerprint(one) != kernels.shipped.fingerprint(other)


def test_a_run_says_which_compiled_update_trained_it(tmp_path, capsys):
    scratchac.train("a2c", "CartPole-v1", 200, backend="numba", out=tmp_path / "run", quiet=False, hidden=(8,))
    first = capsys.readouterr().err.splitlines()[0]
    assert first == ("scratchac: backend numba runs the compiled a2c_gradient in place of A2C.update; "
                     'backend="numpy" runs that code itself')
    for name in ("config.json", "summary.json"):
        assert '"compiled": "a2c_gradient"' in (tmp_path / "run" / name).read_text()


@policies
@pytest.mark.parametrize("options", [{}, {"max_grad_norm": 0.05}, {"target_kl": 1e-9}, {"target_kl": 1e9},
                                     {"batch_size": 12, "max_grad_norm": 0.0}, {"lr": "linear:0.01:0"}],
                         ids=["plain", "clipped", "target_kl", "target_kl that is not reached", "one minibatch", "step size 0"])
def test_an_update_of_ppo_is_that_of_the_reference(options, policy, rng):
    """Of rows whose successors are those of the next step or not, with endings of both kinds; minibatches of 5, and one of 2."""
    seen = {}
    usual = {"hidden": (5, 4), "batch_size": 5, "epochs": 2, "lam": 0.8, "entropy_coef": 0.1, "lr": 0.01}
    shape = T, N = 4, 3
    s = rng.standard_normal((T + 1, N, 3))
    space, settings = POLICIES[policy]
    s, s2, r = s[:-1], s[1:].copy(), rng.standard_normal(shape)
    (term, trunc), start = (rng.random((2, *shape)) < 0.3).astype(float), rng.standard_normal(200)
    done = np.maximum(term, trunc)
    s2[done > 0] = rng.standard_normal((int(done.sum()), 3))
    for name in ("reference", "compiled"):
        agent = PPO(PPOConfig(**usual | options | settings), OBSERVATIONS, space, seed=1, dtype=np.float64)
        agent.model.flat[:] += 0.3 * start[: agent.model.flat.size]
        rows = s.reshape(12, 3), s2.reshape(12, 3), actions_of(agent, np.random.default_rng(3), 12), r, term, done
        metrics = (agent.learn if name == "reference" else functools.partial(ppo_update, agent))(*rows, agent.schedules(1))
        seen[name] = metrics, agent.model.flat, agent.optimiser.m, agent.optimiser.v, agent.optimiser.t, agent.batch_rng.random()
    (ours, *our_arrays), (metrics, *arrays) = seen["compiled"], seen["reference"]
    assert ours == pytest.approx(metrics, rel=1e-9, abs=1e-12)
    for x, y in zip(our_arrays, arrays, strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-9, atol=1e-12)


def test_probabilities_where_an_exponential_overflows():
    """The largest logit may be the first, another or the last one."""
    for logits in ([1000.0, 0, -1000], [0, 1000.0, -1000], [-1000, 0, 1000.0]):
        row, nothing = np.empty((2, 3)), np.empty(0)
        assert policy_rows.evaluate(np.array([logits]), nothing, np.array([1]), 0, row) == (logits[1] - 1000, 0)
        assert row.tolist() == [[x - 1000 for x in logits], [float(x == 1000) for x in logits]]


@pytest.mark.parametrize("constants", [True, False])
def test_draws_of_a_gaussian(constants, rng):
    """μ + σ ε, where log σ is a constant and where it is among the outputs; in float32 as in float64."""
    for dtype in (np.float32, np.float64):
        log_std, mu, eps = rng.standard_normal((3, 5, 2)).astype(dtype)
        log_std = np.broadcast_to(log_std[0], (5, 2)) if constants else log_std
        actions = np.empty((5, 2), dtype)
        y, own = (mu, log_std[0]) if constants else (np.concatenate([log_std, mu], axis=1), np.empty(0, dtype))
        policy_rows.draw_actions(y, own, eps.astype(np.float64), actions)
        np.testing.assert_allclose(actions, mu + np.exp(log_std) * eps, rtol=1e-6 if dtype == np.float32 else 1e-12)
