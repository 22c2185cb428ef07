"""Spaces of observations and actions: which are supported, the distribution that fits one, and how one is saved."""

from typing import Any

import gymnasium as gym
import numpy as np

from scratchac.distributions import Categorical, Distribution, Gaussian
from scratchac.errors import UserError

EXACT = 2**53                   # float64 holds every whole number up to here


def is_picture(space: gym.Space) -> bool:
    """Whether observations are pictures: uint8 with three axes."""
    return space.dtype == np.uint8 and space.shape is not None and len(space.shape) == 3


def _has_vectors(space: gym.Space) -> bool:
    return isinstance(space, gym.spaces.Box) and len(space.shape) == 1 and space.shape[0] > 0


def check_observation_space(space: gym.Space, pictures: bool = False) -> None:
    """Raise UserError unless observations are vectors or, if `pictures` are allowed, uint8 of shape (C, H, W) or (H, W, C)."""
    if is_picture(space):
        if not pictures:
            raise UserError(f"observation space {space} has pictures, which ppo and sac take; here it must be a Box of one "
                            "dimension")
        return
    if not _has_vectors(space):
        raise UserError(
            f"observation space {space} is not supported; it must be a Box of one dimension "
            "(gymnasium.wrappers.FlattenObservation makes one)"
        )


def check_action_box(space: Any, algorithm: str) -> None:
    """Raise UserError unless actions are vectors between finite bounds, over which [−1, 1] can be stretched."""
    if isinstance(space, gym.spaces.Discrete):
        raise UserError(f"{algorithm} needs continuous actions, not {space}; discrete-sac, a2c and others take these")
    if not _has_vectors(space):
        raise UserError(f"action space {space} is not supported by {algorithm}; it must be a Box of one dimension")
    _check_range(space, algorithm, "")


def _check_range(space: Any, algorithm: str, hint: str) -> None:
    with np.errstate(over="ignore"):
        length = space.high.astype(np.float64) - space.low if space.dtype.kind != "f" else space.high - space.low
    if not (space.is_bounded() and np.isfinite(length).all()):
        raise UserError(f"action space {space} has no finite bounds, and {algorithm} stretches [-1, 1] over them{hint}")
    if space.dtype.kind != "f" and length.max() > EXACT:
        raise UserError(f"action space {space} has more whole numbers than {algorithm} can tell apart{hint}")


def make_distribution(space: Any, state_dependent_std: bool = False, scaled: bool = True) -> Distribution:
    """The action distribution for a space: Categorical for Discrete, Gaussian for a Box of one dimension.

    Raises UserError for other spaces and, if the Gaussian is scaled, for bounds over which [−1, 1] cannot be stretched.
    """
    if isinstance(space, gym.spaces.Discrete):
        return Categorical(int(space.n), int(space.start))
    if _has_vectors(space):
        if scaled:
            _check_range(space, "the policy", "; --no-scale-actions acts in the environment's own units")
        return Gaussian(space.low, space.high, state_dependent_std, scaled)
    raise UserError(f"action space {space} is not supported; it must be Discrete or a Box of one dimension")


def fits(dist: Any, space: gym.Space) -> bool:
    """Whether a distribution's actions are those of a space: the same numbers, or the same bounds."""
    if isinstance(dist, Categorical):
        return isinstance(space, gym.spaces.Discrete) and (space.n, space.start) == (dist.n, dist.start)
    return (isinstance(space, gym.spaces.Box) and space.dtype == dist.low.dtype
            and np.array_equal(space.low, dist.low) and np.array_equal(space.high, dist.high))


# -- as JSON: enough to build the agent again without its environment ----------------------------------------------------


def space_to_json(space: Any) -> dict[str, Any]:
    """A space as JSON values."""
    if isinstance(space, gym.spaces.Discrete):
        return {"kind": "Discrete", "n": int(space.n), "start": int(space.start)}
    if is_picture(space):
        return {"kind": "Picture", "shape": list(space.shape)}
    low, high = ([x.item() if np.isfinite(x) else None for x in bound] for bound in (space.low, space.high))
    return {"kind": "Box", "low": low, "high": high, "dtype": str(space.dtype)}


def space_from_json(saved: Any) -> gym.Space:
    """The space that `space_to_json` saved. Raises UserError for anything that it cannot have saved."""
    try:
        return _space_from(saved)
    except (KeyError, TypeError, ValueError, OverflowError, AssertionError) as error:
        raise UserError(f"config.json describes no valid space: {error}") from None


def _space_from(saved: Any) -> gym.Space:
    if saved["kind"] == "Discrete":
        return gym.spaces.Discrete(saved["n"], start=saved["start"])
    if saved["kind"] == "Picture":
        return gym.spaces.Box(0, 255, tuple(saved["shape"]), np.uint8)
    low = [-np.inf if x is None else x for x in saved["low"]]
    high = [np.inf if x is None else x for x in saved["high"]]
    dtype = np.dtype(saved["dtype"])
    return gym.spaces.Box(np.array(low, dtype), np.array(high, dtype), dtype=dtype)
