"""Self-play: a learner plays against its current policy and against earlier ones, with Elo ratings."""

from dataclasses import replace
from typing import Any

import numpy as np

from scratchac.distributions import Categorical
from scratchac.environments.games import Table
from scratchac.errors import UserError
from scratchac.nn import Parameters
from scratchac.policies import Mask, mask_illegal

SNAPSHOTS = 50              # earlier policies that a whole training keeps


PRESENT = 0.5               # share of the games against the current policy


K = 16                      # largest change of a rating by one game; between equal ratings a win changes it by half of this


class SelfPlay:
    """N games that are played together, the learner in each against its current or an earlier policy; the interface of `VectorEnv`.

    Every `steps / SNAPSHOTS` steps a copy of the learner's policy is added to a pool. When a game begins, its opponent is drawn:
    with probability PRESENT the learner's current policy, otherwise any policy of the pool. The opponent does not change during the
    game and samples its actions. The learner begins every other game. Silver et al. 2016 draw all opponents from such a pool, and
    OpenAI Five (Berner et al. 2019) one in five; Bansal et al. 2018 found that training against old opponents is more robust.

    `meet` sets the agent that learns and must be called before `reset`.
    """

    workers = None                      # all in this process
    restores = True
    idle = None                         # every game takes every step
    quiet = True                        # its moves are repeated at once, so there is no message about it
    agent: Any

    def __init__(self, name: str, n: int, seed: Any):
        self.n = n
        self.tables = [Table(name) for _ in range(n)]
        self.observation_space = self.tables[0].observation_space
        self.action_space = self.tables[0].action_space
        self.dist = Categorical(int(self.action_space.n))
        self.rng = np.random.default_rng(seed)
        self.side = np.arange(n) % 2                                        # the learner's player number in each game, (N,)
        self.opponent = np.zeros(n, int)                                    # index in the pool, or −1 for the current policy
        self.pool: list[np.ndarray] = []                                    # parameters of earlier policies, (P,) each
        self.elo: list[float] = []                                          # rating of each policy in the pool
        self.learner_elo = 0.0

    def meet(self, agent: Any) -> None:
        """Set the agent that learns. Raises UserError for an agent without a mask for illegal actions."""
        if not agent.masked:
            raise UserError(f"{self.tables[0].name} has illegal actions: it takes a2c or ppo, and --action-mask")
        self.agent = agent
        networks = agent.networks()
        net, self.present = networks.actor, networks.theta
        self.net = replace(net, stack=(self.n,))                            # the opponents' networks, one for each game
        self.params = Parameters(self.net.shapes(), agent.dtype)
        self.every = max(1, agent.config.steps // SNAPSHOTS)
        self.next_snapshot = agent.step

    def reset(self) -> np.ndarray:
        """Begin new games; returns the learner's first observations, (N, O)."""
        return self._begin(np.arange(self.n))

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return (obs, reward, next_obs, term, trunc).

        `next_obs` really followed the actions; `obs` is the same, or the first observation of a new game if one has ended.
        """
        for table, action in zip(self.tables, actions.tolist(), strict=True):
            table.play(action)
        self._answer()
        next_obs = np.stack([table.seen_by(int(side)) for table, side in zip(self.tables, self.side, strict=True)])
        reward = np.array([table.score(int(side)) for table, side in zip(self.tables, self.side, strict=True)])
        term = np.array([table.over for table in self.tables])
        obs, over = next_obs, np.flatnonzero(term)
        if len(over):
            self._rate(over, reward)
            self.side[over] = 1 - self.side[over]
            obs = next_obs.copy()
            obs[over] = self._begin(over)
        return obs, reward, next_obs, term, np.zeros(self.n, bool)

    def _begin(self, games: np.ndarray) -> np.ndarray:
        """Begin new games at these tables; returns the learner's first observations, (games, O)."""
        if self.agent.step >= self.next_snapshot:
            self.pool.append(self.present.flat.copy())
            self.elo.append(self.learner_elo)
            self.next_snapshot = self.agent.step + self.every
        for i in games:
            self.tables[i].begin()
            who = self.opponent[i] = -1 if self.rng.random() < PRESENT else self.rng.integers(len(self.pool))
            opponent = self.present if who < 0 else Parameters(self.present.shapes, flat=self.pool[who])
            for name in self.params.shapes:
                self.params[name][i] = opponent[name]
        self._answer()
        return np.stack([self.tables[i].seen for i in games])

    def _answer(self) -> None:
        """Play the opponents' moves where it is their turn, in one batch with one row for each network."""
        waiting = [i for i in range(self.n) if self.tables[i].to_move != self.side[i] and not self.tables[i].over]
        if waiting:
            s = np.stack([table.seen for table in self.tables])             # (N, O)
            y = self.net.forward(self.params, s[:, None])[0][waiting, 0, : self.dist.n]
            masked = Mask(slice(-self.dist.n, None), self.dist.sizes)
            actions = self.dist.sample(mask_illegal(y, s[waiting], masked), self.dist.noise(self.rng, len(waiting)))
            for i, action in zip(waiting, actions.tolist(), strict=True):
                self.tables[i].play(action)

    # -- ratings ---------------------------------------------------------------------------------------------------------

    def _rate(self, games: np.ndarray, reward: np.ndarray) -> None:
        """R ← R + K (S − E) for the learner, the opposite for its opponent (Elo 1978, section 1.6); S is 1, ½ or 0."""
        for i in games:
            who = self.opponent[i]
            if who >= 0:                                                    # a game against itself changes no rating
                change = K * ((1 + reward[i]) / 2 - expected_score(self.learner_elo, self.elo[who]))
                self.learner_elo += change
                self.elo[who] -= change

    def metrics(self) -> dict[str, float]:
        """The learner's rating in points above that of the policy that training began with: only differences have a meaning."""
        return {"elo": self.learner_elo - self.elo[0]}

    def state(self) -> dict[str, Any]:
        """The games in progress, the pool and the ratings."""
        return {"pool": np.array(self.pool), "elo": np.array(self.elo), "learner_elo": self.learner_elo, "side": self.side,
                "next_snapshot": self.next_snapshot, "opponent": self.opponent, "opponents": self.params.flat,
                "rng": self.rng.bit_generator.state, "moves": [table.moves for table in self.tables]}

    def load_state(self, state: dict[str, Any]) -> tuple[np.ndarray, list[int]]:
        """Restore the games of a `state`; returns (the learner's observations, an empty list: no game is lost).

        Raises ValueError for moves that do not lead to the learner's turn in a game under way.
        """
        self.pool, self.elo, self.learner_elo = list(state["pool"]), list(state["elo"]), state["learner_elo"]
        self.side[:], self.opponent[:], self.params.flat[:] = state["side"], state["opponent"], state["opponents"]
        self.next_snapshot, self.rng.bit_generator.state = state["next_snapshot"], state["rng"]
        for table, moves, side in zip(self.tables, state["moves"], self.side, strict=True):
            try:
                table.begin(moves)
            except UserError as error:
                raise ValueError(str(error)) from None
            if table.over or table.to_move != side:
                raise ValueError(f"the moves {moves} do not lead to the turn of player {side}")
        return np.stack([table.seen for table in self.tables]), []

    def renew(self, state: dict[str, Any]) -> np.ndarray:
        """Begin new games, with the pool and the ratings of a `state`; returns the learner's first observations, (N, O)."""
        self.load_state(state)
        return self._begin(np.arange(self.n))

    def close(self) -> None:
        """Close all tables."""
        for table in self.tables:
            table.rules.close()


def expected_score(rating: float, other: float) -> float:
    """E = 1 / (1 + 10^((R_other − R)/400)): 200 points more mean a score of about three games in four (Elo 1978)."""
    return 1 / (1 + 10 ** ((other - rating) / 400))
