"""Everything that an agent needs to continue exactly, saved as a nested dict of arrays and numbers, and restored from it.

An agent lists it in `keeps()`: name → array, Generator, None, or an object with `state()` and `load_state()`. The agent's methods
`state` and `load_state` then call the two functions of these names here.
"""

import math
from typing import Any, Protocol, runtime_checkable

import numpy as np

import kernels
from scratchac.distributions import Categorical
from scratchac.errors import TrainingError, UserError
from scratchac.kinds import Array, Generator, Kind, Number, OneOf, Record, Whole
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
    dist: Any

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
    actions = (0, agent.dist.n - 1) if isinstance(agent.dist, Categorical) else (-1, 1)
    _like(own, actions).check(saved, "agent")
    for name, part in parts.items():
        if isinstance(part, np.random.Generator):
            part.bit_generator.state = saved[name]
        elif isinstance(part, Stateful):
            part.load_state(saved[name])
        elif part is not None:
            # Some arrays of an agent are on the host on every backend (TD3 counts its updates there).
            part[...] = saved[name] if isinstance(part, np.ndarray) else kernels.backend.asarray(saved[name])
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


MOST_LOG = 700                  # of log α: exp of more is beyond float64
# Name → range of the numbers in an array of this name; of any other array they are finite.
RANGES = {"v": (0, math.inf), "m2": (0, math.inf), "term": (0, 1), "trunc": (0, 1), "log_alpha": (-MOST_LOG, MOST_LOG)}


def _like(own: Any, actions: tuple[float, float], name: str = "") -> Kind:
    """The kind of a state with the names, kinds, dtypes and shapes of `own`, at any depth; whole numbers are counts.

    actions     range of the actions in a replay buffer
    """
    if isinstance(own, dict) and own.get("bit_generator") == "PCG64":
        return Generator(("PCG64",))
    if isinstance(own, dict):
        return Record({key: _like(x, actions, key) for key, x in own.items()})
    if own is None or isinstance(own, str):
        return OneOf((own,))
    if isinstance(own, int | float):
        return Whole() if isinstance(own, int) else Number()
    return Array(own.dtype.name, own.shape, *(RANGES | {"actions": actions}).get(name, ()))


def finite_state(agent: Any) -> dict[str, Any]:
    """The state of an agent. Raises TrainingError if a number in it is NaN or infinite."""
    state = agent.state()
    if name := not_finite(state):
        raise TrainingError(f"{name} is not finite at step {agent.step}: lower the learning rates")
    return state


def not_finite(saved: Any, name: str = "") -> str | None:
    """The name of the first array in a state with a NaN or an infinity, or None. A replay buffer's content was checked before."""
    if isinstance(saved, dict):
        found = (not_finite(value, f"{name}.{key}".lstrip(".")) for key, value in saved.items() if key != "memory")
        return next((x for x in found if x), None)
    return name if isinstance(saved, np.ndarray) and not np.isfinite(saved).all() else None


def without_transitions(agent: Any, saved: dict[str, Any]) -> dict[str, Any]:
    """The state of an agent without the transitions in its replay buffer, which are most of it: to act, none is needed."""
    memory = agent.memory
    if memory is None:
        return saved
    kept = {name: rows[:0] if name in memory.data else rows for name, rows in saved["memory"].items()}
    return saved | {"memory": kept | {"cursor": 0}}


def _state_of(part: Any) -> Any:
    if isinstance(part, np.random.Generator):
        return part.bit_generator.state
    if isinstance(part, Stateful):
        return _state_of(part.state())
    if isinstance(part, dict):
        return {name: _state_of(x) for name, x in part.items()}
    return part if part is None or isinstance(part, int | float | str) else kernels.backend.to_numpy(part)
