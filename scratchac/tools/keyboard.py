"""Play an environment by keyboard: alone in a window, or a game against a trained run in the terminal."""

import os
from itertools import chain, islice, repeat
from pathlib import Path

import gymnasium as gym
import numpy as np

from scratchac.algorithms.config import whole
from scratchac.environments.make import close, make
from scratchac.errors import UserError
from scratchac.experiments.files import atomic_file, write_arrays
from scratchac.tools.window import open_display, show_episodes

# environment id → {key: action}, the action when no key is held, and what the window says of the keys. Where actions are numbers,
# the first key that is held counts; where they are vectors, those of all keys that are held are added.
KEYS = {
    "LunarLander": ({"left": 1, "up": 2, "right": 3}, 0, "left and right engine, up: main engine"),
    "LunarLanderContinuous": ({"left": [0, -1], "up": [1, 0], "right": [0, 1]}, [0, 0], "left and right engine, up: main engine"),
    "CartPole": ({"left": 0, "right": 1}, 0, "right: push to the right; otherwise to the left"),
    "MountainCar": ({"left": 0, "right": 2}, 1, "left, right: accelerate"),
    "MountainCarContinuous": ({"left": [-1], "right": [1]}, [0], "left, right: accelerate"),
    "Acrobot": ({"left": 0, "right": 2}, 1, "left, right: torque on the joint"),
    "Pendulum": ({"left": [2], "right": [-2]}, [0], "left, right: torque"),
    "CarRacing": ({"left": [-1, 0, 0], "right": [1, 0, 0], "up": [0, 1, 0], "down": [0, 0, 0.8]}, [0, 0, 0],
                  "left, right: steer, up: gas, down: brake"),
    "BipedalWalker": ({"q": [1, 0, 0, 0], "a": [-1, 0, 0, 0], "w": [0, 1, 0, 0], "s": [0, -1, 0, 0],
                       "i": [0, 0, 1, 0], "k": [0, 0, -1, 0], "o": [0, 0, 0, 1], "l": [0, 0, 0, -1]}, [0, 0, 0, 0],
                      "one leg: Q A hip, W S knee; the other: I K hip, O L knee"),
}
KEYS["BipedalWalkerHardcore"] = KEYS["BipedalWalker"]


def controls(env):
    """({key: action}, action without keys, words for the keys) of an environment id. Raises UserError where no keys are known."""
    name = str(env).rsplit("-v", 1)[0]
    if name not in KEYS:
        raise UserError(f"no keys are known for {env}; there are keys for: {', '.join(KEYS)}; "
                        "and games are played against a run: scratchac play RUN")
    return KEYS[name]


def chosen(keys, idle, holds):
    """The action of the keys for which `holds` is true, or `idle` without any."""
    held = [action for key, action in keys.items() if holds(key)]
    if isinstance(idle, list):
        return np.sum([idle, *held], axis=0, dtype=np.float32)
    return held[0] if held else idle


def play(env="LunarLander-v3", seed=None, episodes=None, record=None):
    """Open a window and play by keyboard until it is closed or Escape is pressed, or for a number of episodes.

    record   a new file .npz for what was seen and done in the episodes that ended: obs (T, O), actions (T, …), rewards (T,) and
             done (T,), which is 1 at the last step of each episode

    Returns the returns of the episodes that ended. Raises UserError where there is no screen, and for a file that exists.
    """
    keys, idle, words = controls(env)
    if record is not None:
        require_new(Path(record))
    seed = seed if seed is None else whole("--seed", seed, 0)
    open_display()
    made = make(env, render_mode="rgb_array")
    made = made if record is None else Recorder(made)
    try:
        return show_episodes(lambda window: lambda obs: chosen(keys, idle, window.holds), made, env,
                             islice(chain([seed], repeat(None)), episodes), f"{words}; Escape leaves")
    finally:
        close(made)
        if record is not None:
            print(f"{record}: {made.write(record)}")


def require_new(path):
    """Raise UserError unless a file of this name can be made: what has been played would be lost."""
    if path.exists():
        raise UserError(f"{path} exists already, and nothing is overwritten: name another file with --record")
    if not os.access(path.parent, os.W_OK):
        raise UserError(f"{path} cannot be written: {path.parent} is no folder that can be; name another file with --record")


class Recorder(gym.Wrapper):
    """Keeps (observation, action, reward, whether the episode ended) of each step."""

    def __init__(self, env):
        super().__init__(env)
        self.steps = []

    def write(self, path):
        """Write the episodes that ended into a file .npz; none is written without one. Returns what was done. Raises WriteError."""
        ends = [i for i, (*_, done) in enumerate(self.steps, start=1) if done]
        if not ends:
            return "not written, since no episode was played to its end"
        columns = zip(("obs", "actions", "rewards", "done"), zip(*self.steps[: ends[-1]], strict=True), strict=True)
        with atomic_file(path) as file:
            write_arrays(file, {name: np.array(column) for name, column in columns})
        left = ", without the last one, which was left" if ends[-1] < len(self.steps) else ""
        return f"{len(ends)} episode{'s' * (len(ends) > 1)}{left}, {ends[-1]} steps"

    def reset(self, **options):
        """`reset` of the environment."""
        obs, info = self.env.reset(**options)
        self.seen = np.array(obs)
        return obs, info

    def step(self, action):
        """`step` of the environment."""
        obs, reward, term, trunc, info = self.env.step(action)
        self.steps.append((self.seen, action, float(reward), term or trunc))
        self.seen = np.array(obs)
        return obs, reward, term, trunc, info


# -- games, in the terminal ----------------------------------------------------------------------------------------------

# name → (what an action is, rows and columns of the board)
BOARDS = {"tictactoe_v3": ("square", (3, 3)), "connect_four_v3": ("column", (6, 7))}


def play_game(agent, name, seed=None):
    """Play against an agent's most likely actions until q or the end of the input; the user begins every other game.

    seed    the user begins the first game if it is even, or not given

    Returns the outcomes of the games: 1, 0 or −1, and None for one that was left after a move.
    """
    seed = seed if seed is None else whole("--seed", seed, 0)
    game = make(name, opponent=lambda obs, legal, rng: agent.act(obs, explore=False))
    outcomes = []
    while True:
        obs, _ = game.reset(seed=seed)
        seed, over, moved = None, False, False
        print(f"\nYou play {'XO'[game.side]}, and X begins.")
        while not over:
            print(drawn(obs, name, game.side))
            action = _ask(BOARDS[name][0], game.table.legal)
            if action is None:
                return [*outcomes, None] if moved else outcomes
            obs, outcome, over, _, _ = game.step(action)
            moved = True
        print(f"{drawn(obs, name, game.side)}\n{ {1: 'You win.', 0: 'A draw.', -1: 'You lose.'}[outcome]}")
        outcomes.append(outcome)


def drawn(obs, name, side):
    """The board as text, from what the player at `side` sees. Actions are counted from 1."""
    rows, columns = BOARDS[name][1]
    own, other = obs[: 2 * rows * columns].reshape(2, rows, columns) == 1
    numbers = np.arange(1, rows * columns + 1).reshape(rows, columns).astype(str)
    free = numbers if BOARDS[name][0] == "square" else "·"
    cells = np.where(own, "XO"[side], np.where(other, "OX"[side], free))
    lines = [*cells, numbers[0]] if BOARDS[name][0] == "column" else cells
    return "\n".join(" ".join(line) for line in lines)


def _ask(what, legal):
    """The action that the user chooses, or None to leave."""
    while True:
        try:
            answer = input(f"{what} (q leaves): ").strip()
        except EOFError:
            return None
        if answer == "q":
            return None
        if answer.isdecimal() and int(answer) - 1 in legal:
            return int(answer) - 1
        print(f"{answer!r} is no {what} to choose now; these are: {', '.join(str(a + 1) for a in legal)}")
