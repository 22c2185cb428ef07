"""Presets and hyperparameters: every one is explained, and a wrong value is refused with a hint."""

from dataclasses import fields

import numpy as np
import pytest

import scratchac
from scratchac import algorithms
from scratchac.algorithms.config import configure
from scratchac.errors import UserError
from scratchac.experiments.presets import find_preset, presets

A2C = algorithms.find("a2c")


@pytest.mark.parametrize("algorithm, env", [(a, e) for a, by_env in presets().items() for e in by_env])
def test_every_preset_is_valid(algorithm, env):
    configure(algorithms.find(algorithm).config_class, algorithm, find_preset(algorithm, *env.split(":"))[0])


@pytest.mark.parametrize("algorithm", algorithms.ALGORITHMS)
def test_every_field_is_explained(algorithm):
    """A line of text under each field is what --help shows."""
    import inspect

    config = algorithms.find(algorithm).config_class
    source = "".join(inspect.getsource(cls) for cls in config.__mro__[:-1])
    for field in fields(config):
        after = source.split(f"    {field.name}: ", 1)[1].split("\n")[1]
        assert after.strip().startswith('"""') and after.strip().endswith('."""'), field.name


def test_what_is_given_wins_over_the_preset():
    assert scratchac.make_agent("a2c", "CartPole-v1", actor_lr=0.5).config.actor_lr == 0.5
    pytest.importorskip("Box2D")
    with pytest.raises(UserError, match="needs continuous actions"):
        scratchac.make_agent("sac", "LunarLander-v3", env_args={"continuous": False})


def test_a_preset_brings_the_arguments_of_its_environment():
    pytest.importorskip("Box2D")
    assert scratchac.make_agent("sac", "LunarLander-v3").dist.features == 2


def test_a_preset_by_name():
    pytest.importorskip("mujoco")
    tuned, textbook = (scratchac.make_agent("td3", "InvertedPendulum-v5", preset=name).config for name in (None, "textbook"))
    assert tuned.hidden == (64, 64) and textbook.hidden == (256, 256) and textbook.learning_starts == 10_000
    with pytest.raises(UserError, match="did you mean textbook"):
        find_preset("td3", "InvertedPendulum-v5", "textbok")
    with pytest.raises(UserError, match="there are: none"):
        find_preset("a2c", "CartPole-v1", "textbook")


@pytest.mark.parametrize("given, message", [
    ({"gama": 0.9}, "did you mean gamma"), ({"gamma": 1.01}, r"in \[0, 1\]"), ({"gamma": -0.1}, r"in \[0, 1\]"),
    ({"gamma": "linear:0.9:1.1"}, r"in \[0, 1\]"), ({"gamma": "abc"}, "neither a number"), ({"gamma": None}, "neither a number"),
    ({"gamma": float("nan")}, r"in \[0, 1\]"), ({"steps": 0}, "at least 1"), ({"steps": -5}, "at least 1"),
    ({"steps": 1.5}, "whole number"),
    ({"steps": True}, "whole number"),
    ({"envs": 0}, r"in \[1, 10000\]"), ({"envs": 10**9}, r"in \[1, 10000\]"),
    ({"gamma": float("inf")}, r"in \[0, 1\]"), ({"kappa": float("inf")}, "at least 0"),
    ({"actor_lr": 0}, "above 0"), ({"actor_lr": -1e-3}, "above 0"),
    ({"advantage": "gea"}, "did you mean gae"), ({"hidden": (64, 0)}, "above 0"), ({"hidden": "64"}, "whole numbers"),
    ({"hidden": 0}, "above 0"),
    ({"shared_body": "yes"}, "true or false"), ({"entropy_coef": "linear:0.1:-1"}, "at least 0"),
])
def test_bad_values(given, message):
    with pytest.raises(UserError, match=message):
        configure(A2C.config_class, "a2c", given)


@pytest.mark.parametrize("given", [0.7, float("-inf"), "linear:-1:0.7", lambda progress: 1.0])
def test_an_entropy_above_that_of_uniform_actions_is_no_target(given):
    """With a target that no policy reaches α would grow for ever."""
    with pytest.raises(UserError, match=r"entropy_target.*in \[-20, 0.69"):
        configure(algorithms.find("sac").config_class, "sac", {"entropy_target": given})
    falling = configure(algorithms.find("sac").config_class, "sac", {"entropy_target": "linear:0.3:-1"})
    assert falling.entropy_target == "linear:0.3:-1"


@pytest.mark.parametrize("algorithm", algorithms.ALGORITHMS)
def test_shares_are_between_0_and_1(algorithm):
    """Where an algorithm has a default of its own for a field, the field still allows the same values."""
    cls = algorithms.find(algorithm).config_class
    for name in {"gamma", "lam", "lam_actor", "lam_critic", "tau"} & {field.name for field in fields(cls)}:
        assert getattr(configure(cls, algorithm, {name: 0}), name) == 0
        with pytest.raises(UserError, match=r"in \[0, 1\]"):
            configure(cls, algorithm, {name: 1.5})


@pytest.mark.parametrize("algorithm", ["sac", "discrete-sac"])
@pytest.mark.parametrize("alpha", [0, "linear:0.2:0", lambda progress: max(0.0, 0.2 - progress)])
def test_a_temperature_is_never_0(algorithm, alpha):
    """Its logarithm is what is kept."""
    with pytest.raises(UserError, match="alpha must be above 0"):
        configure(algorithms.find(algorithm).config_class, algorithm, {"alpha": alpha, "learn_alpha": False})


def test_a_learning_rate_may_fall_to_zero_but_not_start_there():
    configure(A2C.config_class, "a2c", {"actor_lr": "linear:1e-3:0"})
    with pytest.raises(UserError):
        configure(A2C.config_class, "a2c", {"actor_lr": "linear:0:1e-3"})


@pytest.mark.parametrize("algorithm, env, given, message", [
    ("a2c", "CartPole-v1", {"advantage": "nstep", "n_step": 6}, "n_step=6 is more than rollout=5: a return ends with the rollout"),
    ("sac", "Pendulum-v1", {"alpha": "linear:1:0.1"}, "alpha is where a learnt .* must be a number; learn_alpha=False lets"),
    ("discrete-sac", "CartPole-v1", {"alpha": lambda progress: 1.0}, "alpha is where a learnt"),
])
def test_values_without_an_effect(algorithm, env, given, message):
    with pytest.raises(UserError, match=message):
        scratchac.make_agent(algorithm, env, preset={}, **given)


def test_a_run_with_a_value_without_an_effect_is_read(tmp_path, quick_end):
    """It was trained before such a value was refused."""
    run = tmp_path / "run"
    agent = scratchac.train("a2c", "CartPole-v1", 40, out=run, advantage="nstep", n_step=3, hidden=(4,), quiet=True)
    text = (run / "config.json").read_text()
    assert '"n_step": 3' in text
    (run / "config.json").write_text(text.replace('"n_step": 3', '"n_step": 50'))
    loaded = scratchac.load(run)
    assert loaded.config.n_step == 50 and np.array_equal(loaded.model.flat, agent.model.flat)


@pytest.mark.parametrize("arguments, message", [
    ({"algorithm": "a2d"}, "did you mean a2c"), ({"env": "CartPol-v1"}, "CartPole-v1"), ({"steps": 0}, "^steps"),
    ({"seed": -1}, "^seed"),
    ({"seed": 1.5}, "^seed"), ({"backend": "nunpy"}, "no backend"),
    ({"env": "FrozenLake-v1", "algorithm": "sac"}, "needs continuous actions"),
])
def test_bad_arguments_of_train(arguments, message):
    with pytest.raises(ValueError, match=message):
        scratchac.train(**({"algorithm": "a2c", "env": "CartPole-v1"} | arguments))
