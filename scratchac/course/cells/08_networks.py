# %% [markdown]
# # Networks and gradients by hand: the numbers and figures of chapter 8

# %%
import math

import numpy as np
from matplotlib.figure import Figure

from scratchac import gradcheck, losses, nn, optim
from scratchac.gradcheck.differences import relative_error
from scratchac.lab.breaks import patch_of

# %% network
net = nn.MLP((2, 2, 1), "relu")
params = nn.Parameters(net.shapes(), np.float64)
params["W1"][:] = [[1.0, -2.0], [0.5, 0.5]]
params["W2"][:] = [[0.5], [3.0]]
params["b2"][:] = -0.5
x, target = np.array([[1.0, 2.0]]), np.array([2.0])

y, cache = net.forward(params, x)
loss, dv = losses.mse(y[:, 0], target)
grads = params.zeros_like()
dx = net.backward(params, cache, dv[:, None], grads, input_gradient=True)
print("y", y[0, 0], "  loss", loss, "  dy", dv[0])
for name in ("W2", "b2", "W1", "b1"):
    print(f"d{name}", (grads[name] + 0.0).tolist())
print("dx", dx.tolist())
assert (y[0, 0], loss, dv[0]) == (0.5, 1.125, -1.5) and cache[1].tolist() == [[2, 0]]
assert grads["W2"].tolist() == [[-3], [0]] and grads["b2"].tolist() == [-1.5]
assert grads["W1"].tolist() == [[-0.75, 0], [-1.5, 0]] and grads["b1"].tolist() == [-0.75, 0]
assert dx.tolist() == [[-0.75, -0.375]]

# %% step
optim.SGD(params.flat).step(grads.flat, 0.1)
y_after, _ = net.forward(params, x)
loss_after = float(losses.mse(y_after[:, 0], target)[0])
for name in ("W1", "b1", "W2", "b2"):
    print(name, params[name].round(3).tolist())
print(f"y {y_after[0, 0]:.2f}   loss {loss_after:.3f}")
assert np.isclose(y_after[0, 0], 1.61) and np.isclose(loss_after, 0.5 * 0.39**2)

# %% zero
def layer_gradients(start):
    """Largest gradient in each array of a network with tanh whose parameters are drawn by `start`."""
    net = nn.MLP((3, 8, 8, 1))
    params = nn.Parameters(net.shapes(), np.float64)
    start(net, params)
    rng = np.random.default_rng(0)
    x, target = rng.standard_normal((32, 3)), rng.standard_normal(32)
    y, cache = net.forward(params, x)
    grads = params.zeros_like()
    net.backward(params, cache, losses.mse(y[:, 0], target)[1][:, None], grads)
    return {name: float(abs(grads[name]).max()) for name in params.shapes}, grads


from_zero, _ = layer_gradients(lambda net, params: None)
from_half, equal = layer_gradients(lambda net, params: params.flat.__setitem__(slice(None), 0.5))
drawn, _ = layer_gradients(lambda net, params: net.initialise(params, np.random.default_rng(1)))
for title, sizes in (("all zero", from_zero), ("all ½", from_half), ("orthogonal", drawn)):
    print(f"{title:10}", "  ".join(f"d{name} {size:.3f}" for name, size in sizes.items()))
print("all ½: the columns of dW1 are equal:", bool(np.allclose(equal["W1"], equal["W1"][:, :1])))
assert all(size == 0 for name, size in from_zero.items() if name != "b3") and from_zero["b3"] > 0
assert np.allclose(equal["W1"], equal["W1"][:, :1]) and min(drawn.values()) > 0

# %% depth
rng, width, deep = np.random.default_rng(0), 64, 20
first = rng.standard_normal((64, width))
ways = {"normal, σ = 0.05": lambda: 0.05 * rng.standard_normal((width, width)),
        "normal, σ = 0.3": lambda: 0.3 * rng.standard_normal((width, width)),
        "He": lambda: nn.he(rng, (width, width)),
        "orthogonal · √2": lambda: nn.orthogonal(rng, (width, width), math.sqrt(2))}
figure = Figure(figsize=(5.8, 3), layout="constrained")
ax = figure.subplots()
last = {}
for name, draw in ways.items():
    h, size = first, [1.0]
    for _ in range(deep):
        h = np.maximum(h @ draw(), 0)
        size.append(math.sqrt((h * h).mean()))
    last[name] = size[-1]
    ax.plot(size, label=name)
ax.set(xlabel="layer", xticks=range(0, 21, 4), ylabel="root mean square of outputs", yscale="log")
ax.legend(fontsize=8)
too_small, too_large = last["normal, σ = 0.05"], last["normal, σ = 0.3"]
W = nn.orthogonal(rng, (4, 4))
assert np.isclose(0.5**20, 1e-6, rtol=0.05)
assert np.allclose(W @ W.T, np.eye(4)) and 0.2 < last["He"] < 5 and 0.2 < last["orthogonal · √2"] < 5


def after_tanh(gain):
    """The root mean square of the outputs of twenty layers with tanh."""
    h = first
    for _ in range(deep):
        h = np.tanh(h @ nn.orthogonal(rng, (width, width), gain))
    return math.sqrt((h * h).mean())


tanh_plain, tanh_more = after_tanh(1.0), after_tanh(math.sqrt(2))
assert tanh_plain < 0.3 < tanh_more

# %% adam-by-hand
b1, b2, m, v = 0.9, 0.999, 0.0, 0.0
adam, lr = optim.Adam(np.zeros(1), eps=0.0), 0.01
rows = []
for t, g in ((1, 3.0), (2, 1.0)):
    m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
    m_hat, v_hat = m / (1 - b1**t), v / (1 - b2**t)
    before = adam.params[0]
    adam.step(np.array([g]), lr)
    rows.append((m_hat / math.sqrt(v_hat), m / math.sqrt(v)))
    print(f"t = {t}  g {g:.0f}   m {m:.4f}  v {v:.6f}   m̂ {m_hat:.4f}  v̂ {v_hat:.4f}   step {rows[-1][0]:.3f} lr, "
          f"not corrected {rows[-1][1]:.3f} lr")
    assert np.isclose(before - adam.params[0], lr * rows[-1][0])
(step_1, raw_1), (step_2, raw_2) = rows
assert np.isclose(step_1, 1) and np.isclose(raw_1, 0.1 / math.sqrt(0.001))
assert np.isclose(step_2, 0.37 / 0.19 / math.sqrt(0.009991 / 0.001999))

# %% valley
def descend(make, lr, steps=60):
    """Way of an optimiser from (−4, 1) down ½(0.05 x² + 2 y²)."""
    p = np.array([-4.0, 1.0])
    optimiser, way = make(p), [p.copy()]
    for _ in range(steps):
        optimiser.step(np.array([0.05, 2.0]) * p, lr)
        way.append(p.copy())
    return np.array(way)


figure = Figure(figsize=(5.8, 3), layout="constrained")
ax = figure.subplots()
grid_x, grid_y = np.meshgrid(np.linspace(-4.5, 1, 60), np.linspace(-1.3, 1.3, 60))
ax.contour(grid_x, grid_y, 0.025 * grid_x**2 + grid_y**2, 12, colors="grey", linewidths=0.5)
ends = {}
for name, make, lr in (("SGD", optim.SGD, 0.9), ("RMSprop", optim.RMSprop, 0.02), ("Adam", optim.Adam, 0.1)):
    way = descend(make, lr)
    ends[name] = float(0.025 * way[-1, 0] ** 2 + way[-1, 1] ** 2)
    ax.plot(*way.T, marker=".", ms=3, lw=0.8, label=f"{name}, step size {lr:g}")
ax.plot(0, 0, "+", color="grey")
ax.set(xlabel="x, in which the slope is small", ylabel="y, in which it is large")
ax.legend(fontsize=8)

# %% clipping
g = np.array([3.0, 4.0])
norm = optim.clip_global_norm(g, 1.0)
print("length", norm, "  becomes", g.round(3))
assert norm == 5 and np.allclose(g, [0.6, 0.8])

# %% differences-by-hand
for h in (0.1, 0.01):
    estimate = (math.exp(h) - math.exp(-h)) / (2 * h)
    print(f"h = {h:4}   ({math.exp(h):.6f} − {math.exp(-h):.6f}) / {2 * h:g} = {estimate:.6f}   "
          f"error {estimate - 1:.2e}   h²/6 = {h * h / 6:.2e}")
    assert abs((estimate - 1) / (h * h / 6) - 1) < 0.001

# %% v-curve
h = np.logspace(0, -13, 53)
error = [max(abs((math.exp(x0 + d) - math.exp(x0 - d)) / (2 * d) / math.exp(x0) - 1) for x0 in np.linspace(0, 1, 21)) for d in h]
figure = Figure(figsize=(5.8, 3), layout="constrained")
ax = figure.subplots()
ax.loglog(h, error, marker=".", label="error of the differences of eˣ")
ax.loglog(h, h**2 / 6, color="grey", lw=0.8, ls="--", label="h²/6")
ax.loglog(h, 1e-16 / h, color="grey", lw=0.8, ls=":", label="1e-16/h")
ax.axvline(1e-5, color="tab:red", lw=0.8, label="h of the checks")
ax.set(xlabel="h", ylabel="relative error", ylim=(1e-13, 1))
ax.legend(fontsize=8)
best_h, best_error = h[int(np.argmin(error))], min(error)
x32 = np.linspace(0, 1, 21, dtype=np.float32)
best_32 = min(float(abs((np.exp(x32 + d) - np.exp(x32 - d)) / ((x32 + d) - (x32 - d)) / np.exp(x32) - 1).max())
              for d in np.logspace(-1, -5, 17, dtype=np.float32))
assert 1e-6 < best_h < 1e-4 and best_error < 1e-9

# %% check
NAME = "MLP, tanh: weights and biases"
seen = gradcheck.numbers(NAME)
for i in range(4):
    print(f"parameter {i}   differences {seen.expected[i]:+.9f}   by hand {seen.found[i]:+.9f}")
found, control = float(seen.errors.max()), relative_error(seen.spoilt, seen.expected)
with patch_of("tanh without its derivative"):
    broken = float(gradcheck.numbers(NAME).errors.max())
print(f"largest relative error of {seen.x.size} parameters   {found:.0e}")
print(f"with a mistake in the gradient (control)   {control:.0e}")
print(f"with a mistake in the source               {broken:.0e}")
assert found < gradcheck.TOLERANCE < min(control, broken)

# %% blind
def own_gradient(v, target):
    """A loss that is computed from its own gradient, which has the wrong sign."""
    dv = (target - v) / len(v)
    return float(dv @ (v - target)) / 2, dv


rng = np.random.default_rng(0)
v_check, target_check = rng.standard_normal(5), rng.standard_normal(5)
numerical = gradcheck.numerical_gradient(lambda: own_gradient(v_check, target_check)[0], v_check)
agree = relative_error(own_gradient(v_check, target_check)[1], numerical)
print(f"error by differences of its own loss {agree:.0e}, against the real loss "
      f"{relative_error(own_gradient(v_check, target_check)[1], losses.mse(v_check, target_check)[1]):.0f}")
assert agree < 1e-6
