"""The style of pictures: legends that hide nothing, and pictures for dark pages."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from scratchac import style


def drawn(*labels):
    """A figure with a panel for each list of labels, its legends, drawn."""
    figure, axes = style.panels(len(labels), len(labels), width=4)
    for ax, names in zip(axes, labels, strict=True):
        style.frame(ax, "title", "x", "y")
        for i, name in enumerate(names):
            ax.plot([0, 1], [i, i + 1], color=style.COLOURS[i], label=name)
    style.legends(figure)
    figure.draw_without_rendering()
    return figure, [legend for ax in axes if (legend := ax.get_legend())] + figure.legends


def words(legend):
    return [text.get_text() for text in legend.get_texts()]


@pytest.mark.parametrize("labels, expected", [
    ((["a", "b", "c"], ["b"]), [["a", "b", "c"]]),              # one for both
    ((["a", "b"], ["c"]), [["a", "b"], ["c"]]), ((["a"], []), [["a"]]), (([],), [])])
def test_legends_are_complete_and_hide_nothing(labels, expected):
    figure, legends = drawn(*labels)
    assert [words(legend) for legend in legends] == expected
    for legend in legends:
        box = legend.get_window_extent()
        assert figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1 and figure.bbox.y0 <= box.y0
        for ax in figure.axes:
            assert not box.overlaps(ax.get_window_extent())
            assert box.y1 <= ax.xaxis.label.get_window_extent().y0


def test_a_dark_picture_has_light_letters_and_lighter_lines():
    figure, (legend,) = drawn(["a $x"])
    style.darken(figure)
    ax, = figure.axes
    letters = [ax.title, ax.xaxis.label, *ax.get_xticklabels(), *legend.get_texts()]
    assert {to_rgb(text.get_color()) for text in letters} == {to_rgb(style.LIGHT)}
    assert to_rgb(figure.get_facecolor()) == to_rgb(ax.get_facecolor()) == to_rgb(style.DARK)
    line, = ax.lines
    assert (np.array(to_rgb(line.get_color())) > style.COLOURS[0]).all()
    handle, = legend.legend_handles
    assert handle.get_color() == line.get_color()
