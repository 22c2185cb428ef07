"""Does training in many worlds make a policy fit for other worlds?

Two A2C agents, equal but for one switch: the first trains at LunarLander's usual gravity without wind, the second in a new
world every episode (gravity, wind and turbulence drawn at random). Both are then tested, without wind, at gravities from
almost none to the strongest. Takes about five minutes.
"""

import numpy as np
from common import figure, save

import scratchac
from scratchac.plots import COLOURS

ENV, STEPS, SEED = "LunarLander-v3", 1_000_000, 0
GRAVITIES, EPISODES = np.linspace(-1, -11.9, 8), 30

fig, (ax,) = figure(f"A2C, {STEPS:,} steps, tested over {EPISODES} episodes at each gravity", width=7)
for (label, randomise), colour in zip({"one world": False, "random worlds": True}.items(), COLOURS, strict=False):
    agent = scratchac.train("a2c", ENV, STEPS, SEED, randomise=randomise)
    returns = np.array([scratchac.evaluate(agent, ENV, EPISODES, gravity=g) for g in GRAVITIES])
    mean, error = returns.mean(axis=1), returns.std(axis=1) / np.sqrt(EPISODES)
    ax.plot(GRAVITIES, mean, "o-", color=colour, label=f"trained in {label}")
    ax.fill_between(GRAVITIES, mean - 2 * error, mean + 2 * error, color=colour, alpha=0.2, lw=0)
    print(f"{label}: mean over all gravities {mean.mean():.0f}, worst {mean.min():.0f} at g = {GRAVITIES[mean.argmin()]:.1f}")
    print(mean)
ax.axvline(-10, color="grey", ls=":", label="usual gravity")
ax.set_xlabel("gravity")
ax.set_ylabel("mean return ± 2 standard errors")
ax.legend(fontsize=8)
save(fig, __file__)
