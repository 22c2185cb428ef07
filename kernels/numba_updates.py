"""Whole updates in one compiled call, for algorithms whose networks see one row at a time: there Python's calls are the cost.

Each stands in for an agent's own `update`, which stays the reference: the same arguments, the same result, the same state.
"""

import numpy as np

from kernels import numba_networks
from kernels.numba_networks import CODES
from scratchac.distributions import Categorical


def compiled_update(agent):
    """The compiled update of an agent, or None if there is none for its kind."""
    if type(agent).__name__ == "ActorCritic" and isinstance(agent.dist, Categorical):
        return one_step_actor_critic(agent)
    return None


def one_step_actor_critic(agent):
    model, dtype = agent.model, agent.dtype
    actor_sizes, critic_sizes = np.array(model.actor.sizes), np.array(model.critic.sizes)
    actor, critic = model.groups
    networks = (model.flat[actor], model.grad[actor], agent.trace[actor], actor_sizes, np.empty(actor_sizes[1:].sum(), dtype),
                model.flat[critic], model.grad[critic], agent.trace[critic], critic_sizes, np.empty(critic_sizes[1:].sum(), dtype),
                CODES[model.actor.activation])

    def update(batch):
        h = agent.schedules(agent.step / agent.config.steps)
        s, s2 = batch.obs[0].astype(dtype, copy=False), batch.next_obs[0].astype(dtype, copy=False)
        importance = h.gamma ** int(batch.t[0, 0]) if h.discount_actor else 1.0
        delta, logp, entropy, value = numba_networks.one_step_actor_critic(
            *networks, s, s2, batch.actions[0, 0], batch.rewards[0, 0], h.gamma * (1 - batch.term[0, 0]),
            h.gamma * h.lam_actor, h.gamma * h.lam_critic, importance, h.actor_lr, h.critic_lr, batch.done[0, 0] > 0)
        if not np.isfinite(delta):
            raise FloatingPointError("the TD error is not finite: lower the step sizes")
        agent.step += 1
        return {"actor_loss": -delta * logp, "critic_loss": 0.5 * delta * delta, "entropy": entropy, "td_error": delta,
                "value": value}

    return update
