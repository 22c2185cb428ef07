"""The `scratchac` command.

Whatever a user can mend ends in one line and exit code 2; Ctrl-C ends in 130.
"""

import os
import sys
from dataclasses import asdict, dataclass, field, make_dataclass
from json import dumps
from pathlib import Path
from typing import Annotated, Literal

import tyro

from scratchac import commands
from scratchac.errors import TrainingError, UserError, unknown
from scratchac.flags import Backend, env_args_from, parse, value_after


@dataclass(frozen=True)
class TrainOptions:
    algorithm: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="ALGO")]
    """What to train."""
    env: str
    """Gymnasium id of the environment."""
    seed: int = 0
    """Seed of everything random."""
    backend: Backend = field(default_factory=lambda: os.environ.get("SCRATCHAC_BACKEND", "auto"))
    """Who does the arithmetic."""
    out: Path | None = None
    """New folder for the run; runs/ALGO-ENV-seedS if not given."""
    quiet: bool = False
    """No progress bar."""
    video: bool = True
    """Record a video of the final policy."""
    vector: Literal["sync", "async"] = "sync"
    """Step the environments one after another, or each in a process of its own."""
    randomise: bool = False
    """LunarLander: a new world (gravity, wind, turbulence) for each training episode."""
    preset: str | None = None
    """A further preset by its name; `scratchac presets` lists them."""
    env_args: tuple[str, ...] = ()
    """Arguments of the environment, as name=value."""
    checkpoint_every: int | None = None
    """Environment steps between checkpoints; a twentieth of all steps if not given."""
    stop_after: int | None = None
    """Stop at so many environment steps as Ctrl-C would, for `scratchac resume` to go on."""


def train(argv):
    """Train an agent; its flags depend on the algorithm, so they are read in two passes."""
    import kernels
    from scratchac import algorithms, api
    from scratchac.hyperparameters import configure, find_preset
    from scratchac.runs import new_folder

    names = ", ".join(algorithms.ALGORITHMS)
    algorithm = argv[0] if argv and not argv[0].startswith("-") else None
    if algorithm is None:
        if not {"-h", "--help"} & set(argv):
            raise UserError(f"train needs an algorithm first: {names}")
        print(f"usage: scratchac train ALGO [options]\n\nALGO: {names}\n\n`scratchac train ALGO --help` lists the options of one.")
        return
    agent_class = algorithms.find(algorithm)
    env = value_after("--env", argv, algorithms.ALGORITHMS[algorithm][2])
    preset = value_after("--preset", argv)
    tuned, env_args = find_preset(algorithm, env, preset)
    config = configure(agent_class.Config, algorithm, tuned)
    defaults = TrainOptions(algorithm, env, preset=preset, env_args=tuple(f"{k}={dumps(v)}" for k, v in env_args.items()))
    options_class = make_dataclass("Options", [
        ("run", tyro.conf.OmitArgPrefixes[TrainOptions], field(default_factory=lambda: defaults)),
        ("hyperparameters", tyro.conf.OmitArgPrefixes[agent_class.Config], field(default_factory=lambda: config)),
    ], frozen=True)
    tuned_for = f"{env}, {preset}" if preset else env
    parsed = parse(options_class, argv, "scratchac train", f"Train {algorithm}. Defaults are the preset for {tuned_for}.")
    options = parsed.run
    if options.backend == "auto" and not options.quiet and kernels.load("auto").name == "numpy":
        print(f"scratchac: NumPy computes; what makes it faster: {kernels.BACKENDS['numba'][2]}", file=sys.stderr)
    out = options.out or new_folder(algorithm, env, options.seed)
    api.train(algorithm, options.env, seed=options.seed, backend=options.backend, out=out, quiet=options.quiet,
              video=options.video, vector=options.vector, randomise=options.randomise, preset=options.preset,
              env_args=env_args_from(options.env_args), stop_after=options.stop_after,
              checkpoint_every=options.checkpoint_every, **asdict(parsed.hyperparameters))
    print(out)


COMMANDS = {
    "train": (None, "train an agent: scratchac train a2c"),
    "sweep": (commands.sweep, "many runs side by side: seeds, and values of hyperparameters"),
    "evaluate": (commands.evaluate, "returns of a trained policy"),
    "resume": (commands.resume, "go on with a run"),
    "plot": (commands.plot, "learning curves of one run or several"),
    "video": (commands.video, "film a trained policy"),
    "export": (commands.export, "a trained policy as a web page, or as an ONNX graph"),
    "play": (commands.play, "play by keyboard, or a game against a run"),
    "gradcheck": (commands.gradcheck, "check the gradients by finite differences"),
    "bench": (commands.bench, "how fast kernels, updates and training are on each backend"),
    "presets": (commands.presets, "tuned hyperparameters"),
    "doctor": (commands.doctor, "versions and what is missing"),
}


def main(argv=None):
    """Run one command; returns the exit code."""
    argv = list(sys.argv[1:] if argv is None else argv)
    try:
        if not argv or argv[0] in ("-h", "--help"):
            print("usage: scratchac COMMAND [options]\n\nActor-critic reinforcement learning, from scratch.\n")
            print("\n".join(f"  {name:10} {text}" for name, (_, text) in COMMANDS.items()))
            print("\n`scratchac COMMAND --help` tells more about one.")
        elif argv[0] not in COMMANDS:
            raise unknown("command", argv[0], list(COMMANDS))
        elif argv[0] == "train":
            train(argv[1:])
        else:
            parse(COMMANDS[argv[0]][0], argv[1:], f"scratchac {argv[0]}")
    except UserError as error:
        print(f"scratchac: {error}", file=sys.stderr)
        return 2
    except TrainingError as error:
        print(f"scratchac: training stopped: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:                     # whoever read our output has heard enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt as stop:
        print(f"scratchac: {stop or 'stopped'}", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
