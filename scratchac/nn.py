"""Multilayer perceptrons as pure functions over one flat parameter vector: forward pass, derivation and backward pass.

    y, cache = mlp.forward(params, x)          dx = mlp.backward(params, cache, dy, grads)

`dX` is always ∂L/∂X, the derivative of the scalar loss L. The network object keeps no state, so several forward passes may be made
before one of them is differentiated. Shapes: B rows, I inputs, H outputs of a layer, K stacked networks. A stack has W (K, I, H).
It takes one x (B, I) for all of its networks, or (K, B, I) with one input for each, and its output is (K, B, H).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

import kernels
from kernels import kernel
from scratchac.errors import UserError

Shapes = Mapping[str, tuple[int, ...]]
Cache = Any                                 # what a forward pass keeps for the backward pass; each backend has its own kind
Gradient = Any                              # an array, or None if it was not requested


class Parameters:
    """One flat vector with named views into it: `params.flat` for optimisers, `params["W1"]` for mathematics.

    shapes  name → shape, in the order of the flat vector
    flat    the vector to use, (P,); if not given, a new vector of zeros

    Raises UserError if there is not enough memory for that many parameters.
    """

    def __init__(self, shapes: Shapes, dtype: DTypeLike = np.float32, flat: np.ndarray | None = None):
        sizes = [math.prod(shape) for shape in shapes.values()]
        if flat is None:
            _check_memory(sum(sizes), dtype)
            flat = kernels.backend.zeros(sum(sizes), dtype)
        if flat.shape != (sum(sizes),):
            raise ValueError(f"{sum(sizes)} parameters do not fit into a vector of shape {flat.shape}")
        self.shapes = shapes
        self.flat = flat
        ends = np.cumsum(sizes)
        self.views = MappingProxyType({         # another view in its place would be no part of the flat vector
            name: flat[end - size : end].reshape(shape)
            for (name, shape), size, end in zip(shapes.items(), sizes, ends, strict=True)
        })

    def __getitem__(self, name: str) -> np.ndarray:
        return self.views[name]

    def zeros_like(self) -> "Parameters":
        """New Parameters of zeros with the same names, shapes and dtype, to hold gradients."""
        return Parameters(self.shapes, self.flat.dtype)


def side_by_side(parts: Sequence[Shapes], dtype: DTypeLike) -> tuple[np.ndarray, list[Parameters]]:
    """One flat vector for several networks, given by their shapes, and the Parameters of each as views into it."""
    sizes = [sum(math.prod(shape) for shape in shapes.values()) for shapes in parts]
    _check_memory(sum(sizes), dtype)
    flat = kernels.backend.zeros(sum(sizes), dtype)
    views, start = [], 0
    for shapes, size in zip(parts, sizes, strict=True):
        views.append(Parameters(shapes, flat=flat[start : start + size]))
        start += size
    return flat, views


def _check_memory(size: int, dtype: DTypeLike) -> None:
    needed, memory = 4 * size * np.dtype(dtype).itemsize, kernels.backend.memory()      # parameters, gradient and two moments
    if needed > memory:
        raise UserError(f"{size} parameters need {needed / 2**30:.1f} GiB of memory and there are {memory / 2**30:.1f}: "
                        "smaller layers (--hidden) would fit")


# -- one dense layer -------------------------------------------------------------------------------------------------


@kernel
def linear(x: np.ndarray, W: np.ndarray, b: np.ndarray, activation: str) -> np.ndarray:
    """y = f(x W + b) for x (…, B, I), W (…, I, H), b (…, H); f is "tanh", "relu" or "identity". Returns y (…, B, H)."""
    y = x @ W                               # (…, B, H)
    y += b[..., None, :]
    if activation == "tanh":
        np.tanh(y, out=y)
    elif activation == "relu":
        np.maximum(y, 0, out=y)
    return y


@kernel
def linear_backward(dy: np.ndarray, x: np.ndarray, y: Any, W: np.ndarray, activation: str, dW: np.ndarray | None,
                    db: np.ndarray | None, input_gradient: bool = True) -> Gradient:
    """Write ∂L/∂W and ∂L/∂b into `dW` and `db` (unless None); return ∂L/∂x (…, B, I), or None unless `input_gradient`.

    With z = x W + b and y = f(z):
        dz = dy ∘ f′(z)    tanh′(z) = 1 − y²,   relu′(z) = [y > 0] (0 at the kink)
        dW = xᵀ dz,  db = Σ_rows dz,  dx = dz Wᵀ
    For both activations f′ is a function of y alone, so z is not kept. "identity" needs no y either.
    """
    if activation == "tanh":
        dz = y * y
        np.subtract(1, dz, out=dz)
        dz *= dy                            # dz is a new array: the caller's dy and the cached y must not change
    elif activation == "relu":
        dz = dy * (y > 0)
    else:
        dz = dy
    if dW is not None:
        np.matmul(x.swapaxes(-1, -2), dz, out=dW)
        np.sum(dz, axis=-2, out=db)
    return dz @ W.swapaxes(-1, -2) if input_gradient else None


# -- a whole network: layers one after another -----------------------------------------------------------------------


@kernel
def mlp_forward(mlp: "MLP", params: Parameters, x: np.ndarray, member: int | None = None) -> tuple[np.ndarray, Cache]:
    """Outputs (…, B, sizes[-1]) of an MLP, or of one member of a stack, for x (…, B, I), and the cache for the backward pass."""
    last, inputs = mlp.layers, []                                           # inputs[i]: the input of layer i+1
    for i in range(1, last + 1):
        inputs.append(x)
        W, b = _layer(params, i, member)
        x = linear(x, W, b, mlp.activation if i < last else "identity")
    return x, inputs


@kernel
def mlp_backward(mlp: "MLP", params: Parameters, cache: Cache, dy: np.ndarray, grads: Parameters | None,
                 input_gradient: bool = False, member: int | None = None) -> Gradient:
    """Fill `grads` (unless None) with ∂L/∂params; return ∂L/∂x (…, B, I), or None unless `input_gradient`.

    The chain rule from the last layer to the first: the output of layer i is the input of layer i+1.
    """
    last, y = mlp.layers, None                                              # the last layer is linear: y is not needed
    for i in range(last, 0, -1):
        W, _ = _layer(params, i, member)
        dW, db = _layer(grads, i, member) if grads is not None else (None, None)
        activation = mlp.activation if i < last else "identity"
        dy = linear_backward(dy, cache[i - 1], y, W, activation, dW, db, input_gradient or i > 1)
        y = cache[i - 1]
    return dy


def _layer(params: Parameters, i: int, member: int | None) -> tuple[np.ndarray, np.ndarray]:
    """W and b of layer i, of the whole stack or of one member."""
    W, b = params.views[f"W{i}"], params.views[f"b{i}"]
    return (W, b) if member is None else (W[member], b[member])


@dataclass(frozen=True)
class MLP:
    """x → f(xW₁+b₁) → … → xW_L+b_L, the last layer linear.

    sizes       (inputs, hidden …, outputs)
    activation  "tanh" or "relu", after every layer but the last
    stack       leading axes: () for one network, (K,) for a stack of K networks
    constants   the number of further outputs c that do not depend on x, placed *before* the others: learnt numbers such as a
                state-independent log σ. The output is then y = [c | xW_L+b_L].

    Raises ValueError for an unknown activation.
    """

    sizes: tuple[int, ...]
    activation: str = "tanh"
    stack: tuple[int, ...] = ()
    constants: int = 0

    def __post_init__(self) -> None:
        if self.activation not in ("tanh", "relu"):
            raise ValueError(f"unknown activation {self.activation!r}; there are: tanh, relu")

    @property
    def layers(self) -> int:
        """L, the number of weight matrices."""
        return len(self.sizes) - 1

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name → shape, in the order of the flat vector: W1, b1, W2, b2, … and "constants" last."""
        shapes: dict[str, tuple[int, ...]] = {}
        for i, (rows, cols) in enumerate(zip(self.sizes, self.sizes[1:], strict=False), start=1):
            shapes[f"W{i}"] = (*self.stack, rows, cols)
            shapes[f"b{i}"] = (*self.stack, cols)
        if self.constants:
            shapes["constants"] = (*self.stack, self.constants)
        return shapes

    def initialise(self, params: Parameters, rng: np.random.Generator, initialiser: str = "orthogonal",
                   output_gain: float | np.ndarray = 1.0) -> None:
        """Draw all weights; biases and constants are zero. `output_gain` may be an array, one gain per output.

        The weights must not start at zero: every hidden unit would get the same gradient, which is zero with tanh or ReLU.
        """
        params.flat[:] = 0
        for i in range(1, self.layers + 1):
            W = params[f"W{i}"]
            # Orthogonal hidden layers get the gain √2, since a ReLU sets half of its inputs to zero, and a tanh makes all of them
            # smaller; He's formula has its own gain.
            gain = math.sqrt(2) if initialiser == "orthogonal" and i < self.layers else 1.0
            W[...] = kernels.backend.asarray(INITIALISERS[initialiser](rng, W.shape, gain))
        params[f"W{self.layers}"][...] *= output_gain

    def forward(self, params: Parameters, x: np.ndarray, member: int | None = None) -> tuple[np.ndarray, Cache]:
        """Return the outputs (…, B, constants + sizes[-1]) and the cache that `backward` needs.

        With `member`, only that network of a stack is evaluated; its output is (B, sizes[-1]).
        """
        y, cache = mlp_forward(self, params, x, member)
        if self.constants:
            c = params["constants"][..., None, :]                           # (…, 1, C)
            y = np.concatenate([np.broadcast_to(c, (*y.shape[:-1], self.constants)), y], axis=-1)
        return y, cache

    def backward(self, params: Parameters, cache: Cache, dy: np.ndarray, grads: Parameters | None, input_gradient: bool = False,
                 member: int | None = None) -> Gradient:
        """Fill `grads` (unless None) with ∂L/∂params, given dy = ∂L/∂y; return ∂L/∂x, or None unless `input_gradient` is set.

        A stack with one shared x returns ∂L/∂x of each network, (K, B, I); their sum over the first axis is the whole ∂L/∂x.
        """
        if self.constants:
            if grads is not None:
                np.sum(dy[..., : self.constants], axis=-2, out=grads["constants"])
            dy = dy[..., self.constants :]
        return mlp_backward(self, params, cache, dy, grads, input_gradient, member)


# -- initialisers: W of shape (…, I, H) ------------------------------------------------------------------------------


def orthogonal(rng: np.random.Generator, shape: tuple[int, ...], gain: float = 1.0) -> np.ndarray:
    """W Wᵀ = gain² I (or WᵀW, whichever is smaller): signals or gradients keep their length, and both do if W is square
    (Saxe et al. 2014).

    W is the Q of a Gaussian matrix's QR decomposition; multiplying its columns by sign(diag R) makes it uniformly distributed.
    """
    *lead, rows, cols = shape
    q, r = np.linalg.qr(rng.standard_normal((*lead, max(rows, cols), min(rows, cols))))
    q *= np.sign(np.diagonal(r, axis1=-2, axis2=-1))[..., None, :]
    return gain * (q if rows >= cols else q.swapaxes(-1, -2))


def he(rng: np.random.Generator, shape: tuple[int, ...], gain: float = 1.0) -> np.ndarray:
    """W ~ N(0, 2/I), which keeps the variance of ReLU activations over depth (He et al. 2015, eq. 10)."""
    return gain * math.sqrt(2 / shape[-2]) * rng.standard_normal(shape)


def glorot(rng: np.random.Generator, shape: tuple[int, ...], gain: float = 1.0) -> np.ndarray:
    """W ~ U(−l, l) with l = √(6/(I+H)): a compromise between forward and backward variance (Glorot & Bengio 2010, eq. 16)."""
    limit = gain * math.sqrt(6 / (shape[-2] + shape[-1]))
    return rng.uniform(-limit, limit, shape)


def fan_in(rng: np.random.Generator, shape: tuple[int, ...], gain: float = 1.0) -> np.ndarray:
    """W ~ U(−1/√I, 1/√I): small first outputs (Lillicrap et al. 2016, section 7, but for the last layer; PyTorch's default)."""
    limit = gain / math.sqrt(shape[-2])
    return rng.uniform(-limit, limit, shape)


INITIALISERS: dict[str, Callable[..., np.ndarray]] = {"orthogonal": orthogonal, "he": he, "glorot": glorot, "fan_in": fan_in}
