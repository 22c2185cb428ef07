# %% [markdown]
# # Does the TD error behave as dopamine does?
#
# 1. Ten steps from cue to reward, and a critic with a weight for each (a tapped delay line: Montague, Dayan & Sejnowski 1996;
#    Schultz, Dayan & Montague 1997; Sutton & Barto 2018, chapter 15). The error moves from the reward to the cue, where it is γ¹⁰,
#    and a reward that fails to come is a dip at its time. Half of it is at the cue in trial 50 with TD(0), in trial 9 with TD(0.9).
# 2. Dopamine neurons are many, and their errors a vector. Critics that weigh good news by τ and bad news by 1 − τ come to expect
#    the expectiles of the reward (Dabney et al. 2020). Of 1, 4 and 7 the middle one is no news to the critic of the mean, τ = ½; it
#    pleases the pessimists and disappoints the optimists: the vector knows how rewards scatter.
# 3. A damaged critic is one explanation of what cocaine does to learning (Takahashi, Schoenbaum & Niv 2008). Here the critic stays
#    sound, but its errors, of size 1 at most, reach the actor with noise. At a standard deviation of 10 chance picks a lever, the
#    softmax saturates, ∇log π is 0, and learning ends. Noise is no bias, though: a fiftieth of the step size averages it out.
# 4. As 1, with A2C: every 50 steps of CartPole a bonus, with a lamp ahead of it or without. The critic is a network and leaves a
#    little of the error at the bonus; while no lamp burns the error is just below 0, as one might have lit up. Mean and range of
#    three seeds (in 3: of five groups of 40 rats). Takes about twenty seconds.

# %%
from functools import partial

import gymnasium as gym
import numpy as np
from common import figure, kept, sample_episodes, save

import scratchac
from scratchac import returns, style
from scratchac.distributions import Categorical
from scratchac.experiments.plots import COLOURS
from scratchac.lab.conditioning import CUE, GAMMA, REWARD, STEPS, condition

DRAWS, OPTIMISM = np.array([1, 4, 7]), np.linspace(0.05, 0.95, 19)  # equally likely rewards; τ of the critics
GROUPS, RATS, TRIALS = 5, 200, 3_000                                # rats in five groups, trials of each
PERIOD, DELAY, BONUS = 50, 10, 10.0                                 # steps from bonus to bonus, and from lamp to bonus
A2C = {"steps": 150_000, "gamma": 0.98, "rollout": 16, "activation": "relu", "optimiser": "adam", "critic_lr": "linear:1e-2:0",
       "max_grad_norm": 5.0}                                        # a critic quick and sharp enough to learn the lamp

# %% [markdown]
# The experiments: conditioning, two levers, and CartPole with a lamp.

# %%
def press_levers(noise, lr):
    """Of two levers one pays 1; the critic gets δ, the actor δ + noise · N(0, 1). P(that one) (TRIALS, RATS), and V (RATS,)."""
    rng, dist = np.random.default_rng(0), Categorical(2)
    y, v, p = np.zeros((RATS, 2)), np.zeros(RATS), np.empty((TRIALS, RATS))
    for trial in range(TRIALS):
        a = dist.sample(y, dist.noise(rng, RATS))
        logp, _, cache = dist.evaluate(y, a)
        p[trial] = np.where(a == 1, np.exp(logp), 1 - np.exp(logp))
        delta = (a == 1) - v                                        # the reward ends the trial: no V(s′)
        y += lr * dist.backward(cache, delta + noise * rng.standard_normal(RATS), np.zeros(RATS))
        v += 0.1 * delta
    return p, v


class Lamp(gym.Wrapper):
    """CartPole with a bonus every PERIOD steps. The agent sees no clock but a lamp: lit DELAY steps ahead, and for how long."""

    def __init__(self, lamp=True, bonus=BONUS):
        super().__init__(gym.make("CartPole-v1"))
        self.lamp, self.bonus, box = lamp, bonus, self.env.observation_space
        self.observation_space = gym.spaces.Box(np.append(box.low, np.float32([0, 0])), np.append(box.high, np.float32([1, 1])))

    def see(self, obs):
        burnt = (self.t % PERIOD + DELAY - PERIOD) / DELAY          # the share of its time; below 0 it is not lit yet
        return np.append(obs, [burnt >= 0, burnt] if self.lamp and burnt >= 0 else [0, 0]).astype(np.float32)

    def reset(self, **kwargs):
        self.t = 0
        obs, info = self.env.reset(**kwargs)
        return self.see(obs), info

    def step(self, action):
        self.t += 1
        obs, reward, *rest = self.env.step(action)
        return self.see(obs), reward + self.bonus * (self.t % PERIOD == 0), *rest


def around_bonus(agent, **options):
    """Mean TD error (PERIOD,) of an agent's critic in `Lamp(**options)`, from 29 steps before a bonus is due to 20 after."""
    windows = []
    for batch in sample_episodes(agent, partial(Lamp, **options), 20, seed=1):
        v, v_next = (agent.model.value(agent.behaviour.see(obs[:, 0]))[:, :1] for obs in (batch.obs, batch.next_obs))
        delta = returns.gae(batch.rewards, v, v_next, batch.term, batch.done, agent.config.gamma, 0.0)[20:, 0]
        windows.extend(delta[: len(delta) // PERIOD * PERIOD].reshape(-1, PERIOD))
    return np.mean(windows, axis=0)

# %%
def draw(ax, x, lines, label, marks, colour):
    """The mean of several lines, and their range."""
    wide, hollow = marks == "D-", "--" in marks                     # so that a line is seen where another lies on it
    ax.plot(x, np.mean(lines, axis=0), marks, color=colour, label=label, ms=7 if wide else 4, lw=2.5 if wide else style.LINE,
            mfc="white" if hollow else colour)
    if len(lines) > 1:
        style.edges(ax, x, np.min(lines, axis=0), np.max(lines, axis=0), colour)


BLUE, ORANGE = COLOURS[:2]
fig, axes = figure("1 · A cue, ten steps later a reward of 1", "2 · Nineteen critics, rewards of 1, 4 or 7",
                   "3 · Two levers, noise on the actor's error alone", "4 · A2C in CartPole: a lamp, ten steps later a bonus of 10",
                   rows=2)

# %% [markdown]
# 1 · A cue, ten steps later a reward of 1.

# %%
errors = condition([1] * 300 + [0], [0.2] * 301)[..., 0]            # the last reward is omitted
for trial, label, marks, colour in ((0, "trial 1", "o-", BLUE), (15, "trial 16", "s-", "grey"), (299, "trial 300", "D-", ORANGE),
                                    (300, "trial 301, no reward", "v--", "black")):
    draw(axes[0], np.arange(1, STEPS + 1) - REWARD, errors[[trial]], label, marks, colour)
print(f"trial 300: error {errors[299, CUE - 1]:.3f} at the cue (γ¹⁰ = {GAMMA ** (REWARD - CUE):.3f}), "
      f"{abs(errors[299, REWARD - 1]):.3f} at the reward; {errors[300, REWARD - 1]:.3f} where there is none")
for lam in (0.0, 0.9):
    at_cue = condition([1] * 300, [0.2] * 300, lam=lam)[:, CUE - 1, 0]
    print(f"  TD({lam:g}): half of that has reached the cue in trial {1 + np.argmax(at_cue > at_cue[-1] / 2)}")

# %% [markdown]
# 2 · Nineteen critics, rewards of 1, 4 or 7.

# %%
rewards = np.random.default_rng(0).permutation(np.tile(DRAWS, 1_000))
v = rewards[-1] - condition(rewards, 1 / np.arange(1, len(rewards) + 1), OPTIMISM)[-1, REWARD - 1]
for reward, marks, colour in zip(DRAWS, ("^-", "s-", "v-"), (BLUE, "grey", ORANGE), strict=True):
    draw(axes[1], OPTIMISM, [reward - v], f"reward {reward}", marks, colour)
    print(f"reward {reward}: error {reward - v[9]:+.2f} for τ = ½, {reward - v[0]:+.2f} to {reward - v[-1]:+.2f} over all critics")
up, down = (np.maximum(sign * (DRAWS[:, None] - v), 0).mean(axis=0) for sign in (1, -1))
print(f"  expectiles: τ E(r − V)⁺ = (1 − τ) E(V − r)⁺ to within {abs(OPTIMISM * up - (1 - OPTIMISM) * down).max():.3f}")

# %% [markdown]
# 3 · Two levers, noise on the actor's error alone.

# %%
for noise, lr, marks, colour in ((0, 0.5, "-", BLUE), (3, 0.5, "-.", "grey"), (10, 0.5, "-", ORANGE), (10, 0.01, "--", "black")):
    p, v = press_levers(noise, lr)
    groups = p.reshape(TRIALS, GROUPS, -1).mean(axis=2).T
    draw(axes[2], np.arange(1, TRIALS + 1), groups, f"noise {noise}, step size {lr}", marks, colour)
    p = p[-1]
    print(f"noise {noise}, step size {lr}: P(right lever) {p.mean():.2f}; above 0.9 in {(p > 0.9).mean():.0%} of the rats, "
          f"below 0.1 in {(p < 0.1).mean():.0%}; |V − P| {abs(v - p).mean():.2f}")

# %% [markdown]
# 4 · A2C in CartPole: a lamp, ten steps later a bonus of 10.

# %%
@kept
def learn_the_lamp(worlds):
    """TD errors (worlds, seeds, PERIOD) of A2C's critics around a bonus."""
    agents = [scratchac.train("a2c", Lamp, seed=seed, quiet=True, **A2C) for seed in (0, 1, 2)]
    print(f"A2C: returns {', '.join(f'{scratchac.evaluate(agent, Lamp, episodes=20).mean():.0f}' for agent in agents)} of 600")
    return np.array([[around_bonus(agent, **options) for agent in agents] for options in worlds])


for lines, label, marks, colour in zip(learn_the_lamp([{"lamp": False}, {}, {"bonus": 0.0}]),
                                       ("bonus without lamp", "lamp and bonus", "lamp, no bonus"), ("o-", "D-", "v--"),
                                       (BLUE, ORANGE, "black"), strict=True):
    draw(axes[3], np.arange(-14, 6), lines[:, 15:35], label, marks, colour)
    rest = np.delete(lines.mean(axis=0), [19, 29])
    print(f"{label}: error {lines[:, 19].mean():+.2f} at the lamp's time, {lines[:, 29].mean():+.2f} at the bonus's, "
          f"{rest.min():+.2f} to {rest.max():+.2f} elsewhere")

# %% [markdown]
# All four.

# %%
for ax, x, y in zip(axes, ("steps since the reward was due", "optimism τ of the critic", "trial", "steps since the bonus was due"),
                    ("TD error", "TD error at the reward", "probability of the right lever", "TD error"), strict=True):
    ax.set_xlabel(x)
    ax.set_ylabel(y)
for ax in (axes[0], axes[3]):
    ax.set_xticks(range(-10, 6, 5))
axes[2].set_xscale("log")
axes[2].set_ylim(0.38, 1.02)
axes[2].set_yticks(np.arange(5, 11) / 10)
save(fig, "22_dopamine")
