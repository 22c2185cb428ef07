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

from scratchac.bench import peers as others
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
    turns, made = {}, None
    for title in pace.each("busy", wanted):
        algorithm, n = wanted[title]
        if algorithm != made:                   # what compiles does so before the first row
            turns, made = turns_of(algorithm, size, names, pace, peers), algorithm
        with processes(n):
            found.append({"what": title, **trainings.in_turn(turns, pace, title)})
    return found


def said(n):
    """In words, how many other processes compute."""
    return "alone" if n == 0 else f"beside {n} other process{'es' * (n > 1)}"


def turns_of(algorithm, size, names, pace, peers):
    """{column: a turn of some seconds}."""
    turns = {name: trainings.our_updates(name, pace.seconds, algorithm, *size) for name in names}
    if peers:
        turns |= {name: trainings.turn_of(1, call, pace.seconds) for name, call in others.updates(algorithm, *size).items()}
    for turn in turns.values():
        turn(0.0)
    return turns


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
