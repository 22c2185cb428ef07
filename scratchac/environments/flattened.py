"""Observations of any space as vectors, in the order of Gymnasium's `flatten`; pictures stay pictures."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Any

import gymnasium as gym
import numpy as np

from scratchac.errors import UserError

MOST = 1_000_000            # most numbers of a flattened observation, to limit memory
SMALLEST = 16               # pixels on each side of a picture: what the encoder (conv.py) needs
NUMBERS = gym.spaces.Discrete, gym.spaces.MultiDiscrete, gym.spaces.MultiBinary, gym.spaces.Box


def is_picture(space: gym.Space) -> bool:
    """Whether observations are pictures (C, H, W) or (H, W, C): uint8, or floats between the same finite bounds everywhere."""
    if not isinstance(space, gym.spaces.Box) or len(space.shape) != 3:
        return False
    one_range = space.is_bounded() and np.ptp(space.low) == 0 == np.ptp(space.high) and space.low.flat[0] < space.high.flat[0]
    return space.dtype == np.uint8 or (space.dtype.kind == "f" and bool(one_range))


def is_large(shape: tuple[int, ...]) -> bool:
    """Whether pictures have SMALLEST × SMALLEST pixels or more, and more pixels on each side than channels."""
    sides = shape[1:] if shape[0] < shape[-1] else shape[:2]
    return min(sides) >= SMALLEST and min(sides) > min(shape[0], shape[-1])


class Flattened(gym.spaces.Box):
    """The vectors (O,) that the elements of `original` are flattened to: the vectors of its parts, one after another.

    A Discrete is one-hot (1 at its number, 0 elsewhere), and so is each number of a MultiDiscrete; a MultiBinary and a Box have
    their numbers, row by row; a Dict and a Tuple have their entries in order. Gymnasium's `flatten` gives the same numbers. Here
    they are float32, and a value that is no element of its part is an error, where `flatten` would convert it.

    parts    the place of each entry of a Dict in the vector, by its name; empty for other spaces
    places   (keys, place) of each space within Dicts and Tuples at any depth, in order

    Raises UserError for spaces that are not made of numbers, and for more than 1,000,000 numbers.
    """

    def __init__(self, original: gym.Space):
        why = not_numbers(original)
        if why:
            raise UserError(f"observation space {shortened(original)} cannot be flattened: {why}")
        flat: Any = gym.spaces.flatten_space(original)
        with np.errstate(over="ignore"):                                    # a bound beyond float32 becomes infinite
            super().__init__(flat.low.astype(np.float32), flat.high.astype(np.float32), dtype=np.float32)
        self.original = original
        entries = original.spaces if isinstance(original, gym.spaces.Dict) else {}
        self.parts = dict(zip(entries, _places(entries.values()), strict=True))
        keys, spaces = zip(*_parts(original), strict=True)
        self.places = list(zip(keys, _places(spaces), strict=True))

    def flatten(self, x: Any) -> np.ndarray:
        """The vector (O,) of an element of the original space. Raises ValueError for anything else."""
        return np.concatenate([_vector(space, value, name) for name, space, value in _leaves(self.original, x, "")])

    def read(self, obs: Any) -> np.ndarray:
        """One element of the original space as a vector (O,); vectors (O,) or (N, O) of floats stay as they are.

        Where the space is a Box itself only float32 counts as vectors; those of shape (1, O) are several, also if that is the
        shape of the Box. Raises UserError for anything else.
        """
        vectors = isinstance(obs, np.ndarray) and obs.dtype.kind == "f" and obs.ndim in (1, 2) and obs.shape[-1:] == self.shape
        if vectors and (obs.dtype == np.float32 or not isinstance(self.original, gym.spaces.Box)):
            return obs
        try:
            return self.flatten(obs)
        except ValueError as error:
            raise UserError(f"an observation is an element of {shortened(self.original)}, or one or several vectors of "
                            f"{self.shape[0]} float32 numbers: {error}") from None

    def __str__(self) -> str:
        return f"{shortened(self.original)} flattened to {self.shape[0]:,} numbers"


def observed(space: gym.Space) -> gym.Space:
    """What agents see of a space: itself, if it has vectors or large pictures or cannot be flattened, else it is `Flattened`."""
    stays = isinstance(space, gym.spaces.Box) and (len(space.shape) == 1 or (is_picture(space) and is_large(space.shape)))
    return space if stays or not_numbers(space) else Flattened(space)


def not_numbers(space: gym.Space) -> str | None:
    """Why a space cannot be flattened, or None."""
    size = 0
    for keys, part in _parts(space):
        for key in keys:
            if type(key) not in (str, int):
                return f"a Dict has the key {key!r}, and keys are text or whole numbers"
        name = _name(keys)
        if not isinstance(part, NUMBERS):
            hint = "; gymnasium.wrappers.FilterObservation leaves entries out" if name else ""
            return f"{f'its part {name}' if name else 'it'} is {shortened(part)}, which has no fixed set of numbers{hint}"
        size += gym.spaces.flatdim(part)
    return None if 0 < size <= MOST else f"it has {size:,} numbers, and 1 to {MOST:,} are possible"


def shortened(space: gym.Space) -> str:
    """A space in at most about 80 characters."""
    text = " ".join(str(space).split())
    return text if len(text) <= 80 else f"{text[:76]}…)"


def _parts(space: gym.Space, keys: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], gym.Space]]:
    """The spaces within Dicts and Tuples, in order, with the keys and numbers that lead to them."""
    if isinstance(space, gym.spaces.Dict | gym.spaces.Tuple):
        for key, part in space.spaces.items() if isinstance(space, gym.spaces.Dict) else enumerate(space.spaces):
            yield from _parts(part, (*keys, key))
    else:
        yield keys, space


def _places(spaces: Iterable[gym.Space]) -> list[slice]:
    """Where each of these spaces is in the vector that has one after another."""
    ends = np.cumsum([0, *map(gym.spaces.flatdim, spaces)]).tolist()
    return [slice(*place) for place in pairwise(ends)]


def _name(keys: tuple[Any, ...]) -> str:
    """A part's name, such as ['goal'][0]."""
    return "".join(f"[{key!r}]" for key in keys)


def alike(a: Any, b: Any) -> bool:
    """Whether the networks of an agent that observes space `a` see the same in space `b`.

    Vectors have the same length, pictures the same shape and range, and flattened spaces the same names, kinds and sizes of parts.
    """
    if isinstance(a, Flattened) or isinstance(b, Flattened):
        return isinstance(a, Flattened) and isinstance(b, Flattened) and _layout(a.original) == _layout(b.original)
    return a.shape == b.shape and (not is_picture(a) or (is_picture(b) and range_of(a) == range_of(b)))


def range_of(space: Any) -> tuple[float, float]:
    """The lowest and the highest value of pictures."""
    return (0.0, 255.0) if space.dtype == np.uint8 else (float(space.low.flat[0]), float(space.high.flat[0]))


def _layout(space: gym.Space) -> list[tuple[Any, ...]]:
    """Keys, kind, shape and numbers of choices of each part."""
    return [(keys, next(kind for kind in NUMBERS if isinstance(part, kind)), part.shape or (),
             np.ravel(getattr(part, "nvec", getattr(part, "n", 0))).tolist()) for keys, part in _parts(space)]


def _leaves(space: gym.Space, x: Any, name: str) -> Iterator[tuple[str, gym.Space, Any]]:
    """As `_parts`, with the value of each of them in x. Raises ValueError if x has other entries."""
    if isinstance(space, gym.spaces.Dict):
        if not isinstance(x, Mapping) or x.keys() != space.spaces.keys():
            found = f"the entries {', '.join(map(str, x))}" if isinstance(x, Mapping) else f"no entries: {type(x).__name__}"
            raise ValueError(f"the observation{name} has {found}, and its space {', '.join(map(str, space.spaces))}")
        for key, part in space.spaces.items():
            yield from _leaves(part, x[key], f"{name}[{key!r}]")
    elif isinstance(space, gym.spaces.Tuple):
        if not isinstance(x, tuple | list) or len(x) != len(space.spaces):
            raise ValueError(f"the observation{name} is {type(x).__name__}, and its space a Tuple of {len(space.spaces)} entries")
        for i, part in enumerate(space.spaces):
            yield from _leaves(part, x[i], f"{name}[{i}]")
    else:
        yield name, space, x


def _vector(space: Any, x: Any, name: str) -> np.ndarray:
    """The vector of an element of one of NUMBERS, float32. Raises ValueError for anything else."""
    x = as_array(x, space.shape, space.dtype, name).ravel()
    if isinstance(space, gym.spaces.Box):
        return without_loss(x, np.dtype(np.float32), name)
    # In int64: in the space's own dtype, such as int8, differences and sums could be too large.
    start = np.ravel(getattr(space, "start", 0)).astype(np.int64)
    sizes = np.ravel(space.n if isinstance(space, gym.spaces.Discrete) else getattr(space, "nvec", 2)).astype(np.int64)
    x = x.astype(np.int64)
    wrong = (x < start) | (x - start >= sizes)
    if wrong.any():
        raise ValueError(f"the observation{name} has the value {x[wrong][0]}, which is not in {shortened(space)}")
    if isinstance(space, gym.spaces.MultiBinary):
        return x.astype(np.float32)
    one_hot = np.zeros(sizes.sum(), np.float32)
    one_hot[np.cumsum(sizes) - sizes + x - start] = 1
    return one_hot


def as_array(x: Any, shape: Any, dtype: Any, name: str = "") -> np.ndarray:
    """An observation, or a part of one, as an array of the shape and the dtype of its space. Raises ValueError for anything else.

    name    of the part, if it is not all of the observation
    """
    if isinstance(x, np.ma.MaskedArray):
        raise ValueError(f"the observation{name} is a masked array, whose masked values nobody knows")
    try:
        x = np.asarray(x)
    except ValueError:                                                      # a list of lists of different lengths
        raise ValueError(f"the observation{name} is {type(x).__name__}, not numbers of shape {shape}") from None
    if x.shape != shape or x.dtype.kind not in "fiub":
        raise ValueError(f"the observation{name} is {x.dtype} of shape {x.shape}, and its space says {shape}")
    return without_loss(x, dtype, name)


def without_loss(x: np.ndarray, dtype: Any, name: str = "") -> np.ndarray:
    """The array with another dtype. Raises ValueError for the first value that would become a different one.

    Floats may lose digits, but stay finite; whole numbers stay the same numbers, as far as a float can hold them.

    name    of the array among the observation's parts, if it is not all of it
    """
    if x.dtype == dtype:
        return x
    with np.errstate(all="ignore"):                                         # what does not fit is found below
        cast = x.astype(dtype)
    lost = np.isfinite(x) & ~np.isfinite(cast) if np.dtype(dtype).kind == "f" else cast != x
    if lost.any():
        raise ValueError(f"the observation{name} has the value {x[lost][0]}, and the dtype of its space is {np.dtype(dtype)}")
    return cast
