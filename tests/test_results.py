"""The results in the manual: on which seeds, with which settings, and what their files hold."""

import importlib
import json
import subprocess
import sys
import time
from argparse import Namespace
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pytest

import scratchac
from scratchac import algorithms
from scratchac.algorithms.config import configure
from scratchac.environments.games import GAMES
from scratchac.errors import UserError
from scratchac.experiments.presets import find_preset, presets, reached, tuning_seeds
from scratchac.tools.flags import seeds_from

RESULTS = Path(__file__).parents[1] / "demos" / "results"
RECORDED = [(a, e) for a, tables in presets().items() for e, values in tables.items() if "tuning_seeds" in values]


@pytest.fixture
def script(monkeypatch):
    """A function that imports a script of demos/results by its name, as the scripts import one another."""
    monkeypatch.syspath_prepend(RESULTS)
    return importlib.import_module


def test_the_command_refuses_a_result_on_a_tuning_seed():
    """It says which seed, which were tuned on, and ends before it trains or writes."""
    first = seeds_from(tuning_seeds("a2c", "LunarLander-v3"))[0]
    done = subprocess.run([sys.executable, RESULTS / "run.py", "a2c", "LunarLander-v3", "--seeds", f"0,{first}"],
                          capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert f"seed {first} is one that the preset of a2c on LunarLander-v3 was tuned on" in done.stderr


@pytest.mark.parametrize("env, seeds, tuning, message", [
    ("LunarLander-v3", [0, 519], False, "seed 519 is one"), ("LunarLander-v3", [0, 9], False, None),
    ("LunarLander-v3", [500, 3], True, "seed 3 is not for tuning"), ("LunarLander-v3", [500, 519], True, None),
    ("Acrobot-v1", [500], True, "records no tuning seeds"), ("Acrobot-v1", [500], False, None)])
def test_results_and_tuning_share_no_seed(env, seeds, tuning, message, script):
    require_honest = script("run").require_honest
    options = Namespace(algorithm="a2c", env=env, preset=None, seeds=seeds, tuning=tuning)
    if message is None:
        return require_honest(options)
    with pytest.raises(SystemExit, match=message):
        require_honest(options)


def test_runs_of_different_settings_do_not_share_a_file(script, tmp_path, monkeypatch):
    """Neither those of a preset that has changed, nor those with another value, nor those of another preset."""
    run = script("run")
    monkeypatch.setattr(run, "HERE", tmp_path)
    recorded = []

    def record(options, given, backend, seed, path):
        recorded.append((path.name, seed))
        tuned = find_preset("ddpg", "Pendulum-v1", options.preset)[0]
        config = configure(algorithms.find("ddpg").config_class, "ddpg", tuned | given)
        script("files").write(path, {"hyperparameters": asdict(config), "seeds": {str(seed): {}}})

    monkeypatch.setattr(run, "record", record)
    (tmp_path / "returns").mkdir()
    for words in ("--seeds 0", "--seeds 0-1", "--preset fast --seeds 0", "--set tau=0.1 --name other"):
        monkeypatch.setattr(sys, "argv", ["run.py", "ddpg", "Pendulum-v1", *words.split()])
        run.main()
    assert recorded[:3] == [("ddpg-Pendulum-v1.json", 0), ("ddpg-Pendulum-v1.json", 1), ("ddpg-Pendulum-v1-fast.json", 0)]
    assert recorded[3:] == [("other.json", seed) for seed in range(5)]
    monkeypatch.setattr(sys, "argv", ["run.py", "ddpg", "Pendulum-v1", "--seeds", "2", "--set", "tau=0.1"])
    with pytest.raises(UserError, match="have other hyperparameters: delete the file"):
        run.main()


@dataclass(frozen=True)
class Config:
    """Of an algorithm that got a hyperparameter, `new`, after files were written."""

    hidden: tuple[int, ...] = (8,)
    new: float = 0.0


def test_files_of_results(script, tmp_path):
    files, path = script("files"), tmp_path / "new" / "one.json"
    assert files.read(path, seeds={}) == {"seeds": {}}
    files.write(path, {"seeds": {"0": 1.5}})
    assert files.read(path, seeds={}) == {"seeds": {"0": 1.5}}
    result = {"hyperparameters": {"hidden": [1]}, "env_args": {}}
    files.require_same(path, {}, env_args={"gravity": -5})
    files.require_same(path, result, Config(hidden=(1,)), env_args={})
    with pytest.raises(UserError, match="have other env_args and hyperparameters: delete the file"):
        files.require_same(path, result, Config(hidden=(2,)), env_args={"gravity": -5})
    files.require_same(path, {"seeds": {}}, Config())
    with pytest.raises(UserError, match="have other hyperparameters"):                   # it does not say with which it was trained
        files.require_same(path, {"seeds": {"0": 1}}, Config())
    with pytest.raises(UserError, match="have other hyperparameters: burn it"):          # that file was not trained with it
        files.require_same(path, result, Config(hidden=(1,), new=0.5), cure="burn it", env_args={})
    with pytest.raises(UserError, match="takes name=value, not 'steps'"):
        files.given_by(["lr=1", "steps"])
    with pytest.raises(SystemExit, match=r"^no$"):
        files.as_script(lambda: (_ for _ in ()).throw(UserError("no")))
    assert files.summary([1.0, 2.0]) == {"mean": 1.5, "std": 0.5}
    assert list(files.versions("numpy", "no-such")) == ["python", "numpy"]
    assert files.given_by(["lr=1e-3", "noise=ou", "hidden=[8,8]"]) == {"lr": 0.001, "noise": "ou", "hidden": [8, 8]}


@pytest.mark.skipif(sys.platform == "win32", reason="there nothing keeps two processes apart")
def test_nobody_loses_what_another_adds(script, tmp_path, monkeypatch):
    files, path = script("files"), tmp_path / "one.json"
    monkeypatch.setattr(files, "LOCK", tmp_path / ".lock")

    def add(seed):
        with files.changing(path, seeds={}) as result:
            time.sleep(0.01)                            # in which the others would read the file, too
            result["seeds"][str(seed)] = seed

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add, range(4)))
    assert files.read(path)["seeds"] == {str(seed): seed for seed in range(4)}
    with pytest.raises(ZeroDivisionError), files.changing(path) as result:
        result["seeds"] = 1 / 0
    assert len(files.read(path)["seeds"]) == 4          # a block that fails changes nothing


def test_a_curve_is_kept_once(script, tmp_path):
    """Neither a seed that is run again, nor one that is no longer in the file of results, leaves rows behind."""
    run, path = script("run"), tmp_path / "curves" / "x.csv"
    for seed, kept in ((0, ["0"]), (1, ["0", "1"]), (1, ["0", "1"]), (2, ["2"])):
        run.add_curve(path, seed, {"step": np.arange(1, 101), "return_mean": np.full(100, seed)}, kept)
        rows = path.read_text().splitlines()
        assert rows[0] == "seed,step,return_mean" and len(rows) == 1 + 40 * len(kept)
        assert {row.split(",")[0] for row in rows[1:]} == set(kept)


def test_peers_are_what_the_script_would_add_to(script):
    """Further seeds go into the committed files: their settings are those of the script."""
    peer = script("peer")
    for path in (RESULTS / "peers").glob("*.json"):
        result = json.loads(path.read_text())
        if path.stem == "-".join(result.get(name, "") for name in ("library", "algorithm", "env")):
            config = scratchac.make_agent(result["algorithm"], result["env"]).config
            settings = peer.SETTINGS[result["algorithm"], result["env"]] | {"n_timesteps": config.steps, "threads": 1}
            assert result["settings"] == json.loads(json.dumps(settings)), path


@pytest.mark.parametrize("algorithm, env", RECORDED)
def test_committed_results_are_the_presets(algorithm, env, script):
    """On ten seeds or more, none of them tuned on, with the settings of the preset as it is; of games there are other results."""
    env, _, name = env.partition(":")
    tuned = set(seeds_from(tuning_seeds(algorithm, env, name or None)))
    expected = asdict(configure(algorithms.find(algorithm).config_class, algorithm, find_preset(algorithm, env, name or None)[0]))
    file = f"{algorithm}-{env}" + (f"-{name}" if name else "")
    paths = [path for path in (RESULTS / "returns" / f"{file}{x}.json" for x in ("", "-numba")) if path.exists()]
    assert paths or env in GAMES
    for path in paths:
        result = json.loads(path.read_text())
        found = script("files").recorded(result["hyperparameters"], algorithms.find(algorithm).config_class)
        assert found == json.loads(json.dumps(expected))
        assert len(result["seeds"]) >= 10 and not tuned & {int(seed) for seed in result["seeds"]}
        assert set(seeds_from(result["tuning_seeds"])) == tuned             # which the table prints


def test_rows_that_name_a_preset_have_its_settings(script):
    """Also those whose preset records no tuning seeds; a run from pictures may have stopped near the end that is planned now."""
    rows = [row for row in script("returned").returned() if row.preset in presets()[row.result["algorithm"]]]
    assert len(rows) > 30
    for row in rows:
        result, algorithm, env = row.result, row.result["algorithm"], row.result["env"]
        config_class = algorithms.find(algorithm).config_class
        config = asdict(configure(config_class, algorithm, find_preset(algorithm, env, row.variant or None)[0]))
        steps = config.pop("steps")
        found = script("files").recorded(result["hyperparameters"], config_class)
        found.pop("steps")
        assert found == json.loads(json.dumps(config)), (algorithm, env)
        assert result["steps"] == pytest.approx(steps, rel=0.05 if "pixels" in result.get("env_args", {}) else 0)


def test_the_readme_names_what_misses_its_bar(script):
    """Each row, also of a preset with a name, whose worst seed or median is below what is asked for: with both numbers."""
    text = " ".join((RESULTS.parents[1] / "README.md").read_text().split())
    told = text[text.index("What misses its bar:"):text.index("[What is known of the reasons")]
    missed = [row for row in script("returned").returned() if row.bar is not None and seen(row) < row.bar]
    assert missed
    for row in missed:
        assert f"{seen(row):,.0f}" in told and f"{row.bar:,}" in told, (row.result["algorithm"], row.preset)


def seen(row):
    """What the bar is compared with."""
    return row.means.min() if row.of == "worst" else np.median(row.means)


def test_what_presets_have_reached_is_that_of_the_files(script):
    """Each name is a preset's, and the numbers are those of the returns."""
    assert reached() == script("returned").reached()
    for algorithm, by_env in reached().items():
        assert by_env.keys() <= presets()[algorithm].keys()
    result = json.loads((RESULTS / "returns" / "sac-Hopper-v5-numba.json").read_text())
    (seen,) = reached()["sac"]["Hopper-v5"]
    assert seen["worst"] == round(min(seed["deterministic"]["mean"] for seed in result["seeds"].values()), 1)


def test_versions_of_seeds_that_came_at_different_times(script):
    """A file names each version with which one of its seeds was trained, once."""
    versions = script("files").versions
    now = versions("numpy", "no-such-package")
    assert now.keys() == {"python", "numpy"} == versions("numpy", before=now).keys() and versions("numpy", before=now) == now
    mixed = versions("numpy", before={"python": now["python"], "numpy": "1.0", "jax": "0.5"})
    assert mixed == {"python": now["python"], "numpy": f"1.0, {now['numpy']}", "jax": "0.5"}
    assert versions("numpy", before=mixed) == mixed


def test_tables_of_what_is_solved_and_of_growth(script, tmp_path, monkeypatch):
    """From the files that `scratchac bench --json` writes; without them there is a line instead."""
    tables = script("tables_of_speed")
    monkeypatch.setattr(tables, "HERE", tmp_path)
    assert tables.solve() == tables.every_table("growth.json") == tables.UNMEASURED
    rows = [{"what": f"CartPole-v1, 475: {who}", "seconds": seconds, "environment steps": seconds and 9_000, "solved": solved,
             "runs": [[1.5, 9000], None]} for who, seconds, solved in (
                 ("SBX, ppo", None, "1 of 3"), ("scratchac, ppo", 2.25, "3 of 3"), ("SBX, dqn", 8.0, "3 of 3"),
                 ("scratchac, ppo, nothing compiled before", 9.0, "3 of 3"))]
    (tmp_path / "solve-CartPole-v1.json").write_text(json.dumps({"cpus": 2, "packages": {}, "Solved": {"unit": "", "rows": rows}}))
    lines = tables.solve().splitlines()[2:]
    assert lines == ["| CartPole-v1 | 475 | scratchac, ppo | 2.2 | 9,000 | 3 of 3 |",
                     "| CartPole-v1 | 475 | SBX, dqn | 8.0 | 9,000 | 3 of 3 |",
                     "| CartPole-v1 | 475 | scratchac, ppo, nothing compiled before | 9.0 | 9,000 | 3 of 3 |",
                     "| CartPole-v1 | 475 | SBX, ppo |  |  | 1 of 3 |"]
    assert tables.solve(short=True).splitlines()[2:] == lines[:3]             # of SBX the fastest alone
    growth = {"With width": {"unit": "updates per second", "rows": [{"what": "8-8", "numpy": 10.0, "numba": 25.0}]},
              "With the buffer": {"unit": "bytes", "rows": [{"what": "10", "vectors": 430}]}}
    (tmp_path / "growth.json").write_text(json.dumps(growth))
    made = tables.every_table("growth.json")
    assert "| 8-8 | 10.0 | 25.0 (2.5×) |" in made and "| 10 | 430 |" in made


def test_results_beside_those_of_other_libraries(script, tmp_path, monkeypatch):
    """Ours with Numba where there are any, theirs by library; what a peer reached with other settings is no row."""
    pytest.importorskip("scipy")
    returned, tables = script("returned"), script("tables_of_returns")
    monkeypatch.setattr(returned, "HERE", tmp_path)
    for folder in "returns", "peers":
        (tmp_path / folder).mkdir()
    common = {"algorithm": "a2c", "env": "CartPole-v1", "steps": 9_000}
    for ending, means in ("", (100, 200)), ("-numba", (400, 500, 480)):
        seeds = {str(seed): {"deterministic": {"mean": mean}} for seed, mean in enumerate(means)}
        (tmp_path / "returns" / f"a2c-CartPole-v1{ending}.json").write_text(json.dumps(common | {"seeds": seeds}))
    (tmp_path / "returns" / "a2c-Acrobot-v1.json").write_text(json.dumps(common | {"env": "Acrobot-v1", "seeds": seeds}))
    theirs = common | {"library": "stable_baselines3", "random": 22.0, "seeds": {"0": {"mean": 490}, "1": {"mean": 300}}}
    for ending in "", "-as-ours", "-use_rms_prop=true":
        (tmp_path / "peers" / f"stable_baselines3-a2c-CartPole-v1{ending}.json").write_text(json.dumps(theirs))
    (row,) = returned.beside()
    assert (row.env, row.steps, row.bar, row.random) == ("CartPole-v1", 9_000, 475, 22.0)
    assert row.ours.tolist() == [400, 500, 480]
    assert {library: means.tolist() for library, means in row.theirs.items()} == {"Stable-Baselines3": [490, 300]}
    line = tables.beside_others().splitlines()[2]
    assert line.startswith("| a2c | CartPole-v1 | 9,000 | **480** | 400 | 3 | Stable-Baselines3 | **395** | 300 | 2 | 0.67 (")
