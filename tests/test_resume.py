"""A run that was stopped and resumed in a new process ends with the same checkpoint, bit by bit, as one that never stopped."""

import json
import os
import random
import subprocess
import sys

import gymnasium as gym
import numpy as np
import pytest
from damage import same
from probes import Constant, Counter

import scratchac
from scratchac.__main__ import main
from scratchac.errors import UserError
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
    "TD3, normalised": f"td3 --env Hopper-v5 --normalise-obs {OFF}",
    "SAC, several updates at a time, noise with inertia":
        f"sac --env InvertedPendulum-v5 --train-every 7 --gradient-steps 3 --noise ou --noise-scale linear:0.5:0.2 {OFF}",
    "discrete SAC, normalised": f"discrete-sac --normalise-obs {OFF}",
}
NEEDS = {"LunarLander-v3": "Box2D", "tictactoe_v3": "pettingzoo", "Hopper-v5": "mujoco", "InvertedPendulum-v5": "mujoco"}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_resumed_is_never_stopped(backend, case, tmp_path, monkeypatch):
    if backend == "numba":
        pytest.importorskip("numba", reason="Numba is not installed")
    for word in CASES[case].split():
        if word in NEEDS:
            pytest.importorskip(NEEDS[word])
    monkeypatch.setenv("NUMBA_NUM_THREADS", str(numba_threads()))           # another number would cut batches elsewhere
    words = ["train", *CASES[case].split(), "--steps", "600", "--seed", "3", "--backend", backend, "--eval-episodes", "3",
             "--quiet", "--no-video"]
    assert main([*words, "--out", str(tmp_path / "whole")]) == 0
    assert main([*words, "--out", str(tmp_path / "parts"), "--stop-after", "250"]) == 0
    assert 250 <= Run.open(tmp_path / "parts").restore()[0]["step"] < 600
    subprocess.run([sys.executable, "-m", "scratchac", "resume", tmp_path / "parts", "--quiet", "--no-video"], check=True)
    same(tmp_path / "whole", tmp_path / "parts")


def numba_threads():
    numba = sys.modules.get("numba")
    return numba.get_num_threads() if numba else os.cpu_count()


@pytest.mark.slow
def test_resuming_on_another_callable_is_recorded(tmp_path):
    """The run continues from the step on which config.json says so; a run on an id stays there."""
    scratchac.train("a2c", lambda: Constant(), 400, out=tmp_path / "run", stop_after=200, hidden=(4,))
    scratchac.resume(tmp_path / "run", env=Constant)
    assert json.loads((tmp_path / "run" / "config.json").read_text())["resumed"] == [[200, "Constant"]]
    scratchac.train("a2c", "CartPole-v1", 400, out=tmp_path / "id", stop_after=200, hidden=(4,))
    with pytest.raises(UserError, match="trained on CartPole-v1, not on <lambda>: start a new run"):
        scratchac.resume(tmp_path / "id", env=lambda: gym.make("CartPole-v1"))


class OldGenerator(Counter):
    """Its generator is the old RandomState, as that of dm_control's environments is."""

    @property
    def np_random(self):
        return np.random.RandomState(0)


class NoGenerator(Counter):
    """It refuses to show a generator."""

    @property
    def np_random(self):
        raise RuntimeError("this simulator has no generator")


class OwnKind(np.random.PCG64):
    """A kind of generator that a run's folder does not know."""


class OwnGenerator(Counter):
    """Draws from a generator of its own kind."""

    def reset(self, *, seed=None, options=None):
        self.np_random = np.random.Generator(OwnKind(seed))
        return super().reset(options=options)


class Sealed(gym.spaces.Discrete):
    """A space that cannot be seeded, and shows no generator."""

    def seed(self):
        raise RuntimeError("sealed")


class OwnSpace(Counter):
    def __init__(self):
        super().__init__()
        self.goals = Sealed(2)


@pytest.mark.slow
@pytest.mark.parametrize("env", [OldGenerator, NoGenerator, OwnGenerator, OwnSpace])
@pytest.mark.parametrize("vector", ["sync", "async"])
def test_what_only_serves_resuming_never_ends_training(env, vector, tmp_path, capsys):
    """Later episodes of such an environment cannot be restored: on resume it begins a new one, and this is said."""
    scratchac.train("a2c", env, 400, out=tmp_path / "run", stop_after=200, envs=2, hidden=(4,), vector=vector)
    assert scratchac.resume(tmp_path / "run", env=env).step == 400
    told = capsys.readouterr().err
    assert all(f"do not restore environment {i}; it begins a new episode" in told for i in (0, 1))


class Secret(Constant):
    """What it draws at its reset decides the rewards, and is not observed."""

    def __init__(self, draw):
        super().__init__(limit=7)
        self.action_space, self.draw = gym.spaces.Discrete(2), draw

    def reset(self, **kwargs):
        obs = super().reset(**kwargs)
        self.goal = self.draw(self)
        return obs

    def step(self, action):
        obs, _, *rest = super().step(action)
        return obs, float(self.goal % 7), *rest


@pytest.mark.parametrize("draw, exact", [
    (lambda env: env.np_random.integers(2**30), True), (lambda env: env.action_space.sample() * 5, True),
    (lambda env: np.random.randint(2**30), False), (lambda env: random.randrange(2**30), False)])  # noqa: NPY002
def test_what_an_environment_draws_in_secret_is_restored_or_a_message_says_that_it_is_not(draw, exact, tmp_path, capsys, quick_end):
    env = lambda: Secret(draw)  # noqa: E731
    options = {"hidden": (4,), "rollout": 5, "envs": 1}
    whole = scratchac.train("a2c", env, 60, **options)
    scratchac.train("a2c", env, 60, out=tmp_path / "run", stop_after=30, **options)
    resumed = scratchac.resume(tmp_path / "run", env=env)
    said = capsys.readouterr().err
    assert np.array_equal(whole.model.flat, resumed.model.flat) == exact
    assert ("the same actions do not restore environment 0" in said) != exact
def test_a_message_has_a_line_of_its_own_beside_the_progress_bar(tmp_path, capsys, quick_end, terminal):
    scratchac.train("a2c", NoGenerator, 120, out=tmp_path / "run", stop_after=50, envs=1, rollout=5, hidden=(4,))
    scratchac.resume(tmp_path / "run", env=NoGenerator, quiet=False)
    lines = capsys.readouterr().err.splitlines()
    assert any("/120 steps" in line for line in lines)
    assert "scratchac: the same actions do not restore environment 0; it begins a new episode" in lines
