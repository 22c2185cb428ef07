"""The subcommand `train`: its options are the parameters of `scratchac.train`, and the hyperparameters of one algorithm."""

import inspect
from dataclasses import asdict, dataclass, field, fields, make_dataclass
from itertools import chain
from json import dumps
from pathlib import Path
from typing import Annotated, Any

import tyro

import kernels
from scratchac.errors import UserError, unknown
from scratchac.messages import tell
from scratchac.tools.flags import Backend, Log, Words, env_args_from, parse, shown, texts_of

# Parameters of `scratchac.train` that differ on a command line: (type, default, help or None for the docstring's).
FROM_ENVIRONMENT = field(default_factory=kernels.default_backend)
ON_A_COMMAND_LINE: dict[str, tuple[Any, Any, str | None]] = {
    "algorithm": (Annotated[str, tyro.conf.Suppress], "", "algorithm to train"),        # taken out of the words before
    "env": (str, "", "environment: a Gymnasium id, MODULE:ID to import MODULE first (MODULE.py of this folder, or an installed one)"
            ", or a game's name"),
    "backend": (Backend, FROM_ENVIRONMENT, "what does the arithmetic; auto is numba if it is installed, else numpy"),
    "preset": (str | None, None, "name of an additional preset, one of those that `scratchac presets` lists with --preset"),
    "init": (Path | None, None, "folder of a run of the same algorithm and networks, from whose parameters, "
             "with a learnt α and σ, training starts"),
    "out": (Path | None, None, "new folder for the run; if not given, runs/ALGO-ENV-seedSEED, numbered if that exists"),
    "log": (tuple[Log, ...], (), "write logs for other programs into the run's folder: tensorboard, wandb (offline unless "
            "$WANDB_MODE says otherwise) or both"),
    "quiet": (bool, False, "show no progress bar"),
    "video": (bool, True, "record a video of the final policy into the run's folder"),
    "env_args": (Words, (), "arguments of the environment, such as gravity=-5 continuous=true, in JSON or Python; "
                 "other values are text"),
    "eval_episodes": (int | None, None, "episodes of the evaluation at the end; 0 for none, 100 if not given"),
    "eval_every": (int | None, None, "environment steps between evaluations during training, each of 10 episodes; the best policy "
                   "is kept, too; if not given, there are none"),
    "stop_at": (float | None, None, "with --eval-every, end training at the first evaluation with at least this mean return"),
    "patience": (int | None, None, "with --eval-every, end training after so many evaluations in a row without a better mean"),
}
CONFIG = ("folder of a run, its config.json, or a TOML file with a table of these options or of presets: train with its values; "
          "options given on the command line win")
SCHEDULES = ("FLOAT|STR is a number or, for one that changes during training, linear:START:END or exponential:START:END. "
             "-n is short for --steps, -s for --seed.")
NOT_THERE = {"steps", "on_row", "callbacks", "hyperparameters"}      # `steps` is a hyperparameter here


@dataclass(frozen=True)
class First:
    """The options that decide what the other ones, and their defaults, are."""

    env: str | None = None
    preset: str | None = None
    config: shown(Path | None, CONFIG) = None  # type: ignore[valid-type]


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
        print("usage: scratchac train ALGO [options]\n\nTrain an agent. ALGO, and its environment without --env:\n")
        print("\n".join(f"  {name:18} {one.env:14} {title_of(name)}" for name, one in algorithms.ALGORITHMS.items()))
        print("\n`scratchac train ALGO --help` lists the options of one.\n"
              "`scratchac doctor --env ID` says which of them take an environment.")
        return
    learn(algorithms.spelt(word or given["algorithm"]), first, given, words)


def title_of(algorithm: str) -> str:
    """What the name of an algorithm stands for: the beginning of its file."""
    from scratchac import algorithms

    return (inspect.getdoc(inspect.getmodule(algorithms.find(algorithm))) or "").partition("\n")[0].partition(" (")[0].rstrip(".")


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
    from scratchac.environments.make import CommandLineId, versioned, with_arguments
    from scratchac.experiments import logs
    from scratchac.experiments.presets import find_preset
    from scratchac.experiments.run import new_folder
    from scratchac.tools import outcome

    config_class: Any = algorithms.find(algorithm).config_class
    if not isinstance(named := given.get("env", ""), str):
        raise UserError(f"{first.config}: env is the id of an environment, not {named!r}")
    env = versioned(first.env or given.get("env") or algorithms.ALGORITHMS[algorithm].env)
    preset = given.pop("preset", None)
    if first.preset and not isinstance(preset, dict):       # a table is what --preset has chosen among those of the file
        preset = first.preset
        check_preset(first, find_preset(algorithm, env, preset)[0], given)
    tuned, tuned_args = find_preset(algorithm, env, preset)
    run_class = options_of(api.train)
    own = {f.name: given[f.name] for f in fields(run_class) if f.name in given}
    own |= {"log": logs.named(own["log"])} if "log" in own else {}
    hyperparameters = {name: value for name, value in given.items() if name not in own}
    config = configure(config_class, algorithm, tuned | hyperparameters, besides=[f.name for f in fields(run_class)])
    env_args = with_arguments(tuned_args, own.get("env_args", {}))
    words = tuple((f"{name}={dumps(value, default=str)}",) for name, value in env_args.items())
    defaults = run_class(**own | vars(first) | {"algorithm": algorithm, "env": env, "env_args": words})
    without_prefix: Any = tyro.conf.OmitArgPrefixes
    options_class: Any = make_dataclass("Options", [
        ("run", without_prefix[run_class], field(default_factory=lambda: defaults)),
        ("hyperparameter", without_prefix[config_class], field(default_factory=lambda: config)),
    ], frozen=True)
    named = f"{env}, {first.preset}" if first.preset else env
    origin = (f"The defaults are those of {first.config}." if first.config else
              f"The defaults are those of the preset for {named}; another --env has others." if tuned else
              f"There is no preset for {env}: the defaults are the algorithm's own.")
    about = (f"Train {algorithm}: {title_of(algorithm)}. The run is written to a new folder, whose path is printed last.\n\n"
             f"{origin}\n\n{SCHEDULES}")
    parsed = parse(options_class, argv, f"scratchac train {algorithm}", about,
                   [f.name for part in (run_class, config_class) for f in fields(part) if f.name != "algorithm"])
    options = {name: value for name, value in vars(parsed.run).items() if name != "config"}
    options |= {"env": CommandLineId(first.env) if first.env else env, "preset": preset}   # `api.train` says which version it takes
    options["env_args"] = with_arguments(env_args, env_args_from(chain(*options["env_args"][len(words):])))
    if options["backend"] == "auto" and not options["quiet"] and kernels.load("auto").name == "numpy":
        tell(f"the NumPy backend computes; this makes training faster: {kernels.BACKENDS['numba'][2]}")
    out = options.pop("out") or new_folder(algorithm, env, options["seed"])
    # Only what the user has named or changed: `api.train` knows the preset, and some defaults depend on other values.
    default = asdict(config)
    on_the_line = {word.partition("=")[0].removeprefix("--").replace("-", "_") for word in argv if word.startswith("--")}
    changed = {name: value for name, value in asdict(parsed.hyperparameter).items()
               if value != default[name] or name in on_the_line}
    agent = api.train(**options, out=out, **hyperparameters | changed)
    outcome.show(out, agent.step, options["quiet"])


def check_preset(first: First, tuned: dict[str, Any], given: dict[str, Any]) -> None:
    """Raise UserError where the values of --config would replace all that --preset has chosen."""
    if tuned and tuned.keys() <= given.keys():
        raise UserError(f"--preset {first.preset} would change nothing: {first.config} has all of its values; leave out one")


def options_of(function: Any) -> Any:
    """A dataclass of the parameters of `scratchac.train`, each with the text of its docstring that explains it."""
    texts = texts_of(function)
    fields: list[Any] = []
    for name, parameter in inspect.signature(function).parameters.items():
        if name not in NOT_THERE:
            kind, default, text = ON_A_COMMAND_LINE.get(name, (parameter.annotation, parameter.default, None))
            fields.append((name, shown(kind, text or texts[name]), default))
    return make_dataclass("Run", [*fields, ("config", First.__annotations__["config"], None)], frozen=True)
