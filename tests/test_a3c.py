"""A3C: what workers share, what they compute, and that they leave nothing behind when one of them dies."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from probes import Bandit, Breaking, Constant, Deadly, Poison

import kernels
import scratchac
from scratchac import optim
from scratchac.algorithms import a3c as module
from scratchac.algorithms.a2c import A2C
from scratchac.algorithms.a3c import A3C, Diary
from scratchac.errors import UserError, WorkerDied
from scratchac.experiments import session
from scratchac.experiments.run import Run
from scratchac.parallel.shared import LocalStore, SharedMemoryStore
from scratchac.parallel.workers import engine
from scratchac.training.loops import train
from scratchac.training.memory import Batch


def blocks(pid):
    """The blocks of shared memory that a process has made and not yet removed."""
    return list(Path("/dev/shm").glob(f"scratchac-{pid}-*"))


@pytest.fixture
def nothing_left():
    """After the test there is no block of shared memory any more, and no process."""
    yield
    assert not blocks(os.getpid()) and not multiprocessing.active_children()


def push_many(send, store, worker, times):
    for _ in range(times):
        store.push(worker, np.ones(3, np.float32), 0.0, 1)
    return store.push(worker, np.ones(3, np.float32), 0.0, 0)[1]


@pytest.mark.slow
def test_the_store_is_shared_and_loses_no_count(nothing_left):
    store = SharedMemoryStore(3, 2, np.float32)
    store.fill(np.array([1, 2, 3], np.float32), np.zeros(3, np.float32), 10)
    store.end()
    with engine("processes") as workers:
        for i in range(2):
            workers.start(push_many, store, i, 500)
        ended = []
        while len(ended) < 2:
            ended += workers.poll(1)
    flat, v, total = store.snapshot()
    store.close()
    assert [event for _, event, _ in ended] == ["done", "done"] and all(stop for *_, stop in ended)
    assert total == 10 + 2 * 500
    assert flat.tolist() == [1, 2, 3]                                       # a learning rate of 0
    assert (v > 0.99).all() and (v < 1.1).all()              # v ← .99 v + .01 · 1², a thousand times; some of these steps collide


def test_a_push_is_a_step_of_rmsprop():
    store = SharedMemoryStore(3, 1, np.float64)
    flat, grads = np.array([1.0, -2.0, 3.0]), np.random.default_rng(0).standard_normal((5, 3))
    optimiser = optim.RMSprop(flat)
    store.fill(flat, optimiser.v, 0)
    for grad in grads:
        optimiser.step(grad, 0.1)
        store.push(0, grad, 0.1, 7)
    assert np.array_equal(store.snapshot()[0], flat) and np.array_equal(store.snapshot()[1], optimiser.v)
    store.close()


def test_one_worker_is_a2c(nothing_left):
    """A single worker sees the episodes, gradients and steps of A2C with one environment, to the last bit: nobody else moves θ."""
    options = {"rollout": 5, "lam": 0.9, "entropy_coef": 0.01, "hidden": (8,)}
    a3c = scratchac.train("a3c", "CartPole-v1", 400, seed=3, envs=1, lr="linear:1e-2:0", backend="numpy", **options)

    envs = session.vector_env(A3C, a3c.config, "CartPole-v1", 3, {"vector": "sync", "randomise": False, "env_args": {}})
    rates = {"actor_lr": "linear:1e-2:0", "critic_lr": "linear:1e-2:0"}
    a2c = A2C(A2C.config_class(steps=400, envs=1, optimiser="rmsprop", **rates, **options), *a3c.spaces, seed=envs.seeds[0])
    a2c.model.flat[:] = A3C(a3c.config, *a3c.spaces, seed=3).model.flat
    train(a2c, envs.alone(envs.seeds[0]), 400, lambda *_: False)
    assert a3c.step == a2c.step == 400
    assert np.array_equal(a3c.model.flat, a2c.model.flat)


# -- in this process -------------------------------------------------------------------------------------------------------


class Here:
    """An engine that runs each worker to its end, in this process, before the next one starts."""

    def __init__(self):
        self.events, self.workers = [], 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def start(self, function, *arguments):
        i, self.workers = self.workers, self.workers + 1
        try:
            value = function(lambda page: self.events.append((i, "message", page)), *arguments)
            self.events.append((i, "done", value))
        except Exception as error:
            self.events.append((i, "died", str(error)))

    def poll(self, seconds):
        events, self.events = self.events, []
        return events


class Seen(LocalStore):
    """A store that can be looked at afterwards."""

    last = None

    def __init__(self, *arguments):
        super().__init__(*arguments)
        Seen.last, self.closed = self, False

    def close(self):
        self.closed = True


@pytest.fixture
def here(monkeypatch):
    """Workers run in this process, and send a page after every update. Yields the names of the backends that they use."""
    used = []
    monkeypatch.setattr(module, "engine", lambda name: Here())
    monkeypatch.setattr(module, "STORES", {"processes": Seen})
    monkeypatch.setattr(module, "REPORT_EVERY", -1.0)
    monkeypatch.setattr(kernels, "use", used.append)
    return used


def run(agent, env, steps, end=False, under_way=None):
    """Train; returns the reports without the agent, and the interaction."""
    envs, reports = session.vector_env(A3C, agent.config, env, 3, {"vector": "sync", "randomise": False, "env_args": {}}), []
    train(agent, envs, steps, lambda agent, *report: reports.append(report) or end, under_way)
    return reports, reports[0][0]


class Closing(Constant):
    closed = 0

    def close(self):
        Closing.closed += 1


def test_workers_one_after_the_other(here):
    """The first takes all 100 steps, so the second takes none. Its 20 updates and 33 episodes of 3 steps arrive once each."""
    env = partial(Closing, 3)
    agent = scratchac.make_agent("a3c", env, envs=2, rollout=5, hidden=(4,))
    start, closed = agent.model.flat.copy(), Closing.closed
    reports, interaction = run(agent, env, 100)
    assert agent.step == 100 and [updates for *_, updates in reports] == [1] * 20
    assert all(metrics.keys() == set(A3C.metrics) and 0 <= seconds < 60 for _, metrics, seconds, _ in reports)
    assert interaction.episodes.finished == 33 and list(interaction.episodes.recent) == [(3.0, 3)] * 33
    assert interaction.workers[0]["interaction"]["episodes"]["lengths"].tolist() == [1] and interaction.workers[1] is None
    assert np.array_equal(agent.model.flat, Seen.last.flat) and np.array_equal(agent.optimiser.v, Seen.last.v)
    assert not np.array_equal(agent.model.flat, start) and agent.optimiser.v.any()
    assert here == ["numpy", "numpy"] and Seen.last.closed and not Seen.last.flag[0]
    assert Closing.closed == closed + 2                                     # the environment of each worker
    y = agent.model.policy(np.zeros((1, 1), np.float32))[0]
    assert agent.act(np.zeros(1), explore=False) == y.argmax()


def test_a_workers_update_by_hand():
    """A quarter of the way to step 100, a rate that falls from 0.04 to 0 is 0.03. The store says when the worker must end."""
    agent = scratchac.make_agent("a3c", Constant, envs=2, steps=100, lr="linear:0.04:0", hidden=(4,))
    store, pushed = LocalStore(len(agent.model.flat), 2, np.float32), []
    store.fill(agent.model.flat, agent.optimiser.v, 25)
    store.push = lambda *given: pushed.append(given) or (30, True)
    worker = module.Worker(1, agent.learner, store)
    assert worker.step == 25 and not worker.stopped and worker.learner.n_envs == 1
    obs, zeros = np.zeros((5, 1, 1), np.float32), np.zeros((5, 1), np.float32)
    worker.update(Batch(obs, zeros.astype(int), zeros + 1, obs, zeros, zeros, zeros.astype(int)))
    assert pushed == [(1, agent.learner.model.grad, pytest.approx(0.03), 5)] and worker.step == 30 and worker.stopped


def test_workers_that_go_on(here):
    """In two parts a run is the same to the last bit, and a true report ends the workers."""
    options = {"envs": 1, "rollout": 5, "hidden": (4,), "lr": "linear:1e-2:0", "steps": 200}
    whole, parts = (scratchac.make_agent("a3c", "CartPole-v1", 3, **options) for _ in range(2))
    episodes = run(whole, "CartPole-v1", 200)[1].episodes
    _, interaction = run(parts, "CartPole-v1", 120, end=True)
    assert parts.step == 120 and Seen.last.flag[0]
    reports, interaction = run(parts, "CartPole-v1", 200, under_way=interaction.state())
    assert len(reports) == 16 and parts.step == 200
    assert np.array_equal(parts.model.flat, whole.model.flat) and np.array_equal(parts.optimiser.v, whole.optimiser.v)
    assert interaction.episodes.finished == episodes.finished > 2 and interaction.episodes.recent == episodes.recent


def test_a_worker_that_died(here):
    agent = scratchac.make_agent("a3c", Breaking, envs=2, rollout=2, hidden=(4,))
    with pytest.raises(WorkerDied, match=r"worker 0: .*the pole broke"):
        run(agent, Breaking, 100)
    assert Seen.last.closed


def test_a_diary_by_hand(monkeypatch):
    """Pages are sent at 1.0, when the first one is due, and at 1.2, the first update after 1.1; the rest is left for the end."""
    now, sent, episodes = iter([1.0, 1.0, 1.05, 1.2, 1.2, 1.25]), [], SimpleNamespace(finished=5, recent=[(9.0, 9)])
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: next(now)))
    diary = Diary(sent.append, {"interaction": {"episodes": {"finished": 5}}})
    assert diary.page() == (0, [], [])
    interaction, worker = SimpleNamespace(episodes=episodes), SimpleNamespace(stopped=False)
    for i in range(4):
        worker.stopped = i == 3
        assert diary(worker, interaction, {"loss": i}, i / 8, 1) is (i == 3)
        episodes.finished += 1
        episodes.recent.append((float(i), i))
    assert sent == [(0, [], [({"loss": 0}, 0.0)]), (2, [(0.0, 0), (1.0, 1)], [({"loss": 1}, 0.125), ({"loss": 2}, 0.25)])]
    assert diary.page() == (2, [(2.0, 2), (3.0, 3)], [({"loss": 3}, 0.375)]) and diary.page() == (0, [], [])


# -- in processes of their own ----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_one_worker_goes_on_as_if_never_stopped(tmp_path, nothing_left):
    """It goes on within its episode, to the last bit. With several workers the order of their steps cannot be repeated."""
    options = {"rollout": 5, "hidden": (8,), "backend": "numpy", "seed": 3, "envs": 1}
    whole = scratchac.train("a3c", "CartPole-v1", 10_000, **options)
    stopped = scratchac.train("a3c", "CartPole-v1", 10_000, out=tmp_path / "run", stop_after=1_000, **options)
    assert 1_000 <= stopped.step < 10_000
    episodes = Run.open(tmp_path / "run").restore()[1]["episodes"]
    resumed = scratchac.resume(tmp_path / "run")
    assert resumed.step == whole.step
    assert np.array_equal(resumed.model.flat, whole.model.flat) and np.array_equal(resumed.optimiser.v, whole.optimiser.v)
    assert Run.open(tmp_path / "run").restore()[1]["episodes"] > episodes


@pytest.mark.slow
def test_workers_learn_together(nothing_left):
    agent = scratchac.train("a3c", Bandit, 3000, envs=2, lr=1e-2, rollout=4, hidden=(8,))
    assert 3000 <= agent.step < 3000 + 2 * 4
    assert agent.act(np.zeros((1, 1)), explore=False)[0] == 1


@pytest.mark.slow
def test_a_run_reports_every_episode_and_update(tmp_path, nothing_left, quick_end):
    scratchac.train("a3c", Bandit, 2000, envs=2, rollout=4, hidden=(8,), out=tmp_path / "run")
    run = Run.open(tmp_path / "run")
    steps = run.metrics()["step"]
    agent, progress = scratchac.load(tmp_path / "run"), run.restore()[1]
    assert progress["episodes"] == agent.step and progress["updates"] == agent.step / 4         # an episode is one step
    assert (np.diff(steps) > 0).all() and 2000 <= steps[-1] <= agent.step


@pytest.mark.slow
def test_resumed_with_new_episodes(tmp_path, nothing_left, quick_end):
    path = tmp_path / "run"
    first = scratchac.train("a3c", Endless, 400, envs=2, rollout=4, hidden=(8,), out=path, stop_after=200).step
    for anew in (False, True):
        before = scratchac.load(path).step
        agent = scratchac.resume(path, before + 200, env=Endless, new_episodes=anew, eval_episodes=0)
        # Without those that came to no step: on a busy machine one worker may take them all.
        acting = [worker["interaction"] for worker in Run.open(path).restore()[2]["workers"] if worker]
        acting = [x for x in acting if not x.get("new_episodes")]
        assert sum(len(x["envs"][0]["actions"]) for x in acting) == agent.step - (before if anew else 0)
        assert first < agent.step


class Endless(Constant):
    def __init__(self):
        super().__init__(10**9)


@pytest.mark.slow
def test_on_row_ends_training(tmp_path, nothing_left, quick_end):
    path = tmp_path / "run"
    agent = scratchac.train("a3c", Bandit, 10**7, envs=2, rollout=4, hidden=(8,), out=path, on_row=lambda row: True)
    assert agent.step < 10**7 and json.loads((path / "summary.json").read_text())["steps"] == agent.step
    with pytest.raises(UserError, match=f"has finished its {agent.step} steps"):
        scratchac.resume(path, env=Bandit)


@pytest.mark.slow
@pytest.mark.parametrize("env, why", [
    (Deadly, "killed by SIGKILL"), (Breaking, "environment 0 at step 5 of its episode raised RuntimeError: the pole broke"),
    (Poison, r"rewards of environment 0 are not finite at about step \d+")])
def test_a_worker_that_dies_ends_the_run_which_is_saved(env, why, tmp_path, nothing_left):
    with pytest.raises(WorkerDied, match=f"worker [01]: {why}; the last checkpoint is .*checkpoint.npz"):
        scratchac.train("a3c", env, 5000, envs=2, rollout=4, hidden=(8,), out=tmp_path / "run")
    assert scratchac.load(tmp_path / "run").step <= 2 * 8


@pytest.mark.slow
def test_ctrl_c_saves_and_cleans_up(tmp_path):
    arguments = ["train", "a3c", "--steps", "10000000", "--backend", "numpy", "--quiet", "--no-video", "--out", tmp_path / "run"]
    process = subprocess.Popen([sys.executable, "-m", "scratchac", *map(str, arguments)], stderr=subprocess.PIPE, text=True,
                               start_new_session=True)
    while not blocks(process.pid):
        time.sleep(0.01)
        assert process.poll() is None
    time.sleep(0.2)                                                         # some workers are still loading
    os.killpg(process.pid, signal.SIGINT)                                   # as a terminal does: everybody gets it
    message = process.communicate(timeout=60)[1]
    assert process.returncode == 130 and message.startswith("scratchac: stopped at step")
    assert not blocks(process.pid)
    scratchac.load(tmp_path / "run")


@pytest.mark.slow
def test_workers_end_when_their_parent_is_killed(tmp_path):
    arguments = ["train", "a3c", "--steps", "10000000", "--backend", "numpy", "--quiet", "--no-video", "--out", tmp_path / "run"]
    process = subprocess.Popen([sys.executable, "-m", "scratchac", *map(str, arguments)], stderr=subprocess.PIPE,
                               start_new_session=True)
    while not (blocks(process.pid) and (tmp_path / "run" / "metrics.csv").exists()):
        time.sleep(0.05)
        assert process.poll() is None
    process.kill()
    process.communicate(timeout=60)                                         # until the last worker has closed its stderr
    assert not blocks(process.pid)


def test_bad_input():
    with pytest.raises(UserError, match="cannot be sent to another process"):
        scratchac.train("a3c", lambda: Bandit(), 100)
    with pytest.raises(UserError, match='vector="sync"'):
        scratchac.train("a3c", "CartPole-v1", 100, vector="async")
    with pytest.raises(UserError, match="processes"):
        scratchac.train("a3c", "CartPole-v1", 100, engine="procesess")


@pytest.mark.slow
def test_on_a_ray_cluster(tmp_path):
    pytest.importorskip("ray", reason="Ray is not installed")
    agent = scratchac.train("a3c", Bandit, 2000, envs=2, lr=1e-2, rollout=4, hidden=(8,), engine="ray")
    assert 2000 <= agent.step < 2000 + 2 * 4
    assert agent.act(np.zeros((1, 1)), explore=False)[0] == 1
    with pytest.raises(WorkerDied, match=r"worker [01]: environment 0 at step \d+ .* raised RuntimeError: the pole broke"):
        scratchac.train("a3c", Breaking, 5000, envs=2, rollout=4, hidden=(8,), engine="ray")
