"""One-step actor-critic, episodic, and its form with eligibility traces (Sutton & Barto 2018, sections 13.5 and 12.2).

After *every* environment step, with I = γᵗ:

    δ   = R + γ V(S′)(1 − term) − V(S)
    z_w ← γ λ_w z_w + ∇V(S)                 w ← w + η_w δ z_w
    z_θ ← γ λ_θ z_θ + I ∇log π(A|S)         θ ← θ + η_θ δ z_θ

and z = 0 at the start of an episode. With λ = 0 the traces are the current gradients alone, which is the one-step algorithm. The
steps are plain gradient steps with semi-gradients, since V(S′) is not differentiated. A time limit is not a terminal state: the
bootstrap γV(S′) is kept there.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import gymnasium as gym
import numpy as np
from numpy.typing import DTypeLike

from scratchac.algorithms.config import Count, Fraction, Positive, SingleEnvironment
from scratchac.algorithms.plumbing import OnPolicyAgent
from scratchac.algorithms.search import Choice, LogUniform, Space
from scratchac.policies import Behaviour, SeparateBodies
from scratchac.training import compiled_rollouts
from scratchac.training.agent import FastPath, Metrics
from scratchac.training.memory import Batch


@dataclass(frozen=True)
class Config(SingleEnvironment):
    """Hyperparameters of the one-step actor-critic."""

    steps: Count = 800_000
    """Environment steps in total; schedules end here."""
    actor_lr: Positive = "linear:1e-4:0"  # type: ignore[assignment]
    """η_θ, learning rate of the actor."""
    critic_lr: Positive = "linear:5e-4:0"  # type: ignore[assignment]
    """η_w, learning rate of the critic."""
    lam_actor: Fraction = 0.0
    """λ_θ, decay of the actor's eligibility trace; 0 is the one-step algorithm."""
    lam_critic: Fraction = 0.0
    """λ_w, decay of the critic's eligibility trace; 0 is the one-step algorithm."""
    discount_actor: bool = True
    """Weight the actor's step at time t by I = γᵗ, as the policy gradient theorem says."""
    activation: Literal["tanh", "relu"] = "relu"
    """Activation of the hidden layers."""
    initialiser: Literal["orthogonal", "he", "glorot"] = "he"
    """Initialiser of the weights."""

    SEARCH: ClassVar[Space] = {
        "actor_lr": LogUniform(1e-6, 1e-2), "critic_lr": LogUniform(1e-6, 1e-2), "lam_actor": Choice(0.0, 0.5, 0.9),
        "lam_critic": Choice(0.0, 0.5, 0.9)}


class ActorCritic(OnPolicyAgent[Config]):
    """Actor-critic that learns after every single step. Raises UserError for spaces that are not supported."""

    config_class = Config
    metrics = ("actor_loss", "critic_loss", "entropy", "td_error", "value")
    horizon = 1

    def __init__(self, config: Config, observation_space: gym.Space, action_space: gym.Space, seed: Any = 0,
                 dtype: DTypeLike = np.float32):
        super().__init__(config, observation_space, action_space, dtype)
        init_rng, self.rng = np.random.default_rng(seed).spawn(2)
        self.model = SeparateBodies(self.observation_shape[0], self.dist, 1, config, init_rng, dtype)
        self.trace = np.zeros_like(self.model.flat)                         # [z_θ | z_w], laid out like [θ | w]
        self.behaviour = Behaviour(self.dist, self.model.policy, self.rng, dtype=dtype)
        self.one = np.ones(1, dtype)
        self.zero = np.zeros(1, dtype)

    def fast_path(self, envs: Any) -> FastPath | None:
        """For discrete actions a backend may have a compiled loop that does the same as `update` (training/compiled.py)."""
        return compiled_rollouts.loop("one_step_actor_critic", self, envs) if self.horizon == 1 else None

    def update(self, batch: Batch) -> Metrics:
        """One step of both networks on one transition, a Batch of (1, 1); returns the metrics of the update."""
        h = self.schedules(self.step / self.config.steps)
        s, s2 = self.behaviour.see(batch.obs[0]), self.behaviour.see(batch.next_obs[0])     # (1, O)
        r, term = float(batch.rewards[0, 0]), float(batch.term[0, 0])

        y, v, cache = self.model.forward(s)                                 # (1, outputs), (1, 1)
        delta = r + h.gamma * (1 - term) * float(self.model.value(s2)[0, 0]) - float(v[0, 0])
        if not np.isfinite(delta):
            raise FloatingPointError("the TD error is not finite: lower the step sizes")
        logp, entropy, dist_cache = self.dist.evaluate(y, batch.actions[0])
        # ∇log π(A|S) and ∇V(S): the chain rule from dlogp = 1 and dv = 1.
        self.model.backward(cache, self.dist.backward(dist_cache, self.one, self.zero), self.one[:, None])
        discount = h.gamma ** int(batch.t[0, 0]) if h.discount_actor else 1.0

        settings = ((h.lam_actor, discount, h.actor_lr), (h.lam_critic, 1.0, h.critic_lr))
        for group, (lam, weight, lr) in zip(self.model.groups, settings, strict=True):
            z = self.trace[group]
            z *= h.gamma * lam
            z += weight * self.model.grad[group]
            self.model.flat[group] += lr * delta * z
        self.restart(batch.done[0])

        self.step += 1
        return {"actor_loss": -delta * float(logp[0]), "critic_loss": 0.5 * delta * delta, "entropy": float(entropy[0]),
                "td_error": delta, "value": float(v[0, 0])}

    def restart(self, done: np.ndarray) -> None:
        """Forget the trace if the episode, (1,), is over."""
        if done[0]:
            self.trace[:] = 0

    def keeps(self) -> dict[str, Any]:
        """Name → what is saved."""
        return {"parameters": self.model.flat, "trace": self.trace, "rng": self.rng}
