"""Advantage actor-critic, synchronous and vectorised (Mnih et al. 2016, without the asynchrony).

N environments take T steps; then the agent takes one gradient step on

    L = −mean[Â log π(a|s)] − β mean H(π(·|s)) + c_v mean ½(V(s) − target)²

where Â and target are data: no gradient flows through them. Batches are (T, N); the losses take them as vectors (B,) with B = T·N.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, cast

import gymnasium as gym
import numpy as np
from numpy.typing import DTypeLike

from scratchac import losses, optim, returns
from scratchac.algorithms.config import Count, NonNegative, Normalising, Positive, Rounds
from scratchac.algorithms.plumbing import VectorisedAgent
from scratchac.algorithms.search import Choice, LogUniform, Space
from scratchac.distributions import Categorical
from scratchac.errors import UserError
from scratchac.policies import Behaviour, SeparateBodies, SharedBody
from scratchac.training import compiled_rollouts
from scratchac.training.agent import FastPath, Metrics
from scratchac.training.memory import Batch


@dataclass(frozen=True)
class Config(Normalising):
    """Hyperparameters of A2C."""

    rollout: Count = 5
    """Steps of each environment between updates (T)."""
    advantage: Literal["gae", "td", "nstep", "mc", "qv"] = "gae"
    """Advantage: gae, GAE(λ); td, TD error; nstep, n-step return − V; mc, return to the rollout's end − V; qv, Q − V."""
    n_step: Count = 5
    """Steps of the estimator nstep, at most those of a rollout; the others do not use it."""
    normalise_advantage: bool = False
    """Shift and scale the advantages of each batch to mean 0 and variance 1."""
    actor_lr: Positive = 7e-4
    """Learning rate of the actor; with --shared-body, of all parameters."""
    critic_lr: Positive = 7e-4
    """Learning rate of the critic; not used with --shared-body."""
    optimiser: Literal["rmsprop", "adam", "sgd"] = "rmsprop"
    """Optimiser of actor and critic."""
    value_loss: Literal["mse", "huber"] = "mse"
    """Loss of the critic: squared error, or Huber's."""
    critic_steps: Rounds = 1
    """Gradient steps of the critic on each batch; not used with --shared-body."""
    kappa: NonNegative = 0.0
    """κ, weight of the critic's proximal term κ‖w − w_old‖²; not used with --shared-body."""
    discount_actor: bool = False
    """Weight the actor's gradient by γᵗ, as in the policy gradient theorem for the discounted start-state objective."""
    shared_body: bool = False
    """Actor and critic are one network with two heads; if off, two networks."""

    SEARCH: ClassVar[Space] = {
        "rollout": Choice(5, 8, 16, 32, 64), "normalise_advantage": Choice(False, True),
        "actor_lr": LogUniform(1e-5, 1e-2), "critic_lr": LogUniform(1e-5, 1e-2)}


class A2C(VectorisedAgent[Config]):
    """Advantage actor-critic. Raises UserError for spaces and options that exclude each other."""

    config_class = Config
    metrics = ("actor_loss", "critic_loss", "entropy", "grad_norm", "value", "advantage_std")

    def __init__(self, config: Config, observation_space: gym.Space, action_space: gym.Space, seed: Any = 0,
                 dtype: DTypeLike = np.float32):
        super().__init__(config, observation_space, action_space, dtype)
        if config.shared_body and (config.critic_steps > 1 or config.kappa != 0):              # nor a schedule of κ
            raise UserError("--critic-steps and --kappa move the critic alone, so they need separate bodies")
        values = 1
        if config.advantage == "qv":
            if not isinstance(self.dist, Categorical):
                raise UserError("--advantage qv estimates Q for every action, so the actions must be Discrete")
            values = 1 + self.dist.n                                                 # [V | Q(·, 1) … Q(·, n)]
        init_rng, self.rng = np.random.default_rng(seed).spawn(2)
        body = SharedBody if config.shared_body else SeparateBodies
        self.model = body(self.observation_shape[0], self.dist, values, config, init_rng, dtype, self.masked)
        self.optimisers = [optim.OPTIMISERS[config.optimiser](self.model.flat[g]) for g in self.model.groups]
        self.behaviour = Behaviour(self.dist, self.model.policy, self.rng, self.normaliser, dtype)
        self.horizon = config.rollout

    def fast_path(self, envs: Any) -> FastPath | None:
        """With these options a backend may have a compiled loop that does the same as `update` (training/compiled.py)."""
        c = self.config
        plain = (c.advantage == "gae" and c.value_loss == "mse" and c.critic_steps == 1 and c.kappa == 0
                 and not (c.normalise_advantage or c.discount_actor or c.shared_body or c.normalise_obs or c.scale_rewards))
        return compiled_rollouts.loop("a2c_gradient", self, envs) if plain else None

    def update(self, batch: Batch) -> Metrics:
        """One gradient step on a Batch of (T, N) transitions; returns the metrics of the update."""
        h = self.schedules(self.step / self.config.steps)
        s, a, target, metrics = self.gradient(batch, h)
        w_old = self.model.flat[self.model.groups[-1]].copy()
        for optimiser, group, lr in zip(self.optimisers, self.model.groups, (h.actor_lr, h.critic_lr), strict=False):
            optimiser.step(self.model.grad[group], lr)
        if not self.config.shared_body:
            self.critic_steps(s, a, target, w_old, h)
        if self.normaliser:                     # after the learning step: acting and learning use the same scale
            self.normaliser.update(batch.obs.reshape(s.shape))
        self.step += len(s)
        return metrics

    def gradient(self, batch: Batch, h: Config) -> tuple[np.ndarray, np.ndarray, np.ndarray, Metrics]:
        """Fill `model.grad` with ∂L, clipped; returns s (B, O), a, the critic's targets (B,), and metrics."""
        rows = batch.rewards.size                                                    # B = T·N
        s, s2 = (self.behaviour.see(x).reshape(rows, -1) for x in (batch.obs, batch.next_obs))      # (B, O)
        a = batch.actions.reshape(rows, *self.dist.action_shape)
        r = self.scaler(batch.rewards, batch.done, h.gamma) if self.scaler else batch.rewards       # (T, N)

        y, v, cache = self.model.forward(s)                                          # (B, outputs), (B, values)
        target, adv = self.estimate(r, v, self.model.value(s2), a, batch, h)         # (B,), (B,)
        if h.normalise_advantage and rows > 1:                  # the mean in float64: equal advantages must become 0
            adv = ((adv - adv.mean(dtype=np.float64)) / (adv.std() + 1e-8)).astype(adv.dtype)
        if h.discount_actor:
            adv = adv * h.gamma ** batch.t.ravel().astype(self.dtype)

        logp, entropy, dist_cache = self.dist.evaluate(y, a)
        actor_loss, dlogp = losses.policy_gradient(logp, adv)
        _, dentropy = losses.entropy_bonus(entropy, h.entropy_coef)
        critic_loss, dv = self.critic_loss(v, target, a)
        self.model.backward(cache, self.dist.backward(dist_cache, dlogp, dentropy), h.value_coef * dv)
        grad_norm = optim.clip_global_norm(self.model.grad, h.max_grad_norm)

        metrics = {"actor_loss": actor_loss, "critic_loss": critic_loss, "entropy": float(entropy.mean()), "grad_norm": grad_norm,
                   "value": float(v[:, 0].mean()), "advantage_std": float(adv.std())}
        return s, a, target, metrics

    def estimate(self, r: np.ndarray, v: np.ndarray, v2: np.ndarray, a: np.ndarray, batch: Batch,
                 h: Config) -> tuple[np.ndarray, np.ndarray]:
        """The critic's target and the advantage Â, both (B,), from (T, N) rewards and values at s and s′."""
        q_v, v, v2 = v, v[:, 0].reshape(r.shape), v2[:, 0].reshape(r.shape)
        if h.advantage == "td":
            target = returns.td_target(r, v2, batch.term, h.gamma)
        elif h.advantage == "nstep":
            target = returns.n_step(r, v2, batch.term, batch.done, h.gamma, h.n_step)
        elif h.advantage == "mc":
            target = returns.monte_carlo(r, v2, batch.term, batch.done, h.gamma)
        else:
            target = v + returns.gae(r, v, v2, batch.term, batch.done, h.gamma, h.lam)
        target = target.ravel()
        if h.advantage == "qv":
            return target, q_v[np.arange(len(a)), 1 + a] - v.ravel()        # both regress on the same target
        return target, target - v.ravel()

    def critic_loss(self, v: np.ndarray, target: np.ndarray, a: np.ndarray) -> tuple[float, np.ndarray]:
        """Loss and ∂L/∂v for the critic's outputs (B, values): V in column 0 and, for qv, Q(s, a) in column 1 + a."""
        value_loss = losses.VALUE_LOSSES[self.config.value_loss]
        dv = np.zeros_like(v)
        loss, dv[:, 0] = value_loss(v[:, 0], target)
        if self.config.advantage == "qv":
            taken = np.arange(len(a)), 1 + a
            q_loss, dv[taken] = value_loss(v[taken], target)
            loss += q_loss
        return loss, dv

    def critic_steps(self, s: np.ndarray, a: np.ndarray, target: np.ndarray, w_old: np.ndarray, h: Config) -> None:
        """The critic's further steps on the same targets, each followed by the proximal step of κ‖w − w_old‖² towards w_old."""
        model = cast(SeparateBodies, self.model)
        optim.proximal_step(model.w.flat, w_old, h.critic_lr, h.kappa)
        for _ in range(self.config.critic_steps - 1):
            v, cache = model.critic.forward(model.w, s)
            _, dv = self.critic_loss(v, target, a)
            model.critic.backward(model.w, cache, h.value_coef * dv, model.dw)
            optim.clip_global_norm(model.dw.flat, h.max_grad_norm)
            self.optimisers[1].step(model.dw.flat, h.critic_lr)
            optim.proximal_step(model.w.flat, w_old, h.critic_lr, h.kappa)

    def keeps(self) -> dict[str, Any]:
        """Name → what is saved."""
        optimisers = {f"optimiser_{i}": optimiser for i, optimiser in enumerate(self.optimisers)}
        return {"parameters": self.model.flat, "rng": self.rng, "normaliser": self.normaliser, "scaler": self.scaler, **optimisers}
