"""What does a baseline do for REINFORCE?

It leaves the expected gradient alone and takes variance out of it, as far as it varies *with* the return. The left panel
shows what that is worth for learning CartPole; the right one measures it on a policy that stays as it is: a constant helps,
V(s) helps most, and a baseline that runs against the return makes things worse. Takes about a minute and a half.
"""

import numpy as np
from common import curves, figure, learning_curves, sample_episodes, save

import scratchac
from scratchac import losses, optim, returns
from scratchac.plots import COLOURS

ENV, STEPS, SEEDS = "CartPole-v1", 60_000, (0, 1, 2)
PARTLY, EPISODES, FIT_STEPS = 12_000, 200, 300      # steps behind the fixed policy; episodes to measure on; steps to fit V


def returns_of(episode):
    """Gₜ of each step, (T,), without a critic's help at the end."""
    return returns.monte_carlo(episode.rewards, np.zeros_like(episode.rewards), episode.term, episode.done, 0.99)[:, 0]


def fit_value(agent, episodes):
    """Regress the agent's critic on the returns of episodes of its present policy."""
    model, adam = agent.model, optim.Adam(agent.model.w.flat)
    s, g = agent.behaviour.see(np.concatenate([e.obs[:, 0] for e in episodes])), np.concatenate(list(map(returns_of, episodes)))
    for i in range(FIT_STEPS):
        v, cache = model.critic.forward(model.w, s)
        model.critic.backward(model.w, cache, losses.mse(v[:, 0], g)[1][:, None], model.dw)
        adam.step(model.dw.flat, 0.02 * (1 - i / FIT_STEPS))
    return g.mean()


def policy_gradient(agent, episode, baseline):
    """∇ of −Σₜ (Gₜ − b(sₜ)) log π(aₜ|sₜ) over one episode, as the agent's own update has it."""
    y, _, cache = agent.model.forward(agent.behaviour.see(episode.obs[:, 0]))
    logp, _, dist_cache = agent.dist.evaluate(y, episode.actions[:, 0])
    _, dlogp = losses.policy_gradient(logp, len(logp) * (returns_of(episode) - baseline))
    agent.model.backward(cache, agent.dist.backward(dist_cache, dlogp, np.zeros_like(dlogp)), np.zeros((len(logp), 1), np.float32))
    return agent.model.dtheta.flat.astype(np.float64)


fig, (left, right) = figure("Learning CartPole-v1, mean and range of 3 seeds", "One fixed policy, gradient of one episode")
learning_curves(left, {name: curves(name, ENV, SEEDS, steps=STEPS)[0] for name in ("reinforce", "reinforce-baseline")})

agent = scratchac.train("reinforce-baseline", ENV, PARTLY)
mean_g = fit_value(agent, sample_episodes(agent, ENV, EPISODES, seed=1))        # other episodes than those measured on
episodes = sample_episodes(agent, ENV, EPISODES, seed=2)
baselines = {"none": lambda v: 0 * v, "mean of G": lambda v: 0 * v + mean_g, "V(s)": lambda v: v, "−V(s)": lambda v: -v}
gradients = {name: np.stack([policy_gradient(agent, e, b(agent.model.value(e.obs[:, 0])[:, 0])) for e in episodes])
             for name, b in baselines.items()}
variance = {name: g.var(axis=0, ddof=1).sum() for name, g in gradients.items()}
right.bar(list(variance), [x / variance["none"] for x in variance.values()], color=COLOURS)
right.set_ylabel("total variance (no baseline = 1)")
right.set_xlabel("baseline")
for i, (name, x) in enumerate(variance.items()):
    change = gradients[name] - gradients["none"]
    # With an unchanged expectation, |mean change|² is its sampling error, tr Cov(change)/n, on average: a ratio about 1.
    ratio = EPISODES * (change.mean(axis=0) ** 2).sum() / max(change.var(axis=0, ddof=1).sum(), 1e-12)
    right.text(i, x / variance["none"], f"{x / variance['none']:.2f}", ha="center", va="bottom")
    print(f"{name:10} variance {x / variance['none']:.2f}, shift of the mean gradient / its sampling error {ratio:.2f}")
save(fig, __file__)
