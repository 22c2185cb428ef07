"""What a user imports: train, resume, load, evaluate and make_agent."""

from dataclasses import asdict

from scratchac import algorithms, envs, lifecycle, runs, training
from scratchac.errors import UserError
from scratchac.hyperparameters import configure, find_preset, whole
from scratchac.progress import check_history
from scratchac.spaces import space_to_json

MOST_EPISODES = 1_000_000


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
    seed = whole("--seed", seed, 0)
    stop_after, checkpoint_every = (x if x is None else whole(flag, x, 1) for flag, x in (
        ("--stop-after", stop_after), ("--checkpoint-every", checkpoint_every)))
    if on_row is not None and not callable(on_row):
        raise UserError(f"on_row must be a function of a row of metrics, not {on_row!r}")
    if not isinstance(vector, str):
        raise UserError(f"--vector is sync or async, not {vector!r}")
    if not isinstance(randomise, bool):
        raise UserError(f"--randomise is true or false, not {randomise!r}")
    env_args = tuned_env_args | envs.check_arguments(env_args)
    with lifecycle.backend(backend) as active:
        lifecycle.check_device(active, agent_class, algorithm)
        settings = {"vector": vector, "randomise": randomise, "env_args": env_args, "checkpoint_every": checkpoint_every}
        agent_envs = lifecycle.vector_env(agent_class, config, env, seed, settings)
        try:
            agent = agent_class(config, agent_envs.observation_space, agent_envs.action_space, seed)
            lifecycle.meet(agent_envs, agent)
            run = None if out is None else runs.Run.create(out, {
                "algorithm": algorithm, "env": envs.name_of(env), "env_is_callable": not isinstance(env, str), "seed": seed,
                "backend": active.name, **settings, "hyperparameters": asdict(config),
                "observation_space": space_to_json(agent_envs.observation_space),
                "action_space": space_to_json(agent_envs.action_space),
            })
            try:
                lifecycle.learn(agent, agent_envs, run, env, config.steps, quiet, video, on_row=on_row, stop_after=stop_after)
            except UserError:
                if run:
                    run.discard_if_empty()
                raise
        finally:
            agent_envs.close()
        return lifecycle.to_host(agent, agent_envs.observation_space, agent_envs.action_space)


def resume(run_dir, steps=None, *, backend=None, quiet=True, video=False, env=None):
    """Go on with a run from its last checkpoint, to `steps` in total or to where it was meant to end; return the agent.

    Everything continues where it was, environments within their episodes too: parameters, moments, buffers and rows of metrics are
    those of a run that never stopped, bit by bit. Only environments that are not deterministic begin anew, and of A3C's workers
    nobody knows whose step comes first.
    Beyond the steps the run was started with, schedules keep their last value. `env`: needed for a run on a callable.

    Raises UserError if there is nothing left to do, CheckpointError if the checkpoint cannot be used.
    """
    run = runs.Run.open(run_dir)
    config = run.config
    env = lifecycle.environment_of(config, env, "resume")
    with lifecycle.backend(config["backend"] if backend is None else backend) as active:
        agent, progress, play = lifecycle.restore(run)
        check_history(progress)
        lifecycle.check_device(active, type(agent), config["algorithm"])
        meant = max(progress["target"], agent.config.steps)
        target = meant if steps is None else whole("--steps", steps, 1)
        if agent.step >= target:
            if agent.step < meant:
                raise UserError(f"{run_dir} is at step {agent.step} of {meant} already: --steps must be more, or left out")
            if run.summary_is_of(agent.step):
                raise UserError(f"{run_dir} has finished its {agent.step} steps; --steps N with a larger N extends it")
            lifecycle.conclude(agent, run, env, progress, video)    # it was stopped between its last step and its evaluation
            return lifecycle.to_host(agent, *run.spaces())
        # A seed of its own for this stretch: where episodes begin anew, the first one would play the run's first ones again.
        agent_envs = lifecycle.vector_env(type(agent), agent.config, env, [config["seed"], agent.step], config)
        try:
            lifecycle.require_spaces(run, agent_envs)
            lifecycle.meet(agent_envs, agent)
            lifecycle.learn(agent, agent_envs, run, env, target, quiet, video, history=(progress, play))
        finally:
            agent_envs.close()
        return lifecycle.to_host(agent, agent_envs.observation_space, agent_envs.action_space)


def load(run_dir):
    """The agent of a run, from nothing but its folder. Raises UserError or CheckpointError."""
    return lifecycle.restore(runs.Run.open(run_dir))[0]


def evaluate(agent, env, episodes=100, seed=0, explore=False, **env_args):
    """The returns (episodes,) of fresh episodes, episode i seeded with seed + i; deterministic unless `explore`.

    Raises UserError for an environment that the agent does not fit, and EnvironmentFailed for one that raises an error.
    """
    if not hasattr(agent, "act"):
        raise UserError(f"what is evaluated must have a method `act`, as agents do, not {agent!r}")
    episodes, seed = whole("--episodes", episodes, 1, MOST_EPISODES), whole("--seed", seed, 0)
    return training.evaluate(agent, env, episodes, seed, explore, **env_args)


def make_agent(algorithm, env, seed=0, *, env_args=None, preset=None, **hyperparameters):
    """An untrained agent for an environment (id or callable), with the preset and the hyperparameters that `train` would use."""
    agent_class = algorithms.find(algorithm)
    tuned, tuned_env_args = find_preset(algorithm, envs.name_of(env), preset)
    config = configure(agent_class.Config, algorithm, tuned | hyperparameters)
    made = envs.make(env, **tuned_env_args | envs.check_arguments(env_args))
    made.close()
    return agent_class(config, made.observation_space, made.action_space, whole("--seed", seed, 0))
