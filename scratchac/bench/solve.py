"""Seconds from the start of a process to a policy that solves its environment, for `scratchac bench --solve`.

Each contestant and seed has a process of its own: `python -m scratchac.bench.solve JSON`. The clock starts before the process does,
so imports and compilation count, and stops at the first evaluation whose mean return over EPISODES episodes meets the threshold.
Evaluations come every fiftieth of the budget, at the next end of an update. They are deterministic, their time counts, and the code
that makes them is the same for all libraries (scratchac/training/evaluation.py), as are their seeds.

A process begins with what an earlier one has left on disk: Numba's compiled code is there, while JAX compiles anew. So ours
also has a row whose processes find nothing.
"""

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from scratchac.bench import zoo
from scratchac.messages import tell

TITLE = "Solved: seconds from the start of a process"
THRESHOLDS = {"CartPole-v1": 475, "LunarLander-v3": 200, "Pendulum-v1": -160, "InvertedPendulum-v5": 950}
NEEDS = {"LunarLander-v3": "Box2D", "InvertedPendulum-v5": "mujoco"}
SEEDS = 20, 21, 22              # no preset was tuned on them
EPISODES, FIRST = 20, 1_000     # of an evaluation; its first episode's seed
EVALUATIONS = 50                # over a budget
WARM = 3                        # evaluations after which a process has compiled all that it needs
LIMIT = 300.0                   # seconds after which a run has solved nothing
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Contestant:
    """An algorithm of a library on an environment.

    options   ours: hyperparameters that differ from the preset's
    preset    ours: name of an additional preset
    vector    ours: what steps the environments, as `scratchac.train` takes it
    empty     ours: whether a process finds none of Numba's compiled code on disk
    """

    library: str
    algorithm: str
    env: str
    options: dict[str, Any] = field(default_factory=dict)
    preset: str | None = None
    vector: str = "sync"
    empty: bool = False

    @property
    def title(self) -> str:
        """What stands in the table."""
        library, threshold = zoo.TITLES.get(self.library, self.library), THRESHOLDS[self.env]
        preset = f" --preset {self.preset}" if self.preset else ""
        vector = "" if self.vector == "sync" else f" --vector {self.vector}"
        empty = ", nothing compiled before" if self.empty else ""
        return f"{self.env}, {threshold}: {library}, {self.algorithm}{preset}{vector}{empty}"


# The fastest preset on each environment.
OURS = [
    Contestant("scratchac", "ppo", "CartPole-v1", vector="auto"),
    Contestant("scratchac", "a2c", "LunarLander-v3"),
    Contestant("scratchac", "ddpg", "Pendulum-v1", preset="fast", vector="auto"),
    Contestant("scratchac", "ppo", "InvertedPendulum-v5"),
]

# Whole programs: the module that has to be installed → the contestant, and the steps of a training.
PROGRAMS = {
    "gymnax": (Contestant("PureJaxRL", "ppo", "CartPole-v1"), 500_000),
    "rltools": (Contestant("RLtools", "sac", "Pendulum-v1"), 20_000),
}


def contestants(peers: bool, quick: bool, only: str | None = None) -> list[Contestant]:
    """Those whose libraries and environments are installed, ours first on each environment; quickly only CartPole's.

    only    an environment, if not all are wanted
    """
    found = []
    for env in [only] if only else list(THRESHOLDS)[: 1 if quick else None]:
        if env in NEEDS and importlib.util.find_spec(NEEDS[env]) is None:
            continue
        for ours in OURS:
            if ours.env == env:
                found += [ours, Contestant(**vars(ours) | {"empty": True})]
        found += [Contestant(library, algorithm, env) for library in zoo.TITLES for algorithm, name in zoo.SETTINGS
                  if peers and name == env and zoo.has(library, algorithm)]
        found += [one for module, (one, _) in PROGRAMS.items() if peers and one.env == env and importlib.util.find_spec(module)]
    return found


# -- the process that measures -------------------------------------------------------------------------------------------


def rows(pace, peers=False, only=None):
    """Rows of {"what", "seconds", "environment steps", "solved", "runs"}: medians over seeds, None where most did not get there.

    Where two seeds did not get there, the third is not tried. A contestant whose process fails is left out, and a line on stderr
    says why.
    """
    found, seeds = [], SEEDS[: 1 if pace.quick else None]
    by_title = {one.title: one for one in contestants(peers, pace.quick, only)}
    for title in pace.each("solve", by_title):
        try:
            if not by_title[title].empty:
                run(by_title[title], seeds[0], pace, warms=True)
            runs = []
            for seed in seeds:
                if runs.count(None) <= len(seeds) / 2:
                    runs.append(run(by_title[title], seed, pace))
        except RuntimeError as error:
            tell(f"{title}: {error}")
            continue
        found.append({"what": title, **medians(runs), "runs": runs})
    return found


def medians(runs):
    """Medians over all runs, those included that solved nothing: a run is (seconds, steps), or None."""
    seconds, steps = np.median([run or (np.inf, np.inf) for run in runs], axis=0)
    solved = sum(run is not None for run in runs)
    return {"seconds": float(seconds) if np.isfinite(seconds) else None,
            "environment steps": int(steps) if np.isfinite(steps) else None, "solved": f"{solved} of {len(runs)}"}


def run(one, seed, pace, warms=False):
    """(seconds, environment steps) until one contestant solves its environment with one seed, or None if it does not within LIMIT.

    warms    only until the third evaluation, when all that is compiled has run: the next process finds on disk what this one leaves

    Raises RuntimeError with the last line of an error.
    """
    with ExitStack() as stack:
        errors = stack.enter_context(tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace"))
        paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        environment = os.environ | {"PYTHONPATH": paths, "JAX_PLATFORMS": "cpu"}
        if one.empty:
            environment["NUMBA_CACHE_DIR"] = stack.enter_context(tempfile.TemporaryDirectory())
        # -P: the working directory is no place for modules, as it is none for the command.
        command = [sys.executable, "-P", "-m", "scratchac.bench.solve", json.dumps(asdict(one) | {"seed": seed})]
        started = time.perf_counter()
        process = stack.enter_context(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True))
        stack.callback(process.kill)
        late = threading.Timer(LIMIT, process.kill)
        late.start()
        stack.callback(late.cancel)
        evaluations = 0
        for line in process.stdout:
            if not line.startswith("{"):                    # what a library says when it is imported
                continue
            seen, seconds = json.loads(line), time.perf_counter() - started
            pace.say(f"return {seen['mean']:.0f} after {seen['step']:,} steps: {one.title}, seed {seed}")
            evaluations += 1
            if warms and evaluations == WARM:
                return None
            if not warms and seen["mean"] >= THRESHOLDS[one.env]:
                return seconds, seen["step"]
        if process.wait() and time.perf_counter() - started < LIMIT:
            errors.seek(0)
            raise RuntimeError(([line.strip() for line in errors if line.strip()] or [f"exit code {process.returncode}"])[-1])
    return None


# -- the process that is measured ------------------------------------------------------------------------------------------


class Watch:
    """Evaluates a policy whenever another part of the budget is over, and prints a line of JSON: {"step": …, "mean": …}."""

    def __init__(self, env, budget, threshold):
        self.env = env
        self.every = max(1, budget // EVALUATIONS)
        self.due = self.every
        self.budget = budget
        self.threshold = threshold

    def __call__(self, step, agent):
        """Whether the agent has solved its environment after these steps."""
        if step < min(self.due, self.budget):
            return False
        from scratchac.training.evaluation import evaluate

        self.due = step - step % self.every + self.every
        mean = float(evaluate(agent, self.env, EPISODES, FIRST).mean())
        print(json.dumps({"step": int(step), "mean": mean}), flush=True)
        return mean >= self.threshold


def train(one, seed):
    """Train one of ours as `scratchac.train` does, but with a watch that sees the agent."""
    from scratchac import algorithms
    from scratchac.algorithms.config import configure
    from scratchac.experiments import session
    from scratchac.experiments.callbacks import OnRow, Outcome
    from scratchac.experiments.presets import find_preset

    agent_class = algorithms.find(one.algorithm)
    tuned, env_args = find_preset(one.algorithm, one.env, one.preset)
    config = configure(agent_class.config_class, one.algorithm, tuned | one.options)
    watch = Watch(one.env, config.steps, THRESHOLDS[one.env])
    with session.backend(None):
        settings = {"randomise": False, "env_args": env_args}
        settings["vector"] = session.vector_mode(one.vector, agent_class, one.env, settings, quiet=True)
        envs = session.vector_env(agent_class, config, one.env, seed, settings)
        try:
            agent = algorithms.make(one.algorithm, config, envs.observation_space, envs.action_space, seed)
            session.meet(envs, agent)
            watching = OnRow(lambda _: watch(agent.step, agent))
            session.learn(agent, envs, None, one.env, config.steps, True, False, 0, Outcome([watching]))
        finally:
            envs.close()
    return agent


def main(text):
    """Train the contestant and the seed of a JSON object."""
    given = json.loads(text)
    seed, one = given.pop("seed"), Contestant(**given)
    if one.library == "scratchac":
        train(one, seed)
    elif one.library == "PureJaxRL":
        from scratchac.bench import jaxppo

        jaxppo.train(one.env, seed, Watch(one.env, PROGRAMS["gymnax"][1], THRESHOLDS[one.env]))
    elif one.library == "RLtools":
        from scratchac.bench import cpp

        cpp.train(one.env, seed, PROGRAMS["rltools"][1], Watch(one.env, PROGRAMS["rltools"][1], THRESHOLDS[one.env]))
    else:
        budget = zoo.SETTINGS[one.algorithm, one.env]["n_timesteps"]
        zoo.train(one.library, one.algorithm, one.env, seed, Watch(one.env, budget, THRESHOLDS[one.env]))


if __name__ == "__main__":
    main(sys.argv[1])
