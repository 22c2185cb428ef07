"""Whole updates beside the matrix products they cannot do without, whole training loops, and where a loop's time goes."""

import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import gymnasium as gym
import numpy as np

import kernels
import scratchac
from kernels import bench_peers
from kernels.bench import REPEATS, timed
from scratchac import algorithms
from scratchac.envs import VectorEnv
from scratchac.errors import UserError
from scratchac.training import LOOPS, one_blas_thread

# title → observations, actions, hidden layers, batch
SIZES = {"17 observations, 6 actions, 256-256, batch 256": (17, 6, (256, 256), 256),
         "3 observations, 1 action, 64-64, batch 100": (3, 1, (64, 64), 100)}
ALGORITHMS = "ddpg", "td3", "sac"

# title → (algorithm, environment, environment steps to time, hyperparameters)
TRAININGS = {
    "one-step actor-critic, CartPole-v1": ("actor-critic", "CartPole-v1", 10_000, {}),
    "A2C, CartPole-v1, 8 environments × 5 steps": ("a2c", "CartPole-v1", 20_000, {}),
    "A2C, LunarLander-v3 with the preset": ("a2c", "LunarLander-v3", 10_000, {}),
    "SAC, Pendulum-v1, 64-64, batch 100": ("sac", "Pendulum-v1", 2_000, {"batch_size": 100, "learning_starts": 100}),
    **{f"{name.upper()}, HalfCheetah-v5, 256-256, batch 256": (name, "HalfCheetah-v5", 400, {"learning_starts": 256})
       for name in ALGORITHMS},
}


# -- updates alone ----------------------------------------------------------------------------------------------------


def agent_on_noise(algorithm, observations, actions, hidden, batch):
    """An agent whose memory is full of transitions without any meaning."""
    space = gym.spaces.Box(-np.inf, np.inf, (observations,), np.float32)
    box = gym.spaces.Box(-1, 1, (actions,), np.float32)
    cls = algorithms.find(algorithm)
    agent = cls(cls.Config(hidden=hidden, batch_size=batch, buffer_size=10_000), space, box)
    rng, n = np.random.default_rng(0), 10_000
    agent.memory.add(obs=rng.standard_normal((n, observations)), actions=rng.uniform(-1, 1, (n, actions)),
                     rewards=rng.standard_normal(n), next_obs=rng.standard_normal((n, observations)),
                     term=np.zeros(n), trunc=np.zeros(n))
    return agent


@one_blas_thread
def update_rates(names, peers=False):
    """Rows of {"what", backend: updates/s, …, "floor": updates/s}."""
    rows = []
    for title, size in SIZES.items():
        for algorithm in ALGORITHMS:
            row = {"what": f"{algorithm.upper()}, {title}"}
            for name in names:
                with kernels.use(name):
                    row[name] = 1 / timed(updating(agent_on_noise(algorithm, *size)))
            for name, make in (bench_peers.UPDATES if peers else {}).items():
                row[name] = 1 / timed(make(algorithm, *size))
            row["floor"] = floor(algorithm, *size)
            rows.append(row)
    return rows


def updating(agent):
    return lambda: agent.update(agent.memory.sample(agent.batch_rng, agent.config.batch_size))


def floor(algorithm, *size):
    """Updates per second if nothing but the matrix products took time: two threads at once, each with half of the work."""
    shapes, updates = products(algorithm, *size)
    rng = np.random.default_rng(0)

    def arrays():
        return [(rng.standard_normal((a, b), np.float32), rng.standard_normal((b, c), np.float32), np.empty((a, c), np.float32))
                for a, b, c in shapes]

    def work(triples):
        for x, W, y in triples:
            np.matmul(x, W, out=y)

    halves = arrays(), arrays()
    with ThreadPoolExecutor(2) as pool:
        return updates / timed(lambda: list(pool.map(work, halves)))


def products(algorithm, observations, actions, hidden, batch):
    """The products (a, b) @ (b, c) that each of two threads does, and for how many updates.

    A member of a pair of critics goes to one thread as a whole, anything else by half a batch. A layer is one product on the way
    forward and two on the way back, ∂L/∂W and ∂L/∂input; the first layer's input gradient is needed in the actor's step alone,
    and there only from the critic that gave the minimum.
    """
    actor = list(pairwise((observations, *hidden, 2 * actions if algorithm == "sac" else actions)))
    critic = list(pairwise((observations + actions, *hidden, 1)))
    half = batch // 2
    rows = half if algorithm == "ddpg" else batch                           # of a critic on one thread

    def forward(net, rows):
        return [(rows, I, H) for I, H in net]

    def backward(net, rows):
        return [(I, rows, H) for I, H in net] + [(rows, H, I) for I, H in net[1:]]

    critics = forward(actor, half) + 2 * forward(critic, rows) + backward(critic, rows)
    asked = forward(critic, batch if algorithm == "sac" else half)          # SAC asks both critics, TD3 the first
    policy = forward(actor, half) + asked + [(half, H, I) for I, H in critic] + backward(actor, half)
    return (2 * critics + policy, 2) if algorithm == "td3" else (critics + policy, 1)


# -- whole training loops ------------------------------------------------------------------------------------------------


def training_rates(names, peers=False):
    """Rows of {"what", backend: environment steps per second}; an environment that is not installed is left out."""
    rows = []
    for title, (algorithm, env, steps, options) in TRAININGS.items():
        row = {"what": title}
        try:
            for name in names:
                with kernels.use(name):
                    row[name] = median(steps_per_second, algorithm, env, steps, options)
        except UserError:
            continue
        for name, rate in (bench_peers.TRAININGS if peers else {}).items():
            config = scratchac.make_agent(algorithm, env, **options).config
            if bench_peers.knows(name, algorithm):
                row[name] = median(rate, algorithm, env, steps, config.hidden, getattr(config, "batch_size", 0))
        rows.append(row)
    return rows


def median(rate, *args):
    return float(np.median([rate(*args) for _ in range(REPEATS)]))


def prepare(algorithm, env, steps, options):
    """An agent and its environments after a start that compiles and fills the memory."""
    agent = scratchac.make_agent(algorithm, env, **{"steps": 100 * steps, **options})
    envs = VectorEnv(env, getattr(agent, "envs", None) or agent.config.envs, 0)
    LOOPS[agent.loop](agent, envs, getattr(agent.config, "learning_starts", 0) + 100, lambda *_: False)
    return agent, envs


def steps_per_second(algorithm, env, steps, options):
    agent, envs = prepare(algorithm, env, steps, options)
    first, started = agent.step, time.perf_counter()
    LOOPS[agent.loop](agent, envs, first + steps, lambda *_: False)
    rate = (agent.step - first) / (time.perf_counter() - started)
    envs.close()
    return rate


def profiles(name):
    """Rows of {"what", "environment", "act", "store", "sample", "update", "rest"} in µs per step, with one backend."""
    rows = []
    with kernels.use(name):
        for title, training in TRAININGS.items():
            try:
                rows.append({"what": title, **profile(*training)})
            except UserError:
                continue
    return rows


def profile(algorithm, env, steps, options):
    agent, envs = prepare(algorithm, env, steps, options)
    parts = dict.fromkeys(("environment", "act", "store", "sample", "update"), 0.0)

    def watch(owner, method, part):
        original = getattr(owner, method)

        def call(*args, **kwargs):
            started = time.perf_counter()
            result = original(*args, **kwargs)
            parts[part] += time.perf_counter() - started
            return result

        setattr(owner, method, call)

    watch(envs, "step", "environment")
    watch(agent, "sample", "act")
    watch(agent, "update", "update")
    if hasattr(agent, "memory"):
        watch(agent.memory, "add", "store")
        watch(agent.memory, "sample", "sample")
    first, started = agent.step, time.perf_counter()
    LOOPS[agent.loop](agent, envs, first + steps, lambda *_: False)
    total, done = time.perf_counter() - started, agent.step - first
    envs.close()
    parts["rest"] = total - sum(parts.values())
    return {part: 1e6 * seconds / done for part, seconds in parts.items()}
