"""A few updates of an algorithm on a backend, and what they leave behind, for a device or for a stand-in."""

import gymnasium as gym
import numpy as np

import kernels
from scratchac import algorithms

ALGORITHMS = "ddpg", "td3", "sac", "discrete-sac"
ROWS = 500


def make(algorithm, dtype, observed=5, acted=2, hidden=(32, 24), batch=64):
    """An agent of the active backend with ROWS random transitions in its memory."""
    rng, observations = np.random.default_rng(1), gym.spaces.Box(-np.inf, np.inf, (observed,), np.float32)
    discrete = algorithm == "discrete-sac"
    actions = gym.spaces.Discrete(acted) if discrete else gym.spaces.Box(-1, 1, (acted,), np.float32)
    cls = algorithms.find(algorithm)
    agent = cls(cls.config_class(hidden=hidden, batch_size=batch, buffer_size=ROWS), observations, actions, 0, dtype)
    drawn = rng.integers(acted, size=ROWS) if discrete else rng.uniform(-1, 1, (ROWS, acted))
    agent.memory.add(obs=rng.standard_normal((ROWS, observed)), actions=drawn, rewards=rng.standard_normal(ROWS),
                     next_obs=rng.standard_normal((ROWS, observed)), term=rng.random(ROWS) < 0.1, trunc=np.zeros(ROWS))
    return agent


def after_updates(backend, algorithm, dtype, count=4):
    """Name → array on the host: parameters, targets, moments, gradients and the last metrics, after some updates."""
    with kernels.using(backend):
        agent = make(algorithm, dtype)
        for _ in range(count):
            metrics = agent.update(agent.memory.sample(agent.batch_rng, agent.config.batch_size))
        to_numpy = kernels.backend.to_numpy
        gradients = {"∂actor": to_numpy(agent.dtheta.flat), "∂critic": to_numpy(agent.dw.flat)}
        return flat(agent.state()) | gradients | {name: np.asarray(to_numpy(x)) for name, x in metrics.items()}


def flat(node, path=""):
    """The arrays of floats in a nested dict."""
    if isinstance(node, dict):
        return {name: x for key, part in node.items() for name, x in flat(part, f"{path}.{key}".lstrip(".")).items()}
    return {path: node} if isinstance(node, np.ndarray) and node.dtype.kind == "f" else {}
