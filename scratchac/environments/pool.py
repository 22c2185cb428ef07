"""Environments in EnvPool, which steps them in C++ on several threads, behind the interface of `VectorEnv`.

EnvPool (Weng et al. 2022, arXiv:2206.10558) has programs of its own for Gymnasium's LunarLander, BipedalWalker, CarRacing, MuJoCo
and classic control. Agents see the spaces of Gymnasium's environment of the same id, dtype included: MuJoCo's observations are
float64. Evaluation and films use Gymnasium's environment; manual/training.md says how far the two differ.

EnvPool resets an environment in the step after the last one of an episode: that step ignores the action, and its reward of 0 is
that of no transition. Here an environment whose episode has ended is reset at once, so there is no such step.
EnvPool also calls a terminal state a truncation if it is reached in the last step before a time limit. So its limit is put one step
later here, and the steps are counted here: such a step is both, as it is in Gymnasium.
"""

import inspect
import os
import warnings
from collections.abc import Callable
from importlib import import_module
from typing import Any

import gymnasium as gym
import numpy as np

from scratchac.environments.flattened import Flattened, shortened
from scratchac.environments.make import close, name_of, registration_of, with_arrays
from scratchac.environments.pixels import wrap
from scratchac.environments.vector import VectorEnv
from scratchac.errors import EnvironmentFailed, UserError, one_line, unknown
from scratchac.messages import tell

INSTALL = "pip install 'envpool>=1.2'"
NO_LIMIT = 2**31 - 1            # EnvPool's number for episodes without a time limit
LANDERS = ("LunarLander-v3", "LunarLanderContinuous-v3")    # two ids instead of an argument `continuous`
ITS_OWN = {"xml_file"}          # an argument of both, but EnvPool's files are its own


class PoolEnv(VectorEnv):
    """N copies of one of EnvPool's environments, reset as their episodes end.

    seed        gives every environment a different start and makes all of them repeatable, with any number of threads
    threads     that step them; None is one for each core, at most N

    `kwargs` are arguments that Gymnasium's and EnvPool's environment both have, and `pixels` (see `pixels.py`). Raises UserError
    for others, for environments that EnvPool does not have, and for those whose spaces are not Gymnasium's.
    """

    threads: int | None = None
    restores = False
    pool: Any = None                                                        # until `reset`, and for a `close` before that

    def __init__(self, env: Any, n: int, seed: Any, randomise: bool = False, step_timeout: float | None = None, **kwargs: Any):
        self.library = _library()
        if not isinstance(env, str) or ":" in env or registration_of(env) is not None:
            raise UserError(f"--vector envpool takes ids of Gymnasium's own environments, not {name_of(env)}; --vector sync does")
        if randomise:
            raise UserError("--randomise needs --vector sync or async: the physics of EnvPool's environments is fixed")
        super().__init__(env, n, seed, "sync", step_timeout=step_timeout, **kwargs)
        base: Any = self.members[0].unwrapped                               # Gymnasium's environment, which is never stepped
        self.id = LANDERS[base.continuous] if env in LANDERS else env
        if self.id not in self.library.list_all_envs():
            raise UserError(f"EnvPool has no {self.id}; --vector sync and async take it")
        self.workers = self.threads or min(n, _cores())
        pixels = kwargs.pop("pixels", None)
        limit = kwargs.get("max_episode_steps") or gym.spec(env).max_episode_steps or -1
        self.limit = NO_LIMIT if limit < 0 else limit
        self.given, self.action_dtype = self._described(base, kwargs)
        self.repeat = 1 if pixels is None else pixels.get("repeat", 1)
        self.told: list[Told] = []
        self.wrapped: list[gym.Env] = []                                    # empty if no wrapper changes what EnvPool returns
        if pixels is not None or isinstance(self.observation_space, Flattened):
            self.told = [Told(base.observation_space, base.action_space) for _ in range(n)]
            self.wrapped = [with_arrays(x if pixels is None else wrap(x, pixels | {"repeat": 1}, training=True)) for x in self.told]
        self.raw_dtype = base.observation_space.dtype
        self.lengths = np.zeros(n, int)                                     # steps of the episodes in progress, with repetitions
        self.obs = np.zeros(0)

    def _described(self, base: Any, kwargs: dict[str, Any]) -> tuple[dict[str, Any], Any]:
        """The arguments for EnvPool's environment, and the dtype of its actions.

        Raises UserError unless Gymnasium's environment `base` has these arguments too, and the same spaces.
        """
        shared = {*inspect.signature(type(base)).parameters, "max_episode_steps"} - ITS_OWN
        shared &= {*_unheard(self.library.make_spec, self.id).config._fields}
        given = {name: x for name, x in kwargs.items() if not (name == "continuous" and self.id in LANDERS)}
        for name in given:
            if name not in shared:
                raise unknown(f"argument of EnvPool's {self.id}", name, sorted(shared))
        given |= {"max_episode_steps": min(self.limit + 1, NO_LIMIT)}
        try:
            spec = _unheard(self.library.make_spec, self.id, **given)
        except Exception:                                                   # its text lists the types of all arguments in C++
            raise UserError(f"EnvPool's {self.id} does not take these arguments: {kwargs}") from None
        for what, own in (("observation", base.observation_space), ("action", base.action_space)):
            other = _unheard(getattr, spec, f"gymnasium_{what}_space")
            if not _alike(own, other, what == "action"):
                raise UserError(f"the {what}s of EnvPool's {self.id} are {shortened(other)} and Gymnasium's {shortened(own)}; "
                                "--vector sync and async take it")
        return given, list(spec.action_array_spec.values())[-1].dtype

    def reset(self) -> np.ndarray:
        """Begin new episodes from the seeds; returns the first observations (N, …)."""
        self._end()
        self.pool = _unheard(self.library.make, self.id, env_type="gymnasium", num_envs=self.n, num_threads=self.workers,
                             seed=[seed >> 1 for seed in self.seeds], **self.given)       # a seed has 31 bits
        _unheard(getattr, self.pool, "observation_space")                   # which it makes at first use
        self.obs = self._begin(np.arange(self.n))
        return self.obs

    def _begin(self, which: np.ndarray) -> np.ndarray:
        """The first observations of new episodes of these environments."""
        came, info = self._ask(self.pool.reset, which.astype(np.int32))
        raw = np.empty((self.n, *came.shape[1:]), self.raw_dtype)
        raw[info["env_id"]] = came
        self.lengths[which] = 0
        if not self.wrapped:
            return raw[which]
        for i in which:
            self.told[i].obs = raw[i]
        return np.stack([self.wrapped[i].reset()[0] for i in which])

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return (obs, reward, next_obs, term, trunc), as `VectorEnv.step` does."""
        next_obs, reward, term, trunc = self._advance(np.ascontiguousarray(actions, self.action_dtype))
        if self.wrapped:
            seen = []
            for i, (told, env) in enumerate(zip(self.told, self.wrapped, strict=True)):
                told.obs, told.came = next_obs[i], (float(reward[i]), bool(term[i]), bool(trunc[i]))
                obs, reward[i], term[i], trunc[i], _ = env.step(None)
                seen.append(obs)
            next_obs = np.stack(seen)
        done = term | trunc
        self.obs = next_obs
        if done.any():
            self.obs = next_obs.copy()
            self.obs[done] = self._begin(np.flatnonzero(done))
        return self.obs, reward, next_obs, term, trunc

    def _advance(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Take each action `repeat` times, or until an episode ends: last observations (N, …), sums of rewards, term and trunc."""
        reward, term, trunc = np.zeros(self.n), np.zeros(self.n, bool), np.zeros(self.n, bool)
        going, raw = np.arange(self.n, dtype=np.int32), np.empty(0)
        for repetition in range(self.repeat):
            came, rewards, ended, cut, info = self._ask(self.pool.step, actions[going], going)
            if repetition == 0:
                raw = np.empty((self.n, *came.shape[1:]), self.raw_dtype)
            at = info["env_id"]
            raw[at] = came
            reward[at] += rewards
            self.lengths[at] += 1
            term[at], trunc[at] = ended, cut | (self.lengths[at] >= self.limit)
            going = np.flatnonzero(~(term | trunc)).astype(np.int32)
            if not going.size:
                break
        return raw, reward, term, trunc

    def _ask(self, function: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return function(*arguments)
        except Exception as error:
            raise EnvironmentFailed(f"EnvPool raised {one_line(error)}") from error

    def state(self) -> Any:
        """The current observation of each environment. EnvPool tells no more of its state."""
        return [{"seed": None, "before": None, "actions": None, "obs": obs} for obs in self.obs]

    def load_state(self, state: Any) -> tuple[np.ndarray, list[int]]:
        """Begin new episodes; returns (first observations, the numbers of all environments). A message says so."""
        tell("EnvPool's environments cannot be restored: all of them begin new episodes")
        return self.reset(), list(range(self.n))

    def close(self) -> None:
        """End the threads, and close Gymnasium's environment."""
        self._end()
        for env in self.members:
            close(env)

    def _end(self) -> None:
        if self.pool is not None:
            self.pool.close()
        self.pool = None


class Told(gym.Env):
    """An environment that only returns what it was told, so that wrappers of single environments take what EnvPool returned."""

    def __init__(self, observation_space: gym.Space, action_space: gym.Space):
        self.observation_space = observation_space
        self.action_space = action_space
        self.obs: Any = None
        self.came = (0.0, False, False)                                     # reward, term, trunc

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        """(observation, info)."""
        return self.obs, {}

    def step(self, action: Any) -> Any:
        """(observation, reward, term, trunc, info); the action was taken before."""
        return self.obs, *self.came, {}


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _library() -> Any:
    try:
        return _unheard(import_module, "envpool")
    except ImportError:
        raise UserError(f"--vector envpool needs a package that is missing: {INSTALL}") from None


def _unheard(function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """What a function returns. Its warnings, as of bounds that float32 rounds, are not for users."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*arguments, **named)


def _alike(own: Any, other: Any, exactly: bool) -> bool:
    """Whether these are spaces of the same numbers; `exactly`: also with the same bounds, which EnvPool leaves out of many."""
    if isinstance(own, gym.spaces.Discrete):
        return isinstance(other, gym.spaces.Discrete) and (own.n, own.start) == (other.n, other.start)
    same = isinstance(own, gym.spaces.Box) and isinstance(other, gym.spaces.Box) and own.shape == other.shape
    if not same or (own.dtype.kind == "f") != (other.dtype.kind == "f"):
        return False
    return not exactly or all(np.array_equal(x, y.astype(x.dtype)) for x, y in ((own.low, other.low), (own.high, other.high)))
