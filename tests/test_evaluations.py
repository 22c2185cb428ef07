"""Evaluation while an agent trains: it changes nothing in training, and keeps the best policy; it may end training early."""

import json
import shutil
import time
from types import SimpleNamespace

import gymnasium as gym
import numpy as np
import pytest
import values
from damage import same
from probes import Constant, summary_of

import scratchac
from scratchac.__main__ import main
from scratchac.errors import CheckpointError, UserError
from scratchac.experiments import conclusion, plots
from scratchac.experiments.evaluations import EPISODES, FIRST_SEED
from scratchac.experiments.reporter import Reporter
from scratchac.experiments.run import Run
from scratchac.training import evaluation

OFF = {"learning_starts": 50, "batch_size": 8, "buffer_size": 500, "hidden": (4,)}


class Drawing(Constant):
    """It draws from the global generator and from its action space, so that evaluations could change what training sees."""

    def __init__(self):
        super().__init__()
        self.action_space = gym.spaces.Discrete(2)

    def reset(self, **kwargs):
        super().reset(**kwargs)
        return np.float32([np.random.random() + self.action_space.sample()]), {}  # noqa: NPY002


@pytest.mark.parametrize("algorithm, env, options", [
    ("reinforce", "CartPole-v1", {"hidden": (4,)}),
    ("a2c", Drawing, {"hidden": (4,), "normalise_obs": True, "scale_rewards": True}),
    ("ppo", "CartPole-v1", {"hidden": (4,), "envs": 2, "rollout": 16, "batch_size": 16}), ("sac", "Pendulum-v1", OFF),
    ("td3", "Pendulum-v1", OFF)])
def test_training_is_the_same_with_evaluations(algorithm, env, options, monkeypatch):
    monkeypatch.setattr(evaluation, "LONGEST", 20)
    rows, plain = [], []
    evaluated = scratchac.train(algorithm, env, 300, eval_every=70, on_row=rows.append, **options)
    without = scratchac.train(algorithm, env, 300, on_row=plain.append, **options)
    assert sum(row["eval_mean"] != "" for row in rows) >= 4 and "eval_mean" not in plain[0]
    for name, x in without.state().items():
        assert values_equal(x, evaluated.state()[name]), name


def values_equal(x, y):
    if isinstance(x, dict):
        return x.keys() == y.keys() and all(values_equal(x[name], y[name]) for name in x)
    return np.array_equal(x, y)


@pytest.fixture(scope="module", autouse=True)
def no_pictures():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plots, "curves", lambda run, path: None)
        yield


LEARNING = {"env": "CartPole-v1", "steps": 3000, "seed": 1, "eval_every": 500, "hidden": (16,), "eval_episodes": 5, "envs": 4,
            "actor_lr": 1e-2, "critic_lr": 1e-2}


@pytest.fixture(scope="module")
def learnt(tmp_path_factory, no_pictures):
    path = tmp_path_factory.mktemp("evaluations") / "run"
    scratchac.train("a2c", out=path, **LEARNING)
    return path


def test_the_best_policy_is_the_one_of_the_best_evaluation(learnt):
    """It plays the same episodes again as well as then; on the seeds of the last evaluation both policies are reported apart."""
    table = Run.open(learnt).metrics()
    there = np.isfinite(table["eval_mean"])
    steps, means = table["step"][there], table["eval_mean"][there]
    assert len(steps) == 6 and steps[-1] == 3000 and all(0 <= step - 500 * i < 40 for i, step in enumerate(steps, start=1))
    assert np.isfinite(table["return_mean"][there]).all()                   # such a row has all that others have
    best, last, summary = scratchac.load(learnt, best=True), scratchac.load(learnt), summary_of(learnt)
    assert best.step == steps[means.argmax()] == summary["best_step"] and last.step == 3000
    again = scratchac.evaluate(best, "CartPole-v1", EPISODES, seed=FIRST_SEED)
    assert again.mean() == pytest.approx(means.max(), abs=1e-3)
    for agent, which in ((best, "best_eval"), (last, "eval")):
        returns = scratchac.evaluate(agent, "CartPole-v1", 5)
        assert summary[f"{which}_mean"] == returns.mean() and summary[f"{which}_std"] == returns.std()
        assert summary[f"{which}_episodes"] == 5


@pytest.mark.parametrize("killed", [False, True])
def test_a_resumed_run_has_the_same_evaluations_and_the_same_best_policy(killed, learnt, tmp_path):
    """Also if it was killed after an evaluation that the last checkpoint does not know."""
    path = tmp_path / "run"

    class Killer(scratchac.Callback):
        def on_row(self, agent, row):
            if row["eval_mean"] != "" and agent.step > 1900:
                raise MemoryError

    if killed:
        with pytest.raises(MemoryError):
            scratchac.train("a2c", out=path, callbacks=[Killer()], **LEARNING | {"checkpoint_every": 1200})
        assert scratchac.load(path).step < 1500 and (path / "best.npz").exists()
        rows = (path / "metrics.csv").read_text()
        assert int(rows.splitlines()[-1].split(",")[0]) > 1900
    else:
        scratchac.train("a2c", out=path, stop_after=1700, **LEARNING)
    scratchac.resume(path)
    same(learnt, path)
    assert (path / "best.npz").read_bytes() == (learnt / "best.npz").read_bytes()
    ours, theirs = summary_of(path), summary_of(learnt)
    assert {name: x for name, x in ours.items() if "_s" not in name} == {name: x for name, x in theirs.items() if "_s" not in name}


def test_training_ends_at_a_return_and_without_improvement(tmp_path, quick_end, capsys):
    options = {"hidden": (4,), "envs": 1, "rollout": 10, "eval_every": 100}
    assert scratchac.train("a2c", Constant, 1000, stop_at=5, **options).step == 100             # each episode pays 5
    assert scratchac.train("a2c", Constant, 1000, stop_at=5.1, **options).step == 1000
    path = tmp_path / "run"
    assert scratchac.train("a2c", Constant, 1000, patience=3, stop_at=6, out=path, quiet=False, **options).step == 400
    said = capsys.readouterr().err
    assert "step 100: evaluated without exploration, mean return 5.0 ± 0.0, the best so far\n" in said
    assert "step 400: evaluated without exploration, mean return 5.0 ± 0.0; training ends: no better one in 3 evaluations\n" in said
    assert summary_of(path)["steps"] == 400 and summary_of(path)["best_step"] == 100
    with pytest.raises(UserError, match="has finished its 400 steps"):
        scratchac.resume(path, env=Constant)
    assert scratchac.resume(path, 2000, env=Constant).step == 700           # extended, it has its patience anew


@pytest.mark.slow
def test_asynchronous_training_is_evaluated_no_more_after_its_end(capsys, tmp_path):
    """A3C's workers report what they had under way when it ended: that counts, and nothing is done with it."""
    calls = []
    agent = scratchac.train("a3c", Constant, 20_000, out=tmp_path / "run", eval_every=100, stop_at=5, hidden=(4,), envs=2,
                            quiet=False, on_row=lambda row: calls.append(row["step"]))
    said = capsys.readouterr().err
    assert said.count("training ends: the mean has reached 5") == 1 == said.count("evaluated without exploration")
    assert agent.step < 20_000 and calls[-1] == json.loads((tmp_path / "run/summary.json").read_text())["best_step"] <= agent.step


@pytest.mark.parametrize("elsewhere", [False, True])
def test_the_time_of_an_evaluation_counts_where_training_goes_on_meanwhile(elsewhere):
    class Slow:
        improved = enough = False

        def __call__(self, agent):
            time.sleep(0.05)
            return {}

    agent = scratchac.make_agent("reinforce", "CartPole-v1", hidden=(4,))
    with Reporter(None, agent, 100, quiet=True, evaluations=Slow()) as reporter:
        reporter.interaction, before = SimpleNamespace(elsewhere=elsewhere), reporter.started
        reporter.evaluate(agent)
    assert (reporter.started > before + 0.04) != elsewhere


def test_an_environment_that_fails_in_an_evaluation_does_not_end_training(tmp_path, capsys, quick_end):
    class Fails(Constant):
        def reset(self, *, seed=None, options=None):
            if seed in range(FIRST_SEED, FIRST_SEED + EPISODES):
                raise RuntimeError("on purpose")
            return super().reset(seed=seed)

    agent = scratchac.train("a2c", Fails, 400, out=tmp_path / "run", eval_every=200, hidden=(4,))
    assert agent.step == 400 and not (tmp_path / "run" / "best.npz").exists() and "best_step" not in summary_of(tmp_path / "run")
    assert "no evaluation at step 200" in capsys.readouterr().err


def test_an_environment_that_cannot_be_made_for_an_evaluation(tmp_path, capsys, quick_end):
    """After one that was possible, training goes on; a first one that is not is a mistake in the environment."""
    made = []

    def some():
        made.append(1)
        if len(made) > most:
            raise OSError("no more of them")
        return Constant()

    most = 15           # for the training, to look at the function, for one evaluation
    assert scratchac.train("a2c", some, 400, eval_every=100, hidden=(4,), envs=2).step == 400
    made.clear()
    most = 5
    with pytest.raises(UserError, match="cannot be made: OSError: no more of them"):
        scratchac.train("a2c", some, 400, eval_every=100, hidden=(4,), envs=2)
    assert "no evaluation at step 200: some cannot be made: OSError: no more of them; training goes on" in capsys.readouterr().err


def test_seconds_of_evaluation_are_not_counted_as_training(tmp_path, monkeypatch, quick_end):
    """By a clock that only evaluations move."""
    now = [0.0]

    def slow(*_, **__):
        now[0] += 100
        return np.zeros(1), 0

    monkeypatch.setattr(evaluation, "play", slow)
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    scratchac.train("a2c", Constant, 80, out=tmp_path / "run", eval_every=40, hidden=(4,))
    assert summary_of(tmp_path / "run")["wall_s"] == 0 and now[0] >= 200


@pytest.mark.parametrize("given, message", [
    ({"stop_at": 3}, "need"), ({"patience": 3}, "need"), ({"eval_every": 0}, "at least 1"), ({"eval_every": 1.5}, "whole number"),
    ({"eval_every": 10, "patience": 0}, "at least 1"), ({"eval_every": 10, "stop_at": float("nan")}, "finite number"),
    ({"eval_every": 10, "stop_at": "high"}, "finite number")])
def test_bad_plans(given, message, tmp_path):
    with pytest.raises(UserError, match=message):
        scratchac.train("a2c", Constant, 100, out=tmp_path / "run", **given)
    assert not (tmp_path / "run").exists()


def test_evaluations_do_not_play_in_the_environment_of_training(tmp_path):
    one = Constant()
    for env in (one, lambda: one):
        with pytest.raises(UserError, match=r"one environment, and more are needed|the same environment each time"):
            scratchac.train("a2c", env, 100, envs=1, eval_every=50, out=tmp_path / "run")
        assert not (tmp_path / "run").exists()


def test_best_policy_without_its_replay_buffer(tmp_path, quick_end, monkeypatch):
    monkeypatch.setattr(evaluation, "LONGEST", 20)
    path = tmp_path / "run"
    last = scratchac.train("discrete-sac", "CartPole-v1", 400, out=path, eval_every=200, **OFF | {"buffer_size": 400})
    best = scratchac.load(path, best=True)
    assert len(best.memory) == 0 and len(last.memory) == 400
    assert (path / "best.npz").stat().st_size < (path / "checkpoint.npz").stat().st_size / 2
    assert best.act(np.zeros((3, 4), np.float32), explore=True).shape == (3,)


# -- files that somebody else has made ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", [{"step": 1}, {"step": "x"}, {"mean": None}, {"std": -1}, {"episodes": 0}, {"more": 1}], ids=str)
def test_a_best_policy_that_nobody_has_saved_is_refused(change, learnt, tmp_path):
    path = tmp_path / "run"
    shutil.copytree(learnt, path)
    with np.load(path / "best.npz") as file:
        arrays = dict(file)
    manifest = json.loads(arrays.pop("manifest").tobytes())
    manifest["tree"]["dict"]["progress"]["dict"] |= change
    np.savez(path / "best.npz", manifest=np.frombuffer(json.dumps(manifest).encode(), np.uint8), **arrays)
    with pytest.raises(CheckpointError, match=r"best\.npz does not fit"):
        scratchac.load(path, best=True)


@pytest.mark.parametrize("entries", [{"eval_every": 0}, {"stop_at": "x"}, {"patience": -1}], ids=str)
def test_a_plan_that_nobody_has_saved_is_refused(entries, learnt, tmp_path):
    shutil.copytree(learnt, tmp_path / "run")
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    (tmp_path / "run" / "config.json").write_text(json.dumps(config | entries))
    with pytest.raises(UserError, match=r"config\.json cannot be read"):
        scratchac.load(tmp_path / "run")


@pytest.mark.parametrize("spoil", [{"next": 0}, {"without": -1}, {"best": {"dict": {"step": 1}}}, {"x": 1}], ids=str)
def test_evaluations_that_nobody_has_saved_are_refused(spoil, learnt, tmp_path):
    path = tmp_path / "run"
    shutil.copytree(learnt, path)
    values._rewrite(path, lambda manifest, _: manifest["tree"]["dict"]["progress"]["dict"]["evaluations"]["dict"].update(spoil))
    with pytest.raises(CheckpointError, match="does not fit the agent"):
        scratchac.load(path)


def test_a_damaged_best_policy_costs_nothing_but_its_evaluation(learnt, tmp_path, capsys):
    path = tmp_path / "run"
    shutil.copytree(learnt, path)
    (path / "summary.json").unlink()
    (path / "best.npz").write_bytes(b"nothing")
    assert scratchac.resume(path).step == 3000
    assert "the best policy is not evaluated: " in capsys.readouterr().err and summary_of(path)["eval_episodes"] == 5


def test_a_run_without_evaluations_has_no_best_policy(finished):
    with pytest.raises(CheckpointError, match=r"best\.npz does not exist: only a run that is evaluated as it trains"):
        scratchac.load(finished[0], best=True)
    assert "evaluations" not in Run.open(finished[0]).restore()[1] and "eval_every" not in Run.open(finished[0]).config


# -- on the command line -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_commands_say_what_came_out(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(conclusion, "EVALUATION_EPISODES", 3)
    words = ["a2c", "--env", "CartPole-v1", "--steps", "800", "--hidden", "4", "--no-video", "--backend", "numpy"]
    assert main(["train", *words, "--eval-every", "400", "--out", "run"]) == 0
    came = capsys.readouterr()
    last, *_ = lines = came.out.splitlines()
    summary = summary_of(tmp_path / "run")
    assert last == f"last policy, of step 800: mean return {summary['eval_mean']:.1f} ± {summary['eval_std']:.1f} over 3 episodes"
    assert lines[1].startswith(f"best policy, of step {summary['best_step']}: mean return {summary['best_eval_mean']:.1f}")
    assert lines[2] == "next: scratchac evaluate run" and "scratchac evaluate run --best" in came.out and lines[-1] == "run"
    assert "evaluating the last policy over 3 episodes" in came.err
    assert f"step 800: evaluated without exploration, mean return {Run.open('run').metrics()['eval_mean'][-1]:.1f}" in came.err
    assert main(["train", *words, "--eval-every", "80", "--stop-at", "1", "--patience", "3", "--quiet", "--out", "quiet"]) == 0
    assert capsys.readouterr().out == "quiet\n" and summary_of(tmp_path / "quiet")["steps"] == 80      # what a script reads
    assert main(["train", *words, "--stop-after", "400", "--out", "half"]) == 0
    assert capsys.readouterr().out == "stopped at step 400 and saved\nnext: scratchac resume half\nhalf\n"
    assert main(["resume", "half", "--no-video"]) == 0
    assert capsys.readouterr().out.startswith("last policy, of step 800: ")


def test_commands_take_the_best_policy(learnt, tmp_path, capsys):
    path = tmp_path / "run"
    shutil.copytree(learnt, path)
    assert main(["evaluate", str(path), "--best", "--episodes", "5", "--json", "--quiet"]) == 0
    seen, summary = json.loads(capsys.readouterr().out), summary_of(path)
    assert (seen["policy"], seen["step"], seen["mean"]) == ("best", summary["best_step"], summary["best_eval_mean"])
    assert main(["export", str(path), "--best"]) == 0 and main(["video", str(path), "--best"]) == 0
    assert (path / "best.html").exists() and any((path / f"best.{kind}").exists() for kind in ("gif", "mp4"))
    assert f"{summary['best_step']:,} steps" in (path / "best.html").read_text() and not (path / "policy.html").exists()
