"""Faults that are really caused: kills, full disks, damaged files, values that are not finite, Ctrl-C at bad moments."""

import json
import os
import resource
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import damage
import faults
import gymnasium as gym
import numpy as np
import pytest
import soak
import strange
import values
from probes import Constant, Poison

import kernels
import scratchac
from scratchac.__main__ import main
from scratchac.environments import rewind, vector
from scratchac.environments.spaces import space_from_json, space_to_json
from scratchac.environments.vector import VectorEnv
from scratchac.errors import CheckpointError, EnvironmentFailed, TrainingError, UserError, WriteError
from scratchac.experiments import files
from scratchac.experiments.run import Run
from scratchac.training import evaluation, loops

SMALL = {"hidden": (4,)}
OFF = SMALL | {"learning_starts": 8, "batch_size": 4, "buffer_size": 100}

pytestmark = pytest.mark.usefixtures("quick_end")


class Doing(Constant):
    """It calls `what` at the given steps, which are counted over all its instances."""

    def __init__(self, steps, what, counter):
        super().__init__(limit=50)
        self.steps, self.what, self.counter = steps, what, counter

    def step(self, action):
        self.counter.append(1)
        if len(self.counter) in self.steps:
            self.what()
        return super().step(action)


def doing(steps, what):
    counter = []
    return lambda: Doing(steps, what, counter)


def room(size=resource.RLIM_INFINITY):
    """From now on no file can grow beyond `size` bytes: writing fails as on a full disk, though with another message."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


@pytest.fixture(autouse=True)
def room_again():
    yield
    room()


FULL = "File too large"
LITTLE = 4000                   # bytes: enough for rows, and not for a checkpoint


@pytest.fixture
def finished(tmp_path):
    scratchac.train("a2c", "CartPole-v1", 400, out=tmp_path / "run", normalise_obs=True, optimiser="adam", **SMALL)
    return tmp_path / "run"


# -- a full disk ---------------------------------------------------------------------------------------------------------


def test_a_full_disk_leaves_the_checkpoint_before(finished):
    run, before = Run.open(finished), (finished / "checkpoint.npz").read_bytes()
    state = scratchac.load(finished).state()
    room(LITTLE)
    with pytest.raises(WriteError, match=rf"checkpoint\.npz cannot be written: {FULL}"):
        run.save(state, {}, None)
    room()                                                                  # also for what reports this test
    assert (finished / "checkpoint.npz").read_bytes() == before and not list(finished.glob(".*.tmp"))


def test_training_goes_on_while_the_disk_is_full(tmp_path, capsys):
    """There is no room at all from step 60 to 110, and none for a checkpoint at step 200. In the end nothing is missing."""
    path, sizes = tmp_path / "run", iter((0, resource.RLIM_INFINITY, LITTLE, resource.RLIM_INFINITY))
    env = doing((60, 110, 190, 210), lambda: room(next(sizes)))
    agent = scratchac.train("reinforce", env, 400, out=path, checkpoint_every=100, **SMALL)
    said = capsys.readouterr().err
    assert f"metrics.csv cannot be written: {FULL}; training goes on" in said
    assert f"checkpoint.npz cannot be written: {FULL}; training goes on" in said
    assert Run.open(path).metrics()["step"].tolist() == list(range(50, 401, 50))        # an update is an episode of 50 steps
    assert scratchac.load(path).step == agent.step == 400


def test_no_checkpoint_without_the_rows_before_it(tmp_path):
    """If the checkpoint were written without them, a run that is killed and resumed would never make these rows again."""
    path, seen = tmp_path / "run", []
    moments = iter((lambda: room(0), lambda: seen.append((path / "checkpoint.npz").exists()), room))
    scratchac.train("reinforce", doing((10, 310, 390), lambda: next(moments)()), 400, out=path, checkpoint_every=100, **SMALL)
    assert seen == [False]
    assert Run.open(path).metrics()["step"].tolist() == list(range(50, 401, 50))


def test_where_the_last_checkpoint_has_no_room_the_one_before_stays(tmp_path):
    path = tmp_path / "run"
    with pytest.raises(WriteError, match=FULL):
        env = doing((390,), lambda: room(LITTLE))
        scratchac.train("reinforce", env, 400, out=path, checkpoint_every=150, **SMALL)
    room()
    assert scratchac.load(path).step == 300 and not (path / "summary.json").exists()
    assert scratchac.resume(path, env=Constant).step == 400


def test_no_room_for_a_folder_leaves_none_and_one_line(tmp_path):
    def no_room():
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))

    words = ["train", "reinforce", "--quiet", "--out", "run"]
    done = subprocess.run([sys.executable, "-m", "scratchac", *words], cwd=tmp_path, text=True, capture_output=True,
                          preexec_fn=no_room)
    assert done.returncode == 2 and not list(tmp_path.iterdir())
    assert done.stderr.startswith("scratchac: run/config.json cannot be written: ") and len(done.stderr.splitlines()) == 1


@pytest.mark.slow
@pytest.mark.parametrize("words", ["train a2c --env CartPole-v1 --vector async", "train a3c"])
def test_no_room_for_memory_that_processes_share(words, tmp_path):
    """A limit of 4 kB, which is enough for config.json, acts like a container with a small /dev/shm."""
    done = subprocess.run([sys.executable, "-m", "scratchac", *words.split(), "--quiet", "--out", "run"], cwd=tmp_path, text=True,
                          capture_output=True, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000)))
    assert done.returncode == 2 and not list(tmp_path.iterdir()), done.stderr
    assert done.stderr.startswith("scratchac: no memory to share between ")     # Python's tracker of such memory may say more


# -- killed, and stopped -------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_killed_in_mid_write_the_folder_has_a_whole_checkpoint(tmp_path):
    seen = damage.kill_writers(tmp_path / "run", 20)
    assert seen["killed"] == 20 and seen["killed in mid-write"] > 2 and seen["checkpoints written"] > 2


def test_a_row_for_which_there_is_half_the_room_leaves_nothing(tmp_path):
    """A part of it would stay, and the next row would be glued to it."""
    path = tmp_path / "rows"
    path.write_bytes(b"a" * 10)
    room(15)
    with pytest.raises(OSError):
        files.append(path, b"b" * 10)
    assert path.read_bytes() == b"a" * 10


def test_the_content_is_on_the_disk_before_its_name_and_the_folder_after(tmp_path, monkeypatch):
    """Else a machine that loses its power may have the new name with nothing behind it."""
    done, fsync, replace = [], os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (done.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "content"),
                                                     fsync(handle)))
    monkeypatch.setattr(os, "replace", lambda *paths: (done.append("name"), replace(*paths)))
    with files.atomic_file(tmp_path / "x") as file:
        file.write(b"1")
    assert done == ["content", "name", "folder"] and (tmp_path / "x").read_bytes() == b"1"


def test_a_row_that_was_not_finished_is_forgotten(tmp_path):
    path = tmp_path / "run"
    scratchac.train("a2c", "CartPole-v1", 400, out=path, stop_after=200, **SMALL)
    with open(path / "metrics.csv", "a") as file:
        file.write("240,12,2")                                              # killed here
    assert Run.open(path).metrics()["step"][-1] == 200                      # `plot` can read it
    scratchac.resume(path)
    scratchac.train("a2c", "CartPole-v1", 400, out=tmp_path / "whole", **SMALL)
    damage.same(path, tmp_path / "whole")


def kill(*signals):
    return lambda: [os.kill(os.getpid(), number) for number in signals]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_once_the_step_is_finished_and_saved(tmp_path, number):
    path = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt, match="stopped at step 150 and saved; go on with: scratchac resume"):
        scratchac.train("reinforce", doing((101,), kill(number)), 400, out=path, **SMALL)
    assert scratchac.load(path).step == 150 and scratchac.resume(path, env=Constant).step == 400


def test_ctrl_c_twice_stops_at_once(tmp_path):
    path = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt, match="stopped at once; go on from the last checkpoint with: scratchac resume"):
        scratchac.train("reinforce", doing((301, 303), kill(signal.SIGINT)), 400, out=path, checkpoint_every=100, **SMALL)
    assert scratchac.load(path).step == 300
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_during_the_evaluation(tmp_path, monkeypatch):
    monkeypatch.undo()                                                      # the usual end has 100 episodes, and curves
    path = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt, match="all 400 steps are saved, not evaluated; for that: scratchac resume"):
        scratchac.train("reinforce", doing((450,), kill(signal.SIGINT)), 400, out=path, **SMALL)
    assert not (path / "summary.json").exists()
    assert scratchac.resume(path, env=Constant).step == 400
    assert json.loads((path / "summary.json").read_text())["eval_episodes"] == 100 and (path / "curves.png").exists()
    with pytest.raises(UserError, match="has finished"):
        scratchac.resume(path, env=Constant)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("words", [["a2c", "--vector", "async", "--envs", "2"], ["a3c", "--envs", "2"]])
def test_what_stops_a_run_is_not_heard_by_its_processes(words, number, tmp_path):
    """Terminals and clusters send a signal to all processes of a run. The workers must survive it, to tell their state."""
    options = ["--env", "CartPole-v1", "--steps", "1000000", "--quiet", "--no-video", "--backend", "numpy", "--out",
               tmp_path / "run"]
    process = subprocess.Popen([sys.executable, "-m", "scratchac", "train", *words, *map(str, options)], stderr=subprocess.PIPE,
                               text=True, start_new_session=True)
    deadline = time.monotonic() + 60
    while not (tmp_path / "run" / "metrics.csv").exists():
        time.sleep(0.05)
        assert process.poll() is None and time.monotonic() < deadline
    os.killpg(process.pid, number)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 130 and said.startswith("scratchac: stopped at step") and len(said.splitlines()) == 1
    interaction = Run.open(tmp_path / "run").restore()[2]
    assert interaction["envs" if words[0] == "a2c" else "workers"] is not None


@pytest.mark.slow
def test_two_processes_do_not_train_one_run(tmp_path):
    words = [sys.executable, "-m", "scratchac", "train", "a2c", "--env", "CartPole-v1", "--steps", "1000000", "--quiet",
             "--no-video", "--backend", "numpy", "--out", str(tmp_path / "run")]
    first = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    while not (tmp_path / "run" / "checkpoint.npz").exists():
        time.sleep(0.05)
        assert first.poll() is None
    with pytest.raises(UserError, match="another process trains"):
        scratchac.resume(tmp_path / "run")
    first.kill()                                                            # the system takes its lock away
    first.communicate()
    step = scratchac.load(tmp_path / "run").step
    assert scratchac.resume(tmp_path / "run", steps=step + 1000).step > step


class Moody(Constant):
    """The lengths of its episodes come from no generator, and a step beyond an episode's end is an error."""

    lengths = iter(())

    def reset(self, **kwargs):
        self.limit = next(self.lengths)
        return super().reset(**kwargs)

    def step(self, action):
        assert self.t < self.limit, "after the end"
        return super().step(action)


def test_an_environment_that_goes_another_way_begins_a_new_episode(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(Moody, "lengths", iter([50, 50, 10, 10, *[20] * 500]))      # two before the stop, then those after it
    scratchac.train("actor-critic", Moody, 90, out=tmp_path / "run", stop_after=80, **SMALL)
    assert scratchac.resume(tmp_path / "run", env=Moody).step == 90
    assert "restore environment 0; it begins a new episode" in capsys.readouterr().err


class Counted(Constant):
    """It counts the steps of all its instances."""

    steps = 0

    def step(self, action):
        type(self).steps += 1
        return super().step(action)


def test_new_episodes_of_a_resumed_run_are_not_its_first_ones(tmp_path):
    path, starts = tmp_path / "run", []

    class Noted(Constant):
        def reset(self, *, seed=None, options=None):
            starts.append(seed)
            return super().reset(seed=seed)

    scratchac.train("a2c", Noted, 160, out=path, stop_after=80, **SMALL)
    first = {seed for seed in starts if seed is not None}
    starts.clear()
    scratchac.resume(path, env=Noted, new_episodes=True, eval_episodes=0)
    assert len(first) == 8 and not first & set(starts)


@pytest.mark.parametrize("anew, steps, episodes", [(False, 8 * (20 + 50), 24), (True, 8 * 50, 16)])
def test_resumed_with_new_episodes(anew, steps, episodes, tmp_path, monkeypatch, capsys):
    """Eight environments are in the 20th step of their second episode of 30; the first ones stay counted."""
    path = tmp_path / "run"
    agent = scratchac.train("a2c", lambda: Counted(30), 800, out=path, stop_after=400, **SMALL)
    assert Run.open(path).restore()[1]["episodes"] == 8
    monkeypatch.setattr(Counted, "steps", 0)
    again = scratchac.resume(path, env=lambda: Counted(30), new_episodes=anew, eval_episodes=0)
    assert (Counted.steps, again.step, agent.step) == (steps, 800, 400)
    assert json.loads((path / "summary.json").read_text())["episodes"] == episodes
    assert not np.array_equal(again.model.flat, agent.model.flat) and capsys.readouterr().err == ""
    with pytest.raises(UserError, match="new_episodes is true or false, not 1"):
        scratchac.resume(path, 1200, env=Constant, new_episodes=1)


def test_off_policy_resumed_with_new_episodes(tmp_path):
    path = tmp_path / "run"
    scratchac.train("td3", "Pendulum-v1", 400, out=path, stop_after=250, **OFF)
    assert main(["resume", str(path), "--new-episodes", "--quiet", "--no-video"]) == 0
    assert len(Run.open(path).restore()[2]["envs"][0]["actions"]) == 150


@pytest.mark.parametrize("slow, quiet, said", [(0, False, True), (0, True, False), (1000, False, False)])
def test_restoring_episodes_shows_that_it_goes_on(slow, quiet, said, tmp_path, monkeypatch, capsys, terminal):
    monkeypatch.setattr(rewind, "SLOW", slow)
    scratchac.train("a2c", lambda: Constant(30), 800, out=tmp_path / "run", stop_after=400, **SMALL)
    scratchac.resume(tmp_path / "run", env=lambda: Constant(30), quiet=quiet)
    shown = capsys.readouterr().err
    assert ("restoring episodes" in shown) == ("/160 steps" in shown) == said


class Sleepy(Constant):
    def step(self, action):
        time.sleep(0.01)
        return super().step(action)


@pytest.mark.parametrize("quiet", [False, True])
@pytest.mark.slow
def test_restoring_episodes_in_processes_is_one_line(quiet, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(vector, "SLOW", 0)
    options = SMALL | {"envs": 2, "vector": "async"}
    scratchac.train("a2c", lambda: Sleepy(30), 80, out=tmp_path / "run", stop_after=50, **options)
    scratchac.resume(tmp_path / "run", env=lambda: Sleepy(30), quiet=quiet, eval_episodes=0)
    assert capsys.readouterr().err.count("scratchac: the processes repeat the steps of their episodes") == (not quiet)


def test_a_resume_that_fails_at_once_leaves_the_checkpoint_as_it_is(tmp_path):
    path = tmp_path / "run"
    scratchac.train("a2c", Constant, 400, out=path, stop_after=100, **SMALL)
    before = (path / "checkpoint.npz").read_bytes()

    class Broken(Constant):
        def reset(self, **_):
            raise RuntimeError("no simulator today")

    for _ in range(2):
        with pytest.raises(EnvironmentFailed, match="environment 0 at its reset raised RuntimeError: no simulator today"):
            scratchac.resume(path, env=Broken)
    assert (path / "checkpoint.npz").read_bytes() == before
    assert scratchac.resume(path, env=Constant).step == 400


# -- damaged checkpoints -------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_flipped_bits_are_refused_or_harmless(finished):
    seen = damage.flip_bits(finished, 1500)
    assert seen["refused"] > 1200 and sum(seen.values()) == 1500


def test_the_one_before_can_take_the_place_of_a_damaged_checkpoint(tmp_path):
    path, options = tmp_path / "run", SMALL | {"checkpoint_every": 100}
    scratchac.train("a2c", "CartPole-v1", 800, out=path, stop_after=400, **options)
    file, previous = path / "checkpoint.npz", path / "checkpoint.previous.npz"
    with open(file, "r+b") as handle:
        handle.truncate(3000)
    with pytest.raises(CheckpointError, match=r"checkpoint\.previous\.npz is the one before it: rename it to go on from there"):
        scratchac.resume(path)
    previous.rename(file)
    assert scratchac.load(path).step < 400 and scratchac.resume(path).step == 800
    scratchac.train("a2c", "CartPole-v1", 800, out=tmp_path / "whole", **options)
    damage.same(path, tmp_path / "whole")


def test_the_soak_damages_one_of_two_names_for_the_same_checkpoint(finished, monkeypatch):
    """A kill between the link and the replacement leaves two names of one file. Damage to one name must leave the other sound."""
    run, (file, previous) = Run.open(finished), (finished / f"checkpoint{x}.npz" for x in ("", ".previous"))
    state, link = run.restore(), files._replace_by_link

    def killed_after_the_link(*paths):
        link(*paths)
        raise KeyboardInterrupt("killed")

    monkeypatch.setattr(files, "_replace_by_link", killed_after_the_link)
    with pytest.raises(KeyboardInterrupt):
        run.save(*state)
    assert os.path.samefile(file, previous)
    soak.Tormented([], finished, np.random.default_rng(0), has_workers=False).damage(file)
    with pytest.raises(CheckpointError, match=r"rename it to go on from there"):
        run.restore()
    previous.rename(file)
    assert damage._flat(run.restore()) == damage._flat(state)
    assert sorted(path.name for path in finished.glob("checkpoint*")) == ["checkpoint.npz"]


def leaves(node, path=()):
    """The paths to everything in a nested state that is not a dict."""
    if not isinstance(node, dict) or not node:
        return [path]
    return [place for name in node for place in leaves(node[name], (*path, name))]


@pytest.mark.parametrize("algorithm", ["a2c", "ddpg", "sac"])
def test_a_state_that_does_not_fit_changes_nothing(algorithm):
    """Each part of the state in turn is missing, of another kind, or of another shape; it is refused, and nothing changes."""
    options = {"a2c": {"normalise_obs": True, "scale_rewards": True}, "ddpg": OFF | {"noise": "ou"}, "sac": OFF}[algorithm]
    agent = scratchac.make_agent(algorithm, "Pendulum-v1", **options)
    other = scratchac.train(algorithm, "Pendulum-v1", 40, seed=1, **options)
    before = damage._flat(agent.state())
    for *names, last in leaves(other.state()):
        for wrong in ("missing", b"another kind", np.zeros((3, 3))):
            state = parent = copied(other.state())
            for name in names:
                parent = parent[name]
            parent[last] = wrong
            if isinstance(wrong, str):
                del parent[last]
            with pytest.raises(ValueError):
                agent.load_state(state)
            assert damage._flat(agent.state()) == before, (names, last, wrong)
    agent.load_state(other.state())
    assert damage._flat(agent.state()) == damage._flat(other.state())


def copied(node):
    return {name: copied(value) for name, value in node.items()} if isinstance(node, dict) else node


# -- values that are no numbers ------------------------------------------------------------------------------------------


class PoisonLater(Poison):
    """Its episodes have 10 steps. From its 31st step on its reward or observation is not finite."""

    def __init__(self, what):
        super().__init__(what, after=30)
        self.limit, self.before = 10, 0

    def reset(self, **kwargs):
        self.before += getattr(self, "t", 0)
        return super().reset(**kwargs)

    def step(self, action):
        self.after = 30 - self.before
        return super().step(action)


class Pays(Constant):
    """Its reward at each step is `reward`."""

    def __init__(self, reward):
        super().__init__()
        self.reward = reward

    def step(self, action):
        obs, _, *rest = super().step(action)
        return obs, self.reward, *rest


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize("algorithm", ["reinforce", "actor-critic", "a2c", "ppo", "discrete-sac"])
def test_rewards_of_every_kind_of_number(algorithm, backend):
    if backend == "numba":
        pytest.importorskip("numba", reason="Numba is not installed")
    small = {"backend": backend, "hidden": (4,), **({"batch_size": 8} if algorithm == "discrete-sac" else {})}
    for reward in (1, True, np.float16(1), np.longdouble(1), np.int8(1)):
        scratchac.train(algorithm, lambda reward=reward: Pays(reward), 64, **small)
    with pytest.raises(EnvironmentFailed, match=r"environment 0 at step 1 .* int too large to convert to float"):
        scratchac.train(algorithm, lambda: Pays(10**400), 64, **small)
    with pytest.raises(TrainingError, match="rewards of environment 0 are not finite at about step 0"):
        scratchac.train(algorithm, lambda: Pays(1e39), 64, **small)


def test_an_agent_that_is_not_finite_is_not_returned_and_not_saved(tmp_path):
    with pytest.raises(TrainingError, match="parameters is not finite at step 40: lower the learning rates"), \
            np.errstate(all="ignore"):
        scratchac.train("a2c", "CartPole-v1", steps=40, actor_lr=1e39, backend="numpy")
    agent = scratchac.make_agent("a2c", "CartPole-v1")
    agent.model.flat[0] = np.nan
    with pytest.raises(TrainingError, match="parameters is not finite"):
        agent.save(tmp_path / "agent")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize("what, said", [("reward", "rewards of environment 0 are not finite at about step"),
                                        ("obs", "observations of environment 0 are not finite at about step")])
@pytest.mark.parametrize("algorithm", ["reinforce", "reinforce-baseline", "actor-critic", "a2c", "ppo", "discrete-sac"])
def test_nan_stops_training_and_the_last_checkpoint_is_sound(algorithm, what, said, backend, tmp_path):
    if backend == "numba":
        pytest.importorskip("numba", reason="Numba is not installed")
    options = OFF if algorithm == "discrete-sac" else SMALL | ({"rollout": 8, "batch_size": 8} if algorithm == "ppo" else {})
    with pytest.raises(TrainingError, match=f"{said}.*; the last checkpoint is .*checkpoint.npz"):
        scratchac.train(algorithm, lambda: PoisonLater(what), 1000, out=tmp_path / "run", backend=backend, checkpoint_every=1,
                        **options)
    agent = scratchac.load(tmp_path / "run")
    assert 0 < agent.step < 500 and all(np.isfinite(x).all() for x in agent.state().values() if isinstance(x, np.ndarray))


@pytest.mark.parametrize("algorithm", ["a2c", "sac", "td3"])
def test_a_nan_does_not_reach_an_environment_as_an_action(algorithm):
    agent = scratchac.make_agent(algorithm, "Pendulum-v1", **OFF if algorithm != "a2c" else SMALL)
    agent.keeps()["parameters" if algorithm == "a2c" else "actor"][:] = np.nan

    class Watched(Constant):
        action_space, observation_space = gym.spaces.Box(-1, 1, (1,)), gym.spaces.Box(-1, 1, (3,))

        def reset(self, **_):
            return np.zeros(3, np.float32), {}

        def step(self, action):
            raise AssertionError("it has been stepped")

    with pytest.raises(TrainingError, match="actions of environment 0 are not finite"):
        agent.step = 100                                                    # later than its random actions
        loops.train(agent, VectorEnv(Watched, agent.config.envs, 0), 200, lambda *_: False)


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize("algorithm", ["reinforce", "reinforce-baseline", "actor-critic", "a2c", "ppo", "discrete-sac"])
def test_a_gradient_that_is_not_finite_stops_training(algorithm, backend):
    """Observations and rewards are finite, but the networks' parameters are huge."""
    if backend == "numba":
        pytest.importorskip("numba", reason="Numba is not installed")
    options = OFF if algorithm == "discrete-sac" else SMALL | ({"rollout": 8, "batch_size": 8} if algorithm == "ppo" else {})
    with kernels.using(backend), np.errstate(all="ignore"):
        agent = scratchac.make_agent(algorithm, "CartPole-v1", **options)
        agent.keeps()["actor" if algorithm == "discrete-sac" else "parameters"][:] = 3e38
        venv = VectorEnv("CartPole-v1", agent.n_envs, 0)
        with pytest.raises(TrainingError, match=r"at step \d+: (the gradient|the TD error|critic_loss) is not finite"):
            loops.train(agent, venv, 400, lambda *_: False)


@pytest.mark.parametrize("algorithm", ["ddpg", "td3", "sac"])
def test_parameters_that_are_no_numbers_are_not_saved(algorithm, tmp_path):
    """With absurd learning rates training stops, whichever check is the first to notice, and the checkpoint stays sound."""
    with pytest.raises(TrainingError, match=r"not finite.*; the last checkpoint is"), np.errstate(all="ignore"):
        scratchac.train(algorithm, "Pendulum-v1", 400, out=tmp_path / "run", actor_lr=1e20, critic_lr=1e20, checkpoint_every=1,
                        **OFF)
    assert all(np.isfinite(x).all() for x in scratchac.load(tmp_path / "run").state().values() if isinstance(x, np.ndarray))


# -- environments --------------------------------------------------------------------------------------------------------


def test_an_episode_that_never_ends():
    class Endless(Constant):
        def __init__(self):
            super().__init__(limit=10**9)

    agent = scratchac.make_agent("reinforce", Endless, **SMALL)
    with pytest.MonkeyPatch.context() as patch:
        for module in (loops, evaluation):
            patch.setattr(module, "LONGEST", 1000)
        with pytest.raises(EnvironmentFailed, match=r'an episode has not ended.*env_args=\{"max_episode_steps": N\}.*TimeLimit'):
            scratchac.evaluate(agent, Endless, 2)
        with pytest.raises(EnvironmentFailed, match=r'an episode has not ended.*env_args=\{"max_episode_steps": N\}.*TimeLimit'):
            scratchac.train("reinforce", Endless, 5000, **SMALL)


def test_a_very_long_episode_is_not_kept_and_begins_anew(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(rewind, "LONGEST", 30)
    scratchac.train("a2c", "Pendulum-v1", 800, out=tmp_path / "run", stop_after=400, **SMALL)       # 50 steps of each episode
    assert Run.open(tmp_path / "run").restore()[2]["envs"][0]["actions"] is None
    scratchac.resume(tmp_path / "run")
    assert "restore environment 0; it begins a new episode" in capsys.readouterr().err


# -- strange input -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("what, examples", [("command_lines", 60), ("function_calls", 400), ("environments", 400)])
def test_strange_input_is_done_or_refused(what, examples, monkeypatch):
    if what == "command_lines":
        pytest.importorskip("pettingzoo")                                   # some of them are about a run on a game
    monkeypatch.undo()                                                      # curves are drawn, since they have to take this input
    seen = getattr(strange, what)(examples)
    assert sum(seen.values()) > examples / 2 and len(seen) > 1


def test_nothing_is_concluded_before_the_end(tmp_path):
    scratchac.train("reinforce", Constant, 200, out=tmp_path / "run", stop_after=100, **SMALL)
    with pytest.raises(UserError, match="at step 100 of 200 already"):
        scratchac.resume(tmp_path / "run", steps=50, env=Constant)
    assert not (tmp_path / "run" / "summary.json").exists()


def test_what_is_refused_late_leaves_no_folder(tmp_path):
    with pytest.raises(UserError, match="cannot be sent to another process"):
        scratchac.train("a3c", lambda: Constant(), 100, out=tmp_path / "run", **SMALL)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("space", [
    gym.spaces.Discrete(3, start=-2), gym.spaces.Box(0, 3, (2,), np.int64), gym.spaces.Box(0, np.inf, (1,), np.int64),
    gym.spaces.Box(-np.inf, 1, (2,)), gym.spaces.Box(0, 1, (20, 20, 3), np.uint8), gym.spaces.Box(0, 255, (3, 20, 20), np.uint8)])
def test_spaces_come_back(space):
    saved = space_to_json(space)
    assert space_to_json(space_from_json(json.loads(json.dumps(saved)))) == saved


def test_the_compiled_loop_sees_an_infinity_where_an_episode_is_cut_off():
    """Such an observation is seen by the critic alone, where tanh turns it into 1."""
    pytest.importorskip("numba", reason="Numba is not installed")

    class Far(Constant):
        observation_space = gym.spaces.Box(-np.inf, np.inf, (1,))

        def step(self, action):
            _, reward, term, trunc, info = super().step(action)
            return np.full(1, np.inf if trunc else 0, np.float32), reward, term, trunc, info

    for backend in ("numpy", "numba"):
        with pytest.raises(TrainingError, match="next_observations of environment 0 are not finite"):
            scratchac.train("a2c", Far, 200, backend=backend, **SMALL)


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize("algorithm", ["actor-critic", "a2c"])
def test_observations_may_be_lists(algorithm, backend):
    if backend == "numba":
        pytest.importorskip("numba", reason="Numba is not installed")

    class Lists(Constant):
        def reset(self, **kwargs):
            return super().reset(**kwargs)[0].tolist(), {}

        def step(self, action):
            obs, *rest = super().step(action)
            return obs.tolist(), *rest

    assert scratchac.train(algorithm, Lists, 80, backend=backend, **SMALL).step == 80


@pytest.mark.slow
def test_a_run_without_a_single_update(tmp_path, monkeypatch):
    monkeypatch.undo()                                                      # curves are drawn of no update at all
    scratchac.train("sac", "Pendulum-v1", 1000, out=tmp_path / "run", on_row=lambda row: True, **OFF)
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["updates_per_s"] == 0


def test_resumed_with_another_environment(tmp_path):
    scratchac.train("reinforce", Constant, 100, out=tmp_path / "run", stop_after=50, **SMALL)
    with pytest.raises(UserError, match=r"was trained with the space Box.*\(1,\).*, and this environment has Box.*\(4,\)"):
        scratchac.resume(tmp_path / "run", env="CartPole-v1")


def test_a_run_that_belongs_to_something_else(finished, capsys):
    config = json.loads((finished / "config.json").read_text())
    for change in ({"env": None}, {"hyperparameters": {"gamma": "x"}}, {"observation_space": {"kind": "Box"}}, {"seed": "x"},
                   {"algorithm": "a2d"}, {"action_space": {"kind": "Discrete", "n": -1, "start": 0}}):
        (finished / "config.json").write_text(json.dumps(config | change))
        assert main(["evaluate", str(finished)]) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1, change
    assert Path(finished / "checkpoint.npz").exists()


# -- what is not installed -----------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("words, module, command", [
    ("train a2c --env LunarLander-v3", "Box2D", "gymnasium[box2d]"), ("train sac --env Hopper-v5", "mujoco", "gymnasium[mujoco]"),
    ("train a2c --backend numba", "numba", "pip install numba scipy"),
    ("train sac --backend cupy", "cupy", "pip install cupy-cuda13x"),
    ("train a2c --env tictactoe_v3", "pettingzoo", "pettingzoo>=1.25"), ("train a3c --engine ray", "ray", "ray>=2.40"),
    ("train a2c --env CartPole-v1 --vector envpool", "envpool", "pip install 'envpool>=1.2'")])
def test_what_is_missing_is_one_line_with_the_command_that_installs_it(words, module, command, tmp_path):
    """The command runs in a process for which the package does not exist."""
    program = f"import sys; sys.modules['{module}'] = None; from scratchac.__main__ import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run([sys.executable, "-c", program, *words.split(), "--quiet"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1, done.stderr
    assert done.stderr.startswith("scratchac: ") and command in done.stderr and not list(tmp_path.iterdir())


# -- the command that makes the figures ----------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_command_that_makes_the_figures(tmp_path, monkeypatch):
    """It causes a few faults, and resumes one run under faults until it has the bytes of an undisturbed one."""
    pytest.importorskip("pettingzoo")
    monkeypatch.setattr(faults, "FILE", tmp_path / "reliability.json")
    monkeypatch.setattr(soak, "CASES", {"A2C": ("a2c --env CartPole-v1 --backend numpy", 500_000, True)})
    monkeypatch.setattr(soak, "PAUSE", (1.5, 2.5))
    monkeypatch.setattr(sys, "argv", ["faults.py", *["--kills", "2", "--flips", "20", "--values", "40", "--inputs", "2",
                                                  "--soak", "0.15"]])
    faults.main()
    figures = json.loads((tmp_path / "reliability.json").read_text())
    assert figures["kills"]["killed"] == 2 and sum(figures["flips"].values()) == 20
    assert sum(sum(figures[f"values in {what}"].values()) for what in values.ALTER) == 40
    assert sum(figures["command lines"].values()) == 2 and figures["soak"][0]["same bytes"]
    assert sum(figures["soak"][0]["faults"].values()) >= 1
