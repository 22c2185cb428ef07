"""The time that Numba spends on compiling: it does so once for each machine, and no measurement of training should contain it."""

import sys
import time
from collections.abc import Callable
from typing import Any


class Compilation:
    """Between `begin` and `end`, counts the seconds in which Numba compiles; what it reads from its cache on disk is not counted.

    seconds     spent so far
    begun       called whenever it begins to compile, from the thread that needs the compiled function
    """

    def __init__(self, begun: Callable[[], object]):
        self.begun = begun
        self.seconds = 0.0
        self.listener: Any = None

    def begin(self) -> None:
        """Begin to listen, if anything has loaded Numba."""
        if "numba" not in sys.modules:
            return
        from numba.core import event

        counts, depth, since = self, 0, 0.0

        class Listener(event.Listener):
            def on_start(self, _: Any) -> None:
                nonlocal depth, since
                depth += 1                                  # functions that it calls are compiled within
                if depth == 1:
                    since = time.perf_counter()
                    counts.begun()

            def on_end(self, _: Any) -> None:
                nonlocal depth
                depth -= 1
                if depth == 0:
                    counts.seconds += time.perf_counter() - since

        self.listener = Listener()
        event.register("numba:compile", self.listener)

    def end(self) -> None:
        """Stop listening."""
        if self.listener is not None:
            from numba.core import event

            event.unregister("numba:compile", self.listener)
            self.listener = None
