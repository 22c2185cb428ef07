"""Small environments in which the right answer is known; each shows one kind of mistake."""

from typing import Any

import gymnasium as gym
import numpy as np

ONE = gym.spaces.Box(-1, 1, (1,), np.float32)
ANY = gym.spaces.Box(-np.inf, np.inf, (1,), np.float32)
Seen = tuple[np.ndarray, dict[str, Any]]
Stepped = tuple[np.ndarray, float, bool, bool, dict[str, Any]]


class Still(gym.Env):
    """All observations are the same; `t` counts the steps of an episode."""

    observation_space: Any = ONE

    def reset(self, *, seed: Any = None, options: Any = None) -> Seen:
        """Begin an episode."""
        super().reset(seed=seed)
        self.t = 0
        return self._see(), {}

    def _see(self) -> np.ndarray:
        return np.ones(1, np.float32)


class Clock(Still):
    """Every step pays 1, all observations are the same, and a time limit cuts the episode: V = 1/(1 − γ)."""

    action_space = gym.spaces.Discrete(2)

    def __init__(self, limit: int = 20) -> None:
        self.limit = limit

    def step(self, action: Any) -> Stepped:
        """Pay 1."""
        self.t += 1
        return self._see(), 1.0, False, self.t >= self.limit, {}


class TurnedClock(Clock):
    """A Clock with an action of one real number, which has no effect: Q = 1/(1 − γ)."""

    action_space: Any = ONE


class Counter(gym.Env):
    """The observation is 100 · (number of the episode) + (steps in it); a time limit cuts an episode after three steps."""

    observation_space, action_space = ANY, gym.spaces.Discrete(2)
    episode = -1

    def reset(self, *, seed: Any = None, options: Any = None) -> Seen:
        """Begin the next episode."""
        super().reset(seed=seed)
        self.t, self.episode = 0, self.episode + 1
        return self._see(), {}

    def _see(self) -> np.ndarray:
        return np.array([100 * self.episode + self.t], np.float32)

    def step(self, action: Any) -> Stepped:
        """Count."""
        self.t += 1
        return self._see(), 0.0, False, self.t >= 3, {}


class TurnedCounter(Counter):
    """A Counter with an action of one real number."""

    action_space: Any = ONE


class Echo(Counter):
    """The observation is the action before."""

    def step(self, action: Any) -> Stepped:
        """Return the action as the observation; the reward is 10."""
        self.t += 1
        return np.array([action], np.float32), 10.0, False, self.t >= 3, {}


class Sea(gym.Env):
    """Eight steps. Action 1 costs 0.02 each time; the prize of 1 is for taking it eight times, so the best return is 0.84."""

    observation_space, action_space = gym.spaces.Box(0, 1, (9,), np.float32), gym.spaces.Discrete(2)
    length = 8

    def reset(self, *, seed: Any = None, options: Any = None) -> Seen:
        """Begin at the first step."""
        super().reset(seed=seed)
        self.t, self.straight = 0, True
        return self._see(), {}

    def _see(self) -> np.ndarray:
        """The number of the step or, after action 0, that the prize is lost."""
        return np.eye(self.length + 1, dtype=np.float32)[min(self.t, self.length - 1) if self.straight else self.length]

    def step(self, action: Any) -> Stepped:
        """Pay for a step, and the prize at the end."""
        self.t, self.straight = self.t + 1, self.straight and action == 1
        over = self.t == self.length
        return self._see(), -0.02 * (action == 1) + float(over and self.straight), over, False, {}


class Sign(gym.Env):
    """One step. The observation is 1 or −1; action 1 pays 1 for the former, action 0 for the latter."""

    observation_space, action_space = ONE, gym.spaces.Discrete(2)

    def reset(self, *, seed: Any = None, options: Any = None) -> Seen:
        """Draw the sign."""
        super().reset(seed=seed)
        self.x = self.np_random.choice([-1.0, 1.0], 1).astype(np.float32)
        return self.x, {}

    def step(self, action: Any) -> Stepped:
        """Pay for the action of the sign."""
        return self.x, float((action == 1) == (self.x[0] > 0)), True, False, {}


class Match(gym.Env):
    """One step. The observation is one of the 16 corners of a cube; the action that tells the sign of its product pays 1."""

    observation_space, action_space = gym.spaces.Box(-1, 1, (4,), np.float32), gym.spaces.Discrete(2)

    def reset(self, *, seed: Any = None, options: Any = None) -> Seen:
        """Draw a corner."""
        super().reset(seed=seed)
        self.x = self.np_random.choice([-1.0, 1.0], 4).astype(np.float32)
        return self.x, {}

    def step(self, action: Any) -> Stepped:
        """Pay for the right sign."""
        return self.x, float((action == 1) == (self.x.prod() > 0)), True, False, {}


class Wager(Still):
    """One step. Action 0 pays 1; action 1 pays 10 in half of the cases and nothing in the others, so it is worth 5."""

    action_space = gym.spaces.Discrete(2)

    def step(self, action: Any) -> Stepped:
        """Pay."""
        reward = 1.0 if action == 0 else 10.0 * (self.np_random.random() < 0.5)
        return self._see(), reward, True, False, {}


class Inside(Still):
    """Ten steps. The reward is −4(a − 0.3)²: the best action is not at a bound, and −19.6 is the return of action 1."""

    action_space = ONE
    length = 10

    def step(self, action: Any) -> Stepped:
        """Pay for the distance from 0.3."""
        self.t += 1
        return self._see(), -4 * float((action[0] - 0.3) ** 2), self.t == self.length, False, {}


class Point(Inside):
    """An Inside of one step: Q(0.3) = 0."""

    length = 1


class Walk(gym.Env):
    """Three steps to a terminal state, of which the last pays 1. The observation tells the step: V = γ², γ, 1."""

    observation_space, action_space = gym.spaces.Box(0, 1, (3,), np.float32), gym.spaces.Discrete(2)

    def reset(self, *, seed: Any = None, options: Any = None) -> Seen:
        """Begin at the first step."""
        super().reset(seed=seed)
        self.t = 0
        return self._see(), {}

    def _see(self) -> np.ndarray:
        return np.eye(3, dtype=np.float32)[min(self.t, 2)]

    def step(self, action: Any) -> Stepped:
        """Take a step."""
        self.t += 1
        return self._see(), float(self.t == 3), self.t == 3, False, {}


class TurnedWalk(Walk):
    """A Walk with an action of one real number, which has no effect: Q = γ², γ, 1."""

    action_space: Any = ONE


class Levers(Still):
    """One step; the second of three actions pays 1."""

    action_space = gym.spaces.Discrete(3)

    def step(self, action: Any) -> Stepped:
        """Pay."""
        return self._see(), float(action == 1), True, False, {}


def short_pendulum(limit: int = 25) -> gym.Env:
    """Pendulum in episodes of 25 steps instead of 200."""
    return gym.make("Pendulum-v1", max_episode_steps=limit)
