"""Play an environment by keyboard: alone with arrow keys, or a game against a trained run in the terminal."""

import os
from pathlib import Path

import numpy as np

from scratchac.algorithms.config import whole
from scratchac.environments.make import close, make
from scratchac.errors import UserError
from scratchac.experiments.files import atomic_file, write_arrays

# environment id → ({keys: action}, the action when no key is held)
KEYS = {
    "LunarLander": ({("left",): 1, ("up",): 2, ("right",): 3}, 0),
    "CartPole": ({("left",): 0, ("right",): 1}, 0),
    "MountainCar": ({("left",): 0, ("right",): 2}, 1),
    "Acrobot": ({("left",): 0, ("right",): 2}, 1),
    "Pendulum": ({("left",): [2.0], ("right",): [-2.0]}, [0.0]),
    "MountainCarContinuous": ({("left",): [-1.0], ("right",): [1.0]}, [0.0]),
}


def controls(env):
    """({keys held: action}, action without keys) for an environment id. Raises UserError where no keys are known."""
    name = str(env).rsplit("-v", 1)[0]
    if name not in KEYS:
        raise UserError(f"no keys are known for {env}; there are keys for: {', '.join(KEYS)}; "
                        "and games are played against a run: scratchac play RUN")
    return KEYS[name]


def play(env="LunarLander-v3", seed=None, episodes=None, record=None):
    """Open a window and play with the arrow keys until it is closed or Escape is pressed, or for a number of episodes.

    record   a new file .npz for what was seen and done in the episodes that ended: obs (T, O), actions (T, …), rewards (T,) and
             done (T,), which is 1 at the last step of each episode

    Returns the returns of the episodes that ended. Raises UserError where there is no screen, and for a file that exists.
    """
    keys, idle = controls(env)
    if record is not None and Path(record).exists():
        raise UserError(f"{record} exists already, and nothing is overwritten: name another file with --record")
    seed = seed if seed is None else whole("--seed", seed, 0)
    made = make(env, render_mode="rgb_array")
    import pygame

    pygame.display.init()               # not pygame.init(): that would look for a sound card as well
    pygame.font.init()
    try:
        obs, _ = made.reset(seed=seed)
        frame = made.render()
        size = frame.shape[1], frame.shape[0]
        window = pygame.display.set_mode(size)
        # Without a screen SDL may silently choose a driver that shows nothing; that is accepted only if the user has chosen it.
        if pygame.display.get_driver() in ("dummy", "offscreen") and "SDL_VIDEODRIVER" not in os.environ:
            raise pygame.error("none was found")
    except pygame.error as error:
        close(made)
        raise UserError(f"playing needs a screen: {error}") from None
    pygame.display.set_caption(f"{env}: arrow keys, Escape to leave")
    font, clock = pygame.font.Font(None, 28), pygame.time.Clock()
    pressed = {name: getattr(pygame, f"K_{name.upper()}") for held in keys for name in held}
    total, finished, steps, ended = 0.0, [], [], 0
    try:
        while episodes is None or len(finished) < episodes:
            for event in pygame.event.get():
                if event.type == pygame.QUIT or (event.type == pygame.KEYDOWN and event.key == pygame.K_ESCAPE):
                    return finished
            down = pygame.key.get_pressed()
            action = next((a for held, a in keys.items() if all(down[pressed[name]] for name in held)), idle)
            seen = np.array(obs)
            obs, reward, term, trunc, _ = made.step(action)
            steps.append((seen, action, float(reward), term or trunc))
            total += float(reward)
            window.blit(pygame.surfarray.make_surface(made.render().swapaxes(0, 1)), (0, 0))
            window.blit(font.render(f"{total:.0f}", True, (230, 120, 40)), (10, 10))
            pygame.display.flip()
            clock.tick(made.metadata.get("render_fps", 50))
            if term or trunc:
                print(f"episode {len(finished) + 1}: {total:.1f}")
                finished.append(total)
                total, ended = 0.0, len(steps)
                obs, _ = made.reset()
    finally:
        close(made)
        pygame.quit()
        if record is not None and ended:
            columns = zip(("obs", "actions", "rewards", "done"), zip(*steps[:ended], strict=True), strict=True)
            with atomic_file(record) as file:
                write_arrays(file, {name: np.array(column) for name, column in columns})
    return finished


# -- games, in the terminal ----------------------------------------------------------------------------------------------

# name → (what an action is, rows and columns of the board)
BOARDS = {"tictactoe_v3": ("square", (3, 3)), "connect_four_v3": ("column", (6, 7))}


def play_game(agent, name, seed=None):
    """Play against an agent's most likely actions until q or the end of the input; the user begins every other game.

    seed    the user begins the first game if it is even, or not given

    Returns the outcomes of the games that ended: 1, 0 or −1.
    """
    seed = seed if seed is None else whole("--seed", seed, 0)
    game = make(name, opponent=lambda obs, legal, rng: agent.act(obs, explore=False))
    outcomes = []
    while True:
        obs, _ = game.reset(seed=seed)
        seed, over = None, False
        print(f"\nYou play {'XO'[game.side]}, and X begins.")
        while not over:
            print(drawn(obs, name, game.side))
            action = _ask(BOARDS[name][0], game.table.legal)
            if action is None:
                return outcomes
            obs, outcome, over, _, _ = game.step(action)
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
