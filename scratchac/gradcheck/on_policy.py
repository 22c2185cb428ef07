"""Gradient checks of whole on-policy updates: the step that an agent takes, against the loss that its file states.

With plain gradient steps of size 1 and no clipping, an update moves the parameters by exactly −∇L, through everything in between:
networks, distributions, losses, masks, the other network. Targets and advantages are data, held fixed.
"""

from collections.abc import Callable
from typing import Any, Literal
from unittest.mock import patch

import gymnasium as gym
import numpy as np

from scratchac import losses
from scratchac.algorithms import a2c, actor_critic, ppo, reinforce, reinforce_baseline
from scratchac.gradcheck.differences import Checked, Loss, Rng, check, numerical_gradient
from scratchac.gradcheck.networks import PICTURES, TINY, pictures_for, spaces
from scratchac.optim import SGD
from scratchac.training.memory import Batch

# -- REINFORCE, and the one-step actor-critic ------------------------------------------------------------------------


def _episode(agent: Any, rng: Rng, T: int, terminal: bool = True) -> Batch:
    """T steps of one environment; after the last the state is terminal, or a time limit has cut the episode off."""
    obs, next_obs = rng.standard_normal((2, T, 1, 3))
    last, never = np.eye(T)[:, -1:], np.zeros((T, 1))
    term, trunc = (last, never) if terminal else (never, last)
    actions = np.stack([agent.sample(o) for o in obs])
    return Batch(obs, actions, rng.standard_normal((T, 1)), next_obs, term, trunc, np.arange(T)[:, None])


def _returns(batch: Batch, gamma: float) -> np.ndarray:
    """Gₜ = Σₖ γᵏ rₜ₊ₖ, (T,), each computed as a separate sum."""
    r = batch.rewards[:, 0]
    return np.array([sum(gamma**k * r[t + k] for k in range(len(r) - t)) for t in range(len(r))])


def _update(agent: Any, flat: np.ndarray, batch: Batch) -> np.ndarray:
    before = flat.copy()
    agent.update(batch)
    grad = before - flat
    flat[:] = before
    return grad


@check("REINFORCE update, with γᵗ", "γᵗ forgotten")
def _(rng: Rng) -> Checked:
    """L = −Σₜ γᵗ Gₜ log π(aₜ|sₜ), by the parameters θ."""
    loss, flat, grad = _reinforce(rng, discount_actor=True)
    return loss, flat, grad, numerical_gradient(lambda: loss(1.0), flat)


@check("REINFORCE update, episode cut off by a time limit", "mean over the steps instead of their sum")
def _(rng: Rng) -> Checked:
    """L = −Σₜ Gₜ log π(aₜ|sₜ), by the parameters θ."""
    loss, flat, grad = _reinforce(rng, terminal=False)
    return loss, flat, grad, grad / 6


def _reinforce(rng: Rng, terminal: bool = True,
               discount_actor: bool = False) -> tuple[Callable[..., float], np.ndarray, np.ndarray]:
    """The loss as a function of the γ in γᵗ, the parameters, and the update."""
    config = reinforce.Config(hidden=(5,), optimiser="sgd", lr=1.0, gamma=0.9, discount_actor=discount_actor)
    agent = reinforce.Reinforce(config, *spaces(True), seed=1, dtype=np.float64)
    agent.params.flat[:] += 0.3 * rng.standard_normal(agent.params.flat.size)
    batch = _episode(agent, rng, 6, terminal)
    g = _returns(batch, 0.9)

    def loss(discount: float = 0.9 if discount_actor else 1.0) -> float:
        logp, _, _ = agent.dist.evaluate(agent.net.forward(agent.params, batch.obs[:, 0])[0], batch.actions[:, 0])
        return -float((discount ** np.arange(6) * g * logp).sum())

    flat = agent.params.flat
    return loss, flat, _update(agent, flat, batch)


@check("REINFORCE with a baseline, update", "gradient through the baseline in the actor's loss")
def _(rng: Rng) -> Checked:
    """L = −Σₜ (Gₜ − b(sₜ)) log π(aₜ|sₜ) + mean ½(V(sₜ) − Gₜ)², b = V as data, by all parameters."""
    loss, flat, grad = _reinforce_baseline(rng)
    return loss, flat, grad, numerical_gradient(lambda: loss(through=True), flat)


@check("REINFORCE with a baseline, with γᵗ, Huber, cut off by a time limit", "γᵗ forgotten")
def _(rng: Rng) -> Checked:
    """L = −Σₜ γᵗ (Gₜ − b(sₜ)) log π(aₜ|sₜ) + Huber's loss of V(sₜ) − Gₜ, b = V as data, by all parameters."""
    loss, flat, grad = _reinforce_baseline(rng, terminal=False, discount_actor=True, value_loss="huber")
    return loss, flat, grad, numerical_gradient(lambda: loss(discount=1.0), flat)


def _reinforce_baseline(rng: Rng, terminal: bool = True, discount_actor: bool = False,
                        value_loss: Literal["mse", "huber"] = "mse") -> tuple[Callable[..., float], np.ndarray, np.ndarray]:
    """The loss, with the γ in γᵗ and whether the baseline is differentiated, the parameters, and the update."""
    config = reinforce_baseline.Config(hidden=(5,), optimiser="sgd", actor_lr=1.0, critic_lr=1.0, gamma=0.9,
                                       discount_actor=discount_actor, value_loss=value_loss)
    agent = reinforce_baseline.ReinforceBaseline(config, *spaces(True), seed=1, dtype=np.float64)
    agent.model.flat[:] += 0.3 * rng.standard_normal(agent.model.flat.size)
    batch = _episode(agent, rng, 6, terminal)
    s, g = batch.obs[:, 0], _returns(batch, 0.9)
    if not terminal:                                                        # data: V of the state behind the last step
        g += 0.9 ** np.arange(6, 0, -1) * agent.model.value(batch.next_obs[-1])[0, 0]
    b = agent.model.value(s)[:, 0].copy()

    def loss(through: bool = False, discount: float = 0.9 if discount_actor else 1.0) -> float:
        y, v, _ = agent.model.forward(s)
        logp, _, _ = agent.dist.evaluate(y, batch.actions[:, 0])
        adv = discount ** np.arange(6) * (g - (v[:, 0] if through else b))
        return -float((adv * logp).sum()) + float(losses.VALUE_LOSSES[value_loss](v[:, 0], g)[0])

    flat = agent.model.flat
    return loss, flat, _update(agent, flat, batch)


@check("one-step actor-critic, both steps", "δ missing in the actor's step")
def _(rng: Rng) -> Checked:
    """L = −γᵗ δ log π(a|s) + ½(target − V(s))², δ and the target as data, by all parameters."""
    config = actor_critic.Config(hidden=(5,), activation="tanh", actor_lr=1.0, critic_lr=1.0, gamma=0.9)
    agent = actor_critic.ActorCritic(config, *spaces(True), seed=1, dtype=np.float64)
    agent.model.flat[:] += 0.3 * rng.standard_normal(agent.model.flat.size)
    t = 3
    batch = _episode(agent, rng, 1)._replace(term=np.zeros((1, 1)), t=np.full((1, 1), t))
    s, s2, r = batch.obs[0], batch.next_obs[0], batch.rewards[0, 0]
    target = float(r + 0.9 * agent.model.value(s2)[0, 0])                   # data: a semi-gradient
    delta = target - float(agent.model.value(s)[0, 0])

    def loss(weight: float = delta) -> float:
        y, v, _ = agent.model.forward(s)
        logp, _, _ = agent.dist.evaluate(y, batch.actions[0])
        return float(-(0.9**t) * weight * logp[0] + 0.5 * (target - v[0, 0]) ** 2)

    flat = agent.model.flat
    return loss, flat, _update(agent, flat, batch), numerical_gradient(lambda: loss(1.0), flat)


# -- A2C and PPO -----------------------------------------------------------------------------------------------------


def _a2c_check(rng: Rng, spaces: Callable[[], tuple[Any, Any]], mistake: str, **options: Any) -> Checked:
    """With plain gradient steps of size 1 and no clipping, an update moves the parameters by exactly −∇L."""
    observation_space, action_space = spaces()
    # tanh: smooth everywhere. A state-dependent log σ of about 0 keeps the check well conditioned.
    config = a2c.Config(envs=3, rollout=4, hidden=(5,), optimiser="sgd", actor_lr=1.0, critic_lr=1.0, max_grad_norm=0.0,
                    entropy_coef=0.2, value_coef=0.5, **options)
    agent: Any = a2c.A2C(config, observation_space, action_space, seed=1, dtype=np.float64)
    agent.model.flat[:] += 0.3 * rng.standard_normal(agent.model.flat.size)
    O = observation_space.shape[0]
    obs, next_obs = rng.standard_normal((2, 4, 3, O))
    if config.action_mask:
        obs[..., -agent.dist.outputs:] = _masks(rng, (4, 3), agent.dist.sizes)
    actions, rewards = np.stack([agent.sample(o) for o in obs]), rng.standard_normal((4, 3))
    term, trunc = (rng.random((2, 4, 3)) < 0.2).astype(float)
    batch = Batch(obs, actions, rewards, next_obs, term, trunc, np.zeros((4, 3), int))
    h = agent.schedules(0)
    s, s2, a = obs.reshape(12, O), next_obs.reshape(12, O), batch.actions.reshape(12, *agent.dist.action_shape)
    # Targets and advantages are data: computed once, at the parameters before the update.
    target, adv = agent.estimate(batch.rewards, agent.model.value(s), agent.model.value(s2), a, batch, h)

    def loss(entropy_sign: int = 1) -> float:
        y, v, _ = agent.model.forward(s)
        logp, entropy, _ = agent.dist.evaluate(y, a)
        return (losses.policy_gradient(logp, adv)[0] + entropy_sign * losses.entropy_bonus(entropy, h.entropy_coef)[0]
                + h.value_coef * agent.critic_loss(v, target, a)[0])

    before = agent.model.flat.copy()
    agent.update(batch)
    grad = before - agent.model.flat
    agent.model.flat[:] = before
    if mistake == "entropy":
        spoilt = numerical_gradient(lambda: loss(-1), agent.model.flat)
    elif mistake == "mask":
        agent.model.masked = None
        spoilt = numerical_gradient(loss, agent.model.flat)
        agent.model.masked = agent.masked
    else:                                                                   # differentiate the bootstrap V(s′) as well
        def leaky() -> float:
            moved, _ = agent.estimate(batch.rewards, agent.model.value(s), agent.model.value(s2), a, batch, h)
            return h.value_coef * agent.critic_loss(agent.model.value(s), moved, a)[0]
        spoilt = numerical_gradient(leaky, agent.model.flat)
    return loss, agent.model.flat, grad, spoilt


def _masks(rng: Rng, shape: tuple[int, ...], sizes: tuple[int, ...]) -> np.ndarray:
    """Masks (…, n) of factors with so many choices, each with one legal choice or more."""
    masks = [np.maximum(np.eye(n)[rng.integers(n, size=shape)], rng.random((*shape, n)) < 0.5) for n in sizes]
    return np.concatenate(masks, axis=-1)


def _factors(features: int = 3) -> tuple[Any, Any]:
    return gym.spaces.Box(-np.inf, np.inf, (features,), np.float64), gym.spaces.MultiDiscrete([3, 2])


@check("A2C update, discrete, two networks", "entropy bonus with the wrong sign")
def _(rng: Rng) -> Checked:
    """L = −mean Â log π(a|s) − β mean H + c_v mean ½(V(s) − target)², Â and targets as data, by all parameters."""
    return _a2c_check(rng, lambda: spaces(True), "entropy")


@check("A2C update, discrete, shared body", "gradient through the target")
def _(rng: Rng) -> Checked:
    """L = −mean Â log π(a|s) − β mean H + c_v mean ½(V(s) − target)², Â and targets as data, by all parameters."""
    return _a2c_check(rng, lambda: spaces(True), "target", shared_body=True)


@check("A2C update, Gaussian, shared body", "entropy bonus with the wrong sign")
def _(rng: Rng) -> Checked:
    """L = −mean Â log π(a|s) − β mean H + c_v mean ½(V(s) − target)², Â and targets as data, by all parameters."""
    return _a2c_check(rng, lambda: spaces(False), "entropy", shared_body=True)


@check("A2C update, Gaussian, σ(s)", "entropy bonus with the wrong sign")
def _(rng: Rng) -> Checked:
    """L = −mean Â log π(a|s) − β mean H + c_v mean ½(V(s) − target)², Â and targets as data, by all parameters."""
    return _a2c_check(rng, lambda: spaces(False), "entropy", state_dependent_std=True)


@check("A2C update, Gaussian, log π of the clipped action", "entropy bonus with the wrong sign")
def _(rng: Rng) -> Checked:
    """L = −mean Â log π(a|s) − β mean H + c_v mean ½(V(s) − target)², Â and targets as data, by all parameters."""
    return _a2c_check(rng, lambda: spaces(False), "entropy", clipped_log_prob=True)


@check("A2C update, A = Q − V, Huber", "gradient through the target")
def _(rng: Rng) -> Checked:
    """L = −mean Â log π(a|s) − β mean H + c_v Huber's loss of V(s) and of Q(s, a), Â and targets as data, by all parameters."""
    return _a2c_check(rng, lambda: spaces(True), "target", advantage="qv", value_loss="huber")


@check("A2C update, illegal actions masked, two networks", "mask forgotten")
def _(rng: Rng) -> Checked:
    """L = −mean Â log π(a|s) − β mean H + c_v mean ½(V(s) − target)², Â and targets as data, by all parameters."""
    return _a2c_check(rng, lambda: spaces(True, 5), "mask", action_mask=True)


@check("A2C update, illegal actions masked, shared body", "mask forgotten")
def _(rng: Rng) -> Checked:
    """L = −mean Â log π(a|s) − β mean H + c_v mean ½(V(s) − target)², Â and targets as data, by all parameters."""
    return _a2c_check(rng, lambda: spaces(True, 5), "mask", action_mask=True, shared_body=True)


@check("A2C update, several discrete numbers, shared body", "entropy bonus with the wrong sign")
def _(rng: Rng) -> Checked:
    """L = −mean Â log π(a|s) − β mean H + c_v mean ½(V(s) − target)², Â and targets as data, by all parameters."""
    return _a2c_check(rng, _factors, "entropy", shared_body=True)


@check("A2C update, illegal choices of two factors masked", "mask forgotten")
def _(rng: Rng) -> Checked:
    """L = −mean Â log π(a|s) − β mean H + c_v mean ½(V(s) − target)², Â and targets as data, by all parameters."""
    return _a2c_check(rng, lambda: _factors(7), "mask", action_mask=True)


def _ppo_check(rng: Rng, spoil: Callable[[Any, Any], np.ndarray], features: int = 3, actions: Any = None,
               **options: Any) -> Checked:
    """A step on a minibatch with ratios below, inside and above the clip; `spoil` takes the agent and the loss."""
    config = ppo.Config(envs=1, rollout=8, batch_size=8, hidden=(5,), lr=1.0, max_grad_norm=0.0, entropy_coef=0.1, **options)
    observations, three = spaces(True, features)
    agent = ppo.PPO(config, observations, actions or three, seed=1, dtype=np.float64)
    agent.optimiser = SGD(agent.model.flat)
    agent.model.flat[:] += 0.3 * rng.standard_normal(agent.model.flat.size)
    s, v_old, h = rng.standard_normal((8, features)), rng.standard_normal(8), agent.schedules(0)
    if config.action_mask:
        s[:, -3:] = _masks(rng, (8,), (3,))
    a = agent.sample(s)
    ratio, adv = np.tile([0.5, 0.9, 1.1, 1.7], 2), np.repeat([1.0, -1.0], 4) * rng.uniform(0.5, 2, 8)
    logp_old = agent.dist.evaluate(agent.model.policy(s), a)[0] - np.log(ratio)
    scaled = (adv - adv.mean()) / (adv.std() + 1e-8)

    def loss(clip: float = h.clip) -> float:
        y, v, _ = agent.model.forward(s)
        logp, entropy, _ = agent.dist.evaluate(y, a)
        critic = losses.clipped_mse(v[:, 0], v_old, v_old + adv, h.clip_value) if h.clip_value else losses.mse(v[:, 0], v_old + adv)
        return (losses.clipped_surrogate(logp, logp_old, scaled, clip)[0] + losses.entropy_bonus(entropy, h.entropy_coef)[0]
                + h.value_coef * critic[0])

    before = agent.model.flat.copy()
    agent.minibatch_step(s, a, logp_old, v_old, adv, h)
    grad = before - agent.model.flat
    agent.model.flat[:] = before
    return loss, agent.model.flat, grad, spoil(agent, loss)


@check("PPO step, discrete, every cell of the clip", "gradient passed on beyond the clip")
def _(rng: Rng) -> Checked:
    """L = −mean min(ρÂ, clip(ρ)Â) − β mean H + c_v mean ½(V(s) − target)², Â and targets as data, by all parameters."""
    return _ppo_check(rng, lambda agent, loss: numerical_gradient(lambda: loss(np.inf), agent.model.flat))


@check("PPO step, clipped values", "gradient passed on beyond the clip")
def _(rng: Rng) -> Checked:
    """L = −mean min(ρÂ, clip(ρ)Â) − β mean H + c_v · the clipped value loss, Â and targets as data, by all parameters."""
    return _ppo_check(rng, lambda agent, loss: numerical_gradient(lambda: loss(np.inf), agent.model.flat), clip_value=0.3)


@check("PPO step, several discrete numbers", "gradient passed on beyond the clip")
def _(rng: Rng) -> Checked:
    """L = −mean min(ρÂ, clip(ρ)Â) − β mean H + c_v mean ½(V(s) − target)², Â and targets as data, by all parameters."""
    return _ppo_check(rng, lambda agent, loss: numerical_gradient(lambda: loss(np.inf), agent.model.flat),
                      actions=gym.spaces.MultiDiscrete([3, 2]))


@check("PPO step, illegal actions masked", "mask forgotten")
def _(rng: Rng) -> Checked:
    """L = −mean min(ρÂ, clip(ρ)Â) − β mean H + c_v mean ½(V(s) − target)², Â and targets as data, by all parameters."""
    def spoil(agent: Any, loss: Loss) -> np.ndarray:
        agent.model.masked = None
        spoilt = numerical_gradient(loss, agent.model.flat)
        agent.model.masked = agent.masked
        return spoilt

    return _ppo_check(rng, spoil, features=5, action_mask=True)


@check("PPO step from pictures: both losses, one encoder", "encoder trained by the critic alone")
def _(rng: Rng) -> Checked:
    """L = −mean min(ρÂ, clip(ρ)Â) − β mean H + c_v mean ½(V(s) − target)², Â and targets as data, by all parameters."""
    config = ppo.Config(envs=1, rollout=6, batch_size=6, hidden=(5,), lr=1.0, max_grad_norm=0.0, entropy_coef=0.1)
    with patch.object(ppo, "encoder_for", lambda space: TINY):
        agent: Any = ppo.PPO(config, PICTURES, gym.spaces.Discrete(3), seed=1, dtype=np.float64)
    agent.optimiser = SGD(agent.model.flat)
    agent.model.flat[:] += 0.3 * rng.standard_normal(agent.model.flat.size)
    s = pictures_for(rng, TINY, agent.model.phi, 6)
    a, v_old, h = rng.integers(3, size=6), rng.standard_normal(6), agent.schedules(0)
    adv = rng.standard_normal(6)
    logp_old = agent.dist.evaluate(agent.model.policy(s), a)[0] - rng.uniform(-0.1, 0.1, 6)
    scaled = (adv - adv.mean()) / (adv.std() + 1e-8)

    def loss(actor: int = 1) -> float:
        y, v, _ = agent.model.forward(s)
        logp, entropy, _ = agent.dist.evaluate(y, a)
        return (actor * losses.clipped_surrogate(logp, logp_old, scaled, h.clip)[0]
                + actor * losses.entropy_bonus(entropy, h.entropy_coef)[0]
                + h.value_coef * losses.mse(v[:, 0], v_old + adv)[0])

    before = agent.model.flat.copy()
    agent.minibatch_step(s, a, logp_old, v_old, adv, h)
    grad = before - agent.model.flat
    agent.model.flat[:] = before
    phi = agent.model.phi.flat.size
    spoilt = np.concatenate([numerical_gradient(lambda: loss(0), agent.model.phi.flat), grad[phi:]])
    return loss, agent.model.flat, grad, spoilt
