"""Backends: which one is active, and what it may override. References give the numbers computed by hand."""

import inspect

import numpy as np
import pytest

import kernels
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


def test_linear_by_hand():
    x, W, b = np.array([[1.0, 2.0]]), np.array([[1.0, -1.0], [2.0, -2.0]]), np.array([0.5, 0.0])
    linear = nn.linear.__wrapped__
    assert linear(x, W, b, "identity").tolist() == [[5.5, -5.0]]
    assert linear(x, W, b, "relu").tolist() == [[5.5, 0.0]]
    np.testing.assert_allclose(linear(x, W, b, "tanh"), np.tanh([[5.5, -5.0]]))


def test_reverse_scan_by_hand():
    """3, then 2 + .5·3 = 3.5, then 1 + 0·3.5 = 1."""
    x, decay = np.array([[1.0], [2.0], [3.0]]), np.array([[0.0], [0.5], [9.0]])
    assert returns.reverse_scan.__wrapped__(x, decay).ravel().tolist() == [1.0, 3.5, 3.0]
