"""Two-player games, and self-play: a learner against its own past.

PettingZoo keeps the rules. What a player sees is one vector of zeros and ones,

    [its own stones | the other's stones | 1 for every legal action]

and its reward, at the end, is +1 for a game won, 0 for a draw, −1 for a game lost. One step of the learner is its own move and
the other's answer, so both games are ordinary environments whose other player happens to be part of the world.
"""

from dataclasses import replace
from importlib import import_module

import gymnasium as gym
import numpy as np

from scratchac.distributions import Categorical
from scratchac.errors import UserError
from scratchac.nn import Parameters
from scratchac.policies import mask_illegal

# name → the module with the rules
GAMES = {"tictactoe_v3": "pettingzoo.classic.tictactoe.tictactoe",
         "connect_four_v3": "pettingzoo.classic.connect_four.connect_four"}
INSTALL = "pip install 'pettingzoo>=1.25'"

SNAPSHOTS = 50              # past selves in a whole training
PRESENT = 0.5               # the share of games against the present self
K = 16                      # points that change hands in a game at most, half of them between equals


class Table:
    """A board and its rules. Players are 0 and 1, and 0 begins. Raises UserError for a missing package or an illegal action."""

    def __init__(self, name, render_mode=None):
        try:
            # Not `env()`: its wrappers take as long as the rules, and make a lost game of an illegal action.
            self.rules = import_module(GAMES[name]).raw_env(render_mode=render_mode)
        except ImportError:
            raise UserError(f"{name} needs a package that is missing: {INSTALL}") from None
        self.name, self.players = name, self.rules.possible_agents
        self.begin()
        self.observation_space = gym.spaces.Box(0, 1, self.seen.shape, np.float32)
        self.action_space = gym.spaces.Discrete(len(self.rules.observe(self.players[0])["action_mask"]))

    def begin(self, moves=()):
        """A new game, and in it the moves that are given."""
        self.rules.reset()
        self.moves = []
        self._look()
        for action in moves:
            self.play(action)

    def play(self, action):
        """The move of the player whose turn it is."""
        if action not in self.legal:
            raise UserError(f"{self.name}: {action} is no legal action now; these are: {', '.join(map(str, self.legal)) or 'none'}")
        self.rules.step(int(action))
        self.moves.append(int(action))
        self._look()

    def _look(self):
        self.to_move = self.players.index(self.rules.agent_selection)
        self.over = self.rules.terminations[self.players[0]]
        self.seen, self.legal = self._view(self.to_move)

    def _view(self, player):
        view = self.rules.observe(self.players[player])
        stones, mask = view["observation"], view["action_mask"]             # (rows, columns, 2), own ones first; (n,)
        seen = np.concatenate([stones[..., 0].ravel(), stones[..., 1].ravel(), mask], dtype=np.float32)
        return seen, np.flatnonzero(mask).tolist()

    def seen_by(self, player):
        """(O,). After the end nobody has a turn, and the mask means nothing."""
        return self.seen if player == self.to_move else self._view(player)[0]

    def score(self, player):
        return float(self.rules.rewards[self.players[player]])


def at_random(obs, legal, rng):
    """An opponent that takes any legal action."""
    return rng.choice(legal)


class Game(gym.Env):
    """A game as an environment, against one opponent.

    opponent    called with what it sees, its legal actions and a Generator, returns one of the actions

    `reset(seed=s)` lets the learner begin if s is even; without a seed the players take turns at beginning.
    Raises UserError for an illegal action.
    """

    def __init__(self, name, opponent=at_random, render_mode=None):
        self.table, self.opponent, self.side, self.render_mode = Table(name, render_mode), opponent, 1, render_mode
        self.observation_space, self.action_space = self.table.observation_space, self.table.action_space

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.side = 1 - self.side if seed is None else seed % 2
        self.table.begin()
        self._answer()
        return self.table.seen, {}

    def step(self, action):
        self.table.play(action)
        self._answer()
        over = self.table.over
        return self.table.seen_by(self.side), self.table.score(self.side), over, False, {}

    def render(self):
        return self.table.rules.render()[::2, ::2]                          # half the size is large enough

    def close(self):
        self.table.rules.close()

    def _answer(self):
        if not self.table.over and self.table.to_move != self.side:
            self.table.play(self.opponent(self.table.seen, self.table.legal, self.np_random))


class SelfPlay:
    """N games side by side, the learner in each of them against itself as it is or was; the interface of `envs.VectorEnv`.

    Every `steps / SNAPSHOTS` steps the learner's policy joins a pool. When a game begins its opponent is drawn: with probability
    PRESENT the learner as it is now, else anyone of the pool. It stays as it is during the game, and samples its actions. Silver et
    al. 2016 draw all opponents from such a pool, and OpenAI Five (Berner et al. 2019) one in five; Bansal et al. 2018 found that
    whoever has met old opponents is the more robust. The learner begins every other game.

    `meet` says who learns, and has to be called before `reset`.
    """

    workers = None                      # all in this process

    def __init__(self, name, n, seed):
        self.n, self.tables = n, [Table(name) for _ in range(n)]
        self.observation_space, self.action_space = self.tables[0].observation_space, self.tables[0].action_space
        self.dist, self.rng = Categorical(int(self.action_space.n)), np.random.default_rng(seed)
        self.side = np.arange(n) % 2                                        # where the learner sits, (N,)
        self.opponent = np.zeros(n, int)                                    # number in the pool, or −1 for the present self
        self.pool = []                                                      # parameters of policies, (P,) each
        self.elo, self.learner_elo = [], 0.0                                # of each one in the pool, and of the learner

    def meet(self, agent):
        """The agent that learns. Raises UserError for one without a mask for illegal actions."""
        if not getattr(agent.config, "action_mask", False):
            raise UserError(f"{self.tables[0].name} has illegal actions: it takes a2c or ppo, and --action-mask")
        self.agent, model = agent, agent.model
        net, self.present = (model.net, model.params) if hasattr(model, "net") else (model.actor, model.theta)
        self.net = replace(net, stack=(self.n,))                            # the opponents' networks, one for each game
        self.params = Parameters(self.net.shapes(), agent.dtype)
        self.every = max(1, agent.config.steps // SNAPSHOTS)
        self.next_snapshot = agent.step

    def reset(self):
        return self._begin(np.arange(self.n))

    def step(self, actions):
        """Return (obs, reward, next_obs, term, trunc): where to go on from, and what the action really led to."""
        for table, action in zip(self.tables, actions.tolist(), strict=True):
            table.play(action)
        self._answer()
        next_obs = np.stack([table.seen_by(side) for table, side in zip(self.tables, self.side, strict=True)])
        reward = np.array([table.score(side) for table, side in zip(self.tables, self.side, strict=True)])
        term = np.array([table.over for table in self.tables])
        obs, over = next_obs, np.flatnonzero(term)
        if len(over):
            self._rate(over, reward)
            self.side[over] = 1 - self.side[over]
            obs = next_obs.copy()
            obs[over] = self._begin(over)
        return obs, reward, next_obs, term, np.zeros(self.n, bool)

    def _begin(self, games):
        """New games at these tables; returns what the learner sees first, (games, O)."""
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

    def _answer(self):
        """The opponents' moves, wherever it is their turn: one batch of a row for each network."""
        waiting = [i for i in range(self.n) if self.tables[i].to_move != self.side[i] and not self.tables[i].over]
        if waiting:
            s = np.stack([table.seen for table in self.tables])             # (N, O)
            y = self.net.forward(self.params, s[:, None])[0][waiting, 0, : self.dist.n]
            actions = self.dist.sample(mask_illegal(y, s[waiting], self.dist.n), self.dist.noise(self.rng, len(waiting)))
            for i, action in zip(waiting, actions.tolist(), strict=True):
                self.tables[i].play(action)

    # -- ratings ---------------------------------------------------------------------------------------------------------

    def _rate(self, games, reward):
        """R ← R + K (S − E) for the learner, the opposite for its opponent (Elo 1978, section 1.6); S is 1, ½ or 0."""
        for i in games:
            who = self.opponent[i]
            if who >= 0:                                                    # nobody gains from a game against itself
                change = K * ((1 + reward[i]) / 2 - expected_score(self.learner_elo, self.elo[who]))
                self.learner_elo += change
                self.elo[who] -= change

    def metrics(self):
        """The learner's rating, in points above its first, untrained self: only differences mean anything."""
        return {"elo": self.learner_elo - self.elo[0]}

    def state(self):
        return {"pool": np.array(self.pool), "elo": np.array(self.elo), "learner_elo": self.learner_elo, "side": self.side,
                "next_snapshot": self.next_snapshot, "opponent": self.opponent, "opponents": self.params.flat,
                "rng": self.rng.bit_generator.state, "moves": [table.moves for table in self.tables]}

    def load_state(self, state):
        """Go on with the games that `state` was taken of: (what the learner sees, no games that are lost)."""
        self.pool, self.elo, self.learner_elo = list(state["pool"]), list(state["elo"]), state["learner_elo"]
        self.side[:], self.opponent[:], self.params.flat[:] = state["side"], state["opponent"], state["opponents"]
        self.next_snapshot, self.rng.bit_generator.state = state["next_snapshot"], state["rng"]
        for table, moves in zip(self.tables, state["moves"], strict=True):
            table.begin(moves)
        return np.stack([table.seen for table in self.tables]), []

    def close(self):
        for table in self.tables:
            table.rules.close()


def expected_score(rating, other):
    """E = 1 / (1 + 10^((R_other − R)/400)): 200 points more are three games in four (Elo 1978)."""
    return 1 / (1 + 10 ** ((other - rating) / 400))
