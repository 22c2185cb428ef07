# %% [markdown]
# # What do workers that do not wait for one another gain?
#
# A3C's workers share parameters and wait for nobody; A2C is the same update when all wait for one another, take their steps
# together and make one gradient of them (Mnih et al. 2016). Both here have four environments, rollouts of 20 steps, RMSprop and the
# same learning rate; NumPy computes. At equal steps A3C leads for a third of the way: it moves the parameters four times as often.
# Then smaller batches and gradients of older policies throw it back, and A2C is steadier. At equal time A2C is ahead from the
# start: workers need a second to come up, and four environments in one matrix product cost little more than one, which two cores do
# not make up for. Takes about a minute.

# %%
import numpy as np
from common import COLOURS, band, figure, save

import scratchac
from scratchac import style

SEEDS, STEPS = range(5), 200_000
SHARED = {"steps": STEPS, "envs": 4, "rollout": 20, "lam": 0.95, "backend": "numpy"}
SETTINGS = {
    "A3C, 4 workers": ("a3c", {"lr": "linear:7e-4:0"}),
    "A2C, 4 environments": ("a2c", {"actor_lr": "linear:7e-4:0", "critic_lr": "linear:7e-4:0", "optimiser": "rmsprop"}),
}

# %%
def main():
    fig, axes = figure("CartPole-v1: mean and range of 5 seeds", "the same runs over time")
    for (label, (algorithm, options)), colour in zip(SETTINGS.items(), COLOURS, strict=False):
        rows = []
        for seed in SEEDS:
            rows.append([])
            scratchac.train(algorithm, "CartPole-v1", seed=seed, on_row=rows[-1].append, quiet=True, **SHARED | options)
        for ax, x in zip(axes, ("step", "wall_s"), strict=True):
            curves = [np.array([(row[x], row["return_mean"]) for row in run if row["return_mean"] != ""]).T for run in rows]
            band(ax, [c[0] for c in curves], [c[1] for c in curves], label, colour)
        seconds = np.median([run[-1]["wall_s"] for run in rows])
        last = [run[-1]["return_mean"] for run in rows]
        area = np.mean([row["return_mean"] for run in rows for row in run if row["return_mean"] != ""])
        print(f"{label}: {STEPS:,} steps in {seconds:.1f} s; return at the end {np.mean(last):.0f}, mean over training {area:.0f}")
    style.steps(axes[0])
    axes[1].set_xlabel("seconds")
    for ax in axes:
        ax.set_ylabel("return (last 100 episodes)")
    save(fig, "18_a3c")

# %%
if __name__ == "__main__":                  # the workers' processes read this file, too
    main()
