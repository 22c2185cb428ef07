"""Cause thousands of faults and count their outcomes, for the reliability table of the manual.

    python tests/faults.py --kills 500 --flips 20000 --values 1500 --inputs 400 --resumes --soak 30

Each figure is written to demos/results/reliability.json at once, and `python demos/results/table.py` makes the table. The tests run
the same code with fewer faults.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import gymnasium
import numpy as np

os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
os.environ["SCRATCHAC_BACKEND"] = os.environ.get("SCRATCHAC_BACKEND") or "numpy"

import damage

import scratchac
from scratchac import algorithms
from scratchac.algorithms.config import configure
from scratchac.experiments.presets import find_preset, presets

FILE = Path(__file__).parents[1] / "demos" / "results" / "reliability.json"

# What makes any preset's run short, without changing what has to be brought back.
SHORT = {"rollout": 32, "batch_size": 32, "learning_starts": 100, "buffer_size": 400, "epochs": 2, "hidden": (16, 16)}
COMMAND = "import sys; from scratchac.experiments import conclusion; conclusion.EVALUATION_EPISODES = 1; " \
          "from scratchac.__main__ import main; sys.exit(main(sys.argv[1:]))"


def resume_every_preset(folder, report):
    """Stop a short run of each preset on each backend, resume it in a new process, and compare it with one that never stopped."""
    for algorithm, tables in presets().items():
        for key in tables:
            if algorithm == "a3c":                          # time decides what several workers learn
                continue
            for backend in ("numpy", "numba"):
                started, (env, _, preset) = time.monotonic(), key.partition(":")
                tuned = find_preset(algorithm, env, preset or None)[0]
                config = configure(algorithms.find(algorithm).config_class, algorithm, tuned)
                words = ["train", algorithm, "--env", env, "--backend", backend, *(["--preset", preset] if preset else [])]
                for name, value in SHORT.items():
                    if hasattr(config, name) and (name == "hidden" or getattr(config, name) > value):
                        words += [f"--{name.replace('_', '-')}", *map(str, value if name == "hidden" else [value])]
                update = getattr(config, "envs", 1) * min(getattr(config, "rollout", 1), SHORT["rollout"])
                steps, stop = max(600, 6 * update), max(250, 2 * update)
                where = folder / f"{algorithm}-{key}-{backend}"
                scratchac_in_a_process(*words, "--steps", steps, "--out", where / "whole")
                scratchac_in_a_process(*words, "--steps", steps, "--out", where / "parts", "--stop-after", stop)
                scratchac_in_a_process("resume", where / "parts")
                damage.same(where / "whole", where / "parts")
                report({"what": f"{algorithm} on {key}", "backend": backend, "steps": steps, "stopped": stop,
                        "seconds": round(time.monotonic() - started)})


def scratchac_in_a_process(*words):
    one_core = {"NUMBA_NUM_THREADS": "1"}                   # another number would cut batches elsewhere
    subprocess.run([sys.executable, "-c", COMMAND, *map(str, words), "--quiet", "--no-video"], check=True,
                   env=os.environ | one_core, stdout=subprocess.DEVNULL)


def keep(name, value):
    """Put a figure into the file, and print it."""
    kept = json.loads(FILE.read_text()) if FILE.exists() else {}
    kept[name] = value
    kept["versions"] = {"python": platform.python_version(), "numpy": np.__version__, "gymnasium": gymnasium.__version__}
    FILE.write_text(json.dumps(kept, indent=1) + "\n")
    print(f"{name}: {value[-1] if isinstance(value, list) else value}", flush=True)


def rows(name):
    """Return a function that adds a row to the file; it replaces the row of the same thing and backend."""
    def add(row):
        kept = json.loads(FILE.read_text()).get(name, []) if FILE.exists() else []
        new = row["what"], row.get("backend")
        keep(name, [x for x in kept if (x["what"], x.get("backend")) != new] + [row])
    return add


def main():
    import soak  # here, since the processes that are killed import this file, too
    import strange
    import values

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=0, help="times a process that writes checkpoints is killed")
    parser.add_argument("--flips", type=int, default=0, help="times bits of a checkpoint are flipped")
    parser.add_argument("--values", type=int, default=0, help="times a value in a run's folder is altered")
    parser.add_argument("--inputs", type=int, default=0, help="command lines; ten times as many calls and environments")
    parser.add_argument("--resumes", action="store_true", help="resume a run of every preset, on every backend")
    parser.add_argument("--soak", type=float, default=0, metavar="MINUTES", help="torment runs for so long")
    parser.add_argument("--cases", nargs="*", choices=soak.CASES, default=list(soak.CASES), help="only these")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        if options.kills:
            keep("kills", damage.kill_writers(folder / "killed", options.kills))
        if options.flips:
            scratchac.train("a2c", "CartPole-v1", 400, out=folder / "flipped", hidden=(4,), normalise_obs=True, optimiser="adam")
            keep("flips", damage.flip_bits(folder / "flipped", options.flips))
        if options.values:
            seen = values.alter(values.make(folder / "values"), options.values)
            for what in values.ALTER:
                keep(f"values in {what}", {outcome: count for (where, outcome), count in seen.items() if where == what})
        if options.inputs:
            keep("command lines", strange.command_lines(options.inputs))
            keep("function calls", strange.function_calls(10 * options.inputs))
            keep("environments", strange.environments(10 * options.inputs))
        if options.resumes:
            resume_every_preset(folder / "resumed", rows("resumes"))
        if options.soak:
            soak.soak(options.soak, rows("soak"), folder / "soak", options.cases)


if __name__ == "__main__":
    main()
