"""A vectorised environment of Gymnasium's interface that a user has made, behind the interface of `VectorEnv`.

When an episode has ended, Gymnasium's vectorised environments begin the next one in one of three ways, `autoreset_mode`:

    DISABLED    they do not: `reset` with options={"reset_mask": done} does
    SAME_STEP   in the same step, which returns the first observation, and the last one in info["final_obs"]
    NEXT_STEP   in the next step, which ignores the action: its reward of 0 is that of no transition. An environment that does this
                is `idle`, and nothing learns from its step. SyncVectorEnv and AsyncVectorEnv can reset single environments in this
                mode, too; that is done here, so theirs are never idle
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv

from scratchac.environments.flattened import Flattened, as_array, observed
from scratchac.environments.instance import VectorInstance
from scratchac.environments.seeding import seed_global_generators, seed_inside
from scratchac.errors import EnvironmentFailed, UserError, one_line
from scratchac.messages import tell

NO_MODE = ("does not say when it begins new episodes: its metadata need an entry 'autoreset_mode', which is NEXT_STEP, SAME_STEP "
           "or DISABLED of gymnasium.vector.AutoresetMode")


class VectorObject:
    """The N environments of a vectorised environment; whoever has made it closes it.

    seed    of the environments: SyncVectorEnv and AsyncVectorEnv get the seeds that `VectorEnv` would give, others one for all

    Raises UserError for another number of environments than n, for spaces that are none, and without an `autoreset_mode`.
    """

    workers = True                      # no compiled loop steps these environments
    members: tuple[Any, ...] = ()       # those within are not at hand
    restores = False
    quiet = True

    def __init__(self, env: VectorInstance, n: int, seed: Any):
        self.name = env.__name__
        self.object: Any = env.env
        self.n = n
        if env.n != n:
            raise UserError(f"--envs {n}, and this {self.name} has {env.n} environments")
        for name in ("single_observation_space", "single_action_space"):
            if not isinstance(getattr(self.object, name, None), gym.Space):
                raise UserError(f"the {name} of this {self.name} is none of Gymnasium's spaces")
        self.space: Any = self.object.single_observation_space
        self.observation_space: Any = observed(self.space)
        self.action_space: Any = self.object.single_action_space
        self.mode = _mode_of(self.object, self.name)
        self.own = isinstance(self.object.unwrapped, SyncVectorEnv | AsyncVectorEnv)
        if isinstance(self.object, SyncVectorEnv | AsyncVectorEnv) and self.mode is AutoresetMode.NEXT_STEP:
            self.mode = AutoresetMode.DISABLED                              # wrappers may expect that step, so there must be none
        self.seeds = [int(x) for x in np.random.SeedSequence(seed).generate_state(n)]
        self.idle: np.ndarray | None = None     # (N,) whose last step was none; None if there are no such
        self.waiting = np.zeros(n, bool)        # whose next step will be none
        self.steps = 0
        self.obs = self.first = np.zeros(0)

    def reset(self) -> np.ndarray:
        """Begin new episodes from the seeds; returns the first observations (N, …)."""
        seed_global_generators(self.seeds[0])
        self.steps, self.idle, self.waiting = 0, None, np.zeros(self.n, bool)
        with self._failing("at its reset"):
            seed_inside(self.object, self.seeds[0])
            self.obs = self._reset(seed=self.seeds if self.own else self.seeds[0] >> 1)         # JAX takes 31 bits
        self.first = self.obs.copy()
        return self.obs

    def _reset(self, **how: Any) -> np.ndarray:
        came = self.object.reset(**how)
        if not isinstance(came, tuple | list) or len(came) != 2:
            raise ValueError("reset has not returned (observations, info)")
        return self._seen(came[0])

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return (obs, reward, next_obs, term, trunc), as `VectorEnv.step` does. Rows of environments that were `idle` are void."""
        self.steps += 1
        with self._failing(f"at step {self.steps}"):
            came = self.object.step(np.array(actions))           # some change the array
            if not isinstance(came, tuple | list) or len(came) != 5:
                raise ValueError("step has not returned (observations, rewards, terminations, truncations, info)")
            next_obs = self._seen(came[0])
            reward = self._column("rewards", came[1], "fiub").astype(np.float64)
            term, trunc = (self._column(name, x, "biu").astype(bool)
                           for name, x in (("terminations", came[2]), ("truncations", came[3])))
            done = term | trunc
            self.obs = next_obs
            if self.mode is AutoresetMode.NEXT_STEP:
                self._next_step(next_obs, reward, done)
            elif done.any() and self.mode is AutoresetMode.SAME_STEP:
                next_obs = next_obs.copy()
                next_obs[done] = self._last(came[4], done)
            elif done.any():
                self.obs = self._reset(options={"reset_mask": done.copy()})
                if not np.array_equal(self.obs[~done], next_obs[~done], equal_nan=True):
                    raise ValueError("reset with options['reset_mask'] has changed other environments than those of the mask")
        return self.obs, reward, next_obs, term, trunc

    def _next_step(self, next_obs: np.ndarray, reward: np.ndarray, done: np.ndarray) -> None:
        """Note which environments have begun an episode in this step, which earns nothing, and which will in the next one."""
        idle = self.waiting
        self.idle = idle if idle.any() else None
        if (idle & done).any():
            raise ValueError("an episode has ended in the step that began it, which is none in the mode NEXT_STEP")
        reward[idle] = 0
        self.first[idle] = next_obs[idle]
        self.waiting = done
        if done.any():                          # the agent is asked for actions, so it gets an observation that has some
            self.obs = next_obs.copy()
            self.obs[done] = self.first[done]

    def _last(self, info: Any, done: np.ndarray) -> np.ndarray:
        """The last observations of the episodes that have ended, from `info`."""
        if not isinstance(info, Mapping) or "final_obs" not in info:
            raise ValueError("an episode has ended in the mode SAME_STEP without info['final_obs'], its last observation")
        rows = _rows(self.space, info["final_obs"])
        return np.stack([self._single(rows[i]) for i in np.flatnonzero(done)])

    def _seen(self, batch: Any) -> np.ndarray:
        """The observations of all environments as agents see them, a new array (N, …). Raises ValueError."""
        if isinstance(self.observation_space, Flattened):
            rows = _rows(self.space, batch)
            if len(rows) != self.n:
                raise ValueError(f"there are observations of {len(rows)} environments, and there are {self.n}")
            return np.stack([self._single(row) for row in rows])
        return np.array(as_array(batch, (self.n, *self.space.shape), self.space.dtype))

    def _single(self, row: Any) -> np.ndarray:
        seen = self.observation_space
        return seen.flatten(row) if isinstance(seen, Flattened) else as_array(row, seen.shape, seen.dtype)

    def _column(self, name: str, x: Any, kinds: str) -> np.ndarray:
        """One number of each environment, a new array (N,). Raises ValueError."""
        x = np.array(x)
        if x.shape != (self.n,) or x.dtype.kind not in kinds:
            raise ValueError(f"the {name} are {x.dtype} of shape {x.shape}, not one of each of {self.n} environments")
        return x

    @contextmanager
    def _failing(self, when: str) -> Iterator[None]:
        try:
            yield
        except (Exception, SystemExit) as error:
            raise EnvironmentFailed(f"the vectorised {self.name} {when} raised {one_line(error)}") from error

    def state(self) -> Any:
        """The current observation of each environment; nothing tells more of their state."""
        return [{"seed": None, "before": None, "actions": None, "obs": obs} for obs in self.obs]

    def load_state(self, state: Any) -> tuple[np.ndarray, list[int]]:
        """Begin new episodes; returns (first observations, the numbers of all environments). A message says so."""
        tell(f"the environments of the vectorised {self.name} cannot be restored: all of them begin new episodes")
        return self.reset(), list(range(self.n))

    def renew(self, state: Any) -> np.ndarray:
        """Begin new episodes instead of those of a `state`, of which nothing is kept; returns the first observations (N, …)."""
        return self.reset()

    def metrics(self) -> dict[str, float]:
        """Environments have no metrics."""
        return {}

    def close(self) -> None:
        """Do nothing: the vectorised environment is its maker's."""


def _mode_of(env: Any, name: str) -> AutoresetMode:
    said = (getattr(env, "metadata", None) or {}).get("autoreset_mode")
    try:
        return AutoresetMode(said)
    except ValueError:
        raise UserError(f"this {name} {NO_MODE}") from None


def _rows(space: gym.Space, batch: Any) -> list[Any]:
    """The elements of a space that Gymnasium has put together to `batch`, one of each environment."""
    parts: Any = None
    if isinstance(space, gym.spaces.Dict) and isinstance(batch, Mapping):
        parts = [_rows(part, batch[name]) for name, part in space.spaces.items()]
        return [dict(zip(space.spaces, row, strict=True)) for row in zip(*parts, strict=True)]
    if isinstance(space, gym.spaces.Tuple) and isinstance(batch, tuple):
        parts = [_rows(part, x) for part, x in zip(space.spaces, batch, strict=True)]
        return list(zip(*parts, strict=True))
    return list(np.asarray(batch))


# -- what a training needs to know ---------------------------------------------------------------------------------------


def vector_object(agent_class: Any, config: Any, env: VectorInstance, seed: Any, settings: dict[str, Any]) -> VectorObject:
    """The environments of `env` for an agent. Raises UserError for settings and for algorithms that do not go with them."""
    name, n = env.__name__, env.n
    if agent_class.family == "asynchronous":
        raise UserError(f"every worker makes an environment of its own, from an id or a callable, and this {name} is {n} that are "
                        "made already")
    if "envs" not in vars(config) and n != agent_class.n_envs:
        raise UserError(f"{agent_class.__name__} learns in one environment, and this {name} has {n}")
    for entry, flag in (("env_args", "--env-args"), ("randomise", "--randomise"), ("step_timeout", "--step-timeout")):
        if settings.get(entry):
            raise UserError(f"this {name} is made already, so it takes no {flag}")
    if settings["vector"] not in ("sync", "object"):
        raise UserError(f"--vector {settings['vector']} is for environments that are made here; this {name} steps its own")
    if getattr(config, "hindsight", 0):
        raise UserError(f"--hindsight computes rewards with a single environment, and this {name} is vectorised")
    made = VectorObject(env, getattr(config, "envs", 1), seed)
    if getattr(config, "scale_rewards", False) and made.mode is AutoresetMode.NEXT_STEP:
        raise UserError(f"--scale-rewards needs every step of every environment, and those of this {name} begin an episode in a "
                        "step of its own: AutoresetMode.SAME_STEP and DISABLED do not (or --no-scale-rewards)")
    return made
