# %% [markdown]
# # One network with two heads, or two networks?
#
# A shared body learns its features once, but actor and critic then pull on the same weights, and the larger gradient wins.
# Acrobot pays −1 per step, so the critic's errors start at tens. With rewards as they are, two networks cope and the shared
# body learns no policy at all; give its critic a hundredth of the weight, and it does. With rewards divided by the running
# standard deviation of the return, both learn equally well at the usual weight. Takes about two minutes.

# %%
from dataclasses import asdict

from common import curves, figure, learning_curves, save

from scratchac.algorithms.a2c import Config

ENV, STEPS, SEEDS = "Acrobot-v1", 150_000, (0, 1, 2)
PLAIN = asdict(Config(steps=STEPS, envs=16))            # the defaults, not the environment's preset, which scales rewards
SEPARATE, SHARED = {"shared_body": False}, {"shared_body": True}
PANELS = {
    "rewards as they are": {"separate bodies": SEPARATE, "shared body": SHARED,
                            "shared body, critic's weight 0.005": SHARED | {"value_coef": 0.005}},
    "rewards scaled": {"separate bodies": SEPARATE, "shared body": SHARED},
}

# %%
fig, axes = figure(*(f"{ENV}, {panel}: mean and range of 3 seeds" for panel in PANELS))
for ax, (panel, variants) in zip(axes, PANELS.items(), strict=True):
    print(panel)
    scaled = {"scale_rewards": panel == "rewards scaled"}
    learning_curves(ax, {name: curves("a2c", ENV, SEEDS, **PLAIN | scaled | options) for name, options in variants.items()})
    ax.set_ylim(-510, -70)
save(fig, "05_shared_body")
