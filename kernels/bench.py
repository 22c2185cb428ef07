"""How long does each kernel take on each backend, and how quickly does each algorithm learn with it?

    scratchac bench                 every kernel on every backend that can run here, then updates and steps per second
    scratchac bench --profile       where the time of a training loop goes
    scratchac bench --peers         other libraries beside it, where they are installed

A kernel's result is compared with the reference before its time is taken: a fast wrong answer is an error. Times are medians of
`REPEATS` runs on a machine that should be doing nothing else; compilation, which happens once, is not in them but in a table of
its own.
"""

import contextlib
import importlib.metadata
import os
import platform
import timeit

import numpy as np

import kernels
from kernels import bench_training
from kernels.bench_training import REPEATS
from scratchac.nn import MLP, Parameters
from scratchac.training import one_blas_thread


def timed(call, wait):
    """Seconds per call: the median of REPEATS runs of about a tenth of a second each, and until `wait` says that all is done."""
    call()                                                  # compiles, and fills the caches
    count = max(1, timeit.Timer(call).autorange()[0] // 2)

    def run():
        for _ in range(count):
            call()
        wait()
    return float(np.median(timeit.repeat(run, repeat=REPEATS, number=1))) / count


def available():
    """Names of the backends that can run here, the reference first."""
    names = []
    for name in kernels.BACKENDS:
        with contextlib.suppress(kernels.BackendError):
            kernels.load(name)
            names.append(name)
    return names


# -- kernels ---------------------------------------------------------------------------------------------------------
#
# A case is a function of a backend that prepares arrays, always the same, and returns what is to be timed: a call that gives the
# arrays to be compared.


def network(k, sizes, stack, batch, activation="relu"):
    rng = np.random.default_rng(0)
    mlp = MLP(sizes, activation, stack)
    params = Parameters(mlp.shapes())
    mlp.initialise(params, rng, "fan_in")
    x = k.asarray(rng.standard_normal((batch, sizes[0]), np.float32))
    y, cache = k.mlp_forward(mlp, params, x)
    return rng, mlp, params, x, cache, rng.standard_normal(y.shape, np.float32)


def forward_case(*shape):
    def case(k):
        _, mlp, params, x, _, _ = network(k, *shape)
        return lambda: [k.mlp_forward(mlp, params, x)[0]]
    return case


def backward_case(*shape):
    def case(k):
        _, mlp, params, _, cache, dy = network(k, *shape)
        grads, dy = params.zeros_like(), k.asarray(dy)

        def call():
            k.mlp_backward(mlp, params, cache, dy, grads)
            return [grads.flat]
        return call
    return case


def input_gradient_case(*shape):
    """As in an actor's step: each row's gradient comes from the smaller one of two critics."""
    def case(k):
        rng, mlp, params, _, cache, dy = network(k, *shape)
        chosen = rng.random(dy.shape[1]) < 0.5
        dy[0, chosen], dy[1, ~chosen] = 0, 0
        dy = k.asarray(dy)
        return lambda: [k.mlp_backward(mlp, params, cache, dy, None, True)]
    return case


def arrays_case(method, shapes, *numbers, changes=0):
    """A kernel on random arrays (uniform in (0, 1)) and numbers; the first `changes` arrays are what it writes to."""
    def case(k):
        rng = np.random.default_rng(0)
        arrays = [k.asarray(rng.random(shape, np.float32)) for shape in shapes]

        def call():
            result = getattr(k, method)(*arrays, *numbers)
            return arrays[:changes] if changes else list(result) if isinstance(result, tuple) else [result]
        return call
    return case


def convolution(k, batch, side, channels, size, stride, filters):
    rng = np.random.default_rng(0)
    shapes = (batch, side, side, channels), (size, size, channels, filters), (filters,)
    x, W, b = (k.asarray(rng.standard_normal(shape, np.float32)) for shape in shapes)
    y, windows = k.conv2d(x, W, b, stride)
    dy = k.asarray(rng.standard_normal(y.shape, np.float32) / (batch * y.shape[1] * y.shape[2]))
    return x, W, b, stride, y, windows, dy


def convolution_case(*shape):
    def case(k):
        x, W, b, stride, *_ = convolution(k, *shape)
        return lambda: [k.conv2d(x, W, b, stride)[0]]
    return case


def convolution_backward_case(*shape):
    def case(k):
        x, W, b, stride, y, windows, dy = convolution(k, *shape)
        dW, db = k.zeros(W.shape, W.dtype), k.zeros(b.shape, b.dtype)
        return lambda: [k.conv2d_backward(dy, x.shape, windows, y, W, stride, dW, db), dW, db]
    return case


CRITICS, ACTOR = ((23, 256, 256, 1), (2,), 256), ((17, 256, 256, 12), (), 256)
SMALL_CRITICS, ONE_ROW = ((4, 64, 64, 1), (2,), 100), ((4, 64, 64, 2), (), 1, "tanh")
CASES = {
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
    "log-softmax, 40 × 4": arrays_case("log_softmax", [(40, 4)]),
    "categorical sample, 8 × 4": arrays_case("categorical_sample", [(8, 4), (8,)]),
    "returns, 128 steps × 8": arrays_case("reverse_scan", [(128, 8), (128, 8)]),
    "tanh-Gaussian, 256 × 6": arrays_case("tanh_gaussian", [(256, 6)] * 3),
    "tanh-Gaussian backward, 256 × 6": arrays_case("tanh_gaussian_backward", [(256, 6)] * 4 + [(256,)]),
    "Adam, 145,000 parameters": arrays_case("adam", [(145_000,)] * 4, 1e-3, 0.9, 0.999, 1e-8, 3, changes=4),
    "Adam, 9,000 parameters": arrays_case("adam", [(9_000,)] * 4, 1e-3, 0.9, 0.999, 1e-8, 3, changes=4),
    "RMSprop, 9,000 parameters": arrays_case("rmsprop", [(9_000,)] * 3, 1e-3, 0.99, 1e-5, changes=3),
    "Polyak, 145,000 parameters": arrays_case("polyak", [(145_000,)] * 2, 0.005, changes=1),
}


@one_blas_thread
def kernel_times(names):
    """Rows of {"what", backend: µs, …}. Raises AssertionError where a backend disagrees with the reference."""
    rows = []
    for title, case in CASES.items():
        row = {"what": title}
        with kernels.use("numpy") as k:
            expected = [np.array(x) for x in case(k)()]
        for name in names:
            with kernels.use(name) as k:
                call = case(k)
                for ours, reference in zip(call(), expected, strict=True):
                    np.testing.assert_allclose(k.to_numpy(ours), reference, rtol=1e-4, atol=1e-5, err_msg=f"{title} on {name}")
                row[name] = 1e6 * timed(call, k.wait)
        rows.append(row)
    return rows


# -- tables ------------------------------------------------------------------------------------------------------------------------


def table(rows, unit, better=None):
    """Markdown: one line per row, one column per measurement, with its ratio to the first where `better` is min or max."""
    columns = list(dict.fromkeys(name for row in rows for name in row if name != "what"))
    lines = [f"| {unit} | {' | '.join(columns)} |", "|---|" + "---|" * len(columns)]
    for row in rows:
        first, cells = row[columns[0]], []
        for name in columns:
            text = f"{row[name]:,.{0 if row[name] >= 100 else 1}f}" if name in row else ""
            if text and better and name != columns[0]:
                text += f" ({row[name] / first if better is max else first / row[name]:.1f}×)"
            cells.append(text)
        lines.append(f"| {row['what']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def report(profile=False, peers=False):
    """All measurements: {title: (rows, unit, better)}."""
    names = available()
    if profile:
        return {f"Where the time goes, {name}": (bench_training.profiles(name), "µs per environment step", None) for name in names}
    kernel_rows, (updates, first) = kernel_times(names), bench_training.update_rates(names, peers)
    return {
        "Kernels": (kernel_rows, "µs", min),
        "First update, with all that compiles; Numba's comes from disk if it has run before": (first, "seconds", None),
        "Updates": (updates, "updates per second", max),
        "Training": (bench_training.training_rates(names, peers), "environment steps per second", max),
    }


def circumstances():
    """Machine and versions, without which a figure means nothing."""
    packages = {}
    for name in ("scratchac", "numpy", "numba", "scipy", "gymnasium", "stable-baselines3", "torch", "sbx-rl", "jax"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            packages[name] = importlib.metadata.version(name)
    return {"system": platform.platform(), "cpus": os.cpu_count(), "python": platform.python_version(), "packages": packages}
