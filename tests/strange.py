"""Random input of all kinds: command lines, arguments of the Python functions, and environments.

Every input must be accepted, or refused in one line: by a UserError where the user can mend it, by a TrainingError where learning
failed. Each function runs a number of examples and returns {the outcome: how often}; Hypothesis shrinks an example that fails.
"""

import contextlib
import io
import os
import signal
import sys
import tempfile
import warnings
from collections import Counter
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import get_args, get_origin
from unittest import mock

import gymnasium as gym
import numpy as np
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

import scratchac
from scratchac import algorithms
from scratchac.__main__ import main
from scratchac.algorithms.config import OffPolicy
from scratchac.errors import TrainingError, UserError
from scratchac.experiments import conclusion, plots

SECONDS = 60                                        # in which an example must have ended


def explore(check, examples, *strategies):
    """Run `check` on a number of examples, which are the same every time."""
    given(*strategies)(settings(max_examples=examples, deadline=None, derandomize=True, database=None,
                                phases=(Phase.generate, Phase.shrink),      # not Phase.explain, which traces every line
                                suppress_health_check=list(HealthCheck))(check))()


@contextlib.contextmanager
def elsewhere():
    """A block in an empty working directory, with a short evaluation, without pictures, and with a time limit."""
    def hangs(*_):
        raise AssertionError(f"it has not ended after {SECONDS} seconds")

    before, handler = Path.cwd(), signal.signal(signal.SIGALRM, hangs)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(), \
            mock.patch.object(conclusion, "EVALUATION_EPISODES", 1), mock.patch.object(plots, "save", lambda figure, path: None), \
            mock.patch.object(sys, "stdin", io.StringIO()):
        warnings.simplefilter("ignore")                                     # of overflows, where learning rates are absurd
        os.chdir(folder)
        signal.alarm(SECONDS)
        try:
            yield Path(folder)
        finally:
            signal.alarm(0)
            signal.signal(signal.SIGALRM, handler)
            os.chdir(before)


# -- command lines -------------------------------------------------------------------------------------------------------

ENDLESS = "1" * 30
GARBAGE = st.sampled_from(["", " ", "0", "-1", "1.5", "1e400", "nan", "inf", "-inf", "many", "None", "true", "[]", "{}", "é", "--",
                           "-", "linear", "linear:1", "linear:a:b", "exponential:0:1", "linear:1:0:0", ENDLESS, "/", "..", "a=b"])
SMALL = st.sampled_from(["1", "2", "3", "8"])
NUMBER = st.one_of(SMALL, GARBAGE)
ENVS = st.sampled_from(["CartPole-v1", "CartPole-v1", "Pendulum-v1", "Pendulum-v1", "tictactoe_v3",
                        "Blackjack-v1", "CartPol-v1", "Taxi-v3", "module:Env-v0", ""])
LARGE = "1000000000000000"                          # for what must fit into memory


def has_an_end(steps):
    return steps != ENDLESS                         # which can be done, and takes for ever


def words_for(field):
    """A strategy for a hyperparameter's values, valid and invalid, as words of a command line."""
    kind = field.type if get_origin(field.type) else type(field.default)
    if field.name == "hidden":
        return st.sampled_from([["4"], ["4", "4"], [LARGE], ["0"], ["x"], []])
    if kind is bool:
        return st.just([])
    if str(kind).startswith("typing.Literal"):
        return st.one_of(st.sampled_from(get_args(kind)), GARBAGE).map(lambda word: [word])
    if isinstance(field.default, int):
        large = [LARGE] if field.name in ("envs", "rollout", "batch_size", "buffer_size", "learning_starts") else []
        return st.one_of(SMALL, SMALL, SMALL, GARBAGE, *map(st.just, large)).map(lambda word: [word])
    sound = st.sampled_from(["0.5", "1e-3", "1", "linear:0.1:0", "1e30"])
    return st.one_of(sound, sound, GARBAGE).map(lambda word: [word])


@st.composite
def training(draw):
    algorithm = draw(st.sampled_from([*algorithms.ALGORITHMS, "a2d", ""]))
    usual = "Pendulum-v1" if algorithm in ("ddpg", "td3", "sac") else "CartPole-v1"
    words = ["train", algorithm, "--quiet", "--no-video", "--env", draw(st.one_of(st.just(usual), st.just(usual), ENVS))]
    steps = GARBAGE.filter(has_an_end)
    words += ["--steps", draw(st.one_of(SMALL, st.just("40"), st.just("40"), steps) if algorithm != "a3c" else steps)]
    if algorithm not in algorithms.ALGORITHMS:
        return words
    config = algorithms.find(algorithm).config_class
    known = {field.name: field for field in fields(config) if field.name not in ("steps", "engine")}
    short = {"rollout": "8", "learning_starts": "8", "batch_size": "4", "buffer_size": "100", "epochs": "2", "envs": "2"}
    chosen = draw(st.lists(st.sampled_from(sorted(known)), max_size=2, unique=True))
    for name in chosen:
        no = "no-" if isinstance(known[name].default, bool) and draw(st.booleans()) else ""
        words += [f"--{no}{name.replace('_', '-')}", *draw(words_for(known[name]))]
    words += [word for name, value in short.items() if name in known and name not in chosen
              for word in (f"--{name.replace('_', '-')}", value)]
    others = {"--seed": NUMBER, "--backend": st.sampled_from(["numpy", "cupy", "cuda", ""]),
              "--out": st.sampled_from(["a", "a/b", "", "."]),
              "--env-args": st.sampled_from(["x=1", "gravity=-5", "pixels=3", "=", "render_mode=human2", "g=0"]),
              "--preset": GARBAGE,
              "--vector": st.sampled_from(["sync", "asink", ""]), "--checkpoint-every": NUMBER, "--stop-after": NUMBER,
              "--randomise": st.just(None), "--nonsense": GARBAGE}
    for flag in draw(st.lists(st.sampled_from(sorted(others)), max_size=1)):
        value = draw(others[flag])
        words += [flag] if value is None else [flag, value]
    return words


PATHS = st.sampled_from(["run", "run", "game", "nowhere", "empty", "file", "damaged", "", "/"])
OTHERS = st.one_of(
    st.tuples(st.just("evaluate"), PATHS, st.sampled_from(["--episodes", "--seed", "--json"]), NUMBER),
    st.tuples(st.just("resume"), PATHS, st.just("--quiet"), st.just("--no-video"), st.just("--steps"), NUMBER.filter(has_an_end)),
    st.tuples(st.just("plot"), PATHS, PATHS, st.just("--out"), st.sampled_from(["x.png", "x.xyz", "x", "no/x.png", ""])),
    st.tuples(st.just("video"), PATHS, st.sampled_from(["--episodes", "--seed"]), st.sampled_from(["0", "-1", "x", "1.5"])),
    st.tuples(st.just("export"), PATHS, st.just("--out"), st.sampled_from(["x.html", "no/x.html", "/", ""])),
    st.tuples(st.just("export"), PATHS, st.just("--format"), st.one_of(st.just("onnx"), GARBAGE)),
    st.tuples(st.just("play"), PATHS),
    st.tuples(st.just("play"), st.just("--env"), st.sampled_from(["Ant-v5", "", "tictactoe_v3"])),
    st.tuples(st.just("sweep"), st.sampled_from(["a2c", "a2d", ""]), st.just("--seeds"),
              st.sampled_from(["3-1", "", "x", "-1", "1-", "0-9e9", "0-999999999"])),
    st.tuples(st.just("sweep"), st.just("a2c"), st.just("--set"), st.sampled_from(["x=1", "lam", "lam=", "=", "lam=2", "lam=0,x"])),
    st.tuples(st.just("sweep"), st.just("a2c"), st.sampled_from(["--jobs", "--steps"]), st.sampled_from(["0", "-1", "x", "1.5"])),
    st.lists(st.one_of(GARBAGE, st.sampled_from(["train", "evaluate", "presets", "--help", "-h", "gradchek"])), max_size=3),
).map(list)


def command_lines(examples):
    seen = Counter()

    def check(words):
        with elsewhere() as folder, contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as err:
            if words[:1] != ["train"]:
                make_folders(folder)
            before = sorted(folder.rglob("*"))
            try:
                code = main(words)
            except SystemExit as stop:                                      # --help
                code = stop.code or 0
            made = [path for path in folder.rglob("*") if path not in before and path != folder / "runs"]
        said = err.getvalue().strip().splitlines()
        assert code in (0, 1, 2), (words, code)
        if code:
            assert said and said[-1].startswith("scratchac: ") and "Traceback" not in err.getvalue(), (words, said)
        if code == 2:
            assert len(said) == 1 and not made, (words, said, made)
        seen[{0: "done", 1: "training stopped", 2: "refused"}[code]] += 1

    explore(check, examples, st.one_of(training(), training(), OTHERS))
    return dict(seen)


def make_folders(folder):
    """Make a run, a run on a game, a run with a damaged checkpoint, an empty folder and a file."""
    scratchac.train("reinforce", "CartPole-v1", 20, out=folder / "run", hidden=(4,))
    scratchac.train("ppo", "tictactoe_v3", 8, out=folder / "game", hidden=(4,), envs=2, rollout=4, batch_size=4)
    scratchac.train("reinforce", "CartPole-v1", 20, out=folder / "damaged", hidden=(4,))
    with open(folder / "damaged" / "checkpoint.npz", "r+b") as file:
        file.truncate(1000)
    (folder / "empty").mkdir()
    (folder / "file").write_text("hello")


# -- arguments of the Python functions -----------------------------------------------------------------------------------

THINGS = st.sampled_from([None, True, False, 0, -1, 1, 3, 1.5, float("nan"), float("inf"), 10**30, "", "x", "numpy", b"x", [], [1],
                          (), {}, {"x": 1}, {1: 2}, object(), np.zeros(3), np.float32(0.5), np.int64(2), np.array(3), repr,
                          lambda *_, **__: None, "\0", {"render_mode": object()}])


def function_calls(examples):
    seen, agent = Counter(), scratchac.make_agent("ppo", "CartPole-v1", hidden=(4,))
    sound = {"train": {"algorithm": "a2c", "env": "CartPole-v1", "steps": 20, "hidden": (4,), "rollout": 4, "envs": 2},
             "make_agent": {"algorithm": "sac", "env": "Pendulum-v1", "hidden": (4,), "buffer_size": 100, "learning_starts": 8,
                            "batch_size": 4},
             "evaluate": {"agent": agent, "env": "CartPole-v1", "episodes": 2}, "load": {"run_dir": "nowhere"},
             "resume": {"run_dir": "nowhere"}, "act": {"obs": np.zeros(4)}}
    names = {"train": ["seed", "backend", "out", "vector", "randomise", "env_args", "preset", "on_row", "stop_after",
                       "checkpoint_every", "eval_episodes", "eval_every", "stop_at", "patience", "callbacks",
                       "gamma", "lam", "actor_lr", "optimiser", "shared_body",
                       "max_grad_norm", "nonsense"],
             "make_agent": ["seed", "env_args", "preset", "tau", "log_std", "nonsense"], "evaluate": ["seed", "nonsense"],
             "load": ["best"], "resume": ["steps", "backend", "env", "eval_episodes", "new_episodes", "callbacks"], "act": []}

    def check(data):
        name = data.draw(st.sampled_from(sorted(sound)))
        chosen = data.draw(st.lists(st.sampled_from([*sound[name], *names[name]]), min_size=1, max_size=2, unique=True))
        strange = {key: data.draw(THINGS) for key in chosen}
        arguments = sound[name] | strange
        steps = arguments.get("steps", 0)
        assume(steps is not None and (not isinstance(steps, int) or steps < 10**30))        # these can be done, and take long
        with elsewhere() as folder:
            try:
                (agent.act if name == "act" else getattr(scratchac, name))(**arguments)
                seen["done"] += 1
            except UserError:
                assert not list(folder.iterdir()), (name, strange)
                seen["refused"] += 1
            except TrainingError:
                seen["training stopped"] += 1

    explore(check, examples, st.data())
    return dict(seen)


# -- environments --------------------------------------------------------------------------------------------------------

SPACES = st.sampled_from([
    gym.spaces.Box(-1, 1, (2,)), gym.spaces.Box(-np.inf, np.inf, (3,)), gym.spaces.Box(-1, 1, ()), gym.spaces.Box(-1, 1, (0,)),
    gym.spaces.Box(-1, 1, (2, 2)), gym.spaces.Box(0, 255, (40, 40, 3), np.uint8), gym.spaces.Box(0, 255, (3,), np.uint8),
    gym.spaces.Box(-1, 1, (2,), np.float64), gym.spaces.Box(np.float32([-1, 0]), np.float32([2, 0])),
    gym.spaces.Box(0, 3, (1,), np.int64), gym.spaces.Box(0, np.inf, (1,)), gym.spaces.Discrete(1),
    gym.spaces.Discrete(3, start=-5), gym.spaces.MultiBinary(3),
    gym.spaces.MultiDiscrete([2, 3]), gym.spaces.Text(3), gym.spaces.Dict(x=gym.spaces.Discrete(2)),
    gym.spaces.Tuple([gym.spaces.Discrete(2)]), gym.spaces.Sequence(gym.spaces.Discrete(2)), None, 3])
ANSWERS = st.sampled_from(["sound", "sound", "short", "long", "list", "text", "none", "nan", "inf", "huge", "raises", "tuple",
                           "reward none", "reward nan", "reward array", "reward text", "term array", "term none"])


class Strange(gym.Env):
    """An environment that gives the `answer` it was made for, from its third step on or from the beginning."""

    def __init__(self, observation_space, action_space, answer, late):
        self.observation_space, self.action_space, self.answer, self.late, self.t = observation_space, action_space, answer, late, 0

    def observation(self):
        sound = self.observation_space.sample() if isinstance(self.observation_space, gym.Space) else 0
        if self.late and self.t < 3:
            return sound
        if self.answer == "raises":
            raise RuntimeError("on purpose")
        return {"short": np.zeros(1), "long": np.zeros(50), "list": [0.0, 0.0], "text": "x", "none": None,
                "nan": sound * np.nan if isinstance(sound, np.ndarray) else np.nan, "huge": np.full(3, 1e38, np.float32),
                "inf": sound + np.inf if isinstance(sound, np.ndarray) else np.inf}.get(self.answer, sound)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.observation(), {}

    def step(self, action):
        self.t += 1
        obs, answer = self.observation(), "sound" if self.late and self.t < 3 else self.answer
        if answer == "tuple":
            return obs, 1.0, False, {}
        reward = {"reward none": None, "reward nan": np.nan, "reward array": np.zeros(2), "reward text": "x"}.get(answer, 1.0)
        term = {"term array": np.zeros(2, bool), "term none": None}.get(answer, self.t % 5 == 0)
        return obs, reward, term, False, {}


def environments(examples):
    seen = Counter()

    def check(algorithm, observation_space, action_space, answer, late):
        config, options = algorithms.find(algorithm).config_class, {"hidden": (4,)}
        if issubclass(config, OffPolicy):
            options |= {"learning_starts": 8, "buffer_size": 100}
        options |= {name: 4 for name in ("rollout", "batch_size") if hasattr(config, name)}
        with elsewhere() as folder:
            try:
                env = partial(Strange, observation_space, action_space, answer, late)
                scratchac.train(algorithm, env, 20, out=folder / "run", **options)
                seen["trained"] += 1
            except UserError:
                assert not list(folder.iterdir())
                seen["refused"] += 1
            except TrainingError:
                seen["training stopped"] += 1

    able = [name for name in algorithms.ALGORITHMS if name != "a3c"]        # whose environment has to travel
    explore(check, examples, st.sampled_from(able), SPACES, SPACES, ANSWERS, st.booleans())
    return dict(seen)
