"""A2C lands: the tuned preset on LunarLander-v3, from its learning curve to a landing.

The curve shows the mean return of the last 100 training episodes; 200 counts as solved. The picture on the right lays
frames of a single landing, evenly spaced in time, onto each other: not the best of the 100 test episodes but the one with
the median return. Takes about three minutes.
"""

import tempfile

import numpy as np
from common import figure, save

import scratchac
from scratchac.experiments.plots import COLOURS
from scratchac.experiments.run import Run
from scratchac.experiments.video import FPS, render

SEED, EPISODES, EXPOSURES = 0, 100, 7

with tempfile.TemporaryDirectory() as folder:
    agent = scratchac.train("a2c", "LunarLander-v3", seed=SEED, out=f"{folder}/run")
    metrics = Run.open(f"{folder}/run").metrics()
test = scratchac.evaluate(agent, "LunarLander-v3", EPISODES)
median = int(np.argsort(test)[EPISODES // 2])

fig, (left, right) = figure(f"A2C on LunarLander-v3, seed {SEED}", f"last policy, median episode: return {test[median]:.0f}")
low, high = (metrics["return_mean"] + sign * metrics["return_std"] for sign in (-1, 1))
left.plot(metrics["step"] / 1000, metrics["return_mean"], color=COLOURS[0])
left.fill_between(metrics["step"] / 1000, low, high, color=COLOURS[0], alpha=0.2, lw=0, label="± standard deviation")
left.axhline(200, color="grey", ls=":", label="solved")
left.set_xlabel("thousand environment steps")
left.set_ylabel("return (last 100 episodes)")
left.legend(fontsize=8, loc="lower right")

frames = render(agent, "LunarLander-v3", seed=median)
# The sky is black and the moon does not move, so the brightest value of each pixel over time shows every exposure.
right.imshow(np.max([frames[i] for i in np.linspace(0, len(frames) - 1, EXPOSURES).astype(int)], axis=0))
right.set_axis_off()
print(f"last policy, {EPISODES} greedy episodes: mean {test.mean():.0f}, median {np.median(test):.0f}, "
      f"{(test >= 200).mean():.0%} reach 200; the landing takes {len(frames) / FPS:.1f} s")
save(fig, __file__)
