"""Makes one environment from a Gymnasium id, the name of a game or a callable; every mistake is an error of one line."""

import os
import sys
import warnings
from typing import Any

import gymnasium as gym
import numpy as np

from scratchac.environments.games import GAMES, Game
from scratchac.environments.pixels import wrap
from scratchac.environments.randomised import RandomisedLander
from scratchac.errors import UserError, unknown

# a word of Gymnasium's message about a missing package → the command that installs it
INSTALL = {"box2d": "pip install 'gymnasium[box2d]>=1.4'", "mujoco": "pip install 'gymnasium[mujoco]>=1.4'"}


def name_of(env: Any) -> str:
    """The id of an environment, or the name of the callable that makes it."""
    return env if isinstance(env, str) else getattr(env, "__name__", type(env).__name__)


def make(env: Any, randomise: np.random.Generator | None = None, pixels: dict[str, Any] | None = None, training: bool = False,
         **kwargs: Any) -> gym.Env:
    """Make one environment from a Gymnasium id, the name of a game or a callable that returns one; `kwargs` go to its constructor.

    randomise   a Generator; every episode then has its own physical parameters (see `RandomisedLander`)
    pixels      settings for observations that are pictures (see `pixels.py`)
    training    whether the episodes are for learning; episodes for any other purpose are played in full

    Raises UserError for an unknown id, a missing package, or arguments that the environment does not take.
    """
    if not isinstance(env, str) and not callable(env):
        raise UserError(f"an environment is a Gymnasium id or a callable that returns one, not {type(env).__name__}")
    try:
        made = _from_id(env, kwargs) if isinstance(env, str) else env(**kwargs)
    except UserError:
        raise
    except gym.error.DependencyNotInstalled as error:
        command = next((command for word, command in INSTALL.items() if word in str(error).lower()), str(error))
        raise UserError(f"{env} needs a package that is missing: {command}") from None
    except gym.error.UnregisteredEnv as error:
        if isinstance(error, gym.error.NameNotFound) or env not in gym.registry:
            raise unknown("environment", env, sorted([*gym.registry, *GAMES])) from None
        raise UserError(str(error)) from None
    except (gym.error.DeprecatedEnv, ImportError) as error:
        raise UserError(str(error).replace("\n", " ")) from None
    except TypeError as error:
        raise UserError(f"{name_of(env)} does not take these arguments: {error}") from error
    except Exception as error:                                              # its constructor may raise any error
        raise UserError(f"{name_of(env)} cannot be made: {type(error).__name__}: {error}".replace("\n", " ")) from error
    if not isinstance(made, gym.Env):
        raise UserError(f"{name_of(env)} gave {made!r}, not an environment of Gymnasium's")
    for name in ("observation_space", "action_space"):
        if not isinstance(getattr(made, name, None), gym.Space):
            raise UserError(f"the {name} of {name_of(env)} is {getattr(made, name, None)!r}, not one of Gymnasium's spaces")
    if randomise is not None:
        made = RandomisedLander(made, randomise)
    return made if pixels is None else wrap(made, pixels, training)


def require_distinct(envs: list[Any], env: Any) -> None:
    """Raise UserError if two of these environments, or what is inside their wrappers, are one object: their episodes would mix."""
    seen: set[int] = set()
    for made in envs:
        inside = _inside(made)
        if seen & inside:
            raise UserError(f"{name_of(env)} gives the same environment each time; it must make a new one at each call")
        seen |= inside


def _inside(env: Any) -> set[int]:
    """The identities of an environment and of all environments that it or its wrappers hold."""
    found, todo = set(), [env]
    while todo:
        held = todo.pop()
        if id(held) not in found:
            found.add(id(held))
            todo += [x for x in getattr(held, "__dict__", {}).values() if isinstance(x, gym.Env)]
    return found


def _from_id(env: str, kwargs: dict[str, Any]) -> gym.Env:
    if env in gym.registry and "mujoco" in str(gym.registry[env].entry_point):
        hear_mujoco()
    with warnings.catch_warnings(record=True) as caught:                    # an error should be the only line of output
        warnings.simplefilter("always")
        made = Game(env, **kwargs) if env in GAMES else gym.make(env, **kwargs)
    for warning in caught:
        warnings.warn(warning.message, stacklevel=3)
    return made


def check_arguments(given: Any) -> dict[str, Any]:
    """Keyword arguments of an environment as a dict, empty for None. Raises UserError for anything else."""
    if given is not None and not (isinstance(given, dict) and all(isinstance(name, str) for name in given)):
        raise UserError(f"env_args must be a dict of names and values, not {given!r}")
    return given or {}


def has_screen() -> bool:
    """Whether windows can be opened."""
    return sys.platform != "linux" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def hear_mujoco() -> None:
    """Send MuJoCo's warnings to stderr, one line each, instead of into a file MUJOCO_LOG.TXT in the working directory.

    Warnings about deprecated XML are left out: the XML is Gymnasium's, and users cannot change it.
    """
    try:
        import mujoco
    except ImportError:         # gym.make then raises the error that explains it
        return

    def tell(text: str) -> None:
        if "deprecated" not in text:
            print(f"MuJoCo: {text}", file=sys.stderr)

    mujoco.set_mju_user_warning(tell)
