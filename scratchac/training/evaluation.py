"""Evaluation: new episodes of a fixed policy."""

import math
from collections import deque
from typing import Any

import numpy as np
from tqdm import tqdm

from scratchac.environments.instance import Instance
from scratchac.environments.make import close, make, require_copies
from scratchac.environments.rewind import Checked
from scratchac.environments.seeding import global_generators_kept, seed_global_generators
from scratchac.errors import EnvironmentFailed
from scratchac.messages import progress_bar
from scratchac.training.agent import Agent
from scratchac.training.checks import LONGEST, NEVER_ENDS, require_fit
from scratchac.training.loops import one_blas_thread

BAR = "evaluation {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} episodes{postfix}"
BUDGET = 1_000_000              # environment steps after which the evaluation at the end of a run begins no further episode


def evaluate(agent: Agent, env: Any, episodes: int = 100, seed: int = 0, explore: bool = False, **kwargs: Any) -> np.ndarray:
    """Play `episodes` new episodes, episode i seeded with seed + i, and return their returns in that order.

    Raises EnvironmentFailed if an environment raises an error, an episode never ends, or a return is not finite.
    """
    return play(agent, env, kwargs, episodes, seed, explore)[0]


@one_blas_thread
@global_generators_kept()
def play(agent: Agent, env: Any, env_args: dict[str, Any], episodes: int, seed: int = 0, explore: bool = False,
         budget: float = math.inf, cuts: bool = False, quiet: bool = True, parallel: int = 10) -> tuple[np.ndarray, int]:
    """Play up to `episodes` new episodes; returns their returns, and how many of them were cut because they did not end.

    The environments are new, and nothing in the agent changes except, with `explore`, its random generator. `parallel`
    environments take one episode after another and play each to its end: to count the first ones that *finish* would favour short
    ones. An environment that is given as an object plays them all.

    budget  environment steps after which no further episode is begun; those begun are finished, for the same reason
    cuts    an episode that has not ended after LONGEST steps is cut, and counts with its return so far

    Raises UserError if the agent does not fit `env`, or if that gives one environment twice, and EnvironmentFailed if an
    environment raises an error, a return is not finite or, without `cuts`, an episode never ends.
    """
    seed_global_generators(seed)                        # for environments that draw from them
    parallel = 1 if isinstance(env, Instance) else parallel
    envs: list[Checked] = []
    try:
        for i in range(min(parallel, episodes)):
            envs.append(Checked(make(env, **env_args), i))
        require_copies(envs, env)
        require_fit(agent, envs[0], env)
        with progress_bar(BAR, total=episodes, disable=quiet, mininterval=0.2, miniters=0) as bar:
            returns, cut = _returns(agent, envs, episodes, seed, explore, budget, cuts, bar)
    finally:
        for e in envs:
            close(e)
    if not np.isfinite(returns).all():
        raise EnvironmentFailed(f"the return of episode {np.flatnonzero(~np.isfinite(returns))[0]} is not finite")
    return returns, cut


def _returns(agent: Agent, envs: list[Checked], episodes: int, seed: int, explore: bool, budget: float, cuts: bool,
             bar: tqdm) -> tuple[np.ndarray, int]:
    todo, returns, lengths, steps, cut = deque(range(episodes)), np.zeros(episodes), np.zeros(episodes, int), 0, 0
    playing: list[list[Any]] = []                                                            # [env, episode, observation]
    for e in envs:
        i = todo.popleft()
        playing.append([e, i, np.array(e.reset(seed=seed + i)[0])])         # a copy: several may return one array
    while playing:
        obs = np.stack([obs for _, _, obs in playing])
        if obs.dtype.kind == "f" and not np.isfinite(obs).all():
            lost = next(e for e, _, x in playing if not np.isfinite(x).all())
            raise EnvironmentFailed(f"environment {lost.number} at step {lost.steps} of its episode: the observation is not finite")
        actions = agent.act(obs, explore)
        steps += len(playing)
        bar.set_postfix_str(f"{steps:,} steps", refresh=False)
        bar.update(0)
        for slot, action in zip(list(playing), actions, strict=True):
            e, i, _ = slot
            obs, reward, term, trunc, _ = e.step(action)
            slot[2] = np.array(obs)
            returns[i] += reward
            lengths[i] += 1
            if not (term or trunc):
                if lengths[i] < LONGEST:
                    continue
                if not cuts:
                    raise EnvironmentFailed(NEVER_ENDS)
                cut += 1
            bar.update()
            if todo and steps < budget:
                slot[1] = todo.popleft()
                slot[2] = np.array(e.reset(seed=seed + slot[1])[0])
            else:
                playing.remove(slot)
    return returns[: episodes - len(todo)], cut
