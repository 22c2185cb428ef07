"""Many runs in parallel: every combination of values of some hyperparameters, with several seeds.

The folder of a sweep contains the folder of each run and

    sweep.json       the request and, for each setting, the mean return of each seed's last policy
    sweep.md         these returns as a table, with the interquartile mean and its bootstrap interval
    sweep.png        learning curves with both
"""

import json
import re
import tempfile
from collections import deque
from collections.abc import Callable, Iterable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from scratchac import algorithms, api
from scratchac.algorithms.config import configure
from scratchac.environments.make import name_of, register, registration_of
from scratchac.errors import TrainingError, UserError
from scratchac.experiments import plots
from scratchac.experiments.files import read_json
from scratchac.experiments.presets import find_preset
from scratchac.experiments.reporter import signals_as_interrupts
from scratchac.experiments.run import Run
from scratchac.messages import STDERR
from scratchac.parallel.workers import engine

ATTEMPTS = 2                    # a run that dies is started again, once
RESAMPLES = 2000


def interquartile_mean(x: np.ndarray, axis: int = -1) -> np.ndarray:
    """The mean without the lowest and the highest quarter of the values (each rounded down to whole values).

    One failed seed changes it less than the mean, and chance changes it less than the median (Agarwal et al. 2021, section 4.3).
    """
    x = np.sort(x, axis=axis)
    cut = x.shape[axis] // 4
    return np.take(x, range(cut, x.shape[axis] - cut), axis=axis).mean(axis=axis)


def spread(x: np.ndarray, rng: np.random.Generator, level: float = 0.95) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(interquartile mean, low, high) of x (S, …) over its S seeds, by the bootstrap's percentile method (Efron 1979).

    The seeds are resampled many times with replacement; a share `level` of the resulting means lies between low and high.
    """
    drawn = x[rng.integers(len(x), size=(RESAMPLES, len(x)))]                # (R, S, …)
    low, high = np.quantile(interquartile_mean(drawn, axis=1), [(1 - level) / 2, (1 + level) / 2], axis=0)
    return interquartile_mean(x, axis=0), low, high


class Sweep:
    """A sweep. Raises UserError, before the first run starts, for anything misspelt, out of range or unfit for the environment.

    choices     {hyperparameter: values to try}; every combination is a setting
    out         new folder
    jobs        runs at a time; if not given, as many as there are cores for them
    options     further arguments of `scratchac.train`: steps, backend, preset, env_args
    """

    def __init__(self, algorithm: str, env: Any, seeds: Iterable[int], choices: dict[str, list[Any]], out: Any,
                 engine_name: str = "processes", jobs: int | None = None, **options: Any):
        self.algorithm = algorithm
        self.seeds = list(seeds)
        self.out = Path(out)
        self.engine_name = engine_name
        self.jobs = jobs
        self.agent_class = algorithms.find(algorithm)
        if jobs is not None and jobs < 1:
            raise UserError(f"--jobs must be at least 1, not {jobs}")
        self.env = env if env is not None else algorithms.ALGORITHMS[algorithm].env
        self.options = {name: value for name, value in options.items() if value is not None}
        self.settings = {" ".join(f"{name}={value}" for name, value in zip(choices, values, strict=True)) or "preset":
                         dict(zip(choices, values, strict=True)) for values in product(*choices.values())}
        tuned, _ = find_preset(algorithm, name_of(self.env), options.get("preset"))
        self.target = 0                                                     # environment steps of all runs
        for chosen in self.settings.values():
            given = {name: x for name, x in (self.options | chosen).items() if name != "backend"}
            api.make_agent(algorithm, self.env, **given)
            given = {name: x for name, x in given.items() if name not in ("preset", "env_args")}
            self.config = configure(self.agent_class.config_class, algorithm, tuned | given)
            self.target += self.config.steps * len(self.seeds)
        self.results = {label: dict.fromkeys(self.seeds) for label in self.settings}        # setting → seed → mean return

    def run(self, quiet: bool = False) -> None:
        """Make all runs, then write their results, also when Ctrl-C ends the sweep early.

        Raises TrainingError if a run has died twice; the others are finished by then.
        """
        with (engine(self.engine_name) as workers,
              tqdm(total=self.target, unit=" steps", unit_scale=True, disable=quiet, file=STDERR) as bar):
            try:
                self.out.mkdir(parents=True)
            except FileExistsError:
                raise UserError(f"{self.out} exists already, and nothing is overwritten: name another folder with --out") from None
            except OSError as error:
                raise UserError(f"cannot make the folder {self.out}: {error.strerror}") from None
            try:
                with signals_as_interrupts():
                    self.work_through(workers, bar)
            finally:
                self.write()
        lost = [f"{label}, seed {seed}" for label, by_seed in self.results.items() for seed, x in by_seed.items() if x is None]
        if lost:
            raise TrainingError(f"died twice: {'; '.join(lost)}; the other runs are in {self.out}")

    def work_through(self, workers: Any, bar: tqdm) -> None:
        """Start runs as workers become free, and start a run again when it dies for the first time."""
        cores = self.config.envs if self.agent_class.family == "asynchronous" else 1          # that a run keeps busy
        jobs = self.jobs or max(1, workers.capacity // cores)
        waiting = deque((label, seed, 1) for seed in self.seeds for label in self.settings)
        running: dict[int, tuple[str, int, int]] = {}
        steps: dict[tuple[str, int], int] = {}                                             # worker → run; run → its steps so far
        while waiting or running:
            while waiting and len(running) < jobs:
                label, seed, attempt = waiting.popleft()
                running[workers.start(run_one, *self.task(label, seed))] = label, seed, attempt
            for number, event, value in workers.poll(0.5):
                label, seed, attempt = running[number] if event == "message" else running.pop(number)
                if event == "message":
                    steps[label, seed] = value
                elif event == "done":
                    self.keep(label, seed, value)
                else:
                    then = "it is started again" if attempt < ATTEMPTS else "it is given up"
                    bar.write(f"scratchac: {label}, seed {seed} died: {value}; {then}", STDERR)
                    if attempt < ATTEMPTS:
                        self.put_aside(label, seed)
                        waiting.append((label, seed, attempt + 1))
            bar.update(sum(steps.values()) - bar.n)

    # -- one run -----------------------------------------------------------------------------------------------------

    def folder(self, label: str, seed: int) -> Path:
        """The folder of one run."""
        return self.out / (f"seed{seed}" if label == "preset" else f"{re.sub(r'[^A-Za-z0-9.=+-]+', '_', label)}-seed{seed}")

    def task(self, label: str, seed: int) -> tuple[Any, ...]:
        """The arguments of `run_one`. On a cluster a worker may not see this folder, so it sends the files."""
        given = self.options | self.settings[label]
        if self.engine_name == "ray" and self.agent_class.family == "asynchronous":
            given["engine"] = "ray"
        folder = None if self.engine_name == "ray" else self.folder(label, seed)
        return self.algorithm, self.env, registration_of(self.env), seed, given, folder

    def keep(self, label: str, seed: int, files: dict[str, bytes] | None) -> None:
        """Take what a run returned: its mean return and, from a cluster, its files."""
        folder = self.folder(label, seed)
        if files is not None:
            folder.mkdir()
            for name, content in files.items():
                (folder / name).write_bytes(content)
        self.results[label][seed] = read_json(folder / "summary.json")["eval_mean"]

    def put_aside(self, label: str, seed: int) -> None:
        """Rename the folder of a run that died."""
        folder = self.folder(label, seed)
        if folder.exists():
            folder.rename(folder.with_name(f"{folder.name}-died"))

    # -- results -----------------------------------------------------------------------------------------------------

    def write(self) -> None:
        """Write sweep.json, sweep.md and sweep.png."""
        rows = {label: {str(seed): x for seed, x in by_seed.items()} for label, by_seed in self.results.items()}
        (self.out / "sweep.json").write_text(json.dumps({
            "algorithm": self.algorithm, "env": name_of(self.env), "seeds": self.seeds, "settings": self.settings,
            "options": self.options, "evaluations": rows}, indent=1) + "\n", encoding="utf-8")
        (self.out / "sweep.md").write_text(self.table() + "\n", encoding="utf-8")
        runs = {label: [Run.open(self.folder(label, seed)).metrics() for seed, x in by_seed.items() if x is not None]
                for label, by_seed in self.results.items()}
        plots.spreads({label: metrics for label, metrics in runs.items() if metrics}, spread_of_curves,
                      f"{self.algorithm} on {name_of(self.env)}", self.out / "sweep.png")

    def table(self) -> str:
        """The evaluation of each run's last policy: for each setting the interquartile mean over seeds and its interval."""
        lines = ["| setting | seeds | interquartile mean | 95% interval | lowest … highest |", "|---|---|---|---|---|"]
        for label, by_seed in self.results.items():
            x = np.array([value for value in by_seed.values() if value is not None])
            if not len(x):
                lines.append(f"| {label} | 0 | | | |")
                continue
            mean, low, high = spread(x, np.random.default_rng(0))
            interval = f"{low:.1f} … {high:.1f}" if len(x) > 2 else ""      # one or two seeds do not show a spread
            lines.append(f"| {label} | {len(x)} | {mean:.1f} | {interval} | {x.min():.1f} … {x.max():.1f} |")
        return "\n".join(lines)


def spread_of_curves(lines: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`spread` with the same random draws at every call."""
    return spread(lines, np.random.default_rng(0))


def run_one(send: Callable[[Any], None], algorithm: str, env: Any, known: Any, seed: int, options: dict[str, Any],
            folder: Path | None) -> dict[str, bytes] | None:
    """Make one run in a worker, in `folder` or, without one, in a temporary folder whose files it returns."""
    register(env, known)
    with tempfile.TemporaryDirectory() as elsewhere:
        out = folder or Path(elsewhere) / "run"
        api.train(algorithm, env, seed=seed, out=out, on_row=lambda row: send(row["step"]), **options)
        return None if folder else {file.name: file.read_bytes() for file in out.iterdir()}
