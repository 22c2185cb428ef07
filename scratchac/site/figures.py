"""Figures of chapters, as SVG whose text and axes have the colour of the page's text, in light and in dark."""

import html
import io
import re

import matplotlib as mpl
from matplotlib.figure import Figure

# Colours of lines, which the page makes lighter in the dark (site.css): matplotlib's own, and those of the museum.
COLOURS = ("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22", "#17becf")


def figure(width: float, height: float) -> Figure:
    """An empty figure of this size in inches; 5.2 is the width of a page's text. A cell that leaves one in `figure` shows it."""
    return Figure(figsize=(width, height), layout="constrained")


def svg(drawn: Figure, name: str) -> str:
    """The figure as an SVG element. Two figures of a page need different names, which make their ids differ."""
    drawn.patch.set_alpha(0)
    for ax in drawn.axes:
        ax.patch.set_alpha(0)
        if ax.name == "rectilinear":
            ax.spines[["top", "right"]].set_visible(False)
        if legend := ax.get_legend():
            legend.set_frame_on(False)
    file = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name, "font.family": "sans-serif"}):
        drawn.savefig(file, format="svg", metadata={"Date": None})
    text = file.getvalue()
    text = text[text.index("<svg"):]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'(width|height)="[\d.]+pt"', "", text, count=2)
    text = re.sub(r"font: ([^;\"]*?)(?:'[^;\"]*|sans-serif[^;\"]*)", r"font: \1system-ui, sans-serif", text)
    used = set(re.findall(r"#([\w-]+)", text))                      # clip paths and markers; other ids would occur twice on a page
    text = re.sub(r' id="([^"]+)"', lambda found: found[0] if found[1] in used else "", text)
    text = text.replace("#000000", "currentColor").replace("#ffffff", "var(--paper)")
    for number, colour in enumerate(COLOURS):
        text = text.replace(colour, f"var(--c{number})")
    shown = f'class="figure" role="img" aria-label="{html.escape(name)}" style="max-width: {drawn.get_figwidth() * 96:.0f}px"'
    return text.replace("<svg ", f"<svg {shown} ", 1)
