"""Finite differences, to check that each hand-written gradient is the derivative of its own loss.

    ∂L/∂xᵢ ≈ (L(x + h eᵢ) − L(x − h eᵢ)) / 2h       h = 1e-5 in float64: error about h² (third derivative) + 1e-16/h (rounding)

A check must be able to fail, so each has a negative control: a spoilt gradient with a plausible mistake (a forgotten factor, a
flipped sign, a missing term), which the same comparison must catch.
"""

import textwrap
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Rng = np.random.Generator
Loss = Callable[[], float]
Checked = tuple[Loss, np.ndarray, np.ndarray, np.ndarray]     # (f, x, gradient, spoilt gradient), f() reading x

H = 1e-5
TOLERANCE = 1e-6
FLOOR = 1e-2            # errors of derivatives smaller than this are measured against it: 1e-6 of it is 1e-8 absolute


@dataclass(frozen=True)
class Result:
    """What one check found."""

    name: str
    coordinates: int
    error: float            # largest relative error of the gradient
    mistake: str            # what was spoilt in the control
    control_error: float    # largest relative error of the spoilt gradient

    @property
    def passed(self) -> bool:
        """Whether the gradient is right and the spoilt one was caught."""
        return self.error < TOLERANCE < self.control_error


def numerical_gradient(f: Loss, x: np.ndarray, h: float = H) -> np.ndarray:
    """Central differences of the scalar function f at every coordinate of x (changed in place, and restored)."""
    grad = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        centre = x[i]
        x[i] = centre + h
        above = f()
        x[i] = centre - h
        grad[i] = (above - f()) / (2 * h)
        x[i] = centre
    return grad


def relative_errors(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """|a − b| / max(|a|, |b|, FLOOR) at each coordinate."""
    return np.abs(a - b) / np.maximum(np.maximum(np.abs(a), np.abs(b)), FLOOR)


def relative_error(a: np.ndarray, b: np.ndarray) -> float:
    """Largest |a − b| / max(|a|, |b|, FLOOR) over all coordinates."""
    return float(relative_errors(a, b).max())


@dataclass(frozen=True)
class Numbers:
    """All numbers of one check, each array of x's shape."""

    name: str
    f: Loss
    x: np.ndarray           # what f reads
    found: np.ndarray       # the gradient by hand
    expected: np.ndarray    # central differences of f
    spoilt: np.ndarray      # the gradient with the mistake in it

    @property
    def errors(self) -> np.ndarray:
        """The relative error of the gradient at each coordinate."""
        return relative_errors(self.found, self.expected)


CHECKS: dict[str, tuple[Callable[[Rng], Checked], str]] = {}


def check(name: str, mistake: str) -> Callable[[Callable[[Rng], Checked]], Callable[[Rng], Checked]]:
    """Register a check: a function of a Generator that returns (f, x, gradient, spoilt gradient), f() reading x.

    Its docstring says what L is, and which array x.
    """

    def register(function: Callable[[Rng], Checked]) -> Callable[[Rng], Checked]:
        CHECKS[name] = function, mistake
        return function
    return register


def numbers(name: str, seed: int = 0) -> Numbers:
    """The numbers of one check."""
    f, x, found, spoilt = CHECKS[name][0](np.random.default_rng(seed))
    return Numbers(name, f, x, found, numerical_gradient(f, x), spoilt)


def run(name: str, seed: int = 0) -> Result:
    """Run one check."""
    seen = numbers(name, seed)
    return Result(name, seen.x.size, float(seen.errors.max()), CHECKS[name][1], relative_error(seen.spoilt, seen.expected))


def run_all(seed: int = 0) -> list[Result]:
    """Run all checks."""
    return [run(name, seed) for name in CHECKS]


def table(results: list[Result], columns: int = 0) -> str:
    """The results as a table and a verdict; if it is wider than `columns`, which is not 0, some lines for each check."""
    width, wide = (max(len(getattr(r, field)) for r in results) for field in ("name", "mistake"))
    header = f"{'gradient of':{width}}  coordinates  largest error      {'with this mistake in it':{wide}}  error"
    lines = [header, "─" * (len(header) + 9)]
    for r in results:
        lines.append(f"{r.name:{width}}  {r.coordinates:11d}  {r.error:13.1e} {'✓' if r.error < TOLERANCE else '✗'}    "
                     f"{r.mistake:{wide}}  {r.control_error:5.0e} {'caught' if r.control_error > TOLERANCE else 'MISSED'}")
    if 0 < columns < max(map(len, lines)):
        lines = ["\n".join(_in_lines(r, columns)) for r in results]
    good = sum(r.passed for r in results)
    lines.append(f"\n{good} of {len(results)} gradients agree with central differences (h = {H:g}, float64) "
                 f"to {TOLERANCE:g}, and every spoilt one was caught." if good == len(results) else
                 f"\n{len(results) - good} of {len(results)} checks FAILED.")
    return "\n".join(lines)


def _in_lines(r: Result, columns: int) -> list[str]:
    about = (f"{r.coordinates} coordinates, largest error {r.error:.1e} {'✓' if r.error < TOLERANCE else '✗'}",
             f"with {r.mistake}: {r.control_error:.0e} {'caught' if r.control_error > TOLERANCE else 'MISSED'}")
    first, later = " " * 4, " " * 6
    return [*textwrap.wrap(r.name, columns, subsequent_indent=later),
            *(line for text in about for line in textwrap.wrap(text, columns, initial_indent=first, subsequent_indent=later))]
