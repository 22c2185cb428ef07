# %% [markdown]
# # Why two critics?
#
# A maximum over noisy estimates promises too much.
#
# The left panel is a lottery: every action is worth 0, and a critic's estimates are off by N(0, 1). The best-looking action looks
# the better the more there are to choose from. A second critic, asked about the first one's choice, is not deceived, and the
# smaller of the two answers errs on the safe side. The other panels are the hopper: what the critic says of an episode at its start
# less what came of it, and the return. The second agent is DDPG with a second critic and nothing else changed, the third all of
# TD3. Needs the `mujoco` extra; takes about three minutes.

# %%
import numpy as np
from common import curves, figure, learning_curves, save

from scratchac import style
from scratchac.experiments.plots import COLOURS, band

ENV, SEEDS, STEPS = "Hopper-v5", (0, 1, 2), 30_000
SIZES = {"hidden": (64, 64), "batch_size": 100, "learning_starts": 1_000, "steps": STEPS, "preset": {}}     # TD3 alone has one
AGENTS = {
    "one critic (DDPG)": ("ddpg", {}),
    "two critics, otherwise DDPG": ("td3", {"delay": 1, "target_noise": 0.0}),
    "TD3": ("td3", {}),
}

# %%
fig, (left, middle, right) = figure("The best-looking of n worthless actions", "Hopper-v5: promised − realised",
                                    "Return: mean and range of 3 seeds")

# %% [markdown]
# The lottery.

# %%
rng = np.random.default_rng(0)
counts = (2, 4, 8, 16, 32, 64)
one, second, smaller = [], [], []
for n in counts:
    q1, q2 = rng.standard_normal((2, 20_000, n))
    best = q1.argmax(axis=1)[:, None]
    promises = np.take_along_axis(q1, best, 1), np.take_along_axis(q2, best, 1)
    for means, value in zip((one, second, smaller), (*promises, np.minimum(*promises)), strict=True):
        means.append(value.mean())
for values, label, colour in ((one, "the critic that chose", COLOURS[0]), (second, "another critic", "0.5"),
                              (smaller, "the smaller of the two", COLOURS[1])):
    left.plot(counts, values, "o-", color=colour, label=label)
left.axhline(0, color="grey", ls=":")
left.set_xscale("log", base=2)
left.set_xticks(counts, counts)
left.set_xlabel("actions to choose from")
left.set_ylabel("mean promise, in standard deviations")

# %% [markdown]
# The hopper.

# %%
results = {label: curves(algorithm, ENV, SEEDS, **SIZES, **options) for label, (algorithm, options) in AGENTS.items()}
for (label, (runs, _)), colour in zip(results.items(), COLOURS, strict=False):
    excess = [m["q_promised"] - m["q_realised"] for m in runs]
    band(middle, [m["step"] for m in runs], excess, label, colour)
    late = [float(np.nanmean(e[len(e) // 2:])) for e in excess]
    print(f"{label}: promised too much by {', '.join(f'{x:.1f}' for x in late)} in the second half")
middle.axhline(0, color="grey", ls=":")
style.steps(middle)
middle.set_ylabel("Q(s₀, a₀) − discounted return")
learning_curves(right, results)
save(fig, "10_overestimation")
