# %% [markdown]
# # Environments in one process, or each in a process of its own?
#
# Steps per second of N environments under random actions. `sync` steps them one after another; `async` lets them run at the same
# time and pays for sending every action and observation to another process. What computes for a few microseconds never earns
# that back; what waits (for a simulator, a robot, a network) is waited for once instead of N times. The figures belong to the
# machine that made them. Takes less than a minute.

# %%
import os
import time

import gymnasium as gym
import numpy as np
from common import figure, save

from scratchac.environments.make import name_of
from scratchac.environments.vector import VectorEnv
from scratchac.experiments.plots import COLOURS

SIZES, SECONDS, REPEATS = (1, 2, 4, 8, 16), 0.4, 3

# %%
class CartPoleThatWaits(gym.Wrapper):
    """CartPole whose every step takes a millisecond in which nothing is computed."""

    def __init__(self):
        super().__init__(gym.make("CartPole-v1"))

    def step(self, action):
        time.sleep(0.001)
        return self.env.step(action)


def steps_per_second(env, n, vector):
    """The best of a few short measurements: whatever else the machine does can only slow them down."""
    envs = VectorEnv(env, n, seed=0, vector=vector)
    actions = np.random.default_rng(0).integers(envs.action_space.n, size=(1000, n))
    envs.reset()
    rates = []
    for _ in range(REPEATS):
        started, count = time.perf_counter(), 0
        while time.perf_counter() - started < SECONDS:
            envs.step(actions[count % len(actions)])
            count += 1
        rates.append(n * count / (time.perf_counter() - started))
    envs.close()
    return max(rates)

# %%
# Workers are new processes which may import this file again: without the guard each would start workers of its own.
if __name__ == "__main__":
    compared = ("CartPole-v1", "LunarLander-v3", CartPoleThatWaits)
    fig, axes = figure(*(f"{name_of(env)}, {os.cpu_count()} cores" for env in compared))
    for ax, env in zip(axes, compared, strict=True):
        for vector, colour in zip(("sync", "async"), COLOURS, strict=False):
            rates = [steps_per_second(env, n, vector) for n in SIZES]
            ax.plot(SIZES, rates, "o-", color=colour, label=vector)
            print(f"{name_of(env)} {vector}: {', '.join(f'{rate:,.0f}' for rate in rates)} steps/s with {SIZES} environments")
        ax.set_xscale("log", base=2)
        ax.set_xticks(SIZES, SIZES)
        ax.set_ylim(bottom=0)
        ax.set_xlabel("environments")
    axes[0].set_ylabel("environment steps per second")
    save(fig, "07_vector_envs")
