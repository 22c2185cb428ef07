"""Soft actor-critic for discrete actions (Christodoulou 2019): expectations over actions instead of samples.

With π = π(·|s) and Q(s) both vectors over the n actions:

    V(s) = Σᵢ πᵢ (min_k Q′ₖᵢ − α log πᵢ)         target = r + γ(1 − term) V(s′)   critics: L = Σₖ mean ½(Qₖ(s, a) − target)²
    actor: L = mean Σᵢ πᵢ (α log πᵢ − min_k Qₖᵢ)
    temperature: L = mean Σᵢ πᵢ [−α(log πᵢ + H̄)],  H̄ = `entropy_target` · log n

An update samples no action, so no reparameterisation is needed: the expectation itself is differentiated.
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from numpy.typing import DTypeLike

import kernels
from scratchac import losses, optim
from scratchac.algorithms.config import AlwaysPositive, Count, Fraction, Layers, OffPolicy, Positive
from scratchac.algorithms.plumbing import SoftAgent
from scratchac.algorithms.search import Choice, LogUniform, Space
from scratchac.distributions import Categorical, Gaussian, log_softmax
from scratchac.environments.flattened import shortened
from scratchac.environments.spaces import check_observation_space, make_distribution
from scratchac.errors import UserError
from scratchac.nn import MLP, Parameters
from scratchac.training import compiled_off_policy_rollouts
from scratchac.training.agent import FastPath, Metrics
from scratchac.training.memory import Transitions


@dataclass(frozen=True)
class Config(OffPolicy):
    """Hyperparameters of discrete SAC."""

    steps: Count = 50_000
    """Environment steps in total; schedules end here."""
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
    entropy_target: Fraction = 0.5
    """H̄ as a fraction of the largest entropy, log n for n actions."""
    learning_starts: Count = 1_000
    """Environment steps with uniformly random actions before learning begins; if not given, of shorter runs about a tenth."""
    hidden: Layers = (64, 64)
    """Sizes of the hidden layers of all networks."""

    SEARCH: ClassVar[Space] = {
        "actor_lr": LogUniform(1e-5, 1e-2), "critic_lr": LogUniform(1e-5, 1e-2), "entropy_target": Choice(0.1, 0.3, 0.5, 0.8)}


class DiscreteSAC(SoftAgent[Config]):
    """Soft actor-critic over a Discrete space. Raises UserError for spaces that are not supported."""

    config_class = Config
    metrics = ("actor_loss", "critic_loss", "entropy", "alpha", "q", "td_error", "q_promised", "q_realised")
    dist: Categorical
    values = "Q(s)"

    def __init__(self, config: Config, observation_space: gym.Space, action_space: gym.Space, seed: Any = 0,
                 dtype: DTypeLike = np.float32):
        check_observation_space(observation_space)
        dist = make_distribution(action_space)
        if not isinstance(dist, Categorical):
            others = "sac takes" if isinstance(dist, Gaussian) else "a2c and ppo take"
            raise UserError(f"discrete-sac needs Discrete actions, not {shortened(action_space)}; {others} these")
        self.dist = dist
        super().__init__(config, observation_space, (), seed, dtype, action_dtype=np.int64)
        O, n = self.observation_shape[0], self.dist.n
        self.every_action = kernels.backend.asarray(np.arange(n))
        self.actor = MLP((O, *config.hidden, n), config.activation)
        self.critic = MLP((O, *config.hidden, n), config.activation, stack=(2,))
        self.theta, self.dtheta = (Parameters(self.actor.shapes(), dtype) for _ in range(2))
        self.w, self.w_target, self.dw = (Parameters(self.critic.shapes(), dtype) for _ in range(3))
        self.actor.initialise(self.theta, self.init_rng, config.initialiser)
        self.critic.initialise(self.w, self.init_rng, config.initialiser)
        self.w_target.flat[:] = self.w.flat
        self.make_optimisers(self.w.flat)

    def fast_path(self, envs: Any = None) -> FastPath | None:
        """A backend may have a compiled function that does the same as `update` (training/compiled_off_policy_rollouts.py)."""
        return compiled_off_policy_rollouts.loop("discrete_sac_update", self, envs)

    def update(self, batch: Transitions) -> Metrics:
        """One step of the critics, the actor, the temperature and the targets, from a minibatch; returns the metrics."""
        if self.normaliser:
            batch = self.seen(batch)
        h = self.schedules(self.step / self.config.steps)
        if not self.config.learn_alpha:
            self.log_alpha[0] = math.log(h.alpha)
        alpha = np.exp(self.log_alpha)                                      # (1,)
        critic_metrics = self.critic_step(batch, alpha, h)
        actor_metrics, entropy = self.actor_step(batch.obs, alpha, h)
        if self.config.learn_alpha:
            self.temperature_step(entropy, alpha, h)
        optim.polyak(self.w_target.flat, self.w.flat, h.tau)
        return critic_metrics | actor_metrics | {"alpha": alpha[0]}

    def critic_step(self, batch: Transitions, alpha: np.ndarray, h: Config) -> Metrics:
        """One step of both critics on L = Σₖ mean ½(Qₖ(s, a) − target)². The target is data."""
        s, a, r, s2, term = batch                                           # (B, O), (B,), (B,), (B, O), (B,)
        log_pi2 = log_softmax(self.actor.forward(self.theta, s2)[0])        # (B, n)
        q2 = self.critic.forward(self.w_target, s2)[0].min(axis=0)          # (B, n)
        v2 = (np.exp(log_pi2) * (q2 - alpha * log_pi2)).sum(axis=1)
        target = r + h.gamma * (1 - term) * v2                              # (B,)
        q, cache = self.critic.forward(self.w, s)                           # (2, B, n)
        taken = self.every_action == a[:, None]                             # (B, n) true at the action of each row
        q_taken = (q * taken).sum(axis=2)                                   # (2, B)
        loss, dq = losses.stacked_mse(q_taken, target)
        self.critic.backward(self.w, cache, dq[..., None] * taken, self.dw)
        self.critic_optimiser.step(self.dw.flat, h.critic_lr)
        return {"critic_loss": loss, "q": q.mean(), "td_error": np.abs(target - q_taken).mean()}

    def actor_step(self, s: np.ndarray, alpha: np.ndarray, h: Config) -> tuple[Metrics, np.ndarray]:
        """One step of the actor on L = mean Σᵢ πᵢfᵢ with fᵢ = α log πᵢ − min_k Qₖᵢ; also returns the mean entropy.

        ∂/∂zⱼ Σᵢ πᵢfᵢ = πⱼ (fⱼ − Σᵢ πᵢfᵢ) for logits z; the terms with the derivative of log πᵢ sum to zero.
        """
        z, net_cache = self.actor.forward(self.theta, s)
        log_pi = log_softmax(z)
        pi = np.exp(log_pi)
        f = alpha * log_pi - self.critic.forward(self.w, s)[0].min(axis=0)
        mean_f = (pi * f).sum(axis=1, keepdims=True)                        # (B, 1)
        self.actor.backward(self.theta, net_cache, pi * (f - mean_f) / len(s), self.dtheta)
        self.actor_optimiser.step(self.dtheta.flat, h.actor_lr)
        entropy = -(pi * log_pi).sum(axis=1).mean()
        return {"actor_loss": mean_f.mean(), "entropy": entropy}, entropy

    def temperature_step(self, entropy: np.ndarray, alpha: np.ndarray, h: Config) -> None:
        """One step of log α on L = mean Σᵢ πᵢ[−α(log πᵢ + H̄)], with α = exp(log α):  ∂L/∂log α = α (mean H − H̄)."""
        self.alpha_optimiser.step(alpha * (entropy - self.total_entropy_target(h)), h.alpha_lr)

    def total_entropy_target(self, h: Config) -> float:
        """H̄ = `entropy_target` · log n."""
        return h.entropy_target * math.log(self.dist.n)

    def sample(self, obs: np.ndarray) -> np.ndarray:
        """Actions 0 … n−1 for N observations, drawn from the policy."""
        y, _ = self.actor.forward(self.theta, self.see(obs))
        return self.dist.sample(kernels.backend.to_numpy(y), self.dist.noise(self.rng, len(y)))

    def greedy(self, obs: np.ndarray) -> np.ndarray:
        """The most likely actions for N observations."""
        y, _ = self.actor.forward(self.theta, self.see(obs))
        return self.dist.greedy(kernels.backend.to_numpy(y))

    def random(self, rows: int) -> np.ndarray:
        """Uniformly random actions 0 … n−1."""
        return self.rng.integers(self.dist.n, size=rows)

    def value(self, obs: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """min_k Qₖ(s, a) (B,) for observations (B, O) and actions (B,)."""
        q = self.critic.forward(self.w, self.see(obs))[0].min(axis=0)
        return kernels.backend.to_numpy(q)[np.arange(len(actions)), actions]
