"""The subcommands of `scratchac` except `train`. tyro reads the flags from each signature, and their help from its docstring."""

from dataclasses import asdict
from itertools import chain
from json import dumps
from pathlib import Path
from typing import Annotated, Literal

import tyro

from scratchac.errors import UserError, unknown
from scratchac.messages import columns, filled
from scratchac.tools.flags import Backend, choices_from, env_args_from, seeds_from

RunFolder = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]


def named(config, env, trust):
    """The id that the user's own command names or allows, whose module may be in the working directory; None without."""
    from scratchac.environments.make import Named, versioned

    env = config["env"] if trust and env is None and not config["env_is_callable"] else env
    return None if env is None else Named(versioned(env))


def evaluate(run: RunFolder, episodes: int = 100, seed: int = 0, stochastic: bool = False, json: bool = False,
             quiet: bool = False, env: str | None = None, env_args: tuple[str, ...] = (), trust: bool = False,
             best: bool = False, checkpoint: Path | None = None) -> None:
    """Play new episodes with a trained policy and print their returns, the sums of rewards without γ: mean ± standard deviation.

    Args:
        run: folder of a run, such as runs/a2c-LunarLander-v3-seed0
        episodes: number of episodes to play; the i-th, from 0 on, is seeded with SEED + i
        seed: seed of the first episode
        stochastic: sample actions from the policy; without it, take the most likely action, or the mean of a Gaussian
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
    from scratchac.environments.make import Named, check_arguments, name_of, versioned
    from scratchac.experiments import restoring
    from scratchac.experiments.run import Run
    from scratchac.experiments.schema import MOST_EPISODES
    from scratchac.training import evaluation

    config = Run.open(run).config
    if env is not None and versioned(env) != config["env"]:
        made_of, arguments = Named(versioned(env)), env_args_from(env_args)
    else:
        call = f"scratchac.evaluate(scratchac.load({str(run)!r}), …)"
        made_of = restoring.environment_of(config, named(config, env, trust), call)
        arguments = config["env_args"] | env_args_from(env_args)
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
           video: bool = True, eval_episodes: int | None = None, new_episodes: bool = False, env: str | None = None,
           trust: bool = False) -> None:
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
        env: the run's environment; only a run on MODULE:ID needs it, or --trust, since importing a module executes it
        trust: import the module that the run's folder names, which executes it; for folders whose origin you know
    """
    from scratchac import api
    from scratchac.experiments.run import Run
    from scratchac.tools import outcome

    agent = api.resume(run, steps, backend=backend, quiet=quiet, video=video, eval_episodes=eval_episodes,
                       new_episodes=new_episodes, env=named(Run.open(run).config, env, trust))
    outcome.show(run, agent.step, quiet)


def sweep(
    algorithm: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="ALGO[,ALGO…]")],
    env: str | None = None,
    seeds: str = "0-4",
    set: tyro.conf.UseAppendAction[tuple[tuple[str, ...], ...]] = (),
    steps: int | None = None,
    engine: Literal["processes", "ray"] = "processes",
    jobs: int | None = None,
    out: Path | None = None,
    backend: Backend | None = None,
    preset: str | None = None,
    env_args: tuple[str, ...] = (),
    quiet: bool = False,
) -> None:
    """Train with many seeds and several values of hyperparameters in parallel, and make one table and one plot of all runs.

    Hyperparameters have the flags that `train` has and take several values, as in --lam 0.9,0.95 --hidden [64,64],[32,32]. Every
    combination of the values is run with every seed.

    Args:
        algorithm: algorithms to train, such as a2c or a2c,ppo; `scratchac train --help` lists them
        env: Gymnasium ids of the environments, or MODULE:ID, with commas between; the algorithm's default if not given
        seeds: seeds of the runs of each setting, such as 0-9 or 0,2,5-7
        set: another way to write flags of hyperparameters, name=v1,v2 other=[1,2],[3,4]; it may be given several times
        steps: environment steps of each run; the preset's number if not given
        engine: processes on this machine, or a Ray cluster: the one at $RAY_ADDRESS, or a local one that is started automatically
        jobs: number of runs at a time; as many as there are cores if not given
        out: new folder, with a folder for each run; if not given, sweeps/ALGO-ENV
        backend: what does the arithmetic; if not given, $SCRATCHAC_BACKEND, or numba if it is installed, else numpy
        preset: name of an additional preset, one of those that `scratchac presets` lists with --preset
        env_args: arguments of the environment, such as gravity=-5 continuous=true
        quiet: show no progress bar
    """
    from scratchac import algorithms
    from scratchac.environments.make import Named, versioned
    from scratchac.experiments.run import folder_name, free_folder
    from scratchac.tools.sweep import Sweep

    names = [algorithms.spelt(name) for name in algorithm.split(",")]
    for name in names:
        algorithms.find(name)
    own = list(dict.fromkeys(algorithms.ALGORITHMS[name].env for name in names))
    if env is None and len(own) > 1:
        raise UserError(f"{algorithm} have different default environments, {' and '.join(own)}: name one with --env")
    envs = own if env is None else [versioned(one) for one in env.split(",")]
    out = out or free_folder(Path("sweeps") / folder_name(f"{'+'.join(names)}-{'+'.join(envs)}")[:200])
    made = Sweep(names, [Named(one) for one in envs], seeds_from(seeds), choices_from(chain(*set)), out, engine, jobs, steps=steps,
                 backend=backend, preset=preset, env_args=env_args_from(env_args) or None)
    made.run(quiet)
    print(f"{made.table()}\n\n{out}")


def plot(runs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN")], out: Path | None = None,
         by: tuple[str, ...] = (), versus: bool = False) -> None:
    """Plot the learning curves of one run, or of several: a line for each setting, over its seeds.

    The folder of a sweep stands for all its runs.

    Args:
        runs: folders of runs and of sweeps, such as runs/a2c-CartPole-v1-seed0 or sweeps/ppo-CartPole-v1
        out: file of the plot, which replaces an earlier one; if not given, curves.png in the folder of one run, sweep.png in that
            of one sweep, comparison.png in this folder for several, versus.png there with --versus
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
    elif alone and out is None and not by:
        out = Path(runs[0]) / "curves.png"
        plots.curves(Run.open(runs[0]), out)
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
        stochastic: sample actions from the policy; without it, take the most likely action, or the mean of a Gaussian
        out: new file .gif or, with the extra video, .mp4; if not given, video.mp4 or video.gif in the run's folder, which replaces
            an earlier one
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
    stem = "best" if best else "video"
    agent = api.load(run, best, checkpoint)
    print(film.record(agent, made_of, run, episodes, seed, pick, stem, stochastic, out, **config["env_args"]))


def watch(run: RunFolder, episodes: int | None = None, seed: int = 0, stochastic: bool = False, env: str | None = None,
          trust: bool = False, best: bool = False, checkpoint: Path | None = None) -> None:
    """Watch a trained policy play in a window, until the window is closed or Escape is pressed.

    Args:
        run: folder of a run, such as runs/a2c-LunarLander-v3-seed0
        episodes: number of episodes to play; if not given, one follows another until the window is closed
        seed: seed of the first episode
        stochastic: sample actions from the policy; without it, take the most likely action, or the mean of a Gaussian
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


def gradcheck(show: str | None = None, broken: Annotated[str | None, tyro.conf.arg(name="break", metavar="NAME")] = None,
              picture: Path | None = None, json: bool = False) -> None:
    """Check every hand-written gradient against finite differences, and check that a wrong one is caught.

    Args:
        show: name of a check, or a part of it: print its gradient number by number, and its error over the step h of the
            differences; "list" prints all names
        broken: name of a mistake, or a part of it: make it in the source, in memory only, and list the checks that notice; "list"
            prints all names
        picture: with --show, draw the error over h into this file
        json: print a JSON list of all checks
    """
    from scratchac import gradcheck as checks
    from scratchac.errors import find_name
    from scratchac.lab import breaks

    if (show is not None) + (broken is not None) + json > 1 or (picture is not None and show is None):
        raise UserError("gradcheck takes one of --show, --break and --json, and --picture only with --show")
    if show is not None:
        from scratchac.experiments import plots
        from scratchac.gradcheck import show as shown

        if show == "list":
            print("\n".join(checks.CHECKS))
            return
        name = find_name("check", show, list(checks.CHECKS), "scratchac gradcheck --show list prints all names")
        seen = checks.numbers(name)
        print(shown.text(seen))
        if picture is not None:
            plots.save(shown.picture(seen), picture)
            print(picture)
        return
    if broken == "list":
        print("\n".join(breaks.BREAKS))
        return
    if broken is not None:
        print(breaks.report(broken))
        return
    results = checks.run_all()
    print(dumps([asdict(r) | {"passed": r.passed} for r in results]) if json else checks.table(results, columns()))
    if not all(r.passed for r in results):
        raise SystemExit(1)


def microscope(gamma: float = 0.9, lam: float = 0.7, critic_error: float = 0.3, discount: bool = True, batch: int = 10,
               picture: Path | None = None, page: Path | None = None, json: bool = False) -> None:
    """Print exact bias and variance of policy gradients: sums over all trajectories of a small corridor, without sampling.

    Args:
        gamma: discount factor
        lam: λ of GAE(λ), a row of the table besides λ = 0 and 1
        critic_error: the critic is V + critic_error · ε(s), with fixed ε(s) from N(0, 1)
        discount: weight step t by γᵗ, as in the gradient of the discounted return
        batch: episodes in a batch, for --picture and --page
        picture: draw variances, and bias and variance over λ, into this file (.png); no table is printed
        page: write an interactive page into this new file (.html); no table is printed
        json: print one JSON object
    """
    from scratchac.algorithms.config import Range, whole
    from scratchac.lab.microscope import Microscope
    from scratchac.tools import microscope as tool

    for flag, value, allowed in (("--gamma", gamma, Range(0.01, 1)), ("--lam", lam, Range(0, 1)),
                                 ("--critic-error", critic_error, Range(0, 100))):
        if value not in allowed:
            raise UserError(f"{flag} must be {allowed}, not {value:g}")
    batch = whole("--batch", batch, 1, 10**6)
    micro = Microscope(gamma, critic_error, discount)
    if page is not None:
        tool.page(micro, lam, batch, discount, page)
    if picture is not None:
        tool.picture(micro, lam, batch, picture)
    if json or not (page or picture):
        seen = tool.numbers(micro, lam)
        print(dumps(seen) if json else tool.text(seen, discount))
    else:
        print("\n".join(str(path) for path in (page, picture) if path is not None))


def bench(quick: bool = False, only: tuple[Literal["kernels", "updates", "training", "solve", "growth"], ...] = (),
          solve: bool = False, growth: bool = False, profile: bool = False, peers: bool = False, json: bool = False) -> None:
    """Time every kernel on every backend, then updates and training; the machine should do nothing else.

    Args:
        quick: time fewer rows, for a shorter time: about a minute
        only: tables to make; kernels, updates and training if not given
        solve: make the table solve: seconds from the start of a process to a policy that solves its environment, with compilation
        growth: make the table growth: rates over environments, width and batch; memory over the replay buffer; a sweep over
            processes
        profile: show where the time of a training loop goes, and make no other table
        peers: also time other libraries that are installed
        json: print one JSON object at the end, and no tables
    """
    from scratchac.bench import pace as paces
    from scratchac.bench import report as timing

    wanted = {*only, *(name for name, asked in (("solve", solve), ("growth", growth)) if asked)}
    if profile and (wanted or peers):
        raise UserError("bench --profile is a measurement of its own: it takes --quick and --json")
    pace = paces.quick() if quick else paces.Pace()
    results = {}
    for title, rows, unit, better in timing.profiles(pace) if profile else timing.tables(wanted or timing.USUAL, pace, peers):
        results[title] = {"unit": unit, "rows": rows}
        if not json:
            print(f"{title}\n\n{timing.table(rows, unit, better)}\n", flush=True)
    if json:
        print(dumps(timing.circumstances() | results, indent=1))


def presets(algorithm: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[ALGO]")] = None,
            env: str | None = None) -> None:
    """List the presets, tuned hyperparameters that `scratchac train` starts from; names of additional ones go to --preset.

    Args:
        algorithm: only presets of this algorithm; of all if not given
        env: only presets for this environment; for all if not given
    """
    from scratchac import algorithms
    from scratchac.environments.make import versioned
    from scratchac.experiments.presets import presets as tables

    wanted = None if algorithm is None else algorithms.spelt(algorithm)
    found = [(name, *key.partition(":")[::2], values) for name, by_env in tables().items() for key, values in by_env.items()
             if wanted in (None, name) and (env is None or versioned(env) == key.partition(":")[0])]
    if not found:
        known = sorted({key.partition(":")[0] for name, by_env in tables().items() for key in by_env if wanted in (None, name)})
        raise unknown(f"environment of a preset{f' of {wanted}' if wanted else ''}", env, known)
    for one, on, name, values in found:
        seeds = f" (tuned on seeds {values['tuning_seeds']})" if "tuning_seeds" in values else ""
        print(f"{one} on {on}" + (f", --preset {name}" if name else "") + seeds)
        print(filled([f"{name}={value}".replace(", ", ",") for name, value in values.items() if name != "tuning_seeds"], columns()))


def doctor(env: str = "") -> None:
    """Print the facts that a bug report needs, and what is missing; or, with --env, what agents observe and do in an environment.

    Args:
        env: Gymnasium id or MODULE:ID: print its spaces, and which algorithms take it
    """
    from scratchac.environments.make import Named
    from scratchac.tools.doctor import about, report

    for name, value in about(Named(env)) if env else report():
        print(f"{name:16} {value}")
