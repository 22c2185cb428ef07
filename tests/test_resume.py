"""A run that was stopped and resumed in a new process ends with the same checkpoint, bit by bit, as one that never stopped."""

import os
import subprocess
import sys

import pytest
from damage import same

from scratchac.__main__ import main
from scratchac.experiments.run import Run

OFF = "--buffer-size 500 --learning-starts 100 --batch-size 16 --hidden 8 8"
CASES = {                                               # arguments of `scratchac train`, 600 steps, stopped after 250
    "reinforce": "reinforce",
    "reinforce-baseline": "reinforce-baseline",
    "one-step actor-critic": "actor-critic",
    "A2C": "a2c --env CartPole-v1",
    "A2C, normalised, worlds of its own": "a2c --env LunarLander-v3 --randomise --envs 8 --rollout 5",
    "A2C, continuous, in processes": "a2c --env Pendulum-v1 --vector async --envs 2",
    "PPO": "ppo --env Acrobot-v1 --rollout 16 --batch-size 32",
    "PPO, games": "ppo --env tictactoe_v3 --envs 4 --rollout 8 --batch-size 16 --hidden 8",
    "DDPG, noise with inertia": f"ddpg --env MountainCarContinuous-v0 --noise ou {OFF}",
    "TD3, MuJoCo": f"td3 --env Hopper-v5 {OFF}",
    "SAC, several updates at a time": f"sac --env InvertedPendulum-v5 --train-every 7 --gradient-steps 3 {OFF}",
    "discrete SAC": f"discrete-sac {OFF}",
}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_resumed_is_never_stopped(backend, case, tmp_path, monkeypatch):
    if backend == "numba":
        pytest.importorskip("numba", reason="Numba is not installed")
    monkeypatch.setenv("NUMBA_NUM_THREADS", str(numba_threads()))           # another number would cut batches elsewhere
    words = ["train", *CASES[case].split(), "--steps", "600", "--seed", "3", "--backend", backend, "--quiet", "--no-video"]
    assert main([*words, "--out", str(tmp_path / "whole")]) == 0
    assert main([*words, "--out", str(tmp_path / "parts"), "--stop-after", "250"]) == 0
    assert 250 <= Run.open(tmp_path / "parts").restore()[0]["step"] < 600
    subprocess.run([sys.executable, "-m", "scratchac", "resume", tmp_path / "parts", "--quiet", "--no-video"], check=True)
    same(tmp_path / "whole", tmp_path / "parts")


def numba_threads():
    numba = sys.modules.get("numba")
    return numba.get_num_threads() if numba else os.cpu_count()
