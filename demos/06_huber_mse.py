"""Huber or squared error for the critic?

Huber's loss limits the pull of a single transition, at the price of a slower critic while its errors are large. With rewards
as they are and the gradient of actor and critic clipped together, a critic with large errors leaves little of the step to the
actor. On Acrobot that is visible: with Huber the gradient is small and every seed learns sooner. On CartPole the bands overlap,
and three seeds show no difference. Takes about a minute and a half.
"""

import numpy as np
from common import curves, figure, learning_curves, save

STEPS, SEEDS = 150_000, (0, 1, 2)
ENVS = {"CartPole-v1": {"envs": 8}, "Acrobot-v1": {"envs": 16}}
COMMON = {"steps": STEPS, "normalise_obs": False, "scale_rewards": False, "actor_lr": 7e-4, "critic_lr": 7e-4, "max_grad_norm": 0.5}

fig, axes = figure(*(f"{env}, rewards as they are: mean and range of 3 seeds" for env in ENVS))
for ax, (env, options) in zip(axes, ENVS.items(), strict=True):
    print(env)
    results = {loss: curves("a2c", env, SEEDS, value_loss=loss, **COMMON, **options) for loss in ("mse", "huber")}
    learning_curves(ax, results)
    for loss, (runs, _) in results.items():
        print(f"  {loss}: mean gradient norm before clipping {np.mean([m['grad_norm'].mean() for m in runs]):.2f}")
save(fig, __file__)
