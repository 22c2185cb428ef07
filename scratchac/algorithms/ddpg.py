"""Deep deterministic policy gradient (Lillicrap et al. 2016): Q-learning for continuous actions, with an actor for the argmax.

    target = r + γ(1 − term) Q′(s′, π′(s′))          critic: L = mean ½(Q(s, a) − target)²
    actor: L = −mean Q(s, π(s)),  ∂L/∂θ = −mean ∂Q/∂a · ∂π/∂θ          targets: w′ ← (1−τ)w′ + τw

Actions are in [−1, 1]; π(s) = tanh(network(s)).
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import gymnasium as gym
import numpy as np
from numpy.typing import DTypeLike

from scratchac import losses, optim
from scratchac.algorithms.config import OffPolicy, Positive
from scratchac.algorithms.plumbing import DeterministicAgent
from scratchac.algorithms.search import LogUniform, Space
from scratchac.training import compiled_off_policy_rollouts
from scratchac.training.agent import FastPath, Metrics
from scratchac.training.memory import Transitions


@dataclass(frozen=True)
class Config(OffPolicy):
    """Hyperparameters of DDPG."""

    actor_lr: Positive = 1e-3
    """Learning rate of the actor."""
    critic_lr: Positive = 1e-3
    """Learning rate of the critic."""
    noise: Literal["gaussian", "ou"] = "gaussian"
    """Exploration noise: gaussian, independent at each step; or ou, correlated in time (an Ornstein-Uhlenbeck process)."""
    noise_scale: Positive = 0.1
    """σ of the exploration noise, in units of half the action range; with ou, of its increments: the noise then has 1.9 σ."""

    SEARCH: ClassVar[Space] = {
        "actor_lr": LogUniform(1e-5, 1e-2), "critic_lr": LogUniform(1e-5, 1e-2), "noise_scale": LogUniform(0.05, 0.5)}


class DDPG(DeterministicAgent[Config]):
    """Deep deterministic policy gradient. Raises UserError for spaces that are not supported."""

    config_class = Config
    metrics = ("actor_loss", "critic_loss", "q", "td_error", "q_promised", "q_realised")

    def __init__(self, config: Config, observation_space: gym.Space, action_space: gym.Space, seed: Any = 0,
                 dtype: DTypeLike = np.float32):
        super().__init__(config, observation_space, action_space, "ddpg", (), seed, dtype)

    def fast_path(self, envs: Any = None) -> FastPath | None:
        """A backend may have a compiled function that does the same as `update` (training/compiled_off_policy_rollouts.py)."""
        return compiled_off_policy_rollouts.loop("ddpg_update", self, envs)

    def update(self, batch: Transitions) -> Metrics:
        """One step of the critic, one of the actor, one of the targets, from a minibatch; returns the metrics."""
        if self.normaliser:
            batch = self.seen(batch)
        h = self.schedules(self.step / self.config.steps)
        metrics = self.critic_step(batch, h) | self.actor_step(batch.obs, h)
        optim.polyak(self.w_target.flat, self.w.flat, h.tau)
        optim.polyak(self.theta_target.flat, self.theta.flat, h.tau)
        return metrics

    def critic_step(self, batch: Transitions, h: Config) -> Metrics:
        """One step of the critic on L = mean ½(Q(s, a) − target)². The target is data, computed by the target networks."""
        s, a, r, s2, term = batch                                           # (B, O), (B, A), (B,), (B, O), (B,)
        a2, _ = self.pi(self.theta_target, s2)
        q2 = self.critic.forward(self.w_target, np.concatenate([s2, a2], axis=1))[0][:, 0]
        target = r + h.gamma * (1 - term) * q2                              # (B,)
        q, cache = self.critic.forward(self.w, np.concatenate([s, a], axis=1))
        loss, dq = losses.mse(q[:, 0], target)
        self.critic.backward(self.w, cache, dq[:, None], self.dw)
        self.critic_optimiser.step(self.dw.flat, h.critic_lr)
        return {"critic_loss": loss, "q": q.mean(), "td_error": np.abs(target - q[:, 0]).mean()}

    def actor_step(self, s: np.ndarray, h: Config) -> Metrics:
        """One step of the actor on L = −mean Q(s, π(s)): the chain rule through the critic, which is not changed, to its action."""
        pi, actor_cache = self.pi(self.theta, s)                            # (B, A)
        q, cache = self.critic.forward(self.w, np.concatenate([s, pi], axis=1))
        dq = np.full_like(q, -1 / len(s))
        da = self.critic.backward(self.w, cache, dq, None, input_gradient=True)[:, s.shape[1]:]
        self.actor.backward(self.theta, actor_cache, self.dist.greedy_backward(pi, da), self.dtheta)
        self.actor_optimiser.step(self.dtheta.flat, h.actor_lr)
        return {"actor_loss": -q.mean()}
