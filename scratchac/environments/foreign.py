"""Environments of other interfaces (the old package gym, dm_env): which these are, and what translates them to Gymnasium's.

They are known by the modules of their class and of the classes above it. The package Shimmy translates them. Its extras for gym ask
for NumPy 1; without the extra it works beside NumPy 2, but the check that gym.make adds to an environment does not.
"""

import inspect
import sys
from contextlib import suppress
from importlib.util import find_spec
from typing import Any

import gymnasium as gym
from gymnasium.envs import registration

# what an id begins with → the module that registers it, the package that this needs, and the command that installs both
NAMESPACES = {"dm_control/": ("shimmy", "dm_control", "pip install 'shimmy[dm-control]'"),
              "bsuite/": ("shimmy", "bsuite", "pip install 'shimmy[bsuite]'"),
              "ALE/": ("ale_py", "ale_py", "pip install ale-py")}
SEEDLESS = "its reset takes no seed, as in the old package gym: Gymnasium's is reset(*, seed=None, options=None)"
OWN_CLASS = "a subclass of gymnasium.Env has to translate its reset and step"


def remedy(made: Any) -> str | None:
    """What an environment is that is not one of Gymnasium's, and what to do; None if it is nothing known."""
    if isinstance(made, gym.vector.VectorEnv):
        return "a vectorised environment, and here is place for a single one; from Python, env takes the object itself"
    packages = {above.__module__.partition(".")[0] for above in type(made).__mro__}
    if "gym" in packages:
        version = _version(type(made.unwrapped))
        checked = " made by gym.make(…, disable_env_checker=True)" if version == "V26" and made is not made.unwrapped else ""
        todo = f"pip install shimmy, and return shimmy.Gym{version}CompatibilityV0(env=…) of it{checked}" if version else OWN_CLASS
        return f"an environment of the old package gym, not of Gymnasium: {todo}"
    for package, extra, name in (("bsuite", "bsuite", "BSuite"), ("dm_control", "dm-control", "DmControl")):
        if {"dm_env", package} <= packages:
            return (f"an environment of {package}, not of Gymnasium: pip install 'shimmy[{extra}]', and return "
                    f"shimmy.{name}CompatibilityV0(env=…) of it")
    return f"an environment of dm_env, not of Gymnasium: {OWN_CLASS}" if "dm_env" in packages else None


def elsewhere(env: str, name: str) -> str | None:
    """Where an id is registered that Gymnasium does not know, and what to do; None if it is nothing known.

    env     the id as it was given, `name` or MODULE:`name`
    """
    for beginning, (module, package, command) in NAMESPACES.items():
        if name.startswith(beginning) and not (find_spec(module) and find_spec(package)):
            return f"{env} needs a package that is missing: {command}, and then it is {module}:{name}"
        if name.startswith(beginning) and env != f"{module}:{name}":
            return f"{env} is registered by the module {module}: here it is {module}:{name}"
    spec: Any = None
    if "gym" in sys.modules:
        with suppress(Exception):                           # which one says that an id is unknown differs between its versions
            spec = sys.modules["gym"].spec(name)
    if spec is None:
        return None
    creator: Any = spec.entry_point
    with suppress(Exception):                               # its module may raise any error
        creator = registration.load_env_creator(creator) if isinstance(creator, str) else creator
    version = _version(creator) if isinstance(creator, type) else "V26"
    checked = " 'make_kwargs={\"disable_env_checker\": true}'" if version == "V26" else ""
    id = f"shimmy:Gym{version}Environment-v0 with --env-args env_id={env}{checked}"
    todo = f"pip install shimmy, and then it is {id}" if version else OWN_CLASS
    return f"{env} is registered with the old package gym, not with Gymnasium: {todo}"


def _version(kind: type) -> str | None:
    """The version of gym's interface that a class has, as Shimmy calls it; None for one that it does not translate.

    From 0.26 on `reset` takes the seed. Before that there was a method `seed`, which Shimmy calls.
    """
    return "V26" if takes_seed(kind) else "V21" if callable(getattr(kind, "seed", None)) else None


def takes_seed(kind: Any) -> bool:
    """Whether the `reset` of a class takes the argument `seed`, as Gymnasium's does; True if it cannot be told."""
    with suppress(TypeError, ValueError):                   # a function written in C may have no signature
        parameters = inspect.signature(kind.reset).parameters
        return "seed" in parameters or any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    return True
