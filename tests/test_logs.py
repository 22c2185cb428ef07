"""Logs for TensorBoard and Weights & Biases: what is in them, that training is the same with them, and that no fault ends it."""

import csv
import errno
import io
import json
import math
import os
import random
import struct
import sys
import time
import types
from pathlib import Path

import damage
import numpy as np
import pytest
from probes import Constant

import scratchac
from scratchac.__main__ import main
from scratchac.errors import UserError
from scratchac.experiments import conclusion, logs
from scratchac.experiments.run import Run

SMALL = {"hidden": (4,), "envs": 1, "rollout": 10}

pytestmark = pytest.mark.usefixtures("quick_end")


class Finish(scratchac.Callback):
    def __init__(self):
        self.said = []

    def on_end(self, agent):
        self.said.append("end")

    def on_finish(self, agent, summary, film):
        self.said.append((summary and summary["steps"], film and film.name))


class At(scratchac.Callback):
    """Calls a function at the row of this step."""

    def __init__(self, step, what):
        self.step, self.what = step, what

    def on_row(self, agent, row):
        if row["step"] == self.step:
            self.what()


def rows_of(path):
    return list(csv.DictReader((path / "metrics.csv").read_text().splitlines()))


# -- on_finish -----------------------------------------------------------------------------------------------------------


def test_what_comes_last(tmp_path):
    done, stopped, on, loose, failed = (Finish() for _ in range(5))
    scratchac.train("a2c", "CartPole-v1", 20, out=tmp_path / "run", video=True, callbacks=[done], **SMALL)
    scratchac.train("a2c", Constant, 40, out=tmp_path / "two", stop_after=20, callbacks=[stopped], **SMALL)
    scratchac.resume(tmp_path / "two", env=Constant, callbacks=[on])
    scratchac.train("a2c", Constant, 20, callbacks=[loose], **SMALL)
    with pytest.raises(ZeroDivisionError):
        scratchac.train("a2c", Constant, 20, callbacks=[At(10, lambda: 1 / 0), failed], **SMALL)
    (film,) = (tmp_path / "run").glob("video.*")
    assert done.said == ["end", (20, film.name)] and on.said == ["end", (40, None)]
    assert stopped.said == loose.said == failed.said == ["end", (None, None)]


def test_a_run_that_lacks_only_its_evaluation_is_finished_by_resume(tmp_path, monkeypatch):
    finish = Finish()
    with monkeypatch.context() as patch:
        patch.setattr(conclusion, "_evaluated", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            scratchac.train("a2c", Constant, 20, out=tmp_path / "run", **SMALL)
    scratchac.resume(tmp_path / "run", env=Constant, callbacks=[finish])
    assert finish.said == [(20, None)]


# -- asking for a log ----------------------------------------------------------------------------------------------------


def test_unknown_and_missing(tmp_path, monkeypatch, capsys):
    from scratchac.experiments import schema
    from scratchac.tools import flags

    assert flags.Log == schema.LogName
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"^unknown log 'x'; there are: tensorboard, wandb$"):
        scratchac.train("a2c", Constant, 20, out="run", log="x")
    with pytest.raises(UserError, match="log names tensorboard or wandb"):
        scratchac.train("a2c", Constant, 20, out="run", log=3)
    with pytest.raises(UserError, match=r"log needs a folder for the run \(out\)"):
        scratchac.train("a2c", Constant, 20, log="tensorboard")
    (tmp_path / "wandb").mkdir()                            # as wandb makes it: a folder that Python takes for a package
    monkeypatch.delitem(sys.modules, "wandb", raising=False)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    with pytest.raises(UserError, match=r'^log="wandb" needs a package that is missing: pip install \'wandb>='):
        scratchac.train("a2c", Constant, 20, out="run", log=["wandb"])
    sys.modules.pop("wandb", None)
    assert main(["train", "a2c", "--log", "x"]) == 2
    assert "Expected one of ('tensorboard', 'wandb')" in capsys.readouterr().err
    assert not (tmp_path / "run").exists() and not (tmp_path / "runs").exists()


def test_a_log_is_asked_for_by_a_flag_and_by_a_file(tmp_path, monkeypatch):
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    monkeypatch.chdir(tmp_path)
    words = ["--env", "CartPole-v1", "--steps", "20", "--hidden", "4", "--quiet", "--no-video", "--eval-episodes", "0"]
    assert main(["train", "a2c", "--log", "tensorboard", *words, "--out", "one"]) == 0
    assert main(["train", "--config", "one", "--quiet", "--no-video", "--out", "two"]) == 0
    assert main(["resume", "two", "--log", "--steps", "80", "--quiet", "--no-video"]) == 0
    assert [len(list(Path(name).glob("events*"))) for name in ("one", "two")] == [1, 1]
    config = json.loads(Path("one/config.json").read_text())
    Path("one/config.json").write_text(json.dumps(config | {"log": ["os"]}))
    with pytest.raises(UserError, match=r"config\.log.* is 'os'"):
        scratchac.resume("one")


def test_groups():
    row = {"step": 10, "episodes": 1, "return_mean": 2.0, "wall_s": 3.0, "actor_loss": 4.0, "entropy": "", "kl": math.nan,
           "eval_mean": 5}
    found = logs.grouped(row)
    assert math.isnan(found.pop("train/kl"))
    assert found == {"episode/episodes": 1.0, "episode/return_mean": 2.0, "time/wall_s": 3.0, "loss/actor_loss": 4.0,
                     "evaluation/eval_mean": 5.0}


# -- TensorBoard ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def read():
    """`read(folder)` is what TensorBoard finds there: {tag: [(step, value)]}, and the reader itself."""
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    def of(folder):
        found = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0, "tensors": 0}).Reload()
        return {tag: [(x.step, x.value) for x in found.Scalars(tag)] for tag in found.Tags()["scalars"]}, found

    return of


def event_file(path):
    (found,) = path.glob("events.out.tfevents.*")
    return found


def test_tensorboard_has_every_number_and_training_does_not_notice(read, tmp_path):
    options = {"video": True, "eval_every": 20, **SMALL}
    scratchac.train("a2c", "CartPole-v1", 40, out=tmp_path / "bare", **options)
    scratchac.train("a2c", "CartPole-v1", 40, out=tmp_path / "run", log="tensorboard", **options)
    damage.same(tmp_path / "bare", tmp_path / "run")
    assert "log" not in Run.open(tmp_path / "bare").config and Run.open(tmp_path / "run").config["log"] == ["tensorboard"]
    scalars, found = read(tmp_path / "run")
    rows = rows_of(tmp_path / "run")
    for name in rows[0].keys() - {"step"}:
        theirs = [(int(row["step"]), float(row[name])) for row in rows if row[name]]
        (ours,) = (values for tag, values in scalars.items() if tag.endswith(f"/{name}") and not tag.startswith("final/"))
        assert ours == [(step, pytest.approx(value, rel=1e-5)) for step, value in theirs]
    summary = json.loads((tmp_path / "run/summary.json").read_text())
    assert scalars["final/eval_mean"] == [(40, summary["eval_mean"])] and "final/best_eval_mean" in scalars
    assert [step for step, _ in scalars["time/steps_per_s"]] == [10, 20, 30, 40]
    (film,) = found.Images("film")
    assert film.encoded_image_string[:3] == b"GIF" and (film.step, film.width, film.height) == (40, 600, 400)
    text = found.Tensors("config")[0].tensor_proto.string_val[0].decode()
    assert '    {\n      "algorithm": "a2c"' in text


def test_tensorboard_table_of_hyperparameters(read, tmp_path):
    from tensorboard.plugins.hparams import plugin_data_pb2

    scratchac.train("a2c", "CartPole-v1", 20, out=tmp_path / "run", log="tensorboard", env_args={"max_episode_steps": 9}, **SMALL)
    _, found = read(tmp_path / "run")
    data = [plugin_data_pb2.HParamsPluginData.FromString(found.SummaryMetadata(f"_hparams_/session_{x}_info").plugin_data.content)
            for x in ("start", "end")]
    given = {name: getattr(x, x.WhichOneof("kind") or "null_value") for name, x in data[0].session_start_info.hparams.items()}
    assert (given["algorithm"], given["env"], given["seed"], given["env_args.max_episode_steps"]) == ("a2c", "CartPole-v1", 0, 9)
    assert (given["gamma"], given["hidden"], given["shared_body"]) == (0.99, "(4,)", False)
    assert data[1].session_end_info.status == 1             # STATUS_SUCCESS


def test_tensorboard_after_a_kill_and_a_resume(read, tmp_path):
    """Rows after the checkpoint are logged, as by a run that was killed; the resumed run makes them again."""
    class Killed(Exception):
        pass

    def kill():
        (seen,) = {len(values) for tag, values in read(path)[0].items() if tag == "loss/actor_loss"}
        assert seen == 2                                    # readable up to the row before, which is the order of callbacks
        raise Killed

    path = tmp_path / "run"
    scratchac.train("a2c", Constant, 40, out=tmp_path / "whole", log="tensorboard", **SMALL)
    with pytest.raises(Killed):
        scratchac.train("a2c", Constant, 40, out=path, log="tensorboard", checkpoint_every=10, callbacks=[At(30, kill)], **SMALL)
    os.replace(path / "checkpoint.previous.npz", path / "checkpoint.npz")      # of step 10
    scratchac.resume(path, env=Constant)
    assert len(list(path.glob("events.out.tfevents.*"))) == 2
    once, again = read(tmp_path / "whole")[0], read(path)[0]
    for found in (once, again):
        for name in ("time/wall_s", "time/steps_per_s"):
            del found[name]
    assert once == again and len(once["loss/actor_loss"]) == 4
    scratchac.resume(path, 50, env=Constant, log=[])
    assert len(list(path.glob("events.out.tfevents.*"))) == 2


def test_a_full_disk_costs_a_line_and_no_row(read, tmp_path, monkeypatch, capsys):
    from scratchac.experiments import event_files

    append, full = event_files.append, [True] * 3

    def later(path, data):
        if full:
            full.pop()
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        append(path, data)

    monkeypatch.setattr(event_files, "append", later)
    scratchac.train("a2c", Constant, 50, callbacks=[scratchac.TensorBoard(tmp_path / "new/log")], **SMALL)
    told = [line for line in capsys.readouterr().err.splitlines() if "log tensorboard" in line]
    assert len(told) == 1 and told[0].endswith("cannot be written: No space left on device; training goes on")
    assert [step for step, _ in read(tmp_path / "new/log")[0]["loss/actor_loss"]] == [10, 20, 30, 40, 50]


def test_event_files_follow_no_link(read, tmp_path, capsys):
    path, victim = tmp_path / "run", tmp_path / "victim"
    victim.write_bytes(b"mine")

    def put_a_link():
        event_file(path).unlink()
        (path / "events.out.tfevents.0000000001.x").symlink_to(victim)
        (path / f"{name}").symlink_to(victim)

    name = ""

    def remember():
        nonlocal name
        name = event_file(path).name

    agent = scratchac.train("a2c", Constant, 50, out=path, log="tensorboard",
                            callbacks=[At(20, remember), At(30, put_a_link)], **SMALL)
    assert agent.step == 50 and victim.read_bytes() == b"mine"
    assert capsys.readouterr().err.count("log tensorboard") == 1
    scratchac.resume(path, 60, env=Constant)                # in a file of its own
    assert victim.read_bytes() == b"mine" and (path / name).is_symlink()


def test_a_film_as_a_gif(tmp_path):
    pytest.importorskip("imageio_ffmpeg", reason="imageio-ffmpeg is not installed")
    from PIL import Image

    from scratchac.experiments import video

    agent = scratchac.train("a2c", "CartPole-v1", 20, **SMALL)
    film = video.record(agent, "CartPole-v1", tmp_path, max_episode_steps=9)
    assert film.suffix == ".mp4"
    with Image.open(io.BytesIO(video.as_gif(film))) as image:
        assert image.size == (600, 400) and 4 < image.n_frames < 8     # of 10, at 30 frames a second instead of 50
        assert (np.asarray(image.convert("L")) < 100).sum() > 500          # the cart


def test_an_event_file_is_new(read, tmp_path, monkeypatch, capsys):
    """A link that somebody makes at the last moment, after the names were read."""
    from scratchac.experiments import event_files

    (tmp_path / "events.out.tfevents.0000001000.scratchac").symlink_to(tmp_path / "victim")
    monkeypatch.setattr(event_files.time, "time", lambda: 1000.0)
    monkeypatch.setattr(Path, "glob", lambda *_: [])
    scratchac.train("a2c", Constant, 20, callbacks=[scratchac.TensorBoard(tmp_path)], **SMALL)
    assert "cannot be written: File exists" in capsys.readouterr().err and not (tmp_path / "victim").exists()


def test_tensorboard_needs_a_folder(tmp_path):
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    with pytest.raises(UserError, match=r"^TensorBoard\(folder\) needs a folder"):
        scratchac.train("a2c", Constant, 20, callbacks=[scratchac.TensorBoard()], **SMALL)


def test_a_run_of_which_nothing_is_kept_leaves_no_log(tmp_path):
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")

    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scratchac.train("a2c", Constant, 50, out=tmp_path / "run", log="tensorboard", checkpoint_every=50, callbacks=[At(20, stop)],
                        **SMALL)
    assert not (tmp_path / "run").exists()


# -- Weights & Biases ----------------------------------------------------------------------------------------------------


@pytest.fixture
def fake(monkeypatch):
    """A module in the place of wandb that writes down what it is told."""
    said = []

    class OneRun:
        def __init__(self, options):
            self.dir = str(Path(options["dir"] or ".") / "wandb/offline-run-1/files")

        def log(self, values, step):
            random.random()
            said.append(("log", step, values))

        def finish(self, exit_code):
            said.append(("finish", exit_code))

    def init(**options):
        random.random()
        said.append(("init", options))
        return OneRun(options)

    module = types.ModuleType("wandb")
    module.__file__ = "wandb.py"
    module.said, module.init, module.Settings = said, init, dict
    module.Video = lambda path, format: ("video", Path(path).name, format)
    monkeypatch.setitem(sys.modules, "wandb", module)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "true")     # so that it is put back
    return module


def test_wandb_is_told_of_everything(fake, tmp_path, capsys):
    scratchac.train("a2c", "CartPole-v1", 30, out=tmp_path / "bare", video=True, **SMALL)
    scratchac.train("a2c", "CartPole-v1", 30, out=tmp_path / "run", log="wandb", video=True, quiet=False, **SMALL)
    damage.same(tmp_path / "bare", tmp_path / "run")
    (_, options), *logged, final, finish = fake.said
    assert options["mode"] == "offline" and options["dir"] == tmp_path / "run" and options["name"] == options["group"] == "run"
    assert options["config"]["hidden"] == (4,) and options["config"]["env"] == "CartPole-v1"
    assert [step for _, step, _ in logged] == [10, 20, 30]
    assert [f"{values['loss/actor_loss']:.5g}" for *_, values in logged] == [
        f"{float(row['actor_loss']):.5g}" for row in rows_of(tmp_path / "run")]
    assert final[1] == 30 and final[2]["film"][:2] == ("video", next((tmp_path / "run").glob("video.*")).name)
    assert final[2]["final/eval_mean"] > 0 and finish == ("finish", 0)
    assert f"wandb sync {tmp_path / 'run/wandb/offline-run-1'}" in capsys.readouterr().err


def test_an_environment_that_draws_from_global_generators_does_not_notice(fake, tmp_path):
    class Draws(Constant):
        def step(self, action):
            obs, _, *rest = super().step(action)
            return obs, random.random(), *rest

    for name, log in (("bare", ()), ("run", "wandb")):
        scratchac.train("a2c", Draws, 30, out=tmp_path / name, log=log, **SMALL)
    damage.same(tmp_path / "bare", tmp_path / "run")


def test_a_resumed_run_is_another_one_of_the_group(fake, tmp_path):
    scratchac.train("a2c", Constant, 40, out=tmp_path / "run", log="wandb", stop_after=20, **SMALL)
    scratchac.resume(tmp_path / "run", env=Constant)
    (_, first), (_, second) = (what for what in fake.said if what[0] == "init")
    assert (first["name"], second["name"], second["group"]) == ("run", "run-from-20", "run")
    assert [what[1] for what in fake.said if what[0] == "log"] == [10, 20, 30, 40, 40]


def test_wandb_that_fails_costs_a_line(fake, tmp_path, capsys, monkeypatch):
    def fails(**options):
        raise RuntimeError("no wandb today")

    monkeypatch.setattr(fake, "init", fails)
    agent = scratchac.train("a2c", Constant, 40, callbacks=[scratchac.WandB(mode="online", folder=tmp_path)], **SMALL)
    assert agent.step == 40 and fake.said == []
    assert capsys.readouterr().err == "scratchac: log wandb: RuntimeError: no wandb today; training goes on\n"


def test_wandb_is_closed_after_an_error(fake, tmp_path, capsys, monkeypatch):
    """So that the rows before it are sent, and tried no more: each try may take a minute."""
    tries = []
    monkeypatch.setattr(logs.WandB, "write", lambda self, step, values: tries.append(step) or 1 / 0)
    scratchac.train("a2c", Constant, 40, out=tmp_path / "run", log="wandb", **SMALL)
    assert tries == [10] and [what[0] for what in fake.said] == ["init", "finish"]
    assert capsys.readouterr().err == "scratchac: log wandb: ZeroDivisionError: division by zero; training goes on\n"


def test_wandb_follows_no_link_and_is_told_of_an_error(fake, tmp_path, capsys):
    (tmp_path / "else").mkdir()
    (tmp_path / "wandb").symlink_to(tmp_path / "else")
    with pytest.raises(ZeroDivisionError):
        scratchac.train("a2c", Constant, 40, **SMALL, callbacks=[
            scratchac.WandB(folder=tmp_path), scratchac.WandB("mine", folder=tmp_path / "new"), At(10, lambda: 1 / 0)])
    assert "wandb is a link, and links are not followed" in capsys.readouterr().err
    assert [what[0] for what in fake.said] == ["init", "log", "finish"] and fake.said[-1] == ("finish", 1)
    assert fake.said[0][1]["project"] == "mine"


def test_wandb_mode(fake, monkeypatch):
    assert scratchac.WandB().options["mode"] == "offline" and os.environ["WANDB_ERROR_REPORTING"] == "true"
    monkeypatch.setenv("WANDB_MODE", "online")
    assert scratchac.WandB().options["mode"] == "online" and scratchac.WandB(mode="offline").options["mode"] == "offline"


def wandb_records(data):
    """The records in a .wandb file: LevelDB's log format, blocks of 32 KiB after a header of 7 bytes."""
    at, whole = 7, b""
    while at + 7 <= len(data):
        if (left := 32768 - at % 32768) < 7:
            at += left
            continue
        length, kind = struct.unpack_from("<HB", data, at + 4)
        whole += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):                                  # the whole record, or its last part
            yield whole
            whole = b""


@pytest.mark.slow
def test_wandb_itself(tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb", reason="wandb is not installed")
    from wandb.proto import wandb_internal_pb2

    monkeypatch.delenv("WANDB_MODE", raising=False)
    scratchac.train("a2c", "CartPole-v1", 30, out=tmp_path / "bare", video=True, **SMALL)
    scratchac.train("a2c", "CartPole-v1", 30, out=tmp_path / "run", video=True, log="wandb", **SMALL)
    damage.same(tmp_path / "bare", tmp_path / "run")
    (file,) = (tmp_path / "run/wandb").glob("offline-run-*/*.wandb")
    found, deadline = [], time.monotonic() + 60
    while not any(record.WhichOneof("record_type") == "exit" for record in found) and time.monotonic() < deadline:
        time.sleep(0.05)                                    # another process writes the file, and `finish` does not wait for it
        found = [wandb_internal_pb2.Record.FromString(data) for data in wandb_records(file.read_bytes())]
    history = [{item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}
               for record in found if record.WhichOneof("record_type") == "history"]
    assert [row["_step"] for row in history] == [10, 20, 30]            # one row for a step: the evaluation is in the last
    assert "final/eval_mean" in history[-1] and "loss/actor_loss" in history[-1] and history[-1]["film._type"] == "video-file"
    (run,) = (record.run for record in found if record.WhichOneof("record_type") == "run")
    assert (run.display_name, run.run_group, run.project) == ("run", "run", "scratchac")
    assert wandb.run is None
