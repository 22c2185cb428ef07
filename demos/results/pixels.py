"""CarRacing from pictures: what random and constant driving is worth, and what a run is.

    python demos/results/pixels.py                 the baselines, into demos/results/pixels.json
    python demos/results/pixels.py runs/ppo-…      evaluates a run that `scratchac train` left, into returns/ppo-CarRacing-v3.json

    scratchac train ppo --env CarRacing-v3 --vector envpool --seed 1 --out runs/racing
    scratchac train ppo --env CarRacing-v3 --init runs/racing --steps 81920 --lr linear:1e-4:0 --seed 1 --out runs/continued
    python demos/results/pixels.py runs/racing runs/continued
    scratchac train ppo --env CarRacing-v3 --init runs/continued --steps 163840 --lr linear:1e-4:0 --seed 1 --out runs/twice
    python demos/results/pixels.py --name ppo-CarRacing-v3-continued-twice runs/twice

A run that began with the policy of another one (`--init`) goes into returns/ppo-CarRacing-v3-continued.json, with the steps and the
minutes of all of them. --name is for other settings than these.

Each policy is evaluated in three ways: deterministic, stochastic, and, if it is a Gaussian, with its clipped mean clip(μ).

20 episodes each, the same tracks for all (seeds 0 to 19), since an episode of the racing car costs seconds. Random actions last as
many frames as in SAC's preset. The best constant action is the best of a grid on these very tracks, which flatters it.
"""

import argparse
from itertools import product
from pathlib import Path

import numpy as np
from files import OURS, as_script, changing, read, require_same, summary, versions, write

import scratchac
from scratchac.distributions import Gaussian
from scratchac.environments.make import make
from scratchac.errors import UserError
from scratchac.experiments.presets import find_preset, tuning_seeds
from scratchac.experiments.run import Run

EPISODES, ENV = 20, "CarRacing-v3"
FOLDER = Path(__file__).parent
STEERING, GAS, BRAKE = (-0.3, -0.2, -0.1, -0.05, 0.0, 0.05, 0.1, 0.2, 0.3), (0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0), (0.0, 0.1)


def random_returns(repeat):
    env, returns = make(ENV, pixels={"repeat": repeat}), np.zeros(EPISODES)
    for seed in range(EPISODES):
        env.reset(seed=seed)
        env.action_space.seed(seed)
        over = False
        while not over:
            _, reward, term, trunc, _ = env.step(env.action_space.sample())
            returns[seed] += reward
            over = term or trunc
    return returns


def constant_returns(action):
    env, returns = make(ENV, pixels={"repeat": 1000}), []       # a whole episode is one action, and one picture
    for seed in range(EPISODES):
        env.reset(seed=seed)
        returns.append(env.step(np.array(action, np.float32))[1])
    return returns


def baselines():
    repeat = find_preset("sac", ENV)[1]["pixels"]["repeat"]
    grid = {action: summary(constant_returns(action)) for action in product(STEERING, GAS, BRAKE)}
    best = max(grid, key=lambda action: grid[action]["mean"])
    result = {"env": ENV, "episodes": EPISODES, "repeat": repeat, "random": summary(random_returns(repeat)),
              "constant": {"action": best, **grid[best]}, "constants_tried": len(grid),
              "still": summary(constant_returns((0.0, 0.0, 0.0)))}
    write(FOLDER / "pixels.json", result)
    print(result)


def evaluation(path, name):
    run, agent = Run.open(path), scratchac.load(path)
    config = run.config
    usual = f"{config['algorithm']}-{config['env']}{'-continued' if config['init'] else ''}"
    file = FOLDER / "returns" / f"{name or usual}.json"
    before = read(file)
    parts = [run]
    while parts[0].config["init"]:
        parts.insert(0, Run.open(parts[0].config["init"]))
    ends = [{name: column[-1] for name, column in part.metrics().items()} for part in parts]
    steps, episodes = (int(sum(end[name] for end in ends)) for name in ("step", "episodes"))
    minutes = round(float(sum(end["wall_s"] for end in ends)) / 60, 1)
    require_same(file, before, agent.config, env_args=config["env_args"], backend=config["backend"],
                 vector=parts[0].config["vector"], episodes=EPISODES)
    if str(config["seed"]) in before.get("seeds", {}):
        raise UserError(f"{file} has seed {config['seed']} already: take another --name, or delete it there")
    scores = {name: scratchac.evaluate(agent, config["env"], EPISODES, explore=name == "stochastic", **config["env_args"])
              for name in ("deterministic", "stochastic")}
    if isinstance(agent.dist, Gaussian):
        agent.dist.greedy = lambda y: y[:, agent.dist.features :]           # μ, which `to_env` clips
        scores["clipped_mean"] = scratchac.evaluate(agent, config["env"], EPISODES, **config["env_args"])
    with changing(file, seeds={}) as result:
        result |= {name: config[name] for name in ("algorithm", "env", "env_args", "backend", "hyperparameters")}
        result |= {"steps": steps, "vector": parts[0].config["vector"], "episodes": EPISODES,
                   "versions": versions(*OURS, before=result.get("versions")),
                   "tuning_seeds": tuning_seeds(config["algorithm"], config["env"])}
        result["seeds"][str(config["seed"])] = {
            "steps": steps, "minutes": minutes, "training_episodes": episodes,
            **({"continued": int(sum(end["step"] for end in ends[1:]))} if config["init"] else {}),
            **{name: summary(returns) for name, returns in scores.items()}}
    print(f"{file.stem} seed {config['seed']}, {steps} steps: " +
          ", ".join(f"{name} {returns.mean():.1f} ± {returns.std():.1f}" for name, returns in scores.items()))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="*", help="folders of runs; without one, the baselines are measured")
    parser.add_argument("--name", help="name of the file, if not ALGORITHM-ENV")
    options = parser.parse_args()
    for path in options.runs:
        evaluation(path, options.name)
    if not options.runs:
        baselines()


if __name__ == "__main__":
    as_script(main)
