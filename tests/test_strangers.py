"""Folders that somebody else has made: nothing in them is executed, written through, or read without a limit."""

import io
import json
import os
import shutil
import subprocess
import sys
import threading
import time
import tracemalloc
import zipfile
from pathlib import Path

import gymnasium
import numpy as np
import pytest

import scratchac
from scratchac.__main__ import main
from scratchac.environments.make import make
from scratchac.errors import CheckpointError, UserError
from scratchac.experiments import plots
from scratchac.experiments.files import append, atomic_file
from scratchac.experiments.run import Run, to_json

OPTIONS = {"hidden": (4,), "eval_episodes": 0}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    path = tmp_path_factory.mktemp("trained") / "run"
    scratchac.train("a2c", "CartPole-v1", 100, out=path, **OPTIONS)
    return path


@pytest.fixture
def run(trained, tmp_path):
    return Path(shutil.copytree(trained, tmp_path / "run"))


def change(run, **entries):
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps(config | entries))


# -- code ------------------------------------------------------------------------------------------------------------------

PAYLOAD = """
from pathlib import Path
import gymnasium
Path("executed").touch()
gymnasium.register("Trap-v0", "gymnasium.envs.classic_control.cartpole:CartPoleEnv", max_episode_steps=50)
"""


@pytest.mark.parametrize("entries", [
    {"env": "trap:Trap-v0"}, {"env": "trap:Trap-v0 "}, {"env": "trap:é!"}, {"env_args": {"env_id": "trap:Trap-v0"}},
    {"env_args": {"a": [{"b": "trap:make"}]}}, {"env_args": {"a": to_json(("trap:make",))}}, {"env_args": {"trap:make": 1}}],
    ids=str)
@pytest.mark.parametrize("command", ["evaluate", "video", "resume --steps 200", "resume"])
def test_what_a_file_names_is_not_imported(command, entries, run, monkeypatch, capsys):
    monkeypatch.chdir(run)
    monkeypatch.syspath_prepend(run)                                        # even where it would be found
    (run / "trap.py").write_text(PAYLOAD)
    change(run, **entries)
    assert main([*command.split(), ".", "--quiet"] if command != "video" else ["video", "."]) == 2
    said = capsys.readouterr().err
    assert "config.json names trap:" in said and "--trust or --env" in said and len(said.splitlines()) == 1
    assert not (run / "executed").exists() and "trap" not in sys.modules


@pytest.mark.parametrize("module", ["tr-ap", "tr ap", "trap.", ".trap", ""])
def test_a_module_has_the_name_of_one(module, tmp_path, monkeypatch):
    """A file of any other name on the path is no module, although Python would import it."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / f"{module.strip('.')}.py").write_text("raise SystemExit('executed')")
    with pytest.raises(UserError, match="is no name of a module" if module else "unknown|no environment|not"):
        make(f"{module}:Trap-v0")


@pytest.mark.parametrize("words", ["--trust", "--env trap:Trap-v0"])
def test_what_the_users_own_command_allows_is_imported(words, run, monkeypatch, capsys):
    monkeypatch.chdir(run.parent)
    (run.parent / "trap.py").write_text(PAYLOAD)
    change(run, env="trap:Trap-v0")
    try:
        assert main(["evaluate", "run", "--episodes", "2", "--quiet", *words.split()]) == 0
    finally:
        sys.modules.pop("trap", None)
        gymnasium.registry.pop("Trap-v0", None)
    assert (run.parent / "executed").exists() and "trap:Trap-v0, 2 episodes" in capsys.readouterr().out


# -- links -----------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_links_are_replaced_and_not_followed(run, tmp_path, capsys):
    """At each name that a command writes there is a link to a file of the user's, which stays as it was."""
    victim = tmp_path / "victim"
    victim.write_text("mine")
    for name in ("curves.png", "summary.json", "checkpoint.previous.npz", "video.gif", "video.mp4", ".lock"):
        (run / name).unlink(missing_ok=True)
        (run / name).symlink_to(victim)
    for name in ("curves.png.tmp", "checkpoint.npz.tmp", "summary.json.tmp", "config.json.tmp", "metrics.csv.tmp"):
        (run / name).symlink_to(victim)
    assert main(["plot", str(run)]) == 0 and main(["video", str(run)]) == 0
    assert main(["resume", str(run), "--steps", "200", "--quiet", "--no-video"]) != 0       # the lock is a link
    (run / ".lock").unlink()
    assert main(["resume", str(run), "--steps", "200", "--quiet", "--no-video"]) == 0
    assert victim.read_text() == "mine" and not (run / "curves.png").is_symlink() and not (run / "summary.json").is_symlink()
    (run / "metrics.csv").unlink()
    (run / "metrics.csv").symlink_to(victim)
    assert main(["resume", str(run), "--steps", "300", "--quiet", "--no-video"]) == 0
    assert victim.read_text() == "mine" and not (run / "metrics.csv").is_symlink()
    (tmp_path / "link").symlink_to(victim)
    with pytest.raises(OSError, match="symbolic links"):
        append(tmp_path / "link", b"more")


def test_writers_of_one_file_do_not_meet(tmp_path):
    """One of the two contents stands there in the end, whole; nothing is left beside it."""
    first = threading.Barrier(2)

    def write(letter):
        for _ in range(50):
            first.wait()
            with atomic_file(tmp_path / "file") as file:
                for _ in range(50):
                    file.write(letter * 100)

    threads = [threading.Thread(target=write, args=[letter]) for letter in (b"A", b"B")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "file").read_bytes() in (b"A" * 5000, b"B" * 5000) and os.listdir(tmp_path) == ["file"]


@pytest.mark.slow
def test_several_commands_plot_one_run(run):
    words = [sys.executable, "-m", "scratchac", "plot", str(run)]
    plotting = [subprocess.Popen(words, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) for _ in range(4)]
    assert [(p.communicate()[1], p.returncode) for p in plotting] == [("", 0)] * 4


# -- bombs -----------------------------------------------------------------------------------------------------------------


def peak(action):
    """The exception of an action, its seconds of computing, and how much memory Python and NumPy took at most, in MiB."""
    tracemalloc.start()
    began = time.process_time()                             # which other programs do not lengthen
    try:
        with pytest.raises(UserError) as caught:
            action()
        return caught.value, time.process_time() - began, tracemalloc.get_traced_memory()[1] / 2**20
    finally:
        tracemalloc.stop()


def archive(path, members, **options):
    with zipfile.ZipFile(path, "w", **options) as made:
        for name, content in members:
            made.writestr(name, content)


def array(shape, data=b"", dtype="<f4"):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"shape": shape, "fortran_order": False, "descr": dtype})
    return file.getvalue() + data


@pytest.mark.slow
@pytest.mark.parametrize("members, options, message", [
    ([("a.npy", array((3 * 10**7,), bytes(12 * 10**7)))], {"compression": zipfile.ZIP_DEFLATED}, "compressed"),
    ([("a.npy", array((10**12,)))], {}, "another size than its header says"),
    ([("a.npy", array((10**12, 0), dtype="|O"))], {}, "another size"),
    ([("a.npy", array((2,), bytes(8), "|O"))], {}, "another size"),
    ([("a.npy", array((1,), bytes(4))), ("../b.txt", "x")], {}, "not arrays of different names"),
    ([(f"{i}.npy", array((1,), bytes(4))) for i in range(10_001)], {}, "not arrays of different names"),
    ([("a.npy", array((1,), bytes(4)))], {}, "manifest"),
], ids=["compressed", "a huge header", "objects", "pointers", "names", "members", "no manifest"])
def test_a_checkpoint_that_would_fill_the_memory(members, options, message, run):
    archive(run / "checkpoint.npz", members, **options)
    error, seconds, grown = peak(lambda: scratchac.load(run))
    assert isinstance(error, CheckpointError) and message in str(error) and "\n" not in str(error)
    assert seconds < 2 and grown < 50


def test_a_space_that_would_fill_the_memory(run):
    """Each part is allowed alone."""
    part = {"kind": "Picture", "shape": [1024, 1024, 16], "dtype": "float64", "range": [0, 1]}
    change(run, observation_space={"kind": "Dict", "parts": [[f"{i}", part] for i in range(200)]})
    error, _, grown = peak(lambda: scratchac.load(run))
    assert "it has 3,355,443,200 numbers, and at most" in str(error) and grown < 50


def test_two_members_of_one_name(run):
    with pytest.warns(UserWarning, match="Duplicate"):
        archive(run / "checkpoint.npz", [("a.npy", array((1,), bytes(4)))] * 2)
    with pytest.raises(CheckpointError, match="different names"):
        scratchac.load(run)


def test_a_manifest_that_is_nested_without_end(run):
    text = np.frombuffer(b'{"format": 4, "tree": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", np.uint8)
    np.savez(run / "checkpoint.npz", manifest=text)
    with pytest.raises(CheckpointError, match="cannot be used") as caught:
        scratchac.load(run)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["config.json", "summary.json"])
@pytest.mark.parametrize("kind", ["deep", "long", "pipe", "endless", "folder"])
def test_json_that_has_no_end(kind, name, run, capsys):
    """What is wrong with config.json is told in one line; a summary that cannot be read is made again."""
    (run / name).unlink()
    makes = {"deep": lambda path: path.write_text("[" * 100_000), "long": lambda path: path.write_bytes(bytes(2**26 + 1)),
             "pipe": os.mkfifo, "endless": lambda path: path.symlink_to("/dev/zero"), "folder": os.mkdir}
    makes[kind](run / name)
    code = main(["resume", str(run), "--quiet", "--no-video"])
    said = capsys.readouterr().err
    assert "Traceback" not in said and len(said.splitlines()) <= 1
    if name == "config.json":
        assert code == 2 and said.startswith(f"scratchac: {run}/config.json cannot be read: ")
    else:
        assert code == (2 if kind == "folder" else 0)


def test_metrics_of_too_many_rows(run):
    (run / "metrics.csv").write_text("step\n" + "1\n" * 100_001)
    error, _, grown = peak(lambda: plots.curves(Run.open(run), run / "x.png"))
    assert "more than 100,000 rows" in str(error) and grown < 50
    (run / "metrics.csv").unlink()
    os.mkfifo(run / "metrics.csv")
    with pytest.raises(UserError, match=r"metrics.csv cannot be read: it is not a regular file"):
        Run.open(run).metrics()
