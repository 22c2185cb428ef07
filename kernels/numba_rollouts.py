"""Whole rollouts in one call: act, step all worlds, keep what was seen; for the one-step actor-critic, learn as well.

The worlds are those of numba_worlds. The noise of the actions is drawn before, one row for each step. A call ends early
where a world has used its stock of first states: it returns the step that it has reached, and the next call goes on from there.
"""

import math
from typing import NamedTuple

import numpy as np

from kernels.backend import Update
from kernels.numba_jit import jit
from kernels.numba_one_row import draw, forward_row, step_row
from kernels.numba_updates import act
from kernels.numba_worlds import lacks_starts, step_world


class Collected(NamedTuple):
    """T steps of N worlds, in the dtype of the networks but for whole numbers."""

    s: np.ndarray           # (T, N, O)
    a: np.ndarray           # (T, N) whole numbers, or (T, N, 1)
    r: np.ndarray           # (T, N)
    s2: np.ndarray          # (T, N, O) what really followed
    term: np.ndarray        # (T, N)
    done: np.ndarray        # (T, N)


class Box(NamedTuple):
    """The bounds of an action of one feature, and `ActionScale.range`, all float32 as numbers of Python's."""

    low: float
    high: float
    extent: float           # 0 where the policy acts in the world's units


class Progress(NamedTuple):
    """The episodes of N worlds: those in progress, and those that have ended, in the order of their ends."""

    returns: np.ndarray     # (N,) float64
    lengths: np.ndarray     # (N,)
    ended: np.ndarray       # (K, 2) float64, return and length of each
    finished: np.ndarray    # (1,) how many have ended


@jit
def _count_step(episodes, i, reward, done):
    """Add a step of world i to its episode, and end that if it is done."""
    returns, lengths, ended, finished = episodes
    returns[i] += reward
    lengths[i] += 1
    if done:
        ended[finished[0], 0], ended[finished[0], 1] = returns[i], lengths[i]
        finished[0] += 1
        returns[i] = 0.0
        lengths[i] = 0


@jit
def to_env(a, t, i, box):
    """What world i is given at step t: the number of the action, or what `Gaussian.to_env` makes of it."""
    if a.ndim == 2:
        return np.float64(a[t, i])
    low, high, extent = box
    T = a.dtype.type
    x = a[t, i, 0]
    if extent > 0:
        x = T(low) + T(0.5) * (x + T(1)) * T(extent)
    return np.float64(np.float32(min(max(x, T(low)), T(high))))


@jit
def rollout(worlds, actor, outputs, u, box, collected, episodes, t):
    """Steps t, t + 1, … of `Worlds` with actions that an actor, a `Network`, draws; returns the step where it ends.

    outputs     memory for the outputs of all layers at N rows
    u           noise of the actions, (T, N) or (T, N, 1)
    box         `Box` of continuous actions
    collected   `Collected`, filled
    episodes    `Progress`, which goes on
    """
    theta, _, sizes, code = actor
    s, a, r, s2, term, done = collected
    _, _, _, _, _, obs, starts, _, used = worlds
    T, N = r.shape
    O = obs.shape[1]
    next_obs = np.empty(O, obs.dtype)
    while t < T and not lacks_starts(used, starts.shape[1]):
        for i in range(N):
            for j in range(O):
                s[t, i, j] = obs[i, j]
        act(theta, sizes, outputs, code, s[t], u[t], a[t])
        for i in range(N):
            reward, terminated, truncated = step_world(worlds, i, to_env(a, t, i, box), next_obs)
            over = terminated or truncated
            for j in range(O):
                s2[t, i, j] = next_obs[j]
            r[t, i], term[t, i], done[t, i] = reward, terminated, over
            _count_step(episodes, i, reward, over)
        t += 1
    return t


@jit
def one_step_rollout(worlds, actor, critic, u, rates, discount_actor, episodes, sums, t):
    """Steps t, t + 1, … of one world, each followed by a step of two `TracedNetwork`s; returns where it ends.

    rates       (T, 5): γ, γλ_θ, η_θ, γλ_w, η_w of each step
    sums        (6,): the actor's and the critic's loss, the entropy, δ and V(s) of each step are added here; the last number is 1
                where δ is not finite: then no parameter has changed at the step that is returned
    """
    theta, _, sizes, code, z_theta, y = actor
    w, _, critic_sizes, critic_code, z_w, v = critic
    _, _, _, _, _, observations, starts, _, used = worlds
    obs, lengths, n, dtype = observations[0], episodes[1], sizes[-1], theta.dtype
    O = obs.size
    next_obs, s, s2 = np.empty_like(obs), obs.astype(dtype), np.empty(O, dtype)
    log_pi, dy, one = np.empty(n, dtype), np.empty(n, dtype), np.ones(1, dtype)
    while t < len(u) and not lacks_starts(used, starts.shape[1]):
        forward_row(theta, sizes, code, s, y)
        action, entropy = draw(y[y.size - n:], u[t], log_pi)
        length = lengths[0]
        reward, terminated, truncated = step_world(worlds, 0, np.float64(action), next_obs)
        for j in range(O):
            s2[j] = next_obs[j]
        over = terminated or truncated
        gamma = rates[t, 0]
        forward_row(w, critic_sizes, critic_code, s2, v)
        v2 = v[v.size - 1]
        forward_row(w, critic_sizes, critic_code, s, v)
        value = v[v.size - 1]
        delta = reward + (0.0 if terminated else gamma) * v2 - value
        if not np.isfinite(delta):
            sums[5] = 1
            return t
        for j in range(n):                                                  # ∂log π(a)/∂y = 1[j = a] − π
            dy[j] = -np.exp(log_pi[j])
        dy[action] += 1
        weight = math.pow(gamma, float(length)) if discount_actor else 1.0
        step_row(theta, z_theta, sizes, code, s, y, dy, (rates[t, 1], weight, rates[t, 2]), delta, over)
        step_row(w, z_w, critic_sizes, critic_code, s, v, one, (rates[t, 3], 1.0, rates[t, 4]), delta, over)
        sums[0] -= delta * log_pi[action]
        sums[1] += 0.5 * delta * delta
        sums[2] += entropy
        sums[3] += delta
        sums[4] += value
        _count_step(episodes, 0, reward, over)
        for j in range(O):
            s[j] = obs[j]
        t += 1
    return t


# name → (function, the class it stands in for, the modules whose arithmetic it repeats)
_REPEATED = tuple("scratchac." + name for name in (
    "schedules", "nn", "distributions", "policies", "algorithms.plumbing", "training.loops", "training.memory", "training.episodes",
    "environments.compiled_worlds"))
UPDATES: dict[str, Update] = {
    "one_step_rollout": Update(one_step_rollout, "scratchac.algorithms.actor_critic.ActorCritic",
                               ("scratchac.algorithms.actor_critic", *_REPEATED)),
    "a2c_rollout": Update(rollout, "scratchac.algorithms.a2c.A2C",
                          ("scratchac.algorithms.a2c", "scratchac.losses", "scratchac.returns", *_REPEATED)),
    "ppo_rollout": Update(rollout, "scratchac.algorithms.ppo.PPO",
                          ("scratchac.algorithms.ppo", "scratchac.losses", "scratchac.returns", "scratchac.optim",
                           *_REPEATED)),
}
