"""Mutation testing: change one place of the mathematics or of a kernel at a time, and see whether a quick test fails.

    python tests/mutants.py                                 every file of FILES; the figures go to demos/results/mutants.json
    python tests/mutants.py scratchac/losses.py --show      one file; its survivors are printed, nothing is written

A mutant differs from the source in one place: an operator, a number, a condition, two arguments that change places, a name that
takes the place of its sibling (`done` for `term`), or a statement that is left out. It runs against the tests that reach its line,
the most specific first. It is killed if one of them fails or does not end, and equivalent if tests/mutants.toml says why no test
can tell it from the source. Everything else has survived, and is an error.

pytest collects the tests once; then this process forks for each mutant, and the fork exchanges the code of the function that is
changed. What runs at import (a constant, a default value) is changed in a new process that imports the changed text. No file is
touched. Numba's kernels run without compilation, as Python: the arithmetic is the same. What a test runs in a process of its own is
not changed.
"""

import argparse
import gc
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import tomllib
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import pytest
from _pytest.runner import runtestprotocol
from mutation import HOUSE, Mutant, mutants

FIGURES = HOUSE / "demos" / "results" / "mutants.json"
EQUIVALENT = HOUSE / "tests" / "mutants.toml"

MATHEMATICS = ["scratchac/" + name for name in (
    "nn.py", "conv.py", "distributions.py", "losses.py", "returns.py", "optim.py", "schedules.py", "policies.py", "normalise.py",
    "exploration.py", "training/memory.py", "training/hindsight.py", "training/episodes.py", "training/loops.py",
    "algorithms/reinforce.py", "algorithms/reinforce_baseline.py", "algorithms/actor_critic.py", "algorithms/a2c.py",
    "algorithms/a3c.py", "algorithms/ppo.py", "algorithms/ddpg.py", "algorithms/td3.py", "algorithms/sac.py",
    "algorithms/discrete_sac.py", "algorithms/sac_pixels.py")]
KERNELS = ["kernels/registry.py", *(f"kernels/numba_{name}.py" for name in (
    "kernels", "networks", "optimisers", "updates", "policies", "ppo", "one_row", "worlds", "rollouts", "off_policy",
    "off_policy_updates", "off_policy_rollouts", "discrete_soft"))]
FILES = MATHEMATICS + KERNELS
# The tests of each group: those of files, commands and faults say nothing of the mathematics. Kernels run as Python in theirs,
# where the others would take minutes.
MATHEMATICS_TESTS = [f"tests/test_{name}.py" for name in (
    "a3c", "actions", "algorithms", "breaks", "compiled", "compiled_off_policy", "conv", "distributions", "evaluation", "factors",
    "games", "gradcheck", "hindsight", "hyperparameters", "init", "lab", "loops", "losses", "masks", "memory", "metrics", "nn",
    "normalise", "off_policy", "optim", "randomised", "returns", "schedules", "seeding", "torch_oracle", "vector",
    "vector_objects")]
KERNEL_TESTS = [f"tests/test_{name}.py" for name in ("kernels", "backends", "compiled", "compiled_off_policy", "one_row", "physics",
                                               "worlds", "off_policy_worlds")]

SECONDS = 3.0               # how long the tests of one mutant take at most, of those that reach its line


# -- which tests ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Reach:
    """Which tests reach which lines."""

    lines: dict[str, dict[int, set[str]]]       # file → line → its tests
    seconds: dict[str, float]                   # test → how long it takes
    breadth: dict[str, int]                     # test → how many lines it reaches
    at_import: dict[str, set[int]]              # file → the lines that run as it is imported

    def choose(self, mutant: Mutant) -> list[str]:
        """The tests that reach a mutant's lines, quick and narrow ones first, as many as fit into SECONDS."""
        own = self.lines.get(mutant.file, {})
        reached = [own[line] for line in mutant.statement if line in own]
        found = set().union(*reached)
        if reached and not found:                                       # by an import alone, so that every test may meet it
            found = set().union(*own.values())
        chosen, spent = [], 0.0
        for test in sorted(found & self.seconds.keys(), key=lambda test: (round(self.seconds[test], 1), self.breadth[test], test)):
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
    found = {os.path.relpath(path, HOUSE): kept.contexts_by_lineno(path) for path in kept.measured_files()}
    lines = {file: {line: {context.removesuffix("|run") for context in contexts if context.endswith("|run")}
                    for line, contexts in own.items()} for file, own in found.items()}
    at_import = {file: {line for line, contexts in own.items() if "" in contexts} for file, own in found.items()}
    return Reach(lines, seconds, Counter(test for file in lines.values() for tests in file.values() for test in tests), at_import)


def save_reach(reached: Reach, path: Path) -> None:
    """Keep it as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"lines": {file: {line: sorted(tests) for line, tests in lines.items()}
                                          for file, lines in reached.lines.items()},
                                "seconds": reached.seconds, "breadth": reached.breadth,
                                "at_import": {file: sorted(lines) for file, lines in reached.at_import.items()}}))


def load_reach(path: Path) -> Reach:
    """What was kept."""
    kept = json.loads(path.read_text())
    lines = {file: {int(line): set(tests) for line, tests in own.items()} for file, own in kept["lines"].items()}
    return Reach(lines, kept["seconds"], kept["breadth"], {file: set(own) for file, own in kept["at_import"].items()})


# -- running -------------------------------------------------------------------------------------------------------------------


class Runner:
    """A plugin of pytest that runs no test itself: it forks for each mutant, and the fork runs the mutant's tests."""

    def __init__(self, files: list[str], reached: Reach, jobs: int, show: bool):
        self.files = files
        self.reached = reached
        self.jobs = jobs
        self.show = show
        self.survived = 0

    def pytest_runtestloop(self, session: Any) -> bool:
        """In the place of pytest's own loop."""
        self.items = {item.nodeid: item for item in session.items}
        session.config._tmp_path_factory.getbasetemp()                  # once, before the forks, each of which would empty it
        for file in self.files:
            importlib.import_module(file.removesuffix(".py").replace("/", "."))         # no test may have imported it yet
        self.sources = {file: compile((HOUSE / file).read_text(), str(HOUSE / file), "exec", dont_inherit=True)
                        for file in self.files}
        self.live = {file: functions(source) for file, source in self.sources.items()}
        gc.freeze()                                                     # else each fork would copy all objects as it collects
        for file in self.files:
            self.survived += report(file, list(self.outcomes(file)), self.show)
        return True

    def outcomes(self, file: str) -> Iterator[tuple[Mutant, bool]]:
        """Each mutant of a file, and whether it is killed."""
        source, live = self.sources[file], self.live[file]
        assert live, f"{file} is not imported"
        whole = Mutant(file, "module", 1, range(10**5), "", "", (HOUSE / file).read_text())
        found = [whole, *mutants(file)]
        running: dict[int, int] = {}
        dead: dict[int, bool] = {}
        for number, mutant in enumerate(found):
            if len(running) == self.jobs:
                self.wait(running, dead)
            tests = self.reached.choose(mutant)
            if not tests:
                dead[number] = False
                continue
            pid = os.fork()
            if pid == 0:
                imported = self.reached.at_import.get(file, set()).intersection(mutant.statement)
                self.fork(mutant, exchanges(source, mutant), live, tests, bool(imported))
            running[pid] = number
        while running:
            self.wait(running, dead)
        if dead[0]:
            raise SystemExit(f"{file}: the tests fail on the source itself")
        for number, mutant in enumerate(found[1:], 1):
            yield mutant, dead[number]

    def wait(self, running: dict[int, int], dead: dict[int, bool]) -> None:
        """For the end of one fork."""
        pid, status = os.wait()
        dead[running.pop(pid)] = status != 0

    def fork(self, mutant: Mutant, exchanged: dict[CodeType, CodeType] | None, live: dict[CodeType, list[FunctionType]],
             tests: list[str], imported: bool) -> None:
        """Run the tests on a mutant and end this process: with 0 if all pass. The alarm ends it if they do not end.

        Where the changed line has already run, `imported`, tests that pass are run again with the line changed before the import.
        """
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(30 + int(10 * sum(self.reached.seconds[test] for test in tests)))
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            os.dup2(1, 2)
            for old, new in (exchanged or {}).items():
                for function in live.get(old, []):
                    function.__code__ = new
            items = [self.items[test] for test in tests if test in self.items] if exchanged is not None else []
            for item, following in zip(items, [*items[1:], None], strict=True):
                if any(result.failed for result in runtestprotocol(item, nextitem=following, log=False)):
                    os._exit(1)
            if exchanged is None or imported:
                os.execv(sys.executable, [sys.executable, __file__, "--changed", mutant.file, *dumped(mutant.text), *tests])
            os._exit(0)
        except BaseException:
            os._exit(1)


def functions(source: CodeType) -> dict[CodeType, list[FunctionType]]:
    """Code → the functions that run it now, wherever they are kept."""
    found: dict[CodeType, list[FunctionType]] = {}
    for thing in gc.get_objects():
        if type(thing) is FunctionType and thing.__code__.co_filename == source.co_filename:
            found.setdefault(thing.__code__, []).append(thing)
    return found


def exchanges(source: CodeType, mutant: Mutant) -> dict[CodeType, CodeType] | None:
    """Code of a function → its changed code; None if the change is in what runs at import."""
    pairs: dict[CodeType, CodeType] = {}

    def compare(old: CodeType, new: CodeType) -> bool:
        inner, changed = ([x for x in code.co_consts if isinstance(x, CodeType)] for code in (old, new))
        if len(inner) == len(changed) and not all(compare(a, b) for a, b in zip(inner, changed, strict=True)):
            return False
        if old != new:
            if not old.co_flags & 2 and _own(old) != _own(new):         # 2: CO_NEWLOCALS, of functions, not of modules and classes
                return False
            pairs[old] = new
        return True

    changed = compile(mutant.text, source.co_filename, "exec", dont_inherit=True)
    return {old: new for old, new in pairs.items() if old.co_flags & 2} if compare(source, changed) else None


def _own(code: CodeType) -> tuple[Any, ...]:
    return code.co_code, code.co_names, [x for x in code.co_consts if not isinstance(x, CodeType)]


class Changed(importlib.abc.MetaPathFinder, importlib.machinery.SourceFileLoader):
    """Imports one module from a changed text."""

    def __init__(self, file: str, text: str):
        module = file.removesuffix(".py").replace("/", ".")
        importlib.machinery.SourceFileLoader.__init__(self, module, str(HOUSE / file))
        self.text = text

    def find_spec(self, fullname, path, target=None):
        """Only for the changed module."""
        return importlib.util.spec_from_file_location(fullname, self.path, loader=self) if fullname == self.name else None

    def get_code(self, fullname):
        """The changed text, compiled."""
        return compile(self.text, self.path, "exec", dont_inherit=True)


def dumped(text: str) -> list[str]:
    """The path of a file with a text, for a process that imports it."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt", delete=False) as file:
        file.write(text)
    return [file.name]


def run_changed(file: str, path: str, *tests: str) -> int:
    """In a process of its own: run tests with a module whose text is in a file."""
    sys.meta_path.insert(0, Changed(file, Path(path).read_text()))
    Path(path).unlink()
    os.chdir(HOUSE)
    return int(pytest.main(["-x", "-n", "0", "-p", "no:cacheprovider", *tests]))


# -- the command ---------------------------------------------------------------------------------------------------------------


def equivalent() -> dict[tuple[str, ...], str]:
    """What no test can tell from the source, with the reason."""
    entries = tomllib.loads(EQUIVALENT.read_text())["equivalent"]
    return {(entry["file"], entry["function"], entry["old"], entry["new"]): entry["why"] for entry in entries}


def report(file: str, outcomes: list[tuple[Mutant, bool]], show: bool) -> int:
    """Print a file's counts and survivors, and keep the counts unless `show`; returns the number of errors."""
    known = equivalent()
    wrong = [f"tests/mutants.toml: no such mutant: {key}" for key in known
             if key[0] == file and key not in {mutant.key for mutant, _ in outcomes}]
    wrong += [f"tests/mutants.toml calls this equivalent, but a test fails: {mutant}" for mutant, killed in outcomes
              if killed and mutant.key in known]
    counts = Counter("killed" if killed else "equivalent" if mutant.key in known else "survived" for mutant, killed in outcomes)
    print(file, *(f"{counts[what]} {what}" for what in ("killed", "equivalent", "survived")), flush=True)
    print(*wrong, *(mutant for mutant, killed in outcomes if not killed and mutant.key not in known), sep="\n", flush=True)
    if not show:
        kept = json.loads(FIGURES.read_text()) if FIGURES.exists() else {}
        kept[file] = {what: counts[what] for what in ("killed", "equivalent", "survived")}
        FIGURES.write_text(json.dumps({name: kept[name] for name in FILES if name in kept}, indent=1) + "\n")
    return counts["survived"] + len(wrong)


def run_group(files: list[str], tests: list[str], options: Any, kernels: bool, survived: Any) -> None:
    """In a process of its own, since whether Numba compiles is decided at import."""
    os.environ["NUMBA_DISABLE_JIT"] = str(int(kernels))
    os.chdir(HOUSE)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = f"{folder}/hypothesis"
        kept = options.reach and options.reach / f"{'kernels' if kernels else 'mathematics'}.json"
        reached = load_reach(kept) if kept and kept.exists() else reach(folder, tests)
        if kept:
            save_reach(reached, kept)
        runner = Runner(files, reached, options.jobs, options.show)
        pytest.main(["-q", "-s", "-n", "0", "-m", "not slow", "-p", "no:cacheprovider", "--basetemp", f"{folder}/tests", *tests],
                    plugins=[runner])
        survived.value = runner.survived


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
    survived = 0
    for group, tests in ((MATHEMATICS, MATHEMATICS_TESTS), (KERNELS, KERNEL_TESTS)):
        files = [file for file in options.files or FILES if file in group]
        if files:
            context = multiprocessing.get_context("spawn")
            alive = context.Value("i", -1)
            process = context.Process(
                target=run_group, args=(files, options.tests or tests, options, group is KERNELS, alive))
            process.start()
            process.join()
            if alive.value < 0:
                return 2                                                # it has said why
            survived += alive.value
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(run_changed(*sys.argv[2:]) if sys.argv[1:2] == ["--changed"] else main())
