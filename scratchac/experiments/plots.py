"""Plots from the folders of runs."""

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import Formatter, MaxNLocator

from scratchac.errors import UserError
from scratchac.experiments.files import atomic_file
from scratchac.experiments.run import Run

PANELS = [("return_mean", "return of an episode"), ("elo", "Elo rating above the untrained self"),
          ("actor_loss", "actor loss"), ("critic_loss", "critic loss"), ("entropy", "entropy"), ("alpha", "temperature α"),
          ("td_error", "mean size of the TD error"),
          ("q_promised", "Q at the start of an episode")]
Spread = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]
COLOURS = matplotlib.colormaps["tab10"].colors  # type: ignore[attr-defined]


def curves(run: Run, path: Any) -> None:
    """Plot the metrics of PANELS that the run has measured, over steps; the return is in the largest panel, with its spread.

    Evaluations during training are points with their standard deviations in the panel of the return.
    """
    metrics = run.metrics()
    shown = [panel for panel in PANELS if panel[0] in metrics]
    figure, axes = _one_large(shown)
    for ax, (name, _) in zip(axes, shown, strict=True):
        ax.plot(metrics["step"], metrics[name], color=COLOURS[0], lw=1.2)
        if name == "return_mean" and "return_std" in metrics:
            low, high = (metrics[name] + sign * metrics["return_std"] for sign in (-1, 1))
            ax.fill_between(metrics["step"], low, high, color=COLOURS[0], alpha=0.2, lw=0)
            ax.set_title("return: last 100 episodes of training, mean ± standard deviation", fontsize=10, loc="left")
            _evaluations(ax, metrics)
        elif name == "q_promised" and "q_realised" in metrics:
            ax.plot(metrics["step"], metrics["q_realised"], color="grey", lw=1.2, label="discounted return that followed")
            ax.legend(fontsize=8)
    config = run.config
    figure.suptitle(f"{config['algorithm']} on {config['env']}, seed {config['seed']}")
    save(figure, path)


def _evaluations(ax: Any, metrics: dict[str, np.ndarray]) -> None:
    """Draw the means of evaluations during training, and their standard deviations as bars, if there are any."""
    means = metrics.get("eval_mean", np.array([np.nan]))
    there = np.isfinite(means)
    if there.any():
        ax.errorbar(metrics["step"][there], means[there], metrics["eval_std"][there], fmt="o", ms=4, lw=0.8, color=COLOURS[1],
                    label="evaluations, without exploration")
        ax.legend(fontsize=9, loc="lower right", bbox_to_anchor=(1, 1), frameon=False)       # above the panel, where no data are


def compare(paths: Sequence[Any], out: Any) -> Path:
    """Plot several runs in one figure: one colour per algorithm and environment, mean and range over its runs.

    Returns the path of the figure. Raises UserError if it exists already or a folder is not a run.
    """
    if Path(out).exists():
        raise UserError(f"{out} exists already, and nothing is overwritten: name another file with --out")
    groups: dict[str, list[dict[str, np.ndarray]]] = {}
    for path in paths:
        run = Run.open(path)
        groups.setdefault(f"{run.config['algorithm']} on {run.config['env']}", []).append(run.metrics())
    shown = {name for runs in groups.values() for metrics in runs for name in metrics}
    figure, axes = _panels(shown)
    for (label, runs), colour in zip(groups.items(), COLOURS * len(groups), strict=False):
        for ax, (name, _) in zip(axes, [p for p in PANELS if p[0] in shown], strict=True):
            band(ax, [m["step"] for m in runs if name in m], [m[name] for m in runs if name in m],
                 f"{label} ({len(runs)} run{'s' if len(runs) > 1 else ''})", colour)
    _legend(axes[0])
    save(figure, out)
    return Path(out)


def spreads(groups: dict[str, list[dict[str, np.ndarray]]], spread: Spread, title: str, path: Any) -> None:
    """Plot the returns of several groups of runs, {label: their metrics}: one line each, in the band that `spread` computes.

    spread   lines (S, points) of S runs → (middle, low, high)
    """
    figure, (ax,) = _panels(["return_mean"])
    for (label, metrics), colour in zip(groups.items(), COLOURS * len(groups), strict=False):
        band(ax, [m["step"] for m in metrics], [m["return_mean"] for m in metrics], f"{label} ({len(metrics)})", colour, spread)
    ax.set_title("return: interquartile mean over seeds, and its 95% bootstrap interval", fontsize=9)
    _legend(ax)
    figure.suptitle(title)
    save(figure, path)


def mean_and_range(lines: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lines (S, points) of S runs → (mean, lowest, highest)."""
    return lines.mean(axis=0), lines.min(axis=0), lines.max(axis=0)


def band(ax: Any, xs: Sequence[np.ndarray], ys: Sequence[np.ndarray], label: str, colour: Any,
         spread: Spread = mean_and_range, points: int = 200) -> None:
    """Draw one line for several curves together, with a band around it, on a common grid of x; nothing for curves without a value.

    A run in which no episode has ended has a curve of returns without a value.
    """
    known = [np.isfinite(y) for y in ys]
    drawn = [(x, x[ok], y[ok]) for x, y, ok in zip(xs, ys, known, strict=True) if ok.any()]
    if not drawn:
        return
    grid = np.linspace(max(x[0] for x, _, _ in drawn), min(x[-1] for x, _, _ in drawn), points)
    lines = np.array([np.interp(grid, x, y) for _, x, y in drawn])
    middle, low, high = spread(lines)
    ax.plot(grid, middle, color=colour, lw=1.4, label=label)
    ax.fill_between(grid, low, high, color=colour, alpha=0.2, lw=0)


def save(figure: Figure, path: Any) -> None:
    """Write a figure; no window is opened. Raises UserError for a folder or file format that does not exist."""
    try:
        with atomic_file(path) as file:
            figure.savefig(file, format=Path(path).suffix[1:] or "png", dpi=110)
    except ValueError as error:
        raise UserError(f"cannot draw {path}: {error}") from None


def _legend(ax: Any) -> None:
    if ax.get_legend_handles_labels()[1]:                   # matplotlib warns of a legend without entries
        ax.legend(fontsize=8)


def _one_large(shown: Sequence[tuple[str, str]]) -> tuple[Figure, list[Any]]:
    """A figure with the first panel over its whole width, and the others below it, three in a row."""
    columns, below = min(3, max(1, len(shown) - 1)), len(shown) - 1
    rows = -(-below // columns)
    figure = Figure(figsize=(9.6, 3.6 + 2.2 * rows), layout="constrained")
    grid = figure.add_gridspec(1 + rows, columns, height_ratios=[1.7] + [1] * rows)
    axes = [figure.add_subplot(grid[0, :]), *(figure.add_subplot(grid[1 + i // columns, i % columns]) for i in range(below))]
    for i, (ax, (_, title)) in enumerate(zip(axes, shown, strict=True)):
        ax.set_title(title, fontsize=10 if i == 0 else 9, loc="left")
        ax.set_xlabel("environment steps", fontsize=9)
        ax.tick_params(labelsize=8)
        ax.xaxis.set_major_locator(MaxNLocator(8 if i == 0 else 4))
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_formatter(InFull())
        ax.grid(alpha=0.3)
        ax.spines[["top", "right"]].set_visible(False)
    return figure, axes


class InFull(Formatter):
    """Labels of ticks with all their digits: matplotlib would write a common factor, such as 1e6, beside the axis."""

    def format_ticks(self, values: Any) -> list[str]:
        """The labels of all ticks of an axis, in millions if one of them is at least a million."""
        millions = 1e6 <= max(map(abs, values), default=0) < 1e10
        return [(f"{x / 1e6:.6g}M" if millions and x else f"{x:,.6g}").replace("-", "−") for x in values]

    def __call__(self, value: float, pos: int | None = None) -> str:
        """The label of one tick alone."""
        return self.format_ticks([value])[0]


def _panels(names: Collection[str]) -> tuple[Figure, Any]:
    shown = [panel for panel in PANELS if panel[0] in names]
    figure = Figure(figsize=(5.2 * min(2, len(shown)), 3.2 * ((len(shown) + 1) // 2)), layout="constrained")
    axes = figure.subplots((len(shown) + 1) // 2, min(2, len(shown)), squeeze=False).ravel()
    for ax in axes[len(shown):]:
        ax.remove()
    for ax, (_, title) in zip(axes, shown, strict=False):
        ax.set_title(title, fontsize=9)
        ax.set_xlabel("environment steps")
        ax.grid(alpha=0.3)
        ax.spines[["top", "right"]].set_visible(False)
    return figure, axes[: len(shown)]
