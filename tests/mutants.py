"""Mutation testing: change one place of the mathematics or of a kernel at a time, and see whether a quick test fails.

    python tests/mutants.py                                 every file of FILES; the figures go to demos/results/mutants.json
    python tests/mutants.py scratchac/losses.py --show      one file; its survivors are printed, nothing is written

A mutant differs from the source in one place: an operator, a number, a condition, two arguments that change places, a name that
takes the place of its sibling (`done` for `term`), or a statement that is left out. It runs against the tests that reach its line,
the most specific first. It is killed if one of them fails or does not end, and equivalent if tests/mutants.toml says why no test
can tell it from the source. Everything else has survived, and is an error.

Each mutant runs in a forked process that imports the changed text in place of the module, so no file is touched. Numba's kernels
run without compilation, as Python: the arithmetic is the same. What a test runs in a process of its own is not changed.
"""

import argparse
import ast
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import tomllib
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

HOUSE = Path(__file__).parents[1]
FIGURES = HOUSE / "demos" / "results" / "mutants.json"
EQUIVALENT = HOUSE / "tests" / "mutants.toml"

MATHEMATICS = ["scratchac/" + name for name in (
    "nn.py", "conv.py", "distributions.py", "losses.py", "returns.py", "optim.py", "schedules.py", "policies.py", "normalise.py",
    "exploration.py", "training/memory.py", "training/hindsight.py", "training/episodes.py", "training/loops.py",
    "algorithms/reinforce.py", "algorithms/reinforce_baseline.py", "algorithms/actor_critic.py", "algorithms/a2c.py",
    "algorithms/a3c.py", "algorithms/ppo.py", "algorithms/ddpg.py", "algorithms/td3.py", "algorithms/sac.py",
    "algorithms/discrete_sac.py", "algorithms/sac_pixels.py")]
KERNELS = ["kernels/registry.py", "kernels/numba_kernels.py", "kernels/numba_networks.py"]
FILES = MATHEMATICS + KERNELS
# The tests of each group: those of files, commands and faults say nothing of the mathematics. Kernels run as Python in theirs,
# where the others would take minutes.
MATHEMATICS_TESTS = [f"tests/test_{name}.py" for name in (
    "a3c", "actions", "algorithms", "breaks", "compiled", "conv", "distributions", "evaluation", "factors", "games", "gradcheck",
    "hindsight", "hyperparameters", "init", "lab", "loops", "losses", "masks", "memory", "nn", "normalise", "off_policy", "optim",
    "randomised", "returns", "seeding", "torch_oracle", "vector")]
KERNEL_TESTS = ["tests/test_kernels.py", "tests/test_backends.py", "tests/test_compiled.py"]

SECONDS = 20.0              # how long the tests of one mutant take at most, of those that reach its line
FEW = 10                    # how many of them run at first

OPERATORS = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult, ast.FloorDiv: ast.Mult,
             ast.Mod: ast.Add, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.And: ast.Or, ast.Or: ast.And,
             ast.Lt: ast.GtE, ast.LtE: ast.Gt, ast.Gt: ast.LtE, ast.GtE: ast.Lt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
             ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In}
SIBLINGS = [("done", "term"), ("obs", "next_obs"), ("s", "s2"), ("v", "v2"), ("actor_lr", "critic_lr"), ("mean", "sum"),
            ("min", "max"), ("minimum", "maximum"), ("argmin", "argmax"), ("zeros", "ones"), ("zeros_like", "ones_like"),
            ("floor", "ceil"), ("standard_normal", "random"), ("exp", "expm1"), ("log", "log1p"), ("mu", "log_std"),
            ("actor", "critic"),
            ("online", "target"), ("var", "std"), ("gamma", "lam")]
COMMUTE = {"isinstance", "np.minimum", "np.maximum", "min", "max", "_same_vectors", "np.array_equal"}     # order means nothing
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


# -- changes -------------------------------------------------------------------------------------------------------------------


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
                not isinstance(second, ast.Starred) and ast.unparse(func) not in COMMUTE:
            yield ast.unparse(ast.Call(func, [second, first, *rest], keywords))
        case ast.Attribute(value, name, ast.Load()) if name in SIBLING:
            yield ast.unparse(ast.Attribute(value, SIBLING[name]))
        case ast.Name(name, ast.Load()) if name in SIBLING:
            yield SIBLING[name]
        case ast.Expr(ast.Call()) | ast.Assign([ast.Subscript() | ast.Attribute()]):
            yield "pass"


# -- running -------------------------------------------------------------------------------------------------------------------


class Changed(importlib.abc.MetaPathFinder, importlib.machinery.SourceFileLoader):
    """Imports one module from a changed text."""

    def __init__(self, mutant: Mutant):
        module = mutant.file.removesuffix(".py").replace("/", ".")
        importlib.machinery.SourceFileLoader.__init__(self, module, str(HOUSE / mutant.file))
        self.text = mutant.text

    def find_spec(self, fullname, path, target=None):
        """Only for the changed module."""
        return importlib.util.spec_from_file_location(fullname, self.path, loader=self) if fullname == self.name else None

    def get_code(self, fullname):
        """The changed text, compiled."""
        return compile(self.text, self.path, "exec", dont_inherit=True)


def run_tests(mutant: Mutant, tests: list[str], folder: str) -> None:
    """In a forked process: import the mutant and end with the exit code of its tests, 0 if all pass."""
    sys.meta_path.insert(0, Changed(mutant))
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(1, 2)
    import pytest
    with tempfile.TemporaryDirectory(dir=folder) as own:
        code = pytest.main(["-x", "-n", "0", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning",
                            "--basetemp", own + "/tests", *tests])
        os._exit(code)


def killed(mutant: Mutant, tests: list[str], seconds: float, folder: str) -> bool:
    """Whether one of the tests fails, or they do not end in ten times their usual time."""
    process = multiprocessing.get_context("fork").Process(target=run_tests, args=(mutant, tests, folder))
    process.start()
    process.join(30 + 10 * seconds)
    if process.is_alive():
        process.kill()
        process.join()
    return process.exitcode != 0


@dataclass(frozen=True)
class Reach:
    """Which tests reach which lines."""

    lines: dict[str, dict[int, set[str]]]       # file → line → its tests
    seconds: dict[str, float]                   # test → how long it takes
    breadth: dict[str, int]                     # test → how many lines it reaches

    def choose(self, mutant: Mutant) -> list[str]:
        """The tests that reach a mutant's lines, those first that reach little else, as many as fit into SECONDS."""
        own = self.lines.get(mutant.file, {})
        reached = [own[line] for line in mutant.statement if line in own]
        found = set().union(*reached)
        if reached and not found:                                       # by an import alone, so that every test may meet it
            found = set().union(*own.values())
        chosen, spent = [], 0.0
        for test in sorted(found & self.seconds.keys(), key=lambda test: (self.seconds[test] > 2, self.breadth[test], test)):
            if spent + self.seconds[test] <= SECONDS or not chosen:
                chosen.append(test)
                spent += self.seconds[test]
        return chosen


def reach(folder: str, words: list[str]) -> Reach:
    """Run the quick tests once, and record which lines each of them reaches."""
    import coverage

    data, times = f"{folder}/coverage", f"{folder}/times.xml"
    Path(folder, "coveragerc").write_text(f"[run]\ndata_file = {data}\n")
    done = subprocess.run([sys.executable, "-m", "pytest", "-n", "0", "-m", "not slow", "-p", "no:cacheprovider",
                           f"--junitxml={times}", "--cov=scratchac", "--cov=kernels", "--cov-context=test",
                           f"--cov-config={folder}/coveragerc", "--cov-report=", *words], cwd=HOUSE)
    if done.returncode:
        raise SystemExit("mutation testing begins when the tests pass")
    seconds = {f"{case.get('classname').replace('.', '/')}.py::{case.get('name')}": float(case.get("time"))
               for case in ET.parse(times).iter("testcase")}
    kept = coverage.CoverageData(data)
    kept.read()
    lines = {os.path.relpath(path, HOUSE): {
        line: {context.removesuffix("|run") for context in contexts if context.endswith("|run")}
        for line, contexts in kept.contexts_by_lineno(path).items()} for path in kept.measured_files()}
    return Reach(lines, seconds, Counter(test for file in lines.values() for tests in file.values() for test in tests))


def save_reach(reached: Reach, path: Path) -> None:
    """Keep it as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"lines": {file: {line: sorted(tests) for line, tests in lines.items()}
                                          for file, lines in reached.lines.items()},
                                "seconds": reached.seconds, "breadth": reached.breadth}))


def load_reach(path: Path) -> Reach:
    """What was kept."""
    kept = json.loads(path.read_text())
    lines = {file: {int(line): set(tests) for line, tests in own.items()} for file, own in kept["lines"].items()}
    return Reach(lines, kept["seconds"], kept["breadth"])


# -- the command ---------------------------------------------------------------------------------------------------------------


def equivalent() -> dict[tuple[str, ...], str]:
    """What no test can tell from the source, with the reason."""
    entries = tomllib.loads(EQUIVALENT.read_text())["equivalent"]
    return {(entry["file"], entry["function"], entry["old"], entry["new"]): entry["why"] for entry in entries}


def count(file: str, reached: Reach, jobs: int, folder: str) -> tuple[Counter[str], list[Mutant]]:
    """How many mutants of a file are killed, equivalent and survived, and the last."""
    known, found = equivalent(), list(mutants(file))
    if stale := [key for key in known if key[0] == file and key not in {mutant.key for mutant in found}]:
        raise SystemExit(f"tests/mutants.toml: no such mutant: {stale[0]}")
    source = Mutant(file, "module", 1, range(10**5), "", "", (HOUSE / file).read_text())
    if killed(source, reached.choose(source), SECONDS, folder):
        raise SystemExit(f"{file}: the tests fail on the source itself")

    def outcome(mutant: Mutant) -> str:
        tests = reached.choose(mutant)
        # Few first: most mutants die there, and the files of the other tests need not be imported.
        dead = any(killed(mutant, part, sum(reached.seconds[test] for test in part), folder)
                   for part in (tests[:FEW], tests[FEW:]) if part)
        if dead and mutant.key in known:
            raise SystemExit(f"tests/mutants.toml calls this equivalent, but a test fails:\n{mutant}")
        return "killed" if dead else "equivalent" if mutant.key in known else "survived"

    with ThreadPoolExecutor(jobs) as pool:
        outcomes = list(pool.map(outcome, found))
    return Counter(outcomes), [mutant for mutant, what in zip(found, outcomes, strict=True) if what == "survived"]


def main() -> int:
    """The command; exits with 1 if a mutant has survived."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("files", nargs="*", choices=[[], *FILES], metavar="FILE", help="files to change; all by default")
    parser.add_argument("--show", action="store_true", help="only print; demos/results/mutants.json stays as it is")
    parser.add_argument("--tests", nargs="+", default=[], help="only these tests, for a first look; with --show")
    parser.add_argument("--reach", type=Path, help="folder to keep in, or to read from, which tests reach which lines; with --show")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="mutants that run at the same time")
    options = parser.parse_args()
    if (options.tests or options.reach) and not options.show:
        parser.error("--tests and --reach need --show: figures are those of all quick tests as they are")
    files = options.files or FILES
    alive = 0
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = f"{folder}/hypothesis"
        for group, words in ((MATHEMATICS, MATHEMATICS_TESTS), (KERNELS, KERNEL_TESTS)):
            chosen = [file for file in files if file in group]
            if not chosen:
                continue
            os.environ["NUMBA_DISABLE_JIT"] = str(int(group is KERNELS))
            kept = options.reach and options.reach / f"{'kernels' if group is KERNELS else 'mathematics'}.json"
            reached = load_reach(kept) if kept and kept.exists() else reach(folder, options.tests or words)
            if kept:
                save_reach(reached, kept)
            import_libraries()
            for file in chosen:
                counts, survivors = count(file, reached, options.jobs, folder)
                print(file, *(f"{counts[what]} {what}" for what in ("killed", "equivalent", "survived")), flush=True)
                print(*survivors, sep="\n", end="\n" if survivors else "", flush=True)
                alive += len(survivors)
                if not options.show:
                    kept = json.loads(FIGURES.read_text()) if FIGURES.exists() else {}
                    kept[file] = {what: counts[what] for what in ("killed", "equivalent", "survived")}
                    FIGURES.write_text(json.dumps({name: kept[name] for name in FILES if name in kept}, indent=1) + "\n")
    return 1 if alive else 0


def import_libraries() -> None:
    """Load in this process what every fork needs, but nothing of the project."""
    for name in ("gymnasium", "hypothesis", "matplotlib", "numba", "numpy", "pytest", "scipy"):
        importlib.import_module(name)


if __name__ == "__main__":
    sys.exit(main())
