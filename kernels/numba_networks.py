"""Compiled loops over whole networks, with a stack's members or pieces of a batch on several cores; and whole updates.

A vector contains a stack layer by layer, as nn.Parameters lays it out: [W1 (K, I, H) | b1 (K, H) | W2 …], so that each member's W
is contiguous, which np.dot requires. Products run in BLAS, or in plain loops if they are too small for a BLAS call.

All of it is in one long file, since Numba's cache on disk does not notice a change in a function of another file.
"""

import os
from functools import partial
from typing import Any, NamedTuple

# A thread that waits for the other one spins. With GNU OpenMP's default duration a busy machine makes a quarter of the updates (5.6
# instead of 24.7 SAC updates/s with three other processes on two cores), and an idle one makes no more. OpenMP reads it at loading.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

import numpy as np
import scipy.linalg.cython_blas  # noqa: F401  np.dot in compiled code is SciPy's BLAS; loaded before its threads are limited
from numba import njit, prange
from numba.core.caching import FunctionCache

from kernels import registry
from kernels.backend import Update


# error_model: Python's check for division by zero would keep a loop from being vectorised. No fastmath: it lets two compiled copies
# of one function round differently, and which one a process runs depends on what was in its cache.
def jit(function: Any = None, **options: Any) -> Any:
    """Numba's njit with a cache on disk; without one where no folder for it can be written, and then a message says so."""
    if function is None:
        return partial(jit, **options)
    options |= {"nogil": True, "error_model": "numpy"}
    made: Any = njit(**options)(function)
    if made is not function:                                                # as it is with NUMBA_DISABLE_JIT
        try:
            made._cache = Cache(function)                                   # as its enable_caching does
        except RuntimeError as error:
            if "cannot cache" not in str(error):
                raise
            registry.say("Numba cannot keep what it compiles, since it finds no folder to write: each process compiles anew "
                         "(NUMBA_CACHE_DIR names a folder)")
    return made


class Cache(FunctionCache):
    """Numba's cache of one function. What it cannot write, as on a full disk, the next process compiles anew."""

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep what has been compiled for a signature."""
        try:
            super().save_overload(sig, data)
        except OSError as error:
            registry.say(f"Numba cannot keep what it compiles ({error.strerror}): the next process compiles it anew")


IDENTITY, RELU, TANH = 0, 1, 2
CODES = {"identity": IDENTITY, "relu": RELU, "tanh": TANH}
BLAS_WORK = 16_000                  # below that many multiply-adds a plain loop beats the call of a BLAS routine


# -- one dense layer, for one thread -------------------------------------------------------------------------------------


@jit
def _is_small(a, b, columns):
    """Whether a plain loop beats a BLAS routine: few multiply-adds, in rows long enough for vector registers, or next to none."""
    work = a * b * columns
    return work < BLAS_WORK and (columns >= 8 or work < 1_000)


@jit
def linear(x, W, b, code, y):
    """y ← f(x W + b)."""
    rows, I = x.shape
    H = W.shape[1]
    if H == 1:
        np.dot(x, W.reshape(I), y.reshape(rows))
        for i in range(rows):
            y[i, 0] += b[0]
    elif _is_small(rows, I, H):
        for i in range(rows):
            for h in range(H):
                y[i, h] = b[h]
            for k in range(I):
                for h in range(H):                      # innermost over contiguous columns: vectorised
                    y[i, h] += x[i, k] * W[k, h]
    else:
        np.dot(x, W, y)
        for i in range(rows):
            for h in range(H):
                y[i, h] += b[h]
    if code == RELU:
        zero = y.dtype.type(0)
        for i in range(rows):
            for h in range(H):
                y[i, h] = zero if y[i, h] < 0 else y[i, h]                  # NaN is not below 0, and is passed on
    elif code == TANH:
        for i in range(rows):
            _tanh(y[i])


@jit
def _tanh(z):
    """tanh in place; for float32 a rational function on [−8, 8] (with Eigen's coefficients), a few units in the last place off."""
    if z.itemsize == 4:
        for i in range(z.size):
            x = min(max(z[i], np.float32(-7.99881172180175781)), np.float32(7.99881172180175781))
            s = x * x
            p = s * np.float32(-2.76076847742355e-16) + np.float32(2.00018790482477e-13)
            p = s * p + np.float32(-8.60467152213735e-11)
            p = s * p + np.float32(5.12229709037114e-08)
            p = s * p + np.float32(1.48572235717979e-05)
            p = s * p + np.float32(6.37261928875436e-04)
            p = s * p + np.float32(4.89352455891786e-03)
            q = s * np.float32(1.19825839466702e-06) + np.float32(1.18534705686654e-04)
            q = s * q + np.float32(2.26843463243900e-03)
            q = s * q + np.float32(4.89352518554385e-03)
            z[i] = x * p / q if z[i] == z[i] else z[i]
    else:
        for i in range(z.size):
            z[i] = np.tanh(z[i])


@jit
def input_times(x, dz, dW):
    """dW ← xᵀ dz."""
    rows, I = x.shape
    H = dz.shape[1]
    if _is_small(rows, I, H):
        for k in range(I):
            for h in range(H):
                dW[k, h] = 0
        for i in range(rows):
            for k in range(I):
                for h in range(H):
                    dW[k, h] += x[i, k] * dz[i, h]
    else:
        np.dot(x.T, dz, dW)


@jit
def times_weights(dz, W, dx):
    """dx ← dz Wᵀ."""
    rows, H = dz.shape
    I = W.shape[0]
    if H == 1:                                          # a single output needs no matrix product
        for i in range(rows):
            for k in range(I):
                dx[i, k] = dz[i, 0] * W[k, 0]
    elif _is_small(rows, H, I):
        for i in range(rows):
            np.dot(W, dz[i], dx[i])
    else:
        np.dot(dz, W.T, dx)


@jit
def through_activation(dy, y, code):
    """One row: dy ← dy f′, with f′ from y = f(z): 1 − y² for tanh, [y > 0] for ReLU."""
    if code == TANH:
        for i in range(y.size):
            dy[i] -= dy[i] * y[i] * y[i]
    elif code == RELU:
        zero = y.dtype.type(0)
        for i in range(y.size):
            dy[i] = dy[i] if y[i] > 0 else zero


# -- some rows of one member through the whole network --------------------------------------------------------------------
#
# `y` contains the outputs of every layer: layer 1 (n, B, H1), then layer 2 …; j is the member's index among the n requested ones.


@jit
def _weights(vector, sizes, K, k, layer):
    """W (I, H) and b (H,) of one member, as views into a vector of parameters or gradients."""
    start = 0
    for i in range(layer):
        start += K * (sizes[i] + 1) * sizes[i + 1]
    I, H = sizes[layer], sizes[layer + 1]
    W = vector[start + k * I * H : start + (k + 1) * I * H].reshape(I, H)
    start += K * I * H
    return W, vector[start + k * H : start + (k + 1) * H]


@jit
def _given_by(y, sizes, n, j, B, layer):
    """The output of a layer for one member's rows, (B, H), as a view into y."""
    start = 0
    for i in range(1, layer + 1):
        start += n * B * sizes[i]
    H = sizes[layer + 1]
    return y[start + j * B * H : start + (j + 1) * B * H].reshape(B, H)


@jit
def forward_rows(flat, sizes, K, k, j, n, code, x, y, low, high):
    given, last = x[low:high], len(sizes) - 2
    for layer in range(last + 1):
        W, b = _weights(flat, sizes, K, k, layer)
        out = _given_by(y, sizes, n, j, len(x), layer)[low:high]
        linear(given, W, b, code if layer < last else IDENTITY, out)
        given = out


@jit
def backward_rows(flat, grad, sizes, K, k, j, n, code, x, y, dy, dx, low, high):
    """Write the gradients of these rows alone to `grad`, and ∂L/∂x to dx unless that is empty."""
    dz = dy[low:high]
    for layer in range(len(sizes) - 2, -1, -1):
        W, _ = _weights(flat, sizes, K, k, layer)
        dW, db = _weights(grad, sizes, K, k, layer)
        given = _given_by(y, sizes, n, j, len(x), layer - 1)[low:high] if layer > 0 else x[low:high]
        input_times(given, dz, dW)
        for h in range(db.size):
            db[h] = 0
        for i in range(len(dz)):
            for h in range(db.size):
                db[h] += dz[i, h]
        if layer > 0:
            d = np.empty(given.shape, flat.dtype)
            times_weights(dz, W, d)
            for i in range(len(d)):
                through_activation(d[i], given[i], code)
            dz = d
        elif dx.size > 0:
            times_weights(dz, W, dx[low:high])


@jit
def _input_gradient_rows(flat, sizes, K, k, j, n, code, x, y, dy, dx, low, high):
    """∂L/∂x alone. Rows whose dy is 0, such as those where the minimum chose another critic, are left out of every product."""
    kept = np.empty(high - low, np.int64)
    m = 0
    for i in range(low, high):
        counts = False
        for h in range(dy.shape[1]):
            counts |= dy[i, h] != 0
        if counts:
            kept[m] = i
            m += 1
        else:
            dx[i] = 0
    dz = np.empty((m, dy.shape[1]), flat.dtype)
    for i in range(m):
        dz[i] = dy[kept[i]]
    for layer in range(len(sizes) - 2, -1, -1):
        W, _ = _weights(flat, sizes, K, k, layer)
        d = np.empty((m, len(W)), flat.dtype)
        if m > 0:
            times_weights(dz, W, d)
        if layer > 0:
            given = _given_by(y, sizes, n, j, len(x), layer - 1)
            for i in range(m):
                through_activation(d[i], given[kept[i]], code)
        dz = d
    for i in range(m):
        dx[kept[i]] = dz[i]


# -- all members and rows: one after another, or on several threads ---------------------------------------------------------


@jit
def forward(flat, sizes, K, first, n, code, x, y, chunks):
    for j in range(n):
        forward_rows(flat, sizes, K, first + j, j, n, code, x[j % len(x)], y, 0, x.shape[1])


@jit
def backward(flat, grad, parts, sizes, K, first, n, code, x, y, dy, dx, chunks):
    for j in range(n):
        backward_rows(flat, grad, sizes, K, first + j, j, n, code, x[j % len(x)], y, dy[j], dx[j], 0, x.shape[1])


@jit
def input_gradient(flat, sizes, K, first, n, code, x, y, dy, dx, chunks):
    for j in range(n):
        _input_gradient_rows(flat, sizes, K, first + j, j, n, code, x[j % len(x)], y, dy[j], dx[j], 0, x.shape[1])


@jit(parallel=True)
def forward_parallel(flat, sizes, K, first, n, code, x, y, chunks):
    B = x.shape[1]
    for task in prange(n * chunks):
        j, c = task // chunks, task % chunks
        forward_rows(flat, sizes, K, first + j, j, n, code, x[j % len(x)], y, c * B // chunks, (c + 1) * B // chunks)


@jit(parallel=True)
def backward_parallel(flat, grad, parts, sizes, K, first, n, code, x, y, dy, dx, chunks):
    B = x.shape[1]
    for task in prange(n * chunks):
        j, c = task // chunks, task % chunks
        into = grad if c == 0 else parts[c - 1]
        backward_rows(flat, into, sizes, K, first + j, j, n, code, x[j % len(x)], y, dy[j], dx[j],
                       c * B // chunks, (c + 1) * B // chunks)
    for part in parts:
        for i in range(grad.size):
            grad[i] += part[i]


@jit(parallel=True)
def input_gradient_parallel(flat, sizes, K, first, n, code, x, y, dy, dx, chunks):
    B = x.shape[1]
    for task in prange(n * chunks):
        j, c = task // chunks, task % chunks
        _input_gradient_rows(flat, sizes, K, first + j, j, n, code, x[j % len(x)], y, dy[j], dx[j],
                             c * B // chunks, (c + 1) * B // chunks)


# -- whole updates of an algorithm -----------------------------------------------------------------------------------------
#
# Each does the same as a method in an algorithm's file, which remains the reference (see `UPDATES` below). Arguments that belong
# together are one tuple; a NamedTuple itself would cost a microsecond more at each call, so callers pass tuple(network).


class Network(NamedTuple):
    """One MLP: parameters and gradient (P,), (inputs, hidden …, outputs), and the code of its activation."""

    flat: np.ndarray
    grad: np.ndarray
    sizes: np.ndarray
    code: int


class TracedNetwork(NamedTuple):
    """A network with its eligibility trace (P,), and memory for the outputs of all its layers at one row."""

    flat: np.ndarray
    grad: np.ndarray
    sizes: np.ndarray
    code: int
    trace: np.ndarray
    outputs: np.ndarray


class Steps(NamedTuple):
    """T steps of N environments, as A2C learns from them."""

    s: np.ndarray           # (T·N, O)
    s2: np.ndarray          # (T·N, O) what really followed
    a: np.ndarray           # (T, N) whole numbers
    r: np.ndarray           # (T, N)
    term: np.ndarray        # (T, N)
    done: np.ndarray        # (T, N)


class Minibatch(NamedTuple):
    """B rows of a rollout, as PPO learns from them."""

    s: np.ndarray           # (B, O)
    a: np.ndarray           # (B,) whole numbers
    logp_old: np.ndarray    # (B,)
    advantage: np.ndarray   # (B,)
    target: np.ndarray      # (B,)


class Transition(NamedTuple):
    """One step of one environment, as the one-step actor-critic learns from it."""

    s: np.ndarray           # (1, O)
    s2: np.ndarray          # (1, O)
    action: int
    reward: float
    done: bool


class Rates(NamedTuple):
    """For the step of one network of the one-step actor-critic: γλ of its trace, the weight of the new gradient, the step size."""

    decay: float
    weight: float
    lr: float


@jit
def _log_softmax(logits):
    top, total = logits.max(), logits.dtype.type(0)
    for x in logits:
        total += np.exp(x - top)
    return logits - (top + np.log(total))


@jit
def act(theta, sizes, outputs, code, s, u, actions):
    """Write to `actions`, for each row of s (B, O), the action whose interval of the cumulative probability contains u (B,)."""
    B = len(s)
    forward_rows(theta, sizes, 1, 0, 0, 1, code, s, outputs, 0, B)
    logits = _given_by(outputs, sizes, 1, 0, B, len(sizes) - 2)
    for i in range(B):
        cdf = np.exp(logits[i] - logits[i].max()).cumsum()
        actions[i] = 0
        for j in range(len(cdf) - 1):
            actions[i] += u[i] * cdf[-1] >= cdf[j]


@jit
def a2c_gradient(actor, critic, steps, gamma, lam, entropy_coef, value_coef):
    """Fill the gradients of two `Network`s with those of A2C's loss, with GAE, for `Steps`.

    Returns (actor loss, critic loss, mean entropy, mean value, deviation of the advantages).
    """
    theta, dtheta, actor_sizes, code = actor
    w, dw, critic_sizes, critic_code = critic
    s, s2, a, r, term, done = steps
    T, N = r.shape
    B, n = T * N, actor_sizes[-1]
    y, v = np.empty(B * actor_sizes[1:].sum(), s.dtype), np.empty(B * critic_sizes[1:].sum(), s.dtype)
    value_of_next = np.empty_like(v)
    forward_rows(theta, actor_sizes, 1, 0, 0, 1, code, s, y, 0, B)
    forward_rows(w, critic_sizes, 1, 0, 0, 1, critic_code, s2, value_of_next, 0, B)
    forward_rows(w, critic_sizes, 1, 0, 0, 1, critic_code, s, v, 0, B)
    v2, value = value_of_next[-B:].reshape(T, N), v[-B:].reshape(T, N)
    logits = _given_by(y, actor_sizes, 1, 0, B, len(actor_sizes) - 2)

    advantage, dy, dv = np.empty(B, s.dtype), np.empty((B, n), s.dtype), np.empty((B, 1), s.dtype)
    actor_loss = critic_loss = entropy_sum = 0.0
    for t in range(T - 1, -1, -1):
        for k in range(N):
            i = t * N + k
            A = r[t, k] + gamma * (1 - term[t, k]) * v2[t, k] - value[t, k]
            if t < T - 1:
                A += gamma * lam * (1 - done[t, k]) * advantage[i + N]
            advantage[i] = A
            log_pi = _log_softmax(logits[i])
            pi = np.exp(log_pi)
            entropy = -(pi * log_pi).sum()
            for j in range(n):
                dy[i, j] = (A * pi[j] + entropy_coef * pi[j] * (log_pi[j] + entropy)) / B
            dy[i, a[t, k]] -= A / B
            dv[i, 0] = -value_coef * A / B                      # the target is V + Â, so V − target = −Â
            actor_loss -= A * log_pi[a[t, k]] / B
            critic_loss += 0.5 * A * A / B
            entropy_sum += entropy
    nothing = np.empty((0, 0), s.dtype)
    backward_rows(theta, dtheta, actor_sizes, 1, 0, 0, 1, code, s, y, dy, nothing, 0, B)
    backward_rows(w, dw, critic_sizes, 1, 0, 0, 1, critic_code, s, v, dv, nothing, 0, B)
    return actor_loss, critic_loss, entropy_sum / B, value.mean(), advantage.std()


@jit
def ppo_gradient(actor, critic, rows, clip, entropy_coef, value_coef):
    """Fill the gradients of two `Network`s with those of PPO's loss for a `Minibatch`.

    Returns (actor loss, critic loss, mean entropy, estimated KL divergence, share of rows beyond the clip, mean value).
    """
    theta, dtheta, actor_sizes, code = actor
    w, dw, critic_sizes, critic_code = critic
    s, a, logp_old, advantage, target = rows
    B, n = len(s), actor_sizes[-1]
    y, v = np.empty(B * actor_sizes[1:].sum(), s.dtype), np.empty(B * critic_sizes[1:].sum(), s.dtype)
    forward_rows(theta, actor_sizes, 1, 0, 0, 1, code, s, y, 0, B)
    forward_rows(w, critic_sizes, 1, 0, 0, 1, critic_code, s, v, 0, B)
    logits, value = _given_by(y, actor_sizes, 1, 0, B, len(actor_sizes) - 2), v[-B:]

    dy, dv = np.empty((B, n), s.dtype), np.empty((B, 1), s.dtype)
    # In the networks' dtype: a gain in float32 and a clipped one in float64 would differ where nothing is clipped.
    low, high = s.dtype.type(1 - clip), s.dtype.type(1 + clip)
    actor_loss = critic_loss = entropy_sum = kl = 0.0
    clipped = 0
    for i in range(B):
        log_pi = _log_softmax(logits[i])
        pi = np.exp(log_pi)
        entropy = -(pi * log_pi).sum()
        log_ratio = log_pi[a[i]] - logp_old[i]
        ratio = np.exp(log_ratio)
        gain, held = ratio * advantage[i], min(max(ratio, low), high) * advantage[i]
        dlogp = -(0 if gain > held else gain) / B
        for j in range(n):
            dy[i, j] = entropy_coef / B * pi[j] * (log_pi[j] + entropy) - dlogp * pi[j]
        dy[i, a[i]] += dlogp
        error = value[i] - target[i]
        dv[i, 0] = value_coef * error / B
        actor_loss -= min(gain, held) / B
        critic_loss += 0.5 * error * error / B
        entropy_sum += entropy
        kl += (ratio - 1 - log_ratio) / B
        clipped += abs(ratio - 1) > clip
    nothing = np.empty((0, 0), s.dtype)
    backward_rows(theta, dtheta, actor_sizes, 1, 0, 0, 1, code, s, y, dy, nothing, 0, B)
    backward_rows(w, dw, critic_sizes, 1, 0, 0, 1, critic_code, s, v, dv, nothing, 0, B)
    return actor_loss, critic_loss, entropy_sum / B, kl, clipped / B, value.mean()


@jit
def one_step_actor_critic(actor, critic, transition, discount, actor_rates, critic_rates):
    """One step of two `TracedNetwork`s on a `Transition`; the actor's outputs still hold what `act` computed at s.

    `discount` is γ, or 0 at a terminal state. Returns (δ, log π(a), entropy, V(s)). If δ or an observation is not finite, the
    result has δ = NaN, and no parameter has changed.
    """
    theta, dtheta, actor_sizes, code, z_theta, y = actor
    w, dw, critic_sizes, critic_code, z_w, v = critic
    s, s2, action, reward, done = transition
    one, nothing = np.ones((1, 1), theta.dtype), np.empty((0, 0), theta.dtype)
    forward_rows(w, critic_sizes, 1, 0, 0, 1, critic_code, s2, v, 0, 1)
    v2 = v[-1]
    forward_rows(w, critic_sizes, 1, 0, 0, 1, critic_code, s, v, 0, 1)
    value = v[-1]
    delta = reward + discount * v2 - value
    log_pi = _log_softmax(y[-actor_sizes[-1]:])
    entropy = -(np.exp(log_pi) * log_pi).sum()
    # A ReLU turns −∞ into 0 and tanh turns ∞ into 1, so δ may be finite although s or s′ is not.
    if not np.isfinite(delta + s.sum() + s2.sum()):
        return np.nan, log_pi[action], entropy, value
    dy = -np.exp(log_pi).reshape(1, -1)                         # ∂log π(a)/∂y = 1[i = a] − π
    dy[0, action] += 1
    backward_rows(theta, dtheta, actor_sizes, 1, 0, 0, 1, code, s, y, dy, nothing, 0, 1)
    backward_rows(w, dw, critic_sizes, 1, 0, 0, 1, critic_code, s, v, one, nothing, 0, 1)
    _step_along_trace(theta, dtheta, z_theta, actor_rates, delta, done)
    _step_along_trace(w, dw, z_w, critic_rates, delta, done)
    return delta, log_pi[action], entropy, value


@jit
def _step_along_trace(p, g, z, rates, delta, done):
    T = p.dtype.type
    decay, weight, lr = rates
    decay, weight, step, keep = T(decay), T(weight), T(lr * delta), T(0 if done else 1)
    for i in range(p.size):
        trace = decay * z[i] + weight * g[i]
        p[i] += step * trace
        z[i] = keep * trace


# name → (function, the class it stands in for, the modules whose arithmetic it repeats)
_NETWORKS = ("scratchac.nn", "scratchac.distributions", "scratchac.policies")
_LOOP = ("scratchac.algorithms.plumbing", "scratchac.training.loops", "scratchac.training.memory",
         "scratchac.training.episodes", "scratchac.environments.vector")
UPDATES: dict[str, Update] = {
    "one_step_actor_critic": Update(one_step_actor_critic, "scratchac.algorithms.actor_critic.ActorCritic",
                                    ("scratchac.algorithms.actor_critic", *_NETWORKS, *_LOOP)),
    "a2c_gradient": Update(a2c_gradient, "scratchac.algorithms.a2c.A2C",
                           ("scratchac.algorithms.a2c", "scratchac.losses", "scratchac.returns", *_NETWORKS, *_LOOP)),
    "ppo_gradient": Update(ppo_gradient, "scratchac.algorithms.ppo.PPO",
                           ("scratchac.algorithms.ppo", "scratchac.losses", *_NETWORKS)),
}
