"""Asynchronous advantage actor-critic (Mnih et al. 2016, algorithm S3).

N workers, each with its own environment and a copy θ′ of the parameters, repeat without waiting for one another

    θ′ ← θ        T steps with π(·|s; θ′)        g ← ∇L(θ′), as in A2C        v ← β₂v + (1−β₂)g²      θ ← θ − η g/√(v + ε)

All workers share θ and v. While a worker acts, the others change θ, so its gradient is that of a somewhat older policy. The workers
are in different states at any time, so successive gradients are less correlated. Timing decides which worker's step comes first, so
a run with more than one worker cannot be repeated exactly.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal

import gymnasium as gym
import numpy as np
from numpy.typing import DTypeLike

import kernels
from scratchac import optim
from scratchac.algorithms import a2c
from scratchac.algorithms.config import Count, Environments, Fraction, OnPolicy, Positive
from scratchac.algorithms.plumbing import OnPolicyAgent
from scratchac.algorithms.search import Choice, LogUniform, Space
from scratchac.errors import WorkerDied
from scratchac.parallel.shared import STORES
from scratchac.parallel.workers import engine
from scratchac.training import loops
from scratchac.training.agent import Metrics
from scratchac.training.interaction import Interaction
from scratchac.training.memory import Batch

REPORT_EVERY = 0.1              # seconds between a worker's reports


@dataclass(frozen=True)
class Config(OnPolicy):
    """Hyperparameters of A3C."""

    envs: Environments = 4
    """Workers, each with one environment (N)."""
    rollout: Count = 20
    """Steps of a worker between updates (T)."""
    lam: Fraction = 1.0
    """λ of GAE(λ): with 1, as in the paper, the n-step return to the end of the rollout − V; with 0 the TD error."""
    lr: Positive = 7e-4
    """Learning rate of actor and critic; the optimiser is RMSprop."""
    shared_body: bool = False
    """Actor and critic are one network with two heads; if off, two networks."""
    engine: Literal["processes", "ray"] = "processes"
    """Where the workers run: in processes on this machine, or on a Ray cluster."""

    SEARCH: ClassVar[Space] = {"rollout": Choice(5, 10, 20, 40), "lr": LogUniform(1e-5, 1e-2)}


class A3C(OnPolicyAgent[Config]):
    """The agent whose parameters all workers train together. Raises UserError for unsupported spaces."""

    config_class = Config
    family = "asynchronous"
    metrics = a2c.A2C.metrics

    def __init__(self, config: Config, observation_space: gym.Space, action_space: gym.Space, seed: Any = 0,
                 dtype: DTypeLike = np.float32):
        super().__init__(config, observation_space, action_space, dtype)
        self.spaces = observation_space, action_space
        self.learner = _learner(config, *self.spaces, seed, dtype)
        self.model = self.learner.model
        self.behaviour = self.learner.behaviour
        self.optimiser = optim.RMSprop(self.model.flat)
        self.n_envs = config.envs

    def update(self, batch: Batch) -> Metrics:
        """Not available: the workers make the updates."""
        raise NotImplementedError("A3C learns in `train`")

    def train(self, interaction: Interaction, steps: int, report: Callable[..., bool]) -> None:
        """Run the workers until `steps` environment steps in total. `report` is called once for each update that they send.

        Raises WorkerDied when a worker fails or is killed; this agent then has the parameters learnt until then.
        """
        flat, envs, episodes = self.model.flat, interaction.envs, interaction.episodes
        # Each worker's state from an earlier part of the run. Checkpoints written while workers run have None.
        left, interaction.workers = interaction.workers or [None] * self.n_envs, None
        with engine(self.config.engine) as workers:
            store = STORES[self.config.engine](len(flat), self.n_envs, self.dtype)
            try:
                store.fill(flat, self.optimiser.v, self.step)
                for i, seed in enumerate(envs.seeds):
                    workers.start(work, i, self.config, self.spaces, seed, envs.alone, kernels.backend.name, store, steps, left[i])
                working = self.n_envs
                while working:
                    events = workers.poll(REPORT_EVERY)
                    flat[:], self.optimiser.v[:], self.step = store.snapshot()
                    for i, event, value in events:
                        if event == "died":
                            raise WorkerDied(f"worker {i}: {value}")
                        if event == "done":
                            value, left[i] = value
                            working -= 1
                        finished, recent, updates = value
                        episodes.finished += finished
                        episodes.recent.extend(recent)
                        for metrics, seconds in updates:
                            if report(self, interaction, metrics, seconds, 1):
                                store.end()
                interaction.workers = left
            finally:
                store.close()

    def keeps(self) -> dict[str, Any]:
        """Name → what is saved."""
        return {"parameters": self.model.flat, "optimiser": self.optimiser, "rng": self.learner.rng}


def _learner(config: Config, observation_space: gym.Space, action_space: gym.Space, seed: Any,
             dtype: DTypeLike = np.float32) -> a2c.A2C:
    """The A2C agent, for one environment, that every worker has."""
    given = {name: value for name, value in asdict(config).items() if name not in ("lr", "engine")}
    a2c_config = a2c.Config(**given | {"envs": 1, "actor_lr": config.lr, "critic_lr": config.lr})
    return a2c.A2C(a2c_config, observation_space, action_space, seed, dtype)


class Worker:
    """One worker, as the training loop uses it: A2C with parameters that come from a store and a gradient that goes there."""

    family = "on-policy"
    normaliser = None

    def __init__(self, index: int, learner: a2c.A2C, store: Any):
        self.index = index
        self.learner = learner
        self.store = store
        self.config = learner.config
        self.dtype = learner.dtype
        self.dist = learner.dist
        self.horizon = learner.horizon
        self.step = store.snapshot()[2]                                             # of all workers
        self.stopped = False
        store.pull(learner.model.flat)

    def fast_path(self, envs: Any) -> None:
        """None: the compiled loops do not send gradients to a store."""

    def restart(self, done: np.ndarray) -> None:
        """As the learner's."""
        self.learner.restart(done)

    def sample(self, obs: np.ndarray) -> np.ndarray:
        """Raw actions for one observation (1, O)."""
        return self.learner.sample(obs)

    def update(self, batch: Batch) -> Metrics:
        """A2C's gradient from a Batch of (T, 1), applied to the parameters of all workers."""
        h = self.learner.schedules(self.step / self.config.steps)
        *_, metrics = self.learner.gradient(batch, h)
        self.step, self.stopped = self.store.push(self.index, self.learner.model.grad, h.actor_lr, batch.rewards.size)
        self.store.pull(self.learner.model.flat)
        return metrics


def work(send: Callable[[Any], None], index: int, config: Config, spaces: tuple[gym.Space, gym.Space], seed: int,
         alone: Callable[[int], Any], backend: str, store: Any, steps: int, left: dict[str, Any] | None) -> Any:
    """Run the ordinary training loop in a worker. At regular intervals, and at the end, it reports what happened since.

    left    the second value that this function returned when the worker was stopped, to continue from there
    """
    kernels.use(backend)
    worker: Any = Worker(index, _learner(config, *spaces, seed), store)     # Any: of an Agent it has what the loop uses
    envs, diary = alone(seed), Diary(send, left)
    if left:
        worker.learner.rng.bit_generator.state = left["rng"]
    try:
        loops.train(worker, envs, steps, diary, left and left["interaction"])
        under_way = diary.interaction and diary.interaction.state()
    finally:
        envs.close()
    return diary.page(), {"rng": worker.learner.rng.bit_generator.state, "interaction": under_way} if under_way else left


class Diary:
    """The `report` of a worker's loop: keeps the episodes that ended and each update's metrics and seconds, and sends them."""

    def __init__(self, send: Callable[[Any], None], left: dict[str, Any] | None):
        self.send = send
        self.updates: list[tuple[Metrics, float]] = []
        self.due = 0.0
        self.interaction: Interaction | None = None
        self.told = left["interaction"]["episodes"]["finished"] if left else 0      # episodes that have been sent

    def __call__(self, worker: Worker, interaction: Interaction, metrics: Metrics, seconds: float, _: int) -> bool:
        """Keep an update's metrics, and send what has been collected when it is due; returns whether the worker must end."""
        self.interaction = interaction
        self.updates.append((metrics, seconds))
        if time.monotonic() > self.due:
            self.send(self.page())
            self.due = time.monotonic() + REPORT_EVERY
        return worker.stopped

    def page(self) -> tuple[int, list[tuple[float, int]], list[tuple[Metrics, float]]]:
        """What has not been sent: the number of episodes, (return, length) of the last ones, (metrics, seconds) of each update."""
        new = self.interaction.episodes.finished - self.told if self.interaction else 0
        recent = list(self.interaction.episodes.recent)[-new:] if self.interaction and new else []
        updates, self.updates, self.told = self.updates, [], self.told + new
        return new, recent, updates
