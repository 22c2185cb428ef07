"""Train the right and the wrong version of the museum's exhibits, and write the figures of both to museum.json.

    python demos/results/museum.py [NAME …]      the exhibits that are not there yet, or the named ones again; stops and goes on
    python demos/results/museum.py --matrix      which checks notice which exhibit: matrix.json, from museum.json and the checks

Each exhibit is trained on its own base and on a second one of the same algorithm (SECOND), of which the file has no curves. The
right version is trained once for each base and shared by its exhibits.
"""

import json
import sys
from pathlib import Path

from files import as_script

from scratchac.errors import find_name
from scratchac.experiments.files import atomic_file
from scratchac.lab.museum import EXHIBITS, measure
from scratchac.lab.museum.bases import BASES, SECOND
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
    missing = [name for name in EXHIBITS if "second" not in done.get(name, {})]
    sides = {one["base"]: one["right"] for one in done.values()}

    def both(base, exhibit):
        seeds = BASES[base].seeds
        if base not in sides:
            sides[base] = measure.side([measure.train(base, None, seed) for seed in seeds])
        return {"base": base, "seeds": list(seeds), "steps": BASES[base].steps, "right": sides[base],
                "wrong": measure.side([measure.train(base, exhibit, seed) for seed in seeds])}

    for name in wanted or sorted(missing, key=lambda name: BASES[EXHIBITS[name].base].seconds):
        one = EXHIBITS[name]
        entry = (None if name in wanted else done.get(name)) or both(one.base, one) | {
            "witness": {"right": measure.rounded(one.measure(False)), "wrong": measure.rounded(one.measure(True))}}
        second = both(SECOND[one.base], one)
        done[name] = entry | {"second": {key: without_curves(value) for key, value in second.items()}}
        write(FIGURES, {"exhibits": {key: done[key] for key in EXHIBITS if key in done}})
        for side in (entry, second):
            print(f"## {name} ({side['base']})\n{measure.table(side['right'], side['wrong'])}", flush=True)


def without_curves(value):
    """A side without its curves; anything else as it is."""
    return {key: x for key, x in value.items() if key != "curves"} if isinstance(value, dict) else value


def matrix():
    """Write matrix.json."""
    done = json.loads(FIGURES.read_text(encoding="utf-8"))["exhibits"]
    write(MATRIX, {"exhibits": {name: row(EXHIBITS[name], seen) for name, seen in done.items()}})


if __name__ == "__main__":
    as_script(lambda: matrix() if sys.argv[1:] == ["--matrix"] else main(sys.argv[1:]))
