# %% [markdown]
# # What is a policy gradient?
#
# REINFORCE on two levers, with the exact gradient beside it.
#
# A lever pays 1 or nothing: the left one with probability 0.3, the right one with 0.7. The policy is π(a) = exp(y_a) / Σ exp(y),
# and the two numbers y are all that is learnt. Its objective is the expected reward J(y) = Σₐ π(a) q(a), where q(a) is what lever a
# pays on average. A learner does not know q, so it cannot differentiate J. But because ∂π/∂y = π ∂log π/∂y,
#
#     ∇J = Σₐ q(a) ∇π(a) = Σₐ π(a) q(a) ∇log π(a) = E[ r ∇log π(a) ]
#
# and r ∇log π(a) can be computed from one pull of one lever. Takes a second.

# %%
import numpy as np
from common import figure, save

from scratchac.distributions import Categorical
from scratchac.experiments.plots import COLOURS

PAYS = np.array([0.3, 0.7])             # q(a): how often each lever pays
LR, PULLS, LEARNERS = 0.2, 400, 200

dist = Categorical(2)
rng = np.random.default_rng(0)

# %% [markdown]
# One pull, the gradient that it alone gives, and the exact gradient.

# %%
def pull(y):
    """One pull for each row of y (B, 2): the actions (B,) and what they paid (B,)."""
    a = dist.sample(y, dist.noise(rng, len(y)))
    return a, (rng.random(len(y)) < PAYS[a]).astype(float)


def estimate(y, a, r):
    """r ∇log π(a), from the pull alone, (B, 2)."""
    _, _, cache = dist.evaluate(y, a)
    return dist.backward(cache, r, np.zeros_like(r))


def exact(y):
    """∇J: the same, averaged over both levers with their probabilities and over what they pay, (B, 2)."""
    levers = [np.full(len(y), a) for a in (0, 1)]
    return sum(np.exp(dist.evaluate(y, a)[0])[:, None] * estimate(y, a, PAYS[a]) for a in levers)


def right_lever(y):
    """The probability of the better lever."""
    return np.exp(dist.evaluate(y, np.ones(len(y), int))[0])

# %% [markdown]
# The policy is still undecided: 10,000 single pulls, and the gradient that each of them gives.

# %%
fig, (left, middle) = figure("One pull's gradient, 10,000 times", f"{LEARNERS} learners, and the exact gradient")
y = np.zeros((10_000, 2))
g = estimate(y, *pull(y))[:, 1]                                         # the right lever's coordinate; the left one's is −g
values, counts = np.unique(g, return_counts=True)
left.bar(values, counts / len(g), 0.06, color=COLOURS[0], alpha=0.5, label="r ∂log π(a)/∂y of single pulls")
left.axvline(g.mean(), color=COLOURS[0], label=f"their mean, {g.mean():.3f}")
left.axvline(exact(y[:1])[0, 1], color="black", ls="--", label=f"∂J/∂y, {exact(y[:1])[0, 1]:.3f}")
left.set(xlabel="gradient of the right lever's y", ylabel="share of the pulls")

# %% [markdown]
# Now 200 learners follow their own pulls, and one follows the exact gradient.

# %%
y, ascent, seen = np.zeros((LEARNERS, 2)), np.zeros((1, 2)), []
for _ in range(PULLS):
    seen.append((right_lever(y), right_lever(ascent)[0]))
    y += LR * estimate(y, *pull(y))                                     # REINFORCE
    ascent += LR * exact(ascent)                                        # what it does on average, for small steps
learners, exactly = np.array([x for x, _ in seen]), np.array([x for _, x in seen])
for one in learners.T[:30]:
    middle.plot(one, color=COLOURS[0], lw=0.4, alpha=0.5)
middle.plot(learners.mean(axis=1), color=COLOURS[0], label="REINFORCE, mean (thin: 30 of them)")
middle.plot(exactly, color="black", ls="--", label="steps along the exact ∇J")
middle.set(xlabel="pulls", ylabel="probability of the better lever", ylim=(0, 1))
print(f"after {PULLS} pulls: REINFORCE {learners[-1].mean():.3f} (from {learners[-1].min():.3f}), exact {exactly[-1]:.3f}")
save(fig, "00_policy_gradient")
