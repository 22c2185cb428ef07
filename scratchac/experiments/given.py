"""The arguments of `scratchac.train` in a file: a run's config.json, a TOML table of arguments, or a TOML file with presets.

    algorithm = "ppo"           [ppo."CartPole-v1"]             as in presets.toml: --env, and --preset for "ENV:NAME",
    env = "CartPole-v1"         steps = 100_000                 choose one of the tables, unless there is only one
    steps = 100_000             lr = "linear:1e-3:0"
    [env_args]                  [ppo."CartPole-v1:slow"]
    max_episode_steps = 200     lr = 1e-5
"""

import tomllib
from dataclasses import asdict
from pathlib import Path
from typing import Any

from scratchac import algorithms
from scratchac.environments.make import check_arguments, versioned
from scratchac.environments.pixels import Pixels
from scratchac.errors import UserError
from scratchac.experiments.files import MOST_BYTES, open_file, read_json
from scratchac.experiments.restoring import hyperparameters_of, module_in
from scratchac.experiments.run import from_json
from scratchac.experiments.schema import CONFIG
from scratchac.messages import tell

# Entries of config.json that are arguments of `train`; the others describe what the run was made of.
KEPT = ("algorithm", "env", "seed", "vector", "randomise", "step_timeout", "env_args", "checkpoint_every", "eval_episodes",
        "eval_every", "stop_at", "patience", "init", "log", "backend")


def arguments_from(path: Any, algorithm: str | None = None, env: str | None = None, preset: str | None = None) -> dict[str, Any]:
    """The arguments of `train` that a file, or the config.json in a run's folder, holds; its hyperparameters are among them.

    algorithm, env, preset      what the user names: it wins, and chooses one of several presets

    Raises UserError for a file that cannot be read, has none of these forms, or names a module to import and `env` does not.
    """
    path = Path(path)
    path = path / "config.json" if path.is_dir() else path
    try:
        found = read_json(path) if path.suffix == ".json" else _read_toml(path)
        if isinstance(found, dict) and "observation_space" in found:
            found = _of_a_run(found, env)
        elif isinstance(found, dict) and _has_presets(found):
            found = _of_presets(path, found, algorithm, env, preset)
    except UserError:
        raise
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise UserError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if not isinstance(found, dict):
        raise UserError(f"{path} has no table of names and values")
    given = {name: value for name, value in found.items() if name != "hyperparameters"}
    if not isinstance(hyperparameters := found.get("hyperparameters", {}), dict):
        raise UserError(f"{path}: hyperparameters are a table of names and values, not {hyperparameters!r}")
    given |= hyperparameters
    given["env_args"] = check_arguments(given.get("env_args"))
    if env is not None and versioned(env) != versioned(given.get("env", env)):
        given["env_args"] = {}                              # they were for another environment
    elif env is None and (module := module_in(given.get("env"), given["env_args"])):
        raise UserError(f"{path} names {module}, and a module is code of whoever made this file: if you trust it, say "
                        f"--env {given.get('env', 'ID')}")
    return given


def _read_toml(path: Path) -> Any:
    with open_file(path, MOST_BYTES) as file:
        return tomllib.load(file)


def _has_presets(found: dict[str, Any]) -> bool:
    return bool(found) and all(isinstance(x, dict) for x in found.values()) and not found.keys() & {"env_args", "hyperparameters"}


def _of_a_run(config: dict[str, Any], env: str | None) -> dict[str, Any]:
    config["env_args"] = from_json(config.get("env_args"))
    CONFIG.check(config, "config")
    if config["env_is_callable"] and env is None:
        raise UserError(f"this run was trained on the callable {config['env']}: --env names another environment, or train from "
                        "Python")
    if isinstance(pixels := config["env_args"].get("pixels"), dict):        # else a preset's entries would be added to them
        config["env_args"]["pixels"] = asdict(Pixels()) | pixels
    kept = {name: config[name] for name in KEPT if config.get(name) is not None}
    if kept.get("init") in {algorithms.find(name).__name__ for name in algorithms.ALGORITHMS}:
        tell("that run started from an agent in memory, which no file has: without --init, this one starts from new parameters")
        del kept["init"]
    if kept["vector"] == "object":                          # no other environment is one
        del kept["vector"]
    return kept | {"hyperparameters": asdict(hyperparameters_of(config))}


def _of_presets(path: Path, found: dict[str, Any], algorithm: str | None, env: str | None, preset: str | None) -> dict[str, Any]:
    """The table for (algorithm, env, preset) in a file that has tables for each algorithm."""
    tables = {(algorithms.spelt(name), key): values for name, by_env in found.items() for key, values in by_env.items()}
    if not all(isinstance(values, dict) for values in tables.values()):
        raise UserError(f'{path}: a preset is a table for an algorithm and an environment, such as [ppo."CartPole-v1"]')
    name = None if algorithm is None else algorithms.spelt(algorithm)
    key = None if env is None else versioned(env) + (f":{preset}" if preset else "")
    fits = [names for names in tables if name in (None, names[0]) and key in (None, names[1])
            and (preset is None or names[1].endswith(f":{preset}"))]
    if len(fits) != 1:
        there = ", ".join(" on ".join(names) for names in tables)
        raise UserError(f"{path} has {len(fits) or 'no'} presets for {name or 'any algorithm'} on {key or 'any environment'}; "
                        f"there are: {there}")
    name, key = fits[0]
    return {"algorithm": name, "env": env or key.partition(":")[0], "preset": tables[name, key]}
