"""Files of results, and what the scripts that write them share."""

import argparse
import json
import platform
from contextlib import contextmanager, suppress
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from scratchac.errors import UserError
from scratchac.experiments.files import atomic_file
from scratchac.tools.flags import seeds_from, values_from
from scratchac.wording import command_line

try:
    import fcntl
except ImportError:             # Windows
    fcntl = None

LOCK = Path(__file__).parent / ".lock"
OURS = "numpy", "numba", "gymnasium", "box2d", "mujoco"     # packages on which returns may depend


def as_script(main):
    """Run the function of a script; an error that its user can correct is one line, and names flags."""
    try:
        with command_line():
            main()
    except UserError as error:
        raise SystemExit(str(error)) from None


def read(path, **empty):
    """What a file of results holds; `empty` if there is none."""
    return json.loads(path.read_text()) if path.exists() else empty


def write(path, result):
    """Write a file of results, and its folder if need be."""
    path.parent.mkdir(exist_ok=True)
    with atomic_file(path) as file:
        file.write((json.dumps(result, indent=1) + "\n").encode())


@contextmanager
def changing(path, **empty):
    """What a file of results holds, or `empty`, for a block to change; then it is written.

    Until then another process that changes results waits, so that both keep what they add. (On Windows it does not.)
    """
    with LOCK.open("w") as lock:
        if fcntl is not None:
            fcntl.flock(lock, fcntl.LOCK_EX)                # until it is closed
        result = read(path, **empty)
        yield result
        write(path, result)


def require_same(path, result, config=None, cure="delete the file, or take another --name", **settings):
    """Raise UserError if what a file of results holds was trained with other settings: its seeds are one row of a table.

    config      hyperparameters, a Config, to be compared with `recorded`; a file with results and without them has others
    cure        what the message says that one can do
    """
    if config is not None and any(result.values()):
        found = result.get("hyperparameters")
        settings["hyperparameters"] = asdict(config)
        result = result | {"hyperparameters": found and recorded(found, type(config))}
    settings = json.loads(json.dumps(settings))
    if other := [name for name, value in settings.items() if result.get(name, value) != value]:
        raise UserError(f"the seeds in {path} have other {' and '.join(other)}: {cure}")


def recorded(hyperparameters, config_class):
    """Hyperparameters in a file; those that the algorithm got after it was written have the default, which changes nothing."""
    return json.loads(json.dumps(asdict(config_class()))) | hyperparameters


def summary(returns):
    """Mean and standard deviation of returns."""
    return {"mean": round(float(np.mean(returns)), 2), "std": round(float(np.std(returns)), 2)}


def versions(*packages, before=None):
    """The versions of Python and of those packages that are installed.

    before      those of the seeds that the file has; where they are others, both are named, as "1.3.0, 1.4.0"
    """
    found = {"python": platform.python_version()}
    for name in packages:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    for name, earlier in (before or {}).items():
        now = found.get(name)
        found[name] = earlier if now is None or now in earlier.split(", ") else f"{earlier}, {now}"
    return found


def given_by(words):
    """The hyperparameters of --set NAME=VALUE … by name. Raises UserError."""
    return values_from("--set", words)


def seeds(text):
    """`seeds_from` for argparse, which shows the message of such an error alone."""
    try:
        return seeds_from(text)
    except UserError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
