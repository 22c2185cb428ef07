"""Plausible mistakes in backward passes, losses and updates, each a change of one line of the source, and the checks that notice.

    scratchac gradcheck --break NAME
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np

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
from scratchac.errors import find_name
from scratchac.gradcheck.differences import CHECKS, TOLERANCE
from scratchac.lab.patch import Patch
from scratchac.policies import SharedBody

# name → (function, a piece of its source, what stands there instead)
BREAKS: dict[str, tuple[Callable[..., Any], str, str]] = {
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
    "tanh of the deterministic policy": (distributions.Deterministic.greedy_backward, "da * (1 - a * a)", "da"),
    "policy gradient: 1/B": (losses.policy_gradient, "(-1 / len(logp))", "-1.0"),
    "policy gradient: sign": (losses.policy_gradient, "(-1 / len(logp))", "(1 / len(logp))"),
    "clip passes everything": (losses.clipped_surrogate, "np.where(gain > clipped, 0, gain)", "gain"),
    "entropy bonus: sign": (losses.entropy_bonus, "-coef / len(entropy)", "coef / len(entropy)"),
    "MSE: 1/B": (losses.mse, "error / len(v)", "error"),
    "Huber not clipped": (losses.huber, "np.clip(error, -delta, delta) / len(v)", "error / len(v)"),
    "critics' MSE: sign": (losses.stacked_mse, "error / len(target)", "-error / len(target)"),
    "proximal term: factor 2": (losses.proximal, "2 * kappa * difference", "kappa * difference"),
    "shared body: critic's gradient forgotten": (SharedBody.backward, "[dy, dv]", "[dy, 0 * dv]"),
    "returns not discounted": (returns.monte_carlo, "gamma * (1 - done))", "(1 - done))"),
    "REINFORCE: γᵗ forgotten": (Reinforce.update, "h.gamma ** batch.t[:, 0].astype(self.dtype) * g if", "g if"),
    "REINFORCE: rewards of the past": (Reinforce.update, "T * weight)", "T * weight[:1] * np.ones(T))"),
    "REINFORCE: mean instead of sum": (Reinforce.update, "policy_gradient(logp, T * weight)", "policy_gradient(logp, weight)"),
    "baseline: return instead of advantage": (ReinforceBaseline.update, "adv = g - v", "adv = g"),
    "actor-critic: bootstrap not discounted": (ActorCritic.update, "delta = r + h.gamma * (1 - term)", "delta = r + (1 - term)"),
    "actor-critic: δ missing": (ActorCritic.update, "lr * delta * z", "lr * z"),
    "A2C: value loss not weighted": (A2C.gradient, "h.value_coef * dv", "dv"),
    "PPO: ratio to the wrong side": (PPO.gradient, "clipped_surrogate(logp, logp_old, adv", "clipped_surrogate(logp, logp, adv"),
    "DDPG: bootstrap at terminal states": (DDPG.critic_step, "h.gamma * (1 - term) * q2", "h.gamma * q2"),
    "DDPG: actor's sign": (DDPG.actor_step, "-1 / len(s)", "1 / len(s)"),
    "TD3: maximum of the critics": (TD3.critic_step, "q2.min(axis=0)", "q2.max(axis=0)"),
    "SAC: entropy's sign in the target": (SAC.critic_step, "- alpha * logp2)", "+ alpha * logp2)"),
    "SAC: both critics in the actor's loss": (SAC.actor_step, "[first, ~first]", "[first | True, first | True]"),
    "SAC: temperature's sign": (SAC.temperature_step, "-alpha * (logp.mean()", "alpha * (logp.mean()"),
    "SAC: entropy without α": (SAC.actor_step, "(alpha / len(s))", "(1 / len(s))"),
    "discrete SAC: mean of f forgotten": (DiscreteSAC.actor_step, "pi * (f - mean_f)", "pi * f"),
}


@dataclass(frozen=True)
class Noticed:
    """A check that notices a break: its gradient by hand and by differences are no longer the same."""

    check: str
    wrong: int                      # coordinates that differ
    coordinates: int
    first: tuple[int, ...]          # the first of them
    expected: float                 # by differences there
    found: float                    # by hand there
    error: float                    # largest relative error


def patch_of(name: str) -> Patch:
    """The break of that name, or of the only name that contains it. Raises UserError if there is none, or several."""
    return Patch(*BREAKS[find_name("break", name, list(BREAKS), "scratchac gradcheck --break list prints all names")])


def noticed(change: AbstractContextManager[Any], seed: int = 0) -> list[Noticed]:
    """The gradient checks that notice a patch, or several, within their block, with the first coordinate that differs in each."""
    seen = []
    with change:
        for check in CHECKS:
            one = gradcheck.numbers(check, seed)
            wrong = np.argwhere(~(one.errors < TOLERANCE))
            if len(wrong):
                first = tuple(map(int, wrong[0]))
                seen.append(Noticed(check, len(wrong), one.x.size, first, float(one.expected[first]), float(one.found[first]),
                                    float(one.errors.max())))
    return seen


def report(name: str) -> str:
    """A break's diff, and the checks that notice it."""
    patch = patch_of(name)
    seen = noticed(patch)
    wide = max(len(one.check) for one in seen)
    lines = [patch.diff(), "",
             f"{'check that notices it':{wide}}  coordinates  first        expected       found  largest relative error"]
    for one in seen:
        share = f"{one.wrong}/{one.coordinates}"
        lines.append(f"{one.check:{wide}}  {share:>11}  {one.first!s:8} {one.expected:+12.6f}{one.found:+12.6f}  {one.error:22.0e}")
    return "\n".join([*lines, "", f"{len(seen)} of {len(CHECKS)} checks notice it."])
