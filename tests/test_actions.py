"""What an environment gets is an element of its action space, whatever its dtype and bounds, and every algorithm learns there."""

import gymnasium as gym
import numpy as np
import pytest
from probes import OneStep

import scratchac
from scratchac.distributions import Deterministic, Gaussian, TanhGaussian
from scratchac.environments import spaces
from scratchac.errors import UserError

BOXES = [gym.spaces.Box(0, 3, (1,), np.int64), gym.spaces.Box(0, 255, (2,), np.uint8), gym.spaces.Box(-3, -1, (1,), np.int8),
         gym.spaces.Box(np.array([-1, 5]), np.array([1, 9]), dtype=np.int32), gym.spaces.Box(10, 100, (1,), np.float32),
         gym.spaces.Box(-0.1, 0.3, (2,), np.float64), gym.spaces.Box(-2, 2, (1,), np.float16)]
ON_POLICY, OFF_POLICY = ["reinforce", "reinforce-baseline", "actor-critic", "a2c", "ppo"], ["ddpg", "td3", "sac"]
FEW = {"batch_size": 8, "learning_starts": 8, "hidden": (4,)}


class Strict(OneStep):
    """The reward is −(x − ¾)², x the action's place in the box."""

    def __init__(self, box, played=None):
        self.action_space, self.played = box, [] if played is None else played

    def reward(self, action):
        self.played.append(action)
        low, high = self.action_space.low.astype(float), self.action_space.high.astype(float)
        place = (action - low) / (high - low)
        return -float(((place - 0.75) ** 2).mean())


@pytest.mark.parametrize("box", [BOXES[0], *(pytest.param(box, marks=pytest.mark.slow) for box in BOXES[1:])], ids=str)
@pytest.mark.parametrize("algorithm", ON_POLICY + OFF_POLICY)
def test_every_action_is_one_of_the_space(algorithm, box):
    """In training, at random and learnt, and in evaluation."""
    played = []
    options = FEW if algorithm in OFF_POLICY else {"hidden": (4,)}
    agent = scratchac.train(algorithm, lambda: Strict(box, played), 40, **options)
    scratchac.evaluate(agent, lambda: Strict(box, played), 5)
    scratchac.evaluate(agent, lambda: Strict(box, played), 5, explore=True)
    assert len(played) >= 50


@pytest.mark.parametrize("low, high, dtype", [(0, 3, np.int64), (-2, 2, np.int8), (250, 255, np.uint8)])
def test_whole_numbers_are_equally_likely_under_uniform_noise(low, high, dtype, rng):
    """Over 100,000 draws every share is within 5 standard errors; before learning starts actions are drawn so."""
    for dist in (Deterministic, TanhGaussian):
        scale = dist(np.array([low], dtype), np.array([high], dtype))
        actions = scale.to_env(scale.random(rng, 100_000))
        p = 1 / (high - low + 1)
        shares = np.array([(actions == x).mean() for x in range(low, high + 1)])
        assert actions.dtype == dtype and (np.abs(shares - p) < 5 * np.sqrt(p * (1 - p) / 100_000)).all()


def test_the_ends_of_the_policys_range_are_the_ends_of_the_box():
    for box in BOXES:
        for dist in (Deterministic(box.low, box.high), Gaussian(box.low, box.high)):
            n = len(box.low)
            ends = dist.to_env(np.array([-np.ones(n), np.ones(n), np.full(n, -7.0), np.full(n, 7.0)], np.float32))
            np.testing.assert_array_equal(ends, np.array([box.low, box.high] * 2))
            assert ends.dtype == box.dtype


def test_a_box_from_minus_one_to_one_stays_to_the_last_bit(rng):
    dist, a = Gaussian(-np.ones(3, np.float32), np.ones(3, np.float32)), rng.uniform(-1, 1, (1000, 3)).astype(np.float32)
    assert np.array_equal(dist.to_env(a), a)


def test_raw_units():
    """With scaled off, actions are in the box's own units, and clipped; whole numbers are rounded, halves up."""
    dist = Gaussian(np.float32([10]), np.float32([100]), scaled=False)
    assert dist.to_env(np.float32([[5], [50], [500]])).ravel().tolist() == [10, 50, 100]
    dist = Gaussian(np.array([0]), np.array([3]), scaled=False)
    assert dist.to_env(np.array([[-1.0], [0.4], [0.5], [2.5], [9.0]])).ravel().tolist() == [0, 0, 1, 3, 3]


@pytest.mark.parametrize("algorithm, options", [
    ("reinforce", {"steps": 4_000, "lr": 0.02}), ("reinforce-baseline", {"steps": 4_000, "actor_lr": 0.02, "critic_lr": 0.02}),
    ("actor-critic", {"steps": 10_000, "actor_lr": 0.003, "critic_lr": 0.02}),
    ("a2c", {"steps": 20_000, "rollout": 4, "actor_lr": 0.005, "critic_lr": 0.01}),
    ("ppo", {"steps": 10_000, "rollout": 32, "lr": 0.005})], ids=str)
@pytest.mark.slow
def test_a_box_far_from_zero_is_learnt(algorithm, options):
    """Of the box [10, 100] the action 77.5 is the best one."""
    box = BOXES[4]
    agent = scratchac.train(algorithm, lambda: Strict(box), hidden=(8,), **options)
    assert abs(float(agent.act(np.ones(1), explore=False)[0]) - 77.5) < 12


@pytest.mark.parametrize("low, high", [(-np.inf, np.inf), (0, np.inf), (-3e38, 3e38), (-1e10, 1e10)])
@pytest.mark.parametrize("algorithm", ["a2c", "ppo", "sac"])
def test_bounds_over_which_nothing_can_be_stretched_are_refused(algorithm, low, high):
    box = gym.spaces.Box(np.float32([low]), np.float32([high]))
    with pytest.raises(UserError, match=r"no finite bounds|bounds that are too far apart"):
        scratchac.make_agent(algorithm, lambda: Strict(box))
    if algorithm != "sac":
        scratchac.make_agent(algorithm, lambda: Strict(box), scale_actions=False)


def test_whole_numbers_beyond_float64_are_refused():
    with pytest.raises(UserError, match="more whole numbers"):
        spaces.make_distribution(gym.spaces.Box(-2**63, 2**63 - 1, (1,), np.int64))


@pytest.mark.slow
def test_a_run_from_before_the_choice_keeps_its_units(tmp_path):
    """Its config.json has no scale_actions; its actions were in the environment's units."""
    import json

    agent = scratchac.train("ppo", "Pendulum-v1", 64, out=tmp_path / "run", rollout=8, scale_actions=False, hidden=(4,))
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["hyperparameters"].pop("scale_actions") is False
    (tmp_path / "run" / "config.json").write_text(json.dumps(config))
    old, obs = scratchac.load(tmp_path / "run"), np.ones((5, 3))
    assert old.dist.scale is None and np.array_equal(old.act(obs, explore=False), agent.act(obs, explore=False))
