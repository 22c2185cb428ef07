"""Episodes during training: their returns and lengths, and the critic's estimates at their starts."""

from collections import deque
from typing import Any

import numpy as np

from scratchac.training.agent import LearnsOffPolicy

RECENT = 100                    # episodes over which the returns of a row of metrics are averaged


class Episodes:
    """Returns and lengths of the episodes of N environments, from their rewards."""

    def __init__(self, n: int):
        self.returns = np.zeros(n)                                          # of the episodes in progress
        self.lengths = np.zeros(n, np.int64)
        self.finished = 0
        self.recent: deque[tuple[float, int]] = deque(maxlen=RECENT)        # (return, length) of the last ones finished

    def add(self, rewards: np.ndarray, done: np.ndarray, idle: np.ndarray | None = None) -> None:
        """Add one step of all environments: its rewards (N,), and which episodes it ended (N,).

        idle    (N,) environments that have begun an episode and taken no step; None if all have taken one
        """
        self.returns += rewards
        self.lengths += 1
        if idle is not None:
            self.lengths[idle] = 0
        for i in np.flatnonzero(done):
            self.end(int(i))

    def end(self, i: int) -> None:
        """Record that the episode of environment i has ended."""
        self.recent.append((float(self.returns[i]), int(self.lengths[i])))
        self.returns[i] = self.lengths[i] = 0
        self.finished += 1

    def record(self, ended: np.ndarray) -> None:
        """Record episodes that have ended, (return, length) of each, (K, 2), where a compiled loop has added up their steps."""
        self.recent.extend((total, int(length)) for total, length in ended.tolist())
        self.finished += len(ended)

    def state(self) -> dict[str, Any]:
        """Everything that is kept."""
        return {"returns": self.returns, "lengths": self.lengths, "finished": self.finished, "recent": np.array(self.recent)}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore a state."""
        self.returns[:], self.lengths[:], self.finished = state["returns"], state["lengths"], state["finished"]
        self.recent.extend((float(total), int(length)) for total, length in state["recent"])


class Promises:
    """The critic's estimate Q(s₀, a₀) at the start of each episode, and the discounted return that followed.

    A critic that is fitted to its own maximum overestimates. Where a time limit cut the episode off, Q at the last observation
    replaces the rest of the return, as it does in the critic's targets. A soft critic's Q also contains the entropy to come. The
    return is that of actions with exploration noise, whereas Q is for the policy without it. Where γ follows a schedule, the return
    has its last value.
    """

    def __init__(self, agent: LearnsOffPolicy, n: int):
        self.agent = agent
        self.gamma = agent.schedules(1).gamma
        self.said = np.zeros(n)
        self.came = np.zeros(n)
        self.weight = np.ones(n)
        self.kept: deque[tuple[float, float]] = deque(maxlen=20)            # (estimate, return) of the last episodes
        self.means: dict[str, float] = {}                                   # what `metrics` returns, computed once an episode

    def begin(self, starting: np.ndarray, obs: np.ndarray, actions: np.ndarray) -> None:
        """Store the critic's estimates for those episodes that start with this step, `starting` (N,)."""
        if starting.any():
            self.said[starting] = self.agent.value(obs[starting], actions[starting])
            self.came[starting], self.weight[starting] = 0, 1

    def add(self, rewards: np.ndarray, next_obs: np.ndarray, term: np.ndarray, done: np.ndarray) -> None:
        """Add one step to the returns, and keep those of episodes that it ended; every argument is (N, …)."""
        self.came += self.weight * rewards
        self.weight *= self.gamma
        for i in np.flatnonzero(done):
            if not term[i]:
                last = next_obs[i : i + 1]
                self.came[i] += self.weight[i] * self.agent.value(last, self.agent.greedy(last))[0]
            self.kept.append((self.said[i], self.came[i]))
            self.means = {}

    def metrics(self) -> dict[str, float]:
        """Means over the last episodes; empty before the first one has ended."""
        if self.kept and not self.means:
            self.means = dict(zip(("q_promised", "q_realised"), map(float, np.mean(self.kept, axis=0)), strict=True))
        return self.means

    def state(self) -> dict[str, Any]:
        """Everything that is kept."""
        return {"said": self.said, "came": self.came, "weight": self.weight, "kept": np.array(self.kept)}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore a state."""
        self.said[:], self.came[:], self.weight[:] = state["said"], state["came"], state["weight"]
        self.kept.extend(map(tuple, state["kept"]))
        self.means = {}
