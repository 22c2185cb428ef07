# %% [markdown]
# # Is DDPG off-policy?
#
# Take its own actions away and see.
#
# An off-policy method may learn from what somebody else did. DDPG's target asks the critic about π′(s′), never about the action
# that was really taken next, so random actions should do. Here it learns from nothing but a random policy's transitions. Then its
# memory is cut down to the last 256 steps, which makes it nearly on-policy. On the right the same for A2C, whose gradient is an
# average over its own actions: fed with random ones as if they were its own, it can only go astray. Takes about three minutes.

# %%
import numpy as np
from common import figure, kept, save

import scratchac
from scratchac import style
from scratchac.environments.vector import VectorEnv
from scratchac.experiments.plots import COLOURS, band
from scratchac.training.loops import train

ENV, SEEDS, CHECKS = "Pendulum-v1", (0, 1, 2), 20

# %%
@kept
def curve(algorithm, seed, steps, random_actions=False, **options):
    """Train, and look 20 times at what the present policy is worth without noise: (steps, mean returns of 10 episodes)."""
    agent = scratchac.make_agent(algorithm, ENV, seed, steps=steps, **options)
    if random_actions:
        rng = np.random.default_rng(seed)
        low, high = (-1, 1) if algorithm == "ddpg" else (-2, 2)                # DDPG acts in [−1, 1], A2C in Pendulum's units
        agent.sample = lambda obs: rng.uniform(low, high, (len(obs), 1))
    seen = {}

    def look(agent, interaction, metrics, *_):
        check = agent.step * CHECKS // steps
        if metrics and check not in seen:
            seen[check] = agent.step, scratchac.evaluate(agent, ENV, episodes=10, seed=1_000).mean()

    envs = VectorEnv(ENV, agent.config.envs, seed)
    train(agent, envs, steps, look)
    envs.close()
    return np.array(list(seen.values())).T

# %%
PANELS = {
    "DDPG on Pendulum-v1": ("ddpg", 10_000, {
        "its own actions": {},
        "random actions only": {"random_actions": True},
        "its own actions, memory of 256 steps": {"buffer_size": 256},
    }),
    "A2C on Pendulum-v1": ("a2c", 300_000, {"its own actions": {}, "random actions only": {"random_actions": True}}),
}

fig, axes = figure(*PANELS)
for ax, (title, (algorithm, steps, variants)) in zip(axes, PANELS.items(), strict=True):
    for (label, options), colour in zip(variants.items(), COLOURS, strict=False):
        lines = [curve(algorithm, seed, steps, **options) for seed in SEEDS]
        band(ax, [x for x, _ in lines], [y for _, y in lines], label, colour)
        print(f"{title}, {label}: {', '.join(f'{y[-1]:.0f}' for _, y in lines)} at the end")
    style.steps(ax)
axes[0].set_ylabel("return without noise, 3 seeds")
save(fig, "14_is_ddpg_off_policy")
