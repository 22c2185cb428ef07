"""The same training with Stable-Baselines3, for a figure that should be seen side by side with ours.

    pip install -e '.[peers,mujoco]' && python demos/results/peer.py td3 Hopper-v5 --seeds 3-5

takes the sizes, rates and steps of the project's preset and writes demos/results/peers/td3-Hopper-v5.json, one entry per seed: the
last policy, deterministic, 100 episodes, episode i seeded with i, as demos/results/run.py has it. For ddpg and td3.
"""

import argparse
import json
from importlib.metadata import version
from pathlib import Path

import gymnasium as gym
import numpy as np
import torch
from stable_baselines3 import DDPG, TD3
from stable_baselines3.common.noise import NormalActionNoise

import scratchac
from scratchac.tools.flags import seeds_from

FOLDER = Path(__file__).parent / "peers"


def episode(model, env, seed):
    obs, _ = env.reset(seed=seed)
    total, over = 0.0, False
    while not over:
        obs, reward, term, trunc, _ = env.step(model.predict(obs, deterministic=True)[0])
        total, over = total + reward, term or trunc
    return total


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("algorithm", choices=["ddpg", "td3"])
    parser.add_argument("env")
    parser.add_argument("--seeds", type=seeds_from, default=range(3), help="one seed, or FIRST-LAST")
    options = parser.parse_args()
    torch.set_num_threads(1)
    config = scratchac.make_agent(options.algorithm, options.env).config
    if config.actor_lr != config.critic_lr or config.noise != "gaussian":
        parser.error("Stable-Baselines3 has one learning rate for both networks, and this compares Gaussian noise")
    path = FOLDER / f"{options.algorithm}-{options.env}.json"
    result = json.loads(path.read_text()) if path.exists() else {"seeds": {}}
    for seed in options.seeds:
        if str(seed) in result["seeds"]:
            continue
        env = gym.make(options.env)
        size = env.action_space.shape[0]
        noise = NormalActionNoise(np.zeros(size), np.full(size, config.noise_scale))
        model = {"ddpg": DDPG, "td3": TD3}[options.algorithm](
            "MlpPolicy", env, learning_rate=config.actor_lr, batch_size=config.batch_size, buffer_size=config.buffer_size,
            learning_starts=config.learning_starts, train_freq=config.train_every, gradient_steps=config.gradient_steps,
            gamma=config.gamma, tau=config.tau, action_noise=noise, policy_kwargs={"net_arch": list(config.hidden)}, seed=seed,
            device="cpu")
        model.learn(config.steps)
        returns = np.array([episode(model, gym.make(options.env), i) for i in range(100)])
        result |= {"algorithm": options.algorithm, "env": options.env, "steps": config.steps,
                   "versions": {name: version(name) for name in ("stable-baselines3", "torch", "gymnasium")}}
        result["seeds"][str(seed)] = {"mean": round(float(returns.mean()), 2), "std": round(float(returns.std()), 2)}
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(result, indent=1) + "\n")
        print(f"{path.stem} seed {seed}: {returns.mean():.1f} ± {returns.std():.1f}", flush=True)


if __name__ == "__main__":
    main()
