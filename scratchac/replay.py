"""Environments that can be brought back to where they were, in another process."""

import gymnasium as gym
import numpy as np

from scratchac.errors import EnvironmentFailed


class Replayable(gym.Wrapper):
    """Keeps what made an environment's present state: its generators at the last reset, and the actions since.

    The state itself cannot be had: much of it lies in C libraries, and copies and pickles lose that silently. But what draws from
    nothing else is deterministic: the same generators and the same actions lead to the same place, bit by bit.

    number   which one it is among others
    world    a further Generator that the environment draws from, or None

    Raises EnvironmentFailed for whatever a step raises.
    """

    def __init__(self, env, number=0, world=None):
        super().__init__(env)
        self.number = number
        self.world, self.seed, self.before, self.actions, self.obs = world, None, None, [], None
        self.saved = None               # what `replay` brings back; an attribute, since AsyncVectorEnv sends each worker its own so

    def _generators(self, seed):
        """Those that the next reset draws from. A seed makes a new one of the environment's own."""
        return [rng for rng in (self.unwrapped.np_random if seed is None else None, self.world) if rng is not None]

    def reset(self, *, seed=None, options=None):
        self.seed, self.before, self.actions = seed, [rng.bit_generator.state for rng in self._generators(seed)], []
        self.obs, info = self.env.reset(seed=seed, options=options)
        return self.obs, info

    def step(self, action):
        try:
            self.obs, *rest = self.env.step(action)
        except Exception as error:
            raise EnvironmentFailed(f"environment {self.number} raised {type(error).__name__}: {error}") from error
        self.actions.append(action)
        return self.obs, *rest

    def past(self):
        return {"seed": self.seed, "before": self.before, "actions": np.array(self.actions), "obs": np.array(self.obs)}

    def replay(self):
        """Go where `saved`, a `past`, leads: (observation, True), or that of a new episode and False if it is not the same."""
        seed = self.saved["seed"]
        for rng, state in zip(self._generators(seed), self.saved["before"], strict=True):
            rng.bit_generator.state = state
        obs, _ = self.reset(seed=seed)
        for action in self.saved["actions"]:
            obs = self.step(action)[0]
        same = np.array_equal(obs, self.saved["obs"])
        return (obs if same else self.reset()[0]), same
