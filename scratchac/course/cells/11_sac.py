# %% [markdown]
# # 11 · SAC
# The cells of chapter 11. Run them from top to bottom.

# %% imports
import numpy as np

from scratchac import distributions
from scratchac.lab import exact
from scratchac.site import figures


# %% two-good-actions
def soft(p, q, alpha):
    """E[Q] + α H of the probabilities p; 0 · log 0 counts as 0."""
    return float(p @ q - alpha * p @ np.log(np.where(p > 0, p, 1)))


alpha, q = 0.2, np.array([1.0, 1.0, 0.0])                   # two actions are equally good
best = np.exp(q / alpha) / np.exp(q / alpha).sum()
for name, p in (("the first only", np.eye(3)[0]), ("half and half", np.array([0.5, 0.5, 0])), ("exp(Q/α)/Z", best),
                ("uniform", np.full(3, 1 / 3))):
    print(f"{name:15} p {p.round(4)}   E[Q] {p @ q:.4f}   E[Q] + αH {soft(p, q, alpha):.4f}")
assert round(soft(best, q, alpha), 4) == round(alpha * np.log(np.exp(q / alpha).sum()), 4) == 1.1393
assert round(np.exp(1 / 0.2), 2) == 148.41 and round(np.exp(q / alpha).sum(), 2) == 297.83

# %% soft-target
pi, q_next = np.array([0.8, 0.2]), np.array([2.0, 0.0])
entropy = float(-pi @ np.log(pi))
v_soft = soft(pi, q_next, 0.5)
print(f"H {entropy:.4f}   V = 1.6 + 0.5 H = {v_soft:.4f}   target = 1 + 0.9 V = {1 + 0.9 * v_soft:.4f}")
assert round(entropy, 4) == 0.5004 and round(v_soft, 4) == 1.8502 and round(1 + 0.9 * v_soft, 4) == 2.6652

# %% same-temperature
q, alpha, before = np.array([2.0, 0.0]), 0.5, np.array([0.9, 0.1])
softmax = {name: np.exp(distributions.log_softmax(z)) for name, z in (("exp(Q/α)", q / alpha), ("exp(αQ)", alpha * q))}
for name, p in {"before": before, **softmax}.items():
    print(f"{name:9} p {p.round(3)}   E[Q] + αH {soft(p, q, alpha):.4f}")
assert soft(softmax["exp(αQ)"], q, alpha) < soft(before, q, alpha) < soft(softmax["exp(Q/α)"], q, alpha)
log_Z = np.log(np.exp(q / alpha).sum())
divergence = alpha * before @ (np.log(before) - (q / alpha - log_Z))
print(f"α KL {divergence:.4f} = E[α log p − Q] {-soft(before, q, alpha):.4f} + α log Z {alpha * log_Z:.4f}")
assert abs(divergence - (alpha * log_Z - soft(before, q, alpha))) < 1e-12

# %% falls
worlds = 40
print("of", worlds, "random decision processes, some soft Q(s, a) falls in")
for alpha in (0.2, 0.5, 2.0):
    right, wrong = ([exact.soft_iteration(seed, alpha, inverted)[0] < -1e-9 for seed in range(worlds)]
                    for inverted in (False, True))
    print(f"  α = {alpha}:  {sum(right)} with exp(Q/α), {sum(wrong)} with exp(αQ)")
    assert not any(right) and sum(wrong) > worlds / 2

# %% two-noises
mu, sigma = 1.0, 0.5
for eps in (1.0, -1.0):
    a = mu + sigma * eps
    print(f"ε {eps:+.0f}: a {a}   pathwise 2a = {2 * a:+.1f}   score function a² ε/σ = {a * a * eps / sigma:+.1f}")
    assert (2 * a, a * a * eps / sigma) == ((3, 4.5) if eps > 0 else (1, -0.5))

# %% two-gradients
truth, estimators = exact.two_gradients()
print(f"{'':30} mean of ∂L/∂μ   variance")
for name, moments in estimators.items():
    print(f"{name:30} {moments.mean[1]:13.4f} {moments.variance[1]:10.1f}")
pathwise, score, baseline = (m.variance[1] for m in list(estimators.values())[:3])
assert all(np.allclose(m.mean, truth, atol=1e-7) for m in estimators.values())

# %% area
eps = np.linspace(-8, 8, 8001)[:, None]
mu, log_std = np.full_like(eps, 0.5), np.full_like(eps, np.log(0.8))
a, logp, u = distributions.tanh_gaussian(mu, log_std, eps)
p_u = np.exp(-0.5 * eps[:, 0] ** 2) / (0.8 * np.sqrt(2 * np.pi))        # the density of u at the u that becomes a
area, area_without = (float(np.trapezoid(p, a[:, 0])) for p in (np.exp(logp), p_u))
print(f"area under exp(log π): {area:.4f}   under the density of u, not divided: {area_without:.4f}")
assert round(area, 4) == 1 and area_without < 0.7
assert (round(np.tanh(1), 4), round(1 - np.tanh(1) ** 2, 2), round(1 / (1 - np.tanh(1) ** 2), 2)) == (0.7616, 0.42, 2.38)
figure = figures.figure(5.2, 3.0)
ax = figure.subplots()
ax.plot(a, np.exp(logp), label="divided by 1 − a²: a density")
ax.plot(a, p_u, "--", label="not divided: too little at the ends")
ax.set_xlabel("action a = tanh(u)")
ax.set_ylabel("density")
ax.legend(fontsize=8)

# %% stable
for x in (1.0, 5.0, 8.0, 10.0, 20.0):
    right = 2 * (np.log(2) - x - np.log1p(np.exp(-2 * x)))
    with np.errstate(divide="ignore"):
        direct = np.log(1 - np.tanh(np.float32(x)) ** 2)
    usual = np.log(1 - np.tanh(x) ** 2 + 1e-6)
    print(f"u = {x:4}: {right:9.4f}   log(1 − a² + 1e-6) {usual:9.4f}   log(1 − a²) in float32 {direct:9.4f}")

# %% sac-by-hand
alpha, gamma = 0.2, 0.9
target = 1 + gamma * (min(4.0, 3.5) - alpha * 0.7)                      # r = 1, log π(a′|s′) = 0.7
actor_loss = alpha * -0.5 - min(3.0, 2.5)                               # log π(ã|s) = −0.5
print(f"target {target:.3f}   actor's loss {actor_loss:.2f}")
assert round(target, 3) == 4.024 and round(actor_loss, 2) == -2.6
