"""Seeds for environments that draw from generators other than their own: their spaces, and the global ones of NumPy and Python."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gymnasium as gym
import numpy as np


def seed_global_generators(seed: int) -> None:
    """Seed NumPy's and Python's global generators in this process. Agents draw from none of them."""
    np.random.seed(seed % 2**32)  # noqa: NPY002                            # what some environments draw from
    random.seed(seed)


@contextmanager
def global_generators_kept() -> Iterator[None]:
    """After the block the global generators go on where they were: a program's own draws do not depend on a training in between."""
    before = np.random.get_state(), random.getstate()  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(before[0])  # noqa: NPY002
        random.setstate(before[1])


def seed_spaces(env: Any, seed: int) -> None:
    """Seed the spaces of an environment and of its wrappers: some environments draw by `self.action_space.sample()`."""
    while isinstance(env, gym.Env):
        for space in (env.action_space, env.observation_space):
            space.seed(seed)
        env = getattr(env, "env", None)
