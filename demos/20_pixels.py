"""A racing car learns to drive from nothing but pictures: the course of a recorded run, what its encoder sees, and a drive.

    scratchac train ppo --env CarRacing-v3         once, about two hours on two cores; or name another run's folder
    python demos/20_pixels.py [RUN [RUN …]]        half a minute; further runs for their curves alone

Above: the mean return of the last 100 training episodes, beside what random actions and the best of many constant ones are worth
(`demos/results/pixels.py`); then one observation, four grey pictures eight frames apart, the latest at the bottom right. Below: the
first layer's filters over the four pictures, where one that weighs them differently sees motion; then a drive.
"""

import json
import sys

import numpy as np
from common import PICTURES, save
from matplotlib.figure import Figure

import scratchac
from scratchac.envs import make
from scratchac.plots import COLOURS
from scratchac.runs import Run
from scratchac.video import render

paths = sys.argv[1:] or ["runs/ppo-CarRacing-v3-seed0"]
run, agent = Run.open(paths[0]), scratchac.load(paths[0])
settings = run.config["env_args"]
worth = json.loads((PICTURES.parent / "results" / "pixels.json").read_text())


def tiles(pictures, columns):
    """Pictures of one size as one, with gaps between them."""
    rows = [np.pad(picture.astype(float), 1, constant_values=np.nan) for picture in pictures]
    return np.vstack([np.hstack(rows[i : i + columns]) for i in range(0, len(rows), columns)])


fig = Figure(figsize=(11, 7.5), layout="constrained")
(curve, seen), (filters, drive) = fig.subplots(2, 2)
for path, colour in zip(paths, COLOURS, strict=False):
    metrics, name = Run.open(path).metrics(), Run.open(path).config["algorithm"]
    curve.plot(metrics["step"] / 1000, metrics["return_mean"], color=colour, label=f"{name} while it learns")
    print(f"{name}: {metrics['step'][-1]:,.0f} actions, {metrics['wall_s'][-1] / 60:.0f} minutes of training, "
          f"return {metrics['return_mean'][-1]:.0f} over the last 100 episodes of it")
curve.axhline(worth["constant"]["mean"], color="grey", ls="--", label="best constant action")
curve.axhline(worth["random"]["mean"], color="grey", ls=":", label="random actions")
curve.set_xlabel("thousand actions, eight frames each")
curve.set_ylabel("return (last 100 episodes)")
curve.legend(fontsize=8)

env = make(run.config["env"], **settings)
obs, _ = env.reset(seed=0)
for _ in range(40):
    obs = env.step(agent.act(obs, explore=False))[0]
seen.imshow(tiles(obs, 2), cmap="gray")
seen.set_title("one observation", fontsize=10)

K1 = (agent.model if hasattr(agent, "model") else agent).phi["K1"]                                  # (k, k, frames, filters)
filters.imshow(tiles([K1[:, :, c, f] for f in range(0, K1.shape[3]) for c in range(K1.shape[2])], 2 * K1.shape[2]), cmap="gray")
filters.set_title(f"first layer: {K1.shape[3]} filters, two beside each other, over {K1.shape[2]} frames", fontsize=10)

frames = render(agent, run.config["env"], seed=0, **settings)
drive.imshow(np.vstack([np.hstack(row) for row in np.array([frames[i][:300:2, ::2] for i in range(50, 600, 50)][:9]).reshape(
    3, 3, 150, -1, 3)]))
drive.set_title("one second apart", fontsize=10)
for ax in (seen, filters, drive):
    ax.set_axis_off()
save(fig, __file__)
