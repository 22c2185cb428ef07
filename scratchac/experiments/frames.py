"""Episodes as pictures, for films and for a window: an environment that draws, a policy that plays in it, a caption in a corner."""

from collections.abc import Callable, Iterator
from functools import cache
from numbers import Real
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium as gym
import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from scratchac.environments.games import GAMES
from scratchac.environments.make import close, make, name_of
from scratchac.environments.seeding import seed_global_generators
from scratchac.errors import UserError, one_line

FPS = 50                        # frames a second where an environment does not say how many it has
FASTEST, SLOWEST = 1000, 0.1    # what an environment says is used between these
NO_PICTURES = "the environment renders no pictures with render_mode='rgb_array'"
Act = Callable[[Any], Any]      # observation → action


class Scene(NamedTuple):
    """A step of an episode, or its beginning: the frames (H, W, 3) drawn since the scene before, and where the episode is."""

    frames: list[np.ndarray]
    step: int
    total: float                # return so far
    over: bool


def drawing(env: Any, kwargs: dict[str, Any]) -> gym.Env:
    """The environment with render_mode rgb_array: it takes this as an argument, or has it without. Raises UserError."""
    try:
        return make(env, **kwargs | {"render_mode": "rgb_array"})           # training may have had another one
    except UserError as error:
        why = error
    made = make(env, **kwargs)                                              # raises the error if that is not about render_mode
    if made.render_mode == "rgb_array":
        return made
    close(made)
    raise UserError(f"to be seen, an environment has to take render_mode='rgb_array': {why}")


def rate(made: gym.Env, env: Any) -> float:
    """How many frames make a second: what the environment's metadata name, if that is a sensible number, otherwise FPS."""
    if name_of(env) in GAMES:
        return 1                                                            # each position on a board is shown for a second
    metadata: Any = getattr(made, "metadata", None)
    fps = metadata.get("render_fps") if isinstance(metadata, dict) else None
    return float(fps) if isinstance(fps, Real) and not isinstance(fps, bool) and SLOWEST <= float(fps) <= FASTEST else FPS


def played(act: Act, env: gym.Env, seed: int | None, drawn: bool = True) -> Iterator[Scene]:
    """One episode, each scene played when it is asked for; with `drawn` false the scenes have no frames.

    A seed also seeds the global generators, for environments that draw from them: the same seed is the same episode.
    """
    if seed is not None:
        seed_global_generators(seed)
    obs, _ = env.reset(seed=seed)
    step, total, over = 0, 0.0, False
    yield Scene(draw(env) if drawn else [], step, total, over)
    while not over:
        obs, reward, term, trunc, _ = env.step(act(obs))
        step, total, over = step + 1, total + float(reward), bool(term or trunc)
        yield Scene(draw(env) if drawn else [], step, total, over)


def draw(env: gym.Env) -> list[np.ndarray]:
    """Copies of the frames since the last call, for an environment may draw into the same array again.

    It is one frame, or several where actions are repeated. Raises UserError if the environment draws none.
    """
    try:
        picture: Any = env.render()
    except (Exception, SystemExit) as error:                # drivers may raise any error
        raise UserError(f"the environment cannot draw here: {one_line(error, with_type=False)}") from None
    pictures = picture if isinstance(picture, list) else [picture]
    if not all(isinstance(x, np.ndarray) for x in pictures):
        raise UserError(NO_PICTURES)
    return [x.copy() for x in pictures]


def caption(image: Image.Image, text: str, size: int | None = None) -> None:
    """Write a line into the upper left corner of an image in RGB, if the image is wide enough for it; `size` is in pixels."""
    size = size or max(11, image.height // 26)
    margin, ink = size // 2, ImageDraw.Draw(image, "RGBA")
    _, _, right, bottom = ink.textbbox((margin, margin // 2), text, font=_font(size))
    if text and right + margin <= image.width:
        ink.rectangle((0, 0, right + margin, bottom + margin // 2), fill=(0, 0, 0, 150))
        ink.text((margin, margin // 2), text, font=_font(size), fill="white")


@cache
def _font(size: int) -> Any:
    return ImageFont.truetype(str(Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")), size)


def standing(scene: Scene, before: str = "") -> str:
    """The caption of a scene: its step and the return so far, with `before` ahead of them."""
    number = f"{scene.total:.0f}" if scene.total.is_integer() else f"{scene.total:.1f}"
    return f"{before}step {scene.step}, return {number.replace('-', '−')}"
