"""Compiled physics of five of Gymnasium's environments: N worlds a call, and a reset where an episode ends.

Each function repeats a `step` of gymnasium/envs/classic_control, with its constants, order of operations and dtypes: observations,
rewards and endings are the same bits where NumPy's and the compiler's sine, cosine and power are the same C functions.
First states are not drawn here: each world has a stock of them (scratchac/environments/compiled_worlds.py), in the order of its
generator.
"""

import math
from typing import NamedTuple

import numpy as np

from kernels.numba_jit import jit

CARTPOLE, ACROBOT, PENDULUM, MOUNTAIN_CAR, MOUNTAIN_CAR_CONTINUOUS = range(5)


class Worlds(NamedTuple):
    """N worlds of one kind with S numbers of state and O features; P first states in stock for each of them."""

    kind: int
    limit: int              # steps of an episode
    two: float              # 2, which the compiler must not know: it would turn pow(x, 2) into x · x, which may round differently
    state: np.ndarray       # (N, S) float64
    elapsed: np.ndarray     # (N,) steps since the episode began
    obs: np.ndarray         # (N, O) float32, present observations
    starts: np.ndarray      # (N, P, S) float64
    first: np.ndarray       # (N, P, O) float32, observations of `starts`
    used: np.ndarray        # (N,) how many of them have been used


# -- one step of one world: state (S,) in place, observation to obs (O,), returns (reward, terminated) --------------------------


@jit
def cartpole(state, action, obs):
    """Cart and pole by Euler's method, with the state of before the step on the right (Barto, Sutton & Anderson 1983)."""
    x, x_dot, theta, theta_dot = state[0], state[1], state[2], state[3]
    total_mass, polemass_length = 0.1 + 1.0, 0.1 * 0.5
    force = 10.0 if action == 1 else -10.0
    cos, sin = math.cos(theta), math.sin(theta)
    temp = (force + polemass_length * (theta_dot * theta_dot) * sin) / total_mass
    theta_acc = (9.8 * sin - cos * temp) / (0.5 * (4.0 / 3.0 - 0.1 * (cos * cos) / total_mass))
    x_acc = temp - polemass_length * theta_acc * cos / total_mass
    state[0] = x + 0.02 * x_dot
    state[1] = x_dot + 0.02 * x_acc
    state[2] = theta + 0.02 * theta_dot
    state[3] = theta_dot + 0.02 * theta_acc
    for j in range(4):
        obs[j] = state[j]
    limit = 12 * 2 * math.pi / 360
    return 1.0, state[0] < -2.4 or state[0] > 2.4 or state[2] < -limit or state[2] > limit


@jit
def _accelerations(theta1, theta2, dtheta1, dtheta2, torque, two):
    """Of both links of the acrobot (Sutton & Barto 1998, section 11.3; the Gymnasium environment's "book" form).

    Masses, lengths and moments of inertia are 1 and left out, since a product with 1 has the same bits; lc is the distance of a
    link's centre of mass.
    """
    lc, g = 0.5, 9.8
    d1 = lc * lc + (1.0 + lc * lc + 2 * lc * math.cos(theta2)) + 1.0 + 1.0
    d2 = (lc * lc + lc * math.cos(theta2)) + 1.0
    phi2 = lc * g * math.cos(theta1 + theta2 - math.pi / 2.0)
    phi1 = (-lc * math.pow(dtheta2, two) * math.sin(theta2)
            - 2 * lc * dtheta2 * dtheta1 * math.sin(theta2)
            + (lc + 1.0) * g * math.cos(theta1 - math.pi / 2) + phi2)
    ddtheta2 = ((torque + d2 / d1 * phi1 - lc * math.pow(dtheta1, two) * math.sin(theta2) - phi2)
                / (lc * lc + 1.0 - math.pow(d2, two) / d1))
    return -(d2 * ddtheta2 + phi1) / d1, ddtheta2


@jit
def _wrapped(x):
    while x > math.pi:
        x = x - 2 * math.pi
    while x < -math.pi:
        x = x + 2 * math.pi
    return x


@jit
def acrobot(state, action, obs, two):
    """Two links by one step of the fourth-order Runge-Kutta method over 0.2 s."""
    dt, torque = 0.2, action - 1.0
    k, y = np.empty((4, 4)), np.empty(4)
    for i in range(4):
        for j in range(4):
            # y0, y0 + dt/2 · k1, y0 + dt/2 · k2, y0 + dt · k3
            y[j] = state[j] if i == 0 else state[j] + (dt if i == 3 else dt / 2.0) * k[i - 1, j]
        k[i, 0], k[i, 1] = y[2], y[3]
        k[i, 2], k[i, 3] = _accelerations(y[0], y[1], y[2], y[3], torque, two)
    for j in range(4):
        state[j] += dt / 6.0 * (k[0, j] + 2 * k[1, j] + 2 * k[2, j] + k[3, j])
    state[0], state[1] = _wrapped(state[0]), _wrapped(state[1])
    state[2] = min(max(state[2], -4 * math.pi), 4 * math.pi)
    state[3] = min(max(state[3], -9 * math.pi), 9 * math.pi)
    obs[0], obs[1] = math.cos(state[0]), math.sin(state[0])
    obs[2], obs[3] = math.cos(state[1]), math.sin(state[1])
    obs[4], obs[5] = state[2], state[3]
    terminated = -math.cos(state[0]) - math.cos(state[1] + state[0]) > 1.0
    return 0.0 if terminated else -1.0, terminated


@jit
def pendulum(state, action, obs, two):
    """A pendulum with a motor; the torque is float32, and so are its products with Python's numbers."""
    theta, theta_dot = state[0], state[1]
    u = np.float32(min(max(action, -2.0), 2.0))
    angle = (theta + math.pi) % (2 * math.pi) - math.pi
    cost = math.pow(angle, two) + 0.1 * math.pow(theta_dot, two) + np.float64(np.float32(0.001) * u ** np.float32(two))
    theta_dot = theta_dot + (15.0 * math.sin(theta) + np.float64(np.float32(3.0) * u)) * 0.05
    theta_dot = min(max(theta_dot, -8.0), 8.0)
    state[0], state[1] = theta + theta_dot * 0.05, theta_dot
    obs[0], obs[1], obs[2] = math.cos(state[0]), math.sin(state[0]), theta_dot
    return -cost, False


@jit
def mountain_car(state, action, obs):
    """A car in a valley with three actions (Moore 1990)."""
    position, velocity = state[0], state[1]
    velocity += (action - 1) * 0.001 + math.cos(3 * position) * -0.0025
    velocity = min(max(velocity, -0.07), 0.07)
    position = min(max(position + velocity, -1.2), 0.6)
    if position == -1.2 and velocity < 0:
        velocity = 0.0
    state[0], state[1] = position, velocity
    obs[0], obs[1] = position, velocity
    return -1.0, position >= 0.5 and velocity >= 0


@jit
def mountain_car_continuous(state, action, obs, first):
    """The same with a force. The state is float64 at the first step of an episode and float32 afterwards, as are its sums."""
    position, velocity = state[0], state[1]
    slope = 0.0025 * math.cos(position * 3 if first else np.float64(np.float32(3.0) * np.float32(position)))
    if -1.0 <= action <= 1.0:               # an action of the agent's, float32; one that is cut is a number of Python's, float64
        push = np.float64(np.float32(action) * np.float32(0.0015) - np.float32(slope))
    else:
        push = min(max(action, -1.0), 1.0) * 0.0015 - slope
    if first:
        velocity = min(max(velocity + push, -0.07), 0.07)
        position = min(max(position + velocity, -1.2), 0.6)
    else:
        velocity = np.float64(np.float32(velocity) + np.float32(push))
        velocity = min(max(velocity, np.float64(np.float32(-0.07))), np.float64(np.float32(0.07)))
        position = np.float64(np.float32(position) + np.float32(velocity))
        position = min(max(position, np.float64(np.float32(-1.2))), np.float64(np.float32(0.6)))
    lowest, goal = (-1.2, 0.45) if first else (np.float64(np.float32(-1.2)), np.float64(np.float32(0.45)))
    if position == lowest and velocity < 0:
        velocity = 0.0
    terminated = position >= goal and velocity >= 0
    obs[0], obs[1] = position, velocity
    state[0], state[1] = obs[0], obs[1]
    return (100.0 if terminated else 0.0) - action * action * 0.1, terminated


# -- worlds ----------------------------------------------------------------------------------------------------------------------


@jit
def lacks_starts(used, stock):
    """Whether a world has used all of its first states, so that it could not begin another episode."""
    lacking = False
    for n in used:
        lacking = lacking or n >= stock
    return lacking


@jit
def step_world(worlds, i, action, next_obs):
    """One step of world i, and its next episode if one has ended; the observation that followed goes to next_obs (O,) float32.

    `worlds` are `Worlds` in which world i has a first state in stock. The action is a float64 in each world: for whole numbers
    Numba would compile all of them once more. Returns (reward, terminated, truncated).
    """
    kind, limit, two, states, elapsed, obs, starts, first, used = worlds
    state = states[i]
    if kind == CARTPOLE:
        reward, terminated = cartpole(state, action, next_obs)
    elif kind == ACROBOT:
        reward, terminated = acrobot(state, action, next_obs, two)
    elif kind == PENDULUM:
        reward, terminated = pendulum(state, action, next_obs, two)
    elif kind == MOUNTAIN_CAR:
        reward, terminated = mountain_car(state, action, next_obs)
    else:
        reward, terminated = mountain_car_continuous(state, action, next_obs, elapsed[i] == 0)
    elapsed[i] += 1
    truncated = elapsed[i] >= limit
    if terminated or truncated:
        k = used[i]
        for j in range(state.size):                         # loops: assignments of whole rows cost more than these few numbers
            state[j] = starts[i, k, j]
        for j in range(next_obs.size):
            obs[i, j] = first[i, k, j]
        used[i] += 1
        elapsed[i] = 0
    else:
        for j in range(next_obs.size):
            obs[i, j] = next_obs[j]
    return reward, terminated, truncated


@jit
def step_worlds(worlds, actions, next_obs, rewards, term, trunc):
    """One step of all worlds with actions (N,) float64; fills next_obs (N, O), rewards (N,) float64, term and trunc (N,)."""
    for i in range(len(actions)):
        rewards[i], term[i], trunc[i] = step_world(worlds, i, actions[i], next_obs[i])
