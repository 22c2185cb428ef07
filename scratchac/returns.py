"""Returns and advantages. Most estimators are one recursion, yₜ = xₜ + decayₜ yₜ₊₁, computed from the last step to the first.

All arrays are (T, N): T consecutive steps of N environments. `v` is V(sₜ) and `v_next` is V(s′ₜ), where s′ₜ is the observation
that *really* followed, not the first one of the next episode. Two masks are easily confused:

    term   the episode ended in a terminal state: nothing follows, so the bootstrap γV(s′) is cut
    done   the episode ended, in a terminal state or at a time limit: the next row is another episode, so the recursion is cut

Where only the recursion is cut, V(s′) replaces the return that would have followed. The same holds for the last row.
"""

import numpy as np

from kernels import kernel


@kernel
def reverse_scan(x: np.ndarray, decay: np.ndarray) -> np.ndarray:
    """yₜ = xₜ + decayₜ yₜ₊₁ from the last row to the first; x, decay and y are (T, N), y_T = x_T."""
    y = np.empty_like(x)
    carry = np.zeros_like(x[0])
    for t in range(len(x) - 1, -1, -1):
        carry = x[t] + decay[t] * carry
        y[t] = carry
    return y


def td_target(r: np.ndarray, v_next: np.ndarray, term: np.ndarray, gamma: float) -> np.ndarray:
    """r + γ(1−term)V(s′): the one-step target (Sutton & Barto 2018, eq. 6.2)."""
    return r + gamma * (1 - term) * v_next


def monte_carlo(r: np.ndarray, v_next: np.ndarray, term: np.ndarray, done: np.ndarray, gamma: float) -> np.ndarray:
    """Gₜ = rₜ + γGₜ₊₁ until the episode ends (Sutton & Barto 2018, eq. 3.9).

    Where the rewards end without a terminal state (at a time limit, at the end of the rollout), V(s′) replaces the rest of the
    return; pass zeros for `v_next` if there is no critic.
    """
    cut = done.copy()
    cut[-1] = 1
    return reverse_scan(r + gamma * cut * (1 - term) * v_next, gamma * (1 - done))


def n_step(r: np.ndarray, v_next: np.ndarray, term: np.ndarray, done: np.ndarray, gamma: float, n: int) -> np.ndarray:
    """Gₜ⁽ⁿ⁾ = rₜ + γrₜ₊₁ + … + γⁿ⁻¹rₜ₊ₙ₋₁ + γⁿV(sₜ₊ₙ), shorter where the episode or the rollout ends (eq. 7.1).

    By induction over the number of steps: G⁽¹⁾ is the TD target and Gₜ⁽ᵏ⁺¹⁾ = rₜ + γGₜ₊₁⁽ᵏ⁾.
    """
    one_step = td_target(r, v_next, term, gamma)
    g = one_step.copy()
    for _ in range(min(n, len(r)) - 1):
        g[:-1] = np.where(done[:-1] > 0, one_step[:-1], r[:-1] + gamma * g[1:])
    return g


def lambda_return(r: np.ndarray, v_next: np.ndarray, term: np.ndarray, done: np.ndarray, gamma: float, lam: float) -> np.ndarray:
    """Gₜ^λ = rₜ + γ(1−term)[(1−λ)V(s′ₜ) + λGₜ₊₁^λ], the TD(λ) target (Sutton & Barto 2018, eq. 12.18)."""
    cut = done.copy()
    cut[-1] = 1
    bootstrap = np.where(cut > 0, v_next, (1 - lam) * v_next)
    return reverse_scan(td_target(r, bootstrap, term, gamma), gamma * lam * (1 - done))


def gae(r: np.ndarray, v: np.ndarray, v_next: np.ndarray, term: np.ndarray, done: np.ndarray, gamma: float,
        lam: float) -> np.ndarray:
    """Âₜ = δₜ + γλ(1−doneₜ)Âₜ₊₁ with δₜ = rₜ + γ(1−termₜ)V(s′ₜ) − V(sₜ) (Schulman et al. 2016, eqs. 14-16).

    λ = 0 gives the TD error (biased by V, little variance); λ = 1 gives the Monte-Carlo return minus V (the opposite).
    """
    delta = td_target(r, v_next, term, gamma) - v
    return reverse_scan(delta, gamma * lam * (1 - done))
