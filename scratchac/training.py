"""The training loop and evaluation. They know no algorithm by name: an agent is whatever acts and updates."""

import math
import time
from collections import deque

import numpy as np
from threadpoolctl import threadpool_limits

import kernels
from scratchac.envs import make
from scratchac.episodes import Play
from scratchac.errors import EnvironmentFailed, TrainingError
from scratchac.memory import Rollout
from scratchac.replay import Checked

LONGEST = 100_000               # steps of an episode that must end

NEVER_ENDS = f"an episode has not ended after {LONGEST:,} steps: the environment needs a limit (gymnasium.wrappers.TimeLimit)"

# Products of this size are too small to share: with 64-64 networks two BLAS threads make two thirds of the updates that one does,
# with 256-256 they gain a third while the machine is idle and lose a fifth when it is not.
one_blas_thread = threadpool_limits.wrap(limits=1, user_api="blas")


@one_blas_thread
def train(agent, envs, steps, report, under_way=None):
    """Train by the loop that the agent names, or by a quicker one of the backend's that does the same.

    under_way   `Play.state` of an earlier stretch of the same training, to go on exactly there
    """
    loop, play = kernels.backend.compiled_loop(agent, envs) or LOOPS[agent.loop], Play(agent, envs)
    play.begin(under_way)
    loop(agent, play, steps, report)


def train_on_policy(agent, play, steps, report):
    """Alternate between a rollout with the present policy and one update from it, until `steps` environment steps.

    agent    has `sample(obs)`, `to_env(actions)`, `update(batch)`, `step`, and `horizon`: steps per rollout, or None for
             "until the episode ends" (with a single environment)
    play     a Play that has begun
    report   called after every update as report(agent, play, metrics, update_seconds, updates); a true answer ends training

    Raises TrainingError when a value is no longer a number.
    """
    envs, episodes, rollout = play.envs, play.episodes, Rollout(agent.dtype)
    while agent.step < steps:
        complete = False
        while not complete:
            t = episodes.lengths.copy()
            actions = agent.sample(play.obs)
            if actions.dtype.kind == "f":                   # a simulator may answer a NaN with numbers that look sound
                require_finite(agent.step, actions=actions[None])
            next_start, rewards, next_obs, term, trunc = envs.step(agent.to_env(actions))
            rollout.add(play.obs, actions, rewards, next_obs, term, trunc, t)
            done = term | trunc
            episodes.add(rewards, done)
            play.obs = next_start
            complete = done.all() if agent.horizon is None else len(rollout) == agent.horizon
            if len(rollout) == LONGEST and not complete and agent.horizon is None:
                raise EnvironmentFailed(NEVER_ENDS)
        batch = rollout.take()
        require_finite(agent.step, observations=batch.obs, rewards=batch.rewards, next_observations=batch.next_obs)
        started = time.perf_counter()
        try:
            metrics = agent.update(batch)
        except FloatingPointError as error:
            raise TrainingError(f"at step {agent.step}: {error}") from None
        if report(agent, play, metrics, time.perf_counter() - started, 1):
            break


def train_off_policy(agent, play, steps, report):
    """Store every transition; every `train_every` steps make `gradient_steps` updates from minibatches of the memory.

    agent    has `sample(obs)`, `random(rows)`, `to_env(actions)`, `update(batch)`, `restart(done)`, `step`, `memory`, `batch_rng`
             and a `config` with learning_starts, train_every, gradient_steps and batch_size
    play     a Play that has begun
    report   as for `train_on_policy`; before learning starts it is called without metrics

    Raises TrainingError when a value is no longer a number.
    """
    config, envs, episodes, promises = agent.config, play.envs, play.episodes, play.promises
    while agent.step < steps:
        warming_up = agent.step < config.learning_starts
        obs = play.obs
        actions = agent.random(envs.n) if warming_up else agent.sample(obs)
        require_finite(agent.step, observations=obs[None], actions=actions[None])
        promises.begin(episodes.lengths == 0, obs, actions)
        next_start, rewards, next_obs, term, trunc = envs.step(agent.to_env(actions))
        require_finite(agent.step, rewards=rewards[None], next_observations=next_obs[None])
        agent.memory.add(obs=obs, actions=actions, rewards=rewards, next_obs=next_obs, term=term, trunc=trunc)
        done = term | trunc
        promises.add(rewards, next_obs, term, done)
        episodes.add(rewards, done)
        agent.restart(done)
        agent.step += envs.n
        play.obs = next_start
        play.since_update += envs.n
        metrics, updates, started = {}, 0, time.perf_counter()
        if agent.step >= config.learning_starts and play.since_update >= config.train_every:
            play.since_update = 0
            for _ in range(config.gradient_steps):
                try:
                    metrics = agent.update(agent.memory.sample(agent.batch_rng, config.batch_size))
                except FloatingPointError as error:
                    raise TrainingError(f"at step {agent.step}: {error}") from None
                updates += 1
            if kernels.backend.device == "cpu" and not math.isfinite(metrics["critic_loss"]):       # a device would be waited for
                raise TrainingError(f"at step {agent.step}: critic_loss is not finite: lower the learning rates")
            metrics |= promises.metrics()
        if report(agent, play, metrics, time.perf_counter() - started if updates else 0.0, updates):
            break


def train_asynchronous(agent, play, steps, report):
    """The agent has workers that play in environments of their own, made like those of `play`."""
    agent.train(play, steps, report)


LOOPS = {"on-policy": train_on_policy, "off-policy": train_off_policy, "asynchronous": train_asynchronous}


def require_finite(step, **values):
    """Raise TrainingError naming the environment and the step of the first NaN or infinity in arrays (T, N, …)."""
    for name, x in values.items():
        with np.errstate(over="ignore", invalid="ignore"):
            if math.isfinite(x.sum()):                      # quick, and the usual case: a sum is finite only if all its terms are
                continue
        wrong = np.argwhere(~np.isfinite(x))
        if len(wrong):
            t, i = wrong[0][:2]
            raise TrainingError(f"{name} of environment {i} are not finite at about step {step + t * x.shape[1]}")


@one_blas_thread
def evaluate(agent, env, episodes=100, seed=0, explore=False, parallel=10, **kwargs):
    """Play `episodes` fresh episodes, episode i seeded with seed + i, and return their returns in that order.

    The environments are new, and nothing in the agent changes but, with `explore`, its random generator. Each of `parallel`
    environments plays a fixed share of the episodes to their end: taking the first ones to *finish* would favour short ones.

    Raises EnvironmentFailed for whatever an environment raises, an episode that never ends, and returns that are not finite.
    """
    envs = [Checked(make(env, **kwargs), i) for i in range(min(parallel, episodes))]
    try:
        returns = _play(agent, envs, episodes, seed, explore)
    finally:
        for e in envs:
            e.close()
    if not np.isfinite(returns).all():
        raise EnvironmentFailed(f"the return of episode {np.flatnonzero(~np.isfinite(returns))[0]} is not finite")
    return returns


def _play(agent, envs, episodes, seed, explore):
    todo, returns, lengths = deque(range(episodes)), np.zeros(episodes), np.zeros(episodes, int)
    playing = []                                                            # [env, episode, observation]
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
