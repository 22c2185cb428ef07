"""Measures how long each kernel takes on each backend, and how fast each algorithm learns with it.

    scratchac bench                 every kernel on every backend that can run here, then updates and steps per second
    scratchac bench --profile       where the time of a training loop goes
    scratchac bench --peers         also other libraries, where they are installed

A kernel's result is compared with the reference before its time is taken: a fast wrong answer is an error. Times are medians of
`REPEATS` runs on a machine that should be doing nothing else. Compilation, which happens once, is not included; it has a table of
its own.
"""

import contextlib
import importlib.metadata
import os
import platform
from collections.abc import Callable
from typing import Any

import kernels
from scratchac.bench import trainings
from scratchac.bench.kernel_times import kernel_times

Rows = list[dict[str, Any]]


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
    columns = list(dict.fromkeys(name for row in rows for name in row if name != "what"))
    lines = [f"| {unit} | {' | '.join(columns)} |", "|---|" + "---|" * len(columns)]
    for row in rows:
        first, cells = row[columns[0]], []
        for name in columns:
            text = f"{row[name]:,.{0 if row[name] >= 100 else 1}f}" if name in row else ""
            if text and better and name != columns[0]:
                text += f" ({row[name] / first if better is max else first / row[name]:.1f}×)"
            cells.append(text)
        lines.append(f"| {row['what']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def report(profile: bool = False, peers: bool = False) -> dict[str, tuple[Rows, str, Any]]:
    """All measurements: {title: (rows, unit, better)}."""
    names = available()
    if profile:
        return {f"Where the time goes, {name}": (trainings.profiles(name), "µs per environment step", None) for name in names}
    kernel_rows, (updates, first) = kernel_times(names), trainings.update_rates(names, peers)
    return {
        "Kernels": (kernel_rows, "µs", min),
        "First update, with all that compiles; Numba's comes from disk if it has run before": (first, "seconds", None),
        "Updates": (updates, "updates per second", max),
        "Training": (trainings.training_rates(names, peers), "environment steps per second", max),
    }


def circumstances() -> dict[str, Any]:
    """The machine and the versions that the figures belong to."""
    packages = {}
    for name in ("scratchac", "numpy", "numba", "scipy", "gymnasium", "stable-baselines3", "torch", "sbx-rl", "jax"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            packages[name] = importlib.metadata.version(name)
    return {"system": platform.platform(), "cpus": os.cpu_count(), "python": platform.python_version(), "packages": packages}
