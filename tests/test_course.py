"""The course: what its chapters name exists, its terms are explained before they are used, and its cells run."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from scratchac.__main__ import COMMANDS
from scratchac.lab.exercises import EXERCISES
from scratchac.lab.museum import EXHIBITS
from scratchac.site import cells
from scratchac.site.chapters import course

ROOT = Path(__file__).parents[1]
CHAPTERS = course()
MACRO = re.compile(r"\{\{(\w+) ([^{}|#]+?) *(?:[|#][^{}]*)?\}\}")


def prose(text):
    """What a learner reads: no code, formulas, macros or addresses of links."""
    text = re.sub(r"^```.*?^```$|`[^`\n]*`|\$\$.+?\$\$|\$[^$\n]+\$|\{\{.*?\}\}|<[^>]+>", " ", text, flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"\]\([^)]*\)", "]", text)


def used_before_explained(chapters):
    """(chapter, term, chapter that explains it) for each term that a chapter uses too early."""
    early = []
    for one in chapters:
        text = prose("\n".join([one.text, *one.outcomes]))
        for later in chapters[chapters.index(one) + 1 :]:
            for term in later.terms:
                form = next((x for x in term.forms if re.search(rf"(?<![\w-]){re.escape(x)}(?![\w-])", text,
                                                                0 if x[:1].isupper() else re.IGNORECASE)), None)
                if form:
                    early.append((one.number, form, later.number))
    return early


def test_the_chapters_are_numbered_without_a_gap():
    assert [one.number for one in CHAPTERS] == list(range(15))
    assert 8 * 60 <= sum(one.minutes for one in CHAPTERS) <= 14 * 60


def test_no_term_is_used_before_it_is_explained():
    assert used_before_explained(CHAPTERS) == []


def test_a_term_that_is_used_too_early_is_found(tmp_path):
    empty = "".join(f"{name} = []\n" for name in ("outcomes", "exhibits", "exercises", "tasks", "files"))
    header = f'+++\ntitle = "{{}}"\nminutes = 1\n{empty}[terms]\n{{}}\n+++\n'
    text = "The `TD error`, $TD error$, a TD-error-like thing.\nAdvantages matter."
    (tmp_path / "00_a.md").write_text(header.format("a", "") + text)
    (tmp_path / "01_b.md").write_text(header.format("b", '"advantage | advantages" = "x"\n"TD error" = "y"'))
    assert used_before_explained(course(tmp_path)) == [(0, "advantages", 1)]


@pytest.mark.parametrize("one", CHAPTERS, ids=lambda one: one.path.stem)
def test_a_chapter_keeps_to_its_form(one):
    names = {kind: [name for found, name in MACRO.findall(one.text) if found == kind]
             for kind in ("exhibit", "exercise", "cell", "output")}
    assert sorted(names["exhibit"]) == sorted(one.exhibits) and set(one.exhibits) <= set(EXHIBITS)
    assert sorted(names["exercise"]) == sorted(one.exercises) and set(one.exercises) <= set(EXERCISES)
    assert "> **Question.**" in one.text and "## Self-test" in one.text
    assert one.number in (0, 14) or "## What it costs if you get it wrong" in one.text
    assert one.text.count("<details>") == one.text.count("</details>") >= 4
    assert all((ROOT / file).is_file() for file in one.files)
    for task in one.tasks:
        assert task.split()[:1] != ["scratchac"] or task.split()[1] in COMMANDS, task
        assert not task.startswith("python ") or (ROOT / task.split()[1]).is_file(), task
    present = {name for name, *_ in cells.parts(one.cells)}
    assert set(names["cell"] + names["output"]) <= present


def test_every_exercise_has_its_chapter():
    assert sorted(name for one in CHAPTERS for name in one.exercises) == sorted(EXERCISES)


def test_the_terms_are_explained_once():
    forms = [form.lower() for one in CHAPTERS for term in one.terms for form in term.forms]
    assert not {form for form in forms if forms.count(form) > 1}
    assert all(term.says.endswith(".") for one in CHAPTERS for term in one.terms)


@pytest.mark.slow
@pytest.mark.parametrize("one", CHAPTERS, ids=lambda one: one.path.stem)
def test_the_cells_of_a_chapter_run_as_a_script(one):
    subprocess.run([sys.executable, str(one.cells)], check=True, cwd=ROOT, stdout=subprocess.DEVNULL)

