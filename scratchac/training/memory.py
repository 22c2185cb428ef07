"""The data that an agent learns from: a rollout, in order, or a minibatch from a replay buffer."""

import math
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from numpy.typing import DTypeLike

import kernels
from scratchac.errors import UserError


class Batch(NamedTuple):
    """T consecutive steps of N environments. `next_obs` is the observation that really followed, also at the end of an episode."""

    obs: np.ndarray         # (T, N, O)
    actions: np.ndarray     # (T, N) or (T, N, A), as sampled, before any clipping
    rewards: np.ndarray     # (T, N)
    next_obs: np.ndarray    # (T, N, O)
    term: np.ndarray        # (T, N) 1 where the episode ended in a terminal state
    trunc: np.ndarray       # (T, N) 1 where a limit truncated the episode
    t: np.ndarray           # (T, N) steps since the episode began

    @property
    def done(self) -> np.ndarray:
        """(T, N) 1 where the episode ended, in either way."""
        return np.maximum(self.term, self.trunc)


OBSERVATIONS = "obs", "next_obs"


class Rollout:
    """Collects the steps of one on-policy update.

    exact   keep the dtype of observations: a normaliser must subtract the mean before they are rounded
    """

    def __init__(self, dtype: DTypeLike = np.float32, exact: bool = False):
        self.dtype = dtype
        self.kept = OBSERVATIONS if exact else ()
        self.rows: list[tuple[np.ndarray, ...]] = []

    def add(self, *row: np.ndarray) -> None:
        """Append one step of all environments, in the order of `Batch`. The arrays are not copied: do not change them later."""
        self.rows.append(row)

    def __len__(self) -> int:
        return len(self.rows)

    def take(self) -> Batch:
        """Return all collected steps as a Batch, and remove them. Floats get the rollout's dtype, whole numbers keep theirs."""
        columns = [np.array(column) if len(column) > 1 else column[0][None] for column in zip(*self.rows, strict=True)]
        self.rows = []
        with np.errstate(over="ignore"):                    # what is too large becomes infinite, and `require_finite` names it
            return Batch(*(x if x.dtype.kind in "iu" or name in self.kept else x.astype(self.dtype, copy=False)
                           for name, x in zip(Batch._fields, columns, strict=True)))


def without_idle(batch: Batch, idle: list[np.ndarray | None]) -> Batch:
    """A Batch without the rows of environments that have taken no step; the same one if all have taken every step.

    The others become the steps of a single environment, (K, 1): all of the first one, then all of the second one, and so on. Its
    rows are not consecutive where one ends and the next one begins; so the last row of each is a truncation. For the estimators
    in `returns` this is what the end of a rollout is: the recursion is cut, and V(s′) replaces what would have followed.

    idle    of each step, which environments have taken none, (N,); None if all have
    """
    if all(x is None for x in idle):
        return batch
    real = np.array([np.ones(batch.rewards.shape[1], bool) if x is None else ~x for x in idle])             # (T, N)
    trunc = batch.trunc.copy()
    trunc[-1] = np.maximum(trunc[-1], 1 - batch.term[-1])
    return Batch(*(x.swapaxes(0, 1)[real.T][:, None] for x in batch._replace(trunc=trunc)))


class Transitions(NamedTuple):
    """A minibatch of B transitions, in random order."""

    obs: np.ndarray         # (B, O)
    actions: np.ndarray     # (B, A) in [−1, 1], or (B,) whole numbers
    rewards: np.ndarray     # (B,)
    next_obs: np.ndarray    # (B, O) what really followed
    term: np.ndarray        # (B,) 1 at a terminal state, where the bootstrap is cut; a time limit is not one


class ReplayBuffer:
    """The last `capacity` transitions in a ring buffer, sampled uniformly with replacement.

    All memory is allocated at once, on the device of the active backend. Observations have the given dtype, or the environment's if
    that is uint8 (pictures) or if `exact`, as in a Rollout. Raises UserError if that device has too little memory.
    """

    def __init__(self, capacity: int, observation_space: gym.Space, action_shape: tuple[int, ...],
                 action_dtype: DTypeLike = np.float32, dtype: DTypeLike = np.float32, exact: bool = False):
        obs_dtype: Any = observation_space.dtype if exact or observation_space.dtype == np.uint8 else dtype
        shape = observation_space.shape or ()
        fields: dict[str, tuple[tuple[int, ...], DTypeLike]] = {
            "obs": (shape, obs_dtype), "actions": (action_shape, action_dtype), "rewards": ((), dtype),
            "next_obs": (shape, obs_dtype), "term": ((), dtype), "trunc": ((), dtype)}
        size = capacity * sum(math.prod(shape) * np.dtype(kind).itemsize for shape, kind in fields.values())
        memory = kernels.backend.memory()
        if size > memory:
            raise UserError(f"--buffer-size {capacity} needs {size / 2**30:.1f} GiB of memory and there are {memory / 2**30:.1f}; "
                            f"at most {8 * int(memory) * capacity // size // 10} transitions would fit")
        self.data = {name: kernels.backend.zeros((capacity, *shape), kind) for name, (shape, kind) in fields.items()}
        self.capacity = capacity
        self.exact = exact and observation_space.dtype != np.uint8
        self.size = 0
        self.cursor = 0

    def __len__(self) -> int:
        return self.size

    @property
    def nbytes(self) -> int:
        """Bytes of memory."""
        return sum(array.nbytes for array in self.data.values())

    def add(self, *, idle: np.ndarray | None = None, **rows: np.ndarray) -> None:
        """Append N transitions: obs, actions, rewards, next_obs, term and trunc, each with N rows. The values are copied.

        idle    (N,) rows that are none; None if all are
        """
        if idle is not None:
            rows = {name: x[~idle] for name, x in rows.items()}
        n = len(rows["rewards"])
        where: Any = slice(self.cursor, self.cursor + n)                    # faster than an array of indices
        if self.cursor + n > self.capacity:
            where = kernels.backend.asarray((self.cursor + np.arange(n)) % self.capacity)
        for name, array in self.data.items():
            array[where] = kernels.backend.asarray(rows[name], array.dtype)
        self.cursor = (self.cursor + n) % self.capacity
        self.size = min(self.size + n, self.capacity)

    def sample(self, rng: np.random.Generator, rows: int) -> Transitions:
        """A minibatch of `rows` transitions, drawn with the Generator. Raises UserError if fewer have been collected."""
        where = kernels.backend.asarray(self.draw(rng, rows))
        return Transitions(*(self.data[name][where] for name in Transitions._fields))

    def draw(self, rng: np.random.Generator, rows: int) -> np.ndarray:
        """Where the transitions of a minibatch are, (rows,), on the host. Raises UserError if fewer have been collected."""
        if rows > self.size:
            raise UserError(f"a batch of {rows} needs more than the {self.size} transitions collected so far")
        return rng.integers(self.size, size=rows)

    def state(self) -> dict[str, Any]:
        """The transitions collected so far, and the position of the next one."""
        return {"cursor": self.cursor, **{name: array[: self.size] for name, array in self.data.items()}}

    def like(self, saved: Any) -> dict[str, Any]:
        """A state of this buffer with as many transitions as `saved`. Raises ValueError if `saved` cannot be a state of it."""
        rows, cursor = (saved.get(name) if isinstance(saved, dict) else None for name in ("rewards", "cursor"))
        if not isinstance(rows, np.ndarray) or rows.ndim != 1 or len(rows) > self.capacity:
            raise ValueError(f"the replay buffer has no rewards, or more than {self.capacity}")
        if not isinstance(cursor, int) or not 0 <= cursor < self.capacity:
            raise ValueError(f"the replay buffer's cursor is {cursor!r}, and there is room for {self.capacity}")
        kept = {name: array[: len(rows)] for name, array in self.data.items()}
        for name in OBSERVATIONS:                           # with `exact` runs of earlier versions have float32 there
            if self.exact and getattr(saved.get(name), "dtype", None) == np.float32:
                kept[name] = kept[name].astype(np.float32)
        return self.state() | kept

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore transitions."""
        self.size, self.cursor = len(state["rewards"]), int(state["cursor"])
        for name, array in self.data.items():
            array[: self.size] = kernels.backend.asarray(state[name])
