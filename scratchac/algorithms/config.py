"""Hyperparameters: the values that are allowed, and the fields that several algorithms share.

Every algorithm has one frozen dataclass, and the type of each field says what is allowed. Fields of the types Fraction, Positive,
AlwaysPositive, NonNegative and FeatureEntropy take a number or a schedule, "linear:START:END" or "exponential:START:END" or, from
Python, a function of progress in [0, 1] (see schedules.py).
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields, replace
from numbers import Integral
from typing import Annotated, Any, ClassVar, Literal, TypeVar, get_args, get_origin, get_type_hints

import numpy as np

from scratchac.algorithms.names import unknown_name
from scratchac.algorithms.search import Choice, LogUniform, NearOne, Space
from scratchac.errors import UserError, unknown
from scratchac.schedules import Schedule, Scheduled, name_of

Config = TypeVar("Config")
POINTS = 100                    # of training at which the values of a function are checked


@dataclass(frozen=True)
class Range:
    """Finite numbers from `low` to `high`, without `low` if `open_low`; if `falls_to_low`, a schedule may end there."""

    low: float = 0.0
    high: float = float("inf")
    open_low: bool = False
    falls_to_low: bool = False

    def __contains__(self, x: float) -> bool:
        return (self.low < x if self.open_low else self.low <= x) and x <= self.high and math.isfinite(x)

    def __str__(self) -> str:
        if self.high == float("inf"):
            return f"above {self.low:g}" if self.open_low else f"at least {self.low:g}"
        return f"in {'(' if self.open_low else '['}{self.low:g}, {self.high:.10g}]"


Count = Annotated[int, Range(1)]
Environments = Annotated[int, Range(1, 10_000)]
Rounds = Annotated[int, Range(1, 10_000)]                           # that follow one another without a report
Fraction = Annotated[Scheduled, Range(0, 1)]                        # may follow a schedule, as may the next four
Positive = Annotated[Scheduled, Range(0, open_low=True, falls_to_low=True)]
AlwaysPositive = Annotated[Scheduled, Range(0, open_low=True)]
NonNegative = Annotated[Scheduled, Range(0)]
FeatureEntropy = Annotated[Scheduled, Range(-20, math.log(2))]      # of an action feature in [−1, 1]: log 2 if it is uniform
Layers = tuple[int, ...]


@dataclass(frozen=True)
class SingleEnvironment:
    """Hyperparameters that REINFORCE, REINFORCE with a baseline and the one-step actor-critic share: one environment."""

    steps: Count = 200_000
    """Environment steps in total; schedules end here."""
    gamma: Fraction = 0.99
    """Discount factor γ."""
    discount_actor: bool = False
    """Weight the actor's gradient at step t by γᵗ, as the policy gradient theorem says; it is often left out."""
    hidden: Layers = (64, 64)
    """Sizes of the hidden layers of all networks."""
    activation: Literal["tanh", "relu"] = "tanh"
    """Activation of the hidden layers."""
    initialiser: Literal["orthogonal", "he", "glorot"] = "orthogonal"
    """Initialiser of the weights."""
    state_dependent_std: bool = False
    """Continuous actions: let σ depend on the state."""
    scale_actions: bool = True
    """Continuous actions: the policy's [−1, 1] is mapped to the bounds of the action space; if off, it is not."""
    clipped_log_prob: bool = False
    """Continuous actions: log π is that of the clipped action, if off of the drawn one; the entropy is the Gaussian's with both."""

    SEARCH: ClassVar[Space] = {"gamma": NearOne(0.001, 0.1), "hidden": Choice((32, 32), (64, 64), (128, 128))}


@dataclass(frozen=True)
class Episodic(SingleEnvironment):
    """Hyperparameters that REINFORCE without and with a baseline share: an update after each episode."""

    optimiser: Literal["adam", "rmsprop", "sgd"] = "adam"
    """Optimiser of all networks."""
    max_grad_norm: NonNegative = 0.0
    """Largest norm of each network's gradient, which is scaled down to it; 0 switches clipping off."""


@dataclass(frozen=True)
class OnPolicy:
    """Hyperparameters that A2C, A3C and PPO share."""

    steps: Count = 500_000
    """Environment steps in total, over all environments; schedules end here."""
    envs: Environments = 8
    """Environments that are stepped together (N)."""
    gamma: Fraction = 0.99
    """Discount factor γ."""
    lam: Fraction = 0.95
    """λ of GAE(λ): with 0 the advantage is the TD error, with 1 the return − V."""
    entropy_coef: NonNegative = 0.0
    """β, weight of the entropy bonus; 0 switches it off."""
    value_coef: NonNegative = 0.5
    """c_v, weight of the critic's loss."""
    max_grad_norm: NonNegative = 0.5
    """Largest norm of the whole gradient, which is scaled down to it; 0 switches clipping off."""
    hidden: Layers = (64, 64)
    """Sizes of the hidden layers."""
    activation: Literal["tanh", "relu"] = "tanh"
    """Activation of the hidden layers."""
    initialiser: Literal["orthogonal", "he", "glorot"] = "orthogonal"
    """Initialiser of the weights."""
    state_dependent_std: bool = False
    """Continuous actions: let σ depend on the state."""
    scale_actions: bool = True
    """Continuous actions: the policy's [−1, 1] is mapped to the bounds of the action space; if off, it is not."""
    clipped_log_prob: bool = False
    """Continuous actions: log π is that of the clipped action, if off of the drawn one; the entropy is the Gaussian's with both."""

    SEARCH: ClassVar[Space] = {
        "gamma": NearOne(0.001, 0.1), "lam": NearOne(0.01, 0.5), "entropy_coef": LogUniform(1e-5, 0.1),
        "hidden": Choice((32, 32), (64, 64), (128, 128))}


@dataclass(frozen=True)
class Normalising(OnPolicy):
    """Hyperparameters that A2C and PPO share. A3C has none of them: each of its workers would have its own running statistics."""

    normalise_obs: bool = False
    """Shift and scale observations to mean 0 and variance 1, by running statistics."""
    scale_rewards: bool = False
    """Divide rewards by the running standard deviation of the discounted return."""
    action_mask: bool = False
    """The entry action_mask, or else the last n features of an observation, are 1 where one of n actions is legal, else 0."""


@dataclass(frozen=True)
class OffPolicy:
    """Hyperparameters that DDPG, TD3, SAC and discrete SAC share."""

    steps: Count = 100_000
    """Environment steps in total; schedules end here."""
    envs: Environments = 1
    """Environments that are stepped together (N)."""
    gamma: Fraction = 0.99
    """Discount factor γ."""
    tau: Fraction = 0.005
    """τ: each update moves the target networks by this fraction towards the trained ones."""
    batch_size: Count = 256
    """Transitions in a minibatch (B)."""
    buffer_size: Count = 1_000_000
    """Transitions that the replay buffer holds."""
    learning_starts: Count = 10_000
    """Environment steps with uniformly random actions before learning begins; if not given, of shorter runs about a tenth."""
    train_every: Count = 1
    """Environment steps between rounds of updates, at least: with several environments a round follows a step of all of them."""
    gradient_steps: Rounds = 1
    """Updates in a round; each is one minibatch."""
    normalise_obs: bool = False
    """Shift and scale observations to mean 0 and variance 1, by running statistics; the replay buffer keeps them as they are."""
    hindsight: Annotated[int, Range(0)] = 0
    """k, further goals for each transition, reached later in its episode (hindsight experience replay); 0 for none, 4 is usual."""
    hidden: Layers = (256, 256)
    """Sizes of the hidden layers of all networks."""
    activation: Literal["relu", "tanh"] = "relu"
    """Activation of the hidden layers."""
    initialiser: Literal["fan_in", "orthogonal", "he", "glorot"] = "fan_in"
    """Initialiser of the weights."""

    SEARCH: ClassVar[Space] = {
        "gamma": NearOne(0.001, 0.1), "tau": LogUniform(0.001, 0.05), "batch_size": Choice(64, 128, 256, 512),
        "hidden": Choice((64, 64), (128, 128), (256, 256))}


def whole(flag: str, value: Any, low: int, high: float = math.inf) -> int:
    """A whole number, which may be NumPy's or 1e6, as an int. Raises UserError for anything else and for one out of range."""
    value = _whole(value)
    if isinstance(value, bool) or not isinstance(value, Integral) or not low <= int(value) <= high:
        raise UserError(f"{flag} must be a whole number {Range(low, high)}, not {value!r}")
    return int(value)


def check(config: Any) -> None:
    """Raise UserError for the first field whose value is of the wrong kind or out of range."""
    for name, hint in get_type_hints(type(config), include_extras=True).items():
        value, flag = getattr(config, name), f"--{name.replace('_', '-')}"
        if get_origin(hint) is Literal:
            if not isinstance(value, str) or value not in get_args(hint):
                raise unknown(flag, value, [str(x) for x in get_args(hint)])
        elif get_origin(hint) is Annotated:
            kind, allowed = get_args(hint)
            if kind is int and (not isinstance(value, int) or isinstance(value, bool)):
                raise UserError(f"{flag} must be a whole number, not {value!r}")
            try:
                schedule = Schedule(value)
                between = [schedule(i / POINTS) for i in range(1, POINTS)] if schedule.function else []
            except ValueError as error:
                raise UserError(f"{flag}: {error}") from None
            ends_at_limit = schedule.kind != "constant" and allowed.falls_to_low and schedule.end == allowed.low
            if schedule.start not in allowed or not (schedule.end in allowed or ends_at_limit):
                raise UserError(f"{flag} must be {allowed}, not {value!r}")
            for x in between:
                if x not in allowed and not (allowed.falls_to_low and x == allowed.low):
                    raise UserError(f"{flag} must be {allowed}, and {name_of(value)} gives {x:g}")
        elif hint is bool and not isinstance(value, bool):
            raise UserError(f"{flag} must be true or false, not {value!r}")
        elif hint == Layers and not (isinstance(value, tuple) and all(type(x) is int and x > 0 for x in value)):
            raise UserError(f"{flag} must be whole numbers above 0, such as [64, 64], not {value!r}")


def check_off_policy(config: OffPolicy) -> None:
    """Raise UserError for sizes that exclude each other.

    Training must not end before the first update, and a minibatch must be no larger than the replay buffer and the transitions
    collected before learning starts.
    """
    for name in ("learning_starts", "train_every"):
        if config.steps < getattr(config, name):
            flag = f"--{name.replace('_', '-')} {getattr(config, name)}"
            raise UserError(f"--steps {config.steps} end before {flag}: there would be no update")
    if config.batch_size > config.learning_starts:
        raise UserError(f"--batch-size {config.batch_size} is more than the --learning-starts {config.learning_starts} transitions "
                        "collected before the first update")
    if config.batch_size > config.buffer_size:
        raise UserError(f"--batch-size {config.batch_size} is more than the --buffer-size {config.buffer_size} transitions kept")


def require_effect(config: Any) -> None:
    """Raise UserError for values that would have no effect in a new training; those of runs from before this check are read."""
    if getattr(config, "advantage", None) == "nstep" and config.n_step > config.rollout:
        raise UserError(f"--n-step {config.n_step} is more than --rollout {config.rollout}: a return ends with the rollout")
    if getattr(config, "learn_alpha", False) and Schedule(config.alpha).kind != "constant":
        raise UserError("--alpha is where a learnt temperature begins, so it must be a number; --no-learn-alpha lets it follow a "
                        "schedule")


def require_unlearnt(config: Any, given: Collection[str]) -> None:
    """Raise UserError for what was `given` to say where learning begins, if it begins at what another agent has learnt."""
    for name in ("initial_std", "initialiser", *(["alpha"] if getattr(config, "learn_alpha", False) else [])):
        if name in given:
            raise UserError(f"--{name.replace('_', '-')} says where learning begins, and --init begins with what another agent has "
                            "learnt: leave out one of the two")


def configure(config_class: type[Config], algorithm: str, given: Mapping[str, Any], besides: Collection[str] = ()) -> Config:
    """A config with the values `given`, such as those of a preset and of the user, and the class's defaults for the other fields.

    If it is not given, learning starts after a tenth of all steps, but not before there is a minibatch. `besides` are further names
    that the caller knows, for the message about one that is unknown.

    Raises UserError for a name that the algorithm does not have, and for a value that is out of range.
    """
    names = [f.name for f in fields(config_class)]  # type: ignore[arg-type]
    for name in given:
        if name in besides and name not in names:
            raise UserError(f"a preset holds hyperparameters and env_args, and --{name.replace('_', '-')} is neither: give it "
                            "beside the preset")
        if name not in names:
            raise unknown_name(f"hyperparameter of {algorithm}", name, [*names, *besides])
    types = get_type_hints(config_class)
    plain = {name: _plain(x, types[name] == Layers) for name, x in given.items()}
    config = config_class(**{name: _whole(x) if types[name] is int else x for name, x in plain.items()})
    check(config)
    if isinstance(config, OffPolicy) and "learning_starts" not in given:
        sooner = min(config.learning_starts, config.steps // 10)
        config = replace(config, learning_starts=max(config.batch_size, sooner))
    return config


def _plain(value: Any, layers: bool = False) -> Any:
    """NumPy's numbers as Python's, lists as tuples; the size of a single hidden layer, with `layers`, as a tuple, too."""
    if layers and isinstance(value, Integral) and not isinstance(value, bool):
        return (int(value),)
    if isinstance(value, (list, tuple)):
        return tuple(map(_plain, value))
    return value.item() if isinstance(value, np.generic) else value


def _whole(value: Any) -> Any:
    """A float such as 1e6 as an int; anything else as it is."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
