"""`scratchac tune`: what is searched, trials that go on and are given up, and the preset that comes of it."""

import json
import math
import os
import subprocess
import sys
import tomllib
from types import SimpleNamespace

import numpy as np
import pytest

import scratchac
from scratchac import algorithms
from scratchac.__main__ import main
from scratchac.algorithms.config import configure
from scratchac.algorithms.search import Choice, LogUniform, NearOne, space_of
from scratchac.errors import TrainingError, UserError
from scratchac.experiments.given import arguments_from
from scratchac.tools import tune
from scratchac.tools.tune import Pruning, Tune, toml

WORDS = ["tune", "a2c", "--env", "CartPole-v1", "--steps", "80", "--envs", "2", "--hidden", "4", "--eval-episodes", "1",
         "--out", "search"]


class AtEnds:
    """A trial that draws the lowest of all values, or the highest."""

    def __init__(self, highest):
        self.highest = highest

    def suggest_float(self, name, low, high, log):
        assert log
        return high if self.highest else low

    def suggest_categorical(self, name, choices):
        return choices[-self.highest]


@pytest.mark.parametrize("algorithm", algorithms.ALGORITHMS)
def test_what_is_searched_is_allowed(algorithm):
    config_class = algorithms.find(algorithm).config_class
    space = space_of(config_class)
    assert {"gamma", "hidden"} < space.keys() and any(name.endswith("lr") for name in space)
    for highest in (False, True):
        given = {name: values.draw(AtEnds(highest), name) for name, values in space.items()}
        config = configure(config_class, algorithm, given)
        assert all(getattr(config, name) == value for name, value in given.items())


def test_values_have_few_digits():
    class Trial:
        def suggest_float(self, name, low, high, log):
            return {"lr": 0.000123456, "1 - gamma": 0.0123456}[name]

        def suggest_categorical(self, name, choices):
            return choices[1]

    assert LogUniform(1e-5, 1).draw(Trial(), "lr") == 0.000123 and NearOne(0.001, 0.1).draw(Trial(), "gamma") == 0.988
    assert Choice((8, 8), (4,)).draw(Trial(), "hidden") == (4,) and Choice(False, True).draw(Trial(), "x") is True


def test_values_in_toml():
    values = {"a": 1, "b": 1e-05, "c": True, "d": "linear:1:0", "e": [64, 64], "f": {"k k": 2.5}, "g": math.inf, "h": 'a "b" \\'}
    text = "\n".join(f"{name} = {toml(value)}" for name, value in values.items())
    assert tomllib.loads(text) == values and toml((64,)) == "[64]"
    strange = {"😀 é": "😀 ü \x7f \n \t \x01"}
    assert tomllib.loads(f"x = {toml(strange)}") == {"x": strange}
    with pytest.raises(UserError, match="cannot have null"):
        toml({"x": [1, {"y": None}]})


def test_a_training_that_is_behind_is_ended():
    seen, answers = [], iter([False, True])
    pruning = Pruning(SimpleNamespace(report=lambda value, step: seen.append((value, step)), should_prune=lambda: next(answers)))
    assert [pruning.on_row(None, {"eval_mean": x}) for x in ("", 12.5, "", 9.0)] == [False, False, False, True]
    assert seen == [(12.5, 1), (9.0, 2)] and pruning.pruned


@pytest.fixture
def search(tmp_path, monkeypatch, quick_end):
    """In a new folder: a function that runs the command and returns its code."""
    pytest.importorskip("optuna")
    monkeypatch.chdir(tmp_path)
    return lambda *words: main([*WORDS, *words])


def test_a_search_goes_on_as_if_it_had_not_stopped(search, capsys, tmp_path):
    assert search("--trials", "2") == 0 and search("--trials", "4") == 0
    stopped = capsys.readouterr().out.split("| trial |")[-1]
    assert search("--trials", "4", "--out", "other") == 0
    assert capsys.readouterr().out.split("| trial |")[-1] == stopped.replace("search\n", "other\n")
    kept = sorted(folder.name for folder in (tmp_path / "search").iterdir() if folder.is_dir())
    preset = (tmp_path / "search" / "preset.toml").read_text()
    assert preset in stopped and kept
    best = tomllib.loads(preset)["a2c"]["CartPole-v1"]
    run = json.loads((tmp_path / "search" / kept[-1] / "seed500" / "config.json").read_text())
    assert best.pop("tuning_seeds") == "500" and best["hidden"] == [4] and best["envs"] == 2 and best["steps"] == 80
    assert best == {name: run["hyperparameters"][name] for name in best}
    assert main(["train", "--config", "search/preset.toml", "--out", "run", "--quiet", "--no-video"]) == 0
    assert scratchac.load("run").config == configure(algorithms.find("a2c").config_class, "a2c", best)
    given = arguments_from("search/preset.toml")
    assert (given["algorithm"], given["env"]) == ("a2c", "CartPole-v1")


def test_arguments_of_the_environment_and_several_seeds(search, tmp_path):
    assert search("--trials", "1", "--seeds", "500-501", "--env-args", "max_episode_steps=7", "--steps", "100") == 0
    assert sorted(path.name for path in (tmp_path / "search" / "0000").iterdir()) == ["seed500", "seed501"]
    best = tomllib.loads((tmp_path / "search" / "preset.toml").read_text())["a2c"]["CartPole-v1"]
    assert best["env_args"] == {"max_episode_steps": 7} and best["tuning_seeds"] == "500,501"


def test_values_to_choose_from(search, tmp_path):
    assert search("--trials", "3", "--rollout", "7,9", "--entropy-coef", "0.5") == 0
    best = tomllib.loads((tmp_path / "search" / "preset.toml").read_text())["a2c"]["CartPole-v1"]
    assert best["rollout"] in (7, 9) and best["entropy_coef"] == 0.5


def test_a_trial_without_a_result_is_told_and_the_search_goes_on(search, monkeypatch, capsys, tmp_path):
    """Values that exclude each other, a training that diverges, and one that is behind."""
    errors = iter([UserError("the batch is too large"), TrainingError("a loss is not finite"), None])

    def train(*_, callbacks, out, **__):
        out.mkdir(parents=True)
        if (error := next(errors)) is not None:
            raise error
        callbacks[0].pruned = True

    monkeypatch.setattr("scratchac.api.train", train)
    assert search("--trials", "3") == 0
    out, err = capsys.readouterr()
    assert "trial 0 is given up: the batch is too large" in err and "trial 1 is given up: a loss is not finite" in err
    assert "trials that came to their end: 0; given up before: 3" in out and "there is no trial for a preset" in out
    assert not [folder for folder in (tmp_path / "search").iterdir() if folder.is_dir()]


def test_ctrl_c_keeps_what_is_finished(search, monkeypatch, capsys, tmp_path):
    assert search("--trials", "1") == 0
    real = scratchac.api.train

    def interrupted(*args, **options):
        real(*args, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr("scratchac.api.train", interrupted)
    assert search("--trials", "3") == 130
    assert "stopped; the finished trials (1) are kept in search, and the same command goes on from there" in capsys.readouterr().err
    assert [folder.name for folder in (tmp_path / "search").iterdir() if folder.is_dir()] == ["0000"]
    monkeypatch.setattr("scratchac.api.train", real)
    assert search("--trials", "2") == 0 and "came to their end: 2;" in capsys.readouterr().out


@pytest.mark.parametrize("words, message", [
    ("--trials 0", "--trials must be a whole number"), ("--lam 0.9,2", "--lam must be in"),
    ("--lamda 0.9", "did you mean"), ("--gamma 2", "--gamma must be in"), ("--seeds x", "--seeds takes numbers"),
    ("--env Pendulum --advantage qv", "must be Discrete"), ("--env CartPol-v1", "CartPole-v1"), ("--eval-every 0", "--eval-every"),
    ("--steps 80 --set steps=90", "exclude each other"), ("--eval-episodes 0", "--eval-episodes"),
    ("--env-args max_episode_steps=null", "cannot have null")])
def test_bad_words_give_one_line_and_no_folder(search, words, message, capsys, tmp_path):
    assert search(*words.split()) == 2
    out, err = capsys.readouterr()
    assert not out and err.count("\n") == 1 and message in err and not list(tmp_path.iterdir())


def test_the_folder_of_another_search_or_of_something_else(search, monkeypatch, capsys, tmp_path):
    assert search("--trials", "1") == 0
    assert search("--trials", "2", "--gamma", "0.9") == 2 and "a search with other choices" in capsys.readouterr().err
    path = tmp_path / "search" / "tune.json"
    request = json.loads(path.read_text())
    path.write_text(json.dumps(request | {"backend": "another"}))
    assert search("--trials", "2") == 2 and "a search with other backend" in capsys.readouterr().err
    del request["backend"]
    path.write_text(json.dumps(request))
    assert search("--trials", "1") == 0                     # of an earlier version, which did not keep it
    (tmp_path / "full" / "x").mkdir(parents=True)
    monkeypatch.setattr(tune, "PATIENCE", 0.01)
    assert search("--out", "full") == 2 and "full is the folder of no search" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert search("--out", "empty") == 2
    waiting, refused = capsys.readouterr().err.splitlines()
    assert "waiting up to 0.01 s" in waiting and "empty is the folder of no search" in refused
    (tmp_path / "file").touch()
    assert search("--out", "file/search") == 2 and "cannot make the folder file/search" in capsys.readouterr().err
    study = tmp_path / "search" / "study.db"
    study.unlink()
    study.symlink_to(tmp_path / "victim")
    assert search() == 2 and "study.db is a link" in capsys.readouterr().err and not (tmp_path / "victim").exists()
    study.unlink()
    study.write_bytes(b"no database" * 1000)
    assert search() == 2 and "study.db cannot be read" in capsys.readouterr().err
    (tmp_path / "search" / "tune.json").write_text("[" * 100_000)
    assert search() == 2 and capsys.readouterr().err.count("\n") == 1


def test_without_optuna(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(UserError, match="a package that is missing: pip install 'optuna"):
        Tune("a2c", "CartPole-v1", [500], {}, "nowhere")


@pytest.mark.slow
def test_two_processes_share_a_search(search, tmp_path):
    import optuna

    command = [sys.executable, "-m", "scratchac", *WORDS, "--trials", "6"]
    processes = [subprocess.Popen(command, stdout=subprocess.DEVNULL, env=os.environ | {"SCRATCHAC_BACKEND": "numpy"})
                 for _ in range(2)]
    assert [process.wait(120) for process in processes] == [0, 0]
    trials = optuna.load_study(study_name="tune", storage="sqlite:///search/study.db").trials
    assert len(trials) in (6, 7) and [trial.number for trial in trials] == list(range(len(trials)))
    assert len({trial.params["actor_lr"] for trial in trials}) == len(trials)
    assert np.isfinite([trial.value for trial in trials if trial.value is not None]).all()
