"""Compares a learner's function with the library's, and says which mistake it contains.

On 20 random inputs the learner's results are compared with those of the exercise's solution. Where they differ, they are compared
with the solution under each known mistake, which is a patch of the library's source: if exactly one gives the learner's results on
all inputs, it is the diagnosis. So there is no file of right or wrong answers that could differ from the library. If none does, it
is said whether the results are a multiple of what is expected, or stand in another order.

The learner's file is executed, since whoever names it has asked for that.
"""

import inspect
import itertools
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from scratchac.errors import one_line
from scratchac.lab.exercises.exercise import Exercise, Learner
from scratchac.parallel.workers import engine

INPUTS = 20
TOLERANCE = 1e-9                # relative, and absolute for numbers below 1
SECONDS = 10.0                  # for one exercise
STARTING = 60.0                 # for the process that grades to load the library
Arrays = tuple[np.ndarray, ...]
Status = Literal["passed", "not begun", "wrong", "failed"]      # wrong: numbers that differ; failed: no numbers to compare


@dataclass(frozen=True)
class Verdict:
    """What the grader found: of a wrong result, the first wrong coordinate (`text`), and the known mistake or the pattern of the
    numbers, if there is one (`diagnosis`).
    """

    status: Status
    text: str = ""
    diagnosis: str = ""


class Failed(Exception):
    """There are no results to compare; the message says why."""


def load(exercise: Exercise, path: Path) -> Learner:
    """Execute a learner's file and return its function. Raises Failed if it has none that fits."""
    namespace: dict[str, Any] = {"__name__": path.stem, "__file__": str(path)}
    with _told(path), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(compile(path.read_bytes(), str(path), "exec"), namespace)
    function = namespace.get(exercise.function)
    if not callable(function):
        raise Failed(f"{path.name} has no function {exercise.function}")
    try:
        signature, wanted = inspect.signature(function), list(exercise.gives)
        signature.bind(*wanted)
        names = list(signature.parameters)
        fits = names == wanted or set(names) != set(wanted)         # other names are fine, the same in another order are not
    except (TypeError, ValueError):
        fits = False
    if not fits:
        raise Failed(f"{exercise.function} must take ({', '.join(exercise.gives)}), in this order")

    def guarded(*args: Any) -> Any:
        with _told(path):
            return function(*args)
    return guarded


def grade(exercise: Exercise, learner: Learner) -> Verdict:
    """Compare a function with the exercise's solution."""
    right = [_expected(exercise, seed) for seed in range(INPUTS)]
    results, missing = [], []
    for seed in range(INPUTS):
        try:
            results.append(_results(exercise, learner, seed, [x.shape for x in right[seed]]))
        except NotImplementedError:
            missing.append(seed + 1)
        except Failed as why:
            return Verdict("failed", str(why))
    if not results:
        return Verdict("not begun")
    if missing:
        return Verdict("failed", f"raises NotImplementedError on input {missing[0]} of {INPUTS}")
    for seed, (expected, found) in enumerate(zip(right, results, strict=True)):
        for name, x, y in zip(exercise.results, expected, found, strict=True):
            wrong = np.argwhere(~_close(x, y))
            if len(wrong):
                i = tuple(map(int, wrong[0]))
                where = f"{name}[{', '.join(map(str, i))}]" if i else name
                digits = 6 if f"{x[i]:+.6g}" != f"{y[i]:+.6g}" else 15
                text = f"{where}: expected {x[i]:+.{digits}g}, found {y[i]:+.{digits}g}".replace("+nan", "nan")
                return Verdict("wrong", text + (f" (input {seed + 1} of {INPUTS})" if seed else ""),
                               diagnose(exercise, results) or pattern(list(exercise.results), right, results))
    return Verdict("passed")


def diagnose(exercise: Exercise, results: list[Arrays]) -> str:
    """The one known mistake that gives these results on all inputs; "" if there is none, or more than one."""
    fitting = []
    for mistake in exercise.mistakes:
        with exercise.patch(mistake):
            if all(_agree(_expected(exercise, seed), found) for seed, found in enumerate(results)):
                fitting.append(mistake)
    return fitting[0] if len(fitting) == 1 else ""


def pattern(names: list[str], right: list[Arrays], results: list[Arrays]) -> str:
    """What the results on all inputs have in common: one factor of all wrong numbers, or another order; "" if neither."""
    expected, found = ([np.concatenate([x[i].ravel() for x in arrays]) for i in range(len(names))] for arrays in (right, results))
    wrong = [i for i in range(len(names)) if not _close(expected[i], found[i]).all()]
    x, y = (np.concatenate([arrays[i] for i in wrong]) for arrays in (expected, found))
    which = "every number" + (f" of {' and '.join(names[i] for i in wrong)}" if len(wrong) < len(names) else "")
    if not y.any():
        return f"{which} is 0"
    largest = np.abs(x).argmax()
    with _quiet():
        factor = y[largest] / x[largest]
        multiple = np.isfinite(factor) and _close(factor * x, y).all()
    if multiple:
        return f"{which} has the wrong sign" if abs(factor + 1) < TOLERANCE else f"{which} is {factor:.10g} times what is expected"
    for order in itertools.permutations(range(len(names))):
        if all(_agree(tuple(these[i] for i in order), those) for these, those in zip(right, results, strict=True)):
            return f"the results are in another order: ({', '.join(names[i] for i in order)})"
    if all(_close(np.sort(a[i], None), np.sort(b[i], None)).all() for a, b in zip(right, results, strict=True) for i in wrong):
        return f"the numbers of {' and '.join(names[i] for i in wrong)} are right, but in another order"
    return ""


def check(exercises: list[Exercise], paths: list[Path], seconds: float = SECONDS) -> Iterator[Verdict]:
    """Grade one file for each exercise, one after the other, in another process, which may take `seconds` for each.

    After a file that does not end, or that ends the process, a new process goes on with the next one.
    """
    done = 0
    while done < len(exercises):
        with engine("processes") as workers:
            workers.start(_grade_files, [exercise.name for exercise in exercises[done:]], paths[done:])
            limit, running = STARTING, True
            while running:
                events = workers.poll(limit)
                if not events:
                    why = ": an endless loop?" if limit == seconds else ", since its process does not start"
                    yield Verdict("failed", f"is not ready after {limit:g} seconds{why}")
                    done, running = done + 1, False
                for _, event, value in events:
                    if event == "message" and value is not None:                    # None: it begins
                        yield value
                        done += 1
                    elif event == "died":
                        yield Verdict("failed", f"ended the process that graded it ({value})")
                        done += 1
                    running = event == "message"
                limit = seconds


def _grade_files(send: Callable[[Any], None], names: list[str], paths: list[Path]) -> None:
    """Send None, then a Verdict for each file."""
    from scratchac.lab.exercises import EXERCISES

    send(None)
    for name, path in zip(names, paths, strict=True):
        try:
            verdict = grade(EXERCISES[name], load(EXERCISES[name], path))
        except Failed as why:
            verdict = Verdict("failed", str(why))
        except NotImplementedError:                     # at the top of the file
            verdict = Verdict("not begun")
        send(verdict)


def _results(exercise: Exercise, learner: Learner, seed: int, shapes: list[tuple[int, ...]]) -> Arrays:
    """The learner's results for one input. Raises Failed for an error, other shapes, and inputs that have changed."""
    args = exercise.inputs(np.random.default_rng(seed))
    before = [x.copy() if isinstance(x, np.ndarray) else x for x in args]
    with _told(), _quiet():
        returned = learner(*args)
    for name, x, y in zip(exercise.gives, before, args, strict=True):
        if isinstance(x, np.ndarray) and not np.array_equal(x, y):
            raise Failed(f"changes its input {name} in place; work on a copy")
    several = len(exercise.results) > 1
    if several and (not isinstance(returned, (tuple, list)) or len(returned) != len(exercise.results)):
        count = f"{len(returned)} of them" if isinstance(returned, (tuple, list)) else f"one {type(returned).__name__}"
        raise Failed(f"must return {len(shapes)} results, ({', '.join(exercise.results)}), not {count}")
    found = []
    for name, result, shape in zip(exercise.results, returned if several else (returned,), shapes, strict=True):
        try:
            x = np.array(result)                        # a copy: the learner may return the same array each time
        except ValueError:
            x = np.array(None)
        if x.dtype.kind not in "fiub":
            raise Failed(f"{name} must be an array of numbers, not {type(result).__name__}" + (
                "; does the function return it?" if result is None else ""))
        if x.shape != shape:
            raise Failed(f"{name} must be {exercise.results[name].partition('  ')[0]}, here {shape}, and has shape {x.shape}")
        found.append(x.astype(np.float64))
    return tuple(found)


def _expected(exercise: Exercise, seed: int) -> Arrays:
    with _quiet():
        results = exercise.solution(*exercise.inputs(np.random.default_rng(seed)))
    return tuple(np.array(x, np.float64) for x in (results if len(exercise.results) > 1 else (results,)))


def _close(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    with np.errstate(all="ignore"):                     # ∞ − ∞
        return np.isclose(x, y, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True)


def _agree(these: Arrays, those: Arrays) -> bool:
    return all(x.shape == y.shape and _close(x, y).all() for x, y in zip(these, those, strict=True))


@contextmanager
def _quiet() -> Iterator[None]:
    """Numbers that overflow are told as results, not as warnings."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def _told(path: Path | None = None) -> Iterator[None]:
    """A block of the learner's code: its errors are raised as Failed, with their line in the learner's file."""
    try:
        yield
    except (Failed, NotImplementedError, KeyboardInterrupt):
        raise
    except SyntaxError as error:
        raise Failed(f"has a syntax error{f' in line {error.lineno}' if error.lineno else ''}: {error.msg}") from None
    except BaseException as error:                      # SystemExit as well
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if path and frame.filename == str(path)]
        raise Failed(f"raises {one_line(error)}" + (f" (line {lines[-1]})" if lines else "")) from None
