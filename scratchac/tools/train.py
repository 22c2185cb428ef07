"""The subcommand `train`: its options are the parameters of `scratchac.train`, and the hyperparameters of one algorithm."""

import inspect
import os
import re
from dataclasses import asdict, dataclass, field, fields, make_dataclass
from json import dumps
from pathlib import Path
from typing import Annotated, Any

import tyro

from scratchac.errors import UserError, unknown
from scratchac.messages import tell
from scratchac.tools.flags import Backend, Log, env_args_from, parse

# Parameters of `scratchac.train` that differ on a command line: (type, default, help or None for the docstring's).
FROM_ENVIRONMENT = field(default_factory=lambda: os.environ.get("SCRATCHAC_BACKEND", "auto"))
ON_A_COMMAND_LINE: dict[str, tuple[Any, Any, str | None]] = {
    "algorithm": (Annotated[str, tyro.conf.Suppress], "", "algorithm to train"),        # taken out of the words before
    "env": (str, "", "Gymnasium id of the environment, MODULE:ID to import MODULE.py from here first, or a game's name"),
    "backend": (Backend, FROM_ENVIRONMENT, "backend that does the arithmetic; auto is numba if it is installed"),
    "preset": (str | None, None, None),
    "init": (Path | None, None, "folder of a run of the same algorithm, from whose parameters training starts"),
    "out": (Path | None, None, "new folder for the run; runs/ALGO-ENV-seedS if not given"),
    "log": (tuple[Log, ...], (), None),
    "quiet": (bool, False, "show no progress bar"),
    "video": (bool, True, "record a video of the final policy"),
    "env_args": (tuple[str, ...], (), "arguments of the environment, as name=value in JSON or Python; other values are text"),
}
NOT_THERE = {"steps", "on_row", "callbacks", "hyperparameters"}      # `steps` is a hyperparameter here


@dataclass(frozen=True)
class First:
    """The options that decide what the other ones, and their defaults, are."""

    env: str | None = None
    preset: str | None = None
    config: Annotated[Path | None, tyro.conf.arg(
        help="a run's config.json, or a TOML file with a table of these options or of presets; options given beside it win")] = None


def train(argv: list[str]) -> None:
    """Train an agent. The options depend on the algorithm, the environment and a file, so tyro reads twice."""
    from scratchac import algorithms
    from scratchac.experiments.given import arguments_from

    word, words = algorithm_in(argv, list(algorithms.ALGORITHMS))
    first = parse(First, words, f"scratchac train {word or 'ALGO'}", others=[])
    given = {} if first.config is None else arguments_from(first.config, word, first.env, first.preset)
    names = ", ".join(algorithms.ALGORITHMS)
    if word is None and "algorithm" not in given:
        if not {"-h", "--help"} & set(argv):
            raise UserError(f"train needs an algorithm: scratchac train ALGO, one of {names}")
        print(f"usage: scratchac train ALGO [options]\n\nALGO: {names}\n\n`scratchac train ALGO --help` lists the options of one.")
        return
    learn(algorithms.spelt(word or given["algorithm"]), first, given, words)


def algorithm_in(argv: list[str], names: list[str]) -> tuple[str | None, list[str]]:
    """The algorithm among the arguments, wherever it stands, and the other arguments. It is None if there is none.

    It is the first name of an algorithm that is not the value of an option. Raises UserError for a first word that is no name.
    """
    switches = {"--quiet", "--no-quiet", "--video", "--no-video", "--randomise", "--no-randomise"}
    for i, word in enumerate(argv):
        before = argv[i - 1] if i else ""
        if word.lower().replace("_", "-") in names and (not before.startswith("-") or "=" in before or before in switches):
            return word, argv[:i] + argv[i + 1:]
    if argv and not argv[0].startswith("-"):
        raise unknown("algorithm", argv[0].lower(), names)
    return None, argv


def learn(algorithm: str, first: First, given: dict[str, Any], argv: list[str]) -> None:
    """Read the other options, whose defaults are those of the file and of the preset, and train."""
    import kernels
    from scratchac import algorithms, api
    from scratchac.algorithms.config import configure
    from scratchac.environments.make import Named, versioned
    from scratchac.experiments import logs
    from scratchac.experiments.presets import find_preset
    from scratchac.experiments.run import new_folder
    from scratchac.tools import outcome

    config_class: Any = algorithms.find(algorithm).config_class
    env = versioned(first.env or given.get("env") or algorithms.ALGORITHMS[algorithm].env)
    preset = given.pop("preset", first.preset)
    tuned, tuned_args = find_preset(algorithm, env, preset)
    run_class = options_of(api.train)
    own = {f.name: given[f.name] for f in fields(run_class) if f.name in given}
    own |= {"log": logs.named(own["log"])} if "log" in own else {}
    hyperparameters = {name: value for name, value in given.items() if name not in own}
    config = configure(config_class, algorithm, tuned | hyperparameters, besides=[f.name for f in fields(run_class)])
    env_args = tuned_args | own.get("env_args", {})
    words = tuple(f"{name}={dumps(value, default=str)}" for name, value in env_args.items())
    defaults = run_class(**own | vars(first) | {"algorithm": algorithm, "env": env, "env_args": words})
    without_prefix: Any = tyro.conf.OmitArgPrefixes
    options_class: Any = make_dataclass("Options", [
        ("run", without_prefix[run_class], field(default_factory=lambda: defaults)),
        ("hyperparameters", without_prefix[config_class], field(default_factory=lambda: config)),
    ], frozen=True)
    named = f"{env}, {first.preset}" if first.preset else env
    origin = first.config or f"the preset for {named}"
    about = f"Train {algorithm}. Defaults are those of {origin}. -n is --steps, -s is --seed."
    parsed = parse(options_class, argv, f"scratchac train {algorithm}", about,
                   [f.name for part in (run_class, config_class) for f in fields(part) if f.name != "algorithm"])
    options = {name: value for name, value in vars(parsed.run).items() if name != "config"}
    options |= {"env": Named(first.env) if first.env else env, "preset": preset}       # `api.train` says which version it takes
    options["env_args"] = env_args if options["env_args"] == words else env_args | env_args_from(options["env_args"])
    if options["backend"] == "auto" and not options["quiet"] and kernels.load("auto").name == "numpy":
        tell(f"the NumPy backend computes; this makes training faster: {kernels.BACKENDS['numba'][2]}")
    out = options.pop("out") or new_folder(algorithm, env, options["seed"])
    # Only what the user has changed: `api.train` knows the preset, and some defaults depend on other values.
    default = asdict(config)
    changed = {name: value for name, value in asdict(parsed.hyperparameters).items() if value != default[name]}
    agent = api.train(**options, out=out, **hyperparameters | changed)
    outcome.show(out, agent.step, options["quiet"])


def options_of(function: Any) -> Any:
    """A dataclass of the parameters of `scratchac.train`, each with the line of its docstring that explains it."""
    lines = dict(re.findall(r"^ +(\w+): (.+)$", inspect.getdoc(function) or "", re.MULTILINE))
    fields: list[Any] = []
    for name, parameter in inspect.signature(function).parameters.items():
        if name not in NOT_THERE:
            kind, default, text = ON_A_COMMAND_LINE.get(name, (parameter.annotation, parameter.default, None))
            fields.append((name, Annotated[kind, tyro.conf.arg(help=text or lines[name])], default))
    return make_dataclass("Run", [*fields, ("config", First.__annotations__["config"], None)], frozen=True)
