"""Three more expectations that need no sample: a quadrature, linear systems, and a table of all transitions.

two_gradients       SAC's actor gradient through the sample and by the score function, over ε ~ N(0, 1) by Gauss-Hermite quadrature
soft_iteration      soft policy iteration with π ∝ exp(Q/α), and with π ∝ exp(αQ), a mistake that is often made
a_split             the TD error's gradient with and without the way through the target, in Sutton & Barto's A-split example
"""

from dataclasses import dataclass

import numpy as np

from scratchac import losses, returns
from scratchac.distributions import TanhGaussian, log_softmax
from scratchac.gradcheck.differences import numerical_gradient

NODES = 120                                     # of the quadrature
OUTPUTS = np.array([[0.2, -0.4]])               # raw log σ and μ of the tanh-Gaussian


@dataclass(frozen=True)
class Moments:
    """Mean and variance of an estimator of ∂L/∂(raw log σ, μ) that uses one sample, (2,) each."""

    mean: np.ndarray
    variance: np.ndarray


def critic(a: np.ndarray) -> np.ndarray:
    """Q(a) = −8 (a − 0.3)² + 3 sin 3a, for a in (−1, 1)."""
    return -8 * (a - 0.3) ** 2 + 3 * np.sin(3 * a)


def critic_slope(a: np.ndarray) -> np.ndarray:
    """∂Q/∂a = −16 (a − 0.3) + 9 cos 3a."""
    return -16 * (a - 0.3) + 9 * np.cos(3 * a)


def two_gradients(alpha: float = 0.2) -> tuple[np.ndarray, dict[str, Moments]]:
    """The gradient (2,) of L = E[α log π(a) − Q(a)], a = tanh(μ + σε), by differences; and four estimators of it.

    through the sample    ∂/∂y [α log π(a) − Q(a)] with ε held fixed, by `TanhGaussian.backward` (reparameterisation)
    score function        (f − b) ∂log π/∂y with a held fixed: ∂log π/∂μ = ε/σ, ∂log π/∂log σ = ε² − 1, and f = α log π − Q

    E over ε is Σ wᵢ f(εᵢ) over the nodes of a quadrature that is exact for polynomials of degree 2 NODES − 1.
    """
    nodes, w = np.polynomial.hermite_e.hermegauss(NODES)
    w /= w.sum()
    dist, eps, y = TanhGaussian(-np.ones(1), np.ones(1)), nodes[:, None], OUTPUTS.copy()

    def loss() -> float:
        a, logp, _ = dist.sample(y.repeat(NODES, axis=0), eps)
        return float(w @ (alpha * logp - critic(a[:, 0])))

    a, logp, cache = dist.sample(y.repeat(NODES, axis=0), eps)
    _, log_std, slope, _ = cache
    score = np.concatenate([(eps * eps - 1) * slope, eps / np.exp(log_std)], axis=1)       # (NODES, 2)
    f = (alpha * logp - critic(a[:, 0]))[:, None]
    estimators = {
        "through the sample": dist.backward(cache, -critic_slope(a), np.full(NODES, alpha)),
        "score function": f * score,
        "score function, baseline E[f]": (f - w @ f) * score,
        "score function, baseline −10": (f + 10) * score,
    }
    return numerical_gradient(loss, y)[0], {name: Moments(w @ g, w @ (g - w @ g) ** 2) for name, g in estimators.items()}


def soft_iteration(seed: int, alpha: float, inverted: bool = False, states: int = 6, actions: int = 3, gamma: float = 0.9,
                   rounds: int = 15) -> tuple[float, float]:
    """Soft policy iteration on a random MDP; returns the deepest fall of any soft Q(s, a) from a round to the next, and mean V.

        V = (I − γP_π)⁻¹ Σ_a π (r − α log π),   Q = r + γPV,   then π ← softmax(Q/α), or softmax(αQ) if `inverted`

    softmax(Q/α) maximises Σ_a π (Q − α log π) in every state, so Q never falls (Haarnoja et al. 2018, lemma 2): the fall is 0.
    softmax(αQ) maximises it for the temperature 1/α, and Q is evaluated with another one.
    """
    rng = np.random.default_rng(seed)
    P, r = rng.dirichlet(np.full(states, 0.5), (states, actions)), rng.uniform(-1, 1, (states, actions))
    log_pi, before, fall = np.full((states, actions), -np.log(actions)), None, 0.0
    for _ in range(rounds):
        pi = np.exp(log_pi)
        gain = (pi * (r - alpha * log_pi)).sum(axis=1)
        v = np.linalg.solve(np.eye(states) - gamma * np.einsum("sa,sat->st", pi, P), gain)
        q = r + gamma * P @ v
        if before is not None:
            fall = min(fall, float((q - before).min()))
        before, log_pi = q, log_softmax(q * alpha if inverted else q / alpha)
    return fall, float(v.mean())


def a_split(through_target: bool, steps: int = 400, lr: float = 1.0) -> np.ndarray:
    """V(A), V(B), V(C) after gradient steps on E[½δ²]: A leads to B or C, B ends with 1, C with 0, and γ = 1.

    All transitions are one batch for `td_target` and `mse`. The true values are ½, 1, 0, and the semi-gradient finds them. With the
    gradient through the target too, B and C are pulled towards A: E[δ²] is least at ½, ¾, ¼ (Sutton & Barto 2018, example 11.2).
    """
    s, s2 = np.array([0, 0, 1, 2]), np.array([1, 2, 3, 3])                                  # 3 is the end
    r, term, rows = np.array([0.0, 0, 1, 0]), np.array([0.0, 0, 1, 1]), np.eye(4)
    v = np.zeros(4)
    for _ in range(steps):
        _, dv = losses.mse(v[s], returns.td_target(r, v[s2], term, 1.0))
        step = rows[s].T @ dv
        if through_target:
            step -= rows[s2].T @ ((1 - term) * dv)                                          # ∂L/∂target = −∂L/∂v
        v -= lr * step
    return v[:3]
