# %% [markdown]
# # Should the temperature α be fixed or learnt?
#
# α weighs entropy against reward, so the right value depends on the reward's scale. Here Pendulum's rewards are used as they are
# and a hundred times smaller, which changes nothing about the task. α = 0.2 is good at one scale and drowns the reward at the
# other. A tiny α learns at both, as Pendulum asks for little exploring, but leaves next to no entropy. The learnt α finds the
# entropy target at either scale without being told; where it has far to fall from its start at 1, that takes time. Takes about
# three minutes.

# %%
from functools import partial

import gymnasium
from common import curves, figure, save

from scratchac import style
from scratchac.experiments.plots import COLOURS, band

SEEDS = (0, 1)
SIZES = {"steps": 10_000, "hidden": (64, 64), "learning_starts": 500, "actor_lr": 1e-3, "critic_lr": 1e-3, "alpha_lr": 1e-3}
SCALES = {"rewards as they are": 1.0, "rewards / 100": 0.01}
VARIANTS = {"α = 0.2": {"alpha": 0.2, "learn_alpha": False}, "α = 0.002": {"alpha": 0.002, "learn_alpha": False}, "α learnt": {}}

# %%
class Scaled(gymnasium.wrappers.TransformReward):
    def __init__(self, factor):
        super().__init__(gymnasium.make("Pendulum-v1"), lambda reward: factor * reward)

# %%
fig, axes = figure(*(f"Return, {name}" for name in SCALES), "Entropy of the policy")
for (name, factor), ax in zip(SCALES.items(), axes, strict=False):
    for (label, options), colour in zip(VARIANTS.items(), COLOURS, strict=False):
        runs, finals = curves("sac", partial(Scaled, factor), SEEDS, **SIZES, **options)
        steps = [m["step"] for m in runs]
        band(ax, steps, [m["return_mean"] / factor for m in runs], label, colour)
        if label == "α learnt" or factor == 1:
            band(axes[2], steps, [m["entropy"] for m in runs], label if factor == 1 else f"{label}, {name}", colour,
                 dashes="-" if factor == 1 else "--")
        print(f"{name}, {label}: α ends at {runs[0]['alpha'][-1]:.4f}, entropy at {runs[0]['entropy'][-1]:.2f}; "
              f"last policies {', '.join(f'{x / factor:.0f}' for x in finals)}")
for ax in axes:
    style.steps(ax)
axes[0].set_ylabel("return, Pendulum's own units")
axes[2].set_ylabel("−log π(a|s), actions in [−1, 1]")
axes[2].axhline(-1, color="grey", ls=":", label="target, −A")
save(fig, "12_temperature")
