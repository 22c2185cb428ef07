"""Probes: an algorithm trains for about a second in a world in which one number is known, and must find that number.

    clock   every step pays 1, and a time limit cuts the episode: V = 1/(1 − γ), as far as truncation is no termination
    walk    three steps, of which the last pays 1 and ends the episode: V = γ², as far as termination is one
    sign    one step: the action that pays depends on the observation
    levers, point       one step: the best action (a lever of three, or a number) is known
    temperature         one step: the entropy of the policy is the one that the temperature is learnt for
"""

import math
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np

from scratchac import api
from scratchac.errors import TrainingError
from scratchac.lab.museum import worlds
from scratchac.lab.museum.exhibit import Exhibit


@dataclass(frozen=True)
class Probe:
    """A short training, and the number that must come of it.

    read        the trained agent → the number
    tolerance   its largest distance from `expected`, at least twice that of five right trainings
    """

    name: str
    algorithm: str
    env: Callable[..., Any]
    what: str
    expected: float
    tolerance: float
    read: Callable[[Any], float]
    steps: int
    settings: dict[str, Any]

    def run(self, exhibit: Exhibit | None = None, seed: int = 0) -> float:
        """The number after training, with an exhibit's bug or without; NaN if training stopped."""
        settings = self.settings | (exhibit.settings if exhibit else {})
        with exhibit.applied() if exhibit else nullcontext():
            try:
                return self.read(api.train(self.algorithm, self.env, self.steps, seed, backend="numpy", **settings))
            except TrainingError:
                return math.nan

    def passes(self, found: float) -> bool:
        """Whether a number is within the tolerance."""
        return abs(found - self.expected) <= self.tolerance


# -- what is read of a trained agent, at an observation whose first number is 1 and whose others are 0 ----------------------


def _first(agent: Any) -> np.ndarray:
    return np.eye(1, agent.observation_shape[0], dtype=np.float32)


def state_value(agent: Any) -> float:
    """V(s)."""
    return float(agent.model.value(_first(agent))[0, 0])


def action_value(agent: Any) -> float:
    """Q(s, a) of the policy's best action."""
    return float(agent.value(_first(agent), agent.greedy(_first(agent)))[0])


def second_lever(agent: Any) -> float:
    """π(1|s)."""
    return float(np.exp(agent.dist.evaluate(agent.model.policy(_first(agent)), np.array([1]))[0][0]))


def right_sign(agent: Any) -> float:
    """The smaller one of π(1|1) and π(0|−1)."""
    y = agent.model.policy(np.array([[1], [-1]], np.float32))
    return float(np.exp(agent.dist.evaluate(y, np.array([1, 0]))[0]).min())


def best_action(agent: Any) -> float:
    """The policy's best action."""
    return float(agent.greedy(_first(agent))[0, 0])


def entropy(agent: Any) -> float:
    """H(π(·|s)), from 1,000 samples."""
    return -float(agent.pi(np.repeat(_first(agent), 1_000, axis=0))[1].mean())


# -- the probes -------------------------------------------------------------------------------------------------------------


def clock() -> worlds.Clock:
    """A Clock of five steps."""
    return worlds.Clock(5)


def turned_clock() -> worlds.Clock:
    """A TurnedClock of five steps."""
    return worlds.TurnedClock(5)


ON_POLICY: dict[str, tuple[int, dict[str, Any]]] = {
    "actor-critic": (3_000, {"actor_lr": 0.02, "critic_lr": 0.02, "discount_actor": False}),
    "a2c": (4_000, {"rollout": 5, "envs": 8, "optimiser": "adam", "actor_lr": 0.01, "critic_lr": 0.02, "max_grad_norm": 0.0}),
    "ppo": (4_000, {"rollout": 32, "envs": 4, "batch_size": 64, "epochs": 10, "lr": 5e-3, "max_grad_norm": 0.0}),
}
FIXED = {"alpha": 1e-3, "learn_alpha": False}
OFF_POLICY: dict[str, dict[str, Any]] = {"ddpg": {}, "td3": {"target_noise": 0.05}, "sac": FIXED}
SMALL = {"hidden": (16,), "gamma": 0.9}
FEW = {"hidden": (16, 16), "gamma": 0.9, "batch_size": 32, "learning_starts": 100, "tau": 0.05, "actor_lr": 5e-3, "critic_lr": 5e-3}


def of(algorithm: str) -> list[Probe]:
    """The probes of an algorithm; none for one that the museum does not train."""
    made: list[Probe] = []

    def add(name: str, env: Callable[..., Any], what: str, expected: float, tolerance: float, read: Callable[[Any], float],
            steps: int, settings: dict[str, Any]) -> None:
        made.append(Probe(name, algorithm, env, what, expected, tolerance, read, steps, settings))

    every, late = "1 at every step, cut after five, γ = 0.9", "three steps before a 1, γ = 0.9"
    if algorithm in ON_POLICY:
        steps, settings = ON_POLICY[algorithm]
        settings = SMALL | settings
        add("clock", clock, f"V of {every}", 10, 0.75, state_value, steps, settings)
        add("walk", worlds.Walk, f"V {late}", 0.81, 0.02, state_value, steps, settings)
        add("levers", worlds.Levers, "probability of the lever that pays", 1, 0.05, second_lever, steps, settings)
        add("sign", worlds.Sign, "probability of the action of the sign", 1, 0.05, right_sign, steps, settings)
    if algorithm in OFF_POLICY:
        settings = FEW | OFF_POLICY[algorithm]
        add("clock", turned_clock, f"Q of {every}", 10, 0.75, action_value, 1_500, settings)
        add("walk", worlds.TurnedWalk, f"Q {late}", 0.81, 0.02, action_value, 700, settings)
        add("point", worlds.Point, "best action of −4(a − 0.3)²", 0.3, 0.11, best_action, 1_000, settings)
    if algorithm == "sac":
        add("temperature", worlds.Point, "entropy with a learnt α", -1, 0.2, entropy, 900, FEW | {"alpha": 0.1, "alpha_lr": 2e-2})
    return made


def table(probes: list[Probe], found: list[float]) -> str:
    """One line for each probe: whether it passes, what must come of it, and what came."""
    return "\n".join(f"{'passes' if probe.passes(x) else 'FAILS':6}  {probe.name:11}  {probe.what}: {x:.3g}, must be "
                     f"{probe.expected:g} ± {probe.tolerance:g}" for probe, x in zip(probes, found, strict=True))
