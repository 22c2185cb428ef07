"""Code cells of a chapter: a script in the percent format, whose cells `# %% NAME` the chapter names."""

import contextlib
import io
import re
import types
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

import kernels
from scratchac.errors import UserError
from scratchac.site import figures

START = re.compile(r"^# %%(.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Cell:
    """A cell that has run: its code, what it printed, and the figure that it left, as SVG."""

    code: str
    printed: str
    figure: str | None


def parts(path: Path) -> list[tuple[str, str, int]]:
    """(name, code, line) of every cell of a script; cells of text have the name [markdown]."""
    text = path.read_text(encoding="utf-8")
    starts = list(START.finditer(text))
    ends = [found.start() for found in starts[1:]] + [len(text)]
    return [(found[1].strip(), text[found.end() : end].strip("\n"), text[: found.end()].count("\n") + 2)
            for found, end in zip(starts, ends, strict=True)]


def run(path: Path) -> tuple[dict[str, Cell], dict[str, Any]]:
    """Run the cells of a script one after the other on the NumPy backend; return them by name, and all variables.

    Raises UserError for a cell that fails or warns, and for two cells of one name.
    """
    module = types.ModuleType(f"cells_{path.stem}")
    done: dict[str, Cell] = {}
    with kernels.using("numpy"), warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", category=DeprecationWarning, module="matplotlib|pyparsing")    # of an old version
        for name, code, line in parts(path):
            if name.startswith("[markdown]"):
                continue
            if name and name in done:
                raise UserError(f"{path}:{line}: two cells are called {name}")
            printed = io.StringIO()
            try:
                with contextlib.redirect_stdout(printed):
                    exec(compile("\n" * (line - 1) + code, str(path), "exec"), module.__dict__)
            except Exception as error:              # whatever the cell raises
                where = error.__traceback__.tb_next.tb_lineno if error.__traceback__ and error.__traceback__.tb_next else line
                raise UserError(f"{path}:{where}: the cell {name} fails: {error!r}") from None
            shown = None
            if isinstance(module.__dict__.get("figure"), Figure):
                shown = figures.svg(module.__dict__.pop("figure"), f"{path.stem}-{name}")
            done[name] = Cell(code, printed.getvalue(), shown)
    return done, module.__dict__
