"""Exercises on the gradients of policies: softmax, Gaussian, the policy gradient's loss, PPO's clip."""

from typing import Any

import numpy as np

from scratchac import losses
from scratchac.distributions import Categorical, Gaussian, log_softmax
from scratchac.lab.exercises.exercise import Exercise, Training

UPSTREAM = {"dlogp": "(B,)  ∂L/∂log π", "dentropy": "(B,)  ∂L/∂H"}


def softmax_gradient(y: np.ndarray, a: np.ndarray, dlogp: np.ndarray, dentropy: np.ndarray) -> np.ndarray:
    """∂L/∂y of a categorical distribution."""
    dist = Categorical(y.shape[1])
    _, _, cache = dist.evaluate(y, a)
    return dist.backward(cache, dlogp, dentropy)


def logits(rng: np.random.Generator) -> tuple[Any, ...]:
    """Five rows of four logits; on one input in four 1000 is added to all of them, which changes no probability."""
    y = rng.standard_normal((5, 4)) + (1000 if rng.random() < 0.25 else 0)
    return y, rng.integers(4, size=5), rng.standard_normal(5), rng.standard_normal(5)


SOFTMAX_GRADIENT = Exercise(
    "softmax-gradient", 25, "∂log π/∂y and ∂H/∂y of a softmax",
    "The outputs y of the network are logits: π = softmax(y). A loss depends on them through the log-probability of the action "
    "that was taken, and through the entropy. Its gradients with respect to these two are given; compute the one with respect to "
    "y. Some logits are as large as 1000, and exp(1000) is infinite: subtract the largest logit of each row first, which does not "
    "change π.",
    "πᵢ = exp(yᵢ) / Σⱼ exp(yⱼ)        ∂log π(a)/∂yⱼ = 1[j = a] − πⱼ\n"
    "H  = −Σᵢ πᵢ log πᵢ               ∂H/∂yⱼ = −πⱼ(log πⱼ + H)\n"
    "dy = dlogp · ∂log π(a)/∂y + dentropy · ∂H/∂y",
    {"y": "(B, n)  logits", "a": "(B,)  the actions taken, 0 … n − 1", **UPSTREAM}, {"dy": "(B, n)"}, logits, softmax_gradient,
    "Softmax: gradients of log-probability and entropy",
    {
        "the softmax is not subtracted in ∂log π": (Categorical.backward, "dy -= dlogp[:, None]", "pass"),
        "the 1 at the taken action is missing in ∂log π": (
            Categorical.backward, "dy[np.arange(len(a)), a] += dlogp", "pass"),
        "the sign of the entropy's gradient is wrong": (Categorical.backward, "* -dentropy[:, None]", "* dentropy[:, None]"),
        "H is missing in ∂H/∂y": (Categorical.backward, "(log_pi + entropy[:, None])", "log_pi"),
        "∂H/∂y has log π + 1 where log π + H belongs: the derivative of −Σ π log π without that of the softmax": (
            Categorical.backward, "(log_pi + entropy[:, None])", "(log_pi + 1)"),
        "the entropy's gradient is missing": (Categorical.backward, "* -dentropy[:, None]", "* 0"),
        "exp overflows: the largest logit of each row is not subtracted": (
            log_softmax,
            "z = logits - logits.max(axis=-1, keepdims=True)\n    return z - np.log(np.exp(z).sum(axis=-1, keepdims=True))",
            "return np.log(np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True))"),
    },
    lines=(Categorical.evaluate, Categorical.backward, log_softmax),
    training=Training("reinforce", "CartPole-v1", 30_000, Categorical.backward,
                      lambda mine: lambda self, cache, dlogp, dentropy: mine(cache[2], cache[0], dlogp, dentropy)),
)


def gaussian_gradient(mu: np.ndarray, log_std: np.ndarray, a: np.ndarray, dlogp: np.ndarray,
                      dentropy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """∂L/∂μ and ∂L/∂log σ of independent normal distributions."""
    A = mu.shape[1]
    dist = Gaussian(np.full(A, -1.0), np.full(A, 1.0), state_dependent_std=True)
    _, _, cache = dist.evaluate(np.concatenate([log_std, mu], axis=1), a)
    dy = dist.backward(cache, dlogp, dentropy)
    return dy[:, A:], dy[:, :A]


def gaussians(rng: np.random.Generator) -> tuple[Any, ...]:
    """Five rows of two features."""
    return (*rng.standard_normal((3, 5, 2)), *rng.standard_normal((2, 5)))


def _gaussian_backward(mine: Any) -> Any:
    def backward(self: Gaussian, cache: Any, dlogp: np.ndarray, dentropy: np.ndarray) -> np.ndarray:
        z, inv_std = cache
        # The library has cached z = a/σ with μ = 0, so the action in units of σ, at mean 0, stands for the original one.
        dmu, dlog_std = mine(np.zeros_like(z), -np.log(inv_std) + np.zeros_like(z), z / inv_std, dlogp, dentropy)
        return np.concatenate([dlog_std, dmu], axis=-1)
    return backward


GAUSSIAN_GRADIENT = Exercise(
    "gaussian-gradient", 20, "∂log π/∂μ and ∂log π/∂log σ of a normal distribution",
    "A policy for continuous actions draws each of the A features of an action from a normal distribution of its own. The network "
    "gives μ and log σ. The log-probability of an action is the sum over its features, and so is the entropy. Given the gradients "
    "of a loss with respect to these two, compute those with respect to μ and log σ.",
    "z = (a − μ)/σ                     log π(a) = Σᵢ [−½zᵢ² − log σᵢ − ½ log 2π]\n"
    "H = Σᵢ [log σᵢ + ½ log 2πe]\n"
    "∂log π/∂μᵢ = zᵢ/σᵢ                ∂log π/∂log σᵢ = zᵢ² − 1                ∂H/∂log σᵢ = 1",
    {"mu": "(B, A)  μ", "log_std": "(B, A)  log σ", "a": "(B, A)  the actions taken", **UPSTREAM},
    {"dmu": "(B, A)", "dlog_std": "(B, A)"}, gaussians, gaussian_gradient, "Gaussian: gradients of log-probability and entropy",
    {
        "∂log π/∂log σ lacks the −1, which comes from the normaliser −log σ": (Gaussian.backward, "(z * z - 1)", "(z * z)"),
        "∂log π/∂μ is z, not z/σ": (Gaussian.backward, "dlogp * z * inv_std", "dlogp * z"),
        "the entropy's gradient is missing": (Gaussian.backward, " + dentropy[:, None] ", " "),
        "the second gradient is with respect to σ, not to log σ": (
            Gaussian.backward, "dlogp * (z * z - 1) + dentropy[:, None]", "(dlogp * (z * z - 1) + dentropy[:, None]) * inv_std"),
        "the sign of ∂log π/∂μ is wrong: it is the derivative with respect to a": (
            Gaussian.backward, "dlogp * z * inv_std", "-dlogp * z * inv_std"),
        "the two results are exchanged": (gaussian_gradient, "dy[:, A:], dy[:, :A]", "dy[:, :A], dy[:, A:]"),
        "∂log π/∂μ is divided by σ once too often": (Gaussian.backward, "dlogp * z * inv_std", "dlogp * z * inv_std**2"),
    },
    lines=(Gaussian.evaluate, Gaussian.backward),
    training=Training("ppo", "Pendulum-v1", 60_000, Gaussian.backward, _gaussian_backward),
)


def pairs(rng: np.random.Generator) -> tuple[Any, ...]:
    """Log-probabilities and advantages of six rows."""
    return -rng.random(6), rng.standard_normal(6)


POLICY_GRADIENT_LOSS = Exercise(
    "policy-gradient-loss", 10, "the scalar whose gradient is the policy gradient",
    "The policy gradient theorem says that the return grows in the direction E[A ∇log π]. Optimisers minimise, so the loss is the "
    "negative mean over the B rows. Advantages are data: no gradient flows through them.",
    "L = −1/B Σᵢ Aᵢ log π(aᵢ|sᵢ)        ∂L/∂log πᵢ = −Aᵢ/B",
    {"logp": "(B,)  log π(aᵢ|sᵢ)", "advantage": "(B,)  Aᵢ"}, {"loss": "a number", "dlogp": "(B,)"}, pairs,
    losses.policy_gradient, "The policy gradient theorem",
    {
        "the sign of both is wrong: a step against this gradient makes good actions less likely": (
            losses.policy_gradient, "-float((advantage * logp).mean())\n    return loss, advantage * (-1 / len(logp))",
            "float((advantage * logp).mean())\n    return loss, advantage * (1 / len(logp))"),
        "the sign of the gradient is wrong, that of the loss is right": (
            losses.policy_gradient, "(-1 / len(logp))", "(1 / len(logp))"),
        "the loss is a sum over the rows, not their mean, and so is the gradient": (
            losses.policy_gradient,
            ".mean())\n    return loss, advantage * (-1 / len(logp))", ".sum())\n    return loss, -advantage"),
        "1/B is missing in the gradient": (losses.policy_gradient, "(-1 / len(logp))", "-1.0"),
        "the loss has the probability π where its logarithm belongs": (
            losses.policy_gradient, "-float((advantage * logp).mean())\n    return loss, advantage * (-1 / len(logp))",
            "-float((advantage * np.exp(logp)).mean())\n    return loss, advantage * np.exp(logp) * (-1 / len(logp))"),
        "the gradient has the factor log π: it is that of ½A(log π)²": (
            losses.policy_gradient, "advantage * (-1 / len(logp))", "advantage * logp * (-1 / len(logp))"),
    },
    training=Training("reinforce", "CartPole-v1", 30_000, losses.policy_gradient),
)


def ratios(rng: np.random.Generator) -> tuple[Any, ...]:
    """Eight rows whose ratios lie on both sides of the clip range, with advantages of both signs."""
    logp_old = -rng.random(8)
    return logp_old + 0.4 * rng.standard_normal(8), logp_old, rng.standard_normal(8), 0.2


PPO_CLIP = Exercise(
    "ppo-clip", 25, "PPO's clipped surrogate and its gradient",
    "PPO takes many steps on the same rows, so it weights advantages by the ratio ρ of the new to the old probability, and stops "
    "pushing an action once its ratio has moved by ε in the direction that the advantage asks for. Where the minimum is the "
    "clipped branch, which is constant, the gradient is 0. Where ρ is out of the range on the other side, it is that of ρA.",
    "ρᵢ = exp(log π − log π_old)        L = −1/B Σᵢ min(ρᵢAᵢ, clip(ρᵢ, 1 − ε, 1 + ε)Aᵢ)\n"
    "∂L/∂log πᵢ = −ρᵢAᵢ/B, or 0 where ρᵢAᵢ > clip(ρᵢ, …)Aᵢ",
    {"logp": "(B,)  log π(aᵢ|sᵢ)", "logp_old": "(B,)  the same under the policy that took the actions", "advantage": "(B,)  Aᵢ",
     "clip": "number  ε"},
    {"loss": "a number", "dlogp": "(B,)"}, ratios, losses.clipped_surrogate, "The clipped surrogate",
    {
        "the gradient passes the clip everywhere": (losses.clipped_surrogate, "np.where(gain > clipped, 0, gain)", "gain"),
        "the minimum is missing: the clipped term stands alone, so the gradient is 0 on both sides of the range": (
            losses.clipped_surrogate, "np.minimum(gain, clipped).mean())\n    return loss, np.where(gain > clipped, 0, gain)",
            "clipped.mean())\n    return loss, np.where(np.abs(ratio - 1) > clip, 0, gain)"),
        "the maximum is taken, not the minimum": (
            losses.clipped_surrogate, "np.minimum(gain, clipped).mean())\n    return loss, np.where(gain > clipped, 0, gain)",
            "np.maximum(gain, clipped).mean())\n    return loss, np.where(gain < clipped, 0, gain)"),
        "the ratio is the difference of the logarithms, without exp": (
            losses.clipped_surrogate, "np.exp(logp - logp_old)", "logp - logp_old"),
        "the gradient lacks the factor ρ: ∂ρ/∂log π is ρ, not 1": (
            losses.clipped_surrogate, "np.where(gain > clipped, 0, gain)", "np.where(gain > clipped, 0, advantage)"),
        "the ratio is upside down: π_old/π": (
            losses.clipped_surrogate, "np.exp(logp - logp_old)", "np.exp(logp_old - logp)"),
        "the gradient is 0 wherever the ratio is out of the range, also where the advantage asks for the way back": (
            losses.clipped_surrogate, "np.where(gain > clipped, 0, gain)", "np.where(np.abs(ratio - 1) > clip, 0, gain)"),
    },
    training=Training("ppo", "CartPole-v1", 30_000, losses.clipped_surrogate),
)
