"""Gradient checks of whole updates: the step an agent really takes, against the loss it says it minimises.

With plain gradient steps of size 1 and no clipping, an update moves the parameters by exactly −∇L, through everything that lies
between: networks, distributions, losses, masks, the other network. Targets and advantages are data, held fixed.
"""

from unittest.mock import patch

import gymnasium as gym
import numpy as np

import kernels
from scratchac import losses
from scratchac.algorithms import a2c, ddpg, discrete_sac, ppo, sac, td3
from scratchac.gradcheck import TINY, H, check, encoder_margin, numerical_gradient
from scratchac.memory import Batch, Transitions
from scratchac.optim import SGD


def _a2c_check(rng, spaces, mistake, **options):
    """With plain gradient steps of size 1 and no clipping, an update moves the parameters by exactly −∇L."""
    observation_space, action_space = spaces()
    # tanh: smooth everywhere. A state-dependent log σ of about 0 keeps the check well conditioned.
    config = a2c.Config(envs=3, rollout=4, hidden=(5,), optimiser="sgd", actor_lr=1.0, critic_lr=1.0, max_grad_norm=0.0,
                    entropy_coef=0.2, value_coef=0.5, **options)
    agent = a2c.A2C(config, observation_space, action_space, seed=1, dtype=np.float64)
    agent.model.flat[:] += 0.3 * rng.standard_normal(agent.model.flat.size)
    O = observation_space.shape[0]
    obs, next_obs = rng.standard_normal((2, 4, 3, O))
    if config.action_mask:
        obs[..., -3:] = _masks(rng, (4, 3))
    batch = Batch(obs, np.stack([agent.sample(o) for o in obs]), rng.standard_normal((4, 3)), next_obs,
                  *(rng.random((2, 4, 3)) < 0.2).astype(float), np.zeros((4, 3), int))
    h = agent.schedules(0)
    s, s2, a = obs.reshape(12, O), next_obs.reshape(12, O), batch.actions.reshape(12, *agent.dist.action_shape)
    # Targets and advantages are data: computed once, at the parameters before the update.
    target, adv = agent.estimate(batch.rewards, agent.model.value(s), agent.model.value(s2), a, batch, h)

    def loss(entropy_sign=1):
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
        agent.model.masked = 0
        spoilt = numerical_gradient(loss, agent.model.flat)
        agent.model.masked = 3
    else:                                                                   # differentiate the bootstrap V(s′) as well
        def leaky():
            moved, _ = agent.estimate(batch.rewards, agent.model.value(s), agent.model.value(s2), a, batch, h)
            return h.value_coef * agent.critic_loss(agent.model.value(s), moved, a)[0]
        spoilt = numerical_gradient(leaky, agent.model.flat)
    return loss, agent.model.flat, grad, spoilt


def _masks(rng, shape):
    """Masks of three actions (…, 3): one of them illegal, or two, or none."""
    masks = np.array([[0.0, 1, 1], [1, 0, 1], [1, 1, 0], [0, 0, 1], [1, 1, 1]])
    return masks[rng.permutation(np.arange(np.prod(shape)) % len(masks))].reshape(*shape, 3)


def _spaces(discrete, features=3):
    box = gym.spaces.Box(-1, 1, (features,), np.float64)
    return box, gym.spaces.Discrete(3) if discrete else gym.spaces.Box(-1, 1, (2,), np.float64)


@check("A2C update, discrete, two networks", "entropy bonus with the wrong sign")
def _(rng):
    return _a2c_check(rng, lambda: _spaces(True), "entropy")


@check("A2C update, discrete, shared body", "gradient through the target")
def _(rng):
    return _a2c_check(rng, lambda: _spaces(True), "target", shared_body=True)


@check("A2C update, Gaussian, shared body", "entropy bonus with the wrong sign")
def _(rng):
    return _a2c_check(rng, lambda: _spaces(False), "entropy", shared_body=True)


@check("A2C update, Gaussian, σ(s)", "entropy bonus with the wrong sign")
def _(rng):
    return _a2c_check(rng, lambda: _spaces(False), "entropy", state_dependent_std=True)


@check("A2C update, A = Q − V, Huber", "gradient through the target")
def _(rng):
    return _a2c_check(rng, lambda: _spaces(True), "target", advantage="qv", value_loss="huber")


@check("A2C update, illegal actions masked, two networks", "mask forgotten")
def _(rng):
    return _a2c_check(rng, lambda: _spaces(True, 5), "mask", action_mask=True)


@check("A2C update, illegal actions masked, shared body", "mask forgotten")
def _(rng):
    return _a2c_check(rng, lambda: _spaces(True, 5), "mask", action_mask=True, shared_body=True)


def _ppo_check(rng, spoil, features=3, **options):
    """A step on a minibatch in which every ratio lies where it should; `spoil` takes the agent and the loss."""
    config = ppo.Config(envs=1, rollout=8, batch_size=8, hidden=(5,), lr=1.0, max_grad_norm=0.0, entropy_coef=0.1, **options)
    agent = ppo.PPO(config, *_spaces(True, features), seed=1, dtype=np.float64)
    agent.optimiser = SGD(agent.model.flat)
    agent.model.flat[:] += 0.3 * rng.standard_normal(agent.model.flat.size)
    s, v_old, h = rng.standard_normal((8, features)), rng.standard_normal(8), agent.schedules(0)
    if config.action_mask:
        s[:, -3:] = _masks(rng, (8,))
    a = agent.sample(s)
    ratio, adv = np.tile([0.5, 0.9, 1.1, 1.7], 2), np.repeat([1.0, -1.0], 4) * rng.uniform(0.5, 2, 8)
    logp_old = agent.dist.evaluate(agent.model.policy(s), a)[0] - np.log(ratio)
    scaled = (adv - adv.mean()) / (adv.std() + 1e-8)

    def loss(clip=h.clip):
        y, v, _ = agent.model.forward(s)
        logp, entropy, _ = agent.dist.evaluate(y, a)
        return (losses.clipped_surrogate(logp, logp_old, scaled, clip)[0] + losses.entropy_bonus(entropy, h.entropy_coef)[0]
                + h.value_coef * losses.mse(v[:, 0], v_old + adv)[0])

    before = agent.model.flat.copy()
    agent.step_on(s, a, logp_old, v_old, adv, h)
    grad = before - agent.model.flat
    agent.model.flat[:] = before
    return loss, agent.model.flat, grad, spoil(agent, loss)


@check("PPO step, discrete, every cell of the clip", "gradient passed on beyond the clip")
def _(rng):
    return _ppo_check(rng, lambda agent, loss: numerical_gradient(lambda: loss(np.inf), agent.model.flat))


@check("PPO step, illegal actions masked", "mask forgotten")
def _(rng):
    def spoil(agent, loss):
        agent.model.masked = 0
        spoilt = numerical_gradient(loss, agent.model.flat)
        agent.model.masked = 3
        return spoilt

    return _ppo_check(rng, spoil, features=5, action_mask=True)


PICTURES = gym.spaces.Box(0, 255, TINY.shape, np.uint8)


def _pictures(rng, encoder, params, count):
    """Pictures which leave every ReLU away from its kink."""
    pictures = rng.integers(256, size=(count, *TINY.shape), dtype=np.uint8)
    while encoder_margin(encoder, params, pictures) < 100 * H:
        pictures = rng.integers(256, size=(count, *TINY.shape), dtype=np.uint8)
    return pictures


@check("PPO step from pictures: both losses, one encoder", "encoder trained by the critic alone")
def _(rng):
    config = ppo.Config(envs=1, rollout=6, batch_size=6, hidden=(5,), lr=1.0, max_grad_norm=0.0, entropy_coef=0.1)
    with patch.object(ppo, "encoder_for", lambda space: TINY):
        agent = ppo.PPO(config, PICTURES, gym.spaces.Discrete(3), seed=1, dtype=np.float64)
    agent.optimiser = SGD(agent.model.flat)
    agent.model.flat[:] += 0.3 * rng.standard_normal(agent.model.flat.size)
    s, a, v_old, h = _pictures(rng, TINY, agent.model.phi, 6), rng.integers(3, size=6), rng.standard_normal(6), agent.schedules(0)
    adv = rng.standard_normal(6)
    logp_old = agent.dist.evaluate(agent.model.policy(s), a)[0] - rng.uniform(-0.1, 0.1, 6)
    scaled = (adv - adv.mean()) / (adv.std() + 1e-8)

    def loss(actor=1):
        y, v, _ = agent.model.forward(s)
        logp, entropy, _ = agent.dist.evaluate(y, a)
        return (actor * losses.clipped_surrogate(logp, logp_old, scaled, h.clip)[0]
                + actor * losses.entropy_bonus(entropy, h.entropy_coef)[0]
                + h.value_coef * losses.mse(v[:, 0], v_old + adv)[0])

    before = agent.model.flat.copy()
    agent.step_on(s, a, logp_old, v_old, adv, h)
    grad = before - agent.model.flat
    agent.model.flat[:] = before
    phi = agent.model.phi.flat.size
    spoilt = np.concatenate([numerical_gradient(lambda: loss(0), agent.model.phi.flat), grad[phi:]])
    return loss, agent.model.flat, grad, spoilt


# -- off-policy: the actor's way through the critic, and the critics' targets -----------------------------------------


class Unmoved:
    """An encoder that leaves pictures where they are."""

    learns = True

    def __init__(self, encoder):
        self.forward, self.backward = encoder.forward, encoder.backward

    def shift(self, pictures, rng):
        return pictures


class Frozen:
    """An optimiser that keeps the parameters where they are."""

    def step(self, grad, lr):
        pass


def _off_policy(module, name, rng, discrete=False, **options):
    """An agent with tanh networks (smooth everywhere) and a minibatch of 8, in float64; rows 2 and 5 are terminal."""
    config = module.Config(hidden=(5,), activation="tanh", batch_size=8, learning_starts=8, buffer_size=8, actor_lr=1.0,
                           critic_lr=1.0, gamma=0.9, **options)
    agent = getattr(module, name)(config, *_spaces(discrete), seed=1, dtype=np.float64)
    for x in agent.keeps().values():
        if isinstance(x, np.ndarray) and x.size > 1:
            x += 0.5 * rng.standard_normal(x.shape)                 # targets away from their networks, biases away from zero
    s, s2 = rng.standard_normal((2, 8, 3))
    a = rng.integers(3, size=8) if discrete else rng.uniform(-1, 1, (8, 2))
    term = np.zeros(8)
    term[[2, 5]] = 1
    return agent, Transitions(s, a, rng.standard_normal(8), s2, term)


def _step(agent, batch, moving):
    """−∇L of one network, as the real update applies it, all others held still."""
    flat = {"actor": agent.theta, "critic": agent.w}[moving].flat
    for which in ("actor", "critic"):
        setattr(agent, f"{which}_optimiser", SGD(flat) if which == moving else Frozen())
    before = flat.copy()
    agent.update(batch)
    grad = before - flat
    flat[:] = before
    return flat, grad


def _with_action(s, a):
    return np.concatenate([s, a], axis=1)


def _deterministic_actor(module, name, rng):
    agent, batch = _off_policy(module, name, rng, **({"delay": 1} if name == "TD3" else {}))

    def loss():
        pi = np.tanh(agent.actor.forward(agent.theta, batch.obs)[0])
        q = agent.critic.forward(agent.w, _with_action(batch.obs, pi))[0]
        return -float((q[0] if name == "TD3" else q).mean())

    flat, grad = _step(agent, batch, "actor")
    return loss, flat, grad


@check("DDPG actor, through the critic", "critic's gradient not summed with 1/B")
def _(rng):
    loss, flat, grad = _deterministic_actor(ddpg, "DDPG", rng)
    return loss, flat, grad, 8 * grad


@check("TD3 actor, through the first critic", "ascending and descending confused")
def _(rng):
    loss, flat, grad = _deterministic_actor(td3, "TD3", rng)
    return loss, flat, grad, -grad


@check("TD3 critics", "bootstrap at a terminal state")
def _(rng):
    agent, batch = _off_policy(td3, "TD3", rng, target_noise=0.0)
    a2 = np.tanh(agent.actor.forward(agent.theta_target, batch.next_obs)[0])
    q2 = agent.critic.forward(agent.w_target, _with_action(batch.next_obs, a2))[0][..., 0].min(axis=0)

    def loss(mask=1 - batch.term):
        q = agent.critic.forward(agent.w, _with_action(batch.obs, batch.actions))[0][..., 0]
        return losses.stacked_mse(q, batch.rewards + 0.9 * mask * q2)[0]

    flat, grad = _step(agent, batch, "critic")
    return loss, flat, grad, numerical_gradient(lambda: loss(np.ones(8)), flat)


def _sac(rng):
    agent, batch = _off_policy(sac, "SAC", rng, alpha=0.3, learn_alpha=False)
    eps = rng.standard_normal((8, 2))
    agent.dist.noise = lambda *_: eps                               # the same noise in the update and in every loss

    def actor_loss(entropy_weight=0.3):
        a, logp, _ = agent.pi(batch.obs)
        q = agent.critic.forward(agent.w, _with_action(batch.obs, a))[0][..., 0]
        assert np.abs(q[0] - q[1]).min() > 100 * H                  # away from the kink of the minimum
        return float((entropy_weight * logp - q.min(axis=0)).mean())

    return agent, batch, actor_loss


@check("SAC actor, through min(Q₁, Q₂) and log π", "entropy term forgotten")
def _(rng):
    agent, batch, loss = _sac(rng)
    flat, grad = _step(agent, batch, "actor")
    return loss, flat, grad, numerical_gradient(lambda: loss(0.0), flat)


@check("SAC critics", "entropy of the next state forgotten")
def _(rng):
    agent, batch, _ = _sac(rng)
    a2, logp2, _ = agent.pi(batch.next_obs)
    q2 = agent.critic.forward(agent.w_target, _with_action(batch.next_obs, a2))[0][..., 0].min(axis=0)

    def loss(alpha=0.3):
        q = agent.critic.forward(agent.w, _with_action(batch.obs, batch.actions))[0][..., 0]
        return losses.stacked_mse(q, batch.rewards + 0.9 * (1 - batch.term) * (q2 - alpha * logp2))[0]

    flat, grad = _step(agent, batch, "critic")
    return loss, flat, grad, numerical_gradient(lambda: loss(0.0), flat)


@check("SAC critics from pictures: their loss trains the encoder", "actor's loss trains it too")
def _(rng):
    config = sac.Config(hidden=(5,), activation="tanh", batch_size=6, learning_starts=6, buffer_size=6, actor_lr=1.0, critic_lr=1.0,
                        gamma=0.9, alpha=0.3, learn_alpha=False)
    with patch.object(sac, "encoder_for", lambda space: TINY):
        agent = sac.SAC(config, PICTURES, gym.spaces.Box(-1, 1, (2,), np.float64), seed=1, dtype=np.float64)
    agent.online += 0.3 * rng.standard_normal(agent.online.size)
    agent.target += 0.3 * rng.standard_normal(agent.target.size)
    eps = rng.standard_normal((6, 2))
    agent.dist.noise = lambda *_: eps
    obs, next_obs = (_pictures(rng, TINY, agent.phi, 6) for _ in range(2))
    batch = Transitions(obs, rng.uniform(-1, 1, (6, 2)), rng.standard_normal(6), next_obs, np.zeros(6))
    a2, logp2, _ = agent.pi(agent.see(next_obs))
    seen = TINY.forward(agent.phi_target, next_obs)[0]
    q2 = agent.critic.forward(agent.w_target, _with_action(seen, a2))[0][..., 0].min(axis=0)
    y = batch.rewards + 0.9 * (q2 - 0.3 * logp2)

    def loss():
        q = agent.critic.forward(agent.w, _with_action(agent.see(obs), batch.actions))[0][..., 0]
        return losses.stacked_mse(q, y)[0]

    def actor_loss():
        s = agent.see(obs)
        a, logp, _ = agent.pi(s)
        return float((0.3 * logp - agent.critic.forward(agent.w, _with_action(s, a))[0][..., 0].min(axis=0)).mean())

    agent.encoder = Unmoved(TINY)
    agent.critic_optimiser, agent.actor_optimiser = SGD(agent.online), Frozen()
    before = agent.online.copy()
    agent.update(batch)
    grad = before - agent.online
    agent.online[:] = before
    return loss, agent.online, grad, grad + numerical_gradient(actor_loss, agent.online)


@check("SAC temperature log α", "sign flipped")
def _(rng):
    agent, batch, _ = _sac(rng)
    object.__setattr__(agent.config, "learn_alpha", True)
    agent.alpha_optimiser = SGD(agent.log_alpha)
    agent.schedules.values.alpha_lr = 1.0
    _, logp, _ = agent.pi(batch.obs)
    before = agent.log_alpha.copy()
    _step(agent, batch, "critic")                                   # the actor stands still, so log π stays what it is
    grad = before - agent.log_alpha
    agent.log_alpha[:] = before
    return lambda: float((-np.exp(agent.log_alpha[0]) * (logp + agent.target_entropy)).mean()), agent.log_alpha, grad, -grad


@check("discrete SAC actor, an expectation over actions", "−Σπf of the softmax forgotten")
def _(rng):
    agent, batch = _off_policy(discrete_sac, "DiscreteSAC", rng, discrete=True, alpha=0.3, learn_alpha=False)

    def terms():
        z, cache = agent.actor.forward(agent.theta, batch.obs)
        log_pi = kernels.backend.log_softmax(z)
        return np.exp(log_pi), 0.3 * log_pi - agent.critic.forward(agent.w, batch.obs)[0].min(axis=0), cache

    def loss():
        pi, f, _ = terms()
        return float((pi * f).sum(axis=1).mean())

    flat, grad = _step(agent, batch, "actor")
    pi, f, cache = terms()
    spoilt = agent.theta.zeros_like()
    agent.actor.backward(agent.theta, cache, pi * f / 8, spoilt)
    return loss, flat, grad, spoilt.flat
