"""Everything that an agent needs to continue exactly, saved as a nested dict of arrays and numbers, and restored from it.

An agent lists it in `keeps()`: name → array, Generator, None, or an object with `state()` and `load_state()`. The agent's methods
`state` and `load_state` then call the two functions of these names here.
"""

from typing import Any, Protocol, runtime_checkable

import numpy as np

import kernels
from scratchac.errors import UserError
from scratchac.training.memory import ReplayBuffer


@runtime_checkable
class Stateful(Protocol):
    """An object that can save itself: an optimiser, a normaliser, noise, a replay buffer."""

    def state(self) -> dict[str, Any]:
        """What is kept, as arrays and numbers."""

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore a state."""


class Keeper(Protocol):
    """What saving needs of an agent."""

    step: int

    def keeps(self) -> dict[str, Any]:
        """Name → what is saved."""


def state(agent: Keeper) -> dict[str, Any]:
    """{"step": …, name: state of what `agent.keeps()` lists}. Arrays are on the host: the agent's own, not copies, if its are."""
    return {"step": agent.step, **{name: _state_of(part) for name, part in agent.keeps().items()}}


def load_state(agent: Keeper, saved: Any) -> None:
    """Restore a state in place. Raises ValueError if it belongs to another kind of agent; then nothing is changed."""
    parts, own = agent.keeps(), state(agent)
    if isinstance(saved, dict):
        own |= {name: part.like(saved[name]) for name, part in parts.items() if isinstance(part, ReplayBuffer) and name in saved}
    _require_like(own, saved, "the state")
    for name, part in parts.items():
        if isinstance(part, np.random.Generator):
            part.bit_generator.state = saved[name]
        elif isinstance(part, Stateful):
            part.load_state(saved[name])
        elif part is not None:
            part[...] = kernels.backend.asarray(saved[name])
    agent.step = saved["step"]


# what is learnt, among what agents keep; all of it but the optimisers' moments, buffers, noise and generators
LEARNT = "parameters", "actor", "actor_target", "critic", "critic_target", "log_alpha"
# hyperparameters that say what parameters mean
MEANING = ("hidden", "activation", "state_dependent_std", "scale_actions", "shared_body", "advantage", "action_mask",
           "normalise_obs", "scale_rewards", "log_std")


def adopt(agent: Any, other: Any) -> None:
    """Copy what another agent of the same kind has learnt: parameters, target networks, running statistics.

    The optimisers' moments, the replay buffer, generators and the step stay those of `agent`. Raises UserError if the agents
    differ.
    """
    if type(agent) is not type(other):
        raise UserError(f"--init is a {type(other).__name__}, not a {type(agent).__name__}: its parameters have another meaning")
    for name in MEANING:
        wanted, has = (getattr(x.config, name, None) for x in (agent, other))
        if wanted != has:
            raise UserError(f"--init was trained with --{name.replace('_', '-')} {has}, not {wanted}")
    parts, learnt = agent.keeps(), other.keeps()
    for name in LEARNT:
        if name in parts:
            parts[name][...] = kernels.backend.asarray(learnt[name])
    if agent.normaliser:
        agent.normaliser.load_state(other.normaliser.state())
    if agent.scaler:                                        # its running returns belong to the environments
        agent.scaler.std.load_state(other.scaler.std.state())


def _require_like(own: Any, saved: Any, name: str) -> None:
    """Raise ValueError unless `saved` has the names, kinds, dtypes and shapes of `own`, at any depth."""
    if isinstance(own, dict):
        if not isinstance(saved, dict) or own.keys() != saved.keys():
            has = ", ".join(sorted(saved)) if isinstance(saved, dict) else saved
            raise ValueError(f"{name} has {has}, not {', '.join(sorted(own))}")
        if own.get("bit_generator") == "PCG64":
            _require_generator(saved, name)
            return
        for key in own:
            _require_like(own[key], saved[key], key if name == "the state" else f"{name}.{key}")
    elif isinstance(own, np.ndarray):
        if not isinstance(saved, np.ndarray) or saved.dtype != own.dtype or saved.shape != own.shape:
            found = f"{saved.dtype} {saved.shape}" if isinstance(saved, np.ndarray) else saved
            raise ValueError(f"{name} is {found}, not {own.dtype} {own.shape}")
    elif type(saved) is not type(own):
        raise ValueError(f"{name} is {saved!r}, not like {own!r}")


def _require_generator(saved: Any, name: str) -> None:
    try:
        np.random.PCG64().state = saved
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{name} is no state of a generator: {error}") from None


def not_finite(saved: Any, name: str = "") -> str | None:
    """The name of the first array in a state with a NaN or an infinity, or None. A replay buffer's content was checked before."""
    if isinstance(saved, dict):
        found = (not_finite(value, f"{name}.{key}".lstrip(".")) for key, value in saved.items() if key != "memory")
        return next((x for x in found if x), None)
    return name if isinstance(saved, np.ndarray) and not np.isfinite(saved).all() else None


def _state_of(part: Any) -> Any:
    if isinstance(part, np.random.Generator):
        return part.bit_generator.state
    if isinstance(part, Stateful):
        return _state_of(part.state())
    if isinstance(part, dict):
        return {name: _state_of(x) for name, x in part.items()}
    return part if part is None or isinstance(part, int | float | str) else kernels.backend.to_numpy(part)
