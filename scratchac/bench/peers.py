"""Other libraries' updates and trainings, for `scratchac bench --peers`: the same sizes, in turn with ours, in the same process.

Libraries that are not installed are left out. PyTorch has one column with one thread and one with all threads: neither is always
the faster one. Everything that compiles or fills a buffer happens before the first turn.
"""

import importlib
import importlib.util
import os

import gymnasium as gym
import numpy as np

LIBRARIES = {"Stable-Baselines3": "stable_baselines3", "SBX": "sbx"}        # one interface, over PyTorch and over JAX
OFF_POLICY = "ddpg", "td3", "sac"


class Noise(gym.Env):
    """An environment whose observations and rewards are noise."""

    def __init__(self, observations, actions):
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (observations,), np.float32)
        self.action_space = gym.spaces.Box(-1, 1, (actions,), np.float32)

    def reset(self, **kwargs):
        """Noise."""
        super().reset(**kwargs)
        return self.np_random.standard_normal(self.observation_space.shape, np.float32), {}

    def step(self, action):
        """Noise; the episode never ends."""
        obs = self.np_random.standard_normal(self.observation_space.shape, np.float32)
        return obs, self.np_random.standard_normal(), False, False, {}


def updates(algorithm, observations, actions, hidden, batch):
    """{column: a call that makes one update}."""
    calls = {}
    for title, library in installed():
        model = off_policy(library, algorithm, Noise(observations, actions), hidden, batch, learning_starts=1_000)
        model.learn(1_000)                                                  # fills the buffer; nothing is learnt yet
        calls |= columns(title, lambda model=model: model.train(gradient_steps=1, batch_size=batch))
    if importlib.util.find_spec("torch"):
        from scratchac.bench.pytorch import updating

        calls |= columns("plain PyTorch", updating(algorithm, observations, actions, hidden, batch))
    return calls


def trainings(algorithm, env, steps, agent):
    """{column: a call that trains for `steps` environment steps at our agent's sizes}; some libraries lack the algorithm."""
    config, calls = agent.config, whole_programs(algorithm, env, steps, agent)
    for title, library in installed():
        cls = getattr(importlib.import_module(library), algorithm.upper(), None)
        if cls is None:                                                     # SBX lacks A2C, both lack the one-step actor-critic
            continue
        if algorithm in OFF_POLICY:
            model = off_policy(library, algorithm, gym.make(env), config.hidden, config.batch_size, config.learning_starts)
            model.learn(config.learning_starts + 100)
        else:
            from stable_baselines3.common.env_util import make_vec_env

            own = {"batch_size": config.batch_size, "n_epochs": config.epochs} if algorithm == "ppo" else {}
            model = cls("MlpPolicy", make_vec_env(env, n_envs=config.envs), n_steps=agent.horizon, device="cpu",
                        gamma=config.gamma, gae_lambda=config.lam, policy_kwargs={"net_arch": list(config.hidden)}, **own)
        calls |= columns(title, lambda model=model: model.learn(steps, reset_num_timesteps=False))
    return calls


def whole_programs(algorithm, env, steps, agent):
    """As `trainings`, for PPO with CartPole in the compiled program, too, where gymnax is installed."""
    config = agent.config
    if (algorithm, env, config.hidden) != ("ppo", "CartPole-v1", (64, 64)) or not importlib.util.find_spec("gymnax"):
        return {}
    from scratchac.bench import jaxppo

    size = agent.horizon * config.envs
    training, updates = jaxppo.Training(env, 0, config.envs, agent.horizon, config.epochs, size // config.batch_size), steps // size
    training.advance(updates)                                               # compiles
    return {"PureJaxRL": lambda: training.advance(updates)}


def processes(algorithm, env, steps, agent):
    """{column: a turn} of what needs a process of its own: SAC of RLtools, where it is installed."""
    if algorithm != "sac" or not importlib.util.find_spec("rltools"):
        return {}
    from scratchac.bench import cpp

    config = agent.config
    return {"RLtools": lambda: cpp.rate(env, steps, config.hidden, config.batch_size)}


def installed():
    """(title, module) of each library that is installed."""
    return [(title, library) for title, library in LIBRARIES.items() if importlib.util.find_spec(library)]


def off_policy(library, algorithm, env, hidden, batch, learning_starts):
    """A library's agent with these sizes."""
    cls = getattr(importlib.import_module(library), algorithm.upper())
    options = {} if library == "sbx" else {"device": "cpu"}
    return cls("MlpPolicy", env, batch_size=batch, buffer_size=10_000, learning_starts=learning_starts, train_freq=1,
               gradient_steps=1, policy_kwargs={"net_arch": list(hidden)}, **options)


def columns(title, call):
    """One column for a library over JAX, and one for each number of threads for one over PyTorch."""
    if title == "SBX":
        return {title: call}
    import torch

    def with_threads(n):
        def threaded():
            torch.set_num_threads(n)
            call()
        return threaded
    return {f"{title}, {n} thread{'s' * (n > 1)}": with_threads(n) for n in sorted({1, os.cpu_count()})}
