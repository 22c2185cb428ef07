"""Many runs in parallel: every combination of values of some hyperparameters, with several seeds.

The folder of a sweep contains the folder of each run and

    sweep.json       the request and, for each setting, the mean return of each seed's last policy
    sweep.md         these returns as a table, with their mean and its interval
    sweep.png        learning curves with both
"""

import json
import re
import tempfile
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

import kernels
from scratchac import algorithms, api
from scratchac.environments.make import full_name_of, register, registration_of
from scratchac.errors import TrainingError, UserError, WriteError
from scratchac.experiments import plots
from scratchac.experiments.files import atomic_file, read_json
from scratchac.experiments.reporter import signals_as_interrupts
from scratchac.experiments.run import Run
from scratchac.experiments.statistics import FEWEST, LEVEL, interquartile_mean, interval
from scratchac.messages import STDERR, STEPS_BAR, progress_bar
from scratchac.parallel.workers import engine
from scratchac.tools.tables import aligned, one_digit

ATTEMPTS = 2                    # a run that dies is started again, once
LONGEST_LABEL = 150             # characters of it in a folder's name; file systems take 255 in all


@dataclass(frozen=True)
class Setting:
    """What all seeds of one row of the table have in common; its hyperparameters are those that the sweep chooses."""

    algorithm: str
    env: Any
    hyperparameters: dict[str, Any]
    line: str                   # its name in the picture, where environments have a panel each


class Sweep:
    """A sweep. Raises UserError, before the first run starts, for anything misspelt, out of range or unfit for the environment.

    algorithm   a name, or a list of names
    env         an environment, or a list of them; None stands for each algorithm's own
    choices     {hyperparameter: values to try}; every combination, with every algorithm and environment, is a setting
    out         new folder
    jobs        runs at a time; if not given, as many as there are cores for them
    options     further arguments of `scratchac.train`: steps, backend, preset, env_args
    """

    def __init__(self, algorithm: Any, env: Any, seeds: Iterable[int], choices: dict[str, list[Any]], out: Any,
                 engine_name: str = "processes", jobs: int | None = None, **options: Any):
        self.seeds = list(seeds)
        self.out = Path(out)
        self.engine_name = engine_name
        self.jobs = jobs
        if jobs is not None and jobs < 1:
            raise UserError(f"--jobs must be at least 1, not {jobs}")
        self.options = {name: value for name, value in options.items() if value is not None}
        self.options.setdefault("backend", kernels.default_backend())       # all runs have this machine's, also on a cluster
        require_one_each(choices, self.options)
        self.settings = settings_of(_listed(algorithm), _listed(env), choices)
        self.folders = folder_names(self.settings)
        self.cores = 1                                                      # that a run keeps busy
        self.target = 0                                                     # environment steps of all runs
        for setting in self.settings.values():
            config = api.require_trainable(setting.algorithm, setting.env, **self.options | setting.hyperparameters)
            asynchronous = algorithms.find(setting.algorithm).family == "asynchronous"
            self.cores = max(self.cores, config.envs if asynchronous else 1)
            self.target += config.steps * len(self.seeds)
        self.results = {label: dict.fromkeys(self.seeds) for label in self.settings}        # setting → seed → mean return

    def run(self, quiet: bool = False) -> None:
        """Make all runs, then write their results, also when Ctrl-C ends the sweep early.

        Raises TrainingError if a run has died twice; the others are finished by then.
        """
        with (engine(self.engine_name) as workers,
              progress_bar(STEPS_BAR, total=self.target, unit=" steps", unit_scale=True, disable=quiet) as bar):
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
        jobs = self.jobs or max(1, workers.capacity // self.cores)
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
                    self.put_aside(label, seed, attempt)
                    if attempt < ATTEMPTS:
                        waiting.append((label, seed, attempt + 1))
            bar.update(sum(steps.values()) - bar.n)

    # -- one run -----------------------------------------------------------------------------------------------------

    def folder(self, label: str, seed: int) -> Path:
        """The folder of one run."""
        return self.out / f"{self.folders[label]}seed{seed}"

    def task(self, label: str, seed: int) -> tuple[Any, ...]:
        """The arguments of `run_one`. On a cluster a worker may not see this folder, so it sends the files."""
        setting = self.settings[label]
        given = self.options | setting.hyperparameters
        if self.engine_name == "ray" and algorithms.find(setting.algorithm).family == "asynchronous":
            given["engine"] = "ray"
        folder = None if self.engine_name == "ray" else self.folder(label, seed)
        return setting.algorithm, setting.env, registration_of(setting.env), seed, given, folder

    def keep(self, label: str, seed: int, files: dict[str, bytes] | None) -> None:
        """Take what a run returned: its mean return and, from a cluster, its files."""
        folder = self.folder(label, seed)
        if files is not None:
            try:
                folder.mkdir()
            except OSError as error:
                raise WriteError(f"cannot make the folder {folder}: {error.strerror}") from error
            for name, content in files.items():
                with atomic_file(folder / name) as file:
                    file.write(content)
        self.results[label][seed] = read_json(folder / "summary.json")["eval_mean"]

    def put_aside(self, label: str, seed: int, attempt: int) -> None:
        """Rename the folder of a run that died, to …-died or …-2-died."""
        folder = self.folder(label, seed)
        if folder.exists():
            folder.rename(folder.with_name(f"{folder.name}{f'-{attempt}' if attempt > 1 else ''}-died"))

    # -- results -----------------------------------------------------------------------------------------------------

    def write(self) -> None:
        """Write sweep.json, sweep.md and sweep.png."""
        settings = {label: {"algorithm": x.algorithm, "env": full_name_of(x.env), "hyperparameters": x.hyperparameters}
                    for label, x in self.settings.items()}
        rows = {label: {str(seed): x for seed, x in by_seed.items()} for label, by_seed in self.results.items()}
        content = {"seeds": self.seeds, "settings": settings, "options": self.options, "evaluations": rows}
        for name, text in (("sweep.json", json.dumps(content, indent=1)), ("sweep.md", self.table())):
            with atomic_file(self.out / name) as file:
                file.write(f"{text}\n".encode())
        curves: dict[str, dict[str, list[Any]]] = {}                        # environment → line → metrics of its runs
        for label, by_seed in self.results.items():
            env, line = full_name_of(self.settings[label].env), self.settings[label].line
            for seed in (seed for seed, x in by_seed.items() if x is not None):
                curves.setdefault(env, {}).setdefault(line, []).append(Run.open(self.folder(label, seed)).metrics())
        if curves:
            names = dict.fromkeys(setting.algorithm for setting in self.settings.values())
            plots.save(plots.lines(curves, " and ".join(names)), self.out / "sweep.png")

    def table(self) -> str:
        """The evaluation of each run's last policy: for each setting the mean over seeds and its interval."""
        rows = [["setting", "seeds", "mean", f"{LEVEL:.0%} interval", "interquartile mean", "lowest … highest"]]
        for label, by_seed in self.results.items():
            x = np.array([value for value in by_seed.values() if value is not None])
            if not len(x):
                rows.append([label, "0", "", "", "", ""])
                continue
            rows.append([label, str(len(x)), one_digit(x.mean()), _interval(x), one_digit(float(interquartile_mean(x))),
                         f"{one_digit(x.min())} … {one_digit(x.max())}"])
        return aligned(rows)


def require_one_each(choices: dict[str, list[Any]], options: dict[str, Any]) -> None:
    """Raise UserError for a hyperparameter that has values of its own and is one of the other arguments, too."""
    for name in choices.keys() & options.keys():
        raise UserError(f"--{name.replace('_', '-')} {options[name]} and values of {name} to choose from exclude each other")


def settings_of(names: list[str], envs: list[Any], choices: dict[str, list[Any]]) -> dict[str, Setting]:
    """All combinations, by the words in which they differ; "preset" if there is one. Raises UserError for an unknown algorithm."""
    names = [algorithms.spelt(name) for name in names]
    settings = {}
    for name, env, values in product(names, envs, product(*choices.values())):
        env = algorithms.ALGORITHMS[name].env if env is None else env
        chosen = [f"{choice}={value}" for choice, value in zip(choices, values, strict=True)]
        algorithm = [name] if len(names) > 1 else []
        label = " ".join([*algorithm, *([full_name_of(env)] if len(envs) > 1 else []), *chosen]) or "preset"
        line = " ".join([*algorithm, *chosen]) or name
        if label in settings:
            raise UserError(f"two settings are called {label}: a value or an environment is given twice, or needs another name")
        settings[label] = Setting(name, env, dict(zip(choices, values, strict=True)), line)
    return settings


def folder_names(labels: Iterable[str]) -> dict[str, str]:
    """For each label what the names of its folders begin with; a label that is cut or like another one gets its number, too."""
    names: dict[str, str] = {}
    for i, label in enumerate(labels):
        name = re.sub(r"[^A-Za-z0-9.=+-]+", "_", label)
        unique = len(name) <= LONGEST_LABEL and f"{name}-" not in names.values()
        names[label] = "" if label == "preset" else f"{name}-" if unique else f"{name[:LONGEST_LABEL]}-{i}-"
    return names


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _interval(x: np.ndarray) -> str:
    """The interval of a row of the table; empty where there are too few seeds for one, or no SciPy."""
    try:
        _, low, high = interval(x)
    except UserError:
        return ""
    return f"{one_digit(float(low))} … {one_digit(float(high))}" if len(x) >= FEWEST else ""


def run_one(send: Callable[[Any], None], algorithm: str, env: Any, known: Any, seed: int, options: dict[str, Any],
            folder: Path | None) -> dict[str, bytes] | None:
    """Make one run in a worker, in `folder` or, without one, in a temporary folder whose files it returns."""
    register(env, known)
    with tempfile.TemporaryDirectory() as elsewhere:
        out = folder or Path(elsewhere) / "run"
        api.train(algorithm, env, seed=seed, out=out, on_row=lambda row: send(row["step"]), **options)
        return None if folder else {file.name: file.read_bytes() for file in out.iterdir()}
