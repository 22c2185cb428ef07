# %% [markdown]
# # The problem: the numbers and figures of chapter 1

# %%
import numpy as np
from matplotlib.figure import Figure

from scratchac import returns

# %% return-by-hand
r = np.array([[1.0], [0.0], [4.0]])  # (T, N) = (3, 1): one episode
none, ends = np.zeros((3, 1)), np.array([[0.0], [0.0], [1.0]])
g = returns.monte_carlo(r, none, ends, ends, 0.5)[:, 0]
print("G =", g.tolist())

# %%
assert g.tolist() == [2.0, 2.0, 4.0]

# %% machine
gamma = 0.8
# P[s, a, s′]: a good machine works, is repaired; a worn one works, is repaired.
# What a row lacks to 1 is the probability that the machine breaks.
P = np.array([[[0.5, 0.5], [1.0, 0.0]], [[0.0, 0.5], [1.0, 0.0]]])
R = np.array([[4.0, 0.0], [2.0, 0.0]])                              # R[s, a]
pi = np.array([[1.0, 0.0], [0.5, 0.5]])                             # π(a|s) (S, A)
P_pi, r_pi = np.einsum("sa,sat->st", pi, P), (pi * R).sum(axis=1)   # (S, S), (S,)
V = np.linalg.solve(np.eye(2) - gamma * P_pi, r_pi)                 # (S,)
Q = R + gamma * P @ V                                               # (S, A)
A = Q - V[:, None]
print("V =", V.round(4))
print("Q =", Q.round(4).tolist())
print("A =", A.round(4).tolist())
print("means of A under the policy:", (pi * A).sum(axis=1).round(12))

# %%
assert np.allclose(V, [11.25, 6.875]) and np.allclose(Q, [[11.25, 9], [4.75, 9]]) and np.allclose((pi * A).sum(axis=1), 0)

# %% sampled
rng, RUNS = np.random.default_rng(0), 20_000
s, alive = np.zeros(RUNS, int), np.ones(RUNS, bool)
total, factor = np.zeros(RUNS), 1.0
for _ in range(80):  # later rewards count less than 0.8⁸⁰ = 2e-8
    a = (rng.random(RUNS) >= pi[s, 0]).astype(int)
    total += factor * alive * R[s, a]
    u = rng.random(RUNS)
    alive &= u < P[s, a].sum(axis=1)
    s = (u >= P[s, a, 0]).astype(int)
    factor *= gamma
error = total.std() / np.sqrt(RUNS)
print("first three returns", total[:3].round(2))
print(f"mean of {RUNS:,}: {total.mean():.3f} ± {error:.3f};  V(good) = {V[0]:.3f}")
mean_return, spread = total.mean(), total.std()

# %%
assert abs(mean_return - V[0]) < 3 * error

# %% iteration
U, errors = np.zeros(2), []
for k in range(7):
    errors.append(abs(U - V).max())
    factor = f"   factor {errors[-1] / errors[-2]:.3f}" if k else ""
    print(f"{k}  U = ({U[0]:7.4f}, {U[1]:7.4f})   largest error {errors[-1]:7.4f}{factor}")
    U = r_pi + gamma * P_pi @ U
factors = np.array(errors[1:]) / errors[:-1]

# %%
assert (factors <= gamma + 1e-12).all()

# %% better
always = np.array([[1.0, 0.0], [0.0, 1.0]])  # a worn machine is always repaired
P_always = np.einsum("sa,sat->st", always, P)
V_always = np.linalg.solve(np.eye(2) - gamma * P_always, (always * R).sum(axis=1))
print("V =", V_always.round(4))

# %%
assert np.allclose(V_always, [4 / 0.28, 3.2 / 0.28])

# %% horizon
figure = Figure(figsize=(5.2, 2.6), layout="constrained")
ax = figure.subplots()
k = np.arange(0, 300)
for discount in (0.8, 0.9, 0.97, 0.99):
    ax.plot(k, discount**k, label=f"γ = {discount:g}: sum {1 / (1 - discount):.0f}")
ax.set(xlabel="steps until the reward", ylabel="how much it counts", xlim=(0, 300), ylim=(0, 1))
ax.legend(fontsize=8)

# %% clock
gamma_clock, LIMIT = 0.99, 20
truth = 1 / (1 - gamma_clock)  # 1 at every step, for ever
left = np.arange(1, LIMIT + 1)  # steps until the limit
seen = (1 - gamma_clock**left) / (1 - gamma_clock)  # discounted rewards until then
r = np.ones((LIMIT, 1))
no, end = np.zeros((LIMIT, 1)), np.eye(LIMIT)[:, -1:]
# done, and not term
as_limit = returns.monte_carlo(r, np.full((LIMIT, 1), truth), no, end, gamma_clock)[:, 0]
# done and term
as_terminal = returns.monte_carlo(r, np.full((LIMIT, 1), truth), end, end, gamma_clock)[:, 0]
print(f"time limit:     mean of the returns {as_limit.mean():6.2f}")
print(f"terminal state: mean of the returns {as_terminal.mean():6.2f},",
      f"from {as_terminal.min():.2f} to {as_terminal.max():.2f}")

# %%
wrong_value, seen_20 = as_terminal.mean(), as_terminal.max()
assert np.allclose(as_limit, truth) and np.allclose(as_terminal, seen[::-1])

# %% clipped
# Two ways from a start: A pays 1 at once, and ends. B costs 1, then pays 10, and ends.
way_a, way_b = 1.0, -1 + 0.9 * 10
clipped_a, clipped_b = np.sign(1.0), np.sign(-1) + 0.9 * np.sign(10)
print(f"returns: A {way_a:.1f}, B {way_b:.1f}")
print(f"with the signs of the rewards: A {clipped_a:.1f}, B {clipped_b:.1f}")

# %%
assert way_b == 8 > way_a and clipped_a > clipped_b

# %%
# The numbers of the self-test.
r, ends = np.array([[2.0], [0.0], [0.0], [8.0]]), np.eye(4)[:, -1:]
assert returns.monte_carlo(r, 0 * r, ends, ends, 0.5)[:, 0].tolist() == [3, 2, 4, 8]
assert np.isclose(0.2 * 10 + 0.8 * 5, 6)
