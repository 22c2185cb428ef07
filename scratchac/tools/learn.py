"""The subcommand `learn`: the way through the course, and what is done of it."""

from pathlib import Path
from typing import Annotated

import tyro

from scratchac.errors import UserError, find_name

Number = Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[N]")]


def learn(chapter: Number = None, folder: Path = Path("mine"), done: bool = False) -> None:
    """Print the chapters of the course and which are done; or, of one chapter, what to read, write and run.

    A chapter is done when its exercises are passed: `scratchac exercise check DIR` keeps that in DIR/progress.json. A chapter
    without exercises is done when you say so with --done.

    Args:
        chapter: number of a chapter, its name or a part of it; if not given, all are listed
        folder: folder of your exercises, as given to `scratchac exercise start`
        done: mark this chapter, which has no exercises, as done
    """
    from scratchac.site import chapters
    from scratchac.tools import progress

    course, known = chapters.course(), progress.read(folder)
    if chapter is None:
        if done:
            raise UserError("--done needs the number of a chapter: scratchac learn N --done")
        overview(course, known, folder)
        return
    named = {str(one.number): one for one in course} | {one.path.stem: one for one in course}
    if chapter.isdecimal() and chapter not in named:
        raise UserError(f"there is no chapter {chapter}; the chapters are {course[0].number} to {course[-1].number}")
    one = named.get(chapter) or named[find_name("chapter", chapter, [one.path.stem for one in course])]
    if done:
        if one.exercises:
            raise UserError(f"chapter {one.number} is done when its exercises are passed ({', '.join(one.exercises)}): "
                            f"scratchac exercise check {folder}")
        known.chapters.add(one.path.stem)
        progress.write(folder, known)
    details(one, known, folder)


def overview(course, known, folder):
    """A line for each chapter."""
    wide = max(len(one.title) for one in course)
    for one in course:
        passed = len(known.passed.intersection(one.exercises))
        note = f"{passed} of {len(one.exercises)} exercise{'s' * (len(one.exercises) > 1)}" if one.exercises else ""
        print(f"{sign(known.has_done(one))} {one.number:2}  {one.title:{wide}}  {one.minutes:3} min  {note}".rstrip())
    finished = [one for one in course if known.has_done(one)]
    print(f"\n{len(finished)} of {len(course)} chapters done, {sum(one.minutes for one in course if one not in finished) / 60:.1f} "
          f"of {sum(one.minutes for one in course) / 60:.1f} hours to go")
    if not folder.is_dir():
        print(f"There is no folder {folder} yet: `scratchac exercise start {folder}` writes the exercises into it.")
    if len(finished) < len(course):
        print(f"Next: scratchac learn {next(one.number for one in course if one not in finished)}")


def details(one, known, folder):
    """One chapter: what it is for, and all that belongs to it."""
    from scratchac.lab.exercises import EXERCISES

    given = "" if folder == Path("mine") else f" --folder {folder}"
    print(f"{one.number} · {one.title}, {one.minutes} minutes{', done' if known.has_done(one) else ''}\n\n"
          f"Read site/{one.path.stem}.html: `scratchac docs` makes it of scratchac/course/{one.path.stem}.md")
    section("Afterwards you can", one.outcomes)
    section("Try", one.tasks)
    section("Exercises", [f"{sign(name in known.passed)} {name}: {EXERCISES[name].line} ({EXERCISES[name].minutes} minutes)\n"
                          f"    scratchac exercise check {folder} {name}" for name in one.exercises if name in EXERCISES])
    section("Mistakes and what they do", [f"scratchac museum {name}" for name in one.exhibits])
    section("Read afterwards", one.files)
    if not one.exercises and not known.has_done(one):
        print(f"\nWhen you are done: scratchac learn {one.number} --done{given}")


def section(title, lines):
    """A title and its lines, if there are any."""
    if lines:
        print(f"\n{title}\n" + "\n".join(f"  {line}" for line in lines))


def sign(done):
    """What stands before a chapter or an exercise."""
    return "✓" if done else "–"
