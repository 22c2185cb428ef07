"""A run's folder: the interface between commands, and everything that defines a trained agent.

    config.json      algorithm, environment, spaces, seed, hyperparameters
    metrics.csv      one row at regular intervals
    checkpoint.npz   the agent and the state of training (see checkpoints.py); checkpoint.previous.npz is the previous one
    best.npz         the agent that was the best in an evaluation during training, without its replay buffer
    summary.json     the results, written at the end
    curves.png, video.mp4 or .gif
"""

import csv
import errno
import io
import json
import os
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

try:
    import fcntl
except ImportError:             # Windows
    fcntl = None                # type: ignore[assignment]

from scratchac.environments.make import check_arguments
from scratchac.environments.spaces import observation_space_from_json, space_from_json
from scratchac.errors import CheckpointError, UserError, WriteError
from scratchac.experiments import checkpoints
from scratchac.experiments.files import MOST_BYTES, append, atomic_file, open_file, read_json, remove_unfinished
from scratchac.experiments.schema import CONFIG, FIRST_COLUMNS, metrics_from
from scratchac.messages import tell

BEST = "best.npz"
MOST_ROWS = 100_000             # of metrics.csv that are read
LONGEST_NAME = 200              # bytes of a folder's name; file systems take 255
DEVICE = re.compile("con|prn|aux|nul|com[0-9]|lpt[0-9]", re.IGNORECASE)
TUPLE, DICT = "a tuple", "a dict"        # keys of dicts in config.json that stand for what JSON does not have


def new_folder(algorithm: str, env: str, seed: int, root: str = "runs") -> Path:
    """A folder for a run that does not exist yet: runs/ALGORITHM-ENV-seedS, then …-2, …-3."""
    return free_folder(Path(root) / folder_name(f"{algorithm}-{env}-seed{seed}"))


def folder_name(text: str) -> str:
    """The text as a name that every system takes.

    It has a dash for each / and for each character that Windows forbids, no dot or space at its end, at most LONGEST_NAME bytes,
    and it is not the name of a device of Windows.
    """
    name = re.sub(r'[<>:"/\\|?*\x00-\x1f]', "-", text).encode()[:LONGEST_NAME].decode(errors="ignore").rstrip(". ")
    return f"_{name}" if not name or DEVICE.fullmatch(name.partition(".")[0]) else name


def free_folder(name: Path) -> Path:
    """`name` if there is no such folder yet, or the first of NAME-2, NAME-3, … that does not exist."""
    path, i = name, 1
    while path.exists():
        i += 1
        path = name.with_name(f"{name.name}-{i}")
    return path


def as_path(path: Any) -> Path:
    """A path from text or bytes. Raises UserError for anything else."""
    try:
        return Path(os.fsdecode(path))
    except TypeError:
        raise UserError(f"a run's folder is a path, not {path!r}") from None


def to_json(value: Any) -> Any:
    """A value with its tuples, and dicts whose keys are no text, as dicts for JSON. Raises TypeError for other objects."""
    if isinstance(value, tuple):
        return {TUPLE: [to_json(x) for x in value]}
    if isinstance(value, list):
        return [to_json(x) for x in value]
    if isinstance(value, dict):
        if all(type(key) is str and key not in (TUPLE, DICT) for key in value):
            return {key: to_json(x) for key, x in value.items()}
        return {DICT: [[to_json(key), to_json(x)] for key, x in value.items()]}
    if type(value) not in (str, int, float, bool, type(None)):
        raise TypeError(f"{value!r} is {type(value).__name__}, not text, a number, None, or a list, tuple or dict of these")
    return value


def from_json(value: Any) -> Any:
    """What `to_json` made JSON of. Raises ValueError or TypeError for what it cannot have made."""
    if isinstance(value, dict) and value.keys() == {TUPLE}:
        return tuple(from_json(x) for x in value[TUPLE])
    if isinstance(value, dict) and value.keys() == {DICT}:
        return {from_json(key): from_json(x) for key, x in value[DICT]}
    if isinstance(value, dict):
        return {key: from_json(x) for key, x in value.items()}
    return [from_json(x) for x in value] if isinstance(value, list) else value


_claiming = threading.Lock()
_claims: set[tuple[int, int] | None] = set()            # the .lock files that this process has locked


class Run:
    """A folder with a run in it. `Run.create` starts one and `Run.open` reads one; both raise UserError if that is impossible."""

    def __init__(self, path: Any, config: dict[str, Any]):
        self.path = as_path(path)
        self.config = config
        self.columns: list[str] | None = None               # of metrics.csv
        self.waiting: list[dict[str, Any]] = []             # rows that are not written yet

    @classmethod
    def create(cls, path: Any, config: dict[str, Any]) -> "Run":
        """Make the folder, which must not exist, and write config.json into it; if that fails, no folder is left."""
        run = cls(path, config)
        try:
            saved = config | {"env_args": to_json(config.get("env_args", {}))}
            cls._check(json.loads(json.dumps(saved)))       # what cannot be opened again is not begun
        except (TypeError, ValueError, RecursionError) as error:
            raise UserError(f"config.json cannot hold the arguments of this run: {error}") from None
        try:
            run.path.mkdir(parents=True)
        except FileExistsError:
            raise UserError(f"{path} exists already, and nothing is overwritten: name another folder, or remove it") from None
        except (OSError, ValueError) as error:              # ValueError: a zero byte in its name
            raise UserError(f"cannot make the folder {path}: {getattr(error, 'strerror', error)}") from None
        try:
            run.write_json("config.json", saved)
        except WriteError:
            run.path.rmdir()
            raise
        return run

    @staticmethod
    def _check(config: Any) -> Any:
        """What config.json holds, `env_args` as they were given. Raises ValueError, TypeError or UserError for anything else."""
        if isinstance(config, dict) and "env_args" in config:
            config["env_args"] = from_json(config["env_args"])
        CONFIG.check(config, "config")
        check_arguments(config["env_args"])
        return config

    def note(self, **entries: Any) -> None:
        """Add entries to config.json. Raises WriteError."""
        self.config |= entries
        self.write_json("config.json", self.config | {"env_args": to_json(self.config["env_args"])})

    @classmethod
    def open(cls, path: Any) -> "Run":
        """A run by its folder. Raises UserError if there is none."""
        path = as_path(path)
        try:
            config = cls._check(read_json(path / "config.json"))
        except FileNotFoundError:
            raise UserError(f"{path} is not a run: it has no config.json") from None
        except NotADirectoryError:
            raise UserError(f"{path} is a file; a run is a folder, such as {path.parent}") from None
        except (OSError, ValueError, TypeError, RecursionError) as error:
            raise UserError(f"{path / 'config.json'} cannot be read: {error}") from None
        return cls(path, config)

    def discard(self, *besides: str) -> None:
        """Remove the folder if it has nothing but config.json and what matches `besides`, so that its name is free again."""
        known = ("config.json", ".lock", *besides)
        files = list(self.path.iterdir()) if self.path.is_dir() else []
        if files and all(any(map(file.match, known)) for file in files):
            shutil.rmtree(self.path, ignore_errors=True)    # it follows no link; wandb may be writing a last file

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Claim the folder for a block: nobody else can then claim it, in this process or another one. Raises UserError if it is.

        The lock on the file .lock belongs to this process: the system releases it when the process ends in any way, and no child
        inherits it. The file stays: if it were deleted, one process could lock the old file while another one locks a new one.
        """
        path = self.path / ".lock"
        with _claiming:
            # Not by trying to lock it: closing any handle of a file releases the locks that the process has on it.
            if _identity(path) in _claims:
                raise UserError(f"another thread trains {self.path}: wait for its end, or stop it")
            handle = _locked(path)
            claim = _identity(path)
            _claims.add(claim)
        try:
            for name in ("checkpoint.npz", BEST):
                remove_unfinished(self.path / name)
            yield
        finally:
            with _claiming:
                _claims.discard(claim)
                os.close(handle)

    def spaces(self) -> tuple[gym.Space, gym.Space]:
        """The spaces of observations and actions. Raises UserError if config.json does not describe them."""
        return observation_space_from_json(self.config["observation_space"]), space_from_json(self.config["action_space"])

    def write_json(self, name: str, value: Any) -> None:
        """Replace a JSON file in the folder. Raises WriteError."""
        with atomic_file(self.path / name) as file:
            file.write((json.dumps(value, indent=2) + "\n").encode())

    def summary_is_of(self, step: int) -> bool:
        """Whether summary.json is that of a run of `step` steps."""
        try:
            return read_json(self.path / "summary.json")["steps"] == step
        except (OSError, ValueError, KeyError, TypeError):
            return False

    # -- metrics -----------------------------------------------------------------------------------------------------

    def log(self, row: dict[str, Any]) -> None:
        """Append a row (a dict) to metrics.csv. The first row decides the columns.

        Raises WriteError if the row cannot be written, as on a full disk; it then waits for the next `log` or `write_rows`.
        """
        self.waiting.append(row)
        self.write_rows()

    def write_rows(self) -> None:
        """Write the rows that wait, all or none of them. Raises WriteError."""
        if not self.waiting:
            return
        path, text = self.path / "metrics.csv", io.StringIO(newline="")
        try:
            if self.columns is None and path.exists() and path.stat().st_size:
                self.columns = next(csv.reader(_whole_lines(path)))
            rows = csv.writer(text)
            columns = self.columns
            if columns is None:
                columns = FIRST_COLUMNS + [name for name in self.waiting[0] if name not in FIRST_COLUMNS]
                rows.writerow(columns)
            rows.writerows([_short(row.get(name, "")) for name in columns] for row in self.waiting)
            append(path, text.getvalue().encode())
        except OSError as error:
            raise WriteError(f"{path} cannot be written: {error.strerror}") from error
        self.columns, self.waiting = columns, []

    def metrics(self) -> dict[str, np.ndarray]:
        """metrics.csv as {column: float array}; an empty cell is NaN. Raises UserError if there are no rows yet."""
        path = self.path / "metrics.csv"
        try:
            metrics = metrics_from(_whole_lines(path))
        except (OSError, ValueError) as error:
            raise UserError(f"{path} cannot be read: {error}") from None
        if not len(metrics["step"]):
            raise UserError(f"{path} has no rows yet")
        return metrics

    def check_metrics(self) -> None:
        """Raise UserError unless rows can be added to metrics.csv, which may be empty or missing, and the curves drawn."""
        path = self.path / "metrics.csv"
        try:
            lines = _whole_lines(path)
            if lines:
                metrics_from(lines)
        except FileNotFoundError:
            return
        except (OSError, ValueError) as error:
            raise UserError(f"{path} cannot be read: {error}") from None

    def forget_rows_after(self, step: int) -> None:
        """Remove the rows of metrics.csv that were written after the checkpoint at this step, since they are made again.

        Raises UserError for a file that is not of this format.
        """
        path = self.path / "metrics.csv"
        if not path.exists():
            return
        try:
            kept = [line for i, line in enumerate(_whole_lines(path)) if i == 0 or int(line.partition(",")[0]) <= step]
        except (OSError, ValueError) as error:
            raise UserError(f"{path} cannot be read: {error}") from None
        with atomic_file(path) as file:
            file.write("".join(kept).encode())

    # -- checkpoints -------------------------------------------------------------------------------------------------

    def save(self, agent: dict[str, Any], progress: dict[str, Any], interaction: dict[str, Any] | None) -> None:
        """Replace checkpoint.npz with the states of agent, progress and interaction. Raises WriteError."""
        state = {"agent": agent, "progress": progress, "interaction": interaction}
        checkpoints.write(self.path / "checkpoint.npz", self.config, state)

    def save_best(self, agent: dict[str, Any], evaluation: dict[str, Any]) -> None:
        """Replace best.npz with the state of an agent and what its evaluation was. Raises WriteError."""
        checkpoints.write(self.path / BEST, self.config, {"agent": agent, "progress": evaluation, "interaction": None}, keep=False)

    def restore(self, path: Path | None = None) -> tuple[Any, Any, Any]:
        """The states of (agent, progress, interaction) from checkpoint.npz, or another file. Raises CheckpointError."""
        path = path or self.path / "checkpoint.npz"
        if path == self.path / BEST and not path.exists():
            raise CheckpointError(f"{path} does not exist: only a run that is evaluated as it trains (--eval-every) keeps its best "
                                  "policy, from the first evaluation on")
        state = checkpoints.read(path, self.config)
        return state["agent"], state["progress"], state["interaction"]


def _identity(path: Path) -> tuple[int, int] | None:
    """What tells a file from all others, by whatever path; None if there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _locked(path: Path) -> int:
    """A handle of a file that this process has locked. Raises UserError if another one has, and WriteError."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
    except OSError as error:
        raise WriteError(f"{path} cannot be written: {error.strerror}") from error
    try:
        if fcntl is not None:
            fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            import msvcrt

            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN):
            os.close(handle)
            raise UserError(f"another process trains {path.parent}: wait for its end, or stop it") from None
        tell(f"this file system has no locks ({error.strerror}): nothing keeps two processes from training {path.parent} at once")
    return handle


def _whole_lines(path: Path) -> list[str]:
    """The lines of a text file, without an incomplete last one, which a killed process leaves.

    Raises ValueError for more than MOST_ROWS of them, or of MOST_BYTES, and OSError.
    """
    with open_file(path, MOST_BYTES) as file, io.TextIOWrapper(file, encoding="utf-8", newline="") as text:
        lines = list(islice(text, MOST_ROWS + 2))
    if len(lines) > MOST_ROWS + 1:
        raise ValueError(f"it has more than {MOST_ROWS:,} rows")
    if any(not line.endswith("\n") for line in lines[:-1]):
        raise ValueError("it has lines that end in another way than those of other files")
    return [line for line in lines if line.endswith("\n")]


def _short(value: Any) -> Any:
    return f"{value:.6g}" if isinstance(value, float) else value
