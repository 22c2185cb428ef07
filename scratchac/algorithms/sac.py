"""Soft actor-critic (Haarnoja et al. 2018, "Algorithms and Applications"): a stochastic actor maximises reward plus entropy.

    target = r + γ(1 − term)[min_k Q′ₖ(s′, a′) − α log π(a′|s′)],  a′ ~ π(·|s′)   critics: L = Σₖ mean ½(Qₖ(s, a) − target)²
    actor: L = mean[α log π(ã|s) − min_k Qₖ(s, ã)],  ã = tanh(μ(s) + σ(s)ε)       through the sample: ã depends on θ
    temperature: L = mean[−α(log π(ã|s) + H̄)],  H̄ = `entropy_target` · A        α falls while the entropy is above H̄

The policy is optimised towards π ∝ exp(Q/α). The actor's loss uses the online critics, at newly sampled actions for the *same*
states. Actions, log-probabilities and H̄ refer to [−1, 1]. The two critics are one stacked network, K = 2.

The target asks what π would do next, not what chose a. So `noise` may be added to the actions of training: correlated noise where
independent draws hardly ever lead to a reward.
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import gymnasium as gym
import numpy as np
from numpy.typing import DTypeLike

import kernels
from scratchac import losses, optim
from scratchac.algorithms.config import AlwaysPositive, FeatureEntropy, OffPolicy, Positive
from scratchac.algorithms.plumbing import SoftAgent
from scratchac.algorithms.search import LogUniform, Space
from scratchac.distributions import TanhGaussian
from scratchac.environments.spaces import check_action_box, check_observation_space
from scratchac.nn import MLP, Parameters
from scratchac.training import compiled_off_policy_rollouts
from scratchac.training.agent import FastPath, Metrics
from scratchac.training.memory import Transitions


@dataclass(frozen=True)
class Config(OffPolicy):
    """Hyperparameters of SAC."""

    actor_lr: Positive = 3e-4
    """Learning rate of the actor."""
    critic_lr: Positive = 3e-4
    """Learning rate of the critics."""
    alpha: AlwaysPositive = 1.0
    """Temperature α, weight of the entropy; if it is learnt, its initial value."""
    learn_alpha: bool = True
    """Learn the temperature so that the entropy approaches its target H̄; if off, α stays."""
    alpha_lr: Positive = 3e-4
    """Learning rate of log α, if it is learnt."""
    entropy_target: FeatureEntropy = -1.0
    """H̄ for each of the A action features in [−1, 1], so that H̄ = −A if not given; log 2 = 0.69 would be uniform actions."""
    noise: Literal["none", "gaussian", "ou"] = "none"
    """Noise on what the policy draws in training: none; gaussian, independent at each step; or ou, correlated in time."""
    noise_scale: Positive = 0.1
    """σ of that noise, in units of half the action range; with ou, of its increments: the noise then has 1.9 σ."""
    log_std: Literal["tanh", "clamp"] = "tanh"
    """How log σ is kept within bounds: tanh, −5 + 3.5(tanh x + 1) for an output x; clamp, clipped to [−20, 2]."""

    SEARCH: ClassVar[Space] = {"actor_lr": LogUniform(1e-5, 1e-2), "critic_lr": LogUniform(1e-5, 1e-2)}


class SAC(SoftAgent[Config]):
    """Soft actor-critic. Raises UserError for spaces that are not supported."""

    config_class = Config
    metrics = ("actor_loss", "critic_loss", "entropy", "alpha", "q", "td_error", "q_promised", "q_realised")
    dist: TanhGaussian

    def __init__(self, config: Config, observation_space: gym.Space, action_space: gym.Space, seed: Any = 0,
                 dtype: DTypeLike = np.float32):
        check_observation_space(observation_space)
        check_action_box(action_space, "sac")
        self.dist = TanhGaussian(action_space.low, action_space.high, config.log_std)  # type: ignore[attr-defined]
        A = self.dist.features
        super().__init__(config, observation_space, (A,), seed, dtype)
        O = self.observation_shape[0]
        self.actor = MLP((O, *config.hidden, self.dist.outputs), config.activation)
        self.critic = MLP((O + A, *config.hidden, 1), config.activation, stack=(2,))
        self.theta, self.dtheta = (Parameters(self.actor.shapes(), dtype) for _ in range(2))
        self.w, self.w_target, self.dw = (Parameters(self.critic.shapes(), dtype) for _ in range(3))
        self.actor.initialise(self.theta, self.init_rng, config.initialiser)
        self.critic.initialise(self.w, self.init_rng, config.initialiser)
        self.w_target.flat[:] = self.w.flat
        self.make_optimisers(self.w.flat)

    def fast_path(self, envs: Any = None) -> FastPath | None:
        """A backend may have a compiled function that does the same as `update` (training/compiled_off_policy_rollouts.py)."""
        return compiled_off_policy_rollouts.loop("sac_update", self, envs)

    def pi(self, s: np.ndarray) -> tuple[np.ndarray, np.ndarray, Any]:
        """A new action in [−1, 1] for each row of s, (B, A), its log-probability (B,), and the cache for the backward pass."""
        y, net_cache = self.actor.forward(self.theta, s)
        a, logp, dist_cache = self.dist.sample(y, self.dist.noise(self.rng, len(s)))
        return a, logp, (net_cache, dist_cache)

    def update(self, batch: Transitions) -> Metrics:
        """One step of the critics, the actor, the temperature and the targets, from a minibatch; returns the metrics."""
        if self.normaliser:
            batch = self.seen(batch)
        h = self.schedules(self.step / self.config.steps)
        if not self.config.learn_alpha:
            self.log_alpha[0] = math.log(h.alpha)
        alpha = np.exp(self.log_alpha)                                      # (1,)
        critic_metrics = self.critic_step(batch, alpha, h)
        actor_metrics, logp = self.actor_step(batch.obs, alpha, h)
        if self.config.learn_alpha:
            self.temperature_step(logp, alpha, h)
        optim.polyak(self.w_target.flat, self.w.flat, h.tau)
        return critic_metrics | actor_metrics | {"alpha": alpha[0]}

    def critic_step(self, batch: Transitions, alpha: np.ndarray, h: Config) -> Metrics:
        """One step of both critics on L = Σₖ mean ½(Qₖ(s, a) − target)². The target is data."""
        s, a, r, s2, term = batch                                           # (B, O), (B, A), (B,), (B, O), (B,)
        a2, logp2, _ = self.pi(s2)
        q2 = self.critic.forward(self.w_target, np.concatenate([s2, a2], axis=1))[0][..., 0]    # (2, B)
        # A terminal state cuts both the value *and* the entropy of s′.
        target = r + h.gamma * (1 - term) * (q2.min(axis=0) - alpha * logp2)                    # (B,)
        q, cache = self.critic.forward(self.w, np.concatenate([s, a], axis=1))
        loss, dq = losses.stacked_mse(q[..., 0], target)                    # (2, B)
        self.critic.backward(self.w, cache, dq[..., None], self.dw)
        self.critic_optimiser.step(self.dw.flat, h.critic_lr)
        return {"critic_loss": loss, "q": q.mean(), "td_error": np.abs(target - q[..., 0]).mean()}

    def actor_step(self, s: np.ndarray, alpha: np.ndarray, h: Config) -> tuple[Metrics, np.ndarray]:
        """One step of the actor on L = mean[α log π(ã|s) − min_k Qₖ(s, ã)]; also returns log π(ã|s) (B,).

        ∂L/∂log π = α/B; ∂L/∂Q = −1/B for the smaller of the two Q, through which the gradient reaches ã. The critics do not change.
        """
        a, logp, (net_cache, dist_cache) = self.pi(s)
        q, cache = self.critic.forward(self.w, np.concatenate([s, a], axis=1))
        first = q[0] <= q[1]                                                # (B, 1) whether Q₁ is the smaller
        dq = np.stack([first, ~first]).astype(q.dtype) / -len(s)            # (2, B, 1)
        da = self.critic.backward(self.w, cache, dq, None, input_gradient=True).sum(axis=0)[:, s.shape[1]:]
        dlogp = np.ones_like(logp) * (alpha / len(s))
        self.actor.backward(self.theta, net_cache, self.dist.backward(dist_cache, da, dlogp), self.dtheta)
        self.actor_optimiser.step(self.dtheta.flat, h.actor_lr)
        return {"actor_loss": alpha[0] * logp.mean() - q.min(axis=0).mean(), "entropy": -logp.mean()}, logp

    def temperature_step(self, logp: np.ndarray, alpha: np.ndarray, h: Config) -> None:
        """One step of log α on L = mean[−α(log π + H̄)], with α = exp(log α):  ∂L/∂log α = −α mean(log π + H̄)."""
        self.alpha_optimiser.step(-alpha * (logp.mean() + self.total_entropy_target(h)), h.alpha_lr)

    def total_entropy_target(self, h: Config) -> float:
        """H̄ = `entropy_target` · A."""
        return h.entropy_target * self.dist.features

    def explore(self, obs: np.ndarray) -> np.ndarray:
        """Actions in [−1, 1] for N observations, drawn from the policy."""
        return kernels.backend.to_numpy(self.pi(self.see(obs))[0])

    def sample(self, obs: np.ndarray) -> np.ndarray:
        """Actions that the policy draws, plus noise if there is any, for the N environments of training."""
        return self.with_noise(self.explore(obs)) if self.noise else self.explore(obs)

    def greedy(self, obs: np.ndarray) -> np.ndarray:
        """tanh(μ(s)) for N observations."""
        y, _ = self.actor.forward(self.theta, self.see(obs))
        return kernels.backend.to_numpy(self.dist.greedy(y))

    def random(self, rows: int) -> np.ndarray:
        """Uniform actions in [−1, 1]."""
        return self.dist.random(self.rng, rows)

    def value(self, obs: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """min_k Qₖ(s, a) (B,) for observations (B, O) and actions in [−1, 1] (B, A)."""
        sa = np.concatenate([self.see(obs), self.upload(actions)], axis=1)
        return kernels.backend.to_numpy(self.critic.forward(self.w, sa)[0].min(axis=0)[:, 0])
