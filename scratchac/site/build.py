"""Builds the site: all pages into a new folder, which is checked, and then takes the place of an earlier one.

Chapters, MATH.md, source beside derivations, reference, museum, gallery and manual become pages that open from a file.
"""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from scratchac.errors import UserError
from scratchac.experiments.files import atomic_file
from scratchac.site import checks, pages
from scratchac.site.book import Site
from scratchac.site.chapters import COURSE

FILES = "files.txt"                             # in the folder of a site: the paths of its files, one a line
TITLES = {"demos/README.md": "Gallery", "demos/results/README.md": "How the figures were made", "kernels/README.md": "Kernels",
          "README.md": "About scratchac", "CONTRIBUTING.md": "Contributing", "CHANGELOG.md": "Changes"}


def build(out: Path, chapters: Path = COURSE, tell: Callable[[str], None] = lambda line: None) -> int:
    """Build the site into a folder; return the number of pages.

    chapters    folder of the chapters
    tell        gets a line for each chapter, before it is built

    Of a folder with an earlier site only that site's files are replaced or removed. Raises UserError, with file and line, for the
    first thing that is wrong in a text, for links and anchors that lead nowhere, and for a folder with other files and no site, or
    with a file of somebody else's where one of the site belongs. Then nothing is written.
    """
    require_free(out)
    with tempfile.TemporaryDirectory() as folder:
        new = Path(folder)
        number = write(Site(new, chapters), tell)
        if wrong := checks.complaints(new):
            raise UserError("; ".join(wrong))
        put(new, out)
    return number


def require_free(out: Path) -> None:
    """Raise UserError unless the folder is new, empty, or that of an earlier site, and can be written: the pages take minutes."""
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / FILES).exists())):
        raise UserError(f"{out} exists and is no site: name a new folder with --out")
    place = next(path for path in (out, *out.absolute().parents) if path.exists())
    if not place.is_dir() or not os.access(place, os.W_OK):
        raise UserError(f"{out} cannot be made: {place} is no folder that can be written")


def put(new: Path, out: Path) -> None:
    """Copy a site into a folder, and remove the files of an earlier one there that it does not have.

    FILES names at every moment what is the site's, so that a build which was interrupted can be repeated.
    """
    before = set((out / FILES).read_text(encoding="utf-8").splitlines()) if (out / FILES).exists() else set()
    now = {path.relative_to(new).as_posix() for path in new.rglob("*") if path.is_file()}
    if outside := [name for name in before if not (out / name).resolve().is_relative_to(out.resolve())]:
        raise UserError(f"{out / FILES} names {outside[0]}, which is outside of that folder")
    if others := sorted(name for name in now - before if (out / name).exists()):
        raise UserError(f"{out / others[0]} is not of the site that was built there: name a new folder with --out")
    out.mkdir(parents=True, exist_ok=True)
    note(out, before | now)
    shutil.copytree(new, out, dirs_exist_ok=True)
    for name in before - now:
        (out / name).unlink(missing_ok=True)
    note(out, now)


def note(out: Path, names: set[str]) -> None:
    """Write FILES."""
    with atomic_file(out / FILES) as file:
        file.write("".join(f"{name}\n" for name in sorted(names)).encode())


def write(site: Site, tell: Callable[[str], None]) -> int:
    """Write all pages; return their number."""
    for one in site.chapters:
        tell(f"{one.number} · {one.title}")
        pages.chapter(site, one)
    tell("the other pages")
    for page in (pages.index, pages.mathematics, pages.code, pages.reference, pages.museum_page, pages.exercises, pages.glossary,
                 pages.manual):
        page(site)
    for file, title in TITLES.items():
        site.document(file, title)
    pages.bibliography(site)                    # the last, since it lists the pages that cite a work
    site.finish()
    return len(list(site.out.rglob("*.html")))
