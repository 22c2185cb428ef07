# %% [markdown]
# # One-step actor-critic: does the factor γᵗ matter, and what do eligibility traces add?
#
# The policy gradient theorem weights the step at time t by γᵗ. Most programs leave that out, and then follow the gradient of
# no objective (Nota & Thomas 2020); yet they learn CartPole faster, because with the factor (right panel) a pole that falls late
# teaches next to nothing. Traces hand every TD error to the steps before it as well: a faster start, and no better end.
# Everything here learns from single transitions, without any batch. Takes about three minutes.

# %%
import numpy as np
from common import curves, figure, learning_curves, save

from scratchac.experiments.plots import COLOURS

ENV, STEPS, SEEDS = "CartPole-v1", 80_000, (0, 1, 2)
VARIANTS = {
    "with γᵗ": {"discount_actor": True},
    "without γᵗ": {"discount_actor": False},
    "without γᵗ, traces λ = 0.8": {"discount_actor": False, "lam_actor": 0.8, "lam_critic": 0.8},
}

# %%
fig, (left, right) = figure("CartPole-v1: mean and range of 3 seeds", "What γᵗ leaves of a step's weight, γ = 0.99")
learning_curves(left, {name: curves("actor-critic", ENV, SEEDS, steps=STEPS, **options) for name, options in VARIANTS.items()})

# %% [markdown]
# What γᵗ leaves of a step's weight.

# %%
t = np.arange(501)
right.plot(t, 0.99**t, color=COLOURS[0], label="with γᵗ")
right.plot(t, np.ones_like(t), color=COLOURS[1], label="without γᵗ")
right.set_xlabel("step of the episode")
right.set_ylabel("weight in the actor's update")
print(f"at γ = 0.99 the 100th step counts {0.99**100:.2f}, the 500th {0.99**500:.3f}")
save(fig, "02_actor_critic")
