"""The functions that a user imports: train, resume, load, evaluate and make_agent."""

import inspect
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from numbers import Real
from typing import TYPE_CHECKING, Any, Literal, overload

import gymnasium as gym
import numpy as np

import kernels
from scratchac import algorithms
from scratchac.algorithms.config import configure, require_effect, require_unlearnt, whole
from scratchac.environments.instance import Instance, VectorInstance, maker_of
from scratchac.environments.make import (
    check_arguments,
    close,
    full_name_of,
    made_as,
    make,
    name_of,
    require_no_statistics,
    versioned,
    with_arguments,
)
from scratchac.environments.randomised import require_undrawn
from scratchac.environments.seeding import global_generators_kept
from scratchac.environments.spaces import space_to_json
from scratchac.errors import UserError
from scratchac.experiments import callbacks as calls
from scratchac.experiments import conclusion, logs, restoring, session
from scratchac.experiments.callbacks import Callback as Callback
from scratchac.experiments.evaluations import Plan
from scratchac.experiments.logs import TensorBoard as TensorBoard
from scratchac.experiments.logs import WandB as WandB
from scratchac.experiments.origin import origin
from scratchac.experiments.presets import find_preset
from scratchac.experiments.run import Run, as_path
from scratchac.experiments.schema import MOST_EPISODES, LogName
from scratchac.kinds import MOST
from scratchac.messages import in_notebook
from scratchac.parallel.workers import end_if_unguarded
from scratchac.schedules import written
from scratchac.training import evaluation
from scratchac.training.agent import Agent

Env = str | gym.Env | gym.vector.VectorEnv | Callable[..., Any]     # what is trained in

if TYPE_CHECKING:
    from scratchac.algorithms.a2c import A2C
    from scratchac.algorithms.a3c import A3C
    from scratchac.algorithms.actor_critic import ActorCritic
    from scratchac.algorithms.ddpg import DDPG
    from scratchac.algorithms.discrete_sac import DiscreteSAC
    from scratchac.algorithms.ppo import PPO
    from scratchac.algorithms.reinforce import Reinforce
    from scratchac.algorithms.reinforce_baseline import ReinforceBaseline
    from scratchac.algorithms.sac import SAC
    from scratchac.algorithms.td3 import TD3


# For editors and type checkers: the agent class for each algorithm's name.
@overload
def train(algorithm: Literal["reinforce"], *args: Any, **options: Any) -> "Reinforce": ...
@overload
def train(algorithm: Literal["reinforce-baseline"], *args: Any, **options: Any) -> "ReinforceBaseline": ...
@overload
def train(algorithm: Literal["actor-critic"], *args: Any, **options: Any) -> "ActorCritic": ...
@overload
def train(algorithm: Literal["a2c"], *args: Any, **options: Any) -> "A2C": ...
@overload
def train(algorithm: Literal["a3c"], *args: Any, **options: Any) -> "A3C": ...
@overload
def train(algorithm: Literal["ppo"], *args: Any, **options: Any) -> "PPO": ...
@overload
def train(algorithm: Literal["ddpg"], *args: Any, **options: Any) -> "DDPG": ...
@overload
def train(algorithm: Literal["td3"], *args: Any, **options: Any) -> "TD3": ...
@overload
def train(algorithm: Literal["sac"], *args: Any, **options: Any) -> "SAC": ...
@overload
def train(algorithm: Literal["discrete-sac"], *args: Any, **options: Any) -> "DiscreteSAC": ...
@overload
def train(algorithm: str, *args: Any, **options: Any) -> Agent: ...


def train(algorithm: str, env: Env | None = None, steps: int | None = None, seed: int = 0, *,
          backend: str | None = None, out: Any = None, quiet: bool | None = None, video: bool = False,
          vector: Literal["sync", "async", "compiled", "envpool", "auto"] = "sync", randomise: bool = False,
          preset: str | dict[str, Any] | None = None, step_timeout: float | None = None, env_args: dict[str, Any] | None = None,
          checkpoint_every: int | None = None, stop_after: int | None = None,
          eval_episodes: int | None = None, eval_every: int | None = None, stop_at: float | None = None,
          patience: int | None = None, init: Any = None, log: LogName | Sequence[LogName] = (),
          on_row: Callable[[dict[str, Any]], object] | None = None,
          callbacks: Sequence[Callback] = (), **hyperparameters: Any) -> Any:
    """Train an agent and return it.

    Args:
        algorithm: a name in `scratchac.algorithms.ALGORITHMS`, such as "a2c"
        env: Gymnasium id, a game's name, a callable that makes environments, one environment, or a vectorised one, such as
            gymnasium.make_vec makes, with as many environments as `envs` says if that is given; else the algorithm's default
        steps: environment steps; the preset's number if not given
        seed: seed of all random numbers
        backend: auto, numpy, numba or cupy; if not given, $SCRATCHAC_BACKEND or auto
        out: new folder for the run: metrics, checkpoint, evaluation, curves. None writes nothing
        quiet: show no progress bar and, in a notebook, no learning curve; if not given, a notebook shows them
        video: with `out`, record a video of the final policy
        vector: how several environments are stepped: sync, one after another; async, each in its own process; compiled, all in one
            compiled call; envpool, in C++ on threads (extra envpool); auto is compiled where that is possible, else sync
        step_timeout: seconds that a step of an environment in its own process may take, before it is an error; no limit if not
            given
        randomise: LunarLander only: new gravity, wind and turbulence for each training episode
        preset: name of an additional preset, which `scratchac presets` lists, or a dict in the place of one
        env_args: arguments of the environment, besides those of the preset
        checkpoint_every: environment steps between checkpoints; a twentieth of all steps if not given
        stop_after: stop after this many environment steps, as Ctrl-C does: the run is saved to be resumed, and not evaluated
        eval_episodes: with `out`, episodes of the evaluation at the end, 0 for none; 100 if not given
        eval_every: environment steps between evaluations during training, each of 10 episodes; the best policy is kept, too
        stop_at: with eval_every, end training at the first evaluation with at least this mean return
        patience: with eval_every, end training after so many evaluations in a row without a better mean
        init: agent, or folder of a run, from whose parameters training starts, also a learnt α and σ; of the same algorithm, with
            the same networks
        log: with `out`, log training for other programs: tensorboard, wandb (offline unless $WANDB_MODE says otherwise) or both
        on_row: function that is called with each new row of metrics, a dict; return True to end training
        callbacks: objects of subclasses of `scratchac.Callback`, which see the agent as it trains and may end training
        hyperparameters: fields of the algorithm's Config, which override the preset; a rate may be a function of progress in [0, 1]

    A run whose training a callback or an evaluation has ended is saved and evaluated as at its planned end. The evaluation begins
    no further episode after 1,000,000 steps, and cuts one that has not ended after 100,000.

    Ctrl-C raises KeyboardInterrupt; with `out` the update under way is finished and the run saved before. In a notebook
    (Kernel → Interrupt) the update is finished and the agent returned as trained so far; with `out` it is saved and not evaluated.
    A second one raises KeyboardInterrupt at once.

    Raises UserError, a ValueError, for anything that is misspelt, out of range, unsupported or not installed, and
    TrainingError when a value is not finite.
    """
    end_if_unguarded()
    quiet = _quiet(quiet)
    algorithm = algorithms.spelt(algorithm)
    agent_class = algorithms.find(algorithm)
    env = session.meant(algorithm, maker_of(env), preset, quiet)
    tuned, tuned_env_args = _preset(algorithm, env, preset)
    given = tuned | _as_many(env, agent_class) | hyperparameters | ({} if steps is None else {"steps": steps})
    config = configure(agent_class.config_class, algorithm, given, besides=inspect.signature(train).parameters)
    require_effect(config)
    if init is not None:
        require_unlearnt(config, hyperparameters)
    if isinstance(env, Instance) and out is not None:       # who loads the run has another environment
        require_no_statistics(env.env, name_of(env))
    seed, _ = whole("--seed", seed, 0), whole("--steps", config.steps, 1, MOST)
    stop_after, checkpoint_every = (x if x is None else whole(flag, x, 1) for flag, x in (
        ("--stop-after", stop_after), ("--checkpoint-every", checkpoint_every)))
    asked, eval_episodes = eval_episodes, conclusion.evaluation_of({}, eval_episodes)
    plan = Plan.of({"eval_every": eval_every, "stop_at": stop_at, "patience": patience})
    log = logs.named(log)
    if log and out is None:
        raise UserError("log needs a folder for the run (out); callbacks=[scratchac.TensorBoard(FOLDER)] takes any folder")
    called = calls.checked(on_row, callbacks) + logs.logs(log, quiet)
    if not isinstance(vector, str):
        raise UserError(f"--vector is sync, async, compiled, envpool or auto, not {vector!r}")
    _require_truth("randomise", randomise)
    _require_truth("video", video)
    for name, value in (("video", video), ("checkpoint_every", checkpoint_every), ("eval_episodes", asked)):
        if value and out is None:
            raise UserError(f"{name} needs a folder for the run (out)")
    if step_timeout is not None and (not isinstance(step_timeout, Real) or isinstance(step_timeout, bool) or not step_timeout > 0):
        raise UserError(f"--step-timeout is a number of seconds above 0, not {step_timeout!r}")
    env_args = with_arguments(tuned_env_args, check_arguments(env_args))
    if randomise:
        require_undrawn(env_args)
    with session.backend(backend) as active, global_generators_kept():
        session.check_device(active, agent_class, algorithm)
        if isinstance(env, VectorInstance) and (out is not None or plan.every):
            eval_episodes = conclusion.evaluable(env, eval_episodes, bool(asked or plan.every), quiet)
        settings: dict[str, Any] = {"randomise": randomise, "step_timeout": step_timeout, "env_args": env_args,
                                    "checkpoint_every": checkpoint_every, "eval_episodes": eval_episodes, **plan.settings()}
        settings = {"vector": session.vector_mode(vector, agent_class, env, settings, quiet)} | settings
        with session.prepared(algorithm, config, env, seed, settings, init) as (agent, agent_envs):
            fast = agent.fast_path(agent_envs)
            agent.about = _about(algorithm, env, seed, config, agent_envs, {
                "backend": active.name, "compiled": fast and fast.name, **settings, "init": session.origin(init), "made": origin(),
                **({"log": list(log)} if log else {})})
            run = None if out is None else Run.create(out, agent.about)
            try:
                with run.claimed() if run else nullcontext(), calls.finishing(called, agent) as outcome:
                    session.learn(agent, agent_envs, run, env, config.steps, quiet, video, eval_episodes, outcome, plan=plan,
                                  stop_after=stop_after)
            except (UserError, KeyboardInterrupt) as error:
                if run:
                    run.discard(*(() if isinstance(error, UserError) else ("metrics.csv", *logs.FILES)))
                raise
        return session.to_host(agent, agent_envs.observation_space, agent_envs.action_space)


def resume(run_dir: Any, steps: int | None = None, *, backend: str | None = None, quiet: bool | None = None, video: bool = False,
           env: Env | None = None, eval_episodes: int | None = None, new_episodes: bool = False,
           log: LogName | Sequence[LogName] | None = None, callbacks: Sequence[Callback] = ()) -> Agent:
    """Continue a run from its last checkpoint, up to `steps` in total or up to its planned end; return the agent.

    Everything continues where it stopped, also within episodes: parameters, moments, buffers and rows of metrics have the same
    bytes as those of a run that never stopped. Exceptions: environments that are not deterministic or have failed, those of
    EnvPool or in a vectorised environment, and those in episodes of more than 100,000 steps begin new episodes; in A3C timing
    decides which worker's step comes first, and after a kill all workers begin new episodes.
    For this the actions of the episodes in progress are repeated, which takes long if the environment is slow. With `new_episodes`
    they begin anew instead; agent, counters and finished episodes are kept.
    Beyond the steps that the run was started with, schedules keep their last value. `env` is needed for a run on a callable
    or on MODULE:ID.
    `eval_episodes` are the episodes of the evaluation at the end, what the run was started with if not given.
    `log` are the logs for other programs, those that the run was started with if not given.
    `quiet`, `callbacks` and Ctrl-C are as in `train`; evaluations during training go on as the run was started.

    Raises UserError if there is nothing left to do or a schedule is a function, which config.json does not hold, and
    CheckpointError if the checkpoint cannot be used.
    """
    end_if_unguarded()
    quiet = _quiet(quiet)
    run = Run.open(run_dir)
    config = run.config
    env = restoring.environment_of(config, maker_of(env), f"scratchac.resume({str(run_dir)!r}, env=…)")
    called = calls.checked(None, callbacks) + logs.logs(logs.named(config.get("log", []) if log is None else log), quiet)
    eval_episodes = conclusion.evaluation_of(config, eval_episodes)
    _require_truth("new_episodes", new_episodes)
    _require_truth("video", video)
    # First the claim: what is restored must be what nobody else goes on from.
    with run.claimed(), session.backend(config["backend"] if backend is None else backend) as active, global_generators_kept():
        agent, progress, under_way = restoring.restore(run)
        if new_episodes and isinstance(under_way, dict):
            under_way = under_way | {"new_episodes": True}
        run.check_metrics()
        session.check_device(active, type(agent), config["algorithm"])
        # A run whose training a callback or an evaluation has ended is complete.
        meant = agent.step if progress.get("ended") == agent.step else max(progress["target"], agent.config.steps)
        target = meant if steps is None else whole("--steps", steps, 1, MOST)
        if agent.step >= target:
            if agent.step < meant:
                raise UserError(f"{run_dir} is at step {agent.step} of {meant} already: --steps must be more, or left out")
            if run.summary_is_of(agent.step):
                raise UserError(f"{run_dir} has finished its {agent.step} steps; --steps N with a larger N extends it")
            # It was stopped between its last step and its evaluation.
            with calls.finishing(called, agent) as outcome:
                outcome.start(agent, run.path)
                outcome.summary, outcome.film = conclusion.conclude(agent, run, env, progress, quiet, video, eval_episodes)
            return session.to_host(agent, *run.spaces())
        session.require_functions(agent)
        # This part of the run has its own seed: with the first seed, new episodes would repeat the first ones of the run.
        agent_envs = session.vector_env(type(agent), agent.config, env, [config["seed"], agent.step], config)
        try:
            agent_envs.quiet = quiet
            session.require_spaces(run, agent_envs)
            session.meet(agent_envs, agent)
            now = made_as(env) or full_name_of(env)
            if now != config.get("made_as", config["env"]):                # another one, so config.json says from which step on
                run.note(resumed=[*config.get("resumed", []), [agent.step, now]])
            with calls.finishing(called, agent) as outcome:
                session.learn(agent, agent_envs, run, env, target, quiet, video, eval_episodes, outcome, (progress, under_way),
                              Plan.of(config))
        finally:
            agent_envs.close()
        return session.to_host(agent, agent_envs.observation_space, agent_envs.action_space)


def load(run_dir: Any, best: bool = False, checkpoint: Any = None) -> Agent:
    """The agent of a run, restored from its folder alone: the last one or, with `best`, the best one of its evaluations.

    checkpoint      a file to take instead of checkpoint.npz, such as checkpoint.previous.npz

    Only runs with `eval_every` keep the best one, without its replay buffer. Raises UserError or CheckpointError.
    """
    _require_truth("best", best)
    if best and checkpoint is not None:
        raise UserError("--best names one file and --checkpoint another: give one of the two")
    return restoring.restore(Run.open(run_dir), best, None if checkpoint is None else as_path(checkpoint))[0]


def evaluate(agent: Any, env: Env, episodes: int = 100, seed: int = 0, explore: bool = False,
             **env_args: Any) -> np.ndarray:
    """The returns (episodes,) of new episodes, episode i seeded with seed + i; deterministic unless `explore`.

    agent    anything with a method `act(obs, explore)`, as agents have
    env      Gymnasium id, a game's name, a callable that makes environments, one environment, or a vectorised one, of which new
             single ones play
    env_args arguments of the environment, such as continuous=True; those of training are agent.about["env_args"]

    Raises UserError for an environment that the agent does not fit, and EnvironmentFailed for one that raises an error.
    """
    if not callable(getattr(agent, "act", None)):
        raise UserError(f"what is evaluated must have a method `act`, as agents do, not {agent!r}")
    episodes, seed = whole("--episodes", episodes, 1, MOST_EPISODES), whole("--seed", seed, 0)
    _require_truth("explore", explore)
    return evaluation.evaluate(agent, maker_of(env), episodes, seed, explore, **check_arguments(env_args))


def make_agent(algorithm: str, env: Env, seed: int = 0, *, env_args: dict[str, Any] | None = None,
               preset: str | dict[str, Any] | None = None, **hyperparameters: Any) -> Agent:
    """An untrained agent for an environment (id, callable or object), with the preset and hyperparameters that `train` would use.

    Raises UserError as `train` does.
    """
    algorithm, env = algorithms.spelt(algorithm), versioned(maker_of(env))
    agent_class, seed = algorithms.find(algorithm), whole("--seed", seed, 0)
    tuned, tuned_env_args = _preset(algorithm, env, preset)
    config = configure(agent_class.config_class, algorithm, tuned | _as_many(env, agent_class) | hyperparameters)
    require_effect(config)
    env_args = with_arguments(tuned_env_args, check_arguments(env_args))
    made = make(env, **env_args)
    close(made)
    agent = algorithms.make(algorithm, config, made.observation_space, made.action_space, seed)
    agent.about = _about(algorithm, env, seed, config, made, {
        "backend": kernels.backend.name, "vector": "sync", "randomise": False, "env_args": env_args})
    return agent


def require_trainable(algorithm: str, env: Env, *, backend: str | None = None, env_args: dict[str, Any] | None = None,
                      preset: str | dict[str, Any] | None = None, **hyperparameters: Any) -> Any:
    """The Config with which `train` would train, without a step of training. Raises UserError where `train` does."""
    algorithm, env = algorithms.spelt(algorithm), versioned(maker_of(env))
    agent_class = algorithms.find(algorithm)
    tuned, tuned_env_args = _preset(algorithm, env, preset)
    config = configure(agent_class.config_class, algorithm, tuned | _as_many(env, agent_class) | hyperparameters)
    require_effect(config)
    settings = {"vector": "sync", "randomise": False, "env_args": with_arguments(tuned_env_args, check_arguments(env_args))}
    with session.backend(backend) as active:
        session.check_device(active, agent_class, algorithm)
        with session.prepared(algorithm, config, env, 0, settings):
            return config


def _preset(algorithm: str, env: Any, name: str | dict[str, Any] | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """The hyperparameters and the environment's arguments of a preset. An environment that is made already takes no arguments."""
    tuned, env_args = find_preset(algorithm, name_of(env), name)
    return tuned, {} if isinstance(env, Instance | VectorInstance) else env_args


def _require_truth(name: str, value: Any) -> None:
    if not isinstance(value, bool):                         # NumPy's has no place in config.json
        raise UserError(f"--{name.replace('_', '-')} is true or false, not {value!r}")


def _quiet(given: Any) -> bool:
    """Whether nothing is shown: what was given, or else true but in a notebook."""
    if given is None:
        return not in_notebook()
    _require_truth("quiet", given)
    return given


def _as_many(env: Any, agent_class: Any) -> dict[str, Any]:
    """The hyperparameter `envs` of a vectorised environment, which goes before that of a preset; nothing for any other."""
    return {"envs": env.n} if isinstance(env, VectorInstance) and "envs" in agent_class.config_class.__dataclass_fields__ else {}


def _about(algorithm: str, env: Any, seed: int, config: Any, made: Any, settings: dict[str, Any]) -> dict[str, Any]:
    """What config.json says of a training in environments with the spaces of `made`."""
    otherwise = made_as(env)
    return {"algorithm": algorithm, "env": full_name_of(env), **({"made_as": otherwise} if otherwise else {}),
            "env_is_callable": not isinstance(env, str), "seed": seed, **settings,
            "hyperparameters": {name: written(x) for name, x in asdict(config).items()},
            "observation_space": space_to_json(made.observation_space), "action_space": space_to_json(made.action_space)}
