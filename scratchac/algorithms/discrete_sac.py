"""Soft actor-critic for discrete actions (Christodoulou 2019): expectations over actions instead of samples.

With π = π(·|s) and Q(s) both vectors over the n actions:

    V(s) = Σᵢ πᵢ (min_k Q′ₖᵢ − α log πᵢ)         y = r + γ(1 − term) V(s′)        critics: L = Σₖ mean ½(Qₖ(s, a) − y)²
    actor: L = mean Σᵢ πᵢ (α log πᵢ − min_k Qₖᵢ)
    temperature: L = mean Σᵢ πᵢ [−α(log πᵢ + H̄)],  H̄ = `entropy_target` · log n

No action is sampled in an update, so nothing has to be reparameterised: the expectation is differentiated itself.
"""

import math
from dataclasses import dataclass

import numpy as np

import kernels
from scratchac import losses, optim
from scratchac.distributions import Categorical
from scratchac.errors import UserError
from scratchac.hyperparameters import Count, Fraction, Layers, OffPolicy, Positive, Schedules, check_off_policy
from scratchac.memory import ReplayBuffer
from scratchac.nn import MLP, Parameters
from scratchac.policies import act
from scratchac.spaces import check_observation_space, make_distribution
from scratchac.state import load_state, state


@dataclass(frozen=True)
class Config(OffPolicy):
    steps: Count = 50_000
    """Environment steps in total; schedules run from 0 to here."""
    actor_lr: Positive = 3e-4
    """Learning rate of the actor."""
    critic_lr: Positive = 3e-4
    """Learning rate of the critics."""
    alpha: Positive = 1.0
    """Temperature α: where it starts if it is learnt, otherwise what it is."""
    learn_alpha: bool = True
    """Learn the temperature so that the entropy comes to H̄."""
    alpha_lr: Positive = 3e-4
    """Learning rate of log α."""
    entropy_target: Fraction = 0.5
    """H̄ as a part of the largest entropy, log n."""
    learning_starts: Count = 1_000
    """Steps with uniformly random actions before learning begins."""
    hidden: Layers = (64, 64)
    """Hidden layers of all networks."""


class DiscreteSAC:
    """Soft actor-critic over a Discrete space. Raises UserError for spaces that are not supported."""

    Config, loop, act, state, load_state = Config, "off-policy", act, state, load_state
    metrics = ("actor_loss", "critic_loss", "entropy", "alpha", "q", "td_error", "q_promised", "q_realised")

    def __init__(self, config, observation_space, action_space, seed=0, dtype=np.float32):
        check_observation_space(observation_space)
        self.dist = make_distribution(action_space)
        if not isinstance(self.dist, Categorical):
            raise UserError(f"discrete-sac needs Discrete actions, not {action_space}; sac takes these")
        check_off_policy(config)
        self.observation_shape = observation_space.shape
        init_rng, self.rng, self.batch_rng = np.random.default_rng(seed).spawn(3)
        self.config, self.schedules, self.step, self.dtype = config, Schedules(config), 0, dtype
        O, n = observation_space.shape[0], self.dist.n
        self.every_action = kernels.backend.asarray(np.arange(n))
        self.actor = MLP((O, *config.hidden, n), config.activation)
        self.critic = MLP((O, *config.hidden, n), config.activation, stack=(2,))
        self.theta, self.dtheta = (Parameters(self.actor.shapes(), dtype) for _ in range(2))
        self.w, self.w_target, self.dw = (Parameters(self.critic.shapes(), dtype) for _ in range(3))
        self.actor.initialise(self.theta, init_rng, config.initialiser)
        self.critic.initialise(self.w, init_rng, config.initialiser)
        self.w_target.flat[:] = self.w.flat
        self.log_alpha = kernels.backend.asarray([math.log(self.schedules(0).alpha)], dtype)
        self.actor_optimiser, self.critic_optimiser, self.alpha_optimiser = (
            optim.Adam(x) for x in (self.theta.flat, self.w.flat, self.log_alpha))
        self.memory = ReplayBuffer(config.buffer_size, observation_space, (), np.int64, dtype)
        self.to_env = self.dist.to_env

    def random(self, rows):
        return self.rng.integers(self.dist.n, size=rows)

    def restart(self, done):
        """Nothing is remembered from one step of an episode to the next."""

    def sample(self, obs):
        y, _ = self.actor.forward(self.theta, kernels.backend.asarray(obs, self.dtype))
        return self.dist.sample(kernels.backend.to_numpy(y), self.dist.noise(self.rng, len(y)))

    def greedy(self, obs):
        y, _ = self.actor.forward(self.theta, kernels.backend.asarray(obs, self.dtype))
        return self.dist.mode(kernels.backend.to_numpy(y))

    def update(self, batch):
        """One step of the critics, the actor, the temperature and the targets, from a minibatch; returns the metrics."""
        h = self.schedules(self.step / self.config.steps)
        s, a, r, s2, term = batch                                           # (B, O), (B,), (B,), (B, O), (B,)
        if not self.config.learn_alpha:
            self.log_alpha[0] = math.log(h.alpha)
        alpha = np.exp(self.log_alpha)                                      # (1,)
        taken = self.every_action == a[:, None]                             # (B, n) true at the action of each row

        # Critics: the target is data.
        log_pi2 = kernels.backend.log_softmax(self.actor.forward(self.theta, s2)[0])            # (B, n)
        q2 = self.critic.forward(self.w_target, s2)[0].min(axis=0)                              # (B, n)
        v2 = (np.exp(log_pi2) * (q2 - alpha * log_pi2)).sum(axis=1)
        y = r + h.gamma * (1 - term) * v2                                   # (B,)
        q, cache = self.critic.forward(self.w, s)                           # (2, B, n)
        q_taken = (q * taken).sum(axis=2)                                   # (2, B)
        critic_loss, dq = losses.stacked_mse(q_taken, y)
        self.critic.backward(self.w, cache, dq[..., None] * taken, self.dw)
        self.critic_optimiser.step(self.dw.flat, h.critic_lr)

        # Actor: with fᵢ = α log πᵢ − Qᵢ,  ∂/∂zⱼ Σᵢ πᵢ fᵢ = πⱼ (fⱼ − Σᵢ πᵢ fᵢ); the derivative of log πᵢ itself sums to zero.
        z, net_cache = self.actor.forward(self.theta, s)
        log_pi = kernels.backend.log_softmax(z)
        pi = np.exp(log_pi)
        f = alpha * log_pi - self.critic.forward(self.w, s)[0].min(axis=0)
        mean_f = (pi * f).sum(axis=1, keepdims=True)                        # (B, 1)
        self.actor.backward(self.theta, net_cache, pi * (f - mean_f) / len(s), self.dtheta)
        self.actor_optimiser.step(self.dtheta.flat, h.actor_lr)

        # Temperature: with α = exp(log α),  ∂L/∂log α = α (mean H − H̄).
        entropy = -(pi * log_pi).sum(axis=1).mean()
        if self.config.learn_alpha:
            self.alpha_optimiser.step(alpha * (entropy - h.entropy_target * math.log(self.dist.n)), h.alpha_lr)

        optim.polyak(self.w_target.flat, self.w.flat, h.tau)
        return {"actor_loss": mean_f.mean(), "critic_loss": critic_loss, "entropy": entropy, "alpha": alpha[0], "q": q.mean(),
                "td_error": np.abs(y - q_taken).mean()}

    def value(self, obs, actions):
        """min_k Qₖ(s, a) (B,) for observations (B, O) and actions (B,)."""
        q = self.critic.forward(self.w, kernels.backend.asarray(obs, self.dtype))[0].min(axis=0)
        return kernels.backend.to_numpy(q)[np.arange(len(actions)), actions]

    def keeps(self):
        return {"actor": self.theta.flat, "critic": self.w.flat, "critic_target": self.w_target.flat, "log_alpha": self.log_alpha,
                "actor_optimiser": self.actor_optimiser, "critic_optimiser": self.critic_optimiser,
                "alpha_optimiser": self.alpha_optimiser, "memory": self.memory, "rng": self.rng, "batch_rng": self.batch_rng}
