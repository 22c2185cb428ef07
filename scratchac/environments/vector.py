"""Several environments stepped together, each with its own seed, with the true last observation of every episode."""

import contextlib
import errno
import multiprocessing
import threading
import time
import warnings
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AsyncVectorEnv, AutoresetMode
from gymnasium.vector.async_vector_env import _async_worker
from tqdm import tqdm

from scratchac.environments.make import close, make, register, registration_of, require_copies
from scratchac.environments.rewind import SLOW, Rewindable, rewind_all
from scratchac.environments.seeding import seed_global_generators
from scratchac.errors import EnvironmentFailed, UserError, one_line, unknown
from scratchac.messages import STDERR, tell
from scratchac.parallel.workers import end_with_parent, why_ended, without_interrupts

PATIENCE = 10.0                 # seconds without an answer of an environment in another process, after which a message says so

OF_WORLDS = 1_000               # spawn key of the generators that draw randomised worlds


class VectorEnv:
    """N copies of an environment, stepped together and reset as their episodes end.

    vector      "sync" steps them one after another in a plain loop; "async" steps each in its own process, by Gymnasium's
                AsyncVectorEnv in its SAME_STEP mode (NEXT_STEP would insert an extra step that ignores the action)
    seed        gives every environment a different start, and makes all of them repeatable; each process that runs environments
                also seeds NumPy's and Python's global generators, for environments that draw from these
    step_timeout    seconds after which a reset or a step in another process is an error; None waits for ever
    randomise   new physical parameters for every episode, drawn from Generators that are spawned *here*, in the parent process:
                forked workers would otherwise all inherit the same one

    `quiet` may be set to False: `load_state` then says on stderr when it takes long.
    """

    quiet = True
    restores = True             # whether `load_state` can restore episodes at all
    idle: np.ndarray | None = None      # (N,) environments whose last step was none (see `vector_object.py`); None without such

    def __init__(self, env: Any, n: int, seed: Any, vector: str = "sync", randomise: bool = False,
                 step_timeout: float | None = None, **kwargs: Any):
        sequence = np.random.SeedSequence(seed)
        self.seeds = [int(x) for x in sequence.generate_state(n)]
        # The agent's generators are the first children of the same seed, so these are children of another key.
        own = np.random.SeedSequence(seed, spawn_key=(OF_WORLDS,))
        worlds: list[Any] = [np.random.default_rng(child) for child in own.spawn(n)] if randomise else [None] * n
        if vector not in ("sync", "async"):
            raise unknown("vector mode", vector, ["sync", "async", "compiled", "envpool", "auto"])
        if step_timeout is not None and vector == "sync":
            raise UserError("--step-timeout needs --vector async: a step in this process cannot be ended")
        self.step_timeout = step_timeout
        self.makers = [partial(_rewindable, env, i, world, **kwargs) for i, world in enumerate(worlds)]
        self.env = env
        self.options = {"randomise": randomise, **kwargs}
        self.n = n
        self.workers: Any = None
        self.members: list[Any] = []
        seed_global_generators(self.seeds[0])
        # Here, so that a mistake in the environment raises its error here, not in a worker; what Gymnasium makes itself is sound.
        self._make(1 if isinstance(env, str) and ":" not in env else min(n, 2))
        self.observation_space = self.members[0].observation_space
        self.action_space = self.members[0].action_space
        if vector == "async":
            for member in self.members:
                close(member)
            known = registration_of(env)
            try:
                with without_interrupts():
                    self.workers = Workers([partial(_in_worker, env, known, seed, maker)
                                            for seed, maker in zip(self.seeds, self.makers, strict=True)])
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE):
                    raise UserError(f"too many files are open for {n} processes: ulimit -n allows more, --envs asks for fewer, and "
                                    "--vector sync needs none") from error
                if error.errno == errno.EAGAIN:
                    raise UserError(f"{n} processes cannot be started: ulimit -u allows more, --envs asks for fewer, and "
                                    "--vector sync needs none") from error
                raise UserError(f"no memory to share between processes ({error.strerror}): --vector sync needs none") from error
            # The workers block SIGTERM, by which Python ends such processes at exit, so Python would wait for them.
            self.end_workers = weakref.finalize(self, _kill, self.workers.processes, self.workers.parent_pipes)

    @property
    def alone(self) -> Callable[[Any], "VectorEnv"]:
        """A function of a seed that makes a single one of these environments, in any process."""
        return partial(_alone, self.env, registration_of(self.env), **self.options)

    def reset(self) -> np.ndarray:
        """Begin new episodes from the seeds; returns the first observations (N, …)."""
        if self.workers:
            self._of_workers(self.workers.reset_async, seed=self.seeds)
            return self._of_workers(self._answer, self.workers.reset_wait)[0]
        self._make(self.n)
        seed_global_generators(self.seeds[0])
        # Copies: several environments may return one array.
        return np.stack([np.array(env.reset(seed=seed)[0]) for env, seed in zip(self.members, self.seeds, strict=True)])

    def _make(self, number: int) -> None:
        """Make environments until there are so many. If one cannot be made or differs, all are closed."""
        try:
            for maker in self.makers[len(self.members) : number]:
                self.members.append(maker())
            require_copies(self.members, self.env)
        except BaseException:
            self.close()
            self.members.clear()
            raise

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return (obs, reward, next_obs, term, trunc).

        `next_obs` really followed the actions; `obs` is the same, or the first observation of a new episode if one has ended.
        """
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
            for k in np.flatnonzero(done):
                obs[k] = self.members[k].reset()[0]
        return obs, reward, next_obs, term, trunc

    def _of_workers(self, ask: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """The answers of all workers. Raises EnvironmentFailed if some have died."""
        try:
            return ask(*arguments, **named)
        except (EOFError, OSError):
            for process in self.workers.processes:
                process.join(0.2)                                           # its pipe may close before its end is known
            dead = [i for i, process in enumerate(self.workers.processes) if not process.is_alive()]
            raise EnvironmentFailed(f"the process of environment {', '.join(map(str, dead))} died") from None

    def _answer(self, wait: Callable[[], Any], steps: int = 1) -> Any:
        """What `wait` returns, once all processes have answered. A message says after a while which one has not.

        Raises EnvironmentFailed after `step_timeout` seconds for each of the `steps` that they take.
        """
        started, waited, told = time.monotonic(), 0.0, False
        limit = self.step_timeout and steps * self.step_timeout
        for i, pipe in enumerate(self.workers.parent_pipes):
            while not pipe.poll(max(0.0, min(PATIENCE, limit - waited)) if limit else PATIENCE):
                waited = time.monotonic() - started
                if limit and waited >= limit:
                    raise EnvironmentFailed(f"environment {i} has not answered for {limit:g} s (--step-timeout)")
                if waited >= PATIENCE and not told:
                    tell(f"environment {i} has not answered for {waited:.0f} s; still waiting")
                    told = True
        return wait()

    def _step_workers(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        self._of_workers(self.workers.step_async, actions)
        obs, reward, term, trunc, info = self._of_workers(self._answer, self.workers.step_wait)
        next_obs = obs
        if "final_obs" in info:
            next_obs = obs.copy()
            for i in np.flatnonzero(info["_final_obs"]):
                next_obs[i] = info["final_obs"][i]
        return obs, reward, next_obs, term, trunc

    def state(self) -> Any:
        """The `past` of each environment, from which its current state can be restored."""
        return self._of_workers(self.workers.call, "past") if self.workers else [env.past() for env in self.members]

    def load_state(self, state: Any) -> tuple[np.ndarray, list[int]]:
        """Restore the environments; returns (observations, numbers of those that could not be restored and begin a new episode)."""
        saved = [past | {"new_seed": seed} for past, seed in zip(state, self.seeds, strict=True)]
        if self.workers:
            self._of_workers(self.workers.set_attr, "saved", saved)
            came = self._rewind_workers(2 + max(len(past["actions"]) if past["actions"] is not None else 0 for past in saved))
        else:
            self._make(self.n)
            seed_global_generators(self.seeds[0])
            for env, past in zip(self.members, saved, strict=True):
                env.saved = past
            came = rewind_all(self.members, self.quiet)
        return np.stack([obs for obs, _ in came]), [i for i, (_, same) in enumerate(came) if not same]

    def _rewind_workers(self, steps: int) -> Any:
        """`rewind` in all workers, which takes up to so many steps and resets."""
        notice = threading.Timer(SLOW, tqdm.write, ["scratchac: the processes repeat the steps of their episodes, to restore them"],
                                 {"file": STDERR})              # not print: there may be a progress bar
        if not self.quiet:
            notice.start()
        try:
            self._of_workers(self.workers.call_async, "rewind")
            return self._of_workers(self._answer, self.workers.call_wait, steps)
        finally:
            notice.cancel()

    def renew(self, state: Any) -> np.ndarray:
        """Begin new episodes instead of those of a `state`, of which nothing is kept; returns the first observations (N, …)."""
        return self.reset()

    def metrics(self) -> dict[str, float]:
        """Environments have no metrics."""
        return {}

    def close(self) -> None:
        """Close all environments and end their processes."""
        if self.workers:
            self.end_workers()
            self.workers.closed = True
        else:
            for env in self.members:
                close(env)


def _kill(processes: Any, pipes: Any) -> None:
    for process in processes:
        process.kill()
        process.join()
    for pipe in pipes:
        if pipe is not None:                                                # a worker that failed has no pipe
            pipe.close()


class Workers(AsyncVectorEnv):
    """Gymnasium's processes, one for each environment. If one of them cannot make its environment, all end.

    Raises UserError with the number of that environment and its error, and OSError if there is no memory to share.
    """

    def __init__(self, makers: list[Callable[[], gym.Env]]):
        self.processes, self.parent_pipes = [], []
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", module="gymnasium")       # it warns of an error before it raises it
                super().__init__(makers, worker=_work, autoreset_mode=AutoresetMode.SAME_STEP)
        except BaseException as error:
            for process in self.processes:
                if process.pid is not None:
                    process.join(0.2)                                       # its pipe may close before its end is known
            dead = {i: process.exitcode for i, process in enumerate(self.processes) if process.exitcode is not None}
            _kill([process for process in self.processes if process.pid is not None], self.parent_pipes)
            self.closed = True
            if isinstance(error, (EOFError, ConnectionError)):
                why = ", ".join(sorted({why_ended(code) for code in dead.values()}))
                raise UserError(f"the process of environment {', '.join(map(str, dead))} died as it made its environment: "
                                f"{why}") from None
            if isinstance(error, (RuntimeError, ValueError, TypeError)) and not isinstance(error, UserError):  # as of spaces
                raise UserError(f"--vector async is not possible: {one_line(error, with_type=False)}") from None
            raise


def _work(number: int, maker: Callable[[], gym.Env], pipe: Any, parent_pipe: Any, memory: Any, errors: Any, *rest: Any) -> None:
    """Gymnasium's worker; but an error in `maker` is sent to the parent process as an error of a step would be."""
    try:
        made = maker()
    except Exception as error:
        parent_pipe.close()
        with contextlib.suppress(EOFError, OSError):                        # the parent process has ended
            pipe.recv()                                                     # its question, which is the one for the spaces
            why = str(error) if isinstance(error, UserError) else one_line(error)
            errors.put((number, UserError, f"environment {number}: {why}", ""))
            pipe.send((None, False))
        return
    with contextlib.suppress(ConnectionError):                              # the parent process has ended, and cannot be told
        _async_worker(number, lambda: made, pipe, parent_pipe, memory, errors, *rest)


class InWorker(gym.Wrapper):
    """Copies every observation, and leaves out `info`, which nothing here reads.

    Some environments return the same array at every step, and a worker of AsyncVectorEnv resets its environment before it sends the
    last observation. AsyncVectorEnv puts what the `info` of all environments contains into arrays, into which not all of it fits.
    """

    def reset(self, **kwargs: Any) -> tuple[np.ndarray, dict[str, Any]]:
        """`reset` of the environment, with a copy of the observation."""
        obs, _ = self.env.reset(**kwargs)
        return np.array(obs), {}

    def step(self, action: Any) -> Any:
        """`step` of the environment, with a copy of the observation."""
        obs, reward, term, trunc, _ = self.env.step(action)
        return np.array(obs), reward, term, trunc, {}

    def close(self) -> None:
        """Close the environment; an error of its own is only told."""
        close(self.env)


def _in_worker(env: Any, known: Any, seed: int, maker: Callable[[], gym.Env]) -> InWorker:
    if multiprocessing.parent_process():                    # the parent process calls this, too, to see the spaces
        end_with_parent()
    register(env, known)
    seed_global_generators(seed)
    return InWorker(maker())


def _alone(env: Any, known: Any, seed: Any, **options: Any) -> VectorEnv:
    register(env, known)
    return VectorEnv(env, 1, seed, **options)


def _rewindable(env: Any, number: int, world: Any, **kwargs: Any) -> Rewindable:
    return Rewindable(make(env, world, training=True, **kwargs), number, world)
