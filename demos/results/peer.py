"""The same environments with Stable-Baselines3 and SBX, whose results should be seen beside ours.

    pip install -e '.[box2d,mujoco,numba,peers]'
    python demos/results/peer.py sbx ppo CartPole-v1 --seeds 0-4

trains for as many steps as the project's preset, at the hyperparameters that RL Baselines3 Zoo has tuned, and writes
demos/results/peers/sbx-ppo-CartPole-v1.json, seed by seed as they come. As in run.py, the policy is the last one, deterministic,
over 100 episodes, episode i seeded with i. A seed that is there already is not run again.

    python demos/results/peer.py stable_baselines3 td3 HalfCheetah-v5 --as-ours --seeds 0-2

takes the sizes and rates of the project's preset instead, where a figure of ours is in doubt. For ddpg and td3 with constant rates.

    python demos/results/peer.py stable_baselines3 ppo Pendulum-v1 --set use_sde=false --seeds 0-4

changes some of the tuned ones, to find out what a return is due to. Both have files of their own and are not in the table.
"""

import argparse
import time
from pathlib import Path

import numpy as np
from files import OURS, as_script, changing, given_by, read, require_same, seeds, summary, versions

import scratchac
from scratchac.bench import zoo
from scratchac.environments.make import make
from scratchac.experiments.presets import find_preset

FOLDER = Path(__file__).parent / "peers"
EPISODES = 100

# The zoo's for the rows that scratchac/bench/zoo.py does not time. Its MuJoCo environments are version 4. What it does not set has
# the libraries' default, but DDPG and TD3 get the noise that it gives them elsewhere: their default is none.
SETTINGS = zoo.SETTINGS | {
    ("a2c", "Acrobot-v1"): {"normalize": True, "n_envs": 16, "ent_coef": 0.0},
    ("a2c", "Pendulum-v1"): {
        "normalize": True, "n_envs": 8, "ent_coef": 0.0, "max_grad_norm": 0.5, "n_steps": 8, "gae_lambda": 0.9,
        "vf_coef": 0.4, "gamma": 0.9, "use_rms_prop": True, "normalize_advantage": False, "learning_rate": "lin_7e-4",
        "use_sde": True, "policy_kwargs": {"log_std_init": -2, "ortho_init": False}},
    ("ppo", "Pendulum-v1"): {
        "n_envs": 4, "n_steps": 1024, "gae_lambda": 0.95, "gamma": 0.9, "n_epochs": 10, "ent_coef": 0.0,
        "learning_rate": 1e-3, "clip_range": 0.2, "use_sde": True, "sde_sample_freq": 4},
    ("ddpg", "MountainCarContinuous-v0"): {
        "noise_type": "ornstein-uhlenbeck", "noise_std": 0.5, "gradient_steps": 1, "train_freq": 1,
        "learning_rate": 1e-3, "batch_size": 256, "policy_kwargs": {"net_arch": [400, 300]}},
    ("sac", "LunarLander-v3"): {
        "batch_size": 256, "learning_rate": "lin_7.3e-4", "buffer_size": 1_000_000, "ent_coef": "auto", "gamma": 0.99,
        "tau": 0.01, "train_freq": 1, "gradient_steps": 1, "learning_starts": 10_000, "policy_kwargs": {"net_arch": [400, 300]}},
    ("sac", "MountainCarContinuous-v0"): {
        "learning_rate": 3e-4, "buffer_size": 50_000, "batch_size": 512, "ent_coef": 0.1, "train_freq": 32, "gradient_steps": 32,
        "gamma": 0.9999, "tau": 0.01, "learning_starts": 0, "use_sde": True,
        "policy_kwargs": {"log_std_init": -3.67, "net_arch": [64, 64]}},
    **{(algorithm, "InvertedPendulum-v5"): {"noise_type": "normal", "noise_std": 0.1} for algorithm in ("ddpg", "td3")},
    **{("sac", env): {"learning_starts": 10_000} for env in ("HalfCheetah-v5", "Hopper-v5", "Walker2d-v5")},
    **{("td3", env): {
        "learning_starts": 10_000, "noise_type": "normal", "noise_std": 0.1, "train_freq": 1, "gradient_steps": 1,
        "learning_rate": 1e-3, "batch_size": 256, "policy_kwargs": {"net_arch": [400, 300]}}
       for env in ("HalfCheetah-v5", "Hopper-v5")},
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("library", choices=list(zoo.TITLES))
    parser.add_argument("algorithm", choices=sorted({algorithm for algorithm, _ in SETTINGS} - {"dqn"}))
    parser.add_argument("env")
    parser.add_argument("--seeds", type=seeds, default=range(5), help="such as 3, 0-9 or 0,2,5-7")
    parser.add_argument("--as-ours", action="store_true", help="the settings of the project's preset, for ddpg and td3")
    parser.add_argument("--set", nargs="*", default=[], help="settings that differ from these, as name=value")
    options = parser.parse_args()
    config = scratchac.make_agent(options.algorithm, options.env).config
    if not zoo.has(options.library, options.algorithm):
        parser.error(f"{options.library} is not installed, or has no {options.algorithm}")
    settings = as_ours(config, parser) if options.as_ours else SETTINGS.get((options.algorithm, options.env))
    if settings is None:
        parser.error(f"there are no tuned settings of {options.algorithm} on {options.env} here")
    if options.library == "sbx" and {"use_sde", "sde_sample_freq"} & given_by(options.set).keys():
        parser.error("SBX has no state-dependent exploration (use_sde), and is not asked for it")
    settings = settings | {"n_timesteps": config.steps, "threads": 1} | given_by(options.set)
    words = [options.library, options.algorithm, options.env, *(["as-ours"] if options.as_ours else []), *options.set]
    path = FOLDER / f"{'-'.join(words)}.json"
    _, env_args = find_preset(options.algorithm, options.env)
    require_same(path, read(path), cure="delete the file", settings=settings, env_args=env_args)
    for seed in options.seeds:
        if str(seed) not in read(path, seeds={})["seeds"]:
            record(options, settings, seed, path)


def as_ours(config, parser):
    """The zoo's names for the settings of our preset."""
    if getattr(config, "noise", None) != "gaussian" or config.actor_lr != config.critic_lr or isinstance(config.actor_lr, str):
        parser.error("--as-ours is for ddpg and td3 with one constant learning rate for both networks and Gaussian noise")
    return {"learning_rate": config.actor_lr, "batch_size": config.batch_size, "buffer_size": config.buffer_size,
            "learning_starts": config.learning_starts, "train_freq": config.train_every, "gradient_steps": config.gradient_steps,
            "gamma": config.gamma, "tau": config.tau, "noise_type": "normal", "noise_std": config.noise_scale,
            "policy_kwargs": {"net_arch": list(config.hidden)}}


def record(options, settings, seed, path):
    """Train with one seed, evaluate the last policy, and add it to the file."""
    env_args = find_preset(options.algorithm, options.env)[1]
    started = time.monotonic()
    model, steps = zoo.build(options.library, options.algorithm, options.env, seed, settings, **env_args)
    model.learn(steps)
    minutes = (time.monotonic() - started) / 60
    returns = scratchac.evaluate(zoo.Policy(model), options.env, EPISODES, **env_args)
    random = round(random_return(options.env, env_args), 2)
    with changing(path, seeds={}) as result:
        result |= {"library": options.library, "algorithm": options.algorithm, "env": options.env, "env_args": env_args,
                   "steps": steps, "settings": settings, "random": random,
                   "versions": versions("stable-baselines3", "sbx-rl", "torch", "jax", *OURS, before=result.get("versions"))}
        result["seeds"][str(seed)] = summary(returns) | {"minutes": round(minutes, 2)}
    print(f"{path.stem} seed {seed}: {returns.mean():.1f} ± {returns.std():.1f}", flush=True)


def random_return(env, env_args):
    """The mean return of uniformly random actions over as many episodes."""
    made = make(env, **env_args)
    made.action_space.seed(0)
    return float(scratchac.evaluate(AtRandom(made.action_space), env, EPISODES, **env_args).mean())


class AtRandom:
    """A policy of uniformly random actions."""

    def __init__(self, space):
        self.space = space

    def act(self, obs, explore=False):
        """An action for each observation."""
        return np.array([self.space.sample() for _ in obs])


if __name__ == "__main__":
    as_script(main)
