"""Through the sample or around it? Two estimators of one and the same gradient.

SAC's actor minimises E[α log π(a|s) − Q(s, a)]. Its gradient can be had in two ways. Through the sample: a = tanh(μ + σε), and
∂Q/∂a says which way a should move. Around it: ∇log π(a|s) times how bad a was, as REINFORCE does, without ever differentiating Q.
Both are right on average. With one sample for each of 256 states, and an actor and a critic half-way through training, this
measures how far a single estimate strays, and that the means agree. Takes a quarter of a minute.
"""

import numpy as np
from common import figure, save

import scratchac
from scratchac.experiments.plots import COLOURS

DRAWS, ALPHA = 1_000, 0.05
agent = scratchac.train("sac", "Pendulum-v1", steps=4_000, seed=0)
s = agent.memory.sample(np.random.default_rng(0), 256).obs
B = len(s)


def pathwise(y, eps, _):
    """∂/∂y mean[α log π − min Q] with ε held fixed: through a."""
    a, _, cache = agent.dist.sample(y, eps)
    q, critic_cache = agent.critic.forward(agent.w, np.concatenate([s, a], axis=1))
    smaller = q[..., 0].argmin(axis=0)
    dq = np.zeros_like(q)
    dq[smaller, np.arange(B)] = -1 / B
    da = agent.critic.backward(agent.w, critic_cache, dq, None, input_gradient=True).sum(axis=0)[:, s.shape[1]:]
    return agent.dist.backward(cache, da, np.full(B, ALPHA / B, s.dtype))


def score(y, eps, baseline):
    """mean[(α log π − min Q − b) ∂log π/∂y] with a held fixed: ∂log π/∂μ = ε/σ, ∂log π/∂log σ = ε² − 1."""
    a, logp, (_, log_std, slope, eps) = agent.dist.sample(y, eps)
    weight = ((ALPHA * logp - agent.value(s, a) - baseline) / B)[:, None]
    return weight * np.concatenate([(eps * eps - 1) * slope, eps / np.exp(log_std)], axis=1)


y, cache = agent.actor.forward(agent.theta, s)
rng = np.random.default_rng(1)
value = np.mean([-agent.value(s, agent.dist.sample(y, agent.dist.noise(rng, B))[0]) for _ in range(50)], axis=0)
ESTIMATORS = {"score function": (score, 0), "score function,\nbaseline V(s)": (score, value), "through the sample": (pathwise, 0)}

fig, (left, right) = figure("Variance of a single estimate", "One weight's gradient, estimate by estimate")
gradients = {}
for i, (name, (estimator, baseline)) in enumerate(ESTIMATORS.items()):
    rows = []
    for _ in range(DRAWS):
        agent.actor.backward(agent.theta, cache, estimator(y, agent.dist.noise(rng, B), baseline), agent.dtheta)
        rows.append(agent.dtheta.flat.copy())
    g = gradients[name] = np.array(rows, np.float64)
    variance = g.var(axis=0).sum()
    left.bar(name, variance, color=COLOURS[i])
    left.text(i, variance, f"{variance:.2g}", ha="center", va="bottom")
best = gradients["through the sample"]
k = best.var(axis=0).argmax()
for i, (name, g) in enumerate(gradients.items()):
    if i > 0:                                               # the first would be a flat line over a range a hundred times as wide
        right.hist(g[:, k], bins=60, density=True, alpha=0.6, color=COLOURS[i], label=name.replace("\n", " "))
    error = (g.mean(axis=0) - best.mean(axis=0)) / np.sqrt((g.var(axis=0) + best.var(axis=0)) / DRAWS + 1e-30)
    print(f"{name!r}: total variance {g.var(axis=0).sum():.3g}, {g.var(axis=0).sum() / best.var(axis=0).sum():.1f} times the last; "
          f"means differ by {np.sqrt(np.mean(error**2)):.2f} standard errors (root mean square over weights)")
left.set_yscale("log")
left.set_ylabel("sum of the variances of all weights")
left.margins(y=0.1)
right.set_xlabel("gradient of the weight that varies most")
right.set_ylabel("density")
right.legend(fontsize=8)
save(fig, __file__)
