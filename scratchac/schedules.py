"""Schedules of hyperparameters over training: constant, linear, exponential, or a function from Python."""

import math
from collections.abc import Callable
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Generic, TypeVar, get_args, get_type_hints

import numpy as np

# In a config that a user gives, a field that may follow a schedule is a number or text such as "linear:1e-3:0". In the configs that
# `Hyperparameters` returns, and that all formulas use, it is always a number, so type checkers take it for a number.
if TYPE_CHECKING:
    Scheduled = float
else:
    Scheduled = float | str

Config = TypeVar("Config")


class Schedule:
    """A hyperparameter over training: `schedule(progress)` for progress in [0, 1], constant outside of it.

    Written as a number (constant), "linear:START:END", or "exponential:START:END" (a straight line in log space). From Python it
    may be a function of progress. What a file has of that, "function:NAME:START:END", has no values in between: they are NaN.

    Raises ValueError for any other text, and for a function that gives no numbers.
    """

    def __init__(self, text: object):
        self.function: Callable[[float], object] | None = None
        if callable(text):
            self.kind, self.function = "function", text
            self.start, self.end = self(0), self(1)
            return
        kind, *values = str(text).split(":")
        try:
            if kind not in ("linear", "exponential", "function"):
                kind, values = "constant", [str(text), str(text)]
            self.start, self.end = (float(x) for x in (values[-2:] if kind == "function" else values))
        except ValueError:
            raise ValueError(f"{text!r} is neither a number nor linear:START:END nor exponential:START:END") from None
        if kind == "exponential" and min(self.start, self.end) <= 0:
            raise ValueError(f"{text!r}: an exponential schedule needs both ends above zero")
        self.kind = kind

    def __call__(self, progress: float) -> float:
        """The value at that point of training."""
        progress = 0.0 if progress < 0 else 1.0 if progress > 1 else progress
        if self.kind == "function":
            return self._of_function(progress)
        if self.kind == "exponential":
            return self.start * (self.end / self.start) ** progress
        return self.start + (self.end - self.start) * progress

    def over(self, progress: np.ndarray) -> np.ndarray:
        """The values at several points of training, (T,), each the number that a call gives."""
        if self.kind in ("exponential", "function"):        # NumPy's power may round differently
            return np.array([self(x) for x in progress.tolist()])
        return self.start + (self.end - self.start) * np.clip(progress, 0.0, 1.0)

    def _of_function(self, progress: float) -> float:
        if self.function is None:
            return self.start if progress == 0 else self.end if progress == 1 else math.nan
        try:
            return float(self.function(progress))  # type: ignore[arg-type]
        except Exception as error:                          # any: it is the user's
            raise ValueError(f"the function {name_of(self.function)} of progress raised {type(error).__name__}: {error}") from None


def name_of(function: Any) -> str:
    """The name of a function, or the class of another callable."""
    return getattr(function, "__name__", type(function).__name__)


def written(value: Any) -> Any:
    """A hyperparameter as a file can hold it: "function:NAME:START:END" for a function, which is all that a file knows of it."""
    return f"function:{name_of(value)}:{Schedule(value).start!r}:{Schedule(value).end!r}" if callable(value) else value


class Hyperparameters(Generic[Config]):
    """`hyperparameters(progress)`: the config at that point of training, progress in [0, 1].

    Fields that follow a schedule have their current number; the others are those of the config. The result is a frozen config of
    the same class: a new one at each call, or always the same one if no field follows a schedule.
    """

    def __init__(self, config: Config):
        self.config_class: type[Config] = type(config)
        self.values: dict[str, Any] = {f.name: getattr(config, f.name) for f in fields(config)}  # type: ignore[arg-type]
        self.moving: dict[str, Schedule] = {}
        for name, hint in get_type_hints(self.config_class, include_extras=True).items():
            if name in self.values and get_args(hint)[:1] == (float | str,):
                schedule = Schedule(self.values[name])
                self.values[name] = schedule(0)
                if schedule.kind != "constant":
                    self.moving[name] = schedule
        self.constant = None if self.moving else self._config(self.values)

    def __call__(self, progress: float) -> Config:
        """The config at that point of training."""
        if self.constant is not None:
            return self.constant
        values = self.values.copy()
        for name, schedule in self.moving.items():
            values[name] = schedule(progress)
        return self._config(values)

    def lost(self) -> list[str]:
        """The fields that followed a function of which only a file is left."""
        return [name for name, schedule in self.moving.items() if schedule.kind == "function" and schedule.function is None]

    def _config(self, values: dict[str, Any]) -> Config:
        # Without the constructor, which takes ten times as long: an agent may call this at every environment step.
        config = object.__new__(self.config_class)
        object.__setattr__(config, "__dict__", values)
        return config
