"""Training speed beside Stable-Baselines3: the same sizes and threads, in turn, in one process.

    pip install stable-baselines3 && python demos/results/speed.py [NAME …]

Writes demos/results/speed/NAME.json: the medians of seven pairs, and every single measurement. Without names, everything.
NumPy computes in one thread; PyTorch is measured with one thread and with all, and the better of its two medians counts.
"""

import json
import os
import platform
import sys
import time
from pathlib import Path

import gymnasium
import numpy as np
import stable_baselines3
import torch
from stable_baselines3.common.env_util import make_vec_env
from threadpoolctl import threadpool_limits

import scratchac

PAIRS = 7
FOLDER = Path(__file__).parent / "speed"
SPACES = gymnasium.spaces.Box(-np.inf, np.inf, (17,), np.float32), gymnasium.spaces.Box(-1, 1, (6,), np.float32)


def rate(count, work):
    """How often per second: `work` is done once, and does `count` of something."""
    started = time.perf_counter()
    work()
    return count / (time.perf_counter() - started)


# -- whole training: A2C ---------------------------------------------------------------------------------------------


def our_training(env, steps=100_000):
    return lambda: rate(steps, lambda: scratchac.train("a2c", env, steps=steps, backend="numpy"))


def their_training(env, hidden, steps=20_000, **options):
    model = stable_baselines3.A2C("MlpPolicy", make_vec_env(env, n_envs=8), n_steps=5, device="cpu",
                                  policy_kwargs={"net_arch": list(hidden)}, **options)
    return lambda: rate(steps, lambda: model.learn(steps))


# -- updates alone: the off-policy algorithms, on transitions made of noise ---------------------------------------------


class Noise(gymnasium.Env):
    """Observations and rewards without any meaning, in the spaces of HalfCheetah."""

    observation_space, action_space = SPACES

    def reset(self, **kwargs):
        super().reset(**kwargs)
        return self.np_random.standard_normal(17, np.float32), {}

    def step(self, action):
        return self.np_random.standard_normal(17, np.float32), self.np_random.standard_normal(), False, False, {}


def our_updates(algorithm, updates=150):
    agent = scratchac.make_agent(algorithm, Noise, hidden=(256, 256), batch_size=256, buffer_size=10_000)
    rng = np.random.default_rng(0)
    n = 10_000
    agent.memory.add(obs=rng.standard_normal((n, 17)), actions=rng.uniform(-1, 1, (n, 6)), rewards=rng.standard_normal(n),
                     next_obs=rng.standard_normal((n, 17)), term=np.zeros(n), trunc=np.zeros(n))

    @threadpool_limits.wrap(limits=1, user_api="blas")
    def work():
        for _ in range(updates):
            agent.update(agent.memory.sample(agent.batch_rng, 256))

    return lambda: rate(updates, work)


def their_updates(algorithm, updates=150):
    model = getattr(stable_baselines3, algorithm.upper())("MlpPolicy", Noise(), batch_size=256, buffer_size=10_000, device="cpu",
                                                          learning_starts=2_000, policy_kwargs={"net_arch": [256, 256]})
    model.learn(2_000)                                                      # fills the buffer; nothing is learnt yet
    return lambda: rate(updates, lambda: model.train(gradient_steps=updates, batch_size=256))


LANDER = {"gamma": 0.999, "gae_lambda": 0.95}
SIZES = "17 observations, 6 actions, 256-256, batch 256"
MEASUREMENTS = {
    "a2c-cartpole": ("A2C, CartPole-v1, 8 environments × 5 steps, 64-64", "steps/s",
                     lambda: our_training("CartPole-v1"), lambda: their_training("CartPole-v1", (64, 64))),
    "a2c-lander": ("A2C, LunarLander-v3 with the preset, 8 environments × 5 steps, 128-128", "steps/s",
                   lambda: our_training("LunarLander-v3"), lambda: their_training("LunarLander-v3", (128, 128), **LANDER)),
    **{f"{name}-updates": (f"{name.upper()}, {SIZES}", "updates/s", lambda name=name: our_updates(name),
                           lambda name=name: their_updates(name)) for name in ("ddpg", "td3", "sac")},
}


def measure(name):
    what, unit, make_ours, make_theirs = MEASUREMENTS[name]
    ours, theirs, threads = make_ours(), make_theirs(), sorted({1, os.cpu_count()})
    runs = {"scratchac": [], **{f"peer, {n} threads": [] for n in threads}}
    for i in range(PAIRS + 1):
        row = [ours()]
        for n in threads:
            torch.set_num_threads(n)
            row.append(theirs())
        if i > 0:                                                           # the first round is for warming up
            for kept, value in zip(runs.values(), row, strict=True):
                kept.append(round(value, 1))
    medians = {who: float(np.median(values)) for who, values in runs.items()}
    peer = max(list(medians)[1:], key=medians.get)
    result = {
        "what": what, "unit": unit, "scratchac": medians["scratchac"], "peer": medians[peer], "peer_threads": int(peer.split()[1]),
        "ratio": float(np.median(np.array(runs["scratchac"]) / runs[peer])), "runs": runs,
        "machine": {"system": platform.platform(), "cpus": os.cpu_count()},
        "versions": {"scratchac": scratchac.__version__, "stable-baselines3": stable_baselines3.__version__,
                     "torch": torch.__version__, "numpy": np.__version__},
    }
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")
    told = ", ".join(f"{who} {x:,.0f}" for who, x in medians.items())
    print(f"{what}: ratio {result['ratio']:.2f}; medians in {unit}: {told}", flush=True)


if __name__ == "__main__":
    for name in sys.argv[1:] or MEASUREMENTS:
        measure(name)
