"""Finite differences: is each hand-written gradient the derivative of its own loss?

    ∂L/∂xᵢ ≈ (L(x + h eᵢ) − L(x − h eᵢ)) / 2h       h = 1e-5 in float64: error about h² from curvature, 1e-16/h from rounding

A check that cannot fail proves nothing, so each comes with a plausible mistake (a forgotten factor, a flipped sign, a missing
term) which must be caught by the same comparison.
"""

from dataclasses import dataclass

import numpy as np

import kernels
from scratchac import losses
from scratchac.conv import Encoder, layer_norm, layer_norm_backward
from scratchac.distributions import Categorical, Gaussian, TanhGaussian
from scratchac.nn import MLP, Parameters

H = 1e-5
TOLERANCE = 1e-6
FLOOR = 1e-2            # errors of derivatives smaller than this are measured against it: 1e-6 of it is 1e-8 absolute


@dataclass(frozen=True)
class Result:
    name: str
    coordinates: int
    error: float            # largest relative error of the gradient
    mistake: str            # what was spoilt in the control
    control_error: float    # largest relative error of the spoilt gradient

    @property
    def passed(self):
        return self.error < TOLERANCE < self.control_error


def numerical_gradient(f, x, h=H):
    """Central differences of the scalar function f at every coordinate of x (changed in place, and restored)."""
    grad = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        centre = x[i]
        x[i] = centre + h
        above = f()
        x[i] = centre - h
        grad[i] = (above - f()) / (2 * h)
        x[i] = centre
    return grad


def relative_error(a, b):
    """Largest |a − b| / max(|a|, |b|, FLOOR) over all coordinates."""
    return float((np.abs(a - b) / np.maximum(np.maximum(np.abs(a), np.abs(b)), FLOOR)).max())


CHECKS = {}


def check(name, mistake):
    """Register a check: a function of a Generator that returns (f, x, gradient, spoilt gradient), f() reading x."""

    def register(function):
        CHECKS[name] = function, mistake
        return function
    return register


def run(name, seed=0):
    function, mistake = CHECKS[name]
    f, x, grad, spoilt = function(np.random.default_rng(seed))
    numerical = numerical_gradient(f, x)
    return Result(name, x.size, relative_error(grad, numerical), mistake, relative_error(spoilt, numerical))


def run_all(seed=0):
    return [run(name, seed) for name in CHECKS]


def table(results):
    """The results as a table, and a verdict under it."""
    width, wide = (max(len(getattr(r, field)) for r in results) for field in ("name", "mistake"))
    header = f"{'gradient of':{width}}  coordinates  largest error      {'with this mistake in it':{wide}}  error"
    lines = [header, "─" * (len(header) + 9)]
    for r in results:
        lines.append(f"{r.name:{width}}  {r.coordinates:11d}  {r.error:13.1e} {'✓' if r.error < TOLERANCE else '✗'}    "
                     f"{r.mistake:{wide}}  {r.control_error:5.0e} {'caught' if r.control_error > TOLERANCE else 'MISSED'}")
    good = sum(r.passed for r in results)
    lines.append(f"\n{good} of {len(results)} gradients agree with central differences (h = {H:g}, float64) "
                 f"to {TOLERANCE:g}, and every spoilt one was caught." if good == len(results) else
                 f"\n{len(results) - good} of {len(results)} checks FAILED.")
    return "\n".join(lines)


# -- networks: L = Σ c ∘ y for a fixed random c, so that ∂L/∂y = c --------------------------------------------------


def _network(rng, **options):
    mlp = MLP((3, 5, 4, 2), **options)
    params = Parameters(mlp.shapes(), np.float64)
    mlp.initialise(params, rng)
    params.flat[:] += 0.1 * rng.standard_normal(params.flat.size)           # biases and constants away from zero
    return mlp, params


def _network_check(rng, spoil, wrt_input=False, **options):
    """Draw until no pre-activation is within 100 h of a ReLU's kink, where central differences see both sides."""
    mlp, params = _network(rng, **options)
    x = rng.standard_normal((6, 3))
    y, cache = mlp.forward(params, x)
    while options.get("activation") == "relu" and _distance_from_kink(params, x) < 100 * H:
        x = rng.standard_normal((6, 3))
        y, cache = mlp.forward(params, x)
    c = rng.standard_normal(y.shape)
    grads = params.zeros_like()
    dx = mlp.backward(params, cache, c, grads, input_gradient=True)
    if wrt_input:
        target, grad, bad = x, dx, spoil(dx)
    else:
        target, grad, bad = params.flat, grads.flat, spoil(grads)
    return lambda: float((mlp.forward(params, x)[0] * c).sum()), target, grad, bad


def _distance_from_kink(params, x):
    nearest = np.inf
    for i in (1, 2):
        z = x @ params[f"W{i}"] + params[f"b{i}"]
        nearest, x = min(nearest, np.abs(z).min()), np.maximum(z, 0)
    return nearest


def _spoil(name, change):
    """A copy of all gradients in which those called `name` are changed."""

    def spoil(grads):
        bad = Parameters(grads.shapes, flat=grads.flat.copy())
        bad[name][...] = change(bad[name])
        return bad.flat
    return spoil


@check("MLP, tanh: weights and biases", "bias averaged over rows")
def _(rng):
    return _network_check(rng, _spoil("b1", lambda g: g / 6))


@check("MLP, ReLU: weights and biases", "a layer's sign flipped")
def _(rng):
    return _network_check(rng, _spoil("W2", lambda g: -g), activation="relu")


@check("MLP: input", "one feature forgotten")
def _(rng):
    return _network_check(rng, lambda dx: dx * [1, 1, 0], wrt_input=True)


@check("MLP, two stacked networks", "the two exchanged")
def _(rng):
    return _network_check(rng, _spoil("W1", lambda g: g[::-1].copy()), stack=(2,))


@check("MLP with constant outputs", "constants not summed over rows")
def _(rng):
    return _network_check(rng, _spoil("constants", lambda g: g / 6), constants=2)


# -- pictures --------------------------------------------------------------------------------------------------------

TINY = Encoder((2, 6, 7), layers=((3, 3, 2), (4, 2, 1)), features=4)        # 6 × 7 → 2 × 3 → 1 × 2


def _convolution(rng):
    """Arguments of a convolution whose windows overlap and leave the last column out, and dy; away from every kink."""
    margin = 0
    while margin < 100 * H:
        x, W, b = rng.standard_normal((3, 5, 6, 2)), rng.standard_normal((3, 3, 2, 4)), rng.standard_normal(4)
        y, windows = kernels.backend.conv2d(x, W, b, 2)
        margin = np.abs(windows @ W.reshape(-1, 4) + b).min()
    return x, W, b, y, windows, rng.standard_normal(y.shape)


@check("convolution: filters", "filters flipped")
def _(rng):
    x, W, b, y, windows, dy = _convolution(rng)
    dW = np.zeros_like(W)
    kernels.backend.conv2d_backward(dy, x.shape, windows, y, W, 2, dW, np.zeros(4))
    return lambda: float((kernels.backend.conv2d(x, W, b, 2)[0] * dy).sum()), W, dW, dW[::-1, ::-1]


@check("convolution: biases", "averaged over places")
def _(rng):
    x, W, b, y, windows, dy = _convolution(rng)
    db = np.zeros_like(b)
    kernels.backend.conv2d_backward(dy, x.shape, windows, y, W, 2, np.zeros_like(W), db)
    return lambda: float((kernels.backend.conv2d(x, W, b, 2)[0] * dy).sum()), b, db, db / (y.shape[1] * y.shape[2])


@check("convolution: input", "stride ignored on the way back")
def _(rng):
    x, W, b, y, windows, dy = _convolution(rng)
    dx = kernels.backend.conv2d_backward(dy, x.shape, windows, y, W, 2, np.zeros_like(W), np.zeros(4))
    dz, spoilt = dy * (y > 0), np.zeros_like(x)
    for p, q in np.ndindex(3, 3):                       # windows put back as neighbours
        spoilt[:, p : p + 2, q : q + 2] += dz @ W[p, q].T
    return lambda: float((kernels.backend.conv2d(x, W, b, 2)[0] * dy).sum()), x, dx, spoilt


@check("layer normalisation", "mean and deviation taken as data")
def _(rng):
    x, dz = rng.standard_normal((2, 4, 5))
    z, deviation = layer_norm(x)
    return lambda: float((layer_norm(x)[0] * dz).sum()), x, layer_norm_backward(dz, z, deviation), dz / deviation


def encoder_margin(encoder, params, pictures):
    """How near a ReLU of the encoder is to its kink."""
    convolutions, *_ = encoder.forward(params, pictures)[1]
    z = [windows @ params[f"K{i}"].reshape(windows.shape[-1], -1) + params[f"c{i}"]
         for i, (_, windows, _) in enumerate(convolutions, start=1)]
    return min(np.abs(x).min() for x in z)


@check("encoder of pictures", "tanh forgotten")
def _(rng):
    params = Parameters(TINY.shapes(), np.float64)
    TINY.initialise(params, rng)
    params.flat[:] += 0.1 * rng.standard_normal(params.flat.size)
    pictures = rng.integers(256, size=(3, *TINY.shape), dtype=np.uint8)
    while encoder_margin(TINY, params, pictures) < 100 * H:
        pictures = rng.integers(256, size=(3, *TINY.shape), dtype=np.uint8)
    features, cache = TINY.forward(params, pictures)
    dx = rng.standard_normal(features.shape)
    grads, spoilt = params.zeros_like(), params.zeros_like()
    TINY.backward(params, cache, dx, grads)
    TINY.backward(params, cache, dx / (1 - features * features), spoilt)
    return lambda: float((TINY.forward(params, pictures)[0] * dx).sum()), params.flat, grads.flat, spoilt.flat


# -- distributions ---------------------------------------------------------------------------------------------------


def _distribution_check(dist, rng, a, of, spoil):
    y = rng.standard_normal((5, dist.outputs))
    c = rng.standard_normal(5)
    zero = np.zeros(5)
    _, _, cache = dist.evaluate(y, a)
    grad = dist.backward(cache, c, zero) if of == 0 else dist.backward(cache, zero, c)
    return lambda: float(c @ dist.evaluate(y, a)[of]), y, grad, spoil(grad, c)


@check("Categorical: log-probability", "softmax not subtracted")
def _(rng):
    a = rng.integers(4, size=5)
    return _distribution_check(Categorical(4), rng, a, 0, lambda g, c: np.eye(4)[a] * c[:, None])


@check("Categorical: entropy", "sign flipped")
def _(rng):
    return _distribution_check(Categorical(4), rng, rng.integers(4, size=5), 1, lambda g, c: -g)


@check("Gaussian: log-probability", "normalisation −log σ forgotten")
def _(rng):
    dist = Gaussian(-np.ones(2), np.ones(2), state_dependent_std=True)
    return _distribution_check(dist, rng, rng.standard_normal((5, 2)), 0,
                               lambda g, c: g + np.concatenate([np.ones((5, 2)), np.zeros((5, 2))], axis=1) * c[:, None])


@check("Gaussian: entropy", "doubled, as for a variance")
def _(rng):
    dist = Gaussian(-np.ones(2), np.ones(2), state_dependent_std=True)
    return _distribution_check(dist, rng, rng.standard_normal((5, 2)), 1, lambda g, c: 2 * g)


def _tanh_gaussian_check(rng, log_std, spoil):
    """L = Σ (c · a + d log π(a)) with ε fixed: the way through the sample, the correction and the bound on log σ at once."""
    dist = TanhGaussian(-np.ones(2), np.ones(2), log_std)
    y, eps = rng.standard_normal((5, 4)), rng.standard_normal((5, 2))
    if log_std == "clamp":
        y[:, :2] += [[-30.0, 0.0], [0.0, 8.0], [0.0, 0.0], [-25.0, 0.0], [0.5, -0.5]]       # below, inside, above the bounds
        eps[y[:, :2] > 2] *= 0.01                                                           # e² · ε would saturate tanh
    c, d = rng.standard_normal((5, 2)), rng.standard_normal(5)
    _, _, cache = dist.sample(y, eps)

    def f():
        a, logp, _ = dist.sample(y, eps)
        return float((c * a).sum() + d @ logp)

    return f, y, dist.backward(cache, c, d), spoil(dist, cache, c, d)


@check("tanh-Gaussian: sample and log-probability", "tanh correction forgotten")
def _(rng):
    def spoil(dist, cache, c, d):
        a, log_std, slope, eps = cache
        correction = d[:, None] * 2 * a
        return dist.backward(cache, c, d) - np.concatenate([correction * np.exp(log_std) * eps * slope, correction], axis=1)

    return _tanh_gaussian_check(rng, "tanh", spoil)


@check("tanh-Gaussian, log σ clamped", "gradient passed on outside the clamp")
def _(rng):
    def spoil(dist, cache, c, d):
        a, log_std, slope, eps = cache
        return dist.backward((a, log_std, np.ones_like(slope), eps), c, d)

    return _tanh_gaussian_check(rng, "clamp", spoil)


# -- losses ----------------------------------------------------------------------------------------------------------


def _loss_check(loss, x, spoil):
    _, grad = loss(x)
    return lambda: loss(x)[0], x, grad, spoil(grad)


@check("policy gradient loss", "1/B forgotten")
def _(rng):
    adv = rng.standard_normal(6)
    return _loss_check(lambda logp: losses.policy_gradient(logp, adv), rng.standard_normal(6), lambda g: 6 * g)


@check("clipped surrogate, A > 0 and A < 0, below, inside and above the clip", "gradient passed on beyond the clip")
def _(rng):
    ratio, adv = np.tile([0.5, 0.9, 1.1, 1.7], 2), np.repeat([1.0, -1.0], 4) * rng.uniform(0.5, 2, 8)
    old = rng.standard_normal(8)
    return _loss_check(lambda logp: losses.clipped_surrogate(logp, old, adv, 0.2), old + np.log(ratio), lambda g: -ratio * adv / 8)


@check("entropy bonus", "sign flipped")
def _(rng):
    return _loss_check(lambda entropy: losses.entropy_bonus(entropy, 0.3), rng.random(6), lambda g: -g)


@check("MSE value loss", "factor 2 of a loss without ½")
def _(rng):
    target = rng.standard_normal(6)
    return _loss_check(lambda v: losses.mse(v, target), rng.standard_normal(6), lambda g: 2 * g)


@check("Huber value loss, inside and outside", "not clipped")
def _(rng):
    error = np.array([-3.0, -0.9, -0.2, 0.4, 0.8, 2.5])
    target = rng.standard_normal(6)
    return _loss_check(lambda v: losses.huber(v, target, 1.0), target + error, lambda g: error / 6)


@check("clipped value loss, running towards the target and away", "gradient passed on beyond the clip")
def _(rng):
    old, moved, target = np.zeros(6), np.array([-0.9, -0.1, 0.1, 0.9, 0.9, -0.9]), np.array([2.0, 2.0, 2.0, 2.0, -2.0, -2.0])
    return _loss_check(lambda v: losses.clipped_mse(v, old, target, 0.3), moved, lambda g: (moved - target) / 6)


@check("MSE of two critics with one target", "averaged over the critics")
def _(rng):
    target = rng.standard_normal(6)
    return _loss_check(lambda q: losses.stacked_mse(q, target), rng.standard_normal((2, 6)), lambda g: g / 2)


@check("proximal term κ‖w − w_old‖²", "factor 2 forgotten")
def _(rng):
    old = rng.standard_normal(6)
    return _loss_check(lambda w: losses.proximal(w, old, 0.7), rng.standard_normal(6), lambda g: g / 2)
