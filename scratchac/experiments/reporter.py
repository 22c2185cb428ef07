"""What happens between two updates of a run: the progress bar, rows of metrics, evaluations, checkpoints, callbacks, and Ctrl-C."""

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

import kernels
from kernels.compilation import Compilation
from scratchac.algorithms.saving import finite_state, without_transitions
from scratchac.errors import TrainingError, WriteError
from scratchac.experiments.callbacks import Callback, call
from scratchac.experiments.evaluations import Evaluations
from scratchac.experiments.notebook import LearningCurve
from scratchac.experiments.run import Run
from scratchac.messages import STEPS_BAR, in_notebook, progress_bar, tell
from scratchac.training.agent import Agent, Metrics
from scratchac.training.compiled_rollouts import ROWS
from scratchac.training.interaction import Interaction

CHECKPOINTS = 20
PATIENCE = 10.0                 # seconds from Ctrl-C to a message, if the step is not finished by then
COUNTERS = {"episodes": 0, "updates": 0, "update_s": 0.0, "wall_s": 0.0, "compile_s": 0.0}
# Ctrl-C, the signal of a cluster before it takes a machine away, and that of a terminal that is closed (not on Windows)
SIGNALS = (signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else []))


def heard(signals: Sequence[int]) -> list[int]:
    """Those that the process does not ignore, as nohup makes it ignore a closed terminal, and a shell Ctrl-C in the background."""
    return [number for number in signals if signal.getsignal(number) is not signal.SIG_IGN]


@contextmanager
def signals_as_interrupts() -> Iterator[None]:
    """Within the block those of SIGNALS that are heard raise KeyboardInterrupt, if this is the main thread: no other may do so."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.signal(number, signal.default_int_handler) for number in heard(SIGNALS)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


class Reporter:
    """The `report` of a training loop; also a context manager around it.

    run          the Run to write to, or None to write nothing
    agent        the agent that is trained
    target       environment steps at which training ends
    history      the progress saved in a checkpoint, when a run is resumed
    quiet        show no progress bar and, in a notebook, no learning curve
    callbacks    see callbacks.py
    evaluations  those during training, or None
    stop_after   environment steps after which training stops as after Ctrl-C, or None
    save_every   environment steps between checkpoints; a twentieth of the whole if None

    Raises TrainingError for parameters and losses that are not finite: no such checkpoint is written.
    """

    def __init__(self, run: Run | None, agent: Agent, target: int, history: dict[str, Any] | None = None, quiet: bool = False,
                 callbacks: Sequence[Callback] = (), evaluations: Evaluations | None = None, stop_after: int | None = None,
                 save_every: int | None = None):
        start = agent.step
        self.run = run
        self.agent = agent
        self.target = target
        self.interrupted = False
        self.ended = False                                  # by a callback or an evaluation
        self.told = ""                                      # what could not be written last
        self.notice: threading.Timer | None = None
        self.callbacks = callbacks
        self.evaluations = evaluations
        self.stop_after = stop_after
        self.progress: dict[str, Any] = COUNTERS | (history or {}) | {"target": target}
        self.interaction: Interaction | None = None
        self.start = start
        self.resumed = history is not None
        self.saved = False
        self.handlers: dict[int, Any] = {}
        self.quiet = quiet
        self.told_compiling = False
        self.wall_s_before = self.progress["wall_s"]
        self.compile_s_before = self.progress["compile_s"]
        self.compilation = Compilation(self.compiling)
        self.compiled = 0.0                                 # seconds of compilation that have been counted
        self.row_every = max(1, target // ROWS)
        self.save_every = save_every or max(1, target // CHECKPOINTS)
        self.next_row = min(self.progress.get("next_row") or start + self.row_every, target)
        self.next_save = start + self.save_every
        # Name → (sum over updates, their number) of the metrics since the last row; NumPy's scalars, so that resumed sums have the
        # same type.
        self.sums = {name: (x[()], n) for name, (x, n) in self.progress.get("sums", {}).items()}
        self.bar = progress_bar(STEPS_BAR, total=target, initial=start, unit=" steps", unit_scale=True, disable=quiet,
                                mininterval=0.2, smoothing=0.05)
        self.notebook = in_notebook()
        self.curve = LearningCurve() if self.notebook and not quiet else None

    def __enter__(self) -> "Reporter":
        self.started = time.perf_counter()
        self.compilation.begin()
        # Only the main thread may set a signal handler. A run with a folder has something to save, and in a notebook the agent as
        # it is then becomes the value of the cell.
        catches = SIGNALS if self.run is not None else SIGNALS[:1] if self.notebook else ()
        if threading.current_thread() is threading.main_thread():
            self.handlers = {number: signal.signal(number, self.interrupt) for number in heard(catches)}
        return self

    def __exit__(self, *_: object) -> None:
        self.compilation.end()
        self.bar.close()
        if self.curve:
            self.curve.show()
        if self.notice:
            self.notice.cancel()
        for number, handler in self.handlers.items():
            signal.signal(number, handler)
        call(self.callbacks, "on_end", self.agent)

    def call(self, name: str, *arguments: Any) -> bool:
        """Call this method of all callbacks; returns whether one of them ends training."""
        ends = call(self.callbacks, name, self.agent, *arguments)
        self.ended = self.ended or ends
        return ends

    def interrupt(self, *_: object) -> None:
        """Handle Ctrl-C: after the first one the step is finished and the run saved; the second one aborts at once."""
        if self.interrupted:
            if self.run is None:
                raise KeyboardInterrupt("stopped at once")
            if not (self.run.path / "checkpoint.npz").exists():
                raise KeyboardInterrupt("stopped at once, before the first checkpoint: nothing is kept")
            raise KeyboardInterrupt(f"stopped at once; go on from the last checkpoint with: scratchac resume {self.run.path}")
        self.interrupted = True
        self.notice = threading.Timer(PATIENCE, tell, ["the step under way is finished first; a second Ctrl-C stops at once"])
        self.notice.daemon = True
        self.notice.start()

    def __call__(self, agent: Agent, interaction: Interaction, metrics: Metrics, update_seconds: float, updates: int) -> bool:
        """Called by the training loop: count, report and save what is due; returns whether training must end."""
        progress, self.interaction, self.saved = self.progress, interaction, False
        if self.resumed and self.run is not None:           # not earlier: up to here nothing in the folder has been changed
            self.run.forget_rows_after(self.start)
            self.resumed = False
        new, progress["episodes"] = interaction.episodes.finished - progress["episodes"], interaction.episodes.finished
        progress["updates"] += updates
        compiled = self.compilation.seconds - self.compiled
        progress["update_s"] += max(0.0, update_seconds - compiled)
        progress["wall_s"] = self.wall_s_before + time.perf_counter() - self.started - self.compilation.seconds
        progress["compile_s"] = self.compile_s_before + self.compilation.seconds
        if compiled:
            self.leave_out(compiled)
        for name, value in metrics.items():
            total, n = self.sums.get(name, (0, 0))
            self.sums[name] = total + value * max(1, updates), n + max(1, updates)      # a compiled loop reports means
        if self.ended:                                      # asynchronous workers report what they had under way at the end
            return True
        if self.curve:
            self.curve.follow(agent.step, interaction.episodes.recent)
        if new and self.callbacks:
            for total, length in list(interaction.episodes.recent)[-new:]:
                self.call("on_episode", total, length)
        evaluated = self.evaluate(agent) if self.evaluations and self.evaluations.due(agent.step) else {}
        if evaluated or agent.step >= self.next_row:
            self.write_row(agent, interaction, evaluated)
        if agent.step >= self.next_row:
            self.next_row = min(agent.step + self.row_every, self.target) if agent.step < self.target else np.inf
        if self.run is not None and agent.step >= self.next_save:
            self.or_later(self.save, agent)
            self.next_save = agent.step + self.save_every
        self.interrupted = self.interrupted or (self.stop_after is not None and agent.step >= self.stop_after)
        return self.interrupted or self.ended

    def evaluate(self, agent: Agent) -> dict[str, float]:
        """Evaluate the agent, and keep it in best.npz if it is the best so far; returns what the row of metrics says of it."""
        assert self.evaluations is not None
        started, compiled_before = time.perf_counter(), self.compilation.seconds
        evaluated = self.evaluations(agent)
        if self.evaluations.improved and self.run is not None:
            self.or_later(self.save_best, agent)
        if evaluated and not self.quiet:
            tell(self.evaluations.told(agent.step, **evaluated))
        self.ended = self.ended or self.evaluations.enough
        compiled = self.compilation.seconds - compiled_before                   # which does not count anyway
        if not getattr(self.interaction, "elsewhere", False):                   # asynchronous workers train in the meantime
            self.started += time.perf_counter() - started - compiled            # the rest is no training either
        self.leave_out(compiled)
        return evaluated

    def compiling(self) -> None:
        """Say that Numba compiles, which takes seconds before the first update and is kept on disk."""
        if not self.quiet and not self.told_compiling:
            self.told_compiling = True
            tell("compiling (once) …")

    def leave_out(self, seconds: float) -> None:
        """Do not count these seconds as training, neither for rates nor for the time that is left."""
        self.compiled += seconds
        if not self.bar.disable:
            self.bar.start_t += seconds
            self.bar.last_print_t += seconds

    def or_later(self, write: Callable[..., None], *arguments: Any) -> None:
        """Write something; if that fails, tell the error once and continue: the disk may have space when the next one is due."""
        try:
            write(*arguments)
            self.told = ""
        except WriteError as error:
            if str(error) != self.told:
                tell(f"{error}; training goes on")
            self.told = str(error)

    def write_row(self, agent: Agent, interaction: Interaction, evaluated: dict[str, float]) -> None:
        """Write one row: episode statistics over the last 100 episodes, metrics averaged since the previous row, the evaluation."""
        row = {"step": agent.step, "episodes": self.progress["episodes"], "return_mean": "", "length_mean": "",
               "wall_s": self.progress["wall_s"], "return_std": "", **dict.fromkeys(agent.metrics, "")}
        if interaction.episodes.recent:
            returns, lengths = np.array(interaction.episodes.recent).T
            row |= {"return_mean": float(returns.mean()), "return_std": float(returns.std()), "length_mean": float(lengths.mean())}
            self.bar.set_postfix_str(f"return {returns.mean():.1f}", refresh=False)
        row |= {name: float(kernels.backend.to_numpy(total / n)) for name, (total, n) in self.sums.items()}
        row |= interaction.envs.metrics()
        if self.evaluations:
            row |= {"eval_mean": "", "eval_std": ""} | evaluated
        self.sums = {}
        self.bar.update(min(agent.step, self.target) - self.bar.n)
        for name, value in row.items():
            if name.endswith("_loss") and value != "" and not math.isfinite(value):
                raise TrainingError(f"{name} is not finite at step {agent.step}: lower the learning rates")
        if self.run is not None:
            self.or_later(self.run.log, row)
        if self.curve:
            self.curve.mark()
        self.call("on_row", row)

    def finish(self, agent: Agent) -> None:
        """Write the rows that still wait, and a checkpoint unless one has just been written. Raises WriteError."""
        assert self.run is not None
        self.run.write_rows()
        # The states of asynchronous workers are known only when they have ended.
        if not self.saved or (self.interaction is not None and self.interaction.elsewhere):
            self.save(agent)

    def save_best(self, agent: Agent) -> None:
        """Write best.npz. Raises WriteError."""
        assert self.run is not None and self.evaluations is not None and self.evaluations.best is not None
        self.run.save_best(without_transitions(agent, finite_state(agent)), self.evaluations.best)

    def save(self, agent: Agent, failed: bool = False) -> None:
        """Write a checkpoint, after the waiting rows: a resumed run does not make the rows before it again. Raises WriteError."""
        assert self.run is not None
        self.run.write_rows()
        state = finite_state(agent)
        progress = self.progress | {
            "next_row": None if self.next_row == np.inf else self.next_row,
            "sums": {name: (np.asarray(kernels.backend.to_numpy(total)), n) for name, (total, n) in self.sums.items()}}
        if self.evaluations:
            progress["evaluations"] = self.evaluations.state()
        if self.ended:
            progress["ended"] = agent.step                  # a resumed run knows by this that it is complete
        self.run.save(state, progress, self.interaction.state(failed) if self.interaction is not None else None)
        self.saved = not self.call("on_checkpoint", self.run.path / "checkpoint.npz")       # the last one must know that it ends
