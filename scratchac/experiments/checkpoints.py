"""The files checkpoint.npz and best.npz: arrays, and a JSON manifest for everything else.

There are no pickles in them, so reading them runs no code.

    format              the version of this format; this page describes version 4
    algorithm, observation_space, action_space          as in config.json
    meaning             the hyperparameters that say what the parameters mean, such as the activation; earlier versions have none
    arrays              the name of every other array: its shape and dtype
    tree                what was saved: {"dict": {…}} is a dict, a list is a list, {"array": NAME} is one of the arrays
    versions            of scratchac, NumPy, Gymnasium and Python
"""

import json
import math
import os
import platform
import zipfile
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from scratchac.algorithms.saving import MEANING
from scratchac.errors import CheckpointError, one_line
from scratchac.experiments.files import atomic_file, open_file, write_arrays
from scratchac.experiments.schema import MANIFEST, STATE
from scratchac.kinds import shown
from scratchac.version import __version__

FORMAT = 4
MOST_ARRAYS = 10_000
BELONGS_TO = ("algorithm", "observation_space", "action_space")         # what a checkpoint and config.json must agree on


def write(path: Path, config: dict[str, Any], state: Any, keep: bool = True) -> None:
    """Replace the checkpoint `path` by a new one with `state`: nested dicts and lists with arrays, numbers and text.

    With `keep` the previous checkpoint is kept at `previous(path)`. Arrays are written one after the other and are not copied.
    Raises WriteError; `path` then still has the previous checkpoint.
    """
    arrays: dict[str, np.ndarray] = {}
    tree = _take_out_arrays(state, "", arrays)
    meaning = {name: x for name, x in config["hyperparameters"].items() if name in MEANING and name != "hidden"}     # shapes say it
    manifest = {
        "format": FORMAT, **{name: config[name] for name in BELONGS_TO}, "meaning": meaning,
        "tree": tree, "arrays": _described(arrays),
        "versions": {"scratchac": __version__, "numpy": np.__version__, "gymnasium": gym.__version__,
                     "python": platform.python_version()},
    }
    text = np.frombuffer(json.dumps(manifest).encode(), np.uint8)
    with atomic_file(path, keep=previous(path) if keep else None) as file:
        write_arrays(file, {"manifest": text, **arrays})


def previous(path: Path) -> Path:
    """The path at which the previous checkpoint is kept."""
    return path.with_name(f"{path.stem}.previous{path.suffix}")


def read(path: Path, config: dict[str, Any]) -> Any:
    """The state in a checkpoint. Everything is read and checked before anything is returned.

    Raises CheckpointError for a file that is missing, damaged, or not a checkpoint, and for one of another algorithm, of other
    spaces, or with parameters of another meaning.
    """
    try:
        with open_file(path) as file, zipfile.ZipFile(file) as archive:
            _require_plain(archive, os.fstat(file.fileno()).st_size)
            arrays = {member.filename.removesuffix(".npy"): _array(archive, member) for member in archive.infolist()}
        manifest = json.loads(arrays.pop("manifest").tobytes())
        if isinstance(manifest, dict) and manifest.get("format") not in (3, FORMAT):
            raise ValueError(f"it has format {shown(manifest.get('format'))}, and this version of scratchac reads formats 3 and "
                             f"{FORMAT}")
        MANIFEST.check(manifest, "manifest")
        if manifest["arrays"] != _described(arrays):
            raise ValueError("its arrays are not those that its manifest lists")
        for name in BELONGS_TO:
            if manifest[name] != config[name]:
                raise ValueError(f"its {name.replace('_', ' ')} is {ascii(manifest[name])[:200]}, and that of config.json is "
                                 f"{ascii(config[name])[:200]}")
        for name, value in manifest.get("meaning", {}).items():
            then, now = (json.dumps(x)[:100] for x in (value, config["hyperparameters"].get(name, value)))     # of older runs, none
            if then != now:
                raise ValueError(f"it was trained with {name} {then}, and config.json has {now}")
        state = _put_back_arrays(manifest["tree"], arrays)
        state = _from_format_3(state) if manifest["format"] == 3 else state
        STATE.check(state, "tree")
        return state
    except FileNotFoundError:
        why = ": the run was stopped before its first checkpoint" if Path(path).name == "checkpoint.npz" else ""
        raise CheckpointError(f"{path} does not exist{why}") from None
    except Exception as error:          # ZIP, zlib, array headers and JSON raise different errors for a damaged file
        kept = f"; {previous(path)} is the one before it: rename it to go on from there" if previous(path).exists() else ""
        why = one_line(error, with_type=False) if str(error) else type(error).__name__
        raise CheckpointError(f"{path} cannot be used: {why}{kept}") from None


def steps_of(path: Path) -> tuple[int, int] | None:
    """(Steps done, steps that were asked for) of a checkpoint, from its manifest alone; None if there is none that can be read."""
    try:
        with open_file(path) as file, zipfile.ZipFile(file) as archive:
            tree = json.loads(_array(archive, archive.getinfo("manifest.npy")).tobytes())["tree"]["dict"]
        return int(tree["agent"]["dict"]["step"]), int(tree["progress"]["dict"]["target"])
    except Exception:                   # as in `read`
        return None


def _require_plain(archive: zipfile.ZipFile, size: int) -> None:
    """Raise ValueError unless all members are arrays, uncompressed, of different names, and together no larger than the file.

    A small compressed file may expand to more than the memory holds.
    """
    members = archive.infolist()
    names = {member.filename for member in members}
    if len(members) > MOST_ARRAYS or len(names) < len(members) or not all(name.endswith(".npy") for name in names):
        raise ValueError("its members are not arrays of different names")
    if any(member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1 for member in members):
        raise ValueError("it has members that are compressed or encrypted")
    if any(member.file_size != member.compress_size for member in members) or sum(x.file_size for x in members) > size:
        raise ValueError("its members are larger than the file")


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    """The array of a member, whose CRC is checked. Raises ValueError unless its size is what its header says."""
    with archive.open(member) as file:
        if np.lib.format.read_magic(file) != (1, 0):
            raise ValueError(f"{member.filename} is no array of version 1.0")
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        if dtype.hasobject or math.prod(shape) * dtype.itemsize != member.file_size - file.tell():
            raise ValueError(f"{member.filename} has another size than its header says")
    with archive.open(member) as file:
        return np.lib.format.read_array(file, allow_pickle=False)


def _from_format_3(state: Any) -> Any:
    """Rename "play" to "interaction", at the top level and in the final state of each of A3C's workers."""
    state["interaction"] = state.pop("play")
    for worker in (state["interaction"] or {}).get("workers") or []:
        if worker:
            worker["interaction"] = worker.pop("play")
    return state


def _described(arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    return {name: [list(x.shape), str(x.dtype)] for name, x in arrays.items()}


def _take_out_arrays(node: Any, path: str, arrays: dict[str, np.ndarray]) -> Any:
    """A copy of `node` for JSON: each array is put into `arrays` and replaced by {"array": its name}."""
    if isinstance(node, np.ndarray):
        if node.dtype.hasobject:                            # NumPy would pickle it
            raise TypeError(f"{path} is an array of objects")
        arrays[path] = node
        return {"array": path}
    if isinstance(node, dict):
        return {"dict": {key: _take_out_arrays(value, f"{path}.{key}".lstrip("."), arrays) for key, value in node.items()}}
    if isinstance(node, (list, tuple)):
        return [_take_out_arrays(value, f"{path}.{i}", arrays) for i, value in enumerate(node)]
    return node


def _put_back_arrays(node: Any, arrays: dict[str, np.ndarray]) -> Any:
    if isinstance(node, list):
        return [_put_back_arrays(value, arrays) for value in node]
    if isinstance(node, dict):
        if "array" in node:
            return arrays[node["array"]]
        return {key: _put_back_arrays(value, arrays) for key, value in node["dict"].items()}
    return node
