"""Compiled worlds: the same episodes from the same seeds as Gymnasium's, when they are possible, training in them, resumes."""

import json
from itertools import pairwise

import gymnasium as gym
import numpy as np
import pytest
from damage import same
from gymnasium.envs.classic_control import CartPoleEnv

import kernels
import scratchac
from scratchac.algorithms import find
from scratchac.distributions import ActionScale, Gaussian
from scratchac.environments import compiled_worlds
from scratchac.environments.compiled_worlds import PHYSICS, STOCK, CompiledWorlds
from scratchac.environments.vector import VectorEnv
from scratchac.errors import TrainingError, UserError
from scratchac.training import compiled, compiled_rollouts
from scratchac.training.compiled_rollouts import LOOPS
from scratchac.training.episodes import Episodes
from scratchac.training.loops import train

pytest.importorskip("kernels.numba_worlds", reason="Numba is not installed")
from kernels import numba_ppo, numba_rollouts


@pytest.mark.parametrize("env", PHYSICS)
def test_first_states_follow_one_another_as_gymnasiums_do(env):
    """More resets than there are first states in stock, with checkpoints in between that leave the unused ones out."""
    worlds, single = CompiledWorlds(env, 1, 3), gym.make(env)
    worlds.reset()
    single.reset(seed=worlds.seeds[0])
    limit, steps = worlds.worlds.limit, np.zeros((1, 1)) if env in ("Pendulum-v1", "MountainCarContinuous-v0") else np.zeros(1, int)
    for k in range(2 * STOCK + 5):
        worlds.worlds.elapsed[:] = limit - 1                                # the next step is the last one
        obs, *_, trunc = worlds.step(steps)
        assert trunc[0] and np.array_equal(obs[0], single.reset()[0])
        if k % 50 == 0:
            assert worlds.state()["generators"][0] == single.unwrapped.np_random.bit_generator.state
    other = CompiledWorlds(env, 1, 99)
    kept = other.load_state(worlds.state())
    assert np.array_equal(kept[0][0], obs[0]) and kept[1] == []
    for one in (worlds, other):
        one.worlds.elapsed[:] = limit - 1
    assert np.array_equal(worlds.step(steps)[0], other.step(steps)[0])


@pytest.mark.parametrize("env, limit", [("CartPole-v1", 500), ("Acrobot-v1", 500), ("Pendulum-v1", 200), ("MountainCar-v0", 200),
                                        ("MountainCarContinuous-v0", 999)])
def test_time_limits(env, limit):
    assert CompiledWorlds(env, 1, 0).worlds.limit == limit == gym.spec(env).max_episode_steps


# -- when they are possible --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("env, options, said", [
    ("LunarLander-v3", {}, "LunarLander-v3 is none of CartPole-v1, Acrobot-v1"),
    (CartPoleEnv, {}, "CartPoleEnv is none of CartPole-v1"),
    ("CartPole-v1", {"env_args": {"max_episode_steps": 9}}, "it takes no env_args"),
    ("CartPole-v1", {"step_timeout": 2.0}, "it takes no step_timeout"),
    ("CartPole-v1", {"randomise": True}, "it takes no randomise")])
def test_what_is_not_compiled_is_refused_in_one_line(env, options, said, capsys):
    with pytest.raises(UserError, match=f'^vector="compiled": {said}') as caught:
        scratchac.train("a2c", env, 100, vector="compiled", **options)
    assert "\n" not in str(caught.value)
    if env == "LunarLander-v3":
        pytest.importorskip("Box2D")
    if options != {"randomise": True}:
        kept = {"step_timeout": None}                                       # sync takes none
        scratchac.train("a2c", env if env is not CartPoleEnv else "CartPole-v1", 10, vector="auto", backend="numpy", quiet=False,
                        hidden=(2,), **options | kept)
        assert 'vector="auto" is sync here: backend numpy compiles nothing' in capsys.readouterr().err


def test_workers_of_their_own_and_games_take_none():
    for algorithm, env in (("a3c", "CartPole-v1"), ("ppo", "tictactoe_v3")):
        if algorithm == "ppo":
            pytest.importorskip("pettingzoo")
        with pytest.raises(UserError, match="vector"):
            scratchac.train(algorithm, env, 100, vector="compiled")


def test_without_numba_there_are_none(monkeypatch):
    monkeypatch.setitem(kernels.BACKENDS, "numba", ("not_there", "Backend", "pip install numba scipy"))
    with pytest.raises(UserError, match=r'^vector="compiled": backend numba cannot run here .*pip install numba scipy$'):
        scratchac.train("a2c", "CartPole-v1", 100, vector="compiled")
    assert scratchac.train("a2c", "CartPole-v1", 10, vector="auto", hidden=(2,), envs=1).step == 10


class Heavier(CartPoleEnv):
    """Another cart under the same name."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.masspole = 0.2
        self.total_mass = 1.2
        self.polemass_length = 0.1


@pytest.mark.parametrize("env", ["MountainCar-v0", "MountainCarContinuous-v0"])
def test_another_goal_under_a_known_id_is_noticed(env, monkeypatch):
    """No car reaches it in the steps that are compared."""
    monkeypatch.setitem(gym.spec(env).kwargs, "goal_velocity", 0.06)
    with pytest.raises(UserError, match=f"the registered {env} does not do what the compiled one does"):
        CompiledWorlds(env, 1, 0)


def test_another_environment_under_a_known_id_is_noticed(monkeypatch, capsys):
    """By some steps in both."""
    shipped, made = gym.spec("CartPole-v1").entry_point, gym.envs.registration.EnvSpec
    monkeypatch.setitem(gym.registry, "CartPole-v1", made("CartPole-v1", shipped, max_episode_steps=9))
    assert CompiledWorlds("CartPole-v1", 1, 0).worlds.limit == 9            # the registered one
    monkeypatch.setitem(gym.registry, "CartPole-v1", made("CartPole-v1", Heavier, max_episode_steps=500))
    with pytest.raises(UserError, match=r'^vector="compiled": the registered CartPole-v1 does not do what the compiled one does'):
        scratchac.train("a2c", "CartPole-v1", 100, vector="compiled")
    agent = scratchac.train("a2c", "CartPole-v1", 10, vector="auto", backend="numba", quiet=False, hidden=(2,), envs=1)
    assert agent.step == 10
    assert 'vector="auto" is sync here: vector="compiled": the registered' in capsys.readouterr().err


# -- training ----------------------------------------------------------------------------------------------------------------

CONTINUOUS = "Pendulum-v1", "MountainCarContinuous-v0"
AGENTS = {"a2c": {"hidden": (8,), "optimiser": "adam"}, "ppo": {"hidden": (8,), "rollout": 32, "batch_size": 48, "epochs": 3},
          "actor-critic": {"hidden": (9, 8), "lam_actor": 0.5, "activation": "tanh"}}


def trained(algorithm, envs_class, backend, steps=1_200, dtype=np.float64, env="CartPole-v1", **options):
    """(agent, recent episodes, updates, last metrics, name of the fast path)."""
    with kernels.using(backend):
        agent = scratchac.make_agent(algorithm, env, 0, preset={}, **AGENTS[algorithm] | {"steps": steps} | options)
        envs = envs_class(env, agent.n_envs, 5)
        agent = find(algorithm)(agent.config, envs.observation_space, envs.action_space, 2, dtype)
        fast, seen = agent.fast_path(envs), []
        train(agent, envs, steps, lambda _, interaction, *came: seen.append((interaction, *came)) or False)
        episodes, metrics = seen[-1][0].episodes, seen[-1][1]
        kept = list(episodes.recent), episodes.finished, episodes.returns.tolist()
        return agent, kept, sum(x[3] for x in seen), metrics, fast


@pytest.mark.parametrize("algorithm, options", [*((name, {}) for name in AGENTS), ("ppo", {"target_kl": 1e-4}),
                                                ("ppo", {"max_grad_norm": 0.1, "normalise_obs": True}),
                                                ("actor-critic", {"discount_actor": False, "steps": 1_201})])
def test_training_in_compiled_worlds_is_training_in_gymnasiums(algorithm, options):
    """The same draws, episodes and parameters: to rounding those of the reference, bit by bit those of Numba's other loop."""
    reference = trained(algorithm, VectorEnv, "numpy", **options)
    loop = trained(algorithm, VectorEnv, "numba", **options)
    worlds = trained(algorithm, CompiledWorlds, "numba", **options)
    if "normalise_obs" not in options:
        assert worlds[4].name in LOOPS and loop[4].name not in LOOPS
    for other in (loop, worlds):
        np.testing.assert_allclose(other[0].model.flat, reference[0].model.flat, rtol=1e-9, atol=1e-12)
        assert other[1:3] == reference[1:3]
        assert other[0].rng.bit_generator.state == reference[0].rng.bit_generator.state
        if algorithm != "actor-critic":                                     # which reports means of several steps there
            assert other[3] == pytest.approx(reference[3], rel=1e-8, abs=1e-12)
    np.testing.assert_array_equal(worlds[0].model.flat, loop[0].model.flat)


@pytest.mark.parametrize("env", CONTINUOUS)
@pytest.mark.parametrize("algorithm, options", [("a2c", {}), ("a2c", {"scale_actions": False}), ("ppo", {}),
                                                ("ppo", {"state_dependent_std": True, "scale_rewards": True})])
def test_continuous_actions(algorithm, options, env):
    """The same draws, episodes and parameters as with Gymnasium's worlds and the reference, to rounding."""
    reference = trained(algorithm, VectorEnv, "numpy", env=env, steps=2_000, **options)
    worlds = trained(algorithm, CompiledWorlds, "numba", env=env, steps=2_000, **options)
    assert worlds[4].name in LOOPS and (worlds[1][1] > 0) == (env == "Pendulum-v1")
    np.testing.assert_allclose(worlds[0].model.flat, reference[0].model.flat, rtol=1e-7, atol=1e-9)
    assert worlds[2] == reference[2] and worlds[1][1] == reference[1][1]
    np.testing.assert_allclose(worlds[1][2], reference[1][2], rtol=1e-6)
    assert worlds[0].rng.bit_generator.state == reference[0].rng.bit_generator.state
    assert worlds[3] == pytest.approx(reference[3], rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("scaled", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_world_is_given_what_the_distribution_would_give_it(dtype, scaled, rng):
    """To the bit, in the box and beyond it."""
    low, high = np.array([-0.2], np.float32), np.array([0.7], np.float32)
    dist, a = Gaussian(low, high, scaled=scaled), np.concatenate([rng.normal(0, 2, 50), [-1, 1]]).astype(dtype)
    box = float(low[0]), float(high[0]), float((high - low)[0]) if scaled else 0.0
    given = [numba_rollouts.to_env(a[:, None, None], t, 0, box) for t in range(len(a))]
    np.testing.assert_array_equal(given, dist.to_env(a[:, None])[:, 0])
    discrete = numba_rollouts.to_env(np.array([[1]]), 0, 0, box)
    assert {type(x) for x in [*given, discrete]} == {float}                 # one type, for which worlds are compiled once


@pytest.mark.parametrize("algorithm", ["a2c", "ppo"])
def test_an_action_that_is_not_finite_ends_training(algorithm):
    with kernels.using("numba"), np.errstate(all="ignore"):
        agent = scratchac.make_agent(algorithm, "Pendulum-v1", 0, preset={}, **AGENTS[algorithm])
        agent.model.theta.flat[0] = np.nan
        with pytest.raises(TrainingError, match="actions of environment 0 are not finite at about step 0"):
            train(agent, CompiledWorlds("Pendulum-v1", agent.n_envs, 0), 500, lambda *_: False)


def test_the_scale_of_the_distribution_is_that_of_the_rollout():
    """Also where it is another one than the distribution was made with."""
    with kernels.using("numba"):
        agent = scratchac.make_agent("ppo", "Pendulum-v1", 0, preset={}, **AGENTS["ppo"])
        agent.dist.scale = ActionScale(np.array([-1], np.float32), np.array([0.5], np.float32))
        worlds = CompiledWorlds("Pendulum-v1", agent.n_envs, 0)
        assert compiled_rollouts.Collector(agent, worlds, Episodes(agent.n_envs), 4).box == (-1, 0.5, 1.5)
        assert agent.fast_path(worlds).name == "ppo_rollout"
        agent.dist.scale.to_env = lambda a: a
        assert agent.fast_path(worlds).name == "ppo_update"                 # which makes no actions


@pytest.mark.parametrize("algorithm, actions, name", [
    ("ppo", gym.spaces.Box(-2, 2, (1,), np.float32), "ppo_rollout"), ("ppo", gym.spaces.Box(-2, 2, (1,), np.float64), "ppo_update"),
    ("ppo", gym.spaces.Box(-2, 2, (1,), np.int64), "ppo_update"), ("ppo", gym.spaces.Box(-2, 2, (2,), np.float32), "ppo_update"),
    ("a2c", gym.spaces.Box(-2, 2, (1,), np.float32), "a2c_rollout"), ("a2c", gym.spaces.Box(-2, 2, (1,), np.int64), None),
    ("a2c", gym.spaces.MultiDiscrete([3, 2]), None), ("actor-critic", gym.spaces.MultiDiscrete([3, 2]), None),
    ("actor-critic", gym.spaces.Box(-2, 2, (1,), np.float32), None)])
def test_actions_that_worlds_do_not_take_are_not_collected_by_compiled_code(algorithm, actions, name):
    with kernels.using("numba"):
        worlds = CompiledWorlds("Pendulum-v1", 1 if algorithm == "actor-critic" else 8, 0)
        cls = find(algorithm)
        fast = cls(cls.config_class(), worlds.observation_space, actions).fast_path(worlds)
    assert (fast and fast.name) == name


def test_the_reference_runs_in_compiled_worlds_too():
    """A changed method, or another backend: `step` gives what `VectorEnv.step` gives."""
    class Mine(CompiledWorlds):
        pass

    reference = trained("a2c", VectorEnv, "numpy", 200)
    for envs_class, backend in ((CompiledWorlds, "numpy"), (Mine, "numba")):
        other = trained("a2c", envs_class, backend, 200)
        assert other[4] is None and other[1] == reference[1]
        np.testing.assert_allclose(other[0].model.flat, reference[0].model.flat, rtol=1e-9, atol=1e-12)


def test_two_cores_give_the_bits_of_one(monkeypatch):
    flat = []
    for way in (False, True):
        monkeypatch.setattr(compiled, "PARALLEL_MINIBATCH", 0)
        monkeypatch.setattr(compiled.Faster, "way", lambda self, way=way: way)
        flat.append(trained("ppo", CompiledWorlds, "numba", 512, np.float32)[0].model.flat)
    np.testing.assert_array_equal(*flat)


def test_the_faster_way_is_taken():
    for slow in (False, True):
        faster, ways = compiled.Faster(), []
        for _ in range(16 + 32 + 64 + 128 + 256 + 512 + 512 + 7):
            ways.append(faster.way())
            faster.took(ways[-1], 2.0 if ways[-1] == slow else 1.0)
        for start, end in pairwise(np.cumsum([0, 16, 32, 64, 128, 256, 512, 512, 7]).tolist()):
            assert ways[start:end][:6] == [False, True] * 3
            assert set(ways[start:end][6:]) == {not slow}


def test_a_choice_is_made_anew():
    """By what calls take then: the second core is busy at first."""
    faster, ways = compiled.Faster(), []
    for call in range(48):
        ways.append(faster.way())
        faster.took(ways[-1], (5.0 if call < 16 else 0.5) if ways[-1] else 1.0)
    assert not any(ways[6:16]) and all(ways[22:])


def test_seconds_of_compilation_choose_no_way():
    """The first call of each way may have compiled it."""
    for slow in (False, True):
        faster = compiled.Faster()
        for call in range(7):
            way = faster.way()
            faster.took(way, 100.0 if call < 2 and way != slow else 2.0 if way == slow else 1.0)
        assert way is not slow


def test_an_infinite_gradient_ends_ppo():
    with kernels.using("numba"), np.errstate(all="ignore"):                 # NumPy warns where the kernels run as Python
        agent = scratchac.make_agent("ppo", "CartPole-v1", 0, **AGENTS["ppo"])
        agent.model.w.flat[:] = 1e30
        with pytest.raises(TrainingError, match="at step 0: the gradient is not finite"):
            train(agent, CompiledWorlds("CartPole-v1", agent.n_envs, 0), 500, lambda *_: False)


def test_an_infinite_td_error_ends_the_actor_critic():
    with kernels.using("numba"), np.errstate(all="ignore"):
        agent = scratchac.make_agent("actor-critic", "CartPole-v1", 0, critic_lr=1e6)
        with pytest.raises(TrainingError, match=r"at step \d+: the TD error is not finite: lower the step sizes"):
            train(agent, CompiledWorlds("CartPole-v1", 1, 0), 2_000, lambda *_: False)


def test_values_that_are_known_are_not_computed_again(rng):
    """Rows of s2 that are rows of s two further have the values that are given for these, others those of the network."""
    sizes, w, s = np.array([2, 3, 1]), rng.standard_normal(13), rng.standard_normal((6, 2))
    s2 = np.concatenate([s[2:], rng.standard_normal((2, 2))])
    s2[1, 0] = s2[2, 1] = 5                                                 # half of a row is not enough
    v = np.arange(100.0, 106.0)
    right = numba_ppo._values(w, sizes, 2, s2)
    right[[0, 3]] = v[[2, 5]]
    np.testing.assert_allclose(numba_ppo._next_values(w, sizes, 2, s, s2, v, 2), right, rtol=1e-12)


# -- runs --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", AGENTS)
def test_a_resumed_run_has_the_bytes_of_one_that_never_stopped(algorithm, tmp_path, quick_end):
    """Also where the first part has drawn first states that it has not used."""
    options = {"backend": "numba", "vector": "compiled", **AGENTS[algorithm]}
    scratchac.train(algorithm, "CartPole-v1", 800, 3, out=tmp_path / "whole", **options)
    scratchac.train(algorithm, "CartPole-v1", 800, 3, out=tmp_path / "parts", stop_after=300, **options)
    assert json.loads((tmp_path / "parts" / "config.json").read_text())["vector"] == "compiled"
    scratchac.resume(tmp_path / "parts")
    same(tmp_path / "whole", tmp_path / "parts")


def test_a_run_says_and_keeps_what_auto_was(tmp_path, capsys, quick_end):
    scratchac.train("a2c", "CartPole-v1", 200, backend="numba", vector="auto", out=tmp_path / "run", quiet=False, hidden=(8,))
    assert capsys.readouterr().err.splitlines()[0] == (
        "scratchac: backend numba runs the compiled a2c_rollout in place of A2C.update and the compiled steps of CartPole-v1; "
        'backend="numpy" vector="sync" runs that code itself')
    assert json.loads((tmp_path / "run" / "config.json").read_text())["vector"] == "compiled"


def test_new_episodes_begin_with_the_seeds():
    worlds = CompiledWorlds("CartPole-v1", 2, 4)
    first = worlds.reset()
    worlds.step(np.ones(2, int))
    np.testing.assert_array_equal(worlds.renew(worlds.state()), first)
    assert worlds.metrics() == {} and worlds.close() is None
    assert compiled_worlds.why_not("CartPole-v1", {}) is None
