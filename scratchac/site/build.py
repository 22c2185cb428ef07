"""Builds the site: all pages into a new folder, which is checked, and then takes the place of an earlier one.

Chapters, MATH.md, source beside derivations, reference, museum, gallery and manual become pages that open from a file.
"""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from scratchac.errors import UserError
from scratchac.site import checks, pages
from scratchac.site.book import Labs, Site
from scratchac.site.chapters import COURSE

MARK = "search.js"                              # a folder that has it is a site
TITLES = {"demos/README.md": "Gallery", "demos/results/README.md": "How the figures were made", "kernels/README.md": "Kernels",
          "README.md": "About scratchac", "CONTRIBUTING.md": "Contributing", "CHANGELOG.md": "Changes"}


def build(out: Path, chapters: Path = COURSE, labs: Labs | None = None, tell: Callable[[str], None] = lambda line: None) -> int:
    """Build the site into a folder; return the number of pages.

    chapters    folder of the chapters
    labs        interactive pages besides those of scratchac/site/labs: file name → writes the page into that file
    tell        gets a line for each chapter, before it is built

    Raises UserError, with file and line, for the first thing that is wrong in a text, for links and anchors that lead nowhere, and
    for a folder that holds anything but an earlier site. Then nothing is written.
    """
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / MARK).exists())):
        raise UserError(f"{out} exists and is no site: name a new folder with --out")
    with tempfile.TemporaryDirectory() as folder:
        new = Path(folder)
        number = write(Site(new, chapters, labs), tell)
        if wrong := checks.complaints(new):
            raise UserError("; ".join(wrong))
        if out.exists():
            shutil.rmtree(out)
        shutil.copytree(new, out)
    return number


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
