"""What `train` and `resume` share: backend and environments of a training, what it starts from, and training itself."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gymnasium as gym

import kernels
from scratchac import algorithms
from scratchac.algorithms.plumbing import Plumbing
from scratchac.algorithms.saving import adopt, finite_state
from scratchac.environments.compiled_worlds import CompiledWorlds, why_not
from scratchac.environments.flattened import shortened
from scratchac.environments.games import GAMES
from scratchac.environments.instance import Instance, VectorInstance
from scratchac.environments.make import close, make, name_of, require_copies, versioned
from scratchac.environments.pool import PoolEnv
from scratchac.environments.spaces import space_to_json
from scratchac.environments.vector import VectorEnv
from scratchac.environments.vector_object import VectorObject, vector_object
from scratchac.errors import EnvironmentFailed, TrainingError, UserError, WorkerDied, WriteError
from scratchac.experiments.callbacks import Outcome
from scratchac.experiments.conclusion import conclude
from scratchac.experiments.evaluations import Evaluations, Plan
from scratchac.experiments.presets import find_preset, other_version
from scratchac.experiments.reporter import Reporter
from scratchac.experiments.restoring import restore
from scratchac.experiments.run import Run
from scratchac.messages import in_notebook, tell
from scratchac.parallel.workers import check_engine
from scratchac.training import loops
from scratchac.training.agent import Agent
from scratchac.training.checks import check_rollout, require_fit
from scratchac.training.hindsight import HindsightBuffer
from scratchac.training.selfplay import SelfPlay

LARGE = 2**28                   # from this size of the replay buffer on, in bytes, a checkpoint's size is announced

Environments = VectorEnv | CompiledWorlds | SelfPlay | VectorObject      # those of a training

_entering = threading.Lock()
_computing: Counter[int] = Counter()        # thread → blocks of `backend` that it is in
_before: list[str] = []                     # the backend that was active before all of them


@contextmanager
def backend(name: str | None) -> Iterator[kernels.Backend]:
    """Make the backend of that name, or else `kernels.default_backend()`, the active one for a block.

    It is active in the whole process, so blocks of several threads can only have the same one; the last to end restores what was
    active before the first. Raises UserError for another one, and for a backend that cannot run here.
    """
    try:
        chosen = kernels.load(kernels.default_backend() if name is None else name)
    except kernels.BackendError as error:
        raise UserError(str(error)) from None
    me = threading.get_ident()
    with _entering:
        others = set(_computing) - {me}
        if others and kernels.backend.name != chosen.name:
            raise UserError(f"another thread of this process computes with backend {kernels.backend.name}, so this one cannot use "
                            f"{chosen.name}: take the same, or another process")
        if not _computing:
            _before[:] = [kernels.backend.name]
        within = kernels.backend.name                       # the backend around this block, in this thread
        _computing[me] += 1
        kernels.use(chosen.name)
    try:
        yield kernels.backend
    finally:
        with _entering:
            _computing[me] -= 1
            if not +_computing:                             # the last of all threads
                _computing.clear()
                kernels.use(_before[0])
            elif set(+_computing) == {me}:
                kernels.use(within)
            elif not _computing[me]:
                del _computing[me]


def meant(algorithm: str, env: Any, preset: Any, quiet: bool) -> Any:
    """The environment to train in: the algorithm's default for None, the latest version of an id without one.

    Messages on stderr say which version that is, if another version has the preset that this one lacks, and if an environment that
    is made already lacks arguments that its preset has.
    """
    env = versioned(named := algorithms.ALGORITHMS[algorithm].env if env is None else env)
    if quiet:
        return env
    if isinstance(env, Instance | VectorInstance):
        wanted = {name: x for name, x in find_preset(algorithm, name_of(env), preset)[1].items() if env.arguments.get(name) != x}
        if wanted:
            tell(f"the preset of {algorithm} for {name_of(env)} is for {', '.join(f'{name}={x}' for name, x in wanted.items())}, "
                 "and this one is made already, without a sign of that")
    if not isinstance(env, str):
        return env
    if env != named:
        tell(f"{named} is {env} here, the latest version")
    if preset is None and (other := other_version(algorithm, env)):
        tell(f"there is no preset of {algorithm} for {env}, so the algorithm's defaults are used; there is one for {other}")
    return env


def check_device(active: kernels.Backend, agent_class: Any, algorithm: str) -> None:
    """Raise UserError for an algorithm that does not compute on the backend's device."""
    if active.device != "cpu" and agent_class.family != "off-policy":
        able = [name for name in algorithms.ALGORITHMS if algorithms.find(name).family == "off-policy"]
        raise UserError(f"backend {active.name} trains {', '.join(able)}; {algorithm} computes on the CPU (--backend auto)")


@contextmanager
def prepared(algorithm: str, config: Any, env: Any, seed: Any, settings: dict[str, Any],
             init: Any = None) -> Iterator[tuple[Agent, Environments]]:
    """A new agent and the environments that it will train in, which are closed at the end of the block. Raises UserError."""
    agent_envs = vector_env(algorithms.find(algorithm), config, env, seed, settings)
    try:
        agent = algorithms.make(algorithm, config, agent_envs.observation_space, agent_envs.action_space, seed)
        require_functions(agent)
        if init is not None:
            start_from(init, agent, agent_envs, env)
        meet(agent_envs, agent)
        yield agent, agent_envs
    finally:
        agent_envs.close()


def to_host(agent: Agent, observation_space: gym.Space, action_space: gym.Space) -> Agent:
    """The agent, or a copy with its arrays on the host, so that it can act with whatever backend is active later."""
    if kernels.backend.device == "cpu":
        return agent
    kept, about = agent.state(), agent.about
    with kernels.using("numpy"):
        agent = type(agent)(agent.config, observation_space, action_space)  # type: ignore[call-arg]
        agent.load_state(kept)
        agent.about = about
    return agent


def vector_mode(vector: str, agent_class: Any, env: Any, settings: dict[str, Any], quiet: bool) -> str:
    """What "auto" stands for: "compiled" where that is possible and Numba is the active backend, else "sync"; others stay.

    "object" is what a vectorised environment has in config.json.
    """
    if isinstance(env, VectorInstance) and vector in ("sync", "auto"):
        return "object"
    if vector != "auto":
        return vector
    if agent_class.family == "asynchronous":
        reason: str | None = "every worker has an environment of its own"
    elif kernels.backend.name != "numba":
        reason = f"backend {kernels.backend.name} compiles nothing"
    elif (reason := why_not(env, settings)) is None:
        try:
            CompiledWorlds(env, 1, 0)
        except UserError as error:
            reason = str(error)
    if reason and not quiet:
        tell(f"--vector auto is sync here: {reason}")
    return "sync" if reason else "compiled"


def vector_env(agent_class: Any, config: Any, env: Any, seed: Any, settings: dict[str, Any]) -> Environments:
    """The environments that an agent trains in. Raises UserError for settings that exclude each other."""
    if isinstance(env, VectorInstance):
        return vector_object(agent_class, config, env, seed, settings)
    if settings["vector"] == "object":
        raise UserError(f"this run was trained in a vectorised environment (gymnasium.vector.VectorEnv), not in {name_of(env)}")
    if agent_class.family == "asynchronous":
        check_engine(config.engine)
        if settings["vector"] != "sync":
            raise UserError("every worker is a process with one environment already, so --vector sync is all there is")
    n = config.envs if "envs" in vars(config) else agent_class.n_envs
    if name_of(env) in GAMES:
        if agent_class.family != "on-policy":
            raise UserError(f"{env} has illegal actions: it takes a2c or ppo, and --action-mask")
        if settings["vector"] != "sync" or settings["randomise"] or settings["env_args"] or settings.get("step_timeout"):
            raise UserError(f"{env} takes no --env-args and no --randomise, and only --vector sync: it is played in this process")
        return SelfPlay(env, n, seed)
    if settings["vector"] == "compiled":
        return CompiledWorlds(env, n, seed, **{name: settings.get(name) for name in ("randomise", "env_args", "step_timeout")})
    if settings["vector"] == "envpool":
        return PoolEnv(env, n, seed, settings["randomise"], settings.get("step_timeout"), **settings["env_args"])
    return VectorEnv(env, n, seed, settings["vector"], settings["randomise"], settings.get("step_timeout"), **settings["env_args"])


def require_spaces(run: Run, agent_envs: Environments) -> None:
    """Raise UserError unless these environments have the spaces that the run was started with."""
    for saved, now in zip(run.spaces(), (agent_envs.observation_space, agent_envs.action_space), strict=True):
        if space_to_json(now) != space_to_json(saved):
            raise UserError(f"{run.path} was trained with the space {shortened(saved)}, and this environment has {shortened(now)}")


def start_from(init: Any, agent: Agent, agent_envs: Environments, env: Any) -> None:
    """Copy the parameters of `init`, an agent or the folder of a run. Raises UserError if they do not fit."""
    other = init if isinstance(init, Plumbing) else restore(Run.open(init))[0]
    require_fit(other, agent_envs, env)
    adopt(agent, other)


def require_functions(agent: Any) -> None:
    """Raise UserError if a hyperparameter followed a function, of which a file has nothing but the name and both ends."""
    for name in agent.schedules.lost():
        _, *words, start, end = getattr(agent.config, name).split(":")
        flag = f"--{name.replace('_', '-')}"
        raise UserError(f"{flag} was the function {':'.join(words)!r} of progress, from {start} to {end}, and no "
                        "file has the function itself: training cannot go on from here, but a new one can start from it (--init)")


def origin(init: Any) -> str | None:
    """What config.json says about the parameters that training has started from."""
    return type(init).__name__ if isinstance(init, Plumbing) else init and str(init)


def meet(agent_envs: Environments, agent: Agent) -> None:
    """Tell games of self-play who learns, and a replay buffer with further goals which environment computes their rewards.

    Raises UserError for a rollout that does not fit into memory, and for an environment that cannot compute rewards.
    """
    if "rollout" in vars(agent.config):
        check_rollout(agent.config.rollout, agent_envs.n, agent_envs.observation_space)
    if isinstance(agent_envs, SelfPlay):
        agent_envs.meet(agent)
    elif isinstance(agent.memory, HindsightBuffer):
        agent.memory.meet(agent_envs.members[0].unwrapped)


def require_separate(agent_envs: Environments, env: Any, env_args: dict[str, Any]) -> None:
    """Raise UserError if what makes environments gives one that is trained in: evaluations would play within its episodes."""
    if isinstance(agent_envs, VectorEnv) and not isinstance(env, str):
        made = make(env, **env_args)
        require_copies([agent_envs.members[0], made], env)
        close(made)


def learn(agent: Agent, agent_envs: Environments, run: Run | None, env: Any, target: int, quiet: bool, video: bool,
          eval_episodes: int, outcome: Outcome, history: tuple[Any, Any] = (None, None), plan: Plan | None = None,
          stop_after: int | None = None) -> None:
    """Train up to `target` steps and, with a run, save it, evaluate the agent, and write summary and plots.

    `outcome` has the callbacks, and takes the summary and the film.
    Ctrl-C is a KeyboardInterrupt, in a notebook a message: there `train` and `resume` return the agent as trained so far.
    """
    progress, under_way = history
    fast = agent.fast_path(agent_envs)
    if agent.flattened and not quiet:
        tell(f"observations {agent.flattened}")
    worlds = isinstance(agent_envs, CompiledWorlds)
    if fast and not quiet:
        also, option = (f" and the compiled steps of {name_of(env)}", " --vector sync") if worlds else ("", "")
        tell(f"backend {kernels.backend.name} runs the compiled {fast.name} in place of {fast.method}{also}; "
             f"--backend numpy{option} runs that code itself")
    elif worlds and not quiet:
        tell(f"--vector compiled runs the compiled steps of {name_of(env)}; --vector sync runs Gymnasium's")
    save_every = run.config.get("checkpoint_every") if run else None
    evaluations = None
    if plan and plan.every:
        assert agent.about is not None
        env_args, before = agent.about["env_args"], progress or {}
        require_separate(agent_envs, env, env_args)
        evaluations = Evaluations(plan, env, env_args, agent.step, target, before.get("evaluations"),
                                  before.get("ended") == agent.step)
    reporter = Reporter(run, agent, target, progress, quiet, outcome.begun, evaluations, stop_after, save_every)
    reporter.progress["computed_by"] = {"backend": kernels.backend.name, "compiled": fast and fast.name}     # last, if resumed
    if run and not quiet and agent.memory is not None and agent.memory.nbytes > LARGE:
        tell(f"a checkpoint takes up to {agent.memory.nbytes / 2**30:.1f} GiB, for it holds the replay buffer; "
             f"there is one every {reporter.save_every} steps (--checkpoint-every), and the one before is kept")
    try:
        with reporter:
            reporter.ended = outcome.start(agent, run.path if run else None)
            loops.train(agent, agent_envs, target, reporter, under_way)
            if run:
                reporter.finish(agent)
            else:
                finite_state(agent)
    except TrainingError as error:
        if isinstance(error, (EnvironmentFailed, WorkerDied)) and run and (reporter.interaction or progress is None):
            reporter.or_later(reporter.save, agent, True)                   # else the resumed checkpoint is the better one
        last = run.path / "checkpoint.npz" if run else None
        if not (last and last.exists()):
            raise
        raise type(error)(f"{error}; the last checkpoint is {last}") from error
    except WriteError as error:
        assert run is not None
        kept = (run.path / "checkpoint.npz").exists()
        hint = f"; go on from the last checkpoint with: scratchac resume {run.path}" if kept else ""
        raise WriteError(f"{error}{hint}") from error
    stopped = stop_after is not None and agent.step >= stop_after
    if run is None and reporter.interrupted and not stopped:
        tell(f"stopped at step {agent.step}; the agent is returned as trained so far")      # only a notebook's interrupt comes here
    if run is None or (stopped and not reporter.ended):
        return
    try:
        if reporter.interrupted and not stopped:
            raise KeyboardInterrupt(f"stopped at step {agent.step} and saved; go on with: scratchac resume {run.path}")
        summary, film = conclude(agent, run, env, reporter.progress, quiet, video, eval_episodes)
        outcome.summary, outcome.film = summary, film
    except KeyboardInterrupt as stop:
        if not in_notebook():
            raise
        tell(f"{stop}. The agent is returned as trained so far")
