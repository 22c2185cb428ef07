"""Pieces of the compiled off-policy updates, each for some rows of a minibatch or for one critic of a stack.

Every thread calls them for rows or critics of its own (numba_off_policy_updates.py). Equations are in the algorithms' files.
Arguments that belong together are one tuple, as the NamedTuples here say; callers pass plain tuples, which cost less at each call.
"""

from typing import NamedTuple

import numpy as np

from kernels.numba_jit import jit
from kernels.numba_networks import backward_rows, forward_rows, input_gradient_rows, output_of, tanh, weights_of
from kernels.numba_optimisers import adam, polyak


class Learner(NamedTuple):
    """A network or a stack of K networks that is trained with Adam, and its target network."""

    flat: np.ndarray        # parameters (P,)
    target: np.ndarray      # (P,); without a target network, the parameters themselves
    grad: np.ndarray        # (P,)
    m: np.ndarray           # moments (P,)
    v: np.ndarray
    sizes: np.ndarray       # (inputs, hidden …, outputs)
    code: int               # of the activation


class AdamStep(NamedTuple):
    """A step of Adam, with the corrections of its bias."""

    lr: float               # learning rate / (1 − β₁ᵗ)
    beta1: float
    beta2: float
    eps: float
    scale: float            # 1 / √(1 − β₂ᵗ)


class Memory(NamedTuple):
    """A replay buffer, and the rows of it that are the minibatch."""

    obs: np.ndarray         # (capacity, O)
    actions: np.ndarray     # (capacity, A), or (capacity,) whole numbers
    rewards: np.ndarray     # (capacity,)
    next_obs: np.ndarray    # (capacity, O)
    term: np.ndarray        # (capacity,)
    where: np.ndarray       # (B,)


class Rows(NamedTuple):
    """Memory for one minibatch: K critics, C inputs of a critic, n outputs of the actor."""

    s: np.ndarray           # (B, O)
    s2: np.ndarray          # (B, O)
    sa: np.ndarray          # (B, C) [s | a], and later [s | π(s)]
    sa2: np.ndarray         # (B, C) [s′ | a′]
    r: np.ndarray           # (B,)
    term: np.ndarray        # (B,)
    target: np.ndarray      # (B,)
    y: np.ndarray           # outputs of all layers of the actor
    q: np.ndarray           # outputs of all layers of all critics
    dy: np.ndarray          # (B, n) ∂L/∂(outputs of the actor)
    dq: np.ndarray          # (K, B, …) ∂L/∂Q
    da: np.ndarray          # (K, B, A) ∂L/∂a through each critic
    sums: np.ndarray        # (tasks, 3) sums over a task's rows for the metrics


class Sample(NamedTuple):
    """Memory for B actions that are drawn from a tanh-squashed Gaussian."""

    a: np.ndarray           # (B, A)
    std: np.ndarray         # (B, A) σ
    slope: np.ndarray       # (B, A) ∂log σ/∂raw
    logp: np.ndarray        # (B,)


# -- what every update begins with -------------------------------------------------------------------------------------------


@jit
def take_rows(memory, rows, low, high):
    """Copy rows of the replay buffer, with the action behind s, to where the networks read them."""
    obs, actions, rewards, next_obs, term, where = memory
    s, s2, sa, sa2, r, over, _, _, _, _, _, _, _ = rows
    O = s.shape[1]
    for i in range(low, high):
        row = where[i]
        r[i], over[i] = rewards[row], term[row]
        for j in range(O):
            s[i, j] = sa[i, j] = obs[row, j]
            s2[i, j] = sa2[i, j] = next_obs[row, j]
        for j in range(actions.shape[1]):
            sa[i, O + j] = actions[row, j]


@jit
def put_behind(a, s, sa, low, high):
    """The columns behind those of s (B, O) become a (B, A)."""
    O = s.shape[1]
    for i in range(low, high):
        for j in range(a.shape[1]):
            sa[i, O + j] = a[i, j]


@jit
def evaluate_rows(flat, sizes, n, K, code, x, q, low, high):
    """The first n of K critics at these rows of x."""
    for k in range(n):
        forward_rows(flat, sizes, K, k, k, n, code, x, q, low, high)


@jit
def values_of(q, sizes, n, B):
    """The values (n, B) of n critics, as a view into the outputs of all their layers."""
    start = 0
    for size in sizes[1:-1]:
        start += n * B * size
    return q[start : start + n * B].reshape(n, B)


@jit
def bootstrap_rows(critic, gamma, rows, alpha, logp, low, high):
    """target = r + γ(1 − term)[min_k Q′ₖ(s′, a′) − α log π(a′|s′)]; logp is (B,), or (0,) where the policy has no entropy."""
    _, w, _, _, _, sizes, code = critic
    _, _, _, sa2, r, term, target, _, q, _, dq, _, _ = rows
    K, B = dq.shape[:2]
    evaluate_rows(w, sizes, K, K, code, sa2, q, low, high)
    values = values_of(q, sizes, K, B)
    one, discount = r.dtype.type(1), r.dtype.type(gamma)
    for i in range(low, high):
        value = values[0, i]
        for k in range(1, K):
            value = value if value <= values[k, i] else values[k, i]
        if len(logp) > 0:
            value -= alpha * logp[i]
        target[i] = r[i] + discount * (one - term[i]) * value


# -- critics -------------------------------------------------------------------------------------------------------------------


@jit
def critic_rows(critic, grad, k, sums, rows, low, high):
    """Write the gradient of L = mean ½(Qₖ(s, a) − target)², these rows' part of it, to `grad`, and three sums to `sums`."""
    w, _, _, _, _, sizes, code = critic
    _, _, sa, _, _, _, target, _, q, _, dq, _, _ = rows
    K, B = dq.shape[:2]
    forward_rows(w, sizes, K, k, k, K, code, sa, q, low, high)
    values, rate = values_of(q, sizes, K, B)[k], q.dtype.type(1 / B)
    sums.fill(0)
    for i in range(low, high):
        error = values[i] - target[i]
        dq[k, i, 0] = error * rate
        sums[0] += error * error
        sums[1] += values[i]
        sums[2] += abs(error)
    backward_rows(w, grad, sizes, K, k, k, K, code, sa, q, dq[k], dq[k, :0], low, high)


@jit
def step_of_member(learner, rates, tau, K, k):
    """Adam on the parameters of one member of a stack and, unless τ = 0, the step of its target network."""
    flat, target, grad, m, v, sizes, _ = learner
    lr, beta1, beta2, eps, scale = rates
    for layer in range(len(sizes) - 1):
        (W, b), (dW, db) = weights_of(flat, sizes, K, k, layer), weights_of(grad, sizes, K, k, layer)
        (mW, mb), (vW, vb) = weights_of(m, sizes, K, k, layer), weights_of(v, sizes, K, k, layer)
        adam(W.ravel(), dW.ravel(), mW.ravel(), vW.ravel(), lr, beta1, beta2, eps, scale)
        adam(b, db, mb, vb, lr, beta1, beta2, eps, scale)
        if tau > 0:
            W2, b2 = weights_of(target, sizes, K, k, layer)
            polyak(W2.ravel(), W.ravel(), tau)
            polyak(b2, b, tau)


@jit
def step_of_slice(learner, parts, rates, tau, p, pieces):
    """Add the gradients of other threads to piece p of the gradient, then Adam and, unless τ = 0, the target network's step."""
    flat, target, grad, m, v, _, _ = learner
    lr, beta1, beta2, eps, scale = rates
    low, high = p * flat.size // pieces, (p + 1) * flat.size // pieces
    g = grad[low:high]
    for part in parts:
        more = part[low:high]
        for i in range(g.size):
            g[i] += more[i]
    adam(flat[low:high], g, m[low:high], v[low:high], lr, beta1, beta2, eps, scale)
    if tau > 0:
        polyak(target[low:high], flat[low:high], tau)


@jit
def means_of(sums, K, B):
    """(loss of K critics, mean Q, mean |TD error|) from the sums of `critic_rows`."""
    loss = q = error = sums.dtype.type(0)
    for squares, values, sizes in sums:
        loss += squares
        q += values
        error += sizes
    T = sums.dtype.type
    return loss / T(2 * B), q / T(K * B), error / T(K * B)


@jit
def mean_of(x):
    """The mean of x (B,). In a function for several threads `x.mean()` would be one sum for each of them, rounded differently."""
    return x.mean()


@jit
def mean_least(values):
    """The mean over B of the smaller one of two values (2, B)."""
    total = values.dtype.type(0)
    for i in range(values.shape[1]):
        total += values[0, i] if values[0, i] <= values[1, i] else values[1, i]
    return total / values.dtype.type(values.shape[1])


# -- deterministic policies: DDPG, TD3 ---------------------------------------------------------------------------------------


@jit
def policy_rows(theta, sizes, code, s, y, low, high):
    """π(s) = tanh(network(s)), which is returned as a view into y, (B, A)."""
    forward_rows(theta, sizes, 1, 0, 0, 1, code, s, y, low, high)
    a = output_of(y, sizes, 1, 0, len(s), len(sizes) - 2)
    tanh(a[low:high])
    return a


@jit
def smoothed_rows(actor, noise, scale, clip, rows, low, high):
    """a′ = clip(π′(s′) + clip(scale · noise, ±c), ±1); without noise (0, A) it is π′(s′)."""
    _, theta, _, _, _, sizes, code = actor
    _, s2, _, sa2, _, _, _, y, _, _, _, _, _ = rows
    a = policy_rows(theta, sizes, code, s2, y, low, high)
    T, O = y.dtype.type, s2.shape[1]
    for i in range(low, high):
        for j in range(a.shape[1]):
            if len(noise) > 0:
                eps = T(scale * noise[i, j])
                a[i, j] += min(max(eps, T(-clip)), T(clip))
                sa2[i, O + j] = min(max(a[i, j], T(-1)), T(1)) if a[i, j] == a[i, j] else a[i, j]
            else:
                sa2[i, O + j] = a[i, j]


@jit
def deterministic_actor_rows(actor, critic, grad, rows, low, high):
    """Write the gradient of L = −mean Q₁(s, π(s)), these rows' part of it, to `grad`."""
    theta, _, _, _, _, sizes, code = actor
    w, _, _, _, _, critic_sizes, critic_code = critic
    s, _, sa, _, _, _, _, y, q, dy, dq, da, _ = rows
    T, O, (K, B) = y.dtype.type, s.shape[1], dq.shape[:2]
    a = policy_rows(theta, sizes, code, s, y, low, high)
    put_behind(a, s, sa, low, high)
    for i in range(low, high):
        dq[0, i, 0] = T(-1 / B)
    evaluate_rows(w, critic_sizes, 1, K, critic_code, sa, q, low, high)
    input_gradient_rows(w, critic_sizes, K, 0, 0, 1, critic_code, sa, q, dq[0], da[0], low, high, O)
    for i in range(low, high):
        for j in range(a.shape[1]):
            dy[i, j] = da[0, i, j] * (T(1) - a[i, j] * a[i, j])
    backward_rows(theta, grad, sizes, 1, 0, 0, 1, code, s, y, dy, dy[:0], low, high)


# -- the tanh-squashed Gaussian: SAC -----------------------------------------------------------------------------------------


@jit
def sample_rows(y, clamp, noise, sample, low, high):
    """ã = tanh(μ + σε) and log π(ã) from y = [raw log σ | μ] (B, 2A), and what the backward pass needs."""
    T = y.dtype.type
    a, std, slope, logp = sample
    A = a.shape[1]
    one, two, lowest, highest = T(1), T(2), T(-20), T(2)
    half_log_2pi, log_2 = T(0.9189385332046727), T(0.6931471805599453)
    for i in range(low, high):
        for j in range(A):
            slope[i, j] = y[i, j]
    if not clamp:
        tanh(slope[low:high])
    for i in range(low, high):
        total = T(0)
        for j in range(A):
            raw, eps = slope[i, j], T(noise[i, j])
            if clamp:
                log_std = lowest if raw < lowest else highest if raw > highest else raw
                slope[i, j] = one if lowest < raw < highest else T(0)
            else:
                log_std = T(-5) + T(3.5) * (raw + one)
                slope[i, j] = T(3.5) * (one - raw * raw)
            sigma = np.exp(log_std)
            u = y[i, A + j] + sigma * eps
            softplus = max(-two * u, T(0)) + np.log1p(np.exp(-two * abs(u)))
            total += T(-0.5) * eps * eps - log_std - half_log_2pi - two * (log_2 - u - softplus)
            std[i, j], a[i, j] = sigma, u
        logp[i] = total
    tanh(a[low:high])


@jit
def soft_policy_rows(theta, sizes, code, clamp, s, y, noise, sample, low, high):
    """Actions ã ~ π(·|s) with their log-probabilities, in `sample`."""
    forward_rows(theta, sizes, 1, 0, 0, 1, code, s, y, low, high)
    sample_rows(output_of(y, sizes, 1, 0, len(s), len(sizes) - 2), clamp, noise, sample, low, high)


@jit
def soft_actor_rows(actor, critic, grad, alpha, clamp, noise, sample, rows, low, high):
    """Write the gradient of L = mean[α log π(ã|s) − min_k Qₖ(s, ã)], these rows' part of it, to `grad`."""
    theta, _, _, _, _, sizes, code = actor
    w, _, _, _, _, critic_sizes, critic_code = critic
    s, _, sa, _, _, _, _, y, q, dy, dq, da, _ = rows
    a, std, slope, _ = sample
    T, O, A, (K, B) = y.dtype.type, s.shape[1], a.shape[1], dq.shape[:2]
    soft_policy_rows(theta, sizes, code, clamp, s, y, noise, sample, low, high)
    put_behind(a, s, sa, low, high)
    evaluate_rows(w, critic_sizes, K, K, critic_code, sa, q, low, high)
    values, share, zero = values_of(q, critic_sizes, K, B), T(-1 / B), T(0)
    for i in range(low, high):
        first = values[0, i] <= values[1, i]
        dq[0, i, 0] = share if first else zero
        dq[1, i, 0] = zero if first else share
    for k in range(K):
        input_gradient_rows(w, critic_sizes, K, k, k, K, critic_code, sa, q, dq[k], da[k], low, high, O)
    dlogp, one, two = alpha / T(B), T(1), T(2)
    for i in range(low, high):
        for j in range(A):
            d = (da[0, i, j] + da[1, i, j]) * (one - a[i, j] * a[i, j]) + dlogp * two * a[i, j]
            dy[i, A + j] = d
            dy[i, j] = (d * std[i, j] * T(noise[i, j]) - dlogp) * slope[i, j]
    backward_rows(theta, grad, sizes, 1, 0, 0, 1, code, s, y, dy, dy[:0], low, high)
