"""Proximal policy optimisation with a clipped objective (Schulman et al. 2017): several passes over one rollout.

N environments take T steps, as for A2C. Advantages Â (GAE) and targets Q̂ = Â + V are computed once; then `epochs` times over the
rows in random order, a gradient step for each minibatch on

    L = −mean min(ρ Â, clip(ρ, 1 − ε, 1 + ε) Â) − β mean H(π(·|s)) + c_v mean ½(V(s) − Q̂)²,      ρ = π(a|s) / π_old(a|s)

The first minibatch has ρ = 1 and is A2C's step. Later ones may move each action's probability by about ε and not farther: beyond
that the gradient of its row is zero.
"""

import math
from dataclasses import dataclass

import numpy as np

from scratchac import losses, optim, returns
from scratchac.conv import encoder_for, is_picture
from scratchac.errors import UserError
from scratchac.hyperparameters import Count, NonNegative, Normalising, Positive, Schedules
from scratchac.normalise import ObservationNormaliser, RewardScaler
from scratchac.policies import Behaviour, SeparateBodies, SharedEncoder, mask_size
from scratchac.spaces import check_observation_space, make_distribution
from scratchac.state import load_state, state


@dataclass(frozen=True)
class Config(Normalising):
    rollout: Count = 256
    """Steps of each environment between updates (T)."""
    epochs: Count = 10
    """Passes over the rows of a rollout."""
    batch_size: Count = 64
    """Rows in a minibatch."""
    clip: Positive = 0.2
    """ε, how far a ratio of probabilities may go from 1."""
    clip_value: NonNegative = 0.0
    """How far V may go from what it was, in one update; 0 switches this off."""
    target_kl: NonNegative = 0.0
    """Go on to the next rollout once the estimated KL divergence from the old policy is larger; 0 switches this off."""
    lr: Positive = 3e-4
    """Learning rate of both networks (Adam)."""
    initial_std: Positive = 1.0
    """Continuous actions: σ before anything is learnt, unless it depends on the state."""


class PPO:
    """Proximal policy optimisation. Raises UserError for unsupported spaces and for minibatches larger than a rollout."""

    Config, loop, state, load_state = Config, "on-policy", state, load_state
    metrics = ("actor_loss", "critic_loss", "entropy", "grad_norm", "kl", "clipped", "value")

    def __init__(self, config, observation_space, action_space, seed=0, dtype=np.float32):
        check_observation_space(observation_space, pictures=True)
        pictures = is_picture(observation_space)
        if pictures and config.normalise_obs:
            raise UserError("--normalise-obs is for vectors; the encoder of pictures has a scale of its own")
        if config.batch_size > config.envs * config.rollout:
            raise UserError(f"--batch-size {config.batch_size} is more than the {config.envs * config.rollout} rows of a rollout "
                            f"(--envs {config.envs} × --rollout {config.rollout})")
        self.dist = make_distribution(action_space, config.state_dependent_std)
        init_rng, action_rng, self.batch_rng = np.random.default_rng(seed).spawn(3)
        self.config, self.schedules, self.step, self.rng, self.dtype = config, Schedules(config), 0, action_rng, dtype
        masked = mask_size(config, self.dist, observation_space)
        networks = self.dist, 1, config.hidden, config.activation, config.initialiser, init_rng, dtype
        self.model = SharedEncoder(encoder_for(observation_space), *networks) if pictures else \
            SeparateBodies(observation_space.shape[0], *networks, masked)
        if self.dist.constants:
            self.model.theta["constants"][:] = math.log(self.schedules(0).initial_std)
        self.optimiser = optim.Adam(self.model.flat, eps=1e-5)
        self.normaliser = ObservationNormaliser(observation_space.shape) if config.normalise_obs else None
        self.scaler = RewardScaler(config.envs) if config.scale_rewards else None
        self.behaviour = Behaviour(self.dist, self.model.policy, observation_space.shape, action_rng, self.normaliser, dtype)
        self.act, self.sample, self.to_env = self.behaviour.act, self.behaviour.sample, self.dist.to_env
        self.envs, self.horizon = config.envs, config.rollout

    def update(self, batch):
        """All epochs on a Batch of (T, N) transitions; returns the means of the minibatches' metrics."""
        h = self.schedules(self.step / self.config.steps)
        B = batch.rewards.size                                                       # T·N
        s, s2 = (self.behaviour.see(x).reshape(B, *x.shape[2:]) for x in (batch.obs, batch.next_obs))
        a = batch.actions.reshape(B, *self.dist.action_shape)
        r = self.scaler(batch.rewards, batch.done, h.gamma) if self.scaler else batch.rewards

        # Data from here on: what the old policy thought, and what came of it.
        y, v, _ = self.model.forward(s)
        logp = self.dist.evaluate(y, a)[0]                                           # (B,)
        v, v2 = v[:, 0], self.model.value(s2)[:, 0]
        adv = returns.gae(r, v.reshape(r.shape), v2.reshape(r.shape), batch.term, batch.done, h.gamma, h.lam).ravel()
        rollout = s, a, logp.astype(self.dtype), v, adv.astype(self.dtype)

        seen = []
        for _ in range(self.config.epochs):
            order = self.batch_rng.permutation(B)
            for start in range(0, B, self.config.batch_size):
                rows = order[start : start + self.config.batch_size]
                seen.append(self.step_on(*(x[rows] for x in rollout), h))
            if 0 < h.target_kl < seen[-1]["kl"]:
                break

        if self.normaliser:
            self.normaliser.update(batch.obs.reshape(B, -1))
        self.step += B
        return {name: float(np.mean([metrics[name] for metrics in seen])) for name in self.metrics}

    def step_on(self, s, a, logp_old, v_old, adv, h):
        """One gradient step on a minibatch; returns its metrics."""
        target = v_old + adv
        if len(adv) > 1:
            adv = (adv - adv.mean()) / (adv.std() + 1e-8)
        metrics = self.gradient(s, a, logp_old, v_old, adv, target, h)
        metrics["grad_norm"] = optim.clip_global_norm(self.model.grad, h.max_grad_norm)
        self.optimiser.step(self.model.grad, h.lr)
        return metrics

    def gradient(self, s, a, logp_old, v_old, adv, target, h):
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

    def keeps(self):
        return {"parameters": self.model.flat, "optimiser": self.optimiser, "normaliser": self.normaliser, "scaler": self.scaler,
                "rng": self.rng, "batch_rng": self.batch_rng}
