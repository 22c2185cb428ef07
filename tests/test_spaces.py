"""Spaces of observations and actions: which are taken, and what an environment may return or gets."""

import gymnasium as gym
import numpy as np
import pytest
from probes import Bandit

import scratchac
from scratchac.environments.spaces import make_distribution
from scratchac.environments.vector import VectorEnv
from scratchac.errors import EnvironmentFailed, UserError


class Says(gym.Env):
    """Observes `values` one after another, which its space may not be able to hold; an episode has three steps and pays them."""

    action_space = gym.spaces.Discrete(2)

    def __init__(self, dtype, values):
        self.observation_space = gym.spaces.Box(0, 100, (1,), dtype)
        self.values = values

    def reset(self, *, seed=None, options=None):
        self.t = 0
        return np.array([self.values[0]]), {}

    def step(self, action):
        self.t += 1
        return np.array([self.values[self.t]]), float(self.values[self.t]), self.t == 3, False, {}


@pytest.mark.parametrize("dtype, values, lost", [
    (np.int32, [0, 1, 0.7, 2], "0.7"), (np.uint8, [0, 1, 300, 2], "300"), (np.uint8, [0, 1, -1, 2], "-1"),
    (np.int8, [0, 1, 2.0**40, 2], "1099511627776.0"), (np.int64, [0, 1, np.nan, 2], "nan"),
    (np.float32, [0, 1, 1e300, 2], "1e\\+300"),
    (np.float16, [0, 1, 70_000, 2], "70000")])
def test_an_observation_that_its_space_cannot_hold_is_an_error(dtype, values, lost):
    """In training as in evaluation: environment, step and value are named."""
    agent = scratchac.make_agent("a2c", lambda: Says(dtype, [0] * 4))
    message = f"environment 0 at step 2 of its episode.*{lost}.*{np.dtype(dtype)}"
    with pytest.raises(EnvironmentFailed, match=message):
        scratchac.evaluate(agent, lambda: Says(dtype, values), 1)
    with pytest.raises(EnvironmentFailed, match=message):
        scratchac.train("a2c", lambda: Says(dtype, values), 100, envs=1)
    # Gymnasium 1.1 has no shared memory of float16.
    with pytest.raises((EnvironmentFailed, UserError), match=f"{message}|async.* is not possible: this type has no size"):
        scratchac.train("a2c", lambda: Says(dtype, values), 100, vector="async", envs=1)


@pytest.mark.parametrize("dtype, values", [
    (np.float32, np.array([0.1, 0.2, 1 / 3, 0.7])), (np.float32, np.array([0, 1, 2, 3])),
    (np.int32, np.array([0.0, 1.0, 2.0, 3.0])), (np.uint8, np.array([0, 1, 255, 3])),
    (np.float64, np.array([0, 1, 2, 3], np.float32)), (np.int64, np.array([1, 0, 1, 1], bool))])
def test_training_and_evaluation_see_the_same_observations(dtype, values):
    """Digits may get lost, and whole numbers may come as floats; everyone sees the value that the space can hold."""
    seen = []
    venv = VectorEnv(lambda: Says(dtype, values), 1, 0)
    seen.append([venv.reset(), *(venv.step(np.zeros(1, int))[2] for _ in range(3))])

    class Onlooker:
        def act(self, obs, explore):
            seen[-1].append(obs)
            return np.zeros(len(obs), int)

    seen.append([])
    assert scratchac.evaluate(Onlooker(), lambda: Says(dtype, values), 1) == [sum(values[1:].astype(float))]
    for trained, evaluated, value in zip(*seen, values, strict=False):
        assert trained.dtype == evaluated.dtype == dtype and trained == evaluated == dtype(value)


def test_actions_with_another_start():
    """The environment takes the actions 5, 6 and 7 and refuses all others."""
    venv = VectorEnv(Bandit, 2, 0, start=5)
    dist = make_distribution(venv.action_space)
    venv.reset()
    venv.step(dist.to_env(np.array([0, 2])))
    with pytest.raises(EnvironmentFailed, match="AssertionError"):
        venv.step(np.array([0, 2]))
    venv.close()


@pytest.mark.parametrize("algorithm, env, other", [
    ("a2c", lambda: Bandit(start=0), lambda: Bandit(start=1)), ("ppo", "CartPole-v1", "Acrobot-v1"),
    ("sac", "Pendulum-v1", lambda: gym.wrappers.RescaleAction(gym.make("Pendulum-v1"), np.float32([-1]), np.float32([1]))),
    ("a2c", "Pendulum-v1", lambda: gym.wrappers.RescaleAction(gym.make("Pendulum-v1"), np.float32([-2]), np.float32([1]))),
    ("discrete-sac", "CartPole-v1", "Acrobot-v1")])
def test_an_environment_that_does_not_fit_is_refused(algorithm, env, other, tmp_path):
    """Other actions, other bounds, other observations: in evaluation, in films, and on resume."""
    from scratchac.experiments.video import render

    options = {"learning_starts": 10, "batch_size": 4} if "sac" in algorithm else {}
    agent = scratchac.train(algorithm, env, 20_000, hidden=(4,), out=tmp_path / "run", stop_after=20, **options)
    scratchac.evaluate(agent, env, 1)
    with pytest.raises(UserError, match="the agent was made for"):
        scratchac.evaluate(agent, other, 1)
    if algorithm == "sac":
        with pytest.raises(UserError, match="the agent was made for"):
            render(agent, "MountainCarContinuous-v0")
    with pytest.raises(UserError, match=r"start a new run there|was trained with the space"):
        scratchac.resume(tmp_path / "run", env=other)
