"""Gradient checks of networks: layers, stacks, convolutions, an encoder of pictures."""

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np

from scratchac.conv import Encoder, conv2d, conv2d_backward, layer_norm, layer_norm_backward
from scratchac.gradcheck.differences import Checked, H, Rng, check
from scratchac.nn import MLP, Parameters

# -- networks: L = Σ c ∘ y for a fixed random c, so that ∂L/∂y = c --------------------------------------------------


def _network(rng: Rng, **options: Any) -> tuple[MLP, Parameters]:
    mlp = MLP((3, 5, 4, 2), **options)
    params = Parameters(mlp.shapes(), np.float64)
    mlp.initialise(params, rng)
    params.flat[:] += 0.1 * rng.standard_normal(params.flat.size)           # biases and constants away from zero
    return mlp, params


def _network_check(rng: Rng, spoil: Callable[[Any], Any], wrt_input: bool = False, **options: Any) -> Checked:
    """Draw x until no pre-activation is within 100 h of a ReLU's kink, where central differences would use both sides."""
    mlp, params = _network(rng, **options)
    x = rng.standard_normal((6, 3))
    y, cache = mlp.forward(params, x)
    while options.get("activation") == "relu" and _distance_from_kink(params, x) < 100 * H:
        x = rng.standard_normal((6, 3))
        y, cache = mlp.forward(params, x)
    c = rng.standard_normal(y.shape)
    grads = params.zeros_like()
    dx = mlp.backward(params, cache, c, grads, input_gradient=True)
    if wrt_input:
        target, grad, bad = x, dx, spoil(dx)
    else:
        target, grad, bad = params.flat, grads.flat, spoil(grads)
    return lambda: float((mlp.forward(params, x)[0] * c).sum()), target, grad, bad


def _distance_from_kink(params: Parameters, x: np.ndarray) -> float:
    nearest = np.inf
    for i in (1, 2):
        z = x @ params[f"W{i}"] + params[f"b{i}"]
        nearest, x = min(nearest, np.abs(z).min()), np.maximum(z, 0)
    return nearest


def _spoil(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Parameters], np.ndarray]:
    """A copy of all gradients in which those called `name` are changed."""

    def spoil(grads: Parameters) -> np.ndarray:
        bad = Parameters(grads.shapes, flat=grads.flat.copy())
        bad[name][...] = change(bad[name])
        return bad.flat
    return spoil


@check("MLP, tanh: weights and biases", "bias averaged over rows")
def _(rng: Rng) -> Checked:
    """L = Σ c ∘ y with random c, by all parameters."""
    return _network_check(rng, _spoil("b1", lambda g: g / 6))


@check("MLP, ReLU: weights and biases", "a layer's sign flipped")
def _(rng: Rng) -> Checked:
    """L = Σ c ∘ y with random c, by all parameters."""
    return _network_check(rng, _spoil("W2", lambda g: -g), activation="relu")


@check("MLP: input", "one feature forgotten")
def _(rng: Rng) -> Checked:
    """L = Σ c ∘ y with random c, by the input x."""
    return _network_check(rng, lambda dx: dx * [1, 1, 0], wrt_input=True)


@check("MLP, two stacked networks", "the two exchanged")
def _(rng: Rng) -> Checked:
    """L = Σ c ∘ y with random c, by all parameters of both networks."""
    return _network_check(rng, _spoil("W1", lambda g: g[::-1].copy()), stack=(2,))


@check("MLP with constant outputs", "constants not summed over rows")
def _(rng: Rng) -> Checked:
    """L = Σ c ∘ y with random c, by all parameters."""
    return _network_check(rng, _spoil("constants", lambda g: g / 6), constants=2)


# -- pictures --------------------------------------------------------------------------------------------------------

TINY = Encoder((2, 6, 7), layers=((3, 3, 2), (4, 2, 1)), features=4)        # 6 × 7 → 2 × 3 → 1 × 2


def _convolution(rng: Rng) -> tuple[np.ndarray, ...]:
    """Arguments of a convolution whose windows overlap and leave the last column out, and dy; away from every kink."""
    margin = 0
    while margin < 100 * H:
        x, W, b = rng.standard_normal((3, 5, 6, 2)), rng.standard_normal((3, 3, 2, 4)), rng.standard_normal(4)
        y, windows = conv2d(x, W, b, 2)
        margin = np.abs(windows @ W.reshape(-1, 4) + b).min()
    return x, W, b, y, windows, rng.standard_normal(y.shape)


@check("convolution: filters", "filters flipped")
def _(rng: Rng) -> Checked:
    """L = Σ c ∘ y with random c, by the filters W."""
    x, W, b, y, windows, dy = _convolution(rng)
    dW = np.zeros_like(W)
    conv2d_backward(dy, x.shape, windows, y, W, 2, dW, np.zeros(4))
    return lambda: float((conv2d(x, W, b, 2)[0] * dy).sum()), W, dW, dW[::-1, ::-1]


@check("convolution: biases", "averaged over places")
def _(rng: Rng) -> Checked:
    """L = Σ c ∘ y with random c, by the biases b."""
    x, W, b, y, windows, dy = _convolution(rng)
    db = np.zeros_like(b)
    conv2d_backward(dy, x.shape, windows, y, W, 2, np.zeros_like(W), db)
    return lambda: float((conv2d(x, W, b, 2)[0] * dy).sum()), b, db, db / (y.shape[1] * y.shape[2])


@check("convolution: input", "filters turned round on the way back")
def _(rng: Rng) -> Checked:
    """L = Σ c ∘ y with random c, by the pictures x."""
    x, W, b, y, windows, dy = _convolution(rng)
    dx = conv2d_backward(dy, x.shape, windows, y, W, 2, np.zeros_like(W), np.zeros(4))
    turned = W[::-1, ::-1].copy()
    spoilt = conv2d_backward(dy, x.shape, windows, y, turned, 2, np.zeros_like(W), np.zeros(4))
    return lambda: float((conv2d(x, W, b, 2)[0] * dy).sum()), x, dx, spoilt


@check("layer normalisation", "mean and deviation taken as data")
def _(rng: Rng) -> Checked:
    """L = Σ c ∘ z with random c, by x."""
    x, dz = rng.standard_normal((2, 4, 5))
    z, deviation = layer_norm(x)
    return lambda: float((layer_norm(x)[0] * dz).sum()), x, layer_norm_backward(dz, z, deviation), dz / deviation


def encoder_margin(encoder: Encoder, params: Parameters, pictures: np.ndarray) -> float:
    """The smallest distance of a ReLU of the encoder from its kink."""
    convolutions, *_ = encoder.forward(params, pictures)[1]
    z = [windows @ params[f"K{i}"].reshape(windows.shape[-1], -1) + params[f"c{i}"]
         for i, (_, windows, _) in enumerate(convolutions, start=1)]
    return min(np.abs(x).min() for x in z)


@check("encoder of pictures", "tanh forgotten")
def _(rng: Rng) -> Checked:
    """L = Σ c ∘ features with random c, by all parameters."""
    params = Parameters(TINY.shapes(), np.float64)
    TINY.initialise(params, rng)
    params.flat[:] += 0.1 * rng.standard_normal(params.flat.size)
    pictures = rng.integers(256, size=(3, *TINY.shape), dtype=np.uint8)
    while encoder_margin(TINY, params, pictures) < 100 * H:
        pictures = rng.integers(256, size=(3, *TINY.shape), dtype=np.uint8)
    features, cache = TINY.forward(params, pictures)
    dx = rng.standard_normal(features.shape)
    grads, spoilt = params.zeros_like(), params.zeros_like()
    TINY.backward(params, cache, dx, grads)
    TINY.backward(params, cache, dx / (1 - features * features), spoilt)
    return lambda: float((TINY.forward(params, pictures)[0] * dx).sum()), params.flat, grads.flat, spoilt.flat


# -- what checks of whole updates have in common ---------------------------------------------------------------------

PICTURES = gym.spaces.Box(0, 255, TINY.shape, np.uint8)


def pictures_for(rng: Rng, encoder: Encoder, params: Parameters, count: int) -> np.ndarray:
    """Pictures for which every ReLU is away from its kink."""
    pictures = rng.integers(256, size=(count, *TINY.shape), dtype=np.uint8)
    while encoder_margin(encoder, params, pictures) < 100 * H:
        pictures = rng.integers(256, size=(count, *TINY.shape), dtype=np.uint8)
    return pictures


def spaces(discrete: bool, features: int = 3) -> tuple[gym.Space, gym.Space]:
    """Spaces of `features` observation features, and three actions or two action features."""
    box = gym.spaces.Box(-1, 1, (features,), np.float64)
    return box, gym.spaces.Discrete(3) if discrete else gym.spaces.Box(-1, 1, (2,), np.float64)
