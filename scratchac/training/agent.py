"""The interface of agents: everything that training, evaluation, saving and export may use of an agent."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple, Protocol

import gymnasium as gym
import numpy as np
from numpy.typing import DTypeLike

from scratchac.distributions import Deterministic, Distribution, TanhGaussian
from scratchac.environments.flattened import Flattened
from scratchac.exploration import Noise
from scratchac.normalise import ObservationNormaliser, RewardScaler
from scratchac.policies import Networks
from scratchac.training.memory import ReplayBuffer

Metrics = dict[str, Any]                    # name → number, on the device where the backend computes


class FastPath(NamedTuple):
    """A compiled function that runs instead of a method of an agent."""

    name: str                               # of the compiled function, as in kernels/README.md
    method: str                             # the method whose work it does, such as "A2C.update"
    loop: Callable[..., None] | None = None     # its own training loop, if it needs one


class Agent(Protocol):
    """An algorithm with what it has learnt so far. O observation features, A action features, N environments, T steps, B rows."""

    family: ClassVar[Literal["on-policy", "off-policy", "asynchronous"]]
    """The kind of training loop that it needs."""
    metrics: ClassVar[tuple[str, ...]]
    """Names of what `update` reports."""
    config: Any
    """The frozen dataclass of its hyperparameters."""
    schedules: Callable[[float], Any]
    """The hyperparameters at a point of training in [0, 1], as a config whose fields are all numbers."""
    step: int
    """Environment steps so far."""
    dtype: DTypeLike
    n_envs: int
    """N, the environments it trains in."""
    observation_space: gym.Space
    """What it observes: vectors or pictures."""
    observation_shape: tuple[int, ...]
    flattened: Flattened | None
    """The space of its observations, if they are flattened."""
    dist: Distribution | TanhGaussian | Deterministic
    """Maps outputs of the actor to actions, and these to the environment's actions."""
    noise: Noise | None
    """Exploration noise on continuous actions, if there is any."""
    normaliser: ObservationNormaliser | None
    scaler: RewardScaler | None
    """Scaler of the rewards."""
    memory: ReplayBuffer | None
    about: dict[str, Any] | None
    """What config.json says of the training that it is from: algorithm, environment, spaces, settings; None if it is from none."""

    def act(self, obs: Any, explore: bool = True) -> np.ndarray:
        """Actions for the environment, for one observation or several: sampled, or greedy ones unless `explore`."""

    def sample(self, obs: np.ndarray) -> np.ndarray:
        """Raw actions for N observations, with exploration, as they are stored and learnt from."""

    def greedy(self, obs: np.ndarray) -> np.ndarray:
        """Raw actions for N observations, without chance (see distributions.py)."""

    def update(self, batch: Any) -> Metrics:
        """Learn from a Batch (on-policy) or from Transitions (off-policy). Raises FloatingPointError if a value is not finite."""

    def restart(self, done: np.ndarray) -> None:
        """Forget what is kept of the episodes in progress of those environments, (N,), that begin a new one."""

    def fast_path(self, envs: Any) -> FastPath | None:
        """The compiled function that the active backend runs instead of this agent's code in these environments, or None."""

    def networks(self) -> Networks:
        """Actor and critic as plain networks."""

    def temperature(self) -> float:
        """α, the weight of the entropy in the critic's values; 0 if they contain none."""

    def state(self) -> dict[str, Any]:
        """Everything needed to continue exactly: nested dicts of arrays, numbers and text."""

    def save(self, folder: Any) -> Path:
        """Write the agent into a new folder, which `scratchac.load` reads."""

    def load_state(self, saved: dict[str, Any]) -> None:
        """Restore a state. Raises ValueError, and changes nothing, if it belongs to another kind of agent."""


class LearnsOnPolicy(Agent, Protocol):
    """An agent that learns from rollouts of its current policy."""

    horizon: int | None
    """T, steps of a rollout; None if a rollout lasts until the episode ends, in a single environment."""


class LearnsOffPolicy(Agent, Protocol):
    """An agent that learns from a replay buffer."""

    memory: ReplayBuffer
    batch_rng: np.random.Generator
    """Draws minibatches."""

    def random(self, rows: int) -> np.ndarray:
        """Uniformly random raw actions, before learning starts."""

    def value(self, obs: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """The critic's values (B,) of raw actions (B, …) at observations (B, …)."""


class LearnsAsynchronously(Agent, Protocol):
    """An agent whose workers act in environments of their own."""

    def train(self, interaction: Any, steps: int, report: Callable[..., bool]) -> None:
        """Run the workers until `steps` environment steps in total."""
