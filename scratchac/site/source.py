"""Pages of source: what a file says, with its derivations, on the left, and its code on the right; and what a module offers."""

import ast
import html
import re
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scratchac.site.markup import coloured

LANGUAGES = {".py": "python", ".js": "javascript", ".toml": "toml", ".json": "json", ".md": "markdown"}
DEFINED = ast.FunctionDef | ast.ClassDef


@dataclass
class Part:
    """Some lines of a file: a docstring and comments as text, and the numbers of the lines of code beside them."""

    name: str                                   # function, class or Class.method; "" for other lines
    prose: list[str] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)


def parts(path: Path) -> list[Part]:
    """A file's parts in order: what precedes its functions and classes, each function, and each method of a class.

    Docstrings and comments between statements become text; comments within a function stay in its code.
    """
    text = path.read_text(encoding="utf-8")
    lines, tree = text.splitlines(), ast.parse(text)
    made = [Part("", [ast.get_docstring(tree) or ""])]
    after = (tree.body[0].end_lineno or 0) if ast.get_docstring(tree) else 0
    for node in tree.body[1 if after else 0 :]:
        if isinstance(node, DEFINED):
            made += _defined(node, lines, after, "")
        else:
            comment = _comment(lines, after, node.lineno - 1)
            blank = sum(not line.strip() for line in lines[after : node.lineno - 1])
            if made[-1].name or comment or (blank > 1 and made[-1].lines):
                made.append(Part("", [comment]))
            made[-1].lines += range(after + 1 if made[-1].lines else node.lineno, (node.end_lineno or 0) + 1)
        after = node.end_lineno or after
    return [part for part in made if part.lines or any(part.prose)]


def _defined(node: Any, lines: list[str], after: Any, outer: str) -> Iterator[Part]:
    """A function, or a class and its methods."""
    name, start = outer + node.name, start_of(node)
    methods = [one for one in node.body if isinstance(one, DEFINED)] if isinstance(node, ast.ClassDef) else []
    end = start_of(methods[0]) - 1 if methods else node.end_lineno
    doc = range(node.body[0].lineno, node.body[0].end_lineno + 1) if ast.get_docstring(node) else range(0)
    kept = [number for number in range(start, end + 1) if number not in doc]
    if doc and doc.stop in kept and not lines[doc.stop - 1].strip():
        kept.remove(doc.stop)
    yield Part(name, [_comment(lines, after, start - 1), ast.get_docstring(node) or ""], kept)
    for method, last in zip(methods, [end, *(one.end_lineno for one in methods)], strict=False):
        yield from _defined(method, lines, last, f"{name}.")


def start_of(node: Any) -> int:
    """The first line of a function or class, with its decorators."""
    return min([node.lineno, *(one.lineno for one in node.decorator_list)])


def _comment(lines: list[str], after: int, end: int) -> str:
    """The comment lines that stand between two pieces of code, as text."""
    return "\n".join(line.strip()[1:].removeprefix(" ") for line in lines[after:end] if line.strip().startswith("#"))


def code(lines: list[str], numbers: list[int]) -> str:
    """Some lines of a file as a block of code, each with the anchor L and its number."""
    while numbers and not lines[numbers[0] - 1].strip():
        numbers = numbers[1:]
    while numbers and not lines[numbers[-1] - 1].strip():
        numbers = numbers[:-1]
    kept = [number for number, before in zip(numbers, [0, *numbers], strict=False)
            if lines[number - 1].strip() or lines[before - 1].strip()]          # one empty line for several
    if not kept:
        return ""
    shown = coloured(textwrap.dedent("\n".join(lines[number - 1] for number in kept))).split("\n")
    rows = "".join(f'<span class="line" id="L{number}">{line}\n</span>' for number, line in zip(kept, shown, strict=True))
    return f'<pre class="code" tabindex="0"><code>{rows}</code></pre>'


def prose(text: str) -> str:
    """A docstring as HTML: paragraphs; indented lines and tables of names keep their lines."""
    made = []
    for block in re.split(r"\n\s*\n", text.strip("\n")):
        lines = block.splitlines()
        if title := re.fullmatch(r"-- (.+?) -+", block.strip()):            # a ruler between the sections of a file
            made.append(f'<p class="ruler">{html.escape(title[1])}</p>')
        elif names := _names(textwrap.dedent(block).splitlines()):
            made.append(f'<dl class="names">{names}</dl>')
        elif any(line.startswith("  ") or re.search(r"\S {3,}\S", line) for line in lines):
            made.append(f'<pre class="equations" tabindex="0">{html.escape(textwrap.dedent(block), quote=False)}</pre>')
        elif block.strip():
            made.append(f"<p>{_spans(' '.join(lines))}</p>")
    return "".join(made)


def _names(lines: list[str]) -> str:
    """Rows of short names and what they mean, where a text may go on in further lines; empty if the lines are no such table."""
    rows: list[list[str]] = []
    for line in lines:
        found = re.fullmatch(r"(\S.{0,23}?) {3,}(\S.*)|(\S{2,24})  (\S.*)", line)
        if found:
            rows.append([found[1] or found[3], found[2] or found[4]])
        elif rows and re.match(r" {6}", line):
            rows[-1][1] += " " + line.strip()
        else:
            return ""
    if any(re.search(r" {3,}", text) for _, text in rows):          # three columns
        return ""
    return "".join(f"<dt>{html.escape(name)}</dt><dd>{_spans(text)}</dd>" for name, text in rows)


def _spans(text: str) -> str:
    text = re.sub(r"(?<![\w*])\*(\w[^*`]*\w|\w)\*(?![\w*])", r"<em>\1</em>", html.escape(text, quote=False))
    return re.sub(r"`+([^`]+)`+", r"<code>\1</code>", text)


def page(path: Path, derivations: Callable[[str], str]) -> tuple[str, list[str]]:
    """The two columns of a file, and the names that it defines. `derivations` gives the folded derivations of a name."""
    rows: list[str] = []
    seen: list[str] = []
    lines = path.read_text(encoding="utf-8").splitlines()
    first, *others = parts(path)
    if any(first.prose) and not first.name:
        rows.append(f'<div class="whole">{"".join(map(prose, first.prose))}</div>')
        if first.lines:
            rows.append(f'<details class="whole"><summary>Imports and settings</summary>{code(lines, first.lines)}</details>')
    else:
        others = [first, *others]
    for part in others:
        anchor = f' id="{part.name}"' if part.name and part.name not in seen else ""
        if anchor:
            seen.append(part.name)
        text = "".join(prose(one) for one in part.prose if one) + (derivations(part.name) if anchor else "")
        title = f"<h2>{html.escape(part.name)}</h2>" if part.name else ""
        rows.append(f'<div class="prose"{anchor}>{title}{text}</div><div class="beside">{code(lines, part.lines)}</div>')
    return f'<div class="columns">{"".join(rows)}</div>', seen


def whole(path: Path) -> str:
    """A file as one block of code; the names that a Python file defines are anchors."""
    text = path.read_text(encoding="utf-8")
    named = {node.name: node.lineno for node in ast.parse(text).body if isinstance(node, DEFINED)} if path.suffix == ".py" else {}
    starts = {line: name for name, line in named.items()}           # the last one, after other signatures of a function
    shown = coloured(text.rstrip("\n"), LANGUAGES.get(path.suffix, "text")).split("\n")
    anchors = {number: f'<a id="{name}"></a>' for number, name in starts.items()}
    rows = "".join(f'{anchors.get(number, "")}<span class="line" id="L{number}">{line}\n</span>'
                   for number, line in enumerate(shown, start=1))
    return f'<pre class="code" tabindex="0"><code>{rows}</code></pre>'


def reference(path: Path, module: str, href: str, only: tuple[str, ...] = ()) -> str:
    """What a module offers: signature and docstring of its public functions, classes and methods, and the fields of a dataclass."""
    tree, made, seen = ast.parse(path.read_text(encoding="utf-8")), [], set()
    for outer in tree.body:
        if not isinstance(outer, DEFINED) or outer.name.startswith("_") or (only and outer.name not in only):
            continue
        methods = [one for one in outer.body if isinstance(one, ast.FunctionDef)] if isinstance(outer, ast.ClassDef) else []
        for node in [outer, *(one for one in methods if not one.name.startswith("_") and ast.get_docstring(one))]:
            full = node.name if node is outer else f"{outer.name}.{node.name}"
            if full in seen:                                        # another signature of the same function
                continue
            seen.add(full)
            made.append(f'<div class="entry" id="{module}.{full}"><p class="signature"><a href="{href}#{full}">{full}</a>'
                        f"{html.escape(_signature(node))}</p>{prose(ast.get_docstring(node) or '')}{_fields(node)}</div>")
    return "".join(made)


def _signature(node: Any) -> str:
    if isinstance(node, ast.ClassDef):
        bases = ", ".join(map(ast.unparse, node.bases))
        return f"({bases})" if bases else ""
    return f"({ast.unparse(node.args)})" + (f" → {ast.unparse(node.returns)}" if node.returns else "")


def _fields(node: Any) -> str:
    """The fields of a dataclass whose meaning a string below them says."""
    if not isinstance(node, ast.ClassDef):
        return ""
    rows = [f"<dt><code>{html.escape(ast.unparse(one))}</code></dt><dd>{_spans(said.value.value)}</dd>"
            for one, said in zip(node.body, node.body[1:], strict=False)
            if isinstance(one, ast.AnnAssign) and isinstance(said, ast.Expr) and isinstance(said.value, ast.Constant)
            and isinstance(said.value.value, str)]
    return f'<dl class="fields">{"".join(rows)}</dl>' if rows else ""
