"""Which checks notice which exhibit."""

import json
from typing import Any

from scratchac.lab.museum import probes
from scratchac.lab.museum.exhibit import Exhibit
from scratchac.lab.museum.measure import apart
from scratchac.lab.patch import ROOT

FIGURES = ROOT / "demos/results/matrix.json"
COLUMNS = {"gradcheck": "gradient checks", "witness": "witness", "probe": "probes", "value": "V", "q": "Q", "alpha": "α",
           "entropy": "entropy", "auc": "training", "return": "return", "second": "second task"}
MEANING = ('"Training" is the mean return while training; the returns are those of the last policy. A metric notices an exhibit '
           "if the wrong version's median is outside the right version's range over the seeds, on either side; with three seeds "
           "that happens by chance, too. Gradient checks notice it if the gradient by hand and the one by differences differ; "
           "the number of such checks is given. The witness is a number that was worked out by hand for one function. Probes "
           "are trainings of about a second in worlds in which the result is known; the number of those that fail is given. An "
           "empty cell: the algorithm has no such metric.")


def row(exhibit: Exhibit, seen: dict[str, Any]) -> dict[str, Any]:
    """What notices an exhibit, given its figures in museum.json.

    gradcheck   the number of gradient checks whose gradient by hand differs from that by differences
    witness     whether its two numbers differ
    probe       the number of probes of the base's algorithm that fail
    second      whether the return on a second task tells, as below
    others      whether the wrong version's median is outside the right one's range over seeds; absent without that metric
    """
    from scratchac.lab.breaks import noticed

    found: dict[str, Any] = {"gradcheck": len(noticed(exhibit.applied())),
                             "witness": exhibit.measure(False) != exhibit.measure(True),
                             "probe": sum(not probe.passes(probe.run(exhibit)) for probe in probes.of(exhibit.training.algorithm))}
    right, wrong = seen["right"], seen["wrong"]
    for name in ("value", "q", "alpha", "entropy", "auc", "return"):
        if name in right and name in wrong:
            found[name] = apart(right[name], wrong[name])
    if second := seen.get("second"):
        found["second"] = apart(second["right"]["return"], second["wrong"]["return"])
    return found


def table() -> list[list[str]]:
    """The committed rows: titles, one row for each exhibit, and how many are noticed; none without a checkout."""
    if not FIGURES.exists():
        return []
    rows = json.loads(FIGURES.read_text(encoding="utf-8"))["exhibits"]

    def cell(row: dict[str, Any], column: str) -> str:
        found = row.get(column, "")
        return {True: "yes", False: "no"}[found] if isinstance(found, bool) else "no" if found == 0 else str(found)

    counts = [f"{sum(bool(row.get(column)) for row in rows.values())} of {sum(column in row for row in rows.values())}"
              for column in COLUMNS]
    return [["exhibit", *COLUMNS.values()], *([name, *(cell(row, column) for column in COLUMNS)] for name, row in rows.items()),
            ["noticed", *counts]]
