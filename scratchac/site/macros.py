"""What a chapter takes from elsewhere: {{cell NAME}}, {{code FILE#NAME}}, {{exhibit NAME}}, values, and so on.

    {{cell NAME}}                     a cell of the chapter's script: its code and what it printed or drew
    {{output NAME}}                   only the latter
    {{name}}, {{name:.2f}}            a variable of the chapter's cells, in a sentence
    {{museum NAME right value :.1f}}  in a sentence: the median over seeds, from demos/results/museum.json; or `witness`
    {{exhibit NAME}}  {{exercise NAME}}  {{code FILE#FUNCTION}}  {{derivation ANCHOR}}
    {{figure NAME | CAPTION}}  {{picture FILE | CAPTION}}

All but those that stand in a sentence are paragraphs of their own.
"""

import ast
import html
import re
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scratchac.errors import UserError
from scratchac.lab.exercises import EXERCISES
from scratchac.lab.patch import ROOT
from scratchac.site import museum, source
from scratchac.site.cells import Cell
from scratchac.site.markup import Text, code_block

# Fences and code spans are left alone.
MACRO = re.compile(r"(^```.*?^```$|`[^`\n]+`)|\{\{(.*?)\}\}", re.DOTALL | re.MULTILINE)
VALUE = re.compile(r"([A-Za-z_]\w*)(?::([^}]*))?")


def lines_of(file: str, name: str) -> tuple[int, int]:
    """First and last line of a function, a class or a method `Class.method` in a Python file, with its decorators."""
    found: Any = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    for part in name.split("."):
        found = next((node for node in getattr(found, "body", ()) if getattr(node, "name", None) == part), None)
        if found is None:
            raise UserError(f"{file} does not define {name}")
    return source.start_of(found), found.end_lineno


class Macros:
    """The macros of one chapter. `page_of` gives the page of a file of the repository, `derivation` MATH.md's by its anchor."""

    def __init__(self, cells: dict[str, Cell], names: dict[str, Any], course: Path, page_of: Callable[[str], str],
                 derivation: Callable[[str], str]) -> None:
        self.cells = cells
        self.names = names
        self.course = course
        self.page_of = page_of
        self.text = Text()
        self.used: set[tuple[str, str]] = set()                     # (macro, its argument)
        self.blocks: dict[str, Callable[[str], str]] = {
            "cell": self.cell, "output": self.output, "exhibit": museum.card, "exercise": self.exercise, "code": self.code,
            "derivation": derivation, "figure": self.figure, "picture": self.picture}

    def expand(self, text: str, where: Callable[[int], str]) -> str:
        """The text with every macro replaced. Raises UserError, with `where(position)` before it, for one that is wrong."""
        def one(found: re.Match[str]) -> str:
            if found[1] is not None:
                return found[0]
            try:
                return self.macro(found[2].strip(), _alone(found))
            except UserError as error:
                raise UserError(f"{where(found.start())}: {{{{{found[2]}}}}}: {error}") from None
        return MACRO.sub(one, text)

    def macro(self, inside: str, alone: bool) -> str:
        """What stands for one macro."""
        kind, _, rest = inside.partition(" ")
        if kind in self.blocks:
            if not alone:
                raise UserError("it must be a paragraph of its own")
            self.used.add((kind, rest.strip()))
            return self.text.hold(self.blocks[kind](rest.strip()))
        if kind == "museum":
            return museum.value(rest)
        found = VALUE.fullmatch(inside)
        if not found or found[1] not in self.names:
            raise UserError("neither a macro nor a variable of the chapter's cells")
        try:
            shown = format(self.names[found[1]], found[2] or "")
        except (TypeError, ValueError) as error:
            raise UserError(str(error)) from None
        return html.escape(re.sub(r"^-(?=[\d.])", "−", shown))       # a minus sign, not a hyphen

    def cell(self, name: str) -> str:
        """Code and output."""
        return f'<div class="cell">{code_block(self._cell(name).code)}{self.output(name)}</div>'

    def output(self, name: str) -> str:
        """What a cell printed, and its figure."""
        cell = self._cell(name)
        printed = f'<pre class="printed" tabindex="0">{html.escape(cell.printed.rstrip())}</pre>' if cell.printed.strip() else ""
        return printed + (f"<figure>{cell.figure}</figure>" if cell.figure else "")

    def _cell(self, name: str) -> Cell:
        if name not in self.cells:
            raise UserError(f"the chapter's script has no such cell; it has {', '.join(self.cells) or 'none'}")
        return self.cells[name]

    def code(self, target: str) -> str:
        """The source of a function, with a link to its file's page."""
        file, _, name = target.partition("#")
        if not (ROOT / file).is_file():
            raise UserError(f"there is no file {file}")
        first, last = lines_of(file, name)
        lines = (ROOT / file).read_text(encoding="utf-8").splitlines()[first - 1 : last]
        place = f'<a href="{self.page_of(file)}#{name}">{file}, line {first}</a>'
        return f'<div class="source"><p class="place">{place}</p>{code_block(textwrap.dedent(chr(10).join(lines)))}</div>'

    def figure(self, rest: str) -> str:
        """A drawn figure. Its ids get its name before them, since a page may have several figures."""
        name, _, caption = (part.strip() for part in rest.partition("|"))
        return captioned(drawn(self.course / "figures" / f"{name}.svg", caption), caption)

    def picture(self, rest: str) -> str:
        """A picture of the gallery."""
        file, _, caption = (part.strip() for part in rest.partition("|"))
        if not (ROOT / file).is_file():
            raise UserError(f"there is no picture {file}")
        alt = html.escape(caption or Path(file).stem, quote=True)
        return captioned(f'<a href="{self.page_of(file)}"><img src="{self.page_of(file)}" alt="{alt}" loading="lazy"></a>', caption)

    def exercise(self, name: str) -> str:
        """A card with an exercise's question and its command."""
        if name not in EXERCISES:
            raise UserError(f"there is no such exercise; there are {', '.join(EXERCISES)}")
        one = EXERCISES[name]
        return (f'<div class="card"><p class="kind">Exercise {list(EXERCISES).index(name) + 1} · {one.minutes} minutes</p>'
                f'<p><a href="exercises.html#{name}"><b>{name}</b></a>: {html.escape(one.line)}</p>'
                f"<pre>scratchac exercise start mine\nscratchac exercise check mine {name}</pre></div>")


def drawn(path: Path, title: str) -> str:
    """An SVG file as an element of a page. Raises UserError if there is none."""
    if not path.is_file():
        raise UserError(f"there is no figure {path.name}")
    text = path.read_text(encoding="utf-8")
    text = text[text.index("<svg"):]
    for name in re.findall(r'\bid="([^"]+)"', text):
        text = re.sub(rf'(\bid="|url\(#|href="#|aria-labelledby="){re.escape(name)}(?=["\s)])', rf"\g<1>{path.stem}-{name}", text)
    label = "" if "aria-label" in text[: text.index(">")] else f' role="img" aria-label="{html.escape(title or path.stem)}"'
    return text.replace("<svg", f"<svg{label}", 1)


def captioned(picture: str, caption: str) -> str:
    """A figure with its caption, if there is one."""
    return f"<figure>{picture}" + (f"<figcaption>{html.escape(caption)}</figcaption>" if caption else "") + "</figure>"


def _alone(found: re.Match[str]) -> bool:
    """Whether a macro is a paragraph of its own."""
    before, after = found.string[: found.start()], found.string[found.end() :]
    return bool(re.search(r"(\A\s*|\n[ \t]*\n)\Z", before) and re.match(r"[ \t]*(\Z|\n[ \t]*(\n|\Z))", after))
