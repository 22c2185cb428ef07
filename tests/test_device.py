"""Data moves between the host and a device only where it must. A stand-in for a GPU shows this on machines without one."""

import cupy_api
import device_double
import gymnasium as gym
import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from probes import Reach

import kernels
import scratchac
from scratchac import algorithms
from scratchac.algorithms.sac_pixels import PixelSAC
from scratchac.errors import UserError

SMALL = {"hidden": (16, 16), "batch_size": 16, "learning_starts": 30, "buffer_size": 200}
RUNS = [("ddpg", "Pendulum-v1"), ("td3", "Pendulum-v1"), ("sac", "Pendulum-v1"), ("discrete-sac", "CartPole-v1")]


@pytest.fixture(autouse=True)
def double(monkeypatch, quick_end):
    monkeypatch.setitem(kernels.BACKENDS, "double", ("device_double", "DeviceBackend", ""))


def weights(agent):
    return np.concatenate([agent.theta.flat, agent.w.flat, agent.actor_optimiser.m, agent.critic_optimiser.v])


@pytest.mark.parametrize("normalise_obs", [False, True])
@pytest.mark.parametrize("algorithm, env", RUNS)
def test_training_is_the_same_and_no_update_waits(algorithm, env, normalise_obs, monkeypatch, tmp_path):
    options = SMALL | {"normalise_obs": normalise_obs}
    cls = algorithms.find(algorithm)
    update, updates = cls.update, []

    def without_waiting(agent, batch):
        assert isinstance(agent.theta.flat, device_double.DeviceArray) and isinstance(batch.obs, device_double.DeviceArray)
        with device_double.no_waiting():
            metrics = update(agent, batch)
        updates.append(dict(metrics))
        return metrics

    reference = scratchac.train(algorithm, env, 60, backend="numpy", **options)
    monkeypatch.setattr(cls, "update", without_waiting)
    ours = scratchac.train(algorithm, env, 60, backend="double", out=tmp_path / "run", **options)
    assert len(updates) == 31
    assert {name for metrics in updates for name, x in metrics.items() if not isinstance(x, device_double.DeviceArray)} == set()
    np.testing.assert_array_equal(weights(ours), weights(reference))
    obs = np.zeros(ours.actor.sizes[0], np.float32)
    assert type(weights(ours)) is np.ndarray and ours.act(obs, explore=False).shape == reference.act(obs, explore=False).shape
    monkeypatch.setattr(cls, "update", update)
    np.testing.assert_array_equal(weights(scratchac.load(tmp_path / "run")), weights(reference))
    assert scratchac.resume(tmp_path / "run", 70).step == 70


def test_further_goals_are_stored_on_the_device(tmp_path):
    """The episodes under way stay on the host; a run resumed within one goes on as on the host."""
    reference = scratchac.train("td3", Reach, 70, backend="numpy", hindsight=2, **SMALL)
    scratchac.train("td3", Reach, 70, backend="double", hindsight=2, out=tmp_path / "run", stop_after=50, **SMALL)
    np.testing.assert_array_equal(weights(scratchac.resume(tmp_path / "run", env=Reach)), weights(reference))


def test_pictures_on_the_device():
    """SAC from pictures asks of CuPy only what it takes; its update may wait, for the windows of a picture."""
    seen, pictures, actions = [], gym.spaces.Box(0, 255, (3, 24, 24), np.uint8), gym.spaces.Box(-1, 1, (2,), np.float32)
    for backend in ("numpy", "double"):
        with kernels.using(backend) as k:
            agent = PixelSAC(PixelSAC.config_class(hidden=(8,), batch_size=4, buffer_size=20), pictures, actions)
            rng = np.random.default_rng(0)
            obs, next_obs = rng.integers(255, size=(2, 20, 3, 24, 24))
            agent.memory.add(obs=obs, actions=rng.uniform(-1, 1, (20, 2)), rewards=np.ones(20), next_obs=next_obs,
                             term=np.zeros(20), trunc=np.zeros(20))
            agent.update(agent.memory.sample(agent.batch_rng, 4))
            seen.append([k.to_numpy(x) for x in (agent.online, agent.target, agent.theta.flat)])
    for ours, reference in zip(*seen, strict=True):
        np.testing.assert_array_equal(ours, reference)


def test_the_double_does_refuse():
    k = device_double.DeviceBackend()
    x, host = k.zeros((2, 3), np.float32), np.ones((2, 3), np.float32)
    for mistake in (lambda: x + host, lambda: np.concatenate([x, host]), lambda: x[np.array([0, 1])],
                    lambda: np.add(x, 1, out=host)):
        with pytest.raises(TypeError, match="host"):
            mistake()
    with pytest.raises(TypeError, match="host"):
        x[0] = host[0]
    for waits in (lambda: float(x.mean()), lambda: x[x > 0], lambda: sliding_window_view(x, (2, 2))):
        with device_double.no_waiting(), pytest.raises(device_double.Waited):
            waits()
    with pytest.raises(IndexError, match="several times"):
        x[k.asarray(np.array([1, 1]))] = 0


@pytest.mark.parametrize("call", [
    lambda x: np.add(x, 1, out=x, where=x > 0), lambda x: x.sum(where=x > 0), lambda x: np.sum(x, initial=1), np.median,
    lambda x: np.clip(x, 0, 1, where=x > 0), lambda x: np.maximum.reduce(x), lambda x: np.where(x > 0),
    lambda x: np.asarray(x), lambda x: np.frompyfunc(abs, 1, 1)(x)])
def test_what_cupy_does_not_take_is_refused(call):
    """These are right for an array of the host, and what CuPy has instead is in tests/cupy_api.py."""
    call(np.ones((2, 3)))
    with pytest.raises(TypeError):
        call(device_double.on_device(np.ones((2, 3))))


def test_what_training_asks_of_cupy():
    """The record of a training has what CuPy takes and nothing else; an unlisted name or keyword would show."""
    device_double.calls.clear()
    for algorithm, env in RUNS:
        scratchac.train(algorithm, env, 40, backend="double", **SMALL)
    assert {("function", "concatenate", ("axis",)), ("ufunc", "matmul", ("out",)), ("method", "min", ("axis",)),
            ("function", "sum", ("axis", "out"))} <= device_double.calls
    for kind, name, keywords in device_double.calls:
        if kind == "ufunc":
            assert name in cupy_api.UFUNCS and set(keywords) <= cupy_api.UFUNC_KEYWORDS
        else:
            assert name not in cupy_api.WAITS and set(keywords) <= set(cupy_api.SIGNATURES[kind, name].parameters), (kind, name)


def test_what_learns_on_the_cpu_says_so():
    with pytest.raises(UserError, match="trains ddpg, td3, sac, discrete-sac; a2c computes on the CPU"):
        scratchac.train("a2c", "CartPole-v1", 100, backend="double")
