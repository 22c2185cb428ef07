"""Asynchronous advantage actor-critic (Mnih et al. 2016, algorithm S3).

N workers, each with an environment of its own and a copy θ′ of the parameters, repeat without waiting for one another

    θ′ ← θ        T steps with π(·|s; θ′)        g ← ∇L(θ′), as in A2C        v ← ρv + (1−ρ)g²        θ ← θ − α g/√(v + ε)

θ and v belong to all of them. While a worker plays, the others move θ on, so that its gradient is that of a somewhat older policy;
what this costs, the different places that the workers are at should repay. Since time decides who comes first, a run with more
than one worker cannot be repeated exactly.
"""

import time
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np

import kernels
from scratchac import optim, training
from scratchac.algorithms import a2c
from scratchac.errors import WorkerDied
from scratchac.hyperparameters import Count, Environments, OnPolicy, Positive, Schedules
from scratchac.shared import STORES
from scratchac.state import load_state, state
from scratchac.workers import engine

REPORT_EVERY = 0.1              # seconds between a worker's reports


@dataclass(frozen=True)
class Config(OnPolicy):
    envs: Environments = 4
    """Workers, each with one environment (N)."""
    rollout: Count = 20
    """Steps of a worker between updates (T)."""
    lam: Positive = 1.0
    """λ of GAE: 1 is the return as far as the rollout goes, as in the paper."""
    lr: Positive = 7e-4
    """Learning rate of actor and critic (RMSprop)."""
    shared_body: bool = False
    """One network with two heads instead of two networks."""
    engine: Literal["processes", "ray"] = "processes"
    """Where the workers run: in processes on this machine, or on a Ray cluster."""


class A3C:
    """What the workers learn together, as one agent. Raises UserError for unsupported spaces."""

    Config, loop, metrics, state, load_state = Config, "asynchronous", a2c.A2C.metrics, state, load_state

    def __init__(self, config, observation_space, action_space, seed=0, dtype=np.float32):
        self.config, self.spaces, self.dtype, self.step = config, (observation_space, action_space), dtype, 0
        self.learner = _learner(config, *self.spaces, seed, dtype)
        self.model, self.dist, self.behaviour = self.learner.model, self.learner.dist, self.learner.behaviour
        self.optimiser = optim.RMSprop(self.model.flat)
        self.schedules, self.envs = Schedules(config), config.envs
        self.act, self.sample, self.to_env = self.learner.act, self.learner.sample, self.learner.to_env

    def train(self, play, steps, report):
        """Let the workers learn until `steps` environment steps in all. `report` is called with what came in since the last time.

        Raises WorkerDied, with all that has been learnt until then in this agent, when a worker fails or is killed.
        """
        flat, envs, episodes = self.model.flat, play.envs, play.episodes
        left, play.workers = play.workers or [None] * self.envs, None       # checkpoints on the way do not know where they are
        with engine(self.config.engine) as workers:
            store = STORES[self.config.engine](len(flat), self.envs, self.dtype)
            try:
                store.fill(flat, self.optimiser.v, self.step)
                for i, seed in enumerate(envs.seeds):
                    workers.start(work, i, self.config, self.spaces, seed, envs.alone, kernels.backend.name, store, steps, left[i])
                working = self.envs
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
                            if report(self, play, metrics, seconds, 1):
                                store.end()
                play.workers = left
            finally:
                store.close()

    def keeps(self):
        return {"parameters": self.model.flat, "optimiser": self.optimiser, "rng": self.learner.rng}


def _learner(config, observation_space, action_space, seed, dtype=np.float32):
    """The A2C agent with one environment that every worker is."""
    given = {name: value for name, value in asdict(config).items() if name not in ("lr", "engine")}
    config = a2c.Config(**given | {"envs": 1, "actor_lr": config.lr, "critic_lr": config.lr})
    return a2c.A2C(config, observation_space, action_space, seed, dtype)


class Worker:
    """One worker, as the training loop sees it: A2C but for where its parameters come from and where its gradient goes."""

    loop = "on-policy"

    def __init__(self, index, learner, store):
        self.index, self.learner, self.store, self.config, self.dtype = index, learner, store, learner.config, learner.dtype
        self.sample, self.to_env, self.horizon = learner.sample, learner.to_env, learner.horizon
        self.step, self.stopped = store.snapshot()[2], False                        # steps of all workers
        store.pull(learner.model.flat)

    def update(self, batch):
        h = self.learner.schedules(self.step / self.config.steps)
        *_, metrics = self.learner.gradient(batch, h)
        self.step, self.stopped = self.store.push(self.index, self.learner.model.grad, h.actor_lr, batch.rewards.size)
        self.store.pull(self.learner.model.flat)
        return metrics


def work(send, index, config, spaces, seed, alone, backend, store, steps, left):
    """What runs in a worker: the ordinary training loop. Every so often, and at the end, it tells what happened since.

    left    what this function returned, after its last page, when the worker was stopped; it goes on there
    """
    kernels.use(backend)
    envs, worker, diary = alone(seed), Worker(index, _learner(config, *spaces, seed), store), Diary(send, left)
    if left:
        worker.learner.rng.bit_generator.state = left["rng"]
    try:
        training.train(worker, envs, steps, diary, left and left["play"])
        play = diary.play and diary.play.state()
    finally:
        envs.close()
    return diary.page(), {"rng": worker.learner.rng.bit_generator.state, "play": play} if play else left


class Diary:
    """The `report` of a worker's loop: keeps the episodes that ended and each update's metrics and seconds, and sends them."""

    def __init__(self, send, left):
        self.send, self.updates, self.due, self.play = send, [], 0.0, None
        self.told = left["play"]["episodes"]["finished"] if left else 0     # episodes

    def __call__(self, worker, play, metrics, seconds, _):
        self.play = play
        self.updates.append((metrics, seconds))
        if time.monotonic() > self.due:
            self.send(self.page())
            self.due = time.monotonic() + REPORT_EVERY
        return worker.stopped

    def page(self):
        """What is not yet told: the number of episodes, (return, length) of the last ones, (metrics, seconds) of each update."""
        new = self.play.episodes.finished - self.told if self.play else 0
        recent = list(self.play.episodes.recent)[-new:] if new else []
        updates, self.updates, self.told = self.updates, [], self.told + new
        return new, recent, updates
