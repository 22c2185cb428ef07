"""A video of a policy: video.mp4 if the `video` extra is installed, otherwise video.gif."""

import importlib.util
import os
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from PIL import Image

from scratchac.algorithms.config import whole
from scratchac.environments.games import GAMES
from scratchac.environments.make import has_screen, make, name_of
from scratchac.environments.rewind import Checked
from scratchac.errors import UserError, one_line
from scratchac.training.agent import Agent

FPS = 50
GIF_EVERY = 2                   # a GIF plays at most 50 frames a second and stores each whole, so only half of them are kept


def record(agent: Agent, env: Any, folder: Any, episodes: int = 1, seed: int = 0, **kwargs: Any) -> Path:
    """Play deterministically and write the video into `folder`; an earlier one is overwritten. Returns its path.

    Raises UserError if the environment cannot render.
    """
    frames = render(agent, env, episodes, seed, **kwargs)
    fps, every = (1, 1) if name_of(env) in GAMES else (FPS, GIF_EVERY)     # each position on a board is shown for a second
    if importlib.util.find_spec("imageio_ffmpeg"):
        import imageio.v3 as imageio

        path = Path(folder) / "video.mp4"
        height, width = (size // 2 * 2 for size in frames[0].shape[:2])     # the codec requires even sizes
        imageio.imwrite(path, np.stack(frames)[:, :height, :width], fps=fps, macro_block_size=1)
    else:
        path = Path(folder) / "video.gif"
        first, *rest = (Image.fromarray(frame).quantize(64) for frame in frames[::every])
        first.save(path, save_all=True, append_images=rest, duration=1000 * every // fps, loop=0)
    return path


def render(agent: Agent, env: Any, episodes: int = 1, seed: int = 0, **kwargs: Any) -> list[np.ndarray]:
    """The frames (H, W, 3) of some deterministic episodes."""
    episodes, seed = whole("--episodes", episodes, 1), whole("--seed", seed, 0)
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")                      # frames in memory need no screen
    if not has_screen():
        os.environ.setdefault("MUJOCO_GL", "egl")
    try:
        made = Checked(make(env, **kwargs | {"render_mode": "rgb_array"}))          # training may have had another render_mode
    except UserError as error:
        if "render_mode" not in str(error):
            raise
        raise UserError(f"a film needs an environment that takes render_mode='rgb_array': {error}") from None
    frames: list[np.ndarray] = []
    for episode in range(episodes):
        obs, _ = made.reset(seed=seed + episode)
        over = False
        while not over:
            frames += _draw(made)
            obs, _, term, trunc, _ = made.step(agent.act(obs, explore=False))
            over = term or trunc
        frames += _draw(made)
    made.close()
    if not isinstance(frames[0], np.ndarray):
        raise UserError("the environment renders no pictures with render_mode='rgb_array'")
    return frames


def _draw(env: gym.Env) -> list[np.ndarray]:
    """The frames since the last call: one, or several where actions are repeated."""
    try:
        picture: Any = env.render()
        return picture if isinstance(picture, list) else [picture]
    except Exception as error:                              # drivers may raise any error
        raise UserError(f"the environment cannot draw here: {one_line(error, with_type=False)}") from None
