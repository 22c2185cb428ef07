# %% [markdown]
# # How many real rewards before one trusts the critic?
#
# Bias and variance of k-step returns and of GAE(λ).
#
# A random walk over 19 states (Sutton & Barto 2018, example 7.1), where the true values are known exactly. The critic knows
# nothing yet: V̂ = 0. After few real rewards the estimate has the critic's error (bias) and hardly scatters; after all of them
# it has no bias, and all the randomness of the walk (variance). The sum is smallest in between, and smaller for λ than for any
# single k, because λ mixes them all. Dots are sampled; the lines are exact, since mean and second moment of an estimate have
# Bellman equations of their own. Takes about ten seconds.

# %%
from types import SimpleNamespace

import gymnasium as gym
import numpy as np
from common import figure, sample_episodes, save

from scratchac import returns
from scratchac.distributions import Categorical
from scratchac.experiments.plots import COLOURS
from scratchac.training.memory import Batch

STATES, EPISODES, GAMMA = 19, 2_000, 1.0
VALUES = np.arange(STATES + 2) / 10 - 1                             # v(s) = (s − 10)/10 for states 1 … 19
CRITIC = np.zeros(STATES + 2)                                       # V̂(s); try others, with 0 at both ends

# %% [markdown]
# The world, and bias and variance of what was sampled in it.

# %%
class RandomWalk(gym.Env):
    """States 1 … 19, from the middle one step left or right; reward −1 for leaving on the left, +1 on the right."""

    observation_space, action_space = gym.spaces.Box(0, STATES + 1, (1,), np.float64), gym.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.state = (STATES + 1) // 2
        return np.array([self.state], np.float64), {}

    def step(self, action):
        self.state += 1 if action else -1
        reward = float(self.state > STATES) - float(self.state < 1)
        return np.array([self.state], np.float64), reward, reward != 0, False, {}


def bias2_and_variance(estimates):
    """Of the estimates (T, 1) over all visits to a state, averaged over the states."""
    visits = [estimates[state == s] for s in range(1, STATES + 1)]
    return np.mean([((x.mean() - VALUES[s]) ** 2, x.var()) for s, x in enumerate(visits, start=1)], axis=0)

# %% [markdown]
# Bias and variance exactly: Bellman equations of the mean and of the second moment.

# %%
def both_sides(x):
    """x(s − 1) and x(s + 1) for the states 1 … 19, (2, 19): what a step may lead to, each with probability ½."""
    return np.stack([x[:-2], x[2:]])


def exact_n_step(k):
    """bias² and variance of Gₜ⁽ᵏ⁾, averaged over states: X⁽ᵏ⁾ = r + X⁽ᵏ⁻¹⁾(s′), so E[X²] = E[r² + 2r E[X⁽ᵏ⁻¹⁾] + E[X⁽ᵏ⁻¹⁾²]]."""
    mean, second = CRITIC.copy(), CRITIC**2
    for _ in range(k):
        m, q = both_sides(mean), both_sides(second)
        mean[1:-1], second[1:-1] = (REWARD + m).mean(axis=0), (REWARD**2 + 2 * REWARD * m + q).mean(axis=0)
    return summary(mean[1:-1], second[1:-1])


def exact_lambda(lam):
    """The same of the λ-return X = c + λX(s′) with c = r + (1 − λ)V̂(s′): two linear systems, one for E[X] and one for E[X²]."""
    P, c = both_sides(np.eye(STATES + 2)[:, 1:-1]).mean(axis=0), REWARD + (1 - lam) * both_sides(CRITIC)
    mean = np.linalg.solve(np.eye(STATES) - lam * P, c.mean(axis=0))
    second = np.linalg.solve(np.eye(STATES) - lam**2 * P, (c**2 + 2 * lam * c * both_sides(np.pad(mean, 1))).mean(axis=0))
    return summary(mean, second)


def summary(mean, second):
    """bias² and variance, averaged over the states, from E[X] and E[X²] of each."""
    return ((mean - VALUES[1:-1]) ** 2).mean(), (second - mean**2).mean()

# %% [markdown]
# Two thousand walks.

# %%
REWARD = both_sides(np.array([-1, *[0] * STATES, 1]))               # of a step down, of a step up
coin = np.random.default_rng(0)
walker = SimpleNamespace(sample=lambda obs: coin.integers(2, size=len(obs)), dist=Categorical(2), dtype=np.float64)
# All walks, one after another, are one long batch: `done` keeps the estimators from looking into the next walk.
walks = Batch(*map(np.concatenate, zip(*sample_episodes(walker, RandomWalk, EPISODES, seed=0), strict=True)))
state, next_state = (x[..., 0].astype(int) for x in (walks.obs, walks.next_obs))            # (T, 1) each
r, v, v_next, ends = walks.rewards, CRITIC[state], CRITIC[next_state], (walks.term, walks.done)

# %% [markdown]
# Every k and every λ, sampled and exactly.

# %%
powers = 2 ** np.arange(11)
lambdas = np.append(1 - 1 / powers[:-1], 1)                         # λ looks about 1/(1 − λ) = 1, 2, 4, … steps ahead
fig, axes = figure("k-step return (lines: exact, dots: sampled)", "GAE(λ), with V̂ added back (lines: exact, dots: sampled)")
for ax, name, x, ticks, estimates, exact in (
    (axes[0], "k", powers, powers, [returns.n_step(r, v_next, *ends, GAMMA, k) for k in powers], exact_n_step),
    (axes[1], "λ", powers, lambdas, [v + returns.gae(r, v, v_next, *ends, GAMMA, lam) for lam in lambdas], exact_lambda),
):
    sampled = np.transpose([bias2_and_variance(e) for e in estimates])
    bias2, variance = np.transpose([exact(tick) for tick in ticks])
    for label, dots, y, colour in (("bias²", sampled[0], bias2, 0), ("variance", sampled[1], variance, 1),
                                   ("their sum", sampled.sum(axis=0), bias2 + variance, 2)):
        ax.plot(x, dots, "o", ms=4, color=COLOURS[colour])
        ax.plot(x, y, color=COLOURS[colour], label=label)
    ax.set_xscale("log", base=2)
    ax.set_xticks(x, [f"{tick:.4g}" for tick in ticks], fontsize=7)
    ax.set(xlabel=name, ylabel="average over the states")
    best = np.argmin(bias2 + variance)
    print(f"exact, {name} from {ticks[0]:g} to {ticks[-1]:g}: bias² {bias2[0]:.3f} → {bias2[-1]:.3f}, variance {variance[0]:.3f} → "
          f"{variance[-1]:.3f}; the sum is least, {bias2[best] + variance[best]:.3f}, at {ticks[best]:.3g}. "
          f"Samples are off by {np.abs(sampled - [bias2, variance]).max():.3f} at most")
save(fig, "03_bias_variance")
