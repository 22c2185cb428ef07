"""Spaces of observations and actions: which are supported, the distribution that fits one, and how one is saved."""

import math
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np

from scratchac.conv import Encoder
from scratchac.distributions import Categorical, ClippedGaussian, Distribution, Gaussian, MultiCategorical
from scratchac.environments.flattened import Flattened, is_picture, not_numbers, observed, range_of, shortened
from scratchac.errors import UserError, one_line
from scratchac.kinds import shown

LARGEST = 2**25                 # most numbers in all parts of a space that is read from a file
EXACT = 2**53                   # float64 holds every whole number up to here
UNBOUNDED = 1e10                # MuJoCo's largest number, which dm_control gives as a bound where there is none


def check_observation_space(space: gym.Space, pictures: bool = False) -> None:
    """Raise UserError unless observations are vectors, as `observed` makes them, or pictures if these are allowed."""
    if is_picture(space):
        if not pictures:
            raise UserError(f"observation space {shortened(space)} has pictures, which ppo and sac take; here it must be a Box of "
                            "one dimension (gymnasium.wrappers.FlattenObservation makes one)")
        return
    if not (isinstance(space, gym.spaces.Box) and len(space.shape) == 1 and space.shape[0] > 0):
        raise UserError(f"observation space {shortened(space)} is not supported: {not_numbers(space) or 'it must be flattened'}")


def encoder_for(space: Any) -> Encoder:
    """The encoder of these pictures."""
    low, high = range_of(space)
    return Encoder(space.shape, low=low, high=high)


def check_action_box(space: Any, algorithm: str) -> None:
    """Raise UserError unless actions are numbers between finite bounds, over which [−1, 1] can be stretched."""
    if not _is_box(space):
        others = "discrete-sac, a2c, ppo" if isinstance(space, gym.spaces.Discrete) else "a2c, ppo"
        hint = f"; {others} and others take these" if _is_discrete(space) else ""
        raise UserError(f"{algorithm} needs continuous actions, a Box, not {shortened(space)}{hint}")
    _check_range(space, algorithm, "")


def _is_box(space: gym.Space) -> bool:
    return isinstance(space, gym.spaces.Box) and space.low.size > 0


def _is_discrete(space: gym.Space) -> bool:
    return isinstance(space, gym.spaces.Discrete | gym.spaces.MultiDiscrete | gym.spaces.MultiBinary)


def _check_range(space: Any, algorithm: str, hint: str) -> None:
    with np.errstate(over="ignore"):
        length = space.high.astype(np.float64) - space.low if space.dtype.kind != "f" else space.high - space.low
    too_far = not np.isfinite(length).all() or (space.dtype.kind == "f" and float(length.max()) >= UNBOUNDED)
    if not space.is_bounded() or too_far:
        has = "bounds that are too far apart" if space.is_bounded() else "no finite bounds"
        raise UserError(f"action space {shortened(space)} has {has}, and {algorithm} stretches [-1, 1] over them{hint}")
    if space.dtype.kind != "f" and length.max() > EXACT:
        raise UserError(f"action space {shortened(space)} has more whole numbers than {algorithm} can tell apart{hint}")


def make_distribution(space: Any, state_dependent_std: bool = False, scaled: bool = True, clipped: bool = False) -> Distribution:
    """The action distribution for a space: Categorical for Discrete, MultiCategorical for MultiDiscrete and MultiBinary, Gaussian
    or, if `clipped`, ClippedGaussian for a Box.

    Raises UserError for other spaces and, if the Gaussian is scaled, for bounds over which [−1, 1] cannot be stretched.
    """
    if isinstance(space, gym.spaces.Discrete):
        return Categorical(int(space.n), int(space.start), space.dtype)
    if isinstance(space, gym.spaces.MultiDiscrete) and space.nvec.size:
        return MultiCategorical(space.nvec, space.start)
    if isinstance(space, gym.spaces.MultiBinary) and np.prod(space.shape):
        return MultiCategorical(np.full(space.shape, 2), np.zeros(space.shape, space.dtype))
    if _is_box(space):
        if scaled:
            _check_range(space, "the policy", "; --no-scale-actions acts in the environment's own units")
        elif space.dtype.kind != "f" and max(abs(int(space.low.min())), abs(int(space.high.max()))) > EXACT:
            raise UserError(f"action space {shortened(space)} has whole numbers beyond 2^53, which the policy's numbers cannot "
                            "tell apart")
        return (ClippedGaussian if clipped else Gaussian)(space.low, space.high, state_dependent_std, scaled)
    raise UserError(f"action space {shortened(space)} is not supported; it must be Discrete, MultiDiscrete, MultiBinary or a Box")


def fits(dist: Any, space: Any) -> bool:
    """Whether a distribution's actions are those of a space: the same numbers, or the same bounds."""
    if isinstance(dist, Categorical):
        return isinstance(space, gym.spaces.Discrete) and (space.n, space.start, space.dtype) == (dist.n, dist.start, dist.dtype)
    if isinstance(dist, MultiCategorical):
        other = make_distribution(space) if _is_discrete(space) else None
        return (isinstance(other, MultiCategorical) and other.shape == dist.shape and other.sizes == dist.sizes
                and np.array_equal(other.start, dist.start) and other.start.dtype == dist.start.dtype)
    return (isinstance(space, gym.spaces.Box) and space.dtype == dist.low.dtype and space.shape == dist.shape
            and np.array_equal(space.low.ravel(), dist.low) and np.array_equal(space.high.ravel(), dist.high))


def actions_of(dist: Any) -> str:
    """The actions that a distribution was made for, in words."""
    if isinstance(dist, Categorical):
        return f"{dist.n} actions from {dist.start} on" + ("" if dist.dtype == np.int64 else f" ({dist.dtype})")
    if isinstance(dist, MultiCategorical):
        return f"actions of shape {dist.shape}, with {', '.join(map(str, dist.sizes))} choices"
    return " ".join(f"actions of shape {dist.shape} from {dist.low} to {dist.high}".split())


# -- as JSON: enough to build the agent again without its environment ----------------------------------------------------


def space_to_json(space: Any) -> dict[str, Any]:
    """A space as JSON values. A flattened one is saved as the space that it was."""
    match space:
        case Flattened():
            return space_to_json(space.original)
        case gym.spaces.Discrete():
            dtype = {} if space.dtype == np.int64 else {"dtype": str(space.dtype)}
            return {"kind": "Discrete", "n": int(space.n), "start": int(space.start), **dtype}
        case gym.spaces.MultiDiscrete():
            return {"kind": "MultiDiscrete", "n": space.nvec.tolist(), "start": space.start.tolist(), "dtype": str(space.dtype)}
        case gym.spaces.MultiBinary():
            return {"kind": "MultiBinary", "n": space.n if isinstance(space.n, int) else list(space.shape)}
        case gym.spaces.Dict():                                             # a list, since names may be numbers, too
            return {"kind": "Dict", "parts": [[name, space_to_json(part)] for name, part in space.spaces.items()]}
        case gym.spaces.Tuple():
            return {"kind": "Tuple", "parts": [space_to_json(part) for part in space.spaces]}
    if is_picture(space) and space.dtype == np.uint8:
        return {"kind": "Picture", "shape": list(space.shape)}
    if is_picture(space):
        return {"kind": "Picture", "shape": list(space.shape), "dtype": str(space.dtype),
                "range": [float(space.low.flat[0]), float(space.high.flat[0])]}
    low, high = ([x.item() if np.isfinite(x) else None for x in bound.flat] for bound in (space.low, space.high))
    shape = {} if len(space.shape) == 1 else {"shape": list(space.shape)}
    return {"kind": "Box", "low": low, "high": high, "dtype": str(space.dtype), **shape}


def space_from_json(saved: Any) -> gym.Space:
    """The space that `space_to_json` saved. Raises UserError for anything that it cannot have saved."""
    return _valid(saved, _space_from)


def observation_space_from_json(saved: Any) -> gym.Space:
    """What agents see of the space that `space_to_json` saved. Raises UserError for anything that it cannot have saved."""
    return _valid(saved, lambda saved: observed(_space_from(saved)))


def _valid(saved: Any, read: Callable[[Any], gym.Space]) -> gym.Space:
    try:
        if (numbers := _numbers_of(saved)) > LARGEST:       # before any memory is taken
            raise ValueError(f"it has {numbers:,} numbers, and at most {LARGEST:,} are read")
        return read(saved)
    except Exception as error:                              # Gymnasium and NumPy raise different ones
        raise UserError(f"config.json describes no valid space: {one_line(error)}") from None


def _numbers_of(saved: Any) -> int:
    """How many numbers a saved space has in all its parts. Raises ValueError for a shape that is none."""
    if saved["kind"] in ("Dict", "Tuple"):
        parts = [part for _, part in saved["parts"]] if saved["kind"] == "Dict" else saved["parts"]
        return sum(map(_numbers_of, parts))
    shape = saved.get("n" if saved["kind"] == "MultiBinary" else "shape", ())
    sizes = shape if isinstance(shape, list | tuple) else [shape]
    if any(type(n) is not int or n < 0 for n in sizes):
        raise ValueError(f"the shape {shown(sizes)} is none")
    return math.prod(sizes)


def _space_from(saved: Any) -> gym.Space:
    match saved["kind"]:
        case "Discrete":
            dtype = {"dtype": np.dtype(saved["dtype"]).type} if "dtype" in saved else {}    # new in Gymnasium 1.2
            return gym.spaces.Discrete(saved["n"], start=saved["start"], **dtype)
        case "MultiDiscrete":
            n, start = (np.array(saved[name], np.int64) for name in ("n", "start"))
            return gym.spaces.MultiDiscrete(n, dtype=np.dtype(saved["dtype"]).type, start=start)
        case "MultiBinary":
            return gym.spaces.MultiBinary(saved["n"])
        case "Dict":
            return gym.spaces.Dict(OrderedDict((name, _space_from(part)) for name, part in saved["parts"]))
        case "Tuple":
            return gym.spaces.Tuple([_space_from(part) for part in saved["parts"]])
        case "Picture":
            low, high = saved.get("range", (0, 255))
            return gym.spaces.Box(low, high, tuple(saved["shape"]), np.dtype(saved.get("dtype", "uint8")).type)
    dtype = np.dtype(saved["dtype"])
    low, high = (np.array([infinity if x is None else x for x in saved[name]], dtype).reshape(saved.get("shape", -1))
                 for name, infinity in (("low", -np.inf), ("high", np.inf)))
    return gym.spaces.Box(low, high, dtype=dtype.type)
