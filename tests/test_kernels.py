"""Backends keep to one protocol and agree with the reference."""

import inspect

import numpy as np
import pytest

import kernels
from kernels.numpy_kernels import NumpyKernels


def methods(cls):
    return {name: f for name, f in inspect.getmembers(cls, inspect.isfunction) if not name.startswith("_")}


@pytest.mark.parametrize("name", kernels.BACKENDS)
def test_signatures_are_those_of_the_reference(name):
    try:
        with kernels.use(name) as backend:
            own = methods(type(backend))
    except kernels.BackendError as error:
        pytest.skip(str(error))
    reference = methods(NumpyKernels)
    assert set(own) == set(reference)
    for method, function in own.items():
        assert inspect.signature(function) == inspect.signature(reference[method])


def test_use_is_a_switch_and_a_block():
    before = kernels.backend
    with kernels.use("numpy") as inside:
        assert kernels.backend is inside
    assert kernels.backend is before


def test_an_unknown_backend_changes_nothing():
    before = kernels.backend
    with pytest.raises(kernels.BackendError, match="auto, numpy"):
        kernels.use("nump")
    assert kernels.backend is before


def test_linear_by_hand():
    k = NumpyKernels()
    x, W, b = np.array([[1.0, 2.0]]), np.array([[1.0, -1.0], [2.0, -2.0]]), np.array([0.5, 0.0])
    assert k.linear(x, W, b, "identity").tolist() == [[5.5, -5.0]]
    assert k.linear(x, W, b, "relu").tolist() == [[5.5, 0.0]]
    np.testing.assert_allclose(k.linear(x, W, b, "tanh"), np.tanh([[5.5, -5.0]]))


def test_reverse_scan_by_hand():
    """3, then 2 + .5·3 = 3.5, then 1 + 0·3.5 = 1."""
    x, decay = np.array([[1.0], [2.0], [3.0]]), np.array([[0.0], [0.5], [9.0]])
    assert NumpyKernels().reverse_scan(x, decay).ravel().tolist() == [1.0, 3.5, 3.0]
