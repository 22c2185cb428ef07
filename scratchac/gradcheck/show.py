"""One gradient check, number by number, and its error for every step h of the differences.

    scratchac gradcheck --show NAME
"""

import inspect

import numpy as np
from matplotlib.figure import Figure

from scratchac import style
from scratchac.gradcheck.differences import CHECKS, TOLERANCE, Numbers, numerical_gradient, relative_error, relative_errors

STEPS = tuple(10.0**-k for k in range(1, 13))       # h, from 0.1 to 1e-12


def text(seen: Numbers, most: int = 60) -> str:
    """A table of one check: its loss, what the differences give, what the backward pass gives, and the relative error, for each
    coordinate of the array; and the mistake that the check must catch.

    Of more than `most` coordinates only those with the largest errors are shown.
    """
    errors = seen.errors
    order = sorted(np.argsort(-errors, axis=None, kind="stable")[:most])
    places = [str(tuple(map(int, np.unravel_index(i, errors.shape)))) for i in order]
    wide = max(map(len, [*places, "coordinate"]))
    check, mistake = CHECKS[seen.name]
    spoilt = relative_error(seen.spoilt, seen.expected)
    lines = [seen.name, f"{inspect.getdoc(check)} Coordinates: of that array, {errors.shape}.", "",
             f"{'coordinate':{wide}}  {'expected (differences)':>22}  {'found (by hand)':>22}  relative error"]
    lines += [f"{place:{wide}}  {seen.expected.flat[i]:+22.15f}  {seen.found.flat[i]:+22.15f}  {errors.flat[i]:14.1e}"
              for place, i in zip(places, order, strict=True)]
    if errors.size > most:
        lines.append(f"… and {errors.size - most} coordinates with smaller errors")
    lines += ["", f"largest relative error {errors.max():.1e}, tolerance {TOLERANCE:g}",
              f"the same with the mistake that the check must catch ({mistake}): {spoilt:.1e}",
              "", "step h      largest relative error"]
    lines += [f"{h:<10.0e}  {error:22.1e}" for h, error in errors_over_h(seen)]
    lines.append("With large h the third derivative is the error (it falls as h²), with small h rounding is (it grows as 1/h).")
    return "\n".join(lines)


def errors_over_h(seen: Numbers) -> list[tuple[float, float]]:
    """(h, largest relative error of the differences with that h against the gradient by hand)."""
    return [(h, float(relative_errors(numerical_gradient(seen.f, seen.x, h), seen.found).max())) for h in STEPS]


def picture(seen: Numbers) -> Figure:
    """The error of one check over h, both logarithmic."""
    figure, (ax,) = style.panels(1, width=7, height=4)
    style.frame(ax, seen.name, "step h of the central differences", "largest relative error")
    h, grey, red = np.array(STEPS), style.COLOURS[7], style.COLOURS[3]
    drawn = {"gradient by hand against differences": {"color": style.COLOURS[0], "marker": "."},
             "h²": {"color": grey, "ls": "--"}, "1e-16 / h": {"color": grey, "ls": ":"},
             "tolerance of the checks": {"color": red}, "h of the checks": {"color": red, "ls": "--"}}
    by_hand, truncation, rounding, tolerance, usual = drawn.values()
    ax.loglog(*zip(*errors_over_h(seen), strict=True), lw=style.LINE, **by_hand)
    ax.loglog(h, h**2, lw=style.LINE, **truncation)
    ax.loglog(h, 1e-16 / h, lw=style.LINE, **rounding)
    ax.axhline(TOLERANCE, lw=style.LINE, **tolerance)
    ax.axvline(1e-5, lw=style.LINE, **usual)
    ax.set_ylim(1e-14, 30)
    style.legend(figure, drawn)
    return figure
