"""SAC of RLtools, which is C++, through its Python package `rltools`, on Gymnasium's environment.

It runs in a process of its own, `python -m scratchac.bench.cpp JSON`, since its BLAS and PyTorch's do not go together. The package
compiles its code for these sizes when it is first asked for them, and needs a C++ compiler.
"""

import json
import os
import subprocess
import sys
import time

import gymnasium as gym
import numpy as np

BUFFER = 10_000


def module(env, hidden, batch, starts):
    """The compiled training of an environment; `starts` steps come before the first update."""
    import rltools

    def make():
        return gym.wrappers.RescaleAction(gym.make(env), np.float32(-1), np.float32(1))

    name, layers = env.split("-")[0].lower(), len(hidden) + 1
    return rltools.SAC(make, interface_name=f"{name}_{hidden[0]}_{batch}_{starts}", enable_evaluation=False, STEP_LIMIT=10**9,
                       REPLAY_BUFFER_CAP=BUFFER, N_WARMUP_STEPS=starts, ACTOR_BATCH_SIZE=batch, CRITIC_BATCH_SIZE=batch,
                       ACTOR_HIDDEN_DIM=hidden[0], CRITIC_HIDDEN_DIM=hidden[0], ACTOR_NUM_LAYERS=layers, CRITIC_NUM_LAYERS=layers)


class Policy:
    """A training's policy, with the method that an evaluation calls."""

    def __init__(self, state, low, high):
        self.state, self.low, self.high = state, low, high

    def act(self, obs, explore=False):
        """The deterministic actions for several observations, in the units of the environment."""
        actions = np.clip([self.state.action(np.asarray(row, np.float32)) for row in obs], -1, 1)
        return (self.low + (self.high - self.low) * (actions + 1) / 2).astype(np.float32)


def train(env, seed, budget, watch):
    """Train until `watch(steps, policy)` says that the environment is solved, or to the end of the budget."""
    state = module(env, (64, 64), 100, 100).State(seed)
    space = gym.make(env).action_space
    for step in range(1, budget + 1):
        state.step()
        if watch(step, Policy(state, space.low, space.high)):
            return


def rate(env, steps, hidden, batch):
    """Environment steps per second of a training without evaluation, after some steps that fill the buffer."""
    given = json.dumps([env, steps, list(hidden), batch])
    done = subprocess.run([sys.executable, "-P", "-m", "scratchac.bench.cpp", given], capture_output=True, text=True,
                          env=os.environ | {"MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}, check=True)
    return float(done.stdout.splitlines()[-1])


def main(text):
    """Train, and print the rate."""
    env, steps, hidden, batch = json.loads(text)
    state = module(env, hidden, batch, batch).State(0)
    for _ in range(2 * batch):
        state.step()
    started = time.perf_counter()
    for _ in range(steps):
        state.step()
    print(steps / (time.perf_counter() - started))


if __name__ == "__main__":
    main(sys.argv[1])
