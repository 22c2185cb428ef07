"""Checkpoints: what comes back from one, those of earlier versions, and what damage does."""

import json
import os
import pickle
import re
import tracemalloc

import damage
import numpy as np
import pytest

import scratchac
from scratchac.errors import CheckpointError, UserError
from scratchac.experiments import session
from scratchac.experiments.run import Run

ALL = ["reinforce", "reinforce-baseline", "actor-critic", "a2c", "ppo"]


@pytest.mark.parametrize("algorithm", ALL)
@pytest.mark.parametrize("env", ["CartPole-v1", "Pendulum-v1"])
def test_state_goes_round_bitwise(algorithm, env, tmp_path, quick_end):
    agent = scratchac.train(algorithm, env=env, steps=250, out=tmp_path / "run", hidden=(8,))
    saved, *_ = Run.open(tmp_path / "run").restore()
    flat = {}
    from scratchac.experiments.checkpoints import _take_out_arrays

    tree = _take_out_arrays(agent.state(), "agent", flat)
    back = {}
    assert _take_out_arrays(saved, "agent", back) == tree
    assert back.keys() == flat.keys()
    assert all(np.array_equal(back[name], flat[name]) and back[name].dtype == flat[name].dtype for name in flat)


def test_checkpoints_come_as_often_as_asked_for(tmp_path, monkeypatch, quick_end):
    saved, save = [], Run.save
    monkeypatch.setattr(Run, "save", lambda run, agent, *rest: saved.append(agent["step"]) or save(run, agent, *rest))
    scratchac.train("a2c", "CartPole-v1", 400, out=tmp_path / "run", checkpoint_every=150)
    assert saved == [160, 320, 400]                                         # a rollout is 40 steps; the last one is the end's
    scratchac.resume(tmp_path / "run", steps=800)
    assert saved[3:] == [560, 720, 800]
    with pytest.raises(UserError, match="checkpoint_every must be"):
        scratchac.train("a2c", "CartPole-v1", 400, checkpoint_every=0)


def test_a_checkpoint_does_not_double_the_memory(tmp_path, capsys):
    """To write a large replay buffer takes less than half of its size as further memory."""
    agent = scratchac.make_agent("sac", "Pendulum-v1", buffer_size=1_000_000)
    agent.memory.size = 1_000_000
    run = Run.create(tmp_path / "run", damage.config_of_nothing())
    tracemalloc.start()
    run.save(agent.state(), {}, None)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (tmp_path / "run" / "checkpoint.npz").stat().st_size > agent.memory.nbytes
    assert peak < 0.5 * agent.memory.nbytes


def test_a_large_checkpoint_is_announced(tmp_path, capsys, monkeypatch, quick_end):
    monkeypatch.setattr(session, "LARGE", 1000)
    options = {"learning_starts": 100, "batch_size": 8, "hidden": (4,), "buffer_size": 100_000}
    scratchac.train("sac", "Pendulum-v1", 100, out=tmp_path / "run", quiet=False, checkpoint_every=50, **options)
    assert "there is one every 50 steps (checkpoint_every)" in capsys.readouterr().err


# -- what earlier versions wrote -------------------------------------------------------------------------------------------


def as_before(path):
    """Turn a run's folder into one of the version before, with a checkpoint of format 3 and older names in config.json."""
    arrays = dict(np.load(path / "checkpoint.npz"))
    text = arrays.pop("manifest").tobytes().decode().replace('"format": 4', '"format": 3').replace("interaction", "play")
    arrays = {name.replace("interaction", "play"): x for name, x in arrays.items()}
    np.savez(path / "checkpoint.npz", manifest=np.frombuffer(text.encode(), np.uint8), **arrays)
    config = json.loads((path / "config.json").read_text())
    del config["compiled"]
    if "n_step" in config["hyperparameters"]:
        config["hyperparameters"]["n"] = config["hyperparameters"].pop("n_step")
    (path / "config.json").write_text(json.dumps(config))


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["a2c", "sac", "a3c"])
def test_a_checkpoint_of_the_version_before_is_read(algorithm, tmp_path, quick_end):
    env = "Pendulum-v1" if algorithm == "sac" else "CartPole-v1"
    options = {"learning_starts": 50, "batch_size": 8, "buffer_size": 100} if algorithm == "sac" else {"envs": 2}
    scratchac.train(algorithm, env, 600, out=tmp_path / "run", stop_after=100, hidden=(4,), **options)
    now = damage._flat(Run.open(tmp_path / "run").restore())
    as_before(tmp_path / "run")
    assert damage._flat(Run.open(tmp_path / "run").restore()) == now
    assert scratchac.load(tmp_path / "run").step >= 100


def test_a_run_of_the_version_before_goes_on_as_if_never_stopped(tmp_path, quick_end):
    options = {"advantage": "nstep", "n_step": 3, "hidden": (4,)}
    scratchac.train("a2c", "CartPole-v1", 400, out=tmp_path / "whole", **options)
    scratchac.train("a2c", "CartPole-v1", 400, out=tmp_path / "parts", stop_after=200, **options)
    as_before(tmp_path / "parts")
    assert scratchac.resume(tmp_path / "parts").config.n_step == 3
    damage.same(tmp_path / "whole", tmp_path / "parts")


@pytest.mark.parametrize("name, value, then", [("activation", "relu", '"tanh"'),
                                               ("state_dependent_std", True, "false")])
def test_a_config_that_gives_the_parameters_another_meaning_is_refused(name, value, then, tmp_path, quick_end):
    scratchac.train("a2c", "Pendulum-v1", 80, out=tmp_path / "run", hidden=(8,))
    path = tmp_path / "run" / "config.json"
    config = json.loads(path.read_text())
    config["hyperparameters"][name] = value
    path.write_text(json.dumps(config))
    for use in (scratchac.load, lambda run: scratchac.resume(run, 160)):
        with pytest.raises(CheckpointError, match=re.escape(f"it was trained with {name} {then}, and config.json has")):
            use(tmp_path / "run")


def test_a_checkpoint_of_a_later_version_is_refused(finished, tmp_path):
    path = copy_of(finished, tmp_path)
    arrays = dict(np.load(path / "checkpoint.npz"))
    text = arrays.pop("manifest").tobytes().replace(b'"format": 4', b'"format": 5')
    np.savez(path / "checkpoint.npz", manifest=np.frombuffer(text, np.uint8), **arrays)
    with pytest.raises(CheckpointError, match="it has format 5, and this version of scratchac reads formats 3 and 4"):
        scratchac.load(path)


# -- damage --------------------------------------------------------------------------------------------------------------


class Bomb:
    def __reduce__(self):
        return (os.mkdir, ("bomb-went-off",))


def copy_of(finished, tmp_path):
    import shutil

    path = tmp_path / "copy"
    shutil.copytree(finished[0], path)
    return path


@pytest.mark.parametrize("harm", ["missing", "empty", "truncated", "text", "flipped", "pickle", "pickled member", "npy",
                                    "other algorithm", "other shapes"])
def test_a_damaged_checkpoint_is_refused_whole(finished, tmp_path, monkeypatch, harm):
    monkeypatch.chdir(tmp_path)
    path = copy_of(finished, tmp_path)
    file = path / "checkpoint.npz"
    good = file.read_bytes()
    if harm == "missing":
        file.unlink()
    elif harm == "flipped":
        file.write_bytes(good[:2000] + bytes([good[2000] ^ 1]) + good[2001:])
    elif harm == "pickle":
        file.write_bytes(pickle.dumps(Bomb()))
    elif harm == "pickled member":
        np.savez(file, manifest=np.array([Bomb()], dtype=object))
    elif harm == "npy":
        with open(file, "wb") as handle:
            np.save(handle, np.zeros(3))
    elif harm in ("other algorithm", "other shapes"):
        change = {"algorithm": "reinforce"} if harm == "other algorithm" else {}
        config = json.loads((path / "config.json").read_text()) | change
        if harm == "other shapes":
            config["hyperparameters"]["hidden"] = [5]
        else:
            config["hyperparameters"] = {"steps": 10}
        (path / "config.json").write_text(json.dumps(config))
    else:
        file.write_bytes({"empty": b"", "truncated": good[: len(good) // 2], "text": b"hello"}[harm])
    with pytest.raises(CheckpointError, match=r"checkpoint\.npz"):
        scratchac.load(path)
    assert not (tmp_path / "bomb-went-off").exists()


def test_a_failed_write_keeps_the_checkpoint_before(finished, tmp_path):
    path = copy_of(finished, tmp_path)
    before = (path / "checkpoint.npz").read_bytes()

    class Unwritable:
        pass

    with pytest.raises(TypeError):
        Run.open(path).save({"bad": Unwritable()}, {}, None)
    assert (path / "checkpoint.npz").read_bytes() == before
    assert not list(path.glob(".*.tmp"))


@pytest.mark.parametrize("content", [None, "", "{", "[]"])
def test_a_folder_that_is_no_run(tmp_path, content):
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(UserError, match=r"config\.json"):
        scratchac.load(tmp_path)
