"""What `scratchac train` and `resume` print at the end: the result, what one can do next, and the folder."""

from pathlib import Path
from shlex import quote

from scratchac.experiments.files import read_json
from scratchac.experiments.run import Run


def show(folder: Path, step: int, quiet: bool) -> None:
    """Print the outcome of a training that has come to this step; the folder is the last line, and with `quiet` the only one."""
    if not quiet:
        name = quote(str(folder))
        if Run.open(folder).summary_is_of(step):
            summary = read_json(folder / "summary.json")
            lines, commands = results(summary), [f"scratchac {what} {name}" for what in ("evaluate", "video", "plot")]
            if "best_step" in summary:
                commands.append(f"scratchac evaluate {name} --best")
        else:
            lines, commands = [f"stopped at step {step:,} and saved"], [f"scratchac resume {name}"]
        print("\n".join(lines), "\nnext: ", "\n      ".join(commands), sep="")
    print(folder)


def results(summary: dict) -> list[str]:
    """A line for the last policy and, if the run has been evaluated as it trained, one for the best; from summary.json."""
    lines = [f"last policy, of step {summary['steps']:,}: {_returns(summary, '')}"]
    if "best_step" in summary:
        lines.append(f"best policy, of step {summary['best_step']:,}: {_returns(summary, 'best_')}")
    return lines


def _returns(summary: dict, which: str) -> str:
    episodes = summary[f"{which}eval_episodes"]
    if not episodes:
        return "not evaluated"
    return (f"mean return {summary[f'{which}eval_mean']:.1f} ± {summary[f'{which}eval_std']:.1f} over {episodes} "
            f"episode{'s' if episodes > 1 else ''}")
