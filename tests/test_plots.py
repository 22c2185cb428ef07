"""Pictures of runs: which runs are one line, where a line begins and ends, and which file is replaced."""

import json

import numpy as np
import pytest
from matplotlib.figure import Figure

from scratchac import style
from scratchac.__main__ import main
from scratchac.errors import UserError
from scratchac.experiments import checkpoints, plots, settings, versus
from scratchac.experiments.run import Run

CONFIG = {"algorithm": "a2c", "env": "CartPole-v1", "env_is_callable": False, "seed": 0, "backend": "numpy", "vector": "sync",
          "randomise": False, "env_args": {}, "hyperparameters": {"lam": 0.9, "hidden": [64, 64], "steps": 400},
          "observation_space": {"kind": "Box"}, "action_space": {"kind": "Discrete"}}
ENDED = "step,episodes,return_mean,length_mean,wall_s\r\n100,0,,,1\r\n200,1,{0},9,2\r\n400,2,{1},9,3\r\n"
NONE = "step,episodes,return_mean,length_mean,wall_s\r\n100,0,,,1\r\n400,0,,,2\r\n"


@pytest.fixture
def make(tmp_path):
    """Makes the folder of a run as others do, without training; returns its path."""
    def made(name, rows=None, final=None, **changes):
        chosen = {key: changes.pop(key) for key in ("lam", "hidden", "steps") if key in changes}
        hyperparameters = CONFIG["hyperparameters"] | chosen
        folder = tmp_path / name
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps(CONFIG | {"hyperparameters": hyperparameters} | changes))
        (folder / "metrics.csv").write_text(rows or ENDED.format(10, 20), newline="")
        if final is not None:
            (folder / "summary.json").write_text(json.dumps({"eval_mean": final}))
        return folder
    return made


@pytest.fixture
def drawn(monkeypatch):
    """The figures that are drawn instead of being written."""
    figures = []
    monkeypatch.setattr(plots, "save", lambda figure, path: figures.append(figure))
    return figures


def labels(paths, by=()):
    groups = settings.grouped(settings.opened(paths), by)
    return {env: {label: len(runs) for label, runs in part.items()} for env, part in groups.items()}


def entries(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def solid(ax):
    """x and y of the thick lines, those of band's middles, by their dashes."""
    return [(line.get_linestyle(), line.get_xdata().tolist(), line.get_ydata().tolist()) for line in ax.lines if line.get_lw() > 1]


# -- settings ------------------------------------------------------------------------------------------------------------


def test_runs_are_grouped_by_what_differs_but_for_the_seed(make):
    runs = [make(f"{lam}-{seed}", lam=lam, seed=seed) for lam in (0.9, 0.95) for seed in (0, 1)]
    assert labels(runs) == {"CartPole-v1": {"λ = 0.9": 2, "λ = 0.95": 2}}
    assert labels(runs[:2]) == {"CartPole-v1": {"a2c": 2}}
    other = make("hidden", hidden=[32], seed=1, backend="numba")
    assert labels([runs[0], other]) == {"CartPole-v1": {"hidden = 64, 64": 1, "hidden = 32": 1}}


def test_values_that_differ_have_labels_that_differ(make):
    close = [make(str(i), lam=lam) for i, lam in enumerate((0.95, 0.9500000001, 1.0))]
    assert labels(close) == {"CartPole-v1": {"λ = 0.95": 1, "λ = 0.9500000001": 1, "λ = 1": 1}}


def test_algorithms_differ_in_their_hyperparameters_without_being_said_to(make):
    """Two algorithms have two presets: what differs between them is the algorithm; what differs within one is said."""
    a2c = [make("a", lam=0.9), make("b", lam=1)]
    ppo = make("c", algorithm="ppo", lam=0.95, steps=1000)
    assert labels([*a2c, ppo]) == {"CartPole-v1": {"a2c, λ = 0.9": 1, "a2c, λ = 1": 1, "ppo": 1}}
    assert labels([make("d", lam=1.0), a2c[1]]) == {"CartPole-v1": {"a2c": 2}}                  # 1 and 1.0 are the same
    args = [make("e", env_args={"gravity": -5}), make("f", env_args={"gravity": -10, "wind": True})]
    assert labels(args) == {"CartPole-v1": {"gravity = -5, wind = None": 1, "gravity = -10, wind = True": 1}}


def test_the_user_says_what_to_group_by(make):
    runs = [make(f"{lam}-{steps}", lam=lam, steps=steps) for lam in (0.9, 0.95) for steps in (400, 800)]
    assert labels(runs, ["lam"]) == {"CartPole-v1": {"λ = 0.9": 2, "λ = 0.95": 2}}
    assert labels(runs, ["seed"]) == {"CartPole-v1": {"seed = 0": 4}}
    assert labels(runs, ["env"]) == {"CartPole-v1": {"a2c": 4}}
    with pytest.raises(UserError, match="did you mean lam"):
        labels(runs, ["lamm"])


def test_a_sweep_stands_for_its_runs_and_each_run_counts_once(make, tmp_path):
    one = make("sweep/lam=0.9-seed0")
    make("sweep/lam=0.9-seed1", seed=1)
    make("sweep/lam=0.9-seed1-died", seed=1)
    with pytest.raises(UserError, match="sweep is not a run"):
        labels([tmp_path / "sweep"])
    (tmp_path / "sweep" / "sweep.json").write_text("{}")
    assert labels([tmp_path / "sweep", one]) == {"CartPole-v1": {"a2c": 2}}
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "sweep.json").write_text("{}")
    with pytest.raises(UserError, match="a sweep without a run"):
        labels([tmp_path / "empty"])


# -- lines ---------------------------------------------------------------------------------------------------------------


def test_a_line_begins_with_the_first_episode_and_is_dotted_where_not_all_runs_count():
    """Run 1 has values from 1 to 3, run 2 from 2 to 4: both count between 2 and 3."""
    ax = Figure().subplots()
    nan = np.nan
    x = np.array([0.0, 1, 2, 3, 4])
    partly = plots.band(ax, [x, x], [np.array([nan, 1, 1, 1, nan]), np.array([nan, nan, 3, 3, 3])], "both", "k", points=401)
    assert partly
    first, both, last = solid(ax)
    assert (first[0], both[0], last[0]) == (":", "-", ":")
    assert first[1][0] == 1 and set(first[2]) == {1.0}                      # not from 0 on, and the mean of one run
    assert both[1][0] == 2 and both[1][-1] == 3 and set(both[2]) == {2.0}
    assert last[1][-1] == 4 and set(last[2]) == {3.0}                       # not cut at the end of the shorter one
    assert ax.get_legend_handles_labels()[1] == ["both"] and ax.get_legend_handles_labels()[0][0].get_linestyle() == "-"


def test_lines_of_the_same_steps_are_solid():
    ax = Figure().subplots()
    assert not plots.band(ax, [np.array([1.0, 5])] * 2, [np.array([0.0, 4]), np.array([2.0, 6])], "both", "k", points=5)
    assert solid(ax) == [("-", [1, 2, 3, 4, 5], [1, 2, 3, 4, 5])]
    assert not plots.band(ax, [np.array([1.0])], [np.array([np.nan])], "none", "k") and len(solid(ax)) == 1


def test_runs_without_an_ended_episode_are_counted(make, drawn, tmp_path):
    runs = [make("a"), make("b", seed=1, rows=NONE), make("c", lam=1, rows=NONE)]
    plots.compare(runs, tmp_path / "x.png")
    assert entries(drawn[0])[:2] == ["λ = 0.9 (2 runs, 1 without an ended episode)", "λ = 1 (1 run, 1 without an ended episode)"]
    assert len(solid(drawn[0].axes[0])) == 1
    plots.compare(runs[1:], tmp_path / "x.png")
    assert [text.get_text() for text in drawn[1].axes[0].texts] == ["no episode has ended"]


def test_environments_have_a_panel_each_and_a_setting_one_colour_in_all(make, drawn, tmp_path):
    runs = [make(f"{env}-{lam}", env=env, lam=lam) for env, lam in (("A-v0", 0.9), ("A-v0", 1), ("B$v0$", 1), ("B$v0$", 0.9))]
    plots.compare(runs, tmp_path / "x.png")
    figure, = drawn
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["return on A-v0", "return on B$v0$"]
    colours = [[line.get_color() for line in ax.lines if line.get_lw() > 1] for ax in figure.axes]
    assert colours[0] == colours[1][::-1] and colours[0][0] != colours[0][1]
    assert entries(figure)[:2] == ["λ = 0.9 (1 run)", "λ = 1 (1 run)"]
    figure.savefig(tmp_path / "y.png")                                      # dollar signs are no formula


# -- files ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_a_picture_is_replaced_and_another_file_is_not(make, tmp_path, kind):
    runs, out = [make("a"), make("b", lam=1)], tmp_path / f"comparison.{kind}"
    plots.compare(runs, out)
    out.write_bytes(out.read_bytes() + b" ")
    before = out.stat().st_size
    plots.compare(runs, out)
    assert out.stat().st_size < before
    out.write_bytes(b"a photograph by Software scratchac")
    with pytest.raises(UserError, match="so it stays: name another file with"):
        plots.compare(runs, out)
    assert out.read_bytes() == b"a photograph by Software scratchac"


@pytest.mark.slow
def test_the_command(make, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    make("a", lam=0.9), make("b", lam=1, seed=1)
    for words, path in ((["a"], "a/curves.png"), (["a", "b"], "comparison.png"), (["a", "b", "--by", "lam"], "comparison.png"),
                        (["a", "--by", "lam"], "comparison.png")):
        assert main(["plot", *words]) == 0
        assert capsys.readouterr().out == f"{path}\n" and (tmp_path / path).exists()
    assert main(["plot", "a", "b", "--by", "lambda"]) == 2 and "unknown entry of a run" in capsys.readouterr().err


@pytest.mark.slow
def test_the_picture_of_one_run_is_the_same_under_another_name(make, tmp_path, capsys):
    folder = make("a")
    assert main(["plot", str(folder)]) == main(["plot", str(folder), "--out", str(tmp_path / "b.png")]) == 0
    assert (tmp_path / "b.png").read_bytes() == (folder / "curves.png").read_bytes()
    (tmp_path / "b.png").write_text("a letter")
    assert main(["plot", str(folder), "--out", str(tmp_path / "b.png")]) == 2 and "so it stays" in capsys.readouterr().err


def test_runs_that_were_resumed_for_more_steps_are_another_setting(make):
    """config.json still has the steps that were planned; the checkpoint knows better."""
    one, two = make("one"), make("two", seed=1)
    for folder, step, target in ((one, 400, 400), (two, 900, 5000)):
        state = {"agent": {"step": step}, "progress": {"target": target}, "interaction": None}
        checkpoints.write(folder / "checkpoint.npz", CONFIG, state)
    assert checkpoints.steps_of(two / "checkpoint.npz") == (900, 5000) and checkpoints.steps_of(two / "config.json") is None
    assert labels([one, two]) == {"CartPole-v1": {"steps = 400": 1, "steps = 5000": 1}}
    for folder in (one, two):
        (folder / "summary.json").write_text(json.dumps({"eval_mean": 9.0, "steps": 400}))
    assert [settings.final_return(Run.open(folder)) for folder in (one, two)] == [9, None]      # two went on, and was stopped


def test_runs_that_may_end_early_are_another_setting(make):
    assert labels([make("a"), make("b", seed=1, stop_at=5.0)]) == {"CartPole-v1": {"stop_at = None": 1, "stop_at = 5": 1}}


def test_a_seed_that_counts_twice_is_told(make, capsys):
    labels([make("a"), make("b", seed=1), make("c", lam=1)])
    assert capsys.readouterr().err == ""
    labels([make("d"), make("e", seed=1), make("f", seed=1), make("g", lam=1)])
    assert "λ = 0.9: several runs have one seed (1)" in capsys.readouterr().err


def test_lines_that_look_alike_are_told(capsys):
    few = {"env": {str(i): [{"step": np.array([1.0]), "return_mean": np.array([1.0])}] for i in range(style.MOST_LOOKS)}}
    plots.lines(few, "")
    assert capsys.readouterr().err == ""
    plots.lines({"env": few["env"] | {"one more": few["env"]["0"]}}, "")
    assert "31 settings are drawn with 30 different lines" in capsys.readouterr().err
    assert len({json.dumps(style.look(i)) for i in range(style.MOST_LOOKS)}) == style.MOST_LOOKS


# -- against each other --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seeds", [2, 3])
def test_the_legend_names_the_interval_where_there_is_one(make, drawn, tmp_path, seeds):
    pytest.importorskip("scipy")
    plots.compare([make(str(seed), seed=seed) for seed in range(seeds)], tmp_path / "x.png")
    names = [text.get_text() for text in drawn[0].legends[0].get_texts()]
    assert ("thin: 95% interval" in names) == (seeds == 3)


def test_versus(make, tmp_path, monkeypatch, capsys):
    pytest.importorskip("scipy")
    monkeypatch.chdir(tmp_path)
    runs = [str(make(f"{lam}-{seed}", lam=lam, seed=seed, final=10 * lam + seed)) for lam in (0.9, 1) for seed in (0, 1, 2)]
    assert main(["plot", *runs, "--versus"]) == 0
    rows = capsys.readouterr().out.splitlines()
    # λ = 1 returns 10, 11, 12 and λ = 0.9 returns 9, 10, 11: of nine pairs six are won, two are equal
    assert rows[2].split("|")[2:5] == [" λ = 1 (3) ", " λ = 0.9 (3)              ", "        0.78 "]
    assert rows[-1] == "versus.png" and (tmp_path / "versus.png").exists()
    pair, = versus.pairs(versus.compared(runs))
    assert pair.probability == 7 / 9 and 0 < pair.low < 0.5 < pair.high < 1


def test_versus_leaves_out_what_is_not_evaluated(make, capsys):
    runs = [make("a", final=1.0), make("b", seed=1), make("c", lam=1, final=2.0)]
    found = versus.compared(runs)["CartPole-v1"]
    assert {label: x.tolist() for label, x in found.items()} == {"λ = 0.9": [1], "λ = 1": [2]}
    assert "b is not evaluated, so it is left out" in capsys.readouterr().err
    with pytest.raises(UserError, match="compares two settings or more, and the evaluated runs on CartPole-v1 have one"):
        versus.compared(runs[:2])


def test_a_picture_of_one_run(make, drawn, tmp_path):
    plots.curves(Run.open(make("a")), tmp_path / "x.png")
    assert drawn[0].axes[0].xaxis.get_major_formatter()(2_000_000) == "2M"
