"""Backends: which one is active, and what it may override. References give the numbers computed by hand."""

import inspect
from importlib.util import find_spec
from types import SimpleNamespace

import numpy as np
import pytest

import kernels
from kernels import registry
from kernels.registry import REFERENCES
from scratchac import conv, distributions, nn, optim, returns  # noqa: F401  each registers its kernels


def parameters(function):
    """Names and defaults of the parameters, in order."""
    return [(parameter.name, parameter.default) for parameter in inspect.signature(function).parameters.values()]


@pytest.mark.parametrize("name", kernels.BACKENDS)
def test_overrides_take_what_their_references_take(name):
    """An override has the parameters of its reference, in their order and with their defaults; annotations may differ."""
    try:
        backend = kernels.load(name)
    except kernels.BackendError as error:
        pytest.skip(str(error))
    references = {reference.__name__: reference for reference in REFERENCES.values()}
    assert len(references) == len(REFERENCES), "two references have one name"
    assert set(backend.overrides) <= set(references)
    for kernel, override in backend.overrides.items():
        assert parameters(override) == parameters(references[kernel]), kernel


@pytest.mark.parametrize("name", kernels.BACKENDS)
def test_backends_have_the_methods_of_the_first_one(name):
    """Every backend answers to its own name and takes the arguments that NumPy's takes."""
    try:
        backend = kernels.load(name)
    except kernels.BackendError as error:
        pytest.skip(str(error))
    assert isinstance(backend, kernels.Backend) and backend.name == name
    for method in ("zeros", "asarray", "to_numpy", "wait", "memory"):
        assert parameters(getattr(type(backend), method)) == parameters(getattr(kernels.Backend, method)), method


def test_a_reference_keeps_its_name_and_its_derivation():
    """A kernel has the signature and the docstring of its reference, and its `__wrapped__` is the reference."""
    assert nn.linear.__wrapped__ is REFERENCES["scratchac.nn.linear"]
    assert nn.linear.__doc__ and nn.linear.__doc__ == nn.linear.__wrapped__.__doc__
    assert parameters(nn.linear) == parameters(nn.linear.__wrapped__)


def test_use_lasts_and_using_ends_with_its_block():
    before = kernels.backend
    with kernels.using("numpy") as inside:
        assert kernels.backend is inside and inside is not before
        used = kernels.use("numpy")
        assert kernels.backend is used and used is not inside
    assert kernels.backend is before
    with pytest.raises(ZeroDivisionError), kernels.using("numpy"):
        raise ZeroDivisionError
    assert kernels.backend is before


def test_loading_a_backend_does_not_activate_it():
    before = kernels.backend
    assert kernels.load("numpy") is not before and kernels.backend is before


@pytest.mark.parametrize("name", ["nump", "", None, 3])
@pytest.mark.parametrize("call", [kernels.use, kernels.load, lambda name: kernels.using(name).__enter__()],
                         ids=["use", "load", "using"])
def test_an_unknown_backend_changes_nothing(call, name):
    before = kernels.backend
    with pytest.raises(kernels.BackendError, match="auto, numpy"):
        call(name)
    assert kernels.backend is before


class Halves(kernels.Backend):
    """It overrides one kernel where there is an even number of rows, and leaves the rest to the reference."""

    name = "halves"
    overrides = {"reverse_scan": lambda x, decay: np.full_like(x, 0.5) if len(x) % 2 == 0 else NotImplemented}  # noqa: RUF012


def test_calls_go_to_the_active_backends_override(monkeypatch):
    """An override that returns NotImplemented leaves the work to the reference, and after the block nothing is overridden."""
    monkeypatch.setitem(kernels.BACKENDS, "halves", (__name__, "Halves", None))
    even, odd = np.ones((2, 1)), np.ones((3, 1))
    with kernels.using("halves"):
        assert returns.reverse_scan(even, even).ravel().tolist() == [0.5, 0.5]
        assert returns.reverse_scan(odd, odd).ravel().tolist() == [3, 2, 1]
    assert returns.reverse_scan(even, even).ravel().tolist() == [2, 1]


def test_a_kernel_of_another_module_is_not_overridden(monkeypatch, capsys):
    """A backend repeats the shipped reference. Another function of that name runs itself, and one line says so."""
    monkeypatch.setitem(kernels.BACKENDS, "halves", (__name__, "Halves", None))
    for name, empty in (("REFERENCES", {}), ("_running", {}), ("_said", set())):
        monkeypatch.setattr(registry, name, empty)

    def reverse_scan(x, decay):
        return x + decay

    x = np.ones((2, 1))
    with kernels.using("numpy"):
        own = registry.kernel(reverse_scan)                                 # it runs at once, without another activation
        assert own(x, 3 * x).ravel().tolist() == [4, 4]
    assert capsys.readouterr().err == ""
    for _ in range(2):
        with kernels.using("halves"):
            assert own(x, 3 * x).ravel().tolist() == [4, 4]
    assert capsys.readouterr().err == (f"scratchac: {__name__} is not a module of scratchac's: its kernels run as it says, not as "
                                       "backend halves would compute them\n")


# -- what Numba's overrides take -------------------------------------------------------------------------------------------------

rows, vector, picture = np.ones((4, 3), np.float32), np.ones(4, np.float32), np.ones((1, 4, 4, 2), np.float32)
filters, bias = np.ones((3, 3, 2, 5), np.float32), np.ones(5, np.float32)
wide, many, none, whole = rows.astype(np.float64), np.ones((201, 3), np.float32), np.ones((0, 3), np.float32), np.ones((4, 3), int)
ADAM, RMSPROP = (1e-3, 0.9, 0.999, 1e-8, 1), (1e-3, 0.99, 1e-5)
# kernel → arguments that the override takes, and such that it leaves to the reference
TAKEN = {
    "log_softmax": ([(rows,), (wide,)], [(vector,), (rows[None],), (whole,), (none,)]),
    "categorical_sample": ([(rows, vector)], [(vector, vector[0]), (whole, vector), (rows, vector[:3]), (rows, vector[:, None]),
                                              (none, none[:, 0])]),
    "reverse_scan": ([(rows, rows), (rows, wide)], [(vector, vector), (whole, whole), (rows, rows[:, :1]), (none, none)]),
    "adam": ([(*[vector] * 4, *ADAM)], [(*[rows] * 4, *ADAM), (vector, vector[:3], vector, vector, *ADAM),
                                        (vector, vector.astype(np.float64), vector, vector, *ADAM), (*[whole[:, 0]] * 4, *ADAM)]),
    "rmsprop": ([(*[vector] * 3, *RMSPROP)], [(*[rows] * 3, *RMSPROP), (vector, vector, vector.astype(np.float64), *RMSPROP)]),
    "polyak": ([(vector, vector, 0.5)], [(rows, rows, 0.5), (vector, vector[:3], 0.5), (vector, vector.astype(np.float64), 0.5)]),
    "tanh_gaussian": ([(rows, rows, rows)], [(vector, vector, vector), (rows[:1], rows, rows), (rows, rows[:1], rows),
                                             (rows, rows, rows[:1]), (wide, rows, rows), (rows, wide, rows), (rows, rows, wide),
                                             (many, many, many)]),
    "tanh_gaussian_backward": ([(rows, rows, rows, rows, vector)], [
        (vector, vector, vector, vector, vector), (rows, rows[:1], rows, rows, vector), (rows, rows, rows[:1], rows, vector),
        (rows, rows, rows, rows[:1], vector), (rows, rows, rows, rows, vector[:3]), (rows, rows, rows, rows, vector[:, None])]),
    "conv2d": ([(picture, filters, bias, 1)], [
        (picture.astype(np.float64), filters, bias, 1), (picture, filters, bias.astype(np.float64), 1),
        (picture, filters, bias[:1], 1), (picture, filters, bias[None], 1)]),
}


@pytest.mark.parametrize("kernel", TAKEN)
def test_numba_takes_the_usual_arguments_and_leaves_others(kernel):
    """NotImplemented leaves a call to the reference, for types and shapes that the compiled loops would compute wrongly."""
    pytest.importorskip("numba")
    override = kernels.load("numba").overrides[kernel]
    for number, arguments in enumerate(TAKEN[kernel][0]):
        assert override(*(np.copy(x) if isinstance(x, np.ndarray) else x for x in arguments)) is not NotImplemented, number
    for number, arguments in enumerate(TAKEN[kernel][1]):
        assert override(*arguments) is NotImplemented, number


def test_logits_whose_exponentials_overflow():
    """e¹⁰⁰⁰ is not a number that a float can hold, and the probabilities are 1 and 0."""
    pytest.importorskip("numba")
    logits, u = np.array([[1000.0, 0.0], [-1000.0, 0.0]]), np.array([0.5, 0.5])
    references = {reference.__name__: reference for reference in REFERENCES.values()}
    for functions in (kernels.load("numba").overrides, references):
        assert functions["log_softmax"](logits).tolist() == [[0, -1000], [-1000, 0]]
        assert functions["categorical_sample"](logits, u).tolist() == [0, 1]


@pytest.mark.parametrize("stack, shape, taken", [
    ((), (5, 3), True), ((), (4, 5, 3), False), ((), (5, 4), False), ((2,), (5, 3), True), ((2,), (2, 5, 3), True),
    ((2,), (3, 5, 3), False), ((2, 2), (5, 3), False)])
def test_numba_takes_rows_for_all_members_or_for_each(stack, shape, taken):
    """A network is compiled for rows (B, I), and for a stack's own rows (K, B, I)."""
    pytest.importorskip("numba")
    overrides, mlp = kernels.load("numba").overrides, nn.MLP((3, 4, 2), "tanh", stack)
    params = nn.Parameters(mlp.shapes())
    result = overrides["mlp_forward"](mlp, params, np.ones(shape, np.float32))
    assert (result is not NotImplemented) == taken
    assert overrides["mlp_forward"](mlp, params, np.ones(shape)) is NotImplemented                      # float64 for float32
    assert overrides["mlp_forward"](mlp, nn.Parameters({"W": (25,)}), np.ones(shape, np.float32)) is NotImplemented
    if not taken:
        cache = nn.mlp_forward.__wrapped__(mlp, params, np.ones((5, 3), np.float32))[1]
        assert overrides["mlp_backward"](mlp, params, cache, np.ones((5, 2), np.float32), None) is NotImplemented
    else:
        with pytest.raises(ValueError, match="7 gradients"):
            overrides["mlp_backward"](mlp, params, result[1], np.ones(result[0].shape, np.float32), nn.Parameters({"W": (7,)}))


@pytest.mark.parametrize("threads, members, batch, parallel, chunks", [
    (1, 2, 640, False, 1), (4, 2, 124, False, 1), (4, 2, 125, True, 1), (4, 1, 250, True, 3), (4, 2, 640, True, 2),
    (4, 1, 256, True, 4), (4, 5, 640, True, 1)])
def test_large_networks_are_cut_for_threads(monkeypatch, threads, members, batch, parallel, chunks):
    """From 2,000,000 multiply-adds: members first, then a member's rows, of which each thread gets at least 64."""
    numba_kernels = pytest.importorskip("kernels.numba_kernels")
    monkeypatch.setattr(numba_kernels, "get_num_threads", lambda: threads)
    functions, pieces = numba_kernels._plan.__wrapped__(members, batch, (50, 100, 30))                 # 8,000 multiply-adds a row
    names = [function.__name__ for function in functions]
    assert names == [name + "_parallel" * parallel for name in ("forward", "backward", "input_gradient")]
    assert pieces == chunks


def test_a_kernel_is_compiled_anew_where_no_folder_can_be_written(monkeypatch, capsys):
    """Numba's cache needs a folder. Without one a kernel is compiled in each process, one line says so; other errors are raised."""
    numba_jit = pytest.importorskip("kernels.numba_jit")
    monkeypatch.setattr(registry, "_said", set())
    made = SimpleNamespace(_cache="none", get_call_template=None)
    why = "cannot cache function 'f': no locator available"

    def no_cache(function):
        raise RuntimeError(why)

    monkeypatch.setattr(numba_jit, "njit", lambda **options: lambda function: made)
    monkeypatch.setattr(numba_jit, "Cache", no_cache)
    assert numba_jit.jit(parallel=True)(len) is made and made._cache == "none"
    assert "each process compiles anew (NUMBA_CACHE_DIR" in capsys.readouterr().err
    why = "another error"
    with pytest.raises(RuntimeError, match="another error"):
        numba_jit.jit(len)


def test_linear_by_hand():
    x, W, b = np.array([[1.0, 2.0]]), np.array([[1.0, -1.0], [2.0, -2.0]]), np.array([0.5, 0.0])
    linear = nn.linear.__wrapped__
    assert linear(x, W, b, "identity").tolist() == [[5.5, -5.0]]
    assert linear(x, W, b, "relu").tolist() == [[5.5, 0.0]]
    np.testing.assert_allclose(linear(x, W, b, "tanh"), np.tanh([[5.5, -5.0]]))


def test_reverse_scan_by_hand():
    """3, then 2 + .5·3 = 3.5, then 1 + 0·3.5 = 1. The last decay has nothing to act on."""
    x, decay = np.array([[1.0], [2.0], [3.0]]), np.array([[0.0], [0.5], [9.0]])
    for scan in by_both("reverse_scan"):
        assert scan(x, decay).ravel().tolist() == [1.0, 3.5, 3.0]


def test_categorical_sample_by_hand():
    """The exponentials are 1, 1 and ½ of the largest, so that the intervals end at 0.4, 0.8 and 1."""
    logits, u = np.log(np.tile([2.0, 2.0, 1.0], (4, 1))), np.array([0.39, 0.41, 0.79, 0.81])
    for sample in by_both("categorical_sample"):
        assert sample(logits, u).tolist() == [0, 1, 1, 2]


def by_both(name):
    """The reference of a kernel and, where Numba is installed, its override."""
    found = [reference for reference in REFERENCES.values() if reference.__name__ == name]
    assert len(found) == 1
    return [*found, *([kernels.load("numba").overrides[name]] if find_spec("numba") else [])]
