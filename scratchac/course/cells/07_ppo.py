# %% [markdown]
# # PPO: the numbers and figures of chapter 7

# %%
import numpy as np
from matplotlib.figure import Figure

from scratchac import losses, normalise
from scratchac.distributions import Categorical, log_softmax

# %% ratio-by-hand
old, new, f = np.array([0.8, 0.2]), np.array([0.5, 0.5]), np.array([1.0, 3.0])
rho = new / old
print("ρ", rho, "  E_old[ρ f] =", round(float(old @ (rho * f)), 6), "  E_new[f] =", round(float(new @ f), 6))
for p in (0.8, 0.5, 0.1, 0.01):
    pi = np.array([p, 1 - p])
    print(f"π = ({p:4}, {1 - p:4.2f})   E_old[ρ²] = {old @ (pi / old) ** 2:.3f}")
assert np.allclose(rho, [0.625, 2.5]) and np.isclose(old @ (rho * f), 2) and np.isclose(old @ rho**2, 1.5625)

# %% first-step
logp, advantages = np.log([0.3, 0.6, 0.2]), np.array([1.5, -1.0, 0.5])
_, same = losses.clipped_surrogate(logp, logp, advantages, 0.2)     # ρ = 1
assert np.allclose(same, losses.policy_gradient(logp, advantages)[1])
print("∂L/∂log π at ρ = 1:", same.round(3))

# %% kl-by-hand
kl = float(old @ np.log(old / new))
estimate = rho - 1 - np.log(rho)  # what PPO averages; its mean is the KL divergence
print(f"KL(old, new) = {kl:.4f}   ρ − 1 − log ρ = {estimate.round(4)}   mean {old @ estimate:.4f}")
assert np.isclose(kl, 0.8 * np.log(1.6) + 0.2 * np.log(0.4))
assert np.isclose(kl, old @ estimate) and (estimate >= 0).all()

# %% surrogate
P = np.array([[[0.5, 0.4], [0.1, 0.7]], [[0.6, 0.2], [0.0, 0.9]]])  # P[s, a, s′], the example of MATH.md
R, start, gamma = np.array([[0.0, 1.0], [2.0, -1.0]]), np.array([1.0, 0.0]), 0.9


def solve(theta):
    """Policy, J, advantages and occupancy."""
    pi = np.exp(log_softmax(theta))
    P_pi = np.einsum("sa,sat->st", pi, P)
    v = np.linalg.solve(np.eye(2) - gamma * P_pi, (pi * R).sum(axis=1))
    d = np.linalg.solve(np.eye(2) - gamma * P_pi.T, start)
    return pi, start @ v, R + gamma * P @ v - v[:, None], d


theta = np.array([[0.3, -0.2], [0.5, 0.1]])
pi, J, A, d = solve(theta)
direction = np.array([[0.5, -0.5], [0.5, -0.5]])
x = np.linspace(-4, 4, 81)
gain, lemma, surrogate = [], [], []
for step in x:
    pi_new, J_new, _, d_new = solve(theta + step * direction)
    gain.append(J_new - J)
    lemma.append(d_new @ (pi_new * A).sum(axis=1))
    surrogate.append(d @ (pi_new * A).sum(axis=1))
figure = Figure(figsize=(5.8, 3), layout="constrained")
ax = figure.subplots()
ax.plot(x, gain, label="J(new) − J(old)")
ax.plot(x, surrogate, ls="--", label="surrogate, with the old occupancy")
ax.axvline(0, color="grey", lw=0.8, ls=":")
ax.set(xlabel="step from the old parameters", ylabel="improvement")
ax.legend(fontsize=8)
assert np.allclose(gain, lemma)  # the performance difference lemma
slopes = (gain[41] - gain[39]) / 0.2, (surrogate[41] - surrogate[39]) / 0.2
assert abs(slopes[0] - slopes[1]) < 0.01 * abs(slopes[0])
best_true, best_surrogate = x[np.argmax(gain)], x[np.argmax(surrogate)]
promised, kept = max(surrogate), gain[int(np.argmax(surrogate))]

# %% four-cells
ratio, adv = np.array([0.5, 1.0, 1.5, 0.5, 1.0, 1.5]), np.array([1.0, 1, 1, -1, -1, -1])
eps = 0.2
loss, dlogp = losses.clipped_surrogate(np.log(ratio), np.zeros(6), adv, eps)
clipped = np.clip(ratio, 1 - eps, 1 + eps) * adv
smaller = np.minimum(ratio * adv, clipped)
for row in zip(adv, ratio, ratio * adv, clipped, smaller, -6 * dlogp + 0.0, strict=True):
    print("A {:+.0f}  ρ {:.1f}  ρA {:+.1f}  clipped {:+.1f}  smaller {:+.1f}  gradient {:+.1f}".format(*row))
assert np.allclose(smaller, [0.5, 1, 1.2, -0.8, -1, -1.5]) and np.isclose(loss, -smaller.mean())
assert np.allclose(-6 * dlogp, [0.5, 1, 0, 0, -1, -1.5])
_, self_test = losses.clipped_surrogate(np.log([0.4]), np.log([0.25]), np.array([-2.0]), 0.2)
assert np.isclose(-self_test[0], -3.2)

# %% clip
figure = Figure(figsize=(5.8, 2.8), layout="constrained")
grid = np.linspace(0, 2, 201)
for ax, sign in zip(figure.subplots(1, 2), (1, -1), strict=True):
    ax.plot(grid, grid * sign, color="grey", lw=0.8, ls="--", label="ρA")
    ax.plot(grid, np.minimum(grid * sign, np.clip(grid, 1 - eps, 1 + eps) * sign), label="the smaller one")
    ax.axvline(1, color="grey", lw=0.8, ls=":")
    ax.set(title="A = +1" if sign > 0 else "A = −1", xlabel="ρ")
    ax.legend(fontsize=8)

# %% many-passes
rng, rows, dist = np.random.default_rng(0), 256, Categorical(3)
s = np.concatenate([rng.standard_normal((rows, 5)), np.ones((rows, 1))], axis=1)  # features of 256 observations
first = 0.3 * rng.standard_normal((6, 3))  # a linear network
a = dist.sample(s @ first, dist.noise(rng, rows))
noisy = (a == 1) - 0.5 + rng.standard_normal(rows)  # advantages: action 1 is better, and much noise
logp_old = dist.evaluate(s @ first, a)[0]


def passes(kind, count=150, lr=1.0):
    """KL divergence from the old policy after each of many gradient steps on the same rows, and the largest ρ at the end."""
    theta, found = first.copy(), []
    for _ in range(count):
        logp, _, cache = dist.evaluate(s @ theta, a)
        if kind == "no ratio":
            _, dlogp = losses.policy_gradient(logp, noisy)
        else:
            _, dlogp = losses.clipped_surrogate(logp, logp_old, noisy, 0.2 if kind == "clipped" else 1e9)
        theta -= lr * s.T @ dist.backward(cache, dlogp, np.zeros(rows))
        old, new = log_softmax(s @ first), log_softmax(s @ theta)
        found.append((np.exp(old) * (old - new)).sum(axis=1).mean())
    return np.array(found), np.exp(dist.evaluate(s @ theta, a)[0] - logp_old)


figure = Figure(figsize=(5.8, 3), layout="constrained")
ax = figure.subplots()
end, ratios = {}, {}
for kind in ("no ratio", "not clipped", "clipped"):
    divergence, ratios[kind] = passes(kind)
    end[kind] = divergence[-1]
    ax.plot(np.arange(1, 151), divergence, label=kind)
ax.set(xlabel="gradient steps on the same rows", ylabel="KL divergence", yscale="log")
ax.legend(fontsize=8)
kl_no_ratio, kl_not_clipped, kl_clipped = end["no ratio"], end["not clipped"], end["clipped"]
outside = float((abs(ratios["clipped"] - 1) > 0.2).mean())
smallest, largest = ratios["clipped"].min(), ratios["clipped"].max()
assert 10 * 2048 / 64 == 320                                        # gradient steps of ten epochs
assert kl_clipped < kl_not_clipped and kl_clipped < kl_no_ratio

# %% normalised
three = np.array([1.0, 2.0, 3.0])
print("(1, 2, 3) becomes", ((three - three.mean()) / (three.std() + 1e-8)).round(3))
print("(101, 102, 103) becomes", ((three + 100 - (three + 100).mean()) / (three.std() + 1e-8)).round(3))
assert np.allclose((three - 2) / three.std(), [-np.sqrt(1.5), 0, np.sqrt(1.5)])

# %% merged
seen = normalise.RunningMeanStd()
for group in ([1.0, 3.0], [5.0, 7.0, 9.0]):
    seen.update(np.array(group))
    print(f"count {seen.count}   mean {seen.mean}   M₂ {seen.m2}   variance {seen.m2 / seen.count}")
assert (float(seen.mean), float(seen.m2)) == (5.0, 40.0)
assert np.isclose(np.var([1, 3, 5, 7, 9]), 40 / 5)
