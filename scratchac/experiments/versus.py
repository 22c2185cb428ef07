"""Two settings or more against each other, by the returns of their runs' last policies.

A performance profile shows what share of the runs returns more than τ, for every τ. The probability of improvement is that of a run
of one setting to return more than a run of another (Agarwal et al. 2021, sections 4.2 and 4.3).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from scratchac import style
from scratchac.errors import UserError
from scratchac.experiments import plots
from scratchac.experiments.run import Run
from scratchac.experiments.settings import final_return, grouped, opened
from scratchac.experiments.statistics import LEVEL, improvement, profile
from scratchac.messages import tell

Returns = dict[str, np.ndarray]             # label of a setting → mean return of each run's last policy (S,)


@dataclass(frozen=True)
class Pair:
    """The probability that a run of `better` returns more than one of `other`, on one environment, and its interval."""

    env: str
    better: str
    other: str
    probability: float
    low: float
    high: float


def compared(paths: Sequence[Any], by: Sequence[str] = ()) -> dict[str, Returns]:
    """{environment: returns of its settings} of the runs in these folders. A run that is not evaluated is left out, which is told.

    Raises UserError for an environment with fewer than two settings.
    """
    found: dict[str, Returns] = {}
    for env, settings in grouped(opened(paths), by).items():
        returns = {label: _returns(runs) for label, runs in settings.items()}
        found[env] = {label: np.array(x) for label, x in returns.items() if x}
        if len(found[env]) < 2:
            raise UserError(f"--versus compares two settings or more, and the evaluated runs on {env} have "
                            f"{'one' if found[env] else 'none'}: name runs that differ, or the entry to group them --by")
    return found


def pairs(found: dict[str, Returns]) -> list[Pair]:
    """All pairs of settings on each environment, the one that is better more often first."""
    rows = []
    for env, returns in found.items():
        for one, two in combinations(returns, 2):
            if improvement(returns[one], returns[two])[0] < 0.5:
                one, two = two, one
            rows.append(Pair(env, one, two, *improvement(returns[one], returns[two])))
    return rows


def table(found: dict[str, Returns]) -> list[list[str]]:
    """Rows of text: the probability of improvement for each pair of settings, and its interval."""
    rows = [["environment", "a run of", "returns more than one of", "probability", f"{LEVEL:.0%} interval"]]
    return rows + [[p.env, _with_count(p.better, found[p.env]), _with_count(p.other, found[p.env]), f"{p.probability:.2f}",
                    f"{p.low:.2f} … {p.high:.2f}"] for p in pairs(found)]


def picture(found: dict[str, Returns], out: Any) -> Path:
    """Draw profiles and probabilities of improvement, two panels for each environment. Raises UserError as `plots.replace` does."""
    labels = list(dict.fromkeys(label for returns in found.values() for label in returns))
    numbers = {label: number for number, label in enumerate(labels)}
    most = max(len(returns) * (len(returns) - 1) // 2 for returns in found.values())
    figure, axes = style.panels(2 * len(found), width=5.6, height=max(style.HEIGHT, 0.9 + 0.32 * most))
    for (env, returns), left, right in zip(found.items(), axes[::2], axes[1::2], strict=True):
        style.frame(left, f"performance profiles on {env}", "τ, a return", "share of the runs that return more")
        _profiles(left, returns, numbers)
        style.frame(right, f"probability that the upper one returns more, {LEVEL:.0%} interval")
        _probabilities(right, [pair for pair in pairs(found) if pair.env == env], numbers)
    style.legend(figure, {f"{label} ({_counts(label, found)})": style.look(number) for label, number in numbers.items()})
    return plots.replace(figure, out)


def _profiles(ax: Axes, returns: Returns, numbers: dict[str, int]) -> None:
    values = np.unique(np.concatenate(list(returns.values())))
    margin = (values[-1] - values[0]) / 20 or 1
    at = np.array([values[0] - margin, *values, values[-1] + margin])
    for label, x in returns.items():
        ax.step(at, profile(x, at), where="post", lw=style.LINE, **style.look(numbers[label]))
    ax.set_ylim(-0.03, 1.03)


def _probabilities(ax: Axes, rows: list[Pair], numbers: dict[str, int]) -> None:
    ax.axvline(0.5, color="0.4", lw=style.EDGE)
    for place, row in enumerate(rows):
        colour = style.look(numbers[row.better])["color"]
        ax.plot([row.low, row.high], [place, place], color=colour, lw=style.LINE)
        ax.plot(row.probability, place, "o", color=colour, ms=5)
    ax.set_yticks(range(len(rows)), [f"{row.better}\nover {row.other}" for row in rows], parse_math=False)
    ax.set_xlim(-0.02, 1.02)
    ax.set_ylim(len(rows) - 0.5, -0.5)


def _returns(runs: Sequence[Run]) -> list[float]:
    known = [final_return(run) for run in runs]
    for run, value in zip(runs, known, strict=True):
        if value is None:
            tell(f"{run.path} is not evaluated, so it is left out: scratchac resume {run.path}")
    return [value for value in known if value is not None]


def _with_count(label: str, returns: Returns) -> str:
    return f"{label} ({len(returns[label])})"


def _counts(label: str, found: dict[str, Returns]) -> str:
    counts = sorted({len(returns[label]) for returns in found.values() if label in returns})
    return f"{counts[0]} run{'' if counts == [1] else 's'}" if len(counts) == 1 else f"{counts[0]}–{counts[-1]} runs"
