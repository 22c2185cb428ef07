"""The museum of bugs: mistakes that programs of this kind have had, each with the number that gives it away."""

from scratchac.lab.museum import data, estimates, networks, off_policy
from scratchac.lab.museum.exhibit import Exhibit

EXHIBITS: dict[str, Exhibit] = {one.name: one for part in (data, estimates, networks, off_policy) for one in part.EXHIBITS}
