"""Values in a run's folder that nobody has saved: each is refused in one line, before anything is restored or written."""

import json
import shutil

import numpy as np
import pytest
import values

import scratchac
from scratchac.__main__ import main
from scratchac.algorithms.saving import MOST_LOG
from scratchac.errors import CheckpointError, UserError
from scratchac.experiments import plots
from scratchac.experiments.run import Run
from scratchac.experiments.schema import FIRST_COLUMNS, metrics_from
from scratchac.kinds import Array, Generator, Number, OneOf, Text, Whole
from scratchac.tools.sweep import Sweep


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return values.make(tmp_path_factory.mktemp("values"), ["reinforce", "discrete-sac"])


@pytest.fixture
def run(made, tmp_path):
    shutil.copytree(made["discrete-sac"], tmp_path / "run")
    return tmp_path / "run"


def refused(run, capsys, commands=("evaluate", "resume")):
    """The one line by which each of the commands refuses a run without changing it."""
    before = values._contents(run)
    for command in commands:
        assert main([command, str(run), *([] if command == "plot" else ["--quiet"])]) == 2
        said = capsys.readouterr().err
        assert said.startswith("scratchac: ") and len(said.splitlines()) == 1 and values._contents(run) == before
    return said


# -- any value -------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_some_altered_values(made):
    """Of 8 alterations some are refused and some are harmless; none does anything else."""
    seen = values.alter(made, 8)
    assert {outcome for _, outcome in seen} >= {"refused", "done"}


@pytest.mark.slow
def test_many_altered_values(tmp_path):
    pytest.importorskip("pettingzoo")
    pytest.importorskip("Box2D")
    everything = values.make(tmp_path)
    for path in everything.values():
        shutil.copytree(path, tmp_path / "whole")
        assert [values._outcome(command, tmp_path / "whole") for command in ("evaluate", "plot", "resume")] == ["done"] * 3
        shutil.rmtree(tmp_path / "whole")
    seen = values.alter(everything, 40, seed=1)
    assert {(what, "refused") for what in values.ALTER} <= seen.keys()


def test_what_is_altered_badly_would_be_noticed(made, monkeypatch):
    """Without the check of the state, an alteration of the sums of metrics ends in another error."""
    monkeypatch.setattr("scratchac.experiments.restoring.check_state", lambda *_: None)
    monkeypatch.setattr(values, "ALTER", {"manifest": values._manifest})
    with pytest.raises(AssertionError, match="raised"):
        values.alter(made, 1, first=25)


# -- config.json -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("entries, message", [
    ({"seed": -1}, "config.seed is -1, not a whole number of at least 0"), ({"seed": True}, "config.seed is True"),
    ({"checkpoint_every": "100"}, "config.checkpoint_every is '100', not a whole number of at least 1"),
    ({"env": "\ud800"}, r"config.env is '\ud800', not text in one line"), ({"vector": "both"}, "not 'sync' or 'async'"),
    ({"more": 1}, "config has 'more', which this version does not know"), ({"resumed": [[1]]}, "config.resumed.0 is a list of 1"),
    ({"env_args": {"x": {"a tuple": 1}}}, "cannot be read"), ({"env_args": {"x": ["\udfff"]}}, "surrogates"),
    ({"env_args": {"seed": 1}}, "env_args cannot have the name seed"), ({"env_args": {"a dict": [[1, 2]]}}, "config.env_args"),
], ids=str)
def test_config(entries, message, run, capsys):
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps(config | entries))
    assert message in refused(run, capsys, ("evaluate", "resume", "plot"))


@pytest.mark.parametrize("space", [
    {"kind": "Box", "low": [], "high": [], "dtype": "float32"}, {"kind": "Picture", "shape": [0, 16, 16]},
    {"kind": "Picture", "shape": [10**6] * 3}, {"kind": "MultiBinary", "n": 10**12}, {"kind": "Discrete", "n": 10**30, "start": 0},
    {"kind": "Box", "low": ["x"], "high": [1], "dtype": "float32"}, {"kind": "Tuple", "parts": 3}, {"kind": "Text"}], ids=str)
@pytest.mark.parametrize("name", ["observation_space", "action_space"])
def test_spaces(name, space, run, capsys):
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps(config | {name: space}))
    values._rewrite(run, lambda manifest, arrays: manifest.update({name: space}))
    refused(run, capsys)


def test_networks_that_the_checkpoint_cannot_fill_are_not_made(run, capsys):
    """To initialise networks of that size takes minutes."""
    config = json.loads((run / "config.json").read_text())
    config["hyperparameters"]["hidden"] = [10_000, 10_000]
    (run / "config.json").write_text(json.dumps(config))
    assert "fewer numbers than networks with [10000, 10000] hidden units" in refused(run, capsys)


# -- checkpoint.npz --------------------------------------------------------------------------------------------------------


def in_tree(part, *path, value):
    def change(manifest, arrays):
        node = manifest["tree"]["dict"][part]["dict"]
        for key in path[:-1]:
            node = node[key]
        node[path[-1]] = value
    return change


def in_array(name, value):
    def change(manifest, arrays):
        arrays[name] = arrays[name].copy()
        arrays[name].flat[0] = value
    return change


PAST = "envs", 0, "dict"


@pytest.mark.parametrize("change, message", [
    (in_tree("progress", "target", value=2**70), "progress.target is 1180591620717411303424"),
    (in_tree("progress", "next_row", value=10**9), "progress.next_row is 1000000000, not a whole number from 1 to 400"),
    (in_tree("progress", "wall_s", value=float("nan")), "progress.wall_s is nan"),
    (in_tree("progress", "sums", "dict", value={"x": [1, 2]}), "progress.sums.x.0 is 1, not an array"),
    (in_tree("progress", "more", value=1), "progress has 'more'"),
    (in_tree("interaction", "since_update", value="1"), "interaction.since_update is '1'"),
    (in_tree("interaction", "new_episodes", value=True), "interaction has 'new_episodes'"),
    (in_tree("interaction", *PAST, "seed", value=-1), "interaction.envs.0.seed is -1"),
    (in_tree("interaction", "envs", value=[]), "interaction.envs is a list of 0, not a list of 1"),
    (in_tree("interaction", "promises", value=None), "interaction.promises is None, not a dict"),
    (in_tree("agent", "step", value=-5), "agent.step is -5"),
    (in_tree("agent", "rng", "dict", "bit_generator", value="MT19937"), "agent.rng is a dict"),
    (in_array("interaction.episodes.lengths", -1), "interaction.episodes.lengths has numbers from -1"),
    (in_array("interaction.episodes.returns", np.nan), "interaction.episodes.returns has numbers from nan"),
    (in_array("agent.memory.actions", 2), "agent.memory.actions has numbers from 0 to 2, not finite ones from 0 to 1"),
    (in_array("agent.log_alpha", MOST_LOG + 100), "agent.log_alpha has numbers from 800"),
    (in_array("agent.actor_optimiser.v", -1), "agent.actor_optimiser.v has numbers from -1"),
    (in_array("agent.actor", np.inf), "agent.actor has numbers from"),
], ids=lambda x: x if isinstance(x, str) else "")
def test_checkpoints(change, message, run, capsys):
    values._rewrite(run, change)
    assert message in refused(run, capsys)


@pytest.mark.parametrize("name", ["agent", "progress", "interaction"])
def test_a_tree_without_a_part(name, run, capsys):
    values._rewrite(run, lambda manifest, arrays: manifest["tree"]["dict"].pop(name))
    assert f"tree has no {name}" in refused(run, capsys)


@pytest.mark.slow
def test_generators_of_another_kind_begin_a_new_episode(run, capsys):
    """The state is one of NumPy's, but not of the environment's own generator."""
    other = json.loads(json.dumps(np.random.PCG64DXSM(0).state))
    values._rewrite(run, in_tree("interaction", *PAST, "seed", value=None))
    values._rewrite(run, in_tree("interaction", *PAST, "before", value=[{"dict": other | {"state": {"dict": other["state"]}}}]))
    assert scratchac.resume(run, 210, eval_episodes=0).step == 210
    assert "the same actions do not restore environment 0; it begins a new episode" in capsys.readouterr().err


@pytest.mark.parametrize("moves", [[0, 0], [0, 3, 1, 4, 2], [0]], ids=["illegal", "over", "another's turn"])
def test_moves_of_no_game_under_way(moves, tmp_path, capsys):
    pytest.importorskip("pettingzoo")
    path = values.make(tmp_path, ["games"])["games"]

    def change(manifest, arrays):
        manifest["tree"]["dict"]["interaction"]["dict"]["envs"]["dict"]["moves"][0] = moves
        arrays["interaction.envs.side"][0] = 0

    values._rewrite(path, change)
    assert "the checkpoint's episodes cannot be continued" in refused(path, capsys, ["resume"])


# -- metrics.csv -----------------------------------------------------------------------------------------------------------

ROWS = [",".join([*FIRST_COLUMNS, "alpha"]) + "\r\n", "10,0,,,0.1,nan\r\n", "20,1,-3,5,0.2,inf\r\n"]


def test_metrics_are_read():
    read = metrics_from(ROWS)
    assert list(read) == [*FIRST_COLUMNS, "alpha"] and read["step"].tolist() == [10, 20]
    assert np.isnan(read["return_mean"][0]) and read["return_mean"][1] == -3 and read["alpha"][1] == np.inf


@pytest.mark.parametrize("row, old, new, message", [
    (0, "step", "steps", "its columns are not"), (0, "alpha", "wall_s", "its columns are not"),
    (0, "alpha", "a b", "column is 'a b'"),
    (1, "10", "30", "the step in line 3 is 20, not a whole number of at least 30"), (1, "10", "1e1", "the step in line 2 is '1e1'"),
    (1, "10", "", "the step in line 2 is ''"), (1, "0.1", "x", "could not convert"), (1, ",nan", "", "line 2 has 5 cells"),
    (2, "-3", "1e200", "line 3 has the number 1e[+]200"),
])
@pytest.mark.parametrize("command", ["plot", "resume"])
def test_metrics(command, row, old, new, message, run, capsys):
    lines = [line.replace(old, new, 1) if i == row else line for i, line in enumerate(ROWS)]
    (run / "metrics.csv").write_text("".join(lines), newline="")
    with pytest.raises(UserError, match=message):
        Run.open(run).metrics()
    assert "metrics.csv cannot be read: " in refused(run, capsys, [command])


@pytest.mark.slow
def test_plots_of_runs_without_a_finished_episode(run, made, tmp_path):
    """Alone, side by side, and beside one with finished episodes: what is there is drawn."""
    (run / "metrics.csv").write_text("".join([*ROWS[:2], "20,0,,,0.2,0.5\r\n"]), newline="")
    plots.curves(Run.open(run), tmp_path / "one.png")
    plots.compare([run, run], tmp_path / "two.png")
    plots.compare([run, made["reinforce"]], tmp_path / "three.png")


@pytest.mark.slow
def test_a_sweep_whose_runs_finish_no_episode(tmp_path):
    choices = {"learning_starts": [20], "batch_size": [8], "hidden": [(4,)]}
    sweep = Sweep("sac", "Pendulum-v1", [0, 1], choices, tmp_path / "sweep", jobs=1, steps=60, backend="numpy",
                  env_args={"max_episode_steps": 100})
    sweep.run(quiet=True)
    assert (tmp_path / "sweep" / "sweep.png").exists()


# -- kinds -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind, right, wrong", [
    (Whole(1, 3), [1, 3], [0, 4, True, 2.0, "2", None, np.int64(2)]),
    (Number(0), [0, 1.5], [-1, float("nan"), 10**400, True, "1"]),
    (Text(), ["é"], ["", "\n", "\ud800", 1]), (OneOf((None, 1)), [None, 1], [True, 1.0, 0]),
    (Array("float32", (None, 2), 0, 1, longest=2), [np.ones((2, 2), np.float32), np.ones((0, 2), np.float32)],
     [np.ones((3, 2), np.float32), np.ones((2, 2)), np.ones((2, 2), ">f4"), np.full((1, 2), 2, np.float32), [[1.0, 1.0]]]),
    (Generator(), [getattr(np.random, name)(0).state for name in ("PCG64", "PCG64DXSM", "MT19937", "SFC64", "Philox")],
     [{}, {"bit_generator": []}, np.random.PCG64(0).state | {"has_uint32": -1}, np.random.Philox(0).state | {"buffer_pos": 5},
      {"bit_generator": "MT19937", "state": np.random.MT19937(0).state["state"] | {"pos": 625}}]),
], ids=lambda x: type(x).__name__)
def test_kinds(kind, right, wrong):
    for value in right:
        kind.check(value, "it")
    for value in wrong:
        with pytest.raises(ValueError, match="it"):
            kind.check(value, "it")


def test_messages_are_short(run):
    values._rewrite(run, in_tree("interaction", "since_update", value="\n" * 10**6))
    with pytest.raises(CheckpointError) as caught:
        scratchac.load(run)
    assert len(str(caught.value)) < 400 and "\n" not in str(caught.value)
