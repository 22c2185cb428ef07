"""Telling something never ends what it tells about; an output that is not Unicode shows ASCII."""

import os
import subprocess
import sys

import pytest

import scratchac
from scratchac.experiments.run import Run
from scratchac.messages import STDERR, tell

TRAIN = ["train", "reinforce", "--steps", "300", "--hidden", "4", "--no-video", "--eval-episodes", "1", "--out", "run"]


def scratch(words, **options):
    """A command in a process of its own; its standard streams are not Python's usual ones."""
    return subprocess.run([sys.executable, "-m", "scratchac", *words], timeout=120, **options)


class Broken:
    encoding = "utf-8"

    def __init__(self, error):
        self.error = error

    def isatty(self):
        return True

    def write(self, text):
        raise self.error

    def flush(self):
        raise self.error


@pytest.mark.parametrize("stderr", [Broken(OSError(28, "No space left on device")), Broken(BrokenPipeError()),
                                    Broken(ValueError("I/O operation on closed file")), None],
                         ids=["full", "pipe", "closed", "none"])
def test_no_stderr_ends_a_training(stderr, tmp_path, monkeypatch, quick_end):
    """With its progress bar, and with a message at each checkpoint that cannot be written."""
    monkeypatch.setattr(sys, "stderr", stderr)
    tell("nobody hears this")
    STDERR.flush()
    agent = scratchac.train("reinforce", "CartPole-v1", 300, out=tmp_path / "run", quiet=False, hidden=(4,))
    assert agent.step >= 300 and scratchac.load(tmp_path / "run").step == agent.step


@pytest.mark.slow
@pytest.mark.parametrize("how", ["full", "closed", "no reader"])
def test_a_training_whose_log_cannot_be_written_is_saved_and_evaluated(how, tmp_path):
    if how == "no reader":
        reader, writer = os.pipe()
        os.close(reader)
    else:
        writer = os.open("/dev/full", os.O_WRONLY)
    options = {"preexec_fn": lambda: os.close(2)} if how == "closed" else {"stderr": writer}
    done = scratch(TRAIN, cwd=tmp_path, stdout=subprocess.PIPE, **options)
    os.close(writer)
    assert done.returncode == 0 and done.stdout == b"run\n"
    assert (tmp_path / "run" / "summary.json").exists() and (tmp_path / "run" / "curves.png").exists()
    assert len(Run.open(tmp_path / "run").metrics()["step"]) > 1


@pytest.mark.slow
@pytest.mark.parametrize("words", [["presets"], ["--help"], ["train", "a2c", "--help"], ["gradcheck"]], ids=str)
def test_an_output_that_cannot_be_written_is_one_line(words):
    with open("/dev/full", "w") as full:
        done = scratch(words, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1 and done.stderr == "scratchac: the output cannot be written: No space left on device\n"
    reader = subprocess.Popen(["head", "-1"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    done = scratch(words, stdout=reader.stdin, stderr=subprocess.PIPE, text=True)
    reader.stdin.close()
    reader.wait()
    assert done.returncode in (0, 141) and done.stderr == ""


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1", "cp437"])
@pytest.mark.parametrize("words", [["train", "a2c", "--help"], ["gradcheck"], ["presets"], ["evaluate", "run", "--episodes", "2"]],
                         ids=str)
def test_every_output_in_any_encoding(words, encoding, tmp_path):
    scratchac.train("reinforce", "CartPole-v1", 300, out=tmp_path / "run", hidden=(4,), eval_episodes=0)
    done = scratch(words, cwd=tmp_path, capture_output=True, env=os.environ | {"PYTHONIOENCODING": encoding})
    assert done.returncode == 0 and b"Traceback" not in done.stderr
    text = done.stdout.decode(encoding)
    if words[0] == "evaluate":
        assert ("+-" if encoding == "ascii" else "±") in text
