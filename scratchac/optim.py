"""Optimisers over flat vectors, gradient clipping, the proximal step and hyperparameter schedules.

An optimiser keeps its moments, takes the learning rate at every step (it may follow a schedule) and works in place.
"""

import math

import numpy as np

import kernels


class SGD:
    """p ← p − lr · g."""

    def __init__(self, params):
        self.params = params

    def step(self, grad, lr):
        self.params -= lr * grad

    def state(self):
        return {}

    def load_state(self, state):
        pass


class RMSprop:
    """v ← ρv + (1−ρ)g²,  p ← p − lr · g/√(v + ε): each coordinate is scaled by its recent gradients' size.

    Defaults from A2C's usual settings (ρ = .99, ε = 1e-5).
    """

    def __init__(self, params, decay=0.99, eps=1e-5):
        self.params, self.decay, self.eps = params, decay, eps
        self.v = np.zeros_like(params)

    def step(self, grad, lr):
        kernels.backend.rmsprop(self.params, grad, self.v, lr, self.decay, self.eps)

    def state(self):
        return {"v": self.v}

    def load_state(self, state):
        self.v[:] = kernels.backend.asarray(state["v"])


class Adam:
    """RMSprop with momentum and bias correction (Kingma & Ba 2015): the first step is about −lr · sign(g)."""

    def __init__(self, params, beta1=0.9, beta2=0.999, eps=1e-8):
        self.params, self.beta1, self.beta2, self.eps = params, beta1, beta2, eps
        self.m, self.v, self.t = np.zeros_like(params), np.zeros_like(params), 0

    def step(self, grad, lr):
        self.t += 1
        kernels.backend.adam(self.params, grad, self.m, self.v, lr, self.beta1, self.beta2, self.eps, self.t)

    def state(self):
        return {"m": self.m, "v": self.v, "t": self.t}

    def load_state(self, state):
        self.m[:], self.v[:] = kernels.backend.asarray(state["m"]), kernels.backend.asarray(state["v"])
        self.t = int(state["t"])


OPTIMISERS = {"sgd": SGD, "rmsprop": RMSprop, "adam": Adam}


def clip_global_norm(grad, max_norm):
    """Scale `grad` in place so that ‖grad‖ ≤ max_norm, and return the norm it had (Pascanu et al. 2013).

    The direction stays. max_norm = 0 switches clipping off. Raises FloatingPointError if the norm is not finite.
    """
    norm = math.sqrt(float(grad @ grad))
    if not math.isfinite(norm):
        raise FloatingPointError("the gradient is not finite")
    if 0 < max_norm < norm:
        grad *= max_norm / norm
    return norm


def proximal_step(params, params_old, lr, kappa):
    """Pull `params`, where an optimiser just put them, back towards `params_old` in place.

    The exact minimum of ‖w − w_opt‖²/(2·lr) + κ‖w − w_old‖² lies at w_old + (w_opt − w_old)/(1 + 2·lr·κ). For one plain
    gradient step that is Δ = −lr·g/(1 + 2·lr·κ): with a single step per batch κ only lowers the learning rate; with
    several it is a leash that tightens with the distance from `params_old`.
    """
    params -= params_old
    params *= 1 / (1 + 2 * lr * kappa)
    params += params_old


def polyak(target, online, tau):
    """target ← (1−τ)·target + τ·online in place: a target network that trails behind (Lillicrap et al. 2016, algorithm 1)."""
    kernels.backend.polyak(target, online, tau)


class Schedule:
    """A hyperparameter over training: `schedule(progress)` for progress in [0, 1], constant outside of it.

    Written as a number (constant), "linear:START:END", or "exponential:START:END" (a straight line in log space).
    """

    def __init__(self, text):
        kind, *values = str(text).split(":")
        try:
            if kind not in ("linear", "exponential"):
                kind, values = "constant", [kind, kind, *values]
            self.start, self.end = (float(x) for x in values)
        except ValueError:
            raise ValueError(
                f"{text!r} is neither a number nor linear:START:END nor exponential:START:END"
            ) from None
        if kind == "exponential" and min(self.start, self.end) <= 0:
            raise ValueError(f"{text!r}: an exponential schedule needs both ends above zero")
        self.kind = kind

    def __call__(self, progress):
        progress = min(max(progress, 0.0), 1.0)
        if self.kind == "exponential":
            return self.start * (self.end / self.start) ** progress
        return self.start + (self.end - self.start) * progress
