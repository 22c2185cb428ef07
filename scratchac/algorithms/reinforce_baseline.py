"""REINFORCE with a learnt baseline (Sutton & Barto 2018, section 13.4).

    L_actor = −Σₜ γᵗ (Gₜ − V(Sₜ)) log π(Aₜ|Sₜ)          L_critic = mean ½(V(Sₜ) − Gₜ)²

E[b(S) ∇log π(A|S)] = b(S) ∇Σₐ π(a|S) = 0, so any b that ignores the action leaves the expected gradient as it was. The variance
falls as far as b follows G: it is the covariance that counts, and a bad baseline raises it.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from scratchac import losses, optim, returns
from scratchac.hyperparameters import Count, Fraction, Layers, NonNegative, Positive, Schedules
from scratchac.policies import Behaviour, SeparateBodies
from scratchac.spaces import check_observation_space, make_distribution
from scratchac.state import load_state, state


@dataclass(frozen=True)
class Config:
    steps: Count = 200_000
    """Environment steps in total; schedules run from 0 to here."""
    gamma: Fraction = 0.99
    """Discount factor γ."""
    actor_lr: Positive = 1e-3
    """Learning rate of the policy."""
    critic_lr: Positive = 1e-3
    """Learning rate of the baseline."""
    optimiser: Literal["adam", "rmsprop", "sgd"] = "adam"
    """Optimiser of both."""
    max_grad_norm: NonNegative = 0.0
    """Largest gradient norm of either network; 0 switches clipping off."""
    discount_actor: bool = False
    """Weight the actor's gradient by γᵗ."""
    value_loss: Literal["mse", "huber"] = "mse"
    """Loss of the baseline."""
    hidden: Layers = (64, 64)
    """Hidden layers of both networks."""
    activation: Literal["tanh", "relu"] = "tanh"
    """Activation of the hidden layers."""
    initialiser: Literal["orthogonal", "he", "glorot"] = "orthogonal"
    """Initialiser of the weights."""
    state_dependent_std: bool = False
    """Continuous actions: let σ depend on the state."""


class ReinforceBaseline:
    """REINFORCE with V(s) as its baseline. Raises UserError for spaces that are not supported."""

    Config, loop, state, load_state = Config, "on-policy", state, load_state
    metrics = ("actor_loss", "critic_loss", "entropy", "grad_norm", "value")
    envs, horizon = 1, None                                                 # one environment, a whole episode per update

    def __init__(self, config, observation_space, action_space, seed=0, dtype=np.float32):
        check_observation_space(observation_space)
        self.dist = make_distribution(action_space, config.state_dependent_std)
        init_rng, action_rng = np.random.default_rng(seed).spawn(2)
        self.config, self.schedules, self.step, self.rng, self.dtype = config, Schedules(config), 0, action_rng, dtype
        self.model = SeparateBodies(observation_space.shape[0], self.dist, 1, config.hidden, config.activation,
                                    config.initialiser, init_rng, dtype)
        self.optimisers = [optim.OPTIMISERS[config.optimiser](self.model.flat[g]) for g in self.model.groups]
        self.behaviour = Behaviour(self.dist, self.model.policy, observation_space.shape, action_rng, dtype=dtype)
        self.act, self.sample, self.to_env = self.behaviour.act, self.behaviour.sample, self.dist.to_env

    def update(self, batch):
        """One gradient step of each network on one episode, a Batch of (T, 1) transitions; returns the metrics."""
        h = self.schedules(self.step / self.config.steps)
        T = len(batch.rewards)
        s = self.behaviour.see(batch.obs[:, 0])                             # (T, O)
        a = batch.actions[:, 0]                                             # (T,) or (T, A)

        y, v, cache = self.model.forward(s)
        v = v[:, 0]                                                         # (T,)
        # A time limit breaks the rewards off without anything having ended: V(s′) stands for the rest.
        v_next = self.model.value(self.behaviour.see(batch.next_obs[:, 0]))
        g = returns.monte_carlo(batch.rewards, v_next, batch.term, batch.done, h.gamma)[:, 0]
        adv = g - v
        weight = h.gamma ** batch.t[:, 0].astype(self.dtype) * adv if h.discount_actor else adv

        logp, entropy, dist_cache = self.dist.evaluate(y, a)
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

    def keeps(self):
        actor, critic = self.optimisers
        return {"parameters": self.model.flat, "rng": self.rng, "actor_optimiser": actor, "critic_optimiser": critic}
