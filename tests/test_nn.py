"""Parameters, networks and their initialisers."""

from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

import kernels
from scratchac.conv import Encoder
from scratchac.distributions import Categorical, Gaussian
from scratchac.errors import UserError
from scratchac.gradcheck import numerical_gradient
from scratchac.nn import MLP, Parameters, fan_in, glorot, he, mlp_backward, mlp_forward, orthogonal, side_by_side
from scratchac.policies import Mask, SeparateBodies, SharedBody, SharedEncoder


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
    assert glorot(rng, (2, 100, 400)).std() == pytest.approx(np.sqrt(2 / 500), rel=0.03)          # a stack


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


def test_what_the_memory_cannot_hold_is_refused(monkeypatch):
    """Parameters, a gradient and two moments: four numbers for each parameter, in bytes of the dtype."""
    monkeypatch.setattr(type(kernels.backend), "memory", lambda self: 1600)
    for dtype, most in ((np.float32, 100), (np.float64, 50)):
        for made in (partial(Parameters, dtype=dtype), lambda shapes, dtype=dtype: side_by_side([shapes], dtype)):
            made({"W": (most,)})
            with pytest.raises(UserError, match=f"{most + 1} parameters need"):
                made({"W": (most + 1,)})


def test_weights_begin_anew_with_their_gains(rng):
    """Orthogonal hidden layers have the gain √2 and the output 1; what was there before is gone."""
    mlp = MLP((3, 5, 4, 2), constants=1)
    params = Parameters(mlp.shapes(), np.float64)
    params.flat[:] = 7
    mlp.initialise(params, rng)
    for name, gain in (("W1", np.sqrt(2)), ("W2", np.sqrt(2)), ("W3", 1)):
        np.testing.assert_allclose(np.linalg.svd(params[name])[1], gain, rtol=1e-12)
    assert not any(params[name].any() for name in ("b1", "b2", "b3", "constants"))


def test_initialisers_without_a_gain(rng):
    np.testing.assert_allclose(np.linalg.svd(orthogonal(rng, (4, 3)))[1], 1, rtol=1e-12)
    W = fan_in(rng, (25, 400))
    assert (W.min(), W.max()) == (pytest.approx(-1 / 5, rel=0.01), pytest.approx(1 / 5, rel=0.01))


def test_orthogonal_matrices_are_uniformly_distributed(rng):
    """E[W] = 0, with a positive diagonal as often as with a negative one: 4,000 matrices, 5 standard errors of 1/√(2·4,000)."""
    W = orthogonal(rng, (4000, 2, 2))
    assert np.abs(W.mean(axis=0)).max() < 5 / np.sqrt(2 * 4000)
    assert abs((W[:, 0, 0] > 0).mean() - 0.5) < 5 * 0.5 / np.sqrt(4000)


def test_constants_of_a_stack_stand_before_the_outputs(rng):
    stack, params = make(rng, stack=(2,), constants=1)
    params["constants"][:] = [[3.0], [4.0]]
    y, cache = stack.forward(params, rng.standard_normal((6, 3)))
    assert y.shape == (2, 6, 3) and y[0, :, 0].tolist() == [3.0] * 6 and y[1, :, 0].tolist() == [4.0] * 6
    np.testing.assert_array_equal(y[..., 1:], mlp_forward(stack, params, cache[0])[0])


def test_no_gradient_of_the_input_unless_asked_for(rng):
    mlp, params = make(rng)
    y, cache = mlp.forward(params, rng.standard_normal((6, 3)))
    assert mlp.backward(params, cache, y, params.zeros_like()) is None
    assert mlp_backward(mlp, params, cache, y, params.zeros_like()) is None


# -- models: actor and critic over one flat vector ---------------------------------------------------------------------


CONFIG = SimpleNamespace(hidden=(4,), activation="tanh", initialiser="orthogonal")
GAUSSIAN = Gaussian(-np.ones(2), np.ones(2))
MODELS = {"separate": partial(SeparateBodies, 3), "shared": partial(SharedBody, 3),
          "encoder": partial(SharedEncoder, Encoder((1, 8, 9), layers=((2, 3, 2),), features=3))}


def model_and_states(kind, rng, dist=GAUSSIAN, values=2):
    model = MODELS[kind](dist, values, CONFIG, rng, np.float64)
    return model, rng.integers(256, size=(5, 1, 8, 9), dtype=np.uint8) if kind == "encoder" else rng.standard_normal((5, 3))


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("dist", [GAUSSIAN, Categorical(3)], ids=["gaussian", "categorical"])
def test_a_model_is_its_networks_and_its_gradient_is_that_of_both_outputs(kind, dist, rng):
    """For L = Σ y∘c + Σ v∘d the gradient is the numerical one. The groups make up the whole vector."""
    model, s = model_and_states(kind, rng, dist)
    y, v, cache = model.forward(s)
    assert y.shape == (5, dist.outputs) and v.shape == (5, 2)
    np.testing.assert_allclose(model.policy(s), y)
    np.testing.assert_allclose(model.value(s), v)
    plain = model.networks()
    x = model.encoder.forward(model.phi, s)[0] if kind == "encoder" else s
    columns = plain.actor.forward(plain.theta, x)[0][:, dist.constants :]
    np.testing.assert_allclose(columns[:, plain.policy_outputs], y[:, dist.constants :])
    columns = plain.critic.forward(plain.w, x)[0][:, plain.critic.constants :]
    np.testing.assert_allclose(columns[:, plain.value_outputs], v[:, :1])
    c, d = rng.standard_normal(y.shape), rng.standard_normal(v.shape)
    model.backward(cache, c, d)

    def loss():
        y, v, _ = model.forward(s)
        return float((y * c).sum() + (v * d).sum())

    np.testing.assert_allclose(model.grad, numerical_gradient(loss, model.flat), rtol=1e-5, atol=1e-7)
    parts = [model.flat[group] for group in model.groups]
    assert np.array_equal(np.concatenate(parts), model.flat)
    if kind == "separate":
        assert np.array_equal(parts[0], model.theta.flat) and np.array_equal(parts[1], model.w.flat)


@pytest.mark.parametrize("kind", MODELS)
def test_the_first_policy_is_small_and_the_first_values_are_not(kind, rng):
    """The last layer's gain is .01 for the policy and 1 for values: with orthogonal weights the length of each column."""
    model, _ = model_and_states(kind, rng)
    plain = model.networks()
    last = [plain.theta[f"W{plain.actor.layers}"], plain.w[f"W{plain.critic.layers}"]]
    policy, values = (last[0][:, :2], last[1][:, 2:]) if kind == "shared" else last
    np.testing.assert_allclose(np.linalg.norm(policy, axis=0), 0.01)
    np.testing.assert_allclose(np.linalg.norm(values, axis=0), 1)
    assert not plain.theta["constants"].any()
    if kind == "encoder":
        np.testing.assert_allclose(np.linalg.norm(model.phi["W"], axis=0), 1)


@pytest.mark.parametrize("kind", ["separate", "shared"])
def test_a_model_masks_the_logits_of_illegal_actions_alone(kind, rng):
    plain, with_mask = (MODELS[kind](Categorical(2), 1, CONFIG, np.random.default_rng(3), np.float64, masked)
                        for masked in (None, Mask(slice(0, 2), (2,))))
    s = np.column_stack([[1, 0, 1], [1, 1, 0], rng.standard_normal(3)])
    expected = plain.policy(s)
    expected[1, 0] = expected[2, 1] = -1e9
    np.testing.assert_array_equal(with_mask.policy(s), expected)
    np.testing.assert_array_equal(with_mask.forward(s)[0], expected)
    np.testing.assert_array_equal(with_mask.value(s), plain.value(s))
