"""The `scratchac` command.

An error that a user can correct is printed as one line, with exit code 2. The exit code is 1 if training stops (on a
value, an environment or a worker), 130 after Ctrl-C, and 141 if the reader of the output has closed it.
"""

import os
import sys

from scratchac.errors import TrainingError, UserError, unknown
from scratchac.tools import commands
from scratchac.tools.flags import run
from scratchac.tools.train import train

COMMANDS = {
    "train": (train, "train an agent: scratchac train a2c"),
    "sweep": (commands.sweep, "many runs in parallel, over seeds and values of hyperparameters"),
    "evaluate": (commands.evaluate, "returns of a trained policy"),
    "resume": (commands.resume, "continue a run from its last checkpoint"),
    "plot": (commands.plot, "learning curves of one run or several"),
    "video": (commands.video, "record a video of a trained policy"),
    "export": (commands.export, "a trained policy as a web page, or as an ONNX graph"),
    "play": (commands.play, "play an environment by keyboard, or a game against a trained policy"),
    "gradcheck": (commands.gradcheck, "check the gradients by finite differences"),
    "bench": (commands.bench, "time kernels, updates and training on each backend"),
    "presets": (commands.presets, "tuned hyperparameters"),
    "doctor": (commands.doctor, "versions, and packages that are missing"),
}


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    argv = list(sys.argv[1:] if argv is None else argv)
    try:
        if not argv or argv[0] in ("-h", "--help"):
            print("usage: scratchac COMMAND [options]\n\nActor-critic reinforcement learning, from scratch.\n")
            print("\n".join(f"  {name:10} {text}" for name, (_, text) in COMMANDS.items()))
            print("\n`scratchac COMMAND --help` lists the options of a command.")
        elif argv[0] not in COMMANDS:
            raise unknown("command", argv[0], list(COMMANDS))
        elif argv[0] == "train":
            train(argv[1:])
        else:
            run(COMMANDS[argv[0]][0], argv[1:], f"scratchac {argv[0]}")
    except UserError as error:
        print(f"scratchac: {error}", file=sys.stderr)
        return 2
    except TrainingError as error:
        print(f"scratchac: training stopped: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:                     # the reader has closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt as stop:
        print(f"scratchac: {stop or 'stopped'}", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
