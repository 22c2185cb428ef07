# %% [markdown]
# # Does training in many worlds make a policy fit for other worlds?
#
# A2C with LunarLander's preset, but for one switch: either every episode has the usual gravity and no wind, or each is a world of
# its own (gravity, wind and turbulence drawn at random). The last policies are tested at many gravities, without and with wind.
# Not for nothing: the random worlds are harder to learn, and in as many steps the policies come out worse, or at best level with
# wind. The policy from one world stands lower gravity well. Takes about three minutes with two processes.

# %%
from concurrent.futures import ProcessPoolExecutor

import numpy as np
from common import figure, save

import scratchac
from scratchac.experiments.plots import COLOURS, band

ENV, STEPS, SEEDS, WORKERS = "LunarLander-v3", None, (0, 1), 2           # None: as many steps as the preset has
GRAVITIES, WINDS, EPISODES = np.linspace(-11.9, -2, 7), (False, True), 20

# %%
def train_and_test(randomise, seed):
    """Mean returns (winds, gravities) of a trained policy."""
    agent = scratchac.train("a2c", ENV, STEPS, seed, randomise=randomise, quiet=True)
    return np.array([[scratchac.evaluate(agent, ENV, EPISODES, gravity=g, enable_wind=wind).mean() for g in GRAVITIES]
                     for wind in WINDS])

# %%
# The workers are new processes that may import this file again.
if __name__ == "__main__":
    jobs = [(randomise, seed) for randomise in (False, True) for seed in SEEDS]
    with ProcessPoolExecutor(WORKERS) as pool:
        results = dict(zip(jobs, pool.map(train_and_test, *zip(*jobs, strict=True)), strict=True))

    fig, axes = figure("tested without wind", "tested with wind")
    for i, ax in enumerate(axes):
        for randomise, label in ((False, "trained in one world"), (True, "trained in random worlds")):
            returns = [results[randomise, seed][i] for seed in SEEDS]
            band(ax, [GRAVITIES] * len(SEEDS), returns, label, COLOURS[randomise])
            print(f"{ax.get_title()}, {label}: mean over gravities, seed by seed: " + ", ".join(f"{r.mean():.0f}" for r in returns))
        ax.axvline(-10, color="grey", ls=":", label="usual gravity")
        ax.set_ylim(-250, 250)
        ax.set_xlabel("gravity")
        ax.set_ylabel(f"return (mean and range of {len(SEEDS)} seeds)")
        ax.legend(fontsize=8, loc="lower left")
    save(fig, "08_domain_randomisation")
