"""`scratchac docs`: chapters and their macros, what is an error, and a site whose links lead somewhere and that loads nothing."""

import json
import re
import shutil
import sys
import warnings
from html.parser import HTMLParser

import numpy as np
import pytest

pytest.importorskip("markdown_it")
pytest.importorskip("pygments")

from matplotlib.figure import Figure

from scratchac.__main__ import main
from scratchac.errors import UserError
from scratchac.site import book, cells, chapters, checks, figures, macros, markup, museum, pages, source
from scratchac.site.build import build, put, require_free

HEADER = '''+++
title = "Values"
minutes = 20
outcomes = ["say what a value is"]
exhibits = []
exercises = ["gae"]
tasks = ["scratchac microscope"]
files = ["scratchac/returns.py"]

[terms]
"value | values" = "The expected return."
+++
'''
TEXT = r'''
The value is $V(s) = \mathbb E[G_t]$ (Sutton & Barto 2018). See [returns.py](../returns.py) and [the derivation](../MATH.md#gae).

> **Question.** How much is {{half:.2f}}, or `{{this}}`?

## A cell

{{cell compute}}

{{output draw}}

{{code scratchac/returns.py#td_target}}

{{derivation gae}}

{{figure box | A box.}}

{{picture demos/pictures/10_overestimation.png | Overestimation.}}

{{exercise gae}}
'''
CELLS = '''# %% [markdown]
# Text.

# %% compute
half = 0.5
print("half is", half)

# %% draw
from scratchac.site.figures import figure as new

figure = new(3, 2)
figure.subplots().plot([0, 1], [0, 1])
'''
BOX = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><rect id="r" width="9" height="9" fill="currentColor"/></svg>'


@pytest.fixture
def course(tmp_path):
    """A course of two chapters."""
    folder = tmp_path / "course"
    (folder / "cells").mkdir(parents=True)
    (folder / "figures").mkdir()
    (folder / "00_values.md").write_text(HEADER + TEXT)
    (folder / "cells/00_values.py").write_text(CELLS)
    (folder / "figures/box.svg").write_text(BOX)
    second = HEADER.replace("Values", "Return").replace('["gae"]', "[]").replace("value | values", "value iteration")
    text = "\nBy value iteration, **a value**. A value, a value, a `value`.\n\n## Value\n\n[Before](00_values.md#a-cell).\n"
    (folder / "01_return.md").write_text(second + text)
    return folder


@pytest.fixture
def site(course, tmp_path):
    (tmp_path / "out").mkdir()
    return book.Site(tmp_path / "out", course)


def chapter(site, number=0):
    """The HTML of a chapter's page."""
    pages.chapter(site, site.chapters[number])
    return (site.out / f"{site.chapters[number].path.stem}.html").read_text()


# -- a chapter -------------------------------------------------------------------------------------------------------


def test_a_chapter_is_read(course):
    one, two = chapters.course(course)
    assert (one.number, one.title, one.minutes, one.exercises, one.tasks) == (0, "Values", 20, ("gae",), ("scratchac microscope",))
    assert one.terms == (chapters.Term(("value", "values"), "The expected return."),) and one.terms[0].anchor == "term-value"
    assert one.text == TEXT and one.path.read_text().splitlines()[one.line - 1 :] == TEXT.splitlines()
    assert one.cells.is_file() and not two.cells.exists()


@pytest.mark.parametrize("old, new, message", [
    ("+++\ntitle", "title", "begins with a header"), ("minutes = 20", 'minutes = "20"', "needs minutes, a int"),
    ("minutes = 20", "minutes = 20\nhours = 1", "hours, which no chapter has"), ("title = ", "title ", "line 1"),
    ('["say what a value is"]', "[1]", "outcomes, a list of strings"), ("[terms]", "[words]", "needs terms")])
def test_a_wrong_header_is_an_error(old, new, message, course):
    path = course / "00_values.md"
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(UserError, match=re.escape(message)) as error:
        chapters.course(course)
    assert str(path) in str(error.value)


def test_a_course_without_chapters_is_an_error(tmp_path):
    with pytest.raises(UserError, match="no chapter"):
        chapters.course(tmp_path)


def test_a_chapter_has_what_its_macros_say(site):
    page = chapter(site)
    assert "How much is 0.50, or <code>{{this}}</code>?" in page
    assert '<pre class="printed" tabindex="0">half is 0.5</pre>' in page and page.count("<figure><svg") == 2
    assert "<b>gae</b></a>: " in page and "scratchac exercise check mine gae" in page
    first, _ = macros.lines_of("scratchac/returns.py", "td_target")
    assert f'<a href="code-returns.html#td_target">scratchac/returns.py, line {first}</a>' in page
    assert "Derivation: The λ-return is a mixture, and GAE a sum</summary>" in page
    assert "<figcaption>A box.</figcaption>" in page and 'id="box-r"' in page
    picture = "files/demos-pictures-10_overestimation.png"
    assert f'src="{picture}"' in page and (site.out / picture).exists()
    assert '<a href="math.html#gae">the derivation</a>' in page and '<a href="code-returns.html">returns.py</a>' in page
    assert '<a class="cite" href="bibliography.html#sutton-2018">Sutton &amp; Barto 2018</a>' in page
    assert '<dt id="term-value">value</dt><dd>The expected return.</dd>' in page and 'href="01_return.html" rel="next"' in page
    assert "𝔼" in page and "{{" not in page.replace("{{this}}", "")


def test_only_the_first_mention_of_a_term_is_a_link(site):
    page = chapter(site, 1)
    assert page.count('class="term"') == 1
    assert ('<p>By value iteration, <strong>a value</strong>. A <a class="term" href="glossary.html#term-value" '
            'title="The expected return.">value</a>, a value, a <code>') in page
    assert '<a href="00_values.html#a-cell">Before</a>' in page
    assert 'class="term"' not in chapter(site, 0)                   # its own terms are explained below


@pytest.mark.parametrize("old, new, message", [
    ("{{half:.2f}}", "{{halves:.2f}}", "neither a macro nor a variable"), ("{{half:.2f}}", "{{half:.2q}}", "format"),
    ("{{half:.2f}}", "{{museum none right value}}", "not been measured"), ("{{half:.2f}}", "{{museum x}}", "museum NAME right"),
    ("{{cell compute}}", "{{cell computed}}", "no such cell; it has compute, draw"),
    ("{{cell compute}}", "a {{cell compute}}", "paragraph"),
    ("{{output draw}}", "{{output drawn}}", "no such cell"), ("{{output draw}}", "{{show draw}}", "neither a macro"),
    ("#td_target", "#td_targets", "does not define td_targets"), ("{{code scratchac", "{{code scratch", "there is no file"),
    ("{{derivation gae}}", "{{derivation gea}}", "no derivation gea"), ("{{figure box", "{{figure bax", "no figure bax.svg"),
    ("{{picture demos/", "{{picture demo/", "there is no picture"), ("{{exercise gae}}", "{{exercise gea}}", "no such exercise")])
def test_a_wrong_macro_is_an_error_with_its_line(old, new, message, course, tmp_path):
    path = course / "00_values.md"
    path.write_text(path.read_text().replace(old, new, 1))
    line = next(i for i, line in enumerate(path.read_text().splitlines(), start=1) if new in line)
    with pytest.raises(UserError, match=re.escape(message)) as error:
        chapter(book.Site(tmp_path, course))
    assert f"00_values.md:{line}: " in str(error.value)


@pytest.mark.parametrize("old, new, message", [
    (r"\mathbb E[G_t]", r"\mathbbb E[G_t]", r":14: the formula V(s) = \mathbbb E[G_t] has a command"),
    (r"\mathbb E[G_t]", r"\hatt E", r":14: the formula V(s) = \hatt E has a command that is not known"),
    (r"V(s) = \mathbb", r"V(s = \frac{\mathbb", ":14: the braces of the formula"), ("$V(s)", "V(s)", ":14: an odd number of $"),
    ("(../returns.py)", "(../return.py)", ":14: scratchac/return.py does not exist"),
    ("(../MATH.md#", "(../../../MATH.md#", ":14: ../../../MATH.md#gae leads out of the repository"),
    ('["gae"]', "[]", "differ in exercises: gae"), ('scratchac/returns.py"]', 'scratchac/return.py"]', "return.py does not exist")])
def test_a_wrong_text_is_an_error_with_its_line(old, new, message, course, tmp_path):
    path = course / "00_values.md"
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(UserError, match=re.escape(message)):
        chapter(book.Site(tmp_path, course))


@pytest.mark.parametrize("old, new, message", [
    ("half = 0.5", "half = 1 / 0", "00_values.py:5: the cell compute fails: ZeroDivisionError"),
    ("half = 0.5", "import warnings\nwarnings.warn('old', stacklevel=1)", ":6: the cell compute fails: UserWarning"),
    ("half = 0.5", "half = (", ":5: the cell compute fails: SyntaxError"),
    ("# %% draw", "# %% compute", ":9: two cells are called compute")])
def test_a_cell_that_fails_or_warns_is_an_error(old, new, message, course):
    path = course / "cells/00_values.py"
    path.write_text(path.read_text().replace(old, new, 1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")                             # as it is outside of pytest
        with pytest.raises(UserError, match=re.escape(message)):
            cells.run(path)


def test_cells_share_one_namespace_and_a_figure_is_shown_once(tmp_path):
    path = tmp_path / "x.py"
    path.write_text("# %%\na = 1\n# %%\nb = a + 1\n# %% one\nfrom scratchac.site.figures import figure\n# %% two\n"
                    "figure = figure(2, 1)\nfigure.subplots()\n# %% three\nprint(a + b)\n")
    done, names = cells.run(path)
    assert [(name, cell.printed, bool(cell.figure)) for name, cell in done.items()] == [
        ("", "", False), ("one", "", False), ("two", "", True), ("three", "3\n", False)]
    assert names["b"] == 2


# -- texts, formulas, figures ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("latex", [r"a_{t} * b_{t} * c", r"[x](y)", r"\hat V\_x < 1 & 2", r"\{a_1, b\}"])
def test_markdown_leaves_formulas_alone(latex):
    body, _ = markup.Text().page(f"One ${latex}$ two, *three*.", str)
    assert markup.formula(latex, False) in body and "<em>three</em>" in body and "<a" not in body and body.count("<em>") == 1


def test_a_formula_alone_or_within_a_paragraph_keeps_the_paragraph():
    body, _ = markup.Text().page("$x$\n\n$$y$$\n\nthen\n$$z$$\nmore", str)
    assert len(re.findall("<p><math[^>]*><mrow><mi>x</mi></mrow></math></p>", body)) == 1
    assert body.count('<span class="formula"') == 2 and body.count("<p>") == body.count("</p>") == 2


def test_no_line_breaks_between_a_formula_and_the_point_after_it():
    body, _ = markup.Text().page("Then $x$, $y$ and ($z$).", str)
    assert re.sub(r"<math.*?</math>", "*", body).strip() == (
        '<p>Then <span class="together">*,</span> * and (<span class="together">*).</span></p>')


def test_a_long_formula_breaks_where_no_bracket_is_open():
    pieces = markup.breakable(r"V(s) = \sum_a \pi(a = 1 \mid s) (r - b) + \gamma_{t+1} V")
    assert pieces == ["V(s) ", r"= \sum_a \pi(a = 1 \mid s) (r - b) ", r"+ \gamma_{t+1} V"]
    assert len(markup.breakable(r"x = \left( a_{t+1} + b_{t+1} + c_{t+1} \right)")) == 1
    assert markup.formula(r"aaaaaaaaaaaaaaaaaaaa + bbbbbbbbbbbbbbbb", False).count('<mo form="infix">') == 1


def test_primes_and_letters_are_shown_by_every_browser():
    assert "msup" not in markup.formula("s'", False) and "<msub><mrow><mi>Q</mi>" in markup.formula("Q'_k", False)
    assert "ℝ" in markup.formula(r"\mathbb R", False) and "mathvariant" not in markup.formula(r"\mathcal N", False)


def test_pictures_for_light_and_dark_lead_to_the_site_s_files():
    text = '<picture>\n<source media="(x: dark)" srcset="a/dark.png">\n<img src="a/light.png" alt="b">\n</picture>\n'
    assert markup.Text().page(text, lambda target: f"files/{target}")[0] == text.replace('="a/', '="files/a/')


def test_headings_have_the_anchors_that_github_gives_them():
    _, headings = markup.Text().page('# A `b` & c\n## Values\n## Values\n## Values\n### <a id="own"></a>Other\n', str)
    assert [anchor for _, anchor, _ in headings] == ["a-b--c", "values", "values-1", "values-2", "own"]


def test_a_figure_has_the_page_colours():
    drawn = figures.figure(4, 2)
    assert isinstance(drawn, Figure)
    ax = drawn.subplots()
    ax.plot([0, 1], label="line")
    ax.set_title("γ is 0.9")
    ax.legend()
    text = figures.svg(drawn, "one")
    assert text.startswith("<svg ") and "currentColor" in text and "#000000" not in text
    assert "var(--c0)" in text and "γ is 0.9" in text
    assert "http" not in re.sub(r'xmlns(:\w+)?="[^"]*"', "", text) and 'aria-label="one"' in text
    again = figures.figure(4, 2)
    again.subplots().plot([0, 1])
    ids = [set(re.findall(r' id="([^"]+)"', x)) for x in (text, figures.svg(again, "two"))]
    assert ids[0] and not ids[0] & ids[1]


# -- source ----------------------------------------------------------------------------------------------------------


SOURCE = '''"""A module with *one* `name`.

    name   what it is
    other  what else
           it is
"""

import math

# Why x is 1.
x = 1


# The rule.
@wrapped
def f(a: int) -> int:
    """Twice a."""
    # why
    return 2 * a


class C:
    """A class."""

    y: int = 0
    """Its field."""

    def g(self):
        return 1
'''


def test_source_is_told_on_the_left_and_shown_on_the_right(tmp_path):
    path = tmp_path / "m.py"
    path.write_text(SOURCE)
    found = [(part.name, part.prose, part.lines) for part in source.parts(path)]
    assert [name for name, _, _ in found] == ["", "", "f", "C", "C.g"]
    assert found[1] == ("", ["Why x is 1."], [11])
    assert found[2] == ("f", ["The rule.", "Twice a."], [15, 16, 18, 19])
    assert found[4][2] == [28, 29]
    body, names = source.page(path, lambda name: f"[{name}]")
    assert names == ["f", "C", "C.g"] and "[f]" in body and "[C.g]" in body and "with <em>one</em> <code>name</code>" in body
    assert "<dt>other</dt><dd>what else it is</dd>" in body and '<span class="line" id="L19">' in body and "Twice a" in body
    shown = re.sub("<[^>]+>", "", "".join(re.findall(r"<pre class=\"code\".*?</pre>", body, re.DOTALL)))
    assert "Twice a" not in shown and "# why" in shown and "# The rule" not in shown


def test_every_line_of_code_of_the_mathematics_is_shown():
    for file in ("returns", "distributions", "algorithms/sac"):
        path = book.ROOT / f"scratchac/{file}.py"
        lines = path.read_text().splitlines()
        shown = {number for part in source.parts(path) for number in part.lines}
        prose = "\n".join(text for part in source.parts(path) for text in part.prose)
        missing = [line for number, line in enumerate(lines, start=1) if number not in shown and line.strip()]
        assert len(shown) > 30 and not [line for line in missing if line.strip(' "#') and line.strip(' "#') not in prose]


def test_the_reference_has_signatures_and_fields(tmp_path):
    path = tmp_path / "m.py"
    path.write_text(SOURCE)
    made = source.reference(path, "m", "code.html")
    assert '<a href="code.html#f">f</a>(a: int) → int</p><p>Twice a.</p>' in made
    assert "<dt><code>y: int = 0</code></dt><dd>Its field.</dd>" in made and "C.g" not in made          # without a docstring
    assert "id=\"m.f\"" not in source.reference(path, "m", "code.html", ("C",))


# -- the museum ------------------------------------------------------------------------------------------------------


SIDE = {"return": [1.0, -3.0, 2.0], "curves": [[[0, 1.0], [10, 2.0]], [[0, 0.0], [12, 1.0]]]}


def test_an_exhibit_has_its_figures(monkeypatch):
    texts = {"line": "A <line>.", "seen": "Less.", "noticed": "A test."}
    bug = type("Bug", (), {**texts, "diff": lambda self: "-a = 1\n+a = 2"})()
    wrong = SIDE | {"return": [-4.0, None]}
    measured = {"bug": {"seeds": [0, 1, 2], "right": SIDE, "wrong": wrong, "witness": {"right": 1, "wrong": 2}}}
    monkeypatch.setattr(museum, "EXHIBITS", {"bug": bug})
    monkeypatch.setattr(museum, "measured", lambda: measured)
    card = museum.card("bug")
    assert "A &lt;line&gt;." in card and "<b>1</b> (-3 … 2)" in card
    assert "Learning curves" in card and "scratchac museum bug" in card
    assert museum.value("bug right return :.1f") == "1.0" and museum.value("bug wrong return :.1f") == "−4.0"
    assert museum.value("bug wrong witness") == "2"
    for wrong in ("bug right auc", "bug left return", "bag right return"):
        with pytest.raises(UserError):
            museum.value(wrong)
    with pytest.raises(UserError, match="no such exhibit"):
        museum.card("bag")


# -- a site ----------------------------------------------------------------------------------------------------------


class Ids(HTMLParser):
    """Checks that elements are closed in the order in which they were opened."""

    def __init__(self):
        super().__init__()
        self.open, self.wrong = [], []

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "link", "input", "img", "br", "hr"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append((tag, self.getpos()))


def test_pages_are_closed_as_they_were_opened(site):
    parser = Ids()
    parser.feed(chapter(site))
    assert not parser.wrong and not parser.open


@pytest.mark.parametrize("body, message", [
    ('<a href="b.html">', "b.html leads nowhere"), ('<a href="#x">', "#x leads to no anchor"),
    ('<p id="y"><p id="y">', "y occurs twice"),
    ('<img src="https://example.org/x.png">', "img loads https"), ('<script src="//example.org/x.js">', "script loads //"),
    ('<link href="https://example.org/x.css">', "link loads https"), ('<a href="a.html#z">', "a.html#z leads to no anchor")])
def test_what_is_wrong_with_a_page_is_found(body, message, tmp_path):
    (tmp_path / "a.html").write_text('<a href="a.html">here</a><a href="https://example.org">there</a>')
    assert checks.complaints(tmp_path) == []
    (tmp_path / "a.html").write_text(body)
    assert len(found := checks.complaints(tmp_path)) == 1 and message in found[0]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The whole site."""
    folder = tmp_path_factory.mktemp("docs") / "site"
    assert main(["docs", "--out", str(folder)]) == 0
    return folder


@pytest.mark.slow
def test_the_site_is_built(whole):
    assert checks.complaints(whole) == []
    names = {path.name for path in whole.glob("*.html")}
    assert names >= {f"{name}.html" for name in ("index", "math", "code-returns", "reference", "museum", "gallery", "glossary",
                                                 "bibliography", "exercises", "manual")}
    assert names >= {f"{one.path.stem}.html" for one in chapters.course()} and (whole / "labs/microscope.html").exists()
    assert "Derivation: The λ-return is a mixture" in (whole / "code-returns.html").read_text()
    entries = json.loads((whole / "search.js").read_text().removeprefix("const ENTRIES = ").removesuffix(";\n"))
    assert len(entries) > 300 and all((whole / address.split("#")[0]).exists() for _, address, _ in entries)
    for path in whole.glob("*.html"):                               # nothing is loaded from elsewhere
        assert not re.findall(r'(?:src|<link[^>]*href)="(?:https?:)?//', path.read_text()), path.name


@pytest.mark.slow
def test_pages_in_a_browser(whole, browser):
    """No message, no request but for files beside the page, nothing wider than the screen; in light and dark, and on a phone."""
    first = chapters.course()[0].path.stem
    for width in (360, 1280):
        for scheme in ("light", "dark"):
            page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
            said, asked = [], []
            page.on("console", lambda message, said=said: said.append(message.text))
            page.on("pageerror", lambda error, said=said: said.append(str(error)))
            page.on("request", lambda request, asked=asked: asked.append(request.url))
            for name in ("index", first, "math", "code-returns", "code-algorithms-sac", "reference", "gallery", "glossary",
                         "exercises"):
                page.goto((whole / f"{name}.html").as_uri())
                page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
                assert page.evaluate("document.documentElement.scrollWidth") <= width, (name, width)
                colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
                assert (np.mean([int(x) for x in re.findall(r"\d+", colour)]) < 128) == (scheme == "dark")
            assert said == [] and all(url.startswith(whole.as_uri()) for url in asked)
            page.close()
    page = browser.new_page()                                       # the search box
    page.goto((whole / "index.html").as_uri())
    page.fill("#search", "lambda_return")
    assert page.locator("#found a").first.get_attribute("href") == "code-returns.html#lambda_return"
    page.press("#search", "Enter")
    page.wait_for_url("**/code-returns.html#lambda_return")
    page.fill("#search", "gae")
    page.focus("#found a")
    page.keyboard.press("Escape")                                       # also from within the list
    assert page.is_hidden("#found") and page.evaluate("document.activeElement.id") == "search"
    page.fill("#search", "gae")
    page.focus("main a")                                                # whoever leaves it with the keyboard sees the text again
    assert page.is_hidden("#found")
    page.focus("#search")
    assert page.is_visible("#found")
    page.fill("#search", "qqqq")
    assert page.is_hidden("#found")
    closed = "[...document.querySelectorAll('details')].filter((one) => !one.open).length"
    assert page.evaluate(closed) > 3
    page.evaluate("dispatchEvent(new Event('beforeprint'))")           # paper shows the answers
    assert page.evaluate(closed) == 0
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.evaluate(closed) > 3
    page.close()


# -- the command -----------------------------------------------------------------------------------------------------


def test_a_folder_that_is_no_site_stays_as_it_is(course, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/letter.txt").write_text("dear")
    with pytest.raises(UserError, match="is no site"):
        build(tmp_path / "mine", course)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["letter.txt"]


def test_a_new_site_replaces_the_files_of_the_earlier_one_alone(tmp_path):
    """Not the repository that the pages are published from, nor a domain's name; pages that are no longer there go."""
    new, newer, out = (tmp_path / name for name in ("new", "newer", "out"))
    for folder, names in ((new, ("index.html", "labs/old.html")), (newer, ("index.html", "labs/other.html"))):
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(folder.name)
    put(new, out)
    for name in (".git/config", "CNAME"):
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).write_text("mine")
    require_free(out)
    put(newer, out)
    assert {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()} == {
        ".git/config", "CNAME", "files.txt", "index.html", "labs/other.html"}
    assert (out / "index.html").read_text() == "newer" and (out / "CNAME").read_text() == "mine"
    (newer / "CNAME").write_text("newer")
    with pytest.raises(UserError, match="CNAME is not of the site"):
        put(newer, out)
    (out / "files.txt").write_text("../new/index.html\n")
    with pytest.raises(UserError, match="outside of that folder"):
        put(new, out)
    assert (new / "index.html").exists()


def test_an_interrupted_build_is_repeated(tmp_path, monkeypatch):
    new, out = tmp_path / "new", tmp_path / "out"
    new.mkdir()
    for name in ("a.html", "b.html"):
        (new / name).write_text(name)
    real = shutil.copytree
    monkeypatch.setattr(shutil, "copytree", lambda *args, **kwargs: (real(*args, **kwargs), (out / "b.html").unlink(), 1 / 0))
    with pytest.raises(ZeroDivisionError):
        put(new, out)
    monkeypatch.undo()
    require_free(out)
    put(new, out)
    assert sorted(path.name for path in out.iterdir()) == ["a.html", "b.html", "files.txt"]


def test_nothing_is_written_if_a_chapter_is_wrong(course, tmp_path):
    (course / "00_values.md").write_text(HEADER.replace('["gae"]', "[]") + "\n{{cell none}}\n")
    with pytest.raises(UserError, match="no such cell"):
        build(tmp_path / "new", course)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("package", ["latex2mathml", "markdown_it", "pygments"])
def test_a_missing_package_is_one_line(package, monkeypatch, tmp_path, capsys):
    for name in [name for name in sys.modules if name.startswith("scratchac.site") or name.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.chdir(tmp_path)
    assert main(["docs"]) == 2
    said = capsys.readouterr()
    assert said.err == f"scratchac: {package} is not installed: pip install -e '.[docs]' in the checkout\n"
    assert not list(tmp_path.iterdir())


def test_an_installation_without_a_checkout_is_one_line(monkeypatch, tmp_path, capsys):
    from scratchac.tools import docs

    monkeypatch.setattr(docs, "__file__", str(tmp_path / "scratchac/tools/docs.py"))
    assert main(["docs", "--out", str(tmp_path / "site")]) == 2
    said = capsys.readouterr()
    assert "a checkout of the repository" in said.err and said.err.count("\n") == 1 and shutil.os.listdir(tmp_path) == []
