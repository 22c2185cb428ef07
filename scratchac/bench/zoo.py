"""Trainings with Stable-Baselines3 and SBX at the hyperparameters that RL Baselines3 Zoo has tuned, for scratchac/bench/solve.py
and demos/results/peer.py.

The values are those of the files hyperparams/{a2c,ddpg,dqn,ppo,sac,td3}.yml of rl_zoo3 2.9.2 (github.com/DLR-RM/rl-baselines3-zoo),
with its names; "lin_x" falls linearly from x to 0 there and here. SBX gets the same, but no settings of state-dependent
exploration (gSDE): it accepts them, and only keeps the noise of an action for several steps.
"""

import contextlib
import copy
import importlib
import importlib.util

import numpy as np

TITLES = {"stable_baselines3": "Stable-Baselines3", "sbx": "SBX"}

# `threads` is not the zoo's: the number with which PyTorch is faster on two cores in demos/results/bench.json, None for all.
SETTINGS = {
    ("ppo", "CartPole-v1"): {
        "threads": 1, "n_timesteps": 100_000, "n_envs": 8, "n_steps": 32, "batch_size": 256, "gae_lambda": 0.8, "gamma": 0.98,
        "n_epochs": 20, "ent_coef": 0.0, "learning_rate": "lin_0.001", "clip_range": "lin_0.2"},
    ("a2c", "CartPole-v1"): {"threads": 1, "n_timesteps": 500_000, "n_envs": 8, "ent_coef": 0.0},
    ("dqn", "CartPole-v1"): {
        "threads": 1, "n_timesteps": 50_000, "learning_rate": 2.3e-3, "batch_size": 64, "buffer_size": 100_000,
        "learning_starts": 1_000, "gamma": 0.99, "target_update_interval": 10, "train_freq": 256, "gradient_steps": 128,
        "exploration_fraction": 0.16, "exploration_final_eps": 0.04, "policy_kwargs": {"net_arch": [256, 256]}},
    ("ppo", "LunarLander-v3"): {
        "threads": 1, "n_timesteps": 1_000_000, "n_envs": 16, "n_steps": 1024, "batch_size": 64, "gae_lambda": 0.98,
        "gamma": 0.999, "n_epochs": 4, "ent_coef": 0.01},
    ("a2c", "LunarLander-v3"): {
        "threads": 1, "n_timesteps": 200_000, "n_envs": 8, "gamma": 0.995, "n_steps": 5, "learning_rate": "lin_0.00083",
        "ent_coef": 0.00001},
    ("dqn", "LunarLander-v3"): {
        "threads": 1, "n_timesteps": 100_000, "learning_rate": 6.3e-4, "batch_size": 128, "buffer_size": 50_000,
        "learning_starts": 0, "gamma": 0.99, "target_update_interval": 250, "train_freq": 4, "gradient_steps": -1,
        "exploration_fraction": 0.12, "exploration_final_eps": 0.1, "policy_kwargs": {"net_arch": [256, 256]}},
    ("sac", "Pendulum-v1"): {"threads": None, "n_timesteps": 20_000, "learning_rate": 1e-3},
    **{(algorithm, "Pendulum-v1"): {
        "threads": None, "n_timesteps": 20_000, "gamma": 0.98, "buffer_size": 200_000, "learning_starts": 10_000,
        "noise_type": "normal", "noise_std": 0.1, "gradient_steps": 1, "train_freq": 1, "learning_rate": 1e-3,
        "policy_kwargs": {"net_arch": [400, 300]}} for algorithm in ("ddpg", "td3")},
    # The zoo has nothing for this environment: the libraries' own defaults, and a budget.
    ("sac", "InvertedPendulum-v5"): {"threads": None, "n_timesteps": 30_000},
    ("ddpg", "InvertedPendulum-v5"): {"threads": None, "n_timesteps": 30_000},
    ("ppo", "InvertedPendulum-v5"): {"threads": 1, "n_timesteps": 200_000},
}


def has(library, algorithm):
    """Whether a library is installed and has the algorithm; SBX lacks A2C."""
    return importlib.util.find_spec(library) is not None and not (library == "sbx" and algorithm == "a2c")


def scheduled(value):
    """A hyperparameter as the libraries take it: a schedule for "lin_x", over the share of training that remains."""
    if not isinstance(value, str) or not value.startswith("lin_"):
        return value
    first = float(value.removeprefix("lin_"))
    return lambda remaining: first * remaining


def build(library, algorithm, env, seed, settings, **env_args):
    """(model, environment steps) of a training with one of the libraries, at settings with the zoo's names.

    Besides what the classes themselves take these are `threads` of PyTorch, `n_timesteps`, `n_envs`, `normalize` (observations and
    rewards), and `noise_std` with `noise_type`, "normal" or "ornstein-uhlenbeck".
    """
    from stable_baselines3.common.env_util import make_vec_env

    settings = {name: scheduled(value) for name, value in copy.deepcopy(settings).items()}     # a class adds to its policy_kwargs
    threads, budget, n = settings.pop("threads", None), settings.pop("n_timesteps"), settings.pop("n_envs", 1)
    if library == "stable_baselines3":
        import torch

        settings["device"] = "cpu"
        if threads:
            torch.set_num_threads(threads)
    if library == "sbx":
        settings = {name: value for name, value in settings.items() if name not in ("use_sde", "sde_sample_freq")}
    envs = make_vec_env(env, n_envs=n, seed=seed, env_kwargs=env_args)
    if settings.pop("normalize", False):
        from stable_baselines3.common.vec_env import VecNormalize

        envs = VecNormalize(envs, **{"gamma": settings["gamma"]} if "gamma" in settings else {})
    if noise := settings.pop("noise_type", None):
        from stable_baselines3.common import noise as noises

        cls = {"normal": noises.NormalActionNoise, "ornstein-uhlenbeck": noises.OrnsteinUhlenbeckActionNoise}[noise]
        size = envs.action_space.shape
        settings["action_noise"] = cls(np.zeros(size), np.full(size, settings.pop("noise_std")))
    cls = getattr(importlib.import_module(library), algorithm.upper())
    return cls("MlpPolicy", envs, seed=seed, **settings), budget


def train(library, algorithm, env, seed, watch):
    """Train until `watch(steps, agent)` says that the environment is solved, or to the end of the budget."""
    from stable_baselines3.common.callbacks import BaseCallback

    model, budget = build(library, algorithm, env, seed, SETTINGS[algorithm, env])

    class Solved(Exception):
        """Ends a training between two updates, where the libraries ask no callback."""

    class Between(BaseCallback):
        """Asks the watch after each update, and at the end."""

        def _on_step(self):
            return True

        def _on_rollout_start(self):
            if watch(model.num_timesteps, Policy(model)):
                raise Solved

        def _on_training_end(self):
            watch(model.num_timesteps, Policy(model))

    with contextlib.suppress(Solved):
        model.learn(budget, callback=Between())


class Policy:
    """A model with the method that an evaluation calls."""

    def __init__(self, model):
        self.model = model
        self.normaliser = model.get_vec_normalize_env()

    def act(self, obs, explore=False):
        """The actions for several observations, deterministic unless `explore`."""
        if self.normaliser is not None:
            obs = self.normaliser.normalize_obs(obs)
        return self.model.predict(obs, deterministic=not explore)[0]
