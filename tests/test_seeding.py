"""The same seed gives the same run, whatever an environment draws from."""

import random

import gymnasium as gym
import numpy as np
import pytest

import scratchac
from scratchac import algorithms
from scratchac.algorithms.sac_pixels import PixelSAC
from scratchac.environments.vector import VectorEnv


def test_environments_start_differently_and_repeatably():
    starts = []
    for seed in (0, 0, 1):
        venv = VectorEnv("CartPole-v1", 4, seed)
        np.random.rand()  # noqa: NPY002                        # a stray draw from the global generator changes nothing
        starts.append(venv.reset())
        venv.close()
    assert len(np.unique(starts[0][:, 0])) == 4
    assert np.array_equal(starts[0], starts[1]) and not np.array_equal(starts[0], starts[2])


class Unseeded(gym.Env):
    """Draws from every generator but its own."""

    observation_space = gym.spaces.Box(-np.inf, np.inf, (1,), np.float64)

    def __init__(self):
        self.action_space = gym.spaces.Discrete(1000)
        self.drawn = np.random.rand()  # noqa: NPY002                       # a world that its constructor draws

    def observe(self):
        return np.array([np.random.rand() + random.random() + int(self.action_space.sample()) + self.drawn])  # noqa: NPY002

    def reset(self, *, seed=None, options=None):
        self.t = 0
        return self.observe(), {}

    def step(self, action):
        self.t += 1
        return self.observe(), float(self.observe()[0]), self.t == 5, False, {}


@pytest.mark.parametrize("vector", ["sync", "async"])
def test_the_same_seed_is_the_same_run_whatever_an_environment_draws_from(vector):
    """The global generators of the program go on as if nothing had happened, and an agent draws from none of them."""
    def run(seed):
        np.random.seed(run.calls)  # noqa: NPY002
        random.seed(run.calls)
        run.calls += 1
        expected = np.random.RandomState(run.calls - 1).rand(), random.Random(run.calls - 1).random()
        agent = scratchac.train("a2c", Unseeded, 200, seed, vector=vector, hidden=(4,), envs=2)
        returns = scratchac.evaluate(agent, Unseeded, 12, seed)
        assert (np.random.rand(), random.random()) == expected  # noqa: NPY002
        return [*agent.model.flat, *returns]

    run.calls = 1
    first, again, other = run(3), run(3), run(4)
    assert first == again != other


class Elsewhere(gym.Env):
    """The goal of an episode is drawn from a space of its own, or of its class, or by another environment that it holds."""

    observation_space, action_space = gym.spaces.Box(-1, 1, (1,)), gym.spaces.Discrete(2)

    angles = gym.spaces.Box(-1, 1, (1,))

    def __init__(self, where):
        self.goal_space = gym.spaces.Dict(a=gym.spaces.Box(-1, 1, (1,)))
        self.where, self.inner = where, gym.make("CartPole-v1")

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        drawn = {"itself": lambda: self.goal_space.sample()["a"], "class": self.angles.sample,
                 "inner": lambda: self.inner.action_space.sample() - np.float32([0.5])}[self.where]()
        return drawn.astype(np.float32), {}

    def step(self, action):
        return np.zeros(1, np.float32), 1.0, True, False, {}


@pytest.mark.parametrize("where", ["itself", "class", "inner"])
@pytest.mark.parametrize("vector", ["sync", "async"])
def test_spaces_are_seeded_wherever_they_are_held(where, vector):
    seen = []
    for seed in (1, 1, 2):
        envs = VectorEnv(lambda: Elsewhere(where), 2, seed, vector)
        seen.append(np.concatenate([envs.reset(), *(envs.step(np.zeros(2, int))[0] for _ in range(8))]))
        envs.close()
    assert np.array_equal(seen[0], seen[1]) and not np.array_equal(seen[0], seen[2])


class Careless(gym.Env):
    """Its own reset leaves out `super().reset(seed=seed)`, and the two environments that it holds are reset without a seed."""

    observation_space, action_space = gym.spaces.Box(-1, 1, (9,), np.float64), gym.spaces.Discrete(2)

    def __init__(self):
        self.inner = [gym.make("CartPole-v1"), gym.make("CartPole-v1")]

    def reset(self, *, seed=None, options=None):
        return np.array([self.np_random.random(), *(x for env in self.inner for x in env.reset()[0])]), {}

    def step(self, action):
        return np.zeros(9), 1.0, True, False, {}


@pytest.mark.parametrize("vector", ["sync", "async"])
def test_environments_that_no_reset_seeds_are_seeded(vector):
    seen = []
    for seed in (1, 1, 2):
        envs = VectorEnv(Careless, 2, seed, vector)
        seen.append(np.concatenate([envs.reset(), envs.step(np.zeros(2, int))[0]]))
        envs.close()
    assert np.array_equal(seen[0], seen[1]) and len(np.unique(np.concatenate(seen[1:]))) == 2 * 4 * 9


@pytest.mark.parametrize("cls", [*map(algorithms.find, algorithms.ALGORITHMS), PixelSAC], ids=lambda cls: cls.__name__)
def test_an_agent_has_the_seed_0_unless_another_is_given(cls):
    box, pictures = gym.spaces.Box(-1, 1, (2,)), gym.spaces.Box(0, 255, (1, 16, 16), np.uint8)
    continuous = cls.__name__ in ("DDPG", "TD3", "SAC", "PixelSAC")
    spaces = pictures if cls is PixelSAC else box, box if continuous else gym.spaces.Discrete(2)
    config = cls.config_class(hidden=(4,), **({"buffer_size": 256} if hasattr(cls.config_class, "buffer_size") else {}))
    default, zero, one = (cls(config, *spaces, *seed).state() for seed in ((), (0,), (1,)))
    np.testing.assert_equal(default, zero)
    with pytest.raises(AssertionError):
        np.testing.assert_equal(default, one)
