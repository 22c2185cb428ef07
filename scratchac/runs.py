"""A run's folder: the interface between commands, and all that a trained agent is.

    config.json      algorithm, environment, spaces, seed, hyperparameters
    metrics.csv      one row every so often
    checkpoint.npz   arrays, and a JSON manifest for everything that is not one; no pickle anywhere
    summary.json     the outcome, written at the end
    curves.png, video.mp4 or .gif
"""

import csv
import json
import os
import platform
import tempfile
import zipfile
import zlib
from pathlib import Path

import gymnasium as gym
import numpy as np

import scratchac
from scratchac.conv import is_picture
from scratchac.errors import CheckpointError, UserError

FORMAT = 2
# what reading a damaged archive can raise
DAMAGE = (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error)
FIRST_COLUMNS = ["step", "episodes", "return_mean", "length_mean", "wall_s"]


class Run:
    """A folder with a run in it. `Run.create` starts one and `Run.open` reads one; both raise UserError if that cannot be."""

    def __init__(self, path, config):
        self.path, self.config = Path(path), config
        self.columns = None

    @classmethod
    def create(cls, path, config):
        """Make the folder, which must not exist, and write config.json into it."""
        path = Path(path)
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            raise UserError(f"{path} exists already, and nothing is overwritten: name another folder, or remove it") from None
        except OSError as error:
            raise UserError(f"cannot make the folder {path}: {error.strerror}") from None
        run = cls(path, config)
        run.write_json("config.json", config)
        return run

    @classmethod
    def open(cls, path):
        path = Path(path)
        try:
            config = json.loads((path / "config.json").read_text())
            if not isinstance(config, dict):
                raise ValueError("it is not a JSON object")
        except FileNotFoundError:
            raise UserError(f"{path} is not a run: it has no config.json") from None
        except (OSError, ValueError) as error:
            raise UserError(f"{path / 'config.json'} cannot be read: {error}") from None
        return cls(path, config)

    def write_json(self, name, value):
        with atomic_file(self.path / name) as file:
            file.write((json.dumps(value, indent=2) + "\n").encode())

    # -- metrics -----------------------------------------------------------------------------------------------------

    def log(self, row):
        """Append a row (a dict) to metrics.csv. The first row decides the columns."""
        path = self.path / "metrics.csv"
        if self.columns is None:
            if path.exists():
                with open(path, newline="") as file:
                    self.columns = next(csv.reader(file))
            else:
                self.columns = FIRST_COLUMNS + [name for name in row if name not in FIRST_COLUMNS]
                with open(path, "w", newline="") as file:
                    csv.writer(file).writerow(self.columns)
        with open(path, "a", newline="") as file:
            csv.writer(file).writerow([_short(row.get(name, "")) for name in self.columns])

    def metrics(self):
        """metrics.csv as {column: float array}; an empty cell is NaN. Raises UserError if there are no rows yet."""
        try:
            with open(self.path / "metrics.csv", newline="") as file:
                header, *rows = csv.reader(file)
            columns = [[float(cell or "nan") for cell in column] for column in zip(*rows, strict=True)]
        except (OSError, ValueError) as error:
            raise UserError(f"{self.path / 'metrics.csv'} cannot be read: {error}") from None
        if not rows:
            raise UserError(f"{self.path / 'metrics.csv'} has no rows yet")
        return dict(zip(header, map(np.array, columns), strict=True))

    def forget_rows_after(self, step):
        """Take rows out of metrics.csv that were written after the checkpoint at this step: they are made again."""
        path = self.path / "metrics.csv"
        if path.exists():
            header, *rows = path.read_text().splitlines(keepends=True)
            with atomic_file(path) as file:
                file.write("".join([header, *(row for row in rows if int(row.partition(",")[0]) <= step)]).encode())

    # -- checkpoints -------------------------------------------------------------------------------------------------

    def save(self, agent, progress, play):
        """Replace checkpoint.npz with the states of the agent, of the run's progress and of what is under way, each of nested dicts
        and lists with arrays, numbers and text. Atomic: never half a file.
        """
        arrays = {}
        tree = _take_out_arrays({"agent": agent, "progress": progress, "play": play}, "", arrays)
        manifest = {
            "format": FORMAT, "algorithm": self.config["algorithm"], "tree": tree,
            "arrays": {name: [list(x.shape), str(x.dtype)] for name, x in arrays.items()},
            "versions": {"scratchac": scratchac.__version__, "numpy": np.__version__, "python": platform.python_version()},
        }
        text = np.frombuffer(json.dumps(manifest).encode(), np.uint8)
        with atomic_file(self.path / "checkpoint.npz") as file:
            np.savez(file, manifest=text, **arrays)

    def restore(self):
        """Read checkpoint.npz: the states of (agent, progress, play). Everything is read and checked before anything is returned.

        Raises CheckpointError for a file that is missing, damaged, from another algorithm, or not a checkpoint at all.
        """
        path = self.path / "checkpoint.npz"
        try:
            with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
                if not isinstance(archive, np.lib.npyio.NpzFile):
                    raise ValueError("it is not an .npz archive")
                arrays = {name: archive[name] for name in archive.files}    # reads, and checks each member's CRC
            manifest = json.loads(arrays.pop("manifest").tobytes())
            found = {name: [list(x.shape), str(x.dtype)] for name, x in arrays.items()}
            if manifest["format"] != FORMAT:
                raise ValueError(f"it has format {manifest['format']}, and this version of scratchac reads format {FORMAT}")
            if manifest["arrays"] != found:
                raise ValueError("its arrays are not those that its manifest lists")
            if manifest["algorithm"] != self.config["algorithm"]:
                raise ValueError(f"it holds {manifest['algorithm']}, and config.json says {self.config['algorithm']}")
            state = _put_back_arrays(manifest["tree"], arrays)
            return state["agent"], state["progress"], state["play"]
        except FileNotFoundError:
            raise CheckpointError(f"{path} does not exist: the run was stopped before its first checkpoint") from None
        except DAMAGE as error:
            raise CheckpointError(f"{path} cannot be used: {error}") from None


class atomic_file:
    """A binary file that takes the place of `path` when the block ends well, and leaves no trace when it does not."""

    def __init__(self, path):
        self.path = Path(path)

    def __enter__(self):
        handle, self.temporary = tempfile.mkstemp(dir=self.path.parent, prefix=self.path.name, suffix=".tmp")
        self.file = os.fdopen(handle, "wb")
        return self.file

    def __exit__(self, kind, *_):
        try:
            if kind is None:
                self.file.flush()
                os.fsync(self.file.fileno())                                # the bytes first, then the name
            self.file.close()
            if kind is None:
                os.chmod(self.temporary, 0o644)                             # mkstemp's files are private
                os.replace(self.temporary, self.path)
                if hasattr(os, "O_DIRECTORY"):
                    folder = os.open(self.path.parent, os.O_DIRECTORY)
                    os.fsync(folder)
                    os.close(folder)
        finally:
            if os.path.exists(self.temporary):
                os.unlink(self.temporary)


# -- spaces as JSON: enough to build the agent again without its environment -----------------------------------------


def space_to_json(space):
    if isinstance(space, gym.spaces.Discrete):
        return {"kind": "Discrete", "n": int(space.n), "start": int(space.start)}
    if is_picture(space):
        return {"kind": "Picture", "shape": list(space.shape)}
    bounds = ([float(x) if np.isfinite(x) else None for x in bound] for bound in (space.low, space.high))
    low, high = bounds
    return {"kind": "Box", "low": low, "high": high, "dtype": str(space.dtype)}


def space_from_json(saved):
    if saved["kind"] == "Discrete":
        return gym.spaces.Discrete(saved["n"], start=saved["start"])
    if saved["kind"] == "Picture":
        return gym.spaces.Box(0, 255, tuple(saved["shape"]), np.uint8)
    low = [-np.inf if x is None else x for x in saved["low"]]
    high = [np.inf if x is None else x for x in saved["high"]]
    dtype = np.dtype(saved["dtype"])
    return gym.spaces.Box(np.array(low, dtype), np.array(high, dtype), dtype=dtype)


# -- nested state ↔ flat arrays and a JSON tree ----------------------------------------------------------------------


def _take_out_arrays(node, path, arrays):
    """A copy of `node` fit for JSON: each array is put into `arrays` and replaced by {"array": its name}."""
    if isinstance(node, np.ndarray):
        arrays[path] = node
        return {"array": path}
    if isinstance(node, dict):
        return {"dict": {key: _take_out_arrays(value, f"{path}.{key}".lstrip("."), arrays) for key, value in node.items()}}
    if isinstance(node, (list, tuple)):
        return [_take_out_arrays(value, f"{path}.{i}", arrays) for i, value in enumerate(node)]
    return node


def _put_back_arrays(node, arrays):
    if isinstance(node, list):
        return [_put_back_arrays(value, arrays) for value in node]
    if isinstance(node, dict):
        if "array" in node:
            return arrays[node["array"]]
        return {key: _put_back_arrays(value, arrays) for key, value in node["dict"].items()}
    return node


def _short(value):
    return f"{value:.6g}" if isinstance(value, float) else value
