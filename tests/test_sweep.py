"""Sweeps: what is summed up, and what happens when one of the runs dies."""

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from probes import Bandit, Breaking, DiesOnce

import scratchac
from scratchac.__main__ import main
from scratchac.environments.make import full_name_of
from scratchac.errors import TrainingError, UserError
from scratchac.tools import commands
from scratchac.tools.flags import choices_from, seeds_from
from scratchac.tools.sweep import Sweep, folder_names, settings_of
from scratchac.tools.sweep_flags import with_choices
from scratchac.tools.tables import aligned, one_digit

FAST = {"steps": 200, "backend": "numpy"}


def test_each_setting_has_a_name_of_its_own():
    """Environments of one callable with different arguments have different names, and a value that is given twice is refused."""
    def of(envs, **choices):
        return list(settings_of(["a2c"], envs, choices))

    assert of([partial(Bandit, 1), partial(Bandit, pays=2.5), Bandit]) == ["Bandit(1)", "Bandit(pays=2.5)", "Bandit"]
    assert full_name_of(partial(Bandit, np.zeros(3), how="ab")) == "Bandit(ndarray, how='ab')"    # no address
    for envs, choices in (([partial(Bandit, np.zeros(3)), partial(Bandit, np.ones(3))], {}), (["CartPole-v1"], {"lam": [1, 1]}),
                          (["CartPole-v1", "CartPole-v1"], {})):
        with pytest.raises(UserError, match="two settings are called"):
            of(envs, **choices)


def test_a_table_is_aligned_and_has_no_negative_zero():
    assert aligned([["setting", "seeds", "mean"], ["λ = 1", "3", one_digit(-0.04)], ["preset", "10", one_digit(-12.34)]]) == (
        "| setting | seeds |  mean |\n"
        "|---------|------:|------:|\n"
        "| λ = 1   |     3 |   0.0 |\n"
        "| preset  |    10 | -12.3 |")


@pytest.mark.parametrize("words, choices", [
    ("a2c --lam 0.9,0.95 --seeds 0-4", {"lam": [0.9, 0.95]}), ("a2c --lam=1 --actor-lr linear:1e-3:0,0.001", {
        "lam": [1], "actor_lr": ["linear:1e-3:0", 0.001]}),
    ("a2c --hidden 64,64 --envs 4", {"hidden": [[64, 64]], "envs": [4]}), ("a2c --hidden 64 64", {"hidden": [[64, 64]]}),
    ("a2c --hidden 32", {"hidden": [[32]]}), ("a2c --hidden=[64,64],[32]", {"hidden": [[64, 64], [32]]}),
    ("a2c --shared-body --no-normalise-obs", {"shared_body": [True], "normalise_obs": [False]}),
    ("a2c --shared-body true,false --quiet", {"shared_body": [True, False]}),
    ("a2c,ppo --clip 0.1,0.2", {"clip": [0.1, 0.2]}), ("a2c --set lam=0.5 --gamma .9", {"lam": [0.5], "gamma": [0.9]})])
def test_hyperparameters_have_plain_flags(words, choices):
    given = with_choices(words.split(), commands.sweep)
    sets = [following for word, following in pairwise(given) if word == "--set"]
    assert choices_from(sets) == choices
    assert [word for word in given if word not in sets and word != "--set"] == [
        word for word in words.split() if word in ("a2c", "a2c,ppo", "--seeds", "0-4", "--quiet")]


def test_flags_of_the_command_itself_stay():
    words = ["a2c", "--steps", "100", "--env-args", "x=1", "--env", "CartPole-v1", "--out", "there", "--no-quiet", "--help"]
    assert all(with_choices(given, commands.sweep) == given for given in (words, ["--help"], []))


def test_several_algorithms_and_environments(tmp_path):
    """What differs is in the name of a setting; in the picture environments have panels of their own."""
    envs = ["CartPole-v1", "Acrobot-v1"]
    sweep = Sweep(["a2c", "ppo"], envs, [0], {"lam": [0.9]}, tmp_path / "sweep", steps=2000, backend="numpy")
    assert list(sweep.settings) == ["a2c CartPole-v1 lam=0.9", "a2c Acrobot-v1 lam=0.9", "ppo CartPole-v1 lam=0.9",
                                    "ppo Acrobot-v1 lam=0.9"]
    assert {setting.line for setting in sweep.settings.values()} == {"a2c lam=0.9", "ppo lam=0.9"}
    assert sweep.folder("ppo Acrobot-v1 lam=0.9", 3).name == "ppo_Acrobot-v1_lam=0.9-seed3" and sweep.target == 4 * 2000
    assert list(Sweep("a2c", envs, [0], {}, tmp_path / "sweep", steps=500).settings) == envs
    assert list(Sweep("PPO", "CartPole-v1", [0], {}, tmp_path / "sweep", steps=500).settings) == ["preset"]
    with pytest.raises(UserError, match="hyperparameter of sac"):
        Sweep(["a2c", "sac"], "Pendulum-v1", [0], {"lam": [0.9]}, tmp_path / "sweep", steps=500)


def test_flags():
    assert list(seeds_from("0,2,5-7,6")) == [0, 2, 5, 6, 7]
    assert choices_from(["actor-lr=1e-3,linear:1e-3:0", "shared_body=true"]) == {
        "actor_lr": [0.001, "linear:1e-3:0"], "shared_body": [True]}
    assert choices_from(["hidden=[32,32],[64, 64]", 'x={"a": 1, "b": (2, 3)},"c,d",it\'s', "lam=.9,1"]) == {
        "hidden": [[32, 32], [64, 64]], "x": [{"a": 1, "b": (2, 3)}, "c,d", "it's"], "lam": [0.9, 1]}
    assert choices_from(["hidden=32,32", "y=[1,2", "z=a),b"]) == {"hidden": [32, 32], "y": ["[1,2"], "z": ["a)", "b"]}
    for text in ("", "3-1", "a", "1-", "-1"):
        with pytest.raises(UserError, match="seeds takes"):
            seeds_from(text)


@pytest.mark.slow
def test_a_sweep_makes_the_runs_that_train_would(tmp_path):
    sweep = Sweep("a2c", Bandit, [0, 1], {"actor_lr": [1e-3, "linear:1e-1:0"]}, tmp_path / "sweep", **FAST)
    sweep.run(quiet=True)
    assert list(sweep.results) == ["actor_lr=0.001", "actor_lr=linear:1e-1:0"]
    for seed in (0, 1):
        agent = scratchac.train("a2c", Bandit, seed=seed, actor_lr="linear:1e-1:0", **FAST)
        kept = scratchac.load(tmp_path / "sweep" / f"actor_lr=linear_1e-1_0-seed{seed}")
        assert np.array_equal(agent.model.flat, kept.model.flat)
        assert sweep.results["actor_lr=linear:1e-1:0"][seed] == scratchac.evaluate(agent, Bandit).mean()
    saved = json.loads((tmp_path / "sweep" / "sweep.json").read_text())
    assert saved["options"]["backend"] == "numpy"
    assert saved["evaluations"]["actor_lr=0.001"] == {str(seed): x for seed, x in sweep.results["actor_lr=0.001"].items()}
    assert (tmp_path / "sweep" / "sweep.md").read_text().count("\n") == 4
    assert (tmp_path / "sweep" / "sweep.png").stat().st_size > 5000


@pytest.mark.slow
def test_a_run_that_dies_is_begun_anew_and_the_others_go_on(tmp_path, capsys):
    env_args = {"mark": str(tmp_path / "mark")}
    sweep = Sweep("a2c", DiesOnce, [0, 1, 2], {}, tmp_path / "sweep", jobs=1, env_args=env_args, **FAST)
    sweep.run(quiet=True)
    told = [line for line in capsys.readouterr().err.splitlines() if "needs SciPy" not in line]
    assert told == ["scratchac: preset, seed 0 died: killed by SIGKILL; it is started again"]
    assert None not in sweep.results["preset"].values()
    assert {path.name for path in (tmp_path / "sweep").glob("seed*")} == {"seed0", "seed0-died", "seed1", "seed2"}


@pytest.mark.slow
def test_a_run_that_dies_twice_is_given_up(tmp_path):
    choices = {"rollout": [5, 3]}
    sweep = Sweep("a2c", Breaking, [4], choices, tmp_path / "sweep", jobs=2, **FAST | {"steps": 60, "envs": 1})
    with pytest.raises(TrainingError, match="died twice: rollout=5, seed 4; rollout=3, seed 4"):
        sweep.run(quiet=True)
    assert "| rollout=5 |     0 |" in (tmp_path / "sweep" / "sweep.md").read_text()
    died = {f"rollout={x}-seed4{attempt}-died" for x in (5, 3) for attempt in ("", "-2")}
    assert {path.parent.name for path in (tmp_path / "sweep").glob("*/config.json")} <= died


@pytest.mark.slow
def test_on_a_ray_cluster(tmp_path, capsys):
    pytest.importorskip("ray", reason="Ray is not installed")
    sweep = Sweep("a2c", DiesOnce, [0, 1], {}, tmp_path / "ray", "ray", env_args={"mark": str(tmp_path / "mark")}, **FAST)
    sweep.run(quiet=True)
    assert "is started again" in capsys.readouterr().err
    for seed in (0, 1):
        agent = scratchac.train("a2c", Bandit, seed=seed, **FAST)
        assert np.array_equal(scratchac.load(tmp_path / "ray" / f"seed{seed}").model.flat, agent.model.flat)


@pytest.mark.slow
def test_the_command(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = ["sweep", "a2c", "--env", "CartPole-v1", "--seeds", "0", "--steps", "200", "--quiet", "--backend", "numpy"]
    assert main([*arguments, "--lam", "0.8,0.9"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[-1] == "sweeps/a2c-CartPole-v1" and sum("lam=" in line for line in shown) == 2
    before = sorted(path.stat().st_mtime_ns for path in tmp_path.rglob("*"))
    assert main([*arguments, "--out", "sweeps/a2c-CartPole-v1"]) == 2
    assert capsys.readouterr().err.startswith("scratchac: sweeps/a2c-CartPole-v1 exists already")
    assert sorted(path.stat().st_mtime_ns for path in tmp_path.rglob("*")) == before


@pytest.mark.parametrize("words, message", [
    (["--set", "lamm=1"], "did you mean lam"), (["--set", "lam"], "--set takes"), (["--set", "lam=0.9,2"], "--lam must be in"),
    (["--set", "hidden=x,64"], "--hidden must be whole numbers above 0, such as [64, 64], not 'x'"),
    (["--lamm", "1"], "unknown option '--lamm'; did you mean --lam"), (["--lam"], "--lam takes a value"),
    (["--jobs", "0"], "--jobs must be"), (["--env", "CartPol-v1"], "did you mean CartPole-v1"),
    (["--advantage", "gae,qv", "--env", "Pendulum-v1"], "must be Discrete"), (["--preset", "nosuch"], "unknown preset"),
    (["--steps", "300", "--set", "steps=200,400"], "--steps 300 and values of steps to choose from exclude each other"),
    (["--set", "lam=0.9", "--lam", "0.95"], "lam is given twice"),
    (["--rollout", "1000000000"], "GiB of memory"), (["--backend", "cupy"], "cupy"),
    (["--env", "tictactoe_v3", "--env-args", "size=4"], "tictactoe_v3 takes no --env-args")])
def test_bad_input_leaves_no_folder(words, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["sweep", "a2c", "--env", "CartPole-v1", *words]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1 and not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", ["sweep", "tune"])
def test_what_train_would_refuse_is_refused_before_the_first_run(command, tmp_path, capsys, monkeypatch):
    pytest.importorskip("pettingzoo", reason="PettingZoo is not installed")
    pytest.importorskip("optuna", reason="Optuna is not installed")
    monkeypatch.chdir(tmp_path)
    assert main([command, "reinforce", "--env", "tictactoe_v3", "--seeds", "0", "--steps", "300"]) == 2
    error = capsys.readouterr().err
    assert "it takes a2c or ppo, and --action-mask" in error and error.count("\n") == 1 and not list(tmp_path.iterdir())


def test_names_of_folders_fit_every_file_system_and_differ():
    long = "x" * 300
    names = folder_names(["preset", "lam=0.9", "hidden=[8, 8]", "hidden=(8, 8)", long, f"{long}y"])
    assert list(names.values()) == ["", "lam=0.9-", "hidden=_8_8_-", "hidden=_8_8_-3-", f"{'x' * 150}-4-", f"{'x' * 150}-5-"]


@pytest.mark.parametrize("command", [["sweep", "a2c", "--seeds", "0"], ["train", "a3c"]])
def test_without_ray(command, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main([*command, "--env", "CartPole-v1", "--steps", "100", "--engine", "ray"]) == 2
    assert capsys.readouterr().err.endswith("scratchac: engine ray needs a package that is missing: pip install 'ray>=2.40'\n")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_finished(tmp_path):
    arguments = ["sweep", "a2c", "--env", "CartPole-v1", "--seeds", "0", "--set", "steps=200,1000000000", "--jobs", "1",
                 "--backend", "numpy", "--quiet", "--out", str(tmp_path / "sweep")]
    process = subprocess.Popen([sys.executable, "-m", "scratchac", *arguments], stderr=subprocess.PIPE, start_new_session=True)
    while not list(tmp_path.glob("sweep/steps=1000000000-seed0")):
        time.sleep(0.05)
        assert process.poll() is None
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    saved = json.loads((tmp_path / "sweep" / "sweep.json").read_text())["evaluations"]
    assert saved["steps=200"]["0"] > 0 and saved["steps=1000000000"]["0"] is None
