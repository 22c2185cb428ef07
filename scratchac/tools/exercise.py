"""The subcommand `exercise`: its actions are functions, whose parameters are their arguments."""

import inspect
import time
from pathlib import Path
from typing import Annotated

import tyro

from scratchac.errors import UserError, WriteError, unknown
from scratchac.messages import tell
from scratchac.tools.flags import run

Folder = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DIR")]
Name = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME")]
USAGE = """usage: scratchac exercise [ACTION]

Write functions of actor-critic algorithms yourself. Each is compared with the library's, and a known mistake is named.

  scratchac exercise                      list the exercises (also: scratchac exercise list)
  scratchac exercise start DIR            write a file for each exercise into DIR; existing files stay
  scratchac exercise check DIR [NAME]     mark all exercises, or one; this executes the files in DIR
  scratchac exercise solution NAME        print the library's own lines, the answer
  scratchac exercise train DIR NAME       train an agent with your function in the library (those with "train" in the list)

NAME is the name of an exercise or a part of it, its number, or its file. `scratchac exercise ACTION --help` explains an action."""


def exercise(argv: list[str]) -> None:
    """Run one action. Exit code 1 means that an exercise that was marked is not passed."""
    if not argv:
        overview()
    elif argv[0] in ("-h", "--help"):
        print(USAGE)
    elif argv[0] not in ACTIONS:
        raise unknown("action", argv[0], list(ACTIONS))
    else:
        run(ACTIONS[argv[0]], argv[1:], f"scratchac exercise {argv[0]}")


def overview() -> None:
    """List the exercises."""
    from scratchac.lab.exercises import EXERCISES

    wide = max(map(len, EXERCISES))
    for number, one in enumerate(EXERCISES.values(), start=1):
        print(f"{number:2}  {one.name:{wide}}  {one.minutes:2} min  {'train' if one.training else '':5}  {one.line}")
    print("\ntrain: `scratchac exercise train DIR NAME` trains an agent with your function; the others are parts of an update.\n"
          "`scratchac exercise start DIR` writes a file for each into a folder, `scratchac exercise check DIR` marks them.")


def start(folder: Folder) -> None:
    """Write a file for each exercise: a question, its equations, and a function to fill in. A file that exists is kept.

    Args:
        folder: folder to write to; it is made if it does not exist
    """
    from scratchac.lab.exercises import EXERCISES, file_name

    written, kept = [], []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for number, one in enumerate(EXERCISES.values(), start=1):
            path = folder / file_name(one)
            try:
                with open(path, "x", encoding="utf-8") as file:
                    file.write(one.stub(number))
                written.append(path.name)
            except FileExistsError:
                kept.append(path.name)
    except OSError as error:
        raise WriteError(f"exercises cannot be written to {folder}: {error.strerror or error}") from None
    if kept:
        print(f"kept, since {'it exists' if len(kept) == 1 else 'they exist'}: {', '.join(kept)}")
    print(f"{len(written)} files written to {folder}")
    if written:
        print(f"\nFill in the function of {folder / written[0]}, then: scratchac exercise check {folder} {written[0]}")


def check(folder: Folder, name: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[NAME]")] = None) -> None:
    """Mark all exercises of a folder, or one; of a wrong one, print the first wrong number and which known mistake makes it.

    Each function is compared with the library's on 20 random inputs. The files are executed, in a process of their own. Which
    exercises are passed is kept in DIR/progress.json, for `scratchac learn`.

    Args:
        folder: folder with the files, or one of them
        name: name of an exercise or a part of it, its number, or its file; all of them if not given
    """
    from scratchac.lab import grading
    from scratchac.lab.exercises import EXERCISES, NAMES, file_name, find
    from scratchac.tools import progress

    if name is None and folder.is_file():
        folder, name = folder.parent, folder.name
    require(folder)
    asked = list(EXERCISES.values()) if name is None else [find(name)]
    present = [one for one in asked if (folder / file_name(one)).exists()]
    verdicts = grading.check(present, [folder / file_name(one) for one in present])
    wide, counts, passed = max(len(one.name) for one in asked), {"passed": 0, "not begun": 0}, {}
    for one in asked:
        verdict = next(verdicts) if one in present else grading.Verdict("not begun", f"there is no {folder / file_name(one)}")
        counts[verdict.status] = counts.get(verdict.status, 0) + 1
        passed[one.name] = verdict.status == "passed"
        sign = {"passed": "✓", "not begun": "–"}.get(verdict.status, "✗")
        text = verdict.text or ("" if verdict.status == "passed" else "not begun")
        print(f"{sign} {NAMES.index(one.name) + 1:2}  {one.name:{wide}}  {text}".rstrip(), flush=True)
        if verdict.status == "wrong":
            print(f"{'':{wide + 8}}{verdict.diagnosis or 'none of the known mistakes'}", flush=True)
    try:
        progress.record(folder, passed)
    except UserError as error:
        tell(str(error))
    if len(asked) > 1:
        print(f"\n{counts['passed']} of {len(asked)} passed, {counts['not begun']} not begun")
    if counts["passed"] < len(asked):
        raise SystemExit(1)


def solution(name: Name) -> None:
    """Print the library's own lines, and where MATH.md derives them.

    Args:
        name: name of an exercise or a part of it, its number, or its file
    """
    from scratchac.lab.exercises import find
    from scratchac.lab.patch import place

    one = find(name)
    for function in one.sources:
        lines, first = inspect.getsourcelines(inspect.unwrap(function))
        print(f"{place(function)}:{first}\n\n{''.join(lines)}")
    print(f"Derivation: “{one.math}” in scratchac/MATH.md")


def train(folder: Folder, name: Name, seed: int = 0, quiet: bool = False) -> None:
    """Train an agent with your function in the place of the library's, and print its returns before and after training.

    `scratchac exercise list` has "train" beside the exercises for which this is possible. The function is marked first. If its
    numbers are wrong it is trained all the same, and then the library's own on the same seed: some mistakes stop learning, others
    hardly show in returns.

    Args:
        folder: folder with the files
        name: name of an exercise or a part of it, its number, or its file
        seed: seed of all random numbers
        quiet: show no progress bar
    """
    from scratchac.lab import grading, practice
    from scratchac.lab.exercises import file_name, find

    one = find(name)
    require(folder)
    training, path = one.training, folder / file_name(one)
    if training is None:
        print(f"{one.name} has no training: its function is not one that an algorithm calls. "
              "`scratchac exercise list` has \"train\" beside those that have one.")
        return
    if not path.exists():
        raise UserError(f"there is no {path}; scratchac exercise start {folder} writes it")
    verdict = next(grading.check([one], [path]))
    if verdict.status not in ("passed", "wrong"):
        raise UserError(f"{one.name} {verdict.text or 'is not begun'}")
    if verdict.status == "wrong":
        print(f"✗ {verdict.text}; {verdict.diagnosis or 'none of the known mistakes'}. This is how it learns:")
    began = time.monotonic()
    before = practice.before(training, seed)
    try:
        after = practice.mean_return(training, practice.train(training, grading.load(one, path), seed, quiet=quiet))
    except grading.Failed as why:
        raise UserError(f"{one.name} {why}") from None
    print(f"{training.algorithm} on {training.env} with your {one.function}: mean return of {practice.EPISODES} episodes "
          f"{before:.1f} before, {after:.1f} after {training.steps:,} steps ({time.monotonic() - began:.0f} seconds)", flush=True)
    if verdict.status == "wrong":
        theirs = practice.mean_return(training, practice.train(training, None, seed, quiet=quiet))
        print(f"with the library's own on the same seed: {theirs:.1f} after {training.steps:,} steps. "
              "Some mistakes hardly show in returns: what counts is the line with ✗.")


def require(folder: Path) -> None:
    """Raise UserError if there is no such folder."""
    from scratchac.lab.exercises import NAMES

    if not folder.is_dir():
        name = str(folder)
        raise UserError(f"there is no folder {name}; " + (
            f"exercise {name} in the present folder: scratchac exercise check . {name}" if name in NAMES else
            f"scratchac exercise start {name} makes it"))


ACTIONS = {"list": overview, "start": start, "check": check, "solution": solution, "train": train}
