"""Runs functions in other processes on this machine, or on a Ray cluster.

    with engine("processes") as workers:
        i = workers.start(function, *arguments)             calls function(send, *arguments) there
        for i, event, value in workers.poll(seconds): …

An event is "message" (something that the function sent), "done" (what it returned) or "died" (why it did not return). Leaving the
block ends all functions that still run. Functions and arguments are sent to other processes, so they must be defined at the top
level of a module, not in a local scope.
"""

import contextlib
import ctypes
import logging
import multiprocessing
import os
import pickle
import signal
import sys
import time
from multiprocessing.connection import wait

from scratchac.errors import TrainingError, UserError, one_line, unknown

INSTALL = "pip install 'ray>=2.40'"
UNGUARDED = 79                  # exit code of a process whose main module starts a training as it is imported


def engine(name):
    """An engine by its name, "processes" or "ray". Raises UserError for another name, and if Ray is missing or out of reach."""
    check_engine(name)
    return ENGINES[name]()


def check_engine(name):
    """Raise UserError for an unknown engine, and for "ray" if Ray is not installed."""
    if name not in ENGINES:
        raise unknown("engine", name, list(ENGINES))
    if name == "ray":
        try:
            import ray  # noqa: F401
        except ImportError:
            raise UserError(f"engine ray needs a package that is missing: {INSTALL}") from None


class Processes:
    """Runs each function in a new process. It is spawned, not forked: a fork would inherit threads' locks in any state."""

    def __init__(self):
        self.capacity = os.cpu_count()                                      # functions that are worth running at a time
        self.context = multiprocessing.get_context("spawn")
        self.running = {}                                                   # connection → (number, process)
        self.started = 0

    def start(self, function, *arguments):
        """Start a process and return its number. Raises UserError for what cannot be sent to another process."""
        here, there = self.context.Pipe(duplex=False)
        process = self.context.Process(target=_in_process, args=(there, function, arguments))
        try:
            with without_interrupts():
                process.start()
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise UserError(f"this cannot be sent to another process: {error}; an environment must be an id, or a function at the "
                            "top level of a module") from None
        except OSError as error:
            raise UserError(f"another process cannot be started ({error.strerror}): fewer workers may help, or a larger limit "
                            "(ulimit -u, -n, -v)") from None
        there.close()                                                       # otherwise this process would not notice its end
        self.running[here] = self.started, process
        self.started += 1
        return self.started - 1

    def poll(self, seconds):
        """The next events, a list of (number, event, value): as soon as there is one, or an empty list after `seconds`."""
        events = []
        for connection in wait(list(self.running), seconds):
            number, process = self.running[connection]
            try:
                event, value = connection.recv()
            except (EOFError, OSError):
                process.join()
                event, value = "died", why_ended(process.exitcode)
            if event != "message":
                del self.running[connection]
                connection.close()
                process.join()
            events.append((number, event, value))
        return events

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for _, process in self.running.values():
            process.kill()                                                  # it may be in C code, and has nothing to clean up
        for _, process in self.running.values():
            process.join()


@contextlib.contextmanager
def without_interrupts():
    """Block Ctrl-C (SIGINT), SIGTERM and SIGHUP, which terminals and clusters send to all processes, until the end of the block.

    A process started in the block never receives them, not even while it loads. The parent process decides how to react and kills
    its children.
    """
    if not hasattr(signal, "pthread_sigmask"):                              # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_if_unguarded():
    """End this process if it is a new one that still imports the main module of its parent process.

    A new process runs the main script again, up to `if __name__ == "__main__":`. A call above that line would train there once
    more, and start processes of its own.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        os._exit(UNGUARDED)


def why_ended(code):
    """Why a process has ended, by its exit code."""
    if code == UNGUARDED:
        return "a new process runs the script again from its top: put what trains below `if __name__ == \"__main__\":`"
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"it ended with exit code {code}"


def end_with_parent():
    """On Linux: let the system kill this process when its parent process ends, even if it hangs and would not notice that."""
    if sys.platform == "linux":
        PR_SET_PDEATHSIG = 1
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _in_process(connection, function, arguments):
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)                            # the parent process reacts to Ctrl-C
    with contextlib.suppress(BrokenPipeError):                              # the parent process has ended
        connection.send(_outcome(lambda message: connection.send(("message", message)), function, arguments))


def _outcome(send, function, arguments):
    os.environ.setdefault("NUMBA_NUM_THREADS", "1")                         # many functions run at a time, each on one core
    try:
        return "done", function(send, *arguments)
    except BrokenPipeError:
        raise
    except (TrainingError, UserError) as error:                             # their one line says everything
        return "died", str(error)
    except Exception as error:
        return "died", one_line(error)


class Ray:
    """Runs each function as a Ray task: on the cluster at $RAY_ADDRESS, or on a local one that is started automatically."""

    def __init__(self):
        import ray
        from ray.util.queue import Queue

        self.ray = ray
        self.own = not ray.is_initialized()
        if self.own:
            address = os.environ.get("RAY_ADDRESS")
            # On this machine Ray's workers find the same modules as this process; on a cluster they have to be installed.
            here = {"include_dashboard": False, "runtime_env": {"env_vars": {"PYTHONPATH": os.pathsep.join(sys.path)}}}
            try:
                ray.init(log_to_driver=False, logging_level=logging.ERROR, **{} if address else here)
            except (ConnectionError, RuntimeError, ValueError) as error:
                raise UserError(f"no Ray at {address or 'this machine'}: {str(error).splitlines()[0]}") from None
        self.capacity = int(ray.cluster_resources().get("CPU", 1))
        self.messages = Queue(actor_options={"num_cpus": 0})
        # Only the caller knows whether a second attempt makes sense, and a task that only waits for others needs no core.
        self.task = ray.remote(num_cpus=0, max_retries=0, scheduling_strategy="SPREAD")(_in_task)
        self.running = {}                                                   # reference → number
        self.started = 0

    def start(self, function, *arguments):
        """Start a task and return its number."""
        self.running[self.task.remote(self.messages, self.started, function, arguments)] = self.started
        self.started += 1
        return self.started - 1

    def poll(self, seconds):
        """The next events, a list of (number, event, value): as soon as there is one, or an empty list after `seconds`."""
        deadline = time.monotonic() + seconds
        while True:
            ended, _ = self.ray.wait(list(self.running), num_returns=len(self.running), timeout=0.02)
            events = [(number, "message", value) for number, value in self.messages.get_nowait_batch(self.messages.qsize())]
            for reference in ended:
                number = self.running.pop(reference)
                try:
                    events.append((number, *self.ray.get(reference)))
                except self.ray.exceptions.RayError as error:
                    events.append((number, "died", str(error).splitlines()[0]))
            if events or time.monotonic() > deadline:
                return events

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for reference in self.running:
            self.ray.cancel(reference, force=True)
        self.messages.shutdown(force=True)
        if self.own:
            self.ray.shutdown()


def _in_task(messages, number, function, arguments):
    return _outcome(lambda message: messages.put((number, message)), function, arguments)


ENGINES = {"processes": Processes, "ray": Ray}
