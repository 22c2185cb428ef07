"""Environments that somebody has made already: one, or several that Gymnasium's interface `vector.VectorEnv` steps together."""

from collections.abc import Callable, Iterator
from copy import copy
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv, VectorWrapper
from gymnasium.wrappers import TimeLimit

from scratchac.errors import UserError

PLAIN = {"RecordEpisodeStatistics", "RecordVideo", "HumanRendering", "JaxToNumpy"}     # wrappers that leave the task as it is
OF_MAKE = {"TimeLimit", "OrderEnforcing", "PassiveEnvChecker", "Autoreset"}             # that `gymnasium.make` adds
OF_MAKE_VEC = {"num_envs", "vectorization_mode", "vector_kwargs", "wrappers"}           # what it adds to an environment's arguments


class LeftOpen(gym.Wrapper):
    """The environment of somebody else, who closes it."""

    def close(self) -> None:
        """Do nothing."""


class Instance:
    """A callable that gives one and the same environment at each call, as other callables make new ones.

    Its name is the environment's id, or its class if it has none. Raises UserError for arguments, which come too late.

    arguments       that it was made with, as far as its spec says so
    full_name       tells it from other environments of this id: RescaleAction(Pendulum-v1(g=3.0))
    """

    def __init__(self, env: gym.Env):
        self.env = env
        spec = getattr(env.unwrapped, "spec", None)
        self.__name__ = spec.id if spec else type(env.unwrapped).__name__
        limits = [wrapper._max_episode_steps for wrapper in _around(env) if isinstance(wrapper, TimeLimit)]
        self.arguments = getattr(spec, "kwargs", {})        # a third party's spec may have none
        self.full_name = _full_name(self.__name__, self.arguments, min(limits, default=None), _changing(env))

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

    none            why there is no single environment, in words; None if there is one
    arguments       and full_name: as of an Instance
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
        changing, kwargs = _changing(env), spec.kwargs if spec else {}
        inner = [getattr(wrapper, "__name__", type(wrapper).__name__) for wrapper in reversed(kwargs.get("wrappers", ()))]
        self.arguments = {name: x for name, x in kwargs.items() if name not in OF_MAKE_VEC}
        self.full_name = _full_name(self.__name__, self.arguments, spec and spec.max_episode_steps, changing + inner)
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


def _around(env: Any) -> Iterator[Any]:
    """The wrappers around an environment or a vectorised one, the outermost first."""
    while isinstance(env, gym.Wrapper | VectorWrapper):
        yield env
        env = env.env


def _changing(env: Any) -> list[str]:
    """The names of the wrappers that may change the task; those that are not Gymnasium's begin with their module."""
    kinds = map(type, _around(env))
    names = (x.__name__ if x.__module__.startswith("gymnasium.") else f"{x.__module__}.{x.__name__}" for x in kinds)
    return [name for name in names if name not in PLAIN | OF_MAKE]


def _full_name(name: str, arguments: dict[str, Any], limit: int | None, wrappers: list[str]) -> str:
    """The name with the arguments that the environment was made with, and a time limit that is not the id's, within wrappers."""
    registered = gym.registry.get(name)
    if limit != (registered and registered.max_episode_steps):
        arguments = arguments | {"max_episode_steps": limit}
    known = {"render_mode": arguments.get("render_mode"), **(registered.kwargs if registered else {})}
    given = [f"{key}={as_text(x)}" for key, x in arguments.items() if key not in known or not _equal(x, known[key])]
    return "(".join([*wrappers, name + (f"({', '.join(given)})" if given else "")]) + ")" * len(wrappers)


def _equal(a: Any, b: Any) -> bool:
    """Whether two arguments are the same, of which any may be arrays."""
    return a is b or bool(np.all(a == b))


def as_text(value: Any) -> str:
    """Text and numbers as they are written; anything else by its kind, since the name of an environment is kept in files."""
    return repr(value) if isinstance(value, str | int | float | None) else type(value).__name__


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
