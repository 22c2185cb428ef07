"""From pictures to features: an encoder of convolutions, written as pure functions over parameters like `nn.MLP`.

    x, cache = encoder.forward(params, pictures)          encoder.backward(params, cache, dx, grads)

Pictures are numbers from 0 to 255, (B, C, H, W) or (B, H, W, C), in uint8 as environments return and replay buffers store them;
features are (B, F). Inside the encoder the channels come last, so that each row of a window is contiguous in memory.

The algorithms differ in the loss that trains an encoder shared by actor and critic. In SAC it is the critics' loss alone, and the
actor takes the features as data: its gradient would change the critics' inputs against the critics' own gradient (Yarats et al.
2021, "Improving sample efficiency in model-free reinforcement learning from images"). In PPO both losses train it.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

import kernels
from kernels import kernel
from scratchac.errors import UserError
from scratchac.nn import INITIALISERS, Gradient, Parameters, linear, linear_backward

LAYERS = ((16, 4, 2), (32, 3, 2), (32, 3, 2))           # (filters, side of a filter, stride), each followed by ReLU
FEATURES = 128
SHIFT = 2                                               # pixels


# -- one convolution -------------------------------------------------------------------------------------------------


@kernel
def conv2d(x: np.ndarray, W: np.ndarray, b: np.ndarray, stride: int) -> tuple[np.ndarray, np.ndarray]:
    """y = relu(x ∗ W + b) for x (B, H, W, C), filters W (k, k, C, F), b (F,): y (B, H′, W′, F), and the windows of x.

        y[n, i, j, f] = relu(b[f] + Σ_pqc x[n, i·stride + p, j·stride + q, c] · W[p, q, c, f])

    A window is k²C numbers in one row of a matrix, so that all sums together are one matrix product.
    """
    windows = windows_of(x, len(W), stride)                                                 # (B, H′, W′, k²C)
    y = windows @ W.reshape(-1, W.shape[-1])
    y += b
    return np.maximum(y, 0, out=y), windows


@kernel
def conv2d_backward(dy: np.ndarray, shape: tuple[int, ...], windows: np.ndarray, y: np.ndarray, W: np.ndarray, stride: int,
                    dW: np.ndarray, db: np.ndarray, input_gradient: bool = True) -> Gradient:
    """Write ∂L/∂W and ∂L/∂b into `dW` and `db`; return ∂L/∂x of the given shape, or None unless `input_gradient`.

    With dz = dy ∘ [y > 0], as for a dense layer whose rows are all windows of all pictures:
        dW = windowsᵀ dz,   db = Σ dz over pictures and positions,   dwindows = dz Wᵀ
    Each element of x occurs in several windows, so its derivative is the sum over these windows (`add_windows`).
    """
    F = W.shape[-1]
    dz = dy * (y > 0)
    rows = dz.reshape(-1, F)                                                                # (B·H′·W′, F)
    np.matmul(windows.reshape(len(rows), -1).T, rows, out=dW.reshape(-1, F))
    np.sum(rows, axis=0, out=db)
    return add_windows(rows @ W.reshape(-1, F).T, shape, W, stride) if input_gradient else None


@kernel
def windows_of(x: np.ndarray, k: int, stride: int) -> np.ndarray:
    """Copies of all k × k windows of x (B, H, W, C) at every `stride`-th position, each in one row: (B, H′, W′, k²C)."""
    windows = sliding_window_view(x, (k, k), axis=(1, 2))[:, ::stride, ::stride]            # (B, H′, W′, C, k, k), a view
    return windows.transpose(0, 1, 2, 4, 5, 3).reshape(*windows.shape[:3], -1)


@kernel
def add_windows(windows: np.ndarray, shape: tuple[int, ...], W: np.ndarray, stride: int) -> np.ndarray:
    """The sum of all windows (B·H′·W′, k²C) of filters W, each added at its position in zeros of `shape` (B, H, W, C)."""
    x, k = kernels.backend.zeros(shape, windows.dtype), len(W)
    height, width = ((n - k) // stride + 1 for n in shape[1:3])
    windows = windows.reshape(len(x), height, width, *W.shape[:3])
    for p in range(k):
        for q in range(k):
            x[:, p : p + stride * height : stride, q : q + stride * width : stride] += windows[:, :, :, p, q]
    return x


@dataclass(frozen=True)
class Encoder:
    """Convolutions, then one linear layer, layer normalisation and tanh: features in (−1, 1) at any brightness.

    shape       of one picture, (C, H, W) or (H, W, C): of the first and the last axis, the shorter one is C, the channels or frames
    low, high   the range of its values, which becomes [0, 1]
    layers      (filters, side, stride) of each convolution
    features    F
    """

    shape: tuple[int, ...]
    layers: tuple[tuple[int, int, int], ...] = LAYERS
    features: int = FEATURES
    low: float = 0.0
    high: float = 255.0

    def __post_init__(self) -> None:
        if min(self.sides[-1]) < 1:
            side = 1                                                        # of the last layer's output; then of its input, …
            for _, k, stride in reversed(self.layers):
                side = (side - 1) * stride + k
            raise UserError(f"pictures of shape {self.shape} are too small for the encoder, which needs {side} × {side} pixels")

    @property
    def channels_first(self) -> bool:
        """Whether a picture is (C, H, W) and not (H, W, C)."""
        return self.shape[0] < self.shape[-1]

    @property
    def sides(self) -> list[tuple[int, ...]]:
        """(height, width) of the picture and of the output of each convolution: (n − side)//stride + 1."""
        sides = [self.shape[1:] if self.channels_first else self.shape[:2]]
        for _, k, stride in self.layers:
            sides.append(tuple((n - k) // stride + 1 for n in sides[-1]))
        return sides

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name → shape: K1 (k, k, C, F), c1, K2, c2, … of the convolutions, then W and b of the linear layer."""
        shapes: dict[str, tuple[int, ...]] = {}
        channels = self.shape[0 if self.channels_first else -1]
        for i, (filters, k, _) in enumerate(self.layers, start=1):
            shapes[f"K{i}"], shapes[f"c{i}"] = (k, k, channels, filters), (filters,)
            channels = filters
        height, width = self.sides[-1]
        return shapes | {"W": (height * width * channels, self.features), "b": (self.features,)}

    def initialise(self, params: Parameters, rng: np.random.Generator, initialiser: str = "orthogonal") -> None:
        """Draw all weights; a filter of side k with C channels is a column of k²C inputs. Biases are zero."""
        params.flat[:] = 0
        for name in [*(f"K{i}" for i in range(1, len(self.layers) + 1)), "W"]:
            weights = params[name].reshape(-1, params[name].shape[-1])
            gain = math.sqrt(2) if initialiser == "orthogonal" and name != "W" else 1.0
            weights[...] = kernels.backend.asarray(INITIALISERS[initialiser](rng, weights.shape, gain))

    def forward(self, params: Parameters, pictures: np.ndarray) -> tuple[np.ndarray, Any]:
        """Features (B, F) of pictures (B, …shape), and the cache that `backward` needs."""
        x = np.moveaxis(pictures, 1, -1).copy() if self.channels_first else pictures
        x = np.multiply(x, 1 / (self.high - self.low), dtype=params.flat.dtype)     # uint8 arithmetic would wrap around
        if self.low:
            x -= self.low / (self.high - self.low)
        cache = []
        for i, (_, _, stride) in enumerate(self.layers, start=1):
            y, windows = conv2d(x, params[f"K{i}"], params[f"c{i}"], stride)
            cache.append((x.shape, windows, y))
            x = y
        rows = x.reshape(len(x), -1)
        z, deviation = layer_norm(linear(rows, params["W"], params["b"], "identity"))
        features = np.tanh(z)
        return features, (cache, rows, z, deviation, features)

    def backward(self, params: Parameters, cache: Any, dx: np.ndarray, grads: Parameters,
                 input_gradient: bool = False) -> Gradient:
        """Fill `grads` with ∂L/∂params from dx = ∂L/∂features; return ∂L/∂(scaled picture), channels last, if requested."""
        cache, rows, z, deviation, features = cache
        dz = layer_norm_backward(dx * (1 - features * features), z, deviation)
        dy = linear_backward(dz, rows, None, params["W"], "identity", grads["W"], grads["b"])
        for i in range(len(self.layers), 0, -1):
            shape, windows, y = cache[i - 1]
            dy = conv2d_backward(dy.reshape(y.shape), shape, windows, y, params[f"K{i}"], self.layers[i - 1][2],
                                                 grads[f"K{i}"], grads[f"c{i}"], input_gradient or i > 1)
        return dy

    def shift(self, pictures: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Each picture shifted at random by up to SHIFT pixels in each direction, with its border repeated.

        Shifted views of one scene have the same value (Kostrikov et al. 2021, "Image augmentation is all you need").
        """
        first = 2 if self.channels_first else 1                 # the first of the axes height and width
        border = [(SHIFT, SHIFT) if axis in (first, first + 1) else (0, 0) for axis in range(4)]
        padded = np.pad(pictures, border, mode="edge")
        views = sliding_window_view(padded, self.sides[0], axis=(first, first + 1))
        views = np.moveaxis(views, (first, first + 1), (1, 2))          # (B, 2·SHIFT+1, 2·SHIFT+1, C, H, W)
        up, left = (kernels.backend.asarray(x) for x in rng.integers(2 * SHIFT + 1, size=(2, len(pictures))))
        chosen = views[kernels.backend.asarray(np.arange(len(pictures))), up, left]
        return chosen if self.channels_first else np.moveaxis(chosen, 1, -1)


# -- layer normalisation (Ba et al. 2016, eq. 3), without gain and bias ----------------------------------------------


def layer_norm(x: np.ndarray, eps: float = 1e-5) -> tuple[np.ndarray, np.ndarray]:
    """z = (x − mean)/σ over the features of each row, σ = √(variance + ε); returns z and σ (B, 1)."""
    centred = x - x.mean(axis=-1, keepdims=True)
    deviation = np.sqrt((centred * centred).mean(axis=-1, keepdims=True) + eps)
    return centred / deviation, deviation


def layer_norm_backward(dz: np.ndarray, z: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """dx = (dz − mean dz − z · mean(dz ∘ z))/σ: shifting or scaling a row does not change z, so dx has no part along 1 and,
    but for ε, none along z."""
    return (dz - dz.mean(axis=-1, keepdims=True) - z * (dz * z).mean(axis=-1, keepdims=True)) / deviation
