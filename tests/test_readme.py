"""What the READMEs and the manual say of the project."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from kernels import registry
from scratchac import conv, distributions, nn, optim, returns  # noqa: F401  their kernels are registered
from scratchac.lab.exercises import EXERCISES

ROOT = Path(__file__).parents[1]
READING = (ROOT / "manual/reading.md").read_text()
ROW = re.compile(r"^\| `((?:scratchac|kernels)/[\w/.]+)` \| \d+ \| (.+) \|$", re.MULTILINE)


def defined(path):
    """Names of all functions, classes and variables that a Python file defines, at any depth."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return names


def test_tables_are_the_generated_ones():
    pytest.importorskip("scipy")                        # the table of other libraries has intervals
    done = subprocess.run([sys.executable, ROOT / "demos/results/table.py", "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_files_that_are_named_exist():
    manual = [path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "manual").glob("*.md"))]
    for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "demos/README.md", "kernels/README.md", *manual):
        document = ROOT / name
        for target in re.findall(r"(?:\]\(|\bsrc=\"|\bsrcset=\")([^)#:\"]+)[)#\"]", document.read_text()):
            assert (document.parent / target).exists(), f"{name} points to {target}"
        for target in re.findall(r"`((?:scratchac|kernels|tests|demos)/[\w/]+\.\w+)`", document.read_text()):
            assert (ROOT / target).exists(), f"{name} names {target}"


def test_every_file_is_in_the_reading_order_or_named_as_plumbing():
    files = {path.relative_to(ROOT).as_posix() for package in ("scratchac", "kernels")
             for path in [*(ROOT / package).rglob("*.py"), *(ROOT / package).rglob("*.js")]}
    files -= {path for path in files if path.endswith("__init__.py") or "/course/" in path} | {"kernels/__main__.py"}
    rows = [path for path, _ in ROW.findall(READING)]
    assert len(rows) == len(set(rows))
    named = READING.split("The rest is plumbing")[1].split("Then [the gallery]")[0]
    plumbing = set(re.findall(r"`((?:scratchac|kernels)/[\w/.]+)`", named))
    assert not plumbing & set(rows)
    assert set(rows) | plumbing == files


def test_a_row_of_the_reading_order_keeps_its_promise():
    """What a row names in code type is defined in its file, or in the file that the same part of the row names."""
    for path, promise in ROW.findall(READING):
        others = re.findall(r"`(\w+\.py)`", promise)
        known = defined(ROOT / path) if path.endswith(".py") else set()
        for other in others:
            known |= defined(next((ROOT / "scratchac").rglob(other)))
        for name in re.findall(r"`(\w+)`", promise):
            assert name in known, f"{path} does not define {name}"


def test_the_order_is_that_of_the_subject():
    """In the first two tracks a file imports only from files above it, and from plumbing."""
    tracks = READING.split("## Further on")[0]
    order = [path for path, _ in ROW.findall(tracks)]
    rest = [path for path, _ in ROW.findall(READING.split("## Further on")[1])]
    for i, path in enumerate(order):
        if "/algorithms/" not in path or path.endswith("config.py"):
            continue
        modules = re.findall(r"^from (scratchac[\w.]*) import ([\w, ]+)", (ROOT / path).read_text(), re.MULTILINE)
        used = {f"{module.replace('.', '/')}.py" for module, _ in modules}
        used |= {f"scratchac/{name}.py" for module, names in modules if module == "scratchac" for name in names.split(", ")}
        later = used & set(order[i + 1:])
        assert not later, f"{path} uses {later} before they are explained"
        assert not used & set(rest) - {"scratchac/training/agent.py", "scratchac/training/compiled.py", "scratchac/conv.py"}


def test_every_exercise_stands_beside_one_file_and_no_file_of_answers_is_in_the_reading_order():
    tracks, further = READING.split("## Further on")
    names = [name for _, rest in ROW.findall(tracks) for name in rest.rpartition("|")[2].strip().split(", ") if name]
    names += re.findall(r"; exercise ([\w-]+) \|", further)
    assert sorted(names) == sorted(EXERCISES)
    assert not any("lab/exercises" in path for path, _ in ROW.findall(READING))
    section = READING.split("## Exercises")[1]
    assert all(f"\nscratchac exercise {action} " in section for action in ("start", "check", "solution", "train"))


def test_the_version_is_in_the_changelog():
    from scratchac import __version__

    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_the_list_of_kernels_is_complete():
    """kernels/README.md says which kernels there are, where their references stand, and what each backend overrides."""
    text = (ROOT / "kernels/README.md").read_text()
    rows = re.findall(r"^\| (`.+?`) \| `(scratchac/\w+\.py)` \| (yes)? ?\| (yes)? ?\|$", text, re.MULTILINE)
    listed = {(path[:-3].replace("/", "."), name): (numba, cupy) for names, path, numba, cupy in rows
              for name in re.findall(r"`(\w+)`", names)}
    assert set(listed) == {tuple(key.rsplit(".", 1)) for key in registry.REFERENCES}
    overrides = {name: re.search(r"for function in \(([\w\s,]+)\)", (ROOT / f"kernels/{name}_kernels.py").read_text())[1]
                 for name in ("numba", "cupy")}
    for (_, name), marks in listed.items():
        there = [bool(re.search(rf"\b{name}\b", overrides[backend])) for backend in ("numba", "cupy")]
        assert [bool(mark) for mark in marks] == there, name
