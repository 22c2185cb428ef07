"""Losses: each returns (loss, ∂loss/∂input), so that every gradient in the project can be checked against its own scalar loss.

The loss and its gradient are computed separately: a loss computed from its gradient would agree with any mistake in it. Inputs are
vectors (B,), and every loss checks their shapes, since (B, 1) would broadcast against (B,) to a (B, B) matrix without an error.
Advantages and targets are data: no gradient flows through them. The losses of the off-policy algorithms stay arrays, because
float() would wait for a GPU to finish.
"""

from collections.abc import Callable
from typing import Any

import numpy as np


def policy_gradient(logp: np.ndarray, advantage: np.ndarray) -> tuple[float, np.ndarray]:
    """L = −1/B Σ Aᵢ log π(aᵢ|sᵢ);  ∂L/∂log πᵢ = −Aᵢ/B.

    Minimising it follows E[A ∇log π], the policy gradient theorem (Sutton & Barto 2018, eqs. 13.5-13.8).
    Raises ValueError, as all losses do, for shapes that do not fit.
    """
    _same_vectors(logp, advantage)
    loss = -float((advantage * logp).mean())
    return loss, advantage * (-1 / len(logp))


def clipped_surrogate(logp: np.ndarray, logp_old: np.ndarray, advantage: np.ndarray, clip: float) -> tuple[float, np.ndarray]:
    """L = −1/B Σ min(ρᵢAᵢ, clip(ρᵢ, 1−ε, 1+ε)Aᵢ) with ρ = exp(log π − log π_old);  ∂L/∂log πᵢ = −ρᵢAᵢ/B or 0.

    The minimum is the clipped branch, which is constant, where ρ > 1 + ε and the action was good (A > 0), or where ρ < 1 − ε and
    it was bad (A < 0). Everywhere else, also where ρ is outside the clip range on the other side, the gradient is that of ρA
    (Schulman et al. 2017, eq. 7 and fig. 1).
    """
    _same_vectors(logp, advantage)
    _same_vectors(logp_old, advantage)
    ratio = np.exp(logp - logp_old)
    gain, clipped = ratio * advantage, np.clip(ratio, 1 - clip, 1 + clip) * advantage
    loss = -float(np.minimum(gain, clipped).mean())
    return loss, np.where(gain > clipped, 0, gain) * (-1 / len(logp))


def entropy_bonus(entropy: np.ndarray, coef: float) -> tuple[float, np.ndarray]:
    """L = −coef · 1/B Σ Hᵢ;  ∂L/∂Hᵢ = −coef/B. Minimising it keeps the policy random (Mnih et al. 2016, section 4)."""
    _same_vectors(entropy, entropy)
    return -coef * float(entropy.mean()), np.full_like(entropy, -coef / len(entropy))


def mse(v: np.ndarray, target: np.ndarray) -> tuple[Any, np.ndarray]:
    """L = 1/(2B) Σ (vᵢ − targetᵢ)²;  ∂L/∂vᵢ = (vᵢ − targetᵢ)/B. With the ½, a gradient step is w ← w + η δ ∇v."""
    _same_vectors(v, target)
    error = v - target
    return (error @ error) / (2 * len(v)), error / len(v)


def huber(v: np.ndarray, target: np.ndarray, delta: float = 1.0) -> tuple[float, np.ndarray]:
    """Quadratic near zero, linear far out (Huber 1964), so that one outlier cannot dominate a batch.

    With e = v − target:  L = 1/B Σ [½e² if |e| ≤ d else d(|e| − ½d)];  ∂L/∂vᵢ = clip(eᵢ, −d, d)/B.
    """
    _same_vectors(v, target)
    error = v - target
    size = np.abs(error)
    inner = np.minimum(size, delta)
    return float((inner * (size - 0.5 * inner)).mean()), np.clip(error, -delta, delta) / len(v)


def clipped_mse(v: np.ndarray, v_old: np.ndarray, target: np.ndarray, clip: float) -> tuple[float, np.ndarray]:
    """L = 1/(2B) Σ max((vᵢ − targetᵢ)², (v_oldᵢ + clip(vᵢ − v_oldᵢ, ±c) − targetᵢ)²);  ∂L/∂vᵢ = (vᵢ − targetᵢ)/B or, if clipped, 0.

    The maximum selects the larger of the two errors: clipping stops a value that moves towards its target, not one that moves away
    from it (OpenAI's implementation of PPO; it is not in the paper).
    """
    _same_vectors(v, target)
    _same_vectors(v_old, target)
    error, move = v - target, v - v_old
    # Within the clip it is v itself: rounding makes v_old + (v − v_old) another number, whose error may be the larger one.
    held = np.where(np.abs(move) > clip, v_old + np.clip(move, -clip, clip) - target, error)
    binds = held * held > error * error
    return float(np.maximum(error * error, held * held).mean()) / 2, np.where(binds, 0, error) / len(v)


def stacked_mse(q: np.ndarray, target: np.ndarray) -> tuple[Any, np.ndarray]:
    """L = Σₖ 1/(2B) Σᵢ (qₖᵢ − targetᵢ)² for K critics (K, B) that share one target (B,);  ∂L/∂qₖᵢ = (qₖᵢ − targetᵢ)/B."""
    if q.ndim != 2 or q.shape[1:] != target.shape:
        raise ValueError(f"critics (K, B) and targets (B,) are needed, not shapes {q.shape} and {target.shape}")
    error = q - target
    return (error * error).sum() / (2 * len(target)), error / len(target)


VALUE_LOSSES: dict[str, Callable[[np.ndarray, np.ndarray], tuple[Any, np.ndarray]]] = {"mse": mse, "huber": huber}


def proximal(w: np.ndarray, w_old: np.ndarray, kappa: float) -> tuple[float, np.ndarray]:
    """L = κ‖w − w_old‖²;  ∂L/∂w = 2κ(w − w_old), which limits how far an update moves the parameters.

    At w = w_old, where every update begins, the gradient is zero, so it has no effect on a single plain gradient step.
    `optim.proximal_step` therefore applies the term in closed form.
    """
    _same_vectors(w, w_old)
    difference = w - w_old
    return kappa * float(difference @ difference), 2 * kappa * difference


def _same_vectors(x: np.ndarray, y: np.ndarray) -> None:
    if x.ndim != 1 or x.shape != y.shape:
        raise ValueError(f"a loss takes two vectors of one length, not shapes {x.shape} and {y.shape}")
