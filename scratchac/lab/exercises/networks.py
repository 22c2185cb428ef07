"""Exercises on networks: a dense layer, two of them, a convolution, and the optimiser."""

from typing import Any

import numpy as np

from scratchac import conv, nn, optim
from scratchac.lab.exercises.exercise import Exercise, Training
from scratchac.nn import MLP, Parameters


def dense_backward(dy: np.ndarray, x: np.ndarray, y: np.ndarray, W: np.ndarray, activation: str) -> tuple[np.ndarray, ...]:
    """∂L/∂x, ∂L/∂W and ∂L/∂b of a dense layer."""
    dW, db = np.empty_like(W), np.empty_like(W[0])
    return nn.linear_backward(dy, x, y, W, activation, dW, db), dW, db


def a_layer(rng: np.random.Generator) -> tuple[Any, ...]:
    """Five rows through a layer of four inputs and three outputs, with each activation in turn."""
    x, W, b, dy = (rng.standard_normal(shape) for shape in ((5, 4), (4, 3), 3, (5, 3)))
    activation = ("tanh", "relu", "identity")[rng.integers(3)]
    return dy, x, nn.linear(x, W, b, activation), W, activation


def _linear_backward(mine: Any) -> Any:
    def backward(dy: np.ndarray, x: np.ndarray, y: Any, W: np.ndarray, activation: str, dW: Any, db: Any,
                 input_gradient: bool = True) -> np.ndarray | None:
        dx, *gradients = mine(dy, x, y, W, activation)
        if dW is not None:
            dW[...], db[...] = gradients
        return dx if input_gradient else None
    return backward


AVERAGED = (nn.linear_backward, "dz, out=dW)\n        np.sum(dz, axis=-2, out=db)",
            "dz / len(dz), out=dW)\n        np.mean(dz, axis=-2, out=db)")

DENSE_BACKWARD = Exercise(
    "dense-backward", 20, "the backward pass of one dense layer",
    "A dense layer computes y = f(xW + b) for B rows at once. Given ∂L/∂y, compute ∂L/∂x, ∂L/∂W and ∂L/∂b. Both activations have a "
    "derivative that is a function of y alone, so z = xW + b is not needed. `activation` is \"tanh\", \"relu\" or \"identity\".",
    "z = xW + b,  y = f(z)             dz = dy ∘ f′(z)\n"
    "tanh′(z) = 1 − y²                 relu′(z) = 1 where y > 0, else 0\n"
    "dW = xᵀ dz        db = Σ_rows dz        dx = dz Wᵀ",
    {"dy": "(B, H)  ∂L/∂y", "x": "(B, I)  input", "y": "(B, H)  output; may be None for \"identity\"",
     "W": "(I, H)  weights from I inputs to H outputs",
     "activation": "\"tanh\", \"relu\" or \"identity\""},
    {"dx": "(B, I)", "dW": "(I, H)", "db": "(H,)"}, a_layer, dense_backward, "A dense layer, and a stack of them",
    {
        "the activation's derivative is missing: dz = dy": (
            nn.linear_backward, 'if activation == "tanh":', 'activation = "identity"\n    if activation == "tanh":'),
        "tanh′ is missing; relu′ is there": (nn.linear_backward, "dz *= dy ", "dz = 1 * dy "),
        "ReLU passes every gradient; tanh′ is there": (nn.linear_backward, "dz = dy * (y > 0)", "dz = 1 * dy"),
        "tanh′ is 1 − tanh²(y), but y already is tanh(z)": (nn.linear_backward, "dz = y * y", "dz = np.tanh(y) ** 2"),
        "dx is dy Wᵀ: the activation's derivative is missing on the way back, though not in dW": (
            nn.linear_backward, "dz @ W", "dy @ W"),
        "the biases' gradient is a mean over the rows, not a sum": (
            nn.linear_backward, "np.sum(dz, axis=-2, out=db)", "np.mean(dz, axis=-2, out=db)"),
        "dW and db are means over the rows: the 1/B belongs to the loss, and dy has it already": AVERAGED,
    },
    lines=(nn.linear, nn.linear_backward),
    training=Training("reinforce", "CartPole-v1", 30_000, nn.linear_backward, _linear_backward),
)


def mlp_backward(x: np.ndarray, W1: np.ndarray, b1: np.ndarray, W2: np.ndarray, b2: np.ndarray,
                 dy: np.ndarray) -> tuple[np.ndarray, ...]:
    """∂L/∂W₁, ∂L/∂b₁, ∂L/∂W₂, ∂L/∂b₂ and ∂L/∂x of a network with one hidden layer of tanh."""
    mlp = MLP((len(W1), len(W2), len(b2)))
    params = Parameters(mlp.shapes(), flat=np.concatenate([W1.ravel(), b1, W2.ravel(), b2]))
    grads = params.zeros_like()
    _, cache = mlp.forward(params, x)
    dx = mlp.backward(params, cache, dy, grads, input_gradient=True)
    return *(grads[name] for name in ("W1", "b1", "W2", "b2")), dx


def a_network(rng: np.random.Generator) -> tuple[Any, ...]:
    """Five rows through a network of three inputs, four hidden units and two outputs."""
    return tuple(rng.standard_normal(shape) for shape in ((5, 3), (3, 4), 4, (4, 2), 2, (5, 2)))


def _mlp_backward(mine: Any) -> Any:
    def backward(mlp: MLP, params: Parameters, cache: Any, dy: np.ndarray, grads: Parameters | None, input_gradient: bool = False,
                 member: int | None = None) -> np.ndarray | None:
        names = "W1", "b1", "W2", "b2"
        *gradients, dx = mine(cache[0], *(params[name] for name in names), dy)
        if grads is not None:
            for name, gradient in zip(names, gradients, strict=True):
                grads[name][...] = gradient
        return dx if input_gradient else None
    return backward


MLP_BACKWARD = Exercise(
    "mlp-backward", 25, "the chain rule through two layers",
    "A network with one hidden layer of tanh and a linear output. Compute its forward pass, then go back from ∂L/∂y through both "
    "layers: the gradient with respect to the input of the second layer is the one with respect to the output of the first.",
    "h = tanh(xW₁ + b₁),  y = hW₂ + b₂\n"
    "dW₂ = hᵀ dy        db₂ = Σ_rows dy        dh = dy W₂ᵀ        dz = dh ∘ (1 − h²)\n"
    "dW₁ = xᵀ dz        db₁ = Σ_rows dz        dx = dz W₁ᵀ",
    {"x": "(B, I)", "W1": "(I, H)", "b1": "(H,)", "W2": "(H, O)", "b2": "(O,)", "dy": "(B, O)  ∂L/∂y"},
    {"dW1": "(I, H)", "db1": "(H,)", "dW2": "(H, O)", "db2": "(O,)", "dx": "(B, I)"}, a_network, mlp_backward,
    "A dense layer, and a stack of them",
    {
        "tanh′ is missing: the hidden layer is taken as linear on the way back": (
            nn.mlp_backward, 'mlp.activation if i < last else "identity"', '"identity"'),
        "tanh′ is 1 − z², with z before the activation: it is 1 − tanh²(z) = 1 − h²": (
            nn.mlp_backward, "y = cache[i - 1]", "y = np.arctanh(cache[i - 1])"),
        "tanh′ is 1 − tanh²(h), but h already is tanh(z)": (nn.mlp_backward, "y = cache[i - 1]", "y = np.tanh(cache[i - 1])"),
        "the biases' gradients are means over the rows, not sums": (
            nn.linear_backward, "np.sum(dz, axis=-2, out=db)", "np.mean(dz, axis=-2, out=db)"),
        "the gradients of weights and biases are means over the rows: the 1/B belongs to the loss, and dy has it already": AVERAGED,
        "the hidden layer has no activation on the way forward, so h is z": (
            nn.mlp_forward, 'mlp.activation if i < last else "identity"', '"identity"'),
    },
    lines=(nn.mlp_forward, nn.mlp_backward, nn.linear_backward),
    training=Training("reinforce", "CartPole-v1", 30_000, nn.mlp_backward, _mlp_backward, {"hidden": (64,)}),
)


def adam(p: np.ndarray, g: np.ndarray, m: np.ndarray, v: np.ndarray, lr: float, beta1: float, beta2: float, eps: float,
         t: int) -> tuple[np.ndarray, ...]:
    """p, m and v after one step, as new arrays."""
    p, m, v = p.copy(), m.copy(), v.copy()
    optim.adam(p, g, m, v, lr, beta1, beta2, eps, t)
    return p, m, v


def moments(rng: np.random.Generator) -> tuple[Any, ...]:
    """Five parameters at one of the first four steps, with an ε large enough to matter."""
    p, g, m = rng.standard_normal((3, 5))
    return p, g, m, rng.random(5), 0.1, 0.9, 0.99, 1e-3, int(rng.integers(1, 5))


def _adam(mine: Any) -> Any:
    def step(p: np.ndarray, g: np.ndarray, m: np.ndarray, v: np.ndarray, *numbers: Any) -> None:
        p[...], m[...], v[...] = mine(p, g, m, v, *numbers)
    return step


CORRECT_V, CORRECT_M = "step *= 1 / (1 - beta2**t) ** 0.5", "step *= lr / (1 - beta1**t)"

ADAM = Exercise(
    "adam", 20, "one step of Adam, with its bias correction",
    "Adam divides a running mean of the gradient by the root of a running mean of its square. Both start at 0, so after t steps "
    "they are too small by 1 − βᵗ, and are divided by that. Return the new p, m and v as new arrays.",
    "m ← β₁m + (1 − β₁)g               m̂ = m/(1 − β₁ᵗ)\n"
    "v ← β₂v + (1 − β₂)g²              v̂ = v/(1 − β₂ᵗ)\n"
    "p ← p − lr · m̂ / (√v̂ + ε)",
    {"p": "(P,)  parameters", "g": "(P,)  ∂L/∂p", "m": "(P,)  running mean of g", "v": "(P,)  running mean of g²", "lr": "number",
     "beta1": "number  β₁", "beta2": "number  β₂", "eps": "number  ε", "t": "whole number, 1 at the first step"},
    {"p": "(P,)  new", "m": "(P,)  new", "v": "(P,)  new"}, moments, adam, "Adam's bias correction, and RMSprop's ε",
    {
        "there is no bias correction": (
            optim.adam, f"{CORRECT_V}\n    step += eps\n    np.divide(m, step, out=step)\n    {CORRECT_M}",
            "step += eps\n    np.divide(m, step, out=step)\n    step *= lr"),
        "m is not corrected": (optim.adam, CORRECT_M, "step *= lr"),
        "v is not corrected": (optim.adam, CORRECT_V, "pass"),
        "ε is inside the root": (optim.adam, f"step = np.sqrt(v)\n    {CORRECT_V}\n    step += eps",
                                 "step = np.sqrt(v / (1 - beta2**t) + eps)"),
        "t is one too large: it is 1 at the first step": (optim.adam, "m *= beta1", "t = t + 1\n    m *= beta1"),
        "the step goes up, not down": (optim.adam, "p -= step", "p += step"),
        "m lacks the factor 1 − β₁: it is a sum, not a mean": (optim.adam, "m += (1 - beta1) * g", "m += g"),
    },
    lines=(optim.adam,),
    training=Training("reinforce", "CartPole-v1", 30_000, optim.adam, _adam),
)


def convolution_backward(dy: np.ndarray, x: np.ndarray, y: np.ndarray, W: np.ndarray, stride: int) -> tuple[np.ndarray, ...]:
    """∂L/∂x, ∂L/∂W and ∂L/∂b of a convolution with ReLU."""
    dW, db = np.empty_like(W), np.empty_like(W[0, 0, 0])
    windows = conv.windows_of(x, len(W), stride)
    return conv.conv2d_backward(dy, x.shape, windows, y, W, stride, dW, db), dW, db


def a_convolution(rng: np.random.Generator) -> tuple[Any, ...]:
    """Two pictures of 6 × 7 with two channels, and three filters of side 3."""
    stride = int(rng.integers(1, 3))
    x, W, b = (rng.standard_normal(shape) for shape in ((2, 6, 7, 2), (3, 3, 2, 3), 3))
    y, _ = conv.conv2d(x, W, b, stride)
    return rng.standard_normal(y.shape), x, y, W, stride


PLACES = """for p in range(k):
        for q in range(k):
            x[:, p : p + stride * height : stride, q : q + stride * width : stride] += windows[:, :, :, p, q]"""

CONVOLUTION_BACKWARD = Exercise(
    "convolution-backward", 45, "the backward pass of a convolution",
    "A filter is moved over the picture in steps of `stride`; each output is the filter's product with the window below it, and a "
    "ReLU follows. Channels come last. Each number of the picture is in several windows, so its gradient is a sum over these "
    "windows. Four loops over positions and filter rows and columns are enough; with the windows as rows of a matrix it is a dense "
    "layer.",
    "y[n, i, j, f] = relu(b[f] + Σ_pqc x[n, i·stride + p, j·stride + q, c] · W[p, q, c, f])\n"
    "dz = dy ∘ [y > 0]        db[f] = Σ_nij dz[n, i, j, f]\n"
    "dW[p, q, c, f] = Σ_nij x[n, i·stride + p, j·stride + q, c] · dz[n, i, j, f]\n"
    "dx[n, i·stride + p, j·stride + q, c] += Σ_f W[p, q, c, f] · dz[n, i, j, f]",
    {"dy": "(B, H′, W′, F)  ∂L/∂y", "x": "(B, H, W, C)  pictures", "y": "(B, H′, W′, F)  output", "W": "(k, k, C, F)  filters",
     "stride": "whole number"},
    {"dx": "(B, H, W, C)", "dW": "(k, k, C, F)", "db": "(F,)"}, a_convolution, convolution_backward,
    "A convolution is a matrix product",
    {
        "ReLU passes every gradient": (conv.conv2d_backward, "dz = dy * (y > 0)", "dz = 1 * dy"),
        "each window's gradient overwrites those of the windows before it: they must be added (+=)": (
            conv.add_windows, PLACES, PLACES.replace("range(k)", "reversed(range(k))").replace("+=", "=")),
        "each position in the filter overwrites what the positions before it gave: they must be added (+=)": (
            conv.add_windows, "+= windows[:, :, :, p, q]", "= windows[:, :, :, p, q]"),
        "dx is made with the filter turned by 180°": (
            conv.conv2d_backward, "rows @ W.reshape(-1, F).T", "rows @ W[::-1, ::-1].reshape(-1, F).T"),
        "the biases' gradient is a mean, not a sum over pictures and positions": (
            conv.conv2d_backward, "np.sum(rows, axis=0, out=db)", "np.mean(rows, axis=0, out=db)"),
        "dx is made of dy: ReLU's derivative is missing on the way back, though not in dW": (
            conv.conv2d_backward, "rows @ W.reshape(-1, F).T", "dy.reshape(-1, F) @ W.reshape(-1, F).T"),
        "rows and columns of the filter are exchanged in dx": (
            conv.conv2d_backward, "rows @ W.reshape(-1, F).T", "rows @ W.swapaxes(0, 1).reshape(-1, F).T"),
    },
    lines=(conv.conv2d_backward, conv.add_windows, conv.windows_of),
)
