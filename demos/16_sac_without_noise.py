# %% [markdown]
# # What is left of SAC without its stochasticity?
#
# Take the noise out of SAC: ε = 0, so that actions are tanh(μ), α ≈ 0, so that entropy counts for nothing, and Gaussian noise
# for exploring as TD3 has it. What remains are two critics, the smaller one in the target and a deterministic policy. That is TD3
# without delay and smoothing, except that SAC asks the present actor for a′, not a target actor, and lets the actor climb
# min(Q₁, Q₂), not Q₁. The two learn alike, and here as well as SAC itself. TD3 as published, with half as many steps of its actor,
# takes longer. Takes about three minutes.

# %%
import numpy as np
from common import figure, kept, learning_curves, save, train_directly

import scratchac

ENV, SEEDS, STEPS = "Pendulum-v1", (0, 1, 2), 10_000
OPTIONS = {"steps": STEPS, "actor_lr": 1e-3, "critic_lr": 1e-3}
PLAIN_TD3 = {"delay": 1, "target_noise": 0.0}

# %%
def silent_sac(seed):
    """SAC with σ → 0 and α → 0, exploring as TD3 does."""
    agent = scratchac.make_agent("sac", ENV, seed, alpha=1e-8, learn_alpha=False, **OPTIONS)
    agent.dist.noise = lambda rng, rows: np.zeros((rows, agent.dist.features))
    agent.sample = lambda obs: np.clip(agent.greedy(obs) + 0.1 * agent.rng.standard_normal((len(obs), agent.dist.features)), -1, 1)
    return agent


def td3(seed, **options):
    return scratchac.make_agent("td3", ENV, seed, **OPTIONS, **options)


AGENTS = {
    "SAC": lambda seed: scratchac.make_agent("sac", ENV, seed, **OPTIONS),
    "SAC without noise": silent_sac,
    "TD3 without delay and smoothing": lambda seed: td3(seed, **PLAIN_TD3),
    "TD3": td3,
}

@kept
def learn(label):
    """Curves and final returns of one of AGENTS, seed by seed."""
    return list(zip(*(train_directly(AGENTS[label](seed), ENV, seed) for seed in SEEDS), strict=True))

# %%
fig, (ax,) = figure("Pendulum-v1: mean and range of 3 seeds")
learning_curves(ax, {label: learn(label) for label in AGENTS})
save(fig, "16_sac_without_noise")
