"""Tiny environments with known answers; each exposes one silent bug."""

import json
import os
import signal

import gymnasium as gym
import numpy as np

BOX = gym.spaces.Box(-np.inf, np.inf, (1,), np.float32)


def summary_of(path):
    return json.loads((path / "summary.json").read_text())


class Constant(gym.Env):
    """Every step pays 1, and there is one observation. After `limit` steps the episode is truncated, or terminates, or both."""

    observation_space, action_space = BOX, gym.spaces.Discrete(2)

    def __init__(self, limit=5, ends="trunc"):
        self.limit, self.ends = limit, ends

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.t += 1
        over = self.t >= self.limit
        return np.zeros(1, np.float32), 1.0, over and self.ends != "trunc", over and self.ends != "term", {}


class Counter(gym.Env):
    """The observation counts the steps of an episode of length `limit`; episodes start at 100·(their number)."""

    observation_space, action_space = BOX, gym.spaces.Discrete(2)

    def __init__(self, limit=3):
        self.limit, self.episode = limit, -1

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t, self.episode = 0, self.episode + 1
        return self.observe(), {}

    def observe(self):
        return np.array([100 * self.episode + self.t], np.float32)

    def step(self, action):
        self.t += 1
        return self.observe(), 0.0, self.t >= self.limit, False, {}


class Aliasing(Counter):
    """A Counter that hands out the same array every time and overwrites it."""

    def __init__(self, limit=3):
        super().__init__(limit)
        self.array = np.zeros(1, np.float32)

    def observe(self):
        self.array[:] = super().observe()
        return self.array


class OneStep(gym.Env):
    """An episode is one step, which pays `reward(action)`; an action outside the space is an error."""

    observation_space = BOX

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.ones(1, np.float32), {}

    def step(self, action):
        if not self.action_space.contains(action):
            raise AssertionError(f"{action!r} is not in {self.action_space}")
        return np.ones(1, np.float32), self.reward(action), True, False, {}


class Bandit(OneStep):
    """Action `best` pays 1, the others 0. Actions are start … start+2."""

    def __init__(self, best=1, start=0):
        self.action_space = gym.spaces.Discrete(3, start=start)
        self.best = best + start

    def reward(self, action):
        return float(action == self.best)


class Match(gym.Env):
    """An episode is one step; the observation is ±1 and the action of its sign pays 1. A policy must look at its input."""

    observation_space, action_space = BOX, gym.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.sign = float(self.np_random.choice([-1.0, 1.0]))
        return np.array([self.sign], np.float32), {}

    def step(self, action):
        return np.array([self.sign], np.float32), float((action == 1) == (self.sign > 0)), True, False, {}


class Target(OneStep):
    """The reward is −(a − ½)² for an action within [−1, 2]."""

    action_space = gym.spaces.Box(np.float32([-1]), np.float32([2]))

    def reward(self, action):
        return -float((action[0] - 0.5) ** 2)


class Poison(Constant):
    """After `after` steps its reward or its observation ("obs") is not finite, or its step raises an error."""

    def __init__(self, what="reward", after=3):
        super().__init__(limit=100)
        self.what, self.after = what, after

    def step(self, action):
        obs, reward, term, trunc, info = super().step(action)
        if self.t > self.after:
            if self.what == "raise":
                raise RuntimeError("the simulator broke")
            if self.what == "reward":
                reward = float("nan")
            else:
                obs = obs + np.inf
        return obs, reward, term, trunc, info


class Deadly(Constant):
    """At its tenth step it kills its own process, or raises an error."""

    steps, way = 0, "kill"

    def step(self, action):
        self.steps += 1
        if self.steps == 10:
            if self.way == "raise":
                raise RuntimeError("the pole broke")
            os.kill(os.getpid(), signal.SIGKILL)
        return super().step(action)


class Breaking(Deadly):
    way = "raise"


class DiesOnce(Bandit):
    """A Bandit that kills its process at its first step. It leaves a file by which later instances know that this has happened."""

    def __init__(self, mark):
        super().__init__()
        self.mark = mark

    def step(self, action):
        try:
            os.close(os.open(self.mark, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return super().step(action)
        os.kill(os.getpid(), signal.SIGKILL)


class Reach(gym.Env):
    """A point in a square, 0.1·action a step, which ends after `limit` steps; 0 near the desired goal, −1 elsewhere.

    `ends`: an episode ends at its goal, as `compute_terminated` says, which takes one goal at a time.
    """

    action_space = gym.spaces.Box(-1, 1, (2,), np.float32)
    observation_space = gym.spaces.Dict({name: gym.spaces.Box(-9, 9, (n,), np.float64)
                                         for name, n in (("observation", 1), ("achieved_goal", 2), ("desired_goal", 2))})

    def __init__(self, limit=20, ends=False):
        self.limit, self.ends = limit, ends

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t, self.x, self.goal = 0, np.zeros(2), self.np_random.uniform(-1, 1, 2)
        return self.observe(), {}

    def observe(self):
        return {"observation": np.array([self.t / self.limit]), "achieved_goal": self.x.copy(), "desired_goal": self.goal}

    def step(self, action):
        self.t, self.x = self.t + 1, np.clip(self.x + 0.1 * action, -1, 1)
        reward = float(self.compute_reward(self.x[None], self.goal[None], {})[0])
        return self.observe(), reward, self.compute_terminated(self.x, self.goal, {}), self.t >= self.limit, {}

    def compute_reward(self, achieved_goal, desired_goal, info):
        return -(np.linalg.norm(achieved_goal - desired_goal, axis=1) > 0.1).astype(float)

    def compute_terminated(self, achieved_goal, desired_goal, info):
        assert achieved_goal.shape == (2,)
        return self.ends and bool(np.linalg.norm(achieved_goal - desired_goal) <= 0.1)
