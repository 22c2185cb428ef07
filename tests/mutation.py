"""The changes of mutation testing: an operator, a number, a condition, two arguments that change places, a name, a statement."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HOUSE = Path(__file__).parents[1]

OPERATORS = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult, ast.FloorDiv: ast.Mult,
             ast.Mod: ast.Add, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.And: ast.Or, ast.Or: ast.And,
             ast.Lt: ast.GtE, ast.LtE: ast.Gt, ast.Gt: ast.LtE, ast.GtE: ast.Lt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
             ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In}
SIBLINGS = [("done", "term"), ("obs", "next_obs"), ("s", "s2"), ("v", "v2"), ("actor_lr", "critic_lr"), ("mean", "sum"),
            ("min", "max"), ("minimum", "maximum"), ("argmin", "argmax"), ("zeros", "ones"), ("zeros_like", "ones_like"),
            ("floor", "ceil"), ("standard_normal", "random"), ("exp", "expm1"), ("log", "log1p"), ("mu", "log_std"),
            ("theta", "w"), ("dtheta", "dw"), ("online", "target"), ("var", "std"), ("gamma", "lam")]
# Functions whose first two arguments may change places, by the last part of their names.
COMMUTE = {"isinstance", "clip", "minimum", "maximum", "min", "max", "swapaxes", "_same_vectors", "_vectors", "array_equal", "cast",
           "suppress"}
SIBLING = {a: b for x, y in SIBLINGS for a, b in ((x, y), (y, x))}


@dataclass(frozen=True)
class Mutant:
    """One change: what stood at a place of a file, and what stands there instead."""

    file: str
    function: str
    line: int
    statement: range        # the lines of the statement that has the change
    old: str
    new: str
    text: str               # the whole file, changed
    @property
    def key(self) -> tuple[str, str, str, str]:
        """What names it in tests/mutants.toml, independent of line numbers."""
        return self.file, self.function, self.old, self.new

    def __str__(self) -> str:
        return f"{self.file}:{self.line} {self.function}\n  - {self.old}\n  + {self.new}"


def mutants(file: str) -> Iterator[Mutant]:
    """All mutants of one file, in the order of its lines."""
    whole = (HOUSE / file).read_bytes()                             # ast counts columns in bytes
    starts = [0]
    for line in whole.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    seen = set()
    for function, statement, node, new in changes(ast.parse(whole), "module", range(0)):
        begin, end = starts[node.lineno - 1] + node.col_offset, starts[node.end_lineno - 1] + node.end_col_offset
        first, last = starts[node.lineno - 1], starts[node.end_lineno]
        old, text = (b" ".join(piece.split()).decode() for piece in (
            whole[first:last], whole[first:begin] + new.encode() + whole[end:last]))
        if (begin, end, new) not in seen and old != text:
            seen.add((begin, end, new))
            yield Mutant(file, function, node.lineno, statement, old, text, (whole[:begin] + new.encode() + whole[end:]).decode())


def changes(node: ast.AST, function: str, statement: range) -> Iterator[tuple[str, range, ast.AST, str]]:
    """(function, lines of the statement, node, what takes its place) for all code below a node that computes something."""
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list") or isinstance(node, ast.Raise | ast.JoinedStr):
            continue                                                    # no types, no texts of errors
        for child in value if isinstance(value, list) else [value]:
            if not isinstance(child, ast.AST) or (isinstance(node, ast.ClassDef) and not isinstance(child, ast.FunctionDef)):
                continue                                                # in a class only methods: hyperparameters are choices
            if isinstance(child, ast.keyword) and child.arg == "strict":
                continue                                                # zip's own check
            inner, lines = function, statement
            if isinstance(child, ast.FunctionDef | ast.ClassDef):
                inner = f"{function}.{child.name}".removeprefix("module.")
            if isinstance(child, ast.stmt):
                body = getattr(child, "body", None)
                lines = range(child.lineno, body[0].lineno if body else child.end_lineno + 1)
            for new in replacements(child):
                yield inner, lines, child, new
            yield from changes(child, inner, lines)


def replacements(node: ast.AST) -> Iterator[str]:
    """The texts that take a node's place, one after the other."""
    match node:
        case ast.BinOp(left, op, right) if type(op) in OPERATORS:
            yield f"({ast.unparse(ast.BinOp(left, OPERATORS[type(op)](), right))})"
        case ast.AugAssign(target, op, value):
            if type(op) in OPERATORS:
                yield ast.unparse(ast.AugAssign(target, OPERATORS[type(op)](), value))
            yield "pass"
        case ast.BoolOp(op, values):
            yield f"({ast.unparse(ast.BoolOp(OPERATORS[type(op)](), values))})"
        case ast.Compare(left, [op], [right]):
            yield f"({ast.unparse(ast.Compare(left, [OPERATORS[type(op)]()], [right]))})"
        case ast.UnaryOp(ast.USub() | ast.Not() | ast.Invert(), operand):
            yield f"({ast.unparse(operand)})"
        case ast.Constant(bool() as value):
            yield str(not value)
        case ast.Constant(int() | float() as value):
            yield {0: "1", 1: "2"}.get(value, repr(value + 1))
        case ast.IfExp(test, body, orelse) if not isinstance(test, ast.Compare | ast.UnaryOp):
            yield f"({ast.unparse(ast.IfExp(test, orelse, body))})"
        case ast.Call(func, [first, second, *rest], keywords) if not isinstance(first, ast.Starred) and \
                not isinstance(second, ast.Starred) and ast.unparse(func).split(".")[-1] not in COMMUTE:
            yield ast.unparse(ast.Call(func, [second, first, *rest], keywords))
        case ast.Attribute(value, name, ast.Load()) if name in SIBLING:
            yield ast.unparse(ast.Attribute(value, SIBLING[name]))
        case ast.Name(name, ast.Load()) if name in SIBLING:
            yield SIBLING[name]
        case ast.Expr(ast.Call()) | ast.Assign([ast.Subscript() | ast.Attribute()]):
            yield "pass"
