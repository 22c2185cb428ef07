"""The benchmark runs on backends of the CPU and on one with arrays of its own, and refuses to time a wrong kernel."""

import json

import numpy as np
import pytest

import kernels
from scratchac.__main__ import main
from scratchac.bench import kernel_times, report, trainings


def grow(target, online, tau):
    """Polyak's step without the factor 1 − τ."""
    target += tau * online


class Wrong(kernels.Backend):
    name = "wrong"
    overrides = {"polyak": grow}                            # noqa: RUF012


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Make the benchmark short: one repetition, one size, short trainings, and a stand-in for a GPU."""
    monkeypatch.setitem(kernels.BACKENDS, "double", ("device_double", "DeviceBackend", ""))
    monkeypatch.setattr(report, "available", lambda: ["numpy", "double"])
    for module in (kernel_times, trainings):
        monkeypatch.setattr(module, "REPEATS", 1)
    monkeypatch.setattr(trainings.turn_of, "__defaults__", (0.0,))
    monkeypatch.setattr(trainings, "SIZES", {"tiny": (3, 1, (8,), 10)})
    monkeypatch.setattr(trainings, "TRAININGS", {
        "A2C": ("a2c", "CartPole-v1", 80, {}), "SAC": ("sac", "Pendulum-v1", 20, {"batch_size": 8, "learning_starts": 8}),
        "missing": ("sac", "NoSuchEnv-v0", 20, {})})
    monkeypatch.setattr(kernel_times, "CASES", {title: kernel_times.CASES[title] for title in list(kernel_times.CASES)[5:]})


@pytest.mark.slow
def test_everything_is_timed(capsys):
    assert main(["bench", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    rows = {row["what"]: row for title in ("Kernels", "Updates", "Training") for row in result[title]["rows"]}
    assert {"SAC, tiny", "TD3, tiny", "DDPG, tiny", "SAC", "A2C", "Polyak, 145,000 parameters"} <= set(rows)
    assert "double" in rows["SAC"] and "double" not in rows["A2C"] and "floor" in rows["SAC, tiny"]
    assert all(x > 0 for row in rows.values() for name, x in row.items() if name != "what")
    assert result["packages"]["numpy"] == np.__version__


def test_the_profile_knows_who_trains_what(capsys):
    assert main(["bench", "--profile"]) == 0
    numpy, double = capsys.readouterr().out.split("Where the time goes, double")
    assert "| A2C |" in numpy and "| SAC |" in double and "| A2C |" not in double


def test_a_wrong_kernel_is_an_error(monkeypatch):
    monkeypatch.setitem(kernels.BACKENDS, "wrong", (__name__, "Wrong", ""))
    polyak = "Polyak, 145,000 parameters"
    monkeypatch.setattr(kernel_times, "CASES", {polyak: kernel_times.CASES[polyak]})
    with pytest.raises(AssertionError, match=f"{polyak} on wrong"):
        kernel_times.kernel_times(["wrong"])
