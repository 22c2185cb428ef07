"""Tables of speed: bench.json, halfcheetah.json, profile.json, solve-*.json, growth.json, busy.json and engines.json."""

import json
from pathlib import Path

from layout import table

from scratchac.bench import report

HERE = Path(__file__).parent
UNMEASURED = "Not measured yet."


def solve(short=False):
    """Seconds until a policy solves its environment, from `scratchac bench --solve --peers --env ENV --json`, the fastest first.

    short   of the other libraries only the fastest algorithm of each
    """
    rows = []
    for env, found in solved().items():
        libraries = set()
        for threshold, who, row in sorted(found, key=lambda row: row[2]["seconds"] or float("inf")):
            library = who.partition(",")[0]
            if short and library in libraries and library != "scratchac":
                continue
            libraries.add(library)
            rows.append([env, threshold, who, *("" if row[name] is None else report.number(row[name])
                                                for name in ("seconds", "environment steps", "solved"))])
    titles = ["environment", "mean return", "", "seconds", "environment steps", "seeds"]
    return table(titles, rows, right=("seconds", "environment steps")) if rows else UNMEASURED


def solved():
    """{environment: [(threshold, library and algorithm, row)]} of solve-ENV.json."""
    found = {}
    for path in sorted(HERE.glob("solve-*.json")):
        for _, rows, _ in measured(path.name):
            for row in rows:
                task, who = row["what"].split(": ")
                env, threshold = task.split(", ")
                found.setdefault(env, []).append((threshold, who, row))
    return found


def every_table(name):
    """All tables of a file, as of `scratchac bench --growth --json`."""
    tables = [f"**{title}**\n\n{report.table(rows, unit, max if unit.endswith('per second') else None)}"
              for title, rows, unit in measured(name)]
    return "\n\n".join(tables) or UNMEASURED


def measured(name):
    """The tables of a file that `scratchac bench --json` has written, (title, rows, unit); none if there is no such file."""
    path = HERE / name
    result = json.loads(path.read_text()) if path.exists() else {}
    return [(title, entry["rows"], entry["unit"]) for title, entry in result.items() if isinstance(entry, dict) and "rows" in entry]


def speed():
    return "\n\n".join(map(speed_of, ("Updates", "Training")))


def speed_of(title, file="bench.json"):
    """What each backend does, and the best of what each peer does with one thread and with all; ratios to Stable-Baselines3.

    A column without a rate is left out.
    """
    peers = ["Stable-Baselines3", "SBX", "plain PyTorch"]
    ours, others = {"Updates": (["numpy", "numba"], ["products alone"]),
                    "Training": (["numpy", "numba", "numba, --vector compiled"], ["PureJaxRL", "RLtools"])}[title]
    columns = [*ours, *peers, *others]
    result, rows = json.loads((HERE / file).read_text())[title], []
    for row in result["rows"]:
        if "floor" in row:
            row["products alone"] = row.pop("floor")
        rates = {name: max((x for column, x in row.items() if column == name or (name in peers and column.startswith(name))),
                           default=None) for name in columns}
        cells = {name: "" if rate is None else f"{rate:,.0f}" for name, rate in rates.items()}
        for name in ours:
            if rates[name] and rates["Stable-Baselines3"]:
                cells[name] += f" (**{rates[name] / rates['Stable-Baselines3']:.1f}×**)"
        rows.append({result["unit"]: row["what"]} | cells)
    shown = [name for name in rows[0] if any(row[name] for row in rows)]
    return table(shown, [[row[name] for name in shown] for row in rows])


def kernels():
    rows = json.loads((HERE / "bench.json").read_text())["Kernels"]["rows"]
    return table(["µs", "numpy", "numba", ""], [[row["what"], f"{row['numpy']:,.1f}", f"{row['numba']:,.1f}",
                                                 f"{row['numpy'] / row['numba']:.1f}×"] for row in rows])


def profile():
    rows = json.loads((HERE / "profile.json").read_text())["Where the time goes, numba"]["rows"]
    columns = [name for name in rows[0] if name != "what"]
    return table(["µs per environment step", *columns], [[row["what"], *(f"{row[name]:,.1f}" for name in columns)] for row in rows])


def engines():
    """EnvPool's environments beside Gymnasium's: returns and lengths of fixed policies; the same actions from the same states."""
    figures = json.loads((HERE / "engines.json").read_text())
    return "\n\n".join([engines_returns(figures["returns"]), engines_starts(figures["starts"]),
                        engines_trajectories(figures["trajectories"])])


def engines_returns(figures):
    rows = []
    for name, row in figures.items():
        both = [row[engine] for engine in ("Gymnasium", "EnvPool")]
        rows.append([*name.split(), f"{row['episodes']:,}", *("{:.1f} ± {:.1f}".format(*x["return"]) for x in both),
                     f"{row['z']:+.1f}", ", ".join(f"{x['length']:.0f}" for x in both),
                     ", ".join(f"{x['terminal']:.0%}" for x in both)])
    numbers = ["episodes", "return, Gymnasium", "return, EnvPool", "standard errors apart"]
    return table(["environment", "policy", *numbers, "lengths", "ended"], rows, right=numbers)


def engines_starts(figures):
    numbers = ["of each", "numbers that vary", "standard errors apart, at most"]
    return table(["first observations", *numbers, "ratio of deviations"],
                 [[env, f"{row['episodes']:,}", row["numbers"], f"{row['z']:.1f}", "{:.2f} … {:.2f}".format(*row["spread"])]
                  for env, row in figures.items()], right=numbers)


def engines_trajectories(figures):
    numbers = ["observation after 1 action", "after 10", "after 50", "rewards until then"]
    gaps = {env: [*row["observation"].values(), list(row["reward"].values())[-1]] for env, row in figures.items()}
    return table(["environment", *numbers], [[env, *(f"{x:.0e}" if x else "0" for x in gaps[env])] for env in gaps], right=numbers)


def engine_speed():
    """Steps per second of 8 environments in one process, and in EnvPool with one thread and with two."""
    figures = json.loads((HERE / "engines.json").read_text())["speed"]["rows"]
    labels = list(next(iter(figures.values())))
    rows = [[env, *(f"{x:,.0f}" + (f" (**{x / rates['Gymnasium']:.1f}×**)" if label != "Gymnasium" else "")
                    for label, x in rates.items())] for env, rates in figures.items()]
    return table(["steps per second", *labels], rows, right=labels)
