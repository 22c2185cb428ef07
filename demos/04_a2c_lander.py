# %% [markdown]
# # Does A2C land?
#
# The tuned preset on LunarLander-v3, from its learning curves to a landing.
#
# The thin curves are those of ten seeds that the preset was not tuned on (demos/results/curves/): the mean return of the last 100
# training episodes; 200 counts as solved. The bold one is the seed whose last policy is the median of the ten, the lower of the two
# in the middle. It is trained again here, and the picture on the right lays frames of one of its landings, evenly spaced in time,
# onto each other: not the best of 100 test episodes but the one with the median return. The film of that landing is
# demos/pictures/04_a2c_lander.gif. Takes about two minutes.

# %%
import json
import tempfile

import numpy as np
from common import HERE, figure, output, save
from PIL import Image

import kernels
import scratchac
from scratchac.experiments.plots import COLOURS
from scratchac.experiments.run import Run
from scratchac.experiments.video import FPS, render

RESULTS, EPISODES, EXPOSURES = HERE / "results", 100, 7
EVERY, SIZE, SHADES = 4, (300, 200), 16             # the film has every fourth frame, at half the size, in few colours

# %% [markdown]
# The seed whose last policy is the median, by the results.

# %%
backend = kernels.load("auto").name
name = f"a2c-LunarLander-v3{'' if backend == 'numpy' else f'-{backend}'}"
means = {int(seed): run["deterministic"]["mean"]
         for seed, run in json.loads((RESULTS / "returns" / f"{name}.json").read_text())["seeds"].items()}
SEED = sorted(means, key=means.__getitem__)[(len(means) - 1) // 2]

# %% [markdown]
# It is trained again.

# %%
with tempfile.TemporaryDirectory() as folder:
    agent = scratchac.train("a2c", "LunarLander-v3", seed=SEED, backend=backend, out=f"{folder}/run", quiet=True)
    metrics = Run.open(f"{folder}/run").metrics()
test = scratchac.evaluate(agent, "LunarLander-v3", EPISODES)
median = int(np.argsort(test)[EPISODES // 2])

# %% [markdown]
# Learning curves of all seeds.

# %%
fig, (left, right) = figure(f"A2C on LunarLander-v3, {backend}: {len(means)} new seeds",
                            f"seed {SEED}, last policy, median episode: return {test[median]:.0f}")
seeds, steps, returns = np.loadtxt(RESULTS / "curves" / f"{name}.csv", delimiter=",", skiprows=1, unpack=True)
for seed in np.unique(seeds):
    left.plot(steps[seeds == seed] / 1000, returns[seeds == seed], color="grey", lw=0.6, alpha=0.7)
left.plot(metrics["step"] / 1000, metrics["return_mean"], color=COLOURS[0], lw=2, label=f"seed {SEED}, the median")
left.axhline(200, color="grey", ls=":", label="solved")
left.set_ylim(-300, 300)
left.set_xlabel("thousand environment steps")
left.set_ylabel("return (last 100 episodes)")
left.legend(fontsize=8, loc="lower right")

# %% [markdown]
# The landing of the median episode, as a picture and as a film.

# %%
frames = render(agent, "LunarLander-v3", seed=median)
# The sky is black and the moon does not move, so the brightest value of each pixel over time shows every exposure.
right.imshow(np.max([frames[i] for i in np.linspace(0, len(frames) - 1, EXPOSURES).astype(int)], axis=0))
right.set_axis_off()
film = [Image.fromarray(frame).resize(SIZE).quantize(SHADES) for frame in frames[::EVERY]]
film[0].save(output("pictures") / "04_a2c_lander.gif", save_all=True, append_images=film[1:], duration=1000 * EVERY // FPS, loop=0)
print(f"seed {SEED}, last policy, {EPISODES} greedy episodes: mean {test.mean():.0f}, median {np.median(test):.0f}, "
      f"{(test >= 200).mean():.0%} reach 200; the landing takes {len(frames) / FPS:.1f} s")
save(fig, "04_a2c_lander")
