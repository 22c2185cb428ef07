"""Training that starts from given parameters, and observations that off-policy agents normalise."""

import json
from copy import deepcopy

import gymnasium as gym
import numpy as np
import pytest

import scratchac
from scratchac.__main__ import main
from scratchac.errors import CheckpointError, UserError
from scratchac.normalise import RewardScaler
from scratchac.training.memory import Batch, Transitions

REPLAYED = {"batch_size": 8, "learning_starts": 8, "buffer_size": 500, "train_every": 4}
CASES = {"reinforce": {}, "reinforce-baseline": {}, "actor-critic": {}, "a2c": {"normalise_obs": True, "scale_rewards": True},
         "ppo": {"rollout": 8, "batch_size": 8}, "ddpg": REPLAYED, "td3": REPLAYED, "sac": REPLAYED | {"normalise_obs": True},
         "discrete-sac": REPLAYED}
STATISTICS = {"parameters", "actor", "actor_target", "critic", "critic_target", "log_alpha"}


def env_of(algorithm):
    return "Pendulum-v1" if algorithm in ("ddpg", "td3", "sac") else "CartPole-v1"


# -- init ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", CASES)
@pytest.mark.parametrize("by", ["agent", "folder"])
def test_training_starts_from_what_another_agent_has_learnt(algorithm, by, tmp_path, monkeypatch, quick_end):
    """Parameters and statistics are copied before the first step; moments, buffers, generators and the step are new."""
    options = CASES[algorithm] | {"hidden": (4,)}
    first = scratchac.train(algorithm, env_of(algorithm), 60, seed=1, out=tmp_path / "first", **options)
    fresh = scratchac.make_agent(algorithm, env_of(algorithm), 2, steps=60, **options)
    seen = []
    monkeypatch.setattr("scratchac.training.loops.train", lambda agent, *_: seen.append(deepcopy(agent.state())))
    init = first if by == "agent" else tmp_path / "first"
    scratchac.train(algorithm, env_of(algorithm), 60, seed=2, init=init, **options)
    (state,) = seen
    learnt, untouched = first.state(), fresh.state()
    for name, value in state.items():
        if name in STATISTICS:
            np.testing.assert_array_equal(value, learnt[name])
        elif name == "normaliser":
            np.testing.assert_equal(value, learnt[name])
        elif name == "scaler" and value:
            np.testing.assert_equal(value["std"], learnt[name]["std"])
            np.testing.assert_equal(value["running"], untouched[name]["running"])
        else:
            np.testing.assert_equal(value, untouched[name])


@pytest.mark.slow
def test_a_run_remembers_its_origin_and_is_resumed_without_it(tmp_path, quick_end):
    options = {"hidden": (4,), "rollout": 8, "batch_size": 8, "envs": 2}
    first = scratchac.train("ppo", "CartPole-v1", 64, out=tmp_path / "first", **options)
    for name, init in (("a", first), ("b", tmp_path / "first")):
        scratchac.train("ppo", "CartPole-v1", 160, seed=5, init=init, out=tmp_path / name, stop_after=80, **options)
        assert json.loads((tmp_path / name / "config.json").read_text())["init"] == ("PPO" if name == "a" else str(init))
    (tmp_path / "first").rename(tmp_path / "elsewhere")
    whole = scratchac.train("ppo", "CartPole-v1", 160, seed=5, init=first, **options)
    for name in "ab":
        np.testing.assert_array_equal(scratchac.resume(tmp_path / name).model.flat, whole.model.flat)
    assert np.abs(whole.model.flat - scratchac.train("ppo", "CartPole-v1", 160, seed=5, **options).model.flat).max() > 0.01


@pytest.mark.slow
def test_workers_and_games_start_from_it_too(tmp_path):
    first = scratchac.train("a3c", "CartPole-v1", 100, envs=1, hidden=(4,))
    second = scratchac.train("a3c", "CartPole-v1", 100, envs=1, hidden=(4,), init=first, lr=1e-12)
    np.testing.assert_allclose(second.model.flat, first.model.flat, atol=1e-6)
    pytest.importorskip("pettingzoo")
    options = {"action_mask": True, "envs": 2, "rollout": 8, "batch_size": 8, "hidden": (4,)}
    first = scratchac.train("ppo", "tictactoe_v3", 64, **options)
    second = scratchac.train("ppo", "tictactoe_v3", 64, init=first, lr=1e-12, **options)
    np.testing.assert_allclose(second.model.flat, first.model.flat, atol=1e-6)


def test_the_command_line(tmp_path, monkeypatch, capsys, quick_end):
    monkeypatch.chdir(tmp_path)
    words = "train a2c --env CartPole-v1 --steps 80 --hidden 4 --quiet --no-video --eval-episodes 1"
    assert main([*words.split(), "--out", "first"]) == 0
    assert main([*words.split(), "--out", "second", "--init", "first"]) == 0
    assert json.loads((tmp_path / "second" / "config.json").read_text())["init"] == "first"
    capsys.readouterr()
    assert main([*words.split(), "--out", "third", "--init", "nowhere"]) == 2
    assert capsys.readouterr().err == "scratchac: nowhere is not a run: it has no config.json\n"
    assert not (tmp_path / "third").exists()


@pytest.mark.parametrize("algorithm, options, message", [
    ("ppo", {}, "^init is a A2C, not a PPO"), ("a2c", {"hidden": (5,)}, r"^init was trained with hidden \(4,\), not \(5,\)"),
    ("a2c", {"activation": "relu"}, " activation tanh, not relu"), ("a2c", {"shared_body": True}, " shared_body False, not True"),
    ("a2c", {"normalise_obs": True}, " normalise_obs False, not True"), ("a2c", {"scale_rewards": True}, " scale_rewards"),
    ("a2c", {"advantage": "qv"}, " advantage gae, not qv"),
    ("a2c", {"env": "Acrobot-v1"}, "was made for observations Box"),
    ("a2c", {"env": lambda: gym.wrappers.TransformAction(gym.make("CartPole-v1"), int, gym.spaces.Discrete(3))},
     "2 actions from 0"),
])
def test_what_does_not_fit_is_refused(algorithm, options, message, tmp_path):
    first = scratchac.train("a2c", "CartPole-v1", 50, hidden=(4,), activation="tanh")
    settings = {"env": "CartPole-v1", "hidden": (4,), "activation": "tanh"} | options
    with pytest.raises(UserError, match=message):
        scratchac.train(algorithm, steps=50, init=first, out=tmp_path / "run", **settings)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("algorithm, env, name, value", [
    ("sac", "Pendulum-v1", "alpha", 0.01), ("ppo", "Pendulum-v1", "initial_std", 0.1), ("a2c", "CartPole-v1", "initialiser", "he")])
def test_where_learning_would_begin_is_refused(algorithm, env, name, value):
    """It begins with what another agent has learnt."""
    first = scratchac.make_agent(algorithm, env, hidden=(4,))
    with pytest.raises(UserError, match=f"{name} says where learning begins, and init begins with what another agent"):
        scratchac.train(algorithm, env, 50, init=first, hidden=(4,), **{name: value})


def test_a_temperature_that_is_not_learnt_may_be_given():
    options = {"hidden": (4,), "batch_size": 8, "learning_starts": 20, "buffer_size": 100, "learn_alpha": False}
    first = scratchac.make_agent("sac", "Pendulum-v1", alpha=0.5, **options)
    assert scratchac.train("sac", "Pendulum-v1", 40, init=first, alpha=0.01, **options).temperature() == pytest.approx(0.01)


def test_a_damaged_checkpoint_is_refused(tmp_path, quick_end):
    scratchac.train("a2c", "CartPole-v1", 50, hidden=(4,), out=tmp_path / "first")
    (tmp_path / "first" / "checkpoint.npz").write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match="cannot be used"):
        scratchac.train("a2c", "CartPole-v1", 50, hidden=(4,), init=tmp_path / "first", out=tmp_path / "second")
    assert not (tmp_path / "second").exists()


# -- normalised observations -------------------------------------------------------------------------------------------------


def off_policy(algorithm, **options):
    return scratchac.make_agent(algorithm, env_of(algorithm), 3, steps=1000, hidden=(8,), **REPLAYED | options)


@pytest.mark.parametrize("algorithm", ["ddpg", "td3", "sac", "discrete-sac"])
def test_an_update_is_that_of_a_plain_agent_on_normalised_observations(algorithm, rng):
    """So are actions and values; and what the buffer keeps is not changed."""
    normalising, plain = off_policy(algorithm, normalise_obs=True), off_policy(algorithm)
    O = plain.observation_shape[0]
    scale = 10.0 ** np.arange(O)
    normalising.normaliser.update(scale * (3 + rng.standard_normal((500, O))))
    assert np.abs(normalising.normaliser(scale * 3)).max() < 0.2            # the mean is at 0
    raw, raw2 = ((scale * (3 + rng.standard_normal((8, O)))).astype(np.float32) for _ in range(2))
    actions = rng.integers(2, size=8) if algorithm == "discrete-sac" else rng.uniform(-1, 1, (8, plain.dist.features)).astype("f")
    batch = Transitions(raw, actions, np.ones(8, np.float32), raw2, np.zeros(8, np.float32))
    seen = batch._replace(obs=normalising.normaliser(raw).astype("f"), next_obs=normalising.normaliser(raw2).astype("f"))
    np.testing.assert_allclose(normalising.greedy(raw), plain.greedy(seen.obs), rtol=1e-5)
    np.testing.assert_allclose(normalising.value(raw, actions), plain.value(seen.obs, actions), rtol=1e-4)
    for _ in range(3):
        normalising.update(batch)
        plain.update(seen)
    np.testing.assert_allclose(normalising.theta.flat, plain.theta.flat, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(normalising.w.flat, plain.w.flat, rtol=1e-4, atol=1e-6)
    assert np.abs(off_policy(algorithm).w.flat - plain.w.flat).max() > 1e-4          # they did learn


@pytest.mark.parametrize("algorithm", ["ddpg", "td3", "sac", "discrete-sac"])
def test_statistics_are_those_of_the_observations_of_training_alone(algorithm, tmp_path, quick_end):
    options = REPLAYED | {"hidden": (4,), "normalise_obs": True}
    agent = scratchac.train(algorithm, env_of(algorithm), 200, out=tmp_path / "whole", **options)
    stored = agent.memory.data["obs"][:200]
    np.testing.assert_allclose(agent.normaliser.mean, stored.mean(axis=0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(agent.normaliser.std, stored.std(axis=0), rtol=1e-3, atol=1e-4)
    assert agent.normaliser.count == 200 and np.abs(stored).max() > 0.5
    scratchac.evaluate(agent, env_of(algorithm), 2)
    assert agent.normaliser.count == 200
    scratchac.train(algorithm, env_of(algorithm), 200, out=tmp_path / "part", stop_after=90, **options)
    resumed = scratchac.resume(tmp_path / "part")
    np.testing.assert_equal(resumed.normaliser.state(), agent.normaliser.state())
    np.testing.assert_array_equal(resumed.theta.flat, agent.theta.flat)


@pytest.mark.parametrize("algorithm", ["a2c", "ppo"])
def test_an_on_policy_update_scales_first_and_then_learns_the_statistics(algorithm, rng):
    """It is that of a plain agent on normalised observations and scaled rewards; s, and not s′, goes into the statistics."""
    options = {"envs": 3, "rollout": 8, "hidden": (8,), "gamma": 0.8} | ({"batch_size": 8} if algorithm == "ppo" else {})
    scaling, plain = (scratchac.make_agent(algorithm, "CartPole-v1", 3, normalise_obs=on, scale_rewards=on, **options)
                      for on in (True, False))
    before = 3 + 10 * rng.standard_normal((50, 4))
    scaling.normaliser.update(before)
    (obs, next_obs), rewards = (10 * rng.standard_normal((2, 8, 3, 4))).astype("f"), 5 * rng.standard_normal((8, 3)).astype("f")
    term, trunc = (rng.random((2, 8, 3)) < 0.2).astype("f")
    batch = Batch(obs, rng.integers(2, size=(8, 3)), rewards, next_obs, term, trunc * (1 - term), np.zeros((8, 3), int))
    seen = batch._replace(obs=scaling.normaliser(obs).astype("f"), next_obs=scaling.normaliser(next_obs).astype("f"),
                          rewards=RewardScaler(3)(rewards, batch.done, 0.8).astype("f"))
    scaling.update(batch)
    plain.update(seen)
    np.testing.assert_allclose(scaling.model.flat, plain.model.flat, rtol=1e-4, atol=1e-6)
    rows = np.concatenate([before, obs.reshape(24, 4)])
    np.testing.assert_allclose(scaling.normaliser.mean, rows.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(scaling.normaliser.std, rows.std(axis=0), rtol=1e-5)


class Scales(gym.Env):
    """One number in [−1, 1] is wanted back; it is seen as a thousandth, beside a number of the size of a thousand."""

    observation_space = gym.spaces.Box(-1e4, 1e4, (2,), np.float32)
    action_space = gym.spaces.Box(-1, 1, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.x = self.np_random.uniform(-1, 1)
        return np.array([self.x / 1000, 1000 * (2 + self.np_random.standard_normal())], np.float32), {}

    def step(self, action):
        return np.zeros(2, np.float32), -abs(float(action[0]) - self.x), True, False, {}


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["ddpg", "td3", "sac"])
def test_what_is_too_small_to_be_seen_is_learnt_once_it_is_normalised(algorithm):
    """The best constant action has a return of −0.5."""
    options = {"hidden": (32,), "batch_size": 64, "learning_starts": 200, "actor_lr": 1e-3, "critic_lr": 1e-3}
    means = [scratchac.evaluate(scratchac.train(algorithm, Scales, 3000, normalise_obs=on, **options), Scales, 200).mean()
             for on in (True, False)]
    assert means[0] > -0.2 and means[1] < -0.4


class FarAway(gym.Env):
    """Observations are large numbers, of which float32 has none between; which of two it is pays for one of two actions."""

    observation_space, action_space = gym.spaces.Box(-np.inf, np.inf, (1,), np.float64), gym.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return self.seen(), {}

    def seen(self):
        self.bit = int(self.np_random.integers(2))
        return np.array([1.7e9 + 60 * self.bit])

    def step(self, action):
        reward, self.t = float(action == self.bit), self.t + 1
        return self.seen(), reward, self.t == 20, False, {}


@pytest.mark.parametrize("algorithm, options", [
    ("ppo", {"steps": 4_000, "lr": 1e-3, "envs": 4, "rollout": 50, "batch_size": 50}),
    ("discrete-sac", {"steps": 1_500, "learning_starts": 100, "batch_size": 32, "actor_lr": 3e-3, "critic_lr": 3e-3})])
def test_what_float32_cannot_tell_apart_is_learnt_once_it_is_normalised(algorithm, options, tmp_path, quick_end):
    """The mean is subtracted first. A run of an earlier version, with a buffer in float32, is read."""
    agent = scratchac.train(algorithm, FarAway, hidden=(16,), normalise_obs=True, out=tmp_path / "run", **options)
    assert scratchac.evaluate(agent, FarAway, 10).mean() > 19
    if algorithm == "discrete-sac":
        state = agent.state()
        state["memory"] |= {name: state["memory"][name].astype(np.float32) for name in ("obs", "next_obs")}
        agent.load_state(state)
        assert agent.memory.data["obs"].dtype == np.float64


def test_pictures_are_not_normalised():
    class Drawn(gym.Env):
        observation_space, action_space = gym.spaces.Box(0, 255, (16, 16, 3), np.uint8), gym.spaces.Box(-1, 1, (1,))

    for algorithm in ("sac", "ppo"):
        with pytest.raises(UserError, match="normalise_obs is for vectors"):
            scratchac.make_agent(algorithm, Drawn, normalise_obs=True)


def test_a_normalised_policy_is_exported(tmp_path, quick_end):
    runtime = pytest.importorskip("onnxruntime")
    from scratchac.tools.export import export, policy_of

    agent = scratchac.train("sac", "Pendulum-v1", 200, out=tmp_path / "run", normalise_obs=True, **REPLAYED, hidden=(4,))
    assert policy_of(agent)["normaliser"]["mean"] == agent.normaliser.mean.tolist()
    obs = (5 * np.random.default_rng(0).standard_normal((50, 3))).astype(np.float32)
    graph = runtime.InferenceSession(export(tmp_path / "run", "onnx"), providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(graph.run(None, {"obs": obs})[0], agent.act(obs, explore=False), rtol=1e-4, atol=1e-4)
