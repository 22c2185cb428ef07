"""A video of a policy: video.mp4 if the `video` extra is installed, otherwise video.gif."""

import importlib.util
import math
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any, Literal, get_args

import numpy as np
from PIL import Image

from scratchac.algorithms.config import whole
from scratchac.environments.drawing import draw_without_screen
from scratchac.environments.make import close
from scratchac.environments.rewind import Checked
from scratchac.environments.seeding import global_generators_kept, seed_global_generators
from scratchac.errors import TrainingError, UserError, one_line, unknown
from scratchac.experiments import frames
from scratchac.experiments.files import atomic_file
from scratchac.experiments.frames import FPS
from scratchac.messages import tell
from scratchac.training.agent import Agent
from scratchac.training.checks import require_fit

__all__ = ["FPS", "Pick", "record", "render"]

GIF_FPS = 30                    # a GIF can play at most 50 frames a second and stores each whole, so fewer are kept
MOST_FRAMES = 5_000             # of one film: an episode may never end, and the frames of a GIF stay in memory until its end
CANDIDATES = 10                 # episodes from which some are picked
Pick = Literal["best", "median", "worst"]
Shot = tuple[np.ndarray, str, bool]     # a frame, its caption, and whether it is the last one of an episode


def record(agent: Agent, env: Any, folder: Any, episodes: int = 1, seed: int = 0, pick: Sequence[Pick] = (),
           stem: str = "video", explore: bool = False, out: Any = None, **kwargs: Any) -> Path:
    """Play and write the video into `folder`, where it replaces an earlier one when it is complete. Returns its path.

    A corner shows step and return.

    pick    film the best, the median or the worst of CANDIDATES episodes, or several of these, instead of the first `episodes`; the
            file's name then says which. The median is the lower of the two in the middle.
    stem    the file's name without that and without .mp4 or .gif
    explore     sample actions; otherwise the policy is deterministic
    out         a new file .gif or .mp4 instead; nothing is overwritten

    Raises UserError if the environment cannot render, or its frames cannot be encoded, and EnvironmentFailed.
    """
    for name in pick:
        if name not in get_args(Pick):
            raise unknown("pick", name, list(get_args(Pick)))
    able = importlib.util.find_spec("imageio_ffmpeg") is not None
    path = Path(folder) / f"{'-'.join([stem, *pick])}.{'mp4' if able else 'gif'}" if out is None else Path(out)
    if path.suffix not in (".gif", ".mp4"):
        raise UserError(f"a film is a file .gif or .mp4, not {path}")
    if path.suffix == ".mp4" and not able:
        raise UserError(f"{path} needs a package that is missing: pip install 'imageio[ffmpeg]>=2.31'; a .gif needs none")
    if out is not None and path.exists():
        raise UserError(f"{path} exists already, and nothing is overwritten: name another file, or remove it")
    with _film(agent, env, episodes, seed, pick, kwargs, explore) as (shots, fps), atomic_file(path) as file:
        try:
            (_mp4 if path.suffix == ".mp4" else _gif)(file, _images(shots), fps)
        except (UserError, TrainingError):
            raise
        except Exception as error:                          # the encoders raise many different ones
            raise UserError(f"{path.name} cannot be encoded: {one_line(error)}") from error
    return path


def render(agent: Agent, env: Any, episodes: int = 1, seed: int = 0, **kwargs: Any) -> list[np.ndarray]:
    """The frames (H, W, 3) of some deterministic episodes, at most MOST_FRAMES, without captions. Raises as `record` does."""
    with _film(agent, env, episodes, seed, (), kwargs) as (shots, _):
        return [frame for frame, *_ in shots]


def as_gif(path: Path) -> bytes:
    """The content of a GIF, or an MP4 as a GIF. Raises CalledProcessError for what is none."""
    if path.suffix == ".gif":
        return path.read_bytes()
    import imageio_ffmpeg

    # A palette for each frame: one for all would keep every frame in memory until the last one is known.
    colours = "split[a][b];[a]palettegen=stats_mode=single[p];[b][p]paletteuse=new=1:dither=none"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", f"file:{path}", "-filter_complex", f"fps={GIF_FPS},{colours}"]
    return subprocess.run([*command, "-f", "gif", "-"], stdin=subprocess.DEVNULL, capture_output=True, check=True).stdout


# -- frames --------------------------------------------------------------------------------------------------------------


@contextmanager
def _film(agent: Agent, env: Any, episodes: int, seed: int, pick: Sequence[Pick],
          kwargs: dict[str, Any], explore: bool = False) -> Iterator[tuple[Iterator[Shot], float]]:
    """The shots of some episodes, each drawn when it is asked for, and how many of them make a second."""
    episodes, seed = whole("--episodes", episodes, 1), whole("--seed", seed, 0)
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")                      # frames in memory need no screen
    draw_without_screen()
    with global_generators_kept():
        seed_global_generators(seed)                                       # for an environment that draws from them when it is made
        made = Checked(frames.drawing(env, kwargs))
        try:
            require_fit(agent, made, env)
            yield _limited(_shots(agent, made, episodes, seed, pick, explore)), frames.rate(made, env)
        finally:
            close(made)


def _shots(agent: Agent, env: Checked, episodes: int, seed: int, pick: Sequence[Pick], explore: bool) -> Iterator[Shot]:
    players = [Player(agent, explore) for _ in range(CANDIDATES if pick else episodes)]
    parts = [(i, f"episode {i + 1}: " if episodes > 1 else "") for i in range(episodes)]
    if pick:
        returns = [_last(frames.played(player.act, env, seed + i, drawn=False)).total for i, player in enumerate(players)]
        order = np.argsort(returns, kind="stable")
        places = {"worst": order[0], "median": order[(CANDIDATES - 1) // 2], "best": order[-1]}
        parts = [(int(places[name]), f"{name} of {CANDIDATES}: ") for name in pick]
    for i, words in parts:
        for scene in frames.played(players[i].again(), env, seed + i):
            last = len(scene.frames) - 1
            yield from ((frame, frames.standing(scene, words), scene.over and j == last) for j, frame in enumerate(scene.frames))


class Player:
    """An agent in one episode, which it can play again: sampled actions would be others the second time."""

    def __init__(self, agent: Agent, explore: bool):
        self.agent, self.explore = agent, explore
        self.actions: list[Any] = []

    def act(self, obs: np.ndarray) -> Any:
        """The agent's action, which is kept."""
        self.actions.append(self.agent.act(obs, explore=self.explore))
        return self.actions[-1]

    def again(self) -> frames.Act:
        """A policy that repeats the actions so far, and then lets the agent act."""
        before = self.actions[::-1]
        return lambda obs: before.pop() if before else self.act(obs)


def _last(scenes: Iterator[frames.Scene]) -> frames.Scene:
    """The last scene of an episode, or that in which a film of it would be cut."""
    for scene in islice(scenes, MOST_FRAMES):
        last = scene
    return last


def _limited(shots: Iterator[Shot]) -> Iterator[Shot]:
    """The first MOST_FRAMES shots; a message on stderr says if there were more. Raises UserError if there is none."""
    number = 0
    for number, shot in enumerate(shots, start=1):
        if number > MOST_FRAMES:
            tell(f"the film is cut after {MOST_FRAMES:,} frames")
            return
        yield shot
    if not number:
        raise UserError(frames.NO_PICTURES)


# -- files ---------------------------------------------------------------------------------------------------------------


def _images(shots: Iterator[Shot]) -> Iterator[Image.Image]:
    """The frames with their captions as images in RGB, whose `info` says which end an episode.

    Raises UserError for frames of different sizes.
    """
    size = None
    for frame, text, last in shots:
        image = Image.fromarray(frame).convert("RGB")
        image.info["last"] = last
        frames.caption(image, text)
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
    kept = (image.quantize(64, Image.Quantize.FASTOCTREE) for i, image in enumerate(images)
            if i % every == 0 or image.info["last"])                        # a crash or a landing may be in the last frame alone
    # Times are whole hundredths of a second: those at which frames end are rounded, so that errors do not add up.
    ends = np.round(100 * every / fps * np.arange(MOST_FRAMES + 1)).astype(int)
    next(kept).save(file, format="GIF", save_all=True, append_images=kept, duration=(10 * np.diff(ends)).tolist(), loop=0)
