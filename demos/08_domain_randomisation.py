# %% [markdown]
# # Does training in many worlds make a policy fit for other worlds?
#
# A2C with LunarLander's preset, but for one switch: either every episode has the usual gravity and no wind, or each is a world of
# its own (gravity, wind and turbulence drawn at random), after one and after three million steps. The last policies are tested at
# six gravities, without wind and with two strengths of it. Takes a second: it draws what `demos/results/worlds.py` has measured in
# hours.

# %%
import json

import numpy as np
from common import HERE, figure, save

from scratchac.experiments.plots import COLOURS, band

RESULT = json.loads((HERE / "results" / "worlds.json").read_text())
GRAVITIES, WINDS = np.array(RESULT["gravities"]), RESULT["winds"]
# what training is called → colour, dashes
LOOKS = {"one world, 1,000,000 steps": (COLOURS[0], ":"), "one world, 3,000,000 steps": (COLOURS[0], "-"),
         "random worlds, 1,000,000 steps": (COLOURS[1], ":"), "random worlds, 3,000,000 steps": (COLOURS[1], "-")}

# %%
fig, axes = figure(*("no wind" if wind == 0 else f"wind power {wind:.0f}" for wind in WINDS))
for label, (colour, dashes) in LOOKS.items():
    returns = np.array([*RESULT["returns"][label].values()])                            # (seeds, winds, gravities)
    for i, ax in enumerate(axes):
        band(ax, [GRAVITIES] * len(returns), returns[:, i], label, colour, dashes=dashes)
        means = ", ".join(f"{mean:.0f}" for mean in returns[:, i].mean(axis=0))
        print(f"{label}, wind power {WINDS[i]:.0f}: {means}")
    every = ", ".join(f"{mean:.0f}" for mean in returns.mean(axis=(1, 2)))
    print(f"{label}, {len(returns)} seeds, the mean over all worlds, seed by seed: {every}")
for ax in axes:
    ax.axvline(-10, color="grey", ls=":", lw=1)
    ax.set(xlabel="gravity (usual: −10)", ylim=(-300, 310))
axes[0].set_ylabel("return, mean and range of seeds")
save(fig, "08_domain_randomisation")
