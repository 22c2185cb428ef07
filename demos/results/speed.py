"""Training speed beside Stable-Baselines3: the same environments, sizes and threads, in turn, in one process.

    pip install stable-baselines3 && python demos/results/speed.py

Writes demos/results/speed/*.json: the median of five pairs, and every single measurement.
"""

import json
import os
import platform
import time
from pathlib import Path

import numpy as np
import stable_baselines3
import torch
from stable_baselines3.common.env_util import make_vec_env

import scratchac

PAIRS = 5
FOLDER = Path(__file__).parent / "speed"


def ours(env, steps, **options):
    started = time.perf_counter()
    scratchac.train("a2c", env, steps=steps, backend="numpy", **options)
    return steps / (time.perf_counter() - started)


def theirs(env, steps, hidden, **options):
    model = stable_baselines3.A2C("MlpPolicy", make_vec_env(env, n_envs=8), n_steps=5, device="cpu",
                                  policy_kwargs={"net_arch": list(hidden)}, **options)
    started = time.perf_counter()
    model.learn(steps)
    return steps / (time.perf_counter() - started)


def measure(name, what, env, our_steps, their_steps, hidden, **options):
    pairs = [(ours(env, our_steps), theirs(env, their_steps, hidden, **options)) for _ in range(PAIRS)]
    a, b = np.array(pairs).T
    result = {
        "what": what, "unit": "steps/s", "scratchac": float(np.median(a)), "peer": float(np.median(b)),
        "ratio": float(np.median(a / b)), "runs": {"scratchac": a.round(1).tolist(), "peer": b.round(1).tolist()},
        "machine": {"system": platform.platform(), "cpus": os.cpu_count(), "torch_threads": torch.get_num_threads()},
        "versions": {"scratchac": scratchac.__version__, "stable-baselines3": stable_baselines3.__version__,
                     "torch": torch.__version__, "numpy": np.__version__},
    }
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")
    print(f"{what}: {result['scratchac']:,.0f} against {result['peer']:,.0f} steps/s, ratio {result['ratio']:.2f} "
          f"(single pairs {', '.join(f'{x:.2f}' for x in a / b)})", flush=True)


if __name__ == "__main__":
    measure("a2c-cartpole", "A2C, CartPole-v1, 8 environments × 5 steps, 64-64", "CartPole-v1", 100_000, 20_000, (64, 64))
    measure("a2c-lander", "A2C, LunarLander-v3 with the preset, 8 environments × 5 steps, 128-128", "LunarLander-v3",
            100_000, 20_000, (128, 128), gamma=0.999, gae_lambda=0.95)
