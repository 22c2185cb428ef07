"""Seeds for environments that draw from generators other than their own: their spaces, and the global ones of NumPy and Python."""

import random
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import gymnasium as gym
import numpy as np


def seed_global_generators(seed: int) -> None:
    """Seed NumPy's and Python's global generators in this process. Agents draw from none of them."""
    np.random.seed(seed % 2**32)  # noqa: NPY002                            # what some environments draw from
    random.seed(seed)


@contextmanager
def global_generators_kept() -> Iterator[None]:
    """After the block the global generators go on where they were: a program's own draws do not depend on a training in between."""
    before = np.random.get_state(), random.getstate()  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(before[0])  # noqa: NPY002
        random.setstate(before[1])


def seed_spaces(env: Any, seed: int) -> None:
    """Seed the spaces of an environment and of what it holds: some environments draw by `self.action_space.sample()`."""
    for space in _spaces_in(env):
        space.seed(seed)


def held_by(env: Any) -> list[Any]:
    """An environment and all that it or its wrappers hold, in attributes or in lists, tuples and dicts there."""
    found: dict[int, Any] = {}
    todo = [env]
    while todo:
        held = todo.pop()
        if isinstance(held, gym.Env) and id(held) not in found:
            found[id(held)] = held
            todo += _attributes(held)
    return list(found.values())


def generators_of_spaces(env: Any) -> list[np.random.Generator]:
    """The generators of the spaces that `seed_spaces` seeds, in the same order in every process."""
    return [space.np_random for space in _spaces_in(env)]


def global_state() -> tuple[Any, ...]:
    """The states of NumPy's and Python's global generators; two are equal if nobody has drawn from them in between."""
    _, keys, *rest = np.random.get_state()  # noqa: NPY002
    return np.asarray(keys).tobytes(), *rest, random.getstate()


def _spaces_in(env: Any) -> list[gym.Space]:
    """The spaces that an environment and what it holds have in their attributes, and those that these consist of."""
    found: dict[int, gym.Space] = {}
    todo = []
    for held in held_by(env):
        for name in ("action_space", "observation_space"):                  # they may belong to the class, or be properties
            with suppress(Exception):
                todo.append(getattr(held, name))
        todo += _attributes(held)
    while todo:
        space = todo.pop(0)
        if isinstance(space, gym.Space) and id(space) not in found:
            found[id(space)] = space
            todo += _attributes(space)
    return list(found.values())


def _attributes(holder: Any) -> list[Any]:
    """The attributes of an object, of its slots too, and what lists, tuples and dicts among them contain."""
    slots = [name for above in type(holder).__mro__ for name in getattr(above, "__slots__", ())]
    values = [*getattr(holder, "__dict__", {}).values(), *(getattr(holder, name, None) for name in slots if isinstance(name, str))]
    inner = [x for value in values if isinstance(value, list | tuple | dict)
             for x in (value.values() if isinstance(value, dict) else value)]
    return values + inner
