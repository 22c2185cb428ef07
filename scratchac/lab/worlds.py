"""A world in which every trajectory can be written down: an expectation there is a sum, and no sample is needed."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class Paths:
    """All M trajectories of a world, T rows each. The rows behind the end of a trajectory have `alive` 0, and r 0.

    s, s2   numbers of states (T, M); behind the end, and after it, the number S
    a       actions (T, M)
    r       rewards (T, M)
    term    1 where the trajectory ends, and behind (T, M)
    alive   1 for rows of the trajectory (T, M)
    chance  product of the world's own probabilities along a trajectory (M,); the policy's are not in it
    """

    s: np.ndarray
    a: np.ndarray
    r: np.ndarray
    s2: np.ndarray
    term: np.ndarray
    alive: np.ndarray
    chance: np.ndarray


@dataclass(frozen=True)
class Corridor:
    """Five cells in a row; the walk starts in the middle and ends in the first cell, in the last one, or after eight steps.

    Action 0 goes left and 1 right; with probability `slip` it is the other way, which costs. So rewards before t are random even if
    the state at t is known. The clock is part of the state, so the time limit is a terminal state of the world. A state is numbered
    t (cells − 2) + cell − 1. There are S of them, not counting the end, which has the number S.
    """

    cells: int = 5
    limit: int = 8
    slip: float = 0.2
    step_reward: float = -0.05
    slip_reward: float = -0.2                                       # on top, for a slip
    left_reward: float = 0.6                                        # on top, for reaching the first cell
    right_reward: float = 1.0                                       # for reaching the last one
    actions: int = 2

    @property
    def states(self) -> int:
        """S, the number of states without the end."""
        return self.limit * (self.cells - 2)

    @property
    def start(self) -> int:
        """The number of the first state."""
        return self.cells // 2 - 1

    def outcomes(self, s: int, a: int) -> list[tuple[float, int, float]]:
        """What may follow a in s: (probability, s′, r)."""
        t, inner = divmod(s, self.cells - 2)
        made = []
        for probability, right, extra in ((1 - self.slip, a == 1, 0.0), (self.slip, a == 0, self.slip_reward)):
            cell = inner + 1 + (1 if right else -1)
            ends = cell in (0, self.cells - 1)
            reward = self.step_reward + extra + (0 if not ends else self.right_reward if right else self.left_reward)
            s2 = self.states if ends or t + 1 == self.limit else (t + 1) * (self.cells - 2) + cell - 1
            made.append((probability, s2, reward))
        return made

    @cached_property
    def model(self) -> tuple[np.ndarray, np.ndarray]:
        """P(s′|s, a) (S, A, S) without the way into the end, and E[r|s, a] (S, A)."""
        P, r = np.zeros((self.states, self.actions, self.states + 1)), np.zeros((self.states, self.actions))
        for s in range(self.states):
            for a in range(self.actions):
                for probability, s2, reward in self.outcomes(s, a):
                    P[s, a, s2] += probability
                    r[s, a] += probability * reward
        return P[..., :-1], r

    @cached_property
    def paths(self) -> Paths:
        """All trajectories that have a probability, each once."""
        found: list[tuple[float, list[tuple[int, int, float, int]]]] = []

        def walk(s: int, chance: float, rows: list[tuple[int, int, float, int]]) -> None:
            for a in range(self.actions):
                for probability, s2, reward in self.outcomes(s, a):
                    longer = [*rows, (s, a, reward, s2)]
                    if s2 == self.states:
                        found.append((chance * probability, longer))
                    else:
                        walk(s2, chance * probability, longer)

        walk(self.start, 1.0, [])
        shape = self.limit, len(found)
        s, s2 = np.full(shape, self.states), np.full(shape, self.states)
        a, r, alive = np.zeros(shape, int), np.zeros(shape), np.zeros(shape)
        for m, (_, rows) in enumerate(found):
            steps = len(rows)
            s[:steps, m], a[:steps, m], r[:steps, m], s2[:steps, m] = zip(*rows, strict=True)
            alive[:steps, m] = 1
        return Paths(s, a, r, s2, (s2 == self.states).astype(float), alive, np.array([chance for chance, _ in found]))


CORRIDOR = Corridor()                                               # the one that is used; its paths are listed once
