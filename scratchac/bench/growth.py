"""How rates, memory and time grow with sizes, for `scratchac bench --growth`: a table for each size."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import gymnasium as gym
import numpy as np

import kernels
from scratchac.bench import trainings
from scratchac.bench.solve import ROOT
from scratchac.errors import TrainingError, UserError
from scratchac.nn import MLP, Parameters
from scratchac.optim import Adam
from scratchac.training.memory import ReplayBuffer

ENVIRONMENTS = 1, 4, 16, 64, 256, 1024
WIDTHS = 32, 64, 128, 256, 512, 1024
BATCHES = 32, 64, 128, 256, 512, 1024, 2048, 4096
BUFFERS = 1_000, 10_000, 100_000, 1_000_000
STACKED, ROWS = 8, (1, 8, 40, 100, 256)     # networks of several seeds, and the rows of a minibatch of each
STEPS = 20_000                  # of a turn with several environments
SWEEP = {"algorithm": "a2c", "env": "CartPole-v1", "steps": 100_000, "seeds": 8}

# title → observation space and number of actions of the transitions in a replay buffer
CONTENTS = {"17 observations, 6 actions": (gym.spaces.Box(-1, 1, (17,), np.float32), 6),
            "376 observations, 17 actions": (gym.spaces.Box(-1, 1, (376,), np.float32), 17),
            "pictures of 48 × 48 × 4, 3 actions": (gym.spaces.Box(0, 255, (48, 48, 4), np.uint8), 3)}


def tables(names, pace):
    """Each table as (title, rows, unit, better), as soon as it is complete.

    names   backends of the CPU
    """
    steps, updates = "environment steps per second", "updates per second"
    yield "Growth with environments: A2C on CartPole-v1, 5 steps each", environments(names, pace), steps, max
    yield "Growth with width: SAC, two layers, batch 256", widths(names, pace), updates, max
    yield "Growth with the batch: SAC, 256-256", batches(names, pace), updates, max
    title = f"Seeds side by side: {STACKED} networks 64-64, forward, backward and Adam, on one core"
    yield title, side_by_side(names, pace), "networks per second", None
    yield "Growth with the replay buffer", buffers(pace), "bytes", None
    what = f"{few(SWEEP, pace)['seeds']} seeds of {SWEEP['algorithm']} on {SWEEP['env']}, {few(SWEEP, pace)['steps']:,} steps each"
    yield f"Growth with processes: a sweep of {what}", processes(pace), "processes", None


def few(sizes, pace):
    """All sizes, or every third one, or a smaller sweep, if it must be quick."""
    if isinstance(sizes, dict):
        return sizes | {"steps": pace.of(sizes["steps"]), "seeds": 2} if pace.quick else sizes
    return sizes[::3] if pace.quick else sizes


def grown(table, pace, turns_of, sizes):
    """Rows of {"what": size, column: median rate}; `turns_of(size)` gives the turns of each column."""
    rows, titles = [], {title: size for size, title in sizes.items()}
    for title in pace.each(table, titles):
        rows.append({"what": title, **trainings.in_turn(turns_of(titles[title]), pace, title)})
    return rows


def environments(names, pace):
    """Environment steps per second of A2C over the number of environments."""
    def turns(n):
        options = {"envs": n, "rollout": 5}
        return {name: trainings.our_training(name, "a2c", "CartPole-v1", pace.of(STEPS), options) for name in names}
    sizes = {n: f"{n:,} environment{'s' * (n > 1)}" for n in few(ENVIRONMENTS, pace)}
    return grown("growth with environments", pace, turns, sizes)


def widths(names, pace):
    """Updates per second of SAC over the width of its networks."""
    def turns(width):
        return {name: trainings.our_updates(name, pace.seconds, "sac", 17, 6, (width, width), 256) for name in names}
    return grown("growth with width", pace, turns, {width: f"{width}-{width}" for width in few(WIDTHS, pace)})


def batches(names, pace):
    """Updates per second of SAC over the size of a minibatch."""
    def turns(batch):
        return {name: trainings.our_updates(name, pace.seconds, "sac", 17, 6, (256, 256), batch) for name in names}
    return grown("growth with the batch", pace, turns, {batch: f"batch {batch:,}" for batch in few(BATCHES, pace)})


def side_by_side(names, pace):
    """Networks that learn from one minibatch per second: one after another, and STACKED of them as one stack."""
    def turns(rows):
        return {f"{name}, {'stacked' if stack else 'one by one'}": learning(name, pace.seconds, stack, rows)
                for name in names for stack in ((), (STACKED,))}
    return grown("networks side by side", pace, turns, {rows: f"{rows} row{'s' * (rows > 1)}" for rows in few(ROWS, pace)})


def learning(backend, seconds, stack, rows):
    """A turn of some seconds: a network, or a stack of them, learns from `rows` rows for each."""
    rng = np.random.default_rng(0)
    x, dy = (rng.standard_normal((*stack, rows, n)).astype(np.float32) for n in (4, 2))
    with kernels.using(backend):
        mlp = MLP((4, 64, 64, 2), "tanh", stack=stack)
        params = Parameters(mlp.shapes())
        mlp.initialise(params, rng)
        grads, optimiser = params.zeros_like(), Adam(params.flat)

        def learn():
            mlp.backward(params, mlp.forward(params, x)[1], dy, grads)
            optimiser.step(grads.flat, 1e-4)
    return trainings.on_backend(backend, trainings.turn_of(stack[0] if stack else 1, learn, seconds))


def buffers(pace):
    """Bytes of a replay buffer over its capacity; None where the machine's memory is too small for it."""
    rows, capacities = [], {f"{n:,} transitions": n for n in few(BUFFERS, pace)}
    for title in pace.each("growth with the buffer", capacities):
        rows.append({"what": title})
        for content, (space, actions) in CONTENTS.items():
            try:
                rows[-1][content] = ReplayBuffer(capacities[title], space, (actions,)).nbytes       # zeros that nothing has touched
            except UserError:
                rows[-1][content] = None
    return rows


def processes(pace):
    """Seconds of `scratchac sweep` over the number of processes, their start, evaluations and plots included, measured once."""
    rows, sweep = [], few(SWEEP, pace)
    numbers = {f"{n}{' (all cores)' * (n == os.cpu_count())}": n for n in sorted({1, 2, os.cpu_count()})}
    for title in pace.each("growth with processes", numbers):
        with tempfile.TemporaryDirectory() as folder:
            words = ["sweep", sweep["algorithm"], "--env", sweep["env"], "--seeds", f"0-{sweep['seeds'] - 1}", "--steps",
                     str(sweep["steps"]), "--jobs", str(numbers[title]), "--out", str(Path(folder) / "sweep"), "--quiet"]
            paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
            started = time.perf_counter()
            done = subprocess.run([sys.executable, "-P", "-m", "scratchac", *words], env=os.environ | {"PYTHONPATH": paths},
                                  capture_output=True, text=True)
            seconds = time.perf_counter() - started
        if done.returncode:
            raise TrainingError(f"the sweep has failed: {(done.stderr.strip().splitlines() or ['without a word'])[-1]}")
        rows.append({"what": title, "seconds": seconds, "environment steps per second": sweep["steps"] * sweep["seeds"] / seconds})
    return rows
