"""Tuned hyperparameters: presets.toml, one table for each algorithm and environment; and what they have reached, reached.json."""

import json
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

from scratchac.environments.make import check_arguments, versions_of
from scratchac.errors import UserError, unknown


@cache
def presets() -> dict[str, dict[str, dict[str, Any]]]:
    """All tuned presets: {algorithm: {environment: {hyperparameter: value}}}; "ENV:NAME" is an additional one for ENV."""
    with open(Path(__file__).parent / "presets.toml", "rb") as file:
        return tomllib.load(file)


@cache
def reached() -> dict[str, dict[str, list[dict[str, Any]]]]:
    """What trainings with the presets have returned: {algorithm: {environment: [results, one for each backend]}}.

    A result has the median and the worst mean return of the last policies over its seeds, the environment steps and, if they were
    recorded, the minutes of a training. demos/results/table.py writes the file from the returns of all seeds.
    """
    return json.loads((Path(__file__).parent / "reached.json").read_text(encoding="utf-8"))


def find_preset(algorithm: str, env: str, name: Any = None) -> tuple[dict[str, Any], dict[str, Any]]:
    """The hyperparameters and the environment's arguments of a preset; both are empty if (algorithm, env) has no preset.

    name    of an additional preset, or a dict that is used instead, as a table of one's own

    Raises UserError for a name that does not exist, and for env_args that are no dict.
    """
    values = _table(algorithm, env, name)
    env_args = check_arguments(values.pop("env_args", None))
    values.pop("tuning_seeds", None)
    return values, env_args


def other_version(algorithm: str, env: str) -> str | None:
    """Another version of the environment, which has a preset where this one has none; None if there is no such version."""
    tables = presets().get(algorithm, {})
    return None if env in tables else next((x for x in versions_of(env) if x in tables), None)


def tuning_seeds(algorithm: str, env: str, name: str | None = None) -> str | None:
    """The seeds that the values of a preset were chosen on, such as "500-519"; None if nobody recorded them.

    A result on these seeds says nothing about others. Raises UserError as find_preset does.
    """
    return _table(algorithm, env, name).get("tuning_seeds")


def _table(algorithm: str, env: str, name: Any) -> dict[str, Any]:
    if isinstance(name, dict):
        if not all(isinstance(key, str) for key in name):
            raise UserError(f"a preset is a table of names and values, not {name!r}")
        return dict(name)
    tables = presets().get(algorithm, {})
    if name is not None and f"{env}:{name}" not in tables:
        raise unknown(f"preset of {algorithm} for {env}", name, [key.removeprefix(f"{env}:") for key in tables
                                                                 if key.startswith(f"{env}:")])
    return dict(tables.get(env if name is None else f"{env}:{name}", {}))
