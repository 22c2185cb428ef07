"""Figures of chapters, as SVG whose text and axes have the colour of the page's text, in light and in dark."""

import io
import re

import matplotlib as mpl
from matplotlib.figure import Figure


def figure(width: float, height: float) -> Figure:
    """An empty figure of this size in inches. A cell that leaves one in the variable `figure` shows it."""
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
    width = drawn.get_figwidth() * 96
    return text.replace("#000000", "currentColor").replace("<svg ", f'<svg class="figure" role="img" style="max-width: {width:.0f}px" ', 1)
