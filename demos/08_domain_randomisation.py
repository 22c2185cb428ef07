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
from common import figure, kept, save

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


@kept
def results_of_all():
    """Mean returns (training worlds, seeds, winds, gravities)."""
    jobs = [(randomise, seed) for randomise in (False, True) for seed in SEEDS]
    with ProcessPoolExecutor(WORKERS) as pool:
        results = list(pool.map(train_and_test, *zip(*jobs, strict=True)))
    return np.array(results).reshape(2, len(SEEDS), len(WINDS), len(GRAVITIES))


# %%
# The workers are new processes that may import this file again.
if __name__ == "__main__":
    results = results_of_all()
    fig, axes = figure("tested without wind", "tested with wind")
    for i, ax in enumerate(axes):
        for randomise, label in ((False, "trained in one world"), (True, "trained in random worlds")):
            returns = results[int(randomise), :, i]
            band(ax, [GRAVITIES] * len(SEEDS), returns, label, COLOURS[randomise])
            means = ", ".join(f"{r.mean():.0f}" for r in returns)
            print(f"{ax.get_title(loc='left')}, {label}: mean over gravities, seed by seed: {means}")
        ax.axvline(-10, color="grey", ls=":", label="usual gravity")
        ax.set_ylim(-150, 300)
        ax.set_xlabel("gravity")
        ax.set_ylabel(f"return (mean and range of {len(SEEDS)} seeds)")
    save(fig, "08_domain_randomisation")
