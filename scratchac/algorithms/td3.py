"""Twin delayed DDPG (Fujimoto, van Hoof & Meger 2018): DDPG with three changes, marked ① ② ③ below.

    target = r + γ(1 − term) min_k Q′ₖ(s′, clip(π′(s′) + clip(ε, ±c), ±1))     critics: L = Σₖ mean ½(Qₖ(s, a) − target)²
    actor: L = −mean Q₁(s, π(s))

① two critics, and the smaller of their targets: an actor that maximises a noisy estimate makes it too large, and the minimum of two
  is rather too small, which no actor seeks
② noise on the target action, independent for every row and feature, so that a narrow peak of the critic cannot be exploited
③ the actor and the targets are updated only every `delay` updates, so that the critics adapt first

Actions are in [−1, 1]; π(s) = tanh(network(s)). The two critics are one stacked network, K = 2.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import gymnasium as gym
import numpy as np
from numpy.typing import DTypeLike

import kernels
from scratchac import losses, optim
from scratchac.algorithms.config import Count, NonNegative, OffPolicy, Positive
from scratchac.algorithms.plumbing import DeterministicAgent
from scratchac.algorithms.search import LogUniform, Space
from scratchac.training import compiled_off_policy_rollouts
from scratchac.training.agent import FastPath, Metrics
from scratchac.training.memory import Transitions


@dataclass(frozen=True)
class Config(OffPolicy):
    """Hyperparameters of TD3."""

    actor_lr: Positive = 1e-3
    """Learning rate of the actor."""
    critic_lr: Positive = 1e-3
    """Learning rate of the critics."""
    delay: Count = 2
    """Updates of the critics for each update of the actor and the targets (③ in td3.py)."""
    target_noise: NonNegative = 0.2
    """σ of the noise on target actions, in units of half the action range (② in td3.py); 0 switches it off."""
    target_noise_clip: NonNegative = 0.5
    """Largest size of the noise on target actions, in the same units (② in td3.py)."""
    noise: Literal["gaussian", "ou"] = "gaussian"
    """Exploration noise: gaussian, independent at each step; or ou, correlated in time (an Ornstein-Uhlenbeck process)."""
    noise_scale: Positive = 0.1
    """σ of the exploration noise, in units of half the action range; with ou, of its increments: the noise then has 1.9 σ."""

    SEARCH: ClassVar[Space] = {
        "actor_lr": LogUniform(1e-5, 1e-2), "critic_lr": LogUniform(1e-5, 1e-2), "noise_scale": LogUniform(0.05, 0.5)}


class TD3(DeterministicAgent[Config]):
    """Twin delayed deep deterministic policy gradient. Raises UserError for spaces that are not supported."""

    config_class = Config
    metrics = ("actor_loss", "critic_loss", "q", "td_error", "q_promised", "q_realised")

    def __init__(self, config: Config, observation_space: gym.Space, action_space: gym.Space, seed: Any = 0,
                 dtype: DTypeLike = np.float32):
        super().__init__(config, observation_space, action_space, "td3", (2,), seed, dtype)     # ① two critics
        self.updates = np.zeros(1, np.int64)                                # arrays, since they are saved
        self.actor_loss = kernels.backend.zeros(1, dtype)

    def fast_path(self, envs: Any = None) -> FastPath | None:
        """A backend may have a compiled function that does the same as `update` (training/compiled_off_policy_rollouts.py)."""
        return compiled_off_policy_rollouts.loop("td3_update", self, envs)

    def update(self, batch: Transitions) -> Metrics:
        """One step of the critics and, every `delay` updates, of the actor and the targets; returns the metrics."""
        if self.normaliser:
            batch = self.seen(batch)
        h = self.schedules(self.step / self.config.steps)
        metrics = self.critic_step(batch, h)
        self.updates += 1
        if self.updates[0] % self.config.delay == 0:                        # ③
            self.actor_loss = self.actor_step(batch.obs, h)
            optim.polyak(self.w_target.flat, self.w.flat, h.tau)
            optim.polyak(self.theta_target.flat, self.theta.flat, h.tau)
        return metrics | {"actor_loss": self.actor_loss[0]}

    def critic_step(self, batch: Transitions, h: Config) -> Metrics:
        """One step of both critics on L = Σₖ mean ½(Qₖ(s, a) − target)². The target is data, computed by the target networks."""
        s, a, r, s2, term = batch                                           # (B, O), (B, A), (B,), (B, O), (B,)
        a2, _ = self.pi(self.theta_target, s2)
        eps = self.upload(h.target_noise * self.rng.standard_normal(a2.shape))
        a2 = np.clip(a2 + np.clip(eps, -h.target_noise_clip, h.target_noise_clip), -1, 1)       # ②
        q2 = self.critic.forward(self.w_target, np.concatenate([s2, a2], axis=1))[0][..., 0]    # (2, B)
        target = r + h.gamma * (1 - term) * q2.min(axis=0)                  # ① (B,)
        q, cache = self.critic.forward(self.w, np.concatenate([s, a], axis=1))
        loss, dq = losses.stacked_mse(q[..., 0], target)                    # (2, B)
        self.critic.backward(self.w, cache, dq[..., None], self.dw)
        self.critic_optimiser.step(self.dw.flat, h.critic_lr)
        return {"critic_loss": loss, "q": q.mean(), "td_error": np.abs(target - q[..., 0]).mean()}

    def actor_step(self, s: np.ndarray, h: Config) -> np.ndarray:
        """One step of the actor on L = −mean Q₁(s, π(s)): the chain rule through the first critic, which is not changed.

        Returns the loss, (1,).
        """
        pi, actor_cache = self.pi(self.theta, s)                            # (B, A)
        q, cache = self.critic.forward(self.w, np.concatenate([s, pi], axis=1), member=0)
        dq = np.full_like(q, -1 / len(s))
        da = self.critic.backward(self.w, cache, dq, None, input_gradient=True, member=0)[:, s.shape[1]:]
        self.actor.backward(self.theta, actor_cache, self.dist.greedy_backward(pi, da), self.dtheta)
        self.actor_optimiser.step(self.dtheta.flat, h.actor_lr)
        return -q.mean(axis=0)

    def keeps(self) -> dict[str, Any]:
        """Name → what is saved."""
        return super().keeps() | {"updates": self.updates, "actor_loss": self.actor_loss}
