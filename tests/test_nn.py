"""Parameters, networks and their initialisers."""

import numpy as np
import pytest

from scratchac.nn import MLP, Parameters, glorot, he, orthogonal


def make(rng, dtype=np.float64, **options):
    mlp = MLP((3, 5, 4, 2), **options)
    params = Parameters(mlp.shapes(), dtype)
    mlp.initialise(params, rng)
    return mlp, params


def test_parameters_are_views_of_one_vector():
    params = Parameters({"W": (2, 3), "b": (3,)})
    params.flat[:] = np.arange(9)
    assert params["W"].tolist() == [[0, 1, 2], [3, 4, 5]] and params["b"].tolist() == [6, 7, 8]
    params["W"][0, 0] = -1
    assert params.flat[0] == -1
    with pytest.raises(ValueError, match="9 parameters"):
        Parameters({"W": (2, 3), "b": (3,)}, flat=np.zeros(8))


def test_forward_by_hand():
    """tanh(x W₁ + b₁) W₂ + b₂ is computed by hand from small numbers."""
    mlp = MLP((2, 1, 1))
    params = Parameters(mlp.shapes(), np.float64)
    params.flat[:] = [1, 2, 0.5, 3, -1]                         # W1, b1, W2, b2
    y, _ = mlp.forward(params, np.array([[1.0, -1.0]]))
    assert y[0, 0] == pytest.approx(3 * np.tanh(1 - 2 + 0.5) - 1)


def test_a_stack_is_its_networks_side_by_side(rng):
    stack, params = make(rng, stack=(2,))
    single = MLP((3, 5, 4, 2))
    x = rng.standard_normal((6, 3))
    y, cache = stack.forward(params, x)
    dy = rng.standard_normal(y.shape)
    grads = params.zeros_like()
    dx = stack.backward(params, cache, dy, grads, input_gradient=True)
    for k in range(2):
        one = Parameters(single.shapes(), np.float64)
        for name in one.shapes:
            one[name][...] = params[name][k]
        y_one, cache_one = single.forward(one, x)
        grads_one = one.zeros_like()
        dx_one = single.backward(one, cache_one, dy[k], grads_one, input_gradient=True)
        np.testing.assert_allclose(y[k], y_one, rtol=1e-12)
        np.testing.assert_allclose(dx[k], dx_one, rtol=1e-12)
        for name in one.shapes:
            np.testing.assert_allclose(grads[name][k], grads_one[name], rtol=1e-12)


def test_backward_leaves_its_cache_and_dy_alone(rng):
    for activation in ("tanh", "relu"):
        mlp, params = make(rng, activation=activation)
        x = rng.standard_normal((6, 3))
        y, cache = mlp.forward(params, x)
        mlp.forward(params, -x)                                 # a second forward pass in between must not matter
        dy = rng.standard_normal(y.shape)
        kept = dy.copy()
        first, second = params.zeros_like(), params.zeros_like()
        mlp.backward(params, cache, dy, first)
        mlp.backward(params, cache, dy, second)
        assert np.array_equal(first.flat, second.flat) and np.array_equal(dy, kept)


def test_relu_kink_has_gradient_zero():
    mlp = MLP((1, 1, 1), activation="relu")
    params = Parameters(mlp.shapes(), np.float64)
    params.flat[:] = [1, 0, 1, 0]
    _, cache = mlp.forward(params, np.zeros((1, 1)))
    grads = params.zeros_like()
    mlp.backward(params, cache, np.ones((1, 1)), grads)
    assert grads["W1"][0, 0] == 0 and grads["b1"][0] == 0


def test_orthogonal(rng):
    for shape in ((5, 3), (3, 5), (2, 4, 4)):
        W = orthogonal(rng, shape, gain=2.0)
        small = W if shape[-2] <= shape[-1] else W.swapaxes(-1, -2)
        product = small @ small.swapaxes(-1, -2)
        np.testing.assert_allclose(product, np.broadcast_to(4 * np.eye(min(shape[-2:])), product.shape), atol=1e-12)


def test_scales_of_he_and_glorot(rng):
    """The standard deviation of 40,000 weights is within 3% (about 8 standard errors)."""
    assert he(rng, (200, 200)).std() == pytest.approx(np.sqrt(2 / 200), rel=0.03)
    W = glorot(rng, (100, 400))
    assert W.std() == pytest.approx(np.sqrt(2 / 500), rel=0.03) and np.abs(W).max() <= np.sqrt(6 / 500)


def test_zero_weights_would_never_learn(rng):
    """From zero weights no hidden weight gets a gradient, whatever the data; after `initialise` all get one."""
    mlp = MLP((3, 5, 2))
    params = Parameters(mlp.shapes(), np.float64)
    y, cache = mlp.forward(params, rng.standard_normal((6, 3)))
    grads = params.zeros_like()
    mlp.backward(params, cache, rng.standard_normal(y.shape), grads)
    assert not grads["W1"].any() and not grads["W2"].any()
    mlp.initialise(params, rng)
    y, cache = mlp.forward(params, rng.standard_normal((6, 3)))
    mlp.backward(params, cache, rng.standard_normal(y.shape), grads)
    assert grads["W1"].all() and grads["W2"].all()


def test_output_gain_per_output(rng):
    mlp = MLP((3, 8, 2))
    params = Parameters(mlp.shapes(), np.float64)
    mlp.initialise(params, rng, output_gain=np.array([0.01, 1.0]))
    norms = np.linalg.norm(params["W2"], axis=0)
    np.testing.assert_allclose(norms, [0.01, 1.0], rtol=1e-12)


def test_dtype_is_kept(rng):
    mlp, params = make(rng, np.float32, constants=1)
    y, cache = mlp.forward(params, rng.standard_normal((6, 3)).astype(np.float32))
    grads = params.zeros_like()
    dx = mlp.backward(params, cache, y, grads, input_gradient=True)
    assert y.dtype == dx.dtype == grads.flat.dtype == np.float32


def test_unknown_activation():
    with pytest.raises(ValueError, match="gelu"):
        MLP((1, 1), activation="gelu")
