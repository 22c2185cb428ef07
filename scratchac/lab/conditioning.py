"""Conditioning: a cue, some steps later a reward, and a critic that learns from trial to trial.

A trial has STEPS steps. The cue appears at the end of step CUE and the reward comes at the end of step REWARD, counted from 1. The
critic has a weight for each step since the cue and knows nothing before it (a tapped delay line: Montague, Dayan & Sejnowski 1996;
Sutton & Barto 2018, chapter 15). Its TD error at the end of a step is what dopamine neurons are compared with.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from scratchac import returns

STEPS, CUE, REWARD = 20, 5, 15
GAMMA = 0.98


def reward_at(step: int, size: float = 1.0) -> np.ndarray:
    """Rewards r (STEPS,) of a trial: `size` at the end of this step, else 0."""
    r = np.zeros(STEPS)
    r[step - 1] = size
    return r


def trial(w: np.ndarray, r: np.ndarray, lr: float, lam: float = 0.0, gamma: float = GAMMA,
          optimism: Sequence[float] = (0.5,)) -> tuple[np.ndarray, np.ndarray]:
    """One trial with rewards r (STEPS,): the TD errors (STEPS, N) of N critics, and their weights (STEPS + 1, N) after it.

    V(t) = wₜ, and 0 before the cue and at the end; δₜ = rₜ + γ V(t+1) − V(t).
    w ← w + 2 lr · (τ if step > 0 else 1 − τ) · step: TD(0) for step = δ, and TD(λ) for step = Σₖ (γλ)ᵏ δₜ₊ₖ. With `optimism` τ = ½
    this is w + lr · step.
    """
    tau, end = np.array(optimism), np.zeros((STEPS, w.shape[1]))
    end[-1] = 1
    delta, step = (returns.gae(r[:, None], w[:-1], w[1:], end, end, gamma, k) for k in (0.0, lam))
    w = w.copy()
    w[CUE:-1] += 2 * lr * (np.where(step > 0, tau, 1 - tau) * step)[CUE:]
    return delta, w


def condition(rewards: Iterable[float], lrs: Iterable[float], optimism: Sequence[float] = (0.5,), lam: float = 0.0) -> np.ndarray:
    """TD errors (trials, STEPS, N) of N critics that begin with w = 0; trial i has reward rewards[i] and step size lrs[i]."""
    w, errors = np.zeros((STEPS + 1, len(optimism))), []
    for reward, lr in zip(rewards, lrs, strict=True):
        delta, w = trial(w, reward_at(REWARD, reward), lr, lam, optimism=optimism)
        errors.append(delta)
    return np.array(errors)
