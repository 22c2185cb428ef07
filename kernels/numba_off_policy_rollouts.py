"""Many steps of SAC, discrete SAC, TD3 or DDPG in a compiled world in one call: each acts, steps the world, stores, learns.

The world is one of numba_worlds. The host has drawn the noise and the minibatches' rows of all steps. Steps that end an episode are
the host's: a call ends before such a step, with the world as it was.
"""

from typing import NamedTuple

import numpy as np

from kernels.backend import Update
from kernels.numba_discrete_soft import discrete_soft_one
from kernels.numba_jit import jit
from kernels.numba_off_policy import policy_rows, soft_policy_rows
from kernels.numba_off_policy_updates import SHARED, deterministic_one, soft_one
from kernels.numba_rollouts import to_env
from kernels.numba_updates import act
from kernels.numba_worlds import step_world


class Replay(NamedTuple):
    """All of a replay buffer, for as many transitions as it has room for."""

    obs: np.ndarray         # (capacity, O)
    actions: np.ndarray     # (capacity, 1), or (capacity,) whole numbers
    rewards: np.ndarray     # (capacity,)
    next_obs: np.ndarray    # (capacity, O)
    term: np.ndarray        # (capacity,)
    trunc: np.ndarray       # (capacity,)


class Episode(NamedTuple):
    """The episode in progress."""

    returns: np.ndarray     # (1,) float64
    lengths: np.ndarray     # (1,)
    came: np.ndarray        # (1,) float64, its discounted return
    weight: np.ndarray      # (1,) float64, γ to the power of its length
    gamma: float


@jit
def look(worlds, s):
    """The present observation goes to s (1, O), in the dtype of the networks."""
    obs = worlds[5]
    for j in range(s.shape[1]):
        s[0, j] = obs[0, j]


@jit
def advance(worlds, action, s, replay, row, episode):
    """A step from s (1, O), which is stored, but for its action, in that row of the buffer; returns whether the episode goes on.

    If the step would end the episode, nothing changes.
    """
    _, _, _, states, elapsed, observations, _, _, used = worlds
    obs, _, rewards, next_obs, term, trunc = replay
    returns, lengths, came, weight, gamma = episode
    before, seen, came_next = states[0].copy(), observations[0].copy(), np.empty_like(observations[0])
    length = elapsed[0]
    reward, terminated, truncated = step_world(worlds, 0, action, came_next)
    if terminated or truncated:
        for j in range(before.size):
            states[0, j] = before[j]
        for j in range(seen.size):
            observations[0, j] = seen[j]
        elapsed[0] = length
        used[0] -= 1
        return False
    for j in range(seen.size):
        obs[row, j], next_obs[row, j] = s[0, j], came_next[j]
    rewards[row] = reward
    term[row] = trunc[row] = 0
    returns[0] += reward
    lengths[0] += 1
    came[0] += weight[0] * reward
    weight[0] *= gamma
    return True


@jit
def rates_in(numbers, i):
    """`AdamStep` from five numbers of a row, of which i is the first."""
    return numbers[i], numbers[i + 1], numbers[i + 2], numbers[i + 3], numbers[i + 4]


@jit
def soft_rollout(worlds, box, actor, critic, temperature, clamp, learn_alpha, numbers, replay, cursor, draws, acting, sample, rows,
                 more, episode, sums):
    """Steps of SAC, each with its update; returns how many there were.

    numbers     (T, 19) of each step's update: γ, τ, H̄, log α if that is not learnt, `AdamStep` of actor, critics and temperature
    draws       noise of the actions (T, 1), of the updates (T, 2, B, 1), and rows of the buffer (T, B)
    acting      memory for one row: of s, of all layers of the actor, and `Sample`
    sums        (6,) what `_soft` returns is added here; training has diverged where sums[1] is not finite
    """
    (theta, _, _, _, _, sizes, code), log_alpha = actor, temperature[0]
    eps, noise, where = draws
    s, y, sampled = acting
    a = sampled[0]
    for t in range(len(where)):
        look(worlds, s)
        soft_policy_rows(theta, sizes, code, clamp, s, y, eps[t : t + 1], sampled, 0, 1)
        action = to_env(a.reshape(1, 1, 1), 0, 0, box)
        row = (cursor + t) % len(replay[2])
        if not (np.isfinite(a[0, 0]) and advance(worlds, action, s, replay, row, episode)):
            return t
        replay[1][row, 0] = a[0, 0]
        if not learn_alpha:
            log_alpha[0] = numbers[t, 3]
        settings = (numbers[t, 0], numbers[t, 1], clamp, learn_alpha, numbers[t, 2], rates_in(numbers[t], 4),
                    rates_in(numbers[t], 9), rates_in(numbers[t], 14))
        memory = replay[0], replay[1], replay[2], replay[3], replay[4], where[t]
        actor_loss, critic_loss, entropy, alpha, q, td_error = soft_one(
            actor, critic, temperature, settings, memory, noise[t], sample, rows, more)
        sums += np.array([actor_loss, critic_loss, entropy, alpha, q, td_error])
        if not np.isfinite(critic_loss):
            return t + 1
    return len(where)


@jit
def discrete_soft_rollout(worlds, actor, critic, temperature, learn_alpha, numbers, replay, cursor, draws, acting, rows, more,
                          episode, sums):
    """Steps of discrete SAC; `soft_rollout` has the arguments, but for noise of the actions u (T, 1), and none of the updates."""
    (theta, _, _, _, _, sizes, code), log_alpha = actor, temperature[0]
    u, where = draws
    s, y, a = acting
    for t in range(len(where)):
        look(worlds, s)
        act(theta, sizes, y, code, s, u[t], a)
        row = (cursor + t) % len(replay[2])
        if not advance(worlds, np.float64(a[0]), s, replay, row, episode):
            return t
        replay[1][row] = a[0]
        if not learn_alpha:
            log_alpha[0] = numbers[t, 3]
        settings = (numbers[t, 0], numbers[t, 1], learn_alpha, numbers[t, 2], rates_in(numbers[t], 4), rates_in(numbers[t], 9),
                    rates_in(numbers[t], 14))
        memory = replay[0], replay[1], replay[2], replay[3], replay[4], where[t]
        actor_loss, critic_loss, entropy, alpha, q, td_error = discrete_soft_one(
            actor, critic, temperature, settings, memory, rows, more)
        sums += np.array([actor_loss, critic_loss, entropy, alpha, q, td_error])
        if not np.isfinite(critic_loss):
            return t + 1
    return len(where)


@jit
def deterministic_rollout(worlds, box, actor, critic, numbers, replay, cursor, draws, acting, rows, more, episode, actor_loss,
                          sums):
    """Steps of TD3 or DDPG, each with its update; returns how many there were.

    numbers     (T, 15) of each step's update: γ, τ, scale and bound of the target noise, 1 if the actor is trained, `AdamStep` of
                actor and critics
    draws       noise of the actions (T, 1), of the target actions (T, B, 1) or (T, 0, 1), and rows of the buffer (T, B)
    acting      memory for one row: of s, of all layers of the actor, and of the action, float64
    actor_loss  (1,) of the last update that trained the actor
    sums        (4,) the losses of actor and critics, Q and |TD error| are added here, with the loss of an actor that waits as it
                was; training has diverged where sums[1] is not finite
    """
    theta, _, _, _, _, sizes, code = actor
    eps, noise, where = draws
    s, y, a = acting
    for t in range(len(where)):
        look(worlds, s)
        noisy = np.float64(policy_rows(theta, sizes, code, s, y, 0, 1)[0, 0]) + eps[t, 0]
        a[0, 0] = min(max(noisy, -1.0), 1.0)
        action = to_env(a.reshape(1, 1, 1), 0, 0, box)
        row = (cursor + t) % len(replay[2])
        if not (np.isfinite(noisy) and advance(worlds, action, s, replay, row, episode)):
            return t
        replay[1][row, 0] = a[0, 0]
        trains = numbers[t, 4] > 0
        settings = (numbers[t, 0], numbers[t, 1], numbers[t, 2], numbers[t, 3], trains, rates_in(numbers[t], 5),
                    rates_in(numbers[t], 10))
        memory = replay[0], replay[1], replay[2], replay[3], replay[4], where[t]
        loss, critic_loss, q, td_error = deterministic_one(actor, critic, settings, memory, noise[t], rows, more)
        if trains:
            actor_loss[0] = loss
        sums += np.array([actor_loss[0], critic_loss, q, td_error])
        if not np.isfinite(critic_loss):
            return t + 1
    return len(where)


# name → (function, the class it stands in for, the modules whose arithmetic it repeats)
_REPEATED = *SHARED, *(f"scratchac.{name}" for name in (
    "schedules", "exploration", "training.loops", "training.episodes", "environments.compiled_worlds"))
UPDATES: dict[str, Update] = {
    "sac_rollout": Update(soft_rollout, "scratchac.algorithms.sac.SAC", ("scratchac.algorithms.sac", *_REPEATED)),
    "discrete_sac_rollout": Update(discrete_soft_rollout, "scratchac.algorithms.discrete_sac.DiscreteSAC",
                                   ("scratchac.algorithms.discrete_sac", *_REPEATED)),
    "td3_rollout": Update(deterministic_rollout, "scratchac.algorithms.td3.TD3", ("scratchac.algorithms.td3", *_REPEATED)),
    "ddpg_rollout": Update(deterministic_rollout, "scratchac.algorithms.ddpg.DDPG", ("scratchac.algorithms.ddpg", *_REPEATED)),
}
