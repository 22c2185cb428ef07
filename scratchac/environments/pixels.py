"""Pictures as observations: Gymnasium's wrappers, chosen by the `pixels` argument of `make`.

    make("CarRacing-v3", pixels={"size": 48, "stack": 4, "repeat": 8})          observations (4, 48, 48), uint8

The run's config.json has the argument among its env_args, so that evaluation, films and resumed runs see the same.
"""

from dataclasses import dataclass, fields
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.wrappers import FrameStackObservation, GrayscaleObservation, TransformObservation
from PIL import Image

from scratchac.errors import UserError, unknown


@dataclass(frozen=True)
class Pixels:
    """What `pixels` may say; each number is at least 1."""

    size: int = 48
    """Height and width of a picture, in grey."""
    stack: int = 4
    """How many of the last pictures are seen at once, so that motion is."""
    repeat: int = 1
    """Frames for which an action is played."""
    patience: int | None = None
    """In training, cut an episode off after so many actions without a reward above 0; evaluation never does."""


def wrap(env: gym.Env, settings: Any, training: bool = False) -> gym.Env:
    """Wrap an environment of coloured pictures (H, W, 3). Raises UserError for settings that do not exist, or do not fit."""
    names = [field.name for field in fields(Pixels)]
    if not isinstance(settings, dict):
        raise UserError(f"pixels takes {', '.join(names)}, such as {{\"size\": 48, \"repeat\": 8}}, not {settings!r}")
    for name, value in settings.items():
        if name not in names:
            raise unknown("setting of pixels", name, names)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise UserError(f"{name} of pixels must be a whole number of at least 1, not {value!r}")
    space, chosen = env.observation_space, Pixels(**settings)
    if not (isinstance(space, gym.spaces.Box) and space.dtype == np.uint8 and len(space.shape) == 3 and space.shape[-1] == 3):
        raise UserError(f"pixels needs coloured pictures, uint8 of shape (height, width, 3), and observations are {space}")
    if chosen.repeat > 1:
        env = RepeatAction(env, chosen.repeat)
    if training and chosen.patience:
        env = Patience(env, chosen.patience)
    size = (chosen.size, chosen.size)
    env = TransformObservation(GrayscaleObservation(env), lambda obs: _resized(obs, size), gym.spaces.Box(0, 255, size, np.uint8))
    return FrameStackObservation(env, chosen.stack)


def _resized(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BOX))


class RepeatAction(gym.Wrapper):
    """Plays each action several times; gives the last observation and the sum of the rewards.

    CarRacing spends 99% of its time on drawing what is seen from above. Here it draws the last frame alone: its physics does not
    depend on what nobody looks at.
    """

    def __init__(self, env: gym.Env, times: int):
        super().__init__(env)
        self.times = times
        self.film: list[Any] = []
        self.skips_drawing = type(env.unwrapped).__name__ == "CarRacing"

    def reset(self, **kwargs: Any) -> Any:
        """As the environment's."""
        self.film = []
        return self.env.reset(**kwargs)

    def step(self, action: Any) -> Any:
        """The last observation, and the sum of the rewards."""
        car: Any = self.env.unwrapped
        total = 0.0
        for frame in range(1, self.times + 1):
            unseen = self.skips_drawing and frame < self.times
            if unseen:
                car._render = lambda mode: car.state.copy()
            obs, reward, term, trunc, info = self.env.step(action)
            if unseen:
                del car._render                                 # the method of its class is back
            total += float(reward)
            if term or trunc:
                break
            if frame < self.times and self.render_mode == "rgb_array":
                self.film.append(self.env.render())
        if unseen:                                              # the episode ended before its last frame was drawn
            obs = car.state = car._render("state_pixels")
        return obs, total, term, trunc, info

    def render(self) -> Any:
        """In the mode "rgb_array" a list: all frames since it was last asked for."""
        picture = self.env.render()
        if self.render_mode != "rgb_array":
            return picture
        pictures, self.film = [*self.film, picture], []
        return pictures


class Patience(gym.Wrapper):
    """Cuts an episode off, as a time limit does, once no reward above 0 has come for `limit` steps."""

    def __init__(self, env: gym.Env, limit: int):
        super().__init__(env)
        self.limit = limit
        self.waited = 0

    def reset(self, **kwargs: Any) -> Any:
        """As the environment's."""
        self.waited = 0
        return self.env.reset(**kwargs)

    def step(self, action: Any) -> Any:
        """As the environment's, but for the cut."""
        obs, reward, term, trunc, info = self.env.step(action)
        self.waited = 0 if float(reward) > 0 else self.waited + 1
        return obs, reward, term, trunc or self.waited >= self.limit, info
