"""Which runs belong to one setting, and what to call it: by what differs in their config.json."""

from collections.abc import Iterable, Sequence
from typing import Any

from scratchac.errors import UserError, unknown
from scratchac.experiments.checkpoints import steps_of
from scratchac.experiments.files import read_json
from scratchac.experiments.run import Run, as_path
from scratchac.messages import tell

# entries that count beside hyperparameters and env_args
DECIDES = ("algorithm", "env", "vector", "randomise", "init", "stop_at", "patience")
ALSO = ("backend", "seed")                                          # that the user may group by
SIGNS = {"made_as": "made as", "lam": "λ", "gamma": "γ", "tau": "τ", "kappa": "κ", "alpha": "α"}
Groups = dict[str, dict[str, list[Run]]]                            # environment → label of a setting → its runs


def opened(paths: Iterable[Any]) -> list[Run]:
    """The runs in these folders, each once. A sweep's folder stands for all its runs, but for those that died.

    Raises UserError for any other folder, and for a sweep without a run.
    """
    folders = []
    for path in map(as_path, paths):
        if not is_sweep(path):
            folders.append(path)
            continue
        inside = sorted(config.parent for config in path.glob("*/config.json") if not config.parent.name.endswith("-died"))
        if not inside:
            raise UserError(f"{path} is a sweep without a run")
        folders += inside
    return [Run.open(path) for path in {path.resolve(): path for path in folders}.values()]


def is_sweep(path: Any) -> bool:
    """Whether a folder is that of a sweep."""
    return (as_path(path) / "sweep.json").is_file() and not (as_path(path) / "config.json").exists()


def grouped(runs: Sequence[Run], by: Sequence[str] = ()) -> Groups:
    """The runs of each environment by their settings, and these by a label that says what differs.

    by      entries to group by, such as lam; runs that differ in others are put together. If it is not given: all those in which
            runs of one algorithm on one environment differ, but for seed and backend

    Raises UserError for an entry that no run has.
    """
    entries = [_entries(run) for run in runs]
    known = sorted({name for entry in entries for name in entry} | set(ALSO))
    by = [name.replace("-", "_") for name in by]
    for name in by:
        if name not in known:
            raise unknown("entry of a run to group --by", name, known)
    families: dict[Any, list[dict[str, Any]]] = {}
    for entry in entries:
        families.setdefault((entry["algorithm"], entry["env"]), []).append(entry)
    differing = {family: _differing(members) for family, members in families.items()}
    several = len({entry["algorithm"] for entry in entries}) > 1
    groups: Groups = {}
    for run, entry in zip(runs, entries, strict=True):
        names = by or [*(["algorithm"] if several else []), *differing[entry["algorithm"], entry["env"]]]
        entry = entry | {name: run.config[name] for name in ALSO}
        label = ", ".join(called(name, entry.get(name)) for name in names if name != "env")
        together = label or " and ".join(sorted({other["algorithm"] for other in entries}))
        groups.setdefault(entry["env"], {}).setdefault(together, []).append(run)
    for settings in groups.values():
        for label, members in settings.items():
            _tell_of_repeated_seeds(label, [run.config["seed"] for run in members])
    return groups


def _tell_of_repeated_seeds(label: str, seeds: list[int]) -> None:
    """Tell if a setting has a seed several times: the intervals take its runs for independent ones."""
    repeated = sorted({seed for seed in seeds if seeds.count(seed) > 1})
    if repeated:
        tell(f"{label}: several runs have one seed ({', '.join(map(str, repeated))}); they count as independent, and may be copies")


def called(name: str, value: Any) -> str:
    """λ = 0.9; a2c for the algorithm."""
    if name == "algorithm":
        return str(value)
    if isinstance(value, list | tuple):
        shown = ", ".join(map(str, value))
    else:
        six_digits = isinstance(value, float) and float(f"{value:g}") == value
        shown = f"{value:g}" if six_digits else str(value)
    name = name.removeprefix("env_args.")
    return f"{SIGNS.get(name, name)} = {shown}"


def final_return(run: Run) -> float | None:
    """The mean return of a run's last policy, from summary.json; None for a run that is not evaluated. Raises UserError.

    A run that was resumed and then stopped is not evaluated, although the summary of its earlier end is there.
    """
    try:
        summary, at = read_json(run.path / "summary.json"), steps_of(run.path / "checkpoint.npz")
        value = summary.get("eval_mean")
        return None if value is None or (at and at[0] != summary.get("steps", at[0])) else float(value)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{run.path / 'summary.json'} cannot be read: {error}") from None


def _entries(run: Run) -> dict[str, Any]:
    config, at = run.config, steps_of(run.path / "checkpoint.npz")
    return ({name: config.get(name) for name in DECIDES} | {"made_as": config.get("made_as", config["env"])}
            | {f"env_args.{name}": x for name, x in config["env_args"].items()} | config["hyperparameters"]
            | ({"steps": at[1]} if at else {}))                             # it may have been resumed for more steps


def _differing(entries: list[dict[str, Any]]) -> list[str]:
    """Names of entries that do not have the same value everywhere."""
    names = {name: None for entry in entries for name in entry}
    return [name for name in names if len({_hashable(entry.get(name)) for entry in entries}) > 1]


def _hashable(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return tuple(map(_hashable, value))
    return repr(value) if isinstance(value, dict) else value
