# %% [markdown]
# # Symbols and shapes: the numbers and figures of chapter 0

# %%
import gymnasium as gym
import numpy as np
from matplotlib.figure import Figure

from scratchac import losses, returns

# %% shapes
r = np.array([[1.0, 0.0],
              [1.0, 2.0],
              [1.0, 4.0]])  # (T, N) = (3, 2): three time steps of two copies
print("shape         ", r.shape)
print("second step   ", r[1], "      (N,)")
print("first copy    ", r[:, 0], "   (T,)")
print("sum over time ", r.sum(axis=0), "      (N,)")
print("mean of all   ", f"{r.mean():.2f}", "       a number")

# %%
assert r[1].shape == (2,) and r[:, 0].shape == (3,) and r.sum(axis=0).tolist() == [3, 6] and r.mean() == 1.5

# %% broadcasting
v = np.array([[1.0], [2.0], [4.0]])  # (3, 1): predictions, as a matrix with one column
y = np.array([1.0, 2.0, 3.0])                   # (3,): what they should be
difference = v - y
print(difference, difference.shape)
print("mean square of the (3, 3) matrix", f"{(difference**2).mean():.3f}")
print("mean square of the vector (3,)  ", f"{((v[:, 0] - y) ** 2).mean():.3f}")
matrix_mean, vector_mean = (difference**2).mean(), ((v[:, 0] - y) ** 2).mean()

# %%
assert difference.shape == (3, 3) and np.isclose(matrix_mean, 21 / 9) and np.isclose(vector_mean, 1 / 3)

# %% die
x, p = np.arange(1, 7), np.full(6, 1 / 6)  # the faces of a die and their probabilities
mean_square = p @ x**2                          # E[X²] = Σ p(x) x²
even = x % 2 == 0
given_even = p[even] @ x[even] / p[even].sum()  # E[X | even]
given_odd = p[~even] @ x[~even] / p[~even].sum()
print(f"E[X] = {p @ x:.3f}   E[X²] = {mean_square:.3f}")
print(f"E[X | even] = {given_even:.3f}   E[X | odd] = {given_odd:.3f}")

# %%
assert np.isclose(mean_square, 91 / 6) and np.isclose(given_even, 4) and np.isclose(given_odd, 3)
assert np.isclose(0.5 * given_even + 0.5 * given_odd, p @ x)

# %% samples
rng = np.random.default_rng(0)
off = {}
for n in (100, 10_000, 1_000_000):
    means = [(rng.integers(1, 7, size=n) ** 2).mean() for _ in range(10)]
    off[n] = abs(np.array(means) - mean_square).mean()
    print(f"mean of {n:9,} samples of X²: off by {off[n]:.4f} (mean of 10 trials)")

# %%
assert off[100] > off[10_000] > off[1_000_000]

# %% gradient
def f(theta):
    """θ₁² + 3 θ₁ θ₂."""
    return theta[0] ** 2 + 3 * theta[0] * theta[1]


theta, h = np.array([1.0, 2.0]), 1e-5
by_hand = np.array([2 * theta[0] + 3 * theta[1], 3 * theta[0]])
measured = [(f(theta + h * e) - f(theta - h * e)) / (2 * h) for e in np.eye(2)]
step = theta + 0.01 * by_hand
print("by hand", by_hand, "   measured", np.round(measured, 6))
print(f"f before the step {f(theta):.3f}, after it {f(step):.3f}")

# %%
assert by_hand.tolist() == [8, 3] and np.allclose(measured, by_hand) and f(step) > f(theta) == 7

# %% precision
print(np.float32(1) + np.float32(1e-8) == 1, np.float64(1) + np.float64(1e-8) == 1)

# %%
assert np.float32(1) + np.float32(1e-8) == 1 != np.float64(1) + np.float64(1e-8)

# %% seeds
for seed in (0, 0, 1):
    print(f"seed {seed}:", np.random.default_rng(seed).integers(1, 7, size=10))

# %% cartpole
env, rng, points = gym.make("CartPole-v1"), np.random.default_rng(0), []
for run in range(50):
    env.reset(seed=run)
    total, over = 0.0, False
    while not over:
        # push left or right at random
        seen, point, fell, out_of_time, _ = env.step(rng.integers(2))
        total += point
        over = fell or out_of_time
    points.append(total)
points = np.array(points)                       # (50,)
print(f"50 runs: mean {points.mean():.1f}, standard deviation {points.std():.1f},",
      f"from {points.min():.0f} to {points.max():.0f}")
print("the last four numbers that were seen:", seen.round(2), seen.dtype)

# %%
random_mean, random_std = points.mean(), points.std()
assert seen.shape == (4,) and points.max() < 195

# %% cartpole-points
figure = Figure(figsize=(5.2, 2.6), layout="constrained")
ax = figure.subplots()
ax.hist(points, bins=range(0, 101, 5))
ax.axvline(points.mean(), ls="--", color="C1", label=f"mean {points.mean():.1f}")
ax.set(xlabel="points of a run (at most 500)", ylabel="number of runs")
ax.legend(fontsize=8)

# %% broadcast-cost
rng = np.random.default_rng(0)
x = rng.uniform(-1, 1, size=64)
y = 2 * x + 0.1 * rng.standard_normal(64)       # (64,), points near the line 2x
found = {}
for name, as_column in (("(B,) − (B,)", False), ("(B, 1) − (B,)", True)):
    slope, offset = 0.0, 1.0
    for _ in range(2000):
        v = slope * x + offset                  # (B,)
        # the gradient of ½ mean square, for each v
        error = (v[:, None] - y).mean(axis=1) if as_column else v - y
        slope, offset = slope - 0.1 * (error * x).mean(), offset - 0.1 * error.mean()
    found[name] = slope, offset
    print(f"{name:13}  slope {slope:6.3f}   offset {offset:6.3f}")
print(f"the mean of y is {y.mean():.3f}")

# %%
good_slope, bad_slope = found["(B,) − (B,)"][0], abs(found["(B, 1) − (B,)"][0])
assert abs(good_slope - 2) < 0.1 and bad_slope < 1e-3

# %% refused
try:
    losses.mse(np.ones((3, 1)), np.ones(3))
except ValueError as error:
    print("ValueError:", error)

# %% recursion
x, decay = np.array([[1.0], [2.0], [3.0]]), np.full((3, 1), 0.5)
print(returns.reverse_scan(x, decay)[:, 0])

# %%
# The numbers of the self-test.
r = np.ones((3, 2))
assert r.mean(axis=1).shape == (3,) and r[-1].shape == (2,) and (r - r.mean(axis=0)).shape == (3, 2)
assert np.isclose(0.2 * 3, 0.6) and np.isclose(0.2 * 9, 1.8)
