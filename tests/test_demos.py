"""The demos: scripts in percent format with a question each, their notebooks, and the gallery."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from scratchac.errors import UserError
from scratchac.site import notebooks

DEMOS = Path(__file__).parents[1] / "demos"
SCRIPTS = sorted(DEMOS.glob("[0-9]*.py"))
GALLERY = (DEMOS / "README.md").read_text()


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_demo_asks_first_and_saves_its_picture_under_its_name(script):
    text = script.read_text()
    assert re.match(r"# %% \[markdown\]\n# # .+\?\n#\n", text)
    assert re.findall(r'\bsave\(\w+, "(\w+)"\)', text) == ([] if script.stem == "21_web_page" else [script.stem])
    assert "__file__" not in text and "sys.argv" not in text            # a notebook has neither


def test_every_demo_has_a_row_and_a_section_that_asks_before_it_answers():
    sections = re.findall(r"^## (\d\d) · .+?(?=^## |\Z)", GALLERY, re.MULTILINE | re.DOTALL)
    rows = dict(re.findall(r"^\| `python demos/(\d\d)_\w+\.py.*?` \| (.+?\?).* \| \S+ \|$", GALLERY, re.MULTILINE))
    assert sections == list(rows) == [script.stem[:2] for script in SCRIPTS]
    for number, question in rows.items():
        section = re.search(rf"^## {number} · .+?(?=^## |\Z)", GALLERY, re.MULTILINE | re.DOTALL)[0]
        form = rf"## .+\n\*\*{re.escape(question)}\*\*\n\n(!\[.+\]\(.+\)\n\n)+" \
               r"<details><summary>Answer</summary>\n\n.+\n\n</details>\n"
        assert re.match(form, section, re.DOTALL), number


def test_minutes_of_all_demos_are_known():
    minutes = notebooks.minutes_of_demos()
    assert list(minutes) == [script.stem for script in SCRIPTS]
    assert minutes["24_hindsight"] == 20 and minutes["00_policy_gradient"] == 0.25
    assert set(minutes) >= notebooks.BY_HAND


@pytest.mark.parametrize("long, most", [(False, 0.5), (True, 20)])
def test_quick_demos_are_run_and_the_others_are_written(long, most, monkeypatch, tmp_path):
    asked = {}
    monkeypatch.setattr(notebooks, "write", lambda scripts, folder, execute=True: asked.update(
        {script.stem: execute for script in scripts if script.parent == DEMOS}) or [])
    notebooks.everything(tmp_path, long=long)
    minutes = notebooks.minutes_of_demos()
    assert asked == {stem: least <= most and stem not in notebooks.BY_HAND for stem, least in minutes.items()}


SCRIPT = """# %% [markdown]
# # Why is that?

# %% first
from helper import value
print(value)

# %% drawn
from matplotlib.figure import Figure
figure, other = Figure(), 1
ax = figure.subplots()

# %% last
{last}
"""


def cells_of(path):
    return [(cell["cell_type"], "".join(cell["source"])) for cell in json.loads(path.read_text())["cells"]]


def test_a_script_becomes_a_notebook_that_shows_its_figures(tmp_path):
    script = tmp_path / "asked.py"
    script.write_text(SCRIPT.format(last="with open('made', 'w'):\n    figure = 2"))
    (path,) = notebooks.write([script], tmp_path / "out", execute=False)
    assert path == tmp_path / "out/asked.ipynb" and cells_of(path) == [
        ("markdown", "# Why is that?"), ("code", "%matplotlib inline"), ("code", "from helper import value\nprint(value)"),
        ("code", "from matplotlib.figure import Figure\nfigure, other = Figure(), 1\nax = figure.subplots()\nfigure"),
        ("code", "with open('made', 'w'):\n    figure = 2")]
    before = path.read_bytes()
    notebooks.write([script], tmp_path / "out", execute=False)
    assert path.read_bytes() == before                      # no random names in it


@pytest.mark.parametrize("source, there", [
    ("ax.legend()", "ax.legend();"), ("π = 3\nax.plot(\n    'π', π)  # a line", "π = 3\nax.plot(\n    'π', π);  # a line"),
    ("print(1)", "print(1)"), ("x = a.b()", "x = a.b()"), ("if x:\n    a.b()", "if x:\n    a.b()"), ("%magic", "%magic"), ("", "")])
def test_what_a_script_does_not_show_is_hidden_in_the_notebook(source, there):
    assert notebooks.hushed(source) == there


def test_what_cannot_be_written_is_one_line(tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r"absent\.py cannot be read: No such file"):
        notebooks.write([tmp_path / "absent.py"], tmp_path / "out")
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="file cannot be made"):
        notebooks.write([], tmp_path / "file")
    monkeypatch.setitem(notebooks.sys.modules, "jupytext", None)
    with pytest.raises(UserError, match="notebooks need jupytext: pip install 'jupytext"):
        notebooks.write([], tmp_path / "out")


def test_a_picture_is_shown_in_a_notebook_and_saved_otherwise(monkeypatch, tmp_path, capsys):
    monkeypatch.syspath_prepend(DEMOS)
    import common

    shown = []
    monkeypatch.setattr(common, "HERE", tmp_path)
    monkeypatch.setattr(common.notebook, "show", shown.append)
    figure = Figure(figsize=(1, 1))
    for words, folder in (["demo.py", "RUN"], "out"), (["demo.py", "RUN", "--keep"], "pictures"):
        monkeypatch.setattr(notebooks.sys, "argv", words)
        common.save(figure, "00_x")
        assert shown == [] and (tmp_path / folder / "00_x.png").exists() and common.arguments() == ["RUN"]
    monkeypatch.setattr(common, "in_notebook", lambda: True)
    common.save(figure, "01_x")
    assert shown == [figure] and not list(tmp_path.glob("*/01_x.png")) and common.arguments() == []


def test_what_is_kept_is_not_computed_again(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(DEMOS)
    import common

    calls = []

    @common.kept
    def inner(x):
        calls.append("inner")
        return [x, {"step": np.arange(3), "return_mean": np.array([np.nan, 1 / 3, 1e6])}]

    @common.kept
    def outer(x):
        calls.append("outer")
        return inner(x)[1], np.full((2, 2), 200, np.uint8)

    monkeypatch.setattr(common, "HERE", tmp_path)
    for words in (["00_x.py", "--keep"], ["00_x.py", "--redraw"]):
        monkeypatch.setattr(common, "KEPT", {})
        monkeypatch.setattr(notebooks.sys, "argv", words)
        got = inner(1.0), inner(2.0), outer(3.0)
        assert calls == ["inner", "inner", "outer", "inner"]                # no more with --redraw
        assert [part[0] for part in got[:2]] == [1, 2] and got[2][1].dtype == np.uint8 and (got[2][1] == 200).all()
        for curve in (got[0][1], got[1][1], got[2][0]):
            np.testing.assert_array_equal(curve["step"], [0, 1, 2])
            np.testing.assert_allclose(curve["return_mean"], [np.nan, 1 / 3, 1e6], rtol=1e-7)
        common.save(Figure(figsize=(1, 1)), "00_x")
    with np.load(tmp_path / "results" / "drawn" / "00_x.npz") as file:
        assert file["calls"].tolist() == ["inner(1)", "inner(2)", "outer(3)"]
    with pytest.raises(UserError, match=r"nothing is kept of inner\(4\) in .*00_x\.npz: let the script train"):
        inner(4.0)                                                          # not what other arguments gave
    monkeypatch.setattr(common, "KEPT", {})
    monkeypatch.setattr(notebooks.sys, "argv", ["01_x.py", "--redraw"])
    with pytest.raises(UserError, match=r"no results are kept in .*01_x\.npz: let the script train"):
        inner(1.0)


def test_pictures_and_what_they_are_drawn_from_are_small():
    """They are in every clone: a picture of twice as many pixels has few colours, and kept results are compressed."""
    files = [*(DEMOS / "pictures").glob("*.png"), *(DEMOS / "results" / "drawn").iterdir()]
    assert len(files) > 25 and {path.name: path.stat().st_size for path in files if path.stat().st_size > 150_000} == {}
    assert {path.suffix for path in files} == {".png", ".npz"}


def test_a_demo_changes_no_tracked_file():
    """A file that a script writes itself goes where `output` says, and git ignores what is written without --keep."""
    for script in SCRIPTS:
        text = script.read_text()
        assert len(re.findall(r"\.(?:write_text|savefig|screenshot|save)\(|atomic_file\(", text)) == text.count("output(")
    assert {"demos/out/", "sweeps/", "comparison.png", "runs/"} <= set((DEMOS.parent / ".gitignore").read_text().split("\n"))


@pytest.mark.slow
def test_a_demo_that_lacks_something_ends_in_one_line(tmp_path):
    done = subprocess.run([sys.executable, DEMOS / "20_pixels.py"], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr == ("there is no run runs/ppo-CarRacing-v3-seed0: name yours, or make one in two hours: "
                           "scratchac train ppo --env CarRacing-v3\n")


@pytest.mark.slow
def test_notebooks_are_run_in_a_kernel(tmp_path):
    """Figures are in the outputs, the script's folder stays as it is, and an error is one line with script and cell."""
    folder = tmp_path / "cells"
    folder.mkdir()
    (folder / "helper.py").write_text("value = 42")
    script = folder / "asked.py"
    script.write_text(SCRIPT.format(last="open('made', 'w').close()"))
    demo = DEMOS / "00_policy_gradient.py"
    pictures = {path: path.stat().st_mtime_ns for path in (DEMOS / "pictures").iterdir()}
    mine, theirs = notebooks.write([script, demo], tmp_path / "out")
    outputs = [cell.get("outputs", []) for cell in json.loads(mine.read_text())["cells"]]
    assert outputs[2][0]["text"] == ["42\n"] and "image/png" in outputs[3][0]["data"] and not (folder / "made").exists()
    outputs = [output for cell in json.loads(theirs.read_text())["cells"] for output in cell.get("outputs", [])]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 1
    assert {path: path.stat().st_mtime_ns for path in (DEMOS / "pictures").iterdir()} == pictures
    for last, said in (("print(1)\n1 /\\\n 0", r"asked\.py, cell last: ZeroDivisionError: division by zero"),
                       ("import os; os._exit(3)", r"asked\.py: the kernel has ended at or after cell drawn")):
        script.write_text(SCRIPT.format(last=last))
        with pytest.raises(UserError, match=said):
            notebooks.write([script], tmp_path / "out")
