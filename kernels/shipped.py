"""Whether a module's code is the code that compiled functions were compared with.

    python -m kernels           records the current code of these modules in shipped.json

A fingerprint is the hash of a file without its comments, docstrings and empty lines: these may change, any other edit changes it.
After an edit to a reference, make the overrides agree with it again (tests/test_backends.py), then record it.
"""

import ast
import hashlib
import io
import json
import sys
import tokenize
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, lru_cache
from importlib.util import find_spec
from pathlib import Path

FILE = Path(__file__).with_name("shipped.json")
_patched: Counter[str] = Counter()      # module → how many blocks run with a changed function of it
STARTS_STATEMENT = {tokenize.ENCODING, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}


@cache
def recorded() -> dict[str, str]:
    """Module → fingerprint, as in shipped.json."""
    return json.loads(FILE.read_text(encoding="utf-8"))


def fingerprint(source: str) -> str:
    """The hash of a program's text without comments, docstrings and empty lines."""
    lines, spans = source.splitlines(), []
    before = tokenize.ENCODING
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT or (token.type == tokenize.STRING and before in STARTS_STATEMENT):
            spans.append((*token.start, *token.end))
        if token.type not in (tokenize.COMMENT, tokenize.NL):
            before = token.type
    for first, start, last, end in reversed(spans):         # from the end, so that the positions of the others do not change
        lines[first - 1 : last] = [lines[first - 1][:start] + lines[last - 1][end:]]
    text = "\n".join(line.rstrip() for line in lines if line.strip())
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def is_shipped(module: str) -> bool:
    """Whether the file of an imported module is the recorded one. A module that has no file cannot have been edited."""
    if module not in recorded() or _patched[module]:
        return False
    path = _source_file(module)
    return path is None or _fingerprint_of(path, path.stat().st_mtime_ns) == recorded()[module]


def _source_file(module: str) -> Path | None:
    """The file of an imported module, or None if there is none that could be edited."""
    path = Path(getattr(sys.modules.get(module), "__file__", None) or "")
    return path if path.suffix == ".py" and path.is_file() else None


@lru_cache(maxsize=256)
def _fingerprint_of(path: Path, changed: int) -> str | None:
    """The fingerprint of a file that was last changed at that time; None for one that is not (yet completely) Python."""
    try:
        return fingerprint(path.read_text(encoding="utf-8"))
    except (tokenize.TokenError, SyntaxError, UnicodeDecodeError):
        return None


@contextmanager
def patched(module: str) -> Iterator[None]:
    """A block in which a function of a module does not do what its file says, so that compiled code must not stand for it."""
    _patched[module] += 1
    try:
        yield
    finally:
        _patched[module] -= 1


def methods(module: str) -> dict[str, list[str]]:
    """The methods that each class of a shipped module defines, by its source."""
    path = _source_file(module)
    return {} if path is None or not is_shipped(module) else _methods_of(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=256)
def _methods_of(path: Path, changed: int) -> dict[str, list[str]]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name: [x.name for x in node.body if isinstance(x, ast.FunctionDef)] for node in tree.body
            if isinstance(node, ast.ClassDef)}


def why_not(module: str) -> str:
    """Why a module is not the shipped one, in words."""
    return f"{module} has been edited" if module in recorded() else f"{module} is not a module of scratchac's"


def record(modules: list[str]) -> None:
    """Write the current fingerprints of these modules into shipped.json."""
    prints = {}
    for module in modules:
        spec = find_spec(module)
        assert spec is not None and spec.origin is not None
        prints[module] = fingerprint(Path(spec.origin).read_text(encoding="utf-8"))
    FILE.write_text(json.dumps(prints, indent=1) + "\n", encoding="utf-8")
