"""Wrappers that report an environment's errors with its number, and that can restore its state in another process."""

from typing import Any

import gymnasium as gym
import numpy as np

from scratchac.errors import EnvironmentFailed, one_line

LONGEST = 100_000           # most actions of an episode that are kept, to limit memory; a longer episode is not restored


NUMBERS, FLAGS = {float, int, np.float64, np.float32}, {bool, np.bool_}


class Checked(gym.Wrapper):
    """Raises EnvironmentFailed for any error of a reset or a step, and for observations, rewards and endings that are not valid.

    They have to match Gymnasium's interface and the environment's own space: NumPy would broadcast an array of one number over a
    whole observation.

    number   the number of this environment among several
    """

    def __init__(self, env: gym.Env, number: int = 0):
        super().__init__(env)
        self.number = number
        self.obs: Any = None
        self.shape = env.observation_space.shape
        self.dtype: Any = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """`reset` of the environment. Raises EnvironmentFailed."""
        try:
            self.obs, info = self.env.reset(seed=seed, options=options)
            self._check(0.0, False, False)
        except Exception as error:
            raise self._failed("at its reset raised", error) from error
        return self.obs, info

    def step(self, action: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """`step` of the environment. Raises EnvironmentFailed."""
        try:
            self.obs, reward, term, trunc, info = self.env.step(action)
            obs = self.obs
            if not (type(obs) is np.ndarray and obs.shape == self.shape and obs.dtype is self.dtype and type(reward) in NUMBERS
                    and type(term) in FLAGS and type(trunc) in FLAGS):      # a fast test for the usual case
                self._check(reward, term, trunc)
        except Exception as error:
            raise self._failed("raised", error) from error
        return obs, reward, term, trunc, info

    def _check(self, reward: Any, term: Any, trunc: Any) -> None:
        obs = np.asarray(self.obs)
        if obs.shape != self.shape or obs.dtype.kind not in "fiub":
            raise ValueError(f"the observation is {obs.dtype} of shape {obs.shape}, and its space says {self.shape}")
        for name, value, kinds in (("reward", reward, "fiub"), ("end", term, "biu"), ("end by a limit", trunc, "biu")):
            if np.ndim(value) or np.asarray(value).dtype.kind not in kinds:
                raise ValueError(f"the {name} is {value!r}, not a {'number' if kinds[0] == 'f' else 'truth value'}")
        self.dtype = obs.dtype

    def _failed(self, what: str, error: Exception) -> EnvironmentFailed:
        return EnvironmentFailed(f"environment {self.number} {what} {one_line(error)}")


class Rewindable(Checked):
    """Keeps what led to an environment's current state: its generators at the last reset, and the actions since.

    The state itself is not accessible: much of it is in C libraries, and copies and pickles lose that silently. But an environment
    that draws from no other generator is deterministic: the same generators and actions lead to the same state, bit by bit.

    world    a further Generator that the environment draws from, or None
    """

    def __init__(self, env: gym.Env, number: int = 0, world: np.random.Generator | None = None):
        super().__init__(env, number)
        self.world = world
        self.seed: int | None = None
        self.before: Any = None                 # states of the generators before the last reset
        self.actions: list[Any] = []            # since the last reset
        self.saved: Any = None                  # what `rewind` restores; AsyncVectorEnv can set an attribute for each worker

    def _generators(self, seed: int | None) -> list[np.random.Generator]:
        """The generators that the next reset draws from. With a seed, the environment makes a new generator of its own."""
        return [rng for rng in (self.unwrapped.np_random if seed is None else None, self.world) if rng is not None]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """`reset` of the environment; the states of its generators are kept."""
        try:
            self.seed, self.before, self.actions = seed, [rng.bit_generator.state for rng in self._generators(seed)], []
        except AttributeError as error:                     # such as a RandomState
            raise self._failed("has a generator that is not NumPy's Generator:", error) from error
        return super().reset(seed=seed, options=options)

    def step(self, action: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """`step` of the environment; the action is kept."""
        kept = action.copy() if isinstance(action, np.ndarray) else action     # some environments change the array
        stepped = super().step(action)
        if len(self.actions) <= LONGEST:
            self.actions.append(kept)
        return stepped

    def past(self) -> dict[str, Any]:
        """What led to the current state (seed, generators, actions), and the current observation."""
        actions = np.array(self.actions) if len(self.actions) <= LONGEST else None
        return {"seed": self.seed, "before": self.before, "actions": actions, "obs": np.array(self.obs)}

    def rewind(self) -> tuple[Any, bool]:
        """Restore the state of `saved`, a `past`; returns (observation, True), or (that of a new episode, False) if it differs."""
        seed = self.saved["seed"]
        for rng, state in zip(self._generators(seed), self.saved["before"], strict=True):
            rng.bit_generator.state = state
        self.reset(seed=seed)
        same = self.saved["actions"] is not None and self._repeat(self.saved["actions"])
        return (self.obs if same else self.reset()[0]), same

    def _repeat(self, actions: Any) -> bool:
        """Whether these actions lead to the saved observation, without an end or an error before."""
        for number, action in enumerate(actions, start=1):
            try:
                *_, term, trunc, _ = self.step(action)
            except EnvironmentFailed:
                return False
            if (term or trunc) and number < len(actions):
                return False
        return np.array_equal(self.obs, self.saved["obs"])
