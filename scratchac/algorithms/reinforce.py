"""REINFORCE: Monte-Carlo policy gradient (Williams 1992; Sutton & Barto 2018, section 13.3).

After each episode it takes one gradient step on L = −Σₜ γᵗ Gₜ log π(Aₜ|Sₜ). If all episodes end in terminal states, the expected
gradient is exactly −∇J. The factor γᵗ is the option `discount_actor`; without it, as is usual, the direction is in general the
gradient of no function (Nota & Thomas 2020). The sum over the episode is not divided by its length: a mean would weight a
step of a short episode more than a step of a long one.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from numpy.typing import DTypeLike

from scratchac import losses, optim, returns
from scratchac.algorithms.config import Episodic, Positive
from scratchac.algorithms.plumbing import OnPolicyAgent
from scratchac.algorithms.search import LogUniform, Space
from scratchac.nn import MLP, Parameters
from scratchac.policies import Behaviour, Networks
from scratchac.training.agent import Metrics
from scratchac.training.memory import Batch


@dataclass(frozen=True)
class Config(Episodic):
    """Hyperparameters of REINFORCE."""

    lr: Positive = 1e-3
    """Learning rate of the policy."""

    SEARCH: ClassVar[Space] = {"lr": LogUniform(1e-5, 1e-2)}


class Reinforce(OnPolicyAgent[Config]):
    """REINFORCE without a baseline. Raises UserError for spaces that are not supported."""

    config_class = Config
    metrics = ("actor_loss", "entropy", "grad_norm")

    def __init__(self, config: Config, observation_space: gym.Space, action_space: gym.Space, seed: Any = 0,
                 dtype: DTypeLike = np.float32):
        super().__init__(config, observation_space, action_space, dtype)
        init_rng, self.rng = np.random.default_rng(seed).spawn(2)
        sizes = self.observation_shape[0], *config.hidden, self.dist.outputs - self.dist.constants
        self.net = MLP(sizes, config.activation, constants=self.dist.constants)
        self.params = Parameters(self.net.shapes(), dtype)
        self.grads = self.params.zeros_like()
        self.net.initialise(self.params, init_rng, config.initialiser, output_gain=0.01)
        self.optimiser = optim.OPTIMISERS[config.optimiser](self.params.flat)
        self.behaviour = Behaviour(self.dist, lambda s: self.net.forward(self.params, s)[0], self.rng, dtype=dtype)

    def update(self, batch: Batch) -> Metrics:
        """One gradient step on one episode, a Batch of (T, 1) transitions; returns the metrics of the update."""
        h = self.schedules(self.step / self.config.steps)
        T = len(batch.rewards)
        s = self.behaviour.see(batch.obs[:, 0])                             # (T, O)
        a = batch.actions[:, 0]                                             # (T,) or (T, A)

        # Without a critic there is no bootstrap at a time limit: the return lacks the rewards that would have followed.
        no_values = np.zeros_like(batch.rewards)
        g = returns.monte_carlo(batch.rewards, no_values, batch.term, batch.done, h.gamma)[:, 0]       # (T,)
        weight = h.gamma ** batch.t[:, 0].astype(self.dtype) * g if h.discount_actor else g

        y, cache = self.net.forward(self.params, s)                         # (T, outputs)
        logp, entropy, dist_cache = self.dist.evaluate(y, a)                # (T,), (T,)
        loss, dlogp = losses.policy_gradient(logp, T * weight)              # T · mean = Σₜ
        self.net.backward(self.params, cache, self.dist.backward(dist_cache, dlogp, np.zeros_like(dlogp)), self.grads)
        grad_norm = optim.clip_global_norm(self.grads.flat, h.max_grad_norm)
        self.optimiser.step(self.grads.flat, h.lr)

        self.step += T
        return {"actor_loss": loss, "entropy": float(entropy.mean()), "grad_norm": grad_norm}

    def networks(self) -> Networks:
        """The actor; there is no critic."""
        return Networks(self.net, self.params, None, None)

    def keeps(self) -> dict[str, Any]:
        """Name → what is saved."""
        return {"parameters": self.params.flat, "rng": self.rng, "optimiser": self.optimiser}
