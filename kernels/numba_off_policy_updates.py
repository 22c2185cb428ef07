"""Compiled updates of SAC, TD3 and DDPG, each in one call, for one thread or for several.

Each does the same as the method `update` in an algorithm's file, which remains the reference (see `UPDATES` below). The host draws
the rows and the noise. A large minibatch is cut into two pieces, on every machine, and the caller says whether each piece has a
thread of its own; the numbers are the same. There are few parallel regions, since each has to wake a thread: first each thread
computes the targets of some rows, then it trains one critic, then it computes the actor's gradient for some rows.
"""

import numpy as np
from numba import prange

from kernels.backend import Update
from kernels.numba_jit import jit
from kernels.numba_off_policy import (
    bootstrap_rows,
    critic_rows,
    deterministic_actor_rows,
    mean_least,
    mean_of,
    means_of,
    policy_rows,
    put_behind,
    smoothed_rows,
    soft_actor_rows,
    soft_policy_rows,
    step_of_member,
    step_of_slice,
    take_rows,
    values_of,
)
from kernels.numba_optimisers import adam

PARALLEL_UPDATE = 2_500_000           # rows times parameters from which two threads make an update 1.3 times as fast or more
LEAST_ROWS = 64                     # of a piece


def pieces(rows: int, parameters: int) -> int:
    """Into how many pieces a minibatch is cut. It does not depend on the machine, since each piece's sums are rounded."""
    return 2 if rows >= 2 * LEAST_ROWS and rows * parameters >= PARALLEL_UPDATE else 1


# -- acting ------------------------------------------------------------------------------------------------------------------


@jit
def act(theta, sizes, code, s, y):
    """π(s) (B, A), a view into y, the memory for all layers."""
    return policy_rows(theta, sizes, code, s, y, 0, len(s))


@jit
def soft_act(theta, sizes, code, clamp, s, y, noise, sample):
    """Write actions ã ~ π(·|s) to `sample`."""
    soft_policy_rows(theta, sizes, code, clamp, s, y, noise, sample, 0, len(s))


# -- updates, each compiled twice: `prange` is a plain range where the function is for one thread ------------------------------


def _soft(actor, critic, temperature, settings, memory, noise, sample, rows, more):
    """An update of SAC; returns (actor loss, critic loss, entropy, α, mean Q, mean |TD error|)."""
    gamma, tau, clamp, learn_alpha, target_entropy, actor_rates, critic_rates, alpha_rates = settings
    log_alpha, alpha_grad, alpha_m, alpha_v = temperature
    actor_parts, critic_parts = more
    y, q, sums, logp = rows[7], rows[8], rows[12], sample[3]
    B, pieces, chunks = len(memory[5]), len(actor_parts) + 1, len(critic_parts) + 1
    K = len(sums) // chunks                                     # a task is a chunk of the rows for one critic
    alpha = np.exp(log_alpha[0])
    for p in prange(pieces):
        low, high = p * B // pieces, (p + 1) * B // pieces
        take_rows(memory, rows, low, high)
        soft_policy_rows(actor[0], actor[5], actor[6], clamp, rows[1], y, noise[0], sample, low, high)
        put_behind(sample[0], rows[1], rows[3], low, high)
        bootstrap_rows(critic, gamma, rows, alpha, logp, low, high)
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
        soft_actor_rows(actor, critic, actor[2] if p == 0 else actor_parts[p - 1], alpha, clamp, noise[1], sample, rows,
                        p * B // pieces, (p + 1) * B // pieces)
    step_of_slice(actor, actor_parts, actor_rates, 0.0, 0, 1)
    mean_logp = mean_of(logp)
    if learn_alpha:
        alpha_grad[0] = -alpha * (mean_logp + log_alpha.dtype.type(target_entropy))
        lr, beta1, beta2, eps, scale = alpha_rates
        adam(log_alpha, alpha_grad, alpha_m, alpha_v, lr, beta1, beta2, eps, scale)
    critic_loss, mean_q, td_error = means_of(sums, K, B)
    return alpha * mean_logp - mean_least(values_of(q, critic[5], K, B)), critic_loss, -mean_logp, alpha, mean_q, td_error


def _deterministic(actor, critic, settings, memory, noise, rows, more):
    """An update of TD3 or DDPG; returns (actor loss, critic loss, mean Q, mean |TD error|), 0 for an actor that waits."""
    gamma, tau, scale, clip, trains_actor, actor_rates, critic_rates = settings
    actor_parts, critic_parts = more
    q, sums, nothing = rows[8], rows[12], rows[4][:0]
    B, pieces, chunks = len(memory[5]), len(actor_parts) + 1, len(critic_parts) + 1
    K = len(sums) // chunks                                     # a task is a chunk of the rows for one critic
    rate = tau if trains_actor else 0.0                         # of the target networks
    for p in prange(pieces):
        low, high = p * B // pieces, (p + 1) * B // pieces
        take_rows(memory, rows, low, high)
        smoothed_rows(actor, noise, scale, clip, rows, low, high)
        bootstrap_rows(critic, gamma, rows, 0.0, nothing, low, high)
    for task in prange(K * chunks):
        k, c = task // chunks, task % chunks
        critic_rows(critic, critic[2] if c == 0 else critic_parts[c - 1], k, sums[task], rows,
                    c * B // chunks, (c + 1) * B // chunks)
        if chunks == 1:
            step_of_member(critic, critic_rates, rate, K, k)
    if chunks > 1:
        for p in prange(pieces):
            step_of_slice(critic, critic_parts, critic_rates, rate, p, pieces)
    critic_loss, mean_q, td_error = means_of(sums, K, B)
    if not trains_actor:
        return 0.0, critic_loss, mean_q, td_error
    for p in prange(pieces):
        deterministic_actor_rows(actor, critic, actor[2] if p == 0 else actor_parts[p - 1], rows,
                                 p * B // pieces, (p + 1) * B // pieces)
    step_of_slice(actor, actor_parts, actor_rates, rate, 0, 1)
    return -mean_of(values_of(q, critic[5], 1, B)[0]), critic_loss, mean_q, td_error


soft_one, soft_several = jit(_soft), jit(_soft, parallel=True)
deterministic_one, deterministic_several = jit(_deterministic), jit(_deterministic, parallel=True)


def soft_update(parallel, actor, critic, temperature, settings, memory, noise, sample, rows, more):
    update = soft_several if parallel else soft_one
    return update(actor, critic, temperature, settings, memory, noise, sample, rows, more)


def deterministic_update(parallel, actor, critic, settings, memory, noise, rows, more):
    update = deterministic_several if parallel else deterministic_one
    return update(actor, critic, settings, memory, noise, rows, more)


# name → (function, the class it stands in for, the modules whose arithmetic it repeats)
SHARED = ("scratchac.nn", "scratchac.distributions", "scratchac.losses", "scratchac.optim", "scratchac.algorithms.plumbing",
           "scratchac.training.memory", "scratchac.training.hindsight")
UPDATES: dict[str, Update] = {
    "sac_update": Update(soft_update, "scratchac.algorithms.sac.SAC", ("scratchac.algorithms.sac", *SHARED)),
    "td3_update": Update(deterministic_update, "scratchac.algorithms.td3.TD3", ("scratchac.algorithms.td3", *SHARED)),
    "ddpg_update": Update(deterministic_update, "scratchac.algorithms.ddpg.DDPG", ("scratchac.algorithms.ddpg", *SHARED)),
}
