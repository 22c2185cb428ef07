"""The benchmark runs on backends of the CPU and on one with arrays of its own, and refuses to time a wrong kernel."""

import io
import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest

import kernels
import scratchac
from scratchac import returns
from scratchac.__main__ import main
from scratchac.bench import busy, growth, kernel_times, pace, report, solve, trainings, zoo
from scratchac.training.evaluation import evaluate


def grow(target, online, tau):
    """Polyak's step without the factor 1 − τ."""
    target += tau * online


class Wrong(kernels.Backend):
    name = "wrong"
    overrides = {"polyak": grow}                            # noqa: RUF012


SHORT = pace.Pace(1, 0.0)


@pytest.fixture
def quick(monkeypatch):
    """Make the benchmark short: one repetition, one size, short trainings, and a stand-in for a GPU."""
    monkeypatch.setitem(kernels.BACKENDS, "double", ("device_double", "DeviceBackend", ""))
    monkeypatch.setattr(report, "available", lambda: ["numpy", "double"])
    monkeypatch.setattr(pace, "Pace", lambda: SHORT)
    monkeypatch.setattr(trainings, "SIZES", {"tiny": (3, 1, (8,), 10)})
    monkeypatch.setattr(trainings, "TRAININGS", {
        "A2C": ("a2c", "CartPole-v1", 80, {}), "SAC": ("sac", "Pendulum-v1", 20, {"batch_size": 8, "learning_starts": 8}),
        "missing": ("sac", "NoSuchEnv-v0", 20, {})})
    monkeypatch.setattr(kernel_times, "CASES", {title: kernel_times.CASES[title] for title in list(kernel_times.CASES)[5:]})


@pytest.mark.slow
def test_everything_is_timed(quick, capsys):
    assert main(["bench", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    rows = {row["what"]: row for title in ("Kernels", "Updates", "Training") for row in result[title]["rows"]}
    assert {"SAC, tiny", "TD3, tiny", "DDPG, tiny", "SAC", "A2C", "Polyak, 145,000 parameters"} <= set(rows)
    assert "double" in rows["SAC"] and "double" not in rows["A2C"] and "floor" in rows["SAC, tiny"]
    assert all(x > 0 for row in rows.values() for name, x in row.items() if name != "what")
    assert result["packages"]["numpy"] == np.__version__


@pytest.mark.slow
def test_the_profile_knows_who_trains_what(quick, capsys):
    assert main(["bench", "--profile"]) == 0
    numpy, double = capsys.readouterr().out.split("Where the time goes, double")
    assert "| A2C |" in numpy and "| SAC |" in double and "| A2C |" not in double


def test_a_wrong_kernel_is_an_error(monkeypatch):
    monkeypatch.setitem(kernels.BACKENDS, "wrong", (__name__, "Wrong", ""))
    polyak = "Polyak, 145,000 parameters"
    monkeypatch.setattr(kernel_times, "CASES", {polyak: kernel_times.CASES[polyak]})
    with pytest.raises(AssertionError, match=f"{polyak} on wrong"):
        kernel_times.kernel_times(["wrong"], SHORT)


def test_a_table_is_printed_before_the_next_is_timed(monkeypatch, capsys):
    def tables(wanted, pace, peers, solved):
        assert set(wanted) == {"updates", "growth"}
        yield "First", [{"what": "a row", "numpy": 2.0, "numba": 8.0}], "rate", max
        assert "| a row | 2.0 | 8.0 (4.0×) |" in capsys.readouterr().out
        yield "Second", [{"what": "b", "solved": "1 of 3", "seconds": None, "steps": 12_000, "runs": [(1.5, 12_000)]}], "x", None

    monkeypatch.setattr(report, "tables", tables)
    assert main(["bench", "--only", "updates", "--growth"]) == 0
    table = "| x | solved | seconds | steps |\n|---|---|---|---|\n| b | 1 of 3 |  | 12,000 |"
    assert capsys.readouterr().out == f"Second\n\n{table}\n\n"


@pytest.mark.parametrize("words, message", [
    (["--only", "kernel"], "invalid choice"), (["--onyl", "kernels"], "did you mean --only"),
    (["--profile", "--solve"], "a measurement of its own"), (["--env", "CartPole-v1"], "--env is for bench --solve"),
    (["--solve", "--env", "Hopper-v5"], "unknown environment of bench --solve"),
    (["--only", "training", "--env", "Hopper-v5"], "unknown environment of bench --only training"),
    (["--only", "training", "updates", "--env", "CartPole-v1"], "--env is for bench --solve and bench --only training"),
    (["--profile", "--peers"], "a measurement of its own")])
def test_bad_words_give_one_line(words, message, capsys):
    assert main(["bench", *words]) == 2
    out, err = capsys.readouterr()
    assert not out and err.count("\n") == 1 and message in err


def test_one_environment_has_its_rows_alone_also_when_it_must_be_quick(monkeypatch, capsys):
    monkeypatch.setattr(trainings, "our_training", lambda *_: lambda: 5.0)
    monkeypatch.setattr(report, "available", lambda: ["numpy"])
    for words in (["--quick"], []):
        assert main(["bench", "--only", "training", "--env", "HalfCheetah", "--json", *words]) == 0
        table = json.loads(capsys.readouterr().out)["Training"]
        assert table["rows"] == [{"what": f"{name}, HalfCheetah-v5, 256-256, batch 256", "numpy": 5.0}
                                 for name in ("DDPG", "TD3", "SAC")]


def test_the_bar_names_what_is_timed_where_somebody_sees_it(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    for stderr, seen in ((Terminal(), True), (io.StringIO(), False)):
        monkeypatch.setattr(sys, "stderr", stderr)
        rate = trainings.in_turn({"ours": lambda: 3.0}, SHORT, "outside of a table")
        for title in SHORT.each("some table", ["one", "two"]):
            trainings.in_turn({"ours": lambda: 3.0}, SHORT, title)
        assert rate == {"ours": 3.0}
        assert ("some table" in stderr.getvalue() and "two: ours" in stderr.getvalue()) is seen
        assert seen or not stderr.getvalue()


def test_quick_rows_are_rows():
    assert set(kernel_times.TELLING) < set(kernel_times.CASES) and set(trainings.TELLING) < set(trainings.TRAININGS)
    assert list(pace.quick().rows({"a": 1, "b": 2}, ["b"])) == ["b"] and list(SHORT.rows({"a": 1, "b": 2}, ["b"])) == ["a", "b"]


@pytest.mark.slow
def test_a_quick_benchmark_from_the_command_line(monkeypatch, capsys):
    """Of the trainings that it times the first alone: all of them take most of its minute."""
    monkeypatch.setattr(trainings, "TELLING", trainings.TELLING[:1])
    assert main(["bench", "--quick", "--json", "--only", "kernels", "training"]) == 0
    out, err = capsys.readouterr()
    result = json.loads(out)
    assert not err
    assert [row["what"] for row in result["Kernels"]["rows"]] == [x for x in kernel_times.CASES if x in kernel_times.TELLING]
    assert [row["what"] for row in result["Training"]["rows"]] == list(trainings.TELLING) and "Updates" not in result


# -- growth ----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_growth(monkeypatch):
    for name, sizes in (("ENVIRONMENTS", (1, 3)), ("WIDTHS", (8,)), ("BATCHES", (8, 16)), ("BUFFERS", (10, 10**12)), ("STEPS", 30),
                        ("ROWS", (5,))):
        monkeypatch.setattr(growth, name, sizes)
    monkeypatch.setattr(growth, "SWEEP", growth.SWEEP | {"steps": 80, "seeds": 2})
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    environments, widths, batches, stacks, buffers, processes = (rows for _, rows, _, _ in growth.tables(["numpy"], SHORT))
    assert [row["what"] for row in environments] == ["1 environment", "3 environments"]
    assert [row["what"] for row in batches] == ["batch 8", "batch 16"] and all(row["numpy"] > 0 for row in widths + batches)
    assert [row["what"] for row in stacks] == ["5 rows"] and min(stacks[0]["numpy, stacked"], stacks[0]["numpy, one by one"]) > 0
    # 17 + 17 + 6 numbers, reward and two flags in float32; no machine has what 10¹² of them need
    assert [row["17 observations, 6 actions"] for row in buffers] == [10 * 4 * (17 + 17 + 6 + 3), None]
    assert [row["what"] for row in processes] == ["1", "2 (all cores)"] and all(row["seconds"] > 0 for row in processes)


def test_other_processes_compute_while_something_is_timed(monkeypatch):
    """They run during the row that names them, and after it none is left."""
    started, rates = [], []

    class Process:
        def __init__(self, command):
            started.append(self)
            self.ended = False

        def kill(self):
            self.ended = True

        def wait(self):
            assert self.ended

    monkeypatch.setattr(busy.subprocess, "Popen", Process)
    monkeypatch.setattr(trainings, "SIZES", {"small": (3, 1, (8,), 16)})
    monkeypatch.setattr(trainings, "in_turn", lambda *_: rates.append(sum(not x.ended for x in started)) or {"numpy": 1.0})
    assert [row["what"] for row in busy.rows(["numpy"], SHORT)][:3] == [
        "DDPG, alone", "DDPG, beside 1 other process", "DDPG, beside 2 other processes"]
    assert rates == [0, 1, 2] * 3 and all(x.ended for x in started)


def test_a_busy_process_computes_until_it_is_ended():
    with busy.processes(1) as (process,), pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)
    assert process.returncode


def test_a_busy_process_ends_with_its_parent():
    """Also where that is killed and ends nothing itself."""
    starts = ("import subprocess, sys; from scratchac.bench.busy import WORK; "
              "print(subprocess.Popen([sys.executable, '-c', WORK]).pid)")
    number = int(subprocess.run([sys.executable, "-c", starts], stdout=subprocess.PIPE, text=True).stdout)
    for _ in range(100):
        time.sleep(0.1)
        try:
            os.kill(number, 0)
        except ProcessLookupError:
            return
        except PermissionError:
            return                                                          # the number is another process's by now
    raise AssertionError("it computes for ever")


# -- solve -------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_clock_stops_at_the_first_evaluation_that_is_good_enough(monkeypatch):
    """The process that is measured has the threshold of the table, and the one that measures has an easier one."""
    monkeypatch.setitem(solve.THRESHOLDS, "CartPole-v1", 5)
    one = solve.Contestant("scratchac", "a2c", "CartPole-v1", {"steps": 4_000, "hidden": [8]})
    seconds, steps = solve.run(one, 3, SHORT)
    assert steps == 80 and 0.1 < seconds < 60               # the end of the first update after 2% of the budget
    assert solve.run(one, 3, SHORT, warms=True) is None


def test_a_run_that_takes_too_long_has_solved_nothing(monkeypatch):
    monkeypatch.setattr(solve, "LIMIT", 0.1)
    assert solve.run(solve.Contestant("scratchac", "a2c", "CartPole-v1"), 3, SHORT) is None


def test_what_is_not_solved_and_what_fails(monkeypatch, capsys):
    def run(one, seed, pace, warms=False):
        if one.empty:
            raise RuntimeError("no space left")
        return None if seed == 21 else (seed / 2, 100 * seed)

    monkeypatch.setattr(solve, "run", run)
    monkeypatch.setattr(solve, "contestants", lambda peers, quick, only: [
        solve.OURS[0], solve.Contestant("scratchac", "a2c", "CartPole-v1", empty=True)])
    (row,) = solve.rows(SHORT)
    assert row == {"what": solve.OURS[0].title, "seconds": 11.0, "environment steps": 2_200, "solved": "2 of 3",
                   "runs": [(10.0, 2_000), None, (11.0, 2_200)]}
    monkeypatch.setattr(solve, "run", lambda one, seed, pace, warms=False: None)
    assert [len(row["runs"]) for row in solve.rows(SHORT)] == [2, 2]            # these decide the median
    assert solve.medians([None, None, (1.0, 5)]) == {"seconds": None, "environment steps": None, "solved": "1 of 3"}
    assert "nothing compiled before: no space left" in capsys.readouterr().err


def test_the_last_line_of_an_error_is_told():
    with pytest.raises(RuntimeError, match="unknown algorithm 'a2d'; did you mean a2c"):
        solve.run(solve.Contestant("scratchac", "a2d", "CartPole-v1"), 0, SHORT)


@pytest.mark.parametrize("algorithm, env, options", [
    ("a2c", "CartPole-v1", {"steps": 400, "hidden": (8,)}),
    ("sac", "Pendulum-v1", {"steps": 300, "hidden": (8,), "learning_starts": 64, "batch_size": 16})])
def test_to_be_watched_changes_no_training(algorithm, env, options, monkeypatch, capsys):
    monkeypatch.setattr(solve, "EVALUATIONS", 3)
    monkeypatch.setattr(solve, "EPISODES", 2)
    monkeypatch.setitem(solve.THRESHOLDS, env, 10**6)
    ours = solve.train(solve.Contestant("scratchac", algorithm, env, options), 5)
    alone = scratchac.train(algorithm, env, seed=5, **options)
    assert len(capsys.readouterr().out.splitlines()) == 3
    np.testing.assert_equal(ours.state(), alone.state())


def test_evaluations_are_due_at_parts_of_the_budget_and_at_its_end(monkeypatch, capsys):
    monkeypatch.setattr(solve, "EVALUATIONS", 5)
    monkeypatch.setattr(solve, "EPISODES", 1)
    agent = scratchac.make_agent("a2c", "CartPole-v1", hidden=[8])
    watch = solve.Watch("CartPole-v1", 1_000, 1)
    assert [watch(step, agent) for step in (0, 199, 201, 390, 410, 590, 990, 1_000, 1_000)] == [
        False, False, True, False, True, False, True, True, True]
    steps = [json.loads(line)["step"] for line in capsys.readouterr().out.splitlines()]
    assert steps == [201, 410, 990, 1_000, 1_000]


def test_every_environment_has_one_of_ours_and_its_peers(monkeypatch):
    monkeypatch.setattr(zoo, "has", lambda library, algorithm: (library, algorithm) != ("sbx", "a2c"))
    monkeypatch.setattr(solve, "NEEDS", {})
    found = solve.contestants(peers=True, quick=False)
    for env in solve.THRESHOLDS:
        first, again, *others = [one for one in found if one.env == env]
        assert first.library == again.library == "scratchac" and again.empty and not first.empty
        assert {one.library for one in others} - {"RLtools", "PureJaxRL"} == set(zoo.TITLES)
    assert len({one.title for one in found}) == len(found)
    assert ("sbx", "a2c") not in {(one.library, one.algorithm) for one in found}
    assert {env for _, env in zoo.SETTINGS} == set(solve.THRESHOLDS)
    monkeypatch.setattr(solve.importlib.util, "find_spec", lambda name: name == "rltools" or None)
    found = solve.contestants(peers=True, quick=False)
    assert [(one.library, one.env) for one in found if one.library in ("RLtools", "PureJaxRL")] == [("RLtools", "Pendulum-v1")]
    assert {one.env for one in solve.contestants(peers=False, quick=True)} == {"CartPole-v1"}
    monkeypatch.setattr(solve, "NEEDS", {"LunarLander-v3": "no_such_package"})
    assert "LunarLander-v3" not in {one.env for one in solve.contestants(peers=True, quick=False)}


def test_the_zoo_trains_until_the_watch_says_so(monkeypatch):
    pytest.importorskip("stable_baselines3")
    seen = []

    def watch(step, agent):
        seen.append((step, agent.act(np.zeros((3, 4), np.float32)).shape))
        return step >= 512

    zoo.train("stable_baselines3", "ppo", "CartPole-v1", 0, watch)
    assert seen == [(0, (3,)), (256, (3,)), (512, (3,))]    # 8 environments × 32 steps


def test_schedules_of_the_zoo():
    assert zoo.scheduled("lin_0.5")(0.5) == 0.25 and zoo.scheduled(3) == 3
    assert {"a2c", "ddpg", "dqn", "ppo", "sac", "td3"} == {algorithm for algorithm, _ in zoo.SETTINGS}


# -- whole programs ------------------------------------------------------------------------------------------------------


def test_ppo_in_jax_learns():
    pytest.importorskip("gymnax")
    from scratchac.bench import jaxppo

    training = jaxppo.Training("CartPole-v1", 1)
    before = evaluate(training, "CartPole-v1", 20, 0).mean()
    for _ in range(10):
        training.advance(10)
    assert training.steps == 51_200 and evaluate(training, "CartPole-v1", 20, 0).mean() > 300 > 100 > before


def test_advantages_in_jax_are_ours(rng):
    """On steps that an episode's end divides; a time limit counts as an end there."""
    pytest.importorskip("gymnax")
    from scratchac.bench import jaxppo

    r, v, last = rng.standard_normal((5, 2)), rng.standard_normal((5, 2)), rng.standard_normal(2)
    done = np.array([[0, 0], [1, 0], [0, 0], [0, 1], [0, 0]], float)
    seen = jaxppo.Rollout(None, None, None, v, r, done)
    next_values = np.concatenate([v[1:], last[None]])
    ours = returns.gae(r, v, next_values, done, done, jaxppo.GAMMA, jaxppo.LAM)
    np.testing.assert_allclose(jaxppo.estimate(seen, last), ours, rtol=1e-4)


def test_rltools_runs_in_a_process_of_its_own():
    pytest.importorskip("rltools")
    from scratchac.bench import cpp

    assert cpp.rate("Pendulum-v1", 200, (16, 16), 20) > 0


def test_the_machine_is_described():
    machine = report.circumstances()
    assert machine["cpus"] > 0 and machine["packages"]["numpy"] == np.__version__
    assert all(", " in library for library in machine["blas"])
