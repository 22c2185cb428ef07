"""PPO's whole update: values and advantages of a rollout in one call, then all epochs and minibatches in another.

Actor and critic meet in the norm of their gradient alone, so each has a core of its own where that pays.
"""

import math

import numpy as np
from numba import prange

from kernels.backend import Update
from kernels.numba_jit import jit
from kernels.numba_networks import backward_rows, forward_rows, output_of, size_of
from kernels.numba_optimisers import adam
from kernels.numba_policies import backward, evaluate

ACTOR_LOSS, CRITIC_LOSS, ENTROPY, GRAD_NORM, KL, CLIPPED, VALUE = range(7)      # columns of what `learn` reports


# -- before the first minibatch ------------------------------------------------------------------------------------------------


@jit
def _values(w, sizes, code, s):
    """V (B,) of rows s (B, O)."""
    B = len(s)
    v = np.empty(B * sizes[1:].sum(), s.dtype)
    forward_rows(w, sizes, 1, 0, 0, 1, code, s, v, 0, B)
    return v[v.size - B:]


@jit
def _next_values(w, sizes, code, s, s2, v, N):
    """V(s2) (B,). Where a row of s2 (B, O) is the row of s N further, its value is known and not computed again."""
    B = v.size
    v2, rows = np.empty_like(v), np.empty(B, np.int64)
    m = 0
    for i in range(B):
        known = i + N < B
        for j in range(sizes[0]):
            known = known and s2[i, j] == s[i + N, j]
        if known:
            v2[i] = v[i + N]
        else:
            rows[m] = i
            m += 1
    others = np.empty((m, sizes[0]), w.dtype)             # m ≥ N, since nothing follows the last N rows
    for k in range(m):
        for j in range(s2.shape[1]):
            others[k, j] = s2[rows[k], j]
    found = _values(w, sizes, code, others)
    for k in range(m):
        v2[rows[k]] = found[k]
    return v2


@jit
def estimate(actor, critic, steps, gamma, lam):
    """log π(a|s), V(s) and GAE's advantages, each (T·N,), for `Steps` of numba_updates and two `Network`s."""
    theta, _, actor_sizes, code = actor
    w, _, critic_sizes, critic_code = critic
    s, s2, a, r, term, done = steps
    T, N = r.shape
    B = T * N
    y = np.empty(B * actor_sizes[1:].sum(), s.dtype)
    forward_rows(theta, actor_sizes, 1, 0, 0, 1, code, s, y, 0, B)
    outputs = output_of(y, actor_sizes, 1, 0, B, len(actor_sizes) - 2)
    constants = theta[size_of(actor_sizes):]
    row, logp = np.empty((2, outputs.shape[1]), y.dtype), np.empty(B, y.dtype)
    for i in range(B):
        logp[i], _ = evaluate(outputs, constants, a, i, row)
    v = _values(w, critic_sizes, critic_code, s)
    v2 = _next_values(w, critic_sizes, critic_code, s, s2, v, N)
    advantage = np.empty_like(logp)
    for t in range(T - 1, -1, -1):
        for k in range(N):
            i = t * N + k
            A = r[t, k] + gamma * (1 - term[t, k]) * v2[i] - v[i]
            if t < T - 1:
                A += gamma * lam * (1 - done[t, k]) * advantage[i + N]
            advantage[i] = A
    return logp, v, advantage


# -- one minibatch -------------------------------------------------------------------------------------------------------------


@jit
def _actor_gradient(theta, dtheta, sizes, code, s, a, logp_old, advantage, clip, entropy_coef, seen):
    """Fill dtheta; the loss, the entropy, the divergence and the share of clipped rows go to seen (7,)."""
    B, n, P = len(s), sizes[-1], size_of(sizes)
    y, dy = np.empty(B * sizes[1:].sum(), s.dtype), np.empty((B, n), s.dtype)
    forward_rows(theta, sizes, 1, 0, 0, 1, code, s, y, 0, B)
    outputs = output_of(y, sizes, 1, 0, B, len(sizes) - 2)
    row, constants, dconstants = np.empty((2, n), s.dtype), theta[P:], dtheta[P:]
    dconstants.fill(0)
    # In the networks' dtype: a gain in float32 and a clipped one in float64 would differ where nothing is clipped.
    low, high = s.dtype.type(1 - clip), s.dtype.type(1 + clip)
    loss = entropy_sum = kl = 0.0
    clipped = 0
    for i in range(B):
        logp, entropy = evaluate(outputs, constants, a, i, row)
        log_ratio = logp - logp_old[i]
        ratio = np.exp(log_ratio)
        gain, held = ratio * advantage[i], min(max(ratio, low), high) * advantage[i]
        dlogp = -(0 if gain > held else gain) / B
        backward(a, i, row, entropy, dlogp, -entropy_coef / B, dy, dconstants)
        loss -= min(gain, held) / B
        entropy_sum += entropy
        kl += (ratio - 1 - log_ratio) / B
        clipped += abs(ratio - 1) > clip
    backward_rows(theta, dtheta, sizes, 1, 0, 0, 1, code, s, y, dy, dy[:0], 0, B)
    seen[ACTOR_LOSS], seen[ENTROPY], seen[KL], seen[CLIPPED] = loss, entropy_sum / B, kl, clipped / B


@jit
def _critic_gradient(w, dw, sizes, code, s, target, value_coef, seen):
    """Fill dw; the loss and the mean value go to seen (7,)."""
    B = len(s)
    y, dy = np.empty(B * sizes[1:].sum(), s.dtype), np.empty((B, 1), s.dtype)
    forward_rows(w, sizes, 1, 0, 0, 1, code, s, y, 0, B)
    v = y[y.size - B:]
    loss = total = 0.0
    for i in range(B):
        error = v[i] - target[i]
        dy[i, 0] = value_coef * error / B
        loss += 0.5 * error * error / B
        total += v[i]
    backward_rows(w, dw, sizes, 1, 0, 0, 1, code, s, y, dy, dy[:0], 0, B)
    seen[CRITIC_LOSS], seen[VALUE] = loss, total / B


# -- all minibatches -----------------------------------------------------------------------------------------------------------


@jit
def _step(p, g, m, v, pending):
    """Adam's step with the gradient scaled by the first number of `pending` (6,), whose others are Adam's."""
    shrink = g.dtype.type(pending[0])
    for i in range(g.size):
        g[i] *= shrink
    adam(p, g, m, v, pending[1], pending[3], pending[4], pending[5], pending[2])


@jit
def _gradients(flat, grad, actor_sizes, code, critic_sizes, critic_code, s, a, logp_old, advantage, target, clip, entropy_coef,
               value_coef, m, v, pending, seen):
    cut = flat.size - size_of(critic_sizes)
    for k in range(2):
        _half(k, cut, flat, grad, actor_sizes, code, critic_sizes, critic_code, s, a, logp_old, advantage, target, clip,
              entropy_coef, value_coef, m, v, pending, seen)


@jit(parallel=True)
def _gradients_parallel(flat, grad, actor_sizes, code, critic_sizes, critic_code, s, a, logp_old, advantage, target, clip,
                        entropy_coef, value_coef, m, v, pending, seen):
    cut = flat.size - size_of(critic_sizes)
    for k in prange(2):
        _half(k, cut, flat, grad, actor_sizes, code, critic_sizes, critic_code, s, a, logp_old, advantage, target, clip,
              entropy_coef, value_coef, m, v, pending, seen)


@jit
def _half(k, cut, flat, grad, actor_sizes, code, critic_sizes, critic_code, s, a, logp_old, advantage, target, clip, entropy_coef,
          value_coef, m, v, pending, seen):
    """The actor's part (k = 0) or the critic's (k = 1): Adam's step that is `pending`, then the gradient of these rows."""
    low, high = (0, cut) if k == 0 else (cut, flat.size)
    p, g = flat[low:high], grad[low:high]
    if pending[0] > 0:
        _step(p, g, m[low:high], v[low:high], pending)
    if k == 0:
        _actor_gradient(p, g, actor_sizes, code, s, a, logp_old, advantage, clip, entropy_coef, seen)
    else:
        _critic_gradient(p, g, critic_sizes, critic_code, s, target, value_coef, seen)


@jit
def learn(flat, grad, networks, rows, orders, batch_size, settings, moments, cores, seen):
    """PPO's gradient steps on the minibatches of `orders`, permutations (E, B) of rows; returns how many steps have been taken.

    flat, grad  (P,) parameters and gradient of actor and critic, one after the other
    networks    (sizes, code of the activation) of the actor and of the critic
    rows        (s (B, O), a (B,) or (B, A), log π_old (B,), V_old (B,), Â (B,))
    settings    (ε, entropy_coef, value_coef, max_grad_norm, learning rate)
    moments     Adam's (m, v, steps so far, β₁, β₂, ε)
    cores       None, or 2: a core each for the actor and the critic
    seen        (E · minibatches, 7), filled

    It stops before a step whose gradient is not finite.
    """
    actor_sizes, code, critic_sizes, critic_code = networks
    s, a, logp, v_old, adv = rows
    clip, entropy_coef, value_coef, max_grad_norm, lr = settings
    m, v, t, beta1, beta2, eps = moments
    T = s.dtype.type
    E, B = orders.shape
    pending = np.array([0.0, 0.0, 0.0, beta1, beta2, eps])
    count = 0
    for e in range(E):
        for start in range(0, B, batch_size):
            chosen = orders[e, start : start + batch_size]
            b = len(chosen)
            sb, ab, logpb = np.empty((b, s.shape[1]), s.dtype), a[chosen], np.empty(b, s.dtype)
            advantage, target = np.empty(b, s.dtype), np.empty(b, s.dtype)
            mean = square = 0.0
            for i in range(b):
                k = chosen[i]
                for j in range(s.shape[1]):
                    sb[i, j] = s[k, j]
                logpb[i], advantage[i], target[i] = logp[k], adv[k], v_old[k] + adv[k]
                mean += adv[k] / b
            if b > 1:
                for i in range(b):
                    square += (advantage[i] - mean) ** 2 / b
                for i in range(b):
                    advantage[i] = T((advantage[i] - mean) / (math.sqrt(square) + 1e-8))
            if cores is None:                               # the other branch is not compiled
                _gradients(flat, grad, actor_sizes, code, critic_sizes, critic_code, sb, ab, logpb, advantage, target, clip,
                           entropy_coef, value_coef, m, v, pending, seen[count])
            else:
                _gradients_parallel(flat, grad, actor_sizes, code, critic_sizes, critic_code, sb, ab, logpb, advantage, target,
                                    clip, entropy_coef, value_coef, m, v, pending, seen[count])
            norm = math.sqrt(np.dot(grad, grad))
            if not math.isfinite(norm):
                return count
            seen[count, GRAD_NORM] = norm
            count += 1
            pending[0] = max_grad_norm / norm if 0 < max_grad_norm < norm else 1.0
            pending[1], pending[2] = lr / (1 - beta1 ** (t + count)), 1 / math.sqrt(1 - beta2 ** (t + count))
    if pending[0] > 0:
        _step(flat, grad, m, v, pending)
    return count


# name → (function, the class it stands in for, the modules whose arithmetic it repeats)
UPDATES: dict[str, Update] = {
    "ppo_update": Update(learn, "scratchac.algorithms.ppo.PPO",
                         ("scratchac.algorithms.ppo", "scratchac.losses", "scratchac.returns", "scratchac.optim", "scratchac.nn",
                          "scratchac.distributions", "scratchac.policies", "scratchac.algorithms.plumbing")),
}
