"""A window that shows an environment: while a policy plays in it, or somebody at the keyboard."""

import os
from contextlib import contextmanager
from itertools import count, islice

from PIL import Image

from scratchac.algorithms.config import whole
from scratchac.environments.drawing import has_screen
from scratchac.environments.make import close, name_of
from scratchac.environments.rewind import Checked
from scratchac.environments.seeding import global_generators_kept, seed_global_generators
from scratchac.errors import UserError
from scratchac.experiments import frames
from scratchac.training.checks import require_fit

SMALLEST = 480                  # pixels of a window's width; smaller pictures are enlarged by a whole number


def open_display():
    """Open SDL's display. Raises UserError where there is none. To be called before anything draws, which would open it noisily."""
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    os.environ.setdefault("SDL_AUDIODRIVER", "dummy")       # environments open all of SDL, and not everybody has a sound card
    import pygame

    chosen = "SDL_VIDEODRIVER" in os.environ
    try:
        if not has_screen() and not chosen:
            raise pygame.error("neither DISPLAY nor WAYLAND_DISPLAY names one")
        with without_stderr():
            pygame.display.init()                           # not pygame.init(), which looks for a sound card as well
        # Without a screen SDL may silently choose a driver that shows nothing; that is accepted only if the user has chosen it.
        if pygame.display.get_driver() in ("dummy", "offscreen") and not chosen:
            raise pygame.error("none was found")
    except pygame.error as error:
        pygame.quit()
        raise UserError(f"a window needs a screen: {error}") from None


@contextmanager
def without_stderr():
    """Within the block nothing is written to stderr, not even by C libraries: SDL's drivers complain there, then SDL says why."""
    kept, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nothing, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nothing)


class Window:
    """A window for pictures of one size; also a context manager that closes it.

    first   a picture (H, W, 3), for its size
    hint    a line below the pictures

    Raises UserError where there is no screen.
    """

    def __init__(self, title, first, hint=""):
        open_display()
        import pygame

        self.pygame = pygame
        zoom = max(1, -(-SMALLEST // first.shape[1]))
        self.size = first.shape[1] * zoom, first.shape[0] * zoom
        self.hint = Image.new("RGB", (self.size[0], 24 if hint else 0))
        self.surface = pygame.display.set_mode((self.size[0], self.size[1] + self.hint.height))
        pygame.display.set_caption(title)
        self.clock = pygame.time.Clock()
        if hint:
            frames.caption(self.hint, hint, size=13)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.pygame.quit()

    def is_open(self):
        """Whether the window was neither closed nor left with Escape since the last call."""
        pygame = self.pygame
        return not any(event.type == pygame.QUIT or (event.type == pygame.KEYDOWN and event.key == pygame.K_ESCAPE)
                       for event in pygame.event.get())

    def holds(self, name):
        """Whether a key is held down: a letter, or left, right, up, down."""
        return bool(self.pygame.key.get_pressed()[getattr(self.pygame, f"K_{name if len(name) == 1 else name.upper()}")])

    def show(self, frame, text, fps):
        """Show a frame (H, W, 3) with a caption, no sooner than 1/fps after the one before."""
        image = Image.fromarray(frame).convert("RGB").resize(self.size, Image.Resampling.NEAREST)
        frames.caption(image, text)
        for picture, top in (image, 0), (self.hint, self.size[1]):
            if picture.height:
                self.surface.blit(self.pygame.image.frombuffer(picture.tobytes(), picture.size, "RGB"), (0, top))
        self.pygame.display.flip()
        self.clock.tick(fps)


def show_episodes(act_in, made, env, seeds, hint=""):
    """Play an episode for each seed in a window, until it is closed or left with Escape; print how each has ended.

    act_in   called with the window; returns the function obs → action
    made     the environment, which draws
    hint     a line below the pictures

    Returns the returns of the episodes that ended. Raises UserError where there is no screen, or nothing is drawn.
    """
    returns, fps = [], frames.rate(made, env)
    made.reset()                                                            # for a first picture, which has the size of all
    first = frames.draw(made)
    if not first:
        raise UserError(frames.NO_PICTURES)
    with Window(f"{name_of(env)}: Escape leaves", first[-1], hint) as window:
        act = act_in(window)
        for number, seed in enumerate(seeds, start=1):
            for scene in frames.played(act, made, seed):
                for frame in scene.frames:
                    if not window.is_open():
                        print(f"episode {number}: left at {frames.standing(scene)}")
                        return returns
                    window.show(frame, frames.standing(scene), fps)
            print(f"episode {number}: {frames.standing(scene)}")
            returns.append(scene.total)
    return returns


@global_generators_kept()
def watch(agent, env, episodes=None, seed=0, explore=False, **kwargs):
    """Show episodes of a policy in a window until it is closed or left with Escape, or for a number of episodes.

    seed      seed of the first episode; episode i is seeded with seed + i
    explore   sample the actions instead of taking greedy ones

    Returns the returns of the episodes that ended. Raises UserError where there is no screen or the environment does not draw.
    """
    seeds = count(whole("--seed", seed, 0))
    seeds = seeds if episodes is None else islice(seeds, whole("--episodes", episodes, 1))
    open_display()
    seed_global_generators(seed)
    made = Checked(frames.drawing(env, kwargs))
    try:
        require_fit(agent, made, env)
        return show_episodes(lambda window: lambda obs: agent.act(obs, explore), made, env, seeds)
    finally:
        close(made)
