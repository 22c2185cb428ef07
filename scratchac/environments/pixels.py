"""Pictures as observations: Gymnasium's wrappers, chosen by the `pixels` argument of `make`.

    make("CarRacing-v3", pixels={"size": 48, "stack": 4, "repeat": 8})          observations (4, 48, 48), uint8

A run's config.json has this argument among its env_args, so that evaluation, videos and resumed runs use the same settings.
"""

from copy import copy
from dataclasses import dataclass, fields
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.wrappers import FrameStackObservation, TransformObservation
from PIL import Image

from scratchac.environments.flattened import as_array, shortened
from scratchac.errors import UserError, unknown

MOST = 1_000                    # pixels on a side, and pictures in one observation, to limit memory
LUMA = (0.2125, 0.7154, 0.0721, 0)  # weights of red, green and blue, those of Gymnasium's GrayscaleObservation, and an offset


@dataclass(frozen=True)
class Pixels:
    """The settings in `pixels`; each number is at least 1, size and stack at most 1,000."""

    size: int = 48
    """Height and width of a picture, which is grey."""
    stack: int = 4
    """Number of the last pictures in one observation, which shows motion."""
    repeat: int = 1
    """Frames for which an action is repeated."""
    patience: int | None = None
    """In training, truncate an episode after this many actions without a reward above 0; evaluation never does. None: never."""


def wrap(env: gym.Env, settings: Any, training: bool = False) -> gym.Env:
    """Wrap an environment of coloured pictures (H, W, 3), which are checked before they become grey: that would hide what is wrong.

    Raises UserError for settings that do not exist, or do not fit.
    """
    names = [field.name for field in fields(Pixels)]
    if not isinstance(settings, dict):
        raise UserError(f"pixels takes {', '.join(names)}, such as {{\"size\": 48, \"repeat\": 8}}, not {settings!r}")
    for name, value in settings.items():
        if name not in names:
            raise unknown("setting of pixels", name, names)
        if (name, value) != ("patience", None) and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
            raise UserError(f"{name} of pixels must be a whole number of at least 1, not {value!r}")
        if name in ("size", "stack") and value > MOST:
            raise UserError(f"{name} of pixels must be at most {MOST:,}, not {value}")
    space, chosen = env.observation_space, Pixels(**settings)
    if not (isinstance(space, gym.spaces.Box) and space.dtype == np.uint8 and len(space.shape) == 3 and space.shape[-1] == 3):
        raise UserError("pixels needs coloured pictures, uint8 of shape (height, width, 3), and observations are "
                        f"{shortened(space)}")
    if chosen.repeat > 1:
        env = RepeatAction(env, chosen.repeat)
    if training and chosen.patience:
        env = Patience(env, chosen.patience)
    size = (chosen.size, chosen.size)
    env = TransformObservation(env, lambda obs: _grey(as_array(obs, space.shape, space.dtype), size),
                               gym.spaces.Box(0, 255, size, np.uint8))
    return FrameStackObservation(env, chosen.stack)


def _grey(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A coloured picture in grey and of this size. For 96 × 96 pixels Pillow takes a sixth of NumPy's time."""
    return np.asarray(Image.fromarray(picture).convert("L", LUMA).resize(size, Image.Resampling.BOX))


class RepeatAction(gym.Wrapper):
    """Repeats each action several times; returns the last observation and the sum of the rewards.

    CarRacing spends 99% of its time on drawing the view from above. Here it draws only the last frame: its physics does not depend
    on the frames that are left out.
    """

    def __init__(self, env: gym.Env, times: int):
        super().__init__(env)
        self.times = times
        self.film: list[Any] = []
        self.skips_drawing = type(env.unwrapped).__name__ == "CarRacing"

    def reset(self, **kwargs: Any) -> Any:
        """`reset` of the environment."""
        self.film = []
        return self.env.reset(**kwargs)

    def step(self, action: Any) -> Any:
        """Repeat the action; returns the last observation and the sum of the rewards."""
        car: Any = self.env.unwrapped
        total = 0.0
        for frame in range(1, self.times + 1):
            unseen = self.skips_drawing and frame < self.times
            if unseen:
                car._render = lambda mode: car.state.copy()
            obs, reward, term, trunc, info = self.env.step(action)
            if unseen:
                del car._render                                 # the method of the class is used again
            total += float(reward)
            if term or trunc:
                break
            if frame < self.times and self.render_mode == "rgb_array":
                self.film.append(copy(self.env.render()))       # an environment may draw into the same array again
        if unseen:                                              # the episode ended before its last frame was drawn
            obs = car.state = car._render("state_pixels")
        return obs, total, term, trunc, info

    def render(self) -> Any:
        """In the mode "rgb_array" a list of all frames since the last call."""
        picture = self.env.render()
        if self.render_mode != "rgb_array":
            return picture
        pictures, self.film = [*self.film, picture], []
        return pictures


class Patience(gym.Wrapper):
    """Truncates an episode, as a time limit does, after `limit` steps without a reward above 0."""

    def __init__(self, env: gym.Env, limit: int):
        super().__init__(env)
        self.limit = limit
        self.waited = 0

    def reset(self, **kwargs: Any) -> Any:
        """`reset` of the environment."""
        self.waited = 0
        return self.env.reset(**kwargs)

    def step(self, action: Any) -> Any:
        """`step` of the environment, with the truncation."""
        obs, reward, term, trunc, info = self.env.step(action)
        self.waited = 0 if float(reward) > 0 else self.waited + 1
        return obs, reward, term, trunc or self.waited >= self.limit, info
