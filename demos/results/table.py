"""Write the tables of the manual and the READMEs, and what `scratchac presets` says, from the files in this folder.

    python demos/results/table.py            rewrites what stands between the markers in these documents
    python demos/results/table.py --check    names the documents that this would change, and exits with 1 if there are any
"""

import argparse
import json
import re
import sys
from pathlib import Path

import tables_of_returns
import tables_of_speed
import tables_of_tests
from layout import short
from returned import reached

from scratchac.experiments.files import atomic_file

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "manual").glob("*.md")), ROOT / "kernels" / "README.md",
             ROOT / "demos" / "results" / "README.md"]
REACHED = ROOT / "scratchac" / "experiments" / "reached.json"
SPEEDS_OF_THE_README = [("A2C, CartPole-v1, 8 environments × 5 steps",),
                        ("A2C, LunarLander-v3, 8 environments × 5 steps, 128-128",),
                        ("SAC, Pendulum-v1, 64-64, batch 100",), ("SAC, HalfCheetah-v5, 256-256, batch 256",)]


def tables():
    """{name in the markers: the table}."""
    returns, speed, tests = tables_of_returns, tables_of_speed, tables_of_tests
    return {
        "returns": returns.returns(), "returns-short": returns.returns_short(),
        "beside": returns.beside_others(), "tried": returns.tried(), "anatomy": returns.anatomy(), "games": returns.games(),
        "pixels": returns.pixels(), "hindsight": returns.hindsight(),
        "solve": speed.solve(), "solve-short": speed.solve(short=True), "speed": speed.speed(),
        "speed-short": short(speed.speed_of("Training"), SPEEDS_OF_THE_README,
                             ["environment steps per second", "numpy", "numba", "Stable-Baselines3"]),
        "halfcheetah": speed.speed_of("Training", "halfcheetah.json"), "growth": speed.every_table("growth.json"),
        "busy": speed.every_table("busy.json"), "kernels": speed.kernels(),
        "profile": speed.profile(), "engines": speed.engines(), "engine-speed": speed.engine_speed(),
        "reliability": tests.reliability(), "mutants": tests.mutants(), "matrix": tests.matrix(), "versions": tests.versions(),
        "thirdparty": tests.thirdparty(),
    }


def filled(text, tables):
    """A document with each table between its markers."""
    for name, table in tables.items():
        pattern = rf"(<!-- {name}: begin -->\n).*?(<!-- {name}: end -->)"
        text = re.sub(pattern, lambda match, table=table: f"{match[1]}{table}\n{match[2]}", text, flags=re.S)
    return text


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing, and exit with 1 if there is something to change")
    check, now = parser.parse_args().check, tables()
    written = {path: filled(path.read_text(), now) for path in DOCUMENTS} | {REACHED: json.dumps(reached(), indent=1) + "\n"}
    changed = [path for path, text in written.items() if path.read_text() != text]
    if check:
        sys.exit("\n".join(f"{path.relative_to(ROOT)} is not what table.py writes" for path in changed) or None)
    for path in changed:
        with atomic_file(path) as file:
            file.write(written[path].encode())
