"""Exhibits of the museum of bugs, as cards with the committed figures (demos/results/museum.json)."""

import html
import json
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from scratchac.errors import UserError
from scratchac.lab.museum import EXHIBITS
from scratchac.site import figures
from scratchac.site.markup import coloured

FIGURES = Path(__file__).parents[2] / "demos/results/museum.json"
SHOWN = {"return": "return of the last policy", "auc": "mean return while training", "value": "V", "q": "Q", "entropy": "entropy",
         "alpha": "α"}


@cache
def measured() -> dict[str, Any]:
    """The committed figures of all exhibits that have been measured."""
    return json.loads(FIGURES.read_text(encoding="utf-8"))["exhibits"] if FIGURES.exists() else {}


def value(rest: str) -> str:
    """`NAME right|wrong METRIC :FORMAT`: a median over seeds, or what the witness gives. Raises UserError if there is none."""
    words = rest.split()
    spec = words.pop().removeprefix(":") if words and words[-1].startswith(":") else ".4g"
    if len(words) != 3 or words[1] not in ("right", "wrong"):
        raise UserError("museum NAME right|wrong METRIC :FORMAT")
    name, side, metric = words
    found = measured().get(name, {})
    numbers = found.get("witness", {}).get(side) if metric == "witness" else found.get(side, {}).get(metric)
    if numbers is None:
        raise UserError("this has not been measured")
    return format(median(numbers) if isinstance(numbers, list) else numbers, spec)


def card(name: str) -> str:
    """An exhibit: the lines that differ, figures, what one sees, and how one would have noticed."""
    if name not in EXHIBITS:
        raise UserError("there is no such exhibit")
    one, seen = EXHIBITS[name], measured().get(name)
    parts = [f'<div class="card exhibit" id="exhibit-{name}"><p><b>Exhibit: {name}</b> · {html.escape(one.line)}</p>', differing(one)]
    if seen:
        parts += [table(seen), f"<figure>{curves(name, seen)}</figure>"]
    parts += [f"<p><b>What one sees.</b> {html.escape(one.seen)}</p>", f"<p><b>How to notice.</b> {html.escape(one.noticed)}</p>",
              f"<pre>scratchac museum {name}</pre></div>"]
    return "".join(parts)


def differing(one: Any) -> str:
    """The lines that the bug changes."""
    return f'<pre class="code diff"><code>{coloured(one.diff(), "diff")}</code></pre>'


def table(seen: dict[str, Any]) -> str:
    """Median and range of every metric, right beside wrong."""
    def cell(numbers: list[float]) -> str:
        numbers = [x for x in numbers if x is not None]
        return f"<td><b>{median(numbers):.4g}</b> ({min(numbers):.4g} … {max(numbers):.4g})</td>" if numbers else "<td></td>"
    rows = "".join(f"<tr><td>{shown}</td>{cell(seen['right'][key])}{cell(seen['wrong'].get(key, []))}</tr>"
                   for key, shown in SHOWN.items() if seen["right"].get(key))
    return (f'<div class="wide"><table><tr><th>median (range), {len(seen["seeds"])} seeds</th><th>right</th><th>wrong</th></tr>'
            f"{rows}</table></div>")


def curves(name: str, seen: dict[str, Any]) -> str:
    """Learning curves of both: the median over seeds, and their range."""
    figure = figures.figure(5.6, 2.8)
    ax = figure.subplots()
    for side, colour in (("right", "#2a78b5"), ("wrong", "#d1495b")):
        runs = [np.array(run, float) for run in seen[side]["curves"] if run]
        if not runs:
            continue
        steps = np.linspace(max(run[0, 0] for run in runs), min(run[-1, 0] for run in runs), 60)
        returns = np.array([np.interp(steps, run[:, 0], run[:, 1]) for run in runs])
        ax.fill_between(steps, returns.min(axis=0), returns.max(axis=0), color=colour, alpha=0.2, lw=0)
        ax.plot(steps, np.median(returns, axis=0), color=colour, label=side)
    ax.set_xlabel("steps")
    ax.set_ylabel("return")
    ax.legend()
    return figures.svg(figure, f"exhibit-{name}")
