"""Seeds for environments that draw from generators other than their own: their spaces, and the global ones of NumPy and Python."""

import random
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import gymnasium as gym
import numpy as np

from scratchac.blocks import Shared
from scratchac.kinds import GENERATORS


def seed_global_generators(seed: int) -> None:
    """Seed NumPy's and Python's global generators in this process. Agents draw from none of them."""
    np.random.seed(seed % 2**32)  # noqa: NPY002                            # what some environments draw from
    random.seed(seed)


@contextmanager
def _states_kept() -> Iterator[None]:
    before = np.random.get_state(), random.getstate()  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(before[0])  # noqa: NPY002
        random.setstate(before[1])


_KEPT = Shared(_states_kept)


def global_generators_kept() -> Shared:
    """After the block the global generators go on where they were: a program's own draws do not depend on a training in between."""
    return _KEPT


def seed_inside(env: Any, seed: int) -> None:
    """Seed what an environment and what it holds may draw from although no `reset` seeds it.

    These are their spaces, for some draw by `self.action_space.sample()`, and Gymnasium's generators `np_random` that are not
    seeded yet: those of environments whose `reset` leaves out `super().reset(seed=seed)`, or that are always reset without a seed.
    """
    seed_spaces(env, seed)
    for number, held in enumerate(held_by(env)):
        if getattr(held, "_np_random", seed) is None:                       # a wrapper has none
            with suppress(AttributeError):                                  # np_random may be a property of its own
                held.np_random = np.random.default_rng([seed, number])


def seed_spaces(env: Any, seed: int) -> None:
    """Seed the spaces of an environment and of what it holds, as far as they can be."""
    for space in _spaces_in(env):
        with suppress(Exception):                                           # a space may have a class of its own
            space.seed(seed)


def held_by(env: Any) -> list[Any]:
    """An environment and all that it or its wrappers hold, in attributes or in lists, tuples and dicts there."""
    found: dict[int, Any] = {}
    todo = [env]
    while todo:
        held = todo.pop()
        if id(held) not in found and _is_environment(held):
            found[id(held)] = held
            todo += _attributes(held)
    return list(found.values())


def generators_of_spaces(env: Any) -> list[Any]:
    """The generators of the spaces that `seed_spaces` seeds, in the same order in every process; None for one that is not shown."""
    generators: list[Any] = []
    for space in _spaces_in(env):
        generators.append(None)
        with suppress(Exception):
            generators[-1] = space.np_random
    return generators


def state_of(generator: Any) -> Any:
    """The state of one of NumPy's generators. Raises an error for any other, whose state a checkpoint cannot hold."""
    state = generator.bit_generator.state
    if state["bit_generator"] not in GENERATORS:
        raise ValueError(f"no generator of NumPy's: {state['bit_generator']}")
    return state


def global_state() -> tuple[Any, ...]:
    """The states of NumPy's and Python's global generators; two are equal if nobody has drawn from them in between."""
    _, keys, *rest = np.random.get_state()  # noqa: NPY002
    return np.asarray(keys).tobytes(), *rest, random.getstate()


def _is_environment(held: Any) -> bool:
    """Whether this is an environment: one of Gymnasium's, or of gym, dm_env or PettingZoo, which an adapter may hold."""
    if isinstance(held, gym.Env):
        return True
    acts = all(callable(getattr(type(held), name, None)) for name in ("reset", "step"))
    return acts and not {"action_space", "action_spec"}.isdisjoint(dir(held))


def _spaces_in(env: Any) -> list[gym.Space]:
    """The spaces in attributes of an environment, of what it holds, and of their classes, and those that these consist of."""
    found: dict[int, gym.Space] = {}
    todo = []
    for held in held_by(env):
        for name in ("action_space", "observation_space"):                  # they may be properties
            with suppress(Exception):
                todo.append(getattr(held, name))
        todo += _attributes(held) + [value for above in type(held).__mro__ for value in vars(above).values()]
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
