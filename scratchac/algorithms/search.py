"""Where `scratchac tune` looks for the value of a hyperparameter.

A Config has a table SEARCH beside its fields, with those that matter most; the tables of its base classes belong to it. The
fields that are not in it keep their values. Optuna chooses; what is here are the sets that it chooses from.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class LogUniform:
    """Numbers from `low` to `high`, log x being uniform: of rates and coefficients only the order of magnitude is known."""

    low: float
    high: float

    def draw(self, trial: Any, name: str) -> float:
        """A value with three digits, which is all that a preset is printed with."""
        return float(f"{trial.suggest_float(name, self.low, self.high, log=True):.3g}")


@dataclass(frozen=True)
class NearOne:
    """Numbers 1 − x with x from `low` to `high`, log x being uniform: of γ and λ it is 1/(1 − γ), the steps ahead, that counts."""

    low: float
    high: float

    def draw(self, trial: Any, name: str) -> float:
        """A value whose distance from 1 has two digits."""
        return round(1 - float(f"{trial.suggest_float(f'1 - {name}', self.low, self.high, log=True):.2g}"), 9)


class Choice:
    """One of a few values, as equals: numbers of rows and steps, sizes of layers, words."""

    def __init__(self, *values: Any):
        self.values = {str(value): value for value in values}

    def draw(self, trial: Any, name: str) -> Any:
        """One of the values."""
        return self.values[trial.suggest_categorical(name, list(self.values))]


Space = Mapping[str, LogUniform | NearOne | Choice]


def space_of(config_class: type) -> Space:
    """The SEARCH of a Config and of its base classes: {name of a field: its values}."""
    space: dict[str, LogUniform | NearOne | Choice] = {}
    for each in reversed(config_class.__mro__):
        space |= vars(each).get("SEARCH", {})
    return space
