# %% [markdown]
# # A2C: the numbers and figures of chapter 6

# %%
import math

import numpy as np
from matplotlib.figure import Figure

from scratchac import distributions, losses, optim, returns
from scratchac.algorithms.a2c import Config
from scratchac.distributions import Categorical, log_softmax
from scratchac.policies import SharedBody


# %% variance
def share(n, c):
    """Variance of the mean of n numbers of variance 1 whose pairs have the correlation c."""
    return 1 / n + (1 - 1 / n) * c


for c in (0.0, 0.2, 0.5, 1.0):
    print(f"correlation {c:3}:  16 rows leave {share(16, c):.4f} of the variance of one")
rng = np.random.default_rng(0)
common, own = rng.standard_normal((100_000, 1)), rng.standard_normal((100_000, 16))
measured = (math.sqrt(0.2) * common + math.sqrt(0.8) * own).mean(axis=1).var()
assert abs(measured - share(16, 0.2)) < 0.01
half = share(16, 0.5)

# %% batch-by-hand
r = np.ones((3, 2))  # T = 3 steps of N = 2 environments
v = np.array([[1.0, 1.0], [2.0, 2.0], [0.0, 3.0]])
v_next = np.array([[2.0, 2.0], [0.0, 9.0], [4.0, 5.0]])  # V(s′); the 9 is behind a terminal state
term = np.array([[0.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
adv = returns.gae(r, v, v_next, term, term, 0.5, 1.0)  # (3, 2); γ = ½, λ = 1
print("advantages", adv.tolist())
print("targets   ", (v + adv).tolist())
print("∂L/∂log π ", losses.policy_gradient(np.zeros(6), adv.ravel())[1].round(3).tolist())
assert adv.tolist() == [[1.25, 0.5], [0.5, -1.0], [3.0, 0.5]]
assert (v + adv).tolist() == [[2.25, 1.5], [2.5, 1.0], [3.0, 3.5]]

# %% entropy-by-hand
dist = Categorical(2)
for p in (0.5, 0.9, 0.99):
    _, entropy, cache = dist.evaluate(np.log([[p, 1 - p]]), np.array([0]))
    slope = dist.backward(cache, np.zeros(1), np.ones(1))[0]        # ∂H/∂y
    print(f"π = ({p:.2f}, {1 - p:.2f})   H = {entropy[0]:.3f}   ∂H/∂y = {slope.round(3) + 0.0}")
    assert abs(entropy[0] + p * math.log(p) + (1 - p) * math.log(1 - p)) < 1e-12
    assert abs(slope[0] + p * (math.log(p) + entropy[0])) < 1e-12 and abs(slope.sum()) < 1e-12

# %% bonus
q = np.array([1.0, 0.0])  # two actions, one is worth 1 more
betas = (0.0, 0.1, 0.5, 2.0)
figure = Figure(figsize=(5.8, 3), layout="constrained")
left, right = figure.subplots(1, 2)
p = np.linspace(0.001, 0.999, 999)
H = -(p * np.log(p) + (1 - p) * np.log(1 - p))
left.plot(p, H)
left.set(xlabel="probability of the first action", ylabel="entropy H", title="entropy of two actions")
best = {}
for beta in betas:
    gain = p * q[0] + beta * H
    best[beta] = p[gain.argmax()]
    line = right.plot(p, gain, label=f"β = {beta:g}")[0]
    right.plot(best[beta], gain.max(), "o", color=line.get_color())
right.set(xlabel="probability of the first action", ylabel="E[Q] + βH", title="what the bonus adds")
right.legend(fontsize=8)
chosen = math.exp(log_softmax(q / 0.5)[0])
assert abs(chosen - best[0.5]) < 1e-3 and abs(chosen - 1 / (1 + math.exp(-2))) < 1e-12

# %% gaussian
gauss = distributions.Gaussian(-np.ones(1), np.ones(1), state_dependent_std=True)
y, a = np.array([[np.log(0.5), 1.0]]), np.array([[2.0]])    # the network's outputs [log σ | μ], and the action
logp, _, cache = gauss.evaluate(y, a)
d_log_std, d_mu = gauss.backward(cache, np.ones(1), np.zeros(1))[0]
print(f"log π = {logp[0]:.3f}, its derivative by log σ {d_log_std:.1f}, by μ {d_mu:.1f}")
assert np.isclose(logp[0], -2 + np.log(2) - 0.5 * np.log(2 * np.pi)) and np.isclose([d_log_std, d_mu], [3, 4]).all()

# %% shared-body
B, rng = 256, np.random.default_rng(0)
dist = Categorical(3)
body = SharedBody(6, dist, 1, Config(), rng, np.float64)
s, a = rng.standard_normal((B, 6)), rng.integers(3, size=B)
y, value, cache = body.forward(s)
logp, _, dist_cache = dist.evaluate(y, a)


def gradient(actor, critic, scale):
    """Length of the gradient in what both heads share, if the returns are about −60 · scale."""
    target = scale * (-60 + 10 * rng_returns)
    advantage = target - value[:, 0]
    dy = dist.backward(dist_cache, losses.policy_gradient(logp, advantage)[1], np.zeros(B))
    dv = 0.5 * losses.mse(value[:, 0], target)[1][:, None]
    body.backward(cache, actor * dy, critic * dv)
    return np.concatenate([body.grads[name].ravel() for name in ("W1", "b1", "W2", "b2")])


rng_returns = rng.standard_normal(B)
norms = {}
for scale in (1.0, 1 / 60):
    actor, critic, both = gradient(1, 0, scale), gradient(0, 1, scale), gradient(1, 1, scale)
    assert np.allclose(actor + critic, both)
    norms[scale] = np.linalg.norm(actor), np.linalg.norm(critic)
    print(f"returns of about {-60 * scale:3.0f}:  actor's gradient {norms[scale][0]:.4f}, critic's {norms[scale][1]:.4f}, "
          f"ratio 1 : {norms[scale][1] / norms[scale][0]:.0f}")
ratio = norms[1.0][1] / norms[1.0][0]

# %% proximal
w_old, g, lr, kappa = np.array([1.0]), np.array([2.0]), 0.1, 5.0
print("gradient of κ(w − w_old)² at w_old:", losses.proximal(w_old, w_old, kappa)[1])
w = w_old - lr * g
optim.proximal_step(w, w_old, lr, kappa)
print(f"gradient step {-lr * g[0]:.1f}, proximal step {w[0] - w_old[0]:.1f}")
assert abs(w[0] - w_old[0] + lr * g[0] / (1 + 2 * lr * kappa)) < 1e-12 and abs(w[0] - 0.9) < 1e-12

# %% delay
def follow(delay, lr=0.5, steps=40):
    """Steps along the gradient of ½x², taken at the x of `delay` steps before."""
    x = [1.0] * (delay + 1)
    for _ in range(steps):
        x.append(x[-1] - lr * x[-1 - delay])
    return np.array(x[delay:])


figure = Figure(figsize=(5.8, 2.6), layout="constrained")
ax = figure.subplots()
for delay in (0, 1, 3):
    ax.plot(follow(delay), label=f"gradient {delay} steps old")
ax.set(xlabel="step", ylabel="x", ylim=(-3, 3))
ax.legend(fontsize=8)
limit_3 = 2 * math.sin(math.pi / 14)
late = follow(3)[-10:]
assert abs(late).max() > 1 and abs(follow(1)[-1]) < 1e-3 and abs(follow(3, limit_3 - 0.02, 2000)[-1]) < 1e-3
