"""What each file of a run may hold: the kind of every entry, in one place. Whatever else is there is refused before it is used.

config.json       CONFIG; the hyperparameters' kinds are the types of the algorithm's Config
checkpoint.npz    MANIFEST and STATE, and `check_state`; the agent's state is like that of a new agent (algorithms/saving.py)
best.npz          MANIFEST and STATE, and `check_best`; the agent's state as in checkpoint.npz
metrics.csv       `metrics_from`
"""

import itertools
import math
import re
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from scratchac.environments.games import GAMES
from scratchac.environments.rewind import LONGEST
from scratchac.kinds import (
    FLAG,
    MOST,
    NOTHING,
    Array,
    Either,
    Generator,
    Kind,
    Many,
    Maybe,
    Named,
    Number,
    OneOf,
    Record,
    Row,
    Text,
    Whole,
)

LogName = Literal["tensorboard", "wandb"]        # programs that a training is logged for (logs.py)
MOST_EPISODES = 1_000_000       # of an evaluation
MOST_ELO = 50_000               # points of a rating; a difference of 120,000 is beyond float64's exponents
FARTHEST = 1e6                  # position or speed of a compiled world; a time limit keeps them below
DEEPEST = 20                    # lists and dicts within one another, in the arguments of an environment
FIRST_COLUMNS = ["step", "episodes", "return_mean", "length_mean", "wall_s"]
LARGEST = 1e100                 # number in a cell of metrics.csv: float64 can still compute with it


class Anything:
    """Any value of JSON: `Arguments` and a space check the rest."""

    def check(self, value: Any, name: str) -> None:
        """Raise ValueError for nothing."""


class Arguments:
    """A dict of arguments, by name: numbers, None, text, and lists, tuples and dicts of them."""

    def check(self, value: Any, name: str) -> None:
        """Raise ValueError unless `value` is of this kind."""
        if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
            raise ValueError(f"{name} is not a dict of names and values")
        level: list[Any] = [value]
        for _ in range(DEEPEST):
            level = [x for part in level if isinstance(part, dict | list | tuple)
                     for x in (itertools.chain(*part.items()) if isinstance(part, dict) else part)]
            for x in level:
                if isinstance(x, str):
                    x.encode()                              # a lone surrogate is no text; UnicodeError is a ValueError
        if level:
            raise ValueError(f"{name} is nested more than {DEEPEST} deep")


# -- config.json ---------------------------------------------------------------------------------------------------------

_SPACE = Record({"kind": Text(r"\w+")},
                dict.fromkeys(("n", "start", "dtype", "shape", "range", "low", "high", "parts"), Anything()))
CONFIG = Record(
    {"algorithm": Text(), "env": Text(), "env_is_callable": FLAG, "seed": Whole(0, math.inf), "backend": Text(),
     "vector": OneOf(("sync", "async", "compiled", "envpool", "object")), "randomise": FLAG, "env_args": Arguments(),
     "hyperparameters": Named(Anything()), "observation_space": _SPACE, "action_space": _SPACE},
    {"made_as": Text(), "compiled": Maybe(Text()), "checkpoint_every": Maybe(Whole(1)), "eval_episodes": Whole(0, MOST_EPISODES),
     "step_timeout": Maybe(Number(0)), "eval_every": Maybe(Whole(1)), "stop_at": Maybe(Number()), "patience": Maybe(Whole(1)),
     "init": Maybe(Text(r"(?s).*", printable=False)), "log": Many(OneOf(get_args(LogName))),
     "resumed": Many(Row((Whole(), Text()))),
     "made": Record({"command": Text(r"(?s).*", printable=False), "date": Text(), "versions": Named(Text())}, {"commit": Text()})})

# -- checkpoint.npz ------------------------------------------------------------------------------------------------------

MANIFEST = Record(
    {"format": OneOf((3, 4)), "algorithm": Text(), "observation_space": Anything(), "action_space": Anything(), "tree": Anything(),
     "arrays": Anything()},                                 # spaces and arrays are compared with those that are there
    {"versions": Anything(), "meaning": Named(Anything())})
STATE = Record({"agent": Anything(), "progress": Anything(), "interaction": Anything()})


def check_state(progress: Any, interaction: Any, agent: Any, config: dict[str, Any], spaces: tuple[Any, Any]) -> None:
    """Raise ValueError unless these are the progress and the interaction that a run of this agent saves.

    spaces      of the observations that the agent sees, and of the environment's actions
    """
    _progress(progress).check(progress, "progress")
    _interaction(interaction, agent, config, spaces).check(interaction, "interaction")


# An evaluation during training: of which step's policy, the mean and standard deviation of its returns, and how many there are.
_EVALUATION = Record({"step": Whole(), "mean": Number(), "std": Number(0), "episodes": Whole(1)})


def check_best(progress: Any, interaction: Any, agent: Any) -> None:
    """Raise ValueError unless these are what best.npz has besides the state of an agent, whose step the evaluation names."""
    _EVALUATION.check(progress, "progress")
    NOTHING.check(interaction, "interaction")
    OneOf((agent.get("step") if isinstance(agent, dict) else None,)).check(progress["step"], "progress.step")


def _progress(found: Any) -> Kind:
    target = found.get("target") if isinstance(found, dict) else None
    total = Row((Array(None, (), finite=False), Whole(1)))
    return Record(
        {"episodes": Whole(), "updates": Whole(), "update_s": Number(0), "wall_s": Number(0), "target": Whole(1),
         "sums": Named(total)},
        {"next_row": Maybe(Whole(1, target if type(target) is int else MOST)), "begun": Whole(), "ended": Whole(),
         "compile_s": Number(0), "computed_by": Record({"backend": Text(), "compiled": Maybe(Text())}),
         "evaluations": Record({"next": Maybe(Whole(1)), "without": Whole(), "best": Maybe(_EVALUATION)})})


def _interaction(found: Any, agent: Any, config: dict[str, Any], spaces: tuple[Any, Any]) -> Kind:
    """The kind of an interaction. It is None if an environment failed before the first update, as `envs` is if one failed later."""
    n, past = agent.n_envs, _past(*spaces)
    if agent.family == "asynchronous":
        worker = Record({"rng": Generator(("PCG64",)), "interaction": _under_way(1, Many(past, 1, 1))})
        return Maybe(_under_way(n, NOTHING, workers=Maybe(Many(Maybe(worker), n, n))))
    if config["env"] in GAMES:
        envs: Kind = _games(found, agent)
    elif config["vector"] == "compiled":
        envs = _worlds(n, spaces[0])
    else:
        envs = Many(past, n, n)
    each = Array("float64", (n,), finite=False)
    promises = Record({"said": each, "came": each, "weight": Array("float64", (n,), 0, 1), "kept": Pairs(20, finite=False)})
    return Maybe(_under_way(n, Maybe(envs), promises if agent.family == "off-policy" else NOTHING))


def _under_way(n: int, envs: Kind, promises: Kind = NOTHING, workers: Kind = NOTHING) -> Kind:
    episodes = Record({"returns": Array("float64", (n,)), "lengths": Array("int64", (n,), 0, MOST), "finished": Whole(),
                       "recent": Pairs(100, low=0, high=MOST)})
    return Record({"envs": envs, "episodes": episodes, "since_update": Whole(), "workers": workers, "promises": promises})


def _past(seen: Any, actions: Any) -> Kind:
    """What `Rewindable.past` returns. Earlier versions kept observations and actions in other dtypes."""
    taken = Either(Array(None, (None, *(actions.shape or ())), longest=LONGEST), Array("float64", (0,)))
    return Record(
        {"seed": Maybe(Whole(0, 2**32 - 1)), "before": Maybe(Many(Generator(), 0, 2)), "actions": Maybe(taken),
         "obs": Array(None, seen.shape, finite=False)},
        {"spaces": Many(Generator()), "rewards": Number()})


def _worlds(n: int, seen: Any) -> Kind:
    """What `CompiledWorlds.state` returns."""
    return Record({
        "state": Array("float64", (n, None), -FARTHEST, FARTHEST, longest=4), "elapsed": Array("int64", (n,), 0, MOST),
        "obs": Array("float32", (n, *seen.shape)), "generators": Many(Generator(("PCG64",)), n, n)})


def _games(found: Any, agent: Any) -> Kind:
    """What `SelfPlay.state` returns: as many ratings as policies in the pool, and opponents that are among these."""
    envs, n, theta = found.get("envs") if isinstance(found, dict) else None, agent.n_envs, agent.networks().theta.flat
    pool = envs.get("pool") if isinstance(envs, dict) else None
    k = max(1, len(pool)) if isinstance(pool, np.ndarray) and pool.ndim else 1
    return Record({
        "pool": Array(theta.dtype.name, (k, theta.size)), "elo": Array("float64", (k,), -MOST_ELO, MOST_ELO),
        "learner_elo": Number(-MOST_ELO, MOST_ELO), "side": Array("int64", (n,), 0, 1), "opponent": Array("int64", (n,), -1, k - 1),
        "next_snapshot": Whole(), "opponents": Array(theta.dtype.name, (n * theta.size,)), "rng": Generator(("PCG64",)),
        "moves": Many(Many(Whole()), n, n)})


@dataclass(frozen=True)
class Pairs:
    """An array of up to `most` pairs of numbers, the second of them within a range; of shape (0,) if there are none."""

    most: int
    low: float = -math.inf
    high: float = math.inf
    finite: bool = True

    def check(self, value: Any, name: str) -> None:
        """Raise ValueError unless `value` is of this kind."""
        if not isinstance(value, np.ndarray) or value.shape != (0,):
            Array("float64", (None, 2), longest=self.most, finite=self.finite).check(value, name)
            Array("float64", (None,), self.low, self.high, finite=self.finite).check(value[:, 1], name)


# -- metrics.csv ---------------------------------------------------------------------------------------------------------


def metrics_from(lines: list[str]) -> dict[str, np.ndarray]:
    """The columns of metrics.csv as {name: float array}; an empty cell is NaN. Raises ValueError for another table.

    Its columns are words, first FIRST_COLUMNS; its cells are empty or numbers, and the steps whole numbers that never fall.
    """
    header, *rows = (line.rstrip("\r\n").split(",") for line in lines)
    if header[: len(FIRST_COLUMNS)] != FIRST_COLUMNS or len(set(header)) < len(header):
        raise ValueError(f"its columns are not {', '.join(FIRST_COLUMNS)} and others, each of its own name")
    for name in header:
        Text(r"\w+").check(name, "the name of a column")
    last = 0
    for number, row in enumerate(rows, start=2):
        if len(row) != len(header):
            raise ValueError(f"line {number} has {len(row)} cells, and there are {len(header)} columns")
        Whole(last).check(int(row[0]) if re.fullmatch("[0-9]{1,16}", row[0]) else row[0], f"the step in line {number}")
        last = int(row[0])
        for cell in row:
            if cell and math.isfinite(x := float(cell)) and abs(x) > LARGEST:
                raise ValueError(f"line {number} has the number {x:g}, which is too large")
    return {name: np.array([float(row[i] or "nan") for row in rows]) for i, name in enumerate(header)}
