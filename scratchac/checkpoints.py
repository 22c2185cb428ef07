"""The file checkpoint.npz: arrays, and a JSON manifest for everything that is not one. No pickle, so reading one runs no code.

    format              another number means another meaning of what follows
    algorithm, observation_space, action_space          as in config.json
    arrays              the name of every other array: its shape and dtype
    tree                what was saved: {"dict": {…}} is a dict, a list is a list, {"array": NAME} one of the arrays
    versions            of scratchac, NumPy, Gymnasium and Python
"""

import json
import platform

import gymnasium as gym
import numpy as np

import scratchac
from scratchac.errors import CheckpointError
from scratchac.files import atomic_file

FORMAT = 3
BELONGS_TO = ("algorithm", "observation_space", "action_space")         # what a checkpoint and config.json must agree on


def write(path, config, state):
    """Replace the checkpoint `path` by a new one with `state`: nested dicts and lists with arrays, numbers and text.

    The one before stays beside it, as `previous(path)`. Arrays are written one after the other, none is copied.
    Raises WriteError; the checkpoint is then still the one before.
    """
    arrays = {}
    tree = _take_out_arrays(state, "", arrays)
    manifest = {
        "format": FORMAT, **{name: config[name] for name in BELONGS_TO}, "tree": tree, "arrays": _described(arrays),
        "versions": {"scratchac": scratchac.__version__, "numpy": np.__version__, "gymnasium": gym.__version__,
                     "python": platform.python_version()},
    }
    text = np.frombuffer(json.dumps(manifest).encode(), np.uint8)
    with atomic_file(path, keep=previous(path)) as file:
        np.savez(file, manifest=text, **arrays)


def previous(path):
    return path.with_name(f"{path.stem}.previous{path.suffix}")


def read(path, config):
    """The state in a checkpoint. Everything is read and checked before anything is returned.

    Raises CheckpointError for a file that is missing, damaged, of another algorithm or other spaces, or no checkpoint at all.
    """
    try:
        with open(path, "rb") as file:
            archive = np.load(file, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise ValueError("it is not an .npz archive")
            arrays = {name: archive[name] for name in archive.files}    # reads, and checks each member's CRC
        manifest = json.loads(arrays.pop("manifest").tobytes())
        if manifest["format"] != FORMAT:
            raise ValueError(f"it has format {manifest['format']}, and this version of scratchac reads format {FORMAT}")
        if manifest["arrays"] != _described(arrays):
            raise ValueError("its arrays are not those that its manifest lists")
        for name in BELONGS_TO:
            if manifest[name] != config[name]:
                raise ValueError(f"its {name.replace('_', ' ')} is {manifest[name]}, and that of config.json is {config[name]}")
        return _put_back_arrays(manifest["tree"], arrays)
    except FileNotFoundError:
        raise CheckpointError(f"{path} does not exist: the run was stopped before its first checkpoint") from None
    except Exception as error:          # ZIP, zlib, the headers of arrays and JSON each have their ways of saying "damaged"
        kept = f"; {previous(path)} is the one before it: rename it to go on from there" if previous(path).exists() else ""
        raise CheckpointError(f"{path} cannot be used: {error or type(error).__name__}{kept}") from None


def _described(arrays):
    return {name: [list(x.shape), str(x.dtype)] for name, x in arrays.items()}


def _take_out_arrays(node, path, arrays):
    """A copy of `node` fit for JSON: each array is put into `arrays` and replaced by {"array": its name}."""
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


def _put_back_arrays(node, arrays):
    if isinstance(node, list):
        return [_put_back_arrays(value, arrays) for value in node]
    if isinstance(node, dict):
        if "array" in node:
            return arrays[node["array"]]
        return {key: _put_back_arrays(value, arrays) for key, value in node["dict"].items()}
    return node
