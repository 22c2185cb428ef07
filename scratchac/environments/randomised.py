"""Domain randomisation: LunarLander with new physical parameters in each episode."""

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np

from scratchac.errors import UserError

DRAWN = ("gravity", "enable_wind", "wind_power", "turbulence_power")     # arguments of the environment that are drawn


def require_undrawn(env_args: Mapping[str, Any]) -> None:
    """Raise UserError for an argument that would be drawn: training would not have its value, and evaluations would."""
    if given := [name for name in DRAWN if name in env_args]:
        raise UserError(f"--randomise draws {given[0]} anew in each episode of training: leave out one of the two")


class RandomisedLander(gym.Wrapper):
    """LunarLander whose gravity, wind and turbulence are drawn anew at each reset.

    g ~ N(−10, 2) in [−11.99, −0.01], wind on or off, wind power ~ N(15, 2) in [0.01, 19.99], turbulence ~ N(1.5, 1) in
    [0.01, 1.99]: the means are the environment's own values, the limits its recommended bounds.
    """

    def __init__(self, env: gym.Env, rng: np.random.Generator):
        super().__init__(env)
        if not hasattr(env.unwrapped, "turbulence_power"):
            raise UserError(f"domain randomisation knows LunarLander only, not {env.spec.id if env.spec else env}")
        self.rng = rng

    def reset(self, **kwargs: Any) -> Any:
        """Draw new physical parameters and begin an episode with them."""
        lander: Any = self.env.unwrapped
        draw = self.rng.normal
        lander.gravity = float(np.clip(draw(-10, 2), -11.99, -0.01))
        lander.enable_wind = bool(self.rng.random() < 0.5)
        lander.wind_power = float(np.clip(draw(15, 2), 0.01, 19.99))
        lander.turbulence_power = float(np.clip(draw(1.5, 1), 0.01, 1.99))
        return self.env.reset(**kwargs)
