"""What the folder of a run gives back: hyperparameters, environment and agent; and an agent's own folder."""

from collections.abc import Iterator
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np

from scratchac import algorithms
from scratchac.algorithms.config import configure
from scratchac.algorithms.plumbing import Plumbing
from scratchac.algorithms.saving import finite_state
from scratchac.environments.make import name_of
from scratchac.errors import CheckpointError, UserError, WriteError
from scratchac.experiments.reporter import COUNTERS
from scratchac.experiments.run import BEST, Run
from scratchac.experiments.schema import check_best, check_state
from scratchac.training.agent import Agent
from scratchac.wording import either

# Old name → name of hyperparameters: config.json of an older run may have the names of earlier versions.
RENAMED = {"n": "n_step"}


def environment_of(config: dict[str, Any], env: Any, call: str) -> Any:
    """The environment of a run, or the one that is given.

    Raises UserError for a run on a callable if none is given, and for a run on an id if another environment is given. What a file
    names is not imported: an id with a module, which is also possible in the arguments of an environment, has to be given.

    call    what does the same in Python, where a callable can be given
    """
    if env is None and config["env_is_callable"]:
        raise UserError(f"this run was trained on the callable {config['env']}; from Python: {call}")
    if env is None and (module := module_in(config["env"], config["env_args"])):
        say = either(f"--trust or --env {config['env']}", f"env={config['env']!r}")
        raise UserError(f"config.json names {module}, and a module is code of whoever made this folder: if you trust it, say {say}")
    if env is not None and not config["env_is_callable"] and env != config["env"]:
        raise UserError(f"this run was trained on {config['env']}, not on {name_of(env)}: start a new run there")
    return config["env"] if env is None else env


def module_in(*values: Any) -> str | None:
    """The first MODULE:ID among the texts in these values: making such an environment imports the module.

    Any text with a colon counts. What exactly is imported depends on who takes it apart, and a module's name may hold almost any
    letter.
    """
    return next((text for text in _texts(values) if ":" in text), None)


def _texts(value: Any) -> Iterator[str]:
    """All texts in nested dicts, of their keys too, lists and tuples."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list | tuple):
        for part in chain(*value.items()) if isinstance(value, dict) else value:
            yield from _texts(part)


def hyperparameters_of(config: dict[str, Any]) -> Any:
    """The algorithm's Config that config.json describes, also that of an earlier version. Raises UserError."""
    config_class = algorithms.find(config["algorithm"]).config_class
    given = {RENAMED.get(name, name): value for name, value in config["hyperparameters"].items()}
    if hasattr(config_class, "scale_actions"):
        given.setdefault("scale_actions", False)            # before there was a choice, actions were in the box's own units
    return configure(config_class, config["algorithm"], given)


def restore(run: Run, best: bool = False, checkpoint: Path | None = None) -> tuple[Agent, Any, Any]:
    """The agent, progress and interaction of a run's checkpoint, of another file with one, or with `best` of best.npz.

    The progress of best.npz is what its evaluation was.

    Raises UserError for an invalid config.json, and CheckpointError for an invalid checkpoint.
    """
    config = run.config
    hyperparameters = hyperparameters_of(config)
    spaces = run.spaces()
    path = run.path / BEST if best else checkpoint or run.path / "checkpoint.npz"
    state, progress, interaction = run.restore(path)
    misfit = f"{path} does not fit the agent of config.json"
    if _weights_of(hyperparameters.hidden) > _numbers_in(state):            # to initialise very large networks takes hours
        raise CheckpointError(f"{misfit}: it has fewer numbers than networks with {list(hyperparameters.hidden)} hidden units")
    agent = algorithms.make(config["algorithm"], hyperparameters, *spaces, config["seed"])
    agent.about = config
    try:
        if best:
            check_best(progress, interaction, state)
        else:
            check_state(progress, interaction, agent, config, spaces)
        agent.load_state(state)
    except ValueError as error:
        raise CheckpointError(f"{misfit}: {error}") from None
    return agent, progress, interaction


def save_agent(agent: Agent, folder: Any) -> Path:
    """Write an agent into a new folder, as a run that was stopped between two episodes.

    Its episodes and updates are counted from here on.

    Raises UserError, WriteError, and TrainingError for numbers that are not finite.
    """
    if agent.about is None:
        raise UserError("only agents of scratchac.train, load, resume and make_agent know their environment, and can be saved")
    state = finite_state(agent)
    run = Run.create(folder, agent.about)
    try:
        run.save(state, COUNTERS | {"begun": agent.step, "target": max(agent.step, agent.config.steps), "sums": {}}, None)
    except WriteError:
        run.discard()
        raise
    return run.path


Plumbing.writer = save_agent


def _weights_of(hidden: tuple[int, ...]) -> int:
    """The least number of weights in networks with these hidden layers."""
    return sum(hidden) + sum(a * b for a, b in pairwise(hidden))


def _numbers_in(state: Any) -> int:
    """The numbers in all arrays of a state."""
    return sum(map(_numbers_in, state.values())) if isinstance(state, dict) else state.size if isinstance(state, np.ndarray) else 0
