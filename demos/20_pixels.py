# %% [markdown]
# # Can a car learn to drive from nothing but pictures?
#
# The course of a recorded run on a racing track, what its encoder sees, and a drive.
#
#     scratchac train ppo --env CarRacing-v3         once, some hours
#     python demos/20_pixels.py [RUN [RUN …]]        half a minute; further runs for their curves alone
#
# Above: the mean return of the last 100 training episodes, beside what random actions and the best of many constant ones are worth
# (`demos/results/pixels.py`); then one observation, four grey pictures eight frames apart, the latest at the bottom right. Below:
# the first layer's filters over the four pictures, where one that weighs them differently sees motion; then a drive.

# %%
import json
from pathlib import Path

import numpy as np
from common import HERE, arguments, figure, save

import scratchac
from scratchac import style
from scratchac.environments.make import make
from scratchac.errors import UserError
from scratchac.experiments.plots import COLOURS
from scratchac.experiments.run import Run
from scratchac.experiments.video import render


# %%
def tiles(pictures, columns):
    """Pictures of one size as one, with white gaps between them."""
    white, gap = 255 if pictures[0].dtype == np.uint8 else np.nan, 1 + len(pictures[0]) // 100
    padded = [np.pad(x, [(gap, gap), (gap, gap), (0, 0)][: x.ndim], constant_values=white) for x in pictures]
    return np.vstack([np.hstack(padded[i : i + columns]) for i in range(0, len(padded), columns)])

# %% [markdown]
# The course of the recorded runs.

# %%
paths = arguments() or ["runs/ppo-CarRacing-v3-seed0"]
if not Path(paths[0]).exists():
    raise UserError(f"there is no run {paths[0]}: name yours, or make one in some hours: scratchac train ppo --env CarRacing-v3")
run, agent = Run.open(paths[0]), scratchac.load(paths[0])
settings = run.config["env_args"]
worth = json.loads((HERE / "results" / "pixels.json").read_text())
fig, (curve, seen, filters, drive) = figure(run.config["env"], "one observation", "filters of the first layer",
                                            "a drive, one picture a second", rows=2)
for path, colour in zip(paths, COLOURS, strict=False):
    metrics, name = Run.open(path).metrics(), Run.open(path).config["algorithm"]
    curve.plot(metrics["step"], metrics["return_mean"], color=colour, label=f"{name} while it learns")
    past = np.argmax(metrics["return_mean"] > 400)
    for i, what in ((past, "past 400"), (-1, "at the end")):
        print(f"{name} {what}: return {metrics['return_mean'][i]:.0f} after {metrics['step'][i]:,.0f} actions, "
              f"{metrics['wall_s'][i] / 60:.0f} minutes")
curve.axhline(worth["constant"]["mean"], color="grey", ls="--", label="best constant action")
curve.axhline(worth["random"]["mean"], color="grey", ls=":", label="random actions")
style.steps(curve)
curve.set_xlabel("actions of eight frames")
curve.set_ylabel("return (last 100 episodes)")

# %% [markdown]
# One observation, the first layer's filters, and a drive.

# %%
env = make(run.config["env"], **settings)
obs, _ = env.reset(seed=0)
for _ in range(40):
    obs = env.step(agent.act(obs, explore=False))[0]
seen.imshow(tiles(obs, 2), cmap="gray")
K1 = np.moveaxis(agent.model.phi["K1"], (3, 2), (0, 1))             # (filters, frames, k, k)
filters.imshow(tiles(K1.reshape(-1, *K1.shape[2:]), 2 * K1.shape[1]), cmap="gray")
frames = render(agent, run.config["env"], seed=0, **settings)
drive.imshow(tiles([frame[:340:2, ::2] for frame in frames[50:650:50]], 4))
style.heading(filters, f"{len(K1)} filters, two in a row, over {K1.shape[1]} pictures each")
for ax in (seen, filters, drive):
    style.bare(ax)
save(fig, "20_pixels")
