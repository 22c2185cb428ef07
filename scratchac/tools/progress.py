"""What a learner has done: `progress.json` in the folder of the exercises."""

import json
from dataclasses import dataclass, field
from pathlib import Path

from scratchac.errors import UserError, WriteError
from scratchac.experiments.files import atomic_file, read_json
from scratchac.site.chapters import Chapter

FILE = "progress.json"


@dataclass
class Progress:
    """Exercises whose last check was passed, and chapters without exercises that were marked as done (`04_bootstrapping`)."""

    passed: set[str] = field(default_factory=set)
    chapters: set[str] = field(default_factory=set)

    def has_done(self, chapter: Chapter) -> bool:
        """Whether all exercises of a chapter are passed; a chapter without any has to be marked."""
        return self.passed.issuperset(chapter.exercises) if chapter.exercises else chapter.path.stem in self.chapters


def read(folder: Path) -> Progress:
    """The progress kept in a folder; none if there is no such file. Raises UserError if the file has anything else in it."""
    path = folder / FILE
    try:
        found = read_json(path)
        if not isinstance(found, dict):
            raise ValueError("it is no JSON object")
        for name in ("passed", "chapters"):
            names = found.get(name, [])
            if not isinstance(names, list) or not all(isinstance(x, str) for x in names):
                raise ValueError(f"{name} is no list of names")
    except (FileNotFoundError, NotADirectoryError):
        return Progress()
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({getattr(error, 'strerror', None) or error}); without it nothing counts as done, "
                        "and it is written anew") from None
    return Progress(set(found.get("passed", [])), set(found.get("chapters", [])))


def write(folder: Path, progress: Progress) -> None:
    """Keep the progress in a folder, which is made if it does not exist. Raises WriteError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WriteError(f"{folder} cannot be made: {error.strerror or error}") from None
    with atomic_file(folder / FILE) as file:
        file.write((json.dumps({name: sorted(names) for name, names in vars(progress).items()}, indent=1) + "\n").encode())


def record(folder: Path, verdicts: dict[str, bool]) -> None:
    """Keep which exercises have been passed now and which have not; nothing is written if that is known. Raises UserError."""
    progress = read(folder)
    passed = progress.passed - verdicts.keys() | {name for name, ok in verdicts.items() if ok}
    if passed != progress.passed:
        write(folder, Progress(passed, progress.chapters))
