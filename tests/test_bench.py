"""The benchmark runs, on the CPU's backends and on one with arrays of its own; it does not time a kernel that is wrong."""

import json

import numpy as np
import pytest

import kernels
from kernels import bench, bench_training
from kernels.numpy_kernels import NumpyKernels
from scratchac.__main__ import main


class Wrong(NumpyKernels):
    name = "wrong"

    def polyak(self, target, online, tau):
        target += tau * online


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """As small as it gets: one repetition, one size, short trainings, and stand-ins for the backends."""
    monkeypatch.setitem(kernels.BACKENDS, "double", ("device_double", "DeviceKernels", ""))
    monkeypatch.setattr(bench, "available", lambda: ["numpy", "double"])
    for module in (bench, bench_training):
        monkeypatch.setattr(module, "REPEATS", 1)
    monkeypatch.setattr(bench_training.turn_of, "__defaults__", (0.0,))
    monkeypatch.setattr(bench_training, "SIZES", {"tiny": (3, 1, (8,), 10)})
    monkeypatch.setattr(bench_training, "TRAININGS", {
        "A2C": ("a2c", "CartPole-v1", 80, {}), "SAC": ("sac", "Pendulum-v1", 20, {"batch_size": 8, "learning_starts": 8}),
        "missing": ("sac", "NoSuchEnv-v0", 20, {})})
    monkeypatch.setattr(bench, "CASES", {title: bench.CASES[title] for title in list(bench.CASES)[5:]})


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
    with pytest.raises(AssertionError, match="Polyak, 145,000 parameters on wrong"):
        bench.kernel_times(["wrong"])
