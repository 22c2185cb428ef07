"""A site under construction: addresses of files and works, texts of the repository, and how a page is written.

All pages lie in one folder, beside `site.css`, `site.js` and `search.js`. Nothing is loaded from a network.
"""

import html
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from scratchac.errors import UserError
from scratchac.lab.patch import ROOT
from scratchac.site import source
from scratchac.site.chapters import course
from scratchac.site.markup import OUTSIDE, TAGS, Text, WrongText, in_sentences, plain

HERE = Path(__file__).parent
DOCUMENTS = {"scratchac/MATH.md": "math.html", "demos/README.md": "gallery.html", "demos/results/README.md": "results.html",
             "kernels/README.md": "kernels.html", "README.md": "readme.html", "CONTRIBUTING.md": "contributing.html",
             "CHANGELOG.md": "changes.html"}
FOLDERS = ("scratchac/algorithms", "scratchac/training", "scratchac/gradcheck", "scratchac/lab")     # whose files get a page, too
SHOWN = (".py", ".js", ".toml", ".cfg", ".md", ".json", "")     # other files get one when needed
READ = re.compile(r"^\| `(scratchac/[\w/]+\.py)` \| \d+ \|", re.MULTILINE)     # a row of the reading order
SECTION = re.compile(r'^### <a id="([\w-]+)"></a>(.+?)\n(.*?)(?=^##|\Z)', re.DOTALL | re.MULTILINE)
LINK_LINE = re.compile(r"^`code: .*$", re.MULTILINE)
WORK = re.compile(r"^- (.+?) \((\d{4})\)\.(.+(?:\n  .+)*)", re.MULTILINE)
CITATION = re.compile(r"(?<!\w)((?:van |de )?[A-Z][\w'’]+(?:\s+et\s+al\.|(?:,\s+[A-Z][\w'’]+)*,?\s+&amp;\s+[A-Z][\w'’]+)?"
                      r"\s+\(?(?:19|20)\d\d(?!\d))")
NAVIGATION = (("index.html", "Course"), ("math.html", "Mathematics"), ("code.html", "Code"), ("reference.html", "Reference"),
              ("museum.html", "Museum"), ("gallery.html", "Gallery"), ("manual.html", "Manual"), ("glossary.html", "Glossary"))


class Site:
    """A site that is written into the folder `out`. Its methods raise UserError, with file and line, for what is wrong."""

    def __init__(self, out: Path, chapters: Path) -> None:
        self.out = out
        self.course = chapters
        self.chapters = course(chapters)
        self.search: list[tuple[str, str, str]] = []            # (title, address, text)
        self.math = (ROOT / "scratchac/MATH.md").read_text(encoding="utf-8")
        self.sections = {found[1]: (found[2], found[3]) for found in SECTION.finditer(self.math)}
        self.links = {anchor: re.findall(r"`([\w ]+): ([^`]+)`", "".join(LINK_LINE.findall(text)))
                      for anchor, (_, text) in self.sections.items()}
        self.works = {_work(found[1], found[2]): found[0][2:] for found in WORK.finditer(self.math.split("## References")[1])}
        self.cited_in: dict[str, dict[str, str]] = {}           # a work → pages that cite it, and their titles
        self.pages = self.page_names()

    def page_names(self) -> dict[str, str]:
        """File of the repository → its page. Pages of code are in the order of manual/reading.md, and then by name."""
        names = dict(DOCUMENTS)
        names |= {f"scratchac/course/{one.path.name}": f"{one.path.stem}.html" for one in self.chapters}
        names |= {f"manual/{path.name}": f"manual-{path.stem}.html" for path in sorted((ROOT / "manual").glob("*.md"))}
        order = [file for file in READ.findall((ROOT / "manual/reading.md").read_text(encoding="utf-8")) if (ROOT / file).is_file()]
        order += [path.relative_to(ROOT).as_posix() for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))
                  if path.name != "__init__.py"]
        return names | {file: f"code-{file.removeprefix('scratchac/')[:-3].replace('/', '-')}.html" for file in order}

    # -- addresses ---------------------------------------------------------------------------------------------------

    def page_of(self, file: str) -> str:
        """The page of a file of the repository. A text without a page gets one, and another file is copied beside the pages."""
        path = ROOT / file
        if file not in self.pages and f"{file}/README.md" in self.pages:
            file = f"{file}/README.md"
        if file not in self.pages:
            if not path.is_file():
                raise UserError(f"{file} does not exist")
            flat = file.replace("/", "-")
            if path.suffix in SHOWN:
                self.pages[file] = f"file-{flat}.html"
                self.write(self.pages[file], file, f"<h1>{file}</h1>{source.whole(path)}", kind="wide", searched=False)
            else:
                (self.out / "files").mkdir(exist_ok=True)
                shutil.copyfile(path, self.out / "files" / flat)
                self.pages[file] = f"files/{flat}"
        return self.pages[file]

    def link(self, file: str) -> Callable[[str], str]:
        """Addresses in the site for addresses in a text of the repository."""
        def address(target: str) -> str:
            if target.startswith((*OUTSIDE, "#", "mailto:")):
                return target
            path, _, anchor = target.partition("#")
            inside = ((ROOT / file).parent / path).resolve()
            if not inside.is_relative_to(ROOT):
                raise UserError(f"{target} leads out of the repository")
            return self.page_of(inside.relative_to(ROOT).as_posix()) + (f"#{anchor}" if anchor else "")
        return address

    # -- texts -------------------------------------------------------------------------------------------------------

    def markdown(self, file: str, text: str, before: Text | None = None, path: Path | None = None) -> tuple[str, str]:
        """A text of the repository as HTML, and the list of its sections.

        path    the file itself, for the line of an error, if it is not the repository's `file`
        """
        try:
            body, headings = (before or Text()).page(text, self.link(file))
        except WrongText as error:
            original = (path or ROOT / file).read_text(encoding="utf-8")
            line = original[: max(original.find(error.near), 0)].count("\n") + 1
            raise UserError(f"{file}:{line}: {error}") from None
        return body, "".join(f'<a class="level{level}" href="#{anchor}">{shown}</a>' for level, anchor, shown in headings
                             if level in (2, 3))

    def document(self, file: str, title: str) -> None:
        """A Markdown file of the repository as a page."""
        text = (ROOT / file).read_text(encoding="utf-8")
        body, side = self.markdown(file, re.sub(r"<!--.*?-->\n?", "", text, flags=re.DOTALL))
        self.write(self.page_of(file), title, body, side=side)

    def derivation(self, anchor: str, place: str = "") -> str:
        """A derivation of MATH.md, folded, without anchors of its own. `place` is the page's name, where MATH.md's is not meant."""
        if anchor not in self.sections:
            raise UserError(f"MATH.md has no derivation {anchor}; it has {', '.join(self.sections)}")
        title, text = self.sections[anchor]
        body, _ = self.markdown("scratchac/MATH.md", LINK_LINE.sub("", text).replace("](#", "](MATH.md#"))
        heading, _ = self.markdown("scratchac/MATH.md", title)
        checks = " · ".join(f"{kind}: <code>{html.escape(target)}</code>" for kind, target in self.links[anchor]
                            if kind == "checked by" or (kind in ("break", "exercise") and not target.startswith("none")))
        return (f'<details class="derivation"><summary>Derivation: {re.sub("</?p>", "", heading).strip()}</summary>{body}'
                f'<p class="links"><a href="math.html#{anchor}">in its place</a> · {checks}</p></details>')

    def derivations(self, file: str) -> Callable[[str], str]:
        """The folded derivations of the functions of a file."""
        def of(name: str) -> str:
            return "".join(self.derivation(anchor) for anchor, links in self.links.items() if ("code", f"{file}#{name}") in links)
        return of

    def cited(self, name: str, title: str, body: str) -> str:
        """Works of MATH.md's list become links to the bibliography."""
        def one(found: re.Match[str]) -> str:
            work = _work(found[1], found[1][-4:])
            if work not in self.works:
                return found[0]
            self.cited_in.setdefault(work, {})[name] = title
            return f'<a class="cite" href="bibliography.html#{work}">{found[1]}</a>'
        return in_sentences(body, lambda text: CITATION.sub(one, text))

    # -- pages -------------------------------------------------------------------------------------------------------

    def write(self, name: str, title: str, body: str, *, side: str = "", kind: str = "text", searched: bool = True,
              head: str = "", current: str = "") -> None:
        """Write a page, and enter its sections into the search box's list.

        side      links to the page's sections
        kind      text, alone (without a list of sections), or wide
        head      HTML between the title and the sections' list on a narrow screen
        current   the page in the navigation to which it belongs, if it is not there itself
        """
        kind = "alone" if kind == "text" and not side else kind
        here = current or name
        bar = "".join(f'<a href="{href}"{" aria-current=page" if href == here else ""}>{shown}</a>' for href, shown in NAVIGATION)
        contents = f'<details class="contents"><summary>On this page</summary><nav>{side}</nav></details>' if side else ""
        parts = {"title": html.escape(title), "navigation": bar, "head": head, "contents": contents, "kind": kind,
                 "side": f'<nav class="side" aria-label="On this page">{side}</nav>' if side else "",
                 "body": self.cited(name, title, body) if name != "bibliography.html" else body}
        template = (HERE / "page.html").read_text(encoding="utf-8")
        (self.out / name).write_text(re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], template), encoding="utf-8")
        if searched:
            self.index(name, title, body)

    def index(self, name: str, title: str, body: str) -> None:
        """Enter a page's sections into the search box's list."""
        for piece in re.split(r"(?=<h[123][ >])", body):
            found = re.search(r'<h[123](?: id="([^"]+)")?>(?:<a id="([\w-]+)"></a>)?(.*?)</h[123]>', piece, re.DOTALL)
            anchor = (found[1] or found[2]) if found else None
            heading = html.unescape(TAGS.sub("", found[3])) if found else title
            text = plain(piece[found.end() :] if found else piece)
            if text or heading != title:
                self.search.append((heading if heading == title else f"{title}: {heading}", name + (f"#{anchor}" if anchor else ""),
                                    text[:1_500]))

    def finish(self) -> None:
        """Write the files that all pages use."""
        for name in ("site.css", "site.js"):
            shutil.copyfile(HERE / name, self.out / name)
        entries = json.dumps([list(entry) for entry in self.search], ensure_ascii=False)
        (self.out / "search.js").write_text(f"const ENTRIES = {entries};\n", encoding="utf-8")


def _work(authors: str, year: str) -> str:
    """The anchor of a work: its first author's name and its year."""
    first = re.findall(r"[A-Z][\w'’]+", authors)[0]
    return f"{first.lower().replace(chr(39), '').replace('’', '')}-{year}"
