"""The subcommands of `scratchac` that take the folder of a run.

tyro reads the flags from each signature, and their help from its docstring.
"""

from itertools import chain
from json import dumps
from pathlib import Path
from typing import Annotated, Literal

import tyro

from scratchac.errors import UserError
from scratchac.tools.flags import Backend, Log, Words, env_args_from

RunFolder = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]


def named(config, env, trust):
    """The id that the user's own command names or allows, whose module may be in the working directory; None without."""
    from scratchac.environments.make import CommandLineId, versioned

    env = config["env"] if trust and env is None and not config["env_is_callable"] else env
    return None if env is None else CommandLineId(versioned(env))


def evaluate(run: RunFolder, episodes: int = 100, seed: int = 0, stochastic: bool = False, json: bool = False,
             quiet: bool = False, env: str | None = None, env_args: Words = (), trust: bool = False,
             best: bool = False, checkpoint: Path | None = None) -> None:
    """Play new episodes with a trained policy and print their returns, the sums of rewards without γ: mean ± standard deviation.

    Args:
        run: folder of a run, such as runs/a2c-LunarLander-v3-seed0
        episodes: number of episodes to play; the i-th, from 0 on, is seeded with SEED + i
        seed: seed of the first episode
        stochastic: sample actions from the policy; without it, take the most likely one, or of a Gaussian the mean
        json: print one JSON object, with the return of every episode
        quiet: show no progress bar
        env: another environment with the same spaces; the run's own if not given. A run on MODULE:ID needs it here, or --trust
        env_args: arguments of the environment, such as gravity=-5; they are added to those of the run or, with another --env,
            replace them
        trust: import the module that the run's folder names, which executes it; for folders whose origin you know
        best: use the best policy of the evaluations during training (train --eval-every), not the last policy
        checkpoint: use the policy in this file, such as RUN/checkpoint.previous.npz; the last one if not given
    """
    import numpy as np

    from scratchac import api
    from scratchac.algorithms.config import whole
    from scratchac.environments.make import CommandLineId, check_arguments, name_of, versioned, with_arguments
    from scratchac.experiments import restoring
    from scratchac.experiments.run import Run
    from scratchac.experiments.schema import MOST_EPISODES
    from scratchac.training import evaluation

    config = Run.open(run).config
    if env is not None and versioned(env) != config["env"]:
        made_of, arguments = CommandLineId(versioned(env)), env_args_from(chain(*env_args))
    else:
        call = f"scratchac.evaluate(scratchac.load({str(run)!r}), …)"
        made_of = restoring.environment_of(config, named(config, env, trust), call)
        arguments = with_arguments(config["env_args"], env_args_from(chain(*env_args)))
    episodes, seed = whole("--episodes", episodes, 1, MOST_EPISODES), whole("--seed", seed, 0)
    agent = api.load(run, best, checkpoint)
    returns, _ = evaluation.play(agent, made_of, check_arguments(arguments), episodes, seed, stochastic, quiet=quiet)
    policy = "best" if best else "last" if checkpoint is None else str(checkpoint)
    result = {"algorithm": config["algorithm"], "env": name_of(made_of), "policy": policy, "step": agent.step, "episodes": episodes,
              **{name: float(getattr(np, name)(returns)) for name in ("mean", "std", "median", "min", "max")},
              "returns": returns.tolist()}
    if json:
        print(dumps(result))
    else:
        which = "" if policy == "last" else f", {'best policy' if best else checkpoint} (of step {agent.step:,})"
        print("{algorithm} on {env}{which}, {episodes} episodes: mean {mean:.1f} ± {std:.1f}, median {median:.1f}, "
              "from {min:.1f} to {max:.1f}".format(which=which, **result))


def resume(run: RunFolder, steps: int | None = None, backend: Backend | None = None, quiet: bool = False,
           video: bool = True, eval_episodes: int | None = None, new_episodes: bool = False, log: tuple[Log, ...] | None = None,
           env: str | None = None, trust: bool = False) -> None:
    """Continue a run from its last checkpoint.

    Args:
        run: folder of a run, such as runs/a2c-LunarLander-v3-seed0
        steps: environment steps in total, with those already done; if not given, as the run was started
        backend: what does the arithmetic; if not given, as the run was started
        quiet: show no progress bar
        video: record a video of the final policy into the run's folder
        eval_episodes: episodes of the evaluation at the end, 0 for none; if not given, as the run was started
        new_episodes: begin new episodes; without it, the actions of the episodes in progress are repeated, which takes long if the
            environment is slow
        log: tensorboard, wandb (offline) or both; if not given, as the run was started
        env: the run's environment; only a run on MODULE:ID needs it, or --trust, since importing a module executes it
        trust: import the module that the run's folder names, which executes it; for folders whose origin you know
    """
    from scratchac import api
    from scratchac.experiments.run import Run
    from scratchac.tools import outcome

    agent = api.resume(run, steps, backend=backend, quiet=quiet, video=video, eval_episodes=eval_episodes,
                       new_episodes=new_episodes, log=log, env=named(Run.open(run).config, env, trust))
    outcome.show(run, agent.step, quiet)


def plot(runs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN")], out: Path | None = None,
         by: tuple[str, ...] = (), versus: bool = False) -> None:
    """Plot the learning curves of one run, or of several: a line for each setting, over its seeds.

    The folder of a sweep stands for all its runs.

    Args:
        runs: folders of runs and of sweeps, such as runs/a2c-CartPole-v1-seed0 or sweeps/ppo-CartPole-v1
        out: file of the plot, which replaces an earlier one; if not given, curves.png in the folder of one run, sweep.png in that
            of one sweep, comparison.png in this folder for several or with --by, versus.png there with --versus
        by: entries of config.json that make a setting, such as lam; if not given, all in which the runs differ, except the seed
        versus: compare the evaluations of the last policies: draw performance profiles, print how often one setting is better than
            another
    """
    from scratchac.experiments import plots, settings
    from scratchac.experiments.run import Run

    if not runs:
        raise UserError("plot needs at least one run's folder")
    alone = len(runs) == 1
    if versus:
        from scratchac.experiments import versus as contest
        from scratchac.tools.tables import aligned

        found = contest.compared(runs, by)
        path = contest.picture(found, out or Path("versus.png"))
        print(f"{aligned(contest.table(found))}\n\n{path}")
    elif alone and settings.is_sweep(runs[0]):
        print(plots.compare(runs, out or runs[0] / "sweep.png", by))
    elif alone and not by:
        run = Run.open(runs[0])
        if out is not None:
            plots.require_replaceable(out)
        out = out or run.path / "curves.png"
        plots.curves(run, out)
        print(out)
    else:
        print(plots.compare(runs, out or Path("comparison.png"), by))


def video(run: RunFolder, episodes: int = 1, seed: int = 0, pick: tuple[Literal["best", "median", "worst"], ...] = (),
          stochastic: bool = False, out: Path | None = None, checkpoint: Path | None = None, env: str | None = None,
          trust: bool = False, best: bool = False) -> None:
    """Record a video of a trained policy.

    Args:
        run: folder of a run, such as runs/a2c-LunarLander-v3-seed0
        episodes: number of episodes to record
        seed: seed of the first episode
        pick: play ten episodes and record only the best, the median or the worst, or several of these in this order
        stochastic: sample actions from the policy; without it, take the most likely one, or of a Gaussian the mean
        out: new file .gif or, with the extra video, .mp4; if not given, video.mp4 or video.gif in the run's folder, which replaces
            an earlier one; with --checkpoint and --stochastic the name has the policy's step and "sampled"
        checkpoint: use the policy in this file, such as RUN/checkpoint.previous.npz; the last one if not given
        env: the run's environment; only a run on MODULE:ID needs it, or --trust, since importing a module executes it
        trust: import the module that the run's folder names, which executes it; for folders whose origin you know
        best: use the best policy of the evaluations during training (train --eval-every), not the last policy; the file is best.mp4
            or best.gif
    """
    from scratchac import api
    from scratchac.experiments import restoring
    from scratchac.experiments import video as film
    from scratchac.experiments.run import Run

    if pick and episodes != 1:
        raise UserError("--pick chooses from ten episodes, and --episodes records several: give one of the two")
    config = Run.open(run).config
    loaded = f"scratchac.load({str(run)!r}{', best=True' if best else ''})"
    call = f"from scratchac.experiments.video import record; record({loaded}, …, {str(run)!r})"
    made_of = restoring.environment_of(config, named(config, env, trust), call)
    agent = api.load(run, best, checkpoint)
    stem = ("best" if best else "video") + (f"-step{agent.step}" if checkpoint else "") + ("-sampled" if stochastic else "")
    print(film.record(agent, made_of, run, episodes, seed, pick, stem, stochastic, out, **config["env_args"]))


def watch(run: RunFolder, episodes: int | None = None, seed: int = 0, stochastic: bool = False, env: str | None = None,
          trust: bool = False, best: bool = False, checkpoint: Path | None = None) -> None:
    """Watch a trained policy play in a window, until the window is closed or Escape is pressed.

    Args:
        run: folder of a run, such as runs/a2c-LunarLander-v3-seed0
        episodes: number of episodes to play; if not given, one follows another until the window is closed
        seed: seed of the first episode
        stochastic: sample actions from the policy; without it, take the most likely one, or of a Gaussian the mean
        env: the run's environment; only a run on MODULE:ID needs it, or --trust, since importing a module executes it
        trust: import the module that the run's folder names, which executes it; for folders whose origin you know
        best: use the best policy of the evaluations during training (train --eval-every), not the last policy
        checkpoint: use the policy in this file, such as RUN/checkpoint.previous.npz; the last one if not given
    """
    from scratchac import api
    from scratchac.experiments import restoring
    from scratchac.experiments.run import Run
    from scratchac.tools import window

    config = Run.open(run).config
    call = f"from scratchac.tools.window import watch; watch(scratchac.load({str(run)!r}), …)"
    made_of = restoring.environment_of(config, named(config, env, trust), call)
    print_mean(window.watch(api.load(run, best, checkpoint), made_of, episodes, seed, stochastic, **config["env_args"]))


def print_mean(returns):
    """Print the mean of the returns of several episodes."""
    if len(returns) > 1:
        print(f"{len(returns)} episodes, mean return {sum(returns) / len(returns):.1f}")


def export(run: RunFolder, format: Literal["html", "onnx"] = "html", out: Path | None = None, best: bool = False) -> None:
    """Turn a trained policy into a web page that plays it, or into an ONNX graph.

    Args:
        run: folder of a run, such as runs/a2c-LunarLander-v3-seed0
        format: html, for CartPole, Pendulum, Acrobot and the continuous MountainCar; onnx, for all but pictures
        out: new file; if not given, policy.html or policy.onnx in the run's folder, with --best best.html or best.onnx
        best: use the best policy of the evaluations during training (train --eval-every), not the last policy
    """
    from scratchac.tools.export import export as write

    print(write(run, format, out, best))


def play(run: Annotated[Path | None, tyro.conf.Positional, tyro.conf.arg(metavar="[RUN]")] = None, env: str | None = None,
         seed: int | None = None, record: Path | None = None) -> None:
    """Play an environment by keyboard or, in the terminal, a game against a trained policy.

    Args:
        run: folder of a run on a game, whose policy you play against
        env: Gymnasium id; if not given, LunarLander-v3 or the run's own game
        seed: seed of the first episode; if not given, a random one
        record: new file .npz for the episodes that you play, from which demos/23_behaviour_cloning.py learns
    """
    from scratchac import api
    from scratchac.environments.games import GAMES
    from scratchac.experiments.run import Run
    from scratchac.tools import keyboard

    if run is None and env not in GAMES:
        print_mean(keyboard.play("LunarLander-v3" if env is None else env, seed, record=record))
        return
    if run is None:
        raise UserError(f"{env} is played against a trained run: scratchac play RUN")
    if record is not None:
        raise UserError("--record is for episodes played in a window")
    name = Run.open(run).config["env"]
    if name not in GAMES or env not in (None, name):
        raise UserError(f"{run} is a run on {name}, not on {env or ' or '.join(GAMES)}")
    outcomes = keyboard.play_game(api.load(run), name, seed)
    won, drawn, lost, left = (outcomes.count(x) for x in (1, 0, -1, None))
    print(f"\n{won} won, {drawn} drawn, {lost} lost{f', {left} left' if left else ''}")
