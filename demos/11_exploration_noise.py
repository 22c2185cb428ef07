# %% [markdown]
# # Does exploration noise need inertia?
#
# A car in a valley must rock back and forth to get out, and sees no reward before it is out. Gaussian noise pushes it left and
# right in turn and cancels itself; Ornstein-Uhlenbeck noise of the same strength keeps pushing one way for a while. Left: a piece
# of each. Middle: how far up the hill noise alone drives the car. Right: what DDPG makes of it. On tasks whose rewards lead the
# way, such as Pendulum, the two are as good as each other. Takes about five minutes.

# %%
import gymnasium
import numpy as np
from common import curves, figure, learning_curves, save

from scratchac.experiments.plots import COLOURS
from scratchac.exploration import GaussianNoise, OrnsteinUhlenbeck

ENV, SIGMA, SEEDS = "MountainCarContinuous-v0", 0.3, (0, 1, 2)
STEADY = SIGMA / np.sqrt(1 - 0.85**2)                   # standard deviation of the OU process with that σ
NOISES = {"Gaussian": lambda: GaussianNoise(STEADY, (1, 1)), "Ornstein-Uhlenbeck": lambda: OrnsteinUhlenbeck(SIGMA, (1, 1))}
STEPS = 30_000

# %%
fig, (left, middle, right) = figure(f"100 steps of noise, σ = {STEADY:.2f}", "Highest point of an episode, noise alone",
                                    "DDPG, mean and range of 3 seeds")

# %% [markdown]
# The noise alone, and how far up the hill it drives the car.

# %%
for (name, make), colour in zip(NOISES.items(), COLOURS, strict=False):
    noise, rng = make(), np.random.default_rng(0)
    left.plot([noise.sample(rng)[0, 0] for _ in range(100)], color=colour, label=name)

    env, heights = gymnasium.make(ENV), []
    for episode in range(50):
        noise.restart([True])
        position, done = [env.reset(seed=episode)[0][0]], False
        while not done:
            obs, _, term, trunc, _ = env.step(np.clip(noise.sample(rng)[0], -1, 1))
            position.append(obs[0])
            done = term or trunc
        heights.append(max(position))
    middle.hist(heights, bins=np.linspace(-0.6, 0.5, 23), color=colour, histtype="step", lw=1.5, label=name)
    print(f"{name}: {np.mean(np.array(heights) >= 0.45):.0%} of 50 episodes of noise alone reach the flag")
left.set_xlabel("step")
left.set_ylabel("noise")
middle.axvline(0.45, color="grey", ls=":", label="the flag")
middle.set_xlabel("position (valley: −0.5)")
middle.set_ylabel("episodes")

# %% [markdown]
# What DDPG makes of it.

# %%
options = {"steps": STEPS, "hidden": (64, 64), "learning_starts": 1_000}
learning_curves(right, {
    "Gaussian": curves("ddpg", ENV, SEEDS, noise="gaussian", noise_scale=float(STEADY), **options),
    "Ornstein-Uhlenbeck": curves("ddpg", ENV, SEEDS, noise="ou", noise_scale=SIGMA, **options),
})
save(fig, "11_exploration_noise")
