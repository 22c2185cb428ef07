"""Other libraries' updates and trainings, for `scratchac bench --peers`: the same sizes and threads, in the same run.

A library that is not installed is left out. Peers use all cores; scratchac's backends use what they are measured to need.
"""

import importlib.util
import time
from functools import partial

import gymnasium as gym
import numpy as np


class Noise(gym.Env):
    """Observations and rewards without any meaning."""

    def __init__(self, observations, actions):
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (observations,), np.float32)
        self.action_space = gym.spaces.Box(-1, 1, (actions,), np.float32)

    def reset(self, **kwargs):
        super().reset(**kwargs)
        return self.np_random.standard_normal(self.observation_space.shape, np.float32), {}

    def step(self, action):
        obs = self.np_random.standard_normal(self.observation_space.shape, np.float32)
        return obs, self.np_random.standard_normal(), False, False, {}


def updating(library, algorithm, observations, actions, hidden, batch):
    """A call that makes one update with Stable-Baselines3, or with SBX, which has the same interface over JAX."""
    model = create(library, algorithm, Noise(observations, actions), hidden, batch, learning_starts=1_000)
    model.learn(1_000)                                                      # fills the buffer; nothing is learnt yet
    return lambda: model.train(gradient_steps=1, batch_size=batch)


def steps_per_second(library, algorithm, env, steps, hidden, batch):
    """Environment steps per second of a whole training, after one that compiles."""
    if algorithm == "a2c":
        from stable_baselines3 import A2C
        from stable_baselines3.common.env_util import make_vec_env

        model = A2C("MlpPolicy", make_vec_env(env, n_envs=8), n_steps=5, device="cpu", policy_kwargs={"net_arch": list(hidden)})
    else:
        model = create(library, algorithm, gym.make(env), hidden, batch, learning_starts=batch)
    model.learn(batch + 100)
    started = time.perf_counter()
    model.learn(steps, reset_num_timesteps=False)
    return steps / (time.perf_counter() - started)


def create(library, algorithm, env, hidden, batch, learning_starts):
    cls = getattr(importlib.import_module(library), algorithm.upper())
    options = {} if library == "sbx" else {"device": "cpu"}
    return cls("MlpPolicy", env, batch_size=batch, buffer_size=10_000, learning_starts=learning_starts, train_freq=1,
               gradient_steps=1, policy_kwargs={"net_arch": list(hidden)}, **options)


LIBRARIES = {title: module for title, module in (("Stable-Baselines3", "stable_baselines3"), ("SBX", "sbx"))
             if importlib.util.find_spec(module)}
UPDATES = {title: partial(updating, module) for title, module in LIBRARIES.items()}
TRAININGS = {title: partial(steps_per_second, module) for title, module in LIBRARIES.items()}


def knows(title, algorithm):
    """Whether a peer has the algorithm: SBX has no A2C, and nobody the one-step actor-critic."""
    return algorithm in ("ddpg", "td3", "sac") or (algorithm == "a2c" and title == "Stable-Baselines3")
