"""How the library's pictures look, in one place: sizes, colours, fonts, frames and legends.

matplotlib's global settings are not touched: figures of a notebook's own stay as they are, and several threads can draw at a time.
Text is never read as a formula, since names of environments and values may contain dollar signs.
"""

from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.ticker import Formatter, MaxNLocator
from matplotlib.transforms import ScaledTranslation

COLOURS: Any = matplotlib.colormaps["tab10"].colors  # type: ignore[attr-defined]
DASHES = ("-", "--", "-.")      # of the first ten lines, which have ten colours, the next ten and the next
DPI = 220                       # pixels in an inch, twice as many as a usual screen shows, for those that show more
WIDTH, HEIGHT = 5.2, 3.2        # of a panel, in inches
LARGE, MEDIUM, SMALL = 11, 9, 8         # points: of a figure's title; of a panel's title and labels; of ticks and legends
LINE, EDGE = 1.5, 0.6           # points: the width of a line; of the edges of the band around it
DARK, LIGHT = "#0d1117", "#d0d7de"      # ground and letters where the page is dark
CHARACTER = 0.075               # inches, of a SMALL character, about


MOST_LOOKS = len(COLOURS) * len(DASHES)          # lines that can be told apart


def look(number: int) -> dict[str, Any]:
    """Colour and dashes of the line with this number. A thing keeps its number in all panels of a figure."""
    return {"color": COLOURS[number % len(COLOURS)], "ls": DASHES[number // len(COLOURS) % len(DASHES)]}


def panels(count: int, columns: int = 2, width: float = WIDTH, height: float = HEIGHT) -> tuple[Figure, list[Axes]]:
    """A figure with `count` panels, row by row, each of this size in inches."""
    columns = min(columns, count)
    rows = -(-count // columns)
    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False).ravel())
    for ax in axes[count:]:
        ax.remove()
    return figure, axes[:count]


def heading(ax: Axes, text: str) -> None:
    """The title of a panel, at the left, so that a legend may stand beside it."""
    ax.set_title(text, fontsize=MEDIUM, loc="left", parse_math=False)


def frame(ax: Axes, title: str = "", x: str = "", y: str = "") -> None:
    """Title, labels, grid and frame of a panel."""
    heading(ax, title)
    ax.set_xlabel(x, fontsize=MEDIUM, parse_math=False)
    ax.set_ylabel(y, fontsize=MEDIUM, parse_math=False)
    ax.tick_params(labelsize=SMALL)
    ax.grid(alpha=0.3, lw=0.6)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)


def steps(ax: Axes, most: int = 6) -> None:
    """Environment steps on the x axis, with at most so many ticks, and labels of both axes in full."""
    ax.set_xlabel("environment steps", fontsize=MEDIUM)
    ax.xaxis.set_major_locator(MaxNLocator(most))
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(InFull())


class InFull(Formatter):
    """Labels of ticks with all their digits: matplotlib would write a common factor, such as 1e6, beside the axis."""

    def format_ticks(self, values: Any) -> list[str]:
        """The labels of all ticks of an axis, in millions if one of them is at least a million."""
        millions = 1e6 <= max(map(abs, values), default=0) < 1e10
        return [(f"{x / 1e6:.6g}M" if millions and x else f"{x:,.6g}").replace("-", "−") for x in values]

    def __call__(self, value: float, pos: int | None = None) -> str:
        """The label of one tick alone."""
        return self.format_ticks([value])[0]


def edges(ax: Axes, x: np.ndarray, low: np.ndarray, high: np.ndarray, colour: Any) -> None:
    """A band with thin edges, so pale that several of them over one another can be told apart."""
    ax.fill_between(x, low, high, color=colour, alpha=0.07, lw=0)
    for y in (low, high):
        ax.plot(x, y, color=colour, lw=EDGE, alpha=0.7)


def bare(ax: Axes) -> None:
    """A thin frame alone, around a panel that shows a picture."""
    ax.set(xticks=[], yticks=[], xlabel="", ylabel="")
    ax.grid(False)
    ax.spines[:].set(visible=True, color="0.6", lw=EDGE)


def darken(figure: Figure) -> None:
    """Turn a figure that has been drawn for a white page into one for a dark page, with the same colours, lighter."""
    figure.set_facecolor(DARK)
    for text in figure.findobj(Text):
        text.set_color(LIGHT)
    for ax in figure.axes:
        ax.set_facecolor(DARK)
        ax.tick_params(colors=LIGHT)
        for spine in ax.spines.values():
            spine.set_edgecolor(LIGHT)
    lighter: dict[Any, str] = {to_hex((r, g, b)): to_hex((0.6 * r + 0.4, 0.6 * g + 0.4, 0.6 * b + 0.4)) for r, g, b in COLOURS}
    for line in figure.findobj(Line2D):
        colour = to_hex(line.get_color())
        line.set_color(lighter.get(colour, LIGHT if colour == "#000000" else colour))


def title(figure: Figure, text: str) -> None:
    """The title of a figure."""
    figure.suptitle(text, fontsize=LARGE, parse_math=False)


def legend(figure: Figure, entries: dict[str, dict[str, Any]]) -> None:
    """A legend below all panels, where it hides nothing: {text: how its line looks}. The figure grows by its rows."""
    if not entries:
        return
    handles = [Line2D([], [], **{"lw": LINE} | drawn) for drawn in entries.values()]
    width, height = figure.get_size_inches()
    columns = max(1, min(len(entries), int(width / (CHARACTER * max(map(len, entries)) + 0.6))))
    figure.set_size_inches(width, height + 0.2 * (-(-len(entries) // columns) + 0.5))
    made = figure.legend(handles, list(entries), loc="outside lower center", ncols=columns, fontsize=SMALL, frameon=False)
    for text in made.get_texts():
        text.set_parse_math(False)


def legends(figure: Figure) -> None:
    """Legends of all lines and bars with labels, where they hide nothing: one below all panels if a panel has the labels of all the
    others, otherwise one below each panel."""
    handles: dict[Axes | Figure, dict[str, Any]] = {
        ax: dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True)) for ax in figure.axes}
    together = {label: handle for shown in handles.values() for label, handle in shown.items()}
    if any(len(shown) == len(together) for shown in handles.values()) and sum(map(bool, handles.values())) > 1:
        handles = {figure: together}
    for place, shown in handles.items():
        if not shown:
            continue
        grid = place.get_gridspec() if isinstance(place, Axes) else None
        inches = figure.get_figwidth() / (grid.ncols if grid else 1)
        columns = max(1, min(len(shown), int(inches / (CHARACTER * max(map(len, shown)) + 0.6))))
        where: dict[str, Any] = {"loc": "outside lower center"}
        if isinstance(place, Axes):
            below = place.transAxes + ScaledTranslation(0, -0.45, figure.dpi_scale_trans)
            where = {"loc": "upper center", "bbox_to_anchor": (0.5, 0), "bbox_transform": below, "borderaxespad": 0}
        made = place.legend(list(shown.values()), list(shown), ncols=columns, fontsize=SMALL, frameon=False, **where)
        for text in made.get_texts():
            text.set_parse_math(False)
