"""The end of a run: its evaluation, summary, plots and video."""

from pathlib import Path
from typing import Any

from scratchac.algorithms.config import whole
from scratchac.environments.flattened import alike, observed, shortened
from scratchac.environments.instance import VectorInstance
from scratchac.environments.make import close, make
from scratchac.environments.seeding import held_by
from scratchac.errors import CheckpointError, EnvironmentFailed, UserError, WriteError, one_line
from scratchac.experiments.reporter import signals_as_interrupts
from scratchac.experiments.restoring import restore
from scratchac.experiments.run import BEST, Run
from scratchac.experiments.schema import MOST_EPISODES
from scratchac.messages import tell
from scratchac.training import evaluation
from scratchac.training.agent import Agent

EVALUATION_EPISODES = 100       # at the end of a run


def evaluation_of(config: dict[str, Any], episodes: Any) -> int:
    """The episodes of a run's evaluation: what is given or, for None, what the run was started with. Raises UserError."""
    if episodes is None:
        episodes = config.get("eval_episodes", EVALUATION_EPISODES)        # runs of version 0.1.0 do not say it
    return whole("--eval-episodes", episodes, 0, MOST_EPISODES)


def evaluable(env: VectorInstance, episodes: int, asked: bool, quiet: bool) -> int:
    """The episodes of the evaluation at the end: none if there is no single environment, which a message says.

    Raises UserError if that is so and evaluations are `asked` for.
    """
    why = why_not_evaluated(env)
    if why is None:
        return episodes
    if asked:
        raise UserError(f"evaluations play in single environments, and {why}; scratchac.evaluate(agent, env) plays in "
                        "one that you make")
    if not quiet:
        tell(f"there will be no evaluation: {why}; scratchac.evaluate(agent, env) takes an environment that you make")
    return 0


def why_not_evaluated(env: VectorInstance) -> str | None:
    """Why there is no single environment of the same task, in words; None if there is one."""
    if env.none:
        return env.none
    try:
        made = make(env)
    except UserError as error:
        return str(error)
    close(made)
    own, seen = env.env.single_action_space, observed(env.env.single_observation_space)
    if not alike(seen, made.observation_space) or made.action_space != own:
        return (f"a single {env.__name__} has the spaces {shortened(made.observation_space)} and {shortened(made.action_space)}, "
                f"not {shortened(seen)} and {shortened(own)}")
    if {id(x) for x in held_by(made)} & {id(x) for x in held_by(env.env)}:
        return f"the first function of this {env.__name__} gives an environment that is trained in"
    return None


def conclude(agent: Agent, run: Run, env: Any, progress: dict[str, Any], quiet: bool, video: bool,
             eval_episodes: int) -> tuple[dict[str, Any], Path | None]:
    """Evaluate a trained agent, and write summary, plots and, if requested, a video. Signals stop it as Ctrl-C does.

    Returns what the summary holds, and the video's file.

    Raises EnvironmentFailed or UserError, with the word that the training is saved, if the evaluation is not possible.
    """
    saved = f"all {agent.step} steps are saved, not evaluated"
    try:
        with signals_as_interrupts():
            return _conclude(agent, run, env, progress, quiet, video, eval_episodes)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"{saved}; for that: scratchac resume {run.path}") from None
    except WriteError:
        raise
    except (EnvironmentFailed, UserError) as error:
        raise type(error)(f"{saved}: {error}") from error


def _conclude(agent: Agent, run: Run, env: Any, progress: dict[str, Any], quiet: bool, video: bool,
              eval_episodes: int) -> tuple[dict[str, Any], Path | None]:
    film = None
    summary = _summary(agent, run.config, progress) | _evaluated(agent, env, run.config["env_args"], eval_episodes, quiet)
    summary |= _best_evaluated(run, env, summary, eval_episodes, quiet)
    # matplotlib takes longer to load than a short run lasts, so it is loaded only when it is needed.
    from scratchac.experiments import plots

    try:
        plots.curves(run, run.path / "curves.png")
    except WriteError:
        raise
    except Exception as error:                              # any: the evaluation is worth more
        tell(f"no curves: {one_line(error, with_type=False)}")
    if video:
        from scratchac.experiments.video import record

        if not quiet:
            tell("recording a video of one episode")
        try:
            film = record(agent, env, run.path, **run.config["env_args"])
        except (Exception, SystemExit) as error:            # any: the training is finished and saved anyway
            tell(f"no video: {one_line(error, with_type=False)}")
    run.write_json("summary.json", summary)                 # last, so that a run that has it is complete
    return summary, film


def _summary(agent: Agent, config: dict[str, Any], progress: dict[str, Any]) -> dict[str, Any]:
    return {
        **{key: config[key] for key in ("algorithm", "env", "seed", "backend")}, **progress.get("computed_by", {}),
        "steps": agent.step, "episodes": progress["episodes"], "wall_s": progress["wall_s"],
        "compile_s": progress.get("compile_s", 0.0),
        # The counters of an agent that was saved without a run have begun at that step.
        "steps_per_s": _rate(agent.step - progress.get("begun", 0), progress["wall_s"]), "updates": progress["updates"],
        "updates_per_s": _rate(progress["updates"], progress["update_s"]),
    }


def _rate(count: int, seconds: float) -> float:
    return count / seconds if seconds > 0 else 0.0


def _best_evaluated(run: Run, env: Any, last: dict[str, Any], episodes: int, quiet: bool) -> dict[str, Any]:
    """What summary.json says about the policy in best.npz, beside what it says about the last one; nothing if there is none."""
    if not run.config.get("eval_every") or not (run.path / BEST).exists():
        return {}
    try:
        best, _, _ = restore(run, best=True)
    except CheckpointError as error:
        tell(f"the best policy is not evaluated: {error}")
        return {}
    same = {name: x for name, x in last.items() if name.startswith("eval_")}
    came = same if best.step == last["steps"] else _evaluated(best, env, run.config["env_args"], episodes, quiet, "the best policy")
    return {"best_step": best.step} | {f"best_{name}": x for name, x in came.items()}


def _evaluated(agent: Agent, env: Any, env_args: dict[str, Any], episodes: int, quiet: bool,
               what: str = "the last policy") -> dict[str, Any]:
    """What summary.json says about the evaluation: its mean return is left out if there are no episodes."""
    if not episodes:
        return {"eval_episodes": 0}
    if not quiet:
        tell(f"evaluating {what} over {episodes} episode{'s' if episodes > 1 else ''}")
    returns, cut = evaluation.play(agent, env, env_args, episodes, budget=evaluation.BUDGET, cuts=True, quiet=quiet)
    if cut:
        tell(f"{cut} of {len(returns)} episodes of the evaluation had not ended after {evaluation.LONGEST:,} steps; "
             "they are cut there and count with their returns so far")
    if len(returns) < episodes:
        tell(f"the evaluation has {len(returns)} of {episodes} episodes: it begins no more after "
             f"{evaluation.BUDGET:,} steps")
    return {"eval_mean": float(returns.mean()), "eval_std": float(returns.std()), "eval_episodes": len(returns), "eval_cut": cut}
