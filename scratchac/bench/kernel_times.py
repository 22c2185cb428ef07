"""How long each kernel takes on each backend.

A case prepares arrays on the active backend, the same ones every time, and returns the call to be timed. This call returns the
arrays that are compared with those of the reference.
"""

from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np

import kernels
from scratchac.bench.pace import Pace
from scratchac.conv import conv2d, conv2d_backward
from scratchac.distributions import categorical_sample, log_softmax, tanh_gaussian, tanh_gaussian_backward
from scratchac.nn import MLP, Parameters, mlp_backward, mlp_forward
from scratchac.optim import adam, polyak, rmsprop
from scratchac.returns import reverse_scan
from scratchac.training.loops import one_blas_thread

Call = Callable[[], list[np.ndarray]]
Case = Callable[[], Call]


def network(sizes: tuple[int, ...], stack: tuple[int, ...], batch: int, activation: str = "relu") -> Any:
    """An MLP after its forward pass: (rng, mlp, parameters, x, cache, ∂L/∂y)."""
    rng = np.random.default_rng(0)
    mlp = MLP(sizes, activation, stack)
    params = Parameters(mlp.shapes())
    mlp.initialise(params, rng, "fan_in")
    x = kernels.backend.asarray(rng.standard_normal((batch, sizes[0]), np.float32))
    y, cache = mlp_forward(mlp, params, x)
    return rng, mlp, params, x, cache, rng.standard_normal(y.shape, np.float32)


def forward_case(*shape: Any) -> Case:
    """The forward pass of an MLP."""
    def case() -> Call:
        _, mlp, params, x, _, _ = network(*shape)
        return lambda: [mlp_forward(mlp, params, x)[0]]
    return case


def backward_case(*shape: Any) -> Case:
    """The backward pass of an MLP."""
    def case() -> Call:
        _, mlp, params, _, cache, dy = network(*shape)
        grads, dy = params.zeros_like(), kernels.backend.asarray(dy)

        def call() -> list[np.ndarray]:
            mlp_backward(mlp, params, cache, dy, grads)
            return [grads.flat]
        return call
    return case


def input_gradient_case(*shape: Any) -> Case:
    """The input gradient as in an actor's step: each row's gradient comes from the smaller one of two critics."""
    def case() -> Call:
        rng, mlp, params, _, cache, dy = network(*shape)
        chosen = rng.random(dy.shape[1]) < 0.5
        dy[0, chosen], dy[1, ~chosen] = 0, 0
        dy = kernels.backend.asarray(dy)
        return lambda: [mlp_backward(mlp, params, cache, dy, None, True)]
    return case


def arrays_case(function: Callable[..., Any], shapes: list[tuple[int, ...]], *numbers: float, changes: int = 0) -> Case:
    """A kernel on random arrays (uniform in (0, 1)) and numbers; it writes to the first `changes` arrays."""
    def case() -> Call:
        rng = np.random.default_rng(0)
        arrays = [kernels.backend.asarray(rng.random(shape, np.float32)) for shape in shapes]

        def call() -> list[np.ndarray]:
            result = function(*arrays, *numbers)
            return arrays[:changes] if changes else list(result) if isinstance(result, tuple) else [result]
        return call
    return case


def convolution(batch: int, side: int, channels: int, size: int, stride: int, filters: int) -> Any:
    """A convolution after its forward pass: (x, W, b, stride, y, windows, ∂L/∂y)."""
    rng = np.random.default_rng(0)
    shapes = (batch, side, side, channels), (size, size, channels, filters), (filters,)
    x, W, b = (kernels.backend.asarray(rng.standard_normal(shape, np.float32)) for shape in shapes)
    y, windows = conv2d(x, W, b, stride)
    dy = kernels.backend.asarray(rng.standard_normal(y.shape, np.float32) / (batch * y.shape[1] * y.shape[2]))
    return x, W, b, stride, y, windows, dy


def convolution_case(*shape: int) -> Case:
    """The forward pass of a convolution."""
    def case() -> Call:
        x, W, b, stride, *_ = convolution(*shape)
        return lambda: [conv2d(x, W, b, stride)[0]]
    return case


def convolution_backward_case(*shape: int) -> Case:
    """The backward pass of a convolution."""
    def case() -> Call:
        x, W, b, stride, y, windows, dy = convolution(*shape)
        dW, db = kernels.backend.zeros(W.shape, W.dtype), kernels.backend.zeros(b.shape, b.dtype)
        return lambda: [conv2d_backward(dy, x.shape, windows, y, W, stride, dW, db), dW, db]
    return case


CRITICS: Any = ((23, 256, 256, 1), (2,), 256)
ACTOR: Any = ((17, 256, 256, 12), (), 256)
SMALL_CRITICS: Any = ((4, 64, 64, 1), (2,), 100)
ONE_ROW: Any = ((4, 64, 64, 2), (), 1, "tanh")
CASES: dict[str, Case] = {
    "two critics 256-256, batch 256: forward": forward_case(*CRITICS),
    "two critics 256-256, batch 256: backward": backward_case(*CRITICS),
    "two critics 256-256, batch 256: ∂/∂input of the smaller": input_gradient_case(*CRITICS),
    "actor 256-256, batch 256: forward": forward_case(*ACTOR),
    "actor 256-256, batch 256: backward": backward_case(*ACTOR),
    "two critics 64-64, batch 100: forward": forward_case(*SMALL_CRITICS),
    "two critics 64-64, batch 100: backward": backward_case(*SMALL_CRITICS),
    "tanh network 64-64, one row: forward": forward_case(*ONE_ROW),
    "tanh network 64-64, one row: backward": backward_case(*ONE_ROW),
    "tanh network 64-64, batch 40: forward": forward_case((4, 64, 64, 2), (), 40, "tanh"),
    "convolution, 16 of 4 × 4 on 48 × 48 × 4, batch 128: forward": convolution_case(128, 48, 4, 4, 2, 16),
    "convolution, 32 of 3 × 3 on 23 × 23 × 16, batch 128: forward": convolution_case(128, 23, 16, 3, 2, 32),
    "convolution, 32 of 3 × 3 on 23 × 23 × 16, batch 128: backward": convolution_backward_case(128, 23, 16, 3, 2, 32),
    "log-softmax, 40 × 4": arrays_case(log_softmax, [(40, 4)]),
    "categorical sample, 8 × 4": arrays_case(categorical_sample, [(8, 4), (8,)]),
    "returns, 128 steps × 8": arrays_case(reverse_scan, [(128, 8), (128, 8)]),
    "tanh-Gaussian, 256 × 6": arrays_case(tanh_gaussian, [(256, 6)] * 3),
    "tanh-Gaussian backward, 256 × 6": arrays_case(tanh_gaussian_backward, [(256, 6)] * 4 + [(256,)]),
    "Adam, 145,000 parameters": arrays_case(adam, [(145_000,)] * 4, 1e-3, 0.9, 0.999, 1e-8, 3, changes=4),
    "Adam, 9,000 parameters": arrays_case(adam, [(9_000,)] * 4, 1e-3, 0.9, 0.999, 1e-8, 3, changes=4),
    "RMSprop, 9,000 parameters": arrays_case(rmsprop, [(9_000,)] * 3, 1e-3, 0.99, 1e-5, changes=3),
    "Polyak, 145,000 parameters": arrays_case(polyak, [(145_000,)] * 2, 0.005, changes=1),
}


# What a quick measurement keeps.
TELLING = ("two critics 256-256, batch 256: forward", "two critics 256-256, batch 256: backward",
           "tanh network 64-64, one row: backward", "convolution, 32 of 3 × 3 on 23 × 23 × 16, batch 128: backward",
           "returns, 128 steps × 8", "Adam, 145,000 parameters")


@one_blas_thread
def kernel_times(names: list[str], pace: Pace) -> list[dict[str, Any]]:
    """Rows of {"what", backend: µs, …}. Raises AssertionError where a backend disagrees with the reference."""
    rows, cases = [], pace.rows(CASES, TELLING)
    for title in pace.each("kernels", cases):
        case = cases[title]
        row: dict[str, Any] = {"what": title}
        with kernels.using("numpy"):
            expected = [np.array(x) for x in case()()]
        for name in names:
            with kernels.using(name) as k:
                call = case()
                for ours, reference in zip(call(), expected, strict=True):
                    np.testing.assert_allclose(k.to_numpy(ours), reference, rtol=1e-4, atol=1e-5, err_msg=f"{title} on {name}")
                row[name] = 1e6 * timed(call, k.wait, pace)
        rows.append(row)
    return rows


def timed(call: Callable[[], Any], wait: Callable[[], None], pace: Pace) -> float:
    """Seconds per call: the median of some runs of about a quarter of a turn each, which end when `wait` returns."""
    def run(count: int) -> float:
        started = perf_counter()
        for _ in range(count):
            call()
        wait()
        return perf_counter() - started

    run(1)                                                  # compiles, and fills the caches
    count = 1
    while run(count) < pace.seconds / 8:
        count *= 2
    return float(np.median([run(count) for _ in range(pace.repeats)])) / count
