"""Running normalisation of observations and rewards. The statistics change only in training; evaluation leaves them as they are."""

from collections.abc import Callable
from typing import Any

import numpy as np

LIMIT = 10                      # normalised observations are clipped to ±LIMIT


class RunningMeanStd:
    """Mean and variance over all rows seen so far, merged batch by batch (Chan, Golub & LeVeque 1983, eqs. 2.1).

    Two groups of n and m rows whose means differ by d merge to  M₂ ← M₂ₙ + M₂ₘ + d² nm/(n+m). Before the first batch the mean is 0
    and the variance 1. The sums are in float64, since they grow without bound.
    """

    def __init__(self, shape: tuple[int, ...] = ()):
        self.count = 0
        self.mean = np.zeros(shape)
        self.m2 = np.zeros(shape)

    @property
    def std(self) -> np.ndarray:
        """The standard deviation; a small constant keeps it above 0."""
        return np.sqrt(self.m2 / self.count + 1e-8) if self.count else np.ones_like(self.mean)

    def update(self, rows: np.ndarray) -> None:
        """Merge a batch (rows, …) into the statistics."""
        rows = np.asarray(rows, np.float64)
        n, m = self.count, len(rows)
        mean = rows.mean(axis=0)
        d = mean - self.mean
        self.m2 = self.m2 + ((rows - mean) ** 2).sum(axis=0) + d * d * (n * m / (n + m))
        self.mean = self.mean + d * (m / (n + m))
        self.count = n + m

    def state(self) -> dict[str, Any]:
        """Count, mean and sum of squares."""
        # With shape () NumPy's arithmetic turns these into scalars; the state has arrays for every shape.
        return {"count": self.count, "mean": np.asarray(self.mean), "m2": np.asarray(self.m2)}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore the statistics."""
        self.count = int(state["count"])
        self.mean = np.array(state["mean"])
        self.m2 = np.array(state["m2"])


class ObservationNormaliser(RunningMeanStd):
    """s ↦ clip((s − mean)/std, ±LIMIT). On policy, `update` comes *after* the learning step, so that acting and learning use the
    same scale; off policy, minibatches are normalised anew by the present statistics.
    """

    def __call__(self, obs: np.ndarray, asarray: Callable[[np.ndarray], np.ndarray] = np.asarray) -> np.ndarray:
        """Observations (…, O), normalised. `asarray` takes the statistics to the device where `obs` is."""
        return np.clip((obs - asarray(self.mean)) / asarray(self.std), -LIMIT, LIMIT)


EQUAL = 1e-20                   # variance, in squares of the mean, that is due to rounding


class RewardScaler:
    """r ↦ r / std(R) with Rₜ = γ(1−doneₜ₋₁)Rₜ₋₁ + rₜ, the running discounted return of each environment (Engstrom et al. 2020).

    Only the scale changes: subtracting a mean from every reward would change which of a short and a long episode is better. While
    all returns so far are equal, rewards stay as they are.
    """

    def __init__(self, n_envs: int):
        self.running = np.zeros(n_envs)
        self.std = RunningMeanStd()

    def __call__(self, rewards: np.ndarray, done: np.ndarray, gamma: float) -> np.ndarray:
        """Update with rewards and done of shape (T, N), then scale the rewards."""
        seen = np.empty(rewards.shape)
        for t in range(len(rewards)):
            self.running = gamma * self.running + rewards[t]
            seen[t] = self.running
            self.restart(done[t])
        self.std.update(seen.ravel())
        return rewards * self.scale

    @property
    def scale(self) -> float:
        """1 / std(R), or 1 where R does not vary by more than rounding."""
        seen = self.std
        return float(1 / seen.std) if seen.m2 > EQUAL * seen.count * seen.mean**2 else 1.0

    def restart(self, done: np.ndarray) -> None:
        """Set the running returns of those environments to 0, (N,), whose episode is over."""
        self.running = self.running * (1 - done)

    def state(self) -> dict[str, Any]:
        """Running returns and their statistics."""
        return {"running": self.running, "std": self.std.state()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore running returns and statistics."""
        self.running = np.array(state["running"])
        self.std.load_state(state["std"])
