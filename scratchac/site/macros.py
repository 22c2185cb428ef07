"""What a chapter takes from elsewhere: {{cell NAME}}, {{code FILE#NAME}}, {{exhibit NAME}}, values, and so on.

    {{cell NAME}}                     a cell of the chapter's script: its code and what it printed or drew; {{output NAME}}: only the latter
    {{name}}, {{name:.2f}}            a variable of the chapter's cells, in a sentence
    {{museum NAME right value :.1f}}  the median over seeds, from demos/results/museum.json; or `witness`
    {{exhibit NAME}}  {{exercise NAME}}  {{code FILE#FUNCTION}}  {{derivation ANCHOR}}  {{figure NAME | CAPTION}}  {{picture FILE | CAPTION}}
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
from scratchac.site import museum
from scratchac.site.cells import Cell
from scratchac.site.markup import Text, code_block

ROOT = Path(__file__).parents[2]
# Fences and code spans are left alone; a macro alone in a line is a block.
MACRO = re.compile(r"(^```.*?^```$|`[^`\n]+`)|\{\{([^{}]+)\}\}", re.DOTALL | re.MULTILINE)
VALUE = re.compile(r"([A-Za-z_]\w*)(?::([^}]*))?")


def lines_of(file: str, name: str) -> tuple[int, int]:
    """First and last line of a function, a class or a method `Class.method` in a Python file, with its decorators."""
    found: Any = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    for part in name.split("."):
        found = next((node for node in found.body if getattr(node, "name", None) == part), None)
        if found is None:
            raise UserError(f"{file} does not define {name}")
    return min([found.lineno, *(one.lineno for one in found.decorator_list)]), found.end_lineno


class Macros:
    """The macros of one chapter. `page_of` gives the page of a file of the repository, `derivation` MATH.md's by its anchor."""

    def __init__(self, cells: dict[str, Cell], names: dict[str, Any], course: Path, page_of: Callable[[str], str],
                 derivation: Callable[[str], tuple[str, str]]) -> None:
        self.cells = cells
        self.names = names
        self.course = course
        self.page_of = page_of
        self.derivation = derivation
        self.text = Text()

    def expand(self, text: str, where: Callable[[int], str]) -> str:
        """The text with every macro replaced. Raises UserError, with `where(position)` before it, for one that is wrong."""
        def one(found: re.Match[str]) -> str:
            if found[1] is not None:
                return found[0]
            try:
                return self.macro(found[2].strip())
            except UserError as error:
                raise UserError(f"{where(found.start())}: {{{{{found[2]}}}}}: {error}") from None
        return MACRO.sub(one, text)

    def macro(self, inside: str) -> str:
        """What stands for one macro."""
        kind, _, rest = inside.partition(" ")
        blocks = {"cell": self.cell, "output": self.output, "exhibit": museum.card, "exercise": exercise, "code": self.code,
                  "derivation": self.folded, "figure": self.figure, "picture": self.picture}
        if kind in blocks:
            return f"\n\n{self.text.hold(blocks[kind](rest.strip()))}\n\n"
        if kind == "museum":
            return museum.value(rest)
        found = VALUE.fullmatch(inside)
        if not found or found[1] not in self.names:
            raise UserError("neither a macro nor a variable of the chapter's cells")
        return format(self.names[found[1]], found[2] or "")

    def cell(self, name: str) -> str:
        """Code and output."""
        return f'<div class="cell">{code_block(self._cell(name).code)}{self.output(name)}</div>'

    def output(self, name: str) -> str:
        """What a cell printed, and its figure."""
        cell = self._cell(name)
        printed = f'<pre class="printed">{html.escape(cell.printed.rstrip())}</pre>' if cell.printed.strip() else ""
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
        place = f'<a href="{self.page_of(file)}#{name}">{file}:{first}</a>'
        return f'<div class="source"><p class="place">{place} <b>{name}</b></p>{code_block(textwrap.dedent(chr(10).join(lines)))}</div>'

    def folded(self, anchor: str) -> str:
        """A derivation of MATH.md."""
        title, page = self.derivation(anchor)
        return f'<details class="derivation"><summary>Derivation: {title}</summary>{page}</details>'

    def figure(self, rest: str) -> str:
        """A drawn figure."""
        name, _, caption = (part.strip() for part in rest.partition("|"))
        path = self.course / "figures" / f"{name}.svg"
        if not path.is_file():
            raise UserError(f"there is no figure {path.name}")
        drawn = path.read_text(encoding="utf-8")
        return _captioned(drawn[drawn.index("<svg"):], caption)

    def picture(self, rest: str) -> str:
        """A picture of the gallery."""
        file, _, caption = (part.strip() for part in rest.partition("|"))
        if not (ROOT / file).is_file():
            raise UserError(f"there is no picture {file}")
        alt = html.escape(caption or Path(file).stem, quote=True)
        return _captioned(f'<img src="{self.page_of(file)}" alt="{alt}">', caption)


def exercise(name: str) -> str:
    """A card with an exercise's question and its command."""
    if name not in EXERCISES:
        raise UserError("there is no such exercise")
    one = EXERCISES[name]
    return (f'<div class="card"><p><b>Exercise {list(EXERCISES).index(name) + 1}: {name}</b> · {one.minutes} minutes</p>'
            f"<p>{html.escape(one.line)}</p><pre>scratchac exercise start mine\nscratchac exercise check mine {name}</pre></div>")


def _captioned(drawn: str, caption: str) -> str:
    return f"<figure>{drawn}" + (f"<figcaption>{html.escape(caption)}</figcaption>" if caption else "") + "</figure>"
