"""Logs of a training for other programs to show: TensorBoard, and Weights & Biases. `train(log=…)` and --log make them, too.

    scratchac.train("ppo", "CartPole-v1", out="runs/one", callbacks=[scratchac.WandB(project="cartpole", mode="online")])

Every number of a row of metrics is logged at its environment step as GROUP/COLUMN (`grouped`), beside time/steps_per_s; at the end
the evaluation, as final/…, and the film. A log that cannot be written is told of in a line, and training goes on.
"""

import json
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from shlex import quote
from textwrap import indent
from typing import Any, get_args

from scratchac.environments.seeding import global_generators_kept
from scratchac.errors import UserError, WriteError, one_line, unknown
from scratchac.experiments.callbacks import Callback
from scratchac.experiments.schema import LogName
from scratchac.messages import tell
from scratchac.training.agent import Agent

INSTALL = {"tensorboard": "pip install 'tensorboard>=2.21'", "wandb": "pip install 'wandb>=0.31'"}
GROUPS = {"episodes": "episode", "return_mean": "episode", "return_std": "episode", "length_mean": "episode", "elo": "episode",
          "eval_mean": "evaluation", "eval_std": "evaluation", "wall_s": "time"}
FILES = ("events.out.tfevents.*", "wandb")            # in the folder of a run, what logs make
MOST_FILM = 2**23               # bytes of a film in an event file: its checksum takes a second for 1.5 million


def named(log: Any) -> tuple[LogName, ...]:
    """The names of logs, each once; one name may stand alone. Raises UserError for any other."""
    names = [log] if isinstance(log, str) else log
    if not isinstance(names, list | tuple):
        raise UserError(f"log names {' or '.join(get_args(LogName))}, or a list of them, not {log!r}")
    for name in names:
        if name not in get_args(LogName):
            raise unknown("log", name, list(get_args(LogName)))
    return tuple(dict.fromkeys(names))


def logs(names: Sequence[LogName], quiet: bool = False) -> list[Callback]:
    """The callbacks with these names. Raises UserError for a package that is missing."""
    classes = {"tensorboard": TensorBoard, "wandb": WandB}
    return [classes[name](quiet=quiet) for name in names]


def grouped(row: dict[str, Any]) -> dict[str, float]:
    """The numbers of a row of metrics by GROUP/COLUMN: episode, evaluation, loss, train (other metrics of an update), time."""
    return {f"{GROUPS.get(name, 'loss' if name.endswith('_loss') else 'train')}/{name}": float(value)
            for name, value in row.items() if name != "step" and value != ""}


def hyperparameters_of(agent: Agent) -> dict[str, Any]:
    """Algorithm, environment, seed, hyperparameters, and arguments of the environment as env_args.NAME; {} if it knows none."""
    if not (about := agent.about):
        return {}
    arguments = {f"env_args.{name}": value for name, value in about["env_args"].items()}
    return {name: about[name] for name in ("algorithm", "env", "seed")} | about["hyperparameters"] | arguments


def _imported(name: str) -> Any:
    """The module that a log needs. Raises UserError if it is missing, or fails."""
    try:
        module = import_module(name)
        if not getattr(module, "__file__", None):           # a folder of this name, as wandb makes one, is no package
            raise ModuleNotFoundError
        return import_module("scratchac.experiments.event_files") if name == "tensorboard" else module
    except ModuleNotFoundError:
        raise UserError(f"--log {name} needs a package that is missing: {INSTALL[name]}") from None
    except Exception as error:
        raise UserError(f"--log {name}: its package cannot be imported: {one_line(error)}") from error


class Log(Callback):
    """What both logs share. It begins with the first row: until then a resumed folder stays as it is.

    folder  where it is written, the run's own if it is None
    quiet   no line at the end
    """

    name: LogName
    goes_on = True                                          # whether it is tried again after an error

    def __init__(self, folder: Any = None, quiet: bool = False):
        # Now, since it takes about a second, which would count as training.
        self.package = _imported(self.name)
        self.given = None if folder is None else Path(os.fsdecode(folder))
        self.quiet = quiet

    def on_start(self, agent: Agent, folder: Path | None) -> None:
        """Note where the run is, and from which step it goes on."""
        self.folder = self.given or folder
        self.after = agent.step
        self.before = None if agent.step else (0, 0.0)      # step and time of the row before
        self.begun = False
        self.told = ""

    def on_row(self, agent: Agent, row: dict[str, Any]) -> None:
        """Log a row."""
        values, now = grouped(row), (row["step"], row["wall_s"])
        if self.before and now[1] > self.before[1]:
            values["time/steps_per_s"] = (now[0] - self.before[0]) / (now[1] - self.before[1])
        self.before = now
        self._try(agent, self.write, row["step"], values)

    def on_finish(self, agent: Agent, summary: dict[str, Any] | None, film: Path | None) -> None:
        """Log the evaluation and the film, if training has come to its end; then close the log."""
        if summary is not None:
            final = {f"final/{name}": float(x) for name, x in summary.items() if name.endswith(("eval_mean", "eval_std"))}
            self._try(agent, self.conclude, agent.step, final, film)
        if self.begun:
            self.told = ""                                  # also after an error: what has been logged is then kept
            self._try(agent, self.close)

    def _try(self, agent: Agent, do: Callable[..., None], *arguments: Any) -> None:
        """Do something, beginning the log if need be. An error is told once, whatever it is: training is worth more."""
        if self.told and not self.goes_on:
            return
        try:
            with global_generators_kept():                  # environments may draw from them
                if not self.begun:
                    self.begin(agent)
                    self.begun = True
                do(*arguments)
            self.told = ""
        except Exception as error:
            text = str(error) if isinstance(error, UserError) else one_line(error)
            if text != self.told:
                tell(f"log {self.name}: {text}; training goes on")
            self.told = text

    def begin(self, agent: Agent) -> None:
        """Open the log."""
        raise NotImplementedError

    def write(self, step: int, values: dict[str, float]) -> None:
        """Log numbers."""
        raise NotImplementedError

    def conclude(self, step: int, values: dict[str, float], film: Path | None) -> None:
        """Log the numbers of the evaluation at the end, and the film."""
        raise NotImplementedError

    def close(self) -> None:
        """Nothing more is logged."""


class TensorBoard(Log):
    """Writes an event file for TensorBoard, which `tensorboard --logdir FOLDER` shows; needs the package `tensorboard`.

    folder      where it is written; not needed if the run has a folder

    Hyperparameters and the last value of each number are in the table HPARAMS, config.json under TEXT, the film under IMAGES. A
    resumed run goes on in a file of its own; TensorBoard then drops what the files before have of later steps.
    """

    name = "tensorboard"

    def on_start(self, agent: Agent, folder: Path | None) -> None:
        """Raise UserError if there is no folder."""
        super().on_start(agent, folder)
        if self.folder is None:
            raise UserError("TensorBoard(folder) needs a folder where the run has none")

    def begin(self, agent: Agent) -> None:
        """Note hyperparameters and configuration; they are written with the first numbers."""
        assert self.folder is not None
        self.file = self.package.EventFile(self.folder, self.after)
        config = indent(json.dumps(agent.about, indent=2, default=str), "    ")             # code, in Markdown
        self.first = [self.package.started(hyperparameters_of(agent)), self.package.text("config", config)]

    def write(self, step: int, values: dict[str, float]) -> None:
        """Write numbers. Raises WriteError."""
        self._write(step, [self.package.scalar(name, x) for name, x in values.items()])

    def conclude(self, step: int, values: dict[str, float], film: Path | None) -> None:
        """Write numbers and the film, as a GIF. Raises WriteError."""
        self._write(step, [*(self.package.scalar(name, x) for name, x in values.items()), self.package.ended()])
        if film is None:
            return
        from scratchac.experiments.video import as_gif

        data = as_gif(film)
        if len(data) > MOST_FILM:
            tell(f"log tensorboard: without the film, which has {len(data):,} bytes as a GIF; at most {MOST_FILM:,} are logged")
            return
        self._write(step, [self.package.picture("film", data)])

    def _write(self, step: int, values: list[Any]) -> None:
        first, self.first = self.first, []                  # if they cannot be written, the file keeps them
        self.file.write(step, first + values)


class WandB(Log):
    """Logs to Weights & Biases; needs the package `wandb`.

    project     name of the project there
    folder      in which it makes a folder wandb; the run's, or else the current one
    options     arguments of wandb.init, such as mode, entity, group, name, tags, notes

    Unless `mode` or $WANDB_MODE says otherwise it is offline: nothing is sent, and a line at the end has the command `wandb sync`,
    which sends it. A resumed run is a new run of the same group: what the run before has of later steps stays there.
    """

    name = "wandb"
    goes_on = False

    def __init__(self, project: str = "scratchac", folder: Any = None, quiet: bool = False, **options: Any):
        self.options = {"project": project, "mode": os.environ.get("WANDB_MODE", "offline")} | options
        if self.options["mode"] == "offline":
            os.environ.setdefault("WANDB_ERROR_REPORTING", "false")     # else it may report its own errors, offline too
        super().__init__(folder, quiet)

    def begin(self, agent: Agent) -> None:
        """Begin a run. Raises WriteError for a folder wandb that is a link, and what wandb raises."""
        folder = self.folder
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            if (folder / "wandb").is_symlink():
                raise WriteError(f"{folder / 'wandb'} is a link, and links are not followed")
        name = None if folder is None else f"{folder.resolve().name}{f'-from-{self.after}' if self.after else ''}"
        defaults = {"name": name, "group": folder and folder.resolve().name, "dir": folder, "config": hyperparameters_of(agent),
                    "reinit": "create_new", "settings": self.package.Settings(silent=True, console="off")}
        self.run = self.package.init(**defaults | self.options)

    def write(self, step: int, values: dict[str, float]) -> None:
        """Log numbers."""
        self.run.log(values, step=step)

    def conclude(self, step: int, values: dict[str, float], film: Path | None) -> None:
        """Log numbers, in the run's summary too, and the film."""
        media = {} if film is None else {"film": self.package.Video(str(film), format=film.suffix[1:])}
        self.run.log(values | media, step=step)

    def close(self) -> None:
        """End the run; offline a line says how to send it."""
        self.run.finish(exit_code=int(sys.exc_info()[0] is not None))
        if self.options["mode"] == "offline" and not self.quiet:
            tell(f"to send the log to Weights & Biases: wandb sync {quote(str(Path(self.run.dir).parent))}")
