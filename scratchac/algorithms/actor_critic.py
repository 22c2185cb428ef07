"""One-step actor-critic, episodic, and its form with eligibility traces (Sutton & Barto 2018, sections 13.5 and 12.5).

After *every* environment step, with I = γᵗ:

    δ   = R + γ V(S′)(1 − term) − V(S)
    z_w ← γ λ_w z_w + ∇V(S)                 w ← w + α_w δ z_w
    z_θ ← γ λ_θ z_θ + I ∇log π(A|S)         θ ← θ + α_θ δ z_θ

and z = 0 at the start of an episode. With λ = 0 the traces are the present gradients alone: the one-step algorithm. Plain
gradient steps; semi-gradient, for V(S′) is not differentiated. A time limit is no terminal state: there V(S′) counts.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from scratchac.hyperparameters import Count, Fraction, Layers, Positive, Schedules
from scratchac.policies import Behaviour, SeparateBodies
from scratchac.spaces import check_observation_space, make_distribution
from scratchac.state import load_state, state


@dataclass(frozen=True)
class Config:
    steps: Count = 800_000
    """Environment steps in total; schedules run from 0 to here."""
    gamma: Fraction = 0.99
    """Discount factor γ."""
    actor_lr: Positive = "linear:1e-4:0"
    """α_θ, step size of the actor."""
    critic_lr: Positive = "linear:5e-4:0"
    """α_w, step size of the critic."""
    lam_actor: Fraction = 0.0
    """λ_θ, decay of the actor's eligibility trace; 0 is the one-step algorithm."""
    lam_critic: Fraction = 0.0
    """λ_w, decay of the critic's eligibility trace; 0 is the one-step algorithm."""
    discount_actor: bool = True
    """Weight the actor's steps by I = γᵗ."""
    hidden: Layers = (64, 64)
    """Hidden layers of both networks."""
    activation: Literal["tanh", "relu"] = "relu"
    """Activation of the hidden layers."""
    initialiser: Literal["orthogonal", "he", "glorot"] = "he"
    """Initialiser of the weights."""
    state_dependent_std: bool = False
    """Continuous actions: let σ depend on the state."""


class ActorCritic:
    """Actor-critic that learns from each single step. Raises UserError for spaces that are not supported."""

    Config, loop, state, load_state = Config, "on-policy", state, load_state
    metrics = ("actor_loss", "critic_loss", "entropy", "td_error", "value")
    envs, horizon = 1, 1                                                    # one environment, one step per update

    def __init__(self, config, observation_space, action_space, seed=0, dtype=np.float32):
        check_observation_space(observation_space)
        self.dist = make_distribution(action_space, config.state_dependent_std)
        init_rng, action_rng = np.random.default_rng(seed).spawn(2)
        self.config, self.schedules, self.step, self.rng, self.dtype = config, Schedules(config), 0, action_rng, dtype
        self.model = SeparateBodies(observation_space.shape[0], self.dist, 1, config.hidden, config.activation,
                                    config.initialiser, init_rng, dtype)
        self.trace = np.zeros_like(self.model.flat)                         # [z_θ | z_w], laid out like [θ | w]
        self.behaviour = Behaviour(self.dist, self.model.policy, observation_space.shape, action_rng, dtype=dtype)
        self.act, self.sample, self.to_env = self.behaviour.act, self.behaviour.sample, self.dist.to_env
        self.one, self.zero = np.ones(1, dtype), np.zeros(1, dtype)

    def update(self, batch):
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
        importance = h.gamma ** int(batch.t[0, 0]) if h.discount_actor else 1.0

        settings = ((h.lam_actor, importance, h.actor_lr), (h.lam_critic, 1.0, h.critic_lr))
        for group, (lam, weight, lr) in zip(self.model.groups, settings, strict=True):
            z = self.trace[group]
            z *= h.gamma * lam
            z += weight * self.model.grad[group]
            self.model.flat[group] += lr * delta * z
        if batch.done[0, 0]:
            self.trace[:] = 0

        self.step += 1
        return {"actor_loss": -delta * float(logp[0]), "critic_loss": 0.5 * delta * delta, "entropy": float(entropy[0]),
                "td_error": delta, "value": float(v[0, 0])}

    def keeps(self):
        return {"parameters": self.model.flat, "trace": self.trace, "rng": self.rng}
