# %% [markdown]
# # 10 · TD3
# The cells of chapter 10. Run them from top to bottom.

# %% imports
from itertools import product

import numpy as np

import scratchac
from scratchac.site import figures
from scratchac.training.memory import Transitions

# %% two-estimates
estimates = list(product([-1.0, 1.0], repeat=2))            # each of two actions is worth 0, and its estimate is −1 or +1
mean_max = sum(max(pair) for pair in estimates) / 4
mean_min = sum(min(pair) for pair in estimates) / 4
print("pairs        ", estimates)
print("mean of max  ", mean_max)
print("mean of min  ", mean_min)
assert (mean_max, mean_min) == (0.5, -0.5)

# %% many-estimates
x = np.arange(-9, 9, 0.001)                                 # a grid of estimates, N(0, 1)
density = np.exp(-x * x / 2) / np.sqrt(2 * np.pi)
below = (np.cumsum(density) - density / 2) * 0.001          # the probability of an estimate below x


def promises(n):
    """Mean of the best of n estimates, and of the smaller of that and another critic's estimate of the same action."""
    best = n * density * below ** (n - 1)                   # the density of the largest of n
    smaller = best * (1 - below) + density * (1 - below**n)
    return (x * best).sum() * 0.001, (x * smaller).sum() * 0.001


counts = [2, 4, 8, 16, 32, 64]
chosen, smaller = np.array([promises(n) for n in counts]).T
best_of_2, best_of_64, smaller_of_2, smaller_of_64 = chosen[0], chosen[-1], smaller[0], smaller[-1]
assert round(best_of_64, 1) == 2.3
figure = figures.figure(5.2, 3.0)
ax = figure.subplots()
ax.plot(counts, chosen, "o-", label="the critic that chose")
ax.plot(counts, 0 * chosen, "s--", label="another critic")
ax.plot(counts, smaller, "v-", label="the smaller of both")
ax.set_xscale("log", base=2)
ax.set_xticks(counts, counts)
ax.set_xlabel("actions to choose from, each worth 0")
ax.set_ylabel("mean estimate")
ax.legend(fontsize=8)

# %% bias-in-a-loop
gamma, bias = 0.99, best_of_2                               # the bias of one maximum over two estimates
error = 0.0
for _ in range(2_000):
    error = gamma * (bias + error)                          # the target of each step contains the error of the next state
print(f"after one step {gamma * bias:.2f}, in the end {error:.1f}, γ·bias/(1−γ) = {gamma * bias / (1 - gamma):.1f}")
assert abs(error - gamma * bias / (1 - gamma)) < 1e-6

# %% target-by-hand
q2 = np.array([[10.0, 3.0, 6.0], [8.0, 5.0, 9.0]])          # (2, B): two target critics, three rows
r, term = np.array([1.0, 0.0, -2.0]), np.array([0.0, 0.0, 1.0])
target = r + 0.9 * (1 - term) * q2.min(axis=0)
print("smaller of two", q2.min(axis=0), " target", target)
assert np.allclose(target, [8.2, 2.7, -2.0])

# %% smoothing
sigma, clip, width = 0.2, 0.5, 0.05


def critic(a):
    """A parabola that is right, −a², and a narrow peak at 0 that is wrong."""
    return -(a**2) + np.exp(-0.5 * (a / width) ** 2)


eps = np.clip(sigma * x, -clip, clip)                       # the same grid, as clipped noise
weight = density * 0.001
at_peak = critic(0.0)
smoothed = float(weight @ critic(eps))
without_peak = float(weight @ -(eps**2))
print(f"at the peak {at_peak:.3f}, averaged over the noise {smoothed:.3f}, of which the peak {smoothed - without_peak:.3f}")
share = (smoothed - without_peak) / at_peak
assert 0.2 < share < 0.3

# %% delayed
agent = scratchac.make_agent("td3", "Pendulum-v1", seed=0)
rng = np.random.default_rng(0)
batch = Transitions(*(rng.standard_normal(shape).astype(np.float32) for shape in ((64, 3), (64, 1), (64,), (64, 3))),
                    np.zeros(64, np.float32))
for update in range(1, 5):
    theta, w = agent.theta.flat.copy(), agent.w.flat.copy()
    agent.update(batch)
    moved = {"critics": bool((agent.w.flat != w).any()), "actor": bool((agent.theta.flat != theta).any())}
    print(f"update {update}: moved", moved)
    assert moved == {"critics": True, "actor": update % 2 == 0}

# %% td3-and-sarsa
def quadratic(a):
    """A critic Q′(s′, a) whose best action is 0.3."""
    return 5 - 10 * (a - 0.3) ** 2


own, actor = 0.3, 0.3                                       # the actor has found the best action
q_learning = quadratic(0.3)
sarsa = float(weight @ quadratic(own + 0.1 * x))            # the action that is taken: exploration noise, σ = 0.1
td3 = float(weight @ quadratic(actor + eps))                # the target's action: smoothing noise, σ = 0.2, clipped
print(f"best action {q_learning:.2f}   SARSA {sarsa:.2f}   TD3 {td3:.2f}")
assert abs(sarsa - (5 - 10 * 0.1**2)) < 1e-6
