"""What happens between two updates of a run: the progress bar, rows of metrics, checkpoints, and Ctrl-C."""

import signal
import threading
import time

import numpy as np
from tqdm import tqdm

import kernels

ROWS = 200                      # rows of metrics.csv in a run
CHECKPOINTS = 20


class Reporter:
    """The `report` of a training loop; also a context manager around it.

    run          the Run to write to, or None to write nothing
    target       environment steps at which training ends
    history      the progress saved in a checkpoint, when a run is resumed
    on_row       called with each row of metrics, or None
    stop_after   environment steps at which to stop as if by Ctrl-C, or None
    save_every   environment steps between checkpoints; a twentieth of the whole if None
    """

    def __init__(self, run, target, start=0, history=None, quiet=False, on_row=None, stop_after=None, save_every=None):
        self.run, self.target, self.interrupted, self.on_row, self.stop_after = run, target, False, on_row, stop_after
        self.progress = {"episodes": 0, "updates": 0, "update_s": 0.0, "wall_s": 0.0} | (history or {}) | {"target": target}
        self.play = None
        self.wall_s_before = self.progress["wall_s"]
        self.row_every, self.save_every = max(1, target // ROWS), save_every or max(1, target // CHECKPOINTS)
        self.next_row = self.progress.get("next_row") or min(start + self.row_every, target)
        self.next_save = start + self.save_every
        # Sums of metrics since the last row, and of how many; NumPy's scalars, so that resumed sums have the same type.
        self.sums = {name: (x[()], n) for name, (x, n) in self.progress.get("sums", {}).items()}
        self.bar = tqdm(total=target, initial=start, unit=" steps", unit_scale=True, disable=quiet, mininterval=0.2,
                        smoothing=0.05, bar_format="{percentage:3.0f}%|{bar:30}| {n_fmt}/{total_fmt} steps, {rate_fmt}, "
                                                   "{remaining} left{postfix}")

    def __enter__(self):
        self.started = time.perf_counter()
        # Only the main thread may set a signal handler, and only a run with a folder has something to save.
        self.catches = self.run is not None and threading.current_thread() is threading.main_thread()
        if self.catches:
            self.previous_handler = signal.signal(signal.SIGINT, self.interrupt)
        return self

    def __exit__(self, *_):
        self.bar.close()
        if self.catches:
            signal.signal(signal.SIGINT, self.previous_handler)

    def interrupt(self, *_):
        """First Ctrl-C: finish the step and save. A second one aborts at once."""
        self.interrupted = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def __call__(self, agent, play, metrics, update_seconds, updates):
        progress, self.play = self.progress, play
        progress["episodes"] = play.episodes.finished
        progress["updates"] += updates
        progress["update_s"] += update_seconds
        progress["wall_s"] = self.wall_s_before + time.perf_counter() - self.started
        for name, value in metrics.items():
            total, n = self.sums.get(name, (0, 0))
            self.sums[name] = total + value, n + 1
        if agent.step >= self.next_row:
            self.write_row(agent, play)
            self.next_row = min(agent.step + self.row_every, self.target) if agent.step < self.target else np.inf
        self.interrupted = self.interrupted or (self.stop_after is not None and agent.step >= self.stop_after)
        if self.run is not None and (agent.step >= self.next_save or self.interrupted):
            self.save(agent)
            self.next_save = agent.step + self.save_every
        return self.interrupted

    def write_row(self, agent, play):
        """One row: episode statistics over the last 100 episodes, metrics averaged since the row before."""
        row = {"step": agent.step, "episodes": self.progress["episodes"], "return_mean": "", "length_mean": "",
               "wall_s": self.progress["wall_s"], "return_std": "", **dict.fromkeys(agent.metrics, "")}
        if play.episodes.recent:
            returns, lengths = np.array(play.episodes.recent).T
            row |= {"return_mean": float(returns.mean()), "return_std": float(returns.std()), "length_mean": float(lengths.mean())}
            self.bar.set_postfix_str(f"return {returns.mean():.1f}", refresh=False)
        row |= {name: float(kernels.backend.to_numpy(total / n)) for name, (total, n) in self.sums.items()} | play.envs.metrics()
        self.sums = {}
        self.bar.update(min(agent.step, self.target) - self.bar.n)
        if self.run is not None:
            self.run.log(row)
        if self.on_row is not None:
            self.on_row(row)

    def save(self, agent, failed=False):
        progress = self.progress | {
            "next_row": None if self.next_row == np.inf else self.next_row,
            "sums": {name: (np.asarray(kernels.backend.to_numpy(total)), n) for name, (total, n) in self.sums.items()}}
        self.run.save(agent.state(), progress, self.play and self.play.state(failed))
