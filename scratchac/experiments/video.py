"""A video of a policy: video.mp4 if the `video` extra is installed, otherwise video.gif."""

import importlib.util
import math
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import chain, islice
from numbers import Real
from pathlib import Path
from typing import IO, Any

import gymnasium as gym
import numpy as np
from PIL import Image

from scratchac.algorithms.config import whole
from scratchac.environments.drawing import draw_without_screen
from scratchac.environments.games import GAMES
from scratchac.environments.make import close, make, name_of
from scratchac.environments.rewind import Checked
from scratchac.errors import TrainingError, UserError, one_line
from scratchac.experiments.files import atomic_file
from scratchac.messages import tell
from scratchac.training.agent import Agent
from scratchac.training.checks import require_fit

FPS = 50                        # frames a second where an environment does not say how many it has
FASTEST, SLOWEST = 1000, 0.1    # what an environment says is used between these
GIF_FPS = 30                    # a GIF can play at most 50 frames a second and stores each whole, so fewer are kept
MOST_FRAMES = 5_000             # of one film: an episode may never end, and the frames of a GIF stay in memory until its end


def record(agent: Agent, env: Any, folder: Any, episodes: int = 1, seed: int = 0, explore: bool = False, out: Any = None,
           **kwargs: Any) -> Path:
    """Play and write the video into `folder`, where it replaces an earlier one when it is complete. Returns its path.

    explore     sample actions; otherwise the policy is deterministic
    out         a new file .gif or .mp4 instead; nothing is overwritten

    Raises UserError if the environment cannot render, or its frames cannot be encoded, and EnvironmentFailed.
    """
    able = importlib.util.find_spec("imageio_ffmpeg") is not None
    path = Path(folder) / f"video.{'mp4' if able else 'gif'}" if out is None else Path(out)
    if path.suffix not in (".gif", ".mp4"):
        raise UserError(f"a film is a file .gif or .mp4, not {path}")
    if path.suffix == ".mp4" and not able:
        raise UserError(f"{path} needs a package that is missing: pip install 'imageio[ffmpeg]>=2.31'; a .gif needs none")
    if out is not None and path.exists():
        raise UserError(f"{path} exists already, and nothing is overwritten: name another file, or remove it")
    with _film(agent, env, episodes, seed, kwargs, explore) as (frames, fps), atomic_file(path) as file:
        try:
            (_mp4 if path.suffix == ".mp4" else _gif)(file, _images(frames), fps)
        except (UserError, TrainingError):
            raise
        except Exception as error:                          # the encoders raise many different ones
            raise UserError(f"{path.name} cannot be encoded: {one_line(error)}") from error
    return path


def render(agent: Agent, env: Any, episodes: int = 1, seed: int = 0, **kwargs: Any) -> list[np.ndarray]:
    """The frames (H, W, 3) of some deterministic episodes, at most MOST_FRAMES. Raises as `record` does."""
    with _film(agent, env, episodes, seed, kwargs) as (frames, _):
        return list(frames)


# -- frames --------------------------------------------------------------------------------------------------------------


@contextmanager
def _film(agent: Agent, env: Any, episodes: int, seed: int, kwargs: dict[str, Any],
          explore: bool = False) -> Iterator[tuple[Iterator[np.ndarray], float]]:
    """The frames of some episodes, each drawn when it is asked for, and how many of them make a second."""
    episodes, seed = whole("--episodes", episodes, 1), whole("--seed", seed, 0)
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")                      # frames in memory need no screen
    draw_without_screen()
    made = Checked(_drawing(env, kwargs))
    try:
        require_fit(agent, made, env)
        fps = 1 if name_of(env) in GAMES else _fps(made)                   # each position on a board is shown for a second
        yield _limited(_played(agent, made, episodes, seed, explore)), fps
    finally:
        close(made)


def _drawing(env: Any, kwargs: dict[str, Any]) -> gym.Env:
    """The environment with render_mode rgb_array: it takes this as an argument, or has it without. Raises UserError."""
    try:
        return make(env, **kwargs | {"render_mode": "rgb_array"})           # training may have had another one
    except UserError as error:
        why = error
    made = make(env, **kwargs)                                              # raises the error if that is not about render_mode
    if made.render_mode == "rgb_array":
        return made
    close(made)
    raise UserError(f"a film needs an environment that takes render_mode='rgb_array': {why}")


def _fps(env: gym.Env) -> float:
    """The frames a second that the environment's metadata name, if that is a number in a sensible range, otherwise FPS."""
    metadata: Any = getattr(env, "metadata", None)
    fps = metadata.get("render_fps") if isinstance(metadata, dict) else None
    return float(fps) if isinstance(fps, Real) and not isinstance(fps, bool) and SLOWEST <= float(fps) <= FASTEST else FPS


def _played(agent: Agent, env: gym.Env, episodes: int, seed: int, explore: bool) -> Iterator[np.ndarray]:
    for episode in range(episodes):
        obs, _ = env.reset(seed=seed + episode)
        over = False
        while not over:
            yield from _draw(env)
            obs, _, term, trunc, _ = env.step(agent.act(obs, explore=explore))
            over = term or trunc
        yield from _draw(env)


def _draw(env: gym.Env) -> list[np.ndarray]:
    """Copies of the frames since the last call, for an environment may draw into the same array again.

    It is one frame, or several where actions are repeated.
    """
    try:
        picture: Any = env.render()
    except Exception as error:                              # drivers may raise any error
        raise UserError(f"the environment cannot draw here: {one_line(error, with_type=False)}") from None
    pictures = picture if isinstance(picture, list) else [picture]
    if not all(isinstance(x, np.ndarray) for x in pictures):
        raise UserError("the environment renders no pictures with render_mode='rgb_array'")
    return [x.copy() for x in pictures]


def _limited(frames: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """The first MOST_FRAMES frames; a message on stderr says if there were more. Raises UserError if there is none."""
    number = 0
    for number, frame in enumerate(frames, start=1):
        if number > MOST_FRAMES:
            tell(f"the film is cut after {MOST_FRAMES:,} frames")
            return
        yield frame
    if not number:
        raise UserError("the environment renders no pictures with render_mode='rgb_array'")


# -- files ---------------------------------------------------------------------------------------------------------------


def _images(frames: Iterator[np.ndarray]) -> Iterator[Image.Image]:
    """The frames as images in RGB. Raises UserError for frames of different sizes."""
    size = None
    for frame in frames:
        image = Image.fromarray(frame).convert("RGB")
        size = size or image.size
        if image.size != size:
            raise UserError("a film needs pictures of one size, and after {}×{} this environment drew {}×{}".format(
                *size, *image.size))
        yield image


def _mp4(file: IO[bytes], images: Iterator[Image.Image], fps: float) -> None:
    import imageio_ffmpeg

    first = next(images)
    width, height = (size // 2 * 2 for size in first.size)                 # the codec requires even sizes
    with closing(imageio_ffmpeg.write_frames(file.name, (width, height), fps=fps, macro_block_size=1, ffmpeg_log_level="quiet",
                                             output_params=["-f", "mp4"])) as ffmpeg:
        ffmpeg.send(None)
        for image in chain([first], images):
            ffmpeg.send(image.crop((0, 0, width, height)).tobytes())
    imageio_ffmpeg.count_frames_and_secs(file.name)                        # raises an error if ffmpeg could not finish the file


def _gif(file: IO[bytes], images: Iterator[Image.Image], fps: float) -> None:
    every = math.ceil(fps / GIF_FPS)
    kept = (image.quantize(64) for image in islice(images, 0, None, every))
    # Times are whole hundredths of a second: those at which frames end are rounded, so that errors do not add up.
    ends = np.round(100 * every / fps * np.arange(MOST_FRAMES + 1)).astype(int)
    next(kept).save(file, format="GIF", save_all=True, append_images=kept, duration=(10 * np.diff(ends)).tolist(), loop=0)
