"""The chapters' cells and the demos as Jupyter notebooks with their outputs.

A script in percent format is a notebook already: jupytext reads it, and nbclient runs its cells in a kernel of this interpreter.
The kernel works in a copy of the script's folder, so a demo that writes a picture changes nothing in the project.
"""

import ast
import os
import re
import shutil
import sys
import tempfile
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from scratchac.errors import UserError, WriteError
from scratchac.experiments.files import atomic_file
from scratchac.lab.patch import ROOT

CELLS, DEMOS = ROOT / "scratchac" / "course" / "cells", ROOT / "demos"
LONGEST = 0.5                   # minutes of a demo that is run, if not all are
BY_HAND = {"09_play", "20_pixels", "21_web_page"}       # need a player, a run of some hours, a browser: they are never run here
INSTALL = "pip install 'jupytext>=1.16' 'nbclient>=0.10' 'ipykernel>=6.29'"
SETUP = "%matplotlib inline"
WIDGET = "application/vnd.jupyter.widget-view+json"


def everything(folder: Any, long: bool = False) -> list[Path]:
    """Write the chapters' cells and the demos as notebooks into the folders course and demos of a folder; returns their paths.

    The chapters and the demos of at most half a minute (demos/README.md says how long they take) are run; the others have no
    outputs. An installation without a checkout has no demos.

    long    run the other demos too, but for BY_HAND

    Raises UserError as `write` does.
    """
    minutes = minutes_of_demos()
    run = {stem for stem, least in minutes.items() if (long or least <= LONGEST) and stem not in BY_HAND}
    demos = [DEMOS / f"{stem}.py" for stem in minutes]
    written = write(sorted(CELLS.glob("*.py")), Path(folder) / "course")
    for executed in (True, False):
        written += write([demo for demo in demos if (demo.stem in run) == executed], Path(folder) / "demos", execute=executed)
    return written


def minutes_of_demos() -> dict[str, float]:
    """A demo's name without .py → the minutes that it takes, from the table of demos/README.md; empty without a checkout."""
    readme = DEMOS / "README.md"
    rows = re.findall(r"^\| `python demos/(\w+)\.py.*\| *(\d+|[^\s\w]|\w) \|$", readme.read_text(encoding="utf-8"),
                      re.MULTILINE) if readme.exists() else []
    return {stem: float(number) if number.isdecimal() else unicodedata.numeric(number) for stem, number in rows}


def write(scripts: Iterable[Path], folder: Any, execute: bool = True) -> list[Path]:
    """Write scripts in percent format into a folder as notebooks; returns their paths.

    execute    run them, so that they have outputs; otherwise they have none

    Raises UserError if jupytext or nbclient is not installed, if a script does not exist and, with its name and the cell's, if a
    cell fails; and WriteError. The notebooks before it are written.
    """
    try:
        import jupytext
        import nbformat
    except ImportError as error:
        raise UserError(f"notebooks need {error.name}: {INSTALL}") from None
    folder, written = Path(folder), []
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WriteError(f"{folder} cannot be made: {error.strerror or error}") from None
    for script in scripts:
        try:
            notebook = jupytext.reads(script.read_text(encoding="utf-8"), fmt="py:percent")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{script} cannot be read: {getattr(error, 'strerror', None) or error}") from None
        prepare(notebook, script.stem)
        if execute:
            run(notebook, script)
        written.append(folder / f"{script.stem}.ipynb")
        with atomic_file(written[-1]) as file:
            file.write((nbformat.writes(notebook) + "\n").encode())
    return written


def prepare(notebook: Any, stem: str) -> None:
    """Let a notebook show its figures and no other values, and give it and its cells what is the same every time.

    A cell of a chapter leaves a figure in the variable `figure`; in the notebook this variable is its last line, which shows it.
    A script's last line may have a value that nobody meant to see, such as a legend: a semicolon hides it.
    """
    from nbformat import v4

    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.source = cell.source + "\nfigure" if leaves_figure(cell.source) else hushed(cell.source)
    first = next((i for i, cell in enumerate(notebook.cells) if cell.cell_type == "code"), 0)
    notebook.cells.insert(first, v4.new_code_cell(SETUP))
    for number, cell in enumerate(notebook.cells):
        cell.id = f"{stem}-{number}"[-64:]                  # jupytext's are random
    notebook.metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
                         "language_info": {"name": "python"}}


def statements(source: str) -> list[ast.stmt]:
    """The statements of a cell; none of one with a magic command or a mistake, which shows when it is run."""
    try:
        return ast.parse(source).body
    except SyntaxError:
        return []


def hushed(source: str) -> str:
    """A cell with a semicolon behind its last statement, if that calls a method; functions such as `print` have no value."""
    body = statements(source)
    call = body[-1].value if body and isinstance(body[-1], ast.Expr) else None
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute) or call.end_lineno is None:
        return source
    lines = source.encode().split(b"\n")                    # columns count bytes
    last, column = call.end_lineno - 1, call.end_col_offset
    lines[last] = lines[last][:column] + b";" + lines[last][column:]
    return b"\n".join(lines).decode()


def leaves_figure(source: str) -> bool:
    """Whether a cell assigns the variable `figure` at its top level."""
    targets = [target for line in statements(source) if isinstance(line, ast.Assign) for target in line.targets]
    names = [part for target in targets for part in (target.elts if isinstance(target, ast.Tuple) else [target])]
    return any(isinstance(name, ast.Name) and name.id == "figure" for name in names)


def run(notebook: Any, script: Path) -> None:
    """Run all cells and keep their outputs in the notebook. Raises UserError for a cell that fails, and if there is no nbclient."""
    try:
        import ipykernel  # noqa: F401
        from nbclient import NotebookClient
        from nbclient.exceptions import CellExecutionError, DeadKernelError
    except ImportError as error:
        raise UserError(f"notebooks need {error.name}: {INSTALL}") from None
    with tempfile.TemporaryDirectory() as copies:
        # The kernel imports this scratchac, also where it has not been installed.
        path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        there = Path(shutil.copytree(script.parent, Path(copies) / script.parent.name))
        client = NotebookClient(notebook, km=kernel_manager(copies), timeout=None, record_timing=False, store_widget_state=False,
                                resources={"metadata": {"path": str(there)}})
        try:
            client.execute(cleanup_kc=True, env=os.environ | {"PYTHONPATH": path})
        except CellExecutionError as error:
            raise UserError(f"{script}, cell {failed(notebook)}: {' '.join(f'{error.ename}: {error.evalue}'.split())}") from None
        except DeadKernelError:
            raise UserError(f"{script}: the kernel has ended at or after cell {failed(notebook)}") from None
    for cell in notebook.cells:                             # a progress bar is a widget, which nothing draws without its kernel
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if WIDGET not in output.get("data", {})]


def failed(notebook: Any) -> str:
    """The name of the last cell that was run, or else its number among the code cells of the script."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"][1:]            # without SETUP
    number = max((i for i, cell in enumerate(code) if cell.outputs), default=0)
    return code[number].metadata.get("title") or str(number + 1)


def kernel_manager(folder: Any) -> Any:
    """Starts a kernel of this interpreter, and of no other one that is registered as "python3".

    folder    for sockets: a kernel is reached without a network, except on Windows
    """
    from jupyter_client.kernelspec import KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager

    sockets = {} if sys.platform == "win32" else {"transport": "ipc", "ip": str(Path(folder) / "kernel")}
    return AsyncKernelManager(kernel_spec_manager=KernelSpecManager(kernel_dirs=[]), **sockets)
