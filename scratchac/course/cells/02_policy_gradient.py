# %% [markdown]
# # The policy gradient: the numbers and figures of chapter 2

# %%
import numpy as np
from matplotlib.figure import Figure

from scratchac import losses, returns
from scratchac.distributions import Categorical, log_softmax
from scratchac.lab.microscope import Microscope

# %% softmax
y = np.array([1.0, 0.0, -1.0])  # logits of three actions
pi = np.exp(log_softmax(y))
scores = np.eye(3) - pi                                             # row a: ∇log π(a)
print("π =", pi.round(3))
for a in range(3):
    print(f"action {a}:  log π = {np.log(pi[a]):.3f}   ∇log π = {scores[a].round(3)}")
print("mean over the policy's own actions:", (pi @ scores).round(12))
h = 1e-6
measured = [(log_softmax(y + h * e)[2] - log_softmax(y - h * e)[2]) / (2 * h) for e in np.eye(3)]

# %%
assert np.allclose(measured, scores[2]) and np.allclose(pi @ scores, 0)

# %% levers
dist, q = Categorical(2), np.array([0.3, 0.7])  # how often the two levers pay 1
half = np.array([0.5, 0.5])
by_pulls = 0.5 * 0.7 * 0.5 - 0.5 * 0.3 * 0.5  # a step of ½ up, or of ½ down, or none
by_derivative = half[1] * (q[1] - half @ q)
print(f"mean step of y(right) {by_pulls:.2f},  ∂J/∂y(right) {by_derivative:.2f}")
rng, PULLS = np.random.default_rng(0), 10_000
y = np.zeros((PULLS, 2))
a = dist.sample(y, dist.noise(rng, PULLS))                          # (B,)
r = (rng.random(PULLS) < q[a]).astype(float)                        # (B,)
_, _, cache = dist.evaluate(y, a)
g = dist.backward(cache, r, np.zeros(PULLS))[:, 1]  # r ∂log π(a)/∂y(right), (B,)
print(f"{PULLS:,} pulls: values {np.unique(g)}, mean {g.mean():.4f}, variance {g.var():.4f}")

# %%
assert np.isclose(by_pulls, 0.1) and np.isclose(by_derivative, 0.1) and abs(g.mean() - 0.1) < 4 * g.std() / 100

# %% machine
gamma = 0.8
# P[s, a, s′] of chapter 1: good, worn; work, repair
P = np.array([[[0.5, 0.5], [1.0, 0.0]], [[0.0, 0.5], [1.0, 0.0]]])
R = np.array([[4.0, 0.0], [2.0, 0.0]])
start = np.array([1.0, 0.0])
theta = np.array([[1.0, 0.0], [0.0, 0.0]])  # one row of logits for each state


def solve(theta, weight=gamma):
    """π, V, Q, and the occupancy d(s) = Σ weightᵗ Pr(Sₜ = s)."""
    pi = np.exp(log_softmax(theta))
    P_pi = np.einsum("sa,sat->st", pi, P)
    V = np.linalg.solve(np.eye(2) - gamma * P_pi, (pi * R).sum(axis=1))
    return pi, V, R + gamma * P @ V, np.linalg.solve(np.eye(2) - weight * P_pi.T, start)


def field(theta, weight=gamma):
    """Σ d(s) Σ ∇π(a|s) Q(s, a), (S, A). For softmax the inner sum is π (Q − V)."""
    pi, V, Q, d = solve(theta, weight)
    return d[:, None] * pi * (Q - V[:, None])


pi, V, Q, d = solve(theta)
gradient, h = field(theta), 1e-6
measured = np.zeros((2, 2))
for i in np.ndindex(2, 2):
    up, down = theta.copy(), theta.copy()
    up[i] += h
    down[i] -= h
    measured[i] = (start @ solve(up)[1] - start @ solve(down)[1]) / (2 * h)
print("d =", d.round(3), "   Q − V =", (Q - V[:, None]).round(3).tolist())
print("theorem ", gradient.round(4).tolist())
print("measured", measured.round(4).tolist())

# %%
assert np.allclose(measured, gradient, atol=1e-8)

# %% episodes
def play(theta, episodes, steps, seed):
    """Episodes of the machine side by side: s, a, r, ends and alive, (T, N) each."""
    rng, pi = np.random.default_rng(seed), np.exp(log_softmax(theta))
    s, alive, rows = np.zeros(episodes, int), np.ones(episodes, bool), []
    for _ in range(steps):
        a = (rng.random(episodes) >= pi[s, 0]).astype(int)
        u = rng.random(episodes)
        broken = u >= P[s, a].sum(axis=1)
        rows.append((s, a, alive * R[s, a], alive & broken, alive))
        alive = alive & ~broken
        s = (u >= P[s, a, 0]).astype(int)
    s, a, r, ends, alive = (np.array(x) for x in zip(*rows, strict=True))
    return s, a, r, ends.astype(float), alive.astype(float)


def estimates(theta, weights, s, a):
    """Σₜ weightₜ ∇log π(aₜ|sₜ) of each episode, (N, S, A)."""
    pi, found = np.exp(log_softmax(theta)), np.zeros((s.shape[1], 2, 2))
    for t in range(len(s)):
        rows = np.arange(s.shape[1])
        found[rows, s[t]] += weights[t][:, None] * (np.eye(2)[a[t]] - pi[s[t]])
    return found


s, a, r, ends, alive = play(theta, 20_000, 80, seed=0)
G = returns.monte_carlo(r, 0 * r, ends, ends, gamma)                # (T, N)
discount = gamma ** np.arange(80)[:, None]                          # γᵗ (T, 1)
g = estimates(theta, discount * G * alive, s, a)
error = g.std(axis=0) / np.sqrt(len(g))
print("mean estimate ", g.mean(axis=0).round(3).tolist())
print("exact gradient", gradient.round(3).tolist())
print("standard error", error.round(3).tolist())
off = (abs(g.mean(axis=0) - gradient) / error).max()
variance = g.var(axis=0).sum()

# %%
assert off < 3

# %% causality
# two steps, γ = 1: action 0 pays 1, action 1 pays 3
pi2, reward = np.array([0.7, 0.3]), np.array([1.0, 3.0])
score = np.eye(2) - pi2
p, whole, later = [], [], []
for actions in ((0, 0), (0, 1), (1, 0), (1, 1)):
    r2 = reward[list(actions)]
    p.append(pi2[list(actions)].prod())
    # the coordinate of action 1
    whole.append((r2.sum() * score[list(actions)].sum(axis=0))[1])
    later.append((np.array([r2.sum(), r2[1]]) @ score[list(actions)])[1])
    print(f"{actions}  probability {p[-1]:.2f}  whole {whole[-1]:6.2f}  from t on {later[-1]:6.2f}")
p, whole, later = np.array(p), np.array(whole), np.array(later)
var_whole, var_later = p @ (whole - p @ whole) ** 2, p @ (later - p @ later) ** 2
print(f"mean      whole {p @ whole:.3f}  from t on {p @ later:.3f}")
print(f"variance  whole {var_whole:.3f}  from t on {var_later:.3f}")

# %%
assert np.isclose(p @ whole, 0.84) and np.isclose(p @ later, 0.84) and var_later < var_whole

# %% microscope
micro = Microscope()
whole_return, to_go = micro.estimate(micro.whole_return()), micro.estimate(micro.reinforce())
undiscounted = Microscope(discount=False)
without = undiscounted.estimate(undiscounted.reinforce())
var_g0, var_gt, bias_without = whole_return.variance, to_go.variance, without.bias
with_gamma, without_gamma = micro.asymmetry(micro.gamma), micro.asymmetry(1.0)
for name, e in (("whole return G₀", whole_return), ("γᵗ Gₜ", to_go), ("Gₜ without γᵗ", without)):
    print(f"{name:16}  bias {e.bias:.1e} of ‖∇J‖   variance {e.variance:.3f}")
print(f"asymmetry of the Jacobian: with γᵗ {with_gamma:.0e}, without {without_gamma:.3f}")
assert to_go.bias < 1e-12 < 0.01 < without.bias and with_gamma < 1e-8 < without_gamma

# %% circle
def at(x, y):
    """Logits at which a good machine has the log-odds x of repair, a worn one y."""
    return np.array([[0.0, x], [0.0, y]])


def around(weight, corners=((-1, -1), (1, -1), (1, 1), (-1, 1)), pieces=200):
    """Sum of field · step on the way round a square, divided by the sum of |field · step|."""
    total, size = 0.0, 0.0
    for (x0, y0), (x1, y1) in zip(corners, (*corners[1:], corners[0]), strict=True):
        for m in (np.arange(pieces) + 0.5) / pieces:
            f = field(at(x0 + m * (x1 - x0), y0 + m * (y1 - y0)), weight)[:, 1]
            part = f @ np.array([x1 - x0, y1 - y0]) / pieces
            total, size = total + part, size + abs(part)
    return total / size


round_with, round_without = abs(around(gamma)), abs(around(1.0))
print("round trip, as a part of all that was gained and lost on the way:")
print(f"with γᵗ {round_with:.0e}, without {round_without:.3f}")
assert round_with < 1e-4 < 0.01 < round_without

# %% arrows
figure = Figure(figsize=(5.2, 3.2), layout="constrained")
coarse = np.linspace(-1.5, 1.5, 7)
lengths = {}
for ax, weight, title in zip(figure.subplots(1, 2, sharey=True), (gamma, 1.0), ("with γᵗ: ∇J", "without γᵗ"), strict=True):
    arrows = np.array([[field(at(x, y), weight)[:, 1] for x in coarse] for y in coarse])
    ax.plot([-1, 1, 1, -1, -1], [-1, -1, 1, 1, -1], color="grey", lw=1)
    ax.quiver(coarse, coarse, arrows[..., 0], arrows[..., 1], color="C0", angles="xy", scale=6 * abs(arrows).max(), width=0.008)
    ax.set(xlabel="logit of repair, good machine", title=title, aspect="equal", xlim=(-2, 2), ylim=(-2, 2))
    lengths[weight] = np.linalg.norm(arrows[-1, 3]) / np.linalg.norm(arrows[0, 3])     # top to bottom, in the middle column
figure.axes[0].set(ylabel="logit of repair, worn machine")
longer_with, longer_without = lengths[gamma], lengths[1.0]

# %% loss
logp, weight = np.log(np.array([0.5, 0.25])), np.array([3.0, -1.0])
loss, dlogp = losses.policy_gradient(logp, weight)
print(f"L = {loss:.4f}   ∂L/∂log π = {dlogp}")

# %%
assert np.isclose(loss, -(3 * np.log(0.5) - np.log(0.25)) / 2) and dlogp.tolist() == [-1.5, 0.5]

# %%
# The numbers of self-tests 5 and 1.
pi3 = np.array([0.6, 0.4])
score3, q3 = np.eye(2) - pi3, np.array([1.0, 2.0])
right, stored = pi3 @ (q3[:, None] * score3), (pi3 @ q3) * score3[0]
print("mean step, action that was taken:", right.round(3), "   mode stored:", stored.round(3))
assert np.allclose(right, [-0.24, 0.24]) and np.allclose(stored, [0.56, -0.56])
_, _, cache = Categorical(3).evaluate(np.log([[0.5, 0.3, 0.2]]), np.array([1]))
assert np.allclose(Categorical(3).backward(cache, np.array([4.0]), np.zeros(1)), [[-2.0, 2.8, -0.8]])
