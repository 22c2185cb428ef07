"""Two-player games, against an opponent or for self-play.

PettingZoo provides the rules. A player's observation is one vector of zeros and ones,

    [its own stones | the other's stones | 1 for every legal action]

and its reward at the end is +1 for a game won, 0 for a draw and −1 for a game lost. One step of the learner is its own move and the
opponent's answer, so both games are ordinary environments that contain the other player.
"""

from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any

import gymnasium as gym
import numpy as np

from scratchac.errors import UserError

# name → the module with the rules
GAMES = {"tictactoe_v3": "pettingzoo.classic.tictactoe.tictactoe",
         "connect_four_v3": "pettingzoo.classic.connect_four.connect_four"}
INSTALL = "pip install 'pettingzoo>=1.25'"

class Table:
    """A board and its rules. Players are 0 and 1, and 0 begins. Raises UserError for a missing package or an illegal action."""

    def __init__(self, name: str, render_mode: str | None = None):
        try:
            # Not `env()`: its wrappers take as long as the rules, and turn an illegal action into a lost game.
            self.rules = import_module(GAMES[name]).raw_env(render_mode=render_mode)
        except ImportError:
            raise UserError(f"{name} needs a package that is missing: {INSTALL}") from None
        self.name = name
        self.players = self.rules.possible_agents
        self.begin()
        self.observation_space = gym.spaces.Box(0, 1, self.seen.shape, np.float32)
        self.action_space = gym.spaces.Discrete(len(self.rules.observe(self.players[0])["action_mask"]))

    def begin(self, moves: Iterable[int] = ()) -> None:
        """Begin a new game and play the given moves."""
        self.rules.reset()
        self.moves: list[int] = []
        self._look()
        for action in moves:
            self.play(action)

    def play(self, action: int) -> None:
        """Play the move of the player whose turn it is."""
        if action not in self.legal:
            raise UserError(f"{self.name}: {action} is no legal action now; these are: {', '.join(map(str, self.legal)) or 'none'}")
        self.rules.step(int(action))
        self.moves.append(int(action))
        self._look()

    def _look(self) -> None:
        self.to_move = self.players.index(self.rules.agent_selection)
        self.over = self.rules.terminations[self.players[0]]
        self.seen, self.legal = self._view(self.to_move)

    def _view(self, player: int) -> tuple[np.ndarray, list[int]]:
        view = self.rules.observe(self.players[player])
        stones, mask = view["observation"], view["action_mask"]             # (rows, columns, 2), own ones first; (n,)
        seen = np.concatenate([stones[..., 0].ravel(), stones[..., 1].ravel(), mask], dtype=np.float32)
        return seen, np.flatnonzero(mask).tolist()

    def seen_by(self, player: int) -> np.ndarray:
        """A player's observation, (O,). After the end of the game there is no next move, and the mask has no meaning."""
        return self.seen if player == self.to_move else self._view(player)[0]

    def score(self, player: int) -> float:
        """1 for a game won, 0 for a draw or a game in progress, −1 for a game lost."""
        return float(self.rules.rewards[self.players[player]])


def at_random(obs: np.ndarray, legal: list[int], rng: np.random.Generator) -> int:
    """An opponent that takes a random legal action."""
    return int(rng.choice(legal))


Opponent = Callable[[np.ndarray, list[int], np.random.Generator], int]


class Game(gym.Env):
    """A game as an environment, against one opponent.

    opponent    function of its observation, its legal actions and a Generator that returns one of the actions

    `reset(seed=s)` lets the learner begin if s is even; without a seed the players begin alternately.
    Raises UserError for an illegal action.
    """

    def __init__(self, name: str, opponent: Opponent = at_random, render_mode: str | None = None):
        self.table = Table(name, render_mode)
        self.opponent = opponent
        self.side = 1
        self.render_mode = render_mode
        self.observation_space = self.table.observation_space
        self.action_space = self.table.action_space

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin a new game and play up to the learner's first move."""
        super().reset(seed=seed)
        self.side = 1 - self.side if seed is None else seed % 2
        self.table.begin()
        self._answer()
        return self.table.seen, {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Play the learner's move and the opponent's answer."""
        self.table.play(action)
        self._answer()
        over = self.table.over
        return self.table.seen_by(self.side), self.table.score(self.side), over, False, {}

    def render(self) -> Any:
        """A picture of the board."""
        return self.table.rules.render()[::2, ::2]                          # half the size is large enough

    def close(self) -> None:
        """Close the table."""
        self.table.rules.close()

    def _answer(self) -> None:
        if not self.table.over and self.table.to_move != self.side:
            self.table.play(self.opponent(self.table.seen, self.table.legal, self.np_random))
