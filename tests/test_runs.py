"""A run's folder: what is written into it, what is read back, and what damage does."""

import csv
import json
import multiprocessing
import os
import pickle
import signal
import tracemalloc

import damage
import gymnasium as gym
import numpy as np
import pytest
from PIL import Image
from probes import Bandit, Breaking, Constant, Deadly, Poison

import scratchac
from scratchac.errors import CheckpointError, EnvironmentFailed, TrainingError, UserError
from scratchac.experiments import session, video
from scratchac.experiments.run import Run, new_folder
from scratchac.training import evaluation

ALL = ["reinforce", "reinforce-baseline", "actor-critic", "a2c", "ppo"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A small run of A2C with every option that has a state."""
    path = tmp_path_factory.mktemp("runs") / "a2c"
    options = {"normalise_obs": True, "scale_rewards": True, "optimiser": "adam"}
    agent = scratchac.train("a2c", env="CartPole-v1", steps=2000, out=path, **options)
    return path, agent


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


@pytest.mark.parametrize("algorithm", ALL)
@pytest.mark.parametrize("env", ["CartPole-v1", "Pendulum-v1"])
def test_state_goes_round_bitwise(algorithm, env, tmp_path, quick_end):
    agent = scratchac.train(algorithm, env=env, steps=250, out=tmp_path / "run", hidden=(8,))
    saved, *_ = Run.open(tmp_path / "run").restore()
    flat = {}
    from scratchac.experiments.checkpoints import _take_out_arrays

    tree = _take_out_arrays(agent.state(), "agent", flat)
    back = {}
    assert _take_out_arrays(saved, "agent", back) == tree
    assert back.keys() == flat.keys()
    assert all(np.array_equal(back[name], flat[name]) and back[name].dtype == flat[name].dtype for name in flat)


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


def test_checkpoints_come_as_often_as_asked_for(tmp_path, monkeypatch, quick_end):
    saved, save = [], Run.save
    monkeypatch.setattr(Run, "save", lambda run, agent, *rest: saved.append(agent["step"]) or save(run, agent, *rest))
    scratchac.train("a2c", "CartPole-v1", 400, out=tmp_path / "run", checkpoint_every=150)
    assert saved == [160, 320, 400]                                         # a rollout is 40 steps; the last one is the end's
    scratchac.resume(tmp_path / "run", steps=800)
    assert saved[3:] == [560, 720, 800]
    with pytest.raises(UserError, match="--checkpoint-every must be"):
        scratchac.train("a2c", "CartPole-v1", 400, checkpoint_every=0)


def test_a_checkpoint_does_not_double_the_memory(tmp_path, capsys):
    """To write a large replay buffer takes less than half of its size as further memory."""
    agent = scratchac.make_agent("sac", "Pendulum-v1", buffer_size=1_000_000)
    agent.memory.size = 1_000_000
    run = Run.create(tmp_path / "run", {"algorithm": "sac", "observation_space": {}, "action_space": {}})
    tracemalloc.start()
    run.save(agent.state(), {}, None)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (tmp_path / "run" / "checkpoint.npz").stat().st_size > agent.memory.nbytes
    assert peak < 0.5 * agent.memory.nbytes


def test_a_large_checkpoint_is_announced(tmp_path, capsys, monkeypatch, quick_end):
    monkeypatch.setattr(session, "LARGE", 1000)
    options = {"learning_starts": 100, "batch_size": 8, "hidden": (4,), "buffer_size": 100_000}
    scratchac.train("sac", "Pendulum-v1", 100, out=tmp_path / "run", quiet=False, checkpoint_every=50, **options)
    assert "there is one every 50 steps (--checkpoint-every)" in capsys.readouterr().err


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


def test_a_value_that_is_no_number_names_the_checkpoint(tmp_path, quick_end):
    with pytest.raises(TrainingError, match="rewards of environment 0"):
        scratchac.train("a2c", env=lambda: Poison(after=30), steps=2000, out=tmp_path / "run", envs=1)
    scratchac.train("a2c", env=Bandit, steps=100, out=tmp_path / "other", envs=1)
    assert (tmp_path / "other" / "checkpoint.npz").exists()


# -- what earlier versions wrote -------------------------------------------------------------------------------------------


def as_before(path):
    """Turn a run's folder into one of the version before, with a checkpoint of format 3 and older names in config.json."""
    arrays = dict(np.load(path / "checkpoint.npz"))
    text = arrays.pop("manifest").tobytes().decode().replace('"format": 4', '"format": 3').replace("interaction", "play")
    arrays = {name.replace("interaction", "play"): x for name, x in arrays.items()}
    np.savez(path / "checkpoint.npz", manifest=np.frombuffer(text.encode(), np.uint8), **arrays)
    config = json.loads((path / "config.json").read_text())
    del config["compiled"]
    if "n_step" in config["hyperparameters"]:
        config["hyperparameters"]["n"] = config["hyperparameters"].pop("n_step")
    (path / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize("algorithm", ["a2c", "sac", "a3c"])
def test_a_checkpoint_of_the_version_before_is_read(algorithm, tmp_path, quick_end):
    env = "Pendulum-v1" if algorithm == "sac" else "CartPole-v1"
    options = {"learning_starts": 50, "batch_size": 8, "buffer_size": 100} if algorithm == "sac" else {"envs": 2}
    scratchac.train(algorithm, env, 600, out=tmp_path / "run", stop_after=100, hidden=(4,), **options)
    now = damage._flat(Run.open(tmp_path / "run").restore())
    as_before(tmp_path / "run")
    assert damage._flat(Run.open(tmp_path / "run").restore()) == now
    assert scratchac.load(tmp_path / "run").step >= 100


def test_a_run_of_the_version_before_goes_on_as_if_never_stopped(tmp_path, quick_end):
    options = {"advantage": "nstep", "n_step": 3, "hidden": (4,)}
    scratchac.train("a2c", "CartPole-v1", 400, out=tmp_path / "whole", **options)
    scratchac.train("a2c", "CartPole-v1", 400, out=tmp_path / "parts", stop_after=200, **options)
    as_before(tmp_path / "parts")
    assert scratchac.resume(tmp_path / "parts").config.n_step == 3
    damage.same(tmp_path / "whole", tmp_path / "parts")


def test_a_checkpoint_of_a_later_version_is_refused(finished, tmp_path):
    path = copy_of(finished, tmp_path)
    arrays = dict(np.load(path / "checkpoint.npz"))
    text = arrays.pop("manifest").tobytes().replace(b'"format": 4', b'"format": 5')
    np.savez(path / "checkpoint.npz", manifest=np.frombuffer(text, np.uint8), **arrays)
    with pytest.raises(CheckpointError, match="it has format 5, and this version of scratchac reads formats 3 and 4"):
        scratchac.load(path)


# -- damage -----------------------------------------------------------------------------------------------------------


class Bomb:
    def __reduce__(self):
        return (os.mkdir, ("bomb-went-off",))


def copy_of(finished, tmp_path):
    import shutil

    path = tmp_path / "copy"
    shutil.copytree(finished[0], path)
    return path


@pytest.mark.parametrize("harm", ["missing", "empty", "truncated", "text", "flipped", "pickle", "pickled member", "npy",
                                    "other algorithm", "other shapes"])
def test_a_damaged_checkpoint_is_refused_whole(finished, tmp_path, monkeypatch, harm):
    monkeypatch.chdir(tmp_path)
    path = copy_of(finished, tmp_path)
    file = path / "checkpoint.npz"
    good = file.read_bytes()
    if harm == "missing":
        file.unlink()
    elif harm == "flipped":
        file.write_bytes(good[:2000] + bytes([good[2000] ^ 1]) + good[2001:])
    elif harm == "pickle":
        file.write_bytes(pickle.dumps(Bomb()))
    elif harm == "pickled member":
        np.savez(file, manifest=np.array([Bomb()], dtype=object))
    elif harm == "npy":
        with open(file, "wb") as handle:
            np.save(handle, np.zeros(3))
    elif harm in ("other algorithm", "other shapes"):
        change = {"algorithm": "reinforce"} if harm == "other algorithm" else {}
        config = json.loads((path / "config.json").read_text()) | change
        if harm == "other shapes":
            config["hyperparameters"]["hidden"] = [5]
        else:
            config["hyperparameters"] = {"steps": 10}
        (path / "config.json").write_text(json.dumps(config))
    else:
        file.write_bytes({"empty": b"", "truncated": good[: len(good) // 2], "text": b"hello"}[harm])
    with pytest.raises(CheckpointError, match=r"checkpoint\.npz"):
        scratchac.load(path)
    assert not (tmp_path / "bomb-went-off").exists()


def test_a_failed_write_keeps_the_checkpoint_before(finished, tmp_path):
    path = copy_of(finished, tmp_path)
    before = (path / "checkpoint.npz").read_bytes()

    class Unwritable:
        pass

    with pytest.raises(TypeError):
        Run.open(path).save({"bad": Unwritable()}, {}, None)
    assert (path / "checkpoint.npz").read_bytes() == before
    assert not list(path.glob("*.tmp"))


@pytest.mark.parametrize("content", [None, "", "{", "[]"])
def test_a_folder_that_is_no_run(tmp_path, content):
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(UserError, match=r"config\.json"):
        scratchac.load(tmp_path)


# -- evaluation ----------------------------------------------------------------------------------------------------------


class Lengths(Constant):
    """Episode i, by its seed, has 3 steps if i is even and otherwise 40."""

    def reset(self, *, seed=None, options=None):
        self.limit = self.limit if seed is None else 40 if seed % 2 else 3
        return super().reset(seed=seed)


def summary_of(path):
    return json.loads((path / "summary.json").read_text())


@pytest.mark.slow
def test_the_number_of_episodes_is_kept_and_can_be_changed(tmp_path, capsys):
    path = tmp_path / "run"
    with pytest.raises(UserError, match=r"--eval-episodes must be a whole number in .*, not -1"):
        scratchac.train("reinforce", Constant, 50, out=path, eval_episodes=-1)
    scratchac.train("reinforce", Constant, 50, out=path, hidden=(4,), eval_episodes=7)
    assert Run.open(path).config["eval_episodes"] == summary_of(path)["eval_episodes"] == 7
    scratchac.resume(path, 100, env=Constant)
    assert summary_of(path)["eval_episodes"] == 7
    scratchac.resume(path, 150, env=Constant, eval_episodes=3)
    assert Run.open(path).config["eval_episodes"] == 7 and summary_of(path)["eval_episodes"] == 3
    assert capsys.readouterr().err == ""
    scratchac.resume(path, 200, env=Constant, eval_episodes=4, quiet=False)
    assert "evaluation 100%" in capsys.readouterr().err
    config = Run.open(path).config
    del config["eval_episodes"]                                             # as in version 0.1.0
    (path / "config.json").write_text(json.dumps(config))
    scratchac.resume(path, 250, env=Constant)
    assert summary_of(path)["eval_episodes"] == 100
    (path / "config.json").write_text(json.dumps(config | {"eval_episodes": "many"}))
    with pytest.raises(UserError, match="--eval-episodes must be"):
        scratchac.resume(path, 300, env=Constant)


def test_a_run_without_an_evaluation(tmp_path):
    path = tmp_path / "run"
    scratchac.train("reinforce", Breaking, 5, out=path, hidden=(4,), eval_episodes=0)       # its tenth step would fail
    assert summary_of(path)["eval_episodes"] == 0 and "eval_mean" not in summary_of(path)
    assert (path / "curves.png").exists()
    with pytest.raises(UserError, match="has finished its 5 steps"):
        scratchac.resume(path, env=Breaking)


def test_an_evaluation_has_a_budget_of_steps(tmp_path, monkeypatch, capsys):
    """Every episode that was begun counts, so that the mean of 3 and 40 is that of all episodes."""
    monkeypatch.setattr(evaluation, "BUDGET", 200)
    scratchac.train("reinforce", Lengths, 50, out=tmp_path / "run", hidden=(4,))
    summary = summary_of(tmp_path / "run")
    assert 10 < summary["eval_episodes"] < 30 and summary["eval_cut"] == 0
    returns = [40 if i % 2 else 3 for i in range(summary["eval_episodes"])]
    assert summary["eval_mean"] == np.mean(returns) and summary["eval_std"] == np.std(returns)
    assert capsys.readouterr().err == (f"scratchac: the evaluation has {len(returns)} of 100 episodes: it begins no more after "
                                       "200 steps\n")
    assert len(scratchac.evaluate(scratchac.load(tmp_path / "run"), Lengths, 100)) == 100


def test_an_environment_that_never_ends_is_evaluated(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(evaluation, "LONGEST", 50)
    path = tmp_path / "run"
    scratchac.train("a2c", lambda: Constant(10**9), 80, out=path, hidden=(4,), eval_episodes=12)
    summary = summary_of(path)
    assert (summary["eval_mean"], summary["eval_episodes"], summary["eval_cut"]) == (50, 12, 12)
    assert capsys.readouterr().err == ("scratchac: 12 of 12 episodes of the evaluation had not ended after 50 steps; they are cut "
                                       "there and count with their returns so far\n")
    with pytest.raises(UserError, match="has finished its 80 steps"):
        scratchac.resume(path, env=Constant)
    with pytest.raises(EnvironmentFailed, match="an episode has not ended"):
        scratchac.evaluate(scratchac.load(path), lambda: Constant(10**9), 2)
    scratchac.train("a2c", lambda: Constant(50), 80, out=tmp_path / "ends", hidden=(4,), eval_episodes=1)
    assert summary_of(tmp_path / "ends")["eval_cut"] == 0                   # it ends at the last step that it may have


# -- a function that ends training ---------------------------------------------------------------------------------------


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
    with pytest.raises(UserError, match=f"has finished its {agent.step} steps; --steps N with a larger N extends it"):
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


# -- films ---------------------------------------------------------------------------------------------------------------


class Filmed(Constant):
    """`draw` makes a picture from the number of the step."""

    def __init__(self, draw, fps=None, limit=10, render_mode=None):
        super().__init__(limit)
        self.draw, self.metadata, self.render_mode = draw, {"render_modes": ["rgb_array"], "render_fps": fps}, render_mode

    def render(self):
        return self.draw(self.t)


def grey(t, height=20):
    return np.full((height, 24, 3), 2 * t % 256, np.uint8)


def broken(t):
    raise RuntimeError("no driver\nmore about it")


class Still:
    def act(self, obs, explore):
        return 0


@pytest.mark.parametrize("draw, why", [
    (broken, "the environment cannot draw here: no driver"),
    (lambda t: grey(t, 20 + 2 * (t == 3)), "pictures of one size, and after 24×20 this environment drew 24×22"),
    (lambda t: None, "renders no pictures"), (lambda t: [], "renders no pictures"),
    (lambda t: np.zeros((20, 24, 7)), "cannot be encoded: TypeError")])
def test_a_film_that_cannot_be_made_loses_nothing(draw, why, tmp_path, capsys):
    def env(**kwargs):
        return Filmed(draw, **kwargs)

    scratchac.train("reinforce", env, steps=50, hidden=(4,), out=tmp_path / "run", video=True)
    said = capsys.readouterr().err
    assert said.startswith("scratchac: no video: ") and why in said and said.count("\n") == 1
    assert (tmp_path / "run/summary.json").exists() and (tmp_path / "run/curves.png").exists()
    assert not list((tmp_path / "run").glob("video*"))


def test_whatever_a_film_raises_loses_nothing(tmp_path, capsys, monkeypatch, quick_end):
    def encoder(*_):
        raise MemoryError

    monkeypatch.setattr(video, "record", encoder)
    scratchac.train("reinforce", Constant, steps=50, hidden=(4,), out=tmp_path / "run", video=True)
    assert capsys.readouterr().err .startswith("scratchac: no video: MemoryError in ")
    assert json.loads((tmp_path / "run/summary.json").read_text())["eval_mean"] == 5


@pytest.mark.parametrize("fps, seconds, frames", [
    (None, 2.04, 51), ("x", 2.04, 51), (0, 2.04, 51), (float("nan"), 2.04, 51),
    (4, 25.25, 101), (np.float32(30), 3.37, 101), (60, 1.7, 51), (125, 0.84, 21)])
def test_a_gif_plays_as_fast_as_the_environment_says(fps, seconds, frames, tmp_path, monkeypatch):
    monkeypatch.setattr(video.importlib.util, "find_spec", lambda name: None)
    path = video.record(Still(), Filmed, tmp_path, draw=grey, fps=fps, limit=100)
    with Image.open(path) as film:
        shown = []
        for i in range(film.n_frames):
            film.seek(i)
            shown.append(film.info["duration"])
    assert len(shown) == frames and sum(shown) == pytest.approx(1000 * seconds, abs=10) and min(shown) >= 20


def test_an_mp4_plays_as_fast_as_the_environment_says(tmp_path):
    ffmpeg = pytest.importorskip("imageio_ffmpeg", reason="the extra `video` is not installed")
    for fps, seconds in ((25, 4.04), (None, 2.02), (125, 0.81)):
        path = video.record(Still(), Filmed, tmp_path, draw=grey, fps=fps, limit=100)
        frames, lasts = ffmpeg.count_frames_and_secs(str(path))
        assert path.name == "video.mp4" and frames == 101 and lasts == pytest.approx(seconds, abs=0.05)


def test_a_film_without_an_end_is_cut(tmp_path, capsys, monkeypatch):
    drawn = []
    monkeypatch.setattr(video, "MOST_FRAMES", 30)
    for limit, frames, said in ((29, 30, ""), (10**9, 30, "scratchac: the film is cut after 30 frames\n")):
        assert len(video.render(Still(), Filmed, draw=grey, limit=limit)) == frames
        assert capsys.readouterr().err == said
    video.record(Still(), Filmed, tmp_path, draw=lambda t: drawn.append(t) or grey(t), limit=10**9)
    assert len(drawn) == 31 and list(tmp_path.glob("video.*"))


def test_a_film_that_fails_leaves_the_one_before(tmp_path):
    path = video.record(Still(), Filmed, tmp_path, draw=grey)
    before = path.read_bytes()
    with pytest.raises(EnvironmentFailed, match="the simulator broke"):
        video.record(Still(), lambda **_: Shown("raise"), tmp_path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


class Shown(Poison):
    def render(self):
        return grey(self.t)
