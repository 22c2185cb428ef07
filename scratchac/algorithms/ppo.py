"""Proximal policy optimisation with a clipped objective (Schulman et al. 2017): several passes over one rollout.

N environments take T steps, as for A2C. Advantages Â (GAE) and target = Â + V are computed once. Then the agent passes `epochs`
times over the rows in random order and takes a gradient step for each minibatch on

    L = −mean min(ρ Â, clip(ρ, 1 − ε, 1 + ε) Â) − β mean H(π(·|s)) + c_v mean ½(V(s) − target)²,      ρ = π(a|s) / π_old(a|s)

In the first minibatch ρ = 1, and the gradient is A2C's with normalised advantages. Later minibatches may move ρ by about ε in the
direction that increases the objective: beyond that, the gradient of the surrogate is zero for that row.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from numpy.typing import DTypeLike

from scratchac import losses, optim, returns
from scratchac.algorithms.config import Count, NonNegative, Normalising, Positive, Rounds
from scratchac.algorithms.plumbing import VectorisedAgent
from scratchac.algorithms.search import Choice, LogUniform, Space
from scratchac.environments.spaces import encoder_for, is_picture
from scratchac.errors import UserError
from scratchac.policies import Behaviour, Model, SeparateBodies, SharedEncoder
from scratchac.training import compiled, compiled_rollouts
from scratchac.training.agent import FastPath, Metrics
from scratchac.training.memory import Batch


@dataclass(frozen=True)
class Config(Normalising):
    """Hyperparameters of PPO."""

    rollout: Count = 256
    """Steps of each environment between updates (T)."""
    epochs: Rounds = 10
    """Passes over each rollout."""
    batch_size: Count = 64
    """Transitions in a minibatch (B)."""
    clip: Positive = 0.2
    """ε: the ratio of the new to the old probability of an action is clipped to [1 − ε, 1 + ε]."""
    clip_value: NonNegative = 0.0
    """How far V may move from its old value in an update before its loss is clipped; 0 switches this off."""
    target_kl: NonNegative = 0.0
    """Make no further pass once the estimated KL divergence from the old policy is larger than this; 0 switches this off."""
    lr: Positive = 3e-4
    """Learning rate of actor and critic; the optimiser is Adam."""
    initial_std: Positive = 1.0
    """Continuous actions: initial σ, unless σ depends on the state; of a schedule, its start."""

    SEARCH: ClassVar[Space] = {
        "rollout": Choice(32, 64, 128, 256, 512), "epochs": Choice(4, 10, 20), "batch_size": Choice(32, 64, 128, 256),
        "clip": Choice(0.1, 0.2, 0.3), "lr": LogUniform(1e-5, 1e-2)}


class PPO(VectorisedAgent[Config]):
    """Proximal policy optimisation. Raises UserError for unsupported spaces and for minibatches larger than a rollout."""

    config_class = Config
    metrics = ("actor_loss", "critic_loss", "entropy", "grad_norm", "kl", "clipped", "value")
    model: Model

    def __init__(self, config: Config, observation_space: gym.Space, action_space: gym.Space, seed: Any = 0,
                 dtype: DTypeLike = np.float32):
        super().__init__(config, observation_space, action_space, dtype, pictures=True)
        if config.batch_size > config.envs * config.rollout:
            raise UserError(f"--batch-size {config.batch_size} is more than the {config.envs * config.rollout} rows of a rollout "
                            f"(--envs {config.envs} × --rollout {config.rollout})")
        init_rng, self.rng, self.batch_rng = np.random.default_rng(seed).spawn(3)
        if is_picture(observation_space):
            self.model = SharedEncoder(encoder_for(observation_space), self.dist, 1, config, init_rng, dtype)
        else:
            self.model = SeparateBodies(self.observation_shape[0], self.dist, 1, config, init_rng, dtype, self.masked)
        if self.dist.constants:
            self.model.networks().theta["constants"][:] = math.log(self.schedules(0).initial_std)
        self.optimiser: optim.Optimiser = optim.Adam(self.model.flat, eps=1e-5)
        self.behaviour = Behaviour(self.dist, self.model.policy, self.rng, self.normaliser, dtype)
        self.horizon = config.rollout

    def fast_path(self, envs: Any = None) -> FastPath | None:
        """With these options a backend may have compiled code that does the same as `learn` or `update` (training/compiled.py)."""
        if self.config.clip_value != 0:
            return None
        return compiled_rollouts.loop("ppo_update", self, envs) or compiled.whole_update("ppo_update", "learn", self)

    def update(self, batch: Batch) -> Metrics:
        """All epochs on a Batch of (T, N) transitions; returns the means of the minibatches' metrics."""
        h = self.schedules(self.step / self.config.steps)
        B = batch.rewards.size                                                       # T·N
        s, s2 = (self.behaviour.see(x).reshape(B, *x.shape[2:]) for x in (batch.obs, batch.next_obs))
        a = batch.actions.reshape(B, *self.dist.action_shape)
        r = self.scaler(batch.rewards, batch.done, h.gamma) if self.scaler else batch.rewards       # (T, N)
        rows = s, s2, a, r, batch.term, batch.done, h
        metrics = compiled.ppo_update(self, *rows) if self.fast_path() else self.learn(*rows)
        if self.normaliser:                     # after the learning step: acting and learning use the same scale
            self.normaliser.update(batch.obs.reshape(B, -1))
        self.step += B
        return metrics

    def learn(self, s: np.ndarray, s2: np.ndarray, a: np.ndarray, r: np.ndarray, term: np.ndarray, done: np.ndarray,
              h: Config) -> Metrics:
        """All epochs on B = T·N rows s (B, …), s2, a, with r, term, done (T, N); returns the means of the minibatches' metrics."""
        B = len(s)
        # These are data: the old policy's log-probabilities and values, and the advantages.
        y, v, _ = self.model.forward(s)                                              # (B, outputs), (B, 1)
        logp = self.dist.evaluate(y, a)[0].astype(self.dtype)                        # (B,)
        v, v2 = v[:, 0], self.model.value(s2)[:, 0]
        adv = returns.gae(r, v.reshape(r.shape), v2.reshape(r.shape), term, done, h.gamma, h.lam)
        adv = adv.ravel().astype(self.dtype)

        seen = []
        for _ in range(self.config.epochs):
            order = self.batch_rng.permutation(B)
            for start in range(0, B, self.config.batch_size):
                rows = order[start : start + self.config.batch_size]
                seen.append(self.minibatch_step(s[rows], a[rows], logp[rows], v[rows], adv[rows], h))
            if 0 < h.target_kl < seen[-1]["kl"]:
                break
        return {name: float(np.mean([metrics[name] for metrics in seen])) for name in self.metrics}

    def minibatch_step(self, s: np.ndarray, a: np.ndarray, logp_old: np.ndarray, v_old: np.ndarray, adv: np.ndarray, h: Config,
                       gradient: Callable[..., Metrics] | None = None) -> Metrics:
        """One gradient step on a minibatch, by `gradient` or a function that does the same; returns its metrics."""
        target = v_old + adv
        if len(adv) > 1:                        # the mean in float64: equal advantages must become 0
            adv = ((adv - adv.mean(dtype=np.float64)) / (adv.std() + 1e-8)).astype(adv.dtype)
        metrics = (gradient or self.gradient)(s, a, logp_old, v_old, adv, target, h)
        metrics["grad_norm"] = optim.clip_global_norm(self.model.grad, h.max_grad_norm)
        self.optimiser.step(self.model.grad, h.lr)
        return metrics

    def gradient(self, s: np.ndarray, a: np.ndarray, logp_old: np.ndarray, v_old: np.ndarray, adv: np.ndarray, target: np.ndarray,
                 h: Config) -> Metrics:
        """Fill `model.grad` with ∂L for a minibatch; returns metrics."""
        y, v, cache = self.model.forward(s)
        logp, entropy, dist_cache = self.dist.evaluate(y, a)
        actor_loss, dlogp = losses.clipped_surrogate(logp, logp_old, adv, h.clip)
        _, dentropy = losses.entropy_bonus(entropy, h.entropy_coef)
        critic_loss, dv = losses.mse(v[:, 0], target) if h.clip_value == 0 else \
            losses.clipped_mse(v[:, 0], v_old, target, h.clip_value)
        self.model.backward(cache, self.dist.backward(dist_cache, dlogp, dentropy), h.value_coef * dv[:, None])
        log_ratio = logp - logp_old
        ratio = np.exp(log_ratio)
        return {"actor_loss": actor_loss, "critic_loss": critic_loss, "entropy": entropy.mean(), "value": v.mean(),
                "kl": (ratio - 1 - log_ratio).mean(), "clipped": (np.abs(ratio - 1) > h.clip).mean()}

    def keeps(self) -> dict[str, Any]:
        """Name → what is saved."""
        return {"parameters": self.model.flat, "optimiser": self.optimiser, "normaliser": self.normaliser, "scaler": self.scaler,
                "rng": self.rng, "batch_rng": self.batch_rng}
