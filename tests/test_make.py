"""Making one environment: what can be wrong with its name, its arguments or its constructor, and what is said of it."""

import inspect
import sys
import warnings
from functools import partial
from importlib.util import find_spec

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.wrappers import NormalizeObservation, NormalizeReward
from probes import Constant, Counter

import scratchac
from scratchac.environments import make as making
from scratchac.environments import vector
from scratchac.environments.make import CommandLineId, make, with_arguments
from scratchac.environments.vector import VectorEnv
from scratchac.errors import EnvironmentFailed, UserError
from scratchac.experiments import video
from scratchac.training import evaluation


@pytest.mark.parametrize("env, message", [
    ("LunarLander-v33", "did you mean LunarLander-v3"), ("CartPol-v1", "did you mean CartPole-v1"),
    ("nonsense", "unknown environment"), (3, "Gymnasium id or a callable"),
    ("LunarLander-v2", "use `LunarLander-v3`"), ("Humanoid-v3", "gymnasium-robotics" if find_spec("mujoco") else "pip install"),
])
def test_unknown_environments(env, message):
    with pytest.raises(UserError, match=message):
        make(env)


def test_wrong_environment_arguments():
    with pytest.raises(UserError, match="gravity"):
        make("CartPole-v1", gravity=-5)


@pytest.mark.parametrize("wrapper", [NormalizeObservation, NormalizeReward])
def test_wrappers_with_running_statistics_are_refused(wrapper):
    """An evaluation makes environments of its own, in which they would begin anew. An object plays all episodes itself."""
    def made():
        return gym.wrappers.TimeLimit(wrapper(Counter()), 5)

    with pytest.raises(UserError, match=f"made has a {wrapper.__name__}, whose running statistics begin anew"):
        scratchac.train("a2c", made, 40, quiet=True)
    scratchac.evaluate(scratchac.make_agent("a2c", Counter), wrapper(Counter()), 2)


@pytest.mark.parametrize("wrapper", [NormalizeObservation, NormalizeReward])
def test_wrappers_with_fixed_statistics_are_allowed(wrapper):
    """They are the same in every environment."""
    def made():
        env = wrapper(Counter())
        env.update_running_mean = False
        return env

    scratchac.make_agent("a2c", made)


def test_arguments_within_an_argument_keep_those_that_are_not_given():
    assert with_arguments({"pixels": {"size": 48, "repeat": 4}, "a": 1}, {"pixels": {"size": 64}}) == {
        "pixels": {"size": 64, "repeat": 4}, "a": 1}
    assert with_arguments({"pixels": {"size": 48}, "a": {"b": 1}}, {"pixels": None, "a": 2, "c": {}}) == {
        "pixels": None, "a": 2, "c": {}}
    assert with_arguments({}, {"pixels": {"size": 64}}) == {"pixels": {"size": 64}}


class Faulty(Counter):
    """Its constructor, which takes `size` and whatever else, fails in a `way`."""

    def __init__(self, way="", size=3, **others):
        super().__init__(size)
        if way == "type":
            len(size)
        if way == "inner":
            self.grow(size=size)
        if way == "passed on":
            Counter(**others)
        if way == "exit":
            raise SystemExit("no licence")
        if way == "silent":
            raise AssertionError
        if way == "missing":
            Faulty.grow()
        if way == "id":
            gym.make("Nope-v0")
        if way == "import":
            import nothing_of_that_name  # noqa: F401
        if way == "their hint":
            raise gym.error.DependencyNotInstalled("MuJoCo is missing, run\n`pip install theirs[mujoco]`")
        if way == "their cartpole":
            gym.make("CartPole-v1", gravity=3)

    def grow(self):
        pass


@pytest.fixture
def registered():
    for name, entry_point in (("Faulty-v0", Faulty), ("Abstract-v0", "mymod:Mine"), ("Needy-v0", lambda size: Counter(size))):
        gym.register(name, entry_point)
    yield
    for name in ("Faulty-v0", "Abstract-v0", "Needy-v0"):
        del gym.registry[name]


@pytest.mark.parametrize("env", [Faulty, "Faulty-v0"], ids=str)
@pytest.mark.parametrize("arguments, message", [
    ({"way": "type"}, "cannot be made: TypeError: object of type 'int' has no len()"),
    ({"way": "inner", "size": 3}, "cannot be made: TypeError: Faulty.grow() got an unexpected keyword argument 'size'"),
    ({"way": "passed on", "mass": 3}, "does not take these arguments: Counter.__init__() got an unexpected keyword argument 'ma"),
    ({"way": "exit"}, "cannot be made: SystemExit: no licence"),
    ({"way": "silent"}, f"cannot be made: AssertionError in {__file__}, line "),
    ({"way": "missing"}, "cannot be made: TypeError: Faulty.grow() missing 1 required positional argument: 'self'; env_args={"),
    ({"way": "id"}, "cannot be made: NameNotFound: Environment `Nope` doesn't exist."),
    ({"way": "import"}, "cannot be made: ModuleNotFoundError: No module named 'nothing_of_that_name'"),
    ({"way": "their hint"}, "needs a package that is missing: MuJoCo is missing, run `pip install theirs[mujoco]`"),
    ({"way": "their cartpole"}, "cannot be made: TypeError: CartPoleEnv.__init__() got an unexpected keyword argument 'gravity'"),
])
def test_what_goes_wrong_in_a_constructor(env, arguments, message, registered):
    with pytest.raises(UserError) as caught:
        make(env, **arguments)
    assert str(caught.value).startswith(f"{'Faulty' if env is Faulty else env} {message}") and "\n" not in str(caught.value)


def without(size):
    """A function that needs an argument."""


@pytest.mark.parametrize("env, arguments, message", [
    (without, {}, 'without needs other arguments than none (env_args={"NAME": VALUE}): without() missing 1 required'),
    ("Needy-v0", {}, "Needy-v0 needs other arguments than none"), ("Needy-v0", {"x": 1}, "Needy-v0 does not take these arguments"),
    (without, {"x": 1}, "without does not take these arguments: without() got an unexpected keyword argument 'x'"),
    (partial(gym.make, "CartPole-v1"), {"x": 1}, "partial does not take these arguments: CartPoleEnv.__init__() got an unexpected"),
    (lambda: gym.make("CartPole-v1", x=1), {}, "<lambda> cannot be made: TypeError: CartPoleEnv.__init__() got an unexpected"),
    (lambda: gym.make("Nope-v0"), {}, "<lambda> cannot be made: NameNotFound"),
    ("CartPol", {}, "unknown environment 'CartPol'; did you mean CartPole-v1"),
    ("CartPole-v7", {}, "unknown environment 'CartPole-v7'; did you mean CartPole-v1"),
    ("probes:Falty-v0", {}, "unknown environment 'probes:Falty-v0'; did you mean probes:Faulty-v0"),
    ("gymnasium:Acrobat-v1", {}, "unknown environment 'gymnasium:Acrobat-v1'; did you mean gymnasium:Acrobot-v1"),
    ("nowhere_at_all:X-v0", {}, "nowhere_at_all:X-v0: there is no module nowhere_at_all in PYTHONPATH or the installed"),
    (CommandLineId("nowhere_at_all:X-v0"), {}, "nowhere_at_all:X-v0: there is no module nowhere_at_all in the working directory, "),
    ("tictactoe_v3", {"x": 1}, "tictactoe_v3 does not take these arguments"),
    (lambda: 3, {}, "<lambda> gave 3, not"),
])
def test_what_is_wrong_with_a_call(env, arguments, message, registered):
    with pytest.raises(UserError) as caught, warnings.catch_warnings():
        warnings.simplefilter("error")
        make(env, **arguments)
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)


def test_gymnasiums_own_environments_have_the_command_that_installs_them(monkeypatch):
    for name in [name for name in sys.modules if name.startswith(("gymnasium.envs.box2d", "Box2D"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "Box2D", None)                         # as if it were not installed
    for env, name in (("LunarLander-v3", "LunarLander-v3"), (lambda: gym.make("LunarLander-v3"), "<lambda>")):
        with pytest.raises(UserError, match=rf"^{name} needs a package that is missing: pip install 'gymnasium\[box2d\]>=1.3'$"):
            make(env)


def test_a_warning_comes_once(monkeypatch):
    monkeypatch.setattr(making, "WARNED", set())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(3):
            make("CartPole-v0").close()
    assert len(caught) == 1 and "out of date" in str(caught[0].message)


@pytest.mark.parametrize("function", [VectorEnv.__init__, making.make, vector._rewindable, vector._alone, evaluation.evaluate,
                                      video.record, video.render])
def test_names_that_an_argument_of_an_environment_cannot_have(function):
    """Every parameter beside **kwargs is in the list, but for the settings of `make` that are meant to be given."""
    names = {name for name, p in inspect.signature(function).parameters.items() if p.kind is not p.VAR_KEYWORD}
    assert names - {"pixels"} <= making.TAKEN
    for name in names - {"pixels"}:
        with pytest.raises(UserError, match=f"cannot have the name {name},"):
            making.check_arguments({name: 3})


def test_mujoco_leaves_no_file_behind(tmp_path, monkeypatch, capfd):
    pytest.importorskip("mujoco")
    monkeypatch.chdir(tmp_path)
    env = make("HalfCheetah-v5")                       # its XML has a deprecated attribute
    env.reset(seed=0)
    env.unwrapped.data.qvel[:] = np.nan                     # an unstable simulation is worth a word
    env.step(np.zeros(6))
    assert not list(tmp_path.iterdir())
    said = capfd.readouterr().err
    assert "deprecated" not in said and said.count("MuJoCo: ") == 1


# -- what an environment holds, and its end ----------------------------------------------------------------------------------


class Holder(Constant):
    """Hands everything on to another environment, which it does not hold as a wrapper does."""

    def __init__(self, inner, way):
        super().__init__()
        self.held = {"list": [inner], "dict": {"a": inner}, "attribute": inner}[way]


class Slotted(Constant):
    __slots__ = ("inner",)

    def __init__(self, inner):
        super().__init__()
        self.inner = inner


@pytest.mark.parametrize("make_one", [lambda one: Holder(one, "list"), lambda one: Holder(one, "dict"),
                                      lambda one: Holder(one, "attribute"), Slotted],
                         ids=["list", "dict", "attribute", "slots"])
def test_one_environment_in_several_slots_is_found_wherever_it_is_held(make_one):
    one = Constant()
    with pytest.raises(UserError, match="gives the same environment each time"):
        scratchac.train("a2c", lambda: make_one(one), 50, hidden=(4,))
    scratchac.train("a2c", lambda: make_one(Constant()), 50, hidden=(4,))


class Unwilling(Constant):
    def close(self):
        raise RuntimeError("no end")


@pytest.mark.slow
@pytest.mark.parametrize("vector", ["sync", "async"])
def test_an_error_at_the_close_loses_nothing(vector, tmp_path, capsys):
    agent = scratchac.train("a2c", Unwilling, 50, hidden=(4,), envs=2, vector=vector, out=tmp_path / "run", eval_episodes=2)
    assert (tmp_path / "run" / "summary.json").exists() and len(scratchac.evaluate(agent, Unwilling, 2)) == 2
    scratchac.make_agent("a2c", Unwilling)
    said = capsys.readouterr().err.splitlines()
    assert said and set(said) == {"scratchac: an environment raised as it was closed: RuntimeError: no end"}


class Hiding(Constant):
    @property
    def action_space(self):
        raise RuntimeError("not yet")


def test_a_space_that_raises_is_told_in_one_line():
    with pytest.raises(UserError, match="the action_space of Hiding raised RuntimeError: not yet"):
        scratchac.train("a2c", Hiding, 50)


class Mute(Exception):
    def __str__(self):
        raise ValueError("no words")


class Leaving(Constant):
    def __init__(self, error):
        super().__init__()
        self.error = error

    def step(self, action):
        raise self.error


@pytest.mark.parametrize("error, message", [(SystemExit("bye"), "raised SystemExit: bye"), (Mute(), "raised Mute in .*, line")])
def test_an_environment_that_leaves_or_says_nothing_stops_the_training_in_one_line(error, message, tmp_path):
    with pytest.raises(EnvironmentFailed, match=f"environment 0 at step 1 of its episode {message}"):
        scratchac.train("a2c", lambda: Leaving(error), 50, hidden=(4,), out=tmp_path / "run")
    assert (tmp_path / "run" / "checkpoint.npz").exists()
