"""Telling something never ends what it tells about; an output that is not Unicode shows ASCII."""

import os
import subprocess
import sys

import pytest

import scratchac
from scratchac import wording
from scratchac.__main__ import main
from scratchac.errors import TrainingError, UserError
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
    assert done.returncode == 0 and done.stdout.endswith(b"\nrun\n")
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


# -- flags and arguments -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flags, arguments", [
    ("--batch-size 64 is more than the 40 rows (--envs 4 × --rollout 10)",
     "batch_size=64 is more than the 40 rows (envs=4 × rollout=10)"),
    ("--steps must be a whole number, not 'x'", "steps must be a whole number, not 'x'"),
    ("--gamma 0.99, --actor-lr 1e-3; --lam -1", "gamma=0.99, actor_lr=1e-3; lam=-1"),
    ("--vector sync needs none; --vector is sync or async", 'vector="sync" needs none; vector is sync or async'),
    ("--backend auto, --no-scale-actions acts in its own units", 'backend="auto", scale_actions=False acts in its own units'),
    ("--steps N with a larger N", "steps=N with a larger N"),
    ("(for an id --env-args max_episode_steps=N, for a callable)", '(for an id env_args={"max_episode_steps": N}, for a callable)'),
    ("--env-args id=Old-v0", 'env_args={"id": "Old-v0"}'),
    ("go on with: scratchac resume run --steps 3; --steps must be more",
     "go on with: scratchac resume run --steps 3; steps must be more"),
    ("e--mail and well-known - -x", "e--mail and well-known - -x")])
def test_messages_speak_of_arguments_in_python_and_of_flags_on_the_command_line(flags, arguments, capsys):
    assert str(UserError(flags)) == str(TrainingError(UserError(flags))) == arguments
    with wording.command_line():
        assert str(UserError(flags)) == flags
        tell(flags)
    tell(flags)
    assert capsys.readouterr().err == f"scratchac: {flags}\nscratchac: {arguments}\n"


def test_both_sides_of_one_mistake(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"^actor_lr must be above 0, not -1$"):
        scratchac.train("a2c", "CartPole-v1", 10, actor_lr=-1)
    assert main(["train", "a2c", "--env", "CartPole-v1", "--steps", "10", "--actor-lr=-1"]) == 2
    assert "--actor-lr must be above 0, not -1" in capsys.readouterr().err
    with pytest.raises(UserError, match=r"^stop_at and patience look at evaluations during training: they need eval_every, too$"):
        scratchac.train("a2c", "CartPole-v1", 10, patience=2)
