"""Multilayer perceptrons as pure functions over one flat parameter vector.

    y, cache = mlp.forward(params, x)          dx = mlp.backward(params, cache, dy, grads)

Nothing is remembered on the network object: two forward passes may be in flight before either is differentiated.
Shapes: B rows, I inputs, H outputs of a layer, K stacked networks. A stack has W (K, I, H) and takes x (B, I) for all of
its networks or (K, B, I) for each its own; its output is (K, B, H).
"""

import math
from dataclasses import dataclass

import numpy as np

import kernels
from scratchac.errors import UserError


class Parameters:
    """One flat vector with named views into it: `params.flat` for optimisers, `params["W1"]` for mathematics.

    `shapes` maps names to shapes, in order. The memory is new and zero, or the vector `flat` if one is given.
    Raises UserError for so many that there is no memory for them.
    """

    def __init__(self, shapes, dtype=np.float32, flat=None):
        sizes = [math.prod(shape) for shape in shapes.values()]
        self.shapes = shapes
        if flat is None:
            _check_memory(sum(sizes), dtype)
        self.flat = kernels.backend.zeros(sum(sizes), dtype) if flat is None else flat
        if self.flat.shape != (sum(sizes),):
            raise ValueError(f"{sum(sizes)} parameters do not fit into a vector of shape {self.flat.shape}")
        ends = np.cumsum(sizes)
        self.views = {
            name: self.flat[end - size : end].reshape(shape)
            for (name, shape), size, end in zip(shapes.items(), sizes, ends, strict=True)
        }

    def __getitem__(self, name):
        return self.views[name]

    def zeros_like(self):
        return Parameters(self.shapes, self.flat.dtype)


def _check_memory(size, dtype):
    needed, memory = 4 * size * np.dtype(dtype).itemsize, kernels.backend.memory()      # parameters, gradient and two moments
    if needed > memory:
        raise UserError(f"{size} parameters need {needed // 2**30} GiB of memory and there are {memory / 2**30:.1f}: "
                        "smaller layers (--hidden) would fit")


# -- initialisers: W of shape (…, I, H) ------------------------------------------------------------------------------


def orthogonal(rng, shape, gain=1.0):
    """W Wᵀ = gain² I (or WᵀW, whichever is smaller): signals and gradients keep their length (Saxe et al. 2014).

    The Q of a Gaussian matrix's QR decomposition, its columns multiplied by sign(diag R) to make it uniformly distributed.
    """
    *lead, rows, cols = shape
    q, r = np.linalg.qr(rng.standard_normal((*lead, max(rows, cols), min(rows, cols))))
    q *= np.sign(np.diagonal(r, axis1=-2, axis2=-1))[..., None, :]
    return gain * (q if rows >= cols else q.swapaxes(-1, -2))


def he(rng, shape, gain=1.0):
    """W ~ N(0, 2/I): keeps the variance of ReLU activations over depth (He et al. 2015, eq. 10)."""
    return gain * math.sqrt(2 / shape[-2]) * rng.standard_normal(shape)


def glorot(rng, shape, gain=1.0):
    """W ~ U(−l, l) with l = √(6/(I+H)): a compromise between forward and backward variance (Glorot & Bengio 2010, eq. 16)."""
    limit = gain * math.sqrt(6 / (shape[-2] + shape[-1]))
    return rng.uniform(-limit, limit, shape)


def fan_in(rng, shape, gain=1.0):
    """W ~ U(−1/√I, 1/√I): small first outputs (Lillicrap et al. 2016, section 7; PyTorch's default)."""
    limit = gain / math.sqrt(shape[-2])
    return rng.uniform(-limit, limit, shape)


INITIALISERS = {"orthogonal": orthogonal, "he": he, "glorot": glorot, "fan_in": fan_in}


@dataclass(frozen=True)
class MLP:
    """x → f(xW₁+b₁) → … → xW_L+b_L, the last layer linear.

    sizes       (inputs, hidden …, outputs)
    activation  "tanh" or "relu", after every layer but the last
    stack       leading axes: () for one network, (K,) for K of them side by side
    constants   that many further outputs which do not depend on x, put *before* the others: learnt numbers such as a
                state-independent log σ. They make y = [c | xW_L+b_L].
    """

    sizes: tuple
    activation: str = "tanh"
    stack: tuple = ()
    constants: int = 0

    def __post_init__(self):
        if self.activation not in ("tanh", "relu"):
            raise ValueError(f"unknown activation {self.activation!r}; there are: tanh, relu")

    @property
    def layers(self):
        return len(self.sizes) - 1

    def shapes(self):
        """Name → shape, in the order of the flat vector: W1, b1, W2, b2, … and "constants" last."""
        shapes = {}
        for i, (rows, cols) in enumerate(zip(self.sizes, self.sizes[1:], strict=False), start=1):
            shapes[f"W{i}"] = (*self.stack, rows, cols)
            shapes[f"b{i}"] = (*self.stack, cols)
        if self.constants:
            shapes["constants"] = (*self.stack, self.constants)
        return shapes

    def initialise(self, params, rng, initialiser="orthogonal", output_gain=1.0):
        """Draw all weights; biases and constants are zero. `output_gain` may be an array, one gain per output.

        Zero weights would be a trap: every hidden unit would get the same gradient, and behind tanh or ReLU none at all.
        """
        params.flat[:] = 0
        for i in range(1, self.layers + 1):
            W = params[f"W{i}"]
            # Orthogonal hidden layers get the gain √2 that makes up for a ReLU's dead half; He's formula has its own.
            gain = math.sqrt(2) if initialiser == "orthogonal" and i < self.layers else 1.0
            W[...] = kernels.backend.asarray(INITIALISERS[initialiser](rng, W.shape, gain))
        params[f"W{self.layers}"][...] *= output_gain

    def forward(self, params, x, member=None):
        """Return the outputs (…, B, constants + sizes[-1]) and the cache that `backward` needs.

        `member`: ask only that network of a stack; its output is (B, sizes[-1]).
        """
        y, cache = kernels.backend.mlp_forward(self, params, x, member)
        if self.constants:
            c = params["constants"][..., None, :]                           # (…, 1, C)
            y = np.concatenate([np.broadcast_to(c, (*y.shape[:-1], self.constants)), y], axis=-1)
        return y, cache

    def backward(self, params, cache, dy, grads, input_gradient=False, member=None):
        """Fill `grads` (unless None) with ∂L/∂params, given dy = ∂L/∂y; return ∂L/∂x, or None unless `input_gradient` is set.

        A stack that shared one x returns ∂L/∂x network by network, (K, B, I): sum over the first axis for the whole.
        """
        if self.constants:
            if grads is not None:
                np.sum(dy[..., : self.constants], axis=-2, out=grads["constants"])
            dy = dy[..., self.constants :]
        return kernels.backend.mlp_backward(self, params, cache, dy, grads, input_gradient, member)
