"""What someone writes to train in environments that need a wrapper, an argument from Python, or a translation: `--env outside:ID`.

An import happens in the function that needs it, so that each id needs its own package alone.
"""

import gymnasium
import numpy as np


def minigrid_without_text(**kwargs):
    import minigrid  # noqa: F401

    return gymnasium.wrappers.FilterObservation(gymnasium.make("MiniGrid-Empty-5x5-v0", **kwargs), ["image", "direction"])


def minigrid_image(**kwargs):
    from minigrid.wrappers import ImgObsWrapper

    return ImgObsWrapper(gymnasium.make("MiniGrid-Empty-5x5-v0", **kwargs))


def minigrid_flat(**kwargs):
    from minigrid.wrappers import FlatObsWrapper

    return FlatObsWrapper(gymnasium.make("MiniGrid-Empty-5x5-v0", **kwargs))


def minigrid_pixels(**kwargs):
    from minigrid.wrappers import ImgObsWrapper, RGBImgPartialObsWrapper

    return ImgObsWrapper(RGBImgPartialObsWrapper(gymnasium.make("MiniGrid-Empty-5x5-v0", **kwargs)))


def pong(**kwargs):
    import ale_py

    gymnasium.register_envs(ale_py)
    game = gymnasium.make("ALE/Pong-v5", frameskip=1, **kwargs)
    return gymnasium.wrappers.AtariPreprocessing(game, grayscale_newaxis=True)


def trading(**kwargs):
    import pandas as pd
    from gym_trading_env.environments import TradingEnv

    hours = np.arange(300)
    price = 100 + 10 * np.sin(hours / 9)
    table = pd.DataFrame({"open": price, "high": price + 1, "low": price - 1, "close": price, "volume": 1.0},
                         index=pd.date_range("2024-01-01", periods=len(hours), freq="h"))
    table["feature_change"] = table["close"].pct_change()
    return TradingEnv(df=table.dropna(), positions=[-1, 0, 1], verbose=0, **kwargs)


def treasure(**kwargs):
    import mo_gymnasium

    return mo_gymnasium.wrappers.LinearReward(mo_gymnasium.make("deep-sea-treasure-v0", **kwargs), np.array([0.9, 0.1]))


def crafter(**kwargs):
    import crafter

    class Crafter(gymnasium.Env):
        """Crafter's own class has the interface of gym before 0.26, and takes its seed when it is made."""

        observation_space, action_space = gymnasium.spaces.Box(0, 255, (64, 64, 3), np.uint8), gymnasium.spaces.Discrete(17)
        metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012

        def __init__(self, render_mode=None):
            self.render_mode = render_mode

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            self.inner = crafter.Env(seed=int(self.np_random.integers(2**31)))
            return self.inner.reset(), {}

        def step(self, action):
            obs, reward, done, info = self.inner.step(action)
            return obs, reward, done, False, info

        def render(self):
            return self.inner.render((256, 256))

    return Crafter(**kwargs)


for name, function in (("MiniGridWithoutText-v0", minigrid_without_text), ("MiniGridImage-v0", minigrid_image),
                       ("MiniGridFlat-v0", minigrid_flat), ("MiniGridPixels-v0", minigrid_pixels), ("PongFrames-v0", pong),
                       ("Trading-v0", trading), ("Treasure-v0", treasure), ("Crafter-v0", crafter)):
    gymnasium.register(name, function, max_episode_steps=200)
