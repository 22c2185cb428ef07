"""Optimisers over flat vectors, gradient clipping, the proximal step, target networks.

An optimiser keeps its moments and changes the parameters in place. The learning rate is an argument of every step, since it may
follow a schedule.
"""

import math
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

import kernels
from kernels import kernel


class Optimiser(Protocol):
    """Updates a flat vector of parameters with its gradient."""

    def step(self, grad: np.ndarray, lr: float) -> None:
        """Update the parameters in place."""

    def state(self) -> dict[str, Any]:
        """The moments."""

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore the moments."""


class SGD:
    """p ← p − lr · g."""

    def __init__(self, params: np.ndarray):
        self.params = params

    def step(self, grad: np.ndarray, lr: float) -> None:
        """Update the parameters in place."""
        self.params -= lr * grad

    def state(self) -> dict[str, Any]:
        """Empty: nothing is kept between steps."""
        return {}

    def load_state(self, state: dict[str, Any]) -> None:
        """Nothing is kept between steps."""


@kernel
def rmsprop(p: np.ndarray, g: np.ndarray, v: np.ndarray, lr: float, decay: float, eps: float) -> None:
    """One RMSprop step in place: v ← β₂v + (1−β₂)g², p ← p − lr · g/√(v + ε).

    ε is inside the root, as in Mnih et al. 2016 (A3C), section 4; outside it, the steps would be much larger while v is small.
    """
    v *= decay
    v += (1 - decay) * (g * g)
    p -= lr * g / np.sqrt(v + eps)


class RMSprop:
    """Scales each coordinate by the size of its recent gradients. The defaults are A2C's usual settings (β₂ = .99, ε = 1e-5)."""

    def __init__(self, params: np.ndarray, decay: float = 0.99, eps: float = 1e-5):
        self.params = params
        self.decay = decay
        self.eps = eps
        self.v = np.zeros_like(params)

    def step(self, grad: np.ndarray, lr: float) -> None:
        """Update the parameters in place."""
        rmsprop(self.params, grad, self.v, lr, self.decay, self.eps)

    def state(self) -> dict[str, Any]:
        """The moment v."""
        return {"v": self.v}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore v."""
        self.v[:] = kernels.backend.asarray(state["v"])


@kernel
def adam(p: np.ndarray, g: np.ndarray, m: np.ndarray, v: np.ndarray, lr: float, beta1: float, beta2: float, eps: float,
         t: int) -> None:
    """One Adam step on p, m and v in place (Kingma & Ba 2015, algorithm 1), t = 1 at the first step.

        m ← β₁m + (1−β₁)g,  v ← β₂v + (1−β₂)g²,  p ← p − lr · m̂ / (√v̂ + ε),  m̂ = m/(1−β₁ᵗ),  v̂ = v/(1−β₂ᵗ)
    """
    m *= beta1
    m += (1 - beta1) * g
    v *= beta2
    v += (1 - beta2) * (g * g)
    step = np.sqrt(v)
    step *= 1 / (1 - beta2**t) ** 0.5
    step += eps
    np.divide(m, step, out=step)
    step *= lr / (1 - beta1**t)
    p -= step


class Adam:
    """RMSprop with momentum and bias correction (Kingma & Ba 2015): the first step is about −lr · sign(g)."""

    def __init__(self, params: np.ndarray, beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8):
        self.params = params
        self.beta1 = beta1
        self.beta2 = beta2
        self.eps = eps
        self.m = np.zeros_like(params)
        self.v = np.zeros_like(params)
        self.t = 0

    def step(self, grad: np.ndarray, lr: float) -> None:
        """Update the parameters in place."""
        self.t += 1
        adam(self.params, grad, self.m, self.v, lr, self.beta1, self.beta2, self.eps, self.t)

    def state(self) -> dict[str, Any]:
        """m, v and the number of steps."""
        return {"m": self.m, "v": self.v, "t": self.t}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore m, v and the number of steps."""
        self.m[:] = kernels.backend.asarray(state["m"])
        self.v[:] = kernels.backend.asarray(state["v"])
        self.t = int(state["t"])


OPTIMISERS: dict[str, Callable[[np.ndarray], Optimiser]] = {"sgd": SGD, "rmsprop": RMSprop, "adam": Adam}


def clip_global_norm(grad: np.ndarray, max_norm: float) -> float:
    """Scale `grad` in place so that ‖grad‖ ≤ max_norm, and return the norm before scaling (Pascanu et al. 2013).

    The direction does not change. max_norm = 0 switches clipping off. Raises FloatingPointError if the norm is not finite.
    """
    norm = math.sqrt(float(grad @ grad))
    if not math.isfinite(norm):
        raise FloatingPointError("the gradient is not finite")
    if 0 < max_norm < norm:
        grad *= max_norm / norm
    return norm


def proximal_step(params: np.ndarray, params_old: np.ndarray, lr: float, kappa: float) -> None:
    """Move `params`, the result w_opt of an optimiser's step, back towards `params_old` in place.

    The exact minimum of ‖w − w_opt‖²/(2·lr) + κ‖w − w_old‖² is w_old + (w_opt − w_old)/(1 + 2·lr·κ). For one plain gradient
    step that is Δ = −lr·g/(1 + 2·lr·κ): with a single step per batch κ only lowers the learning rate; with several steps, the
    correction grows with the distance from `params_old`.
    """
    params -= params_old
    params *= 1 / (1 + 2 * lr * kappa)
    params += params_old


@kernel
def polyak(target: np.ndarray, online: np.ndarray, tau: float) -> None:
    """target ← (1−τ)·target + τ·online in place; τ = 1 copies exactly.

    A target network that changes slowly keeps the targets of Q-learning from following every step of the trained network
    (Lillicrap et al. 2016, algorithm 1).
    """
    target *= 1 - tau
    target += tau * online
