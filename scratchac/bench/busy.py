"""Updates per second on a machine that others use, for `scratchac bench --busy`: beside processes that compute all the time.

Two threads that meet often wait for whichever of them the machine has put aside, so a library that is the fastest on an idle
machine need not be so on a busy one. For each algorithm there is a row without other processes and one for each number of them;
libraries take turns within a row.
"""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from scratchac.bench import trainings

TITLE = "Updates on a busy machine: 17 observations, 6 actions, 256-256, batch 256"
OTHERS = 0, 1, 2
# Keeps one core busy, until its parent process has ended.
WORK = """import os
parent = os.getppid()
while os.getppid() == parent:
    for _ in range(1_000_000):
        pass
"""


def rows(names, pace, peers=False):
    """Rows of {"what", column: updates/s} of the off-policy algorithms with 256-256 networks, over the number of processes."""
    found, size = [], next(iter(trainings.SIZES.values()))
    algorithms = trainings.TELLING_ALGORITHMS if pace.quick else trainings.ALGORITHMS
    wanted = {f"{algorithm.upper()}, {said(n)}": (algorithm, n) for algorithm in algorithms for n in OTHERS}
    turns = {}
    for title in pace.each("busy", wanted):
        algorithm, n = wanted[title]
        if algorithm not in turns:
            turns[algorithm] = trainings.update_turns(names, pace, peers, algorithm, *size)
        with processes(n):
            found.append({"what": title, **trainings.in_turn(turns[algorithm], pace, title)})
    return found


def said(n):
    """In words, how many other processes compute."""
    return "alone" if n == 0 else f"beside {n} other process{'es' * (n > 1)}"


@contextlib.contextmanager
def processes(n: int) -> Iterator[list[Any]]:
    """While this lasts, n processes compute."""
    started: list[Any] = []
    try:
        for _ in range(n):
            started.append(subprocess.Popen([sys.executable, "-c", WORK]))
        yield started
    finally:
        for process in started:
            process.kill()
            process.wait()
