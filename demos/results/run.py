"""Train a preset on several seeds and record how the last policy does.

    python demos/results/run.py a2c LunarLander-v3 --seeds 0-9 --backend numba

writes, seed by seed, demos/results/returns/a2c-LunarLander-v3-numba.json (with NumPy: a2c-LunarLander-v3.json), and the learning
curves under the same name in demos/results/curves/. Seeds already in the file are not run again. The policy is the last one, never
the best; 100 new episodes, both with the most likely action and with sampled ones.

    python demos/results/run.py a2c LunarLander-v3 --tuning --seeds 500-504 --set critic_steps=1

records what another setting gives, in demos/results/tried/a2c-LunarLander-v3.json. The best of many settings on some seeds is also
the luckiest one. So the two never share a seed: a result is refused on the tuning seeds that presets.toml records, and a setting is
tried on these alone.
"""

import argparse
import csv
import io
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
from files import OURS, as_script, changing, given_by, read, require_same, seeds, summary, versions

import kernels
import scratchac
from scratchac import algorithms
from scratchac.algorithms.config import configure
from scratchac.experiments.files import atomic_file
from scratchac.experiments.presets import find_preset, tuning_seeds
from scratchac.experiments.run import Run
from scratchac.tools.flags import seeds_from
from scratchac.training.compiled import cores

HERE = Path(__file__).parent
POINTS = 40                     # of a learning curve that are kept


def main():
    options = arguments()
    require_honest(options)
    given = given_by(options.set)
    backend = kernels.load(options.backend).name
    name = options.name or "-".join(filter(None, (options.algorithm, options.env, options.preset)))
    path = HERE / ("tried" if options.tuning else "returns") / f"{name}{'' if backend == 'numpy' else f'-{backend}'}.json"
    tuned, env_args = find_preset(options.algorithm, options.env, options.preset)
    if options.tuning and read(path).get("preset", tuned) != tuned:
        raise SystemExit(f"the settings in {path} differ from an earlier preset: delete the file and try them again")
    if not options.tuning:
        config_class = algorithms.find(options.algorithm).config_class
        require_same(path, read(path), configure(config_class, options.algorithm, tuned | given), env_args=env_args)
    missing = [seed for seed in options.seeds if str(seed) not in entry(read(path), options)["seeds"]]
    if not missing:
        print(f"{path} has these seeds already: another --name records them anew")
    for seed in missing:
        record(options, given, backend, seed, path)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("algorithm")
    parser.add_argument("env")
    parser.add_argument("--seeds", type=seeds, default=range(5), help="such as 3, 0-9 or 0,2,5-7")
    parser.add_argument("--backend", choices=("numpy", "numba"), default="numpy", help="who computes")
    parser.add_argument("--preset", help="an additional preset by its name")
    parser.add_argument("--set", nargs="*", default=[], help="hyperparameters that differ from the preset, as name=value")
    parser.add_argument("--tuning", action="store_true", help="record a setting that was tried, on the preset's tuning seeds")
    parser.add_argument("--name", help="name of the file, if not ALGORITHM-ENV[-PRESET]")
    return parser.parse_args()


def require_honest(options):
    """Exit with a message unless results are on new seeds, and settings are tried on the preset's tuning seeds."""
    recorded = tuning_seeds(options.algorithm, options.env, options.preset)
    which = f"{options.algorithm} on {options.env}"
    tuned = set() if recorded is None else set(seeds_from(recorded))
    if options.tuning and not tuned:
        raise SystemExit(f"the preset of {which} records no tuning seeds: add tuning_seeds to presets.toml first")
    wrong = sorted(set(options.seeds) - tuned if options.tuning else set(options.seeds) & tuned)
    if wrong and options.tuning:
        raise SystemExit(f"seed {wrong[0]} is not for tuning: settings of {which} are tried on seeds {recorded} alone")
    if wrong:
        raise SystemExit(f"seed {wrong[0]} is one that the preset of {which} was tuned on ({recorded}): report on others")


def record(options, given, backend, seed, path):
    """Train with one seed, evaluate the last policy, and add both to the files."""
    tuned, env_args = find_preset(options.algorithm, options.env, options.preset)
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        agent = scratchac.train(options.algorithm, options.env, seed=seed, backend=backend, preset=options.preset,
                                out=f"{folder}/run", **given)
        metrics = Run.open(f"{folder}/run").metrics()
    minutes = (time.monotonic() - started) / 60
    scores = {policy: scratchac.evaluate(agent, options.env, 100, explore=policy == "stochastic", **env_args)
              for policy in ("deterministic", "stochastic")}
    with changing(path) as result:
        entry(result, options)["seeds"][str(seed)] = {
            "steps": agent.step, "minutes": round(minutes, 2), **({"threads": cores()} if backend == "numba" else {}),
            **{policy: summary(returns) for policy, returns in scores.items()}}
        result |= {"algorithm": options.algorithm, "env": options.env, "env_args": env_args, "backend": backend,
                   "versions": versions(*OURS, before=result.get("versions"))}
        if options.tuning:
            result["preset"] = tuned
        else:
            # What the preset does not record stays what the file says: of too few seeds for the preset it alone knows.
            known = tuning_seeds(options.algorithm, options.env, options.preset) or result.get("tuning_seeds")
            result |= {"steps": agent.config.steps, "tuning_seeds": known, "hyperparameters": asdict(agent.config)}
            add_curve(HERE / "curves" / f"{path.stem}.csv", seed, metrics, result["seeds"])
    print(f"{path.stem} {' '.join(options.set)} seed {seed}: {scores['deterministic'].mean():.1f} ± "
          f"{scores['deterministic'].std():.1f}, sampled {scores['stochastic'].mean():.1f}", flush=True)


def entry(result, options):
    """The part of a file that holds these seeds: all of a file of results, or one setting among those that were tried."""
    if options.tuning:
        result = result.setdefault("settings", {}).setdefault(" ".join(sorted(options.set)) or "the preset", {})
    result.setdefault("seeds", {})
    return result


def add_curve(path, seed, metrics, kept):
    """Add the mean return of the last 100 training episodes, at POINTS steps evenly apart, to a CSV file.

    kept    seeds in the file of results; rows of others, and earlier ones of this seed, are dropped
    """
    path.parent.mkdir(exist_ok=True)
    rows = list(csv.reader(path.read_text().splitlines()))[1:] if path.exists() else []
    rows = [row for row in rows if row[0] in kept and row[0] != str(seed)]
    for i in np.linspace(0, len(metrics["step"]) - 1, POINTS).astype(int):
        rows.append((seed, int(metrics["step"][i]), round(float(metrics["return_mean"][i]), 1)))
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows([("seed", "step", "return_mean"), *rows])
    with atomic_file(path) as file:
        file.write(text.getvalue().encode())


if __name__ == "__main__":
    as_script(main)
