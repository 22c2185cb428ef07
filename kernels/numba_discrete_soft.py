"""The compiled update of discrete SAC, in one call, for one thread or for several.

Expectations over the n actions take the place of samples, so it needs no noise. The equations are in the algorithm's file; the
order of parallel regions, and what their pieces are, is that of numba_off_policy_updates.py.
"""

from typing import NamedTuple

import numpy as np
from numba import prange

from kernels.backend import Update
from kernels.numba_jit import jit
from kernels.numba_networks import backward_rows, forward_rows, output_of
from kernels.numba_off_policy import evaluate_rows, mean_of, means_of, step_of_member, step_of_slice
from kernels.numba_optimisers import adam


class DiscreteRows(NamedTuple):
    """Memory for one minibatch: K critics of n outputs, as many as there are actions."""

    s: np.ndarray           # (B, O)
    s2: np.ndarray          # (B, O)
    a: np.ndarray           # (B,) whole numbers
    r: np.ndarray           # (B,)
    term: np.ndarray        # (B,)
    target: np.ndarray      # (B,)
    log_pi: np.ndarray      # (B, n)
    y: np.ndarray           # outputs of all layers of the actor
    q: np.ndarray           # outputs of all layers of all critics
    dy: np.ndarray          # (B, n) ∂L/∂(outputs of the actor)
    dq: np.ndarray          # (K, B, n) ∂L/∂Q
    losses: np.ndarray      # (B,) Σᵢ πᵢfᵢ of each row
    entropies: np.ndarray   # (B,)
    sums: np.ndarray        # (tasks, 3) sums over a task's rows for the metrics


@jit
def logits_at(theta, sizes, code, s, y):
    """The actor's outputs (B, n), a view into y, the memory for all layers."""
    forward_rows(theta, sizes, 1, 0, 0, 1, code, s, y, 0, len(s))
    return output_of(y, sizes, 1, 0, len(s), len(sizes) - 2)


@jit
def take_rows(memory, rows, low, high):
    """Copy rows of the replay buffer to where the networks read them."""
    obs, actions, rewards, next_obs, term, where = memory
    s, s2, a, r, over = rows[:5]
    for i in range(low, high):
        row = where[i]
        a[i], r[i], over[i] = actions[row], rewards[row], term[row]
        for j in range(s.shape[1]):
            s[i, j], s2[i, j] = obs[row, j], next_obs[row, j]


@jit
def policy_rows(actor, s, y, log_pi, low, high):
    """log π(·|s), in log_pi."""
    theta, _, _, _, _, sizes, code = actor
    forward_rows(theta, sizes, 1, 0, 0, 1, code, s, y, low, high)
    z = output_of(y, sizes, 1, 0, len(s), len(sizes) - 2)
    for i in range(low, high):
        highest, total = z[i].max(), z.dtype.type(0)
        for j in range(z.shape[1]):
            total += np.exp(z[i, j] - highest)
        shift = highest + np.log(total)
        for j in range(z.shape[1]):
            log_pi[i, j] = z[i, j] - shift


@jit
def least_of(q, sizes, K, B, i, j):
    """min_k Qₖ(s, a = j) of row i."""
    last = len(sizes) - 2
    value = output_of(q, sizes, K, 0, B, last)[i, j]
    for k in range(1, K):
        other = output_of(q, sizes, K, k, B, last)[i, j]
        value = value if value <= other else other
    return value


@jit
def bootstrap_rows(actor, critic, gamma, alpha, rows, low, high):
    """target = r + γ(1 − term) Σᵢ πᵢ (min_k Q′ₖᵢ − α log πᵢ), at s′."""
    w, sizes, code = critic[1], critic[5], critic[6]
    _, s2, _, r, term, target, log_pi, y, q, _, dq, _, _, _ = rows
    K, B, n = dq.shape
    policy_rows(actor, s2, y, log_pi, low, high)
    evaluate_rows(w, sizes, K, K, code, s2, q, low, high)
    one, discount = r.dtype.type(1), r.dtype.type(gamma)
    for i in range(low, high):
        value = r.dtype.type(0)
        for j in range(n):
            value += np.exp(log_pi[i, j]) * (least_of(q, sizes, K, B, i, j) - alpha * log_pi[i, j])
        target[i] = r[i] + discount * (one - term[i]) * value


@jit
def critic_rows(critic, grad, k, sums, rows, low, high):
    """Write the gradient of L = mean ½(Qₖ(s, a) − target)², these rows' part of it, to `grad`, and three sums to `sums`."""
    w, sizes, code = critic[0], critic[5], critic[6]
    s, _, a, _, _, target, _, _, q, _, dq, _, _, _ = rows
    K, B, n = dq.shape
    forward_rows(w, sizes, K, k, k, K, code, s, q, low, high)
    values, rate = output_of(q, sizes, K, k, B, len(sizes) - 2), q.dtype.type(1 / B)
    sums.fill(0)
    for i in range(low, high):
        error = values[i, a[i]] - target[i]
        for j in range(n):
            dq[k, i, j] = 0
            sums[1] += values[i, j]
        dq[k, i, a[i]] = error * rate
        sums[0] += error * error
        sums[2] += abs(error)
    backward_rows(w, grad, sizes, K, k, k, K, code, s, q, dq[k], dq[k, :0], low, high)


@jit
def actor_rows(actor, critic, grad, alpha, rows, low, high):
    """Write the gradient of L = mean Σᵢ πᵢfᵢ, fᵢ = α log πᵢ − min_k Qₖᵢ, these rows' part of it, to `grad`."""
    theta, _, _, _, _, actor_sizes, actor_code = actor
    w, sizes, code = critic[0], critic[5], critic[6]
    s, _, _, _, _, _, log_pi, y, q, dy, dq, losses, entropies, _ = rows
    K, B, n = dq.shape
    policy_rows(actor, s, y, log_pi, low, high)
    evaluate_rows(w, sizes, K, K, code, s, q, low, high)
    rate, zero = y.dtype.type(1 / B), y.dtype.type(0)
    for i in range(low, high):
        mean = entropy = zero
        for j in range(n):
            pi, f = np.exp(log_pi[i, j]), alpha * log_pi[i, j] - least_of(q, sizes, K, B, i, j)
            mean += pi * f
            entropy -= pi * log_pi[i, j]
            dy[i, j] = f
        for j in range(n):
            dy[i, j] = np.exp(log_pi[i, j]) * (dy[i, j] - mean) * rate
        losses[i], entropies[i] = mean, entropy
    backward_rows(theta, grad, actor_sizes, 1, 0, 0, 1, actor_code, s, y, dy, dy[:0], low, high)


def _update(actor, critic, temperature, settings, memory, rows, more):
    """An update of discrete SAC; returns (actor loss, critic loss, entropy, α, mean Q, mean |TD error|)."""
    gamma, tau, learn_alpha, target_entropy, actor_rates, critic_rates, alpha_rates = settings
    log_alpha, alpha_grad, alpha_m, alpha_v = temperature
    actor_parts, critic_parts = more
    dq, losses, entropies, sums = rows[10], rows[11], rows[12], rows[13]
    K, B, n = dq.shape
    pieces, chunks = len(actor_parts) + 1, len(critic_parts) + 1
    alpha = np.exp(log_alpha[0])
    for p in prange(pieces):
        low, high = p * B // pieces, (p + 1) * B // pieces
        take_rows(memory, rows, low, high)
        bootstrap_rows(actor, critic, gamma, alpha, rows, low, high)
    for task in prange(K * chunks):
        k, c = task // chunks, task % chunks
        critic_rows(critic, critic[2] if c == 0 else critic_parts[c - 1], k, sums[task], rows,
                    c * B // chunks, (c + 1) * B // chunks)
        if chunks == 1:
            step_of_member(critic, critic_rates, tau, K, k)
    if chunks > 1:
        for p in prange(pieces):
            step_of_slice(critic, critic_parts, critic_rates, tau, p, pieces)
    for p in prange(pieces):
        actor_rows(actor, critic, actor[2] if p == 0 else actor_parts[p - 1], alpha, rows, p * B // pieces, (p + 1) * B // pieces)
    step_of_slice(actor, actor_parts, actor_rates, 0.0, 0, 1)
    entropy = mean_of(entropies)
    if learn_alpha:
        alpha_grad[0] = alpha * (entropy - log_alpha.dtype.type(target_entropy))
        lr, beta1, beta2, eps, scale = alpha_rates
        adam(log_alpha, alpha_grad, alpha_m, alpha_v, lr, beta1, beta2, eps, scale)
    critic_loss, mean_q, td_error = means_of(sums, K, B)
    return mean_of(losses), critic_loss, entropy, alpha, mean_q / n, td_error


discrete_soft_one, discrete_soft_several = jit(_update), jit(_update, parallel=True)


def discrete_soft_update(parallel, actor, critic, temperature, settings, memory, rows, more):
    return (discrete_soft_several if parallel else discrete_soft_one)(actor, critic, temperature, settings, memory, rows, more)


# name → (function, the class it stands in for, the modules whose arithmetic it repeats)
UPDATES: dict[str, Update] = {
    "discrete_sac_update": Update(discrete_soft_update, "scratchac.algorithms.discrete_sac.DiscreteSAC", (
        "scratchac.algorithms.discrete_sac", "scratchac.nn", "scratchac.distributions", "scratchac.losses", "scratchac.optim",
        "scratchac.algorithms.plumbing", "scratchac.training.memory", "scratchac.training.hindsight")),
}
