# %% [markdown]
# # 12 · Temperature
# The cells of chapter 12. Run them from top to bottom.

# %% imports
import numpy as np

from scratchac.distributions import log_softmax
from scratchac.site import figures


# %% scale
def softmax_policy(q, alpha):
    """The best policy for the temperature α, exp(Q/α)/Z, and its entropy."""
    log_pi = log_softmax(q / alpha)
    pi = np.exp(log_pi)
    return pi, float(-pi @ log_pi)


q = np.array([1.0, 0.0, -1.0])
for factor in (100.0, 1.0, 0.01):
    pi, entropy = softmax_policy(factor * q, 0.2)
    print(f"rewards × {factor:6}: policy {pi.round(3)}   entropy {entropy:.3f}   largest possible {np.log(3):.3f}")

# %% dual
target = 0.8


def dual(alpha):
    """g(α) = max over π of E[Q] + α (H − H̄) = α log Z − α H̄."""
    return float(alpha * np.log(np.exp(q / alpha).sum()) - alpha * target)


alphas = np.linspace(0.2, 2.5, 231)
values = np.array([dual(x) for x in alphas])
low, high = 0.2, 2.5                                        # bisection for the α whose policy has the entropy H̄
for _ in range(60):
    middle = (low + high) / 2
    low, high = (low, middle) if softmax_policy(q, middle)[1] > target else (middle, high)
pi, entropy = softmax_policy(q, middle)
print(f"α {middle:.4f}   entropy {entropy:.4f}   E[Q] {pi @ q:.4f}   g(α) {dual(middle):.4f}   smallest g {values.min():.4f}")
assert abs(dual(middle) - pi @ q) < 1e-9 and abs(values.min() - dual(middle)) < 1e-4
figure = figures.figure(5.2, 2.8)
ax = figure.subplots()
ax.plot(alphas, values, label="g(α)")
ax.plot([middle], [dual(middle)], "o", label="its minimum: H = H̄")
ax.set_xlabel("temperature α")
ax.set_ylabel("bound on E[Q]")
ax.legend(fontsize=8)

# %% step-by-hand
pi, entropy = softmax_policy(np.array([1.0, 0.0]), 1.0)
slope = 1.0 * (entropy - 0.5)                               # ∂L/∂log α = α (H − H̄) with H̄ = 0.5
new_alpha = float(np.exp(0 - 0.1 * slope))                  # a step of size 0.1 on log α, from log 1 = 0
print(f"policy {pi.round(4)}   H {entropy:.4f}   ∂L/∂log α {slope:+.4f}   α after the step {new_alpha:.4f}")
assert pi.round(4).tolist() == [0.7311, 0.2689]
assert (round(entropy, 4), round(slope, 4), round(new_alpha, 4)) == (0.5822, 0.0822, 0.9918)


# %% both-sides
def settle(alpha, target, steps=300):
    """log α after gradient steps on L(α), each with the best policy for the present α; α and H now and then."""
    log_alpha, rows = np.log(alpha), []
    for step in range(steps + 1):
        alpha = np.exp(log_alpha)
        entropy = softmax_policy(q, alpha)[1]
        if step in (0, 10, 50, steps):
            rows.append((step, float(alpha), entropy))
        log_alpha -= 0.3 * alpha * (entropy - target)
    return rows


for start in (5.0, 0.1):
    print("   ".join(f"step {step}: α {alpha:.3f}, H {entropy:.3f}" for step, alpha, entropy in settle(start, target)))
    assert abs(settle(start, target)[-1][2] - target) < 1e-3

# %% sampled-step
logp, alpha, target_entropy = np.array([0.5, 1.5, -0.5, 0.5]), 0.2, -1.0        # SAC with one action feature
gradient = -alpha * (logp.mean() + target_entropy)
print(f"H is about {-logp.mean():+.1f}   H̄ {target_entropy:+.1f}   ∂L/∂log α {gradient:+.2f}")
assert round(float(gradient), 2) == 0.10

# %% units
half_log = 0.5 * np.log(2 * np.pi * np.e)                   # the entropy of N(0, 1)
sigma = float(np.exp(-1 - half_log))                        # the normal distribution whose entropy is −1
print(f"uniform on [−1, 1]: {np.log(2):.3f}   uniform on [−2, 2]: {np.log(4):.3f}   entropy −1: σ = {sigma:.3f}")
assert (round(np.log(2), 3), round(np.log(4), 3), round(sigma, 3)) == (0.693, 1.386, 0.089)

# %% no-such-policy
print("   ".join(f"step {step}: α {alpha:.3g}, H {entropy:.4f}" for step, alpha, entropy in settle(1.0, 1.2, 20)))
assert np.log(3) < 1.2 and settle(1.0, 1.2, 20)[-1][1] > 10
