"""The steps of a run that `train`, `resume` and the other commands have in common: what is needed before the first update, and what
comes after the last one.
"""

import os
import sys
from contextlib import nullcontext

import kernels
from scratchac import algorithms, envs, training
from scratchac.errors import CheckpointError, EnvironmentFailed, TrainingError, UserError, WorkerDied, WriteError
from scratchac.games import GAMES, SelfPlay
from scratchac.hyperparameters import configure
from scratchac.memory import check_rollout
from scratchac.progress import Reporter
from scratchac.spaces import space_to_json
from scratchac.workers import check_engine

EVALUATION_EPISODES = 100
LARGE = 2**28                   # bytes of a replay buffer from which on a checkpoint's size is announced


def backend(name):
    """The backend of that name, $SCRATCHAC_BACKEND or "auto" without one, made active. Raises UserError."""
    try:
        return kernels.use(os.environ.get("SCRATCHAC_BACKEND", "auto") if name is None else name)
    except kernels.BackendError as error:
        raise UserError(str(error)) from None


def check_device(active, agent_class, algorithm):
    """Raise UserError for an algorithm that does not compute where the backend does."""
    if active.device != "cpu" and agent_class.loop != "off-policy":
        able = [name for name in algorithms.ALGORITHMS if algorithms.find(name).loop == "off-policy"]
        raise UserError(f"backend {active.name} trains {', '.join(able)}; {algorithm} computes on the CPU (--backend auto)")


def to_host(agent, observation_space, action_space):
    """The agent, or a copy with its arrays in ordinary memory: it has to act on whatever backend is active later."""
    if kernels.backend.device == "cpu":
        return agent
    kept = agent.state()
    with kernels.use("numpy"):
        agent = type(agent)(agent.config, observation_space, action_space)
        agent.load_state(kept)
    return agent


def vector_env(agent_class, config, env, seed, settings):
    """The environments that an agent trains in. Raises UserError for what does not go together."""
    if agent_class.loop == "asynchronous":
        check_engine(config.engine)
        if settings["vector"] != "sync":
            raise UserError("every worker is a process with one environment already, so --vector sync is all there is")
    n = getattr(config, "envs", getattr(agent_class, "envs", 1))
    if envs.name_of(env) in GAMES:
        if agent_class.loop != "on-policy":
            raise UserError(f"{env} has illegal actions: it takes a2c or ppo, and --action-mask")
        if settings["vector"] != "sync" or settings["randomise"] or settings["env_args"]:
            raise UserError(f"{env} takes no --env-args, no --randomise and no --vector async: it is played in this process")
        return SelfPlay(env, n, seed)
    return envs.VectorEnv(env, n, seed, settings["vector"], settings["randomise"], **settings["env_args"])


def require_spaces(run, agent_envs):
    """Raise UserError unless these environments have the spaces that the run was started with."""
    for saved, now in zip(run.spaces(), (agent_envs.observation_space, agent_envs.action_space), strict=True):
        if space_to_json(now) != space_to_json(saved):
            raise UserError(f"{run.path} was trained with the space {saved}, and this environment has {now}")


def meet(agent_envs, agent):
    """Tell games of self-play who learns. Raises UserError for a rollout that does not fit into memory."""
    if hasattr(agent.config, "rollout"):
        check_rollout(agent.config.rollout, agent_envs.n, agent_envs.observation_space)
    if isinstance(agent_envs, SelfPlay):
        agent_envs.meet(agent)


def environment_of(config, env, verb):
    """The environment of a run, or the one that is given. Raises UserError for a run on a callable that is not."""
    if env is None and config["env_is_callable"]:
        raise UserError(f"this run was trained on the callable {config['env']}; use scratchac.{verb}(…, env=…) from Python")
    return config["env"] if env is None else env


def restore(run):
    """The agent, progress and play of a run's checkpoint. Raises UserError for a config.json, CheckpointError for a checkpoint
    that there cannot be.
    """
    config = run.config
    agent_class = algorithms.find(config["algorithm"])
    agent = agent_class(configure(agent_class.Config, config["algorithm"], config["hyperparameters"]), *run.spaces(),
                        config["seed"])
    state, progress, play = run.restore()
    try:
        agent.load_state(state)
    except ValueError as error:
        raise CheckpointError(f"{run.path / 'checkpoint.npz'} does not fit the agent of config.json: {error}") from None
    return agent, progress, play


def learn(agent, agent_envs, run, env, target, quiet, video, history=(None, None), on_row=None, stop_after=None):
    """Train up to `target` steps, and with a folder: save, evaluate, sum up, draw."""
    progress, play = history
    save_every = run and run.config.get("checkpoint_every")
    reporter = Reporter(run, target, agent.step, progress, quiet, on_row, stop_after, save_every)
    if run and not quiet and hasattr(agent, "memory") and agent.memory.nbytes > LARGE:
        print(f"scratchac: a checkpoint takes up to {agent.memory.nbytes / 2**30:.1f} GiB, for it holds the replay buffer; "
              f"there is one every {reporter.save_every} steps (--checkpoint-every), and the one before is kept", file=sys.stderr)
    try:
        with reporter, run.claimed() if run else nullcontext():
            training.train(agent, agent_envs, target, reporter, play)
            if run:
                reporter.finish(agent)
    except TrainingError as error:
        if isinstance(error, (EnvironmentFailed, WorkerDied)) and run and (reporter.play or progress is None):
            reporter.or_later(reporter.save, agent, True)                   # else the checkpoint that was resumed says more
        kept = run.path / "checkpoint.npz" if run else None
        raise type(error)(f"{error}; the last checkpoint is {kept}" if kept and kept.exists() else str(error)) from error
    except WriteError as error:
        kept = (run.path / "checkpoint.npz").exists()
        hint = f"; go on from the last checkpoint with: scratchac resume {run.path}" if kept else ""
        raise WriteError(f"{error}{hint}") from error
    if run is None or (stop_after is not None and agent.step >= stop_after):
        return
    if reporter.interrupted:
        raise KeyboardInterrupt(f"stopped at step {agent.step} and saved; go on with: scratchac resume {run.path}")
    conclude(agent, run, env, reporter.progress, video)


def conclude(agent, run, env, progress, video):
    """Evaluate a trained agent: summary, curves and, if asked for, a film."""
    try:
        _conclude(agent, run, env, progress, video)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"all {agent.step} steps are saved, not evaluated; for that: scratchac resume {run.path}") from None


def _conclude(agent, run, env, progress, video):
    summary = _summary(agent, run.config, env, progress)
    # matplotlib takes longer to load than a short run lasts, so it waits until it is needed.
    from scratchac import plots

    plots.curves(run, run.path / "curves.png")
    if video:
        from scratchac.video import record

        try:
            record(agent, env, run.path, **run.config["env_args"])
        except (UserError, EnvironmentFailed) as error:     # the training is done and saved all the same
            print(f"scratchac: no film: {error}", file=sys.stderr)
    run.write_json("summary.json", summary)                 # last: where it is, nothing is missing


def _summary(agent, config, env, progress):
    returns = training.evaluate(agent, env, EVALUATION_EPISODES, **config["env_args"])
    return {
        **{key: config[key] for key in ("algorithm", "env", "seed", "backend")},
        "steps": agent.step, "episodes": progress["episodes"], "wall_s": progress["wall_s"],
        "steps_per_s": agent.step / progress["wall_s"], "updates": progress["updates"],
        "updates_per_s": progress["updates"] / progress["update_s"] if progress["updates"] else 0.0,
        "eval_mean": float(returns.mean()), "eval_std": float(returns.std()), "eval_episodes": len(returns),
    }
