"""Other systems than Linux: nothing needs what only POSIX has, and files are UTF-8 wherever they are written."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from damage import config_of_nothing

from scratchac.experiments.run import folder_name, new_folder

# Windows has none of these. The library alone is kept from them: the standard library of this system needs some itself.
ELSEWHERE = '''
import builtins, fcntl, importlib, os, pkgutil, signal, sys, types

MODULES = {"fcntl", "resource", "termios", "tty", "pty", "pwd", "grp", "posix", "syslog", "torch"}     # torch only to save time
ours, importing = ("scratchac", "kernels"), builtins.__import__

def without(name, globals=None, locals=None, fromlist=(), level=0):
    if name.partition(".")[0] in MODULES and str((globals or {}).get("__name__")).partition(".")[0] in ours:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    return importing(name, globals, locals, fromlist, level)

import asyncio, concurrent.futures, multiprocessing.shared_memory, subprocess, tempfile
import gymnasium, matplotlib.figure, numpy
builtins.__import__ = without
for name in ("fork", "forkpty", "killpg", "getpgid", "setsid", "sched_getaffinity", "sysconf", "getuid", "geteuid", "getloadavg",
             "nice", "mkfifo", "O_NOFOLLOW", "O_NONBLOCK", "O_DIRECTORY", "fchmod", "chown"):
    delattr(os, name)
for name in ("SIGHUP", "SIGKILL", "SIGALRM", "SIGUSR1", "alarm", "setitimer", "pthread_sigmask", "sigwait"):
    delattr(signal, name)

def locking(handle, mode, size):
    assert (mode, size) == (2, 1)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)  # until the handle is closed, as on Windows
    except BlockingIOError:
        raise PermissionError(13, "Permission denied")

sys.modules["msvcrt"] = types.SimpleNamespace(locking=locking, LK_NBLCK=2)
'''

IMPORTS = ELSEWHERE + '''
done = []
for package in ours:
    for found in pkgutil.walk_packages(importlib.import_module(package).__path__, package + "."):
        if ".course." in found.name or found.name.endswith("__main__"):
            continue
        try:
            importlib.import_module(found.name)
        except ModuleNotFoundError as error:
            assert error.name.partition(".")[0] in ("cupy", "gymnax", "numba", "rltools", "scipy", "torch"), error    # of an extra
        done.append(found.name)
import scratchac.__main__
print(len(done))
'''

TRAINS = ELSEWHERE + '''
import scratchac
from scratchac.errors import UserError
from scratchac.experiments.run import _locked, Run

out = sys.argv[1]
scratchac.train("reinforce", "CartPole-v1", 300, hidden=(4,), out=out, eval_episodes=1, quiet=True)
scratchac.resume(out, 400, eval_episodes=1, quiet=True)
try:
    with Run.open(out).claimed():
        _locked(Run.open(out).path / ".lock")
except UserError as error:
    print(error)
print(scratchac.load(out).step >= 400)
'''


def run(program, *arguments):
    done = subprocess.run([sys.executable, "-c", program, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.split("\n")[:-1]


@pytest.mark.slow
def test_every_module_is_imported_without_what_only_posix_has():
    files = [path for package in ("scratchac", "kernels") for path in (Path(__file__).parents[1] / package).rglob("*.py")
             if "course" not in path.parts and path.name not in ("__main__.py", "__init__.py")]
    assert int(run(IMPORTS)[-1]) >= len(files) > 100


@pytest.mark.slow
def test_a_run_is_trained_resumed_and_locked_without_it(tmp_path):
    """The lock is then that of Windows: the process that trains has it until its end."""
    locked, loaded = run(TRAINS, tmp_path / "run")
    assert locked.startswith("another process trains ") and loaded == "True"


@pytest.mark.parametrize("text, name", [
    ("a2c-ALE/Pong-v5-seed0", "a2c-ALE-Pong-v5-seed0"), ("sac-mine:World-v0", "sac-mine-World-v0"),
    ('<>:"/\\|?*\x00\x1f', "-" * 11), ("πV-v0", "πV-v0"), ("world. ", "world"), ("con", "_con"), ("NUL.v0", "_NUL.v0"),
    ("cone", "cone"),
    ("a" * 300, "a" * 200), ("aπ" * 100, "aπ" * 66 + "a"), ("", "_")])
def test_a_folder_has_a_name_that_every_system_takes(text, name):
    assert folder_name(text) == name


def test_a_new_folder_counts_up(tmp_path):
    first = new_folder("ppo", "ALE/Pong-v5", 0, tmp_path)
    first.mkdir()
    assert first.name == "ppo-ALE-Pong-v5-seed0" and new_folder("ppo", "ALE/Pong-v5", 0, tmp_path).name == "ppo-ALE-Pong-v5-seed0-2"


def test_the_lock_can_be_read_and_written_and_not_executed(tmp_path):
    """Its bits are those of any new file: what the umask leaves of 666."""
    from scratchac.experiments.run import Run

    made = Run.create(tmp_path / "run", config_of_nothing())
    with made.claimed():
        pass
    (tmp_path / "other").touch()
    bits = {path.stat().st_mode & 0o777 for path in (made.path / ".lock", made.path / "config.json", tmp_path / "other")}
    assert len(bits) == 1 and not bits.pop() & 0o111
    assert json.loads((made.path / "config.json").read_text(encoding="utf-8")) == config_of_nothing()
