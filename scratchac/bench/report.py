"""Measures how long each kernel takes on each backend, how fast each algorithm learns with it, and what a solved task takes.

    scratchac bench                 every kernel on every backend that can run here, then updates and steps per second
    scratchac bench --quick         the most telling rows of these, in about a minute
    scratchac bench --only NAME …   some of TABLES
    scratchac bench --solve         seconds until a policy solves its environment
    scratchac bench --only training --env NAME    the rows of one environment; --solve takes --env, too
    scratchac bench --growth        what more environments, wider networks, larger batches and buffers, and more processes change
    scratchac bench --busy          updates beside other processes that compute all the time
    scratchac bench --profile       where the time of a training loop goes
    scratchac bench --peers         also other libraries, where they are installed

A kernel's result is compared with the reference before its time is taken: a fast wrong answer is an error. Times are medians of
some runs (`Pace`) on a machine that should be doing nothing else. Compilation, which happens once, is not included but where a
table says so.
"""

import contextlib
import importlib.metadata
import os
import platform
from collections.abc import Callable, Collection, Iterator
from typing import Any

from threadpoolctl import threadpool_info

import kernels
from scratchac.bench import busy, growth, solve, trainings
from scratchac.bench.kernel_times import kernel_times
from scratchac.bench.pace import Pace

Rows = list[dict[str, Any]]
Table = tuple[str, Rows, str, Any]              # title, rows, unit, and whether min or max is better or neither

TABLES = "kernels", "updates", "training", "solve", "growth", "busy"
USUAL = TABLES[:3]
# table → its environments, of which --env keeps one
ENVIRONMENTS = {"training": list(dict.fromkeys(env for _, env, *_ in trainings.TRAININGS.values())),
                "solve": list(solve.THRESHOLDS)}


def available() -> list[str]:
    """Names of the backends that can run here, the reference first."""
    names = []
    for name in kernels.BACKENDS:
        with contextlib.suppress(kernels.BackendError):
            kernels.load(name)
            names.append(name)
    return names


# -- tables ------------------------------------------------------------------------------------------------------------------------


def table(rows: Rows, unit: str, better: Callable[..., Any] | None = None) -> str:
    """Markdown: one line per row, one column per measurement, with its ratio to the first where `better` is min or max."""
    columns = list(dict.fromkeys(name for row in rows for name in row if name not in ("what", "runs")))
    lines = [f"| {unit} | {' | '.join(columns)} |", "|---|" + "---|" * len(columns)]
    for row in rows:
        cells = [number(row.get(name)) for name in columns]
        for i, name in enumerate(columns[1:], 1):
            if cells[i] and better:
                first = row[columns[0]]
                cells[i] += f" ({row[name] / first if better is max else first / row[name]:.1f}×)"
        lines.append(f"| {row['what']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def number(x: Any) -> str:
    """A cell: a whole number, another one with few digits, a text, or nothing for None."""
    if x is None or isinstance(x, str):
        return x or ""
    return f"{x:,}" if isinstance(x, int) else f"{x:,.{0 if x >= 100 else 1 if x >= 0.1 else 4}f}"


def tables(wanted: Collection[str], pace: Pace, peers: bool = False, env: str | None = None) -> Iterator[Table]:
    """Some of TABLES, each as soon as it is complete. `env` is the only one of "training" and "solve", if not all are wanted."""
    names = available()
    if "kernels" in wanted:
        yield "Kernels", kernel_times(names, pace), "µs", min
    if "updates" in wanted:
        rates, first = trainings.update_rates(names, pace, peers)
        yield "First update, with what neither a row above nor an earlier process has compiled", first, "seconds", None
        yield "Updates", rates, "updates per second", max
    if "training" in wanted:
        yield "Training", trainings.training_rates(names, pace, peers, env), "environment steps per second", max
    if "solve" in wanted:
        yield solve.TITLE, solve.rows(pace, peers, env), "mean return of 20 episodes", None
    if "growth" in wanted:
        yield from growth.tables([name for name in names if kernels.load(name).device == "cpu"], pace)
    if "busy" in wanted:
        yield busy.TITLE, busy.rows(names, pace, peers), "updates per second", max


def profiles(pace: Pace) -> Iterator[Table]:
    """Where the time of training loops goes, a table for each backend."""
    for name in available():
        yield f"Where the time goes, {name}", trainings.profiles(name, pace), "µs per environment step", None


def circumstances() -> dict[str, Any]:
    """The machine and the versions that the figures belong to."""
    packages = {}
    for name in ("scratchac", "numpy", "numba", "scipy", "gymnasium", "stable-baselines3", "torch", "sbx-rl", "jax"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            packages[name] = importlib.metadata.version(name)
    blas = [f"{library['internal_api']} {library['version']}, {library.get('architecture', 'unknown kernels')}"
            for library in threadpool_info() if library["user_api"] == "blas"]
    return {"system": platform.platform(), "cpus": os.cpu_count(), **processor(), "blas": sorted(set(blas)),
            "python": platform.python_version(), "packages": packages}


def processor() -> dict[str, Any]:
    """The processor as LLVM calls it, and the widest vector instructions that it has; nothing where Numba is not installed."""
    with contextlib.suppress(ImportError):
        from llvmlite.binding import get_host_cpu_features, get_host_cpu_name

        has = get_host_cpu_features()
        vectors = next((name for name in ("avx512f", "avx2", "avx", "neon", "sse2") if has.get(name)), "unknown")
        return {"processor": get_host_cpu_name(), "vectors": vectors}
    return {}
