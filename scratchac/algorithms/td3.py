"""Twin delayed DDPG (Fujimoto, van Hoof & Meger 2018): DDPG with three changes, marked ① ② ③ below.

    y = r + γ(1 − term) min_k Q′ₖ(s′, clip(π′(s′) + clip(ε, ±c), ±1))          critics: L = Σₖ mean ½(Qₖ(s, a) − y)²
    actor: L = −mean Q₁(s, π(s))

① two critics, and the smaller of their targets: the maximum over noisy estimates is biased upwards, the minimum is not
② noise on the target action, own for every row and feature, so that the critic cannot be exploited at a narrow peak
③ the actor and the targets move only every `delay` updates, after the critic has caught up

Actions are in [−1, 1]; π(s) = tanh(network(s)). The two critics are one stacked network, K = 2.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

import kernels
from scratchac import losses, optim
from scratchac.distributions import ActionScale
from scratchac.exploration import NOISES
from scratchac.hyperparameters import Count, NonNegative, OffPolicy, Positive, Schedules, check_off_policy
from scratchac.memory import ReplayBuffer
from scratchac.nn import MLP, Parameters
from scratchac.policies import act
from scratchac.spaces import check_action_box, check_observation_space
from scratchac.state import load_state, state


@dataclass(frozen=True)
class Config(OffPolicy):
    actor_lr: Positive = 1e-3
    """Learning rate of the actor."""
    critic_lr: Positive = 1e-3
    """Learning rate of the critic."""
    delay: Count = 2
    """③ Updates of the critics for each one of the actor and the targets."""
    target_noise: NonNegative = 0.2
    """② σ of the noise on target actions, in units of half the action range."""
    target_noise_clip: NonNegative = 0.5
    """② Largest size of that noise."""
    noise: Literal["gaussian", "ou"] = "gaussian"
    """Exploration noise: independent, or an Ornstein-Uhlenbeck process with inertia."""
    noise_scale: Positive = 0.1
    """σ of the exploration noise, in units of half the action range."""


class TD3:
    """Twin delayed deep deterministic policy gradient. Raises UserError for spaces that are not supported."""

    Config, loop, act, state, load_state = Config, "off-policy", act, state, load_state
    metrics = ("actor_loss", "critic_loss", "q", "td_error", "q_promised", "q_realised")

    def __init__(self, config, observation_space, action_space, seed=0, dtype=np.float32):
        check_observation_space(observation_space)
        check_action_box(action_space, "td3")
        check_off_policy(config)
        self.observation_shape = observation_space.shape
        init_rng, self.rng, self.batch_rng = np.random.default_rng(seed).spawn(3)
        self.config, self.schedules, self.step, self.dtype = config, Schedules(config), 0, dtype
        self.updates, self.actor_loss = np.zeros(1, np.int64), kernels.backend.zeros(1, dtype)      # arrays: they are kept
        self.scale = ActionScale(action_space.low, action_space.high)
        O, A = observation_space.shape[0], self.scale.features
        self.actor = MLP((O, *config.hidden, A), config.activation)
        self.critic = MLP((O + A, *config.hidden, 1), config.activation, stack=(2,))            # ①
        self.theta, self.theta_target, self.dtheta = (Parameters(self.actor.shapes(), dtype) for _ in range(3))
        self.w, self.w_target, self.dw = (Parameters(self.critic.shapes(), dtype) for _ in range(3))
        self.actor.initialise(self.theta, init_rng, config.initialiser)
        self.critic.initialise(self.w, init_rng, config.initialiser)
        self.theta_target.flat[:], self.w_target.flat[:] = self.theta.flat, self.w.flat
        self.actor_optimiser, self.critic_optimiser = optim.Adam(self.theta.flat), optim.Adam(self.w.flat)
        self.memory = ReplayBuffer(config.buffer_size, observation_space, (A,), dtype=dtype)
        self.noise = NOISES[config.noise](config.noise_scale, (config.envs, A))
        self.random, self.to_env, self.restart = self.random_actions, self.scale.to_env, self.noise.restart

    def random_actions(self, rows):
        return self.scale.random(self.rng, rows)

    def pi(self, params, s):
        """π(s) = tanh(network(s)) in [−1, 1], and the network's cache."""
        u, cache = self.actor.forward(params, s)
        return np.tanh(u), cache

    def greedy(self, obs):
        return kernels.backend.to_numpy(self.pi(self.theta, kernels.backend.asarray(obs, self.dtype))[0])

    def sample(self, obs):
        """π(s) + noise, for the N environments of training."""
        return np.clip(self.greedy(obs) + self.noise.sample(self.rng), -1, 1)

    def update(self, batch):
        """One step of the critics and, every `delay` updates, of the actor and the targets; returns the metrics."""
        h = self.schedules(self.step / self.config.steps)
        s, a, r, s2, term = batch                                           # (B, O), (B, A), (B,), (B, O), (B,)

        # Critics: the target is data, computed by the target networks.
        a2, _ = self.pi(self.theta_target, s2)
        eps = kernels.backend.asarray(h.target_noise * self.rng.standard_normal(a2.shape), self.dtype)
        a2 = np.clip(a2 + np.clip(eps, -h.target_noise_clip, h.target_noise_clip), -1, 1)       # ②
        q2 = self.critic.forward(self.w_target, np.concatenate([s2, a2], axis=1))[0][..., 0]    # (2, B)
        y = r + h.gamma * (1 - term) * q2.min(axis=0)                       # ① (B,)
        q, cache = self.critic.forward(self.w, np.concatenate([s, a], axis=1))
        critic_loss, dq = losses.stacked_mse(q[..., 0], y)                  # (2, B)
        self.critic.backward(self.w, cache, dq[..., None], self.dw)
        self.critic_optimiser.step(self.dw.flat, h.critic_lr)
        self.updates += 1

        if self.updates[0] % self.config.delay == 0:                           # ③
            # Actor: L = −mean Q₁(s, π(s)). The chain rule runs through the first critic to its action input.
            pi, actor_cache = self.pi(self.theta, s)                        # (B, A)
            q_pi, cache = self.critic.forward(self.w, np.concatenate([s, pi], axis=1), member=0)
            dq = np.full_like(q_pi, -1 / len(s))
            da = self.critic.backward(self.w, cache, dq, None, input_gradient=True, member=0)[:, s.shape[1]:]
            self.actor.backward(self.theta, actor_cache, da * (1 - pi * pi), self.dtheta)      # tanh′ = 1 − tanh²
            self.actor_optimiser.step(self.dtheta.flat, h.actor_lr)
            self.actor_loss = -q_pi.mean(axis=0)                            # (1,)

            optim.polyak(self.w_target.flat, self.w.flat, h.tau)
            optim.polyak(self.theta_target.flat, self.theta.flat, h.tau)
        return {"actor_loss": self.actor_loss[0], "critic_loss": critic_loss, "q": q.mean(),
                "td_error": np.abs(y - q[..., 0]).mean()}

    def value(self, obs, actions):
        """Q₁(s, a) (B,) for observations (B, O) and actions in [−1, 1] (B, A)."""
        sa = kernels.backend.asarray(np.concatenate([obs, actions], axis=1), self.dtype)
        return kernels.backend.to_numpy(self.critic.forward(self.w, sa, member=0)[0][:, 0])

    def keeps(self):
        return {"actor": self.theta.flat, "actor_target": self.theta_target.flat, "critic": self.w.flat,
                "critic_target": self.w_target.flat, "actor_optimiser": self.actor_optimiser,
                "critic_optimiser": self.critic_optimiser, "noise": self.noise, "memory": self.memory,
                "rng": self.rng, "batch_rng": self.batch_rng, "updates": self.updates, "actor_loss": self.actor_loss}
