"""What a few seeds say: intervals that hold the true value as often as they say, also with three seeds."""

import sys

import numpy as np
import pytest

from scratchac.errors import UserError
from scratchac.experiments import statistics
from scratchac.experiments.statistics import bootstrapped, improvement, interquartile_mean, interval, profile

SAMPLES = 4000                  # so that a coverage of 95% is measured to 0.35%


def percentile_bootstrap(x, rng, resamples=500):
    """What an interval of earlier versions was: (low, high) of interquartile means of resampled seeds, for x (S, samples)."""
    drawn = x[rng.integers(len(x), size=(resamples, len(x)))]
    return np.quantile(interquartile_mean(drawn, axis=1), [0.025, 0.975], axis=0)


def coverage(low, high, truth):
    return float(np.mean((low <= truth) & (truth <= high)))


def test_interquartile_mean():
    assert interquartile_mean(np.array([100.0, 2, 1, 3])) == 2.5            # 1 and 100 are left out
    assert interquartile_mean(np.array([0.0, 10, 20, 30, 999])) == 20       # a quarter of five, rounded down: one at each end
    assert interquartile_mean(np.array([1.0, 2, 6])) == 3                   # nothing to leave out
    assert interquartile_mean(np.array([[1.0, 5], [2, 6], [3, 7], [9, 0]]), axis=0).tolist() == [2.5, 5.5]


def test_an_interval_by_hand():
    """4.303 is the quantile of t(2), and s = 1."""
    pytest.importorskip("scipy")
    assert interval(np.array([1.0, 2, 3])) == pytest.approx((2, 2 - 4.302653 / 3**0.5, 2 + 4.302653 / 3**0.5))
    assert interval(np.full(5, 3.0)) == (3, 3, 3)
    for few in ([5.0], [5.0, 7.0]):
        middle, low, high = interval(np.array(few))
        assert middle == np.mean(few) and np.isnan(low) and np.isnan(high)


@pytest.mark.slow
@pytest.mark.parametrize("count", [3, 5, 20])
def test_intervals_are_those_of_scipy(count):
    stats = pytest.importorskip("scipy.stats")
    x = np.random.default_rng(count).standard_normal((count, 4))
    np.testing.assert_allclose(interval(x)[1:], stats.ttest_1samp(x, 0).confidence_interval(), rtol=1e-10)


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_coverage(seeds):
    """Of 4,000 samples 95% have an interval that holds the true value; the bootstrap's of earlier versions does so more rarely."""
    pytest.importorskip("scipy")
    rng = np.random.default_rng(seeds)
    x = rng.standard_normal((seeds, SAMPLES))
    assert coverage(*interval(x)[1:], 0) == pytest.approx(0.95, abs=0.01)
    bootstrap = coverage(*percentile_bootstrap(x[:, :1000], rng), 0)
    assert bootstrap < {3: 0.78, 5: 0.91, 10: 0.945}[seeds]


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_coverage_of_returns_that_are_spread_evenly(seeds):
    """t is exact for normal returns; for these three seeds hold the true value in 92% of the samples."""
    pytest.importorskip("scipy")
    x = np.random.default_rng(seeds).uniform(-1, 1, (seeds, SAMPLES))
    assert coverage(*interval(x)[1:], 0) > 0.91


def test_probability_of_improvement_by_hand():
    pytest.importorskip("scipy")
    assert improvement(np.array([1.0, 3]), np.array([2.0, 0]))[0] == 0.75
    assert improvement(np.array([1.0]), np.array([1.0]))[0] == 0.5          # equal ones count half
    estimate, low, high = improvement(np.array([4.0, 5, 6]), np.array([1.0, 2, 3]))
    assert estimate == high == 1 and low < 0.5                              # three against three prove nothing
    # (1 − θ)² = t² θ(1 − θ) (1 + 2 ((1 − θ)/(2 − θ) + θ/(1 + θ))) / 9
    variance = low * (1 - low) * (1 + 2 * ((1 - low) / (2 - low) + low / (1 + low))) / 9
    assert (1 - low) ** 2 == pytest.approx(2.776445**2 * variance, abs=1e-3)
    other = improvement(np.array([1.0, 2, 3]), np.array([4.0, 5, 6]))
    assert other == pytest.approx((0, 0, 1 - low))


@pytest.mark.parametrize("seeds", [3, 5, 10])
@pytest.mark.parametrize("shift, truth", [(0.0, 0.5), (0.95387, 0.75), (1.81239, 0.9)])
def test_coverage_of_the_probability_of_improvement(seeds, shift, truth):
    """N(shift, 1) against N(0, 1): Φ(shift/√2) is the truth."""
    pytest.importorskip("scipy")
    rng = np.random.default_rng(seeds)
    found = [improvement(rng.standard_normal(seeds) + shift, rng.standard_normal(seeds)) for _ in range(1000)]
    assert np.mean([low <= truth <= high for _, low, high in found]) > 0.93


def test_profile():
    assert profile(np.array([1.0, 2, 2, 5]), np.array([0.0, 1, 2, 4, 5])).tolist() == [1, 0.75, 0.25, 0.25, 0]


def test_the_bootstrap_of_an_interquartile_mean():
    """Two values have three kinds of samples: 0 and 0, 0 and 1, 1 and 1, with the probabilities ¼, ½ and ¼."""
    assert bootstrapped(np.array([0.0, 1.0])) == (0, 1) and bootstrapped(np.array([0.0, 1.0]), level=0.4) == (0.5, 0.5)
    assert bootstrapped(np.full(5, 3.0)) == (3, 3)
    x = np.random.default_rng(1).standard_normal(400)
    low, high = bootstrapped(x)
    assert low < interquartile_mean(x) < high and 0.7 < (high - low) / (2 * 1.96 * 1.09 / 20) < 1.3     # its asymptotic deviation


def test_without_scipy_pictures_show_the_range(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "scipy.special", None)
    with pytest.raises(UserError, match=r"needs SciPy: pip install 'scipy>=1\.13'"):
        interval(np.zeros(3))
    spread, name = statistics.usual_spread()
    assert [float(x) for x in spread(np.array([3.0, 1, 8]))] == [4, 1, 8] and name == "lowest and highest"
    assert capsys.readouterr().err.count("\n") == 1
