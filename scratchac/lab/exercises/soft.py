"""Exercises on soft actor-critic: the tanh-Gaussian policy forwards and backwards, the actor's step, the temperature."""

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from scratchac import distributions
from scratchac.algorithms.sac import SAC
from scratchac.distributions import TanhGaussian
from scratchac.lab.exercises.exercise import Exercise, Training
from scratchac.lab.exercises.values import Seen, quadratic, stand_in

FEW = {"learning_starts": 500}


def tanh_gaussian_logp(mu: np.ndarray, log_std: np.ndarray, eps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The action and its log-probability."""
    a, logp, _ = distributions.tanh_gaussian(mu, log_std, eps)
    return a, logp


def squashed(rng: np.random.Generator) -> tuple[Any, ...]:
    """Five rows of two features; on one input in four some u are so large that tanh(u) is exactly ±1."""
    mu, log_std, eps = 0.7 * rng.standard_normal((3, 5, 2))
    if rng.random() < 0.25:
        mu += 40 * rng.choice([-1, 0, 1], (5, 2))
    return mu, log_std, eps


def _tanh_gaussian(mine: Any) -> Any:
    return lambda mu, log_std, eps: (*mine(mu, log_std, eps), mu + np.exp(log_std) * eps)


CORRECTION = "2 * (math.log(2) - u - softplus)"

TANH_GAUSSIAN_LOGP = Exercise(
    "tanh-gaussian-logp", 35, "an action squashed by tanh, and its log-probability",
    "SAC draws u from a normal distribution and squashes it: a = tanh(u). Where tanh is flat, much probability comes to lie in a "
    "short range of actions: the density of a is that of u divided by |da/du| = 1 − tanh²(u). Some u are as large as 40: there "
    "tanh(u) is 1 to the last bit, and log(1 − a²) is −∞, although log(1 − tanh²(u)) is an ordinary number. Write it with "
    "softplus(x) = log(1 + eˣ), and that without overflow: max(x, 0) + log1p(exp(−|x|)).",
    "u = μ + σε,  a = tanh(u)          log(1 − tanh²u) = 2(log 2 − u − softplus(−2u))\n"
    "log π(a) = Σᵢ [−½εᵢ² − log σᵢ − ½ log 2π − log(1 − tanh²uᵢ)]",
    {"mu": "(B, A)  μ", "log_std": "(B, A)  log σ", "eps": "(B, A)  ε ~ N(0, 1)"}, {"a": "(B, A)", "logp": "(B,)"}, squashed,
    tanh_gaussian_logp, "Change of variables: the tanh-Gaussian",
    {
        "the correction −log(1 − tanh²u) is missing: this is the density of u, not of a": (
            distributions.tanh_gaussian, f" - {CORRECTION}", ""),
        "the sign of the correction is wrong": (distributions.tanh_gaussian, f"- {CORRECTION}", f"+ {CORRECTION}"),
        "log(1 − a² + 1e-6) stands for log(1 − tanh²u): wrong where |u| is large": (
            distributions.tanh_gaussian, CORRECTION, "np.log(1 - np.tanh(u) ** 2 + 1e-6)"),
        "log(1 − a²) is −∞ where tanh(u) rounds to ±1": (
            distributions.tanh_gaussian, CORRECTION, "np.log(1 - np.tanh(u) ** 2)"),
        "the normaliser −½ log 2π is missing": (distributions.tanh_gaussian, " - HALF_LOG_2PI", ""),
        "−log σ is missing": (distributions.tanh_gaussian, "* eps - log_std", "* eps"),
        "the log-probability is a mean over the features, not their sum": (
            distributions.tanh_gaussian, "logp.sum(axis=-1)", "logp.mean(axis=-1)"),
    },
    lines=(distributions.tanh_gaussian,),
    training=Training("sac", "Pendulum-v1", 6_000, distributions.tanh_gaussian, _tanh_gaussian, FEW),
)


def actions_and_gradients(rng: np.random.Generator) -> tuple[Any, ...]:
    """Four rows of two features."""
    a = np.tanh(rng.standard_normal((4, 2)))
    return (a, *rng.standard_normal((3, 4, 2)), rng.standard_normal(4))


TANH_GAUSSIAN_BACKWARD = Exercise(
    "tanh-gaussian-backward", 30, "the gradient through a sample (the reparameterisation trick)",
    "The noise ε is held fixed, so the action is a function of μ and log σ, and the chain rule goes through the sample. A loss "
    "depends on the action, through the critic, and on its log-probability. Given both gradients, compute those with respect to μ "
    "and log σ.",
    "u = μ + σε,  a = tanh(u)          log π = Σ [−½ε² − log σ − ½ log 2π − log(1 − tanh²u)]\n"
    "∂a/∂u = 1 − a²                    ∂log π/∂u = 2a (at fixed ε, so −½ε² gives nothing)\n"
    "∂u/∂μ = 1                         ∂u/∂log σ = σε,  and log π contains −log σ besides",
    {"a": "(B, A)  tanh(u)", "log_std": "(B, A)  log σ", "eps": "(B, A)  ε", "da": "(B, A)  ∂L/∂a",
     "dlogp": "(B,)  ∂L/∂log π: one number per row, since log π is a sum over A"},
    {"dmu": "(B, A)", "dlog_std": "(B, A)"}, actions_and_gradients, distributions.tanh_gaussian_backward,
    "Change of variables: the tanh-Gaussian",
    {
        "∂log π/∂u = 2a, the gradient of the tanh correction, is missing": (
            distributions.tanh_gaussian_backward, " + dlogp * (2 * a)", ""),
        "the sign of ∂log π/∂u = 2a is wrong": (distributions.tanh_gaussian_backward, "+ dlogp * (2 * a)", "- dlogp * (2 * a)"),
        "∂a/∂u = 1 − a² is missing": (distributions.tanh_gaussian_backward, "da * (1 - a * a)", "da"),
        "∂u/∂log σ is ε, as for a derivative with respect to σ: it is σε": (
            distributions.tanh_gaussian_backward, "(np.exp(log_std) * eps)", "eps"),
        "the −1 of −log σ in log π is missing": (distributions.tanh_gaussian_backward, "* eps) - dlogp\n", "* eps)\n"),
        "the −log σ in log π has the wrong sign": (distributions.tanh_gaussian_backward, "* eps) - dlogp\n", "* eps) + dlogp\n"),
        "ε is taken as a function of a: ∂log π/∂u has −ε/σ besides": (
            distributions.tanh_gaussian_backward, "dlogp * (2 * a)", "dlogp * (2 * a - eps / np.exp(log_std))"),
    },
    training=Training("sac", "Pendulum-v1", 6_000, distributions.tanh_gaussian_backward, options=FEW),
)


def sac_actor_step(s: np.ndarray, mu: np.ndarray, log_std: np.ndarray, eps: np.ndarray, alpha: float, q: Callable[..., Any],
                   dq_da: Callable[..., Any]) -> tuple[Any, np.ndarray, np.ndarray]:
    """The actor's loss, and its gradients with respect to μ and log σ."""
    A = mu.shape[1]
    dist = TanhGaussian(-np.ones(A), np.ones(A), "clamp")                           # log σ as the network gives it
    a, logp, cache = dist.sample(np.concatenate([log_std, mu], axis=1), eps)
    actor = Seen(s.shape[1])
    agent = stand_in(A, critic=Seen(s.shape[1], dq_da), actor=actor, w=q, theta=None)
    agent.dist, agent.pi = dist, lambda s: (a, logp, (None, cache))
    h: Any = SimpleNamespace(actor_lr=0.0)
    metrics, _ = SAC.actor_step(agent, s, np.array([alpha]), h)
    return metrics["actor_loss"], actor.gradient[:, A:], actor.gradient[:, :A]


def an_actor_step(rng: np.random.Generator) -> tuple[Any, ...]:
    """Six rows, and two random critics."""
    s, (mu, log_std, eps) = rng.standard_normal((6, 3)), 0.7 * rng.standard_normal((3, 6, 2))
    return s, mu, log_std, eps, 0.3, *quadratic(rng, (2,))


SAC_ACTOR_STEP = Exercise(
    "sac-actor-step", 40, "the loss and the gradient of SAC's actor",
    "The actor minimises α log π − Q at actions that it draws anew. Of the two critics the smaller one counts, row by row, and "
    "only through it the gradient reaches the action: in each column of dq (2, B) the entry of the larger one is 0. Then go on "
    "through the sample, as in tanh-gaussian-backward. The networks are functions here.",
    "L = 1/B Σᵢ [α log π(aᵢ|sᵢ) − min_k Qₖ(sᵢ, aᵢ)],  a = tanh(μ + σε)\n"
    "∂L/∂log π = α/B            dqₖ = ∂L/∂Qₖ = −1/B where Qₖ is the smaller one, else 0\n"
    "∂L/∂a = Σₖ dqₖ ∂Qₖ/∂a",
    {"s": "(B, O)  observations", "mu": "(B, A)  μ(s)", "log_std": "(B, A)  log σ(s)", "eps": "(B, A)  ε", "alpha": "number  α",
     "q": "function  s, a → Q(s, a) of both critics, (2, B)",
     "dq_da": "function  s, a, dq → dqₖ ∂Qₖ/∂a of both critics, (2, B, A), from an array dq (2, B)"},
    {"loss": "a number", "dmu": "(B, A)", "dlog_std": "(B, A)"}, an_actor_step, sac_actor_step, "Soft policy iteration",
    {
        "both critics pass a gradient to the action: only the smaller one of each row does": (
            SAC.actor_step, "[first, ~first]", "[first | True, first | True]"),
        "the larger critic is taken, not the smaller one": (SAC.actor_step, "q[0] <= q[1]", "q[0] > q[1]"),
        "α is missing in the gradient of log π": (SAC.actor_step, "(alpha / len(s))", "(1 / len(s))"),
        "the gradient through log π is missing: it depends on μ and σ, too": (SAC.actor_step, "(alpha / len(s))", "0"),
        "1/B is missing in the gradient of Q": (SAC.actor_step, "/ -len(s)", "/ -1"),
        "the sign of Q is wrong: its gradient makes Q smaller": (SAC.actor_step, "/ -len(s)", "/ len(s)"),
        "tanh′ is missing on the way from the action to u": (
            distributions.tanh_gaussian_backward, "da * (1 - a * a)", "da"),
    },
    lines=(SAC.actor_step, TanhGaussian.backward, distributions.tanh_gaussian_backward),
)


def temperature(log_alpha: float, logp: np.ndarray, target_entropy: float) -> Any:
    """∂L/∂log α: what the temperature's optimiser is given."""
    seen: list[Any] = []
    optimiser = SimpleNamespace(step=lambda grad, lr: seen.append(grad))
    agent: Any = SimpleNamespace(total_entropy_target=lambda h: target_entropy, alpha_optimiser=optimiser)
    h: Any = SimpleNamespace(alpha_lr=0.0)
    SAC.temperature_step(agent, logp, np.array([math.exp(log_alpha)]), h)
    return seen[0][0]


def _temperature(mine: Any) -> Any:
    def step(self: SAC, logp: np.ndarray, alpha: np.ndarray, h: Any) -> None:
        gradient = mine(float(self.log_alpha[0]), logp, self.total_entropy_target(h))
        self.alpha_optimiser.step(np.full_like(self.log_alpha, gradient), h.alpha_lr)
    return step


TEMPERATURE = Exercise(
    "temperature", 15, "the gradient of SAC's temperature",
    "α weighs entropy against reward. It is learnt so that the entropy −mean log π approaches H̄: α falls while the entropy is "
    "above H̄, and grows while it is below. α must stay positive, so its logarithm is what is learnt. log π is data.",
    "α = exp(log α)        L = 1/B Σᵢ [−α(log π(aᵢ|sᵢ) + H̄)]        result: ∂L/∂log α",
    {"log_alpha": "number  log α", "logp": "(B,)  log π(aᵢ|sᵢ)", "target_entropy": "number  H̄"},
    {"dlog_alpha": "a number"}, lambda rng: (float(rng.standard_normal()), rng.standard_normal(6), -2.0), temperature,
    "The temperature is a dual variable",
    {
        "the sign is wrong: α would grow while the entropy is above H̄": (
            SAC.temperature_step, "-alpha * (logp.mean()", "alpha * (logp.mean()"),
        "it is the derivative with respect to α: ∂α/∂log α = α is missing": (
            SAC.temperature_step, "-alpha * (logp.mean()", "-alpha / alpha * (logp.mean()"),
        "H̄ has the wrong sign: log π is minus the entropy": (
            SAC.temperature_step, "logp.mean() + self.total_entropy_target(h)", "logp.mean() - self.total_entropy_target(h)"),
        "H̄ is missing": (SAC.temperature_step, "logp.mean() + self.total_entropy_target(h)", "logp.mean()"),
        "it is a sum over the rows, not a mean": (
            SAC.temperature_step, "(logp.mean() + self.total_entropy_target(h))", "(logp + self.total_entropy_target(h)).sum()"),
    },
    lines=(SAC.temperature_step,),
    training=Training("sac", "Pendulum-v1", 6_000, SAC.temperature_step, _temperature, FEW),
)
