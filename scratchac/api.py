"""What a user imports: train, resume, load, evaluate and make_agent."""

import os
import sys
from dataclasses import asdict
from pathlib import Path

import kernels
from scratchac import algorithms, envs, runs, training
from scratchac.errors import EnvironmentFailed, TrainingError, UserError, WorkerDied
from scratchac.games import GAMES, SelfPlay
from scratchac.hyperparameters import configure, find_preset
from scratchac.progress import Reporter
from scratchac.workers import check_engine

EVALUATION_EPISODES = 100
LARGE = 2**28                   # bytes of a replay buffer from which on a checkpoint's size is announced


def train(algorithm, env=None, steps=None, seed=0, *, backend=None, out=None, quiet=True, video=False,
          vector="sync", randomise=False, env_args=None, preset=None, on_row=None, stop_after=None, checkpoint_every=None,
          **hyperparameters):
    """Train an agent and return it.

    algorithm         a name in `scratchac.algorithms.ALGORITHMS`, such as "a2c"
    env               Gymnasium id, a game's name, or a callable that returns an environment; the algorithm's usual one if not given
    steps             environment steps; the preset's number if not given
    seed              makes the run repeatable
    backend           "auto", "numpy", …; if not given, $SCRATCHAC_BACKEND or "auto"
    out               a new folder for the run: metrics, checkpoint, evaluation over 100 episodes, curves. None writes nothing
    video             with `out`: record a video of the final policy
    vector            "sync" or "async": environments in this process, or each in its own
    randomise         LunarLander: a world of its own for each training episode
    env_args          keyword arguments for the environment, besides those of the preset
    preset            name of a further preset of (algorithm, env); `scratchac presets` lists them
    on_row            called with each row of metrics as it is made, a dict
    stop_after        stop at so many environment steps as if by Ctrl-C: saved, not evaluated, to be resumed
    checkpoint_every  environment steps between checkpoints; a twentieth of `steps` if not given
    hyperparameters   fields of the algorithm's Config; they override the preset of (algorithm, env)

    Raises UserError, a ValueError, for anything that is misspelt, out of range, unsupported or not installed, and
    TrainingError when a value is no longer a number.
    """
    agent_class = algorithms.find(algorithm)
    env = env if env is not None else algorithms.ALGORITHMS[algorithm][2]
    tuned, tuned_env_args = find_preset(algorithm, envs.name_of(env), preset)
    config = configure(agent_class.Config, algorithm, tuned | hyperparameters | ({} if steps is None else {"steps": steps}))
    for flag, given in (("--stop-after", stop_after), ("--checkpoint-every", checkpoint_every)):
        if given is not None and (not isinstance(given, int) or isinstance(given, bool) or given < 1):
            raise UserError(f"{flag} must be a whole number of at least 1, not {given!r}")
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise UserError(f"--seed must be a whole number of at least 0, not {seed!r}")
    with _backend(backend) as active:
        _check_device(active, agent_class, algorithm)
        settings = {"vector": vector, "randomise": randomise, "env_args": tuned_env_args | (env_args or {}),
                    "checkpoint_every": checkpoint_every}
        agent_envs = _vector_env(agent_class, config, env, seed, settings)
        try:
            agent = agent_class(config, agent_envs.observation_space, agent_envs.action_space, seed)
            _meet(agent_envs, agent)
            run = out and runs.Run.create(out, {
                "algorithm": algorithm, "env": envs.name_of(env), "env_is_callable": not isinstance(env, str), "seed": seed,
                "backend": active.name, **settings, "hyperparameters": asdict(config),
                "observation_space": runs.space_to_json(agent_envs.observation_space),
                "action_space": runs.space_to_json(agent_envs.action_space),
            })
            _learn(agent, agent_envs, run, env, config.steps, quiet=quiet, video=video, on_row=on_row, stop_after=stop_after)
        finally:
            agent_envs.close()
        return _to_host(agent, agent_envs)


def resume(run_dir, steps=None, *, backend=None, quiet=True, video=False, env=None):
    """Go on with a run from its last checkpoint, to `steps` in total or to where it was meant to end; return the agent.

    Everything continues where it was, environments within their episodes too: parameters, moments, buffers and rows of metrics are
    those of a run that never stopped, bit by bit. Only A3C's workers, and environments that are not deterministic, begin anew.
    Beyond the steps the run was started with, schedules keep their last value. `env`: needed for a run on a callable.

    Raises UserError if there is nothing left to do, CheckpointError if the checkpoint cannot be used.
    """
    run = runs.Run.open(run_dir)
    config = run.config
    env = _environment_of(config, env, "resume")
    with _backend(backend or config["backend"]) as active:
        agent, progress, play = _restore(run)
        _check_device(active, type(agent), config["algorithm"])
        target = steps if steps is not None else max(progress.get("target", 0), agent.config.steps)
        if agent.step >= target:
            raise UserError(f"{run_dir} has finished its {agent.step} steps; --steps N with a larger N extends it")
        # A seed of its own for this stretch: where episodes begin anew, the first one would play the run's first ones again.
        agent_envs = _vector_env(type(agent), agent.config, env, [config["seed"], agent.step], config)
        try:
            _meet(agent_envs, agent)
            run.forget_rows_after(agent.step)
            _learn(agent, agent_envs, run, env, target, quiet=quiet, video=video, history=(progress, play))
        finally:
            agent_envs.close()
        return _to_host(agent, agent_envs)


def load(run_dir):
    """The agent of a run, from nothing but its folder. Raises UserError or CheckpointError."""
    return _restore(runs.Run.open(run_dir))[0]


def evaluate(agent, env, episodes=100, seed=0, explore=False, **env_args):
    """The returns (episodes,) of fresh episodes, episode i seeded with seed + i; deterministic unless `explore`."""
    if not isinstance(episodes, int) or episodes < 1:
        raise UserError(f"--episodes must be a whole number of at least 1, not {episodes!r}")
    return training.evaluate(agent, env, episodes, seed, explore, **env_args)


def make_agent(algorithm, env, seed=0, *, env_args=None, preset=None, **hyperparameters):
    """An untrained agent for an environment (id or callable), with the preset and the hyperparameters that `train` would use."""
    agent_class = algorithms.find(algorithm)
    tuned, tuned_env_args = find_preset(algorithm, envs.name_of(env), preset)
    config = configure(agent_class.Config, algorithm, tuned | hyperparameters)
    made = envs.make(env, **tuned_env_args | (env_args or {}))
    made.close()
    return agent_class(config, made.observation_space, made.action_space, seed)


# -- the steps of a run ----------------------------------------------------------------------------------------------


def _backend(name):
    try:
        return kernels.use(name or os.environ.get("SCRATCHAC_BACKEND", "auto"))
    except kernels.BackendError as error:
        raise UserError(str(error)) from None


def _check_device(active, agent_class, algorithm):
    if active.device != "cpu" and agent_class.loop != "off-policy":
        able = [name for name in algorithms.ALGORITHMS if algorithms.find(name).loop == "off-policy"]
        raise UserError(f"backend {active.name} trains {', '.join(able)}; {algorithm} computes on the CPU (--backend auto)")


def _to_host(agent, agent_envs):
    """The agent, or a copy with its arrays in ordinary memory: it has to act on whatever backend is active later."""
    if kernels.backend.device == "cpu":
        return agent
    kept = agent.state()
    with kernels.use("numpy"):
        agent = type(agent)(agent.config, agent_envs.observation_space, agent_envs.action_space)
        agent.load_state(kept)
    return agent


def _vector_env(agent_class, config, env, seed, settings):
    if agent_class.loop == "asynchronous":
        check_engine(config.engine)
        if settings["vector"] != "sync":
            raise UserError("every worker is a process with one environment already, so --vector sync is all there is")
    n = getattr(config, "envs", getattr(agent_class, "envs", 1))
    if envs.name_of(env) in GAMES:
        if agent_class.loop != "on-policy":
            raise UserError(f"{env} has illegal actions: it takes a2c or ppo, and --action-mask")
        if settings["vector"] == "async" or settings["randomise"] or settings["env_args"]:
            raise UserError(f"{env} takes no --env-args, no --randomise and no --vector async: it is played in this process")
        return SelfPlay(env, n, seed)
    return envs.VectorEnv(env, n, seed, settings["vector"], settings["randomise"], **settings["env_args"])


def _meet(agent_envs, agent):
    """Tell games of self-play who learns."""
    if isinstance(agent_envs, SelfPlay):
        agent_envs.meet(agent)


def _environment_of(config, env, verb):
    if env is None and config["env_is_callable"]:
        raise UserError(f"this run was trained on the callable {config['env']}; use scratchac.{verb}(…, env=…) from Python")
    return config["env"] if env is None else env


def _restore(run):
    config = run.config
    agent_class = algorithms.find(config["algorithm"])
    agent = agent_class(configure(agent_class.Config, config["algorithm"], config["hyperparameters"]),
                        runs.space_from_json(config["observation_space"]), runs.space_from_json(config["action_space"]),
                        config["seed"])
    state, progress, play = run.restore()
    try:
        agent.load_state(state)
    except (KeyError, ValueError, TypeError) as error:
        raise runs.CheckpointError(f"{run.path / 'checkpoint.npz'} does not fit the agent of config.json: {error}") from None
    return agent, progress, play


def _learn(agent, agent_envs, run, env, target, quiet, video, history=(None, None), on_row=None, stop_after=None):
    """Train up to `target` steps, and with a folder: save, evaluate, sum up, draw."""
    progress, play = history
    save_every = run and run.config.get("checkpoint_every")
    reporter = Reporter(run, target, agent.step, progress, quiet, on_row, stop_after, save_every)
    if run and not quiet and hasattr(agent, "memory") and agent.memory.nbytes > LARGE:
        print(f"scratchac: a checkpoint takes up to {agent.memory.nbytes / 2**30:.1f} GiB, for it holds the replay buffer; "
              f"there is one every {reporter.save_every} steps (--checkpoint-every)", file=sys.stderr)
    try:
        with reporter:
            training.train(agent, agent_envs, target, reporter, play)
    except TrainingError as error:
        if isinstance(error, (EnvironmentFailed, WorkerDied)) and run:
            reporter.save(agent, failed=True)
        kept = run.path / "checkpoint.npz" if run else None
        raise type(error)(f"{error}; the last checkpoint is {kept}" if kept and kept.exists() else str(error)) from None
    if run is None:
        return
    reporter.save(agent)
    if stop_after is not None and agent.step >= stop_after:
        return
    if reporter.interrupted:
        raise KeyboardInterrupt(f"stopped at step {agent.step} and saved; go on with: scratchac resume {run.path}")
    run.write_json("summary.json", _summary(agent, run.config, env, reporter.progress))
    # matplotlib takes longer to load than a short run lasts, so it waits until it is needed.
    from scratchac import plots

    plots.curves(run, run.path / "curves.png")
    if video:
        from scratchac.video import record

        try:
            record(agent, env, run.path, **run.config["env_args"])
        except UserError as error:                          # the training is done and saved all the same
            print(f"scratchac: no film: {error}", file=sys.stderr)


def _summary(agent, config, env, progress):
    returns = evaluate(agent, env, EVALUATION_EPISODES, **config["env_args"])
    return {
        **{key: config[key] for key in ("algorithm", "env", "seed", "backend")},
        "steps": agent.step, "episodes": progress["episodes"], "wall_s": progress["wall_s"],
        "steps_per_s": agent.step / progress["wall_s"], "updates": progress["updates"],
        "updates_per_s": progress["updates"] / progress["update_s"],
        "eval_mean": float(returns.mean()), "eval_std": float(returns.std()), "eval_episodes": len(returns),
    }


def new_folder(algorithm, env, seed, root="runs"):
    """A folder's name for a run that is not taken: runs/ALGORITHM-ENV-seedS, then …-2, …-3."""
    return free_folder(Path(root) / f"{algorithm}-{envs.name_of(env).replace('/', '-')}-seed{seed}")


def free_folder(name):
    """`name` if there is no such folder yet, or the first of NAME-2, NAME-3, … that does not exist."""
    path, i = name, 1
    while path.exists():
        i += 1
        path = name.with_name(f"{name.name}-{i}")
    return path
