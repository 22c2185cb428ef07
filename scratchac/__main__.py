"""The `scratchac` command.

An error that a user can mend ends in one line and exit code 2; training that stops on a value ends in 1, Ctrl-C in 130.
"""

import os
import sys

from scratchac.errors import TrainingError, UserError, unknown
from scratchac.tools import commands
from scratchac.tools.flags import parse
from scratchac.tools.train import train

COMMANDS = {
    "train": (train, "train an agent: scratchac train a2c"),
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


def main(argv: list[str] | None = None) -> int:
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
    except BrokenPipeError:                     # whoever read the output has closed it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt as stop:
        print(f"scratchac: {stop or 'stopped'}", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
