"""The evaluation at the end of a run: how many episodes, how many steps."""

import json

import numpy as np
import pytest
from gymnasium.envs.classic_control import CartPoleEnv
from probes import Breaking, Constant, summary_of

import scratchac
from scratchac.__main__ import main
from scratchac.environments.vector import VectorEnv
from scratchac.errors import EnvironmentFailed, UserError
from scratchac.experiments import plots
from scratchac.experiments.run import Run
from scratchac.training import evaluation


class Lengths(Constant):
    """Episode i, by its seed, has 3 steps if i is even and otherwise 40."""

    def reset(self, *, seed=None, options=None):
        self.limit = self.limit if seed is None else 40 if seed % 2 else 3
        return super().reset(seed=seed)


@pytest.mark.slow
def test_the_number_of_episodes_is_kept_and_can_be_changed(tmp_path, capsys, terminal):
    path = tmp_path / "run"
    with pytest.raises(UserError, match=r"eval_episodes must be a whole number in .*, not -1"):
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
    with pytest.raises(UserError, match=r"config\.eval_episodes is 'many', not a whole number"):
        scratchac.resume(path, 300, env=Constant)


def test_a_run_without_an_evaluation(tmp_path):
    path = tmp_path / "run"
    scratchac.train("reinforce", Breaking, 5, out=path, hidden=(4,), eval_episodes=0)       # its tenth step would fail
    assert summary_of(path)["eval_episodes"] == 0 and "eval_mean" not in summary_of(path)
    assert (path / "curves.png").exists()
    with pytest.raises(UserError, match="has finished its 5 steps"):
        scratchac.resume(path, env=Breaking)


@pytest.mark.slow
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


@pytest.mark.slow
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


def test_environments_are_closed_also_where_one_of_them_cannot_be_made():
    counts = {"made": 0, "closed": 0}

    class Counted(Constant):
        def __init__(self):
            counts["made"] += 1
            if counts["made"] == most:
                raise RuntimeError("no")
            super().__init__()

        def close(self):
            counts["closed"] += 1

    agent = scratchac.make_agent("a2c", Constant, hidden=(4,))
    for most, act in ((0, lambda: scratchac.evaluate(agent, Counted, 4)), (4, lambda: scratchac.evaluate(agent, Counted, 10)),
                      (5, lambda: VectorEnv(Counted, 8, 0).reset()), (2, lambda: VectorEnv(Counted, 8, 0))):
        counts.update(made=0, closed=0)
        if most:
            with pytest.raises(UserError, match="cannot be made"):
                act()
            counts["made"] -= 1
        else:
            act()
        assert counts["made"] == counts["closed"], most


def test_a_picture_that_fails_does_not_cost_the_evaluation(tmp_path, monkeypatch, capsys, quick_end):
    def fails(*_):
        raise RuntimeError("no font")

    monkeypatch.setattr(plots, "curves", fails)
    scratchac.train("reinforce", Constant, 50, out=tmp_path / "run", hidden=(4,))
    assert "eval_mean" in summary_of(tmp_path / "run") and "no curves: no font" in capsys.readouterr().err


def test_explore_is_a_truth_value():
    with pytest.raises(UserError, match="explore is true or false, not 'no'"):
        scratchac.evaluate(scratchac.make_agent("a2c", Constant), Constant, 2, explore="no")
    for name in ("randomise", "video", "quiet"):            # NumPy's cannot be written into config.json
        with pytest.raises(UserError, match=f"{name} is true or false"):
            scratchac.train("a2c", Constant, 40, **{name: np.True_})


def test_observations_that_are_not_finite_are_an_error():
    class Lost(Constant):
        def step(self, action):
            obs, *rest = super().step(action)
            return obs * np.nan, *rest

    agent = scratchac.make_agent("a2c", Constant)
    with pytest.raises((UserError, EnvironmentFailed), match="not finite"):
        scratchac.evaluate(agent, Lost, 2)
    with pytest.raises(UserError, match="not finite"):
        agent.act([np.nan])
    with pytest.raises(UserError, match="observations are numbers of shape"):
        agent.act([[1], [1, 2]])


def test_an_evaluation_that_fails_says_that_the_training_is_saved(tmp_path, quick_end):
    path, one = tmp_path / "run", Constant()
    with pytest.raises(EnvironmentFailed, match=r"^all 4 steps are saved, not evaluated: environment 0 at step 5 of its episode"):
        scratchac.train("actor-critic", Breaking, 4, out=path, hidden=(4,), eval_episodes=12)
    assert scratchac.load(path).step == 4
    with pytest.raises(UserError, match=r"^all 5 steps are saved, not evaluated: <lambda> gives the same environment each time"):
        scratchac.train("reinforce", lambda: one, 5, out=tmp_path / "one", hidden=(4,), eval_episodes=2)
    scratchac.resume(tmp_path / "one", env=Constant)
    assert summary_of(tmp_path / "one")["eval_mean"] == 5


def test_what_stopped_is_told(tmp_path, capsys, monkeypatch, quick_end):
    """Of a run whose environment fails once it is trained."""
    assert main(["train", "a2c", "--env", "CartPole-v1", "--steps", "40", "--quiet", "--no-video", "--hidden", "4", "--out",
                 str(tmp_path / "run")]) == 0
    monkeypatch.setattr(CartPoleEnv, "step", lambda env, action: len(action))
    for command, words in ((["evaluate", "--quiet"], "the evaluation stopped: "), (["video"], "the film stopped: "),
                           (["resume", "--quiet", "--steps", "80", "--no-video"], "training stopped: ")):
        assert main([command[0], str(tmp_path / "run"), *command[1:]]) == 1
        assert f"\nscratchac: {words}environment 0 at " in f"\n{capsys.readouterr().err}"
