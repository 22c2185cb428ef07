"""Episodes under way in training: what they have brought so far, what was promised of them, and where their environments are."""

import sys
from collections import deque

import numpy as np

from scratchac.errors import CheckpointError, UserError


class Episodes:
    """Returns and lengths of the episodes of N environments, from their rewards."""

    def __init__(self, n, window=100):
        self.returns, self.lengths = np.zeros(n), np.zeros(n, np.int64)     # of the episodes under way
        self.finished = 0
        self.recent = deque(maxlen=window)                                  # (return, length) of the last ones finished

    def add(self, rewards, done):
        self.returns += rewards
        self.lengths += 1
        for i in np.flatnonzero(done):
            self.end(i)

    def end(self, i):
        self.recent.append((float(self.returns[i]), int(self.lengths[i])))
        self.returns[i] = self.lengths[i] = 0
        self.finished += 1

    def state(self):
        return {"returns": self.returns, "lengths": self.lengths, "finished": self.finished, "recent": np.array(self.recent)}

    def load_state(self, state):
        self.returns[:], self.lengths[:], self.finished = state["returns"], state["lengths"], state["finished"]
        self.recent.extend((float(total), int(length)) for total, length in state["recent"])


class Promises:
    """What the critic said of each episode at its start, Q(s₀, a₀), and the discounted return that came of it.

    A critic that is fitted to its own maximum promises too much. Where a time limit cut the episode off, Q at the last
    observation stands for the rest, as it does in the critic's targets. A soft critic's Q also holds the entropy to come.
    """

    def __init__(self, agent, n):
        self.agent, self.gamma = agent, agent.schedules(1).gamma
        self.said, self.came, self.weight = np.zeros(n), np.zeros(n), np.ones(n)
        self.kept = deque(maxlen=20)                                        # (said, came) of the last episodes

    def begin(self, starting, obs, actions):
        if starting.any():
            self.said[starting] = self.agent.value(obs[starting], actions[starting])
            self.came[starting], self.weight[starting] = 0, 1

    def add(self, rewards, next_obs, term, done):
        self.came += self.weight * rewards
        self.weight *= self.gamma
        for i in np.flatnonzero(done):
            if not term[i]:
                last = next_obs[i : i + 1]
                self.came[i] += self.weight[i] * self.agent.value(last, self.agent.greedy(last))[0]
            self.kept.append((self.said[i], self.came[i]))

    def metrics(self):
        return dict(zip(("q_promised", "q_realised"), map(float, np.mean(self.kept, axis=0)), strict=True)) if self.kept else {}

    def state(self):
        return {"said": self.said, "came": self.came, "weight": self.weight, "kept": np.array(self.kept)}

    def load_state(self, state):
        self.said[:], self.came[:], self.weight[:] = state["said"], state["came"], state["weight"]
        self.kept.extend(map(tuple, state["kept"]))


class Play:
    """What is under way in training besides the agent: environments, where they are, and what their episodes have brought so far.

    `begin` starts new episodes, or brings back those that `state` was taken of. Asynchronous workers play elsewhere, and the
    environments here only serve as models: `workers` is what each of them left behind when all had ended, or None.
    """

    def __init__(self, agent, envs):
        self.envs, self.episodes, self.obs, self.elsewhere = envs, Episodes(envs.n), None, agent.loop == "asynchronous"
        self.promises = Promises(agent, envs.n) if agent.loop == "off-policy" else None
        self.workers = None
        self.since_update = 0                                               # steps since the last round of updates (off-policy)

    def begin(self, state=None):
        """Raises CheckpointError if `state` is of something else."""
        if state is None:
            self.obs = None if self.elsewhere else self.envs.reset()
            return
        try:
            self._go_on(state)
        except UserError:
            raise
        except (KeyError, ValueError, TypeError, AttributeError, IndexError) as error:
            raise CheckpointError(f"what was under way cannot be taken up again: {type(error).__name__}: {error}") from None

    def _go_on(self, state):
        lost, kept = range(self.envs.n), state["envs"]                      # lost: whose episodes begin anew
        if kept:
            self.obs, lost = self.envs.load_state(kept)
        elif not self.elsewhere:
            self.obs = self.envs.reset()
            print("scratchac: an environment had failed; all of them begin new episodes", file=sys.stderr)
        self.episodes.load_state(state["episodes"])
        self.since_update, self.workers = state["since_update"], state["workers"]
        if self.promises:
            self.promises.load_state(state["promises"])
        for i in lost:
            if kept:
                print(f"scratchac: the same actions do not lead environment {i} back; it begins a new episode", file=sys.stderr)
            self.episodes.returns[i] = self.episodes.lengths[i] = 0

    def state(self, failed=False):
        """`failed`: an environment is no longer to be asked."""
        return {"envs": None if self.elsewhere or failed else self.envs.state(), "episodes": self.episodes.state(),
                "since_update": self.since_update, "workers": self.workers, "promises": self.promises and self.promises.state()}
