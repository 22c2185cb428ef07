"""A search for hyperparameters with Optuna: trials, each a training with values from the SEARCH table of the algorithm's Config.

The folder of a search contains

    tune.json        the request
    study.db         the trials, in Optuna's SQLite tables; what Optuna reads there is text in JSON
    preset.toml      the best trial as a preset
    0007/seed500     a run of trial 7, if that was the best one when it ended; those of others are removed

Several processes may work on one search: what one has tried the others know.
"""

import shutil
import time
from json import dumps, loads
from pathlib import Path
from typing import Any

import numpy as np

import kernels
from scratchac import algorithms, api
from scratchac.algorithms.config import configure, whole
from scratchac.algorithms.search import Choice, space_of
from scratchac.environments.make import full_name_of, name_of, with_arguments
from scratchac.errors import EnvironmentFailed, TrainingError, UserError, WorkerDied, WriteError
from scratchac.experiments.callbacks import Callback
from scratchac.experiments.files import atomic_file, read_json
from scratchac.experiments.presets import find_preset
from scratchac.experiments.reporter import signals_as_interrupts
from scratchac.experiments.run import to_json
from scratchac.messages import progress_bar, tell
from scratchac.tools.sweep import require_one_each
from scratchac.tools.tables import aligned, one_digit

INSTALL = "pip install 'optuna>=4.0'"
SHOWN = 5                       # trials in the table
PATIENCE = 30.0                 # seconds until a folder that another process makes must be complete
EVALUATIONS = 10                # during a training, if their interval is not given
BAR = "{percentage:3.0f}% {n_fmt}/{total_fmt} trials {elapsed}, {remaining} left {desc}"


class Pruning(Callback):
    """Reports each evaluation of a training to a trial, and ends training if the trial falls behind the others."""

    def __init__(self, trial: Any):
        self.trial = trial
        self.number = 0         # of evaluations: their steps differ with the rollouts, and trials are compared at the same number
        self.pruned = False

    def on_row(self, agent: Any, row: dict[str, Any]) -> bool:
        """Whether the trial is given up."""
        if row["eval_mean"] != "":
            self.number += 1
            self.trial.report(row["eval_mean"], self.number)
            self.pruned = self.trial.should_prune()
        return self.pruned


class Tune:
    """A search, new or begun before in the folder `out`.

    seeds           of the trainings of a trial, whose value is the mean of their returns
    choices         {hyperparameter: values}: with one value it is not searched, of several one is chosen
    options         further arguments of `scratchac.train`: steps, backend, preset, env_args

    Raises UserError, before the first trial starts, for anything misspelt, out of range or unfit for the environment, and for a
    folder with another search.
    """

    def __init__(self, algorithm: str, env: Any, seeds: list[int], choices: dict[str, list[Any]], out: Any,
                 eval_every: int | None = None, eval_episodes: int = 20, **options: Any):
        try:
            import optuna
        except ImportError:
            raise UserError(f"tune needs a package that is missing: {INSTALL}") from None
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.optuna = optuna
        self.algorithm, self.env, self.seeds, self.out = algorithm, env, seeds, Path(out)
        self.fixed = {name: values[0] for name, values in choices.items() if len(values) == 1}
        several = {name: Choice(*values) for name, values in choices.items() if len(values) > 1}
        self.options = {name: value for name, value in options.items() if value is not None}
        require_one_each(choices, self.options)
        tuned, tuned_env_args = find_preset(algorithm, name_of(env), options.get("preset"))
        config_class = algorithms.find(algorithm).config_class
        self.preset = tuned | {name: self.options[name] for name in ("steps",) if name in self.options} | self.fixed
        self.env_args = with_arguments(tuned_env_args, options.get("env_args") or {})
        toml(self.env_args)                                 # what no preset can hold is told now, and not after the last trial
        config = configure(config_class, algorithm, self.preset)
        for name, values in choices.items():
            for value in values:
                configure(config_class, algorithm, self.preset | {name: value})
        named = {name: options.get(name) for name in ("backend", "env_args", "preset")}
        api.require_trainable(algorithm, env, **named, **self.preset)
        self.space = {name: x for name, x in space_of(config_class).items() if name not in choices} | several
        if not self.space:
            raise UserError("every hyperparameter that could be searched has a value already")
        eval_every = max(1, config.steps // EVALUATIONS) if eval_every is None else whole("--eval-every", eval_every, 1)
        self.evaluated = {"eval_every": eval_every, "eval_episodes": whole("--eval-episodes", eval_episodes, 1)}
        request = {"algorithm": algorithm, "env": full_name_of(env), "seeds": seeds, "choices": choices, "steps": config.steps,
                   **self.evaluated, **{name: self.options.get(name) for name in ("preset", "env_args")},
                   "backend": kernels.load(self.options.get("backend") or kernels.default_backend()).name}
        self.request = loads(dumps(to_json(request)))       # as it is read from the file
        self.study = self.opened()

    def opened(self) -> Any:
        """The study in the folder, which is made if there is none. The request is its last file: with it, it is complete."""
        request = self.out / "tune.json"
        try:
            self.out.mkdir(parents=True)
        except FileExistsError:
            self.require_same(request)
            return self.study_of(self.out / "study.db")
        except OSError as error:
            raise UserError(f"cannot make the folder {self.out}: {error.strerror}") from None
        study = self.study_of(self.out / "study.db")
        with atomic_file(request) as file:
            file.write(dumps(self.request, indent=1).encode())
        return study

    def study_of(self, path: Path) -> Any:
        """Optuna's study in a file, new or not."""
        if path.is_symlink():                               # SQLite would write to what it points to
            raise UserError(f"{path} is a link")
        try:
            storage = self.optuna.storages.RDBStorage(f"sqlite:///{path}", engine_kwargs={"connect_args": {"timeout": 60}})
            return self.optuna.create_study(storage=storage, study_name="tune", direction="maximize", load_if_exists=True,
                                            pruner=self.optuna.pruners.MedianPruner())
        except Exception as error:                          # any: it is somebody's file
            raise UserError(f"{path} cannot be read: {str(error).splitlines()[0]}") from None

    def require_same(self, path: Path) -> None:
        """Raise UserError unless that file has the same request."""
        until, told = time.monotonic() + PATIENCE, False
        while not path.exists():                            # another process may be about to make it
            others = any(not file.name.lstrip(".").startswith(("study.db", "tune.json")) for file in self.out.iterdir())
            if others or time.monotonic() > until:
                raise UserError(f"{self.out} is the folder of no search: name another one (--out)")
            if not told:
                tell(f"waiting up to {PATIENCE:g} s for a search that another process may be making in {self.out}")
                told = True
            time.sleep(0.05)
        try:
            before = read_json(path)
        except (OSError, ValueError) as error:
            raise UserError(f"{path} cannot be read: {error}") from None
        if isinstance(before, dict) and "backend" not in before:        # an earlier version did not keep it
            before = before | {"backend": self.request["backend"]}
        if before != self.request:
            before = before if isinstance(before, dict) else {}
            other = [name for name, value in self.request.items() if before.get(name) != value]
            raise UserError(f"{self.out} has a search with other {', '.join(other) or 'entries'}: name another folder (--out)")

    # -- trials --------------------------------------------------------------------------------------------------------

    def run(self, trials: int, quiet: bool = False) -> None:
        """Go on until the search has so many finished trials, those of other processes included.

        Raises KeyboardInterrupt after Ctrl-C and SIGTERM: the trial under way is given up, and all others are kept.
        """
        try:
            before = min(self.finished(), trials)
            with signals_as_interrupts(), progress_bar(BAR, total=trials, initial=before, disable=quiet) as bar:
                while self.finished() < trials:
                    self.make_trial()
                    bar.set_description_str(self.best_so_far(), refresh=False)
                    bar.update(min(self.finished(), trials) - bar.n)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"stopped; the finished trials ({self.finished()}) are kept in {self.out}, and the same "
                                    "command goes on from there") from None

    def finished(self) -> int:
        """The number of trials that came to an end, or were given up since they fell behind."""
        states = self.optuna.trial.TrialState
        return len(self.study.get_trials(deepcopy=False, states=(states.COMPLETE, states.PRUNED)))

    def best_so_far(self) -> str:
        """What the bar says of the best trial."""
        found = self.completed()
        return f"| best: {one_digit(found[0].value)} (trial {found[0].number})" if found else ""

    def completed(self) -> list[Any]:
        """Trials that came to an end, the best first."""
        done = self.study.get_trials(deepcopy=False, states=(self.optuna.trial.TrialState.COMPLETE,))
        return sorted(done, key=lambda trial: -trial.value)

    def make_trial(self) -> None:
        """Draw values, train with each seed, and tell the study what came of it."""
        state = self.optuna.trial.TrialState
        trial = self.study.ask()
        # A new sampler for each trial: its draws depend on nothing but the trials before, in whichever process they were.
        self.study.sampler = self.optuna.samplers.TPESampler(seed=trial.number)
        folder = self.out / f"{trial.number:04d}"
        try:
            value = self.value_of(trial, folder)
        except (KeyboardInterrupt, WriteError, EnvironmentFailed, WorkerDied):
            self.study.tell(trial, state=state.FAIL)
            shutil.rmtree(folder, ignore_errors=True)
            raise
        except (UserError, TrainingError) as error:         # values that exclude each other, or with which training diverges
            tell(f"trial {trial.number} is given up: {error}")
            value = None
        self.study.tell(trial, value, state.PRUNED if value is None else state.COMPLETE)
        if value is None or self.completed()[0].number != trial.number:
            shutil.rmtree(folder, ignore_errors=True)

    def value_of(self, trial: Any, folder: Path) -> float | None:
        """The mean return of the last policies; None if the first training falls behind those of other trials."""
        means = []
        for seed in self.seeds:
            pruning = [Pruning(trial)] if seed == self.seeds[0] else []
            api.train(self.algorithm, self.env, seed=seed, out=folder / f"seed{seed}", quiet=True, callbacks=pruning,
                      **self.options, **self.evaluated, **self.fixed | self.values(trial))
            if any(each.pruned for each in pruning):
                return None
            means.append(read_json(folder / f"seed{seed}" / "summary.json")["eval_mean"])
        return float(np.mean(means))

    def values(self, trial: Any) -> dict[str, Any]:
        """The hyperparameters of a trial that are searched: drawn for a new one, read from one that is finished."""
        return {name: values.draw(trial, name) for name, values in self.space.items()}

    # -- the outcome ---------------------------------------------------------------------------------------------------

    def table(self) -> str:
        """The best trials, and how many there are."""
        done = self.completed()
        rows = [["trial", "mean return", *self.space]]
        for trial in done[:SHOWN]:
            values = self.values(self.optuna.trial.FixedTrial(trial.params))
            rows.append([str(trial.number), one_digit(trial.value), *(_short(x) for x in values.values())])
        return f"{aligned(rows)}\n\ntrials that came to their end: {len(done)}; given up before: {self.finished() - len(done)}"

    def best_preset(self) -> str | None:
        """The best trial as a table in TOML, as presets.toml and `scratchac train --config` have them; None if there is none.

        It is also written to preset.toml.
        """
        done = self.completed()
        if not done:
            return None
        seeds = ",".join(map(str, self.seeds))
        values = self.preset | {"steps": self.request["steps"]} | self.values(self.optuna.trial.FixedTrial(done[0].params))
        lines = [f"[{self.algorithm}.{dumps(full_name_of(self.env))}]", *(f"{name} = {toml(x)}" for name, x in values.items())]
        if self.env_args:
            lines.append(f"env_args = {toml(self.env_args)}")
        text = "\n".join([*lines, f"tuning_seeds = {toml(seeds)}", ""])
        with atomic_file(self.out / "preset.toml") as file:
            file.write(text.encode())
        return text


def toml(value: Any) -> str:
    """A hyperparameter, or a dict of an environment's arguments, as TOML has it: as JSON does, but for dicts, and without null.

    Raises UserError for None.
    """
    if isinstance(value, dict):
        return "{" + ", ".join(f"{toml(name)} = {toml(x)}" for name, x in value.items()) + "}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml, value))}]"
    if value is None:
        raise UserError("a preset, which tune writes in TOML, cannot have null as an argument of the environment")
    if isinstance(value, float):
        return repr(value)                                  # TOML has nan and inf, too
    return dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")     # JSON writes other planes as two escapes, TOML never


def _short(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
