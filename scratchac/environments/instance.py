"""Environments that somebody has made already: one, or several that Gymnasium's interface `vector.VectorEnv` steps together."""

from collections.abc import Callable
from copy import copy
from typing import Any

import gymnasium as gym
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv, VectorWrapper

from scratchac.errors import UserError

PLAIN = {"RecordEpisodeStatistics", "RecordVideo", "HumanRendering", "JaxToNumpy"}     # wrappers that leave the task as it is
OF_MAKE_VEC = {"num_envs", "vectorization_mode", "vector_kwargs", "wrappers"}           # what it adds to an environment's arguments


class LeftOpen(gym.Wrapper):
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
        return LeftOpen(self.env)


class VectorInstance:
    """A vectorised environment, to train in, and a callable that makes single environments of the same task, to evaluate in.

    There is one if `gymnasium.make_vec` made the environments, which says from what, or if a SyncVectorEnv or AsyncVectorEnv did,
    whose first function is called. Wrappers around the vectorised environment may change the task, and there is none for a single
    environment; so there is none beyond those that only look on or convert arrays (PLAIN).

    none    why there is no single environment, in words; None if there is one
    """

    def __init__(self, env: gym.vector.VectorEnv):
        self.env = env
        base: Any = env.unwrapped
        self.n = getattr(env, "num_envs", None)
        spec = getattr(base, "spec", None)
        self.__name__ = spec.id if spec else type(base).__name__
        if not isinstance(self.n, int) or self.n < 1:
            raise UserError(f"num_envs of this {self.__name__} is {self.n!r}, not a number of environments")
        self.none: str | None = None
        self.spec: Any = spec if spec and "vectorization_mode" in spec.kwargs else None         # an entry that make_vec adds
        changing = [name for name in _wrappers(env) if name not in PLAIN]
        if changing:
            self.none = f"the wrapper {changing[0]} of this {self.__name__} may change the task"
        elif not self.spec and not isinstance(base, SyncVectorEnv | AsyncVectorEnv):
            self.none = f"this {self.__name__} does not say how one of its environments is made"

    def __call__(self, **arguments: Any) -> gym.Env:
        """A new single environment. Raises UserError if there is none."""
        base: Any = self.env.unwrapped
        if self.none:
            raise UserError(f"it needs a single environment, and {self.none}")
        if not self.spec:
            return _made_by(base.env_fns[0], self.__name__, arguments)
        kept = {name: x for name, x in self.spec.kwargs.items() if name not in OF_MAKE_VEC}
        spec = copy(self.spec)                              # it also has the wrappers of an environment whose spec it was
        spec.kwargs = {}
        made = gym.make(spec, **kept | arguments)
        for wrapper in self.spec.kwargs.get("wrappers", ()):
            made = wrapper(made)
        return made


def _wrappers(env: Any) -> list[str]:
    """The names of the wrappers around a vectorised environment; those of others begin with their module."""
    names = []
    while isinstance(env, VectorWrapper):
        kind = type(env)
        names.append(kind.__name__ if kind.__module__.startswith("gymnasium.") else f"{kind.__module__}.{kind.__name__}")
        env = env.env
    return names


def _made_by(make: Callable[..., gym.Env], name: str, arguments: dict[str, Any]) -> gym.Env:
    """What one of the functions of a SyncVectorEnv or AsyncVectorEnv makes; they take no arguments."""
    if arguments:
        raise UserError(f"the environments of this {name} are made already, so they take no arguments ({', '.join(arguments)})")
    return make()


def maker_of(env: Any) -> Any:
    """An id or a callable as it is; of an environment, or of a vectorised one, a callable that gives single environments."""
    if isinstance(env, gym.vector.VectorEnv):
        return VectorInstance(env)
    return Instance(env) if isinstance(env, gym.Env) else env
