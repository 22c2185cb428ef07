"""Parameters that several workers read and change: in memory that processes share, or kept by an actor on a Ray cluster.

    store.fill(θ, v, total)                     set the initial values
    store.pull(θ′)                              copy θ into θ′
    store.push(worker, dθ, lr, steps)           one step of RMSprop; returns (environment steps of all workers, whether to end)
    store.snapshot()                            (θ, v, total), copies
    store.end(), store.close()                  tell the workers to end; release the memory
"""

import os
import secrets
from multiprocessing.shared_memory import SharedMemory
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from scratchac.errors import UserError
from scratchac.optim import rmsprop

DECAY, EPS = 0.99, 1e-5                     # as optim.RMSprop


class Store:
    """θ and RMSprop's v, each worker's count of steps, and a flag. Subclasses decide where these arrays are stored.

    There are no locks: when two workers push at once, a coordinate may lose one of two small steps. Each count is written by one
    worker only, so no count is ever lost.
    """

    def __init__(self, flat: np.ndarray, v: np.ndarray, counts: np.ndarray, flag: np.ndarray):
        self.flat: Any = flat               # (P,)
        self.v: Any = v                     # (P,)
        self.counts: Any = counts           # (workers,)
        self.flag: Any = flag               # (1,)

    def fill(self, flat: np.ndarray, v: np.ndarray, total: int) -> None:
        """Set the initial parameters, moments and number of steps."""
        self.flat[:], self.v[:], self.counts[0] = flat, v, total

    def pull(self, flat: np.ndarray) -> None:
        """Copy the parameters into `flat`."""
        flat[:] = self.flat

    def push(self, worker: int, grad: np.ndarray, lr: float, steps: int) -> tuple[int, bool]:
        """One step of RMSprop; returns (environment steps of all workers, whether they must end)."""
        rmsprop(self.flat, grad, self.v, lr, DECAY, EPS)
        self.counts[worker] += steps
        return int(self.counts.sum()), bool(self.flag[0])

    def snapshot(self) -> tuple[np.ndarray, np.ndarray, int]:
        """Copies of parameters and moments, and the steps of all workers."""
        return self.flat.copy(), self.v.copy(), int(self.counts.sum())

    def end(self) -> None:
        """Tell the workers to end."""
        self.flag[0] = 1


class SharedMemoryStore(Store):
    """A store in a block of shared memory. A copy that is sent to another process attaches to the same block, by its name.

    Raises UserError if shared memory is not available.
    """

    def __init__(self, size: int, workers: int, dtype: DTypeLike, name: str | None = None):
        self.arguments = size, workers, np.dtype(dtype)
        self.owner = name is None
        numbers_at = -(-2 * size * np.dtype(dtype).itemsize // 8) * 8       # rounded up: int64 start at multiples of 8 bytes
        name = name or f"scratchac-{os.getpid()}-{secrets.token_hex(4)}"
        try:
            self.block = SharedMemory(name, create=self.owner, size=numbers_at + 8 * (workers + 1))
        except OSError as error:
            raise UserError(f"no memory to share between workers: {error.strerror}") from error
        both = np.ndarray((2, size), dtype, self.block.buf)
        numbers = np.ndarray(workers + 1, np.int64, self.block.buf, numbers_at)
        super().__init__(both[0], both[1], numbers[:workers], numbers[workers:])

    def __reduce__(self) -> tuple[Any, ...]:
        return SharedMemoryStore, (*self.arguments, self.block.name)

    def close(self) -> None:
        """Release the block; the process that made it also removes it from the system."""
        self.flat = self.v = self.counts = self.flag = None                 # views of a block keep it open
        self.block.close()
        if self.owner:
            self.block.unlink()


class LocalStore(Store):
    """A store in the memory of one process, a Ray actor, which executes one call after another."""

    def __init__(self, size: int, workers: int, dtype: DTypeLike):
        flat, v = np.zeros((2, size), dtype)
        super().__init__(flat, v, np.zeros(workers, np.int64), np.zeros(1, np.int64))


class RayStore:
    """A handle to a store that a Ray actor keeps; it can be sent to any worker of the cluster."""

    def __init__(self, size: int, workers: int, dtype: DTypeLike):
        import ray

        self.actor = ray.remote(num_cpus=0)(LocalStore).remote(size, workers, dtype)

    def call(self, method: str, *arguments: Any) -> Any:
        """Call a method of the store that the actor keeps, and wait for the result."""
        import ray

        return ray.get(getattr(self.actor, method).remote(*arguments))

    def fill(self, flat: np.ndarray, v: np.ndarray, total: int) -> None:
        """As `Store.fill`."""
        self.call("fill", flat, v, total)

    def pull(self, flat: np.ndarray) -> None:
        """As `Store.pull`."""
        flat[:] = self.call("snapshot")[0]

    def push(self, worker: int, grad: np.ndarray, lr: float, steps: int) -> tuple[int, bool]:
        """As `Store.push`."""
        return self.call("push", worker, grad, lr, steps)

    def snapshot(self) -> tuple[np.ndarray, np.ndarray, int]:
        """As `Store.snapshot`."""
        return self.call("snapshot")

    def end(self) -> None:
        """As `Store.end`."""
        self.call("end")

    def close(self) -> None:
        """End the actor."""
        import ray

        ray.kill(self.actor)


STORES = {"processes": SharedMemoryStore, "ray": RayStore}
