"""What a program may do while an agent trains: objects whose methods are called as training goes on.

    class Watch(scratchac.Callback):
        def on_episode(self, agent, total, length):
            return total > 400                  # True ends training

    scratchac.train("a2c", env="CartPole-v1", callbacks=[Watch()])

The order is on_start, then any number of on_episode, on_row and on_checkpoint, then on_end, then on_finish. All of them are called
in the thread that trains, between two updates. They must not change the agent, nor draw from its generators: a resumed run would
be another one. An error that they raise ends training as it is, without a further checkpoint.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from scratchac.errors import UserError
from scratchac.training.agent import Agent


class Callback:
    """Does nothing. A subclass overrides what it wants to know of; what returns True, and nothing else, ends training.

    A training that is ended like this is complete: it is saved and evaluated as at its planned end.
    """

    def on_start(self, agent: Agent, folder: Path | None) -> object:
        """Before the first update of `train` or `resume`. `folder` is the run's, or None if nothing is written."""

    def on_episode(self, agent: Agent, total: float, length: int) -> object:
        """After the update in which an episode of training has ended: its return, and its length in steps.

        Of the episodes that end within one update, the last 100 are reported.
        """

    def on_row(self, agent: Agent, row: dict[str, Any]) -> object:
        """After each row of metrics; `eval_mean` is "" in those without an evaluation."""

    def on_checkpoint(self, agent: Agent, path: Path) -> object:
        """After checkpoint.npz has been written."""

    def on_end(self, agent: Agent) -> None:
        """After the last update, however training ends, also by an error; with a folder, before the evaluation at the end."""

    def on_finish(self, agent: Agent, summary: dict[str, Any] | None, film: Path | None) -> None:
        """Last of all, after the evaluation and the film.

        `summary` is what summary.json holds; None if there is no folder, if training was stopped before its end, or after an error.
        `film` is its file; None if none was asked for, or none could be made.
        """


class OnRow(Callback):
    """The callback that calls a function with each row of metrics."""

    def __init__(self, function: Callable[[dict[str, Any]], object]):
        self.function = function

    def on_row(self, agent: Agent, row: dict[str, Any]) -> object:
        """Call the function."""
        return self.function(row)


@dataclass
class Outcome:
    """What on_finish is told, and which of the callbacks have begun: only they are told anything after on_start."""

    callbacks: Sequence[Callback]
    summary: dict[str, Any] | None = None
    film: Path | None = None
    begun: list[Callback] = field(default_factory=list)

    def start(self, agent: Agent, folder: Path | None) -> bool:
        """Call on_start of all callbacks; returns whether one of them ends training."""
        ends = False
        for each in self.callbacks:
            ends = call([each], "on_start", agent, folder) or ends
            self.begun.append(each)
        return ends


@contextmanager
def finishing(callbacks: Sequence[Callback], agent: Agent) -> Iterator[Outcome]:
    """Call on_finish after the block, however that ends, with the outcome that has been noted in it."""
    outcome = Outcome(callbacks)
    try:
        yield outcome
    finally:
        call(outcome.begun, "on_finish", agent, outcome.summary, outcome.film)


def checked(on_row: Any, callbacks: Any) -> list[Callback]:
    """The callbacks of a training, `on_row` first. Raises UserError for anything that is none."""
    if on_row is not None and not callable(on_row):
        raise UserError(f"on_row must be a function of a row of metrics, not {on_row!r}")
    if not isinstance(callbacks, list | tuple) or not all(isinstance(x, Callback) for x in callbacks):
        raise UserError(f"callbacks must be a list of objects of subclasses of scratchac.Callback, not {callbacks!r}")
    return [*([] if on_row is None else [OnRow(on_row)]), *callbacks]


def call(callbacks: Sequence[Callback], name: str, *arguments: Any) -> bool:
    """Call this method of all callbacks; returns whether one of them has returned True."""
    answers = [getattr(each, name)(*arguments) for each in callbacks]
    return any(isinstance(answer, (bool, np.bool_)) and bool(answer) for answer in answers)
