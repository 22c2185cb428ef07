# %% [markdown]
# # Off-policy learning: the numbers and figures of chapter 9

# %%
import math

import numpy as np
from matplotlib.figure import Figure

from scratchac import optim, returns
from scratchac.distributions import Deterministic
from scratchac.exploration import GaussianNoise, OrnsteinUhlenbeck
from scratchac.gradcheck import numerical_gradient

# %% triad-by-hand
gamma, lr, w = 0.99, 0.1, 1.0
for step in range(3):
    delta = 0 + gamma * 2 * w - w  # V(first) = w, V(second) = 2w, reward 0
    w += lr * delta * 1  # the gradient of V(first) by w is 1
    print(f"step {step + 1}   δ {delta:.4f}   w {w:.4f}")
factor = 1 + lr * (2 * gamma - 1)
assert np.isclose(w, factor**3) and np.isclose(factor, 1.098)

# %% triad
def follow(rule, steps=100):
    """w after each step of a rule: w, target's w → new w."""
    w, slow, way = 1.0, np.ones(1), [1.0]
    for _ in range(steps):
        w = rule(w, float(slow[0]))
        optim.polyak(slow, np.array([w]), 0.05)
        way.append(w)
    return np.array(way)


ways = {
    "all three": follow(lambda w, slow: w + lr * (gamma * 2 * w - w)),
    "all three, slow target (τ = 0.05)": follow(lambda w, slow: w + lr * (gamma * 2 * slow - w)),
    "on-policy: the second state, too": follow(lambda w, slow: w + lr * ((gamma * 2 * w - w) + (0 - 2 * w) * 2)),
    "no bootstrap": follow(lambda w, slow: w + lr * (0 - w)),
    "a table (the first value)": follow(lambda v, slow: v + lr * (gamma * 2 - v)),
}
figure = Figure(figsize=(5.8, 3), layout="constrained")
ax = figure.subplots()
for name, way in ways.items():
    ax.plot(np.abs(way), label=name)
ax.set(xlabel="step", ylabel="size of w", yscale="log", ylim=(1e-3, 1e4))
ax.legend(fontsize=8)
after_100, slow_100 = ways["all three"][-1], ways["all three, slow target (τ = 0.05)"][-1]
table_100 = ways["a table (the first value)"][-1]
assert after_100 > 1e4 > slow_100 > 1 and abs(ways["no bootstrap"][-1]) < 1e-3 and abs(table_100 - 1.98) < 0.01
assert abs(ways["on-policy: the second state, too"][-1]) < 1e-3

# %% value-iteration
# State A: "left" gives 1 and ends, "right" gives 0 and leads to B. State B: its one action gives 2 and ends.
Q = {"A, left": 0.0, "A, right": 0.0, "B": 0.0}
table = [dict(Q)]
for _ in range(3):
    Q = {"A, left": 1.0, "A, right": 0 + 0.9 * Q["B"], "B": 2.0}
    table.append(dict(Q))
for k, row in enumerate(table):
    print(f"round {k}  ", "   ".join(f"Q({name}) = {value:.1f}" for name, value in row.items()))
assert table[1] == {"A, left": 1, "A, right": 0, "B": 2} and np.isclose(table[2]["A, right"], 1.8) and table[3] == table[2]

# %% random-data
CELLS = 6  # start in 0; cell 5 ends with a reward of 1
rng, s, rows = np.random.default_rng(0), 0, []
for _ in range(3000):
    a = int(rng.integers(2))  # a policy that tosses a coin
    s2 = min(max(s + (1 if a else -1), 0), CELLS - 1)
    rows.append((s, a, float(s2 == CELLS - 1), s2, float(s2 == CELLS - 1)))
    s = 0 if s2 == CELLS - 1 else s2
S, A, r, S2, term = (np.array(column) for column in zip(*rows, strict=True))
S, A, S2 = S.astype(int), A.astype(int), S2.astype(int)
q = np.zeros((CELLS, 2))
for i in rng.integers(len(rows), size=12_000):  # old rows, drawn at random
    target = returns.td_target(r[i], q[S2[i]].max(), term[i], 0.9)
    q[S[i], A[i]] += 0.2 * (target - q[S[i], A[i]])
known = np.array([0.9 ** (CELLS - 2 - s) for s in range(CELLS - 1)])  # the way to the right, discounted
print("learnt Q(s, right)", q[:-1, 1].round(3))
print("best possible     ", known.round(3))
coin = np.linalg.solve(np.eye(5) - 0.9 * (0.5 * np.eye(5, k=1) + 0.5 * np.eye(5, k=-1) + 0.5 * np.diag([1, 0, 0, 0, 0])),
                       np.array([0, 0, 0, 0, 0.5]))
print("V of the coin     ", coin.round(3))
assert abs(q[:-1, 1] - known).max() < 0.02 and (q[:-1].argmax(axis=1) == 1).all()

# %% replay
centres, grid = np.linspace(-1, 1, 9), np.linspace(-1, 1, 101)


def features(x):
    """Nine overlapping bumps."""
    return np.exp(-0.5 * ((np.atleast_1d(x)[:, None] - centres) / 0.3) ** 2)


def fit(order, rate=0.05):
    """Error over the whole range while a linear network learns sin 3x from single rows in this order."""
    w, errors, phi = np.zeros(9), [], features(grid)
    for i, row in enumerate(features(order)):
        w += rate * (math.sin(3 * order[i]) - row @ w) * row
        if i % 20 == 0:
            errors.append(math.sqrt(np.mean((phi @ w - np.sin(3 * grid)) ** 2)))
    return np.array(errors)


steps = np.arange(8000)
met = np.sin(2 * np.pi * steps / 2000)  # observations that change slowly
drawn = met[(np.random.default_rng(0).random(8000) * (steps + 1)).astype(int)]  # one of those met so far
figure = Figure(figsize=(5.8, 3), layout="constrained")
ax = figure.subplots()
as_met, replayed = fit(met), fit(drawn)
ax.plot(steps[::20], as_met, label="in the order in which they come")
ax.plot(steps[::20], replayed, label="drawn at random from those so far")
ax.set(xlabel="gradient steps", ylabel="error over the whole range", yscale="log")
ax.legend(fontsize=8)
as_met_late, replayed_late = as_met[-100:].max(), replayed[-100:].max()
assert replayed_late < as_met_late

# %% polyak-by-hand
target, online = np.zeros(1), np.ones(1)
seen = []
for _ in range(3):
    optim.polyak(target, online, 0.5)
    seen.append(float(target[0]))
print("τ = ½:", seen)
half_life = math.log(2) / 0.005
assert seen == [0.5, 0.75, 0.875]

# %% deterministic
dist, best, start = Deterministic(-np.ones(1), np.ones(1)), np.array([0.8, -0.3]), np.array([1.0, 0.0])


def known_values(theta):
    """Actions, V and occupancy of two states; rewards (0, 1) − (a − best)², P(s′ | s, a) linear in a; γ = 0.9."""
    a = dist.greedy(theta)[:, 0]
    P = np.stack([0.45 - 0.4 * a, 0.45 + 0.4 * a], axis=1)
    v = np.linalg.solve(np.eye(2) - 0.9 * P, np.array([0.0, 1.0]) - (a - best) ** 2)
    return a, v, np.linalg.solve(np.eye(2) - 0.9 * P.T, start)


theta = np.array([[0.2], [-0.4]])
a, v, d = known_values(theta)
slope = -2 * (a - best) + 0.9 * 0.4 * (v[1] - v[0])  # ∂Q/∂a at a = π(s), Q held fixed
theorem, chain = dist.greedy_backward(a, d * slope), dist.greedy_backward(a, start * slope)
differences = numerical_gradient(lambda: float(start @ known_values(theta)[1]), theta)[:, 0]
print("theorem          ", theorem.round(4))
print("chain rule alone ", chain.round(4))
print("differences of J ", differences.round(4))
assert np.allclose(theorem, differences) and not np.allclose(chain, differences, rtol=0.5)

# %% noise
rng, sigma = np.random.default_rng(1), 0.2
ou, gaussian = OrnsteinUhlenbeck(sigma, (1000, 1)), GaussianNoise(sigma / math.sqrt(1 - 0.85**2), (1000, 1))
walks = {"Ornstein-Uhlenbeck": np.stack([ou.sample(rng)[:, 0] for _ in range(200)]),
         "Gaussian": np.stack([gaussian.sample(rng)[:, 0] for _ in range(200)])}
figure = Figure(figsize=(5.8, 3), layout="constrained")
left, right = figure.subplots(1, 2)
spread = {}
for name, x in walks.items():
    left.plot(x[100:, 0], lw=0.8, label=name)
    right.plot(np.cumsum(x[100:, 0]), label=name)
    spread[name] = x[100:].sum(axis=0).std()
left.set(xlabel="step", title="noise")
right.set(xlabel="step", title="its sum so far")
left.legend(fontsize=8, loc="upper right")
left.set_ylim(-1.5, 2.5)
ou_std, ou_measured = sigma / math.sqrt(1 - 0.85**2), walks["Ornstein-Uhlenbeck"][100:].std()
times = spread["Ornstein-Uhlenbeck"] / spread["Gaussian"]
assert abs(ou_measured / ou_std - 1) < 0.03 and np.isclose(ou_std, 0.3797, atol=1e-4) and 3 < times < 3.8
