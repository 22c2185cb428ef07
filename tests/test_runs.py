"""A run's folder: what is written into it, how it goes on, and what ends it."""

import csv
import json
import multiprocessing
import os
import signal

import gymnasium as gym
import numpy as np
import pytest
from probes import Bandit, Breaking, Constant, Deadly, Poison, summary_of

import scratchac
from scratchac.errors import EnvironmentFailed, TrainingError, UserError
from scratchac.experiments.run import Run, new_folder
from scratchac.training import evaluation


def test_summary(finished):
    path, _ = finished
    summary = json.loads((path / "summary.json").read_text())
    assert {"algorithm", "env", "seed", "backend", "steps", "episodes", "wall_s", "steps_per_s", "updates", "updates_per_s",
            "eval_mean", "eval_std", "eval_episodes", "compiled"} <= set(summary)
    assert summary["steps"] == 2000 and summary["updates"] == 50 and summary["eval_episodes"] == 100


def test_a_run_says_which_compiled_update_trained_it(tmp_path, quick_end):
    pytest.importorskip("numba", reason="Numba is not installed")
    for i, (backend, options, compiled) in enumerate((
            ("numba", {}, "a2c_gradient"), ("numba", {"normalise_obs": True}, None), ("numpy", {}, None))):
        path = tmp_path / str(i)
        scratchac.train("a2c", "CartPole-v1", 80, out=path, backend=backend, **options)
        for name in ("config.json", "summary.json"):
            assert json.loads((path / name).read_text())["compiled"] == compiled


def test_metrics(finished):
    path, _ = finished
    with open(path / "metrics.csv") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0])[:5] == ["step", "episodes", "return_mean", "length_mean", "wall_s"]
    assert {"return_std", "actor_loss", "critic_loss", "entropy"} <= set(rows[0])
    steps = [int(row["step"]) for row in rows]
    assert steps == sorted(set(steps)) and steps[-1] == 2000
    assert float(rows[-1]["return_mean"]) == float(rows[-1]["length_mean"])         # CartPole pays 1 a step


def test_a_picture_is_drawn(finished):
    path, _ = finished
    assert (path / "curves.png").stat().st_size > 10_000


def test_load_needs_nothing_but_the_folder(finished):
    path, agent = finished
    loaded = scratchac.load(path)
    obs = np.random.default_rng(0).standard_normal((20, 4))
    assert np.array_equal(loaded.act(obs, explore=False), agent.act(obs, explore=False))
    assert np.array_equal(scratchac.evaluate(loaded, "CartPole-v1", 5), scratchac.evaluate(agent, "CartPole-v1", 5))


def test_resume_goes_on(tmp_path, quick_end):
    path = tmp_path / "run"
    scratchac.train("a2c", env="CartPole-v1", steps=400, out=path, optimiser="adam")
    with pytest.raises(UserError, match="has finished its 400 steps"):
        scratchac.resume(path)
    agent = scratchac.resume(path, steps=800)
    summary = json.loads((path / "summary.json").read_text())
    assert agent.step == summary["steps"] == 800 and summary["updates"] == 20 and agent.optimisers[0].t == 20
    steps = Run.open(path).metrics()["step"]
    assert steps[-1] == 800 and (np.diff(steps) > 0).all()


def test_ctrl_c_saves_and_resume_finishes(tmp_path, quick_end):
    path = tmp_path / "run"
    calls = []

    def env():
        made = gym.make("CartPole-v1")
        inner = made.step

        def step(action):
            calls.append(1)
            if len(calls) == 300:
                os.kill(os.getpid(), signal.SIGINT)
            return inner(action)

        made.step = step
        return made

    with pytest.raises(KeyboardInterrupt, match="scratchac resume"):
        scratchac.train("a2c", env=env, steps=2000, out=path)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    saved, progress, _ = Run.open(path).restore()
    assert 300 <= saved["step"] < 400 and progress["target"] == 2000
    with pytest.raises(UserError, match="callable"):
        scratchac.resume(path)
    assert scratchac.resume(path, env=env).step == 2000


@pytest.mark.parametrize("vector, env, why", [
    ("sync", Breaking, r"environment [01] at step \d+ of its episode raised RuntimeError: the pole broke"),
    ("async", Breaking, r"environment [01] at step \d+ of its episode raised RuntimeError: the pole broke"),
    ("async", Deadly, "the process of environment [01](, 1)? died")])
def test_an_environment_that_fails_ends_the_run_which_is_saved(vector, env, why, tmp_path, quick_end):
    """Its tenth step fails; by then there have been two updates, from rollouts of 4 steps each."""
    with pytest.raises(EnvironmentFailed, match=f"{why}; the last checkpoint is .*checkpoint.npz"):
        scratchac.train("a2c", env, 400, envs=2, rollout=4, out=tmp_path / "run", vector=vector)
    assert scratchac.load(tmp_path / "run").step == 16
    assert not multiprocessing.active_children()
    assert scratchac.resume(tmp_path / "run", steps=40, env=Constant).step == 40


def test_nothing_is_overwritten(finished):
    path, _ = finished
    before = {file.name: file.read_bytes() for file in path.iterdir()}
    with pytest.raises(UserError, match="exists already"):
        scratchac.train("a2c", env="CartPole-v1", steps=100, out=path)
    assert {file.name: file.read_bytes() for file in path.iterdir()} == before


def test_folders_get_new_names(tmp_path):
    first = new_folder("a2c", "ALE/Pong-v5", 3, tmp_path)
    assert first.name == "a2c-ALE-Pong-v5-seed3"
    first.mkdir()
    assert new_folder("a2c", "ALE/Pong-v5", 3, tmp_path).name == "a2c-ALE-Pong-v5-seed3-2"
    assert new_folder("ppo", 'my.mod:Mine<|>?*"-v0', 0, tmp_path).name == "ppo-my.mod-Mine-------v0-seed0"


def test_a_mistake_leaves_no_folder_behind(tmp_path):
    for bad in ({"gamma": 2.0}, {"env": "Nothing-v0"}, {"advantage": "qv", "env": "Pendulum-v1"}):
        with pytest.raises(UserError):
            scratchac.train("a2c", out=tmp_path / "run", **({"env": "CartPole-v1"} | bad))
    assert not (tmp_path / "run").exists()


class Nested(Constant):
    def __init__(self, x=None):
        super().__init__()


@pytest.mark.parametrize("given", [
    {"checkpoint_every": 10**18}, {"eval_every": 10**18}, {"eval_every": 10, "patience": 10**18},
    {"steps": 10**17, "stop_after": 10},
    {"step_timeout": float("inf"), "vector": "async"}, {"env_args": {"x": "\ud800"}},
    {"env_args": {"x": json.loads("[" * 30 + "]" * 30)}}], ids=str)
def test_what_could_not_be_opened_again_is_not_begun(given, tmp_path):
    with pytest.raises(UserError):
        scratchac.train("reinforce", Nested, out=tmp_path / "run", hidden=(4,), **{"steps": 20} | given)
    assert not (tmp_path / "run").exists()


def test_a_checkpoint_every_twentieth_of_the_steps(tmp_path, monkeypatch, quick_end):
    saved, save = [], Run.save
    monkeypatch.setattr(Run, "save", lambda run, agent, *rest: (saved.append(agent["step"]), save(run, agent, *rest)))
    scratchac.train("a2c", Constant, 4_000, out=tmp_path / "run", hidden=(4,))
    assert saved == [200 * (i + 1) for i in range(20)]


def test_callbacks_that_have_not_begun_are_told_nothing(tmp_path):
    """The second one refuses to begin; the first one's end is told."""
    seen = []

    class Tells(scratchac.Callback):
        def __getattribute__(self, name):
            if name.startswith("on_"):
                seen.append(name)
            return super().__getattribute__(name)

    class Refuses(scratchac.Callback):
        def on_start(self, agent, folder):
            raise UserError("not so")

        def on_finish(self, agent, summary, film):
            raise RuntimeError("it has not begun")

    with pytest.raises(UserError, match="not so"):
        scratchac.train("reinforce", Constant, 20, out=tmp_path / "run", hidden=(4,), callbacks=[Tells(), Refuses(), Tells()])
    assert seen == ["on_start", "on_end", "on_finish"] and not (tmp_path / "run").exists()


def test_a_value_that_is_no_number_names_the_checkpoint(tmp_path, quick_end):
    with pytest.raises(TrainingError, match="rewards of environment 0"):
        scratchac.train("a2c", env=lambda: Poison(after=30), steps=2000, out=tmp_path / "run", envs=1)
    scratchac.train("a2c", env=Bandit, steps=100, out=tmp_path / "other", envs=1)
    assert (tmp_path / "other" / "checkpoint.npz").exists()


# -- a function that ends training ---------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("algorithm, options", [
    ("reinforce", {}), ("a2c", {}), ("sac", {"learning_starts": 8, "batch_size": 4, "buffer_size": 100, "env": "Pendulum-v1"})])
def test_on_row_ends_training(algorithm, options, tmp_path, quick_end):
    path, seen = tmp_path / "run", []

    def end(row):
        seen.append(row["step"])
        return len(seen) == 3

    options = {"env": "CartPole-v1", "steps": 4000, "hidden": (4,), "seed": 1} | options
    agent = scratchac.train(algorithm, out=path, on_row=end, **options)
    assert len(seen) == 3 and seen[-1] == agent.step < 4000
    assert summary_of(path)["steps"] == agent.step == scratchac.load(path).step and summary_of(path)["eval_episodes"] == 1
    assert Run.open(path).metrics()["step"].tolist() == seen and Run.open(path).config["hyperparameters"]["steps"] == 4000
    with pytest.raises(UserError, match=f"has finished its {agent.step} steps; steps=N with a larger N extends it"):
        scratchac.resume(path)
    again = scratchac.resume(path, agent.step + 1000)                       # the same as if training had not been ended
    assert again.step >= agent.step + 1000 and summary_of(path)["steps"] == again.step
    whole = scratchac.train(algorithm, on_row=lambda row: row["step"] >= again.step, **options)
    assert again.step == whole.step
    for name, x in whole.state().items():
        assert not isinstance(x, np.ndarray) or np.array_equal(x, again.state()[name])


@pytest.mark.parametrize("answer, ends", [(True, True), (np.True_, True), (False, False), (np.False_, False), (None, False),
                                          (1, False), ("stop", False), ([0], False), (np.ones(3), False)])
def test_only_true_ends_training(answer, ends):
    agent = scratchac.train("a2c", Constant, 800, hidden=(4,), on_row=lambda row: answer)
    assert agent.step == (40 if ends else 800)


def test_ended_training_is_evaluated_later_if_it_was_not_yet(tmp_path, monkeypatch, quick_end):
    def stopped(*_, **__):
        raise KeyboardInterrupt

    path = tmp_path / "run"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt, match="all 40 steps are saved, not evaluated"):
        patch.setattr(evaluation, "play", stopped)
        scratchac.train("a2c", Constant, 800, hidden=(4,), out=path, on_row=lambda row: True, stop_after=40)
    assert scratchac.resume(path, env=Constant).step == 40 and summary_of(path)["steps"] == 40


class Particular(Constant):
    """Its arguments must be what they were."""

    def __init__(self, size, levels):
        assert type(size) is tuple and size == (8, 8) and levels == {1: 0.5, "a": [(), {"b": None}]}, (size, levels)
        super().__init__()


def test_arguments_of_an_environment_come_back_as_they_were(tmp_path, quick_end):
    """Tuples are no lists, and numbers no texts, when config.json has been read."""
    env_args = {"size": (8, 8), "levels": {1: 0.5, "a": [(), {"b": None}]}}
    scratchac.train("a2c", Particular, 100, out=tmp_path / "run", env_args=env_args, stop_after=50, hidden=(4,))
    assert Run.open(tmp_path / "run").config["env_args"] == env_args
    assert scratchac.resume(tmp_path / "run", env=Particular).step >= 100
    with pytest.raises(UserError, match=r"config.json cannot hold the arguments of this run.* is set, not text"):
        scratchac.train("a2c", lambda x: Constant(), 100, out=tmp_path / "other", env_args={"x": {1, 2}}, hidden=(4,))
