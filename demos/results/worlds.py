"""Policies trained in one world and in random worlds, tested in many worlds: what demo 08 draws.

    python demos/results/worlds.py --seeds 0-4

trains A2C with LunarLander's preset for each number of STEPS, with the usual physics and with new physics in each episode
(--randomise), and plays EPISODES episodes at each gravity and wind, the same first states for all. It adds to
demos/results/worlds.json, policy by policy as they come; those already there are not trained again. $SCRATCHAC_BACKEND says who
computes.
"""

import argparse
from dataclasses import asdict
from itertools import product
from pathlib import Path

from files import OURS, as_script, changing, read, require_same, seeds, versions

import kernels
import scratchac

FILE = Path(__file__).parent / "worlds.json"
ENV, STEPS, EPISODES = "LunarLander-v3", (1_000_000, 3_000_000), 20
GRAVITIES, WINDS = (-11.9, -10.0, -8.0, -6.0, -4.0, -2.0), (0.0, 10.0, 20.0)        # winds: Gymnasium's wind_power; 0 is no wind


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=seeds, default=range(5), help="such as 3, 0-9 or 0,2,5-7")
    backend = kernels.default_backend()
    config = scratchac.make_agent("a2c", ENV).config
    made = {"env": ENV, "episodes": EPISODES, "gravities": GRAVITIES, "winds": WINDS, "backend": kernels.load(backend).name}
    require_same(FILE, read(FILE), config, cure="delete it", **made)
    for seed, steps, random in product(parser.parse_args().seeds, STEPS, (False, True)):
        if str(seed) in read(FILE, returns={})["returns"].get(key(steps, random), {}):
            continue
        agent = scratchac.train("a2c", ENV, steps, seed, backend=backend, randomise=random)
        returns = [[round(float(tested(agent, gravity, wind)), 1) for gravity in GRAVITIES] for wind in WINDS]
        with changing(FILE, returns={}) as result:
            result |= {"command": "python demos/results/worlds.py", **made, "hyperparameters": asdict(config),
                       "versions": versions(*OURS, before=result.get("versions"))}
            result["returns"].setdefault(key(steps, random), {})[str(seed)] = returns
        print(f"{key(steps, random)}, seed {seed}: {returns}", flush=True)


def tested(agent, gravity, wind):
    """The mean return in one world."""
    return scratchac.evaluate(agent, ENV, EPISODES, gravity=gravity, enable_wind=wind > 0, wind_power=wind).mean()


def key(steps, random):
    """What training is called in the file."""
    return f"{'random worlds' if random else 'one world'}, {steps:,} steps"


if __name__ == "__main__":
    as_script(main)
