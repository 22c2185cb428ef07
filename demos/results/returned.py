"""Returns over the seeds that run.py and peer.py have recorded, in returns/ and peers/, and the bars that were set."""

import json
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np

from scratchac.bench.zoo import TITLES
from scratchac.experiments.presets import presets

HERE = Path(__file__).parent

# file, of either backend → (how the policy is evaluated, the bar that was set, if any, and for what over the seeds)
ROWS = {
    "a2c-LunarLander-v3": ("deterministic", 220, "worst"),
    "a2c-CartPole-v1": ("deterministic", 475, "worst"),
    "a2c-Acrobot-v1": ("deterministic", -100, "worst"),
    "a2c-Pendulum-v1": ("deterministic", -170, "worst"),
    "reinforce-CartPole-v1": ("deterministic", None, ""),
    "reinforce-baseline-CartPole-v1": ("deterministic", 475, "worst"),
    "actor-critic-CartPole-v1": ("stochastic", 475, "worst"),
    "actor-critic-CartPole-v1-undiscounted": ("stochastic", 475, "worst"),
    "a3c-CartPole-v1": ("deterministic", 475, "worst"),
    "ppo-CartPole-v1": ("deterministic", 475, "worst"),
    "ppo-LunarLander-v3": ("deterministic", 220, "worst"),
    "ppo-Pendulum-v1": ("deterministic", -170, "worst"),
    "ppo-InvertedPendulum-v5": ("deterministic", 950, "worst"),
    "ppo-HalfCheetah-v5": ("deterministic", 2_500, "worst"),
    "ppo-CarRacing-v3": ("deterministic", 850, "median"),
    "ppo-CarRacing-v3-continued": ("deterministic", 850, "worst"),
    "ppo-CarRacing-v3-continued-twice": ("deterministic", 850, "worst"),
    "ddpg-Pendulum-v1": ("deterministic", -170, "worst"),
    "ddpg-Pendulum-v1-fast": ("deterministic", -170, "worst"),
    "td3-Pendulum-v1": ("deterministic", -170, "worst"),
    "sac-Pendulum-v1": ("deterministic", -170, "worst"),
    "ddpg-InvertedPendulum-v5": ("deterministic", 950, "worst"),
    "ddpg-InvertedPendulum-v5-textbook": ("deterministic", None, ""),
    "td3-InvertedPendulum-v5": ("deterministic", 950, "worst"),
    "sac-InvertedPendulum-v5": ("deterministic", 950, "worst"),
    "ddpg-MountainCarContinuous-v0": ("deterministic", 90, "worst"),
    "sac-MountainCarContinuous-v0": ("deterministic", 90, "worst"),
    "td3-HalfCheetah-v5": ("deterministic", 5_000, "worst"),
    "sac-HalfCheetah-v5": ("deterministic", 6_000, "worst"),
    "td3-Hopper-v5": ("deterministic", 2_400, "median"),
    "sac-Hopper-v5": ("deterministic", 2_400, "median"),
    "sac-Walker2d-v5": ("deterministic", None, ""),
    "sac-BipedalWalker-v3": ("deterministic", 295, "worst"),
    "sac-LunarLander-v3": ("deterministic", 200, "worst"),
    "sac-CarRacing-v3": ("deterministic", 400, "median"),
    "discrete-sac-CartPole-v1": ("deterministic", 475, "worst"),
    "discrete-sac-LunarLander-v3": ("deterministic", 200, "median"),
}


class Returned(NamedTuple):
    """One file of returns/."""

    result: dict
    variant: str            # the preset's name, or ""
    policy: str             # "deterministic" or "stochastic"
    bar: float | None
    of: str                 # what must reach the bar: the "worst" seed or the "median"
    means: np.ndarray       # the mean return of each seed

    @property
    def preset(self):
        """What presets.toml calls it."""
        return self.result["env"] + (f":{self.variant}" if self.variant else "")


def returned():
    """A `Returned` for each file of returns/, in the order of ROWS."""
    for (name, (policy, bar, of)), backend in product(ROWS.items(), ("", "-numba")):
        path = HERE / "returns" / f"{name}{backend}.json"
        if path.exists():
            result = json.loads(path.read_text())
            means = np.array([run[policy]["mean"] for run in result["seeds"].values()])
            yield Returned(result, variant_of(name, result), policy, bar, of, means)


def one_each():
    """{(algorithm, environment): a `Returned`}, of the preset that has no name, and of Numba where both backends have a file."""
    return {(row.result["algorithm"], row.result["env"]): row for row in returned() if not row.variant}     # Numba's come second


def variant_of(name, result):
    """The preset's name in that of a file, or ""."""
    return name.removeprefix(f"{result['algorithm']}-{result['env']}").removesuffix("-numba").lstrip("-")


def titled(result, variant):
    """The algorithm, with the preset's name if it has one."""
    return result["algorithm"] + (f" ({variant})" if variant else "")


def reached():
    """What `scratchac presets` says that each preset has reached: {algorithm: {environment: [a dict for each backend]}}."""
    found = {}
    for row in returned():
        result = row.result
        if row.preset not in presets()[result["algorithm"]]:
            continue                                        # a setting of its own
        seen = {"steps": result["steps"], "seeds": spelt(result["seeds"]), "backend": result.get("backend"), "policy": row.policy,
                "median": round(float(np.median(row.means)), 1), "worst": round(float(row.means.min()), 1)}
        if (minutes := minutes_of(result)) is not None:
            seen["minutes"] = minutes
        found.setdefault(result["algorithm"], {}).setdefault(row.preset, []).append(seen)
    return found


def minutes_of(result):
    """Minutes of a seed's training, the median over the seeds; None for older files, which do not have them."""
    minutes = [run["minutes"] for run in result["seeds"].values() if "minutes" in run]
    return round(float(np.median(minutes)), 1) if len(minutes) == len(result["seeds"]) else None


def spelt(seeds):
    """0, 1, 2, 3 as 0-3; other seeds one by one."""
    seeds = sorted(map(int, seeds))
    whole = len(seeds) > 1 and seeds == list(range(seeds[0], seeds[-1] + 1))
    return f"{seeds[0]}-{seeds[-1]}" if whole else ", ".join(map(str, seeds))


class Beside(NamedTuple):
    """One algorithm on one environment: the mean returns of the last policies, one for each seed."""

    algorithm: str
    env: str
    steps: int
    bar: float
    random: float                   # the mean return of random actions
    ours: np.ndarray
    theirs: dict[str, np.ndarray]   # by the library's title


def beside():
    """Our results and other libraries' on the same environments, a `Beside` for each algorithm and environment that has both."""
    theirs = {}
    for path in sorted((HERE / "peers").glob("*.json")):
        result = json.loads(path.read_text())
        if path.stem.endswith(f"-{result['algorithm']}-{result['env']}"):         # the others have other settings
            means = np.array([run["mean"] for run in result["seeds"].values()])
            theirs.setdefault((result["algorithm"], result["env"]), []).append((result, means))
    return [Beside(*key, row.result["steps"], row.bar, found[0][0]["random"], row.means,
                   {TITLES[result["library"]]: means for result, means in found})
            for key, row in one_each().items() if (found := theirs.get(key))]
