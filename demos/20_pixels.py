# %% [markdown]
# # Can a car learn to drive from nothing but pictures?
#
# The course of a recorded run on a racing track, what its encoder sees, and a drive.
#
#     scratchac train ppo --env CarRacing-v3 --vector envpool       once, 76 minutes; without EnvPool over two hours
#     python demos/20_pixels.py [RUN [RUN …]]                       half a minute; further runs for their curves alone
#
# Above: the mean return of the last 100 training episodes, beside what random actions and the best of many constant ones are worth
# (`demos/results/pixels.py`); then one observation, four grey pictures an action apart, the latest at the bottom right; then a
# drive. Below: the first layer's filters before and after training, each over the four pictures, where one that weighs them
# differently sees motion; then how far each layer has moved from where it began, as a share of its first length.

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
    raise UserError(f"there is no run {paths[0]}: name yours, or make one in two hours: scratchac train ppo --env CarRacing-v3")
run, agent = Run.open(paths[0]), scratchac.load(paths[0])
settings = run.config["env_args"]
if "pixels" not in settings:
    raise UserError(f"{paths[0]} was not trained on pictures")
worth = json.loads((HERE / "results" / "pixels.json").read_text())
fig, (curve, seen, drive, before, after, moved) = figure(
    run.config["env"], "one observation", "a drive, one picture a second", "the first layer before training", "and after it",
    "how far the layers have moved", rows=2)
for path, colour in zip(paths, COLOURS, strict=False):
    metrics, config = Run.open(path).metrics(), Run.open(path).config
    name = f"{config['algorithm']}, seed {config['seed']}"
    curve.plot(metrics["step"], metrics["return_mean"], color=colour, label=name)
    past = np.flatnonzero(metrics["return_mean"] > 400)[:1]
    for i, what in (*((i, "past 400") for i in past), (-1, "at the end")):
        print(f"{name} {what}: return {metrics['return_mean'][i]:.0f} after {metrics['step'][i]:,.0f} actions, "
              f"{metrics['wall_s'][i] / 60:.0f} minutes")
curve.axhline(worth["constant"]["mean"], color="grey", ls="--", label="best constant action")
curve.axhline(worth["random"]["mean"], color="grey", ls=":", label="random actions")
style.steps(curve)
curve.set_xlabel(f"actions of {settings['pixels'].get('repeat', 1)} frames")
curve.set_ylabel("return (last 100 episodes)")

# %% [markdown]
# One observation, and a drive.

# %%
env = make(run.config["env"], **settings)
obs, _ = env.reset(seed=0)
for _ in range(40):
    obs = env.step(agent.act(obs, explore=False))[0]
seen.imshow(tiles(obs, 2), cmap="gray")
frames = render(agent, run.config["env"], seed=0, **settings)
drive.imshow(tiles([frame[:340:2, ::2] for frame in frames[50:650:50]], 3))

# %% [markdown]
# The encoder before and after training. The same seed draws the same first parameters again.

# %%
began = scratchac.make_agent(run.config["algorithm"], run.config["env"], run.config["seed"], env_args=settings,
                             **run.config["hyperparameters"])
phis = [x.model.phi for x in (began, agent)]
for ax, phi in zip((before, after), phis, strict=True):
    K1 = np.moveaxis(phi["K1"], (3, 2), (0, 1))                     # (filters, frames, k, k)
    ax.imshow(tiles(K1.reshape(-1, *K1.shape[2:]), 2 * K1.shape[1]), cmap="gray")
layers = [name for name in phis[0].views if name[0] in "KW"]
shares = [np.linalg.norm(phis[1][name] - phis[0][name]) / np.linalg.norm(phis[0][name]) for name in layers]
moved.bar(["1st", "2nd", "3rd", "linear"], shares, color=COLOURS[0])
moved.set(xlabel="layer", ylabel="‖change‖ / ‖before training‖")
print("change of each layer: " + ", ".join(f"{name} {share:.0%}" for name, share in zip(layers, shares, strict=True)))
for ax in (seen, drive, before, after):
    style.bare(ax)
save(fig, "20_pixels")
