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

    run       the Run to write to, or None to write nothing
    target    environment steps at which training ends
    history   the progress saved in a checkpoint, when a run is resumed
    on_row    called with each row of metrics, or None
    rivals    opponents that change with training, whose `metrics()` and `state()` belong to the run; or None
    """

    def __init__(self, run, target, start=0, history=None, quiet=False, on_row=None, rivals=None):
        self.run, self.target, self.interrupted, self.on_row, self.rivals = run, target, False, on_row, rivals
        self.progress = {"episodes": 0, "updates": 0, "update_s": 0.0, "wall_s": 0.0} | (history or {})
        self.before = dict(self.progress)
        self.row_every, self.save_every = max(1, target // ROWS), max(1, target // CHECKPOINTS)
        self.next_row, self.next_save = min(start + self.row_every, target), start + self.save_every
        self.collected = {}                                                 # metrics since the last row
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

    def __call__(self, agent, episodes, metrics, update_seconds, updates):
        progress = self.progress
        progress["episodes"] = self.before["episodes"] + episodes.finished
        progress["updates"] += updates
        progress["update_s"] += update_seconds
        progress["wall_s"] = self.before["wall_s"] + time.perf_counter() - self.started
        for name, value in metrics.items():
            self.collected.setdefault(name, []).append(value)
        if agent.step >= self.next_row:
            self.write_row(agent, episodes)
            self.next_row = min(agent.step + self.row_every, self.target) if agent.step < self.target else np.inf
        if self.run is not None and (agent.step >= self.next_save or self.interrupted):
            self.save(agent)
            self.next_save = agent.step + self.save_every
        return self.interrupted

    def write_row(self, agent, episodes):
        """One row: episode statistics over the last 100 episodes, metrics averaged since the row before."""
        row = {"step": agent.step, "episodes": self.progress["episodes"], "return_mean": "", "length_mean": "",
               "wall_s": self.progress["wall_s"], "return_std": "", **dict.fromkeys(agent.metrics, "")}
        if episodes.recent:
            returns, lengths = np.array(episodes.recent).T
            row |= {"return_mean": float(returns.mean()), "return_std": float(returns.std()), "length_mean": float(lengths.mean())}
            self.bar.set_postfix_str(f"return {returns.mean():.1f}", refresh=False)
        row |= {name: float(kernels.backend.to_numpy(sum(values) / len(values))) for name, values in self.collected.items()}
        row |= self.rivals.metrics() if self.rivals else {}
        self.collected = {}
        self.bar.update(min(agent.step, self.target) - self.bar.n)
        if self.run is not None:
            self.run.log(row)
        if self.on_row is not None:
            self.on_row(row)

    def save(self, agent):
        self.run.save(agent.state(), self.progress | ({"rivals": self.rivals.state()} if self.rivals else {}))
