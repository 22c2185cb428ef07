"""Trains the right and the wrong version of an exhibit's base, and keeps what the figures need."""

import json
from contextlib import nullcontext
from functools import cache
from typing import Any

import numpy as np

from scratchac import api
from scratchac.errors import TrainingError
from scratchac.lab.museum.bases import BASES
from scratchac.lab.museum.exhibit import Exhibit
from scratchac.lab.patch import ROOT

METRICS = ("return", "auc", "value", "entropy", "alpha", "q")
EPISODES, POINTS = 20, 50
FIGURES = ROOT / "demos/results/museum.json"


@cache
def measured() -> dict[str, Any]:
    """The committed figures of all exhibits that have been measured; none in an installation without a checkout."""
    return json.loads(FIGURES.read_text(encoding="utf-8"))["exhibits"] if FIGURES.exists() else {}


def train(base_name: str, exhibit: Exhibit | None, seed: int, steps: int | None = None) -> dict[str, Any]:
    """One seed of a base, with an exhibit's bug or, for None, without. Returns its figures.

    The figures are the mean return of the last policy, deterministic, over 20 episodes; the mean of the curve of returns ("auc");
    the last row's value, entropy, α and Q, where the algorithm has them; and the curve [[step, return], …].
    A training that stops on a value that is not finite has the last return of its curve, and the entry "stopped".
    """
    base = BASES[base_name]
    rows: list[dict[str, Any]] = []
    result: dict[str, Any]
    settings = base.settings | (exhibit.settings if exhibit else {})
    steps = base.steps if steps is None else steps
    with exhibit.applied() if exhibit else nullcontext():
        try:
            agent = api.train(base.algorithm, base.env, steps, seed, backend="numpy", preset={}, on_row=rows.append, **settings)
            result = {"return": float(api.evaluate(agent, base.test or base.env, EPISODES, seed=1_000).mean())}
        except TrainingError as error:
            result = {"stopped": str(error)}
    curve = [[row["step"], row["return_mean"]] for row in rows if row["return_mean"] != ""]
    if curve:
        result["auc"] = float(np.mean([y for _, y in curve]))
        result.setdefault("return", curve[-1][1])
    result |= {name: rows[-1][name] for name in METRICS if rows and isinstance(rows[-1].get(name), float)}
    return result | {"curve": thinned(curve)}


def thinned(curve: list[list[float]]) -> list[list[float]]:
    """At most POINTS points of a curve, the last among them."""
    keep = np.unique(np.linspace(0, len(curve) - 1, min(POINTS, len(curve))).round().astype(int))
    return [[curve[i][0], rounded(curve[i][1])] for i in keep]


def rounded(x: float) -> float:
    """Four significant digits."""
    return float(f"{x:.4g}")


def side(results: list[dict[str, Any]]) -> dict[str, Any]:
    """Figures of several seeds, as they stand in museum.json: a list for each metric that all of them have, and their curves."""
    measured = [name for name in METRICS if all(name in one for one in results)]
    lists: dict[str, Any] = {name: [rounded(one[name]) for one in results] for name in measured}
    stopped = {"stopped": [one.get("stopped") for one in results]} if any("stopped" in one for one in results) else {}
    return lists | stopped | {"curves": [one["curve"] for one in results]}


def table(right: dict[str, Any], wrong: dict[str, Any], names: tuple[str, str] = ("right", "wrong")) -> str:
    """Medians and ranges over seeds, of both versions."""
    lines = [f"{'':8}  {names[0]:>34}  {names[1]:>34}"]
    for name in METRICS:
        if name in right or name in wrong:
            lines.append(f"{name:8}  {spread(right.get(name)):>34}  {spread(wrong.get(name)):>34}")
    return "\n".join(lines)


def spread(values: list[float] | None) -> str:
    """Median [lowest … highest]."""
    if not values:
        return ""
    low, middle, high = (f"{x:,.4g}" for x in (min(values), float(np.median(values)), max(values)))
    return f"{middle} [{low} … {high}]"


def apart(right: list[float], wrong: list[float]) -> bool:
    """Whether the wrong version's median is outside the range of the right one over seeds."""
    middle = float(np.median(wrong))
    return not min(right) <= middle <= max(right)
