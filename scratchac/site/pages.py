"""The pages of the site, each written by a function: chapters, mathematics, code, museum, exercises, glossary, manual."""

import html
import re
from pathlib import Path

from scratchac import __all__ as PUBLIC
from scratchac.errors import UserError
from scratchac.lab.exercises import EXERCISES
from scratchac.lab.museum import EXHIBITS
from scratchac.lab.patch import place
from scratchac.site import cells, museum, source
from scratchac.site import labs as interactive
from scratchac.site.book import LINK_LINE, ROOT, Site
from scratchac.site.chapters import Chapter, Term
from scratchac.site.macros import Macros, captioned, drawn
from scratchac.site.markup import in_sentences

SAC = 11                                        # the chapter that the way to soft actor-critic ends with
MATHEMATICS = ("nn", "conv", "distributions", "losses", "returns", "optim", "schedules", "policies", "normalise", "exploration")


def chapter(site: Site, one: Chapter) -> None:
    """A chapter's page: its cells run, and what it takes from elsewhere is put in. Raises UserError for anything wrong in it."""
    file = f"scratchac/course/{one.path.name}"
    done, names = cells.run(one.cells) if one.cells.exists() else ({}, {})
    macros = Macros(done, names, site.course, site.page_of, site.derivation)
    text = macros.expand(one.text, lambda position: f"{file}:{one.line + one.text[:position].count(chr(10))}")
    for kind, given in (("exhibit", one.exhibits), ("exercise", one.exercises)):
        shown = {name for macro, name in macros.used if macro == kind}
        if shown != set(given):
            raise UserError(f"{file}: its header and its text differ in {kind}s: {', '.join(sorted(shown ^ set(given)))}")
    body, side = site.markdown(file, text, macros.text, one.path)
    outcomes = "".join(f"<li>{html.escape(x)}</li>" for x in one.outcomes)
    tasks = "".join(f"<li><code>{html.escape(x)}</code></li>" for x in one.tasks)
    files = ", ".join(f'<a href="{site.page_of(x)}">{x}</a>' for x in one.files)
    terms = "".join(f'<dt id="{x.anchor}">{html.escape(x.forms[0])}</dt><dd>{html.escape(x.says)}</dd>' for x in one.terms)
    title = f"{one.number} · {one.title}"
    head = (f'<h1>{html.escape(title)}</h1><div class="outcomes"><p>{one.minutes} minutes. Afterwards you can</p>'
            f"<ul>{outcomes}</ul></div>")
    foot = ('<section class="foot">' + (f'<h2 id="to-do">To do</h2><ul>{tasks}</ul>' if tasks else "")
            + (f'<h2 id="to-read">To read</h2><p>{files}</p>' if files else "")
            + (f'<h2 id="terms">Terms of this chapter</h2><dl class="terms">{terms}</dl>' if terms else "")
            + neighbours([(f"{x.path.stem}.html", f"{x.number} · {x.title}") for x in site.chapters], f"{one.path.stem}.html")
            + "</section>")
    earlier = [term for x in site.chapters if x.number < one.number for term in x.terms]
    further = "".join(f'<a class="level2" href="#{anchor}">{shown}</a>' for anchor, shown, there in (
        ("to-do", "To do", tasks), ("to-read", "To read", files), ("terms", "Terms of this chapter", terms)) if there)
    site.write(f"{one.path.stem}.html", title, explained(body, earlier, list(one.terms)) + foot, side=side + further, head=head,
               current="index.html")


def explained(body: str, earlier: list[Term], own: list[Term]) -> str:
    """The first mention of each earlier term in a chapter's sentences becomes a link to the glossary.

    own    the chapter's own terms, within which no earlier one is mentioned
    """
    forms = {form.lower(): term for term in [*earlier, *own] for form in term.forms}
    if not forms:
        return body
    met: set[str] = set()
    names = "|".join(re.escape(html.escape(form)) for form in sorted(forms, key=len, reverse=True))
    pattern = re.compile(rf"(?<![\w-])({names})(?![\w-])", re.IGNORECASE)

    def one(found: re.Match[str]) -> str:
        term = forms[html.unescape(found[1]).lower()]
        if term in own or term.anchor in met:
            return found[0]
        met.add(term.anchor)
        return f'<a class="term" href="glossary.html#{term.anchor}" title="{html.escape(term.says)}">{found[1]}</a>'
    return in_sentences(body, lambda text: pattern.sub(one, text))


def neighbours(pages: list[tuple[str, str]], name: str) -> str:
    """Links to the pages before and after, of (address, title)."""
    i = [address for address, _ in pages].index(name)
    before, after = pages[max(i - 1, 0) : i], pages[i + 1 : i + 2]
    return '<nav class="neighbours" aria-label="Before and after">' + "".join(
        f'<a href="{address}" rel="{rel}"><small>{shown}</small>{html.escape(title)}</a>'
        for rel, shown, there in (("prev", "← before", before), ("next", "next →", after)) for address, title in there) + "</nav>"


def index(site: Site) -> None:
    """The path through the course, and the interactive pages."""
    hours = sum(one.minutes for one in site.chapters) / 60
    first = sum(one.minutes for one in site.chapters if one.number <= SAC) / 60
    rows = "".join(f'<li value="{one.number}"><a href="{one.path.stem}.html">{html.escape(one.title)}</a> '
                   f"<small>{one.minutes} min</small><p>You can then {html.escape('; '.join(one.outcomes))}.</p></li>"
                   for one in site.chapters)
    pages = "".join(f'<li><a href="{name}">{html.escape(title)}</a></li>' for name, title in labs(site))
    figure = site.course / "figures" / "map.svg"
    picture = captioned(drawn(figure, "The chapters and what they build on"), "") if figure.exists() else ""
    body = ("<h1>Actor-critic reinforcement learning, from scratch</h1>"
            "<p>You need Python and linear algebra, and no reinforcement learning. The chapters lead from “what is a return” to "
            f"soft actor-critic in about {first:.0f} hours, and all of them take {hours:.0f}. Every number that is not worked by "
            "hand was computed when these pages were built, or comes from a committed file. The code on them is the code that "
            "runs.</p>"
            f'{picture}<h2 id="chapters">Chapters</h2><ol class="path">{rows}</ol>'
            f'<h2 id="labs">Interactive pages</h2><ul>{pages}</ul>'
            '<h2 id="more">More</h2><p><a href="exercises.html">Exercises</a> · <a href="bibliography.html">Bibliography</a> · '
            '<a href="readme.html">About scratchac</a> · <a href="results.html">How the figures were made</a> · '
            '<a href="kernels.html">Kernels</a> · <a href="contributing.html">Contributing</a> · '
            '<a href="changes.html">Changes</a></p>')
    site.write("index.html", "The course", body, kind="alone")


def labs(site: Site) -> list[tuple[str, str]]:
    """Write the interactive pages into the folder labs; their addresses and titles."""
    folder = site.out / "labs"
    folder.mkdir()
    for name, text in interactive.pages().items():
        (folder / name).write_text(text, encoding="utf-8")
    titles = [(path, re.search(r"<title>(.*?)</title>", path.read_text(encoding="utf-8"), re.DOTALL))
              for path in sorted(folder.glob("*.html"))]
    return [(f"labs/{path.name}", html.unescape(found[1]) if found else path.stem) for path, found in titles]


def mathematics(site: Site) -> None:
    """MATH.md, where the lines below its derivations become links, and its list of works as a page that says who cites them."""
    def linked(found: re.Match[str]) -> str:
        entries = re.findall(r"`([\w ]+): ([^`]+)`", found[0])
        return " · ".join(f"{kind}: {place_of(site, kind, target)}" for kind, target in entries)
    body, side = site.markdown("scratchac/MATH.md", LINK_LINE.sub(linked, site.math))
    site.write("math.html", "The mathematics", body, side=side)


def place_of(site: Site, kind: str, target: str) -> str:
    """One entry of such a line as Markdown: what it names, with a link to where that is."""
    address, shown = "", target
    if kind == "code":
        file, _, shown = target.partition("#")
        address = f"../{file}#{shown}"
    elif check := re.fullmatch(r'gradcheck "(.+)"', target):
        address = _line(check[1], sorted((ROOT / "scratchac/gradcheck").glob("*.py")))
    elif kind == "checked by":
        file, _, name = target.partition("::")
        address, shown = f"../{file}#{name}", name
    elif kind == "break" and not target.startswith("none"):
        address = _line(target, [ROOT / "scratchac/lab/breaks.py"])
    elif kind == "exercise" and target in EXERCISES:
        return f'<a href="exercises.html#{target}">{target}</a>'
    return f"[`{shown}`]({address})" if address else target


def _line(name: str, files: list[Path]) -> str:
    """The address of the line that has a name in quotation marks; empty if none has."""
    for path in files:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            if f'"{name}"' in line:
                return f"../{path.relative_to(ROOT).as_posix()}#L{number}"
    return ""


def bibliography(site: Site) -> None:
    """The works of MATH.md's list, each with the pages that cite it."""
    rows = ""
    for work, entry in site.works.items():
        text, _ = site.markdown("scratchac/MATH.md", entry)
        where = ", ".join(f'<a href="{name}">{html.escape(title)}</a>' for name, title in site.cited_in.get(work, {}).items())
        rows += f'<li id="{work}">{text}{f"<p><small>cited in: {where}</small></p>" if where else ""}</li>'
    site.write("bibliography.html", "Bibliography", f'<h1>Bibliography</h1><ul class="works">{rows}</ul>')


def code(site: Site) -> None:
    """Pages of source, the list of them in the reading order, and the reference."""
    files = [(file, name) for file, name in site.pages.items() if name.startswith("code-")]
    entries, order = [], [(name, file) for file, name in files]
    for file, name in files:
        path = ROOT / file
        body, names = source.page(path, site.derivations(file))
        jump = " ".join(f'<a href="#{x}">{x}</a>' for x in names if "." not in x)
        site.write(name, file, (f'<p class="jump">{jump}</p>' if jump else "") + body + neighbours(order, name), kind="wide",
                   head=f"<h1>{file}</h1>", searched=False, current="code.html")
        first = (re.match(r'"""(.*?)(\n|""")', path.read_text(encoding="utf-8")) or ["", ""])[1]
        entries.append(f'<li><a href="{name}">{file}</a><p>{html.escape(first)}</p></li>')
        site.search.append((file, name, first))
        site.search += [(f"{file}: {x}", f"{name}#{x}", "") for x in names]
    site.write("code.html", "The code", "<h1>The code</h1><p>Explanation and derivation on the left, the code that runs on the "
               "right. The files come in the order in which the manual reads them.</p>"
               f'<ul class="files">{"".join(entries)}</ul>', searched=False)


def reference(site: Site) -> None:
    """Signatures and docstrings of what a user imports, of the mathematics, and of the algorithms."""
    files = [f"scratchac/{name}.py" for name in MATHEMATICS]
    files += [path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "scratchac/algorithms").glob("*.py"))
              if path.name != "__init__.py"]
    api = "scratchac/api.py"
    modules = {"scratchac": source.reference(ROOT / api, "scratchac", site.page_of(api), tuple(PUBLIC))}
    for file in files:
        module = file.removesuffix(".py").replace("/", ".")
        modules[module] = source.reference(ROOT / file, module, site.page_of(file))
    body = "<h1>Reference</h1>" + "".join(f'<h2 id="{module}">{module}</h2>{entry}' for module, entry in modules.items())
    side = "".join(f'<a class="level2" href="#{module}">{module.removeprefix("scratchac.")}</a>' for module in modules)
    site.write("reference.html", "Reference", body, side=side)


def museum_page(site: Site) -> None:
    """All exhibits."""
    body = ("<h1>The museum of bugs</h1><p>Each exhibit is a change of a line of the source, trained beside the right code on the "
            "same seeds. <code>scratchac museum NAME</code> repeats it.</p>"
            + "".join(f'<h2 id="{name}">{name}</h2>{museum.card(name)}' for name in EXHIBITS)
            + f'<h2 id="matrix">What notices a bug</h2>{museum.noticed()}')
    side = "".join(f'<a class="level2" href="#{name}">{name}</a>' for name in (*EXHIBITS, "matrix"))
    site.write("museum.html", "The museum of bugs", body, side=side)


def exercises(site: Site) -> None:
    """All exercises: question, equations and commands."""
    anchors = {re.sub("</?p>", "", site.markdown("scratchac/MATH.md", title)[0]).strip(): anchor
               for anchor, (title, _) in site.sections.items()}
    parts = []
    for number, one in enumerate(EXERCISES.values(), start=1):
        files = dict.fromkeys(file for file in map(place, one.sources) if "/lab/" not in file)
        read = ", ".join(f'<a href="{site.page_of(file)}">{file}</a>' for file in files)
        page = anchors.get(html.escape(one.math, quote=False))
        parts.append(f'<h2 id="{one.name}">{number}. {one.name}</h2><p>{html.escape(one.question)}</p>'
                     f'<pre class="equations" tabindex="0">{html.escape(one.formula)}</pre>'
                     f"<pre>scratchac exercise start mine\nscratchac exercise check mine {one.name}</pre><p>{one.minutes} minutes"
                     + (f'. Before: <a href="math.html#{page}">{html.escape(one.math)}</a>' if page else "")
                     + (f". Afterwards: {read}" if read else "") + ".</p>")
    side = "".join(f'<a class="level2" href="#{name}">{name}</a>' for name in EXERCISES)
    site.write("exercises.html", "Exercises", "<h1>Exercises</h1><p>Functions to write yourself. The grader compares them with the "
               f"library's on random inputs, and says which known mistake it is.</p>{''.join(parts)}", side=side,
               current="index.html")


def glossary(site: Site) -> None:
    """All terms in the order of the alphabet."""
    terms = sorted(((term, one) for one in site.chapters for term in one.terms), key=lambda pair: pair[0].forms[0].lower())
    rows = "".join(f'<dt id="{term.anchor}">{html.escape(term.forms[0])}</dt><dd>{html.escape(term.says)} '
                   f'<a href="{one.path.stem}.html#{term.anchor}">Chapter {one.number}</a></dd>' for term, one in terms)
    site.write("glossary.html", "Glossary", f'<h1>Glossary</h1><dl class="terms">{rows}</dl>', searched=False)
    site.search += [(term.forms[0], f"glossary.html#{term.anchor}", term.says) for term, _ in terms]


def manual(site: Site) -> None:
    """The pages of the manual, and the list of them."""
    pages = {file: name for file, name in site.pages.items() if file.startswith("manual/")}
    titles = {file: (ROOT / file).read_text(encoding="utf-8").split("\n", 1)[0].removeprefix("# ") for file in pages}
    for file, title in titles.items():
        site.document(file, title)
    rows = "".join(f'<li><a href="{pages[file]}">{html.escape(title)}</a></li>' for file, title in titles.items())
    rows += '<li><a href="readme.html">About scratchac</a></li><li><a href="kernels.html">Kernels</a></li>'
    site.write("manual.html", "Manual", f"<h1>Manual</h1><ul>{rows}</ul>", searched=False)
