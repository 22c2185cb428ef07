"""Makes one environment from a Gymnasium id, the name of a game or a callable; every mistake is an error of one line."""

import inspect
import os
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from importlib import import_module
from types import FrameType
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.envs import registration
from gymnasium.vector.utils import CloudpickleWrapper
from gymnasium.wrappers import NormalizeObservation, NormalizeReward, TransformAction, TransformObservation

from scratchac.environments.drawing import draw_without_screen, hear_mujoco
from scratchac.environments.flattened import Flattened, alike, observed
from scratchac.environments.foreign import elsewhere, remedy
from scratchac.environments.games import GAMES, Game
from scratchac.environments.instance import Instance, VectorInstance, as_text
from scratchac.environments.pixels import wrap
from scratchac.environments.randomised import RandomisedLander
from scratchac.environments.seeding import held_by
from scratchac.errors import UserError, frames, one_line, unknown
from scratchac.messages import tell

# a word of Gymnasium's message about a package that its own environments miss → the command that installs it
INSTALL = {"box2d": "pip install 'gymnasium[box2d]>=1.3'", "mujoco": "pip install 'gymnasium[mujoco]>=1.3'"}

# names of parameters beside which the arguments of an environment are passed
TAKEN = {"self", "step_timeout", "env", "n", "seed", "vector", "randomise", "training", "number", "world", "known", "agent",
         "episodes", "explore", "parallel", "folder", "pick", "stem", "out"}
WARNED: set[str] = set()        # what Gymnasium has warned of; many environments of one kind are made, each with the same warnings


class CommandLineId(str):
    """An id that the user's own command line names: MODULE of MODULE:ID may then be in `folder`, the working directory.

    Text from a file, such as config.json, is no `CommandLineId`, so that a run's folder cannot choose what is imported from there.
    """

    def __init__(self, text: str):
        self.folder = os.getcwd() if ":" in text else None


def name_of(env: Any) -> str:
    """The id of an environment, or the name of the callable that makes it."""
    return str(env) if isinstance(env, str) else getattr(env, "__name__", type(env).__name__)


def full_name_of(env: Any) -> str:
    """What files call an environment: its name, and that of a functools.partial with its arguments, which tell it from others."""
    if not isinstance(env, partial):
        return name_of(env)
    given = [*map(as_text, env.args), *(f"{name}={as_text(value)}" for name, value in env.keywords.items())]
    return f"{full_name_of(env.func)}({', '.join(given)})"


def made_as(env: Any) -> str | None:
    """What an environment that is made already is, such as Pendulum-v1(g=3.0), if its id does not say it; None for all others."""
    return env.full_name if isinstance(env, Instance | VectorInstance) and env.full_name != name_of(env) else None


def versioned(env: Any) -> Any:
    """The id with the latest version that is registered, for one without a version, such as CartPole; anything else as it is."""
    if not isinstance(env, str) or ":" in env or env in gym.registry or env in GAMES:
        return env
    with suppress(gym.error.Error):
        namespace, name, version = registration.parse_env_id(env)
        latest = registration.find_highest_version(namespace, name)
        if version is None and latest is not None:
            return CommandLineId(registration.get_env_id(namespace, name, latest))
    return env


def versions_of(env: str) -> list[str]:
    """All registered versions of an id, this one included, the latest first."""
    with suppress(gym.error.Error):
        namespace, name, _ = registration.parse_env_id(env)
        alike = (x for x in gym.registry.values() if (x.namespace, x.name) == (namespace, name) and x.version is not None)
        return [x.id for x in sorted(alike, key=lambda x: -int(x.version or 0))]
    return []


def make(env: Any, randomise: np.random.Generator | None = None, pixels: dict[str, Any] | None = None, training: bool = False,
         **kwargs: Any) -> gym.Env:
    """Make one environment from a Gymnasium id, the name of a game or a callable that returns one; `kwargs` go to its constructor.

    randomise   a Generator; every episode then has its own physical parameters (see `RandomisedLander`)
    pixels      settings for observations that are pictures (see `pixels.py`)
    training    whether the episodes are for learning; episodes for any other purpose are played in full

    Observations that are neither vectors nor pictures are flattened (see `flattened.py`).

    Raises UserError for an unknown id, a missing package, or arguments that the environment does not take.
    """
    if not isinstance(env, str) and not callable(env):
        raise UserError(f"an environment is a Gymnasium id or a callable that returns one, not {type(env).__name__}")
    name = name_of(env)
    try:
        made = _from_id(env, kwargs) if isinstance(env, str) else env(**kwargs)
    except UserError:
        raise
    except gym.error.DependencyNotInstalled as error:
        its_own = str(frames(error)[-1].f_globals.get("__name__")).startswith("gymnasium.")
        commands = (command for word, command in INSTALL.items() if its_own and word in str(error).lower())
        raise UserError(f"{name} needs a package that is missing: {next(commands, one_line(error, with_type=False))}") from None
    except TypeError as error:
        rejected = remedy(_rejected(error))
        raise UserError(f"{name} is {rejected}") if rejected else _of_type_error(name, error, kwargs) from error
    except (Exception, SystemExit) as error:                                # its constructor may raise any error
        raise UserError(f"{name} cannot be made: {one_line(error)}") from error
    if not isinstance(made, gym.Env):
        other = remedy(made)
        raise UserError(f"{name} is {other}" if other else f"{name} gave {made!r}, not an environment of Gymnasium's")
    if not isinstance(env, Instance):
        require_no_statistics(made, name)
    for space in ("observation_space", "action_space"):
        try:
            found = getattr(made, space, None)
        except (Exception, SystemExit) as error:                            # it may be a property
            raise UserError(f"the {space} of {name} raised {one_line(error)}") from error
        if not isinstance(found, gym.Space):
            raise UserError(f"the {space} of {name} is {found!r}, not one of Gymnasium's spaces")
    if randomise is not None:
        if isinstance(env, Instance):                                       # it would keep what was drawn last, in evaluations, too
            raise UserError(f"--randomise changes an environment for good, and this {name} is made already: give its id instead")
        made = RandomisedLander(made, randomise)
    return with_arrays(made if pixels is None else wrap(made, pixels, training))


def require_no_statistics(env: gym.Env, name: str) -> None:
    """Raise UserError for a wrapper whose statistics change: each environment, and so each evaluation, begins with new ones."""
    while isinstance(env, gym.Wrapper):
        if isinstance(env, NormalizeObservation | NormalizeReward) and env.update_running_mean:
            raise UserError(f"{name} has a {type(env).__name__}, whose running statistics begin anew in each environment, so in an "
                            "evaluation, too; --normalise-obs, and --scale-rewards of a2c and ppo, keep theirs with the policy")
        env = env.env


def with_arrays(env: gym.Env) -> gym.Env:
    """The environment with observations as agents see them, and with an array for an action of no axes, which `Box` expects."""
    seen, actions = observed(env.observation_space), env.action_space
    if isinstance(seen, Flattened):
        env = TransformObservation(env, seen.flatten, seen)
    return TransformAction(env, np.asarray, actions) if isinstance(actions, gym.spaces.Box) and actions.shape == () else env


def close(env: gym.Env) -> None:
    """Close an environment. An error of its own is only told, since nothing depends on it any more."""
    try:
        env.close()
    except (Exception, SystemExit) as error:
        tell(f"an environment raised as it was closed: {one_line(error)}")


def require_copies(envs: list[Any], env: Any) -> None:
    """Raise UserError unless these environments have the same spaces, and none holds another's object: their episodes would mix."""
    seen: set[int] = set()
    first = envs[0]
    if isinstance(env, Instance) and len(envs) > 1:
        raise UserError(f"this {name_of(env)} is one environment, and more are needed here: a callable must make a new one at each "
                        "call, or where only the number of environments asks for more, --envs 1")
    for made in envs:
        one, other = first.observation_space, made.observation_space
        seen_alike = alike(one, other) and one.dtype == other.dtype
        for space, same in (("observation_space", seen_alike), ("action_space", first.action_space == made.action_space)):
            if not same:
                raise UserError(f"{name_of(env)} made an environment with the space {getattr(first, space)}, and the next time "
                                f"{getattr(made, space)}")
        inside = {id(held) for held in held_by(made)}
        if seen & inside:
            raise UserError(f"{name_of(env)} gives the same environment each time; it must make a new one at each call")
        seen |= inside


# -- ids -----------------------------------------------------------------------------------------------------------------


def _from_id(env: str, kwargs: dict[str, Any]) -> gym.Env:
    with warnings.catch_warnings(record=True) as caught, _looking_in(getattr(env, "folder", None)):
        warnings.simplefilter("always")                                     # an error should be the only line of output
        if env in GAMES:
            made: gym.Env = Game(env, **kwargs)
        else:
            env = versioned(env)
            _find(env)
            made = gym.make(env, **kwargs)
    for warning in caught:
        text = str(warning.message)
        if text not in WARNED:
            WARNED.add(text)
            warnings.warn(warning.message, stacklevel=3)
    return made


def _find(env: str) -> None:
    """Import the module of MODULE:ID, which registers the id. Raises UserError if there is no such module or id."""
    module, _, name = env.rpartition(":")
    if module:
        if not all(part.isidentifier() for part in module.split(".")):
            raise UserError(f"{env!r}: {module!r} is no name of a module; MODULE:ID is such as my_package:Mine-v0")
        draw_without_screen()
        try:
            import_module(module)
        except ModuleNotFoundError as error:
            if not f"{module}.".startswith(f"{error.name}."):               # the module is there and imports one that is not
                raise
            here = "the working directory, " if isinstance(env, CommandLineId) else ""
            raise UserError(f"{env}: there is no module {error.name} in {here}PYTHONPATH or the installed packages") from None
    try:
        spec = gym.spec(name)
    except gym.error.DeprecatedEnv as error:
        raise UserError(one_line(error, with_type=False)) from None
    except gym.error.Error:
        raise _of_unknown(name_of(env), module, name) from None
    if "mujoco" in str(spec.entry_point):
        hear_mujoco()


def _is_gymnasiums(spec: registration.EnvSpec) -> bool:
    point = spec.entry_point
    return (point if isinstance(point, str) else str(getattr(point, "__module__", ""))).startswith("gymnasium.")


@contextmanager
def _looking_in(folder: str | None) -> Iterator[None]:
    """Import modules from this folder too, as `python -m` does from the working directory, until the end of the block."""
    if folder is None:
        yield
        return
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        with suppress(ValueError):                          # a module may have changed it
            sys.path.remove(folder)


# -- what goes wrong -----------------------------------------------------------------------------------------------------


def _of_unknown(env: str, module: str, name: str) -> UserError:
    """UserError for an id that Gymnasium does not know, after the import of its `module`, if it has one."""
    other = elsewhere(env, name)
    if other:
        return UserError(other)
    if not module:
        return UserError(f"{unknown('environment', env, sorted({*gym.registry, *GAMES}), 'none is like it')} (one that a package "
                         "registers is MODULE:ID, which imports MODULE first)")
    among_its_own = f"{module}.".startswith("gymnasium.")
    its_own = sorted(f"{module}:{id}" for id, spec in gym.registry.items() if among_its_own or not _is_gymnasiums(spec))
    return unknown("environment", env, its_own, f"the module {module} registers {'others' if its_own else 'none with Gymnasium'}")


def _rejected(error: BaseException) -> Any:
    """What gym.make made and rejected with this error, for it is no environment of Gymnasium's; None for any other error."""
    last = frames(error)[-1]
    return last.f_locals.get("env") if last.f_code.co_filename == registration.__file__ else None


def _of_type_error(name: str, error: BaseException, kwargs: dict[str, Any]) -> UserError:
    """UserError for a TypeError: that of the call, if it does not fit the constructor, or that of the constructor's own code."""
    by_gymnasium = frames(error)[-1].f_code.co_filename == registration.__file__
    inside = _frames_inside(error)
    # gym.make adds this to any TypeError; up to Gymnasium 1.1 it hides which one it was.
    while (first := error.__cause__ or error.__context__) and "was raised from the environment creator" in str(error):
        error, by_gymnasium = first, False
        inside += _frames_inside(error)
    text = one_line(error, with_type=False)
    named = re.search(r"unexpected keyword argument '(\w+)'", text)
    if inside and named and named[1] in kwargs:             # a constructor that takes any argument passes it on
        code = inside[0].f_code
        if named[1] not in code.co_varnames[:code.co_argcount + code.co_kwonlyargcount]:
            inside = []
    missing = re.search(r"missing \d+ required", text)
    if inside or by_gymnasium or "abstract" in text:
        passes_on = missing and inside and inside[0].f_code.co_flags & inspect.CO_VARKEYWORDS
        hint = "; --env-args NAME=VALUE is passed on" if passes_on else ""
        return UserError(f"{name} cannot be made: {one_line(error)}{hint}")
    if missing:
        return UserError(f"{name} needs other arguments than {kwargs or 'none'} (--env-args NAME=VALUE): {text}")
    return UserError(f"{name} does not take these arguments: {text}")


def _frames_inside(error: BaseException) -> list[FrameType]:
    """The frames in which an error came up, but for those of this file and of gym.make."""
    return [frame for frame in frames(error) if frame.f_code.co_filename not in (__file__, registration.__file__)]


# -- in other processes --------------------------------------------------------------------------------------------------


def registration_of(env: Any) -> Any:
    """What another process needs to know of an id that this program has registered; None if it needs nothing."""
    spec = gym.registry.get(env) if isinstance(env, str) else None
    if spec is None or _is_gymnasiums(spec):
        return None
    make_spec: Any = lambda: spec  # noqa: E731
    return CloudpickleWrapper(make_spec)                    # can be sent even if it holds a class of a script, or a local one


def register(env: str, registered: Any) -> None:
    """Register an id in this process as it was in the one that called `registration_of`, if it is not known here."""
    if registered is not None and env not in gym.registry:
        gym.registry[env] = registered()


# -- what else one asks --------------------------------------------------------------------------------------------------


def check_arguments(given: Any) -> dict[str, Any]:
    """Keyword arguments of an environment as a dict, empty for None. Raises UserError for anything else and for a name of TAKEN."""
    if given is not None and not (isinstance(given, dict) and all(isinstance(name, str) for name in given)):
        raise UserError(f"env_args must be a dict of names and values, not {given!r}")
    for name in given or {}:
        if name in TAKEN:
            raise UserError(f"env_args cannot have the name {name}, which the functions that pass them on use themselves; from "
                            f"Python, functools.partial(MyEnvironment, {name}=…) needs none")
    return given or {}


def with_arguments(args: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """Keyword arguments with others in their place; of a dict, such as `pixels`, the entries that are not given stay."""
    return args | {name: args[name] | value if isinstance(value, dict) and isinstance(args.get(name), dict) else value
                   for name, value in given.items()}
