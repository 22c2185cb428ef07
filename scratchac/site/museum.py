"""Exhibits of the museum of bugs, as cards with the committed figures (demos/results/museum.json)."""

import html
from statistics import median
from typing import Any

import numpy as np

from scratchac.errors import UserError
from scratchac.experiments import plots
from scratchac.lab.museum import EXHIBITS, matrix
from scratchac.lab.museum.measure import measured
from scratchac.site import figures
from scratchac.site.markup import coloured

SHOWN = {"return": "return of the last policy", "auc": "mean return while training", "value": "V", "q": "Q", "entropy": "entropy",
         "alpha": "α"}


def value(rest: str) -> str:
    """`NAME right|wrong METRIC :FORMAT`: a median over seeds, or what the witness gives. Raises UserError if there is none."""
    words = rest.split()
    spec = words.pop().removeprefix(":") if words and words[-1].startswith(":") else ".4g"
    if len(words) != 3 or words[1] not in ("right", "wrong"):
        raise UserError("it should be: museum NAME right|wrong METRIC :FORMAT")
    name, side, metric = words
    found = measured().get(name, {})
    numbers = found.get("witness", {}).get(side) if metric == "witness" else found.get(side, {}).get(metric)
    known = [x for x in (numbers if isinstance(numbers, list) else [numbers]) if x is not None]
    if not known:
        raise UserError("this has not been measured (demos/results/museum.json)")
    return format(median(known), spec).replace("-", "−", 1)


def card(name: str) -> str:
    """An exhibit: the lines that differ, figures, what one sees, and how one would have noticed."""
    if name not in EXHIBITS:
        raise UserError("the museum has no such exhibit")
    one, seen = EXHIBITS[name], measured().get(name)
    parts = [f'<div class="card exhibit" id="exhibit-{name}"><p class="kind">Exhibit: <a href="museum.html#{name}">{name}</a></p>'
             f"<p><b>{html.escape(one.line)}</b></p>", differing(one)]
    if seen:
        parts += [table(seen), f"<figure>{curves(name, seen)}</figure>"]
    parts += [f"<p><b>What one sees.</b> {html.escape(one.seen)}</p>", f"<p><b>How to notice.</b> {html.escape(one.noticed)}</p>",
              f"<pre>scratchac museum {name}</pre></div>"]
    return "".join(parts)


def differing(one: Any) -> str:
    """The lines that the bug changes."""
    return f'<pre class="code diff" tabindex="0"><code>{coloured(one.diff(), "diff")}</code></pre>'


def table(seen: dict[str, Any]) -> str:
    """Median and range of every metric, right beside wrong; and what the witness gives."""
    def cell(numbers: list[float]) -> str:
        numbers = [x for x in numbers if x is not None]
        return f"<td><b>{median(numbers):.4g}</b> ({min(numbers):.4g} … {max(numbers):.4g})</td>" if numbers else "<td></td>"

    def sides(key: str) -> str:
        return "".join(cell(seen.get(side, {}).get(key, [])) for side in ("right", "wrong"))

    rows = "".join(f"<tr><td>{shown}</td>{sides(key)}</tr>" for key, shown in SHOWN.items()
                   if any(seen.get(side, {}).get(key) for side in ("right", "wrong")))
    if witness := seen.get("witness"):
        rows += "<tr><td>witness</td>" + "".join(f"<td><b>{witness[side]:.4g}</b></td>" for side in ("right", "wrong")) + "</tr>"
    return ('<div class="scroll" tabindex="0"><table><tr><th>median (range), '
            f"{len(seen['seeds'])} seeds</th><th>right</th><th>wrong</th></tr>{rows}</table></div>")


def noticed() -> str:
    """The matrix of what notices which exhibit."""
    titles, *rows = matrix.table()
    head = "".join(f"<th>{html.escape(title)}</th>" for title in titles)
    body = "".join(f'<tr><td><a href="#{row[0]}">{row[0]}</a></td>' + "".join(
        f"<td>{'<b>yes</b>' if cell == 'yes' else cell}</td>" for cell in row[1:]) + "</tr>" for row in rows[:-1])
    total = "".join(f"<td><b>{cell}</b></td>" for cell in rows[-1])
    return (f"<p>{html.escape(matrix.MEANING)}</p>"
            f'<div class="scroll" tabindex="0"><table class="many"><tr>{head}</tr>{body}<tr>{total}</tr></table></div>')


def curves(name: str, seen: dict[str, Any]) -> str:
    """Learning curves of both: the median over seeds, and their range. Empty if there are none."""
    figure = figures.figure(5.2, 2.6)
    ax = figure.subplots()
    for side, colour, dashes in (("right", figures.COLOURS[0], "-"), ("wrong", figures.COLOURS[3], "--")):
        runs = [np.array(run, float) for run in seen.get(side, {}).get("curves", []) if run]
        plots.band(ax, [run[:, 0] for run in runs], [run[:, 1] for run in runs], side, colour, median_and_range, points=60,
                   dashes=dashes)
    if not ax.lines:
        return ""
    ax.set_xlabel("steps")
    ax.set_ylabel("return")
    ax.legend()
    return figures.svg(figure, f"Learning curves of the exhibit {name}")


def median_and_range(lines: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lines (S, points) of S seeds → (median, lowest, highest)."""
    return np.median(lines, axis=0), lines.min(axis=0), lines.max(axis=0)
