# %% [markdown]
# # Bootstrapping: the numbers and figures of chapter 4

# %%
import numpy as np
from matplotlib.figure import Figure

from scratchac import returns
from scratchac.lab.microscope import Microscope

# %% steps
r, zero = np.ones((60, 1)), np.zeros((60, 1))                       # pays 1 at every step; the estimate of V is 0 everywhere
for k in (1, 2, 5, 20):
    g = returns.n_step(r, zero, zero, zero, 0.9, k)[0, 0]
    print(f"{k:2} rewards, then V̂ = 0:  {g:6.3f}   error {g - 10:7.3f}   −10 γᵏ = {-10 * 0.9**k:7.3f}")
    assert np.isclose(g - 10, -10 * 0.9**k)

# %% td-learning
gamma = 0.8  # the machine of chapter 1
P = np.array([[[0.5, 0.5], [1.0, 0.0]], [[0.0, 0.5], [1.0, 0.0]]])
R, pi = np.array([[4.0, 0.0], [2.0, 0.0]]), np.array([[1.0, 0.0], [0.5, 0.5]])
rng, v, s, seen = np.random.default_rng(0), np.zeros(2), 0, []
for step in range(30_000):
    a = int(rng.random() >= pi[s, 0])
    u = rng.random()
    broken = u >= P[s, a].sum()                                     # the terminal state
    s2 = 0 if u < P[s, a, 0] else 1
    delta = R[s, a] + gamma * (1 - broken) * v[s2] - v[s]           # the TD error
    v[s] += 0.2 / (1 + step / 200) * delta
    s = 0 if broken else s2  # a new machine is good
    seen.append(v.copy())
seen = np.array(seen)
for step in (100, 1000, 30_000):
    print(f"after {step:6} steps  V̂ = {seen[step - 1].round(3)}")

# %%
assert abs(seen[-1] - [11.25, 6.875]).max() < 0.3

# %% td-curve
figure = Figure(figsize=(5.2, 2.6), layout="constrained")
ax = figure.subplots()
for i, (name, truth) in enumerate((("good", 11.25), ("worn", 6.875))):
    ax.plot(np.arange(1, 30_001), seen[:, i], color=f"C{i}", lw=1, label=f"V̂({name})")
    ax.axhline(truth, color=f"C{i}", ls=":", lw=1)
ax.set(xlabel="steps (dotted: the true values)", ylabel="value", xscale="log")
ax.legend(fontsize=8)

# %% by-hand
gamma_h, lam = 0.5, 0.5
r = np.array([[1.0], [2.0], [3.0]])                                 # (T, N) = (3, 1)
v = np.array([[2.0], [4.0], [2.0]])                                 # V̂(sₜ)
v_next = np.array([[4.0], [2.0], [4.0]])                            # V̂(s′ₜ)
no = np.zeros((3, 1))  # no episode ends in these rows
delta = returns.td_target(r, v_next, no, gamma_h) - v
g = [returns.n_step(r, v_next, no, no, gamma_h, k)[0, 0] for k in (1, 2, 3)]
mixture = 0.5 * g[0] + 0.25 * g[1] + 0.25 * g[2]
adv = returns.gae(r, v, v_next, no, no, gamma_h, lam)[:, 0]
print("δ =", delta[:, 0].tolist())
print("G⁽¹⁾, G⁽²⁾, G⁽³⁾ =", [float(x) for x in g], "   mixture", float(mixture))
print("Â =", adv.tolist())

# %%
assert delta[:, 0].tolist() == [1, -1, 3] and g == [3, 2.5, 3.25] and mixture == 2.9375
assert adv.tolist() == [0.9375, -0.25, 3.0] and adv[0] == mixture - v[0, 0]
assert returns.lambda_return(r, v_next, no, no, gamma_h, lam)[0, 0] == mixture

# %% off-by-one
T = 200
rng = np.random.default_rng(0)
rewards, values = rng.standard_normal((T, 1)), rng.standard_normal((T + 1, 1))
none = np.zeros((T, 1))
G = [values[0, 0]] + [returns.n_step(rewards, values[1:], none, none, 0.9, k)[0, 0] for k in range(1, T + 1)]   # G⁽⁰⁾ = V̂(s₀)
right = returns.gae(rewards, values[:-1], values[1:], none, none, 0.9, 0.8)[0, 0]
from_1 = (1 - 0.8) * sum(0.8 ** (k - 1) * G[k] for k in range(1, T + 1)) - G[0]
from_0 = (1 - 0.8) * sum(0.8**k * G[k] for k in range(T + 1)) - G[0]
print(f"GAE {right:.6f},  with Σ λᵏ⁻¹ G⁽ᵏ⁾ from k = 1: {from_1:.6f}")
print(f"              with Σ λᵏ G⁽ᵏ⁾   from k = 0: {from_0:.6f}, {from_0 / right:.6f} times as much")
shares_short = (1 - 0.8) * sum(0.8 ** (k - 1) for k in range(1, 6))
print(f"with five steps left, and no rest: the shares add up to {shares_short:.3f}")
quotient = from_0 / right
assert np.isclose(right, from_1) and np.isclose(quotient, 0.8) and np.isclose(shares_short, 1 - 0.8**5)

# %% masks
end = np.array([[0.0], [1.0], [0.0]])  # an episode ends in the second row
# V̂(s′) there is 4; the next row's V̂(s) is 2
followed = np.array([[4.0], [4.0], [4.0]])
rows = {}
cases = (("goes on", v_next, no, no), ("time limit", followed, no, end),
         ("terminal state", followed, end, end))
for name, after, term, done in cases:
    delta = returns.td_target(r, after, term, gamma_h) - v
    rows[name] = returns.gae(r, v, after, term, done, gamma_h, lam)[:, 0].tolist()
    print(f"{name:15} δ {delta[:, 0].tolist()}   Â {rows[name]}")

# %%
assert rows["time limit"] == [1.0, 0.0, 3.0] and rows["terminal state"] == [0.5, -2.0, 3.0]

# %% microscope-k
micro = Microscope()
truth, wrong = micro.values()[0], micro.critic(0.3)
of_k = {k: micro.estimate(micro.k_step(k, wrong)) for k in (1, 2, 3, 5, 8)}
for k, e in of_k.items():
    print(f"k = {k}   bias {e.bias:6.1%} of ‖∇J‖   variance {e.variance:.3f}")
assert of_k[1].bias > 0.9 and of_k[8].bias < 1e-12

# %% microscope-lambda
lambdas = (0.0, 0.25, 0.5, 0.75, 0.9, 1.0)
of_true = [micro.estimate(micro.gae(x, truth)) for x in lambdas]
of_wrong = [micro.estimate(micro.gae(x, wrong)) for x in lambdas]
print("           true V                  V̂ with errors")
for x, a, b in zip(lambdas, of_true, of_wrong, strict=True):
    print(f"λ = {x:4.2f}   bias {a.bias:6.1%}  variance {a.variance:.3f}   bias {b.bias:6.1%}  variance {b.variance:.3f}")
bias_0, bias_9, variance_0, variance_1 = of_wrong[0].bias, of_wrong[4].bias, of_true[0].variance, of_true[-1].variance
assert max(e.bias for e in of_true) < 1e-12 and of_wrong[-1].bias < 1e-12
assert (np.diff([e.bias for e in of_wrong]) < 0).all()

# %% lambda-curve
figure = Figure(figsize=(5.2, 2.5), layout="constrained")
left, right_ax = figure.subplots(1, 2)
for found, label in ((of_true, "true V"), (of_wrong, "V̂ with errors")):
    left.plot(lambdas, [e.bias for e in found], marker=".", label=label)
    right_ax.plot(lambdas, [e.variance for e in found], marker=".", label=label)
left.set(xlabel="λ", title="bias, relative to ‖∇J‖")
right_ax.set(xlabel="λ", title="variance", ylim=(0, None))
left.legend(fontsize=8)

# %%
# The numbers of the self-test.
two = np.zeros((2, 1))
assert np.isclose(1 + 0.9 * 2 - 3, -0.2) and 1 + 0.9 * 0 - 3 == -2
assert returns.n_step(np.array([[1.0], [2.0]]), np.array([[9.0], [4.0]]), two, two, 0.5, 2)[0, 0] == 3
