"""SAC, discrete SAC, TD3 and DDPG in a compiled world: many steps, each with its update, are one call, with no Python in between.

`train` does the same as `compiled_off_policy.train`, to the bit, with the same random numbers. Python makes the steps before
learning starts, and of each episode the first one, at which Q(s₀, a₀) is noted, and the last one. A call reports the means of its
steps, and calls end where rows of metrics.csv do. Large minibatches are for two cores, whose updates are calls of their own.
"""

import math
import time
from copy import deepcopy
from typing import Any

import numpy as np

from scratchac.distributions import ActionScale, Categorical, TanhGaussian
from scratchac.environments.compiled_worlds import CompiledWorlds
from scratchac.errors import TrainingError
from scratchac.training import compiled_off_policy
from scratchac.training.agent import FastPath, Metrics
from scratchac.training.compiled_off_policy import SOFT_METRICS, Compiled, Deterministic, DiscreteSoft, Soft, steps_of
from scratchac.training.compiled_rollouts import until_report
from scratchac.training.interaction import Interaction
from scratchac.training.loops import Report, train_off_policy
from scratchac.training.memory import ReplayBuffer

FEWEST = 8                      # steps of a call
DETERMINISTIC_METRICS = "actor_loss", "critic_loss", "q", "td_error"
# the compiled update → what takes its place in a compiled world
IN_WORLDS = {"sac_update": "sac_rollout", "discrete_sac_update": "discrete_sac_rollout", "td3_update": "td3_rollout",
             "ddpg_update": "ddpg_rollout"}


def loop(name: str, agent: Any, envs: Any) -> FastPath | None:
    """The fast path with whole rollouts in one compiled world, or else that of `compiled_off_policy.loop`; None if there is none.

    It supports one update a step, of a minibatch that one core computes, without hindsight, and no noise on what SAC draws.
    """
    config, dist = agent.config, agent.dist
    if (isinstance(envs, CompiledWorlds) and config.envs == config.train_every == config.gradient_steps == 1
            and type(agent.memory) is ReplayBuffer and not (agent.noise and isinstance(dist, TanhGaussian))
            and (dist.start == 0 if isinstance(dist, Categorical) else dist.features == 1 and dist.low.dtype == np.float32)):
        from kernels.numba_off_policy_updates import pieces

        if pieces(config.batch_size, agent.theta.flat.size + agent.w.flat.size) == 1:
            return compiled_off_policy.loop(IN_WORLDS[name], agent, train, envs, *([agent.noise] if agent.noise else []))
    return compiled_off_policy.loop(name, agent)


def train(agent: Any, interaction: Interaction, steps: float, report: Report) -> None:
    """`train_off_policy` with as many steps in a call as there are until Python has something to do."""
    own = compiled_off_policy.compile_for(agent)
    path = ROLLOUTS[type(own)](own, interaction)
    assert interaction.promises is not None
    over = False
    while agent.step < steps and not over:
        wanted = path.wanted(steps)
        if wanted > 0:
            started = time.perf_counter()
            taken, metrics = path.rollout(wanted)
            if taken:
                over = report(agent, interaction, metrics | interaction.promises.metrics(), time.perf_counter() - started, taken)
            if taken == wanted or over:
                continue
        over = train_off_policy(agent, interaction, agent.step + 1, report, own.sample, own.update)


class Rollouts:
    """Steps of one compiled world with an update each.

    own     what makes a single update, with its memory
    """

    names: tuple[str, ...]                  # of the metrics

    def __init__(self, own: Any, interaction: Interaction):
        from kernels.numba_off_policy_rollouts import Episode, Replay

        self.own, self.agent, self.interaction, self.worlds = own, own.agent, interaction, interaction.envs
        agent = self.agent
        episodes, promises, data = interaction.episodes, interaction.promises, agent.memory.data
        assert promises is not None
        self.replay = tuple(Replay(**data))
        self.episode = tuple(Episode(episodes.returns, episodes.lengths, promises.came, promises.weight, promises.gamma))
        self.s = np.empty((1, agent.actor.sizes[0]), agent.dtype)
        deterministic = isinstance(own, Deterministic)
        self.optimisers = agent.actor_optimiser, agent.critic_optimiser, *([] if deterministic else [agent.alpha_optimiser])
        self.updates = agent.updates if deterministic and own.twin else np.zeros(1, np.int64)     # only TD3 counts them

    def wanted(self, steps: float) -> int:
        """How many steps the next call should make: 0 where Python makes the next one.

        They are no more than the episode has had, or FEWEST: what is prepared for steps behind its end is lost.
        """
        agent, length = self.agent, int(self.interaction.episodes.lengths[0])
        if agent.step < agent.config.learning_starts or length == 0:
            return 0
        until_limit = self.worlds.worlds.limit - int(self.worlds.worlds.elapsed[0]) - 1
        return min(until_report(agent.step, steps), until_limit, max(FEWEST, length))

    def rollout(self, wanted: int) -> tuple[int, Metrics]:
        """Make that many steps, or those until one that would end the episode; returns how many, and the means of their metrics.

        Raises TrainingError when the critics' loss is not finite.
        """
        agent, memory = self.agent, self.agent.memory
        self.worlds.refill()
        before, sums = self.keep(), np.zeros(len(self.names))
        taken = self.take(self.prepare(wanted), sums)
        if taken < wanted:                                                  # as if no more had been prepared
            self.restore(before)
            self.prepare(taken)
        agent.step += taken
        memory.cursor, memory.size = (memory.cursor + taken) % memory.capacity, min(memory.size + taken, memory.capacity)
        self.interaction.obs = self.worlds.worlds.obs.copy()
        if not math.isfinite(sums[1]):
            raise TrainingError(f"at step {agent.step}: critic_loss is not finite: lower the learning rates")
        return taken, dict(zip(self.names, (sums / max(1, taken)).tolist(), strict=True))

    def minibatches(self, wanted: int) -> np.ndarray:
        """The rows of the minibatches that `ReplayBuffer.sample` would draw after each of these steps, (T, B)."""
        memory, rows = self.agent.memory, np.empty((wanted, self.agent.config.batch_size), np.int64)
        for t in range(wanted):
            rows[t] = self.agent.batch_rng.integers(min(memory.size + t + 1, memory.capacity), size=rows.shape[1])
        return rows

    def keep(self) -> tuple[Any, ...]:
        """What `prepare` changes."""
        agent = self.agent
        return (agent.rng.bit_generator.state, agent.batch_rng.bit_generator.state, [x.t for x in self.optimisers],
                agent.noise and deepcopy(agent.noise.state()), self.updates.copy())

    def restore(self, kept: tuple[Any, ...]) -> None:
        """Undo a `prepare`."""
        agent = self.agent
        agent.rng.bit_generator.state, agent.batch_rng.bit_generator.state, counts, noise, self.updates[:] = kept
        for optimiser, count in zip(self.optimisers, counts, strict=True):
            optimiser.t = count
        if agent.noise:
            agent.noise.load_state(noise)

    def prepare(self, wanted: int) -> tuple[np.ndarray, ...]:
        """Hyperparameters and random numbers of that many steps, in the order of `train_off_policy`; their updates are counted."""
        raise NotImplementedError

    def take(self, prepared: tuple[np.ndarray, ...], sums: np.ndarray) -> int:
        """Make the steps that have been prepared, and add up their metrics; returns how many have been made."""
        raise NotImplementedError


def box(dist: ActionScale) -> tuple[float, ...]:
    """numba_rollouts.Box of one action feature."""
    from kernels.numba_rollouts import Box

    return tuple(Box(float(dist.low[0]), float(dist.high[0]), float(dist.range[0])))


def soft_numbers(h: Any, total_entropy_target: float, rates: tuple[tuple[float, ...], ...]) -> tuple[float, ...]:
    """A row of `numbers` of the soft rollouts."""
    return h.gamma, h.tau, total_entropy_target, 0.0 if h.learn_alpha else math.log(h.alpha), *(x for each in rates for x in each)


class SoftRollouts(Rollouts):
    """SAC."""

    names = SOFT_METRICS

    def prepare(self, wanted: int) -> tuple[np.ndarray, ...]:
        """As `Rollouts.prepare`."""
        agent, B = self.agent, self.agent.config.batch_size
        normal = agent.rng.standard_normal((wanted, 1 + 2 * B))             # of the action, then of the update
        numbers = np.empty((wanted, 19))
        for t in range(wanted):
            h, rates = steps_of(agent, agent.step + t + 1)
            numbers[t] = soft_numbers(h, agent.total_entropy_target(h), rates)
        return numbers, normal[:, :1].copy(), normal[:, 1:].copy().reshape(wanted, 2, B, 1), self.minibatches(wanted)

    def take(self, prepared: tuple[np.ndarray, ...], sums: np.ndarray) -> int:
        """As `Rollouts.take`."""
        from kernels.numba_off_policy_rollouts import soft_rollout

        numbers, *draws = prepared
        own, memory = self.own, self.agent.memory
        return soft_rollout(
            tuple(self.worlds.worlds), box(self.agent.dist), own.actor, own.critic, own.temperature, own.clamp,
            self.agent.config.learn_alpha, numbers, self.replay, memory.cursor, tuple(draws), (self.s, own.y, own.acting),
            own.drawn, own.rows, own.more, self.episode, sums)


class DiscreteSoftRollouts(Rollouts):
    """Discrete SAC."""

    names = SOFT_METRICS

    def __init__(self, own: DiscreteSoft, interaction: Interaction):
        super().__init__(own, interaction)
        self.action = np.zeros(1, np.int64)

    def prepare(self, wanted: int) -> tuple[np.ndarray, ...]:
        """As `Rollouts.prepare`."""
        agent, numbers = self.agent, np.empty((wanted, 19))
        u = agent.rng.random((wanted, 1))
        for t in range(wanted):
            h, rates = steps_of(agent, agent.step + t + 1)
            numbers[t] = soft_numbers(h, agent.total_entropy_target(h), rates)
        return numbers, u, self.minibatches(wanted)

    def take(self, prepared: tuple[np.ndarray, ...], sums: np.ndarray) -> int:
        """As `Rollouts.take`."""
        from kernels.numba_off_policy_rollouts import discrete_soft_rollout

        numbers, *draws = prepared
        own, memory = self.own, self.agent.memory
        return discrete_soft_rollout(
            tuple(self.worlds.worlds), own.actor, own.critic, own.temperature, self.agent.config.learn_alpha, numbers, self.replay,
            memory.cursor, tuple(draws), (self.s, own.y, self.action), own.rows, own.more, self.episode, sums)


class DeterministicRollouts(Rollouts):
    """TD3 and DDPG."""

    names = DETERMINISTIC_METRICS

    def __init__(self, own: Deterministic, interaction: Interaction):
        super().__init__(own, interaction)
        self.action = np.empty((1, 1))

    def prepare(self, wanted: int) -> tuple[np.ndarray, ...]:
        """As `Rollouts.prepare`."""
        agent, own = self.agent, self.own
        numbers, eps, noise = np.empty((wanted, 15)), np.empty((wanted, 1)), np.empty((wanted, *own.noise.shape))
        for t in range(wanted):
            eps[t] = own.exploration(agent.step + t)[0]
            if own.twin:
                agent.rng.standard_normal(out=noise[t])
            *first, actor_rates, critic_rates = own.settings(agent.step + t + 1)
            numbers[t] = *first, *actor_rates, *critic_rates
        return numbers, eps, noise, self.minibatches(wanted)

    def take(self, prepared: tuple[np.ndarray, ...], sums: np.ndarray) -> int:
        """As `Rollouts.take`."""
        from kernels.numba_off_policy_rollouts import deterministic_rollout

        numbers, *draws = prepared
        agent, own = self.agent, self.own
        actor_loss = agent.actor_loss.copy() if own.twin else np.zeros(1, agent.dtype)
        taken = deterministic_rollout(
            tuple(self.worlds.worlds), box(agent.dist), own.actor, own.critic, numbers, self.replay, agent.memory.cursor,
            tuple(draws), (self.s, own.y, self.action), own.rows, own.more, self.episode, actor_loss, sums)
        if own.twin:
            agent.actor_loss = actor_loss
        return taken


ROLLOUTS: dict[type[Compiled], type[Rollouts]] = {
    Soft: SoftRollouts, DiscreteSoft: DiscreteSoftRollouts, Deterministic: DeterministicRollouts}
