"""Environments in processes of their own."""

import errno
import multiprocessing
import os
import subprocess
import sys
import warnings
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from probes import Counter

import scratchac
from scratchac.environments.vector import VectorEnv
from scratchac.errors import UserError

ROOT = Path(__file__).parents[1]


def test_processes_end_with_a_program_that_forgets_them():
    program = "from scratchac.environments.vector import VectorEnv; v = VectorEnv('CartPole-v1', 2, 0, 'async'); " \
              "v.reset(); raise SystemExit(3)"
    assert subprocess.run([sys.executable, "-c", program], timeout=60).returncode == 3


class Ragged(Counter):
    """Its `info` holds arrays of different shapes, a key that is a number or a dict, a function, and a key of Gymnasium's own."""

    def reset(self, **kwargs):
        obs, _ = super().reset(**kwargs)
        return obs, {"x": np.zeros(self.np_random.integers(9)), "y": 3 if self.np_random.random() < 0.5 else {"z": 1},
                     "final_obs": 7}

    def step(self, action):
        obs, *rest, _ = super().step(action)
        return obs, *rest, {"x": np.zeros(1 + self.t), "y": {"z": 1} if self.t % 2 else 3, "f": lambda: 0}


def test_processes_take_any_info():
    venv = VectorEnv(Ragged, 3, 0, "async")
    venv.reset()
    seen = [venv.step(np.zeros(3, int)) for _ in range(4)]
    venv.close()
    assert [obs[0, 0] for obs, *_ in seen] == [1, 2, 100, 101] and [next_obs[2, 0] for _, _, next_obs, *_ in seen] == [1, 2, 3, 101]


class Picky(Counter):
    """Made in a process other than the first one, its constructor fails in a `way`."""

    def __init__(self, way, parent):
        super().__init__()
        if multiprocessing.current_process().pid != parent:
            if way == "dies":
                os._exit(3)
            if way == "leaves":
                raise SystemExit(3)
            if way == "spaces":
                self.observation_space = gym.spaces.Box(0, 1, (7,))
            else:
                raise {"os": FileNotFoundError(2, "No such file or directory", "map.txt"), "silent": AssertionError(),
                       "value": ValueError("no licence")}[way]


@pytest.mark.parametrize("way, message", [
    ("os", r"environment \d: Picky cannot be made: FileNotFoundError: \[Errno 2\] No such file or directory: 'map.txt'$"),
    ("value", r"environment \d: Picky cannot be made: ValueError: no licence$"),
    ("silent", r"environment \d: Picky cannot be made: AssertionError in .*test_workers.py, line \d+$"),
    ("leaves", r"environment \d: Picky cannot be made: SystemExit: 3$"),
    ("dies", r"the process of environment 0, 1, 2 died as it made its environment"),
    ("spaces", r'^vector="async" is not possible: .*spaces'),
])
@pytest.mark.slow
def test_a_worker_that_cannot_make_its_environment(way, message):
    with pytest.raises(UserError, match=message), warnings.catch_warnings():
        warnings.simplefilter("error")
        VectorEnv(Picky, 3, 0, "async", way=way, parent=multiprocessing.current_process().pid)
    assert not multiprocessing.active_children()


def test_a_space_that_processes_do_not_take():
    class Own(Counter):
        observation_space = gym.Space((1,), float)

    with pytest.raises(UserError, match=r'^vector="async" is not possible: '):
        VectorEnv(Own, 2, 0, "async")


@pytest.mark.slow
@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_ids_of_a_script_are_known_to_processes_however_they_start(method, tmp_path):
    """The script registers a class of its own, only where it is run itself."""
    (tmp_path / "script.py").write_text(f"""
import multiprocessing
import sys

sys.path.insert(0, {str(ROOT / "tests")!r})

if __name__ == "__main__":
    import gymnasium as gym
    import numpy as np
    from probes import Constant

    import scratchac
    from scratchac.environments.vector import VectorEnv
    from scratchac.tools.sweep import Sweep

    class Mine(Constant):
        limit = 3

    multiprocessing.set_start_method({method!r})
    gym.register("Mine-v0", Mine)
    venv = VectorEnv("Mine-v0", 2, 0, "async")
    venv.reset()
    print(venv.step(np.zeros(2, int))[1].sum())
    venv.close()
    print(scratchac.train("a3c", "Mine-v0", 40, envs=2, backend="numpy").step >= 40)
    Sweep("a2c", "Mine-v0", [0], {{}}, "sweep", steps=40, backend="numpy").run(quiet=True)
""")
    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["2.0", "True"] and (tmp_path / "sweep" / "seed0" / "summary.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize("call", [
    'train("a3c", steps=2000, envs=2, hidden=(4,), backend="numpy")',
    'train("a2c", "CartPole-v1", steps=2000, envs=2, vector="async", hidden=(4,), backend="numpy")'])
def test_a_script_without_a_guard_is_told_so(call, tmp_path):
    """A new process runs the script again, which must not train there; the error of this process is the only output."""
    (tmp_path / "script.py").write_text("import multiprocessing\nimport scratchac\n"
                                        f"multiprocessing.set_start_method('spawn', force=True)\nscratchac.{call}\n")
    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and done.stderr.count("Traceback") == 1
    assert "put what trains below `if __name__ == \"__main__\":`" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("options, message", [
    ({"algorithm": "a2c", "vector": "async", "envs": 2}, "2 processes cannot be started: ulimit -u allows more"),
    ({"algorithm": "a3c"}, r"another process cannot be started \(Resource temporarily unavailable\)"),
])
def test_too_few_processes_are_told_as_such(options, message, monkeypatch):
    """The limit itself does not hold for root, so what the system answers under it is given here."""

    def refuse(process):
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(multiprocessing.process.BaseProcess, "start", refuse)
    with pytest.raises(UserError, match=message):
        scratchac.train(env="CartPole-v1", steps=200, hidden=(4,), **options)
    assert not multiprocessing.active_children()
