"""Values that a stranger alters: one in config.json, in a checkpoint's manifest or arrays, or in metrics.csv.

Whatever it is, each command must refuse it in one line and change nothing in the folder, or do its work.
"""

import contextlib
import io
import json
import shutil
import signal
import sys
import warnings
from collections import Counter
from unittest import mock

import numpy as np

import scratchac
from scratchac.__main__ import main
from scratchac.errors import UserError
from scratchac.experiments import conclusion, plots
from scratchac.experiments.run import Run

SECONDS = 20                                        # in which a command must have ended
OFF = {"learning_starts": 20, "batch_size": 8, "buffer_size": 200, "hidden": (4,)}
RUNS = {                                            # algorithm, environment and options of the runs that are altered
    "a2c": ("a2c", "CartPole-v1", {"hidden": (4, 4), "normalise_obs": True, "scale_rewards": True, "optimiser": "adam"}),
    "a2c, evaluated": ("a2c", "CartPole-v1", {"hidden": (4,), "eval_every": 100, "stop_at": 1e6, "patience": 9}),
    "a2c, lander": ("a2c", "LunarLander-v3", {"hidden": (4,), "envs": 2, "rollout": 5, "randomise": True}),
    "reinforce": ("reinforce", "CartPole-v1", {"hidden": (4,)}),
    "actor-critic": ("actor-critic", "Acrobot-v1", {"hidden": (4,)}),
    "sac": ("sac", "Pendulum-v1", OFF),
    "ddpg": ("ddpg", "Pendulum-v1", OFF | {"noise": "ou", "normalise_obs": True, "envs": 2}),
    "discrete-sac": ("discrete-sac", "CartPole-v1", OFF),
    "ppo": ("ppo", "CartPole-v1", {"hidden": (4,), "envs": 2, "rollout": 16, "batch_size": 16,
                                   "env_args": {"max_episode_steps": 50}}),
    "games": ("ppo", "tictactoe_v3", {"hidden": (4,), "envs": 2, "rollout": 8, "batch_size": 8, "action_mask": True}),
    "a3c": ("a3c", "CartPole-v1", {"hidden": (4,), "envs": 2}),
}
STEPS, STOPPED, FURTHER = 400, 200, 60              # of a run; when it was stopped; how many a resumed one adds
HUGE = 10**30
VALUES = [None, True, False, 0, 1, -1, 2, 0.5, -0.5, 1e-320, 1e30, 1e308, float("nan"), float("inf"), -float("inf"), 2**31, 2**63,
          -(2**63), HUGE, -HUGE, 10**400, "", " ", "text", "1", "\ud800", "\x00", "two\nlines", "$\\frac$", "9" * 5000, "é" * 300,
          [], [[]], [0], [None], ["text"], [1, 2, 3], {}, {"dict": {}}, {"array": "agent.step"}, {"array": []},
          {"a tuple": [1]}, {"a tuple": 1}, {"a dict": [[[], 1]]}, {"kind": "Box"}, {"\ud800": 1}]
NUMBERS = [0, 1, -1, 0.5, 1e-30, 1e10, -1e10, 1e30, 1e38, np.nan, np.inf, -np.inf, 2**31, -(2**62)]
DTYPES = ["float16", "float32", "float64", "int8", "int64", "uint8", "uint64", "bool", "complex64", "S3", "U3", ">f4", ">i8",
          "M8[s]"]
CELLS = ["", "0", "-1", "1.5", "1e400", "-1e300", "nan", "inf", "text", "1,2", '"1"', '"1', "1_000", "\x00", "é", "9" * 400, "\r",
         "\n", " 7 "]


class Hangs(BaseException):
    """A command has not ended in time; not an Exception, which the command may catch."""


def make(folder, names=RUNS):
    """Make the runs in a folder; returns {name: path}."""
    made = {}
    for name in names:
        algorithm, env, options = RUNS[name]
        made[name] = folder / name.replace(", ", "-")
        scratchac.train(algorithm, env, STEPS, out=made[name], stop_after=STOPPED, eval_episodes=1, **options)
    return made


def alter(made, times, seed=0, first=0):
    """Alter a value of one of the runs `made`, `times` times. Returns {(what was altered, the outcome): how often}.

    Raises AssertionError, with all of them, if a command raised another error, did not end, said more than one line, or changed the
    folder though it refused. Alteration i is the same for a seed whatever came before it: `alter(made, 1, seed, first=i)`.
    """
    seen, wrong = Counter(), []
    for i in range(first, first + times):
        rng = np.random.default_rng([seed, i])
        name = str(rng.choice(list(made)))
        path = made[name].with_name("altered")
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(made[name], path)
        what = str(rng.choice(list(ALTER)))
        told = ALTER[what](path, rng)
        commands = ["plot", "resume"] if what == "metrics.csv" else ["evaluate", "resume", "plot"] if what == "config.json" else [
            "evaluate", "resume"]
        outcomes = [_outcome(command, path) for command in commands]
        seen[what, max(outcomes, key=ORDER.index) if set(outcomes) <= set(ORDER) else "wrong"] += 1
        wrong += [f"{i}: {name}, {what}: {told}: {command} {outcome}" for command, outcome in zip(commands, outcomes, strict=True)
                  if outcome not in ORDER]
    assert not wrong, "\n".join(["", *wrong])
    return dict(seen)


ORDER = ["done", "training stopped", "refused"]     # the outcome of an alteration is the last of its commands' in this order


def _outcome(command, path):
    """What came of a command: one of ORDER, or what is wrong with it."""
    words = {"evaluate": ["--episodes", "1", "--quiet"], "resume": ["--steps", str(_step(path) + FURTHER), "--quiet", "--no-video"],
             "plot": []}[command]
    before, said, draw = _contents(path), io.StringIO(), command == "plot"
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings(), \
            mock.patch("scratchac.messages.STDERR", said), mock.patch.object(sys, "stdin", io.StringIO()), \
            mock.patch.object(conclusion.evaluation, "BUDGET", 1000), \
            mock.patch.object(plots, "save", lambda figure, path: draw and figure.savefig(io.BytesIO(), dpi=20)), _limited():
        warnings.simplefilter("ignore")             # of overflows, where parameters are absurd
        try:
            code = main([command, str(path), *words])
        except Hangs:
            return f"has not ended in {SECONDS} seconds"
        except BaseException as error:
            places = []
            trace = error.__traceback__
            while trace:
                places.append(f"{trace.tb_frame.f_code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}")
                trace = trace.tb_next
            return f"raised {type(error).__name__}: {str(error)[:200]} in {' '.join(places[-4:])}"
    lines = said.getvalue().splitlines()
    if code and len(lines) != 1:
        return f"ended with {code} and said {lines}"
    if code == 2 and _contents(path) != before:
        return f"refused and changed the folder: {lines[0]}"
    return {0: "done", 1: "training stopped", 2: "refused"}.get(code, f"ended with {code}")


@contextlib.contextmanager
def _limited():
    def hangs(*_):
        raise Hangs

    handler = signal.signal(signal.SIGALRM, hangs)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, handler)


def _step(path):
    try:
        step = Run.open(path).restore()[0]["step"]
    except (UserError, TypeError, KeyError):
        return STOPPED
    return step if type(step) is int and 0 < step < 2**53 else STOPPED


def _contents(path):
    return {file.name: file.read_bytes() for file in path.iterdir()}


# -- alterations; each returns what it did in words -------------------------------------------------------------------------


def _altered(tree, rng, sections=()):
    """Alter one value, at any depth, of what JSON gave, in place; first a section is drawn, for they differ in size."""
    node, path = tree, []
    for section in sections:
        node = node[section]
        path.append(section)
    places = list(_places(node))
    holder, key = places[rng.integers(len(places))]
    old, kind = holder[key], int(rng.integers(6))
    if kind == 0:
        del holder[key]
    elif kind == 1 and isinstance(holder, dict):
        key = str(rng.choice(["more", "", "new_episodes"]))
        holder[key] = VALUES[rng.integers(len(VALUES))]
    elif kind == 2 and isinstance(old, (int, float)) and not isinstance(old, bool):
        holder[key] = [-old, old + 1, old - 1, old * 1000, float(old), str(old), [old], old * HUGE][rng.integers(8)]
    elif kind == 3:
        other, name = places[rng.integers(len(places))]
        holder[key] = json.loads(json.dumps(other[name]))
    elif kind == 4 and isinstance(old, list) and old:
        holder[key] = [old + old[-1:], old[:-1], old * 50, [old]][rng.integers(4)]
    else:
        holder[key] = VALUES[rng.integers(len(VALUES))]
    return f"{'.'.join(path)} {key}: {ascii(old)[:60]} → {ascii(holder[key])[:60] if _has(holder, key) else 'nothing'}"


def _has(holder, key):
    return key in holder if isinstance(holder, dict) else key < len(holder)


def _places(node):
    """(holder, key) of everything in nested dicts and lists."""
    for key, value in list(node.items() if isinstance(node, dict) else enumerate(node)):
        yield node, key
        if isinstance(value, dict | list):
            yield from _places(value)


def _config(path, rng):
    config = json.loads((path / "config.json").read_text())
    inside = [name for name in ("hyperparameters", "observation_space", "action_space", "env_args") if config[name]]
    section = [] if rng.random() < 0.5 else [str(rng.choice(inside))]
    told = _altered(config, rng, section)
    (path / "config.json").write_text(json.dumps(config))
    if section and section[0].endswith("space") and section[0] in config and rng.random() < 0.7:    # the same in the checkpoint
        _rewrite(path, lambda manifest, arrays: manifest.update({section[0]: config[section[0]]}))
        told += ", in the checkpoint, too"
    return told


def _manifest(path, rng):
    told = []

    def change(manifest, arrays):
        part = str(rng.choice(["", "progress", "interaction", "interaction", "agent"]))
        told.append(_altered(manifest, rng, ["tree", "dict", part] if part else []))

    _rewrite(path, change)
    return told[0]


def _array(path, rng):
    told = []

    def change(manifest, arrays):
        part = str(rng.choice(["agent", "interaction", "progress"]))
        name = str(rng.choice([name for name in arrays if name.startswith(part)] or list(arrays)))
        new = old = arrays[name]
        kind = int(rng.integers(5))
        if kind <= 1 and old.size:
            new = old.copy()
            with contextlib.suppress(OverflowError, ValueError):
                new.flat[rng.integers(old.size)] = NUMBERS[rng.integers(len(NUMBERS))]
        elif kind == 2:
            with contextlib.suppress(TypeError, ValueError):
                new = old.astype(DTYPES[rng.integers(len(DTYPES))])
        elif kind == 3:
            shapes = [old[None], old.ravel(), old[:0] if old.ndim else old, np.concatenate([old, old]) if old.ndim else old[None],
                      old[:-1] if old.ndim else old, np.zeros(()), np.asfortranarray(old), np.zeros((0, 5))]
            new = shapes[rng.integers(len(shapes))]
        else:
            with np.errstate(all="ignore"):
                new = np.full_like(old, [0, 1, 2, 100][rng.integers(4)]) if rng.random() < 0.5 else -old
        told.append(f"{name}: {old.dtype} {old.shape} {old.ravel()[:3]} → {new.dtype} {new.shape} {new.ravel()[:3]}")
        arrays[name] = new
        manifest["arrays"] = {key: [list(x.shape), str(x.dtype)] for key, x in arrays.items()}

    _rewrite(path, change)
    return told[0]


def _rewrite(path, change):
    arrays = dict(np.load(path / "checkpoint.npz"))
    manifest = json.loads(arrays.pop("manifest").tobytes())
    change(manifest, arrays)
    text = np.frombuffer(json.dumps(manifest).encode(), np.uint8)
    (path / "checkpoint.npz").unlink()              # it may be one file with the one before
    np.savez(path / "checkpoint.npz", manifest=text, **arrays)


def _metrics(path, rng):
    rows = [line.split(",") for line in (path / "metrics.csv").read_text().splitlines()]
    kind, row, column = int(rng.integers(7)), int(rng.integers(len(rows))), int(rng.integers(len(rows[0])))
    cell = CELLS[rng.integers(len(CELLS))]
    if kind == 0:
        rows = [x[:column] + x[column + 1:] for x in rows]
    elif kind == 1:
        rows = [["more", *x] if i == 0 else ["1", *x] for i, x in enumerate(rows)]
    elif kind == 2:
        rows[0][column] = ["step", "return_mean", "", "$x$", "a b", "\ud7ff"][rng.integers(6)]
    elif kind == 3:
        del rows[row]
    elif kind == 4:
        rows = [[x[i] if i < 2 or n == 0 else "" for i in range(len(x))] for n, x in enumerate(rows)]
    else:
        rows[row][column] = cell
    end = ["\n", "\r\n", "\r", "\n\n"][rng.choice(4, p=[0.4, 0.4, 0.1, 0.1])]
    (path / "metrics.csv").write_text(end.join(map(",".join, rows)) + end, newline="")
    return f"kind {kind}, row {row}, column {column}, cell {cell[:20]!r}, ends {end!r}"


ALTER = {"config.json": _config, "manifest": _manifest, "arrays": _array, "metrics.csv": _metrics}
