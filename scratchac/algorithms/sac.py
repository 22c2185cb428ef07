"""Soft actor-critic (Haarnoja et al. 2018, "Algorithms and Applications"): rewards plus entropy, from a stochastic actor.

    y = r + γ(1 − term)[min_k Q′ₖ(s′, a′) − α log π(a′|s′)],  a′ ~ π(·|s′)       critics: L = Σₖ mean ½(Qₖ(s, a) − y)²
    actor: L = mean[α log π(ã|s) − min_k Qₖ(s, ã)],  ã = tanh(μ(s) + σ(s)ε)       through the sample: ã depends on θ
    temperature: L = mean[−α(log π(ã|s) + H̄)],  H̄ = −A                          α falls while the entropy is above H̄

The policy optimises towards π ∝ exp(Q/α). The actor's loss takes the online critics, at fresh actions for the *same* states.
Actions and log-probabilities live in [−1, 1], H̄ too. The two critics are one stacked network, K = 2.

Pictures come as an encoder's features. The encoder belongs to the critics: their loss alone trains it, their targets have one of
their own that trails behind, and the actor takes features as data (see `conv.py`).
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

import kernels
from scratchac import losses, optim
from scratchac.conv import encoder_for, side_by_side
from scratchac.distributions import TanhGaussian
from scratchac.hyperparameters import OffPolicy, Positive, Schedules, check_off_policy
from scratchac.memory import ReplayBuffer
from scratchac.nn import MLP, Parameters
from scratchac.policies import act
from scratchac.spaces import check_action_box, check_observation_space
from scratchac.state import load_state, state


@dataclass(frozen=True)
class Config(OffPolicy):
    actor_lr: Positive = 3e-4
    """Learning rate of the actor."""
    critic_lr: Positive = 3e-4
    """Learning rate of the critics."""
    alpha: Positive = 1.0
    """Temperature α: where it starts if it is learnt, otherwise what it is."""
    learn_alpha: bool = True
    """Learn the temperature so that the entropy comes to H̄ = −A."""
    alpha_lr: Positive = 3e-4
    """Learning rate of log α."""
    log_std: Literal["tanh", "clamp"] = "tanh"
    """How log σ is kept within bounds: −5 + 3.5(tanh + 1), or clipped to [−20, 2]."""


class SAC:
    """Soft actor-critic. Raises UserError for spaces that are not supported."""

    Config, loop, act, state, load_state = Config, "off-policy", act, state, load_state
    metrics = ("actor_loss", "critic_loss", "entropy", "alpha", "q", "td_error", "q_promised", "q_realised")

    def __init__(self, config, observation_space, action_space, seed=0, dtype=np.float32):
        check_observation_space(observation_space, pictures=True)
        check_action_box(action_space, "sac")
        check_off_policy(config)
        self.observation_shape = observation_space.shape
        init_rng, self.rng, self.batch_rng = np.random.default_rng(seed).spawn(3)
        self.config, self.schedules, self.step, self.dtype = config, Schedules(config), 0, dtype
        self.dist = TanhGaussian(action_space.low, action_space.high, config.log_std)
        self.encoder = encoder_for(observation_space)                       # of vectors: none, O features
        O, A = self.encoder.features, self.dist.features
        self.actor = MLP((O, *config.hidden, self.dist.outputs), config.activation)
        self.critic = MLP((O + A, *config.hidden, 1), config.activation, stack=(2,))
        self.theta, self.dtheta = (Parameters(self.actor.shapes(), dtype) for _ in range(2))
        # Flat vectors [φ | w] of encoder and critics: the parameters, those that trail behind, the gradient.
        parts = self.encoder.shapes(), self.critic.shapes()
        self.online, (self.phi, self.w) = side_by_side(parts, dtype)
        self.target, (self.phi_target, self.w_target) = side_by_side(parts, dtype)
        self.grad, (self.dphi, self.dw) = side_by_side(parts, dtype)
        self.actor.initialise(self.theta, init_rng, config.initialiser)
        self.critic.initialise(self.w, init_rng, config.initialiser)
        self.encoder.initialise(self.phi, init_rng, config.initialiser)
        self.target[:] = self.online
        self.log_alpha = kernels.backend.asarray([math.log(self.schedules(0).alpha)], dtype)
        self.target_entropy = -A
        self.actor_optimiser, self.critic_optimiser, self.alpha_optimiser = (
            optim.Adam(x) for x in (self.theta.flat, self.online, self.log_alpha))
        self.memory = ReplayBuffer(config.buffer_size, observation_space, (A,), dtype=dtype)
        self.to_env = self.dist.to_env

    def random(self, rows):
        return self.dist.random(self.rng, rows)

    def restart(self, done):
        """Nothing is remembered from one step of an episode to the next."""

    def pi(self, s):
        """A fresh action in [−1, 1] for each row of s, its log-probability, and what the way back needs."""
        y, net_cache = self.actor.forward(self.theta, s)
        a, logp, cache = self.dist.sample(y, self.dist.noise(self.rng, len(s)))
        return a, logp, (net_cache, cache)

    def see(self, obs):
        """Features of observations from the host."""
        return self.encoder.forward(self.phi, kernels.backend.asarray(obs, self.dtype))[0]

    def sample(self, obs):
        return kernels.backend.to_numpy(self.pi(self.see(obs))[0])

    def greedy(self, obs):
        y, _ = self.actor.forward(self.theta, self.see(obs))
        return kernels.backend.to_numpy(self.dist.mode(y))

    def update(self, batch):
        """One step of the critics, the actor, the temperature and the targets, from a minibatch; returns the metrics."""
        h = self.schedules(self.step / self.config.steps)
        obs, a, r, next_obs, term = batch                                   # (B, …), (B, A), (B,), (B, …), (B,)
        if not self.config.learn_alpha:
            self.log_alpha[0] = math.log(h.alpha)
        alpha = np.exp(self.log_alpha)                                      # (1,)

        # Critics: the target is data. Value *and* entropy of what follows are cut at a terminal state.
        obs, next_obs = (self.encoder.shift(x, self.rng) for x in (obs, next_obs))
        s, seen = self.encoder.forward(self.phi, obs)                       # (B, O)
        s2, s2_target = (self.encoder.forward(phi, next_obs)[0] for phi in (self.phi, self.phi_target))
        a2, logp2, _ = self.pi(s2)
        q2 = self.critic.forward(self.w_target, np.concatenate([s2_target, a2], axis=1))[0][..., 0]     # (2, B)
        y = r + h.gamma * (1 - term) * (q2.min(axis=0) - alpha * logp2)     # (B,)
        q, cache = self.critic.forward(self.w, np.concatenate([s, a], axis=1))
        critic_loss, dq = losses.stacked_mse(q[..., 0], y)                  # (2, B)
        dsa = self.critic.backward(self.w, cache, dq[..., None], self.dw, input_gradient=self.encoder.learns)
        if self.encoder.learns:
            self.encoder.backward(self.phi, seen, dsa.sum(axis=0)[:, : s.shape[1]], self.dphi)
        self.critic_optimiser.step(self.grad, h.critic_lr)

        # Actor: ∂L/∂log π = α/B, and −1/B for the smaller of the two Q, which sends its gradient on to ã.
        a_pi, logp, (net_cache, dist_cache) = self.pi(s)
        q_pi, cache = self.critic.forward(self.w, np.concatenate([s, a_pi], axis=1))
        first = q_pi[0] <= q_pi[1]                                          # (B, 1) whether Q₁ is the smaller
        dq = np.stack([first, ~first]).astype(q_pi.dtype) / -len(s)         # (2, B, 1)
        da = self.critic.backward(self.w, cache, dq, None, input_gradient=True).sum(axis=0)[:, s.shape[1]:]
        dlogp = np.ones_like(logp) * (alpha / len(s))
        self.actor.backward(self.theta, net_cache, self.dist.backward(dist_cache, da, dlogp), self.dtheta)
        self.actor_optimiser.step(self.dtheta.flat, h.actor_lr)

        # Temperature: with α = exp(log α),  ∂L/∂log α = −α mean(log π + H̄).
        if self.config.learn_alpha:
            self.alpha_optimiser.step(-alpha * (logp.mean() + self.target_entropy), h.alpha_lr)

        optim.polyak(self.target, self.online, h.tau)
        return {"actor_loss": alpha[0] * logp.mean() - q_pi.min(axis=0).mean(), "critic_loss": critic_loss,
                "entropy": -logp.mean(), "alpha": alpha[0], "q": q.mean(), "td_error": np.abs(y - q[..., 0]).mean()}

    def value(self, obs, actions):
        """min_k Qₖ(s, a) (B,) for observations (B, O) and actions in [−1, 1] (B, A)."""
        sa = np.concatenate([self.see(obs), kernels.backend.asarray(actions, self.dtype)], axis=1)
        return kernels.backend.to_numpy(self.critic.forward(self.w, sa)[0].min(axis=0)[:, 0])

    def keeps(self):
        return {"actor": self.theta.flat, "critic": self.online, "critic_target": self.target, "log_alpha": self.log_alpha,
                "actor_optimiser": self.actor_optimiser, "critic_optimiser": self.critic_optimiser,
                "alpha_optimiser": self.alpha_optimiser, "memory": self.memory, "rng": self.rng, "batch_rng": self.batch_rng}
