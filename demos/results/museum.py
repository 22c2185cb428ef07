"""Train the right and the wrong version of the museum's exhibits, and write the figures of both to museum.json.

    python demos/results/museum.py [NAME …]      the exhibits that are not there yet, or the named ones again; stops and goes on
    python demos/results/museum.py --matrix      which checks notice which exhibit: matrix.json, from museum.json and the checks

The right version is trained once for each base and shared by its exhibits.
"""

import json
import sys
from pathlib import Path

from scratchac.errors import find_name
from scratchac.experiments.files import atomic_file
from scratchac.lab.museum import EXHIBITS, measure
from scratchac.lab.museum.bases import BASES
from scratchac.lab.museum.matrix import row

HERE = Path(__file__).parent
FIGURES, MATRIX = HERE / "museum.json", HERE / "matrix.json"


def write(path, content):
    """Write JSON with one line for each exhibit."""
    key, entries = next(iter(content.items()))
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(entry)}" for name, entry in entries.items())
    with atomic_file(path) as file:
        file.write(f'{{"{key}": {{\n{lines}\n}}}}\n'.encode())


def main(names):
    """Train what is missing, one exhibit after another."""
    done = json.loads(FIGURES.read_text(encoding="utf-8"))["exhibits"] if FIGURES.exists() else {}
    wanted = [find_name("exhibit", name, list(EXHIBITS), "scratchac museum lists them") for name in names]
    wanted = wanted or sorted((name for name in EXHIBITS if name not in done), key=lambda name: BASES[EXHIBITS[name].base].seconds)
    sides = {one["base"]: one["right"] for name, one in done.items() if name not in wanted}
    for name in wanted:
        one = EXHIBITS[name]
        base = one.training
        if one.base not in sides:
            sides[one.base] = measure.side([measure.train(one.base, None, seed) for seed in base.seeds])
        wrong = measure.side([measure.train(one.base, one, seed) for seed in base.seeds])
        done[name] = {"base": one.base, "seeds": list(base.seeds), "steps": base.steps, "right": sides[one.base], "wrong": wrong,
                      "witness": {"right": measure.rounded(one.measure(False)), "wrong": measure.rounded(one.measure(True))}}
        write(FIGURES, {"exhibits": {key: done[key] for key in EXHIBITS if key in done}})
        print(f"## {name} ({one.base})\n{measure.table(sides[one.base], wrong)}", flush=True)


def matrix():
    """Write matrix.json."""
    done = json.loads(FIGURES.read_text(encoding="utf-8"))["exhibits"]
    write(MATRIX, {"exhibits": {name: row(EXHIBITS[name], seen) for name, seen in done.items()}})


if __name__ == "__main__":
    matrix() if sys.argv[1:] == ["--matrix"] else main(sys.argv[1:])
