"""The site: chapters, MATH.md, source beside derivations, reference, museum, gallery and manual, as pages that open from a file.

All pages lie in one folder, beside `site.css`, `site.js` and `search.js`. Nothing is loaded from a network.
"""

import html
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from scratchac.errors import UserError
from scratchac.lab.microscope import Microscope
from scratchac.lab.museum import EXHIBITS
from scratchac.site import cells, checks, museum, source
from scratchac.site.chapters import COURSE, Chapter, course
from scratchac.site.macros import Macros
from scratchac.site.markup import TAGS, Text, plain

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
MATHEMATICS = ["nn", "conv", "distributions", "losses", "returns", "optim", "schedules", "policies", "normalise", "exploration"]
CODE = [f"scratchac/{name}.py" for name in MATHEMATICS]
FOLDERS = ["scratchac/algorithms", "scratchac/training", "scratchac/gradcheck", "scratchac/lab"]
SECTION = re.compile(r'^### (?:<a id="([\w-]+)"></a>)?(.+?)\n(.*?)(?=^##|\Z)', re.DOTALL | re.MULTILINE)
LINK_LINE = re.compile(r"^`code: .*$", re.MULTILINE)
CITATION = re.compile(r"(?<![\w>])((?:van |de )?[A-Z][\w'-]+(?: et al\.|(?:, [A-Z][\w'-]+)*,? & [A-Z][\w'-]+)? (?:19|20)\d\d)")
NAVIGATION = (("index.html", "Course"), ("math.html", "Mathematics"), ("code.html", "Code"), ("reference.html", "Reference"),
              ("museum.html", "Museum"), ("gallery.html", "Gallery"), ("manual.html", "Manual"), ("glossary.html", "Glossary"))


class Site:
    """A site under construction in `out`. Raises UserError, with file and line, for anything that is wrong in a text."""

    def __init__(self, out: Path, chapters: Path = COURSE, tell: Callable[[str], None] = lambda line: None) -> None:
        self.out = out
        self.course = chapters
        self.chapters = course(chapters)
        self.tell = tell
        self.search: list[tuple[str, str, str]] = []            # (title, address, text)
        self.math = (ROOT / "scratchac/MATH.md").read_text(encoding="utf-8")
        self.sections = {found[1]: (found[2], found[3]) for found in SECTION.finditer(self.math) if found[1]}
        self.links = {anchor: re.findall(r"`([\w ]+): ([^`]+)`", "".join(LINK_LINE.findall(text)))
                      for anchor, (_, text) in self.sections.items()}
        self.pages = self.page_names()

    def page_names(self) -> dict[str, str]:
        """File of the repository → its page."""
        names = {"scratchac/MATH.md": "math.html", "demos/README.md": "gallery.html", "demos/results/README.md": "results.html",
                 "kernels/README.md": "kernels.html", "README.md": "readme.html", "CONTRIBUTING.md": "contributing.html",
                 "CHANGELOG.md": "changes.html"}
        names |= {f"scratchac/course/{one.path.name}": f"{one.path.stem}.html" for one in self.chapters}
        names |= {f"manual/{path.name}": f"manual-{path.stem}.html" for path in (ROOT / "manual").glob("*.md")}
        code = CODE + [path.relative_to(ROOT).as_posix() for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))
                       if path.name != "__init__.py"]
        return names | {file: f"code-{file.removeprefix('scratchac/').removesuffix('.py').replace('/', '-')}.html" for file in code}

    # -- addresses ---------------------------------------------------------------------------------------------------

    def page_of(self, file: str) -> str:
        """The page of a file of the repository. A file without a page is copied beside the pages."""
        if file in self.pages:
            return self.pages[file]
        path = ROOT / file
        if path.is_dir() and f"{file}/README.md" in self.pages:
            return self.pages[f"{file}/README.md"]
        if not path.is_file():
            raise UserError(f"{file} does not exist")
        copied = self.out / "files" / file.replace("/", "-")
        if not copied.exists():
            copied.parent.mkdir(exist_ok=True)
            shutil.copyfile(path, copied)
        return f"files/{copied.name}"

    def link(self, file: str) -> Callable[[str], str]:
        """Addresses in the site for addresses in a text of the repository."""
        def address(target: str) -> str:
            if target.startswith(("http:", "https:", "#")):
                return target
            path, _, anchor = target.partition("#")
            inside = ((ROOT / file).parent / path).resolve()
            if not inside.is_relative_to(ROOT):
                raise UserError(f"{file}: {target} leads out of the repository")
            return self.page_of(inside.relative_to(ROOT).as_posix()) + (f"#{anchor}" if anchor else "")
        return address

    # -- pages -------------------------------------------------------------------------------------------------------

    def write(self, name: str, title: str, body: str, *, side: str = "", wide: bool = False, searched: bool = True) -> None:
        """Write a page, and enter its sections into the search box's list."""
        bar = "".join(f'<a href="{href}"{" aria-current=page" if href == name else ""}>{shown}</a>' for href, shown in NAVIGATION)
        parts = {"title": html.escape(title), "navigation": bar, "side": f'<nav class="side">{side}</nav>' if side else "",
                 "body": self.cited(body) if name != "math.html" else body, "kind": "wide" if wide else "text"}
        template = (HERE / "page.html").read_text(encoding="utf-8")
        (self.out / name).write_text(re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], template), encoding="utf-8")
        if searched:
            for piece in re.split(r"(?=<h[123][ >])", body):
                found = re.search(r'<h[123](?: id="([^"]+)")?>(?:<a id="([\w-]+)"></a>)?(.*?)</h[123]>', piece, re.DOTALL)
                anchor = (found[1] or found[2]) if found else None
                heading = html.unescape(TAGS.sub("", found[3])) if found else title
                self.search.append((heading if heading == title else f"{title}: {heading}", name + (f"#{anchor}" if anchor else ""),
                                    plain(piece)[:1_500]))

    def cited(self, body: str) -> str:
        """Works that MATH.md's list has become links to it."""
        known = self.math.split("## References")[1]
        def one(found: re.Match[str]) -> str:
            name, year = re.split(r"[ ,]", found[1].removeprefix("van ").removeprefix("de "))[0], found[1][-4:]
            row = any(name in line and year in line for line in known.splitlines())
            return f'<a class="cite" href="math.html#references">{found[1]}</a>' if row else found[1]
        pieces = re.split(r"(<(?:pre|a|svg|math|h\d|summary|code)\b.*?</(?:pre|a|svg|math|h\d|summary|code)>|<[^>]+>)", body, flags=re.DOTALL)
        return "".join(piece if piece.startswith("<") else CITATION.sub(one, piece) for piece in pieces)

    def markdown(self, file: str, text: str, before: Text | None = None) -> tuple[str, str]:
        """A text of the repository as HTML, and the list of its sections."""
        try:
            body, headings = (before or Text()).page(text, self.link(file))
        except UserError as error:
            raise UserError(f"{file}: {error}") from None
        side = "".join(f'<a class="level{level}" href="#{anchor}">{html.escape(html.unescape(shown))}</a>'
                       for level, anchor, shown in headings if level in (2, 3))
        return body, side

    def document(self, file: str, title: str) -> None:
        """A Markdown file of the repository as a page."""
        body, side = self.markdown(file, re.sub(r"<!--.*?-->\n?", "", (ROOT / file).read_text(encoding="utf-8"), flags=re.DOTALL))
        self.write(self.pages[file], title, body, side=side)

    def derivation(self, anchor: str) -> tuple[str, str]:
        """Title and HTML of a derivation, to be folded into another page."""
        if anchor not in self.sections:
            raise UserError(f"MATH.md has no derivation {anchor}")
        title, text = self.sections[anchor]
        text = LINK_LINE.sub("", text).replace("](#", "](MATH.md#")
        body, _ = self.markdown("scratchac/MATH.md", text)
        return html.escape(title), re.sub(r' id="[^"]*"', "", body) + f'<p><a href="math.html#{anchor}">in its place</a></p>'

    def derivations(self, file: str) -> Callable[[str], list[str]]:
        """The folded derivations of the functions of a file."""
        def of(name: str) -> list[str]:
            made = []
            for anchor, links in self.links.items():
                if ("code", f"{file}#{name}") in links:
                    title, body = self.derivation(anchor)
                    made.append(f'<details class="derivation"><summary>Derivation: {title}</summary>{body}</details>')
            return made
        return of

    def chapter(self, one: Chapter) -> None:
        """A chapter's page: its cells run, and what it takes from elsewhere is put in."""
        done, names = cells.run(one.cells) if one.cells.exists() else ({}, {})
        macros = Macros(done, names, self.course, self.page_of, self.derivation)
        file = f"scratchac/course/{one.path.name}"
        text = macros.expand(one.text, lambda position: f"{file}:{one.line + one.text[:position].count(chr(10))}")
        body, side = self.markdown(file, text, macros.text)
        outcomes = "".join(f"<li>{html.escape(x)}</li>" for x in one.outcomes)
        terms = "".join(f'<dt id="term-{_anchor(x.forms[0])}">{html.escape(x.forms[0])}</dt><dd>{html.escape(x.says)}</dd>' for x in one.terms)
        tasks = "".join(f"<li><code>{html.escape(x)}</code></li>" for x in one.tasks)
        files = ", ".join(f'<a href="{self.page_of(x)}">{x}</a>' for x in one.files)
        head = (f"<h1>{one.number} · {html.escape(one.title)}</h1><div class=\"outcomes\"><p>{one.minutes} minutes. Afterwards you can</p>"
                f"<ul>{outcomes}</ul></div>")
        foot = ('<section class="foot"><h2 id="to-do">To do, and to read</h2>'
                + (f"<ul>{tasks}</ul>" if tasks else "") + (f"<p>Read: {files}</p>" if files else "")
                + (f"<h2 id=\"terms\">Terms of this chapter</h2><dl>{terms}</dl>" if terms else "") + self.neighbours(one) + "</section>")
        self.write(f"{one.path.stem}.html", f"{one.number} · {one.title}", head + body + foot, side=side)

    def neighbours(self, one: Chapter) -> str:
        """Links to the chapters before and after."""
        i = self.chapters.index(one)
        before, after = self.chapters[max(i - 1, 0) : i], self.chapters[i + 1 : i + 2]
        return '<p class="neighbours">' + "".join(
            f'<a href="{x.path.stem}.html">{sign} {x.number} · {html.escape(x.title)}</a>'
            for sign, there in (("←", before), ("→", after)) for x in there) + "</p>"

    def index(self) -> None:
        """The path through the course."""
        hours = sum(one.minutes for one in self.chapters) / 60
        rows = "".join(f'<li value="{one.number}"><a href="{one.path.stem}.html">{html.escape(one.title)}</a> <small>{one.minutes} min</small>'
                       f"<p>{html.escape('; '.join(one.outcomes))}</p></li>" for one in self.chapters)
        labs = "".join(f'<li><a href="{name}">{html.escape(title)}</a></li>' for name, title in self.labs())
        body = ("<h1>Actor-critic, from scratch</h1><p>You need Python and linear algebra, and no reinforcement learning. The chapters lead from "
                f"“what is a return” to SAC in about {hours:.0f} hours. Every number on these pages was computed when they were built, or comes "
                'from a committed file; every piece of code is the code that runs.</p>'
                f'<ol class="path">{rows}</ol><h2 id="labs">Interactive pages</h2><ul>{labs}</ul>'
                '<h2 id="more">More</h2><p><a href="readme.html">About scratchac</a> · <a href="results.html">How the figures were made</a> · '
                '<a href="kernels.html">Kernels</a> · <a href="contributing.html">Contributing</a> · <a href="changes.html">Changes</a></p>')
        self.write("index.html", "The course", body)

    def labs(self) -> list[tuple[str, str]]:
        """Write the interactive pages; their names and titles."""
        from scratchac.site import labs
        from scratchac.tools.microscope import page

        (self.out / "microscope.html").unlink(missing_ok=True)
        page(Microscope(), 0.9, 10, True, self.out / "microscope.html")
        made = {"microscope.html": (self.out / "microscope.html").read_text(encoding="utf-8"), **labs.pages()}
        for name, text in made.items():
            (self.out / name).write_text(text, encoding="utf-8")
        return [(name, html.unescape(re.search(r"<title>(.*?)</title>", text, re.DOTALL)[1])) for name, text in made.items()]  # type: ignore[index]

    def mathematics(self) -> None:
        """MATH.md; the lines below its derivations become links."""
        def linked(found: re.Match[str]) -> str:
            return " · ".join(self.target(kind, target) for kind, target in re.findall(r"`([\w ]+): ([^`]+)`", found[0]))
        body, side = self.markdown("scratchac/MATH.md", LINK_LINE.sub(linked, self.math))
        self.write("math.html", "The mathematics", body, side=side)

    def target(self, kind: str, target: str) -> str:
        """One entry of such a line."""
        if kind == "code":
            file, _, name = target.partition("#")
            return f"code: [`{name}`]({Path('..') / file}#{name})"
        return f"{kind}: `{target}`"

    def code(self) -> None:
        """Pages of source, the list of them, and the reference."""
        entries, modules = [], []
        for file, name in self.pages.items():
            if not name.startswith("code-"):
                continue
            path = ROOT / file
            self.write(name, file, f"<h1>{file}</h1>" + source.page(path, self.derivations(file)), wide=True, searched=False)
            first = (re.match(r'"""(.*?)(\n|""")', path.read_text(encoding="utf-8")) or ["", ""])[1]
            entries.append(f'<li><a href="{name}">{file}</a> {html.escape(first)}</li>')
            self.search.append((file, name, first))
            module = file.removesuffix(".py").replace("/", ".")
            if "/lab/" not in file and "/gradcheck/" not in file:
                modules.append((module, source.reference(path, module, name)))
        self.write("code.html", "The code", "<h1>The code</h1><p>Explanation and derivation on the left, the code that runs on the right.</p>"
                   f"<ul>{''.join(entries)}</ul>", searched=False)
        api = source.reference(ROOT / "scratchac/api.py", "scratchac", self.page_of("scratchac/api.py"))
        body = f"<h1>Reference</h1><h2 id=\"scratchac\">scratchac</h2>{api.replace('.py#', '.py?').replace('?', '#')}" + "".join(
            f'<h2 id="{module}">{module}</h2>{entry}' for module, entry in modules)
        side = "".join(f'<a class="level2" href="#{module}">{module.removeprefix("scratchac.")}</a>' for module, _ in [("scratchac", ""), *modules])
        self.write("reference.html", "Reference", body, side=side)

    def museum(self) -> None:
        """All exhibits."""
        body = ("<h1>The museum of bugs</h1><p>Each is a change of a line of the source, trained beside the right code on the same seeds. "
                "<code>scratchac museum NAME</code> repeats it.</p>" + "".join(
                    f'<h2 id="{name}">{name}</h2>{museum.card(name)}' for name in EXHIBITS))
        side = "".join(f'<a class="level2" href="#{name}">{name}</a>' for name in EXHIBITS)
        self.write("museum.html", "The museum of bugs", body, side=side)

    def glossary(self) -> None:
        """All terms in the order of the alphabet."""
        terms = sorted(((term, one) for one in self.chapters for term in one.terms), key=lambda pair: pair[0].forms[0].lower())
        rows = "".join(f"<dt>{html.escape(term.forms[0])}</dt><dd>{html.escape(term.says)} "
                       f'<a href="{one.path.stem}.html#term-{_anchor(term.forms[0])}">chapter {one.number}</a></dd>' for term, one in terms)
        self.write("glossary.html", "Glossary", f"<h1>Glossary</h1><dl>{rows}</dl>")

    def manual(self) -> None:
        """The pages of the manual, and the list of them."""
        titles = {}
        for path in sorted((ROOT / "manual").glob("*.md")):
            file = f"manual/{path.name}"
            titles[self.pages[file]] = path.read_text(encoding="utf-8").split("\n", 1)[0].removeprefix("# ")
            self.document(file, titles[self.pages[file]])
        rows = "".join(f'<li><a href="{name}">{html.escape(title)}</a></li>' for name, title in titles.items())
        self.write("manual.html", "Manual", f"<h1>Manual</h1><ul>{rows}</ul>", searched=False)


def _anchor(term: str) -> str:
    return re.sub(r"\W+", "-", term.lower()).strip("-")


def build(out: Path, chapters: Path = COURSE, tell: Callable[[str], None] = lambda line: None) -> int:
    """Build the site into a folder; return the number of pages. Raises UserError for the first thing that is wrong."""
    out.mkdir(parents=True, exist_ok=True)
    site = Site(out, chapters, tell)
    for one in site.chapters:
        tell(f"chapter {one.number} · {one.title}")
        site.chapter(one)
    site.index()
    site.mathematics()
    site.code()
    site.museum()
    site.glossary()
    site.manual()
    for file, title in (("demos/README.md", "Gallery"), ("demos/results/README.md", "How the figures were made"), ("kernels/README.md", "Kernels"),
                        ("README.md", "About scratchac"), ("CONTRIBUTING.md", "Contributing"), ("CHANGELOG.md", "Changes")):
        site.document(file, title)
    for name in ("site.css", "site.js"):
        shutil.copyfile(HERE / name, out / name)
    entries = json.dumps([list(entry) for entry in site.search], ensure_ascii=False)
    (out / "search.js").write_text(f"const ENTRIES = {entries};\n", encoding="utf-8")
    if wrong := checks.complaints(out):
        raise UserError("\n".join(wrong))
    return len(list(out.glob("*.html")))
