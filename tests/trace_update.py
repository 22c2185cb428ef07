"""One update of an algorithm, traced line by line: which files, functions and lines run.

    python tests/trace_update.py            a table of CONTRIBUTING.md
"""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

import kernels
from scratchac import algorithms
from scratchac.training.memory import Batch, Transitions

ROOT = Path(__file__).parents[1]
OPTIONS = {"hidden": (4,), "batch_size": 8, "learning_starts": 8, "buffer_size": 8, "envs": 1, "rollout": 8, "epochs": 1,
           "delay": 1}


def agent_and_batch(name: str) -> tuple[Any, Any]:
    """A small agent, and 8 rows to learn from."""
    config_class = algorithms.find(name).config_class
    options = {key: value for key, value in OPTIONS.items() if key in config_class.__dataclass_fields__}
    off_policy, rng = algorithms.find(name).family == "off-policy", np.random.default_rng(0)
    observations = gym.spaces.Box(-1, 1, (3,), np.float32)
    actions = gym.spaces.Box(-1, 1, (2,), np.float32) if off_policy else gym.spaces.Discrete(3)
    agent = algorithms.make(name, config_class(**options), observations, actions)
    s, s2 = rng.standard_normal((2, 8, 3), np.float32)
    r, term = rng.standard_normal(8, np.float32), np.zeros(8, np.float32)
    if off_policy:
        return agent, Transitions(s, rng.uniform(-1, 1, (8, 2)).astype(np.float32), r, s2, term)
    term[-1] = 1
    columns = s, rng.integers(3, size=8), r, s2, term, np.zeros(8, np.float32), np.arange(8)
    return agent, Batch(*(x[:, None] for x in columns))


def traced(call: Callable[[], Any]) -> set[tuple[str, str, int]]:
    """(file, function, line) of every line of the project that a call runs, with the NumPy backend."""
    seen = set()

    def trace(frame, event, _):
        path = Path(frame.f_code.co_filename)
        if event == "line" and path.is_relative_to(ROOT):
            seen.add((path.relative_to(ROOT).as_posix(), frame.f_code.co_qualname, frame.f_lineno))
        return trace

    with kernels.using("numpy"):
        before = sys.gettrace()
        sys.settrace(trace)
        try:
            call()
        finally:
            sys.settrace(before)
    return {row for row in seen if not row[0].startswith("tests/")}


def table() -> str:
    """One line for each algorithm, in Markdown."""
    lines = ["| one update of | files | functions | lines | which files |", "|---|---|---|---|---|"]
    for name in ("sac", "td3", "ddpg", "ppo", "a2c", "reinforce"):
        agent, batch = agent_and_batch(name)
        rows = {row for row in traced(partial(agent.update, batch)) if not row[0].startswith(("scratchac/training/", "kernels/"))}
        files = sorted({Path(file).name for file, _, _ in rows})
        functions = {(file, function) for file, function, _ in rows if not function.endswith(">")}      # without comprehensions
        count = len({(file, line) for file, _, line in rows})
        lines.append(f"| {name} | {len(files)} | {len(functions)} | {count} | {', '.join(files)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
