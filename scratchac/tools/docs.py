"""The command `docs`: the course and all else that is written, as pages or notebooks."""

from pathlib import Path

from scratchac.errors import UserError, WriteError


def docs(out: Path = Path("site"), notebooks: Path | None = None, long: bool = False) -> None:
    """Build web pages of the course, the mathematics, the source beside its derivations, reference, museum, gallery and manual.

    Open site/index.html in a browser; the pages load nothing from a network. The extra docs is needed. With --notebooks the
    chapters' cells and the demos are written as notebooks with their outputs, and no pages.

    Args:
        out: folder of the pages; an earlier one is replaced
        notebooks: write notebooks into this folder, and no pages
        long: with --notebooks, also run the demos that take minutes
    """
    root = Path(__file__).parents[2]
    if not (root / "demos" / "README.md").is_file():
        raise UserError("pages and notebooks are made from a checkout of the repository, which has its demos; this is none")
    if notebooks is not None:
        from scratchac.site import notebooks as tool

        written = tool.everything(notebooks, long)
        print(f"{len(written)} notebooks in {notebooks}")
        return
    if long:
        raise UserError("--long belongs to --notebooks")
    try:
        from scratchac.site.build import build
    except ImportError as error:
        package = (error.name or "").split(".")[0]
        if package not in ("latex2mathml", "markdown_it", "pygments"):
            raise
        raise UserError(f"{package} is not installed: pip install -e '.[docs]' in the checkout") from None
    try:
        pages = build(out, tell=lambda line: print(line, flush=True))
    except OSError as error:
        raise WriteError(f"pages cannot be written to {out}: {error.strerror or error}") from None
    print(f"{pages} pages: open {out / 'index.html'}")
