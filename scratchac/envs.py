"""Environments: made from an id or a callable, checked, put side by side, and randomised.

Gymnasium does the work. What is added here is what goes wrong silently elsewhere: the true last observation of an episode,
a different seed for every environment, and an error in one line where something is missing.
"""

import os
import sys
import warnings
import weakref
from functools import partial

import gymnasium as gym
import numpy as np
from gymnasium.vector import AsyncVectorEnv, AutoresetMode

from scratchac.errors import EnvironmentFailed, UserError, unknown
from scratchac.games import GAMES, Game
from scratchac.pixels import wrap
from scratchac.replay import Replayable
from scratchac.workers import without_interrupts

# a word of Gymnasium's message about a missing package → the command that installs it
INSTALL = {"box2d": "pip install 'gymnasium[box2d]>=1.4'", "mujoco": "pip install 'gymnasium[mujoco]>=1.4'"}


def name_of(env):
    """The id of an environment, or the name of the callable that makes it."""
    return env if isinstance(env, str) else getattr(env, "__name__", type(env).__name__)


def make(env, randomise=None, pixels=None, training=False, **kwargs):
    """Make one environment from a Gymnasium id, the name of a game or a callable that returns one; `kwargs` go to its constructor.

    randomise   a Generator; every episode then has a world of its own (see `RandomisedLander`)
    pixels      settings for observations that are pictures (see `pixels.py`)
    training    whether the episodes are for learning; what else they are for is played in full

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
    except Exception as error:                                              # what its constructor may raise, nobody knows
        raise UserError(f"{name_of(env)} cannot be made: {type(error).__name__}: {error}".replace("\n", " ")) from error
    if not isinstance(made, gym.Env):
        raise UserError(f"{name_of(env)} gave {made!r}, not an environment of Gymnasium's")
    for name in ("observation_space", "action_space"):
        if not isinstance(getattr(made, name, None), gym.Space):
            raise UserError(f"the {name} of {name_of(env)} is {getattr(made, name, None)!r}, not one of Gymnasium's spaces")
    if randomise is not None:
        made = RandomisedLander(made, randomise)
    return made if pixels is None else wrap(made, pixels, training)


def _from_id(env, kwargs):
    if env in gym.registry and "mujoco" in str(gym.registry[env].entry_point):
        hear_mujoco()
    with warnings.catch_warnings(record=True) as caught:                    # an error says it all in its one line
        warnings.simplefilter("always")
        made = Game(env, **kwargs) if env in GAMES else gym.make(env, **kwargs)
    for warning in caught:
        warnings.warn(warning.message, stacklevel=3)
    return made


def check_arguments(given):
    """Keyword arguments of an environment as a dict, none for None. Raises UserError for anything else."""
    if given is not None and not (isinstance(given, dict) and all(isinstance(name, str) for name in given)):
        raise UserError(f"env_args must be a dict of names and values, not {given!r}")
    return given or {}


def has_screen():
    return sys.platform != "linux" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def hear_mujoco():
    """MuJoCo's warnings go to stderr, one line each, and no longer into a file MUJOCO_LOG.TXT in the working directory.

    Words about deprecated XML are left out: it is Gymnasium's, and nobody can mend it here.
    """
    try:
        import mujoco
    except ImportError:         # gym.make has the words for that
        return

    def tell(text):
        if "deprecated" not in text:
            print(f"MuJoCo: {text}", file=sys.stderr)

    mujoco.set_mju_user_warning(tell)


class VectorEnv:
    """N copies of an environment, stepped together and reset as their episodes end.

    vector      "sync" steps them one after another in a plain loop; "async" each in a process of its own, by Gymnasium's
                AsyncVectorEnv in its SAME_STEP mode (NEXT_STEP would insert a phantom step that ignores the action)
    seed        makes every environment start differently, and the whole repeatable
    randomise   a world of its own for every episode; drawn from Generators spawned *here*, in the parent, since forked
                workers would otherwise all inherit the same one
    """

    def __init__(self, env, n, seed, vector="sync", randomise=False, **kwargs):
        sequence = np.random.SeedSequence(seed)
        self.seeds = [int(x) for x in sequence.generate_state(n)]
        worlds = [np.random.default_rng(child) for child in sequence.spawn(n)] if randomise else [None] * n
        if vector not in ("sync", "async"):
            raise unknown("vector mode", vector, ["sync", "async"])
        self.makers = [partial(_replayable, env, i, world, fresh=vector == "async", **kwargs) for i, world in enumerate(worlds)]
        self.alone = partial(VectorEnv, env, 1, vector="sync", randomise=randomise, **kwargs)     # seed → one of them, elsewhere
        first = self.makers[0]()        # a mistake in the environment is better met here than in a worker
        self.n, self.observation_space, self.action_space = n, first.observation_space, first.action_space
        self.workers, self.members = None, [first]
        if vector == "async":
            first.close()
            try:
                with without_interrupts():
                    self.workers = AsyncVectorEnv(self.makers, autoreset_mode=AutoresetMode.SAME_STEP)
            except OSError as error:
                raise UserError(f"no memory to share between processes ({error.strerror}): --vector sync needs none") from error
            # They do not hear SIGTERM, by which Python ends such processes at its own end, and would be waited for.
            self.end_workers = weakref.finalize(self, _kill, self.workers.processes, self.workers.parent_pipes)

    def reset(self):
        if self.workers:
            return self._of_workers(self.workers.reset, seed=self.seeds)[0]
        self._complete()
        return np.stack([env.reset(seed=seed)[0] for env, seed in zip(self.members, self.seeds, strict=True)])

    def _complete(self):
        self.members += [make() for make in self.makers[len(self.members):]]

    def step(self, actions):
        """Return (obs, reward, next_obs, term, trunc): where to go on from, and what the action really led to."""
        if self.workers:
            return self._step_workers(actions)
        next_obs = np.empty((self.n, *self.observation_space.shape), self.observation_space.dtype)
        reward, term, trunc = np.empty(self.n), np.empty(self.n, bool), np.empty(self.n, bool)
        for i, env in enumerate(self.members):
            next_obs[i], reward[i], term[i], trunc[i], _ = env.step(actions[i])
        done = term | trunc
        obs = next_obs
        if done.any():
            obs = next_obs.copy()
            for i in np.flatnonzero(done):
                obs[i] = self.members[i].reset()[0]
        return obs, reward, next_obs, term, trunc

    def _of_workers(self, ask, *arguments, **named):
        """What all the workers answer. Raises EnvironmentFailed for those that have died."""
        try:
            return ask(*arguments, **named)
        except (EOFError, OSError):
            for process in self.workers.processes:
                process.join(0.2)                                           # its pipe may be closed before its end is known
            dead = [i for i, process in enumerate(self.workers.processes) if not process.is_alive()]
            raise EnvironmentFailed(f"the process of environment {', '.join(map(str, dead))} died") from None

    def _step_workers(self, actions):
        obs, reward, term, trunc, info = self._of_workers(self.workers.step, actions)
        next_obs = obs
        if "final_obs" in info:
            next_obs = obs.copy()
            for i in np.flatnonzero(info["_final_obs"]):
                next_obs[i] = info["final_obs"][i]
        return obs, reward, next_obs, term, trunc

    def state(self):
        """How each environment came to be where it is."""
        return self._of_workers(self.workers.call, "past") if self.workers else [env.past() for env in self.members]

    def load_state(self, state):
        """Bring the environments back: (observations, numbers of those that did not come back and begin a new episode)."""
        if self.workers:
            self._of_workers(self.workers.set_attr, "saved", list(state))
            came = self._of_workers(self.workers.call, "replay")
        else:
            self._complete()
            for env, past in zip(self.members, state, strict=True):
                env.saved = past
            came = [env.replay() for env in self.members]
        return np.stack([obs for obs, _ in came]), [i for i, (_, same) in enumerate(came) if not same]

    def metrics(self):
        return {}

    def close(self):
        if self.workers:
            self.end_workers()
            self.workers.closed = True
        else:
            for env in self.members:
                env.close()


def _kill(processes, pipes):
    for process, pipe in zip(processes, pipes, strict=True):
        process.kill()
        process.join()
        if pipe is not None:                                                # those that failed have none any more
            pipe.close()


class FreshObservation(gym.Wrapper):
    """Copies every observation: some environments hand out one array again and again, and a worker of AsyncVectorEnv resets its
    environment before it sends the last observation on.
    """

    def reset(self, **kwargs):
        obs, info = self.env.reset(**kwargs)
        return np.array(obs), info

    def step(self, action):
        obs, *rest = self.env.step(action)
        return np.array(obs), *rest


def _replayable(env, number, world, fresh, **kwargs):
    made = Replayable(make(env, world, training=True, **kwargs), number, world)
    return FreshObservation(made) if fresh else made


class RandomisedLander(gym.Wrapper):
    """LunarLander in a new world every episode: gravity, wind and turbulence are drawn at each reset.

    g ~ N(−10, 2) in [−11.99, −0.01], wind on or off, wind power ~ N(15, 2) in [0.01, 19.99], turbulence ~ N(1.5, 1) in
    [0.01, 1.99]: means are the environment's own values, limits its recommended bounds.
    """

    def __init__(self, env, rng):
        super().__init__(env)
        if not hasattr(env.unwrapped, "turbulence_power"):
            raise UserError(f"domain randomisation knows LunarLander only, not {env.spec.id if env.spec else env}")
        self.rng = rng

    def reset(self, **kwargs):
        lander, draw = self.env.unwrapped, self.rng.normal
        lander.gravity = float(np.clip(draw(-10, 2), -11.99, -0.01))
        lander.enable_wind = bool(self.rng.random() < 0.5)
        lander.wind_power = float(np.clip(draw(15, 2), 0.01, 19.99))
        lander.turbulence_power = float(np.clip(draw(1.5, 1), 0.01, 1.99))
        return self.env.reset(**kwargs)
