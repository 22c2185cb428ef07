# %% [markdown]
# # What does a baseline do for REINFORCE?
#
# It leaves the expected gradient alone and takes variance out of it, as far as it varies *with* the return. The left panel
# shows what that is worth for learning CartPole; the right one measures it on a policy that stays as it is: a constant helps,
# V(s) helps more, and a baseline that runs against the return makes things worse. Beside the samples from CartPole stands a world
# whose trajectories can all be listed (`scratchac microscope`): there the variances are sums, and the mean is the same to 1e-14.
# Takes about a minute.

# %%
import numpy as np
from common import curves, figure, learning_curves, sample_episodes, save

import scratchac
from scratchac import losses, optim, returns
from scratchac.experiments.plots import COLOURS
from scratchac.lab.microscope import Microscope

ENV, STEPS, SEEDS = "CartPole-v1", 60_000, (0, 1, 2)
PARTLY, EPISODES, FIT_STEPS = 8_000, 500, 2_000     # steps behind the fixed policy; episodes to measure on; steps to fit V

# %% [markdown]
# What the measurement takes: returns, a critic that is fitted to them, and the gradient of one episode.

# %%
def returns_of(episode):
    """Gₜ of each step, (T,), without a critic's help at the end."""
    return returns.monte_carlo(episode.rewards, np.zeros_like(episode.rewards), episode.term, episode.done, 0.99)[:, 0]


def fit_value(agent, episodes):
    """Regress the agent's critic on the returns of episodes of its present policy; return their mean."""
    model, adam, rng = agent.model, optim.Adam(agent.model.w.flat), np.random.default_rng(0)
    s, g = np.concatenate([e.obs[:, 0] for e in episodes]), np.concatenate([returns_of(e) for e in episodes])
    for i in range(FIT_STEPS):
        rows = rng.integers(len(g), size=256)
        v, cache = model.critic.forward(model.w, s[rows])
        model.critic.backward(model.w, cache, losses.mse(v[:, 0], g[rows])[1][:, None], model.dw)
        adam.step(model.dw.flat, 0.01 * (1 - i / FIT_STEPS))
    return g.mean()


def policy_gradient(agent, episode, baseline):
    """∇ of −Σₜ (Gₜ − b(sₜ)) log π(aₜ|sₜ) over one episode, from the parts that the agent's own update is made of."""
    y, cache = agent.model.actor.forward(agent.model.theta, episode.obs[:, 0])
    logp, _, dist_cache = agent.dist.evaluate(y, episode.actions[:, 0])
    _, dlogp = losses.policy_gradient(logp, len(logp) * (returns_of(episode) - baseline))
    agent.model.actor.backward(agent.model.theta, cache, agent.dist.backward(dist_cache, dlogp, 0 * dlogp), agent.model.dtheta)
    return agent.model.dtheta.flat.astype(np.float64)

# %% [markdown]
# How CartPole is learnt without a baseline and with one.

# %%
fig, (left, right) = figure("Learning CartPole-v1, mean and range of 3 seeds", "Gradient from one episode of a fixed policy")
learning_curves(left, {name: curves(name, ENV, SEEDS, steps=STEPS) for name in ("reinforce", "reinforce-baseline")})

# %% [markdown]
# A policy that stays as it is, its episodes, and the gradient of each of them under four baselines.

# %%
agent = scratchac.train("reinforce-baseline", ENV, PARTLY, quiet=True)
mean_g = fit_value(agent, sample_episodes(agent, ENV, EPISODES, seed=1))    # other episodes than the ones measured on
episodes = sample_episodes(agent, ENV, EPISODES, seed=2)
print(f"fixed policy: {np.mean([len(e.rewards) for e in episodes]):.0f} steps an episode")
baselines = {"none": lambda v: 0 * v, "mean of G": lambda v: 0 * v + mean_g, "V(s)": lambda v: v, "−V(s)": lambda v: -v}
gradients = {name: np.stack([policy_gradient(agent, e, b(agent.model.value(e.obs[:, 0])[:, 0])) for e in episodes])
             for name, b in baselines.items()}

# %% [markdown]
# Total variance of each, beside the exact one of a world whose trajectories are all listed.

# %%
unit = gradients["none"].var(axis=0).sum()
corridor = Microscope(gamma=0.99)
listed = {"none": 0.0, "mean of G": corridor.J(), "V(s)": corridor.values()[0], "−V(s)": -corridor.values()[0]}
exact = {name: corridor.estimate(corridor.reinforce(b)) for name, b in listed.items()}
for i, (name, g) in enumerate(gradients.items()):
    variance, change = g.var(axis=0).sum() / unit, g - gradients["none"]
    # Where the expectation is unchanged, the mean change is sampling error alone: |mean|² ≈ tr Cov(change) / n.
    shift = np.sqrt(EPISODES * (change.mean(axis=0) ** 2).sum() / max(change.var(axis=0).sum(), 1e-12))
    sums = exact[name].variance / exact["none"].variance
    for x, height, colour, label in ((i - 0.2, variance, COLOURS[2], f"CartPole, {EPISODES} samples"),
                                     (i + 0.2, sums, "0.4", "corridor, exact")):
        right.bar_label(right.bar(x, height, 0.38, color=colour, label=label if i == 0 else None), fmt="%.2f", fontsize=8)
    print(f"baseline {name:9}  variance {variance:.2f}  shift of the mean gradient in standard errors {shift:.1f}  "
          f"corridor: variance {sums:.3f}, bias {exact[name].bias:.0e} of the gradient")
right.margins(y=0.12)
right.set_xticks(range(len(gradients)), list(gradients))
right.set_xlabel("baseline")
right.set_ylabel("total variance (1 = no baseline)")
save(fig, "01_reinforce_baseline")
