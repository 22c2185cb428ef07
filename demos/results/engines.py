"""Compare EnvPool's environments with Gymnasium's: first observations, returns, trajectories, and how fast they are stepped.

    python demos/results/engines.py --returns       returns of fixed policies; the same actions from the same states
    python demos/results/engines.py --speed         steps per second of 8 environments, in turns

Each writes its part of demos/results/engines.json, from which table.py makes the tables in manual/training.md.
"""

import argparse
import json
import os
import time
from pathlib import Path

import gymnasium as gym
import numpy as np
from files import as_script, changing, versions
from gymnasium.envs.box2d.lunar_lander import heuristic

from scratchac.environments.pool import PoolEnv
from scratchac.environments.vector import VectorEnv

FILE = Path(__file__).parent / "engines.json"
ENGINES = {"Gymnasium": VectorEnv, "EnvPool": PoolEnv}
N = 10                          # environments side by side, each of which plays as many episodes as the others
STARTS = 1_000                  # first observations of each environment
# environment → (policy → episodes)
POLICIES = {
    "CartPole-v1": {"random": 300}, "Acrobot-v1": {"random": 100}, "MountainCar-v0": {"random": 100},
    "Pendulum-v1": {"random": 300},
    "LunarLander-v3": {"random": 300, "heuristic": 100}, "LunarLanderContinuous-v3": {"random": 300, "heuristic": 100},
    "BipedalWalker-v3": {"random": 100}, "CarRacing-v3": {"gas": 20}, "HalfCheetah-v5": {"random": 100},
    "Hopper-v5": {"random": 300},
    "Walker2d-v5": {"random": 300}, "InvertedPendulum-v5": {"random": 300, "zero": 3_000},
    "InvertedDoublePendulum-v5": {"random": 300},
    "Swimmer-v5": {"random": 50}, "Reacher-v5": {"random": 300}, "Ant-v5": {"random": 100}, "Humanoid-v5": {"random": 100},
}
TRAJECTORIES = ("CartPole-v1", "Acrobot-v1", "MountainCar-v0", "Pendulum-v1", "HalfCheetah-v5", "Hopper-v5", "Walker2d-v5",
                "InvertedPendulum-v5")
SPEED = ("CartPole-v1", "Acrobot-v1", "Pendulum-v1", "LunarLander-v3", "BipedalWalker-v3", "Hopper-v5", "HalfCheetah-v5", "Ant-v5",
         "CarRacing-v3")
THREADS = (1, 2)


def random_actions(space, rng, n):
    if isinstance(space, gym.spaces.Discrete):
        return rng.integers(space.start, space.start + space.n, n)
    return rng.uniform(space.low, space.high, (n, *space.shape)).astype(space.dtype)


def play(engine, env, policy, episodes, seed=0):
    """Returns and lengths of whole episodes, and whether they ended in a terminal state."""
    envs, rng = ENGINES[engine](env, N, seed), np.random.default_rng(seed)
    lander = gym.make(env).unwrapped if policy == "heuristic" else None         # only says whether actions are continuous
    obs = envs.reset()
    returns, lengths, played, ended = np.zeros(N), np.zeros(N, int), np.zeros(N, int), []
    while (played < episodes // N).any():
        if policy == "random":
            actions = random_actions(envs.action_space, rng, N)
        elif policy == "gas":
            actions = np.full((N, 3), (0.0, 0.3, 0.0), np.float32)
        elif policy == "zero":
            actions = np.zeros((N, *envs.action_space.shape), envs.action_space.dtype)
        else:
            actions = np.array([heuristic(lander, s) for s in obs])
        obs, reward, _, term, trunc = envs.step(actions)
        returns += reward
        lengths += 1
        for i in np.flatnonzero(term | trunc):
            if played[i] < episodes // N:
                ended.append((returns[i], lengths[i], term[i]))
            played[i] += 1
            returns[i], lengths[i] = 0, 0
    envs.close()
    return dict(zip(("returns", "lengths", "term"), map(np.array, zip(*ended, strict=True)), strict=True))


def compared(env, policy, episodes):
    """What both engines gave: means and deviations, and by how many standard errors the means differ."""
    came = {engine: play(engine, env, policy, episodes) for engine in ENGINES}
    own, other = came["Gymnasium"], came["EnvPool"]
    row = {engine: {"return": [float(x["returns"].mean()), float(x["returns"].std(ddof=1))],
                    "length": float(x["lengths"].mean()), "terminal": float(x["term"].mean())} for engine, x in came.items()}
    return row | {"episodes": len(own["returns"]), "z": float(z(own["returns"], other["returns"]))}


def starts(env):
    """First observations in both: how far the means of each number differ, in standard errors, and the ratio of the deviations."""
    first = {}
    for engine in ENGINES:
        made = [ENGINES[engine](env, 25, seed) for seed in range(STARTS // 25)]
        first[engine] = np.concatenate([envs.reset() for envs in made])
        for envs in made:
            envs.close()
    own, other = first["Gymnasium"], first["EnvPool"]
    moves = (own.std(0) > 1e-6) | (other.std(0) > 1e-6)
    spread = (other.std(0) / own.std(0).clip(1e-12))[moves]
    return {"episodes": STARTS, "numbers": int(moves.sum()), "z": float(np.abs(z(own, other)[moves]).max()),
            "spread": [float(spread.min()), float(spread.max())]}


def z(a, b):
    """The difference of two means (b minus a) in standard errors; 0 where nothing varies and they are equal."""
    error = np.sqrt(a.var(0, ddof=1) / len(a) + b.var(0, ddof=1) / len(b))
    gap = b.mean(0) - a.mean(0)
    return np.where(np.abs(gap) < 1e-9, 0.0, gap / np.maximum(error, 1e-12))


def trajectory(env, steps=(1, 10, 50), starts=20):
    """The largest difference of an observation after so many equal actions from equal states, and of a reward until then.

    Gymnasium's environment gets EnvPool's first observation as its state. Episodes that end count until then.
    """
    pool, single, rng = PoolEnv(env, starts, 0), gym.make(env), np.random.default_rng(0)
    seen, obs_gap, reward_gap = pool.reset(), np.zeros((starts, max(steps))), np.zeros((starts, max(steps)))
    actions = [random_actions(pool.action_space, rng, starts) for _ in range(max(steps))]
    came = [pool.step(a) for a in actions]
    for i in range(starts):
        single.reset(seed=0)
        set_state(single.unwrapped, seen[i])
        for t, a in enumerate(actions):
            obs, reward, term, _, _ = single.step(a[i])
            obs_gap[i, t] = np.abs(came[t][2][i] - obs).max()
            reward_gap[i, t] = abs(came[t][1][i] - reward)
            if term or came[t][3][i]:
                obs_gap[i, t] = np.inf if bool(term) != bool(came[t][3][i]) else obs_gap[i, t]      # they must end together
                break
    pool.close()
    return {"starts": starts, "observation": {str(t): float(obs_gap[:, :t].max()) for t in steps},
            "reward": {str(t): float(reward_gap[:, :t].max()) for t in steps}}


def set_state(env, obs):
    name = type(env).__name__
    x = obs.astype(np.float64)
    if name in ("CartPoleEnv", "MountainCarEnv"):
        env.state = np.array(x)
    elif name == "PendulumEnv":
        env.state = np.array([np.arctan2(x[1], x[0]), x[2]])
    elif name == "AcrobotEnv":
        env.state = np.array([np.arctan2(x[1], x[0]), np.arctan2(x[3], x[2]), x[4], x[5]])
    else:                                                                   # MuJoCo, without x, on which nothing depends
        hidden = env.model.nq + env.model.nv - len(x)
        env.set_state(np.concatenate([np.zeros(hidden), x[:env.model.nq - hidden]]), x[env.model.nq - hidden:])


def speeds(seconds, turns):
    """Median steps per second over `turns`, in which all engines take turns."""
    rows = {}
    for env in SPEED:
        rates = {}
        for _ in range(turns):
            for label in ("Gymnasium", *(f"EnvPool, {n} thread{'s' * (n > 1)}" for n in THREADS)):
                PoolEnv.threads = int(label.split()[1]) if "thread" in label else None
                rates.setdefault(label, []).append(rate(label.split(",")[0], env, seconds))
        rows[env] = {label: float(np.median(x)) for label, x in rates.items()}
        print(env, {label: round(x) for label, x in rows[env].items()}, flush=True)
    return {"envs": 8, "seconds": seconds, "turns": turns, "cpus": os.cpu_count(), "rows": rows}


def rate(engine, env, seconds):
    envs, rng, steps = ENGINES[engine](env, 8, 0), np.random.default_rng(0), 0
    actions = [random_actions(envs.action_space, rng, 8) for _ in range(64)]
    envs.reset()
    started = time.perf_counter()
    while time.perf_counter() - started < seconds:
        envs.step(actions[steps % 64])
        steps += 1
    done = 8 * steps / (time.perf_counter() - started)
    envs.close()
    return done


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--returns", action="store_true")
    parser.add_argument("--only", choices=list(POLICIES), nargs="*", default=list(POLICIES), help="environments of --returns")
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each turn of --speed")
    parser.add_argument("--turns", type=int, default=5)
    options = parser.parse_args()
    if options.returns:
        for env in options.only:
            for policy, episodes in POLICIES[env].items():
                add("returns", f"{env} {policy}", compared(env, policy, episodes))
            if env != "CarRacing-v3":
                add("starts", env, starts(env))
            if env in TRAJECTORIES:
                add("trajectories", env, trajectory(env))
    if options.speed:
        measured = speeds(options.seconds, options.turns)
        with changing(FILE) as result:
            result["speed"] = measured


def add(part, name, row):
    """Add a row to a part of the file, and print it."""
    with changing(FILE) as result:
        result.setdefault(part, {})[name] = row
        result["versions"] = versions("numpy", "gymnasium", "mujoco", "envpool")
    print(name, json.dumps(row), flush=True)


if __name__ == "__main__":
    as_script(main)
