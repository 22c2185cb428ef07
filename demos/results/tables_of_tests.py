"""Tables of what tests have found: reliability.json, mutants.json, matrix.json, versions.json and thirdparty.json."""

import json
from pathlib import Path

from layout import table

from scratchac.lab.museum import matrix as noticed

HERE = Path(__file__).parent


def reliability():
    """Faults that were caused, and what came of them."""
    figures = json.loads((HERE / "reliability.json").read_text())

    def outcomes(name):
        return ", ".join(f"{count:,} {outcome}" for outcome, count in sorted(figures[name].items(), key=lambda item: -item[1]))

    kills, flips, resumes = (figures[name] for name in ("kills", "flips", "resumes"))
    rows = [("a process is killed that writes checkpoints", kills["killed"],
             f"{kills['killed in mid-write']:,} times in mid-write; a whole checkpoint each time, never one older than before"),
            ("one to eight bits of a checkpoint flip", sum(flips.values()),
             f"{flips['refused']:,} times refused; the others were harmless: the same arrays"),
            ("a run is stopped and resumed in a new process", len(resumes),
             f"the same bytes as without; {len({row['what'] for row in resumes})} presets, NumPy and Numba"),
            *((f"strange {name}", sum(figures[name].values()), outcomes(name))
              for name in ("command lines", "function calls", "environments")),
            *((f"a value is altered in {where}", sum(figures[f"values in {name}"].values()), outcomes(f"values in {name}"))
              for name, where in (("config.json", "config.json"), ("manifest", "a checkpoint's tree"),
                                  ("arrays", "a checkpoint's arrays"), ("metrics.csv", "metrics.csv")))]
    caused = table(["what happens", "how often", "what came of it"], [(what, f"{count:,}", came) for what, count, came in rows])
    return f"{caused}\n\n{soak(figures['soak'])}"


def soak(figures):
    rows = []
    for row in figures:
        faults = ", ".join(f"{count} × {fault}" for fault, count in sorted(row["faults"].items()) if count)
        rows.append([row["what"], f"{row['seconds'] / 60:.1f}", row["runs"], f"{row['steps']:,}", faults,
                     "the same bytes" if row["same bytes"] else "finished", row["MiB, first"], row["MiB, last"]])
    return table(["run under faults", "minutes", "runs", "steps", "faults", "in the end", "MiB after a fifth", "before the end"],
                 rows)


def mutants():
    """Mutants of each file: how many a test kills, and how many no test can tell from the source."""
    figures = json.loads((HERE / "mutants.json").read_text())
    found = ["killed", "equivalent", "survived"]
    figures["all"] = {what: sum(row[what] for row in figures.values()) for what in found}
    rows = [[f"`{file}`" if file != "all" else "all", f"{sum(row.values()):,}", *(f"{row[what]:,}" for what in found)]
            for file, row in figures.items()]
    return table(["file", "mutants", *found], rows, right=["mutants", *found])


def matrix():
    """What notices each exhibit of the museum: gradient checks, its witness, probes, and metrics outside the range over seeds."""
    titles, *rows = noticed.table()
    return table(titles, [["**yes**" if cell == "yes" else cell for cell in row] for row in rows])


def versions():
    """The tests in other versions of Python and of what the library depends on."""
    rows = [[name, row["python"], '`-m "not slow"`' if "not slow" in row["arguments"] else "all",
             ", ".join(f"{package} {version}" for package, version in row["packages"].items()),
             f"{row['passed']:,}", row["failed"], f"{row['skipped']}"]
            for name, row in json.loads((HERE / "versions.json").read_text()).items()]
    counted = ["passed", "failed", "skipped"]
    return table(["set", "Python", "tests", "packages", *counted], rows, right=counted)


def thirdparty():
    """Environments of other packages: what came of them, or the line that refuses them."""
    rows = []
    for row in json.loads((HERE / "thirdparty.json").read_text()):
        env = f"`{row['env']}`" + "".join(f" `{word}`" for word in row["env_args"].split())
        begin = [f"{row['package']} {row['version']}", env, row["through"], row["algorithm"]]
        if "line" in row:
            line = row["line"].replace("|", "\\|").replace("<", "\\<")
            rows.append([*begin, f"{'' if line.startswith('training stopped') else 'refused: '}{line}", "", "", ""])
        else:
            rows.append([*begin, row["observations"], row["actions"], row["resumed"], "yes" if row["film"] else "has no rgb_array"])
    return table(["package", "`--env`", "through", "algorithm", "observations", "actions", "resumed", "film"], rows)
