"""What one types: names that people know, numbers as they write them, files with arguments, and what fits a terminal."""

import functools
import inspect
import json
import shutil
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from damage import same

import scratchac
from scratchac import api
from scratchac.__main__ import COMMANDS, main
from scratchac.errors import UserError
from scratchac.experiments.given import KEPT, arguments_from
from scratchac.experiments.schema import CONFIG
from scratchac.tools.candidates import FILES, candidates
from scratchac.tools.completion import table_of
from scratchac.tools.flags import sizes_from, spelt_out, whole_from
from scratchac.version import __version__

SMALL = ["--env", "CartPole-v1", "--steps", "80", "--hidden", "4", "--eval-episodes", "0", "--quiet", "--no-video"]


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """`asked(words)` is what `scratchac train WORDS` asks of `scratchac.train`."""
    monkeypatch.chdir(tmp_path)

    def of(words):
        seen = {}

        @functools.wraps(api.train)
        def instead(algorithm, **arguments):
            seen.update(arguments, algorithm=algorithm)
            return SimpleNamespace(step=0)

        with monkeypatch.context() as patch:
            patch.setattr(api, "train", instead)
            patch.setattr("scratchac.tools.outcome.show", lambda *_: None)
            assert main(["train", *(words.split() if isinstance(words, str) else words)]) == 0
        return seen

    return of


def refused(words, capsys):
    """The line that refuses a command."""
    capsys.readouterr()
    assert main(words if isinstance(words, list) else words.split()) == 2
    captured = capsys.readouterr()
    lines = captured.err.splitlines()
    assert captured.out == "" and len(lines) == 1 and lines[0].startswith("scratchac: ")
    return lines[0]


# -- names and numbers ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words, ours", [
    ("a2c --learning-rate 1e-3", "--actor-lr and --critic-lr"), ("ppo --learning_rate 1e-3", "--lr"),
    ("sac --lr 1e-3", "--actor-lr and --critic-lr"), ("ppo --total-timesteps 1000", "--steps"), ("ppo --n-steps 8", "--rollout"),
    ("a2c --ent-coef 0.1", "--entropy-coef"), ("sac --ent-coef 0.1", "--alpha"), ("ppo --gae-lambda 0.9", "--lam"),
    ("ppo --clip-range=0.1", "--clip"), ("ppo --env-id CartPole-v1", "--env"), ("ppo --device cuda", "--backend"),
])
def test_a_name_of_another_library_is_answered_with_ours(words, ours, capsys):
    assert refused(f"train {words}", capsys).endswith(f"; here it is {ours}")


@pytest.mark.parametrize("algorithm, name, ours", [
    ("a2c", "learning_rate", "actor_lr and critic_lr"), ("ppo", "total_timesteps", "steps"),
    ("a2c", "lr", "actor_lr and critic_lr"),
    ("ppo", "verbose", "quiet"), ("ddpg", "policy_frequency", "")])
def test_and_in_python(algorithm, name, ours):
    answer = f"here it is {ours}$" if ours else ""
    with pytest.raises(UserError, match=f"unknown hyperparameter of {algorithm} '{name}'; {answer}"):
        scratchac.train(algorithm, **{name: 1})


@pytest.mark.parametrize("words, ours", [
    ("td3 --polyak 0.995", "--tau, which is 1 − polyak"), ("ppo --log-std-init -1", "--initial-std, which is exp(log_std_init)"),
    ("sac --target-entropy -6",
     "--entropy-target, which SAC has for one feature of the action, and discrete SAC as a fraction of log n"),
    ("a2c --vf-coef 0.5", "--value-coef, the weight of ½ (V − target)²: where the other one has no ½, take twice its number")])
def test_a_number_of_another_library_is_told_where_it_means_something_else(words, ours, capsys):
    assert refused(f"train {words}", capsys).endswith(f"; here it is {ours}")


def test_every_name_that_is_ours_exists():
    import inspect
    from dataclasses import fields

    from scratchac import algorithms
    from scratchac.algorithms.names import CONVERSIONS, ELSEWHERE
    from scratchac.tools import run_commands

    known = {f.name for name in algorithms.ALGORITHMS for f in fields(algorithms.find(name).config_class)}
    known |= {*inspect.signature(api.train).parameters, *inspect.signature(run_commands.evaluate).parameters, "eval_every"}
    assert {name for ours in ELSEWHERE.values() for name in ours} <= known
    assert not any(name in ours for name, ours in ELSEWHERE.items())
    assert CONVERSIONS.keys() <= ELSEWHERE.keys()


@pytest.mark.parametrize("words, message", [
    # The four messages of tyro's that are cut out of the box around them.
    ("evaluate", "Missing from scratchac evaluate: RUN"), ("train a2c --steps", "Missing value for argument"),
    ("train a2c --steps many", "'many' is not a whole number, such as 200 or 1e6"), ("train a2c --steps 1.5", "'1.5' is not"),
    ("train a2c --optimiser adams", "invalid choice 'adams' for argument '--optimiser'. Expected one of ('rmsprop', 'adam'"),
    ("train ppo --hidden 8,,x", "'8,,x' are not sizes of layers, such as 64 64"),
    # Ours.
    ("train ppo --gama 1", "unknown option '--gama'; did you mean --gamma"), ("train ppo --zzz", "train ppo --help lists"),
    ("train --preset", "(scratchac train ALGO --help lists the options)"), ("evaluate run --epsiodes 3", "did you mean --episodes"),
    ("train ppo extra", "scratchac train ppo takes no further 'extra'"), ("train PPPO", "unknown algorithm 'pppo'; did you mean"),
    ("train --steps 100", "train needs an algorithm"), ("presets a2c --env CartPol-v1", "did you mean CartPole-v1"),
    ("hunt --answer a2c.py:1", "unknown option '--answer'"), ("hunt start --foo", "unknown option '--foo'"),
    ("presets a2d", "did you mean a2c"), ("completion csh", "Expected one of"), ("--versoin", "unknown command '--versoin'"),
])
def test_a_mistake_is_told_in_one_line(words, message, capsys):
    assert message in refused(words, capsys)


def test_numbers_as_people_write_them():
    assert [whole_from(text) for text in ("200", "1e6", "1_000", "2.0", "-3")] == [200, 10**6, 1000, 2, -3]
    assert [sizes_from([*words]) for words in (["64"], ["64", "32"], ["64,32"], ["[64,", "32]"], ["(64,32)"], ["64,", "32"])] == [
        (64,), *[(64, 32)] * 5]
    for text in ("1e-3", "1.5", "inf", "nan", "x", ""):
        with pytest.raises(ValueError, match="not a whole number"):
            whole_from(text)
    for text in ("", "64,,32", "64 x", "1.5", "-3"):
        with pytest.raises(ValueError, match="not sizes of layers"):
            sizes_from([text])
    assert spelt_out(["-n", "5", "-s3", "-n=5", "-x", "--n", "-nan"], ["steps", "seed"]) == [
        "--steps", "5", "--seed", "3", "--steps", "5", "-x", "--n", "-nan"]
    assert spelt_out(["-n", "5", "-s", "0-3"], ["episodes", "seeds"]) == ["--episodes", "5", "--seeds", "0-3"]


def test_whole_floats_in_python_too():
    agent = scratchac.make_agent("ppo", "CartPole-v1", rollout=16.0, batch_size=np.float64(16), hidden=(4,))
    assert agent.config.rollout == 16 and type(agent.config.rollout) is type(agent.config.batch_size) is int
    with pytest.raises(UserError, match="steps must be a whole number"):
        scratchac.make_agent("ppo", "CartPole-v1", steps=1.5)


@pytest.mark.parametrize("words", ["ppo --env CartPole-v1 --steps 1e3 --hidden 8,4 -s 3", "PPO -n 1_000 --hidden 8 4 --seed=3",
                                   "--env CartPole-v1 ppo --steps=1000 -s3 --hidden [8,4]",
                                   "--quiet ppo --env CartPole -n 1e3 -s=3 --hidden 8, 4"])
def test_ways_to_say_the_same(words, asked):
    seen = asked(words)
    assert seen["algorithm"] == "ppo" and seen["env"] in ("CartPole-v1", "CartPole")
    assert seen["seed"] == 3 and seen["steps"] == 1000 and seen["hidden"] == (8, 4)
    assert str(seen["out"]) == "runs/ppo-CartPole-v1-seed3"


def test_an_algorithm_in_capitals_in_python():
    assert type(scratchac.make_agent("Discrete_SAC", "CartPole-v1", hidden=(4,))).__name__ == "DiscreteSAC"


def test_the_version(capsys):
    assert main(["--version"]) == 0 and capsys.readouterr().out == f"scratchac {__version__}\n"


# -- ids of environments -------------------------------------------------------------------------------------------------


def test_an_id_without_a_version_has_its_preset_and_says_so_once(capsys, quick_end):
    agent = scratchac.train("a2c", "CartPole", 40, quiet=False, hidden=(4,))
    assert agent.config.optimiser == "adam"                                 # of the preset
    assert capsys.readouterr().err.splitlines().count("scratchac: CartPole is CartPole-v1 here, the latest version") == 1
    assert scratchac.make_agent("a2c", "CartPole", hidden=(4,)).config.optimiser == "adam"
    scratchac.train("a2c", "CartPole", 40, quiet=True, hidden=(4,))
    assert capsys.readouterr().err == ""


@pytest.mark.filterwarnings("default")
def test_an_older_version_says_which_one_has_a_preset(capsys, quick_end):
    scratchac.train("a2c", "CartPole-v0", 40, quiet=False, hidden=(4,))
    said = capsys.readouterr().err
    assert "there is no preset of a2c for CartPole-v0, so the algorithm's defaults are used; there is one for CartPole-v1" in said


# -- a run given back ----------------------------------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = "--seed 7 --gamma 0.9 --env-args sutton_barto_reward=true --out run"
    assert main(["train", "a2c", *SMALL, *words.split()]) == 0
    return tmp_path / "run"


@pytest.mark.slow
def test_a_run_from_its_config_has_the_same_bytes(run, tmp_path):
    assert main(["train", "--config", "run/config.json", "--quiet", "--no-video", "--out", "again"]) == 0
    same(run, tmp_path / "again")
    first, second = (json.loads((path / "config.json").read_text()) for path in (run, tmp_path / "again"))
    assert first.pop("made").keys() == second.pop("made").keys() and first == second


def test_what_is_given_beside_a_file_wins(run, asked):
    seen = asked("--config run --gamma 0.5 --seed 8")                       # the folder will do
    assert (seen["algorithm"], seen["seed"], seen["gamma"], seen["hidden"], seen["steps"]) == ("a2c", 8, 0.5, (4,), 80)
    assert seen["env_args"] == {"sutton_barto_reward": True}
    assert asked("--config run --env Acrobot-v1")["env_args"] == {}         # they were for another environment
    assert asked("--config run --env-args max_episode_steps=9")["env_args"] == {"sutton_barto_reward": True, "max_episode_steps": 9}


def test_a_preset_that_is_named_beside_a_file_wins(asked, tmp_path):
    (tmp_path / "mine.toml").write_text('algorithm = "ddpg"\nenv = "Pendulum-v1"\npreset = "fast"\n')
    assert asked("--config mine.toml")["preset"] == "fast"
    with pytest.raises(AssertionError):
        asked("--config mine.toml --preset nosuch")


def test_a_preset_that_a_run_would_hide_is_refused(tmp_path, capsys, quick_end):
    """The folder of a run holds all hyperparameters; a file of some of them leaves the others to the preset."""
    scratchac.train("ddpg", "Pendulum-v1", 40, out=tmp_path / "old", learning_starts=32, batch_size=8, hidden=(4,), quiet=True)
    assert f"--preset fast would change nothing: {tmp_path / 'old'} has all" in refused(
        f"train ddpg --config {tmp_path / 'old'} --preset fast", capsys)


def test_a_preset_beside_a_file_of_some_values(asked, tmp_path):
    (tmp_path / "some.toml").write_text('algorithm = "ddpg"\nenv = "Pendulum-v1"\ntau = 0.25\n')
    seen = asked("--config some.toml --preset fast")
    assert seen["preset"] == "fast" and seen["tau"] == 0.25


def test_arguments_of_the_environment_given_several_times(asked):
    seen = asked("a2c --env CartPole-v1 --env-args max_episode_steps=9 --env-args sutton_barto_reward=true")
    assert seen["env_args"] == {"max_episode_steps": 9, "sutton_barto_reward": True}
    seen = asked("sac --env CarRacing-v3 --env-args pixels={\"size\":64}")
    assert seen["env_args"]["pixels"] == {"size": 64, "stack": 4, "repeat": 8, "patience": 12}          # the preset's others


def test_pictures_of_a_run_are_not_filled_up_from_a_preset(run):
    """CarRacing's has a patience, which this run, as it says, had not."""
    config = json.loads((run / "config.json").read_text())
    config["env_args"] = {"pixels": {"size": 64, "repeat": 4}}
    (run / "config.json").write_text(json.dumps(config))
    assert arguments_from(run)["env_args"] == {"pixels": {"size": 64, "stack": 4, "repeat": 4, "patience": None}}


def test_an_option_that_equals_its_default_is_given(asked):
    """Where it is not, it depends on others: a tenth of the steps before learning starts."""
    assert "learning_starts" not in asked("ddpg --env HalfCheetah-v5 --steps 20000")
    assert asked("ddpg --env HalfCheetah-v5 --steps 20000 --learning-starts 10000")["learning_starts"] == 10_000


def test_a_table_of_arguments(asked, tmp_path):
    (tmp_path / "mine.toml").write_text('algorithm = "ppo"\nenv = "CartPole"\nsteps = 1e3\nseed = 4\nquiet = true\n'
                                        'lr = "linear:1e-3:0"\n[env_args]\nmax_episode_steps = 9\n')
    seen = asked("--config mine.toml --lr 0.1")
    assert {name: seen[name] for name in ("algorithm", "seed", "steps", "lr", "quiet", "env_args")} == {
        "algorithm": "ppo", "seed": 4, "steps": 1000, "lr": 0.1, "quiet": True, "env_args": {"max_episode_steps": 9}}
    assert asked("--config mine.toml")["lr"] == "linear:1e-3:0"


PRESETS = """
[ppo."CartPole-v1"]
lr = 0.125
[ppo."CartPole-v1:slow"]
lr = 0.25
env_args = {max_episode_steps = 9}
[sac."Pendulum-v1"]
steps = 5_000
"""


def test_presets_of_ones_own(asked, tmp_path, capsys):
    (tmp_path / "mine.toml").write_text(PRESETS)
    assert asked("ppo --env CartPole-v1 --config mine.toml")["preset"] == {"lr": 0.125}
    assert asked("ppo --env CartPole --preset slow --config mine.toml")["preset"]["lr"] == 0.25
    assert asked("sac --config mine.toml")["env"] == "Pendulum-v1"          # the only one
    assert "has 2 presets for ppo on any environment; there are: ppo on CartPole-v1, ppo on" in refused(
        "train ppo --config mine.toml", capsys)
    assert "has no presets for a2c on any" in refused("train a2c --config mine.toml", capsys)
    agent = scratchac.make_agent("ppo", "CartPole-v1", preset={"lr": 0.125}, hidden=(4,))
    assert agent.config.lr == 0.125


@pytest.mark.parametrize("text, message", [
    ("lr = ", "cannot be read: "), ("learning_rate = 1e-3\nalgorithm = 'ppo'", "here it is lr"), ("lr = 1", "needs an algorithm"),
    ("algorithm = 'ppp'", "did you mean ppo"), ("algorithm = 'ppo'\nsed = 1", "did you mean seed"),
    ("algorithm = 'ppo'\nenv = 'mod:X-v0'", "names mod:X-v0, and a module is code"), ("[poo.X]\nlr = 1", "did you mean ppo"),
    ("[ppo]\nlr = 1", 'such as [ppo."CartPole-v1"]'), ("algorithm = 'ppo'\nenv_args = 3", "env_args must be a dict"),
    ('[ppo."CartPole-v1"]\nenv_args = 3', "env_args must be a dict"),
    ('[ppo."CartPole-v1"]\nseed = 3', "a preset holds hyperparameters and env_args, and --seed is neither"),
    ("algorithm = 'ppo'\nhyperparameters = 3", "hyperparameters are a table of names and values, not 3"),
])
def test_a_file_that_is_wrong(text, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.toml").write_text(text)
    assert message in refused("train --config mine.toml", capsys)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.toml"]
    assert "nowhere.toml cannot be read: No such file" in refused("train ppo --config nowhere.toml", capsys)


def test_a_run_on_a_callable_is_not_given_back_without_an_environment(tmp_path, quick_end):
    import gymnasium

    scratchac.train("a2c", lambda **kwargs: gymnasium.make("CartPole-v1", **kwargs), 40, out=tmp_path / "run", hidden=(4,))
    with pytest.raises(UserError, match="on the callable <lambda>: env names another"):
        arguments_from(tmp_path / "run")
    assert arguments_from(tmp_path / "run", env="CartPole-v1")["hidden"] == (4,)


def test_every_argument_that_a_run_was_made_with_is_given_back():
    """What config.json has of `train`'s arguments is what `--config` gives it again."""
    arguments = inspect.signature(scratchac.train).parameters.keys()
    assert set(KEPT) == (CONFIG.entries.keys() | CONFIG.optional.keys()) & arguments - {"hyperparameters"}


def test_evaluations_during_training_are_given_back(tmp_path, capsys, monkeypatch, quick_end):
    monkeypatch.chdir(tmp_path)
    scratchac.train("a2c", "CartPole-v1", 80, out="run", hidden=(4,), eval_every=40, stop_at=5.0, patience=3)
    given = arguments_from("run")
    assert (given["eval_every"], given["stop_at"], given["patience"]) == (40, 5.0, 3)
    agent = scratchac.train("a2c", "CartPole-v1", 80, hidden=(4,))
    scratchac.train("a2c", "CartPole-v1", 80, out="from", hidden=(4,), init=agent)
    assert "init" not in arguments_from("from") and "started from an agent in memory" in capsys.readouterr().err


def test_a_run_says_how_it_was_made(run, tmp_path, monkeypatch, quick_end):
    made = json.loads((run / "config.json").read_text())["made"]
    assert set(made) == {"command", "date", "versions"} and made["versions"]["numpy"] == np.__version__
    assert made["versions"]["scratchac"] == __version__ and len(made["date"]) == len("2026-01-01T12:00:00+00:00")
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@y"]
    try:
        for words in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "x"]):
            subprocess.run([*git, *words], cwd=tmp_path, check=True)
    except FileNotFoundError:
        pytest.skip("git is not installed")
    monkeypatch.setattr(sys, "argv", ["/usr/bin/scratchac", "train", "a2c", "--env-args", "name=two words"])
    scratchac.train("a2c", "CartPole-v1", 40, out=tmp_path / "second", hidden=(4,))
    made = json.loads((tmp_path / "second" / "config.json").read_text())["made"]
    assert made["command"] == "scratchac train a2c --env-args 'name=two words'" and len(made["commit"]) == 40
    assert scratchac.load(tmp_path / "second").step == 40


# -- evaluating and filming ----------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:.*out of date:DeprecationWarning")
def test_evaluating_elsewhere(run, capsys):
    def evaluated(words):
        capsys.readouterr()
        assert main(["evaluate", "run", "-n", "3", "--json", *words.split()]) == 0
        return json.loads(capsys.readouterr().out)

    assert max(evaluated("")["returns"]) <= 0                               # sutton_barto_reward: 0, and −1 at the end
    other = evaluated("--env CartPole-v0")
    assert other["env"] == "CartPole-v0" and min(other["returns"]) > 1      # its arguments are its own
    assert evaluated("--env-args sutton_barto_reward=false max_episode_steps=5")["returns"] == [5, 5, 5]
    assert evaluated("--env CartPole --env-args sutton_barto_reward=false")["env"] == "CartPole-v1"
    assert evaluated("--env CartPole-v0 --stochastic")["returns"] != other["returns"]
    assert "Pendulum-v1" in refused("evaluate run --env Pendulum-v1", capsys)


@pytest.mark.slow
def test_filming_elsewhere(run, capsys):
    first = (run / "checkpoint.npz").rename(run.parent / "first.npz").read_bytes()
    (run / "checkpoint.npz").write_bytes(first)
    assert main(["resume", "run", "--steps", "160", "--quiet", "--no-video", "--eval-episodes", "0"]) == 0
    for name, words in (("new.gif", ""), ("earlier.gif", "--checkpoint first.npz"),
                        ("random.gif", "--stochastic")):
        capsys.readouterr()
        assert main(["video", "run", "--out", name, *words.split()]) == 0 and capsys.readouterr().out == f"{name}\n"
    assert scratchac.load(run).step == 160 and scratchac.load(run, checkpoint="first.npz").step == 80
    assert main(["evaluate", "run", "-n", "1", "--json", "--checkpoint", "first.npz"]) == 0
    evaluated = json.loads(capsys.readouterr().out)
    assert (evaluated["policy"], evaluated["step"]) == ("first.npz", 80)
    assert main(["evaluate", "run", "-n", "1", "--checkpoint", "first.npz"]) == 0
    assert "a2c on CartPole-v1, first.npz (of step 80), 1 episodes" in capsys.readouterr().out
    assert (run.parent / "new.gif").read_bytes() != (run.parent / "random.gif").read_bytes()
    assert not list(run.glob("video.*"))
    assert "exists already" in refused("video run --out new.gif", capsys)
    assert "a file .gif or .mp4" in refused("video run --out new.avi", capsys)
    assert "nowhere.npz" in refused("video run --checkpoint nowhere.npz", capsys)


# -- what fits a terminal ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [80, 200])
def test_presets_fit_the_terminal(width, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", str(width))
    assert main(["presets", "ppo"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= width and all(line.startswith(("ppo on", "    ")) for line in lines)
    assert main(["presets", "A2C", "--env", "CartPole"]) == 0
    lines = capsys.readouterr().out.splitlines()
    tuned = 3 if width == 80 else 2
    assert lines[0] == "a2c on CartPole-v1 (tuned on seeds 500-509)"
    assert lines[1].startswith("    steps=200000  actor_lr=linear:1e-3:0") and lines[tuned - 1].endswith("optimiser=adam")
    assert lines[tuned].startswith("    reached: median ")
    assert all(line.startswith(("    reached: median ", "      ")) for line in lines[tuned:])         # some in two lines


def test_presets_say_what_they_have_reached(monkeypatch, capsys):
    seen = {"steps": 20_000, "seeds": "0-2", "backend": "numba", "policy": "deterministic", "median": -140.6, "worst": -151.0,
            "minutes": 1.5}
    monkeypatch.setattr("scratchac.experiments.presets.reached", lambda: {
        "sac": {"Pendulum-v1": [seen, seen | {"seeds": "7", "policy": "stochastic"}]}})
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["presets", "sac", "--env", "Pendulum"]) == 0
    assert capsys.readouterr().out.splitlines()[-2:] == [
        "    reached: median -140.6, worst -151 of 3 seeds (0-2), 20,000 steps with numba, 1.5 minutes a seed",
        "    reached: median -140.6, worst -151 of 1 seed (7), 20,000 steps with numba, sampled actions, 1.5 minutes a seed"]


def test_a_table_of_checks_fits_the_terminal():
    from scratchac.gradcheck.differences import Result, table

    results = [Result("a rather long name of a loss that is checked, with its options", 1234, 1.2e-9, "the mean is a sum", 3.0),
               Result("another one", 5, 0.1, "a mistake whose description goes on for quite some time, beyond a line", 1e-9)]
    assert max(map(len, table(results).splitlines())) > 130 and table(results, 300) == table(results)
    for width in (40, 80):
        shown = table(results, width)
        assert max(len(line) for line in shown.splitlines() if "FAILED" not in line) <= width
        shown = " ".join(shown.split())
        assert all(word in shown for word in ("1234 coordinates", "1.2e-09 ✓", "1.0e-01 ✗", "caught", "MISSED", "FAILED"))


class Terminal:
    """A stderr that somebody looks at."""

    encoding = "utf-8"

    def __init__(self, tty):
        self.tty, self.text = tty, ""

    def isatty(self):
        return self.tty

    def write(self, text):
        self.text += text

    def flush(self):
        pass


@pytest.mark.parametrize("width", [60, 80, 200])
def test_the_bar_fits_the_terminal(width, monkeypatch, quick_end):
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr(sys, "stderr", seen := Terminal(True))
    scratchac.train("a2c", "CartPole-v1", 400, quiet=False, hidden=(4,))
    shown = [line for line in seen.text.replace("\r", "\n").splitlines() if "steps/s" in line]
    assert shown and "100%" in shown[-1] and "return" in shown[-1]
    assert max(map(len, shown)) <= min(width, 100)


def test_there_is_no_bar_without_a_terminal(monkeypatch, quick_end):
    monkeypatch.setattr(sys, "stderr", seen := Terminal(False))
    scratchac.train("a2c", "CartPole-v1", 400, quiet=False, hidden=(4,))
    assert seen.text == ""


# -- compilation ---------------------------------------------------------------------------------------------------------


def test_compiling_is_counted_apart_and_told_once(capsys, monkeypatch):
    numba = pytest.importorskip("numba", reason="Numba is not installed")
    from scratchac.experiments.reporter import Reporter

    @numba.njit
    def inner(x):
        return x + 1

    @numba.njit
    def outer(x):
        return inner(x) * 2

    class Agent:
        step, metrics = 0, ()

    class Interaction:
        class episodes:
            finished, recent = 0, []

    import time

    began = time.perf_counter()
    with Reporter(None, Agent, 100, quiet=False) as reporter:
        outer(1)
        outer(1.5)
        compiled = reporter.compilation.seconds
        reporter(Agent, Interaction, {}, compiled + 0.5, 1)
        outer(2)
        assert reporter.compilation.seconds == compiled                     # it is compiled already
        reporter(Agent, Interaction, {}, 0.25, 1)
    whole = time.perf_counter() - began
    progress = reporter.progress
    assert 0 < compiled < whole and progress["compile_s"] == compiled
    assert progress["wall_s"] < whole - compiled + 1e-3 and progress["update_s"] == pytest.approx(0.75)
    outer(np.float32(1))                                                    # nobody listens any more
    assert reporter.compilation.seconds == compiled
    assert capsys.readouterr().err.splitlines() == ["scratchac: compiling (once) …"]


def test_compiling_in_an_evaluation_is_left_out_once():
    from scratchac.experiments.reporter import Reporter

    class Evaluations:
        improved = enough = False

        def __init__(self, reporter):
            self.reporter = reporter

        def due(self, step):
            return True

        def __call__(self, agent):
            self.reporter.compilation.seconds += 50.0
            return {}

    agent = SimpleNamespace(step=0, metrics=())
    interaction = SimpleNamespace(episodes=SimpleNamespace(finished=0, recent=[]))
    with Reporter(None, agent, 100, quiet=True) as reporter:
        reporter.evaluations = Evaluations(reporter)
        for _ in range(2):
            reporter(agent, interaction, {}, 0.25, 1)
    assert 0 <= reporter.progress["wall_s"] < 10 and reporter.progress["compile_s"] == 50
    assert reporter.progress["update_s"] == pytest.approx(0.5)


def test_compiling_moves_the_clock_of_the_bar(monkeypatch):
    from scratchac.experiments.reporter import Reporter

    monkeypatch.setattr(sys, "stderr", Terminal(True))
    reporter = Reporter(None, SimpleNamespace(step=0), 100)
    began = reporter.bar.start_t
    reporter.leave_out(3.0)
    assert reporter.bar.start_t == began + 3 and reporter.compiled == 3
    reporter.bar.close()


# -- completion ----------------------------------------------------------------------------------------------------------


TABLE = {"words": {"go": {"words": {"left": None, "right": None}, "texts": {"left": "not right"}, "files": False,
                          "options": {"--env": ["where", "env", False], "--pick": ["which", ["best", "worst"], True],
                                      "--dry": ["", None, False]}},
                   "see": {"words": {}, "texts": {}, "files": True, "options": {"--out": ["file", FILES, False]}}},
         "texts": {"go": "move"}, "options": {}, "files": False, "lists": {"env": ["A-v0", "A-v1", "B-v0"]}}


@pytest.mark.parametrize("line, words", [
    ("", ["go", "see"]), ("g", ["go"]), ("go ", ["left", "right"]),
    ("go left ", ["--env", "--pick", "--dry"]), ("go --d", ["--dry"]), ("go --env A", ["A-v0", "A-v1"]),
    ("go --env=B", ["--env=B-v0"]), ("go --env = B", ["B-v0"]), ("go --env =", ["A-v0", "A-v1", "B-v0"]),
    ("go --env A-v0 l", ["left"]), ("go --pick best w", ["worst"]), ("go --pick best --e", ["--env"]), ("go --dry r", ["right"]),
    ("see ", []), ("see --", ["--out"]), ("see --out x", []), ("see --unknown x", [])])
def test_what_can_follow_on_a_command_line(line, words):
    assert [word for word, _ in candidates(TABLE, line.split(" "))] == words


def test_all_commands_and_hyperparameters_are_completed_with_their_texts():
    table = table_of(COMMANDS)
    assert dict(candidates(table, ["ev"])) == {"evaluate": COMMANDS["evaluate"][1]}
    assert [word for word, _ in candidates(table, ["sweep", "ppo", "--clip-v"])] == ["--clip-value"]
    assert candidates(table, ["evaluate", "x"]) == []
    assert dict(candidates(table, ["train", "a2c", "--lam"]))["--lam"].startswith("λ of GAE")
    assert [word for word, _ in candidates(table, ["hunt", "gr"])] == ["gradcheck"]
    for name, node in [*table["words"].items(), *table["words"]["train"]["words"].items()]:
        assert all(text for text, *_ in node["options"].values()), name


COMPLETED = {"scratchac ev": ["evaluate"], "scratchac train discr": ["discrete-sac"],
             "scratchac train ppo --cl": ["--clipped-log-prob", "--clip", "--clip-value"],
             "scratchac train td3 --preset te": ["textbook"],
             "scratchac train ppo --env CartPole-v": ["CartPole-v0", "CartPole-v1"], "scratchac exercise so": ["solution"],
             "scratchac sweep a2c --see": ["--seeds"], "scratchac completion f": ["fish"]}


@pytest.mark.slow
@pytest.mark.parametrize("shell", ["bash", "fish", "zsh"])
def test_a_shell_completes_commands_algorithms_options_and_presets(shell, capsys, tmp_path):
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    assert main(["completion", shell]) == 0
    (tmp_path / "_script").write_text(capsys.readouterr().out)
    (tmp_path / "runs").mkdir()

    def said(code):
        options = {"zsh": ["-fc"], "fish": ["--private", "-c"]}.get(shell, ["-c"])
        done = subprocess.run([shell, *options, code], capture_output=True, text=True, check=True, cwd=tmp_path)
        return done.stdout.split("\n")[:-1]

    if shell == "zsh":                                  # what it offers is seen in a terminal only
        assert said("compdef() { echo $@ }; source ./_script") == ["_scratchac scratchac"]
        show = ("compdef() :; source ./_script; _describe() { print -l -- ${found%%:*} }; _files() { echo files };"
                "words=(LINE); CURRENT=$#words; _scratchac")
        completed = {line: said(show.replace("LINE", line)) for line in COMPLETED}
        assert said(show.replace("LINE", "scratchac plot ru")) == ["files"]
    elif shell == "fish":
        completed = {line: [x.split("\t")[0] for x in said(f"source _script; complete -C '{line}'")] for line in COMPLETED}
        assert said("source _script; complete -C 'scratchac plot ru'") == ["runs/"]
    else:
        show = ("source ./_script; COMP_WORDS=(LINE); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _scratchac; "
                "printf '%s\\n' \"${COMPREPLY[@]}\"")
        completed = {line: said(show.replace("LINE", line)) for line in COMPLETED}
        assert "-o default" in said("source ./_script; complete -p scratchac")[0]          # files, where nothing else is offered
    assert completed == COMPLETED
