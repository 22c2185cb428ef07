"""Times of whole updates, beside the time of their matrix products alone, of whole training loops, and of a loop's parts."""

import contextlib
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import gymnasium as gym
import numpy as np

import kernels
from scratchac import algorithms, api
from scratchac.bench import peers as others
from scratchac.environments.compiled_worlds import PHYSICS, CompiledWorlds
from scratchac.environments.vector import VectorEnv
from scratchac.errors import UserError
from scratchac.training import compiled_off_policy
from scratchac.training.loops import one_blas_thread, train

# title → observations, actions, hidden layers, batch
SIZES = {"17 observations, 6 actions, 256-256, batch 256": (17, 6, (256, 256), 256),
         "3 observations, 1 action, 64-64, batch 100": (3, 1, (64, 64), 100)}
ALGORITHMS = "ddpg", "td3", "sac"
TELLING_ALGORITHMS = "sac",                     # what a quick measurement keeps

# title → (algorithm, environment, environment steps to time, hyperparameters)
TRAININGS = {
    "one-step actor-critic, CartPole-v1": ("actor-critic", "CartPole-v1", 10_000, {}),
    "A2C, CartPole-v1, 8 environments × 5 steps": ("a2c", "CartPole-v1", 20_000, {}),
    "A2C, LunarLander-v3, 8 environments × 5 steps, 128-128":
        ("a2c", "LunarLander-v3", 10_000, {"envs": 8, "rollout": 5, "critic_steps": 1}),
    "PPO, CartPole-v1, 8 environments × 256 steps, 10 epochs, batch 64":
        ("ppo", "CartPole-v1", 8_192, {"rollout": 256, "epochs": 10, "batch_size": 64}),
    "PPO, CartPole-v1, 4 environments × 128 steps, 4 epochs of 4 minibatches":             # PureJaxRL's settings
        ("ppo", "CartPole-v1", 8_192, {"envs": 4, "rollout": 128, "epochs": 4, "batch_size": 128}),
    "SAC, Pendulum-v1, 64-64, batch 100": ("sac", "Pendulum-v1", 2_000, {"batch_size": 100, "learning_starts": 100}),
    **{f"{name.upper()}, HalfCheetah-v5, 256-256, batch 256":
       (name, "HalfCheetah-v5", 400, {"batch_size": 256, "learning_starts": 256}) for name in ALGORITHMS},
}
TELLING = ("A2C, CartPole-v1, 8 environments × 5 steps",
           "PPO, CartPole-v1, 4 environments × 128 steps, 4 epochs of 4 minibatches",
           "SAC, Pendulum-v1, 64-64, batch 100", "SAC, HalfCheetah-v5, 256-256, batch 256")


# -- updates alone ----------------------------------------------------------------------------------------------------


def agent_on_noise(algorithm, observations, actions, hidden, batch):
    """An agent whose replay buffer is full of random transitions."""
    space = gym.spaces.Box(-np.inf, np.inf, (observations,), np.float32)
    box = gym.spaces.Box(-1, 1, (actions,), np.float32)
    config = algorithms.find(algorithm).config_class(hidden=hidden, batch_size=batch, buffer_size=10_000)
    agent = algorithms.make(algorithm, config, space, box)
    rng, n = np.random.default_rng(0), 10_000
    agent.memory.add(obs=rng.standard_normal((n, observations)), actions=rng.uniform(-1, 1, (n, actions)),
                     rewards=rng.standard_normal(n), next_obs=rng.standard_normal((n, observations)),
                     term=np.zeros(n), trunc=np.zeros(n))
    return agent


def update_rates(names, pace, peers=False):
    """Rows of {"what", column: updates/s, …, "floor": updates/s}, and rows of the seconds that each column's first update took."""
    rows, first = [], []
    wanted = {f"{algorithm.upper()}, {title}": (algorithm, *size) for title, size in SIZES.items()
              for algorithm in (TELLING_ALGORITHMS if pace.quick else ALGORITHMS)}
    for title in pace.each("updates", wanted):
        turns = update_turns(names, pace, peers, *wanted[title])
        what = {"what": title}
        first.append(what | {name: 1 / turn(0.0) for name, turn in turns.items()})
        rows.append(what | in_turn(turns | {"floor": floor(pace.seconds, *wanted[title])}, pace, title))
    return rows, first


def update_turns(names, pace, peers, algorithm, *size):
    """{column: a turn of updates, of some seconds} of our backends, and of other libraries, too, with `peers`."""
    turns = {name: our_updates(name, pace.seconds, algorithm, *size) for name in names}
    if peers:
        turns |= {name: turn_of(1, call, pace.seconds) for name, call in others.updates(algorithm, *size).items()}
    return turns


def in_turn(turns, pace, title):
    """{column: median rate} of some rounds in which each column has its turn, so that a slow minute affects all of them."""
    rounds = []
    for _ in range(pace.repeats + 1):
        rounds.append({})
        for name, turn in turns.items():
            pace.say(f"{title}: {name}")
            rounds[-1][name] = turn()
    return {name: float(np.median([rates[name] for rates in rounds[1:]])) for name in turns}     # the first round warms up


def turn_of(count, call, usual):
    """A turn: repeat `call`, which does `count` of something, for some seconds and at least once; returns the rate per second."""
    def turn(seconds=usual):
        calls, elapsed, started = 0, 0.0, time.perf_counter()
        while elapsed < seconds or calls == 0:
            call()
            calls += 1
            elapsed = time.perf_counter() - started
        kernels.backend.wait()
        return calls * count / (time.perf_counter() - started)
    return turn


def our_updates(backend, seconds, algorithm, *size):
    """A turn of one backend's updates, of some seconds."""
    with kernels.using(backend):
        agent = agent_on_noise(algorithm, *size)
        fast = agent.fast_path(None)
    update = (compiled_off_policy.compile_for(agent).update if fast else
              lambda: agent.update(agent.memory.sample(agent.batch_rng, agent.config.batch_size)))
    return on_backend(backend, turn_of(1, update, seconds))


def on_backend(backend, turn):
    """A turn in which this backend computes, with one BLAS thread, as in training."""
    @one_blas_thread
    def with_backend(*seconds):
        with kernels.using(backend):
            return turn(*seconds)
    return with_backend


def floor(seconds, algorithm, *size):
    """A turn of some seconds: updates per second if only the matrix products took time, two threads each doing half of them."""
    shapes, updates = products(algorithm, *size)
    rng = np.random.default_rng(0)

    def arrays():
        return [(rng.standard_normal((a, b), np.float32), rng.standard_normal((b, c), np.float32), np.empty((a, c), np.float32))
                for a, b, c in shapes]

    def work(triples):
        for x, W, y in triples:
            np.matmul(x, W, out=y)

    halves, pool = (arrays(), arrays()), ThreadPoolExecutor(2)
    return one_blas_thread(turn_of(updates, lambda: list(pool.map(work, halves)), seconds))


def products(algorithm, observations, actions, hidden, batch):
    """The products (a, b) @ (b, c) that each of two threads does, and for how many updates.

    Each of a pair of critics goes to one thread as a whole; everything else is split into two halves of the batch. A layer is one
    product in the forward pass and two in the backward pass, ∂L/∂W and ∂L/∂input; the first layer's input gradient is needed only
    in the actor's step, and there only from the critic that gave the minimum.
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
    asked = forward(critic, batch if algorithm == "sac" else half)          # SAC evaluates both critics, TD3 the first
    policy = forward(actor, half) + asked + [(half, H, I) for I, H in critic] + backward(actor, half)
    return (2 * critics + policy, 2) if algorithm == "td3" else (critics + policy, 1)


# -- whole training loops ------------------------------------------------------------------------------------------------


def training_rates(names, pace, peers=False, env=None):
    """Rows of {"what", column: environment steps per second}; an environment that is not installed is left out.

    Where an environment can be compiled there is a column for that, too; all others step Gymnasium's. With `env` there are its rows
    alone, and all of these, also where it must be quick.
    """
    of_env = {title: row for title, row in TRAININGS.items() if row[1] == env}
    rows, wanted = [], pace.rows(TRAININGS, TELLING) if env is None else of_env
    for title in pace.each("training", wanted):
        algorithm, env, steps, options = wanted[title]
        steps = pace.of(steps)
        try:
            turns = {name: our_training(name, algorithm, env, steps, options) for name in able(names, algorithm)}
        except UserError:
            continue
        if env in PHYSICS and "numba" in names:
            turns["numba, --vector compiled"] = our_training("numba", algorithm, env, steps, options, CompiledWorlds)
        if peers:
            agent = api.make_agent(algorithm, env, **options)
            rollout = agent.horizon * agent.n_envs if agent.family == "on-policy" else 1
            fewer = max(1, steps // 4 // rollout) * rollout                     # since they are slower; whole rollouts
            turns |= {name: turn_of(fewer, call, 0.0) for name, call in others.trainings(algorithm, env, fewer, agent).items()}
            turns |= others.processes(algorithm, env, steps, agent)
        rows.append({"what": title, **in_turn(turns, pace, title)})
    return rows


def able(names, algorithm):
    """The backends that train an algorithm; on-policy algorithms compute on the CPU."""
    on_cpu = algorithms.find(algorithm).family == "on-policy"
    return [name for name in names if not on_cpu or kernels.load(name).device == "cpu"]


def prepare(algorithm, env, steps, options, vector=VectorEnv):
    """An agent and its environments after a short training that compiles and fills the replay buffer."""
    agent = api.make_agent(algorithm, env, **{"steps": 100 * steps, **options})
    envs = vector(env, agent.n_envs, 0)
    train(agent, envs, vars(agent.config).get("learning_starts", 0) + 100, lambda *_: False)
    return agent, envs


def our_training(backend, algorithm, env, steps, options, vector=VectorEnv):
    """A turn of one backend's training."""
    with kernels.using(backend):
        agent, envs = prepare(algorithm, env, steps, options, vector)

    def turn():
        with kernels.using(backend):
            first, started = agent.step, time.perf_counter()
            train(agent, envs, first + steps, lambda *_: False)
            return (agent.step - first) / (time.perf_counter() - started)
    return turn


def profiles(name, pace):
    """Rows of {"what", "environment", "act", "store", "sample", "update", "rest"} in µs per step, with one backend.

    A compiled loop acts in its own code: there "act" is part of the rest, and so is "store" off policy, where "sample" is part of
    the update.
    """
    rows, wanted = [], pace.rows(TRAININGS, TELLING)
    with kernels.using(name):
        for title in pace.each(f"profile, {name}", wanted):
            algorithm, env, steps, options = wanted[title]
            with contextlib.suppress(UserError):                            # an environment that is not installed
                if able([name], algorithm):
                    rows.append({"what": title, **profile(algorithm, env, pace.of(steps), options)})
    return rows


def profile(algorithm, env, steps, options):
    """Where the time of one training goes, in µs per step."""
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

    def report(agent, interaction, metrics, update_seconds, updates):
        parts["update"] += update_seconds                   # as the loop measures it, for the agent's own update or a compiled one

    for member in envs.members:
        watch(member, "step", "environment")
    # Not the agent itself where it has a fast path: a changed agent would be trained by the reference.
    fast = agent.fast_path(envs)
    compiled = fast is not None and fast.loop is not None
    if not compiled:
        watch(agent.behaviour if agent.family == "on-policy" else agent, "sample", "act")
    if agent.memory is not None and not compiled:
        watch(agent.memory, "add", "store")
        watch(agent.memory, "sample", "sample")
    first, started = agent.step, time.perf_counter()
    train(agent, envs, first + steps, report)
    total, done = time.perf_counter() - started, agent.step - first
    envs.close()
    parts["update"] -= parts["sample"]                      # the loop counts sampling as part of the update
    parts["rest"] = total - sum(parts.values())
    return {part: 1e6 * seconds / done for part, seconds in parts.items()}
