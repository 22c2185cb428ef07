"""From pictures to features: an encoder of convolutions as pure functions over parameters, like `nn.MLP`.

    x, cache = encoder.forward(params, pictures)          encoder.backward(params, cache, dx, grads)

Pictures are numbers from 0 to 255, uint8 as environments give and memories keep them, (B, C, H, W) or (B, H, W, C); features are
(B, F). Inside, channels come last, so that a window's rows lie together in memory.

Who trains an encoder that actor and critic share? In SAC the critics' loss alone, and the actor takes the features as data: its
gradient would move what the critics see, against their own (Yarats et al. 2021, "Improving sample efficiency in model-free
reinforcement learning from images"). In PPO both losses do.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

import kernels
from scratchac.errors import UserError
from scratchac.nn import INITIALISERS, Parameters

LAYERS = ((16, 4, 2), (32, 3, 2), (32, 3, 2))           # (filters, side of a filter, stride), each followed by ReLU
FEATURES = 128
SHIFT = 2                                               # pixels


@dataclass(frozen=True)
class Encoder:
    """Convolutions, then one linear layer, layer normalisation and tanh: features in (−1, 1), whatever the light.

    shape       of one picture, (C, H, W) or (H, W, C): channels, or stacked frames, are along the shorter end
    layers      (filters, side, stride) of each convolution
    features    F
    """

    shape: tuple
    layers: tuple = LAYERS
    features: int = FEATURES
    learns = True

    def __post_init__(self):
        if min(self.sides[-1]) < 1:
            raise UserError(f"pictures of shape {self.shape} are too small for the encoder, which needs 16 × 16 pixels")

    @property
    def channels_first(self):
        return self.shape[0] < self.shape[-1]

    @property
    def sides(self):
        """(height, width) of the picture and of what each convolution makes of it: (n − side)//stride + 1."""
        sides = [self.shape[1:] if self.channels_first else self.shape[:2]]
        for _, k, stride in self.layers:
            sides.append(tuple((n - k) // stride + 1 for n in sides[-1]))
        return sides

    def shapes(self):
        """Name → shape: K1 (k, k, C, F), c1, K2, c2, … of the convolutions, then W and b of the linear layer."""
        shapes, channels = {}, self.shape[0 if self.channels_first else -1]
        for i, (filters, k, _) in enumerate(self.layers, start=1):
            shapes[f"K{i}"], shapes[f"c{i}"] = (k, k, channels, filters), (filters,)
            channels = filters
        height, width = self.sides[-1]
        return shapes | {"W": (height * width * channels, self.features), "b": (self.features,)}

    def initialise(self, params, rng, initialiser="orthogonal"):
        """Draw all weights, a filter of side k and C channels as a column of k²C inputs; biases are zero."""
        params.flat[:] = 0
        for name in [*(f"K{i}" for i in range(1, len(self.layers) + 1)), "W"]:
            weights = params[name].reshape(-1, params[name].shape[-1])
            gain = math.sqrt(2) if initialiser == "orthogonal" and name != "W" else 1.0
            weights[...] = kernels.backend.asarray(INITIALISERS[initialiser](rng, weights.shape, gain))

    def forward(self, params, pictures):
        """Features (B, F) of pictures (B, …shape), and the cache that `backward` needs."""
        x = np.moveaxis(pictures, 1, -1).copy() if self.channels_first else pictures
        x = np.multiply(x, 1 / 255, dtype=params.flat.dtype)    # here, and nowhere else; uint8 arithmetic would wrap around
        cache = []
        for i, (_, _, stride) in enumerate(self.layers, start=1):
            y, windows = kernels.backend.conv2d(x, params[f"K{i}"], params[f"c{i}"], stride)
            cache.append((x.shape, windows, y))
            x = y
        rows = x.reshape(len(x), -1)
        z, deviation = layer_norm(kernels.backend.linear(rows, params["W"], params["b"], "identity"))
        features = np.tanh(z)
        return features, (cache, rows, z, deviation, features)

    def backward(self, params, cache, dx, grads, input_gradient=False):
        """Fill `grads` with ∂L/∂params from dx = ∂L/∂features; return ∂L/∂(scaled picture), channels last, if asked for."""
        cache, rows, z, deviation, features = cache
        dz = layer_norm_backward(dx * (1 - features * features), z, deviation)
        dy = kernels.backend.linear_backward(dz, rows, None, params["W"], "identity", grads["W"], grads["b"])
        for i in range(len(self.layers), 0, -1):
            shape, windows, y = cache[i - 1]
            dy = kernels.backend.conv2d_backward(dy.reshape(y.shape), shape, windows, y, params[f"K{i}"], self.layers[i - 1][2],
                                                 grads[f"K{i}"], grads[f"c{i}"], input_gradient or i > 1)
        return dy

    def shift(self, pictures, rng):
        """Each picture moved by up to SHIFT pixels either way, its border repeated: two views of one scene are worth the same
        (Kostrikov et al. 2021, "Image augmentation is all you need").
        """
        first = 2 if self.channels_first else 1                 # the first of the axes height and width
        border = [(SHIFT, SHIFT) if axis in (first, first + 1) else (0, 0) for axis in range(4)]
        padded = np.pad(pictures, border, mode="edge")
        views = sliding_window_view(padded, self.sides[0], axis=(first, first + 1))
        views = np.moveaxis(views, (first, first + 1), (1, 2))          # (B, 2·SHIFT+1, 2·SHIFT+1, C, H, W)
        up, left = (kernels.backend.asarray(x) for x in rng.integers(2 * SHIFT + 1, size=(2, len(pictures))))
        chosen = views[kernels.backend.asarray(np.arange(len(pictures))), up, left]
        return chosen if self.channels_first else np.moveaxis(chosen, 1, -1)


@dataclass(frozen=True)
class NoEncoder:
    """Vectors are their own features."""

    features: int
    learns = False

    def shapes(self):
        return {}

    def initialise(self, params, rng, initialiser):
        pass

    def forward(self, params, vectors):
        return vectors, None

    def shift(self, vectors, rng):
        return vectors


def is_picture(space):
    return space.dtype == np.uint8 and space.shape is not None and len(space.shape) == 3


def encoder_for(space):
    """The encoder for an observation space of vectors or of pictures."""
    return Encoder(space.shape) if is_picture(space) else NoEncoder(space.shape[0])


def side_by_side(parts, dtype):
    """One flat vector for several networks, given by their shapes, and the Parameters of each as views into it."""
    sizes = [sum(math.prod(shape) for shape in shapes.values()) for shapes in parts]
    flat, views, start = kernels.backend.zeros(sum(sizes), dtype), [], 0
    for shapes, size in zip(parts, sizes, strict=True):
        views.append(Parameters(shapes, flat=flat[start : start + size]))
        start += size
    return flat, views


# -- layer normalisation (Ba et al. 2016, eq. 3), without gain and bias ----------------------------------------------


def layer_norm(x, eps=1e-5):
    """z = (x − mean)/σ over the features of each row, σ = √(variance + ε); returns z and σ (B, 1)."""
    centred = x - x.mean(axis=-1, keepdims=True)
    deviation = np.sqrt((centred * centred).mean(axis=-1, keepdims=True) + eps)
    return centred / deviation, deviation


def layer_norm_backward(dz, z, deviation):
    """dx = (dz − mean dz − z · mean(dz ∘ z))/σ: moving or stretching a row changes nothing, so dx has no part along 1 and z."""
    return (dz - dz.mean(axis=-1, keepdims=True) - z * (dz * z).mean(axis=-1, keepdims=True)) / deviation
