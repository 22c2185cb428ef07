"""The training loops. They depend on no single algorithm: they use an agent through the interface in training/agent.py."""

import math
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

import kernels
from scratchac.blocks import Shared
from scratchac.errors import EnvironmentFailed, TrainingError, UserError
from scratchac.training.agent import Agent, LearnsAsynchronously, LearnsOffPolicy, LearnsOnPolicy, Metrics
from scratchac.training.checks import LONGEST, NEVER_ENDS, require_finite
from scratchac.training.interaction import Interaction
from scratchac.training.memory import Rollout, without_idle

# Called after every update as report(agent, interaction, metrics, update_seconds, updates); training ends when it returns True.
Report = Callable[[Any, Interaction, Metrics, float, int], bool]

# These matrix products are too small for several BLAS threads: with 64-64 networks two threads make two thirds of the updates that
# one thread makes; with 256-256 networks they gain a third on an idle machine and lose a fifth on a busy one.
one_blas_thread = Shared(partial(threadpool_limits, limits=1, user_api="blas"))


@one_blas_thread
def train(agent: Agent, envs: Any, steps: float, report: Report, under_way: dict[str, Any] | None = None) -> None:
    """Run the training loop for this agent until it has taken `steps` environment steps.

    envs        a VectorEnv, or anything with its interface
    under_way   `Interaction.state` of an earlier part of the same training, to continue exactly from there

    Raises TrainingError when a value is not finite.
    """
    fast = agent.fast_path(envs)
    loop = fast.loop if fast and fast.loop else LOOPS[agent.family]
    interaction = Interaction(agent, envs)
    interaction.begin(under_way)
    loop(agent, interaction, steps, report)


def train_on_policy(agent: LearnsOnPolicy, interaction: Interaction, steps: float, report: Report) -> None:
    """Alternate between a rollout with the current policy and one update from it, until `steps` environment steps.

    A rollout has `agent.horizon` steps of each environment or, if that is None, one whole episode of a single environment.
    Raises TrainingError when a value is not finite.
    """
    envs, episodes, rollout = interaction.envs, interaction.episodes, Rollout(agent.dtype, agent.normaliser is not None)
    while agent.step < steps:
        complete, idle = False, []
        while not complete:
            t = episodes.lengths.copy()
            try:
                actions = agent.sample(interaction.obs)
            except UserError as error:                      # a mask of legal actions that is none
                raise EnvironmentFailed(f"at about step {agent.step + len(rollout) * envs.n}: {error}") from None
            if actions.dtype.kind == "f":                   # a simulator may return finite numbers for an action of NaN
                require_finite(agent.step, agent.dtype, actions=actions[None])
            next_start, rewards, next_obs, term, trunc = envs.step(agent.dist.to_env(actions))
            rollout.add(interaction.obs, actions, rewards, next_obs, term, trunc, t)
            idle.append(envs.idle)
            done = term | trunc
            episodes.add(rewards, done, envs.idle)
            interaction.obs = next_start
            complete = done.all() if agent.horizon is None else len(rollout) == agent.horizon
            if len(rollout) == LONGEST and not complete and agent.horizon is None:
                raise EnvironmentFailed(NEVER_ENDS)
        batch = rollout.take()
        require_finite(agent.step, agent.dtype, observations=batch.obs, rewards=batch.rewards, next_observations=batch.next_obs)
        batch = without_idle(batch, idle)
        if not batch.rewards.size:
            continue
        started = time.perf_counter()
        try:
            metrics = agent.update(batch)
        except FloatingPointError as error:
            raise TrainingError(f"at step {agent.step}: {error}") from None
        if report(agent, interaction, metrics, time.perf_counter() - started, 1):
            break


def train_off_policy(agent: LearnsOffPolicy, interaction: Interaction, steps: float, report: Report,
                     sample: Callable[[np.ndarray], np.ndarray] | None = None, update: Callable[[], Metrics] | None = None) -> bool:
    """Store every transition; every `train_every` steps make `gradient_steps` updates from minibatches of the replay buffer.

    Before learning starts, actions are random and `report` is called without metrics. Returns whether `report` has ended training.

    sample, update      what to call for an action and for an update from a new minibatch, if not the agent's own methods

    Raises TrainingError when a value is not finite.
    """
    config, envs, episodes, promises = agent.config, interaction.envs, interaction.episodes, interaction.promises
    assert promises is not None
    sample = sample or agent.sample
    update = update or (lambda: agent.update(agent.memory.sample(agent.batch_rng, config.batch_size)))
    while agent.step < steps:
        warming_up = agent.step < config.learning_starts
        obs = interaction.obs
        actions = agent.random(envs.n) if warming_up else sample(obs)
        require_finite(agent.step, agent.dtype, observations=obs[None], actions=actions[None])
        promises.begin(episodes.lengths == 0, obs, actions)
        next_start, rewards, next_obs, term, trunc = envs.step(agent.dist.to_env(actions))
        require_finite(agent.step, agent.dtype, rewards=rewards[None], next_observations=next_obs[None])
        agent.memory.add(obs=obs, actions=actions, rewards=rewards, next_obs=next_obs, term=term, trunc=trunc, idle=envs.idle)
        real = obs if envs.idle is None else obs[~envs.idle]                # of the environments that have taken a step
        if agent.normaliser and len(real):
            agent.normaliser.update(real)
        done = term | trunc
        promises.add(rewards, next_obs, term, done)
        episodes.add(rewards, done, envs.idle)
        agent.restart(done)
        agent.step += len(real)
        interaction.obs = next_start
        interaction.since_update += len(real)
        metrics: Metrics = {}
        updates, started = 0, time.perf_counter()
        if agent.step >= config.learning_starts and interaction.since_update >= config.train_every:
            interaction.since_update = 0
            for _ in range(config.gradient_steps):
                try:
                    one = update()
                except FloatingPointError as error:
                    raise TrainingError(f"at step {agent.step}: {error}") from None
                metrics = {name: metrics[name] + value for name, value in one.items()} if updates else one
                updates += 1
            if updates > 1:
                metrics = {name: total / updates for name, total in metrics.items()}
            if kernels.backend.device == "cpu" and not math.isfinite(metrics["critic_loss"]):       # on a GPU this waits
                raise TrainingError(f"at step {agent.step}: critic_loss is not finite: lower the learning rates")
            metrics |= promises.metrics()
        if report(agent, interaction, metrics, time.perf_counter() - started if updates else 0.0, updates):
            return True
    return False


def train_asynchronous(agent: LearnsAsynchronously, interaction: Interaction, steps: float, report: Report) -> None:
    """Run the agent's workers, which act in their own environments, made like those of `interaction`."""
    agent.train(interaction, int(steps), report)


LOOPS: dict[str, Callable[..., Any]] = {
    "on-policy": train_on_policy,
    "off-policy": train_off_policy,
    "asynchronous": train_asynchronous,
}
