"""Environments of other interfaces: the old package gym, dm_env, ids that another package registers, several rewards."""

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace

import gymnasium
import numpy as np
import pytest
from probes import Constant, Counter

import scratchac
from scratchac.environments import drawing, foreign
from scratchac.environments.make import make
from scratchac.errors import EnvironmentFailed, UserError


class OldEnv:
    """As gym.Env was."""

    observation_space, action_space = Constant.observation_space, Constant.action_space

    @property
    def unwrapped(self):
        return self


class V21(OldEnv):
    def reset(self):
        return np.zeros(1)

    def seed(self, seed):
        pass


class V26(OldEnv):
    def reset(self, *, seed=None, options=None):
        return np.zeros(1), {}


class Seedless(OldEnv):
    def reset(self):
        return np.zeros(1)


class Checker(OldEnv):
    """What gym.make puts around an environment."""

    def __init__(self):
        self.inner = V26()

    @property
    def unwrapped(self):
        return self.inner

    def reset(self, **kwargs):
        return self.inner.reset(**kwargs)


class Dm:
    """As dm_env.Environment is."""


class OfControl(Dm):
    pass


class OfSuite(Dm):
    pass


OldEnv.__module__, Dm.__module__, OfControl.__module__, OfSuite.__module__ = "gym.core", "dm_env", "dm_control.rl", "bsuite.core"
OLD = "is an environment of the old package gym, not of Gymnasium: "


@pytest.mark.parametrize("kind, message", [
    (V26, f"V26 {OLD}pip install shimmy, and return shimmy.GymV26CompatibilityV0(env=…) of it"),
    (V21, f"V21 {OLD}pip install shimmy, and return shimmy.GymV21CompatibilityV0(env=…) of it"),
    (Checker, f"Checker {OLD}pip install shimmy, and return shimmy.GymV26CompatibilityV0(env=…) of it made by gym.make(…, "
              "disable_env_checker=True)"),
    (Seedless, f"Seedless {OLD}a subclass of gymnasium.Env has to translate its reset and step"),
    (OfControl, "OfControl is an environment of dm_control, not of Gymnasium: pip install 'shimmy[dm-control]', and return "
                "shimmy.DmControlCompatibilityV0(env=…) of it"),
    (OfSuite, "OfSuite is an environment of bsuite, not of Gymnasium: pip install 'shimmy[bsuite]', and return "
              "shimmy.BSuiteCompatibilityV0(env=…) of it"),
    (Dm, "Dm is an environment of dm_env, not of Gymnasium: a subclass of gymnasium.Env has to translate its reset and step")])
def test_what_an_environment_of_another_interface_is(kind, message, monkeypatch):
    """Whether a callable gives it or Gymnasium's own make rejects it."""
    monkeypatch.setitem(gymnasium.registry, "Other-v0", gymnasium.envs.registration.EnvSpec("Other-v0", kind))
    for env, name in ((kind, kind.__name__), ("Other-v0", "Other-v0"), (lambda: gymnasium.make("Other-v0"), "<lambda>")):
        with pytest.raises(UserError) as caught:
            make(env)
        assert str(caught.value) == message.replace(kind.__name__, name, 1)


@pytest.fixture
def installed(monkeypatch):
    """A function that makes modules of these names importable, and those of other packages missing."""
    def only(*names):
        for name in {"shimmy", "dm_control", "bsuite", "ale_py", "gym"} - set(names):
            monkeypatch.setitem(sys.modules, name, None)
        for name in names:
            module = ModuleType(name)
            module.__spec__ = ModuleSpec(name, None)
            monkeypatch.setitem(sys.modules, name, module)

    return only


@pytest.mark.parametrize("env, there, message", [
    ("dm_control/walker-run-v0", [], "dm_control/walker-run-v0 needs a package that is missing: "
                                     "pip install 'shimmy[dm-control]', and then it is shimmy:dm_control/walker-run-v0"),
    ("shimmy:bsuite/catch-v0", ["shimmy"], "shimmy:bsuite/catch-v0 needs a package that is missing: "
                                           "pip install 'shimmy[bsuite]', and then it is shimmy:bsuite/catch-v0"),
    ("bsuite/catch-v0", ["shimmy", "bsuite"], "bsuite/catch-v0 is registered by the module shimmy: here it is shimmy:bsuite/"),
    ("ALE/Pong-v5", [], "ALE/Pong-v5 needs a package that is missing: pip install ale-py, and then it is ale_py:ALE/Pong-v5"),
    ("ale_py:ALE/Pung-v5", ["ale_py"], "unknown environment 'ale_py:ALE/Pung-v5'; the module ale_py registers "),
    ("MiniGrid-Empty-5x5-v0", [], "unknown environment 'MiniGrid-Empty-5x5-v0'; none is like it (one that a package registers is "
                                  "MODULE:ID, which imports MODULE first)")])
def test_where_an_id_is_registered(env, there, message, installed):
    installed(*there)
    with pytest.raises(UserError) as caught:
        make(env)
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)


@pytest.mark.parametrize("kind, todo", [
    (V26, "pip install shimmy, and then it is shimmy:GymV26Environment-v0 with --env-args env_id=shimmy:Old-v0 "
          "'make_kwargs={\"disable_env_checker\": true}'"),
    (V21, "pip install shimmy, and then it is shimmy:GymV21Environment-v0 with --env-args env_id=shimmy:Old-v0"),
    (Seedless, "a subclass of gymnasium.Env has to translate its reset and step")])
@pytest.mark.parametrize("as_text", [True, False])
def test_an_id_of_the_old_package(kind, todo, as_text, installed):
    def spec(name):
        if name != "Old-v0":
            raise LookupError(name)
        return SimpleNamespace(entry_point=f"shimmy:{kind.__name__}" if as_text else kind)

    installed("gym", "shimmy")
    sys.modules["gym"].spec = spec
    setattr(sys.modules["shimmy"], kind.__name__, kind)
    assert foreign.elsewhere("shimmy:Old-v0", "Old-v0") == (
        f"shimmy:Old-v0 is registered with the old package gym, not with Gymnasium: {todo}")
    assert foreign.elsewhere("Older-v0", "Older-v0") is None


def test_what_the_real_packages_are():
    suite = pytest.importorskip("dm_control.suite", reason="dm_control is not installed")
    bsuite = pytest.importorskip("bsuite", reason="bsuite is not installed")
    with pytest.raises(UserError, match=r"is an environment of dm_control.*shimmy.DmControlCompatibilityV0"):
        make(lambda: suite.load("cartpole", "balance"))
    with pytest.raises(UserError, match=r"is an environment of bsuite.*shimmy.BSuiteCompatibilityV0"):
        make(lambda: bsuite.load_from_id("catch/0"))


def test_what_the_real_old_package_is():
    gym = pytest.importorskip("gym", reason="gym is not installed", exc_type=ImportError)
    shimmy = pytest.importorskip("shimmy", reason="Shimmy is not installed")
    with pytest.raises(UserError, match=r"GymV26CompatibilityV0\(env=…\) of it made by gym.make"):
        make(lambda: gym.make("CartPole-v1"))
    as_told = make(lambda: shimmy.GymV26CompatibilityV0(env=gym.make("CartPole-v1", disable_env_checker=True)))
    as_told.reset(seed=0)
    assert len(as_told.step(0)) == 5


# -- Gymnasium's environments with an old reset or step ------------------------------------------------------------------


class OldReset(Counter):
    def reset(self, **kwargs):
        return super().reset(**kwargs)[0]


class NoSeed(Counter):
    def reset(self):
        return super().reset()[0]


class OldStep(Counter):
    def step(self, action):
        obs, reward, term, _, info = super().step(action)
        return obs, reward, term, info


class NoStep(Counter):
    def step(self, action):
        pass


class NoReward(Counter):
    def step(self, action):
        obs, _, *rest = super().step(action)
        return obs, None, *rest


class Rewards(Counter):
    def step(self, action):
        obs, _, *rest = super().step(action)
        return obs, np.ones(2), *rest


@pytest.mark.parametrize("env, message", [
    (OldReset, r"at its reset raised ValueError: reset returned ndarray, and Gymnasium's returns \(observation, info\)"),
    (NoSeed, r"unexpected keyword argument 'seed'; its reset takes no seed, as in the old package gym: Gymnasium's is reset\("),
    (OldStep, r"at step 1 .* step returned 4 values, and Gymnasium's returns 5: \(observation, reward, terminated, trunc"),
    (NoStep, r"at step 1 .* step returned NoneType, and Gymnasium's returns 5"),
    (NoReward, "the reward is None, not a number$"),
    (Rewards, r"the reward is array\(\[1\., 1\.\]\), not a number \(a wrapper has to make one of several, as mo_gymnasium")])
def test_what_a_reset_or_a_step_may_return(env, message):
    with pytest.raises(EnvironmentFailed, match=message):
        scratchac.train("a2c", env, 40)


# -- drawing without a screen --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("screen, given, found, then", [
    (False, None, "libEGL.so.1", "egl"), (False, "osmesa", "libEGL.so.1", "osmesa"), (False, None, None, None),
    (True, None, "libEGL.so.1", None)])
def test_mujoco_draws_by_egl_where_there_is_no_screen(screen, given, found, then, monkeypatch):
    monkeypatch.setattr(drawing, "has_screen", lambda: screen)
    monkeypatch.setattr(drawing, "find_library", lambda name: found)
    monkeypatch.setattr(drawing.os, "environ", {} if given is None else {"MUJOCO_GL": given})
    drawing.draw_without_screen()
    assert drawing.os.environ.get("MUJOCO_GL") == then
