"""Wrappers that report an environment's errors with its number, and that can restore its state in another process."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import gymnasium as gym
import numpy as np

from scratchac.environments.flattened import as_array
from scratchac.environments.foreign import SEEDLESS, takes_seed
from scratchac.environments.seeding import generators_of_spaces, global_state, seed_inside, seed_spaces, state_of
from scratchac.errors import EnvironmentFailed, one_line
from scratchac.messages import progress_bar

LONGEST = 100_000           # most actions of an episode that are kept, to limit memory; a longer episode is not restored
SLOW = 1.0                  # seconds after which a message on stderr says that episodes are being restored
BAR = "restoring episodes {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} steps, {remaining} left"

SEVERAL = " (a wrapper has to make one of several, as mo_gymnasium.wrappers.LinearReward does)"
NUMBERS, FLAGS = {float, int, np.float64, np.float32}, {bool, np.bool_}


class Checked(gym.Wrapper):
    """Raises EnvironmentFailed for any error of a reset or a step, and for observations, rewards and endings that are not valid.

    They have to match Gymnasium's interface and the environment's own space: NumPy would broadcast an array of one number over a
    whole observation. Observations have the dtype of the space; a value that this dtype cannot hold, such as 0.7 in a space of
    whole numbers, is an error. Floats may lose digits. Rewards are Python's floats.

    number   the number of this environment among several
    """

    def __init__(self, env: gym.Env, number: int = 0):
        super().__init__(env)
        self.number = number
        self.obs: Any = None
        self.steps = 0                                                      # of the present episode
        self.shape = env.observation_space.shape
        self.dtype = env.observation_space.dtype

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """`reset` of the environment. Raises EnvironmentFailed."""
        self.steps = 0
        try:
            if seed is not None:
                seed_inside(self.env, seed)
            came: Any = self.env.reset(seed=seed, options=options)
            if not isinstance(came, tuple | list) or len(came) != 2:
                raise ValueError(f"reset returned {_in_words(came)}, and Gymnasium's returns (observation, info)")
            obs, info = came
            self.obs = self._valid(obs, 0.0, False, False)
        except (Exception, SystemExit) as error:
            raise self._failed("at its reset raised", error) from error
        return self.obs, info

    def step(self, action: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """`step` of the environment. Raises EnvironmentFailed."""
        self.steps += 1
        try:
            came: Any = self.env.step(action)
            try:
                obs, reward, term, trunc, info = came
            except (TypeError, ValueError):
                raise ValueError(f"step returned {_in_words(came)}, and Gymnasium's returns 5: (observation, reward, terminated, "
                                 "truncated, info)") from None
            if not (type(obs) is np.ndarray and obs.shape == self.shape and obs.dtype is self.dtype and type(reward) in NUMBERS
                    and type(term) in FLAGS and type(trunc) in FLAGS):      # a fast test for the usual case
                obs = self._valid(obs, reward, term, trunc)
            # An error for a whole number that is too large; an end of 2 would be 1 in one loop and 2 in another.
            reward, term, trunc = float(reward), bool(term), bool(trunc)
        except (Exception, SystemExit) as error:
            raise self._failed(f"at step {self.steps} of its episode raised", error) from error
        self.obs = obs
        return obs, reward, term, trunc, info

    def _valid(self, obs: Any, reward: Any, term: Any, trunc: Any) -> np.ndarray:
        """The observation as an array of the space's dtype. Raises ValueError."""
        obs = as_array(obs, self.shape, self.dtype)
        for name, value, kinds in (("reward", reward, "fiub"), ("end", term, "biu"), ("end by a limit", trunc, "biu")):
            if np.ndim(value) or np.asarray(value).dtype.kind not in kinds:
                right = "truth value" if name != "reward" else f"number{SEVERAL}" if np.ndim(value) else "number"
                raise ValueError(f"the {name} is {value!r}, not a {right}")
        return obs

    def _failed(self, what: str, error: BaseException) -> EnvironmentFailed:
        hint = "" if takes_seed(type(self.unwrapped)) else f"; {SEEDLESS}"
        return EnvironmentFailed(f"environment {self.number} {what} {one_line(error)}{hint}")


def _in_words(came: Any) -> str:
    return f"{len(came)} values" if isinstance(came, tuple | list) else type(came).__name__


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
        self.before: Any = None                 # states of the generators before the last reset; None if they cannot be read
        self.draws_of_spaces: list[Any] = []
        self.spaces: list[Any] = []             # states of its spaces' generators before the last reset
        self.shared: Any = None                 # state of the global generators before the first reset
        self.actions: list[Any] = []            # since the last reset
        self.rewards = 0.0
        self.saved: Any = None                  # what `rewind` restores; AsyncVectorEnv can set an attribute for each worker

    def _generators(self, seed: int | None) -> list[np.random.Generator]:
        """The generators that the next reset draws from. With a seed, the environment makes a new generator of its own."""
        return [rng for rng in (self.unwrapped.np_random if seed is None else None, self.world) if rng is not None]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """`reset` of the environment; the states of its generators are kept."""
        self.seed, self.before, self.spaces, self.actions, self.rewards = seed, None, [], [], 0.0
        with suppress(Exception):                           # a RandomState, one of an own kind, or none: only resuming needs it
            self.spaces = [state_of(rng) for rng in self.draws_of_spaces]
            self.before = [state_of(rng) for rng in self._generators(seed)]
        if self.shared is None:
            self.shared = global_state()
        came = super().reset(seed=seed, options=options)
        if seed is not None:
            self.draws_of_spaces = generators_of_spaces(self.env)           # seeding a space makes a new one
        return came

    def step(self, action: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """`step` of the environment; the action is kept."""
        kept = action.copy() if isinstance(action, np.ndarray) else action     # some environments change the array
        stepped = super().step(action)
        self.rewards += stepped[1]
        if len(self.actions) <= LONGEST:
            self.actions.append(kept)
        return stepped

    def past(self) -> dict[str, Any]:
        """What led to the current state (seed, generators, actions), and the current observation and rewards.

        Where somebody has ever drawn from the global generators, it cannot be restored: environments share them.
        """
        actions = np.array(self.actions) if len(self.actions) <= LONGEST else None
        before = self.before if self.shared == global_state() else None
        return {"seed": self.seed, "before": before, "spaces": self.spaces, "actions": actions, "obs": np.array(self.obs),
                "rewards": self.rewards}

    def rewind(self, tick: Callable[[], object] = lambda: None) -> tuple[Any, bool]:
        """Restore the state of `saved`, a `past`; returns (observation, True), or (that of a new episode, False) if it differs.

        The new episode has the seed `saved["new_seed"]`.

        tick     called for each repeated action
        """
        seed, same = self.saved["seed"], False
        if self.saved["before"] is not None and self.saved["actions"] is not None and self._set_generators(seed):
            self.reset(seed=seed)
            same = self._repeat(self.saved["actions"], tick)
        return (self.obs if same else self.reset(seed=self.saved["new_seed"])[0]), same

    def _set_generators(self, seed: int | None) -> bool:
        """Give the generators the states that are saved; returns whether these are states of the environment's own ones."""
        try:
            for rng, state in zip(self._generators(seed), self.saved["before"], strict=True):
                rng.bit_generator.state = state
            if seed is None:
                seed_spaces(self.env, 0)                                    # so that they have generators, whose states follow
                self.draws_of_spaces = generators_of_spaces(self.env)
                for rng, state in zip(self.draws_of_spaces, self.saved.get("spaces", []), strict=False):
                    rng.bit_generator.state = state
        except (ValueError, AttributeError):                                # another number of generators, or of another kind
            return False
        return True

    def _repeat(self, actions: Any, tick: Callable[[], object]) -> bool:
        """Whether these actions lead to the saved observation, without an end or an error before."""
        for number, action in enumerate(actions, start=1):
            tick()
            try:
                *_, term, trunc, _ = self.step(action)
            except EnvironmentFailed:
                return False
            if (term or trunc) and number < len(actions):
                return False
        same_rewards = self.rewards == self.saved.get("rewards", self.rewards)      # older checkpoints do not have them
        return np.array_equal(self.obs, self.saved["obs"]) and same_rewards


def rewind_all(envs: list[Any], quiet: bool) -> list[tuple[Any, bool]]:
    """`rewind` of each environment; unless `quiet`, with a progress bar once it has taken SLOW seconds."""
    steps = sum(len(env.saved["actions"]) for env in envs if env.saved["actions"] is not None)
    with progress_bar(BAR, total=steps, delay=SLOW, disable=quiet, leave=False, mininterval=0.2) as bar:
        return [env.rewind(bar.update) for env in envs]
