"""The chapters of the course: Markdown, each with a TOML header between two lines `+++`."""

import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scratchac.errors import UserError, one_line

COURSE = Path(__file__).parents[1] / "course"
NAME = re.compile(r"(\d\d)_\w+")
FIELDS = {"title": str, "minutes": int, "outcomes": list, "exhibits": list, "exercises": list, "tasks": list, "files": list,
          "terms": dict}


@dataclass(frozen=True)
class Chapter:
    """One chapter.

    outcomes     what the reader can do afterwards
    exhibits     exhibits of the museum that it shows
    exercises    names in `scratchac exercise`
    tasks        its commands besides exercises and exhibits, in order
    files        what to read afterwards
    terms        "term | other form" → the sentence that explains it
    text         Markdown, without the header
    """

    number: int
    path: Path
    title: str
    minutes: int
    outcomes: list[str] = field(default_factory=list)
    exhibits: list[str] = field(default_factory=list)
    exercises: list[str] = field(default_factory=list)
    tasks: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    terms: dict[str, str] = field(default_factory=dict)
    text: str = ""


def course(folder: Path = COURSE) -> list[Chapter]:
    """All chapters of a folder, in their order. Raises UserError if there are none, or one cannot be read."""
    found = [read(path) for path in sorted(folder.glob("*.md")) if NAME.fullmatch(path.stem)]
    if not found:
        raise UserError(f"there is no chapter in {folder}")
    return found


def read(path: Path) -> Chapter:
    """One chapter. Raises UserError that names the file, and the field of its header."""
    try:
        _, header, text = path.read_text(encoding="utf-8").split("+++\n", 2)
        values: dict[str, Any] = tomllib.loads(header)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is no chapter: {one_line(error, with_type=False)}") from None
    for name, value in values.items():
        if name not in FIELDS:
            raise UserError(f"{path}: a header has no field {name!r}; its fields are {', '.join(FIELDS)}")
        texts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        if not isinstance(value, FIELDS[name]) or not all(isinstance(x, str) for x in texts):
            raise UserError(f"{path}: {name} is not what it should be: {value!r}")
    if missing := {"title", "minutes"} - set(values):
        raise UserError(f"{path}: its header lacks {' and '.join(sorted(missing))}")
    return Chapter(number=int(path.stem[:2]), path=path, text=text, **values)
