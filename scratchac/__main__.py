"""The `scratchac` command.

An error that a user can correct is printed as one line, with exit code 2. The exit code is 1 if training stops (on a
value, an environment, a worker or the end of memory), 130 after Ctrl-C, and 141 if the reader of the output has closed it.
"""

import os
import sys
import threading
from collections.abc import Callable

try:
    from scratchac.errors import TrainingError, UserError, unknown
    from scratchac.messages import degrade, tell
    from scratchac.tools import commands, run_commands
    from scratchac.tools.completion import Shell, script
    from scratchac.tools.docs import docs
    from scratchac.tools.exercise import exercise
    from scratchac.tools.flags import run
    from scratchac.tools.learn import learn
    from scratchac.tools.museum import hunt, museum
    from scratchac.tools.sweep_flags import with_choices
    from scratchac.tools.train import train
    from scratchac.version import __version__
    from scratchac.wording import command_line
except KeyboardInterrupt:                       # Ctrl-C in the first moment, while packages are loaded
    print("scratchac: stopped", file=sys.stderr)
    sys.exit(130)


def completion(shell: Shell) -> None:
    """Print a script that completes commands, algorithms, options, environments and presets in a shell.

    bash: put this line into ~/.bashrc: source <(scratchac completion bash)

    zsh: scratchac completion zsh > DIR/_scratchac, with a folder DIR of $fpath; ~/.zshrc has to call compinit

    fish: scratchac completion fish > ~/.config/fish/completions/scratchac.fish

    Args:
        shell: the shell that reads the script
    """
    print(script(shell, COMMANDS), end="")


# The first word chooses a command. With subcommands of its own, tyro would read the signatures and docstrings of all of them, and
# of all algorithms, each time.
COMMANDS: dict[str, tuple[Callable[..., None], str]] = {
    "train": (train, "train an agent: scratchac train ppo"),
    "sweep": (commands.sweep, "train in parallel over seeds, hyperparameters and algorithms"),
    "tune": (commands.tune, "search for good values of hyperparameters"),
    "evaluate": (run_commands.evaluate, "play new episodes with a trained policy and print their returns"),
    "resume": (run_commands.resume, "continue a run from its last checkpoint"),
    "plot": (run_commands.plot, "draw learning curves; say which of several settings is better"),
    "video": (run_commands.video, "record a video of a trained policy"),
    "watch": (run_commands.watch, "watch a trained policy play in a window"),
    "export": (run_commands.export, "write a policy as a web page that plays it, or as an ONNX graph"),
    "play": (run_commands.play, "play an environment by keyboard, or a game against a trained policy"),
    "gradcheck": (commands.gradcheck, "check every hand-written gradient against finite differences"),
    "microscope": (commands.microscope, "print exact bias and variance of policy gradients in a small world"),
    "exercise": (exercise, "write functions of actor-critic algorithms and have them marked"),
    "learn": (learn, "list the chapters of the course, and which are done"),
    "museum": (museum, "list famous bugs; train without one and with it, side by side"),
    "hunt": (hunt, "find the line of a bug that is not named"),
    "docs": (docs, "write course, mathematics and manual as web pages or notebooks"),
    "bench": (commands.bench, "time kernels, updates and training; time to solve an environment"),
    "presets": (commands.presets, "list the tuned hyperparameters"),
    "doctor": (commands.doctor, "print versions and missing packages; or describe an environment"),
    "completion": (completion, "print a script with which bash, zsh or fish completes all of these"),
}


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    argv = list(sys.argv[1:] if argv is None else argv)
    degrade()
    with command_line():
        return _main(argv)


def _main(argv: list[str]) -> int:
    try:
        if not argv or argv[0] in ("-h", "--help"):
            print("usage: scratchac COMMAND [options]\n\nActor-critic reinforcement learning, from scratch.\n")
            print("\n".join(f"  {name:10} {text}" for name, (_, text) in COMMANDS.items()))
            print("\nBegin with `scratchac train ppo`: it writes the folder runs/ppo-CartPole-v1-seed0,\n"
                  "which other commands take as RUN. `scratchac COMMAND --help` lists the options of\n"
                  "a command, `scratchac --version` prints the version.")
        elif argv[0] in ("-V", "--version"):
            print(f"scratchac {__version__}")
        elif argv[0] not in COMMANDS:
            raise unknown("command", argv[0], list(COMMANDS))
        elif argv[0] in ("train", "exercise"):
            COMMANDS[argv[0]][0](argv[1:])
        elif argv[0] in ("sweep", "tune"):
            command, _ = COMMANDS[argv[0]]
            run(command, with_choices(argv[1:], command), f"scratchac {argv[0]}")
        else:
            run(COMMANDS[argv[0]][0], argv[1:], f"scratchac {argv[0]}")
        sys.stdout.flush()                      # here an error can still be told
    except UserError as error:
        tell(str(error))
        return 2
    except TrainingError as error:
        what = {"evaluate": "the evaluation", "video": "the film"}.get(argv[0], "training")
        tell(f"{what} stopped: {error}")
        return 1
    except OSError as error:                    # of stdout: commands raise a WriteError, a UserError, for other files
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):  # the reader has closed the pipe
            return 141
        tell(f"the output cannot be written: {error.strerror or error}")
        return 1
    except MemoryError as error:
        tell(f"no memory is left{f' ({error})' if str(error) else ''}: a smaller buffer, batch or network needs less")
        return 1
    except KeyboardInterrupt as stop:
        tell(str(stop) or "stopped")
        return 130
    return 0


def program() -> None:
    """The command as a program of its own: it ends, even if an environment has left threads running."""
    code = main()
    if any(not thread.daemon and thread is not threading.main_thread() for thread in threading.enumerate()):
        tell("an environment has left a thread running, which ends now")
        os._exit(code)                          # Python would wait for it; what was written has been flushed
    sys.exit(code)


if __name__ == "__main__":
    program()
