"""Training loops with few and large compiled calls, for networks so small that Python's calls cost more than the arithmetic.

Each stands in for a loop of `scratchac/training.py` together with the agent's own `sample` and `update`, which stay the reference:
the same random numbers, the same parameters, the same reports.
"""

import time

import numpy as np

from kernels import numba_networks
from kernels.numba_networks import CODES
from scratchac import optim
from scratchac.distributions import Categorical
from scratchac.errors import TrainingError
from scratchac.policies import SeparateBodies
from scratchac.training import require_finite, train_on_policy


def compiled_loop(agent, envs):
    """A quicker loop for this agent and these environments, or None if there is none."""
    kind, config = type(agent).__name__, agent.config
    if not isinstance(getattr(agent, "dist", None), Categorical) or envs.workers or getattr(config, "action_mask", False):
        return None
    if kind == "ActorCritic":
        return one_step_actor_critic
    plain = {"advantage": "gae", "normalise_advantage": False, "discount_actor": False, "value_loss": "mse", "critic_steps": 1,
             "kappa": 0.0, "shared_body": False, "normalise_obs": False, "scale_rewards": False}
    if kind == "A2C" and all(getattr(config, name) == value for name, value in plain.items()):
        return a2c
    if kind == "PPO" and config.clip_value == 0 and isinstance(agent.model, SeparateBodies):
        return ppo
    return None


class Networks:
    """The parameters, gradients and sizes of an agent with separate bodies, as compiled functions take them."""

    def __init__(self, model):
        self.theta, self.w = (tuple(x[group] for x in (model.flat, model.grad)) for group in model.groups)
        self.actor_sizes, self.critic_sizes = np.array(model.actor.sizes), np.array(model.critic.sizes)
        self.code = CODES[model.actor.activation]


def one_step_actor_critic(agent, play, steps, report):
    net, dtype, config, start = Networks(agent.model), agent.dtype, agent.config, agent.dist.start
    actor, critic = agent.model.groups
    y, v = np.empty(net.actor_sizes[1:].sum(), dtype), np.empty(net.critic_sizes[1:].sum(), dtype)
    learning = (*net.theta, agent.trace[actor], net.actor_sizes, y, *net.w, agent.trace[critic], net.critic_sizes, v, net.code)
    env, episodes, actions = play.envs.members[0], play.episodes, np.zeros(1, np.int64)
    obs = play.obs.astype(dtype)                                            # (1, O)
    while agent.step < steps:
        numba_networks.act(net.theta[0], net.actor_sizes, y, net.code, obs, agent.rng.random(1), actions)
        next_obs, reward, term, trunc, _ = env.step(actions[0] + start)
        started = time.perf_counter()
        next_obs, done, t = np.asarray(next_obs, dtype)[None], term or trunc, int(episodes.lengths[0])
        h = agent.schedules(agent.step / config.steps)
        delta, logp, entropy, value = numba_networks.one_step_actor_critic(
            *learning, obs, next_obs, actions[0], reward, h.gamma * (1 - term), h.gamma * h.lam_actor, h.gamma * h.lam_critic,
            h.gamma**t if h.discount_actor else 1.0, h.actor_lr, h.critic_lr, done)
        if not np.isfinite(delta):
            require_finite(agent.step, observations=obs[None], rewards=np.full((1, 1), reward), next_observations=next_obs[None])
            raise TrainingError(f"at step {agent.step}: the TD error is not finite: lower the step sizes")
        agent.step += 1
        obs = next_obs
        episodes.returns[0] += reward                                       # quicker than `add` for one environment
        episodes.lengths[0] = t + 1
        if done:
            episodes.end(0)
            obs = np.asarray(env.reset()[0], dtype)[None]
        metrics = {"actor_loss": -delta * logp, "critic_loss": 0.5 * delta * delta, "entropy": entropy, "td_error": delta,
                   "value": value}
        if report(agent, play, metrics, time.perf_counter() - started, 1):
            break


def a2c(agent, play, steps, report):
    net, dtype, config, start = Networks(agent.model), agent.dtype, agent.config, agent.dist.start
    envs, episodes, obs = play.envs, play.episodes, play.obs.astype(dtype)
    T, N, O = config.rollout, envs.n, net.actor_sizes[0]
    s, s2 = np.empty((2, T, N, O), dtype)
    r, term, done = np.empty((3, T, N), dtype)
    a = np.empty((T, N), np.int64)
    y = np.empty(N * net.actor_sizes[1:].sum(), dtype)
    while agent.step < steps:
        for t in range(T):
            s[t] = obs
            numba_networks.act(net.theta[0], net.actor_sizes, y, net.code, s[t], agent.rng.random(N), a[t])
            over = []
            for i, (env, action) in enumerate(zip(envs.members, (a[t] + start).tolist(), strict=True)):
                s2[t, i], r[t, i], terminated, truncated, _ = env.step(action)
                term[t, i], done[t, i] = terminated, terminated or truncated
                if terminated or truncated:
                    over.append(i)
            episodes.add(r[t], done[t])
            obs = s2[t]
            if over:
                obs = obs.copy()
                for i in over:
                    obs[i] = envs.members[i].reset()[0]
        require_finite(agent.step, observations=s, rewards=r, next_observations=s2)        # tanh makes 1 of an infinity
        started = time.perf_counter()
        h = agent.schedules(agent.step / config.steps)
        actor_loss, critic_loss, entropy, value, spread = numba_networks.a2c_gradient(
            *net.theta, net.actor_sizes, *net.w, net.critic_sizes, net.code, s.reshape(-1, O), s2.reshape(-1, O), a, r, term, done,
            h.gamma, h.lam, h.entropy_coef, h.value_coef)
        try:
            grad_norm = optim.clip_global_norm(agent.model.grad, h.max_grad_norm)
        except FloatingPointError as error:
            raise TrainingError(f"at step {agent.step}: {error}") from None
        for optimiser, group, lr in zip(agent.optimisers, agent.model.groups, (h.actor_lr, h.critic_lr), strict=True):
            optimiser.step(agent.model.grad[group], lr)
        agent.step += T * N
        metrics = {"actor_loss": actor_loss, "critic_loss": critic_loss, "entropy": entropy, "grad_norm": grad_norm, "value": value,
                   "advantage_std": spread}
        if report(agent, play, metrics, time.perf_counter() - started, 1):
            break


def ppo(agent, play, steps, report):
    """The reference's loop; nearly all of PPO's time goes into the gradients of minibatches, and those are compiled."""
    net = Networks(agent.model)

    def gradient(s, a, logp_old, v_old, adv, target, h):
        values = numba_networks.ppo_gradient(
            *net.theta, net.actor_sizes, *net.w, net.critic_sizes, net.code, s, a, logp_old, adv, target, h.clip, h.entropy_coef,
            h.value_coef)
        return dict(zip(("actor_loss", "critic_loss", "entropy", "kl", "clipped", "value"), values, strict=True))

    agent.gradient = gradient                                               # in place of the method, until training ends
    try:
        train_on_policy(agent, play, steps, report)
    finally:
        del agent.gradient
