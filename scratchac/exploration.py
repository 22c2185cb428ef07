"""Noise on the actions of DDPG, TD3 and, if asked for, SAC, in the policy's [−1, 1], from a Generator that is an argument."""

import math
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np


class Noise(Protocol):
    """Noise on the actions of N environments."""

    scale: float            # σ
    theta: float            # each noise contains 1 − θ times the one before

    def sample(self, rng: np.random.Generator) -> np.ndarray:
        """Noise for the next step, (N, A)."""

    def fresh(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """Noise of the same distribution that depends on no step before, and on which none after depends."""

    def restart(self, done: np.ndarray) -> None:
        """Reset the noise of those environments whose episode has ended, `done` (N,)."""

    def state(self) -> dict[str, Any]:
        """What is kept between steps."""

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore it."""


class GaussianNoise:
    """ε ~ N(0, σ²), independent at every step."""

    theta = 1.0

    def __init__(self, scale: float, shape: tuple[int, ...]):
        self.scale = scale
        self.shape = shape

    def sample(self, rng: np.random.Generator) -> np.ndarray:
        """Noise for the next step, (N, A)."""
        return self.fresh(rng, self.shape)

    def fresh(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """σ N(0, 1)."""
        return self.scale * rng.standard_normal(shape)

    def restart(self, done: np.ndarray) -> None:
        """Nothing is kept between steps."""

    def state(self) -> dict[str, Any]:
        """Empty: nothing is kept between steps."""
        return {}

    def load_state(self, state: dict[str, Any]) -> None:
        """Nothing is kept between steps."""


class OrnsteinUhlenbeck:
    """x ← x − θx + σ N(0, 1): correlated noise, of standard deviation σ/√(1 − (1−θ)²) (Uhlenbeck & Ornstein 1930).

    θ = .15 as in Lillicrap et al. 2016; each environment's x starts at 0 in every episode.
    """

    def __init__(self, scale: float, shape: tuple[int, ...], theta: float = 0.15):
        self.scale = scale
        self.theta = theta
        self.x = np.zeros(shape)

    def sample(self, rng: np.random.Generator) -> np.ndarray:
        """Noise for the next step, (N, A)."""
        self.x = (1 - self.theta) * self.x + self.scale * rng.standard_normal(self.x.shape)
        return self.x

    def fresh(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """What x is after many steps: normal, with its standard deviation."""
        return self.scale / math.sqrt(1 - (1 - self.theta) ** 2) * rng.standard_normal(shape)

    def restart(self, done: np.ndarray) -> None:
        """Set x to 0 where an episode has ended."""
        self.x = self.x * (1 - np.asarray(done, float)[:, None])

    def state(self) -> dict[str, Any]:
        """x."""
        return {"x": self.x}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore x."""
        self.x = np.array(state["x"])


NOISES: dict[str, Callable[[float, tuple[int, ...]], Noise]] = {"gaussian": GaussianNoise, "ou": OrnsteinUhlenbeck}
