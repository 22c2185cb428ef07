"""What a few seeds say about a setting: its mean return, how certain that is, and which of two settings is better.

A bootstrap's interval lies between the lowest and the highest seed, so that with three seeds it can hold the true median in three
cases of four at most. Student's t knows how few seeds there are, and needs nothing else than SciPy's quantiles of t. It is around
the mean: around an interquartile mean (Tukey & McLaughlin 1963) it is too narrow for four to ten seeds.
"""

from collections.abc import Callable

import numpy as np

from scratchac.errors import UserError
from scratchac.messages import tell

Spread = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]      # (S, …) → middle, low, high of these S
FEWEST = 3                      # seeds that show a spread
LEVEL = 0.95
INSTALL = "pip install 'scipy>=1.13'"


def interquartile_mean(x: np.ndarray, axis: int = -1) -> np.ndarray:
    """The mean without the lowest and the highest quarter of the values (each rounded down to whole values).

    One failed seed changes it less than the mean, and chance changes it less than the median (Agarwal et al. 2021, section 4.3).
    """
    x = np.sort(x, axis=axis)
    cut = x.shape[axis] // 4
    return np.take(x, range(cut, x.shape[axis] - cut), axis=axis).mean(axis=axis)


def bootstrapped(x: np.ndarray, level: float = LEVEL, resamples: int = 10_000) -> tuple[float, float]:
    """(low, high) of the interquartile mean of x (S,): quantiles of those of `resamples` samples of S values, drawn from x with
    replacement (Agarwal et al. 2021, section 4.1, for a single task).

    It is the field's interval, and with less than ten seeds too narrow: no sample has a value that x lacks.
    """
    samples = np.random.default_rng(0).choice(x, (resamples, len(x)))
    low, high = np.quantile(interquartile_mean(samples), ((1 - level) / 2, (1 + level) / 2))
    return float(low), float(high)


def quantile_of_t(probability: float, freedom: int) -> float:
    """The quantile of Student's t with this many degrees of freedom. Raises UserError without SciPy."""
    try:
        from scipy.special import stdtrit
    except ImportError:
        raise UserError(f"an interval needs SciPy: {INSTALL}") from None
    return float(stdtrit(freedom, probability))


def interval(x: np.ndarray, level: float = LEVEL) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(mean, low, high) of x (S, …) over its S seeds: m ± t s / √S with the quantile t of Student's t (1908) for S − 1 degrees.

    With fewer than 3 seeds low and high are NaN. Raises UserError without SciPy.
    """
    mean, count = x.mean(axis=0), len(x)
    t = quantile_of_t((1 + level) / 2, max(1, count - 1))
    half = t * x.std(axis=0, ddof=1) / count**0.5 if count >= FEWEST else np.full_like(mean, np.nan)
    return mean, mean - half, mean + half


def mean_and_range(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(mean, lowest, highest) of x (S, …) over its S seeds."""
    return x.mean(axis=0), x.min(axis=0), x.max(axis=0)


def usual_spread() -> tuple[Spread, str]:
    """What pictures show around a line, and its name: the interval or, without SciPy, which is then told, the range."""
    try:
        interval(np.zeros(FEWEST))
    except UserError as error:
        tell(f"{error}; until then pictures show the range of the runs")
        return mean_and_range, "lowest and highest"
    return interval, f"{LEVEL:.0%} interval"


def improvement(x: np.ndarray, y: np.ndarray, level: float = LEVEL) -> tuple[float, float, float]:
    """The probability θ that a run of one setting returns more than a run of another: (estimate, low, high).

    The estimate is the share of the pairs of x (M,) and y (N,) in which x is larger; equal ones count half (Mann & Whitney 1947).
    Its interval has all θ with (estimate − θ)² ≤ t² V(θ) (Newcombe 2006, part 2, method 5), where

        V(θ) = θ(1 − θ) [1 + ((M + N)/2 − 1) ((1 − θ)/(2 − θ) + θ/(1 + θ))] / (M N)

    is about the variance of the estimate: that of Hanley & McNeil (1982), with M and N in the bracket replaced by their mean.
    Unlike a bootstrap's, the interval has a width also where every x is larger than every y. Newcombe has a quantile of N(0, 1)
    for t; that of Student's t for M + N − 2 degrees holds the truth often enough where M and N are 3, too. Raises UserError without
    SciPy.
    """
    pairs = len(x) * len(y)
    estimate = float(((x[:, None] > y).sum() + (x[:, None] == y).sum() / 2) / pairs)
    theta = np.union1d(np.linspace(0, 1, 2001), estimate)
    more = (len(x) + len(y)) / 2 - 1
    variance = theta * (1 - theta) * (1 + more * ((1 - theta) / (2 - theta) + theta / (1 + theta))) / pairs
    t = quantile_of_t((1 + level) / 2, max(1, len(x) + len(y) - 2))
    inside = theta[(estimate - theta) ** 2 <= t**2 * variance]
    return estimate, float(inside[0]), float(inside[-1])


def profile(x: np.ndarray, at: np.ndarray) -> np.ndarray:
    """The share of the runs x (S,) that return more than each value of `at` (P,): a performance profile (Agarwal et al. 2021)."""
    return (x[:, None] > at).mean(axis=0)
