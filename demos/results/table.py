"""Write the tables of the manual and the READMEs from the files in demos/results/: returns/, peers/, tried/, anatomy/, games.json,
pixels.json, hindsight.json, solve-*.json, growth.json, busy.json, bench.json, profile.json, reliability.json, mutants.json,
matrix.json, versions.json, engines.json and thirdparty.json.

    python demos/results/table.py            rewrites what stands between the markers in these files
    python demos/results/table.py --check    exits with 1 if that would change anything
"""

import json
import re
import sys
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np

from scratchac.bench import report
from scratchac.bench.zoo import TITLES
from scratchac.experiments.presets import presets
from scratchac.experiments.statistics import bootstrapped, improvement, interquartile_mean
from scratchac.lab.museum import matrix

HERE = Path(__file__).parent
DOCUMENTS = [HERE.parents[1] / "README.md", *sorted((HERE.parents[1] / "manual").glob("*.md")),
             HERE.parents[1] / "kernels" / "README.md", HERE / "README.md"]
FOR_AN_INTERVAL = 5             # seeds; of fewer a bootstrap says little
REACHED = HERE.parents[1] / "scratchac" / "experiments" / "reached.json"
RETURNS_OF_THE_README = [("a2c", "LunarLander-v3"), ("ppo", "CartPole-v1"), ("ppo", "Pendulum-v1"), ("ppo", "InvertedPendulum-v5"),
                         ("ppo", "HalfCheetah-v5"), ("ddpg", "MountainCarContinuous-v0"), ("td3", "Pendulum-v1"),
                         ("sac", "Pendulum-v1"), ("sac", "HalfCheetah-v5"), ("discrete-sac", "CartPole-v1")]
SPEEDS_OF_THE_README = [("A2C, CartPole-v1, 8 environments × 5 steps",),
                        ("A2C, LunarLander-v3, 8 environments × 5 steps, 128-128",),
                        ("SAC, Pendulum-v1, 64-64, batch 100",), ("SAC, HalfCheetah-v5, 256-256, batch 256",)]

# file, of either backend → (how the policy is evaluated, the bar that was set, if any, and for what over the seeds)
ROWS = {
    "a2c-LunarLander-v3": ("deterministic", 220, "worst"),
    "a2c-CartPole-v1": ("deterministic", 475, "worst"),
    "a2c-Acrobot-v1": ("deterministic", -100, "worst"),
    "a2c-Pendulum-v1": ("deterministic", -170, "worst"),
    "reinforce-baseline-CartPole-v1": ("deterministic", 475, "worst"),
    "actor-critic-CartPole-v1": ("stochastic", 475, "worst"),
    "actor-critic-CartPole-v1-undiscounted": ("stochastic", 475, "worst"),
    "a3c-CartPole-v1": ("deterministic", 475, "worst"),
    "ppo-CartPole-v1": ("deterministic", 475, "worst"),
    "ppo-LunarLander-v3": ("deterministic", 220, "worst"),
    "ppo-Pendulum-v1": ("deterministic", -170, "worst"),
    "ppo-InvertedPendulum-v5": ("deterministic", 950, "worst"),
    "ppo-HalfCheetah-v5": ("deterministic", 2_500, "median"),
    "ppo-CarRacing-v3": ("deterministic", 850, "median"),
    "ddpg-Pendulum-v1": ("deterministic", -170, "worst"),
    "ddpg-Pendulum-v1-fast": ("deterministic", -170, "worst"),
    "td3-Pendulum-v1": ("deterministic", -170, "worst"),
    "sac-Pendulum-v1": ("deterministic", -170, "worst"),
    "ddpg-InvertedPendulum-v5": ("deterministic", 950, "worst"),
    "ddpg-InvertedPendulum-v5-textbook": ("deterministic", None, ""),
    "td3-InvertedPendulum-v5": ("deterministic", 950, "worst"),
    "sac-InvertedPendulum-v5": ("deterministic", 950, "worst"),
    "ddpg-MountainCarContinuous-v0": ("deterministic", 90, "worst"),
    "td3-HalfCheetah-v5": ("deterministic", 5_000, "median"),
    "sac-HalfCheetah-v5": ("deterministic", 6_000, "median"),
    "td3-Hopper-v5": ("deterministic", 2_400, "median"),
    "sac-BipedalWalker-v3": ("deterministic", 295, "median"),
    "sac-LunarLander-v3": ("deterministic", 200, "worst"),
    "sac-CarRacing-v3": ("deterministic", 400, "median"),
    "discrete-sac-CartPole-v1": ("deterministic", 475, "worst"),
    "discrete-sac-LunarLander-v3": ("deterministic", 200, "median"),
}


def returned():
    """(result, policy, bar, mean return of each seed, variant) of each file of returns/.

    A bar is (number or None, "worst" or "median"); the variant is a preset's name, or "".
    """
    for (name, (policy, *bar)), backend in product(ROWS.items(), ("", "-numba")):
        path = HERE / "returns" / f"{name}{backend}.json"
        if not path.exists():
            continue
        result = json.loads(path.read_text())
        yield result, policy, bar, np.array([run[policy]["mean"] for run in result["seeds"].values()]), variant_of(name, result)


def variant_of(name, result):
    """The preset's name in that of a file, or ""."""
    return name.removeprefix(f"{result['algorithm']}-{result['env']}").removesuffix("-numba").lstrip("-")


def titled(result, variant):
    """The algorithm, with the preset's name if it has one."""
    return result["algorithm"] + (f" ({variant})" if variant else "")


def reached():
    """What `scratchac presets` says that each preset has reached: {algorithm: {environment: [a dict for each backend]}}."""
    found = {}
    for result, policy, _, means, variant in returned():
        key = result["env"] + (f":{variant}" if variant else "")
        if key not in presets()[result["algorithm"]]:
            continue                                        # a setting of its own
        seen = {"steps": result["steps"], "seeds": spelt(result["seeds"]), "backend": result.get("backend"), "policy": policy,
                "median": round(float(np.median(means)), 1), "worst": round(float(means.min()), 1)}
        if (minutes := minutes_of(result)) is not None:
            seen["minutes"] = minutes
        found.setdefault(result["algorithm"], {}).setdefault(key, []).append(seen)
    return found


def minutes_of(result):
    """Minutes of a seed's training, the median over the seeds; None for older files, which do not have them."""
    minutes = [run["minutes"] for run in result["seeds"].values() if "minutes" in run]
    return round(float(np.median(minutes)), 1) if len(minutes) == len(result["seeds"]) else None


def returns_table():
    columns = ["algorithm", "environment", "steps", "backend", "seeds", "tuned on", "policy", "median", "interquartile mean",
               "worst", "best", "bar", "above it", "minutes"]
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for result, policy, (bar, of), means, variant in returned():
        algorithm = titled(result, variant)
        env = " ".join([result["env"], *("from pictures" if name == "pixels" else f"{name}={value}"
                                         for name, value in result.get("env_args", {}).items())])
        middle, above = "", "" if bar is None else f"{(means >= bar).sum()} of {len(means)}"
        if len(means) >= FOR_AN_INTERVAL:
            low, high = bootstrapped(means)
            middle = f"{interquartile_mean(means):.0f} ({low:.0f} … {high:.0f})"
        minutes = minutes_of(result)
        lines.append(f"| {algorithm} | {env} | {result['steps']:,} | {result.get('backend', '')} | {spelt(result['seeds'])} | "
                     f"{result.get('tuning_seeds') or ''} | {policy} | **{np.median(means):.0f}** | {middle} | "
                     f"{means.min():.0f} | {means.max():.0f} | {'' if bar is None else f'{of} ≥ {bar:,}'} | {above} | "
                     f"{'' if minutes is None else minutes} |")
    return "\n".join(lines)


def spelt(seeds):
    """0, 1, 2, 3 as 0-3; other seeds one by one."""
    seeds = sorted(map(int, seeds))
    whole = len(seeds) > 1 and seeds == list(range(seeds[0], seeds[-1] + 1))
    return f"{seeds[0]}-{seeds[-1]}" if whole else ", ".join(map(str, seeds))


def beside():
    """Our results and other libraries' on the same environments, a Row for each algorithm and environment that has both."""
    # Numba's, which come second, where there are any.
    ours = {(result["algorithm"], result["env"]): (result["steps"], bar, means)
            for result, _, (bar, _), means, variant in returned() if not variant}
    theirs = {}
    for path in sorted((HERE / "peers").glob("*.json")):
        result = json.loads(path.read_text())
        if not path.stem.endswith("-as-ours"):
            means = np.array([run["mean"] for run in result["seeds"].values()])
            theirs.setdefault((result["algorithm"], result["env"]), []).append((result, means))
    return [Row(*key, steps, bar, found[0][0]["random"], means, {TITLES[result["library"]]: x for result, x in found})
            for key, (steps, bar, means) in ours.items() if (found := theirs.get(key))]


class Row(NamedTuple):
    """One algorithm on one environment: the mean returns of the last policies, one for each seed."""

    algorithm: str
    env: str
    steps: int
    bar: float
    random: float                   # the mean return of random actions
    ours: np.ndarray
    theirs: dict[str, np.ndarray]   # by the library's title


def beside_table():
    lines = ["| algorithm | environment | steps | ours: median | worst | seeds | | median | worst | seeds | ours returns more |",
             "|---|---|---|---|---|---|---|---|---|---|---|"]
    for row in beside():
        for library, x in row.theirs.items():
            ours, theirs = (f"**{np.median(means):.0f}** | {means.min():.0f} | {len(means)}" for means in (row.ours, x))
            lines.append(f"| {row.algorithm} | {row.env} | {row.steps:,} | {ours} | {library} | {theirs} | "
                         "{:.2f} ({:.2f} … {:.2f}) |".format(*improvement(row.ours, x)))
    return "\n".join(lines)


def tried_table():
    """Each setting that was tried with several seeds on the way to a preset; the best median comes first."""
    lines = ["| algorithm | environment | backend | in place of the preset's | seeds | median | range over seeds |",
             "|---|---|---|---|---|---|---|"]
    for path in sorted((HERE / "tried").glob("*.json")):
        result, rows = json.loads(path.read_text()), []
        for setting, entry in result["settings"].items():
            means = np.array([run["deterministic"]["mean"] for run in entry["seeds"].values()])
            if len(means) == 1:
                continue
            what, algorithm = setting if setting == "the preset" else f"`{setting}`", titled(result, variant_of(path.stem, result))
            rows.append((np.median(means), f"| {algorithm} | {result['env']} | {result['backend']} | {what} | "
                         f"{spelt(entry['seeds'])} | **{np.median(means):.0f}** | {means.min():.0f} … {means.max():.0f} |"))
        lines += [line for _, line in sorted(rows, reverse=True)]
    return "\n".join(lines)


def anatomy_tables():
    """For each file of anatomy/: each seed's returns, tenth by tenth, and the medians over seeds of what else was seen."""
    for path in (HERE / "anatomy" / f"{name}.json" for name in ("before", "between", "after")):
        result = json.loads(path.read_text())
        lines = [f"| {path.stem} | " + " | ".join(f"{10 * (i + 1)}%" for i in range(10)) + " |", "|---|" + "---:|" * 10]
        runs = {seed: run["parts"] for seed, run in result["seeds"].items()}
        for seed, parts in sorted(runs.items(), key=lambda item: -item[1][-1]["deterministic"]["return"]):
            returns = [f"{part['deterministic']['return']:.0f}" for part in parts]
            lines.append(f"| return, seed {seed} | " + " | ".join(returns) + " |")
        for label, read in ANATOMY.items():
            cells = [np.median([read(parts[i]) for parts in runs.values()]) for i in range(10)]
            if np.isnan(cells).all():
                continue
            lines.append(f"| {label}, median | " + " | ".join(f"{x:.2g}" for x in cells) + " |")
        yield "\n".join(lines)


# label → what it is of a tenth of a run
ANATOMY = {
    "crashed": lambda part: part["deterministic"]["crashed"],
    "time limit": lambda part: part["deterministic"]["time limit"],
    "sampled − deterministic return": lambda part: part["sampled"]["return"] - part["deterministic"]["return"],
    "entropy": lambda part: part["entropy"],
    "critic's loss": lambda part: part["critic_loss"],
    "deviation of the advantages": lambda part: part["advantage_std"],
    "gradient norm, largest / mean": lambda part: part["grad_norm_max"] / part["grad_norm"],
    "KL between policies 1,000 steps apart": lambda part: part["kl"],
    "the largest of these": lambda part: part["kl_max"],
    "critic's outputs that are saturated": lambda part: part.get("saturated", np.nan),
}


# (game, opponent) → (what is counted, outcomes, the bar for who begins, for who does not)
GAMES = {
    ("tictactoe_v3", "random"): ("not lost", ("won", "drawn"), 97, 97),
    ("tictactoe_v3", "perfect"): ("drawn", ("drawn",), 95, 90),
    ("connect_four_v3", "random"): ("won", ("won",), 95, 95),
}


def games_table():
    lines = ["| algorithm | game | steps | seeds | against | begins | counted | deterministic: median | range over seeds | "
             "sampled: median | bar |", "|---|---|---|---|---|---|---|---|---|---|---|"]
    for result in json.loads((HERE / "games.json").read_text()).values():
        seeds = list(result["seeds"].values())
        for (game, opponent), (counted, outcomes, *bars) in GAMES.items():
            if game != result["env"]:
                continue
            for side, bar in zip(("first", "second"), bars, strict=True):
                greedy, sampled = (np.array([100 * sum(seed[opponent][policy][side][x] for x in outcomes) for seed in seeds])
                                   for policy in ("deterministic", "stochastic"))
                algorithm = result["algorithm"] + "".join(f", `{word}`" for word in result.get("set", ()))
                lines.append(f"| {algorithm} | {game} | {result['steps']:,} | {len(seeds)} | {opponent} | "
                             f"{'yes' if side == 'first' else 'no'} | {counted} | **{np.median(greedy):.1f}%** | "
                             f"{greedy.min():.1f} … {greedy.max():.1f} | {np.median(sampled):.1f}% | ≥ {bar}% |")
    return "\n".join(lines)


def solve_table(short=False):
    """Seconds until a policy solves its environment, from `scratchac bench --solve --peers --env ENV --json`, the fastest first.

    short   of the other libraries only the fastest algorithm of each
    """
    lines = ["| environment | mean return | | seconds | environment steps | seeds |", "|---|---|---|---:|---:|---|"]
    for env, rows in solved().items():
        libraries = set()
        for threshold, who, row in sorted(rows, key=lambda row: row[2]["seconds"] or float("inf")):
            library = who.partition(",")[0]
            if short and library in libraries and library != "scratchac":
                continue
            libraries.add(library)
            cells = ("" if row[name] is None else report.number(row[name]) for name in ("seconds", "environment steps", "solved"))
            lines.append(f"| {env} | {threshold} | {who} | {' | '.join(cells)} |")
    return "\n".join(lines) if lines[2:] else UNMEASURED


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


def file_tables(name):
    """Every table of a file, as of `scratchac bench --growth --json`."""
    tables = [f"**{title}**\n\n{report.table(rows, unit, max if unit.endswith('per second') else None)}"
              for title, rows, unit in measured(name)]
    return "\n\n".join(tables) or UNMEASURED


def measured(name):
    """The tables of a file that `scratchac bench --json` has written, (title, rows, unit); none if there is no such file."""
    path = HERE / name
    result = json.loads(path.read_text()) if path.exists() else {}
    return [(title, entry["rows"], entry["unit"]) for title, entry in result.items() if isinstance(entry, dict) and "rows" in entry]


UNMEASURED = "Not measured yet."


def speed_tables():
    """What each backend does, and the best of what each peer does with one thread and with all; ratios to Stable-Baselines3."""
    result = json.loads((HERE / "bench.json").read_text())
    peers = "Stable-Baselines3", "SBX", "plain PyTorch"
    for title in ("Updates", "Training"):
        compiled = "numba, --vector compiled"
        columns = ["numpy", "numba", *([compiled] if title == "Training" else []), *peers]
        columns += ["floor"] if title == "Updates" else ["PureJaxRL", "RLtools"]
        lines = [f"| {result[title]['unit']} | {' | '.join(columns)} |", "|---|" + "---|" * len(columns)]
        for row in result[title]["rows"]:
            rates = {name: max((x for column, x in row.items() if column == name or (name in peers and column.startswith(name))),
                               default=None) for name in columns}
            cells = ["" if rates[name] is None else f"{rates[name]:,.0f}" for name in columns]
            if rates["Stable-Baselines3"]:
                for i, name in enumerate(columns[: columns.index("Stable-Baselines3")]):
                    if rates[name]:
                        cells[i] += f" (**{rates[name] / rates['Stable-Baselines3']:.1f}×**)"
            lines.append(f"| {row['what']} | {' | '.join(cells)} |")
        yield "\n".join(lines)


def kernels_table():
    lines = ["| µs | numpy | numba | |", "|---|---|---|---|"]
    for row in json.loads((HERE / "bench.json").read_text())["Kernels"]["rows"]:
        lines.append(f"| {row['what']} | {row['numpy']:,.1f} | {row['numba']:,.1f} | {row['numpy'] / row['numba']:.1f}× |")
    return "\n".join(lines)


def profile_table():
    rows = json.loads((HERE / "profile.json").read_text())["Where the time goes, numba"]["rows"]
    columns = [name for name in rows[0] if name != "what"]
    lines = [f"| µs per environment step | {' | '.join(columns)} |", "|---|" + "---|" * len(columns)]
    return "\n".join(lines + [f"| {row['what']} | {' | '.join(f'{row[name]:,.1f}' for name in columns)} |" for row in rows])


def pixels_table():
    """What driving is worth, from pixels.json and the runs evaluated beside it."""
    worth = json.loads((HERE / "pixels.json").read_text())

    def mean(result):
        return f"{result['mean']:.0f} ± {result['std']:.0f}"

    lines = ["| CarRacing-v3, 20 tracks | learnt from actions | of frames | in hours | return | with sampled actions |",
             "|---|---|---|---|---|---|", f"| standing still | | | | {mean(worth['still'])} | |",
             f"| random actions | | | | | {mean(worth['random'])} |",
             f"| best constant action | | | | {mean(worth['constant'])} | |"]
    for algorithm in ("ppo", "sac"):
        path = HERE / "returns" / f"{algorithm}-CarRacing-v3.json"
        result = json.loads(path.read_text())
        for run in result["seeds"].values():
            frames = run["steps"] * result["env_args"]["pixels"]["repeat"]
            lines.append(f"| {algorithm} | {run['steps']:,} | {frames:,} | {run['wall_s'] / 3600:.1f} | "
                         f"**{mean(run['deterministic'])}** | {mean(run['stochastic'])} |")
    return "\n".join(lines)


def hindsight_table():
    """How many goals policies with and without hindsight reach after each quarter of training: medians and ranges over seeds."""
    result = json.loads((HERE / "hindsight.json").read_text())
    steps = [result["steps"] * quarter // 4 for quarter in (1, 2, 3, 4)]
    lines = ["| goals reached | K | seeds | " + " | ".join(f"after {step:,} steps" for step in steps) + " |",
             "|---|---|---|" + "---|" * len(steps)]
    for env, kept in result["mazes"].items():
        for label, k in (("with hindsight", 4), ("without", 0)):
            rates = 100 * np.array([[run[str(step)] for step in steps] for run in kept[label].values()])
            cells = " | ".join(f"**{np.median(x):.0f}%** ({x.min():.0f} … {x.max():.0f})" for x in rates.T)
            lines.append(f"| {env.split(':')[1]} | {k} | {', '.join(kept[label])} | {cells} |")
    return "\n".join(lines)


def reliability_tables():
    """Faults that were caused, and what came of them."""
    figures = json.loads((HERE / "reliability.json").read_text())

    def outcomes(name):
        return ", ".join(f"{count:,} {outcome}" for outcome, count in sorted(figures[name].items(), key=lambda item: -item[1]))

    kills, flips, resumes, soaked = (figures[name] for name in ("kills", "flips", "resumes", "soak"))
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
    yield "\n".join(["| what happens | how often | what came of it |", "|---|---|---|",
                     *(f"| {what} | {count:,} | {came} |" for what, count, came in rows)])
    lines = ["| tormented | minutes | runs | steps | faults | in the end | MiB after a fifth | before the end |",
             "|---|---|---|---|---|---|---|---|"]
    for row in soaked:
        faults = ", ".join(f"{count} × {fault}" for fault, count in sorted(row["faults"].items()) if count)
        lines.append(f"| {row['what']} | {row['seconds'] / 60:.1f} | {row['runs']} | {row['steps']:,} | {faults} | "
                     f"{'the same bytes' if row['same bytes'] else 'finished'} | {row['MiB, first']} | {row['MiB, last']} |")
    yield "\n".join(lines)


def mutants_table():
    """Mutants of each file: how many a test kills, and how many no test can tell from the source."""
    figures = json.loads((HERE / "mutants.json").read_text())
    total = {what: sum(row[what] for row in figures.values()) for what in ("killed", "equivalent", "survived")}
    return "\n".join(["| file | mutants | killed | equivalent | survived |", "|---|---:|---:|---:|---:|",
                      *(f"| {f'`{file}`' if file != 'all' else 'all'} | {sum(row.values()):,} | {row['killed']:,} | "
                        f"{row['equivalent']:,} | {row['survived']:,} |" for file, row in (figures | {"all": total}).items())])


def matrix_table():
    """What notices each exhibit of the museum: gradient checks, its witness, probes, and metrics outside the range over seeds."""
    titles, *rows = matrix.table()
    lines = [["**yes**" if cell == "yes" else cell for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in (titles, ["---"] * len(titles), *lines))


def versions_table():
    """The tests in other versions of Python and of what the library depends on."""
    lines = ["| set | Python | tests | packages | passed | failed | skipped |", "|---|---|---|---|---:|---:|---:|"]
    for name, row in json.loads((HERE / "versions.json").read_text()).items():
        packages = ", ".join(f"{package} {version}" for package, version in row["packages"].items())
        tests = '`-m "not slow"`' if "not slow" in row["arguments"] else "all"
        lines.append(f"| {name} | {row['python']} | {tests} | {packages} | {row['passed']:,} | {row['failed']} | "
                     f"{row['skipped']} |")
    return "\n".join(lines)


def thirdparty_table():
    """Environments of other packages: what came of them, or the line that refuses them."""
    lines = ["| package | `--env` | through | algorithm | observations | actions | resumed | film |",
             "|---|---|---|---|---|---|---|---|"]
    for row in json.loads((HERE / "thirdparty.json").read_text()):
        env = f"`{row['env']}`" + "".join(f" `{word}`" for word in row["env_args"].split())
        begin = f"| {row['package']} {row['version']} | {env} | {row['through']} | {row['algorithm']} | "
        if "line" in row:
            line = row["line"].replace("|", "\\|").replace("<", "\\<")
            lines.append(f"{begin}{'' if line.startswith('training stopped') else 'refused: '}{line} | | | |")
        else:
            film = "yes" if row["film"] else "has no rgb_array"
            lines.append(f"{begin}{row['observations']} | {row['actions']} | {row['resumed']} | {film} |")
    return "\n".join(lines)


def engines_tables():
    """EnvPool's environments beside Gymnasium's: returns and lengths of fixed policies; the same actions from the same states."""
    figures = json.loads((HERE / "engines.json").read_text())
    lines = ["| environment | policy | episodes | return, Gymnasium | return, EnvPool | standard errors apart | lengths | ended |",
             "|---|---|---:|---:|---:|---:|---|---|"]
    for name, row in figures["returns"].items():
        env, policy = name.split()
        both = [row[engine] for engine in ("Gymnasium", "EnvPool")]
        returns = " | ".join("{:.1f} ± {:.1f}".format(*x["return"]) for x in both)
        lengths, ends = (", ".join(form(x[what]) for x in both)
                         for what, form in (("length", "{:.0f}".format), ("terminal", "{:.0%}".format)))
        lines.append(f"| {env} | {policy} | {row['episodes']:,} | {returns} | {row['z']:+.1f} | {lengths} | {ends} |")
    yield "\n".join(lines)
    lines = ["| first observations | of each | numbers that vary | standard errors apart, at most | ratio of deviations |",
             "|---|---:|---:|---:|---|"]
    for env, row in figures["starts"].items():
        spread = "{:.2f} … {:.2f}".format(*row["spread"])
        lines.append(f"| {env} | {row['episodes']:,} | {row['numbers']} | {row['z']:.1f} | {spread} |")
    yield "\n".join(lines)
    lines = ["| environment | observation after 1 action | after 10 | after 50 | rewards until then |", "|---|---:|---:|---:|---:|"]
    for env, row in figures["trajectories"].items():
        gaps = [*row["observation"].values(), list(row["reward"].values())[-1]]
        lines.append(f"| {env} | {' | '.join(f'{x:.0e}' if x else '0' for x in gaps)} |")
    yield "\n".join(lines)


def engine_speed_table():
    """Steps per second of 8 environments in one process, and in EnvPool with one thread and with two."""
    rows = json.loads((HERE / "engines.json").read_text())["speed"]["rows"]
    labels = list(next(iter(rows.values())))
    lines = [f"| steps per second | {' | '.join(labels)} |", "|---|" + "---:|" * len(labels)]
    for env, rates in rows.items():
        base = rates["Gymnasium"]
        cells = [f"{x:,.0f}" + (f" (**{x / base:.1f}×**)" if label != "Gymnasium" else "") for label, x in rates.items()]
        lines.append(f"| {env} | {' | '.join(cells)} |")
    return "\n".join(lines)


def short(table, keys, columns):
    """The named columns of a table; of its rows the first whose cells begin with the cells of a key, for each key."""
    header, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    kept = [next(row for row in rows if row[: len(key)] == list(key)) for key in keys]
    cells = [[row[header.index(column)] for column in columns] for row in kept]
    return "\n".join(f"| {' | '.join(row)} |" if row else "|---" * len(columns) + "|" for row in [columns, [], *cells])


def filled(text):
    tables = {"engines": "\n\n".join(engines_tables()), "engine-speed": engine_speed_table(),
              "tried": tried_table(), "anatomy": "\n\n".join(anatomy_tables()), "reliability": "\n\n".join(reliability_tables()),
              "returns": returns_table(), "beside": beside_table(), "games": games_table(), "pixels": pixels_table(),
              "hindsight": hindsight_table(),
              "solve": solve_table(), "growth": file_tables("growth.json"), "busy": file_tables("busy.json"),
              "speed": "\n\n".join(speed_tables()), "kernels": kernels_table(), "profile": profile_table(),
              "mutants": mutants_table(), "matrix": matrix_table(), "versions": versions_table(), "thirdparty": thirdparty_table()}
    tables["returns-short"] = short(returns_table(), RETURNS_OF_THE_README, ["algorithm", "environment", "median", "worst", "bar",
                                                                             "steps", "seeds", "minutes"])
    tables["solve-short"] = solve_table(short=True)
    tables["speed-short"] = short(list(speed_tables())[1], SPEEDS_OF_THE_README, ["environment steps per second", "numpy", "numba",
                                                                                  "Stable-Baselines3"])
    for name, table in tables.items():
        pattern = rf"(<!-- {name}: begin -->\n).*?(<!-- {name}: end -->)"
        text = re.sub(pattern, lambda match, table=table: f"{match[1]}{table}\n{match[2]}", text, flags=re.S)
    return text


if __name__ == "__main__":
    now = {path: filled(path.read_text()) for path in DOCUMENTS} | {REACHED: json.dumps(reached(), indent=1) + "\n"}
    if "--check" in sys.argv:
        sys.exit(any(path.read_text() != text for path, text in now.items()))
    for path, text in now.items():
        path.write_text(text)
