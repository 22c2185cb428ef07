"""The gradient checks themselves: with one line of a source broken, at least one check must notice."""

import inspect
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from textwrap import dedent

import pytest

from scratchac import conv, distributions, gradcheck, losses, nn, returns
from scratchac.algorithms.a2c import A2C
from scratchac.algorithms.actor_critic import ActorCritic
from scratchac.algorithms.ddpg import DDPG
from scratchac.algorithms.discrete_sac import DiscreteSAC
from scratchac.algorithms.ppo import PPO
from scratchac.algorithms.reinforce import Reinforce
from scratchac.algorithms.reinforce_baseline import ReinforceBaseline
from scratchac.algorithms.sac import SAC
from scratchac.algorithms.td3 import TD3

# name → (function, a piece of its source, what stands there instead)
BREAKS = {
    "ReLU passes everything": (nn.linear_backward, "dz = dy * (y > 0)", "dz = dy * (y > -1)"),
    "tanh without its derivative": (nn.linear_backward, "dz *= dy ", "dz = 1 * dy "),
    "rows paired with others": (nn.linear_backward, "x.swapaxes(-1, -2), dz, out=dW",
                                "x.swapaxes(-1, -2)[..., ::-1], dz, out=dW"),
    "biases averaged": (nn.linear_backward, "np.sum(dz, axis=-2, out=db)", "np.mean(dz, axis=-2, out=db)"),
    "input gradient by W of another order": (nn.linear_backward, "dz @ W.swapaxes(-1, -2)", "dz @ W.swapaxes(-1, -2)[..., ::-1]"),
    "hidden layers taken as linear": (nn.mlp_backward, 'mlp.activation if i < last else "identity"', '"identity"'),
    "convolution's ReLU passes everything": (conv.conv2d_backward, "dz = dy * (y > 0)", "dz = dy * (y > -1)"),
    "windows written, not added": (conv.add_windows, "+= windows[:, :, :, p, q]", "= windows[:, :, :, p, q]"),
    "layer norm: mean forgotten": (conv.layer_norm_backward, "dz - dz.mean(axis=-1, keepdims=True) - z", "dz - z"),
    "softmax not subtracted": (distributions.Categorical.backward, "dy -= dlogp[:, None]", "pass"),
    "entropy's sign": (distributions.Categorical.backward, "* -dentropy[:, None]", "* dentropy[:, None]"),
    "Gaussian's normaliser": (distributions.Gaussian.backward, "(z * z - 1)", "(z * z)"),
    "Gaussian's σ": (distributions.Gaussian.backward, "dlogp * z * inv_std", "dlogp * z"),
    "tanh correction": (distributions.tanh_gaussian_backward, " + dlogp * (2 * a)", ""),
    "tanh's Jacobian": (distributions.tanh_gaussian_backward, "da * (1 - a * a)", "da"),
    "σ of the reparameterisation": (distributions.tanh_gaussian_backward, "(np.exp(log_std) * eps)", "eps"),
    "tanh of the deterministic policy": (distributions.Deterministic.mode_backward, "da * (1 - a * a)", "da"),
    "policy gradient: 1/B": (losses.policy_gradient, "(-1 / len(logp))", "-1.0"),
    "policy gradient: sign": (losses.policy_gradient, "(-1 / len(logp))", "(1 / len(logp))"),
    "clip passes everything": (losses.clipped_surrogate, "np.where(gain > clipped, 0, gain)", "gain"),
    "entropy bonus: sign": (losses.entropy_bonus, "-coef / len(entropy)", "coef / len(entropy)"),
    "MSE: 1/B": (losses.mse, "error / len(v)", "error"),
    "Huber not clipped": (losses.huber, "np.clip(error, -delta, delta) / len(v)", "error / len(v)"),
    "critics' MSE: sign": (losses.stacked_mse, "error / len(target)", "-error / len(target)"),
    "returns not discounted": (returns.monte_carlo, "gamma * (1 - done))", "(1 - done))"),
    "REINFORCE: mean instead of sum": (Reinforce.update, "policy_gradient(logp, T * weight)", "policy_gradient(logp, weight)"),
    "baseline: return instead of advantage": (ReinforceBaseline.update, "adv = g - v", "adv = g"),
    "actor-critic: bootstrap not discounted": (ActorCritic.update, "delta = r + h.gamma * (1 - term)", "delta = r + (1 - term)"),
    "A2C: value loss not weighted": (A2C.gradient, "h.value_coef * dv", "dv"),
    "PPO: ratio to the wrong side": (PPO.gradient, "clipped_surrogate(logp, logp_old, adv", "clipped_surrogate(logp, logp, adv"),
    "DDPG: bootstrap at terminal states": (DDPG.critic_step, "h.gamma * (1 - term) * q2", "h.gamma * q2"),
    "TD3: maximum of the critics": (TD3.critic_step, "q2.min(axis=0)", "q2.max(axis=0)"),
    "SAC: both critics in the actor's loss": (SAC.actor_step, "[first, ~first]", "[first | True, first | True]"),
    "SAC: temperature's sign": (SAC.temperature_step, "-alpha * (logp.mean()", "alpha * (logp.mean()"),
    "SAC: entropy without α": (SAC.actor_step, "(alpha / len(s))", "(1 / len(s))"),
    "discrete SAC: mean of f forgotten": (DiscreteSAC.actor_step, "pi * (f - mean_f)", "pi * f"),
}


@contextmanager
def broken(function: Callable, old: str, new: str) -> Iterator[None]:
    """Exchange one piece of a function's source, which must occur exactly once, for a block."""
    function = inspect.unwrap(function)
    source = dedent(inspect.getsource(function))
    source = source[re.search(r"^def ", source, re.MULTILINE).start():]     # without decorators
    assert source.count(old) == 1, f"{old!r} occurs {source.count(old)} times in {function.__qualname__}"
    scope = dict(function.__globals__)
    exec(compile(source.replace(old, new), function.__code__.co_filename, "exec"), scope)
    code, function.__code__ = function.__code__, scope[function.__name__].__code__
    try:
        yield
    finally:
        function.__code__ = code


@pytest.mark.parametrize("name", BREAKS)
def test_a_broken_source_is_noticed(name):
    with broken(*BREAKS[name]):
        assert any(gradcheck.run(check).error > gradcheck.TOLERANCE for check in gradcheck.CHECKS)


def test_whole_sources_pass():
    assert all(gradcheck.run(check).passed for check in gradcheck.CHECKS)
