"""What an agent learns from: transitions, in order, as they were lived."""

from typing import NamedTuple

import numpy as np


class Batch(NamedTuple):
    """T consecutive steps of N environments. `next_obs` is what really followed, also at the end of an episode."""

    obs: np.ndarray         # (T, N, O)
    actions: np.ndarray     # (T, N) or (T, N, A), as sampled, before any clipping
    rewards: np.ndarray     # (T, N)
    next_obs: np.ndarray    # (T, N, O)
    term: np.ndarray        # (T, N) 1 where the episode ended in a terminal state
    trunc: np.ndarray       # (T, N) 1 where a limit cut the episode off
    t: np.ndarray           # (T, N) steps since the episode began

    @property
    def done(self):
        return np.maximum(self.term, self.trunc)


class Rollout:
    """Collects a batch for an on-policy update and forgets it afterwards."""

    def __init__(self, dtype=np.float32):
        self.dtype = dtype
        self.rows = []

    def add(self, *row):
        """Append one step of all environments, in the order of `Batch`. The arrays are kept: pass ones nobody writes to again."""
        self.rows.append(row)

    def __len__(self):
        return len(self.rows)

    def take(self):
        """Return everything collected as a Batch, and start anew. Floats get the rollout's dtype, whole numbers keep theirs."""
        columns = [np.array(column) for column in zip(*self.rows, strict=True)]
        self.rows = []
        return Batch(*(x if x.dtype.kind == "i" else x.astype(self.dtype, copy=False) for x in columns))
