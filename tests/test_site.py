"""The site: macros, formulas, links and pages; and the whole of it in a browser."""

import html
import re
import shutil
from pathlib import Path

import pytest

from scratchac.errors import UserError
from scratchac.site import cells, checks, figures, source
from scratchac.site.macros import Macros
from scratchac.site.markup import Text, formula

ROOT = Path(__file__).parents[1]
SCRIPT = """# %% [markdown]
# # A title

# %% one
x = 2.0
print("x is", x)

# %% drawn
from scratchac.site.figures import figure as empty
figure = empty(3, 2)
figure.subplots().plot([0, 1], [0, x], color="black")
"""


def macros(tmp_path):
    (tmp_path / "c.py").write_text(SCRIPT)
    done, names = cells.run(tmp_path / "c.py")
    return Macros(done, names, tmp_path, lambda file: f"page-of/{file}", lambda anchor: (anchor, "<p>proof</p>"))


def page(one, text):
    return one.text.page(one.expand(text, lambda position: f"line {text[:position].count(chr(10)) + 1}"), lambda href: href)[0]


def test_a_cell_shows_its_code_its_output_and_its_figure(tmp_path):
    one = macros(tmp_path)
    made = page(one, "Before.\n\n{{cell one}}\n\nx = {{x:.2f}}, again {{x}}.\n\n{{output drawn}}\n")
    assert "x is 2.0" in made and 'class="printed"' in made and "x = 2.00, again 2.0." in made
    assert "<svg" in made and "currentColor" in made and "<p><div" not in made
    assert "`{{x}}`" not in page(one, "`{{x}}`") and "{{x}}" in page(one, "`{{x}}`")             # code is left alone


@pytest.mark.parametrize(("macro", "says"), [
    ("{{cell two}}", "no such cell"), ("{{y}}", "neither a macro nor a variable"), ("{{exercise nothing}}", "no such exercise"),
    ("{{exhibit nothing}}", "no such exhibit"), ("{{code scratchac/returns.py#nothing}}", "does not define nothing"),
    ("{{code scratchac/nothing.py#f}}", "no file"), ("{{figure nothing}}", "no figure"), ("{{picture demos/nothing.png}}", "no picture"),
    ("{{museum gae-last-row right}}", "museum NAME"), ("{{museum nothing right value}}", "not been measured"),
])
def test_a_wrong_macro_is_named_with_its_line(tmp_path, macro, says):
    with pytest.raises(UserError, match=rf"^line 3: .*{re.escape(says)}"):
        page(macros(tmp_path), f"One.\n\n{macro}\n")


def test_a_failing_cell_is_named_with_its_line(tmp_path):
    (tmp_path / "c.py").write_text("# %% bad\na = 1\nb = a / 0\n")
    with pytest.raises(UserError, match=r"c\.py:3: the cell bad fails: ZeroDivisionError"):
        cells.run(tmp_path / "c.py")


def test_formulas_survive_markdown_and_unknown_commands_do_not():
    made = Text().page(r"A $a_1 * b_2 * c$ and *text*; $$\sum_i x_i$$ and `$5`.", lambda href: href)[0]
    assert made.count("<math") == 2 and "<em>text</em>" in made and "<code>$5</code>" in made
    with pytest.raises(UserError, match="nothing"):
        formula(r"\nothing", display=False)


def test_code_excerpts_are_the_source(tmp_path):
    made = page(macros(tmp_path), "{{code scratchac/returns.py#td_target}}\n")
    shown = html.unescape(re.sub(r"<[^>]+>", "", made))
    assert "gamma * (1 - term) * v_next" in shown and 'href="page-of/scratchac/returns.py#td_target"' in made


def test_a_source_page_has_every_line_of_code_once():
    """In both columns together there is everything but docstrings' quotes and blank lines."""
    for file in ("scratchac/returns.py", "scratchac/distributions.py", "scratchac/algorithms/sac.py"):
        parts = source.parts(ROOT / file)
        text = (ROOT / file).read_text()
        kept = [line.strip() for part in parts for line in [*part.code.splitlines(), *"\n".join(part.prose).splitlines()] if line.strip()]
        lines = [line.strip().lstrip("#").strip() for line in text.splitlines()]
        lines = [line.replace('"""', "").strip() for line in lines if line.replace('"""', "").strip()]
        assert sorted(x.lstrip("#").strip().replace('"""', "") for x in kept) == sorted(lines), file


def test_links_that_lead_nowhere_are_found(tmp_path):
    (tmp_path / "a.html").write_text('<h2 id="x"></h2><a href="b.html#y">1</a><a href="#x">2</a><a href="c.html">3</a><p id="x"></p>'
                                     '<img src="https://example.org/a.png"><a href="https://example.org">4</a>')
    (tmp_path / "b.html").write_text("")
    assert checks.complaints(tmp_path) == ["a.html: the anchor x occurs twice", "a.html: b.html#y leads to no anchor",
                                           "a.html: c.html leads nowhere", "a.html: img loads https://example.org/a.png"]


def test_ids_of_figures_do_not_meet():
    drawn = []
    for name in ("a", "b"):
        figure = figures.figure(3, 2)
        figure.subplots().scatter([1, 2], [1, 2])
        drawn.append(set(re.findall(r' id="([^"]+)"', figures.svg(figure, name))))
    assert drawn[0] and not drawn[0] & drawn[1]


def watch(tab, wrong):
    """Collect the errors of a page, and its requests that leave the machine."""
    tab.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    tab.on("pageerror", lambda error: wrong.append(str(error)))
    tab.on("request", lambda request: wrong.append(request.url) if not request.url.startswith(("file:", "data:")) else None)


@pytest.mark.slow
def test_the_whole_site_builds_and_opens_from_a_file(tmp_path):
    """No warning, no link into the void; in a browser no error, no request of another scheme, nothing wider than the screen."""
    from scratchac.site.build import build

    assert build(tmp_path) > 60
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        pytest.skip("no browser")
    from playwright.sync_api import sync_playwright

    wrong = []
    with sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        for scheme, width in (("light", 1280), ("dark", 360)):
            tab = chromium.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme).new_page()
            watch(tab, wrong)
            for path in sorted(tmp_path.glob("*.html")):
                tab.goto(path.as_uri())
                assert tab.evaluate("document.documentElement.scrollWidth") <= width, (path.name, width)
            tab.goto((tmp_path / "index.html").as_uri())
            tab.fill("#search", "generalised advantage" if scheme == "light" else "GAE")
            assert tab.locator("#found a").count() > 0
        chromium.close()
    assert wrong == []
