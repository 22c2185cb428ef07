# %% [markdown]
# # Do these policies get as far as those of other libraries?
#
# Last policies of the presets, and of Stable-Baselines3 and SBX with tuned hyperparameters, after as many environment steps.
#
# A score is 0 for random actions and 1 for the bar that the project has set for the environment. A performance profile shows which
# share of the runs scores more than τ; each row (an algorithm on an environment) has the same weight, and both lines of a panel are
# over the same rows. The last panel has, for each row, the probability that a run of ours returns more than one of theirs, with its
# 95% interval: ½ where all runs return the same. Takes a second: it draws what `demos/results/run.py` and `demos/results/peer.py`
# have measured in hours.

# %%
import numpy as np
from common import figure, save
from results.returned import beside

from scratchac.experiments.plots import COLOURS
from scratchac.experiments.statistics import improvement, profile

ROWS = beside()
LIBRARIES = list(dict.fromkeys(library for row in ROWS for library in row.theirs))
TAUS = np.linspace(0, 1.2, 241)


def profiles(rows, returns):
    """The share of the runs that score more than each of TAUS, and of those that reach the bar: means over rows.

    returns     the mean returns of each row's runs
    """
    scores = [(x - row.random) / (row.bar - row.random) for row, x in zip(rows, returns, strict=True)]
    return np.mean([profile(x, TAUS) for x in scores], axis=0), np.mean([(x >= 1).mean() for x in scores])


# %%
fig, (*panels, chances) = figure(*(f"ours and {library}" for library in LIBRARIES), "ours returns more")
labels = []
for library, ax, colour in zip(LIBRARIES, panels, COLOURS[1:], strict=False):
    rows = [row for row in ROWS if library in row.theirs]
    theirs, theirs_at_bar = profiles(rows, [row.theirs[library] for row in rows])
    ours, ours_at_bar = profiles(rows, [row.ours for row in rows])
    ax.plot(TAUS, theirs, color=colour, label=library)
    ax.plot(TAUS, ours, "--", color=COLOURS[0], label="scratchac")
    ax.set(xlabel="τ", ylabel="share of runs that score more", ylim=(-0.03, 1.03))
    print(f"rows beside {library}: {len(rows)}; {ours_at_bar:.0%} of our runs reach the bar, {theirs_at_bar:.0%} of theirs")
    for row in rows:
        estimate, low, high = improvement(row.ours, row.theirs[library])
        chances.plot([low, high], [len(labels)] * 2, color=colour)
        chances.plot(estimate, len(labels), "o", color=colour, ms=4)
        labels.append(f"{row.algorithm}, {row.env}, {library}")
        print(f"{labels[-1]}: {estimate:.2f} ({low:.2f} … {high:.2f})")
chances.axvline(0.5, color="0.4", lw=0.8)
chances.set_yticks(range(len(labels)), labels, fontsize=7)
chances.set(xlabel="probability", xlim=(-0.02, 1.02), ylim=(len(labels) - 0.5, -0.5))
save(fig, "25_peers")
