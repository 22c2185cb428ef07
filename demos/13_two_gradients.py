# %% [markdown]
# # Through the sample or around it?
#
# Two estimators of one and the same gradient.
#
# SAC's actor minimises E[α log π(a|s) − Q(s, a)]. Its gradient can be had in two ways. Through the sample: a = tanh(μ + σε), and
# ∂Q/∂a says which way a should move. Around it: ∇log π(a|s) times how bad a was, as REINFORCE does, without ever differentiating Q.
# Both are right on average. With one sample for each of 256 states, and an actor and a critic half-way through training, this
# measures how far a single estimate strays, and that the means agree. The noise of a state is one number ε, so both can also be had
# without a sample, as sums over a fine grid of ε: the black marks. Takes a quarter of a minute.

# %%
import numpy as np
from common import figure, save

import scratchac
from scratchac import style
from scratchac.experiments.plots import COLOURS

DRAWS, ALPHA = 1_000, 0.05
BINS = np.linspace(-0.5, 3, 71)
GRID = np.linspace(-6, 6, 241)                                      # ε, and the weight of each under N(0, 1)
WEIGHTS = np.exp(-0.5 * GRID**2) / np.exp(-0.5 * GRID**2).sum()

# %% [markdown]
# An actor and a critic half-way through training, and 256 states.

# %%
agent = scratchac.train("sac", "Pendulum-v1", steps=4_000, seed=0, quiet=True)
s = agent.memory.sample(np.random.default_rng(0), 256).obs
B = len(s)

# %% [markdown]
# The two estimators, as gradients of the actor's outputs.

# %%
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

# %% [markdown]
# Mean and variance without a sample: sums over a grid of ε.

# %%
def weight_products():
    """Jᵢ Jᵢᵀ (B, 2, 2) with Jᵢ = ∂yᵢ/∂θ: one backward pass for each output of each state."""
    products = []
    for i in range(B):
        _, one = agent.actor.forward(agent.theta, s[i : i + 1])
        rows = []
        for output in np.eye(2, dtype=s.dtype):
            agent.actor.backward(agent.theta, one, output[None], agent.dtheta)
            rows.append(agent.dtheta.flat.astype(np.float64))
        products.append(np.stack(rows) @ np.stack(rows).T)
    return np.array(products)


def exact(estimator, baseline):
    """Mean of ∂L/∂y (B, 2), and the total variance of ∂L/∂θ = Σᵢ Jᵢᵀ dyᵢ: Σᵢ tr(Jᵢ Jᵢᵀ Cov dyᵢ), since the εᵢ are independent."""
    dy = np.array([estimator(y, np.full((B, 1), x, s.dtype), baseline) for x in GRID], np.float64)         # (nodes, B, 2)
    mean = np.tensordot(WEIGHTS, dy, 1)
    return mean, np.einsum("n,nbi,nbj,bij->", WEIGHTS, dy - mean, dy - mean, products)

# %% [markdown]
# Value as a baseline, and the three estimators.

# %%
y, cache = agent.actor.forward(agent.theta, s)
products = weight_products()
rng = np.random.default_rng(1)
value = np.mean([-agent.value(s, agent.dist.sample(y, agent.dist.noise(rng, B))[0]) for _ in range(50)], axis=0)
ESTIMATORS = {"score function": (score, 0), "score function,\nbaseline V(s)": (score, value), "through the sample": (pathwise, 0)}

# %% [markdown]
# A thousand estimates of each, beside the exact variance.

# %%
fig, (left, right) = figure("Variance of a single estimate (marks: exact)", "One weight's gradient, estimate by estimate")
gradients, means = {}, {}
for i, (name, (estimator, baseline)) in enumerate(ESTIMATORS.items()):
    rows = []
    for _ in range(DRAWS):
        agent.actor.backward(agent.theta, cache, estimator(y, agent.dist.noise(rng, B), baseline), agent.dtheta)
        rows.append(agent.dtheta.flat.copy())
    g = gradients[name] = np.array(rows, np.float64)
    variance = g.var(axis=0).sum()
    left.bar(name, variance, color=COLOURS[i])
    dy, truth = exact(estimator, baseline)
    agent.actor.backward(agent.theta, cache, dy.astype(s.dtype), agent.dtheta)
    means[name] = agent.dtheta.flat.astype(np.float64)
    left.plot([i - 0.4, i + 0.4], [truth, truth], color="black", lw=2)
    left.text(i, max(variance, truth) * 1.1, style.InFull()(float(f"{truth:.3g}")), ha="center", va="bottom", fontsize=style.SMALL)
    print(f"{name!r}: total variance {truth:.4g} exactly, {variance:.4g} of {DRAWS} samples")

# %% [markdown]
# Do the means agree?

# %%
best = gradients["through the sample"]
k = best.var(axis=0).argmax()
for i, (name, g) in enumerate(gradients.items()):
    if i > 0:                                               # the first would be a flat line over a range a hundred times as wide
        right.hist(g[:, k], BINS, density=True, histtype="step", lw=1.5, color=COLOURS[i], label=name.replace("\n", " "))
    error = (g.mean(axis=0) - best.mean(axis=0)) / np.sqrt((g.var(axis=0) + best.var(axis=0)) / DRAWS + 1e-30)
    apart = np.linalg.norm(means[name] - means["through the sample"]) / np.linalg.norm(means["through the sample"])
    print(f"{name!r}: the means differ by {np.sqrt(np.mean(error**2)):.2f} standard errors (root mean square over weights), "
          f"the exact ones by {apart:.1e} of their length")
right.axvline(means["through the sample"][k], color="black", lw=1.5, ls="--", label="exact mean")
left.set_yscale("log")
left.set_ylabel("sum of the variances of all weights")
left.margins(y=0.15)
right.set_xlabel("gradient of the weight that varies most")
right.set_ylabel("density")
save(fig, "13_two_gradients")
