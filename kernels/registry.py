"""Which function a call of a kernel runs: the reference, or the active backend's override.

A backend's function repeats the arithmetic of a reference, so it is used only while the reference is the one that it was compared
with. After an edit to a reference's file the edited code runs on every backend, and one line on stderr says so.
"""

import sys
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from typing import Any, TypeVar, cast

from kernels.backend import Backend
from kernels.shipped import is_shipped, methods, recorded, why_not

Function = TypeVar("Function", bound=Callable[..., Any])

REFERENCES: dict[str, Callable[..., Any]] = {}      # "module.name" → the reference
_running: dict[str, Callable[..., Any]] = {}        # "module.name" → what a call runs now
_active: Backend = Backend()
_said: set[str] = set()


def kernel(reference: Function) -> Function:
    """Mark a function as the reference of a kernel, which a backend may override by its name.

    An override takes the same arguments and returns the same results. For arguments that it does not support it returns
    NotImplemented, and the reference runs.
    """
    key = f"{reference.__module__}.{reference.__name__}"
    REFERENCES[key] = reference
    _choose(key)

    @wraps(reference)
    def call(*args: Any, **kwargs: Any) -> Any:
        result = _running[key](*args, **kwargs)
        return REFERENCES[key](*args, **kwargs) if result is NotImplemented else result

    return cast(Function, call)


def activate(backend: Backend) -> None:
    """Send all calls to this backend's overrides, and to the references where it has none."""
    global _active
    _active = backend
    for key in REFERENCES:
        _choose(key)


def compiled(name: str, agent: object, *parts: object) -> Callable[..., Any] | None:
    """The active backend's update of that name if it does what the methods of `agent` do, else None.

    It is used only for an agent of exactly the class that it was written for, whose `parts` (distribution, model, …) are of shipped
    classes, too, if none of their methods is replaced and all the code that it repeats is the shipped code. Otherwise one line on
    stderr says why, once.
    """
    update = _active.updates.get(name)
    if update is None:
        return None
    cls = type(agent)
    reason = next((why_not(x) for x in update.modules if not is_shipped(x)), None)
    if reason is None and f"{cls.__module__}.{cls.__qualname__}" != update.stands_for:
        reason = f"{cls.__module__}.{cls.__qualname__} is not {update.stands_for}"
    if reason := reason or next(filter(None, map(_changed, (agent, *parts))), None):
        say(f"{reason}: the reference runs, not the compiled {name}")
        return None
    return update.function


def _changed(part: object) -> str | None:
    """How an object differs from those of shipped classes, or None."""
    cls = type(part)
    if cls.__module__ not in recorded():
        return f"{cls.__module__}.{cls.__qualname__} is not a class that the compiled code repeats"
    shipped = [(base, methods(base.__module__).get(base.__name__, [])) for base in cls.__mro__ if base.__module__ in recorded()]
    for name in sorted({name for _, own in shipped for name in own}):
        if name in vars(part):
            return f"the method {name} of this {cls.__qualname__} is not that of its class"
        for base, own in shipped:
            member = vars(base).get(name)
            function = member.fget if isinstance(member, property) else member
            # A function of this module under its own name, since another method may have taken its place.
            as_written = (name in own and getattr(function, "__globals__", {}).get("__name__") == base.__module__
                          and getattr(function, "__qualname__", None) == f"{base.__qualname__}.{name}")
            if (name in own or name in vars(base)) and not as_written:
                return f"{base.__module__}.{base.__qualname__}.{name} has been replaced"
    return None


def _choose(key: str) -> None:
    function = REFERENCES[key]
    override = _active.overrides.get(function.__name__)
    if override is not None and not is_shipped(function.__module__):
        say(f"{why_not(function.__module__)}: its kernels run as it says, not as backend {_active.name} would compute them")
        override = None
    _running[key] = override or function


def say(text: str) -> None:
    """A line on stderr, once in a process."""
    if text not in _said:
        _said.add(text)
        with suppress(OSError, ValueError, AttributeError):                 # telling must not end anything
            print(f"scratchac: {text}", file=sys.stderr)
