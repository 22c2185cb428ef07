"""Tables of what policies return: returns/, peers/, tried/, anatomy/, games.json, pixels.json and hindsight.json."""

import json
from pathlib import Path

import numpy as np
from layout import table
from returned import beside, minutes_of, one_each, returned, spelt, titled, variant_of

from scratchac.experiments.statistics import bootstrapped, improvement, interquartile_mean

HERE = Path(__file__).parent
FOR_AN_INTERVAL = 5             # seeds; of fewer a bootstrap says little


def returns():
    """Every file, a row each."""
    cells = list(map(cells_of, returned()))
    return table(cells[0], [row.values() for row in cells])


def returns_short():
    """A row for each algorithm and environment, with a part of the columns."""
    titles = ["algorithm", "environment", "backend", "median", "worst", "bar", "steps", "seeds", "minutes"]
    return table(titles, [[cells_of(row)[title] for title in titles] for row in one_each().values()])


def cells_of(row):
    """The title of each column → its cell for one file."""
    result, means = row.result, row.means
    env = " ".join([result["env"], *("from pictures" if name == "pixels" else f"{name}={value}"
                                     for name, value in result.get("env_args", {}).items())])
    middle, bar, above = "", "", ""
    if len(means) >= FOR_AN_INTERVAL:
        low, high = bootstrapped(means)
        middle = f"{interquartile_mean(means):.0f} ({low:.0f} … {high:.0f})"
    if row.bar is not None:
        bar, above = f"{row.of} ≥ {row.bar:,}", f"{(means >= row.bar).sum()} of {len(means)}"
    minutes = minutes_of(result)
    return {
        "algorithm": titled(result, row.variant), "environment": env, "steps": f"{result['steps']:,}",
        "backend": result.get("backend", "") + with_envpool(result), "seeds": spelt(result["seeds"]),
        "tuned on": result.get("tuning_seeds") or "", "policy": row.policy, "median": f"**{np.median(means):.0f}**",
        "interquartile mean": middle, "worst": f"{means.min():.0f}", "best": f"{means.max():.0f}", "bar": bar, "above it": above,
        "minutes": "" if minutes is None else minutes}


def beside_others():
    rows = []
    for row in beside():
        for library, theirs in row.theirs.items():
            rows.append([row.algorithm, row.env, f"{row.steps:,}", *middle_and_worst(row.ours), library, *middle_and_worst(theirs),
                         "{:.2f} ({:.2f} … {:.2f})".format(*improvement(row.ours, theirs))])
    return table(["algorithm", "environment", "steps", "ours: median", "worst", "seeds", "", "median", "worst", "seeds",
                  "ours returns more"], rows)


def middle_and_worst(means):
    return f"**{np.median(means):.0f}**", f"{means.min():.0f}", len(means)


def tried():
    """Each setting that was tried with several seeds on the way to a preset; the best median comes first."""
    rows = []
    for path in sorted((HERE / "tried").glob("*.json")):
        result, tried = json.loads(path.read_text()), []
        for setting, entry in result["settings"].items():
            means = np.array([run["deterministic"]["mean"] for run in entry["seeds"].values()])
            if len(means) > 1:
                tried.append((np.median(means), [
                    titled(result, variant_of(path.stem, result)), result["env"], result["backend"],
                    setting if setting == "the preset" else f"`{setting}`", spelt(entry["seeds"]), f"**{np.median(means):.0f}**",
                    f"{means.min():.0f} … {means.max():.0f}"]))
        rows += [row for _, row in sorted(tried, reverse=True)]
    return table(["algorithm", "environment", "backend", "in place of the preset's", "seeds", "median", "range over seeds"], rows)


def anatomy():
    """For each file of anatomy/: each seed's returns, tenth by tenth, and the medians over seeds of what else was seen."""
    return "\n\n".join(map(anatomy_of, ("before", "between", "after")))


def anatomy_of(name):
    seeds = json.loads((HERE / "anatomy" / f"{name}.json").read_text())["seeds"]
    runs = {seed: run["parts"] for seed, run in seeds.items()}
    best_first = sorted(runs.items(), key=lambda item: -item[1][-1]["deterministic"]["return"])
    rows = [[f"return, seed {seed}", *(f"{part['deterministic']['return']:.0f}" for part in parts)] for seed, parts in best_first]
    for label, read in ANATOMY.items():
        medians = [np.median([read(parts[i]) for parts in runs.values()]) for i in range(10)]
        if not np.isnan(medians).all():
            rows.append([f"{label}, median", *(f"{x:.2g}" for x in medians)])
    tenths = [f"{10 * i}%" for i in range(1, 11)]
    return table([name, *tenths], rows, right=tenths)


# label → what it is of a tenth of a run
ANATOMY = {
    "crashed": lambda part: part["deterministic"]["crashed"],
    "time limit": lambda part: part["deterministic"]["time limit"],
    "sampled − deterministic return": lambda part: part["sampled"]["return"] - part["deterministic"]["return"],
    "entropy": lambda part: part["entropy"],
    "critic's loss": lambda part: part["critic_loss"],
    "deviation of the advantages": lambda part: part["advantage_std"],
    "gradient norm, largest / mean": lambda part: part["grad_norm_max"] / part["grad_norm"],
    "KL between policies 1,000 steps apart (or one update, if longer)": lambda part: part["kl"],
    "the largest of these": lambda part: part["kl_max"],
    "critic's outputs that are saturated": lambda part: part.get("saturated", np.nan),
}

# (game, opponent) → (what is counted, outcomes, the bar for who begins, for who does not)
GAMES = {
    ("tictactoe_v3", "random"): ("not lost", ("won", "drawn"), 97, 97),
    ("tictactoe_v3", "perfect"): ("drawn", ("drawn",), 95, 90),
    ("connect_four_v3", "random"): ("won", ("won",), 95, 95),
}


def games():
    rows = []
    for result in json.loads((HERE / "games.json").read_text()).values():
        seeds = list(result["seeds"].values())
        algorithm = ", ".join([result["algorithm"], *(f"`{word}`" for word in result.get("set", ()))])
        for (game, opponent), (counted, outcomes, *bars) in GAMES.items():
            if game != result["env"]:
                continue
            for side, bar in zip(("first", "second"), bars, strict=True):
                greedy, sampled = (np.array([100 * sum(seed[opponent][policy][side][x] for x in outcomes) for seed in seeds])
                                   for policy in ("deterministic", "stochastic"))
                rows.append([algorithm, game, f"{result['steps']:,}", len(seeds), opponent, "yes" if side == "first" else "no",
                             counted, f"**{np.median(greedy):.1f}%**", f"{greedy.min():.1f} … {greedy.max():.1f}",
                             f"{np.median(sampled):.1f}%", f"≥ {bar}%"])
    return table(["algorithm", "game", "steps", "seeds", "against", "begins", "counted", "deterministic: median",
                  "range over seeds", "sampled: median", "bar"], rows)


def pixels():
    """What driving is worth, from pixels.json and the runs evaluated beside it."""
    found = json.loads((HERE / "pixels.json").read_text())
    worth = {name: spread(found[name]) for name in ("still", "random", "constant")}
    rows = [["standing still", "", "", "", worth["still"], "", ""],
            [f"random actions of {found['repeat']} frames", "", "", "", "", worth["random"], ""],
            ["best constant action", "", "", "", worth["constant"], "", ""]]
    for path in sorted((HERE / "returns").glob("*-CarRacing-v3*.json"), key=lambda path: path.stem):
        result = json.loads(path.read_text())
        for seed, run in result["seeds"].items():
            frames = run["steps"] * result["env_args"]["pixels"]["repeat"]
            end = f", the last {run['continued']:,} in Gymnasium's pictures" if "continued" in run else ""
            rows.append([f"{result['algorithm']}, seed {seed}{end}", f"{run['steps']:,}", f"{frames:,}",
                         f"{run['minutes'] / 60:.1f}{with_envpool(result)}",
                         f"**{spread(run['deterministic'])}**", spread(run["stochastic"]),
                         spread(run["clipped_mean"]) if "clipped_mean" in run else ""])
    return table(["CarRacing-v3, 20 tracks", "learnt from actions", "of frames", "in hours", "return", "with sampled actions",
                  "with clip(μ)"], rows)


def with_envpool(result):
    return " (EnvPool)" if result.get("vector") == "envpool" else ""


def spread(result):
    return f"{result['mean']:.0f} ± {result['std']:.0f}"


def hindsight():
    """How many goals policies with and without hindsight reach after each quarter of training: medians and ranges over seeds."""
    result = json.loads((HERE / "hindsight.json").read_text())
    steps = [result["steps"] * quarter // 4 for quarter in (1, 2, 3, 4)]
    rows = []
    for env, kept in result["mazes"].items():
        for label, k in (("with hindsight", 4), ("without", 0)):
            rates = 100 * np.array([[run[str(step)] for step in steps] for run in kept[label].values()])
            rows.append([env.split(":")[1], k, ", ".join(kept[label]),
                         *(f"**{np.median(x):.0f}%** ({x.min():.0f} … {x.max():.0f})" for x in rates.T)])
    return table(["goals reached", "K", "seeds", *(f"after {step:,} steps" for step in steps)], rows)
