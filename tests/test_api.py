"""The library as a program or a notebook uses it: callbacks, agents that are saved, an environment as an object."""


import gymnasium as gym
import numpy as np
import pytest
from probes import Constant, summary_of

import scratchac
from scratchac.__main__ import main
from scratchac.algorithms.a2c import A2C, Config
from scratchac.environments.instance import maker_of
from scratchac.environments.make import made_as, name_of
from scratchac.errors import EnvironmentFailed, UserError
from scratchac.experiments import plots, session
from scratchac.experiments.run import Run
from scratchac.experiments.settings import grouped
from scratchac.tools.export import export

SMALL = {"hidden": (4,), "envs": 1, "rollout": 10}


def parameters(agent):
    return agent.state()["parameters"]


def test_dir_lists_the_api():
    assert {"train", "resume", "load", "evaluate", "make_agent", "Callback"} <= set(dir(scratchac)) == set(scratchac.__all__)
    assert all(getattr(scratchac, name) is not None for name in dir(scratchac))


# -- callbacks ---------------------------------------------------------------------------------------------------------------


class Diary(scratchac.Callback):
    """Writes down what it is told of, and ends training with what `end` names."""

    def __init__(self, end=""):
        self.said, self.end, self.steps = [], end, 0

    def tell(self, name, agent, *what):
        self.steps = agent.step
        self.said.append((name, *what))
        return name == self.end

    def on_start(self, agent, folder):
        return self.tell("start", agent, folder)

    def on_episode(self, agent, total, length):
        return self.tell("episode", agent, total, length)

    def on_row(self, agent, row):
        return self.tell("row", agent, row["step"])

    def on_checkpoint(self, agent, path):
        return self.tell("checkpoint", agent, path)

    def on_end(self, agent):
        self.tell("end", agent)


def test_callbacks_are_told_of_everything_in_its_order(tmp_path, quick_end):
    path, diary, rows = tmp_path / "run", Diary(), []
    scratchac.train("a2c", lambda: Constant(limit=7), 40, out=path, callbacks=[diary], on_row=rows.append, checkpoint_every=20,
                    **SMALL)
    checkpoint = path / "checkpoint.npz"
    assert diary.said == [
        ("start", path), ("episode", 7.0, 7), ("row", 10), ("episode", 7.0, 7), ("row", 20), ("checkpoint", checkpoint),
        ("episode", 7.0, 7), ("episode", 7.0, 7), ("row", 30), ("episode", 7.0, 7), ("row", 40), ("checkpoint", checkpoint),
        ("end",)]
    assert [row["step"] for row in rows] == [10, 20, 30, 40]


@pytest.mark.parametrize("end, steps", [("start", 10), ("episode", 10), ("row", 10), ("checkpoint", 20), ("end", 40)])
def test_callbacks_may_end_training(end, steps, tmp_path, quick_end):
    path, diary = tmp_path / "run", Diary(end)
    agent = scratchac.train("a2c", Constant, 40, out=path, callbacks=[Diary(), diary], checkpoint_every=20, **SMALL)
    assert agent.step == diary.steps == steps == summary_of(path)["steps"] and diary.said[-1] == ("end",)
    with pytest.raises(UserError, match=f"has finished its {steps} steps"):
        scratchac.resume(path, env=Constant)


def test_callbacks_of_a_resumed_run(tmp_path, quick_end):
    path, diary = tmp_path / "run", Diary()
    scratchac.train("a2c", Constant, 40, out=path, stop_after=20, **SMALL)
    scratchac.resume(path, env=Constant, callbacks=[diary])
    assert [what for what in diary.said if what[0] == "row"] == [("row", 30), ("row", 40)]
    assert sum(what[0] == "episode" for what in diary.said) == 4


def test_the_end_comes_after_an_error_too():
    class Fails(Constant):
        def step(self, action):
            raise RuntimeError("on purpose")

    diary = Diary()
    with pytest.raises(EnvironmentFailed):
        scratchac.train("a2c", Fails, 40, callbacks=[diary], **SMALL)
    assert diary.said == [("start", None), ("end",)]


@pytest.mark.parametrize("given", [print, [print], [Diary], Diary(), {}, None],
                         ids=["function", "functions", "classes", "no list", "mapping", "nothing"])
def test_what_is_no_callback(given):
    with pytest.raises(UserError, match=r"callbacks must be a list of objects of subclasses of scratchac\.Callback"):
        scratchac.train("a2c", Constant, 40, callbacks=given)


# -- agents ------------------------------------------------------------------------------------------------------------------


def test_an_agent_in_words():
    agent = scratchac.train("a2c", "CartPole-v1", 40, **SMALL)
    assert repr(agent) == "<A2C on CartPole-v1: 40 of 40 steps, hidden layers [4]>"


@pytest.mark.parametrize("algorithm, env, options", [
    ("a2c", "CartPole-v1", SMALL | {"normalise_obs": True}),
    ("sac", "Pendulum-v1", {"hidden": (4,), "learning_starts": 20, "batch_size": 8, "buffer_size": 100})])
def test_a_saved_agent_is_loaded_evaluated_and_trained_on(algorithm, env, options, tmp_path, capsys, quick_end):
    agent = scratchac.train(algorithm, env, 60, **options)
    path = agent.save(tmp_path / "kept")
    again = scratchac.load(path)
    obs = np.random.default_rng(0).standard_normal((5, *agent.observation_shape)).astype(np.float32)
    np.testing.assert_array_equal(again.act(obs, explore=False), agent.act(obs, explore=False))
    assert again.step == agent.step and repr(again) == repr(agent)
    assert again.save(tmp_path / "twice").exists()
    assert main(["evaluate", str(path), "--episodes", "1", "--quiet"]) == 0 and f"{algorithm} on {env}" in capsys.readouterr().out
    assert scratchac.resume(path, 120).step == 120
    summary = summary_of(path)                              # the rate is of the steps that it has taken since
    assert summary["steps_per_s"] == pytest.approx(60 / summary["wall_s"])
    with pytest.raises(UserError, match="exists already"):
        agent.save(path)


def test_an_untrained_agent_is_saved_and_one_without_environment_is_not(tmp_path):
    agent = scratchac.make_agent("a2c", "CartPole-v1", hidden=8)
    assert agent.config.hidden == (8,)
    np.testing.assert_array_equal(parameters(scratchac.load(agent.save(tmp_path / "kept"))), parameters(agent))
    alone = A2C(Config(hidden=(8,)), agent.observation_space, gym.spaces.Discrete(2))
    assert repr(alone).startswith("<A2C: 0 of ")
    with pytest.raises(UserError, match="know their environment"):
        alone.save(tmp_path / "alone")
    assert not (tmp_path / "alone").exists()


# -- an environment as an object ---------------------------------------------------------------------------------------------


def test_one_environment_as_an_object(tmp_path, quick_end):
    made = gym.make("CartPole-v1")
    options = SMALL | {"seed": 3, "actor_lr": 1e-2}
    agent = scratchac.train("a2c", made, 200, out=tmp_path / "run", **options)
    np.testing.assert_array_equal(parameters(agent), parameters(scratchac.train("a2c", "CartPole-v1", 200, **options)))
    np.testing.assert_array_equal(scratchac.evaluate(agent, made, 3), scratchac.evaluate(agent, "CartPole-v1", 3))
    assert Run.open(tmp_path / "run").config["env"] == "CartPole-v1"
    assert summary_of(tmp_path / "run")["eval_episodes"] == 1               # the evaluation at the end plays in it, too
    assert scratchac.make_agent("a2c", made).config == scratchac.make_agent("a2c", "CartPole-v1").config
    made.reset(seed=0)                                                      # it has not been closed
    made.step(0)


@pytest.mark.parametrize("made, name", [
    (lambda: gym.make("Pendulum-v1"), "Pendulum-v1"), (lambda: gym.make("Pendulum-v1", g=3.0), "Pendulum-v1(g=3.0)"),
    (lambda: gym.make("Pendulum-v1", render_mode="rgb_array", max_episode_steps=50), "Pendulum-v1(max_episode_steps=50)"),
    (lambda: gym.wrappers.RescaleAction(gym.make("Pendulum-v1", g=3.0), -1, 1), "RescaleAction(Pendulum-v1(g=3.0))"),
    (lambda: gym.wrappers.RecordEpisodeStatistics(gym.wrappers.TimeLimit(gym.make("Pendulum-v1"), 9)),
     "Pendulum-v1(max_episode_steps=9)"),
    (lambda: Constant(), "Constant"), (lambda: gym.Wrapper(Constant()), "Wrapper(Constant)"),
    (lambda: gym.make_vec("Pendulum-v1", 2, "sync", g=3.0), "Pendulum-v1(g=3.0)"),
    (lambda: gym.make_vec("Pendulum-v1", 2, "sync", wrappers=[gym.wrappers.TimeAwareObservation]),
     "TimeAwareObservation(Pendulum-v1)"),
    (lambda: gym.make("LunarLanderContinuous-v3"), "LunarLanderContinuous-v3"),
])
def test_the_name_of_an_object_tells_it_from_others_of_its_id(made, name):
    env = maker_of(made())
    assert env.full_name == name and made_as(env) == (None if name == name_of(env) else name)


def test_a_run_on_an_object_is_not_one_on_its_id(tmp_path, quick_end):
    """config.json says what it is; a page would have other physics, and a picture would put the runs together."""
    agents = {}
    for name, arguments in ("heavy", {}), ("light", {"g": 3.0}):
        agents[name] = scratchac.train("ppo", gym.make("Pendulum-v1", **arguments), 64, out=tmp_path / name, envs=1, rollout=32,
                                       batch_size=32, hidden=(4,))
    runs = [Run.open(tmp_path / name) for name in agents]
    assert [run.config.get("made_as") for run in runs] == [None, "Pendulum-v1(g=3.0)"]
    assert list(grouped(runs)["Pendulum-v1"]) == ["made as = Pendulum-v1", "made as = Pendulum-v1(g=3.0)"]
    assert export(tmp_path / "heavy").exists()
    with pytest.raises(UserError, match=r"Pendulum-v1\(g=3.0\) has no page"):
        export(tmp_path / "light")
    scratchac.resume(tmp_path / "light", 128, env=gym.make("Pendulum-v1", g=5.0))
    assert Run.open(tmp_path / "light").config["resumed"] == [[64, "Pendulum-v1(g=5.0)"]]


def test_an_object_with_running_statistics_has_no_run(tmp_path):
    """Whoever loads the run has another environment, with other statistics. In the object itself they go on."""
    made = gym.wrappers.NormalizeObservation(Constant())
    with pytest.raises(UserError, match="Constant has a NormalizeObservation, whose running statistics begin anew"):
        scratchac.train("a2c", made, 40, out=tmp_path / "run", envs=1, hidden=(4,))
    assert scratchac.train("a2c", made, 40, envs=1, hidden=(4,)).step == 40


def test_an_object_has_no_arguments_of_a_preset_which_is_told(capsys, monkeypatch):
    """Of the continuous lander's preset, where the object is the other lander."""
    monkeypatch.setattr("scratchac.experiments.session.in_notebook", lambda: False)
    for made, told in (gym.make("LunarLander-v3"), True), (gym.make("LunarLander-v3", continuous=True), False):
        session.meant("sac", maker_of(made), None, quiet=False)
        assert ("the preset of sac for LunarLander-v3 is for continuous=True, and this one is made already" in
                capsys.readouterr().err) == told


def test_an_object_where_more_environments_are_needed():
    one = Constant()
    with pytest.raises(UserError, match="this Constant is one environment, and more are needed here"):
        scratchac.train("a2c", one, 40, envs=2, hidden=(4,))
    with pytest.raises(UserError, match=r"made already, so it takes no arguments \(limit\)"):
        scratchac.train("a2c", one, 40, env_args={"limit": 3}, **SMALL)


# -- curves.png --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [{"video": True}, {"checkpoint_every": 50}, {"eval_episodes": 3}, {"log": "tensorboard"}],
                         ids=str)
def test_what_needs_a_folder_is_refused_without_one(given):
    with pytest.raises(UserError, match=r"needs a folder for the run \(out\)"):
        scratchac.train("a2c", "CartPole-v1", 100, **given)


def test_arguments_of_an_environment_that_make_has_for_itself_are_refused():
    with pytest.raises(UserError, match="training"):
        scratchac.evaluate(scratchac.make_agent("a2c", "CartPole-v1"), "CartPole-v1", 1, training=True)


def test_curves(finished, tmp_path, monkeypatch):
    """The return has the largest panel, evaluations are points in it, and no axis has a factor beside it."""
    drawn = []
    monkeypatch.setattr(plots, "save", lambda figure, path: drawn.append(figure))
    run = Run.open(finished[0])
    metrics = run.metrics()
    n = len(metrics["step"])
    metrics |= {"step": metrics["step"] * 1000, "critic_loss": 1e7 + np.arange(n), "eval_std": np.ones(n),
                "eval_mean": np.where(np.arange(n) == 7, 321.0, np.nan)}
    monkeypatch.setattr(run, "metrics", lambda: metrics)
    plots.curves(run, tmp_path / "curves.png")
    figure, = drawn
    figure.canvas.draw()
    first, *others = figure.axes
    sizes = [ax.get_position().width * ax.get_position().height for ax in figure.axes]
    assert first.get_title(loc="left").startswith("return") and sizes[0] > 2 * max(sizes[1:]) and len(others) == 3
    point = first.containers[0].lines[0]
    assert point.get_xdata().tolist() == [metrics["step"][7]] and point.get_ydata().tolist() == [321]
    for ax in figure.axes:
        for axis in (ax.xaxis, ax.yaxis):
            assert axis.get_offset_text().get_text() == "" and "e+" not in "".join(x.get_text() for x in axis.get_ticklabels())
    assert [x.get_text() for x in first.get_xticklabels()][:3] == ["0", "0.3M", "0.6M"]
