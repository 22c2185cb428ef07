"""Compiled updates of SAC, discrete SAC, TD3 and DDPG, which an algorithm requests in its `fast_path`.

`train` is `loops.train_off_policy` with two methods of the agent compiled: `update`, together with taking the minibatch out of the
replay buffer, and the network in `sample`. Random numbers are drawn here, by the same generators in the same order, so parameters
and reports are the same up to rounding. The algorithm's own methods remain the reference (see kernels/registry.py).
"""

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import kernels
from scratchac.distributions import Categorical, TanhGaussian
from scratchac.nn import MLP, Parameters
from scratchac.optim import Adam
from scratchac.training.agent import FastPath, Metrics
from scratchac.training.compiled import Faster, cores, is_adam
from scratchac.training.interaction import Interaction
from scratchac.training.loops import Report, train_off_policy


def loop(name: str, agent: Any, training: Callable[..., None] | None = None, *parts: Any) -> FastPath | None:
    """The fast path with the active backend's compiled update of that name, or None if there is none for this agent.

    training    its training loop; `train` if not given
    parts       objects besides the agent's whose code it repeats

    It supports observations that are vectors of the networks' dtype and are not normalised, and Adam.
    """
    if len(agent.observation_shape) != 1 or agent.normaliser is not None or agent.memory.data["obs"].dtype != agent.dtype:
        return None
    trained = [(agent.actor_optimiser, agent.theta.flat), (agent.critic_optimiser, agent.w.flat)]
    discrete, O = isinstance(agent.dist, Categorical), agent.actor.sizes[0]
    if discrete or isinstance(agent.dist, TanhGaussian):
        trained.append((agent.alpha_optimiser, agent.log_alpha))
    optimisers = [optimiser for optimiser, _ in trained]
    sizes = (O, agent.dist.n) if discrete else (O + agent.dist.features, 1)     # of a critic's inputs and outputs
    plain = (all(is_adam(optimiser, params) for optimiser, params in trained)
             and agent.critic.stack == (() if name.startswith("ddpg") else (2,))
             and (agent.critic.sizes[0], agent.critic.sizes[-1]) == sizes
             and all(mlp.shapes() == params.shapes for mlp, params in ((agent.actor, agent.theta), (agent.critic, agent.w))))
    if not plain or kernels.compiled(name, agent, agent.dist, agent.actor, agent.critic, agent.memory, *optimisers, *parts) is None:
        return None
    return FastPath(name, f"{type(agent).__name__}.update", training or train)


def train(agent: Any, interaction: Interaction, steps: float, report: Report) -> None:
    """`train_off_policy` with the compiled `update` and `sample` of this agent."""
    compiled = compile_for(agent)
    train_off_policy(agent, interaction, steps, report, compiled.sample, compiled.update)


def compile_for(agent: Any) -> "Compiled":
    """The compiled methods of an agent that has a fast path."""
    if isinstance(agent.dist, Categorical):
        return DiscreteSoft(agent)
    return Soft(agent) if isinstance(agent.dist, TanhGaussian) else Deterministic(agent)


class Compiled:
    """What stands in for two methods of an agent, with the memory for a minibatch."""

    def __init__(self, agent: Any):
        from kernels.numba_off_policy import Memory
        from kernels.numba_off_policy_updates import pieces

        self.agent = agent
        P = pieces(agent.config.batch_size, agent.theta.flat.size + agent.w.flat.size)
        chunks = max(1, P // math.prod(agent.critic.stack))
        self.rows = self.memory_for_rows(chunks)
        self.faster = Faster() if P > 1 and cores() > 1 else None
        self.more = self.empty(P - 1, agent.theta.flat.size), self.empty(chunks - 1, agent.w.flat.size)
        data = agent.memory.data
        self.memory = tuple(Memory(data["obs"], data["actions"], data["rewards"], data["next_obs"], data["term"], np.empty(0)))[:5]
        self.y = self.empty(agent.n_envs * sum(agent.actor.sizes[1:]))      # for one step of all environments
        target = getattr(agent, "theta_target", agent.theta)
        self.actor = learner(agent.actor, agent.theta, target, agent.dtheta, agent.actor_optimiser)
        self.critic = learner(agent.critic, agent.w, agent.w_target, agent.dw, agent.critic_optimiser)

    def empty(self, *shape: int) -> np.ndarray:
        """Memory of the agent's dtype."""
        return np.empty(shape, self.agent.dtype)

    def memory_for_rows(self, chunks: int) -> tuple[np.ndarray, ...]:
        """numba_off_policy.Rows; `chunks` is into how many parts each critic's minibatch is cut."""
        from kernels.numba_off_policy import Rows

        agent, empty, K = self.agent, self.empty, math.prod(self.agent.critic.stack)
        B, O, A, n = agent.config.batch_size, agent.actor.sizes[0], agent.dist.features, agent.actor.sizes[-1]
        return tuple(Rows(
            s=empty(B, O), s2=empty(B, O), sa=empty(B, O + A), sa2=empty(B, O + A), r=empty(B), term=empty(B), target=empty(B),
            y=empty(B * sum(agent.actor.sizes[1:])), q=empty(K * B * sum(agent.critic.sizes[1:])), dy=empty(B, n),
            dq=empty(K, B, 1), da=empty(K, B, A), sums=empty(K * chunks, 3)))

    def minibatch(self) -> tuple[np.ndarray, ...]:
        """The replay buffer with the rows that `ReplayBuffer.sample` draws."""
        agent = self.agent
        return *self.memory, agent.memory.draw(agent.batch_rng, agent.config.batch_size)

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a compiled update on one core or on two, whichever is faster at present; the numbers are the same."""
        if self.faster is None:
            return function(False, *arguments)
        two, started = self.faster.way(), time.perf_counter()
        values = function(two, *arguments)
        self.faster.took(two, time.perf_counter() - started)
        return values

    def sample(self, obs: np.ndarray) -> np.ndarray:
        """As the agent's."""
        raise NotImplementedError

    def update(self) -> Metrics:
        """The agent's `update` on a minibatch that `ReplayBuffer.sample` draws."""
        raise NotImplementedError


class Soft(Compiled):
    """SAC."""

    def __init__(self, agent: Any):
        from kernels.numba_off_policy import Sample

        super().__init__(agent)
        shape, drawn = (agent.config.batch_size, agent.dist.features), (agent.n_envs, agent.dist.features)
        self.clamp = agent.dist.log_std == "clamp"
        self.noise = np.empty((2, *shape))
        self.drawn, self.acting = (
            tuple(Sample(*(np.empty(x, agent.dtype) for x in (size, size, size, size[0])))) for size in (shape, drawn))
        self.temperature = temperature(agent)
        self.eps = np.empty(drawn)

    def sample(self, obs: np.ndarray) -> np.ndarray:
        """As `SAC.sample`, for the N environments of training."""
        from kernels.numba_off_policy_updates import soft_act

        agent, (theta, *_, sizes, code) = self.agent, self.actor
        agent.rng.standard_normal(out=self.eps)
        soft_act(theta, sizes, code, self.clamp, np.asarray(obs, agent.dtype), self.y, self.eps, self.acting)
        return agent.with_noise(self.acting[0]) if agent.noise else self.acting[0].copy()

    def update(self) -> Metrics:
        """As `SAC.update`."""
        from kernels.numba_off_policy_updates import soft_update

        agent = self.agent
        memory = self.minibatch()
        h, steps = steps_of(agent, agent.step)
        set_temperature(agent, h)
        agent.rng.standard_normal(out=self.noise)                           # for s′, then for s
        settings = h.gamma, h.tau, self.clamp, h.learn_alpha, agent.total_entropy_target(h), *steps
        values = self.call(
            soft_update, self.actor, self.critic, self.temperature, settings, memory, self.noise, self.drawn, self.rows, self.more)
        return dict(zip(SOFT_METRICS, values, strict=True))


class DiscreteSoft(Compiled):
    """Discrete SAC."""

    def __init__(self, agent: Any):
        super().__init__(agent)
        self.temperature = temperature(agent)

    def memory_for_rows(self, chunks: int) -> tuple[np.ndarray, ...]:
        """numba_discrete_soft.DiscreteRows."""
        from kernels.numba_discrete_soft import DiscreteRows

        agent, empty, K = self.agent, self.empty, math.prod(self.agent.critic.stack)
        B, O, n = agent.config.batch_size, agent.actor.sizes[0], agent.dist.n
        return tuple(DiscreteRows(
            s=empty(B, O), s2=empty(B, O), a=np.empty(B, np.int64), r=empty(B), term=empty(B), target=empty(B), log_pi=empty(B, n),
            y=empty(B * sum(agent.actor.sizes[1:])), q=empty(K * B * sum(agent.critic.sizes[1:])), dy=empty(B, n),
            dq=empty(K, B, n), losses=empty(B), entropies=empty(B), sums=empty(K * chunks, 3)))

    def sample(self, obs: np.ndarray) -> np.ndarray:
        """As `DiscreteSAC.sample`, for the N environments of training."""
        from kernels.numba_discrete_soft import logits_at

        agent, (theta, *_, sizes, code) = self.agent, self.actor
        z = logits_at(theta, sizes, code, np.asarray(obs, agent.dtype), self.y)
        return agent.dist.sample(z, agent.dist.noise(agent.rng, len(z)))

    def update(self) -> Metrics:
        """As `DiscreteSAC.update`."""
        from kernels.numba_discrete_soft import discrete_soft_update

        agent = self.agent
        memory = self.minibatch()
        h, steps = steps_of(agent, agent.step)
        set_temperature(agent, h)
        settings = h.gamma, h.tau, h.learn_alpha, agent.total_entropy_target(h), *steps
        values = self.call(discrete_soft_update, self.actor, self.critic, self.temperature, settings, memory, self.rows, self.more)
        return dict(zip(SOFT_METRICS, values, strict=True))


class Deterministic(Compiled):
    """TD3 and DDPG: the agent with two critics is TD3."""

    def __init__(self, agent: Any):
        super().__init__(agent)
        self.twin = agent.critic.stack == (2,)
        self.noise = np.empty((agent.config.batch_size if self.twin else 0, agent.dist.features))

    def sample(self, obs: np.ndarray) -> np.ndarray:
        """As `DeterministicAgent.sample`, for the N environments of training."""
        from kernels.numba_off_policy_updates import act

        agent, (theta, *_, sizes, code) = self.agent, self.actor
        a = act(theta, sizes, code, np.asarray(obs, agent.dtype), self.y)
        return np.clip(a + self.exploration(agent.step), -1, 1)

    def exploration(self, step: int) -> np.ndarray:
        """The noise of the actions at that step, (N, A)."""
        agent = self.agent
        agent.noise.scale = agent.schedules(step / agent.config.steps).noise_scale
        return agent.noise.sample(agent.rng)

    def settings(self, step: int) -> tuple[Any, ...]:
        """What `deterministic_update` takes as settings at that step; the update is counted."""
        agent = self.agent
        h = agent.schedules(step / agent.config.steps)
        scale, clip, trains_actor = 0.0, 0.0, True
        if self.twin:
            agent.updates += 1
            scale, clip, trains_actor = h.target_noise, h.target_noise_clip, bool(agent.updates[0] % agent.config.delay == 0)
        return (h.gamma, h.tau, scale, clip, trains_actor, rates(agent.actor_optimiser, h.actor_lr) if trains_actor else NO_STEP,
                rates(agent.critic_optimiser, h.critic_lr))

    def update(self) -> Metrics:
        """As `TD3.update` or `DDPG.update`."""
        from kernels.numba_off_policy_updates import deterministic_update

        agent = self.agent
        memory = self.minibatch()
        if self.twin:
            agent.rng.standard_normal(out=self.noise)
        settings = self.settings(agent.step)
        actor_loss, critic_loss, q, td_error = self.call(
            deterministic_update, self.actor, self.critic, settings, memory, self.noise, self.rows, self.more)
        if self.twin and settings[4]:
            agent.actor_loss = np.array([actor_loss], agent.dtype)
        return {"critic_loss": critic_loss, "q": q, "td_error": td_error,
                "actor_loss": float(agent.actor_loss[0]) if self.twin else actor_loss}


SOFT_METRICS = "actor_loss", "critic_loss", "entropy", "alpha", "q", "td_error"
NO_STEP = 0.0, 0.0, 0.0, 0.0, 0.0           # rates that are not used


def temperature(agent: Any) -> tuple[np.ndarray, ...]:
    """log α of a soft agent, its gradient, and its moments."""
    return agent.log_alpha, np.empty(1, agent.dtype), agent.alpha_optimiser.m, agent.alpha_optimiser.v


def set_temperature(agent: Any, h: Any) -> None:
    """Set log α where it is not learnt."""
    if not h.learn_alpha:
        agent.log_alpha[0] = math.log(h.alpha)


def steps_of(agent: Any, step: int) -> tuple[Any, tuple[tuple[float, ...], ...]]:
    """A soft agent's hyperparameters at that step, and the `rates` of actor, critics and temperature; their steps are counted."""
    h = agent.schedules(step / agent.config.steps)
    return h, (rates(agent.actor_optimiser, h.actor_lr), rates(agent.critic_optimiser, h.critic_lr),
               rates(agent.alpha_optimiser, h.alpha_lr) if h.learn_alpha else NO_STEP)


def learner(mlp: MLP, params: Parameters, target: Parameters, grads: Parameters, optimiser: Adam) -> tuple[Any, ...]:
    """A network as numba_off_policy.Learner."""
    from kernels.numba_networks import CODES
    from kernels.numba_off_policy import Learner

    return tuple(Learner(params.flat, target.flat, grads.flat, optimiser.m, optimiser.v, np.array(mlp.sizes),
                         CODES[mlp.activation]))


def rates(optimiser: Adam, lr: float) -> tuple[float, float, float, float, float]:
    """Count a step of Adam, and return its numbers as numba_off_policy.AdamStep."""
    optimiser.t += 1
    beta1, beta2, t = optimiser.beta1, optimiser.beta2, optimiser.t
    return lr / (1 - beta1**t), beta1, beta2, optimiser.eps, 1 / (1 - beta2**t) ** 0.5
