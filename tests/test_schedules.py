"""Schedules: numbers, texts and functions of progress, and the hyperparameters that follow them."""

import json

import numpy as np
import pytest
from probes import Constant

import scratchac
from scratchac import algorithms
from scratchac.algorithms.config import configure
from scratchac.errors import UserError
from scratchac.experiments.run import Run
from scratchac.schedules import Hyperparameters, Schedule

A2C = algorithms.find("a2c")
SMALL = {"hidden": (4,), "envs": 1, "rollout": 10}


def test_schedules():
    assert [Schedule(0.5)(x) for x in (0, 0.5, 1)] == [0.5, 0.5, 0.5]
    assert [Schedule("linear:1:0")(x) for x in (0, 0.25, 1, 2, -1)] == [1.0, 0.75, 0.0, 0.0, 1.0]
    assert [Schedule("exponential:1:0.01")(x) for x in (0, 0.5, 1, 9)] == pytest.approx([1, 0.1, 0.01, 0.01])
    points = np.linspace(-0.5, 1.5, 41)
    for text in (0.5, "linear:1e-3:0", "exponential:1:0.01"):
        assert Schedule(text).over(points).tolist() == [Schedule(text)(x) for x in points.tolist()]


@pytest.mark.parametrize("text", ["cubic:1:0", "linear:1", "linear:a:b", "", "linear:1:2:3", "exponential:1:0", None])
def test_bad_schedules(text):
    with pytest.raises(ValueError):
        Schedule(text)


def test_every_float_follows_a_schedule():
    config = configure(A2C.config_class, "a2c", {"gamma": "linear:0.9:1", "actor_lr": "exponential:1e-2:1e-4", "steps": 10})
    schedules = Hyperparameters(config)
    assert (schedules(0).gamma, schedules(0.5).gamma, schedules(1).gamma) == pytest.approx((0.9, 0.95, 1.0))
    assert schedules(0.5).actor_lr == pytest.approx(1e-3) and schedules(0.5).lam == config.lam


def test_text_of_a_number_becomes_one():
    for others in ({}, {"lam": "linear:1:0"}):
        gamma = Hyperparameters(A2C.config_class(gamma="0.25", **others))(0.5).gamma
        assert gamma == 0.25 and isinstance(gamma, float)


# -- functions of progress ---------------------------------------------------------------------------------------------------


def falling(progress):
    return 1e-2 * (1 - progress)


def test_a_rate_as_a_function(tmp_path, quick_end):
    path = tmp_path / "run"
    agent = scratchac.train("a2c", "CartPole-v1", 400, out=path, actor_lr=falling, stop_after=200, **SMALL)
    text = scratchac.train("a2c", "CartPole-v1", 400, actor_lr="linear:1e-2:0", stop_after=200, **SMALL)
    np.testing.assert_allclose(agent.state()["parameters"], text.state()["parameters"], rtol=1e-5)
    assert Run.open(path).config["hyperparameters"]["actor_lr"] == "function:falling:0.01:0.0"
    assert scratchac.load(path).act(np.zeros(4, np.float32), explore=False) in (0, 1)
    with pytest.raises(UserError, match=r"was the function 'falling' of progress, from 0\.01 to 0\.0, and no file has"):
        scratchac.resume(path)
    with pytest.raises(UserError, match="was the function 'falling'"):
        scratchac.train("a2c", "CartPole-v1", 400, actor_lr="function:falling:0.01:0.0", **SMALL)
    assert scratchac.train("a2c", "CartPole-v1", 40, init=path, **SMALL).step == 40


@pytest.mark.parametrize("function, message", [
    (lambda p: -1e-3 if 0.4 < p < 0.6 else 1e-3, "must be above 0, and <lambda> gives -0.001"),
    (lambda p: 1 - p if p < 1 else -1, "must be above 0, not"), (lambda p: "x", "<lambda> of progress raised ValueError"),
    (lambda: 1e-3, "<lambda> of progress raised TypeError"), (lambda p: p / 0, "raised ZeroDivisionError"),
    (lambda p: float("nan"), "must be above 0")])
def test_bad_functions(function, message):
    with pytest.raises(UserError, match=message):
        scratchac.train("a2c", "CartPole-v1", 40, actor_lr=function, **SMALL)


def test_a_count_is_no_function():
    with pytest.raises(UserError, match="whole number"):
        scratchac.train("a2c", "CartPole-v1", 40, **SMALL | {"rollout": lambda p: 3})


def test_a_function_at_several_points():
    """What a compiled loop asks for; of a function in a file only the ends are known."""
    points = np.array([-1, 0, 0.25, 1, 2])
    np.testing.assert_array_equal(Schedule(falling).over(points), [1e-2, 1e-2, 7.5e-3, 0, 0])
    np.testing.assert_array_equal(Schedule("function:falling:0.01:0").over(points), [0.01, 0.01, np.nan, 0, 0])


def test_a_function_is_lost_in_a_file_alone():
    for rate, lost in ((falling, []), ("function:falling:0.01:0", ["actor_lr"])):
        config = configure(A2C.config_class, "a2c", {"actor_lr": rate, "critic_lr": "linear:1e-3:0"})
        assert Hyperparameters(config).lost() == lost


def test_summary_is_json(tmp_path, quick_end):
    scratchac.train("a2c", Constant, 40, out=tmp_path / "run", gamma=lambda p: 0.9, **SMALL)
    assert json.loads((tmp_path / "run" / "config.json").read_text())["hyperparameters"]["gamma"] == "function:<lambda>:0.9:0.9"
