"""Which checks notice which exhibit."""

from typing import Any

from scratchac.lab.museum.exhibit import Exhibit
from scratchac.lab.museum.measure import apart


def row(exhibit: Exhibit, seen: dict[str, Any]) -> dict[str, Any]:
    """What notices an exhibit, given its figures in museum.json.

    gradcheck   the number of gradient checks whose gradient by hand differs from that by differences
    witness     whether its two numbers differ
    others      whether the wrong version's median is outside the right one's range over seeds; absent without that metric
    """
    from scratchac.lab.breaks import noticed

    found: dict[str, Any] = {"gradcheck": len(noticed(exhibit.applied())),
                             "witness": exhibit.measure(False) != exhibit.measure(True)}
    right, wrong = seen["right"], seen["wrong"]
    for name in ("value", "q", "alpha", "entropy", "auc", "return"):
        if name in right and name in wrong:
            found[name] = apart(right[name], wrong[name])
    return found
