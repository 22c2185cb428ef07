"""Subcommands of `scratchac` that start with no run: many runs, searches, checks, timings, lists.

tyro reads the flags from each signature, and their help from its docstring.
"""

from dataclasses import asdict
from itertools import chain
from json import dumps
from pathlib import Path
from textwrap import fill
from typing import Annotated, Literal

import tyro

from scratchac.errors import UserError, unknown
from scratchac.messages import columns, filled
from scratchac.tools.flags import Backend, Words, choices_from, env_args_from, seeds_from


def sweep(
    algorithm: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="ALGO[,ALGO…]")],
    env: str | None = None,
    seeds: str = "0-4",
    set: Words = (),
    steps: int | None = None,
    engine: Literal["processes", "ray"] = "processes",
    jobs: int | None = None,
    out: Path | None = None,
    backend: Backend | None = None,
    preset: str | None = None,
    env_args: Words = (),
    quiet: bool = False,
) -> None:
    """Train with many seeds and several values of hyperparameters in parallel, and make one table and one plot of all runs.

    Hyperparameters have the flags that `train` has and take several values, as in --lam 0.9,0.95 --hidden [64,64],[32,32]. Every
    combination of the values is run with every seed.

    Args:
        algorithm: algorithms to train, such as a2c or a2c,ppo; `scratchac train --help` lists them
        env: Gymnasium ids of the environments, or MODULE:ID, with commas between; the algorithm's default if not given
        seeds: seeds of the runs of each setting, such as 0-9 or 0,2,5-7
        set: another way to write flags of hyperparameters, name=v1,v2 hidden=[8,8],[64] with layers in brackets; it may be given
            several times
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
    from scratchac.environments.make import CommandLineId, versioned
    from scratchac.experiments.run import folder_name, free_folder
    from scratchac.tools.sweep import Sweep

    names = [algorithms.spelt(name) for name in algorithm.split(",")]
    own = list(dict.fromkeys(algorithms.ALGORITHMS[name].env for name in names))
    if env is None and len(own) > 1:
        raise UserError(f"{algorithm} have different default environments, {' and '.join(own)}: name one with --env")
    envs = own if env is None else [versioned(one) for one in env.split(",")]
    out = out or free_folder(Path("sweeps") / folder_name(f"{'+'.join(names)}-{'+'.join(envs)}"))
    made = Sweep(names, [CommandLineId(one) for one in envs], seeds_from(seeds), choices_from(chain(*set)), out, engine, jobs,
                 steps=steps, backend=backend, preset=preset, env_args=env_args_from(chain(*env_args)) or None)
    made.run(quiet)
    print(f"{made.table()}\n\n{out}")


def tune(
    algorithm: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="ALGO")],
    env: str | None = None,
    trials: int = 20,
    steps: int | None = None,
    seeds: str = "500",
    set: Words = (),
    eval_every: int | None = None,
    eval_episodes: int = 20,
    out: Path | None = None,
    backend: Backend | None = None,
    preset: str | None = None,
    env_args: Words = (),
    quiet: bool = False,
) -> None:
    """Search for good values of hyperparameters with Optuna, and print the best ones as a preset.

    A hyperparameter with a value, as in --gamma 0.99, is not searched; of several, as in --rollout 16,32, one is chosen. The same
    command goes on with a search that was stopped; started several times, it works on it in several processes. Results on the
    seeds of a search are too good: report those of other seeds.

    Args:
        algorithm: algorithm to train
        env: Gymnasium id of the environment, or MODULE:ID; the algorithm's default if not given
        trials: number of trials in the folder at the end; a trial is a training with other values
        steps: environment steps of a training; the preset's number if not given
        seeds: seeds of a trial's trainings, such as 500-502; its value is the mean of their returns
        set: the same as flags of hyperparameters, as name=value, name=v1,v2 or hidden=[8,8],[64] (layers in brackets)
        eval_every: environment steps between evaluations during training, after which a trial that is behind most others is given
            up; a tenth of all steps if not given
        eval_episodes: episodes of the evaluation at the end of a training, which counts
        out: folder of the search; tunings/ALGO-ENV if not given
        backend: what does the arithmetic; if not given, $SCRATCHAC_BACKEND, or numba if it is installed, else numpy
        preset: name of an additional preset, for what is not searched; `scratchac presets` lists them with --preset
        env_args: arguments of the environment, such as gravity=-5 continuous=true
        quiet: show no progress bar
    """
    from scratchac import algorithms
    from scratchac.algorithms.config import whole
    from scratchac.environments.make import CommandLineId, versioned
    from scratchac.experiments.run import folder_name
    from scratchac.tools.tune import Tune

    algorithm = algorithms.spelt(algorithm)
    env = versioned(algorithms.ALGORITHMS[algorithm].env if env is None else env)
    trials = whole("--trials", trials, 1)
    out = out or Path("tunings") / folder_name(f"{algorithm}-{env}")
    made = Tune(algorithm, CommandLineId(env), seeds_from(seeds), choices_from(chain(*set)), out, eval_every, eval_episodes,
                steps=steps, backend=backend, preset=preset, env_args=env_args_from(chain(*env_args)) or None)
    made.run(trials, quiet)
    print(f"{made.table()}\n\n{made.best_preset() or 'there is no trial for a preset'}\n{made.out}")


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
            plots.replace(shown.picture(seen), picture)
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


def bench(quick: bool = False, only: tuple[Literal["kernels", "updates", "training", "solve", "growth", "busy"], ...] = (),
          solve: bool = False, env: str | None = None, growth: bool = False, busy: bool = False, profile: bool = False,
          peers: bool = False, json: bool = False) -> None:
    """Time every kernel on every backend, then updates and training; the machine should do nothing else.

    Args:
        quick: time fewer rows, for a shorter time: about a minute
        only: tables to make; kernels, updates and training if not given
        solve: make the table solve: seconds from the start of a process to a policy that solves its environment, with compilation
        env: with --solve or --only training, only this environment
        growth: make the table growth: rates over environments, width and batch; memory over the replay buffer; a sweep over
            processes
        busy: make the table busy: updates beside one and two processes that compute all the time
        profile: show where the time of a training loop goes, and make no other table
        peers: also time other libraries that are installed
        json: print one JSON object at the end, and no tables
    """
    from scratchac.bench import pace as paces
    from scratchac.bench import report as timing
    from scratchac.environments.make import versioned
    from scratchac.errors import find_name

    wanted = {*only, *(name for name, asked in (("solve", solve), ("growth", growth), ("busy", busy)) if asked)}
    if env is not None:
        if not wanted or not wanted <= timing.ENVIRONMENTS.keys():
            raise UserError("--env is for bench --solve and bench --only training")
        for name in sorted(wanted):
            asked = "--solve" if name == "solve" else f"--only {name}"
            env = find_name(f"environment of bench {asked}", versioned(env), timing.ENVIRONMENTS[name])
    if profile and (wanted or peers):
        raise UserError("bench --profile is a measurement of its own: it takes --quick and --json")
    pace = paces.quick() if quick else paces.Pace()
    results = {}
    tables = timing.profiles(pace) if profile else timing.tables(wanted or timing.USUAL, pace, peers, env)
    for title, rows, unit, better in tables:
        results[title] = {"unit": unit, "rows": rows}
        if not json:
            print(f"{title}\n\n{timing.table(rows, unit, better)}\n", flush=True)
    if json:
        print(dumps(timing.circumstances() | results, indent=1))


def presets(algorithm: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[ALGO]")] = None,
            env: str | None = None) -> None:
    """List the presets, tuned hyperparameters that `scratchac train` starts from; names of additional ones go to --preset.

    Below each is what it has reached: the mean return of the last policy, not the best one, of each seed, over 100 episodes (20
    from pictures), with its deterministic actions unless the line says that they were sampled. Minutes are the median over seeds.

    Args:
        algorithm: only presets of this algorithm; of all if not given
        env: only presets for this environment; for all if not given
    """
    from scratchac import algorithms
    from scratchac.environments.make import versioned
    from scratchac.experiments.presets import presets as tables
    from scratchac.experiments.presets import reached

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
        for seen in reached().get(one, {}).get(f"{on}:{name}" if name else on, []):
            print(fill(in_words(seen), columns() or 1_000, initial_indent="    ", subsequent_indent="      "))


def in_words(seen):
    """What a preset has reached."""
    count = len(seeds_from(seen["seeds"].replace(", ", ",")))
    where = f" with {seen['backend']}" if seen.get("backend") else ""
    sampled = ", sampled actions" if seen["policy"] == "stochastic" else ""
    minutes = f", {seen['minutes']:g} minutes a seed" if "minutes" in seen else ""
    return (f"reached: median {seen['median']:g}, worst {seen['worst']:g} of {count} seed{'s' * (count > 1)} ({seen['seeds']}), "
            f"{seen['steps']:,} steps{where}{sampled}{minutes}")


def doctor(env: str = "") -> None:
    """Print the facts that a bug report needs, and what is missing; or, with --env, what agents observe and do in an environment.

    Args:
        env: Gymnasium id or MODULE:ID: print its spaces, and which algorithms take it
    """
    from scratchac.environments.make import CommandLineId
    from scratchac.tools.doctor import about, report

    for name, value in about(CommandLineId(env)) if env else report():
        print(f"{name:16} {value}")
