"""Compiled updates of the one-step actor-critic and of A2C, each in one call, and the choice of an action.

Each does the same as a method in an algorithm's file, which remains the reference (see `UPDATES` below). Arguments that belong
together are one tuple; a NamedTuple itself would cost a microsecond more at each call, so callers pass tuple(network).
"""

from typing import NamedTuple

import numpy as np

from kernels.backend import Update
from kernels.numba_jit import jit
from kernels.numba_networks import backward_rows, forward_rows, output_of, size_of
from kernels.numba_policies import backward, draw_actions, evaluate


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
    a: np.ndarray           # (T·N,) whole numbers, or (T·N, A)
    r: np.ndarray           # (T, N)
    term: np.ndarray        # (T, N)
    done: np.ndarray        # (T, N)


class Transition(NamedTuple):
    """One step of one environment, as the one-step actor-critic learns from it."""

    s: np.ndarray           # (1, O)
    s2: np.ndarray          # (1, O)
    action: int
    reward: float
    done: bool


class TraceStep(NamedTuple):
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
    """Write to `actions` what the policy draws at each row of s (B, O) with the noise u, (B,) or (B, A)."""
    B = len(s)
    forward_rows(theta, sizes, 1, 0, 0, 1, code, s, outputs, 0, B)
    draw_actions(output_of(outputs, sizes, 1, 0, B, len(sizes) - 2), theta[size_of(sizes):], u, actions)


@jit
def a2c_gradient(actor, critic, steps, gamma, lam, entropy_coef, value_coef):
    """Fill the gradients of two `Network`s with those of A2C's loss, with GAE, for `Steps`.

    Returns (actor loss, critic loss, mean entropy, mean value, deviation of the advantages).
    """
    theta, dtheta, actor_sizes, code = actor
    w, dw, critic_sizes, critic_code = critic
    s, s2, a, r, term, done = steps
    T, N = r.shape
    B, P = T * N, size_of(actor_sizes)
    y, v = np.empty(B * actor_sizes[1:].sum(), s.dtype), np.empty(B * critic_sizes[1:].sum(), s.dtype)
    value_of_next = np.empty_like(v)
    forward_rows(theta, actor_sizes, 1, 0, 0, 1, code, s, y, 0, B)
    forward_rows(w, critic_sizes, 1, 0, 0, 1, critic_code, s2, value_of_next, 0, B)
    forward_rows(w, critic_sizes, 1, 0, 0, 1, critic_code, s, v, 0, B)
    v2, value = value_of_next[-B:].reshape(T, N), v[-B:].reshape(T, N)
    outputs = output_of(y, actor_sizes, 1, 0, B, len(actor_sizes) - 2)

    advantage, dy, dv = np.empty(B, s.dtype), np.empty(outputs.shape, s.dtype), np.empty((B, 1), s.dtype)
    row, constants, dconstants = np.empty((2, outputs.shape[1]), s.dtype), theta[P:], dtheta[P:]
    dconstants.fill(0)
    actor_loss = critic_loss = entropy_sum = 0.0
    for t in range(T - 1, -1, -1):
        for k in range(N):
            i = t * N + k
            A = r[t, k] + gamma * (1 - term[t, k]) * v2[t, k] - value[t, k]
            if t < T - 1:
                A += gamma * lam * (1 - done[t, k]) * advantage[i + N]
            advantage[i] = A
            logp, entropy = evaluate(outputs, constants, a, i, row)
            backward(a, i, row, entropy, -A / B, -entropy_coef / B, dy, dconstants)
            dv[i, 0] = -value_coef * A / B                      # the target is V + Â, so V − target = −Â
            actor_loss -= A * logp / B
            critic_loss += 0.5 * A * A / B
            entropy_sum += entropy
    nothing = np.empty((0, 0), s.dtype)
    backward_rows(theta, dtheta, actor_sizes, 1, 0, 0, 1, code, s, y, dy, nothing, 0, B)
    backward_rows(w, dw, critic_sizes, 1, 0, 0, 1, critic_code, s, v, dv, nothing, 0, B)
    return actor_loss, critic_loss, entropy_sum / B, value.mean(), advantage.std()


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
}
