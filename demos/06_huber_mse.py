# %% [markdown]
# # Huber or squared error for the critic?
#
# Huber's loss limits the pull of a single transition. On Acrobot, with rewards as they are, that looks like a clear win: every
# seed learns sooner. But the third curve has the squared error without gradient clipping, and it is as good. Actor and critic are
# clipped together, so a critic with large errors uses up the allowed length and leaves the actor a small and erratic step; Huber
# repairs that, not the critic. On CartPole the curves cross, and three seeds decide nothing. Takes about two minutes.

# %%
from dataclasses import asdict

import numpy as np
from common import curves, figure, learning_curves, save

from scratchac.algorithms.a2c import Config

STEPS, SEEDS = 150_000, (0, 1, 2)
# Every field is given: the defaults, not the environments' presets, which partly scale rewards.
ENVS = {"CartPole-v1": asdict(Config(steps=STEPS, envs=8)), "Acrobot-v1": asdict(Config(steps=STEPS, envs=16))}

VARIANTS = {"mse": {"value_loss": "mse"}, "huber": {"value_loss": "huber"},
            "mse, no gradient clipping": {"value_loss": "mse", "max_grad_norm": 0.0}}

# %%
fig, axes = figure(*(f"{env}, rewards as they are: mean and range of 3 seeds" for env in ENVS))
for ax, (env, plain) in zip(axes, ENVS.items(), strict=True):
    print(env)
    results = {name: curves("a2c", env, SEEDS, **plain | options) for name, options in VARIANTS.items()}
    learning_curves(ax, results)
    for name, (runs, _) in results.items():
        print(f"  {name}: mean gradient norm, before any clipping, {np.mean([m['grad_norm'].mean() for m in runs]):.1f}")
save(fig, "06_huber_mse")
