"""Soft actor-critic from pictures: `sac.py` on the features of an encoder (conv.py).

The encoder belongs to the critics: their loss alone trains it, the target critics have a target encoder of their own, and the actor
takes features as data. Each picture is shifted by a few pixels at random. Both follow Kostrikov et al. (2021), whose actor shares
the convolutions alone and has a linear layer of its own behind them.
"""

import math
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import DTypeLike

from scratchac import losses, optim
from scratchac.algorithms.plumbing import OffPolicyAgent
from scratchac.algorithms.sac import SAC, Config
from scratchac.distributions import TanhGaussian
from scratchac.environments.spaces import check_action_box, encoder_for
from scratchac.nn import MLP, Parameters, side_by_side
from scratchac.training.agent import Metrics
from scratchac.training.memory import Transitions


class PixelSAC(SAC):
    """Soft actor-critic that sees pictures. Raises UserError for spaces that are not supported.

    Encoder and critics share flat vectors [φ | w]: `online` has the parameters, `target` those of the target networks, and `grad`
    the gradient.
    """

    def __init__(self, config: Config, observation_space: gym.Space, action_space: gym.Space, seed: Any = 0,
                 dtype: DTypeLike = np.float32):
        check_action_box(action_space, "sac")
        self.dist = TanhGaussian(action_space.low, action_space.high, config.log_std)  # type: ignore[attr-defined]
        A = self.dist.features
        OffPolicyAgent.__init__(self, config, observation_space, (A,), seed, dtype, pictures=True)
        self.encoder = encoder_for(observation_space)
        self.actor = MLP((self.encoder.features, *config.hidden, self.dist.outputs), config.activation)
        self.critic = MLP((self.encoder.features + A, *config.hidden, 1), config.activation, stack=(2,))
        self.theta, self.dtheta = (Parameters(self.actor.shapes(), dtype) for _ in range(2))
        parts = [self.encoder.shapes(), self.critic.shapes()]
        self.online, (self.phi, self.w) = side_by_side(parts, dtype)
        self.target, (self.phi_target, self.w_target) = side_by_side(parts, dtype)
        self.grad, (self.dphi, self.dw) = side_by_side(parts, dtype)
        self.actor.initialise(self.theta, self.init_rng, config.initialiser)
        self.critic.initialise(self.w, self.init_rng, config.initialiser)
        self.encoder.initialise(self.phi, self.init_rng, config.initialiser)
        self.target[:] = self.online
        self.make_optimisers(self.online)

    def see(self, obs: np.ndarray) -> np.ndarray:
        """Features (B, F) of pictures."""
        return self.encoder.forward(self.phi, self.upload(obs))[0]

    def update(self, batch: Transitions) -> Metrics:
        """One step of the critics with their encoder, the actor, the temperature and the targets; returns the metrics."""
        h = self.schedules(self.step / self.config.steps)
        if not self.config.learn_alpha:
            self.log_alpha[0] = math.log(h.alpha)
        alpha = np.exp(self.log_alpha)                                      # (1,)
        shifted = batch._replace(obs=self.encoder.shift(batch.obs, self.rng), next_obs=self.encoder.shift(batch.next_obs, self.rng))
        s, cache = self.encoder.forward(self.phi, shifted.obs)              # (B, F)
        critic_metrics = self.encoder_step(s, cache, shifted, alpha, h)
        actor_metrics, logp = self.actor_step(s, alpha, h)
        if self.config.learn_alpha:
            self.temperature_step(logp, alpha, h)
        optim.polyak(self.target, self.online, h.tau)
        return critic_metrics | actor_metrics | {"alpha": alpha[0]}

    def encoder_step(self, s: np.ndarray, encoder_cache: Any, batch: Transitions, alpha: np.ndarray, h: Config) -> Metrics:
        """One step of both critics and of the encoder that made the features s (B, F), on the critics' loss of `sac.py`."""
        _, a, r, pictures, term = batch
        s2, s2_target = (self.encoder.forward(phi, pictures)[0] for phi in (self.phi, self.phi_target))
        a2, logp2, _ = self.pi(s2)
        q2 = self.critic.forward(self.w_target, np.concatenate([s2_target, a2], axis=1))[0][..., 0]     # (2, B)
        target = r + h.gamma * (1 - term) * (q2.min(axis=0) - alpha * logp2)                            # (B,)
        q, cache = self.critic.forward(self.w, np.concatenate([s, a], axis=1))
        loss, dq = losses.stacked_mse(q[..., 0], target)                    # (2, B)
        dsa = self.critic.backward(self.w, cache, dq[..., None], self.dw, input_gradient=True)
        self.encoder.backward(self.phi, encoder_cache, dsa.sum(axis=0)[:, : s.shape[1]], self.dphi)
        self.critic_optimiser.step(self.grad, h.critic_lr)
        return {"critic_loss": loss, "q": q.mean(), "td_error": np.abs(target - q[..., 0]).mean()}

    def keeps(self) -> dict[str, Any]:
        """Name → what is saved."""
        return super().keeps() | {"critic": self.online, "critic_target": self.target}
