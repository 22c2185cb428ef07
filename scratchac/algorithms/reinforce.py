"""REINFORCE: Monte-Carlo policy gradient (Williams 1992; Sutton & Barto 2018, section 13.3).

After each episode, one gradient step on L = −Σₜ γᵗ Gₜ log π(Aₜ|Sₜ), whose expected gradient is −∇J exactly.
The sum over the episode is not divided by its length: a mean would weigh a step of a short episode more than one of a long.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from scratchac import losses, optim, returns
from scratchac.hyperparameters import Count, Fraction, Layers, NonNegative, Positive, Schedules
from scratchac.nn import MLP, Parameters
from scratchac.policies import Behaviour
from scratchac.spaces import check_observation_space, make_distribution
from scratchac.state import load_state, state


@dataclass(frozen=True)
class Config:
    steps: Count = 200_000
    """Environment steps in total; schedules run from 0 to here."""
    gamma: Fraction = 0.99
    """Discount factor γ."""
    lr: Positive = 1e-3
    """Learning rate."""
    optimiser: Literal["adam", "rmsprop", "sgd"] = "adam"
    """Optimiser."""
    max_grad_norm: NonNegative = 0.0
    """Largest global gradient norm; 0 switches clipping off."""
    discount_actor: bool = False
    """Weight the gradient by γᵗ. Gₜ discounts from t on; the factor for the t steps before is this one, and most leave it out."""
    hidden: Layers = (64, 64)
    """Hidden layers."""
    activation: Literal["tanh", "relu"] = "tanh"
    """Activation of the hidden layers."""
    initialiser: Literal["orthogonal", "he", "glorot"] = "orthogonal"
    """Initialiser of the weights."""
    state_dependent_std: bool = False
    """Continuous actions: let σ depend on the state."""


class Reinforce:
    """REINFORCE without a baseline. Raises UserError for spaces that are not supported."""

    Config, loop, state, load_state = Config, "on-policy", state, load_state
    metrics = ("actor_loss", "entropy", "grad_norm")
    envs, horizon = 1, None                                                 # one environment, a whole episode per update

    def __init__(self, config, observation_space, action_space, seed=0, dtype=np.float32):
        check_observation_space(observation_space)
        self.dist = make_distribution(action_space, config.state_dependent_std)
        init_rng, action_rng = np.random.default_rng(seed).spawn(2)
        self.config, self.schedules, self.step, self.rng, self.dtype = config, Schedules(config), 0, action_rng, dtype
        outputs, constants = self.dist.outputs, self.dist.constants
        self.net = MLP((observation_space.shape[0], *config.hidden, outputs - constants), config.activation, constants=constants)
        self.params = Parameters(self.net.shapes(), dtype)
        self.grads = self.params.zeros_like()
        self.net.initialise(self.params, init_rng, config.initialiser, output_gain=0.01)
        self.optimiser = optim.OPTIMISERS[config.optimiser](self.params.flat)
        self.behaviour = Behaviour(self.dist, lambda s: self.net.forward(self.params, s)[0], observation_space.shape, action_rng,
                                   dtype=dtype)
        self.act, self.sample, self.to_env = self.behaviour.act, self.behaviour.sample, self.dist.to_env

    def update(self, batch):
        """One gradient step on one episode, a Batch of (T, 1) transitions; returns the metrics of the update."""
        h = self.schedules(self.step / self.config.steps)
        T = len(batch.rewards)
        s = self.behaviour.see(batch.obs[:, 0])                             # (T, O)
        a = batch.actions[:, 0]                                             # (T,) or (T, A)

        # Without a critic nothing can stand in for what a time limit cut off: such returns are too short.
        g = returns.monte_carlo(batch.rewards, np.zeros_like(batch.rewards), batch.term, batch.done, h.gamma)[:, 0]
        weight = h.gamma ** batch.t[:, 0].astype(self.dtype) * g if h.discount_actor else g

        y, cache = self.net.forward(self.params, s)
        logp, entropy, dist_cache = self.dist.evaluate(y, a)
        loss, dlogp = losses.policy_gradient(logp, T * weight)              # T · mean = Σₜ
        self.net.backward(self.params, cache, self.dist.backward(dist_cache, dlogp, np.zeros_like(dlogp)), self.grads)
        grad_norm = optim.clip_global_norm(self.grads.flat, h.max_grad_norm)
        self.optimiser.step(self.grads.flat, h.lr)

        self.step += T
        return {"actor_loss": loss, "entropy": float(entropy.mean()), "grad_norm": grad_norm}

    def keeps(self):
        return {"parameters": self.params.flat, "rng": self.rng, "optimiser": self.optimiser}
