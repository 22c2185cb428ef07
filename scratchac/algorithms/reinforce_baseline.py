"""REINFORCE with a learnt baseline (Sutton & Barto 2018, section 13.4).

    L_actor = −Σₜ γᵗ (Gₜ − V(Sₜ)) log π(Aₜ|Sₜ)          L_critic = mean ½(V(Sₜ) − Gₜ)², or Huber's loss

E[b(S) ∇log π(A|S)] = b(S) ∇Σₐ π(a|S) = 0, so a baseline b that does not depend on the action does not change the expected gradient.
Of one step in one state, the variance falls for b between 0 and twice the best baseline, else it rises (MATH.md#baselines).
`discount_actor` switches γᵗ on.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import gymnasium as gym
import numpy as np
from numpy.typing import DTypeLike

from scratchac import losses, optim, returns
from scratchac.algorithms.config import Episodic, Positive
from scratchac.algorithms.plumbing import OnPolicyAgent
from scratchac.algorithms.search import LogUniform, Space
from scratchac.policies import Behaviour, SeparateBodies
from scratchac.training.agent import Metrics
from scratchac.training.memory import Batch


@dataclass(frozen=True)
class Config(Episodic):
    """Hyperparameters of REINFORCE with a baseline."""

    actor_lr: Positive = 1e-3
    """Learning rate of the policy."""
    critic_lr: Positive = 1e-3
    """Learning rate of the baseline."""
    value_loss: Literal["mse", "huber"] = "mse"
    """Loss of the baseline."""

    SEARCH: ClassVar[Space] = {"actor_lr": LogUniform(1e-5, 1e-2), "critic_lr": LogUniform(1e-5, 1e-2)}


class ReinforceBaseline(OnPolicyAgent[Config]):
    """REINFORCE with V(s) as its baseline. Raises UserError for spaces that are not supported."""

    config_class = Config
    metrics = ("actor_loss", "critic_loss", "entropy", "grad_norm", "value")

    def __init__(self, config: Config, observation_space: gym.Space, action_space: gym.Space, seed: Any = 0,
                 dtype: DTypeLike = np.float32):
        super().__init__(config, observation_space, action_space, dtype)
        init_rng, self.rng = np.random.default_rng(seed).spawn(2)
        self.model = SeparateBodies(self.observation_shape[0], self.dist, 1, config, init_rng, dtype)
        self.optimisers = [optim.OPTIMISERS[config.optimiser](self.model.flat[g]) for g in self.model.groups]
        self.behaviour = Behaviour(self.dist, self.model.policy, self.rng, dtype=dtype)

    def update(self, batch: Batch) -> Metrics:
        """One gradient step of each network on one episode, a Batch of (T, 1) transitions; returns the metrics."""
        h = self.schedules(self.step / self.config.steps)
        T = len(batch.rewards)
        s = self.behaviour.see(batch.obs[:, 0])                             # (T, O)
        a = batch.actions[:, 0]                                             # (T,) or (T, A)

        y, v, cache = self.model.forward(s)                                 # (T, outputs), (T, 1)
        v = v[:, 0]                                                         # (T,)
        # A time limit cuts the rewards off without a terminal state: V(s′) replaces the rest of the return.
        v_next = self.model.value(self.behaviour.see(batch.next_obs[:, 0]))                             # (T, 1)
        g = returns.monte_carlo(batch.rewards, v_next, batch.term, batch.done, h.gamma)[:, 0]          # (T,)
        adv = g - v
        weight = h.gamma ** batch.t[:, 0].astype(self.dtype) * adv if h.discount_actor else adv

        logp, entropy, dist_cache = self.dist.evaluate(y, a)                # (T,), (T,)
        actor_loss, dlogp = losses.policy_gradient(logp, T * weight)        # T · mean = Σₜ
        critic_loss, dv = losses.VALUE_LOSSES[self.config.value_loss](v, g)
        self.model.backward(cache, self.dist.backward(dist_cache, dlogp, np.zeros_like(dlogp)), dv[:, None])
        norms = []
        for optimiser, group, lr in zip(self.optimisers, self.model.groups, (h.actor_lr, h.critic_lr), strict=True):
            norms.append(optim.clip_global_norm(self.model.grad[group], h.max_grad_norm))
            optimiser.step(self.model.grad[group], lr)

        self.step += T
        return {"actor_loss": actor_loss, "critic_loss": critic_loss, "entropy": float(entropy.mean()),
                "grad_norm": norms[0], "value": float(v.mean())}

    def keeps(self) -> dict[str, Any]:
        """Name → what is saved."""
        actor, critic = self.optimisers
        return {"parameters": self.model.flat, "rng": self.rng, "actor_optimiser": actor, "critic_optimiser": critic}
