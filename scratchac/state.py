"""All that an agent must keep to go on exactly where it was, as a nested dict of arrays and numbers, and back.

An agent lists it in `keeps()`: name → array, Generator, None, or anything with `state()` and `load_state()` of its own. The two
functions here then serve as its methods.
"""

import numpy as np

import kernels


def state(agent):
    """{"step": …, name: state of what `agent.keeps()` lists}. Arrays are on the host; the agent's own, if its are."""
    return {"step": agent.step, **{name: _state_of(part) for name, part in agent.keeps().items()}}


def load_state(agent, saved):
    """Put a state back, in place. Raises KeyError or ValueError if it belongs to another kind of agent; then nothing is changed."""
    parts = agent.keeps()
    if parts.keys() != saved.keys() - {"step"}:
        raise ValueError(f"it keeps {', '.join(sorted(saved))}, not {', '.join(sorted(parts))}")
    for name, part in parts.items():
        if hasattr(part, "dtype") and part.shape != saved[name].shape:
            raise ValueError(f"{name} has shape {saved[name].shape}, not {part.shape}")
    for name, part in parts.items():
        if hasattr(part, "dtype"):
            part[...] = kernels.backend.asarray(saved[name])
        elif isinstance(part, np.random.Generator):
            part.bit_generator.state = saved[name]
        elif part is not None:
            part.load_state(saved[name])
    agent.step = int(saved["step"])


def _state_of(part):
    if isinstance(part, np.random.Generator):
        return part.bit_generator.state
    if hasattr(part, "state"):
        return {name: _state_of(x) for name, x in part.state().items()}
    return kernels.backend.to_numpy(part) if hasattr(part, "dtype") else part
