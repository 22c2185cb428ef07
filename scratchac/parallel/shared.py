"""Parameters that several workers read and change: in memory that processes share, or kept by an actor on a Ray cluster.

    store.fill(θ, v, total)                     begin
    store.pull(θ′)                              copy θ into θ′
    store.push(worker, dθ, lr, steps)           one step of RMSprop; returns (environment steps of all workers, shall they end?)
    store.snapshot()                            (θ, v, total), copies
    store.end(), store.close()                  tell the workers to end; let go of the memory
"""

import os
import secrets
from multiprocessing.shared_memory import SharedMemory

import numpy as np

from scratchac.errors import UserError
from scratchac.optim import rmsprop

DECAY, EPS = 0.99, 1e-5                     # as optim.RMSprop


class Store:
    """θ and RMSprop's v, each worker's count of steps, and a flag. Subclasses say where these arrays lie.

    Nothing is locked: where two workers push at once, a coordinate may lose one of two small steps. A count is written by one
    worker only, so none is ever lost.
    """

    def __init__(self, flat, v, counts, flag):
        self.flat, self.v, self.counts, self.flag = flat, v, counts, flag

    def fill(self, flat, v, total):
        self.flat[:], self.v[:], self.counts[0] = flat, v, total

    def pull(self, flat):
        flat[:] = self.flat

    def push(self, worker, grad, lr, steps):
        rmsprop(self.flat, grad, self.v, lr, DECAY, EPS)
        self.counts[worker] += steps
        return int(self.counts.sum()), bool(self.flag[0])

    def snapshot(self):
        return self.flat.copy(), self.v.copy(), int(self.counts.sum())

    def end(self):
        self.flag[0] = 1


class SharedMemoryStore(Store):
    """In a block of shared memory. Sent to another process, it attaches to the same block there, by its name.

    Raises UserError where there is none to be had.
    """

    def __init__(self, size, workers, dtype, name=None):
        self.arguments, self.owner = (size, workers, np.dtype(dtype)), name is None
        numbers_at = -(-2 * size * np.dtype(dtype).itemsize // 8) * 8       # rounded up: int64 lie at multiples of 8 bytes
        name = name or f"scratchac-{os.getpid()}-{secrets.token_hex(4)}"
        try:
            self.block = SharedMemory(name, create=self.owner, size=numbers_at + 8 * (workers + 1))
        except OSError as error:
            raise UserError(f"no memory to share between workers: {error.strerror}") from error
        both = np.ndarray((2, size), dtype, self.block.buf)
        numbers = np.ndarray(workers + 1, np.int64, self.block.buf, numbers_at)
        super().__init__(both[0], both[1], numbers[:workers], numbers[workers:])

    def __reduce__(self):
        return SharedMemoryStore, (*self.arguments, self.block.name)

    def close(self):
        """The process that made the block also removes it from the system."""
        self.flat = self.v = self.counts = self.flag = None                 # views of a block keep it open
        self.block.close()
        if self.owner:
            self.block.unlink()


class Kept(Store):
    """In the memory of one process: that of a Ray actor, which takes one call after another."""

    def __init__(self, size, workers, dtype):
        super().__init__(*np.zeros((2, size), dtype), np.zeros(workers, np.int64), np.zeros(1, np.int64))


class RayStore:
    """A handle to a Store that a Ray actor keeps; any worker of the cluster can be sent one."""

    def __init__(self, size, workers, dtype):
        import ray

        self.actor = ray.remote(num_cpus=0)(Kept).remote(size, workers, dtype)

    def call(self, method, *arguments):
        import ray

        return ray.get(getattr(self.actor, method).remote(*arguments))

    def fill(self, flat, v, total):
        self.call("fill", flat, v, total)

    def pull(self, flat):
        flat[:] = self.call("snapshot")[0]

    def push(self, worker, grad, lr, steps):
        return self.call("push", worker, grad, lr, steps)

    def snapshot(self):
        return self.call("snapshot")

    def end(self):
        self.call("end")

    def close(self):
        import ray

        ray.kill(self.actor)


STORES = {"processes": SharedMemoryStore, "ray": RayStore}
