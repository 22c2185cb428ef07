"""Whole rollouts in compiled worlds: acting, stepping and collecting T steps are one call, with no Python in between.

They do the same as the loops of training/compiled.py and training/loops.py: the same random numbers, which are drawn as one block
for all T steps, the same first states of episodes, the same parameters and reports. The one-step actor-critic reports after up
to REPORT_EVERY steps, which divide the steps between two rows of metrics.csv, and not after each: its metrics are then their means.
"""

import time
from typing import Any

import numpy as np

from scratchac.distributions import Gaussian
from scratchac.environments.compiled_worlds import CompiledWorlds
from scratchac.errors import TrainingError
from scratchac.training import compiled
from scratchac.training.agent import FastPath
from scratchac.training.checks import require_finite
from scratchac.training.compiled import CompiledAgent, network
from scratchac.training.episodes import Episodes
from scratchac.training.interaction import Interaction
from scratchac.training.loops import Report

REPORT_EVERY = 1_000            # most steps between two reports of a loop that learns at every step
ROWS = 200                      # rows of metrics.csv in a run, near which a call ends


def loop(name: str, agent: Any, envs: Any) -> FastPath | None:
    """The fast path with whole rollouts if `envs` are compiled worlds, or else that of `compiled.loop`; None if there is none."""
    if isinstance(envs, CompiledWorlds):
        return compiled.loop(IN_WORLDS[name], agent, envs, LOOPS)
    return compiled.loop(name, agent, envs) if name in compiled.LOOPS else None


class Collector:
    """T steps of N worlds at a time, with memory for them. What these worlds give is finite if the actions are."""

    def __init__(self, agent: CompiledAgent, envs: CompiledWorlds, episodes: Episodes, steps: int):
        from kernels.numba_rollouts import Box, Collected, rollout

        T, N, O, dtype, dist = steps, envs.n, agent.model.actor.sizes[0], agent.dtype, agent.dist
        (s, s2), (r, term, done) = np.empty((2, T, N, O), dtype), np.empty((3, T, N), dtype)
        if isinstance(dist, Gaussian):
            bounds, extent = dist.scale or dist, float(dist.scale.range[0]) if dist.scale else 0.0
            self.box, actions = Box(float(bounds.low[0]), float(bounds.high[0]), extent), np.empty((T, N, 1), dtype)
        else:
            self.box, actions = Box(0.0, 0.0, 0.0), np.empty((T, N), np.int64)
        self.collected = Collected(s, actions, r, s2, term, done)
        self.rows = s.reshape(T * N, O), s2.reshape(T * N, O), actions.reshape(T * N, *dist.action_shape)    # views of `collected`
        self.rollout = rollout
        self.agent, self.envs, self.ended = agent, envs, Ended(episodes, T * N)
        self.actor = network(agent.model, 0)
        self.outputs = np.empty(N * sum(agent.model.actor.sizes[1:]), dtype)

    def collect(self) -> None:
        """Fill `collected` with T steps of all worlds, and record their episodes."""
        agent, worlds, collected, actions, t = self.agent, tuple(self.envs.worlds), tuple(self.collected), self.collected.a, 0
        noise = agent.dist.noise(agent.rng, self.collected.r.size).reshape(actions.shape)
        while t < len(actions):
            self.envs.refill()
            t = self.rollout(worlds, self.actor, self.outputs, noise, tuple(self.box), collected, self.ended.progress, t)
        if actions.dtype.kind == "f":
            require_finite(agent.step, agent.dtype, actions=actions)
        self.ended.record()


class Ended:
    """The `Progress` of episodes in a compiled loop, of which up to `most` end in one call."""

    def __init__(self, episodes: Episodes, most: int):
        self.episodes = episodes
        self.ends, self.count = np.empty((most, 2)), np.zeros(1, np.int64)
        self.progress = episodes.returns, episodes.lengths, self.ends, self.count

    def record(self) -> None:
        """Record the episodes that have ended."""
        if self.count[0]:
            self.episodes.record(self.ends[: self.count[0]])
            self.count[0] = 0


def a2c(agent: CompiledAgent, interaction: Interaction, steps: int, report: Report) -> None:
    """`compiled.a2c` with whole rollouts."""
    envs, T = interaction.envs, agent.horizon
    actor, critic, collector = network(agent.model, 0), network(agent.model, 1), Collector(agent, envs, interaction.episodes, T)
    rows = *collector.rows, collector.collected.r, collector.collected.term, collector.collected.done
    while agent.step < steps:
        collector.collect()
        started = time.perf_counter()
        metrics = compiled.a2c_step(agent, actor, critic, rows)
        if report(agent, interaction, metrics, time.perf_counter() - started, 1):
            break


def ppo(agent: Any, interaction: Interaction, steps: int, report: Report) -> None:
    """Alternate between whole rollouts and the compiled equivalent of `PPO.update`."""
    collector = Collector(agent, interaction.envs, interaction.episodes, agent.horizon)
    r, term, done = collector.collected.r, collector.collected.term, collector.collected.done
    while agent.step < steps:
        collector.collect()
        started = time.perf_counter()
        h = agent.schedules(agent.step / agent.config.steps)
        try:
            scaled = agent.scaler(r, done, h.gamma) if agent.scaler else r
            metrics = compiled.ppo_update(agent, *collector.rows, scaled, term, done, h)
        except FloatingPointError as error:
            raise TrainingError(f"at step {agent.step}: {error}") from None
        agent.step += r.size
        if report(agent, interaction, metrics, time.perf_counter() - started, 1):
            break


def one_step_actor_critic(agent: CompiledAgent, interaction: Interaction, steps: int, report: Report) -> None:
    """`compiled.one_step_actor_critic` with many steps in one call."""
    from kernels.numba_rollouts import one_step_rollout

    envs, config = interaction.envs, agent.config
    actor, critic = compiled.traced_networks(agent)
    ended, worlds = Ended(interaction.episodes, REPORT_EVERY), tuple(envs.worlds)
    names = "actor_loss", "critic_loss", "entropy", "td_error", "value"
    while agent.step < steps:
        started = time.perf_counter()
        T, t, sums = until_report(agent.step, steps), 0, np.zeros(6)
        u, rates = agent.rng.random(T), _rates(agent, T)
        while t < T:
            envs.refill()
            t = one_step_rollout(worlds, actor, critic, u, rates, config.discount_actor, ended.progress, sums, t)
            if sums[5]:
                agent.step += t
                require_finite(agent.step, agent.dtype, observations=envs.worlds.obs[None])
                raise TrainingError(f"at step {agent.step}: the TD error is not finite: lower the step sizes")
        ended.record()
        agent.step += T
        metrics = dict(zip(names, (sums[:5] / T).tolist(), strict=True))
        if report(agent, interaction, metrics, time.perf_counter() - started, T):
            break


def until_report(step: int, steps: float) -> int:
    """How many steps the next call makes, of REPORT_EVERY at most: it ends where it would without a resume."""
    row = max(1, int(steps) // ROWS)                                        # steps between two rows
    parts, within = -(-row // REPORT_EVERY), step % row
    end = next(row * j // parts for j in range(1, parts + 1) if row * j // parts > within)
    return min(end - within, int(steps) - step)


def _rates(agent: CompiledAgent, T: int) -> np.ndarray:
    """γ, γλ_θ, η_θ, γλ_w and η_w of the next T steps, (T, 5)."""
    progress = (agent.step + np.arange(T)) / agent.config.steps
    first, moving = agent.schedules(agent.step / agent.config.steps), agent.schedules.moving
    gamma, lam_actor, actor_lr, lam_critic, critic_lr = (
        moving[name].over(progress) if name in moving else np.full(T, getattr(first, name))
        for name in ("gamma", "lam_actor", "actor_lr", "lam_critic", "critic_lr"))
    return np.stack([gamma, gamma * lam_actor, actor_lr, gamma * lam_critic, critic_lr], axis=1)


# the compiled update of a loop, or PPO's → the rollout that takes its place in compiled worlds
IN_WORLDS = {"one_step_actor_critic": "one_step_rollout", "a2c_gradient": "a2c_rollout", "ppo_update": "ppo_rollout"}
LOOPS = {"one_step_rollout": one_step_actor_critic, "a2c_rollout": a2c, "ppo_rollout": ppo}
