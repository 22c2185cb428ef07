"""Compiled physics against Gymnasium's: one step from many states, which reach every branch, and many steps one after another."""

import math
from itertools import count, islice

import gymnasium as gym
import numpy as np
import pytest

from scratchac.environments.compiled_worlds import PHYSICS, CompiledWorlds
from scratchac.environments.vector import VectorEnv

numba_worlds = pytest.importorskip("kernels.numba_worlds", reason="Numba is not installed")

ANGLES = np.linspace(-3, 3, 500)
# Bits are asked for where NumPy's sine and cosine are the C library's, which the compiler calls; else the last digits may differ.
EXACT = all(np.array_equal(ours(ANGLES), [theirs(x) for x in ANGLES]) for ours, theirs in ((np.cos, math.cos), (np.sin, math.sin)))
TOLERANCE = 0.0 if EXACT else 1e-5
LIMIT, STOCK, N = 7, 2, 300

CAR = [(-1.19, -0.05), (-1.3, 0.05), (0.58, 0.05), (0.55, -0.01), (0.44, 0.05), (0.49, 0.05), (-0.5, 0.08), (-0.5, -0.08)]
CASES = {       # environment → largest numbers of its states, states that random ones may miss, largest action of a force
    "CartPole-v1": ((2.5, 3, 0.25, 3), [*((x, 0, 0, 0) for x in (-2.401, -2.399, 2.399, 2.401)),
                                        *((0, 0, x, 0) for x in (-0.2095, -0.2094, 0.2094, 0.2095))], None),
    "Acrobot-v1": ((4, 4, 15, 30), [(3.1, 0, 5, 0), (-3.1, 0, -5, 0), (0, 3.1, 0, 5), (0, -3.1, 0, -5)], None),
    "Pendulum-v1": ((10, 9), [], 3.0),
    "MountainCar-v0": ((0.7, 0.07), CAR, None),
    "MountainCarContinuous-v0": ((0.7, 0.07), CAR, 1.6),
}


def close(x, y):
    np.testing.assert_allclose(x, y, TOLERANCE, TOLERANCE)


def steps_of_gymnasium(env, states, actions, elapsed):
    """(state, observation, reward, terminated) after each step of a bare environment."""
    single = gym.make(env).unwrapped
    for state, action, before in zip(states, actions, elapsed, strict=True):
        float32 = env == "MountainCarContinuous-v0" and before > 0          # there the state is its observation
        single.state = state.astype(np.float32) if float32 else state.copy()
        single.steps_beyond_terminated = None                               # the cart would warn of steps after the end
        force = isinstance(single.action_space, gym.spaces.Box)
        obs, reward, terminated, *_ = single.step(np.array([action], np.float32) if force else int(action))
        yield np.array(single.state, np.float64), obs, reward, terminated


@pytest.mark.parametrize("env", PHYSICS)
def test_a_step_from_any_state(env, rng):
    """N worlds, some of them at the last step of their time: what follows, and the next first state where an episode has ended."""
    largest, chosen, force = CASES[env]
    states = np.concatenate([rng.uniform(-1, 1, (N - 2 * len(chosen), len(largest))) * largest,
                             np.repeat(np.array(chosen, float).reshape(-1, len(largest)), 2, axis=0)])
    elapsed = np.tile([0, 1, 0, LIMIT - 2, 3, LIMIT - 1], N // 6)
    actions = rng.integers(gym.make(env).action_space.n, size=N).astype(float) if force is None else rng.uniform(-force, force, N)
    actions = actions.astype(np.float32).astype(float)
    if env == "MountainCarContinuous-v0":
        states[elapsed > 0] = states[elapsed > 0].astype(np.float32)
    features = gym.make(env).observation_space.shape[0]
    starts, first = rng.standard_normal((N, STOCK, len(largest))), rng.standard_normal((N, STOCK, features)).astype(np.float32)
    used = rng.integers(STOCK, size=N)
    worlds = numba_worlds.Worlds(PHYSICS[env].code, LIMIT, 2.0, states.copy(), elapsed.copy(),
                                 np.zeros((N, features), np.float32), starts, first, used.copy())
    next_obs, rewards, (term, trunc) = np.full((N, features), np.nan, np.float32), np.full(N, np.nan), np.zeros((2, N), bool)
    numba_worlds.step_worlds(tuple(worlds), actions, next_obs, rewards, term, trunc)
    for i, (state, obs, reward, terminated) in enumerate(steps_of_gymnasium(env, states, actions, elapsed)):
        over = terminated or elapsed[i] == LIMIT - 1
        assert (term[i], trunc[i]) == (terminated, elapsed[i] == LIMIT - 1), states[i]
        close(next_obs[i], obs)
        close(rewards[i], reward)
        close(worlds.state[i], starts[i, used[i]] if over else state)
        close(worlds.obs[i], first[i, used[i]] if over else obs)
        assert (worlds.elapsed[i], worlds.used[i]) == ((0, used[i] + 1) if over else (elapsed[i] + 1, used[i]))
    assert trunc.any() and not trunc.all() and (term.any() or env == "Pendulum-v1")


def test_a_world_without_first_states_is_noticed():
    for used, lacking in (([1, 0, 2], False), ([3, 0, 0], True), ([0, 1, 4], True)):
        assert numba_worlds.lacks_starts(np.array(used), 3) == lacking


def random_actions(space, n):
    """Random for a while, then at full force one way and the other, so that cars reach their walls and goals."""
    highest = np.asarray(space.n - 1 if isinstance(space, gym.spaces.Discrete) else space.high)
    for k in count():
        random = k // 300 % 2 == 0
        yield np.stack([np.asarray(space.sample()) if random else highest * (k // 25 % 2) for _ in range(n)])


@pytest.mark.parametrize("steps", [400, pytest.param(5_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("env", PHYSICS)
def test_steps_are_those_of_gymnasium(env, steps):
    """Observations, rewards and endings of two worlds, and the first states of all episodes, with their dtypes."""
    worlds, envs, ends = CompiledWorlds(env, 2, 7), VectorEnv(env, 2, 7), 0
    assert worlds.seeds == envs.seeds and worlds.observation_space == envs.observation_space
    np.testing.assert_array_equal(worlds.reset(), envs.reset())
    envs.action_space.seed(1)
    for actions in islice(random_actions(envs.action_space, 2), steps):
        came, right = worlds.step(actions), envs.step(actions)
        ends += right[3].sum() + right[4].sum()
        for x, y in zip(came, right, strict=True):
            assert x.dtype == y.dtype
            close(x, y)
    assert ends >= 2 * (steps // 1_000)
