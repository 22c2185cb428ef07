"""What the demos share: training over seeds, episodes of a policy that stays as it is, and pictures in one style."""

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import scratchac
from scratchac.environments.vector import VectorEnv
from scratchac.errors import UserError
from scratchac.experiments import notebook
from scratchac.experiments.plots import COLOURS, band
from scratchac.experiments.run import Run
from scratchac.messages import in_notebook
from scratchac.training.loops import train

HERE, KEEP = Path(__file__).parent, "--keep"
STARTED = time.perf_counter()


def told(kind, error, trace):
    """What Python does with an error that nobody handles: one that a user can correct is one line here, without a traceback."""
    if issubclass(kind, UserError):
        print(error, file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


sys.excepthook = told


def curves(algorithm, env, seeds, **hyperparameters):
    """Train once for each seed; return the runs' metrics, and the mean returns of their last policies (100 greedy episodes)."""
    metrics, finals = [], []
    for seed in seeds:
        with tempfile.TemporaryDirectory() as folder:
            agent = scratchac.train(algorithm, env, seed=seed, out=f"{folder}/run", quiet=True, **hyperparameters)
            metrics.append(Run.open(f"{folder}/run").metrics())
        finals.append(scratchac.evaluate(agent, env).mean())
    return metrics, finals


def train_directly(agent, env, seed, before_update=lambda agent: None):
    """Train an off-policy agent that no algorithm's name stands for; return its curve, as `curves` would, and its final return.

    before_update   called with the agent ahead of every update
    """
    curve, envs = {"step": [], "return_mean": []}, VectorEnv(env, agent.config.envs, seed)
    learn = agent.update

    def update(batch):
        before_update(agent)
        return learn(batch)

    def report(agent, interaction, metrics, *_):
        if metrics and agent.step % 100 == 0:
            curve["step"].append(agent.step)
            curve["return_mean"].append(np.mean([x for x, _ in interaction.episodes.recent]))

    agent.update = update
    train(agent, envs, agent.config.steps, report)
    envs.close()
    return {name: np.array(x) for name, x in curve.items()}, scratchac.evaluate(agent, env).mean()


class Onlooker:
    """Stands in for an agent in the training loop: acts as it does, keeps the episodes, and learns nothing from them."""

    family, horizon, step = "on-policy", None, 0

    def __init__(self, agent):
        self.sample, self.dist, self.dtype, self.episodes = agent.sample, agent.dist, agent.dtype, []

    def fast_path(self, envs):
        """No compiled loop stands for this class."""
        return None

    def update(self, batch):
        self.episodes.append(batch)


def sample_episodes(agent, env, count, seed):
    """`count` whole episodes of an agent's present policy, each a Batch of (T, 1)."""
    onlooker, envs = Onlooker(agent), VectorEnv(env, 1, seed)
    train(onlooker, envs, np.inf, lambda *_: len(onlooker.episodes) == count)
    envs.close()
    return onlooker.episodes


def figure(*titles, width=5.2, height=3.6, rows=1):
    """A figure with a panel for each title, row by row, and the list of its axes."""
    columns = len(titles) // rows
    made = Figure(figsize=(width * columns, height * rows), layout="constrained")
    axes = made.subplots(rows, columns, squeeze=False).ravel()
    for ax, title in zip(axes, titles, strict=True):
        ax.set_title(title, fontsize=10)
        ax.grid(alpha=0.3)
        ax.spines[["top", "right"]].set_visible(False)
    return made, axes


def learning_curves(ax, results):
    """Draw what `curves` returned for each label: the mean over seeds, and the range; print what the last policies are worth."""
    for (label, (runs, finals)), colour in zip(results.items(), COLOURS, strict=False):
        band(ax, [m["step"] / 1000 for m in runs], [m["return_mean"] for m in runs], label, colour)
        print(f"{label}: last policy of each seed {', '.join(f'{x:.0f}' for x in finals)}")
    ax.set_xlabel("thousand environment steps")
    ax.set_ylabel("return (last 100 episodes)")
    ax.legend(fontsize=8)


def arguments():
    """The words behind the script's name on the command line; in a notebook, whose kernel has words of its own there, none."""
    return [] if in_notebook() else [word for word in sys.argv[1:] if word != KEEP]


def output(folder):
    """Where files go: into demos/out, which git ignores, or with --keep into the project's own folder pictures or results."""
    path = HERE / (folder if KEEP in sys.argv[1:] and not in_notebook() else "out")
    path.mkdir(exist_ok=True)
    return path


def save(made, name):
    """Save the picture of the script of that name, and say so; in a notebook show it instead."""
    if in_notebook():
        notebook.show(made)
        return
    path = output("pictures") / f"{name}.png"
    made.savefig(path, dpi=100)
    print(f"{path} ({time.perf_counter() - STARTED:.0f} s)")
