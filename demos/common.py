"""What the demos share: training over seeds, episodes of a policy that stays as it is, and pictures in one style.

`python demos/common.py [--keep]` draws again the pictures whose results are kept in demos/results/drawn, in a minute.
"""

import io
import subprocess
import sys
import tempfile
import time
from functools import wraps
from pathlib import Path

import numpy as np
from PIL import Image

import scratchac
from scratchac import style
from scratchac.environments.vector import VectorEnv
from scratchac.errors import UserError
from scratchac.experiments import notebook
from scratchac.experiments.plots import COLOURS, band
from scratchac.experiments.run import Run
from scratchac.messages import in_notebook
from scratchac.training.loops import train

HERE, KEEP, REDRAW = Path(__file__).parent, "--keep", "--redraw"
STARTED = time.perf_counter()
WIDTH, HEIGHT = 10.4, 3.5               # inches: of every picture, so that letters have one size in all of them; of a row of panels
DRAWN = "step", "return_mean", "grad_norm", "entropy", "alpha", "q_promised", "q_realised"
inside = []                             # the function of `kept` that runs
KEPT = {}                               # a call, as `named` writes it → what it returned


def told(kind, error, trace):
    """What Python does with an error that nobody handles: one that a user can correct is one line here, without a traceback."""
    if issubclass(kind, UserError):
        print(error, file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


sys.excepthook = told


def kept(function):
    """Keep what a function returns, so that its picture can be drawn again without the function's minutes.

    `save` writes what all calls returned, arrays and numbers in lists and dicts; with --redraw a call with the same arguments
    returns what lies in demos/results/drawn. What the function calls itself is not kept a second time. Raises UserError for
    --redraw where nothing is kept of such a call.
    """
    @wraps(function)
    def call(*args, **kwargs):
        if inside or in_notebook():
            return function(*args, **kwargs)
        name = named(function, args, kwargs)
        inside.append(name)
        try:
            KEPT[name] = read(name) if redraws() else function(*args, **kwargs)
        finally:
            inside.clear()
        return KEPT[name]
    return call


def named(function, args, kwargs):
    """A call as text, by which its result is found again."""
    def text(x):
        return f"{x:.6g}" if isinstance(x, float) else getattr(x, "__name__", None) or repr(x)

    return f"{function.__name__}({', '.join([*map(text, args), *(f'{key}={text(x)}' for key, x in kwargs.items())])})"


def redraws():
    """Whether the picture is to be drawn from what is kept."""
    return REDRAW in sys.argv[1:] and not in_notebook()


def parts(value, name):
    """(name/key/…, array) for each array in lists and dicts; numbers in single precision, which a picture does not exceed."""
    if isinstance(value, dict | list | tuple):
        for key, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from parts(part, f"{name}/{key}")
    else:
        yield name, np.asarray(value, np.float32 if np.asarray(value).dtype == np.float64 else None)


def read(name):
    """What a call returned, from the file of this script, which `save` has written."""
    path = HERE / "results" / "drawn" / f"{Path(sys.argv[0]).stem}.npz"
    if not path.exists():
        raise UserError(f"no results are kept in {path}: let the script train, and not draw again")

    def at(prefix):
        if prefix in file:
            return file[prefix]
        keys = dict.fromkeys(key[len(prefix) + 1 :].split("/")[0] for key in file if key.startswith(f"{prefix}/"))
        found = {key: at(f"{prefix}/{key}") for key in keys}
        return list(found.values()) if all(key.isdecimal() for key in found) else found

    with np.load(path, allow_pickle=False) as file:
        calls = file["calls"].tolist()
        if name not in calls:
            raise UserError(f"nothing is kept of {name} in {path}: let the script train, and not draw again")
        return at(str(calls.index(name)))


@kept
def curves(algorithm, env, seeds, **hyperparameters):
    """Train once for each seed; return metrics of the runs, and the mean returns of their last policies (100 greedy episodes)."""
    metrics, finals = [], []
    for seed in seeds:
        with tempfile.TemporaryDirectory() as folder:
            agent = scratchac.train(algorithm, env, seed=seed, out=f"{folder}/run", quiet=True, **hyperparameters)
            measured = Run.open(f"{folder}/run").metrics()
        metrics.append({name: measured[name] for name in DRAWN if name in measured})
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


def figure(*titles, rows=1, height=HEIGHT):
    """A figure with a panel for each title, row by row, and the list of its axes."""
    columns = len(titles) // rows
    made, axes = style.panels(len(titles), columns, WIDTH / columns, height)
    for ax, title in zip(axes, titles, strict=True):
        style.frame(ax, title)
        ax.yaxis.set_major_formatter(style.InFull())
    return made, axes


def learning_curves(ax, results):
    """Draw what `curves` returned for each label: the mean over seeds, and the range; print what the last policies are worth."""
    for (label, (runs, finals)), colour in zip(results.items(), COLOURS, strict=False):
        band(ax, [m["step"] for m in runs], [m["return_mean"] for m in runs], label, colour)
        print(f"{label}: last policy of each seed {', '.join(f'{x:.0f}' for x in finals)}")
    style.steps(ax)
    ax.set_ylabel("return (last 100 episodes)")


def arguments():
    """The words behind the script's name on the command line; in a notebook, whose kernel has words of its own there, none."""
    return [] if in_notebook() else [word for word in sys.argv[1:] if word not in (KEEP, REDRAW)]


def output(folder):
    """Where files go: into demos/out, which git ignores, or with --keep into the project's own folder pictures or results."""
    path = HERE / (folder if KEEP in sys.argv[1:] and not in_notebook() else "out")
    path.mkdir(parents=True, exist_ok=True)
    return path


def save(made, name):
    """Save the picture of the script of that name, with its legends and what was kept for it, and say so; in a notebook show it."""
    style.legends(made)
    if in_notebook():
        notebook.show(made)
        return
    path = output("pictures") / f"{name}.png"
    save_png(made, path)
    if KEPT and not redraws():
        arrays = dict(part for i, value in enumerate(KEPT.values()) for part in parts(value, str(i)))
        np.savez_compressed(output("results/drawn") / f"{name}.npz", calls=[*KEPT], **arrays)
    print(f"{path} ({time.perf_counter() - STARTED:.0f} s)")


def save_png(made, path):
    """Save a figure with twice as many pixels as usual."""
    with io.BytesIO() as file:
        made.savefig(file, dpi=style.DPI)
        few_colours(file, path)


def few_colours(file, path):
    """Save a picture again in 128 colours: a third of the bytes, and lines and letters have few colours."""
    Image.open(file).convert("RGB").quantize(128, dither=Image.Dither.NONE).save(path, optimize=True)


def save_dark(made, name):
    """Save the picture that `save` has saved once more, for a dark page."""
    style.darken(made)
    if not in_notebook():
        save_png(made, output("pictures") / f"{name}_dark.png")


if __name__ == "__main__":
    names = {path.stem for path in (HERE / "results" / "drawn").glob("*.npz")} | {"24_hindsight"}       # kept in hindsight.json
    sys.exit(max(subprocess.run([sys.executable, HERE / f"{script}.py", REDRAW, *sys.argv[1:]]).returncode
                 for script in sorted(names)))
