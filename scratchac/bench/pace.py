"""How long measurements take, and the progress bar that names what is being timed."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

from scratchac.messages import progress_bar

BAR = "{desc} {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt}{postfix}"


@dataclass
class Pace:
    """How long and how often something is timed, and what the bar shows meanwhile.

    repeats   turns, of which the median counts
    seconds   duration of a turn
    quick     only the most telling rows, and a quarter of the environment steps of each
    """

    repeats: int = 7
    seconds: float = 0.4
    quick: bool = False
    bar: Any = field(default=None, repr=False)

    def each(self, table: str, titles: Collection[str]) -> Iterator[str]:
        """The titles of a table's rows, one after another, with a bar on stderr where that is a terminal."""
        with progress_bar(BAR, desc=table, total=len(titles), leave=False) as self.bar:
            for title in titles:
                self.say(title)
                yield title
                self.bar.update()
        self.bar = None

    def say(self, what: str) -> None:
        """Name what is being timed now."""
        if self.bar is not None:
            self.bar.set_postfix_str(what)

    def of(self, steps: int) -> int:
        """The environment steps to time, instead of `steps`."""
        return max(1, steps // 4) if self.quick else steps

    def rows(self, everything: dict[str, Any], telling: Collection[str]) -> dict[str, Any]:
        """All rows of a table, or only the most telling ones if it must be quick."""
        return {title: x for title, x in everything.items() if title in telling or not self.quick}


def quick() -> Pace:
    """About a minute for kernels, updates and training together, on two cores."""
    return Pace(3, 0.1, True)
