"""Train an algorithm on several seeds and record how the last policy does.

    python demos/results/run.py a2c LunarLander-v3 --seeds 0-4

writes demos/results/returns/a2c-LunarLander-v3.json, one entry per seed, as they come; seeds already in the file are not run
again. $SCRATCHAC_BACKEND says who computes. The policy is the last one, never the best; 100 fresh episodes, both with the most
likely action and with sampled ones.
"""

import argparse
import json
import os
import platform
from dataclasses import asdict
from pathlib import Path

import gymnasium
import numpy as np

import kernels
import scratchac
from scratchac.experiments.presets import find_preset
from scratchac.tools.flags import seeds_from, value_of

FOLDER = Path(__file__).parent / "returns"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("algorithm")
    parser.add_argument("env")
    parser.add_argument("--seeds", type=seeds_from, default=range(5), help="one seed, or FIRST-LAST")
    parser.add_argument("--preset", help="a further preset by its name")
    parser.add_argument("--set", nargs="*", default=[], help="hyperparameters that differ from the preset, as name=value")
    parser.add_argument("--name", help="name of the file, if not ALGORITHM-ENV")
    options = parser.parse_args()
    given = dict(word.split("=", 1) for word in options.set)
    given = {name: value_of(text) for name, text in given.items()}
    path = FOLDER / f"{options.name or f'{options.algorithm}-{options.env}'}.json"
    backend = os.environ.get("SCRATCHAC_BACKEND", "auto")
    env_args = find_preset(options.algorithm, options.env, options.preset)[1]
    result = json.loads(path.read_text()) if path.exists() else {}
    for seed in options.seeds:
        if str(seed) in result.get("seeds", {}):
            continue
        agent = scratchac.train(options.algorithm, options.env, seed=seed, backend=backend, preset=options.preset, **given)
        scores = {name: scratchac.evaluate(agent, options.env, 100, explore=name == "stochastic", **env_args)
                  for name in ("deterministic", "stochastic")}
        result |= {"algorithm": options.algorithm, "env": options.env, "env_args": env_args, "steps": agent.config.steps,
                   "backend": kernels.load(backend).name, "hyperparameters": asdict(agent.config),
                   "versions": {"python": platform.python_version(), "numpy": np.__version__, "gymnasium": gymnasium.__version__}}
        result.setdefault("seeds", {})[str(seed)] = {
            "steps": agent.step,
            **{name: {"mean": round(float(x.mean()), 2), "std": round(float(x.std()), 2)} for name, x in scores.items()},
        }
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(result, indent=1) + "\n")
        print(f"{path.stem} seed {seed}: {scores['deterministic'].mean():.1f} ± {scores['deterministic'].std():.1f}, "
              f"sampled {scores['stochastic'].mean():.1f}", flush=True)


if __name__ == "__main__":
    main()
