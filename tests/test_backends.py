"""Every backend's kernels agree with their references: for odd shapes, both float types, and arrays that are not contiguous."""

import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kernels
import scratchac
from kernels import registry
from scratchac import gradcheck
from scratchac.bench.kernel_times import CASES
from scratchac.conv import add_windows, conv2d, conv2d_backward, windows_of
from scratchac.distributions import categorical_sample, log_softmax, tanh_gaussian, tanh_gaussian_backward
from scratchac.environments.vector import VectorEnv
from scratchac.experiments import session
from scratchac.nn import MLP, Parameters, linear, linear_backward, mlp_backward, mlp_forward
from scratchac.optim import adam, polyak, rmsprop
from scratchac.returns import reverse_scan
from scratchac.training.loops import train

FAST = [name for name in kernels.BACKENDS if name != "numpy"]
TOLERANCE = {np.float32: {"rtol": 2e-5, "atol": 2e-5}, np.float64: {"rtol": 1e-11, "atol": 1e-12}}
dtypes = st.sampled_from([np.float32, np.float64])
sizes_of_networks = st.lists(st.integers(1, 40), min_size=2, max_size=4)


@pytest.fixture(params=FAST, scope="module")
def backend(request):
    try:
        with kernels.using(request.param) as backend:
            yield backend
    except kernels.BackendError as error:
        pytest.skip(str(error))


def agree(ours, reference, dtype):
    ours, reference = np.asarray(ours), np.asarray(reference)
    assert ours.shape == reference.shape and ours.dtype == reference.dtype
    np.testing.assert_allclose(ours, reference, **TOLERANCE[dtype])


def gaps(x):
    """An array of the same values whose memory is not contiguous."""
    wide = np.zeros((*x.shape[:-1], 2 * x.shape[-1] + 1), x.dtype)
    wide[..., 1::2] = x
    return wide[..., 1::2]


def reference(kernel):
    """The reference of a kernel, whose own calls of other kernels go to references as well."""
    def call(*args):
        with kernels.using("numpy"):
            return kernel.__wrapped__(*args)
    return call


def on_host(kernel):
    """A kernel of the active backend that takes arrays of the host, writes to them, and gives such; on a CPU, the kernel itself."""
    def call(*args):
        backend = kernels.backend
        own = [backend.asarray(x) if isinstance(x, np.ndarray) else x for x in args]
        result = kernel(*own)
        for x, changed in zip(args, own, strict=True):
            if isinstance(x, np.ndarray) and changed is not x:
                x[...] = backend.to_numpy(changed)
        parts = tuple(x if x is None else backend.to_numpy(x) for x in (result if isinstance(result, tuple) else (result,)))
        return parts if isinstance(result, tuple) else parts[0]
    return call


def test_overrides_are_in_force(backend):
    """A call goes to the backend's own function. It would not if the file of a reference were another one than the recorded one."""
    running = {reference.__name__: registry._running[key] for key, reference in registry.REFERENCES.items()}
    for kernel, override in backend.overrides.items():
        assert running[kernel] is override, f"{kernel} has been edited: compare it with its overrides, then `python -m kernels`"


@pytest.mark.slow
def test_overrides_compute_the_usual_cases(backend, monkeypatch):
    """NotImplemented leaves a case to the reference. Every override takes some case, or its comparison would say nothing."""
    taken = set()

    def watched(kernel, override):
        def call(*args, **kwargs):
            result = override(*args, **kwargs)
            if result is not NotImplemented:
                taken.add(kernel)
            return result
        return call

    class Watched(type(backend)):
        overrides = {kernel: watched(kernel, override) for kernel, override in backend.overrides.items()}  # noqa: RUF012

    monkeypatch.setattr(kernels, "load", lambda name: Watched())
    with kernels.using("watched"):
        for case in CASES.values():
            case()()
        zeros = kernels.backend.zeros
        add_windows(zeros((4, 9), np.float32), (1, 4, 4, 1), zeros((3, 3, 1, 1), np.float32), 1)
        tanh_gaussian(*[zeros((4, 2), np.float32)] * 3)
    assert taken == set(backend.overrides)


@given(batch=st.integers(1, 20), sizes=st.tuples(st.integers(1, 20), st.integers(1, 20)), members=st.integers(0, 3), dtype=dtypes,
       activation=st.sampled_from(["identity", "relu", "tanh"]), contiguous=st.booleans(), seed=st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_layers(backend, batch, sizes, members, dtype, activation, contiguous, seed):
    rng, lead = np.random.default_rng(seed), (members,) if members else ()
    x, W, b, dy = (rng.standard_normal((*lead, *shape)).astype(dtype)
                   for shape in ((batch, sizes[0]), sizes, sizes[1:], (batch, sizes[1])))
    if not contiguous:
        x, dy = gaps(x), gaps(dy)
    y = reference(linear)(x, W, b, activation)
    agree(on_host(linear)(x, W, b, activation), y, dtype)
    for weights, inputs in ((True, False), (True, True), (False, True)):
        ours = (np.zeros_like(W), np.zeros_like(b)) if weights else (None, None)
        theirs = (np.zeros_like(W), np.zeros_like(b)) if weights else (None, None)
        own_dx = on_host(linear_backward)(dy, x, y, W, activation, *ours, inputs)
        dx = reference(linear_backward)(dy, x, y, W, activation, *theirs, inputs)
        assert (own_dx is None) == (dx is None) == (not inputs)
        for own, other in zip(ours, theirs, strict=True):
            if weights:
                agree(own, other, dtype)
        if inputs:
            agree(own_dx, dx, dtype)


@given(sizes=sizes_of_networks, members=st.integers(0, 3), batch=st.integers(1, 70), activation=st.sampled_from(["relu", "tanh"]),
       dtype=dtypes, own_input=st.booleans(), contiguous=st.booleans(), seed=st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_networks(backend, sizes, members, batch, activation, dtype, own_input, contiguous, seed):
    check_network(backend, tuple(sizes), (members,) if members else (), batch, activation, dtype, own_input, contiguous, seed)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("sizes, stack, batch", [((1, 1), (), 1), ((1, 2, 1), (3,), 1), ((3, 9, 1), (2,), 5),
                                                 ((30, 40, 20, 3), (), 20)])
def test_networks_of_odd_sizes(backend, sizes, stack, batch, activation):
    """A single number, few and many columns, plain loops and BLAS, one row and none that counts."""
    for dtype in (np.float32, np.float64):
        for seed in (0, 1):
            check_network(backend, sizes, stack, batch, activation, dtype, bool(seed), not seed, seed)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("sizes, stack, batch", [((23, 256, 256, 1), (2,), 256), ((17, 256, 255, 12), (), 257),
                                                 ((5, 300, 200, 2), (3,), 130)])
def test_networks_that_are_worth_several_threads(backend, sizes, stack, batch, dtype):
    check_network(backend, sizes, stack, batch, "relu", dtype, False, True, 0)


class Unwritten:
    """NumPy, except that `empty` gives arrays full of NaN."""

    def __getattr__(self, name):
        return getattr(np, name)

    def empty(self, shape, dtype):
        return np.full(shape, np.nan, dtype)


@pytest.mark.parametrize("chunks", [1, 3])
@pytest.mark.parametrize("sizes, stack, batch", [((5, 4, 2), (), 7), ((3, 9, 8, 1), (2,), 8)])
def test_pieces_for_several_threads(monkeypatch, sizes, stack, batch, chunks):
    """A batch in pieces, one for each thread; here one piece after another, in loops that run as Python.

    Memory for the results holds NaN at first, so that a row that no piece computes shows.
    """
    numba_kernels = pytest.importorskip("kernels.numba_kernels")
    functions = [getattr(function, "py_func", function) for function in (          # without compilation there is no py_func
        numba_kernels.numba_networks.forward_parallel, numba_kernels.numba_networks.backward_parallel,
        numba_kernels.numba_networks.input_gradient_parallel)]

    def plan(n, B, own_sizes):
        assert n in (1, *stack) and (B, own_sizes) == (batch, sizes)
        return functions, chunks

    monkeypatch.setattr(numba_kernels, "_plan", plan)
    monkeypatch.setattr(numba_kernels, "np", Unwritten())
    for dtype in (np.float32, np.float64):
        with kernels.using("numba") as backend:
            check_network(backend, sizes, stack, batch, "tanh", dtype, bool(stack), True, 0)


def check_network(backend, sizes, stack, batch, activation, dtype, own_input, contiguous, seed):
    rng = np.random.default_rng(seed)
    mlp = MLP(sizes, activation, stack)
    params = Parameters(mlp.shapes(), dtype, np.zeros(sum(map(math.prod, mlp.shapes().values())), dtype))
    params.flat[:] = rng.standard_normal(params.flat.size) / np.sqrt(max(sizes))
    own_params = Parameters(mlp.shapes(), dtype, backend.asarray(params.flat))
    for member in [None, *range(stack[0] if stack else 0)]:
        lead = stack if own_input and member is None else ()
        x = rng.standard_normal((*lead, batch, sizes[0])).astype(dtype)
        y, cache = reference(mlp_forward)(mlp, params, x, member)
        own_y, own_cache = mlp_forward(mlp, own_params, backend.asarray(x if contiguous else gaps(x)), member)
        agree(backend.to_numpy(own_y), y, dtype)

        dy = rng.standard_normal(y.shape).astype(dtype) / batch
        dy[..., rng.random(batch) < 0.3, :] = 0                             # rows that need not be sent back
        for weights, inputs in ((True, False), (True, True), (False, True)):
            grads = Parameters(mlp.shapes(), dtype, np.zeros_like(params.flat)) if weights else None
            own_grads = own_params.zeros_like() if weights else None
            if weights:                                                     # they are written, not added to what is there
                grads.flat[:] = own_grads.flat[:] = 7
            dx = reference(mlp_backward)(mlp, params, cache, dy, grads, inputs, member)
            own_dy = backend.asarray(dy if contiguous else gaps(dy))
            own_dx = mlp_backward(mlp, own_params, own_cache, own_dy, own_grads, inputs, member)
            if weights:
                agree(backend.to_numpy(own_grads.flat), grads.flat, dtype)
            if inputs:
                agree(backend.to_numpy(own_dx), dx, dtype)
            else:
                assert own_dx is None


@given(rows=st.integers(1, 5), sides=st.tuples(st.integers(4, 11), st.integers(4, 11)), size=st.integers(1, 4),
       stride=st.integers(1, 3), channels=st.integers(1, 9), dtype=dtypes, contiguous=st.booleans(), seed=st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_convolutions(backend, rows, sides, size, stride, channels, dtype, contiguous, seed):
    check_convolution(rows, sides, size, stride, channels, dtype, contiguous, seed)


def check_convolution(rows, sides, size, stride, channels, dtype, contiguous, seed):
    rng = np.random.default_rng(seed)
    x, W, b = (rng.standard_normal(shape).astype(dtype) for shape in ((rows, *sides, channels), (size, size, channels, 5), 5))
    given_x = x if contiguous else gaps(x)
    y, windows = reference(conv2d)(x, W, b, stride)
    own_y, own_windows = on_host(conv2d)(given_x, W, b, stride)
    agree(own_y, y, dtype)
    agree(on_host(windows_of)(given_x, size, stride), windows, dtype)
    u = rng.standard_normal((windows[..., 0].size, windows.shape[-1])).astype(dtype)
    own_sum = on_host(add_windows)(u if contiguous else gaps(u), x.shape, W, stride)
    agree(own_sum, reference(add_windows)(u, x.shape, W, stride), dtype)
    dy = rng.standard_normal(y.shape).astype(dtype) / windows[..., 0].size
    own_dy = dy if contiguous else gaps(dy)
    for wanted in (True, False):
        dW, db, own_dW, own_db = np.zeros_like(W), np.zeros_like(b), np.ones_like(W), np.ones_like(b)
        dx = reference(conv2d_backward)(dy, x.shape, windows, y, W, stride, dW, db, wanted)
        own_dx = on_host(conv2d_backward)(own_dy, x.shape, own_windows, y, W, stride, own_dW, own_db, wanted)
        agree(own_dW, dW, dtype)
        agree(own_db, db, dtype)
        if wanted:
            agree(own_dx, dx, dtype)
        else:
            assert own_dx is None


@given(rows=st.integers(1, 50), columns=st.integers(1, 9), dtype=dtypes, contiguous=st.booleans(), seed=st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_element_wise_kernels(backend, rows, columns, dtype, contiguous, seed):
    rng = np.random.default_rng(seed)

    def draw(*shape):
        x = rng.standard_normal(shape).astype(dtype)
        return x if contiguous else gaps(x)

    logits, u = draw(rows, columns), rng.random(rows)
    mu, log_std, eps, da, dlogp = draw(rows, columns), draw(rows, columns), draw(rows, columns), draw(rows, columns), draw(rows)
    a = np.tanh(mu)
    assert (on_host(categorical_sample)(logits, u) == reference(categorical_sample)(logits, u)).all()
    for kernel, arrays in ((log_softmax, (logits,)), (reverse_scan, (mu, eps)), (tanh_gaussian, (mu, log_std, eps)),
                           (tanh_gaussian_backward, (a, log_std, eps, da, dlogp))):
        ours, theirs = on_host(kernel)(*arrays), reference(kernel)(*arrays)
        assert isinstance(ours, tuple) == isinstance(theirs, tuple)
        for own, other in zip(*(x if isinstance(x, tuple) else (x,) for x in (ours, theirs)), strict=True):
            agree(own, other, dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1, 7, 1_000, 100_001])
def test_optimisers(backend, dtype, size):
    rng = np.random.default_rng(size)
    start = rng.standard_normal((4, size)).astype(dtype)
    start[3] **= 2                                                          # second moments
    for kernel, which, numbers in ((adam, (0, 1, 2, 3), (1e-3, 0.9, 0.999, 1e-8, 3)), (rmsprop, (0, 1, 3), (1e-3, 0.99, 1e-5)),
                                   (polyak, (0, 1), (0.005,)), (polyak, (0, 1), (1.0,))):
        ours, theirs = start.copy(), start.copy()
        on_host(kernel)(*(ours[i] for i in which), *numbers)
        reference(kernel)(*(theirs[i] for i in which), *numbers)
        agree(ours, theirs, dtype)
        assert not np.array_equal(ours, start)


@pytest.mark.parametrize("name", gradcheck.CHECKS)
def test_gradients(backend, name):
    if backend.device != "cpu":
        pytest.skip("finite differences are taken on the CPU; the kernels are compared with the reference")
    result = gradcheck.run(name, 0)
    assert result.error < gradcheck.TOLERANCE < 0.01 < result.control_error, result


def test_not_a_number_is_passed_on(backend):
    """Training looks for NaN; a kernel that turned it into 0 would hide it."""
    for activation in ("relu", "tanh"):
        mlp = MLP((3, 9, 2), activation)
        params = Parameters(mlp.shapes())
        params.flat[:] = 1
        y, _ = mlp_forward(mlp, params, backend.asarray(np.full((4, 3), np.nan, np.float32)))
        assert np.isnan(backend.to_numpy(y)).all()
    x, W, b = (backend.asarray(np.full(shape, np.nan, np.float32)) for shape in ((1, 4, 4, 2), (3, 3, 2, 5), 5))
    assert np.isnan(backend.to_numpy(conv2d(x, W, b, 1)[0])).all()


@pytest.mark.parametrize("value", [30.0, -30.0, 1e4])
def test_tanh_far_out(backend, value):
    mlp = MLP((1, 1, 1), "tanh")
    params = Parameters(mlp.shapes())
    params.flat[:] = backend.asarray(np.array([1, 0, 1, 0], np.float32))
    y, _ = mlp_forward(mlp, params, backend.asarray(np.array([[value]], np.float32)))
    np.testing.assert_allclose(backend.to_numpy(y), np.sign(value), atol=1e-6)


@pytest.mark.slow
def test_with_bounds_checking(tmp_path):
    """Compiled code checks no index. Here it is compiled once with such checks, in a process and a cache of its own."""
    pytest.importorskip("numba")
    script = """
import kernels, numpy as np
import test_backends as t
with kernels.using("numba") as backend:
    for sizes, stack, batch in (((5, 300, 200, 1), (2,), 130), ((3, 8, 2), (), 4)):
        t.check_network(backend, sizes, stack, batch, "relu", np.float32, False, True, 0)
    t.check_convolution(2, (7, 6), 3, 2, 4, np.float32, True, 0)
"""
    env = os.environ | {"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(Path(__file__).parent)}
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.slow
def test_the_same_bytes_from_a_new_cache_and_from_a_filled_one(tmp_path):
    """A process that compiles and one that finds compiled code on disk train the same agent; with fastmath they did not."""
    pytest.importorskip("numba")
    script = """
import hashlib, kernels, numpy as np, scratchac
agent = scratchac.train("td3", "Pendulum-v1", 140, backend="numba", learning_starts=120, batch_size=120, hidden=(128, 256))
print(hashlib.sha256(agent.theta.flat.tobytes() + agent.w.flat.tobytes()).hexdigest())
"""
    env = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    runs = [subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, timeout=400) for _ in range(2)]
    assert runs[0].returncode == 0, runs[0].stderr[-2000:]
    assert runs[0].stdout == runs[1].stdout != ""


LOOPS = {
    "actor-critic": {"actor_lr": 1e-3, "critic_lr": 1e-3},
    "actor-critic, traces": {"actor_lr": 1e-3, "critic_lr": 1e-3, "lam_actor": 0.7, "lam_critic": 0.4, "discount_actor": False},
    "a2c": {"hidden": (16, 16)},
    "a2c, entropy, Adam": {"hidden": (16,), "entropy_coef": 0.1, "optimiser": "adam", "lam": 0.5, "rollout": 7, "envs": 3},
    "ppo": {"hidden": (16, 16), "rollout": 10, "batch_size": 16, "epochs": 3, "entropy_coef": 0.05, "lr": 1e-2, "clip": 0.1},
    "a2c, not compiled": {"hidden": (16,), "normalise_obs": True},
}


@pytest.mark.parametrize("case", LOOPS)
def test_a_compiled_loop_does_what_the_reference_does(backend, case):
    """Parameters, random numbers and reports agree, also across the ends of episodes."""
    if backend.device != "cpu":
        pytest.skip("on-policy algorithms compute on the CPU")
    algorithm, options = case.split(",")[0], LOOPS[case]
    seen = {}
    for name in ("numpy", backend.name):
        reports = []
        with kernels.using(name):
            agent = scratchac.make_agent(algorithm, "CartPole-v1", 3, steps=210, **options)
            envs = VectorEnv("CartPole-v1", agent.n_envs, 3)
            assert bool(agent.fast_path(envs)) == (name != "numpy" and "not compiled" not in case and bool(backend.updates))
            train(agent, envs, 210, lambda agent, interaction, metrics, *_: reports.append(  # noqa: B023
                [agent.step, interaction.episodes.finished, *(x for pair in interaction.episodes.recent for x in pair),
                 *map(metrics.get, agent.metrics)]))
        seen[name] = agent, reports
    (ours, our_reports), (reference, reports) = seen[backend.name], seen["numpy"]
    np.testing.assert_allclose(ours.model.flat, reference.model.flat, rtol=1e-4, atol=1e-6)
    if algorithm == "actor-critic":
        np.testing.assert_allclose(ours.trace, reference.trace, rtol=1e-3, atol=1e-5)
    assert ours.rng.bit_generator.state == reference.rng.bit_generator.state
    for our_row, row in zip(our_reports, reports, strict=True):
        np.testing.assert_allclose(our_row, row, rtol=1e-3, atol=1e-5)


# -- arguments that an override was not written for: what comes of them is what comes of them in the reference -----------------


def outcome(call):
    """What a call returns, or that it raises. Arrays among the arguments may be changed, so the call makes them."""
    try:
        return call()
    except (ValueError, IndexError, TypeError, np.exceptions.AxisError):
        return "an error"


def vectors(*shapes, dtype=np.float32):
    rng = np.random.default_rng(0)
    return [rng.random(shape).astype(dtype) for shape in shapes]


def in_place(function, shapes, *numbers):
    def call():
        arrays = vectors(*shapes)
        function(*arrays, *numbers)
        return arrays[0]
    return call


def forward(x_shape, stack=(), activation="tanh"):
    def call():
        mlp = MLP((3, 4, 2), activation, stack)
        params = Parameters(mlp.shapes())
        mlp.initialise(params, np.random.default_rng(0))
        return mlp.forward(params, vectors(x_shape)[0])[0]
    return call


ADAM = 1e-3, 0.9, 0.999, 1e-8, 1
STRANGE = {
    "Adam on a matrix": in_place(adam, [(4, 3)] * 4, *ADAM),
    "Adam, a short gradient": in_place(adam, [(9,), (8,), (9,), (9,)], *ADAM),
    "RMSprop on a matrix": in_place(rmsprop, [(4, 3)] * 3, 1e-3, 0.99, 1e-5),
    "Polyak on a matrix": in_place(polyak, [(4, 3)] * 2, 0.1),
    "Polyak, lengths": in_place(polyak, [(9,), (7,)], 0.1),
    "MLP, further leading axes": forward((5, 7, 3)),
    "MLP, too many features": forward((5, 4)),
    "MLP, too few features": forward((5, 2)),
    "stack, inputs of another stack": forward((3, 5, 3), (2,)),
    "stack, one shared input with an axis": forward((1, 5, 3), (2,)),
    "log-softmax of whole numbers": lambda: log_softmax(np.array([[1, 2, 5], [0, 0, 1]])),
    "log-softmax of a vector": lambda: log_softmax(vectors((4,))[0]),
    "sample, u too short": lambda: categorical_sample(*vectors((6, 3), (5,))),
    "sample, one u": lambda: categorical_sample(*vectors((6, 3), (1,))),
    "returns of a vector": lambda: reverse_scan(*vectors((6,), (6,))),
    "returns, one decay for all environments": lambda: reverse_scan(*vectors((6, 3), (6, 1))),
    "returns, decay too short": lambda: reverse_scan(*vectors((6, 3), (5, 3))),
    "tanh-Gaussian, one log σ for all rows": lambda: tanh_gaussian(*vectors((6, 2), (1, 2), (6, 2)))[1],
    "tanh-Gaussian, log σ a vector": lambda: tanh_gaussian(*vectors((6, 2), (2,), (6, 2)))[1],
    "tanh-Gaussian backward, one log σ": lambda: tanh_gaussian_backward(
        *vectors((6, 2), (1, 2), (6, 2), (6, 2), (6,)))[1],
}


@pytest.mark.parametrize("case", STRANGE)
def test_strange_arguments(backend, case):
    if backend.device != "cpu":
        pytest.skip("arrays of the host")
    with kernels.using("numpy"):
        expected = outcome(STRANGE[case])
    with kernels.using(backend.name):
        found = outcome(STRANGE[case])
    if isinstance(expected, str) or isinstance(found, str):
        assert isinstance(expected, str) and isinstance(found, str), (case, expected, found)
    else:
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("value", [None, ""])
def test_a_variable_that_is_empty_is_one_that_is_not_set(value, monkeypatch):
    """Shells and CI files set a variable to nothing where they mean that it is not set."""
    monkeypatch.delenv("SCRATCHAC_BACKEND") if value is None else monkeypatch.setenv("SCRATCHAC_BACKEND", value)
    with session.backend(None) as active:
        assert active.name == kernels.load("auto").name
