# %% [markdown]
# # Baselines: the numbers and figures of chapter 3

# %%
import numpy as np
from matplotlib.figure import Figure

from scratchac import losses
from scratchac.lab.microscope import Microscope

# %% by-hand
pi, q = np.array([0.5, 0.5]), np.array([10.0, 12.0])
score = np.array([-0.5, 0.5])  # ∂log π(a)/∂y of the second logit
for b in (0.0, 11.0, 20.0, -11.0):
    x = (q - b) * score  # one estimate for each action
    mean = pi @ x
    variance = pi @ x**2 - mean**2
    print(f"b = {b:5.1f}   estimates {x}   mean {mean:.2f}   variance {variance:.2f}")
    assert np.isclose(mean, 0.5)
none, best = ((q - 0) * score).tolist(), ((q - 11) * score).tolist()

# %%
assert none == [-5.0, 6.0] and best == [0.5, 0.5]

# %% optimal
pi3, q3 = np.array([0.6, 0.3, 0.1]), np.array([10.0, 11.0, 14.0])
g = np.eye(3) - pi3                                                 # row a: ∇log π(a)
size = (g * g).sum(axis=1)                                          # ‖∇log π(a)‖²
V, b_star = pi3 @ q3, (pi3 * size) @ q3 / (pi3 @ size)


def variance(b):
    """Summed variance of (Q − b) ∇log π."""
    x = (q3 - b)[:, None] * g
    mean = pi3 @ x
    return pi3 @ (x * x).sum(axis=1) - mean @ mean


for name, b in (("V ", V), ("b*", b_star)):
    print(f"{name} = {b:.3f}: variance {variance(b):.3f}")

# %%
assert np.isclose(V, 10.7) and variance(b_star) < variance(V) < variance(0) < variance(-V)
assert variance(b_star) < min(variance(b_star + 0.01), variance(b_star - 0.01))

# %% parabola
figure = Figure(figsize=(5.2, 2.8), layout="constrained")
ax = figure.subplots()
b = np.linspace(-12, 26, 200)
ax.plot(b, [variance(x) for x in b])
for x, label in ((0.0, "none"), (V, "V"), (-V, "−V")):
    ax.plot(x, variance(x), "o", color="C1")
    ax.annotate(label, (x, variance(x)), textcoords="offset points", xytext=(6, 8), fontsize=9)
ax.set(xlabel="baseline b", ylabel="variance", ylim=(-15, None))

# %% microscope
micro = Microscope()
value, togo, whole = micro.values()[0], micro.reinforce(), micro.whole_return()
rows = {
    "none": micro.estimate(togo),
    "J, a constant": micro.estimate(micro.reinforce(micro.J())),
    "V(s)": micro.estimate(micro.reinforce(value)),
    "V(s), learnt": micro.estimate(micro.reinforce(micro.learned_baseline())),
    "the best b(s)": micro.estimate(togo - micro.baseline(micro.optimal_baseline(togo))),
    "−V(s)": micro.estimate(micro.reinforce(-value)),
}
print("baseline         bias      variance   episodes")
for name, e in rows.items():
    print(f"{name:15}  {e.bias:.1e}   {e.variance:6.3f}   {e.episodes:7.1f}")
    assert e.bias < 1e-12
var_none, var_v, var_best, var_minus = (rows[name].variance for name in ("none", "V(s)", "the best b(s)", "−V(s)"))
trajectories = len(micro.paths.chance)
times, minus_times, above = var_none / var_v, var_minus / var_none, var_v / var_best - 1
whole_best = micro.estimate(whole - micro.baseline(micro.optimal_baseline(whole))).variance
assert var_best < var_v < var_none < var_minus and var_best < whole_best

# %% one-step
# the machine of chapter 1: good, worn; work, repair
P = np.array([[[0.5, 0.5], [1.0, 0.0]], [[0.0, 0.5], [1.0, 0.0]]])
R, gamma = np.array([[4.0, 0.0], [2.0, 0.0]]), 0.8
V_machine = np.array([11.25, 6.875])
A = R + gamma * P @ V_machine - V_machine[:, None]  # E[r + γV(s′) | s, a] − V(s)
e = np.array([1.0, -2.0])  # the errors of an estimate V̂ = V + e
wrong = R + gamma * P @ (V_machine + e) - (V_machine + e)[:, None]
print("true V:      ", A.round(3).tolist())
print("V̂ = V + e:   ", wrong.round(3).tolist())
print("difference:  ", (wrong - A).round(3).tolist())
print("of s′ alone: ", (gamma * P @ e).round(3).tolist())

# %%
assert np.allclose(A, [[0, -2.25], [-2.125, 2.125]]) and np.allclose(gamma * P @ e, [[-0.4, 0.8], [-0.8, 0.8]])
assert np.allclose(wrong - A, gamma * P @ e - e[:, None])

# %% microscope-one-step
true_v = micro.estimate(micro.k_step(1, value))
wrong_v = micro.estimate(micro.k_step(1, micro.critic(0.3)))
print(f"G − V(s)                        bias {rows['V(s)'].bias:.0e}   variance {var_v:.3f}")
print(f"r + γV(s′) − V(s), true V       bias {true_v.bias:.0e}   variance {true_v.variance:.3f}")
print(f"r + γV(s′) − V(s), V with errors bias {wrong_v.bias:.2f}    variance {wrong_v.variance:.3f}")
var_one, bias_wrong, J = true_v.variance, wrong_v.bias, micro.J()
assert true_v.bias < 1e-12 < 0.1 < wrong_v.bias and var_one < var_v

# %% regression
v, target = np.array([1.0, 5.0]), np.array([2.0, -5.0])
for name in ("mse", "huber"):
    loss, dv = losses.VALUE_LOSSES[name](v, target)
    print(f"{name:5}  loss {loss:.3f}   ∂L/∂v {dv}")

# %%
assert losses.mse(v, target)[0] == 25.25 and losses.mse(v, target)[1].tolist() == [-0.5, 5.0]
assert losses.huber(v, target)[0] == 5.0 and losses.huber(v, target)[1].tolist() == [-0.5, 0.5]

# %% median
returns_seen = np.array([0.0] * 9 + [10.0])                         # nine episodes without a reward, one with 10
minima = {}
for name, loss in losses.VALUE_LOSSES.items():
    b = 0.0
    for _ in range(5000):
        b -= 0.1 * loss(np.full(10, b), returns_seen)[1].sum()
    minima[name] = b
    print(f"{name:5}  ends at {b:.3f}")
assert np.isclose(minima["mse"], 1) and np.isclose(minima["huber"], 1 / 9)
huber_end = minima["huber"]

# %%
# The numbers of the self-test.
x = (np.array([1.0, 5.0]) - 4.0)[:, None] * (np.eye(2) - [0.25, 0.75])
assert np.allclose(x, [[-2.25, 2.25], [-0.25, 0.25]]) and np.allclose([0.25, 0.75] @ x, [-0.75, 0.75])
pairs = [(i, j) for i in (0, 1) for j in (0, 1)]                    # two pulls; the baseline is the mean of both payments
batch = sum(0.25 * ((q[i] - (q[i] + q[j]) / 2) * score[i] + (q[j] - (q[i] + q[j]) / 2) * score[j]) / 2 for i, j in pairs)
assert np.isclose(batch, 0.5 * (1 - 1 / 2))
