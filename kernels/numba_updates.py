"""Whole updates in one compiled call, for algorithms whose networks see one row at a time: there Python's calls are the cost.

Each stands in for an agent's own `update`, which stays the reference: the same arguments, the same result, the same state.
"""

import numpy as np

from kernels.numba_networks import CODES, backward_rows, forward_rows, int_array, jit
from scratchac.distributions import Categorical


def compiled_update(agent):
    """The compiled update of an agent, or None if there is none for its kind."""
    if type(agent).__name__ == "ActorCritic" and isinstance(agent.dist, Categorical):
        return one_step_actor_critic(agent)
    return None


def one_step_actor_critic(agent):
    model, dtype = agent.model, agent.dtype
    actor_sizes, critic_sizes = int_array(model.actor.sizes), int_array(model.critic.sizes)
    actor, critic = model.groups
    networks = (model.flat[actor], model.grad[actor], agent.trace[actor], actor_sizes, np.empty(actor_sizes[1:].sum(), dtype),
                model.flat[critic], model.grad[critic], agent.trace[critic], critic_sizes, np.empty(critic_sizes[1:].sum(), dtype),
                CODES[model.actor.activation])

    def update(batch):
        h = agent.schedules(agent.step / agent.config.steps)
        s, s2 = batch.obs[0].astype(dtype, copy=False), batch.next_obs[0].astype(dtype, copy=False)
        importance = h.gamma ** int(batch.t[0, 0]) if h.discount_actor else 1.0
        delta, logp, entropy, value = _one_step_actor_critic(
            *networks, s, s2, batch.actions[0, 0], batch.rewards[0, 0], h.gamma * (1 - batch.term[0, 0]),
            h.gamma * h.lam_actor, h.gamma * h.lam_critic, importance, h.actor_lr, h.critic_lr, batch.done[0, 0] > 0)
        if not np.isfinite(delta):
            raise FloatingPointError("the TD error is not finite: lower the step sizes")
        agent.step += 1
        return {"actor_loss": -delta * logp, "critic_loss": 0.5 * delta * delta, "entropy": entropy, "td_error": delta,
                "value": value}

    return update


@jit
def _one_step_actor_critic(theta, dtheta, z_theta, actor_sizes, y, w, dw, z_w, critic_sizes, v, code, s, s2, action, reward,
                           discount, decay_theta, decay_w, importance, lr_theta, lr_w, done):
    forward_rows(w, critic_sizes, 1, 0, 0, 1, code, s2, v, 0, 1)
    v2 = v[-1]
    forward_rows(w, critic_sizes, 1, 0, 0, 1, code, s, v, 0, 1)
    value = v[-1]
    delta = reward + discount * v2 - value
    forward_rows(theta, actor_sizes, 1, 0, 0, 1, code, s, y, 0, 1)

    n = actor_sizes[-1]
    logits = y[-n:]
    top, total = logits.max(), theta.dtype.type(0)
    for i in range(n):
        total += np.exp(logits[i] - top)
    log_total = np.log(total)
    logp = logits[action] - top - log_total
    entropy = theta.dtype.type(0)
    dy, dv, nothing = np.empty((1, n), theta.dtype), np.ones((1, 1), theta.dtype), np.empty((0, 0), theta.dtype)
    for i in range(n):
        log_pi = logits[i] - top - log_total
        entropy -= np.exp(log_pi) * log_pi
        dy[0, i] = -np.exp(log_pi)                          # ∂log π(a)/∂y = 1[i = a] − π
    dy[0, action] += 1
    if not np.isfinite(delta):
        return delta, logp, entropy, value
    backward_rows(theta, dtheta, actor_sizes, 1, 0, 0, 1, code, s, y, dy, nothing, 0, 1)
    backward_rows(w, dw, critic_sizes, 1, 0, 0, 1, code, s, v, dv, nothing, 0, 1)
    _step_along_trace(theta, dtheta, z_theta, decay_theta, importance, lr_theta * delta, done)
    _step_along_trace(w, dw, z_w, decay_w, 1.0, lr_w * delta, done)
    return delta, logp, entropy, value


@jit
def _step_along_trace(p, g, z, decay, weight, step, done):
    T = p.dtype.type
    decay, weight, step, keep = T(decay), T(weight), T(step), T(0 if done else 1)
    for i in range(p.size):
        trace = decay * z[i] + weight * g[i]
        p[i] += step * trace
        z[i] = keep * trace
