"""Pictures from the folders of runs."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from scratchac import style
from scratchac.errors import UserError
from scratchac.experiments.files import MOST_BYTES, atomic_file, open_file
from scratchac.experiments.run import Run
from scratchac.experiments.settings import grouped, opened
from scratchac.experiments.statistics import Spread, mean_and_range, usual_spread
from scratchac.messages import tell
from scratchac.style import COLOURS as COLOURS

PANELS = [("return_mean", "return of an episode"), ("elo", "Elo rating above the self at the start"),
          ("actor_loss", "actor loss"), ("critic_loss", "critic loss"), ("entropy", "entropy"), ("alpha", "temperature α"),
          ("td_error", "mean size of the TD error"),
          ("q_promised", "Q at the start of an episode")]
PARTLY = "dotted: not all runs of the setting have a value here"
Columns = dict[str, np.ndarray]                         # as `Run.metrics` returns them
MADE_BY = "scratchac"                                   # what a picture's file says, so that it may be replaced by a newer one
SAID_AS = {"png": "Software", "svg": "Creator", "pdf": "Creator"}


def curves(run: Run, path: Any) -> None:
    """Plot the metrics of PANELS that the run has measured, over steps; the return is in the largest panel, with its spread.

    Evaluations during training are points with their standard deviations in the panel of the return.
    """
    metrics = run.metrics()
    shown = [panel for panel in PANELS if panel[0] in metrics]
    figure, axes = _one_large(shown)
    for ax, (name, _) in zip(axes, shown, strict=True):
        ax.plot(metrics["step"], metrics[name], color=COLOURS[0], lw=style.LINE)
        if name == "return_mean" and "return_std" in metrics:
            low, high = (metrics[name] + sign * metrics["return_std"] for sign in (-1, 1))
            style.edges(ax, metrics["step"], low, high, COLOURS[0])
            style.heading(ax, "return: last 100 episodes of training, mean ± standard deviation")
            _evaluations(ax, metrics)
        elif name == "q_promised" and "q_realised" in metrics:
            ax.plot(metrics["step"], metrics["q_realised"], color=COLOURS[7], lw=style.LINE)
            style.legend(figure, {"Q": {"color": COLOURS[0]}, "discounted return that followed": {"color": COLOURS[7]}})
    config = run.config
    style.title(figure, f"{config['algorithm']} on {config['env']}, seed {config['seed']}")
    save(figure, path)


def _evaluations(ax: Axes, metrics: Columns) -> None:
    """Draw the means of evaluations during training, and their standard deviations as bars, if there are any."""
    means = metrics.get("eval_mean", np.array([np.nan]))
    there = np.isfinite(means)
    if there.any():
        ax.errorbar(metrics["step"][there], means[there], metrics["eval_std"][there], fmt="o", ms=4, lw=0.8, color=COLOURS[1],
                    label="evaluations, without exploration")
        # Above the panel, where no data are.
        ax.legend(fontsize=style.SMALL, loc="lower right", bbox_to_anchor=(1, 1), frameon=False)


def compare(paths: Sequence[Any], out: Any, by: Sequence[str] = ()) -> Path:
    """Plot the runs in these folders, which may be sweeps', in one figure: a line for each setting (see `settings.grouped`).

    Returns the path of the figure. Raises UserError for a folder without a run, an entry `by` that no run has, and a file `out`
    that is there already and was not made by this library.
    """
    groups = grouped(opened(paths), by)
    names = {run.config["algorithm"] for settings in groups.values() for runs in settings.values() for run in runs}
    figure = lines({env: {label: [run.metrics() for run in runs] for label, runs in settings.items()}
                    for env, settings in groups.items()}, " and ".join(sorted(names)))
    return replace(figure, out)


def lines(groups: Mapping[str, Mapping[str, Sequence[Columns]]], title: str) -> Figure:
    """Learning curves of settings, {environment: {label: metrics of the runs}}: one line for each, and the interval around it.

    On one environment there is a panel for each metric of PANELS, on several ones a panel for the return on each.
    """
    spread, around = usual_spread()
    numbers = {label: number for number, label in enumerate(dict.fromkeys(label for part in groups.values() for label in part))}
    if len(numbers) > style.MOST_LOOKS:
        tell(f"{len(numbers)} settings are drawn with {style.MOST_LOOKS} different lines: some look alike, and --by groups them")
    if len(groups) == 1:
        (env, settings), = groups.items()
        shown = [name for name, _ in PANELS if any(name in m for runs in settings.values() for m in runs)]
        figure, axes = _panels(shown)
        drawn = [(ax, name, settings) for ax, name in zip(axes, shown, strict=True)]
        style.title(figure, f"{title} on {env}")
    else:
        figure, axes = style.panels(len(groups))
        drawn = [(ax, "return_mean", settings) for ax, settings in zip(axes, groups.values(), strict=True)]
        for ax, env in zip(axes, groups, strict=True):
            style.frame(ax, f"return on {env}")
            style.steps(ax)
        style.title(figure, title)
    partly = False
    for ax, name, settings in drawn:
        for label, runs in settings.items():
            there = [m for m in runs if name in m]
            drawn_as = style.look(numbers[label])
            partly |= band(ax, [m["step"] for m in there], [m[name] for m in there], label, drawn_as["color"], spread,
                           dashes=drawn_as["ls"])
        _keep_in_sight(ax, [m[name] for runs in settings.values() for m in runs if name in m])
        if name == "return_mean" and not ax.lines:
            ax.text(0.5, 0.5, "no episode has ended", transform=ax.transAxes, ha="center", va="center", fontsize=style.MEDIUM)
    entries = {_entry(label, [part[label] for part in groups.values() if label in part]): style.look(number)
               for label, number in numbers.items()}
    if any(ax.collections for ax, _, _ in drawn):
        entries[f"thin: {around}"] = {"color": "0.4", "lw": style.EDGE}
    if partly:
        entries[PARTLY] = {"color": "0.4", "ls": ":"}
    style.legend(figure, entries)
    return figure


def band(ax: Axes, xs: Sequence[np.ndarray], ys: Sequence[np.ndarray], label: str, colour: Any,
         spread: Spread = mean_and_range, points: int = 200, dashes: str = "-") -> bool:
    """Draw one line for several curves together, with a band around it, on a common grid of x; nothing for curves without a value.

    A curve counts from its first value to its last one: the return of a run has no value until its first episode has ended. Where
    not all curves count, `spread` takes those that do, and the line is dotted. Returns whether that is so anywhere.
    """
    known = [np.isfinite(y) for y in ys]
    drawn = [(x[ok], y[ok]) for x, y, ok in zip(xs, ys, known, strict=True) if ok.any()]
    if not drawn:
        return False
    ends = [(x[0], x[-1]) for x, _ in drawn]
    grid = np.union1d(np.linspace(np.min(ends), np.max(ends), points), ends)                # (P,)
    curve = np.array([np.interp(grid, x, y) for x, y in drawn])                             # (S, P)
    counts = np.array([(first <= grid) & (grid <= last) for first, last in ends])           # (S, P)
    changes = np.flatnonzero((counts[:, 1:] != counts[:, :-1]).any(axis=0)) + 1
    parts = [part for part in np.split(np.arange(len(grid)), changes) if counts[:, part[0]].any()]     # the same curves within each
    whole = [bool(counts[:, part[0]].all()) for part in parts]
    named = whole.index(True) if any(whole) else 0
    for number, (part, all_there) in enumerate(zip(parts, whole, strict=True)):
        middle, low, high = spread(curve[np.ix_(counts[:, part[0]], part)])
        ax.plot(grid[part], middle, color=colour, lw=style.LINE, ls=dashes if all_there else ":",
                marker="." if len(part) == 1 and all_there else None, label=label if number == named else None)
        if np.isfinite(low).any():                          # a few runs may have no interval
            style.edges(ax, grid[part], low, high, colour)
    return not all(whole)


def replace(figure: Figure, path: Any) -> Path:
    """Write a figure into a file that is new, or a picture that this library has made. Raises UserError for any other file."""
    require_replaceable(path)
    save(figure, path)
    return Path(path)


def require_replaceable(path: Any) -> None:
    """Raise UserError unless `replace` can write this file."""
    if Path(path).exists() and not _ours(path):
        raise UserError(f"{path} exists already and is no picture of scratchac's, so it stays: name another file with --out")
    if not Path(path).absolute().parent.is_dir():
        raise UserError(f"{path} cannot be written: there is no folder {Path(path).parent}")
    if (kind := Path(path).suffix[1:].lower() or "png") not in Figure().canvas.get_supported_filetypes():
        raise UserError(f"cannot draw {path}: there is no format {kind}")


def save(figure: Figure, path: Any) -> None:
    """Write a figure; no window is opened. Raises UserError for a folder or file format that does not exist."""
    kind = Path(path).suffix[1:].lower() or "png"
    made_by = {SAID_AS[kind]: MADE_BY} if kind in SAID_AS else None
    try:
        with atomic_file(path) as file:
            figure.savefig(file, format=kind, dpi=style.DPI, metadata=made_by)
    except ValueError as error:
        raise UserError(f"cannot draw {path}: {error}") from None


def _ours(path: Any) -> bool:
    try:
        with open_file(path, MOST_BYTES) as file:
            text = file.read()
    except (OSError, ValueError):
        return False
    return any(said in text for said in (b"Software\0" + MADE_BY.encode(), f"/Creator ({MADE_BY})".encode(),
                                         f"<dc:title>{MADE_BY}<".encode()))


def _entry(label: str, parts: Sequence[Sequence[Columns]]) -> str:
    """A line of the legend: the label and its number of runs, on each environment, and how many of them have no return."""
    counts = sorted({len(runs) for runs in parts})
    without = sum(not np.isfinite(m["return_mean"]).any() for runs in parts for m in runs)
    number = "–".join(map(str, counts[:1] + counts[1:][-1:]))
    words = f"{label} ({number} run{'' if counts == [1] else 's'}"
    return f"{words}, {without} without an ended episode)" if without else f"{words})"


def _keep_in_sight(ax: Axes, curves: Sequence[np.ndarray]) -> None:
    """Limit the y axis to the runs' own values and half as much above and below: an interval of three seeds can be far wider."""
    values = np.concatenate([[np.nan], *curves])
    if np.isfinite(values).any():
        low, high = np.nanmin(values[~np.isinf(values)]), np.nanmax(values[~np.isinf(values)])
        more, (bottom, top) = (high - low) / 2 or 1, ax.get_ylim()
        ax.set_ylim(max(bottom, low - more), min(top, high + more))


def _one_large(shown: Sequence[tuple[str, str]]) -> tuple[Figure, list[Axes]]:
    """A figure with the first panel over its whole width, and the others below it, three in a row."""
    columns, below = min(3, max(1, len(shown) - 1)), len(shown) - 1
    rows = -(-below // columns)
    figure = Figure(figsize=(9.6, 3.6 + 2.2 * rows), layout="constrained")
    grid = figure.add_gridspec(1 + rows, columns, height_ratios=[1.7] + [1] * rows)
    axes = [figure.add_subplot(grid[0, :]), *(figure.add_subplot(grid[1 + i // columns, i % columns]) for i in range(below))]
    for i, (ax, (_, title)) in enumerate(zip(axes, shown, strict=True)):
        style.frame(ax, title)
        style.steps(ax, 8 if i == 0 else 4)
    return figure, axes


def _panels(names: Collection[str]) -> tuple[Figure, list[Axes]]:
    shown = [panel for panel in PANELS if panel[0] in names]
    figure, axes = style.panels(len(shown))
    for ax, (_, title) in zip(axes, shown, strict=True):
        style.frame(ax, title)
        style.steps(ax)
    return figure, axes
