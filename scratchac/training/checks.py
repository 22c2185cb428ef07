"""Checks around training: environments that do not fit, values that are not finite, episodes that never end, too large rollouts."""

import math
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import DTypeLike

import kernels
from scratchac.environments.flattened import alike, shortened
from scratchac.environments.make import name_of
from scratchac.environments.spaces import actions_of, fits
from scratchac.errors import TrainingError, UserError

LONGEST = 100_000               # most steps of an episode, where an episode has to end


NEVER_ENDS = (f"an episode has not ended after {LONGEST:,} steps: the environment needs a limit (for an id --env-args "
              "max_episode_steps=N, for a callable gymnasium.wrappers.TimeLimit)")


def require_finite(step: int, dtype: DTypeLike, **values: np.ndarray) -> None:
    """Raise TrainingError, with environment and step, for the first NaN or infinity in arrays (T, N, …).

    dtype    of the networks; a value that it cannot hold counts as infinite
    """
    with np.errstate(over="ignore", invalid="ignore"):
        for name, x in values.items():
            x = x if x.dtype.kind != "f" else x.astype(dtype, copy=False)
            if math.isfinite(x.sum()):                      # fast, for the usual case: a sum is finite only if all its terms are
                continue
            wrong = np.argwhere(~np.isfinite(x))
            if len(wrong):
                t, i = wrong[0][:2]
                raise TrainingError(f"{name} of environment {i} are not finite at about step {step + t * x.shape[1]}")


def check_rollout(steps: int, n_envs: int, observation_space: gym.Space) -> None:
    """Raise UserError unless a rollout of so many steps of each environment fits into memory."""
    size, memory = steps * n_envs * (2 * math.prod(observation_space.shape or ()) + 5) * 4, kernels.backend.memory()
    if size > memory:
        raise UserError(f"--rollout {steps} with --envs {n_envs} needs {size / 2**30:.1f} GiB of memory and there are "
                        f"{memory / 2**30:.1f}")


def require_fit(agent: Any, made: Any, env: Any) -> None:
    """Raise UserError unless an environment has the observations and actions that the agent was made for.

    made    an environment that was made from `env`, an id or a callable
    """
    seen, dist = getattr(agent, "observation_space", None), getattr(agent, "dist", None)
    if seen is not None and not alike(seen, made.observation_space):
        raise UserError(f"the agent was made for observations {shortened(seen)}, and those of {name_of(env)} are "
                        f"{shortened(made.observation_space)}")
    if dist is not None and not fits(dist, made.action_space):
        raise UserError(f"the agent was made for {actions_of(dist)}, and those of {name_of(env)} are "
                        f"{shortened(made.action_space)}")
