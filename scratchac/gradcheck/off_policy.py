"""Gradient checks of the steps of off-policy algorithms: the actor's gradient through the critic, critic targets, temperature.

With plain gradient steps of size 1 (SGD, learning rate 1), a step moves the parameters by exactly −∇L.
"""

from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import gymnasium as gym
import numpy as np

from scratchac.algorithms import ddpg, discrete_sac, sac, sac_pixels, td3
from scratchac.distributions import log_softmax
from scratchac.gradcheck.differences import Checked, H, Rng, check, numerical_gradient
from scratchac.gradcheck.networks import PICTURES, TINY, pictures_for, spaces
from scratchac.optim import SGD
from scratchac.training.memory import Transitions

ALPHA, GAMMA = 0.3, 0.9


def _agent(agent_class: Any, rng: Rng, discrete: bool = False, **options: Any) -> tuple[Any, Transitions, Any]:
    """An agent with tanh networks (smooth everywhere), 8 transitions in float64 of which 2 and 5 are terminal, and the config."""
    config = agent_class.config_class(hidden=(5,), activation="tanh", batch_size=8, learning_starts=8, buffer_size=8, actor_lr=1.0,
                                      critic_lr=1.0, gamma=GAMMA, **options)
    agent = agent_class(config, *spaces(discrete), seed=1, dtype=np.float64)
    for x in agent.keeps().values():
        if isinstance(x, np.ndarray) and x.size > 1:
            x += 0.5 * rng.standard_normal(x.shape)                 # targets away from their networks, biases away from zero
    s, s2 = rng.standard_normal((2, 8, 3))
    a = rng.integers(3, size=8) if discrete else rng.uniform(-1, 1, (8, 2))
    term = np.zeros(8)
    term[[2, 5]] = 1
    return agent, Transitions(s, a, rng.standard_normal(8), s2, term), agent.schedules(0)


def _moved(flat: np.ndarray, step: Callable[[], Any]) -> np.ndarray:
    """The negative of a step's change of the parameters, which is ∇L. The parameters are restored."""
    before = flat.copy()
    step()
    grad = before - flat
    flat[:] = before
    return grad


def _critic_gradient(agent: Any, *arguments: Any) -> np.ndarray:
    agent.critic_optimiser = SGD(agent.w.flat)
    return _moved(agent.w.flat, lambda: agent.critic_step(*arguments))


def _actor_gradient(agent: Any, *arguments: Any) -> np.ndarray:
    agent.actor_optimiser = SGD(agent.theta.flat)
    return _moved(agent.theta.flat, lambda: agent.actor_step(*arguments))


def _q(agent: Any, w: Any, s: np.ndarray, a: np.ndarray) -> np.ndarray:
    """Q (…, B) of one critic or several."""
    return agent.critic.forward(w, np.concatenate([s, a], axis=1))[0][..., 0]


def _half_squares(q: np.ndarray, target: np.ndarray) -> float:
    """Σₖ mean ½(Qₖ − target)²."""
    return float(0.5 * ((q - target) ** 2).mean(axis=-1).sum())


# -- DDPG and TD3 ------------------------------------------------------------------------------------------------------


@check("DDPG critic", "bootstrap at a terminal state")
def _(rng: Rng) -> Checked:
    """L = mean ½(Q(s, a) − target)², targets as data, by the critic's parameters."""
    agent, batch, h = _agent(ddpg.DDPG, rng)
    s, a, r, s2, term = batch
    q2 = _q(agent, agent.w_target, s2, np.tanh(agent.actor.forward(agent.theta_target, s2)[0]))

    def loss(mask: np.ndarray = 1 - term) -> float:
        return _half_squares(_q(agent, agent.w, s, a), r + GAMMA * mask * q2)

    flat = agent.w.flat
    return loss, flat, _critic_gradient(agent, batch, h), numerical_gradient(lambda: loss(np.ones(8)), flat)


@check("DDPG actor, through the critic", "critic's gradient not summed with 1/B")
def _(rng: Rng) -> Checked:
    """L = −mean Q(s, π(s)), by the actor's parameters."""
    agent, batch, h = _agent(ddpg.DDPG, rng)
    grad = _actor_gradient(agent, batch.obs, h)

    def loss() -> float:
        return -float(_q(agent, agent.w, batch.obs, np.tanh(agent.actor.forward(agent.theta, batch.obs)[0])).mean())

    return loss, agent.theta.flat, grad, 8 * grad


@check("TD3 actor, through the first critic", "ascending and descending confused")
def _(rng: Rng) -> Checked:
    """L = −mean Q₁(s, π(s)), by the actor's parameters."""
    agent, batch, h = _agent(td3.TD3, rng)
    grad = _actor_gradient(agent, batch.obs, h)

    def loss() -> float:
        return -float(_q(agent, agent.w, batch.obs, np.tanh(agent.actor.forward(agent.theta, batch.obs)[0]))[0].mean())

    return loss, agent.theta.flat, grad, -grad


@check("TD3 critics", "bootstrap at a terminal state")
def _(rng: Rng) -> Checked:
    """L = Σₖ mean ½(Qₖ(s, a) − target)², targets as data, by the parameters of both critics."""
    agent, batch, h = _agent(td3.TD3, rng, target_noise=0.0)
    s, a, r, s2, term = batch
    q2 = _q(agent, agent.w_target, s2, np.tanh(agent.actor.forward(agent.theta_target, s2)[0])).min(axis=0)

    def loss(mask: np.ndarray = 1 - term) -> float:
        return _half_squares(_q(agent, agent.w, s, a), r + GAMMA * mask * q2)

    flat = agent.w.flat
    return loss, flat, _critic_gradient(agent, batch, h), numerical_gradient(lambda: loss(np.ones(8)), flat)


# -- SAC -------------------------------------------------------------------------------------------------------------------


def _sac(rng: Rng) -> tuple[Any, Transitions, Any, np.ndarray]:
    """As `_agent`, with the same noise in the step and in every loss; also returns α."""
    agent, batch, h = _agent(sac.SAC, rng, alpha=ALPHA, learn_alpha=False)
    eps = rng.standard_normal((8, 2))
    agent.dist.noise = lambda *_: eps
    return agent, batch, h, np.exp(agent.log_alpha)


@check("SAC actor, through min(Q₁, Q₂) and log π", "entropy term forgotten")
def _(rng: Rng) -> Checked:
    """L = mean [α log π(a|s) − minₖ Qₖ(s, a)], a = tanh(μ + σε) with ε fixed, by the actor's parameters."""
    agent, batch, h, alpha = _sac(rng)

    def loss(entropy_weight: float = ALPHA) -> float:
        a, logp, _ = agent.pi(batch.obs)
        q = _q(agent, agent.w, batch.obs, a)
        assert np.abs(q[0] - q[1]).min() > 100 * H                  # away from the kink of the minimum
        return float((entropy_weight * logp - q.min(axis=0)).mean())

    flat = agent.theta.flat
    return loss, flat, _actor_gradient(agent, batch.obs, alpha, h), numerical_gradient(lambda: loss(0.0), flat)


@check("SAC critics", "entropy of the next state forgotten")
def _(rng: Rng) -> Checked:
    """L = Σₖ mean ½(Qₖ(s, a) − target)², targets as data, by the parameters of both critics."""
    agent, batch, h, alpha = _sac(rng)
    s, a, r, s2, term = batch
    a2, logp2, _ = agent.pi(s2)
    q2 = _q(agent, agent.w_target, s2, a2).min(axis=0)

    def loss(entropy_weight: float = ALPHA) -> float:
        return _half_squares(_q(agent, agent.w, s, a), r + GAMMA * (1 - term) * (q2 - entropy_weight * logp2))

    flat = agent.w.flat
    return loss, flat, _critic_gradient(agent, batch, alpha, h), numerical_gradient(lambda: loss(0.0), flat)


@check("SAC temperature log α", "sign flipped")
def _(rng: Rng) -> Checked:
    """L = −mean α (log π + H̄), by log α."""
    agent, _, h = _agent(sac.SAC, rng, alpha=ALPHA, alpha_lr=1.0)
    agent.alpha_optimiser = SGD(agent.log_alpha)
    logp, alpha = rng.standard_normal(8), np.exp(agent.log_alpha)
    grad = _moved(agent.log_alpha, lambda: agent.temperature_step(logp, alpha, h))

    def loss() -> float:
        return float((-np.exp(agent.log_alpha[0]) * (logp + agent.total_entropy_target(h))).mean())

    return loss, agent.log_alpha, grad, -grad


@check("SAC critics from pictures: their loss trains the encoder", "actor's loss trains it too")
def _(rng: Rng) -> Checked:
    """L = Σₖ mean ½(Qₖ(s, a) − target)², targets as data, by the parameters of both critics and of the encoder."""
    config = sac.Config(hidden=(5,), activation="tanh", batch_size=6, learning_starts=6, buffer_size=6, actor_lr=1.0, critic_lr=1.0,
                        gamma=GAMMA, alpha=ALPHA, learn_alpha=False)
    with patch.object(sac_pixels, "encoder_for", lambda space: TINY):
        agent: Any = sac_pixels.PixelSAC(config, PICTURES, gym.spaces.Box(-1, 1, (2,), np.float64), seed=1, dtype=np.float64)
    agent.online += 0.3 * rng.standard_normal(agent.online.size)
    agent.target += 0.3 * rng.standard_normal(agent.target.size)
    eps, h = rng.standard_normal((6, 2)), agent.schedules(0)
    agent.dist.noise = lambda *_: eps
    alpha = np.exp(agent.log_alpha)
    obs, next_obs = (pictures_for(rng, TINY, agent.phi, 6) for _ in range(2))
    batch = Transitions(obs, rng.uniform(-1, 1, (6, 2)), rng.standard_normal(6), next_obs, np.zeros(6))
    a2, logp2, _ = agent.pi(TINY.forward(agent.phi, next_obs)[0])
    q2 = _q(agent, agent.w_target, TINY.forward(agent.phi_target, next_obs)[0], a2).min(axis=0)
    target = batch.rewards + GAMMA * (q2 - ALPHA * logp2)

    def loss() -> float:
        return _half_squares(_q(agent, agent.w, TINY.forward(agent.phi, obs)[0], batch.actions), target)

    def actor_loss() -> float:
        s = TINY.forward(agent.phi, obs)[0]
        a, logp, _ = agent.pi(s)
        return float((ALPHA * logp - _q(agent, agent.w, s, a).min(axis=0)).mean())

    agent.critic_optimiser = SGD(agent.online)
    grad = _moved(agent.online, lambda: agent.encoder_step(*TINY.forward(agent.phi, obs), batch, alpha, h))
    return loss, agent.online, grad, grad + numerical_gradient(actor_loss, agent.online)


# -- discrete SAC ----------------------------------------------------------------------------------------------------------


def _discrete_sac(rng: Rng) -> tuple[Any, Transitions, Any, np.ndarray]:
    agent, batch, h = _agent(discrete_sac.DiscreteSAC, rng, discrete=True, alpha=ALPHA, learn_alpha=False)
    return agent, batch, h, np.exp(agent.log_alpha)


@check("discrete SAC critics", "expectation without the entropy")
def _(rng: Rng) -> Checked:
    """L = Σₖ mean ½(Qₖ(s, a) − target)², targets as data, by the parameters of both critics."""
    agent, batch, h, alpha = _discrete_sac(rng)
    s, a, r, s2, term = batch
    log_pi2 = log_softmax(agent.actor.forward(agent.theta, s2)[0])
    q2 = agent.critic.forward(agent.w_target, s2)[0].min(axis=0)

    def loss(entropy_weight: float = ALPHA) -> float:
        v2 = (np.exp(log_pi2) * (q2 - entropy_weight * log_pi2)).sum(axis=1)
        return _half_squares(agent.critic.forward(agent.w, s)[0][:, np.arange(8), a], r + GAMMA * (1 - term) * v2)

    flat = agent.w.flat
    return loss, flat, _critic_gradient(agent, batch, alpha, h), numerical_gradient(lambda: loss(0.0), flat)


@check("discrete SAC actor, an expectation over actions", "−Σπf of the softmax forgotten")
def _(rng: Rng) -> Checked:
    """L = mean Σ_a π(a|s) (α log π(a|s) − minₖ Qₖ(s, a)), by the actor's parameters."""
    agent, batch, h, alpha = _discrete_sac(rng)

    def terms() -> tuple[np.ndarray, np.ndarray, Any]:
        z, cache = agent.actor.forward(agent.theta, batch.obs)
        log_pi = log_softmax(z)
        return np.exp(log_pi), ALPHA * log_pi - agent.critic.forward(agent.w, batch.obs)[0].min(axis=0), cache

    def loss() -> float:
        pi, f, _ = terms()
        return float((pi * f).sum(axis=1).mean())

    pi, f, cache = terms()
    spoilt = agent.theta.zeros_like()
    agent.actor.backward(agent.theta, cache, pi * f / 8, spoilt)
    return loss, agent.theta.flat, _actor_gradient(agent, batch.obs, alpha, h), spoilt.flat


@check("discrete SAC temperature log α", "sign flipped")
def _(rng: Rng) -> Checked:
    """L = −mean α Σ_a π(a|s) (log π(a|s) + H̄), by log α."""
    agent, _, h = _agent(discrete_sac.DiscreteSAC, rng, discrete=True, alpha=ALPHA, alpha_lr=1.0, entropy_target=0.5)
    agent.alpha_optimiser = SGD(agent.log_alpha)
    log_pi, alpha = log_softmax(rng.standard_normal((8, 3))), np.exp(agent.log_alpha)
    pi = np.exp(log_pi)
    grad = _moved(agent.log_alpha, lambda: agent.temperature_step(-(pi * log_pi).sum(axis=1).mean(), alpha, h))

    def loss() -> float:
        return float((pi * -np.exp(agent.log_alpha[0]) * (log_pi + 0.5 * np.log(3))).sum(axis=1).mean())

    return loss, agent.log_alpha, grad, -grad
