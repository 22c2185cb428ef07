"""Blocks that change something of the whole process, in which several threads may be at the same time."""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, ContextDecorator
from typing import Any


class Shared(ContextDecorator):
    """A context manager that the first thread enters and the last one leaves; also a decorator of functions.

    If each thread saved and restored for itself, the first to end would change what the others rely on, and the last to end would
    restore what it had found while another was in its block. A further block within that of the same thread is one of its own.

    make    makes the context manager that is entered
    """

    def __init__(self, make: Callable[[], AbstractContextManager[Any]]):
        self.make = make
        self.lock = threading.Lock()
        self.threads = 0                                    # in a block
        self.outer: AbstractContextManager[Any] | None = None
        self.local = threading.local()                      # its `inner`: blocks of this thread, the outermost one as None

    def __enter__(self) -> None:
        inner = self.local.__dict__.setdefault("inner", [])
        if inner:
            inner.append(self.make())
            inner[-1].__enter__()
            return
        with self.lock:
            if not self.threads:
                self.outer = self.make()
                self.outer.__enter__()
            self.threads += 1
        inner.append(None)

    def __exit__(self, *_: object) -> None:
        block = self.local.inner.pop()
        if block is not None:
            block.__exit__(None, None, None)
            return
        with self.lock:
            self.threads -= 1
            if not self.threads and self.outer is not None:
                self.outer.__exit__(None, None, None)
                self.outer = None
