"""Evaluation: new episodes of a fixed policy."""

from collections import deque
from typing import Any

import numpy as np

from scratchac.environments.make import make, require_distinct
from scratchac.environments.rewind import Checked
from scratchac.errors import EnvironmentFailed
from scratchac.training.agent import Agent
from scratchac.training.checks import LONGEST, NEVER_ENDS
from scratchac.training.loops import one_blas_thread


@one_blas_thread
def evaluate(agent: Agent, env: Any, episodes: int = 100, seed: int = 0, explore: bool = False, parallel: int = 10,
             **kwargs: Any) -> np.ndarray:
    """Play `episodes` new episodes, episode i seeded with seed + i, and return their returns in that order.

    The environments are new, and nothing in the agent changes except, with `explore`, its random generator. `parallel`
    environments take one episode after another and play each to its end: to count the first ones that *finish* would favour short
    ones.

    Raises UserError if `env` gives one environment twice, and EnvironmentFailed if an environment raises an error, an episode never
    ends, or a return is not finite.
    """
    envs = [Checked(make(env, **kwargs), i) for i in range(min(parallel, episodes))]
    require_distinct(envs, env)
    try:
        returns = _returns(agent, envs, episodes, seed, explore)
    finally:
        for e in envs:
            e.close()
    if not np.isfinite(returns).all():
        raise EnvironmentFailed(f"the return of episode {np.flatnonzero(~np.isfinite(returns))[0]} is not finite")
    return returns


def _returns(agent: Agent, envs: list[Checked], episodes: int, seed: int, explore: bool) -> np.ndarray:
    todo, returns, lengths = deque(range(episodes)), np.zeros(episodes), np.zeros(episodes, int)
    playing: list[list[Any]] = []                                                            # [env, episode, observation]
    for e in envs:
        i = todo.popleft()
        playing.append([e, i, e.reset(seed=seed + i)[0]])
    while playing:
        actions = agent.act(np.stack([obs for _, _, obs in playing]), explore)
        for slot, action in zip(list(playing), actions, strict=True):
            e, i, _ = slot
            slot[2], reward, term, trunc, _ = e.step(action)
            returns[i] += reward
            lengths[i] += 1
            if term or trunc:
                if todo:
                    slot[1] = todo.popleft()
                    slot[2] = e.reset(seed=seed + slot[1])[0]
                else:
                    playing.remove(slot)
            elif lengths[i] == LONGEST:
                raise EnvironmentFailed(NEVER_ENDS)
    return returns
