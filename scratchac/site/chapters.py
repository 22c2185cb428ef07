"""Chapters of the course: Markdown with a TOML header between two lines `+++`."""

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scratchac.errors import UserError

COURSE = Path(__file__).parents[1] / "course"
HEADER = re.compile(r"\A\+\+\+\n(.*?)\n\+\+\+\n", re.DOTALL)
FIELDS = {"title": str, "minutes": int, "outcomes": list, "exhibits": list, "exercises": list, "tasks": list, "files": list,
          "terms": dict}


@dataclass(frozen=True)
class Term:
    """A technical term, in all the forms in which it occurs, and its explanation in one sentence."""

    forms: tuple[str, ...]
    says: str

    @property
    def anchor(self) -> str:
        """Its anchor in the glossary."""
        return "term-" + re.sub(r"\W+", "-", self.forms[0].lower()).strip("-")


@dataclass(frozen=True)
class Chapter:
    """One chapter: its header, and its text, which begins in line `line` of the file."""

    number: int
    path: Path
    title: str
    minutes: int
    outcomes: tuple[str, ...]
    exhibits: tuple[str, ...]           # of the museum
    exercises: tuple[str, ...]          # of `scratchac exercise`
    tasks: tuple[str, ...]              # further commands
    files: tuple[str, ...]              # to read afterwards
    terms: tuple[Term, ...]             # that are explained here first
    text: str
    line: int

    @property
    def cells(self) -> Path:
        """The script with the chapter's code cells."""
        return self.path.parent / "cells" / f"{self.path.stem}.py"


def read(path: Path) -> Chapter:
    """The chapter in a file, whose name begins with its number. Raises UserError for a header that is wrong."""
    text = path.read_text(encoding="utf-8")
    found = HEADER.match(text)
    if not found or not path.stem[:2].isdigit():
        raise UserError(f"{path}: a chapter is called NN_name.md and begins with a header between two lines +++")
    try:
        header: dict[str, Any] = tomllib.loads(found[1])
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path}: {error}") from None
    for name, kind in FIELDS.items():
        value = header.get(name)
        texts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        if not isinstance(value, kind) or not all(isinstance(x, str) for x in texts):
            raise UserError(f"{path}: the header needs {name}, a {kind.__name__}{' of strings' if kind in (list, dict) else ''}")
    if further := set(header) - set(FIELDS):
        raise UserError(f"{path}: the header has {', '.join(sorted(further))}, which no chapter has")
    terms = tuple(Term(tuple(form.strip() for form in forms.split("|")), says) for forms, says in header.pop("terms").items())
    header |= {name: tuple(header[name]) for name, kind in FIELDS.items() if kind is list}
    line = text[: found.end()].count("\n") + 1
    return Chapter(int(path.stem[:2]), path, **header, terms=terms, text=text[found.end():], line=line)


def course(folder: Path = COURSE) -> list[Chapter]:
    """All chapters of a folder, in their order. Raises UserError if there is none, or if one is wrong."""
    chapters = [read(path) for path in sorted(folder.glob("[0-9][0-9]_*.md"))]
    if not chapters:
        raise UserError(f"there is no chapter in {folder}")
    return chapters
