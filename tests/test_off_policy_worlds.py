"""SAC, TD3 and DDPG with many steps in one call: what the loop in Python does, step by step, and when they are used."""

import math

import gymnasium as gym
import numpy as np
import pytest
from damage import same

import kernels
import scratchac
from scratchac import optim
from scratchac.algorithms import find
from scratchac.environments import compiled_worlds
from scratchac.environments.compiled_worlds import CompiledWorlds, Physics
from scratchac.environments.vector import VectorEnv
from scratchac.errors import TrainingError
from scratchac.experiments.run import Run
from scratchac.nn import MLP, Parameters
from scratchac.training import compiled_off_policy, compiled_off_policy_rollouts, compiled_rollouts
from scratchac.training.compiled_rollouts import until_report
from scratchac.training.hindsight import HindsightBuffer
from scratchac.training.interaction import Interaction
from scratchac.training.loops import train, train_off_policy

rollouts = pytest.importorskip("kernels.numba_off_policy_rollouts", reason="Numba is not installed")

CASES = {                                               # algorithm and options
    "sac": {"alpha": 0.3, "alpha_lr": 0.01},
    "sac, entropy target on a schedule": {"alpha": 0.3, "alpha_lr": 0.01, "entropy_target": "linear:0.6:-2"},
    "sac, log σ clipped, α and rates on schedules": {"log_std": "clamp", "learn_alpha": False, "alpha": "linear:0.5:0.1",
                                                     "actor_lr": "linear:1e-3:1e-4"},
    "discrete-sac": {"alpha": 0.3, "alpha_lr": 0.01, "entropy_target": "linear:0.9:0.1"},
    "discrete-sac, α on a schedule": {"learn_alpha": False, "alpha": "linear:0.5:0.1", "activation": "tanh"},
    "td3": {"delay": 3},
    "td3, noise on a schedule": {"noise": "ou", "noise_scale": "linear:0.9:0.2", "target_noise": 0.5},
    "ddpg": {"noise_scale": 0.7},
    "ddpg, correlated noise": {"noise": "ou", "noise_scale": 0.5, "activation": "tanh"},
}
# The buffer is full before training ends, in the middle of a call; 20 transitions are random.
COMMON = {"hidden": (7, 5), "batch_size": 12, "buffer_size": 61, "learning_starts": 20, "steps": 130}
LIMIT = 25                                              # steps of an episode
WORLDS = {(False, False): "Pendulum-v1", (False, True): "MountainCarContinuous-v0",      # (discrete actions, terminal states) → id
          (True, False): "MountainCar-v0", (True, True): "CartPole-v1"}
WAYS = {"reference": train_off_policy, "loop": compiled_off_policy.train, "rollouts": compiled_off_policy_rollouts.train}


def made(case, env=None, way="rollouts", dtype=np.float64, limit=LIMIT, **options):
    """An agent and its environment."""
    cls, env = find(case.split(",")[0]), env or WORLDS[case.startswith("discrete"), False]
    if way == "reference":
        envs = VectorEnv(env, 1, 5, max_episode_steps=limit)
    else:
        envs = CompiledWorlds(env, 1, 5)
        envs.worlds = envs.worlds._replace(limit=limit)
    config = cls.config_class(**COMMON | CASES[case] | options)
    return cls(config, envs.observation_space, envs.action_space, 2, dtype), envs


@pytest.mark.parametrize("case", ["td3, noise on a schedule", "ddpg, correlated noise", "ddpg"])
def test_noise_that_is_changed_is_asked_at_every_step(case, monkeypatch):
    """Many steps in one call ask it at the end of an episode alone, so they are not taken."""
    with kernels.using("numba"):
        agent, envs = made(case)
        assert agent.fast_path(envs).name == f"{case.split(',')[0]}_rollout"
        monkeypatch.setattr(type(agent.noise), "restart", lambda self, done: None)
        assert agent.fast_path(envs) is None


def test_three_critics_are_none_that_is_compiled():
    with kernels.using("numba"):
        agent, envs = made("td3", dtype=np.float32)
        agent.critic = MLP(agent.critic.sizes, agent.critic.activation, stack=(3,))
        agent.w, agent.w_target, agent.dw = (Parameters(agent.critic.shapes(), np.float32) for _ in range(3))
        agent.critic_optimiser = optim.Adam(agent.w.flat)
        assert agent.fast_path(envs) is None


def trained(case, way, env=None, dtype=np.float64, limit=LIMIT, **options):
    """(agent, interaction, step, updates and metrics of each report) of a training in one of WAYS."""
    seen = []
    with kernels.using("numpy" if way == "reference" else "numba"):
        agent, envs = made(case, env, way, dtype, limit, **options)
        interaction = Interaction(agent, envs)
        interaction.begin()
        WAYS[way](agent, interaction, agent.config.steps, lambda agent, _, metrics, _s, n: seen.append((agent.step, n, metrics)))
    return agent, interaction, seen


def numbers(state):
    """All arrays, numbers and words of a state, by name."""
    if isinstance(state, dict):
        return {f"{name} {key}": x for name, part in state.items() for key, x in numbers(part).items()}
    if isinstance(state, list):
        return numbers(dict(enumerate(state)))
    return {"": np.asarray(state)}


def assert_same(ours, theirs):
    ours, theirs = numbers(ours), numbers(theirs)
    assert ours.keys() == theirs.keys()
    for name, x in theirs.items():
        np.testing.assert_array_equal(ours[name], x, err_msg=name)


def totals(seen):
    """Name → the sum over all updates of a metric."""
    sums = {}
    for _, n, metrics in seen:
        for name, value in metrics.items():
            sums[name] = sums.get(name, 0.0) + n * float(value)
    return sums


@pytest.fixture
def long_calls(monkeypatch):
    """Calls end with episodes only, and not with rows of metrics.csv."""
    monkeypatch.setattr(compiled_rollouts, "ROWS", 1)


@pytest.fixture
def near_the_goal(monkeypatch):
    """The continuous mountain car begins on its way to the goal, some steps before it."""
    monkeypatch.setitem(compiled_worlds.PHYSICS, "MountainCarContinuous-v0", Physics(4, 2, (0.2, 0.01), (0.4, 0.04), "float64"))
    monkeypatch.setattr(compiled_worlds, "_agree", lambda *_: True)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_steps_in_one_call_are_those_of_the_loop(case, terminal, dtype, near_the_goal, long_calls):
    """All bits of the agent, its memory and generators, the world and the episodes, which end by limits or in terminal states."""
    env = WORLDS[case.startswith("discrete"), terminal]
    ours, theirs = (trained(case, way, env, dtype) for way in ("rollouts", "loop"))
    assert_same(ours[0].state(), theirs[0].state())
    assert_same(ours[1].state(), theirs[1].state())
    np.testing.assert_array_equal(ours[1].obs, theirs[1].obs)
    assert ours[1].episodes.finished > 2 and (ours[0].memory.data["term"] > 0).any() == terminal
    assert totals(ours[2]) == pytest.approx(totals(theirs[2]), rel=1e-5 if dtype == np.float32 else 1e-9)
    assert max(n for _, n, _ in ours[2]) > 7 and len(ours[2]) < 0.7 * len(theirs[2])
    other = trained(case, "rollouts", env, dtype, gamma=0.98)
    with pytest.raises(AssertionError):                                     # and not of any other agent
        assert_same(other[0].state(), theirs[0].state())


@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_a_short_training(case, terminal, near_the_goal, long_calls):
    """Bits and metrics once more, in so few steps that it is quick where nothing is compiled."""
    env = WORLDS[case.startswith("discrete"), terminal]
    options = {"hidden": (3,), "batch_size": 3, "learning_starts": 4, "buffer_size": 17, "steps": 30, "limit": 12}
    ours, theirs = (trained(case, way, env, **options) for way in ("rollouts", "loop"))
    assert_same(ours[0].state(), theirs[0].state())
    assert_same(ours[1].state(), theirs[1].state())
    assert totals(ours[2]) == pytest.approx(totals(theirs[2]), rel=1e-9)


@pytest.mark.parametrize("case", ["sac", "discrete-sac", "td3, noise on a schedule"])
def test_calls_longer_than_the_buffer(case, long_calls):
    ours, theirs = (trained(case, way, limit=200, buffer_size=40, steps=300) for way in ("rollouts", "loop"))
    assert_same(ours[0].state(), theirs[0].state())
    assert_same(ours[1].state(), theirs[1].state())
    assert max(n for _, n, _ in ours[2]) > 40


@pytest.mark.parametrize("case", CASES)
def test_training_is_that_of_the_reference(case):
    """In Gymnasium's world, by the algorithm's own methods, to rounding."""
    ours, theirs = (trained(case, way) for way in ("rollouts", "reference"))
    np.testing.assert_allclose(ours[0].theta.flat, theirs[0].theta.flat, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(ours[0].memory.data["actions"], theirs[0].memory.data["actions"], rtol=1e-6, atol=1e-9)
    assert ours[0].rng.bit_generator.state == theirs[0].rng.bit_generator.state
    assert totals(ours[2]) == pytest.approx(totals(theirs[2]), rel=1e-6)
    np.testing.assert_allclose(list(ours[1].episodes.recent), list(theirs[1].episodes.recent), rtol=1e-6)


@pytest.mark.parametrize("case, names", [
    ("sac", ("soft_rollout", "soft_one")), ("discrete-sac", ("discrete_soft_rollout", "discrete_soft_one")),
    ("td3", ("deterministic_rollout", "deterministic_one"))])
def test_what_takes_seconds_to_compile_is_compiled_once(case, names, long_calls):
    """Numba compiles a function anew for an array that is not contiguous: a training would wait for that in its midst."""
    for way in ("loop", "rollouts"):
        trained(case, way)                              # some calls have one step, so that their arrays are always contiguous
    for name in names:
        signatures = getattr(rollouts, name).signatures
        assert 1 <= len(signatures) <= 2, name          # in float64 and, if another test has asked for it, in float32
        assert "'A'" not in str(signatures), name       # no array whose rows are not contiguous


def test_calls_end_where_rows_do():
    """And before the step that ends an episode, after the first one, and when an episode is twice as long as before, from 8 on."""
    _, _, seen = trained("ddpg", "rollouts", steps=1_000, batch_size=2, limit=200)          # 200 rows of 5 steps
    steps = [step for step, *_ in seen]
    assert steps[:20] == list(range(1, 21))                                 # before learning starts
    assert steps[20:] == sorted({*range(25, 1_001, 5), *(200 * k + j for k in range(1, 5) for j in (-1, 1))} | {999})
    assert [n for _, n, _ in seen[20:]] == np.diff([20, *steps[20:]]).tolist()
    _, _, seen = trained("ddpg", "rollouts", steps=2_400, batch_size=2, limit=200)          # rows of 12
    assert [step - 1_200 for step, *_ in seen if 1_200 < step <= 1_260] == [1, 9, 12, 24, 36, 48, 60]
    assert until_report(0, 200) == 1 and until_report(3, 1_000) == 2 and until_report(10, 12) == 1
    assert [until_report(step, 500_000) for step in (0, 833, 2_400)] == [833, 833, 100]


def test_training_stops_where_a_report_says_so(long_calls):
    for stop, end in ((10, 10), (50, 50), (60, 68), (74, 74), (75, 75)):    # calls end at 59, 68, and 74, before the last step
        with kernels.using("numba"):
            agent, envs = made("sac")
            interaction = Interaction(agent, envs)
            interaction.begin()
            compiled_off_policy_rollouts.train(agent, interaction, 130, lambda agent, *_, stop=stop: agent.step >= stop)
        assert agent.step == end


# -- when ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{"envs": 2}, {"train_every": 2}, {"gradient_steps": 2},
                                     {"hidden": (256, 256), "batch_size": 256}])
@pytest.mark.parametrize("name", ["sac", "discrete-sac", "td3", "ddpg"])
def test_what_they_do_not_support_runs_in_the_loop(name, options):
    with kernels.using("numba"):
        agent, envs = made(name)
        begin = name.replace("-", "_")
        assert agent.fast_path(envs) == (f"{begin}_rollout", f"{type(agent).__name__}.update", compiled_off_policy_rollouts.train)
        assert agent.fast_path(VectorEnv("Pendulum-v1", 1, 0)).name == f"{begin}_update" == agent.fast_path().name
        other, _ = made(name, **{"buffer_size": 1_000, "learning_starts": 300, "steps": 400} | options)
        assert other.fast_path(envs).loop is compiled_off_policy.train
        agent.update = lambda batch: {}
        assert agent.fast_path(envs) is None


def test_the_memory_and_the_actions_are_those_that_they_know():
    with kernels.using("numba"):
        agent, envs = made("sac", noise="ou")
        assert agent.fast_path(envs).name == "sac_update"
        agent, envs = made("sac")
        agent.memory.__class__ = HindsightBuffer
        assert agent.fast_path(envs).name == "sac_update"
        agent, envs = made("discrete-sac")
        agent.dist.start = 1
        assert agent.fast_path(envs).name == "discrete_sac_update"


@pytest.mark.parametrize("space", [gym.spaces.Box(-2, 2, (1,), np.float64), gym.spaces.Box(-2, 2, (1,), np.int64),
                                   gym.spaces.Box(-2, 2, (2,), np.float32)])
def test_actions_that_a_world_does_not_take(space):
    cls = find("sac")
    with kernels.using("numba"):
        worlds = CompiledWorlds("Pendulum-v1", 1, 0)
        agent = cls(cls.config_class(**COMMON), worlds.observation_space, space)
        assert agent.fast_path(worlds).name == "sac_update"


def test_in_a_world_that_has_been_changed_the_reference_runs(capsys):
    class Mine(CompiledWorlds):
        pass

    with kernels.using("numba"):
        agent, _ = made("sac")
        assert agent.fast_path(Mine("Pendulum-v1", 1, 0)) is None
    assert "the reference runs, not the compiled sac_rollout" in capsys.readouterr().err


# -- errors, and runs ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("env, state, action", [
    ("CartPole-v1", (2.39, 3.0, 0.0, 0.0), 1), ("MountainCarContinuous-v0", (0.44, 0.06), 1.0), ("Pendulum-v1", (1.0, 0.0), 0.5)])
def test_a_step_that_would_end_the_episode_changes_nothing(env, state, action):
    """A terminal state, or the last step before the limit."""
    envs = CompiledWorlds(env, 1, 5)
    envs.reset()
    worlds = envs.worlds._replace(limit=8)
    worlds.state[0], worlds.elapsed[0] = state, 7 if env == "Pendulum-v1" else 3
    O = worlds.obs.shape[1]
    replay = (np.ones((4, O)), np.ones((4, 1)), np.ones(4), np.ones((4, O)), np.ones(4), np.ones(4))
    episode = (np.ones(1), np.ones(1, np.int64), np.ones(1), np.ones(1), 0.9)
    kept = [x.copy() for x in (*worlds, *replay, *episode) if isinstance(x, np.ndarray)]
    assert not rollouts.advance(tuple(worlds), action, np.ones((1, O)), replay, 2, episode)
    assert all(np.array_equal(x, y) for x, y in
               zip(kept, (x for x in (*worlds, *replay, *episode) if isinstance(x, np.ndarray)), strict=True))


@pytest.mark.parametrize("case", ["sac", "discrete-sac", "td3", "ddpg"])
def test_a_loss_that_is_not_finite_ends_training_at_that_step(case, long_calls):
    """In the middle of a call; nothing that was prepared for later steps is counted."""
    def spoil(agent, *_):
        if agent.step == 51:                                                # the next calls are of 8 steps
            agent.memory.data["rewards"][:] = math.inf

    states = []
    for way in ("rollouts", "loop"):
        with kernels.using("numba"), np.errstate(all="ignore"):
            agent, envs = made(case, way=way)
            interaction = Interaction(agent, envs)
            interaction.begin()
            with pytest.raises(TrainingError, match=r"^at step 52: critic_loss is not finite: lower the learning rates$"):
                WAYS[way](agent, interaction, 130, spoil)
        states.append(agent.state() | interaction.state())
    assert_same(*states)


@pytest.mark.parametrize("case", ["sac", "td3", "ddpg"])
def test_an_action_that_is_not_finite_is_not_given_to_the_world(case):
    def spoil(agent, *_):
        if agent.step == 60:
            agent.theta.flat[:] = math.nan

    with kernels.using("numba"), np.errstate(all="ignore"):
        agent, envs = made(case)
        with pytest.raises(TrainingError, match="actions of environment 0 are not finite at about step 60"):
            train(agent, envs, 60 * compiled_rollouts.ROWS, spoil)          # a call ends at 60
    assert np.isfinite(envs.worlds.state).all()


@pytest.mark.parametrize("algorithm", ["sac", "discrete-sac", "td3", "ddpg"])
def test_a_resumed_run_has_the_bytes_of_one_that_never_stopped(algorithm, tmp_path, quick_end):
    env = WORLDS[algorithm.startswith("discrete"), algorithm.startswith("discrete")]
    options = {"backend": "numba", "vector": "compiled", "preset": {}, **COMMON, "steps": 600}
    scratchac.train(algorithm, env, seed=3, out=tmp_path / "whole", **options)
    scratchac.train(algorithm, env, seed=3, out=tmp_path / "parts", stop_after=301, **options)
    scratchac.resume(tmp_path / "parts")
    same(tmp_path / "whole", tmp_path / "parts")


def test_rows_weigh_each_update_the_same(tmp_path, monkeypatch, quick_end):
    """Whether a report is of one or of several."""
    options = {"backend": "numba", "vector": "compiled", "preset": {}, **COMMON, "steps": 6_000, "buffer_size": 6_000}
    scratchac.train("ddpg", "Pendulum-v1", seed=3, out=tmp_path / "rollouts", **options)
    monkeypatch.setattr(compiled_off_policy_rollouts, "train", compiled_off_policy.train)
    scratchac.train("ddpg", "Pendulum-v1", seed=3, out=tmp_path / "loop", **options)
    ours, theirs = (Run.open(tmp_path / name).metrics() for name in ("rollouts", "loop"))
    assert len(ours["step"]) == 200 and ours.keys() == theirs.keys()
    for name in ("step", "return_mean", "actor_loss", "critic_loss", "q", "td_error", "q_promised", "q_realised"):
        np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-4, err_msg=name)
