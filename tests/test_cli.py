"""The command line, as a user meets it."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from scratchac.__main__ import main
from scratchac.errors import UserError
from scratchac.tools.flags import env_args_from

FAST = ["--env", "CartPole-v1", "--steps", "400", "--quiet", "--no-video"]


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "a2c", *FAST, "--out", "run"]) == 0
    assert capsys.readouterr().out.strip().splitlines()[-1] == "run"        # the folder's path is printed last
    return "run"


def processor_time(*words, prints=""):
    """The seconds that a process of Python takes on a processor."""
    resource = pytest.importorskip("resource", reason="Windows has none")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0 and prints in done.stdout
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.mark.slow
def test_help_is_quick():
    """It takes less than three times as long as importing NumPy, on any processor: matplotlib, for one, does not fit in.

    The median of five pairs, one after the other: a core that another program shares may be half as fast a second later.
    """
    ratios = [processor_time("-m", "scratchac", "--help", prints="gradcheck") / processor_time("-c", "import numpy")
              for _ in range(5)]
    assert sorted(ratios)[2] < 3


@pytest.mark.parametrize("command", ["train", "evaluate", "resume", "plot", "video", "watch", "export", "play", "gradcheck",
                                     "exercise", "learn", "microscope", "museum", "hunt", "docs", "presets", "doctor"])
def test_every_command_has_help(command, capsys):
    arguments = [command, "--help"]
    try:
        code = main(arguments)
    except SystemExit as stop:
        code = stop.code
    assert code in (0, None) and "usage: scratchac" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["evaluate"], ["plot"], ["sweep"], ["exercise", "check"], ["train", "a2c"]], ids=str)
def test_help_fits_the_terminal_and_says_what_happens_without_an_option(words, capsys, monkeypatch):
    """A default None says nothing; and a text of several lines in the source is broken only where the terminal ends."""
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        main([*words, "--help"])
    shown = capsys.readouterr().out
    assert "None" not in shown and "default: )" not in shown
    assert max(map(len, shown.splitlines()[1:])) <= 80                      # the usage is tyro's line
    if words == ["train", "a2c"]:
        assert "auto is compiled where" in " ".join(shown.replace("│", " ").split())        # the second line of a docstring


def test_help_of_train_tells_where_the_defaults_come_from(capsys):
    for words, origin in (([], "of the preset for CartPole-v1;"), (["--env", "Acrobot-v9"], "no preset for Acrobot-v9")):
        with pytest.raises(SystemExit):
            main(["train", "ppo", *words, "--help"])
        assert origin in " ".join(capsys.readouterr().out.split())


def test_help_of_an_algorithm_lists_its_hyperparameters(capsys):
    with pytest.raises(SystemExit):
        main(["train", "a2c", "--help"])
    shown = capsys.readouterr().out
    assert {"--entropy-coef", "--backend", "--no-video", "--eval-episodes"} <= set(shown.split())


def test_train_writes_the_folder(run, tmp_path):
    names = {file.name for file in (tmp_path / run).iterdir()}
    assert names == {"config.json", "metrics.csv", "checkpoint.npz", "checkpoint.previous.npz", "summary.json", "curves.png",
                     ".lock"}


def test_evaluate_json(run, capsys, terminal):
    assert main(["evaluate", run, "--episodes", "4", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert list(result) == ["algorithm", "env", "policy", "step", "episodes", "mean", "std", "median", "min", "max", "returns"]
    assert len(result["returns"]) == result["episodes"] == 4
    assert main(["evaluate", run, "--episodes", "4"]) == 0
    captured = capsys.readouterr()
    assert f" on CartPole-v1, 4 episodes: mean {result['mean']:.1f}" in captured.out and "4/4 episodes" in captured.err
    assert main(["evaluate", run, "--episodes", "4", "--quiet"]) == 0 and capsys.readouterr().err == ""


@pytest.mark.slow
def test_resume_plot_and_video(run, tmp_path, capsys):
    assert main(["resume", run, "--steps", "800", "--quiet", "--no-video", "--eval-episodes", "3"]) == 0
    assert json.loads((tmp_path / run / "summary.json").read_text())["eval_episodes"] == 3
    assert main(["plot", run]) == 0
    assert main(["plot", run, run, "--out", "two.png"]) == 0 and (tmp_path / "two.png").exists()
    (tmp_path / "note.png").write_text("mine")
    assert main(["plot", run, run, "--out", "note.png"]) == 2               # only a picture of its own is replaced
    assert main(["video", run]) == 0
    assert list((tmp_path / run).glob("video.*"))


@pytest.mark.slow
def test_gradcheck(capsys):
    assert main(["gradcheck"]) == 0
    assert "every spoilt one was caught" in capsys.readouterr().out
    assert main(["gradcheck", "--json"]) == 0
    assert all(row["passed"] for row in json.loads(capsys.readouterr().out))


@pytest.mark.slow
def test_presets_and_doctor(capsys):
    assert main(["presets"]) == 0 and "a2c on LunarLander-v3" in capsys.readouterr().out
    assert main(["doctor"]) == 0
    names = {line[:16].strip() for line in capsys.readouterr().out.splitlines()}
    assert {"scratchac", "python", "machine", "numpy", "BLAS", "environment", "backend numpy", "backend cupy", "GPU", "screen",
            "pictures", "missing"} <= names


def test_doctor_names_the_algorithms_that_take_a_game():
    pytest.importorskip("pettingzoo", reason="PettingZoo is not installed")
    from scratchac.tools.doctor import about

    assert dict(about("tictactoe_v3"))["algorithms"] == "a2c, ppo"


def test_doctor_says_with_which_arguments_an_algorithm_takes_an_environment():
    pytest.importorskip("Box2D")
    from scratchac.tools.doctor import about

    assert dict(about("LunarLander-v3"))["algorithms"] == ("reinforce, reinforce-baseline, actor-critic, a2c, a3c, ppo, "
                                                           "sac (with continuous=True), discrete-sac")


def test_doctor_says_in_one_line_what_is_missing(monkeypatch):
    from scratchac.tools import doctor

    there = doctor.version
    monkeypatch.setattr(doctor, "version", lambda name: None if name in ("pettingzoo", "onnxruntime") else there(name) or "1.0")
    monkeypatch.setattr(doctor, "gpu", lambda: "")
    assert doctor.missing() == "pettingzoo, onnxruntime: pip install 'pettingzoo>=1.25' onnx onnxruntime"
    monkeypatch.setattr(doctor, "version", lambda name: "1.0")
    assert doctor.missing() == "nothing"
    assert doctor.drawn("import sys; sys.exit('no driver')") == "fails: no driver"


@pytest.mark.slow
def test_hyperparameters_and_environment_arguments_reach_the_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "a2c", *FAST, "--gamma", "linear:0.9:0.95", "--hidden", "8", "8", "--shared-body", "--env-args",
                 "sutton_barto_reward=true"]) == 0
    config = json.loads((tmp_path / "runs/a2c-CartPole-v1-seed0/config.json").read_text())
    assert config["hyperparameters"]["gamma"] == "linear:0.9:0.95" and config["hyperparameters"]["hidden"] == [8, 8]
    assert config["hyperparameters"]["shared_body"] is True and config["env_args"] == {"sutton_barto_reward": True}


@pytest.mark.parametrize("text, value", [
    ("False", False), ("True", True), ("None", None), ("false", False), ("null", None), (".5", 0.5), ("-.5", -0.5), ("1_000", 1000),
    ("1e-3", 0.001), ("(1,2)", (1, 2)), ("[True, None]", [True, None]), ("[1, 2]", [1, 2]), ("{'a': .5}", {"a": 0.5}),
    ('{"size": 64}', {"size": 64}), ('"quoted"', "quoted"), ("'quoted'", "quoted"), ("inf", math.inf), ("-inf", -math.inf),
    ("linear:1e-3:0", "linear:1e-3:0"), ("1e-3:0", "1e-3:0"), ("CartPole-v1", "CartPole-v1"), ("human", "human"), ("007", "007"),
    ("2-1", "2-1"), ("f(1)", "f(1)"), ("__import__('os')", "__import__('os')"), ("[1, 2", "[1, 2"), ("1j", "1j"),
    ("{1, 2}", "{1, 2}"), ("...", "..."), ("b'x'", "b'x'"), ("1if", "1if"), ("(" * 5000, "(" * 5000), ("1" * 5000, "1" * 5000),
    ("a=b", "a=b"), ("[-inf, inf]", [-math.inf, math.inf]), ("(0, Infinity)", (0, math.inf)),
    ("[true, (1, null)]", [True, (1, None)]),
    ("FALSE", False), (" False", False), ("none", "none"), ("[human, 3]", "[human, 3]")])
def test_values_of_environment_arguments(text, value):
    given = env_args_from([f"x={text}"])["x"]
    assert given == value and type(given) is type(value)


def test_a_name_that_is_given_twice():
    with pytest.raises(UserError, match="env_args has x twice"):
        env_args_from(["x=1", "y=2", "x=3"])


def test_nan_as_a_value():
    assert all(math.isnan(env_args_from([f"x={text}"])["x"]) for text in ("nan", "NaN"))


def test_sizes_of_layers_may_be_separated_by_commas(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for i, words in enumerate((["8", "4"], ["8,4"], ["[8, 4]"], ["(8,4)"], ["8,", "4"])):
        assert main(["train", "a2c", *FAST, "--stop-after", "40", "--out", str(i), "--hidden", *words, "--seed", "1"]) == 0
        assert json.loads((tmp_path / str(i) / "config.json").read_text())["hyperparameters"]["hidden"] == [8, 4]


@pytest.mark.parametrize("arguments, message", [
    ("trian a2c", "did you mean train"), ("train", "needs an algorithm"), ("train a2d", "did you mean a2c"),
    ("train a2c --env CartPol-v1", "CartPole-v1"),
    ("train a2c --env nowhere_at_all:X-v0", "no module nowhere_at_all"),
    ("train a2c --gama 0.9", "did you mean --gamma"),
    ("train a2c --gamma 1.5", r"in [0, 1]"), ("train a2c --gamma", "gamma"), ("train a2c --hidden 8,,x", "8,,x"),
    ("train a2c --hidden 8,0", "such as [64, 64]"), ("train a2c --steps 0", "--steps must be at least 1"),
    ("train a2c --steps many", "steps"), ("train a2c --backend cuda", "backend"), ("train a2c --seed -1", "--seed"),
    ("train a2c --eval-episodes -1", "--eval-episodes must be"),
    ("train a2c --advantage gea", "advantage"), ("train sac --env Blackjack-v1", "discrete-sac, a2c, ppo and others take these"),
    ("train a2c --env CartPole-v1 --out there", "there exists already"), ("train a2c --env-args gravity", "name=value"),
    ("train a2c --env CartPole-v1 --env-args gravity=3", "gravity"),
    ("train a2c --env CartPole-v1 --randomise", "LunarLander only"),
    ("evaluate nowhere", "nowhere is not a run"), ("evaluate", "RUN"), ("evaluate there --episodes 0", "is not a run"),
    ("resume nowhere", "is not a run"), ("plot", "at least one run"), ("plot nowhere", "is not a run"),
    ("video nowhere", "is not a run"), ("watch nowhere", "is not a run"),
    ("video nowhere --pick best --episodes 3", "give one of the two"),
    ("play --env Ant-v5", "no keys"), ("play --env Nothing-v0", "no keys"), ("gradcheck --jsn", "did you mean --json"),
])
def test_mistakes_are_one_line_and_exit_code_2(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    assert main(arguments.split()) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and len(captured.err.strip().splitlines()) == 1
    assert captured.err.startswith("scratchac: ") and message in captured.err
    assert [path.name for path in tmp_path.iterdir()] == ["there"]          # nothing was made


def test_the_main_job_is_a2c_on_the_lander():
    from scratchac.algorithms import ALGORITHMS
    from scratchac.experiments.presets import presets

    assert ALGORITHMS["a2c"].env == "LunarLander-v3" and "LunarLander-v3" in presets()["a2c"]


@pytest.mark.slow
def test_resume_says_on_stderr_what_it_does_and_records_what_computed(tmp_path, capsys, terminal):
    pytest.importorskip("numba", reason="Numba is not installed")
    run = str(tmp_path / "run")
    arguments = ["train", "a2c", "--env", "CartPole-v1", "--steps", "800", "--hidden", "4", "--no-video", "--out", run]
    assert main([*arguments, "--backend", "numpy", "--stop-after", "400", "--quiet"]) == 0
    capsys.readouterr()
    assert main(["resume", run, "--backend", "numba", "--no-video"]) == 0
    said = capsys.readouterr().err
    assert "runs the compiled a2c_gradient" in said.splitlines()[0] and "100%" in said
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert (summary["backend"], summary["compiled"]) == ("numba", "a2c_gradient")
    assert main(["resume", run, "--steps", "1200", "--backend", "numpy", "--no-video", "--quiet"]) == 0
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert (summary["backend"], summary["compiled"]) == ("numpy", None)


# -- environments of the user's own --------------------------------------------------------------------------------------

ROOT = Path(__file__).parents[1]


def installed(*words, cwd, **variables):
    """`scratchac` in a process of its own, as the installed command runs: without the working directory on sys.path."""
    return subprocess.run([sys.executable, "-P", "-m", "scratchac", *words], cwd=cwd, capture_output=True, text=True, timeout=300,
                          env=os.environ | {"PYTHONPATH": str(ROOT), "SCRATCHAC_BACKEND": "numpy"} | variables)


@pytest.fixture
def here(tmp_path):
    """A folder with a module that registers an environment, whose class is in another module."""
    (tmp_path / "mymod.py").write_text("import gymnasium\ngymnasium.register('Mine-v0', 'mymod_env:Mine')\n")
    (tmp_path / "mymod_env.py").write_text(f"""
import os
import sys
from gymnasium.envs.classic_control import CartPoleEnv

class Mine(CartPoleEnv):
    def step(self, action):
        # It is there only while an environment is made, unless it always is.
        assert ({str(tmp_path)!r} in sys.path) == ({str(tmp_path)!r} in os.environ["PYTHONPATH"])
        return super().step(action)
""")
    return tmp_path


@pytest.mark.slow
def test_a_module_in_the_working_directory_registers_an_environment(here):
    words = ["train", "a2c", "--env", "mymod:Mine-v0", "--env-args", "max_episode_steps=9", "--steps", "80", "--hidden", "4",
             "--quiet", "--no-video"]
    done = installed(*words, cwd=here)
    run = "runs/a2c-mymod-Mine-v0-seed0"                    # without a colon, which Windows forbids
    assert (done.returncode, done.stdout) == (0, f"{run}\n"), done.stderr
    config = json.loads((here / run / "config.json").read_text())
    assert config["env"] == "mymod:Mine-v0" and json.loads((here / run / "summary.json").read_text())["eval_mean"] <= 9
    done = installed("evaluate", run, "--episodes", "2", cwd=here)
    assert done.returncode == 2 and "config.json names mymod:Mine-v0" in done.stderr and len(done.stderr.splitlines()) == 1
    for words_of_trust in (["--trust"], ["--env", "mymod:Mine-v0"]):
        done = installed("evaluate", run, "--episodes", "2", *words_of_trust, cwd=here)
        assert done.returncode == 0, done.stderr
    done = installed(*words[:3], "mymod:Main-v0", cwd=here)
    assert done.returncode == 2 and "did you mean mymod:Mine-v0?" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("words", ["train a3c --envs 2 --no-video", "sweep a2c --seeds 0", "train ppo --vector async --no-video"])
def test_other_processes_find_that_module_too(words, here):
    done = installed(*words.split(), "--quiet", "--env", "mymod:Mine-v0", "--env-args", "max_episode_steps=5", "--steps", "80",
                     cwd=here)
    assert done.returncode == 0, done.stderr
    assert (here / done.stdout.splitlines()[-1]).is_dir()
    assert ":" not in "".join(str(path.relative_to(here)) for path in here.rglob("*"))


@pytest.mark.parametrize("where", [".", "run"])
@pytest.mark.slow
def test_a_run_from_elsewhere_imports_nothing_from_the_working_directory(where, tmp_path):
    assert main(["train", "a2c", *FAST, "--out", str(tmp_path / "run"), "--stop-after", "40"]) == 0
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    (tmp_path / "run" / "config.json").write_text(json.dumps(config | {"env": "evil:Mine-v0"}))
    for folder in (tmp_path, tmp_path / "run"):
        (folder / "evil.py").write_text("open('imported', 'w')\n")
    for command in ("evaluate", "resume", "video"):
        done = installed(command, str(tmp_path / "run"), cwd=tmp_path / where)
        assert done.returncode == 2 and "config.json names evil:Mine-v0" in done.stderr, done.stderr
    assert not list(tmp_path.rglob("imported"))


@pytest.mark.slow
def test_a_film_has_the_render_mode_that_it_needs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = [word for word in FAST if word != "--no-video"]
    assert main(["train", "a2c", *words, "--out", "film", "--env-args", "render_mode=rgb_array"]) == 0
    assert list((tmp_path / "film").glob("video.*")), capsys.readouterr().err


def test_a_run_on_a_callable_names_the_python_that_makes_its_film(tmp_path, capsys, quick_end):
    import scratchac
    from scratchac.experiments.video import record

    def mine(**kwargs):
        import gymnasium

        return gymnasium.make("CartPole-v1", **kwargs)

    path = str(tmp_path / "run")
    scratchac.train("a2c", mine, 40, out=path, hidden=(4,))
    assert main(["video", path]) == 2
    said = capsys.readouterr().err
    assert f"from scratchac.experiments.video import record; record(scratchac.load({path!r}), …, {path!r})" in said
    assert record(scratchac.load(path), mine, path).exists()
    assert main(["evaluate", path]) == 2 and f"scratchac.evaluate(scratchac.load({path!r}), …)" in capsys.readouterr().err
