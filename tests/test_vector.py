"""Environments side by side: the observation that really followed an action, and whose end an end is."""

import inspect
import multiprocessing
import queue
import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector.async_vector_env import _async_worker
from probes import Aliasing, Constant, Counter

import scratchac
from scratchac.environments.vector import VectorEnv, _work
from scratchac.errors import EnvironmentFailed, UserError
from scratchac.training.memory import Rollout


@pytest.mark.parametrize("env", [Counter, Aliasing])
@pytest.mark.parametrize("vector", ["sync", "async"])
def test_every_transition_is_true(env, vector):
    """The counter's s′ is always s + 1.

    So no transition is made up at an episode's end, the last observation is not the next episode's first one, and no array is
    overwritten later.
    """
    venv = VectorEnv(env, 3, seed=0, vector=vector)
    rollout, obs = Rollout(), venv.reset()
    for _ in range(10):
        actions = np.zeros(3, int)
        start, reward, next_obs, term, trunc = venv.step(actions)
        rollout.add(obs, actions, reward, next_obs, term, trunc, np.zeros(3, int))
        obs = start
    venv.close()
    batch = rollout.take()
    np.testing.assert_array_equal(batch.next_obs, batch.obs + 1)
    # Episodes last 3 steps: after a terminal row, the next one starts at the next hundred.
    assert batch.term[:, 0].tolist() == [0, 0, 1, 0, 0, 1, 0, 0, 1, 0]
    assert (batch.obs[:, 0, 0] % 100).tolist() == [0, 1, 2, 0, 1, 2, 0, 1, 2, 0]
    assert len(np.unique(batch.obs[:, 0, 0] // 100)) == 4


def test_term_and_trunc_are_kept_apart():
    for ends, expected in (("term", (1, 0)), ("trunc", (0, 1)), ("both", (1, 1))):
        venv = VectorEnv(Constant, 1, seed=0, limit=1, ends=ends)
        venv.reset()
        _, _, _, term, trunc = venv.step(np.zeros(1, int))
        assert (int(term[0]), int(trunc[0])) == expected
        venv.close()


class Holding(gym.Env):
    """An environment that passes everything on to another one, without being one of Gymnasium's wrappers."""

    def __init__(self, inner):
        self.inner, self.observation_space, self.action_space = inner, inner.observation_space, inner.action_space

    def reset(self, *, seed=None, options=None):
        return self.inner.reset(seed=seed, options=options)

    def step(self, action):
        return self.inner.step(action)


@pytest.mark.parametrize("around", [lambda env: env, lambda env: gym.wrappers.TimeLimit(env, 5), Holding,
                                    lambda env: gym.wrappers.TimeLimit(Holding(env), 5)])
@pytest.mark.slow
def test_one_environment_in_two_slots_is_refused(around):
    """Each slot would step the others' episode. A single slot may take it."""
    one, agent = Counter(), scratchac.make_agent("a2c", Counter)
    with pytest.raises(UserError, match="must make a new one at each call"):
        scratchac.evaluate(agent, lambda: around(one), 10)
    for mode in ("sync", "async"):
        with pytest.raises(UserError, match="must make a new one at each call"):
            scratchac.train("a2c", lambda: around(one), 40, vector=mode)
    pool = iter([Counter(), Counter(), one, one])
    with pytest.raises(UserError, match="must make a new one at each call"):
        VectorEnv(lambda: next(pool), 4, 0).reset()
    assert scratchac.evaluate(agent, lambda: around(one), 1).tolist() == scratchac.evaluate(agent, Counter, 1).tolist()
    assert len(scratchac.evaluate(agent, lambda: around(Counter()), 10)) == 10


class OldEnv:
    """An environment of the old package gym, or of dm_env, to which Gymnasium's classes do not belong."""

    def __init__(self, spaces):
        setattr(self, spaces, None)

    def reset(self):
        return 0

    def step(self, action):
        return 0


class Adapter(Counter):
    def __init__(self, old):
        super().__init__()
        self.old = old


@pytest.mark.parametrize("spaces", ["action_space", "action_spec"])
def test_one_environment_of_another_interface_in_two_slots_is_refused(spaces):
    one = OldEnv(spaces)
    with pytest.raises(UserError, match="must make a new one at each call"):
        VectorEnv(lambda: Adapter(one), 2, 0)
    VectorEnv(lambda: Adapter(OldEnv(spaces)), 2, 0).reset()
    shared = OldEnv("curriculum")                                           # is no environment, and may be shared
    VectorEnv(lambda: Adapter(shared), 2, 0).reset()


@pytest.mark.parametrize("vector", ["sync", "async"])
def test_environments_with_other_spaces_are_refused(vector, monkeypatch, tmp_path):
    """Such as those of an id that the first of them, when it was made, has registered anew."""
    def first():
        gym.register("Own-v0", lambda: gym.make("Pendulum-v1"))
        return gym.make("CartPole-v1")

    agent = scratchac.make_agent("a2c", "CartPole-v1")
    monkeypatch.setitem(gym.registry, "Own-v0", gym.envs.registration.EnvSpec("Own-v0", first))
    with warnings.catch_warnings(), pytest.raises(UserError, match=r"made an environment with the space Box.*, and the next time "):
        warnings.simplefilter("ignore")                                     # Gymnasium tells that the id is registered anew
        scratchac.train("a2c", "gymnasium:Own-v0", 40, out=tmp_path / "run", vector=vector)
    assert not list(tmp_path.iterdir())
    made = iter([gym.make("CartPole-v1"), gym.make("Pendulum-v1")])
    with pytest.raises(UserError, match="<lambda> made an environment with the space"):
        scratchac.evaluate(agent, lambda: next(made), 2)


def test_an_error_of_a_step_without_text_says_where():
    class Silent(Counter):
        def step(self, action):
            raise AssertionError

    venv = VectorEnv(Silent, 1, 0)
    venv.reset()
    with pytest.raises(EnvironmentFailed, match=rf"environment 0 at step 1 .* raised AssertionError in {__file__}, line \d+$"):
        venv.step(np.zeros(1, int))


def test_a_limit_of_steps_for_any_id():
    venv = VectorEnv("Pendulum-v1", 1, 0, max_episode_steps=3)
    venv.reset()
    assert [bool(venv.step(np.zeros((1, 1)))[4][0]) for _ in range(6)] == [False, False, True] * 2


def test_unknown_vector_mode():
    with pytest.raises(UserError, match="did you mean async"):
        VectorEnv("CartPole-v1", 1, 0, vector="asink")


@pytest.mark.parametrize("spaces", [(gym.spaces.Discrete(5), gym.spaces.Discrete(2)),
                                    (gym.spaces.Box(-1, 1, (1,)), gym.spaces.Box(-2, 2, (1,)))], ids=str)
def test_environments_with_other_actions_of_the_same_shape_are_refused(spaces):
    def make_next():
        env = Counter()
        env.action_space = next(made)
        return env

    agent = scratchac.make_agent("a2c", Counter)
    for slots in (lambda: VectorEnv(make_next, 2, 0), lambda: scratchac.evaluate(agent, make_next, 2)):
        made = iter(spaces)
        with pytest.raises(UserError, match=r"made an environment with the space .*, and the next time "):
            slots()


def test_a_worker_whose_parent_has_ended_ends_without_a_traceback():
    """It can neither read a command nor say so; but it closes its environment."""
    closed = []

    class Closing(Counter):
        def close(self):
            closed.append(True)

    parent, child = multiprocessing.Pipe()
    rest = [None] * (len(inspect.signature(_async_worker).parameters) - 6)          # Gymnasium's later versions take more
    _work(0, Closing, child, parent, None, queue.Queue(), *rest)                    # which closes `parent`, a worker's copy
    assert closed == [True]
