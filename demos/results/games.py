"""Train by self-play on several seeds and record how the last policy plays.

    python demos/results/games.py ppo tictactoe_v3 --seeds 0-2

adds to demos/results/games.json, one entry per seed, as they come; seeds already there are not run again. With --set NAME=VALUE
they are an entry of their own. $SCRATCHAC_BACKEND says who computes. The last policy plays 1,000 games against random moves and,
where that can be computed, 1,000 against perfect ones, each with its most likely actions and with sampled ones, and begins every
other game.
"""

import argparse
from dataclasses import asdict
from pathlib import Path

from files import as_script, changing, given_by, read, require_same, seeds, versions
from perfect import perfectly

import kernels
import scratchac
from scratchac.environments.games import GAMES, Game, at_random

FILE = Path(__file__).parent / "games.json"
GAMES_PLAYED = 1_000
OPPONENTS = {"tictactoe_v3": {"random": at_random, "perfect": perfectly}, "connect_four_v3": {"random": at_random}}


def results(agent, env, opponent, explore, games=GAMES_PLAYED):
    """{who begins: the shares of games won, drawn and lost}."""
    scores = scratchac.evaluate(agent, lambda: Game(env, opponent), games, explore=explore)
    return {side: {outcome: float((x == score).mean()) for outcome, score in (("won", 1), ("drawn", 0), ("lost", -1))}
            for side, x in (("first", scores[::2]), ("second", scores[1::2]))}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("algorithm", choices=["a2c", "ppo"])
    parser.add_argument("env", choices=list(GAMES))
    parser.add_argument("--seeds", type=seeds, default=range(3), help="such as 3, 0-9 or 0,2,5-7")
    parser.add_argument("--set", nargs="*", default=[], help="hyperparameters that differ from the preset, as name=value")
    options = parser.parse_args()
    given = given_by(options.set)
    backend = kernels.default_backend()
    name = " ".join([f"{options.algorithm}-{options.env}", *options.set])
    config = scratchac.make_agent(options.algorithm, options.env, **given).config
    require_same(FILE, so_far(name), config, cure=f"delete its entry {name!r}", backend=kernels.load(backend).name)
    for seed in options.seeds:
        if str(seed) in so_far(name)["seeds"]:
            continue
        agent = scratchac.train(options.algorithm, options.env, seed=seed, backend=backend, **given)
        scores = {opponent: {"deterministic": results(agent, options.env, play, False),
                             "stochastic": results(agent, options.env, play, True)}
                  for opponent, play in OPPONENTS[options.env].items()}
        with changing(FILE) as everything:
            entry = everything.setdefault(name, {"seeds": {}})
            entry |= {
                "algorithm": options.algorithm, "env": options.env, "set": options.set, "steps": agent.config.steps,
                "games": GAMES_PLAYED, "backend": kernels.load(backend).name, "hyperparameters": asdict(agent.config),
                "versions": versions("numpy", "numba", "pettingzoo", before=entry.get("versions"))}
            entry["seeds"][str(seed)] = scores
        print(f"{name} seed {seed}: {scores}", flush=True)


def so_far(name):
    """What the file holds under that name."""
    return read(FILE).get(name, {"seeds": {}})


if __name__ == "__main__":
    as_script(main)
