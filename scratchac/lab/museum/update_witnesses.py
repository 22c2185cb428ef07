"""Witnesses of the exhibits about updates from a replay buffer."""

from typing import Any

import numpy as np

from scratchac import distributions, losses
from scratchac.lab.museum.witnesses import replaying
from scratchac.lab.patch import Installed
from scratchac.training.memory import Transitions


def transitions(rows: int = 8, s2: float = 1.0) -> Transitions:
    """Transitions of Inside with r = 0, s = 0 and the given s′, none of them terminal."""
    zeros = np.zeros(rows, np.float32)
    return Transitions(zeros[:, None], zeros[:, None], zeros, np.full((rows, 1), s2, np.float32), zeros)


def targets(agent: Any, batch: Transitions) -> np.ndarray:
    """The targets that an agent with two critics computes for them, from its `critic_step`."""
    seen = []

    def keep(q: np.ndarray, target: np.ndarray) -> tuple[float, np.ndarray]:
        seen.append(np.broadcast_to(target, q.shape[1:]).copy())
        return 0.0, np.zeros_like(q)

    with Installed(losses.stacked_mse, keep):
        extra = (np.zeros(1, np.float32),) if hasattr(agent, "log_alpha") else ()
        agent.critic_step(batch, *extra, agent.schedules(0))
    return seen[0]


def critic_moved_by_the_actor() -> float:
    """The largest change of DDPG's critic in a step of its actor, in units of the learning rate."""
    agent = replaying("ddpg", critic_lr=1e-3)
    before = agent.w.flat.copy()
    agent.actor_step(transitions().next_obs, agent.schedules(0))
    return float(np.abs(agent.w.flat - before).max() / 1e-3)


def direction_of_the_actor() -> float:
    """Whether Q(s, π(s)) rises (1) or falls (−1) in a step of DDPG's actor."""
    agent, s = replaying("ddpg"), transitions().next_obs
    before = agent.value(s, agent.greedy(s)).mean()
    agent.actor_step(s, agent.schedules(0))
    return float(np.sign(agent.value(s, agent.greedy(s)).mean() - before))


def different_targets() -> float:
    """The number of different targets of TD3, for eight equal transitions and eight rows of noise."""
    return len(np.unique(targets(replaying("td3"), transitions())))


def spread_of_targets() -> float:
    """The difference between TD3's largest and smallest target, for s′ from −1 to 1, in units of that of the smaller Q alone."""
    agent = replaying("td3", target_noise=0.0)
    s2 = np.linspace(-1, 1, 8, dtype=np.float32)[:, None]
    found = targets(agent, transitions()._replace(next_obs=s2))
    q2 = agent.critic.forward(agent.w_target, np.concatenate([s2, agent.pi(agent.theta_target, s2)[0]], axis=1))[0][..., 0]
    return round(float(np.ptp(found) / (agent.config.gamma * np.ptp(q2.min(axis=0)))), 5)


def smaller_of_two() -> float:
    """SAC's target with r = 0, γ = 1 and α = 0, where Q₁ = 2 and Q₂ = 1."""
    agent = replaying("sac", gamma=1.0)
    agent.w_target.flat[:] = 0
    agent.w_target["b2"][:] = [[2], [1]]
    return float(targets(agent, transitions())[0])


def actor_loss_follows_the_critics() -> float:
    """How much SAC's actor loss changes where both critics that are trained rise by 1, with α = 0."""
    found = []
    for bias in (0.0, 1.0):
        agent = replaying("sac")
        agent.w["b2"][:] = bias
        found.append(agent.actor_step(transitions().next_obs, np.zeros(1), agent.schedules(0))[0]["actor_loss"])
    return round(float(found[1] - found[0]), 5) + 0.0


def states_of_the_actor() -> float:
    """The mean of the states on which SAC's actor learns, where all s are 0 and all s′ are 1."""
    agent, seen = replaying("sac"), []

    def keep(s: np.ndarray, *_: Any) -> Any:
        seen.append(float(s.mean()))
        return {}, np.zeros(len(s))

    agent.actor_step = keep
    agent.update(transitions())
    return seen[0]


def weight_of_the_entropy() -> float:
    """B · ∂L/∂log π in SAC's actor loss, with α = 0.2."""
    agent, seen = replaying("sac"), []

    def keep(cache: Any, da: np.ndarray, dlogp: np.ndarray) -> np.ndarray:
        seen.append(float(dlogp.sum()))
        return np.zeros((len(da), 2), np.float32)

    agent.dist.backward = keep
    agent.actor_step(transitions().next_obs, np.full(1, 0.2), agent.schedules(0))
    return round(seen[0], 6)


def entropy_target() -> float:
    """The entropy that SAC aims at, for one action feature."""
    agent = replaying("sac")
    return float(agent.total_entropy_target(agent.schedules(0)))


def temperature_moves() -> float:
    """The change of log α where the entropy, 0.5, is above its target −1, in units of the learning rate."""
    agent = replaying("sac", alpha_lr=0.1, alpha=1.0)
    agent.temperature_step(np.full(8, -0.5), np.ones(1), agent.schedules(0))
    return round(float(agent.log_alpha[0]) / 0.1, 5)


def area_under_the_density() -> float:
    """∫ π(a) da over (−1, 1) of a tanh-Gaussian with μ = 0 and σ = 1."""
    u = np.linspace(-8, 8, 4_001)[:, None]
    a, logp, _ = distributions.tanh_gaussian(np.zeros_like(u), np.zeros_like(u), u)
    return round(float(np.trapezoid(np.exp(logp), a[:, 0])), 4)
