"""Two hands at once: threads and processes that train one run, threads with different backends, folders that go away; signals."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from damage import config_of_nothing
from probes import Constant
from threadpoolctl import ThreadpoolController

import kernels
import scratchac
from scratchac.__main__ import main
from scratchac.errors import TrainingError, UserError, WriteError
from scratchac.experiments import restoring, session
from scratchac.experiments import run as runs
from scratchac.experiments.run import Run

SMALL = {"hidden": (4,), "eval_episodes": 0}


class At(Constant):
    """Calls a function at its steps with these numbers."""

    steps, moments, act = 0, (), staticmethod(lambda: None)

    def step(self, action):
        type(self).steps += 1
        if self.steps in self.moments:
            self.act()
        return super().step(action)


def at(moments, act):
    """A class of environments that call `act` at these steps of all of them together."""
    return type("AtOnce", (At,), {"moments": moments, "act": staticmethod(act)})


def in_a_thread(function):
    """What a function returns or raises in another thread."""
    came = []

    def keep():
        try:
            came.append(function())
        except BaseException as error:
            came.append(error)

    thread = threading.Thread(target=keep)
    thread.start()
    thread.join()
    return came[0]


# -- one run -----------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_second_thread_does_not_train_the_run_and_the_lock_stays(tmp_path):
    path, came = tmp_path / "run", []
    env = at((200,), lambda: came.extend([in_a_thread(lambda: scratchac.resume(path, env=Constant)), _locked_elsewhere(path)]))
    agent = scratchac.train("reinforce", env, 300, out=path, checkpoint_every=50, **SMALL)
    assert isinstance(came[0], UserError) and "another thread trains" in str(came[0])
    assert came[1] == "another process trains"              # the attempt has not released the lock
    assert agent.step == scratchac.load(path).step >= 300
    assert _locked_elsewhere(path) == "free"


TRY = """
import sys
from pathlib import Path
from scratchac.errors import UserError
from scratchac.experiments.run import _locked
try:
    _locked(Path(sys.argv[1]))
    print("free")
except UserError as error:
    print(str(error)[:22])
"""


def _locked_elsewhere(path):
    done = subprocess.run([sys.executable, "-c", TRY, str(path / ".lock")], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.slow
def test_what_is_resumed_is_claimed_before_it_is_read(tmp_path, monkeypatch):
    """Else it could go on from a checkpoint that another process has replaced meanwhile."""
    scratchac.train("reinforce", Constant, 100, out=tmp_path / "run", **SMALL)
    restore, claims = restoring.restore, []
    monkeypatch.setattr(restoring, "restore", lambda run: (claims.append(_locked_elsewhere(run.path)), restore(run))[1])
    scratchac.resume(tmp_path / "run", 200, env=Constant)
    assert claims == ["another process trains"]


def test_the_file_of_the_lock_is_never_replaced(tmp_path):
    """If it were deleted, one process could hold the old file and another one the new one."""
    run = Run.create(tmp_path / "run", config_of_nothing())
    with run.claimed():
        first = (run.path / ".lock").stat().st_ino
    with run.claimed(), pytest.raises(UserError, match="another thread"), Run(run.path, {}).claimed():
        pass
    assert (run.path / ".lock").stat().st_ino == first


@pytest.mark.slow
@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_told_and_used(number, tmp_path, monkeypatch, capsys):
    def none(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(runs.fcntl, "lockf", none)
    scratchac.train("reinforce", Constant, 100, out=tmp_path / "run", **SMALL)
    assert "this file system has no locks" in capsys.readouterr().err and scratchac.load(tmp_path / "run").step == 100


@pytest.mark.slow
def test_what_a_killed_process_has_left_is_removed(tmp_path):
    scratchac.train("reinforce", Constant, 100, out=tmp_path / "run", **SMALL)
    (tmp_path / "run" / ".checkpoint.npz.0123456789abcdef.tmp").write_bytes(b"half")
    scratchac.resume(tmp_path / "run", 200, env=Constant)
    assert not list((tmp_path / "run").glob("*.tmp")) and not list((tmp_path / "run").glob(".*.tmp"))


@pytest.mark.parametrize("way", ["deleted", "renamed"])
def test_a_folder_that_goes_away_is_one_line(way, tmp_path, capsys):
    path = tmp_path / "run"
    go = (lambda: shutil.rmtree(path)) if way == "deleted" else (lambda: path.rename(tmp_path / "elsewhere"))
    with pytest.raises(WriteError, match="cannot be written: No such file or directory") as caught:
        scratchac.train("reinforce", at((120,), go), 300, out=path, checkpoint_every=50, **SMALL)
    assert "\n" not in str(caught.value) and "Traceback" not in capsys.readouterr().err and not path.exists()
    if way == "renamed":
        assert scratchac.load(tmp_path / "elsewhere").step == 100
        assert scratchac.resume(tmp_path / "elsewhere", env=Constant).step == 300


# -- backends ------------------------------------------------------------------------------------------------------------------


def test_threads_with_one_backend_are_independent_and_another_backend_is_refused():
    pytest.importorskip("numba")
    before, came = kernels.backend.name, []

    def other():
        came.append(in_a_thread(lambda: scratchac.train("a2c", "CartPole-v1", 50, backend="numpy", **{"hidden": (4,)})))
        came.append(in_a_thread(lambda: scratchac.train("a2c", "CartPole-v1", 50, backend="numba", hidden=(4,), seed=3)))
        came.append(kernels.backend.name)
        came.append(scratchac.train("reinforce", Constant, 50, backend="numba", hidden=(4,)))      # within this thread: any
        came.append(kernels.backend.name)

    with kernels.using("numpy"):
        scratchac.train("reinforce", at((70,), other), 200, backend="numba", hidden=(4,))
        assert kernels.backend.name == "numpy"
    assert isinstance(came[0], UserError) and "another thread of this process computes with backend numba" in str(came[0])
    alone = scratchac.train("a2c", "CartPole-v1", 50, backend="numba", hidden=(4,), seed=3)
    np.testing.assert_array_equal(came[1].model.flat, alone.model.flat)
    assert came[2] == came[4] == "numba" and kernels.backend.name == before


def test_the_backend_before_comes_back_whichever_thread_ends_last():
    pytest.importorskip("numba")
    inside, leave = threading.Event(), threading.Event()

    def long():
        with session.backend("numba"):
            inside.set()
            leave.wait(10)
            return kernels.backend.name

    with kernels.using("numpy"):
        with session.backend("numba"):
            came = []
            thread = threading.Thread(target=lambda: came.append(long()))
            thread.start()
            inside.wait(10)
        assert kernels.backend.name == "numba"              # the thread still computes
        leave.set()
        thread.join()
        assert came == ["numba"] and kernels.backend.name == "numpy"


def test_what_a_training_changes_in_the_process_comes_back_whichever_thread_ends_last():
    """BLAS has one thread as long as somebody trains, and the program's generators go on where they were."""
    inside, leave, seen = threading.Event(), threading.Event(), []
    blas = ThreadpoolController().select(user_api="blas")

    def threads():
        return [library["num_threads"] for library in blas.info()]

    def stay():
        inside.set()
        leave.wait(60)
        seen.append(threads())

    def training(act):
        return threading.Thread(target=lambda: scratchac.train("reinforce", at((3,), act), 20, hidden=(4,), backend="numpy"))

    np.random.seed(7)  # noqa: NPY002
    expected, before = np.random.RandomState(7).rand(), threads()
    first, last = training(lambda: inside.wait(60)), training(stay)
    first.start()
    last.start()
    first.join()                                                            # which has begun earlier, or not: both orders must do
    assert last.is_alive()
    leave.set()
    last.join()
    assert seen == [[1] * len(before)] and threads() == before and np.random.rand() == expected  # noqa: NPY002


# -- Numba's cache -------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_without_a_folder_for_its_cache_numba_compiles_anew_and_says_so(tmp_path):
    pytest.importorskip("numba")
    program = ("import numba.core.caching as c; c.CompileResultCacheImpl._locator_classes = []\n"
               "import scratchac; scratchac.train('reinforce', 'CartPole-v1', 60, backend='numba', hidden=(4,)); print('done')")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300)
    assert done.stdout == "done\n" and done.stderr.count("Numba cannot keep what it compiles") == 1 == len(done.stderr.splitlines())


@pytest.mark.slow
def test_a_disk_that_fills_while_numba_keeps_what_it_compiles(tmp_path):
    pytest.importorskip("numba")
    program = ("import resource, signal, scratchac.api; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
               "resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000)); "
               "scratchac.train('reinforce', 'CartPole-v1', 60, backend='numba', hidden=(4,)); print('done')")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300,
                          env=os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)})
    assert done.stdout == "done\n" and len(done.stderr.splitlines()) == 1
    assert "Numba cannot keep what it compiles (File too large)" in done.stderr


# -- signals -------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def without_nohup():
    """SIGHUP is not ignored, whatever started the tests."""
    before = signal.getsignal(signal.SIGHUP)
    if before is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signals_during_the_evaluation_say_what_is_saved(number, tmp_path, without_nohup):
    path = tmp_path / "run"
    before = signal.getsignal(number)                  # Ray leaves a handler of its own in the process that started it
    with pytest.raises(KeyboardInterrupt, match="all 300 steps are saved, not evaluated; for that: scratchac resume"):
        scratchac.train("reinforce", at((305,), lambda: os.kill(os.getpid(), number)), 300, out=path, hidden=(4,))
    assert scratchac.load(path).step == 300 and signal.getsignal(number) is before


def test_a_signal_that_is_ignored_stays_ignored(tmp_path):
    """As nohup does with that of a closed terminal."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        act = at((20,), lambda: os.kill(os.getpid(), signal.SIGHUP))
        assert scratchac.train("reinforce", act, 60, out=tmp_path / "run", **SMALL).step >= 60
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_ctrl_c_in_a_long_step_is_answered(tmp_path, monkeypatch, capsys):
    def slow():
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.2)

    monkeypatch.setattr("scratchac.experiments.reporter.PATIENCE", 0.0)
    with pytest.raises(KeyboardInterrupt):
        scratchac.train("reinforce", at((20,), slow), 60, out=tmp_path / "run", **SMALL)
    assert "the step under way is finished first; a second Ctrl-C stops at once" in capsys.readouterr().err


def test_a_closed_terminal_saves_the_run(tmp_path, without_nohup):
    path = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt, match="stopped at step 120 and saved"):
        scratchac.train("reinforce", at((120,), lambda: os.kill(os.getpid(), signal.SIGHUP)), 300, out=path, **SMALL)
    assert scratchac.resume(path, env=Constant).step == 300


def test_ctrl_c_twice_before_the_first_checkpoint_leaves_nothing(tmp_path, capsys):
    path = tmp_path / "run"
    twice = lambda: [os.kill(os.getpid(), signal.SIGINT) for _ in range(2)]  # noqa: E731
    with pytest.raises(KeyboardInterrupt, match="before the first checkpoint: nothing is kept"):
        scratchac.train("reinforce", at((120,), twice), 300, out=path, checkpoint_every=200, **SMALL)
    assert not path.exists()


@pytest.mark.slow
@pytest.mark.parametrize("package, words", [("tyro", ["presets"]), ("gymnasium", ["train", "a2c"])])
def test_ctrl_c_while_packages_are_loaded_is_one_line(package, words, tmp_path):
    (tmp_path / f"{package}.py").write_text("raise KeyboardInterrupt")
    done = subprocess.run([sys.executable, "-m", "scratchac", *words], capture_output=True, text=True,
                          env=os.environ | {"PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"})
    assert done.returncode == 130 and done.stderr == "scratchac: stopped\n"


def test_ctrl_c_without_a_message_says_that_it_stopped(monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("scratchac.__main__.run", interrupted)
    assert main(["doctor"]) == 130 and capsys.readouterr().err == "scratchac: stopped\n"


def test_errors_of_the_training_are_not_confused_with_these(tmp_path):
    with pytest.raises(TrainingError, match="raised ValueError: invalid literal"):
        scratchac.train("reinforce", at((120,), lambda: int("mine")), 300, out=tmp_path / "run", **SMALL)


# -- environments that hang, or go on ------------------------------------------------------------------------------------------


class Hangs(Constant):
    """At its third step it waits for ever."""

    def step(self, action):
        if self.t == 2:
            threading.Event().wait()
        return super().step(action)


@pytest.mark.slow
def test_a_step_without_an_end_is_an_error_after_the_limit(tmp_path):
    with pytest.raises(TrainingError, match=r"environment 0 has not answered for 1 s \(step_timeout\); the last checkpoint is"):
        scratchac.train("a2c", Hangs, 100, envs=2, vector="async", step_timeout=1, out=tmp_path / "run", rollout=1, hidden=(4,),
                        checkpoint_every=2)
    assert scratchac.load(tmp_path / "run").step == 4
    with pytest.raises(UserError, match='step_timeout needs vector="async"'):
        scratchac.train("a2c", Constant, 100, step_timeout=1)
    for wrong in (0, -1, "1", True):
        with pytest.raises(UserError, match="step_timeout is a number of seconds above 0"):
            scratchac.train("a2c", Constant, 100, vector="async", step_timeout=wrong)


@pytest.mark.slow
def test_the_limit_is_kept_also_while_a_long_wait_would_be_told(monkeypatch, tmp_path):
    """And where a resumed run repeats the steps of its episodes, of which each has the time of a step."""
    monkeypatch.setattr("scratchac.environments.vector.PATIENCE", 60)
    began = time.monotonic()
    with pytest.raises(TrainingError, match="has not answered for 1 s"):
        scratchac.train("a2c", Hangs, 100, envs=2, vector="async", step_timeout=1, rollout=1, hidden=(4,))
    assert time.monotonic() - began < 50
    path = tmp_path / "run"
    scratchac.train("a2c", Constant, 100, envs=2, vector="async", step_timeout=1, rollout=3, hidden=(4,), out=path, stop_after=6)
    with pytest.raises(TrainingError, match="environment 0 has not answered for 5 s"):
        scratchac.resume(path, env=Hangs)


@pytest.mark.slow
def test_a_long_wait_is_told(monkeypatch, capsys):
    class Slow(Constant):
        def step(self, action):
            threading.Event().wait(0.5 if self.t == 2 else 0)
            return super().step(action)

    monkeypatch.setattr("scratchac.environments.vector.PATIENCE", 0.1)
    scratchac.train("a2c", Slow, 10, envs=2, vector="async", rollout=1, hidden=(4,))
    assert "environment 0 has not answered for 0 s; still waiting" in capsys.readouterr().err


SCRIPT = """
import json, os, sys, threading
sys.path.insert(0, sys.argv[1])
from damage import config_of_nothing
from probes import Constant
import scratchac

class Hangs(Constant):
    def step(self, action):
        os.write(1, f'{os.getpid()}\\n'.encode())          # at once: two processes write into one pipe
        threading.Event().wait()

if __name__ == '__main__':
    scratchac.train(sys.argv[2], Hangs, 100, hidden=(4,), **json.loads(sys.argv[3]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("algorithm, options", [("a2c", '{"envs": 2, "vector": "async"}'), ("a3c", '{"envs": 2}')])
def test_processes_that_hang_end_when_their_parent_is_killed(algorithm, options, tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    words = [sys.executable, str(tmp_path / "script.py"), os.path.dirname(__file__), algorithm, options]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        try:
            workers = [int(process.stdout.readline()) for _ in range(2)]
        finally:
            process.kill()
    for _ in range(100):
        if not any(os.path.exists(f"/proc/{pid}") and "Z" not in _status(pid) for pid in workers):
            break
        time.sleep(0.05)
    assert not any(os.path.exists(f"/proc/{pid}") and "Z" not in _status(pid) for pid in workers)


def _status(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


@pytest.mark.slow
def test_a_thread_that_an_environment_leaves_does_not_keep_the_program(tmp_path):
    (tmp_path / "busy.py").write_text(
        "import threading, gymnasium\nfrom gymnasium.envs.classic_control.cartpole import CartPoleEnv\n"
        "class Busy(CartPoleEnv):\n    def __init__(self, **k):\n        super().__init__(**k)\n"
        "        threading.Thread(target=threading.Event().wait).start()\n"
        "gymnasium.register('Busy-v0', Busy, max_episode_steps=50)\n")
    words = ["train", "reinforce", "--env", "busy:Busy-v0", "--steps", "100", "--hidden", "4", "--quiet", "--no-video",
             "--eval-episodes", "1", "--out", "run"]
    done = subprocess.run([sys.executable, "-m", "scratchac", *words], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stdout == "run\n" and (tmp_path / "run" / "summary.json").exists()
    assert done.stderr == "scratchac: an environment has left a thread running, which ends now\n"


@pytest.mark.slow
def test_too_few_files_for_the_processes_is_told_as_such(tmp_path):
    words = ["train", "a2c", "--env", "CartPole-v1", "--vector", "async", "--envs", "40", "--steps", "400", "--quiet", "--no-video"]
    done = subprocess.run(["bash", "-c", f"ulimit -n 64; exec {sys.executable} -m scratchac {' '.join(words)}"], cwd=tmp_path,
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 2 and done.stderr.startswith("scratchac: too many files are open for 40 processes: ulimit -n")
    assert len(done.stderr.splitlines()) == 1 and not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_sweep_that_is_stopped_by_sigterm_writes_its_table(tmp_path):
    words = ["sweep", "reinforce", "--env", "CartPole-v1", "--seeds", "0-1", "--jobs", "1", "--set", "lr=1e-3,1e-2", "--steps",
             "3000", "--out", "sweep", "--quiet"]
    process = subprocess.Popen([sys.executable, "-m", "scratchac", *words], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    for _ in range(600):
        if list((tmp_path / "sweep").glob("*/summary.json")) or list((tmp_path / "sweep").glob("*/*/summary.json")):
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 130 and "Traceback" not in said and (tmp_path / "sweep" / "sweep.md").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="limits of Linux")
def test_the_end_of_memory_is_one_line(tmp_path):
    """More addresses than the libraries take, but not enough for the buffer."""
    program = ("import resource, sys; from scratchac.__main__ import main; import scratchac.api; "
               "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize(); "
               "resource.setrlimit(resource.RLIMIT_AS, (used + 2**27, used + 2**27)); sys.exit(main(sys.argv[1:]))")
    words = ["train", "sac", "--steps", "2000", "--buffer-size", "9000000", "--quiet", "--no-video", "--out", "run"]
    done = subprocess.run([sys.executable, "-c", program, *words], cwd=tmp_path, capture_output=True, text=True, timeout=60,
                          env=os.environ | {"OPENBLAS_NUM_THREADS": "1"})
    assert done.returncode == 1 and done.stderr.startswith("scratchac: no memory is left (Unable to allocate")
    assert len(done.stderr.splitlines()) == 1 and not (tmp_path / "run").exists()
