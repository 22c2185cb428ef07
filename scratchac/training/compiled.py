"""Compiled loops and gradients, which an algorithm requests in its `fast_path`.

For small networks Python's calls cost more than the arithmetic, so acting is one compiled call and an update is another. They do
the same as the algorithm's own `sample` and `update` in `loops.train_on_policy`: the same random numbers, parameters and reports.
The algorithm's own methods remain the reference, and they run as soon as one of them is changed (see kernels/registry.py).
"""

import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np

import kernels
from scratchac import optim
from scratchac.distributions import Categorical, ClippedGaussian, Gaussian
from scratchac.errors import TrainingError
from scratchac.policies import SeparateBodies
from scratchac.training.agent import FastPath, Metrics
from scratchac.training.checks import require_finite
from scratchac.training.interaction import Interaction
from scratchac.training.loops import Report

PARALLEL_MINIBATCH = 2_000_000       # multiply-adds of a minibatch from which actor and critic each have a core of their own


class CompiledAgent(Protocol):
    """The attributes of an on-policy agent that the compiled loops need."""

    config: Any
    schedules: Any
    step: int
    dtype: Any
    dist: Any               # Categorical, or in compiled worlds Gaussian
    model: SeparateBodies
    rng: np.random.Generator
    horizon: int


def loop(name: str, agent: Any, envs: Any, loops: Mapping[str, Callable[..., None]] | None = None) -> FastPath | None:
    """The fast path with the active backend's compiled update of that name, or None if there is none for this agent.

    loops   name → its training loop; LOOPS if not given

    It supports discrete actions (int64) without a mask, in environments that are stepped in this process, and in compiled
    worlds A2C's and PPO's continuous ones, with the density of the action that was drawn.
    """
    behaviour, model, dist = agent.behaviour, agent.model, agent.dist
    plain = (_has_compiled_networks(agent) and not envs.workers
             and (_is_one_float(dist) and name in CONTINUOUS if isinstance(dist, Gaussian) else dist.dtype == np.int64)
             and agent.normaliser is None and (name in SCALED or agent.scaler is None) and behaviour.normaliser is None
             and behaviour.policy == model.policy and behaviour.dist is dist and behaviour.rng is agent.rng)
    scale = getattr(dist, "scale", None)
    own = [agent.optimiser] if hasattr(agent, "optimiser") else []          # PPO's, whose steps are compiled, too
    plain = plain and all(is_adam(optimiser, model.flat) for optimiser in own)
    parts = dist, *([scale] if scale else []), behaviour, model, model.actor, model.critic, agent.schedules, envs, *own
    if not plain or kernels.compiled(name, agent, *parts) is None:
        return None
    return FastPath(name, f"{type(agent).__name__}.update", (LOOPS if loops is None else loops)[name])


def whole_update(name: str, method: str, agent: Any) -> FastPath | None:
    """The fast path for a compiled `method` in the algorithm's own loop, or None if there is none for this agent."""
    model = agent.model
    parts = agent.dist, model, model.actor, model.critic, agent.schedules, agent.optimiser
    plain = _has_compiled_networks(agent) and is_adam(agent.optimiser, model.flat)
    if not plain or kernels.compiled(name, agent, *parts) is None:
        return None
    return FastPath(name, f"{type(agent).__name__}.{method}")


def is_adam(optimiser: Any, params: np.ndarray) -> bool:
    """Whether an optimiser is Adam, of these parameters."""
    return type(optimiser) is optim.Adam and optimiser.params is params


def _has_compiled_networks(agent: Any) -> bool:
    """Whether compiled updates support an agent: a categorical policy without a mask or a Gaussian one, and separate bodies.

    They have the density of the action that was drawn, not of the clipped one.
    """
    return (isinstance(agent.dist, Categorical | Gaussian) and not isinstance(agent.dist, ClippedGaussian)
            and isinstance(agent.model, SeparateBodies) and not agent.model.masked)


def _is_one_float(dist: Gaussian) -> bool:
    """Whether actions are one feature, float32, as compiled worlds take them."""
    return dist.features == 1 and (dist.scale or dist).low.dtype == np.float32


def network(model: SeparateBodies, which: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """The actor (0) or the critic (1) of a model, as numba_updates.Network: parameters, gradient, sizes, activation."""
    from kernels.numba_networks import CODES
    from kernels.numba_updates import Network

    group, mlp = model.groups[which], (model.actor, model.critic)[which]
    return tuple(Network(model.flat[group], model.grad[group], np.array(mlp.sizes), CODES[mlp.activation]))  # type: ignore


def traced_networks(agent: CompiledAgent) -> list[tuple[Any, ...]]:
    """Actor and critic of the one-step actor-critic, each as numba_updates.TracedNetwork."""
    model, trace = agent.model, agent.trace  # type: ignore[attr-defined]
    return [(*network(model, i), trace[model.groups[i]], np.empty(sum(mlp.sizes[1:]), agent.dtype))
            for i, mlp in enumerate((model.actor, model.critic))]


def one_step_actor_critic(agent: CompiledAgent, interaction: Interaction, steps: int, report: Report) -> None:
    """Train with the equivalent of `ActorCritic.update` at every step of one environment."""
    from kernels.numba_updates import act
    from kernels.numba_updates import one_step_actor_critic as learn

    dtype, config, start = agent.dtype, agent.config, agent.dist.start
    actor, critic = traced_networks(agent)
    theta, _, sizes, code, _, outputs = actor
    env, episodes, actions = interaction.envs.members[0], interaction.episodes, np.zeros(1, np.int64)
    obs, largest = interaction.obs.astype(dtype), float(np.finfo(dtype).max)                # (1, O)
    while agent.step < steps:
        act(theta, sizes, outputs, code, obs, agent.rng.random(1), actions)
        next_obs, reward, term, trunc, _ = env.step(actions[0] + start)
        started = time.perf_counter()
        next_obs, done, t = np.array(next_obs, dtype)[None], term or trunc, int(episodes.lengths[0])  # it may change its own array
        h = agent.schedules(agent.step / config.steps)
        discount = h.gamma**t if h.discount_actor else 1.0
        if not abs(reward) <= largest:
            require_finite(agent.step, dtype, rewards=np.full((1, 1), reward))
        delta, logp, entropy, value = learn(
            actor, critic, (obs, next_obs, actions[0], reward, done), h.gamma * (1 - term),
            (h.gamma * h.lam_actor, discount, h.actor_lr), (h.gamma * h.lam_critic, 1.0, h.critic_lr))
        if not np.isfinite(delta):
            require_finite(agent.step, dtype, observations=obs[None], next_observations=next_obs[None])
            raise TrainingError(f"at step {agent.step}: the TD error is not finite: lower the step sizes")
        agent.step += 1
        obs = next_obs
        episodes.returns[0] += reward                                       # faster than `add` for one environment
        episodes.lengths[0] = t + 1
        if done:
            episodes.end(0)
            obs = np.array(env.reset()[0], dtype)[None]
        metrics = {"actor_loss": -delta * logp, "critic_loss": 0.5 * delta * delta, "entropy": entropy, "td_error": delta,
                   "value": value}
        if report(agent, interaction, metrics, time.perf_counter() - started, 1):
            break


def a2c(agent: CompiledAgent, interaction: Interaction, steps: int, report: Report) -> None:
    """Train with rollouts of all environments and the equivalent of `A2C.update`, for the options that its `fast_path` checks."""
    from kernels.numba_updates import act

    actor, critic = network(agent.model, 0), network(agent.model, 1)
    theta, _, sizes, code = actor
    dtype, start = agent.dtype, agent.dist.start
    envs, episodes, obs = interaction.envs, interaction.episodes, interaction.obs.astype(dtype)
    T, N, O = agent.horizon, envs.n, sizes[0]
    s, s2 = np.empty((2, T, N, O), dtype)
    r, term, done = np.empty((3, T, N), dtype)
    a = np.empty((T, N), np.int64)
    rewards = np.empty(N)                                                   # float64, as environments give them
    outputs = np.empty(N * sizes[1:].sum(), dtype)
    while agent.step < steps:
        for t in range(T):
            s[t] = obs
            act(theta, sizes, outputs, code, s[t], agent.rng.random(N), a[t])
            over = []
            for i, (env, action) in enumerate(zip(envs.members, a[t] + start, strict=True)):
                s2[t, i], rewards[i], terminated, truncated, _ = env.step(action)
                term[t, i], done[t, i] = terminated, terminated or truncated
                if terminated or truncated:
                    over.append(i)
            with np.errstate(over="ignore"):                # what is too large becomes infinite, and `require_finite` names it
                r[t] = rewards
            episodes.add(rewards, done[t])
            obs = s2[t]
            if over:
                obs = obs.copy()
                for i in over:
                    obs[i] = envs.members[i].reset()[0]
        require_finite(agent.step, dtype, observations=s, rewards=r, next_observations=s2)        # tanh would turn infinity into 1
        started = time.perf_counter()
        metrics = a2c_step(agent, actor, critic, (s.reshape(-1, O), s2.reshape(-1, O), a.ravel(), r, term, done))
        if report(agent, interaction, metrics, time.perf_counter() - started, 1):
            break


def a2c_step(agent: CompiledAgent, actor: Any, critic: Any, rows: tuple[np.ndarray, ...]) -> Metrics:
    """The equivalent of `A2C.update` on `numba_updates.Steps`; returns its metrics."""
    from kernels.numba_updates import a2c_gradient

    h = agent.schedules(agent.step / agent.config.steps)
    actor_loss, critic_loss, entropy, value, spread = a2c_gradient(actor, critic, rows, h.gamma, h.lam, h.entropy_coef,
                                                                   h.value_coef)
    try:
        grad_norm = optim.clip_global_norm(agent.model.grad, h.max_grad_norm)
    except FloatingPointError as error:
        raise TrainingError(f"at step {agent.step}: {error}") from None
    for optimiser, group, lr in zip(agent.optimisers, agent.model.groups,  # type: ignore[attr-defined]
                                    (h.actor_lr, h.critic_lr), strict=True):
        optimiser.step(agent.model.grad[group], lr)
    agent.step += rows[3].size
    return {"actor_loss": actor_loss, "critic_loss": critic_loss, "entropy": entropy, "grad_norm": grad_norm, "value": value,
            "advantage_std": spread}


def cores() -> int:
    """The number of threads that Numba may use."""
    from numba import get_num_threads

    return int(get_num_threads())


class Faster:
    """Which of two ways to compute the same bits is faster at present, on one core or on two: a busy machine has none to spare.

    A period begins with three calls of each way, which are timed; in the first one the first call of each does not count, since it
    may have compiled it. Means decide, since on a busy machine two cores are fast only now and then. Periods are short at first,
    since so few calls may mislead, and each is twice as long as the one before, up to LONGEST calls.
    """

    SHORTEST, LONGEST = 16, 512

    def __init__(self) -> None:
        self.period = self.SHORTEST
        self.calls = 0                                                      # in this period
        self.seconds: tuple[list[float], list[float]] = [], []

    def way(self) -> bool:
        """Whether the next call should take two cores."""
        if self.calls == self.period:
            self.period, self.calls, self.seconds = min(2 * self.period, self.LONGEST), 0, ([], [])
        self.calls += 1
        one, two = self.seconds
        return self.calls % 2 == 0 if self.calls <= 6 else sum(two) * len(one) < sum(one) * len(two)

    def took(self, way: bool, seconds: float) -> None:
        """Record how long a call took."""
        compiled = self.period > self.SHORTEST or self.calls > 2
        if compiled and self.calls <= 6:
            self.seconds[way].append(seconds)


_faster: dict[tuple[Any, ...], Faster] = defaultdict(Faster)                # of PPO, for each kind of arrays that is compiled


def ppo_update(agent: Any, s: np.ndarray, s2: np.ndarray, a: np.ndarray, r: np.ndarray, term: np.ndarray, done: np.ndarray,
               h: Any) -> Metrics:
    """What `PPO.learn` does, for a model with separate bodies. Raises FloatingPointError as it does."""
    from kernels.numba_ppo import KL, estimate, learn

    model, adam, config, B = agent.model, agent.optimiser, agent.config, r.size
    dtype = model.flat.dtype
    actor, critic = network(model, 0), network(model, 1)
    s, s2, r, term, done = (np.ascontiguousarray(x, dtype) for x in (s, s2, r, term, done))
    a = np.ascontiguousarray(a, np.int64 if a.ndim == 1 else dtype)
    logp, v, adv = estimate(actor, critic, (s, s2, a, r, term, done), h.gamma, h.lam)
    each = -(-B // config.batch_size)                                       # minibatches of an epoch
    seen, taken = np.empty((config.epochs * each, 7)), 0
    pays = cores() > 1 and 3 * min(B, config.batch_size) * model.flat.size >= PARALLEL_MINIBATCH
    faster = _faster[dtype, a.ndim]
    parallel, started = pays and faster.way(), time.perf_counter()
    at_once = 1 if h.target_kl > 0 else config.epochs                       # a pass may be the last, and then no other is drawn
    for _ in range(0, config.epochs, at_once):
        orders = np.stack([agent.batch_rng.permutation(B) for _ in range(at_once)])
        count = learn(model.flat, model.grad, (actor[2], actor[3], critic[2], critic[3]), (s, a, logp, v, adv), orders,
                      config.batch_size, (h.clip, h.entropy_coef, h.value_coef, h.max_grad_norm, h.lr),
                      (adam.m, adam.v, adam.t, adam.beta1, adam.beta2, adam.eps), 2 if parallel else None, seen[taken:])
        adam.t += count
        taken += count
        if count < at_once * each:
            raise FloatingPointError("the gradient is not finite")
        if 0 < h.target_kl < seen[taken - 1, KL]:
            break
    if pays:
        faster.took(parallel, (time.perf_counter() - started) / taken)
    names = "actor_loss", "critic_loss", "entropy", "grad_norm", "kl", "clipped", "value"
    return dict(zip(names, seen[:taken].mean(axis=0).tolist(), strict=True))


CONTINUOUS = {"a2c_rollout", "ppo_rollout"}     # loops that support a Gaussian policy
SCALED = {"ppo_rollout"}                        # loops that scale rewards
LOOPS = {"one_step_actor_critic": one_step_actor_critic, "a2c_gradient": a2c}
