"""Files of results, and settings that are given to the scripts which write them."""

import json

from scratchac.experiments.files import atomic_file
from scratchac.tools.flags import value_of


def read(path, **empty):
    """What a file of results holds; `empty` if there is none."""
    return json.loads(path.read_text()) if path.exists() else empty


def write(path, result):
    """Write a file of results, and its folder if need be."""
    path.parent.mkdir(exist_ok=True)
    with atomic_file(path) as file:
        file.write((json.dumps(result, indent=1) + "\n").encode())


def require_same(path, hyperparameters, env_args):
    """Exit with a message if the seeds in a file of results were trained with something else; both are as JSON gives them."""
    result, given = read(path), {"hyperparameters": hyperparameters, "env_args": env_args}
    if any(result.get(name, value) != value for name, value in given.items()):
        raise SystemExit(f"the seeds in {path} have other hyperparameters or env_args: delete the file, or take another --name")


def given_by(words):
    """The hyperparameters of --set NAME=VALUE … by name."""
    return {name: value_of(text) for name, text in (word.split("=", 1) for word in words)}
