"""An environment that somebody has made already, where one environment is enough."""

from typing import Any

import gymnasium as gym

from scratchac.errors import UserError


class Kept(gym.Wrapper):
    """The environment of somebody else, who closes it."""

    def close(self) -> None:
        """Do nothing."""


class Instance:
    """A callable that gives one and the same environment at each call, as other callables make new ones.

    Its name is the environment's id, or its class if it has none. Raises UserError for arguments, which come too late.
    """

    def __init__(self, env: gym.Env):
        self.env = env
        spec = getattr(env.unwrapped, "spec", None)
        self.__name__ = spec.id if spec else type(env.unwrapped).__name__

    def __call__(self, **arguments: Any) -> gym.Env:
        """The environment, which nothing here closes."""
        if arguments:
            raise UserError(f"this {self.__name__} is made already, so it takes no arguments ({', '.join(arguments)})")
        return Kept(self.env)


def maker_of(env: Any) -> Any:
    """An id or a callable as it is; of an environment a callable that gives it."""
    return Instance(env) if isinstance(env, gym.Env) else env
