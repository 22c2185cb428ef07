"""A Python file as a page in two columns: what it explains on the left, the code that belongs to it on the right."""

import ast
import html
import re
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scratchac.site.markup import coloured


@dataclass
class Part:
    """Some lines of a file: a docstring and comments as text, and the code."""

    name: str                                   # function, class or Class.method; "" for other lines
    prose: list[str] = field(default_factory=list)
    code: str = ""
    line: int = 1                               # first line of the code


def parts(path: Path) -> list[Part]:
    """A file's parts in order: what precedes its functions and classes, each function, and each method of a class."""
    text = path.read_text(encoding="utf-8")
    lines, tree = text.splitlines(), ast.parse(text)
    made = [Part("", [ast.get_docstring(tree) or ""])]
    after = _end_of_docstring(tree)
    for node in tree.body[1 if after else 0 :]:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            made += _defined(node, lines, after, "")
        elif made[-1].name or _blank_lines(lines, after, node.lineno) > 1:
            made.append(_plain(lines, after, node))
        else:
            one = _plain(lines, after, node)
            made[-1].prose += one.prose
            made[-1].line = made[-1].line if made[-1].code else one.line
            made[-1].code += ("\n" if made[-1].code else "") + one.code
        after = node.end_lineno or after
    return [part for part in made if part.code or any(part.prose)]


def _defined(node: Any, lines: list[str], after: int, outer: str) -> list[Part]:
    """A function, or a class and its methods."""
    name, start = outer + node.name, min([node.lineno, *(one.lineno for one in node.decorator_list)])
    comment, _ = _comment(lines, after, start - 1)
    methods = [one for one in node.body if isinstance(one, ast.FunctionDef)] if isinstance(node, ast.ClassDef) else []
    first = methods[0] if methods else None
    end = min([first.lineno, *(one.lineno for one in first.decorator_list)]) - 1 if first else node.end_lineno
    kept = [line for number, line in enumerate(lines[start - 1 : end], start=start)
            if not (ast.get_docstring(node) and node.body[0].lineno <= number <= node.body[0].end_lineno)]
    code = textwrap.dedent("\n".join(kept)).strip("\n")
    made = [Part(name, [comment, ast.get_docstring(node) or ""], re.sub(r"\n{3,}", "\n\n", code), start)]
    for method, last in zip(methods, [end, *(one.end_lineno for one in methods)], strict=False):
        made += _defined(method, lines, last, f"{name}.")
    return made


def _plain(lines: list[str], after: int, node: Any) -> Part:
    comment, start = _comment(lines, after, node.lineno - 1)
    return Part("", [comment], "\n".join(lines[node.lineno - 1 : node.end_lineno]).strip("\n"), node.lineno)


def _comment(lines: list[str], after: int, end: int) -> tuple[str, int]:
    """The comment lines that stand between two pieces of code, as text."""
    found = [line.strip()[1:].removeprefix(" ") for line in lines[after:end] if line.strip().startswith("#")]
    return "\n".join(found), end


def _blank_lines(lines: list[str], after: int, line: int) -> int:
    return sum(not one.strip() for one in lines[after : line - 1])


def _end_of_docstring(tree: ast.Module) -> int:
    return (tree.body[0].end_lineno or 0) if ast.get_docstring(tree) and tree.body else 0


def prose(text: str) -> str:
    """A docstring as HTML: paragraphs; indented lines and tables of names keep their lines."""
    made = []
    for block in re.split(r"\n\s*\n", text.strip()):
        lines = block.splitlines()
        if any(line.startswith(" ") or re.search(r"\S {3,}\S", line) for line in lines):
            made.append(f'<pre class="equations">{html.escape(block)}</pre>')
        else:
            made.append(f"<p>{_spans(' '.join(lines))}</p>")
    return "".join(made)


def _spans(text: str) -> str:
    return re.sub(r"`+([^`]+)`+", r"<code>\1</code>", html.escape(text, quote=False))


def page(path: Path, derivations: Callable[[str], list[str]]) -> str:
    """The two columns of a file. `derivations` gives the folded derivations of a name."""
    rows, seen = [], set()
    for part in parts(path):
        anchor = f' id="{part.name}"' if part.name and part.name not in seen else ""
        seen.add(part.name)
        text = "".join(prose(one) for one in part.prose if one) + "".join(derivations(part.name) if part.name else [])
        title = f"<h2>{html.escape(part.name)}</h2>" if part.name else ""
        code = f'<pre class="code" style="counter-reset: line {part.line - 1}"><code>{coloured(part.code)}</code></pre>' if part.code else ""
        rows.append(f'<div class="prose"{anchor}>{title}{text}</div><div class="beside">{code}</div>')
    return f'<div class="columns">{"".join(rows)}</div>'


def reference(path: Path, module: str, href: str) -> str:
    """What a module offers: the signature and docstring of its public functions, classes and methods."""
    tree, made = ast.parse(path.read_text(encoding="utf-8")), []
    for node in tree.body:
        for one, name in [(node, ""), *((inner, f"{node.name}.") for inner in getattr(node, "body", ()) if isinstance(node, ast.ClassDef))]:
            public = isinstance(one, ast.FunctionDef | ast.ClassDef) and (not one.name.startswith("_") or one.name == "__init__")
            if not public or name.startswith("_") or (one.name == "__init__" and not ast.get_docstring(one)):
                continue
            full = name + one.name
            args = f"({ast.unparse(one.args)})" if isinstance(one, ast.FunctionDef) else ""
            gives = f" → {ast.unparse(one.returns)}" if isinstance(one, ast.FunctionDef) and one.returns else ""
            made.append(f'<div class="entry" id="{module}.{full}"><p class="signature"><a href="{href}#{full}"><b>{full}</b></a>'
                        f"{html.escape(args + gives)}</p>{prose(ast.get_docstring(one) or '')}</div>")
    return "".join(made)
