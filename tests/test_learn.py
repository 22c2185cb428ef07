"""`scratchac learn`: the chapters, and what is done of them."""

import json
from pathlib import Path

import pytest

from scratchac.__main__ import main
from scratchac.lab import grading
from scratchac.site import chapters
from scratchac.tools import progress

SYMBOLS = """
title = "Symbols"
minutes = 30
outcomes = ["read the symbols"]
exhibits = []
exercises = []
tasks = ["scratchac doctor"]
files = []
[terms]
"""
RETURNS = """
title = "Returns"
minutes = 60
outcomes = ["say what a return is"]
exhibits = ["gae-last-row"]
exercises = ["discounted-return", "gae"]
tasks = []
files = ["scratchac/returns.py"]
[terms]
"return | returns" = "A sum of rewards."
"""


@pytest.fixture
def course(tmp_path, monkeypatch):
    """Two chapters, and the folder of a learner as working directory."""
    folder = tmp_path / "course"
    folder.mkdir()
    for stem, header in (("00_symbols", SYMBOLS), ("01_returns", RETURNS)):
        (folder / f"{stem}.md").write_text(f"+++{header}+++\n\nText.\n")
    all_of = chapters.course
    monkeypatch.setattr(chapters, "course", lambda: all_of(folder))
    monkeypatch.chdir(tmp_path)
    return folder


def passes(*names):
    progress.record(Path("mine"), dict.fromkeys(names, True))


def check_gae(monkeypatch, status):
    """Mark the exercise with a grader that says `status`; the exit code."""
    Path("mine/03_gae.py").touch()
    monkeypatch.setattr(grading, "check", lambda exercises, paths: iter([grading.Verdict(status, "")]))
    try:
        return main(["exercise", "check", "mine", "gae"])
    except SystemExit as stop:
        return stop.code


def test_the_way_and_what_is_done_of_it(course, capsys):
    assert main(["learn"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["–  0  Symbols   30 min", "–  1  Returns   60 min  0 of 2 exercises"]
    assert lines[3] == "0 of 2 chapters done, 1.5 of 1.5 hours to go" and "scratchac exercise start mine" in lines[4]
    assert lines[5] == "Next: scratchac learn 0"
    passes("gae")
    assert main(["learn", "0", "--done"]) == 0 and "Symbols, 30 minutes, done" in capsys.readouterr().out
    assert main(["learn"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["✓  0  Symbols   30 min", "–  1  Returns   60 min  1 of 2 exercises"]
    assert lines[3:] == ["1 of 2 chapters done, 1.0 of 1.5 hours to go", "Next: scratchac learn 1"]
    passes("discounted-return")
    assert main(["learn"]) == 0 and "2 of 2 chapters done, 0.0 of 1.5 hours to go\n" in capsys.readouterr().out


def test_a_chapter_with_all_that_belongs_to_it(course, capsys):
    passes("gae")
    assert main(["learn", "1"]) == 0
    shown = capsys.readouterr().out
    for part in ("1 · Returns, 60 minutes\n", "scratchac/course/01_returns.md", "  say what a return is", "– discounted-return: ",
                 "✓ gae: ", "scratchac exercise check mine gae", "scratchac museum gae-last-row", "  scratchac/returns.py"):
        assert part in shown
    assert "--done" not in shown
    assert main(["learn", "symb", "--folder", "other"]) == 0
    shown = capsys.readouterr().out
    assert "  scratchac doctor" in shown and "scratchac learn 0 --done --folder other" in shown


@pytest.mark.parametrize("words, said", [
    ("2", "there is no chapter 2; the chapters are 0 to 1"), ("symbls", "did you mean 00_symbols"), ("-1", "-1"),
    ("--done", "scratchac learn N --done"),
    ("1 --done", "chapter 1 is done when its exercises are passed (discounted-return, gae)"),
    ("0 --folder course/00_symbols.md --done", "cannot be"), ("--fodler mine", "--folder")])
def test_what_cannot_be_is_one_line(words, said, course, capsys):
    assert main(["learn", *words.split()]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and said in captured.err and captured.err.count("\n") == 1


@pytest.mark.parametrize("content", [b"", b"[]", b'{"passed": 1}', b'{"passed": [1]}', b'{"chapters": {"a": 1}}', b"\xff\xfe{",
                                     b"[" * 100_000, None])
def test_a_strange_file_is_one_line_and_is_left_alone(content, course, tmp_path, monkeypatch, capsys):
    mine = tmp_path / "mine"
    mine.mkdir()
    path = mine / "progress.json"
    path.mkdir() if content is None else path.write_bytes(content)
    assert main(["learn"]) == 2
    told = capsys.readouterr().err
    assert told.startswith("scratchac: mine/progress.json cannot be read (") and told.count("\n") == 1
    assert check_gae(monkeypatch, "passed") == 0                        # marks all the same
    captured = capsys.readouterr()
    assert "gae" in captured.out and "cannot be read" in captured.err
    assert path.is_dir() if content is None else path.read_bytes() == content


def test_unknown_names_are_kept_and_count_for_nothing(course, tmp_path, capsys):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/progress.json").write_text('{"passed": ["of a later version"], "chapters": ["99_more", "01_returns"]}')
    passes("gae")
    assert json.loads((tmp_path / "mine/progress.json").read_text()) == {
        "passed": ["gae", "of a later version"], "chapters": ["01_returns", "99_more"]}
    assert main(["learn"]) == 0 and "0 of 2 chapters done" in capsys.readouterr().out


def test_the_last_check_counts(course, tmp_path, monkeypatch):
    path = tmp_path / "mine/progress.json"
    path.parent.mkdir()
    assert check_gae(monkeypatch, "wrong") == 1 and not path.exists()
    assert check_gae(monkeypatch, "passed") == 0
    assert json.loads(path.read_text()) == {"passed": ["gae"], "chapters": []}
    before = path.stat().st_ino
    assert check_gae(monkeypatch, "passed") == 0 and path.stat().st_ino == before          # nothing new, nothing written
    assert check_gae(monkeypatch, "wrong") == 1
    assert json.loads(path.read_text()) == {"passed": [], "chapters": []}


def test_without_a_chapter_it_is_one_line(course, capsys):
    for path in course.iterdir():
        path.unlink()
    assert main(["learn"]) == 2
    told = capsys.readouterr().err
    assert "there is no chapter in" in told and told.count("\n") == 1
