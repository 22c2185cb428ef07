"""Gradient checks of whole off-policy updates: the actor's way through the critic, and the critics' targets."""

from unittest.mock import patch

import gymnasium as gym
import numpy as np

import kernels
from scratchac import losses
from scratchac.algorithms import ddpg, discrete_sac, sac, td3
from scratchac.gradcheck.differences import H, check, numerical_gradient
from scratchac.gradcheck.networks import PICTURES, TINY, pictures_for, spaces
from scratchac.optim import SGD
from scratchac.training.memory import Transitions


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
    agent = getattr(module, name)(config, *spaces(discrete), seed=1, dtype=np.float64)
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
    obs, next_obs = (pictures_for(rng, TINY, agent.phi, 6) for _ in range(2))
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
