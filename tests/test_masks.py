"""Illegal actions are never taken, have no probability, and have no gradient."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete

import kernels
import scratchac
from scratchac.distributions import Categorical
from scratchac.environments.vector import VectorEnv
from scratchac.errors import EnvironmentFailed, UserError
from scratchac.policies import Mask, mask_illegal
from scratchac.training.evaluation import evaluate


class Forbidden(gym.Env):
    """An episode is one step; random ones of four actions are legal. The highest legal one pays 1, an illegal one is an error."""

    observation_space, action_space = Box(0, 1, (5,), np.float32), Discrete(4)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.mask = np.eye(4)[self.np_random.integers(4)] + (self.np_random.random(4) < 0.3)
        return np.array([1, *np.minimum(self.mask, 1)], np.float32), {}

    def step(self, action):
        if not self.mask[action]:
            raise AssertionError(f"{action} is illegal")
        return np.ones(5, np.float32), float(action == np.flatnonzero(self.mask)[-1]), True, False, {}


@pytest.fixture(params=["numpy", "numba"])
def backend(request):
    try:
        with kernels.using(request.param):
            yield request.param
    except kernels.BackendError as error:
        pytest.skip(str(error))


def test_what_is_left_is_the_distribution_over_legal_actions():
    """With logits log 1, log 2, log 5 and the second action illegal, π = 1/6 and 5/6, and H = ln 6 − 5/6 ln 5."""
    y, s = np.log([[1.0, 2.0, 5.0]]), np.array([[7.0, 1.0, 0.0, 1.0]])
    logp, entropy, cache = Categorical(3).evaluate(mask_illegal(y, s, Mask(slice(-3, None), (3,))), np.array([2]))
    assert logp[0] == pytest.approx(np.log(5 / 6)) and entropy[0] == pytest.approx(np.log(6) - 5 / 6 * np.log(5))
    gradient = Categorical(3).backward(cache, np.ones(1), np.ones(1))
    assert gradient[0, 1] == 0 and gradient[0, 0] != 0


def test_an_only_action_is_certain():
    y = mask_illegal(np.float32([[3, -2, 1]]), np.float32([[0, 1, 0]]), Mask(slice(-3, None), (3,)))
    logp, entropy, cache = Categorical(3).evaluate(y, np.array([1]))
    assert logp[0] == 0 and entropy[0] == 0 and y.dtype == np.float32
    assert not Categorical(3).backward(cache, np.ones(1, np.float32), np.ones(1, np.float32)).any()


def test_no_illegal_action_is_drawn(backend, rng):
    """This holds in float32, for logits of any size and any u in [0, 1). Every legal action is drawn."""
    rows, n = 20_000, 9
    y = (rng.standard_normal((rows, n)) * rng.choice([0.1, 1, 30, 1e4], (rows, 1))).astype(np.float32)
    mask = np.minimum(np.eye(n)[rng.integers(n, size=rows)] + (rng.random((rows, n)) < 0.4), 1).astype(np.float32)
    masked = mask_illegal(y, mask, Mask(slice(None), (n,)))
    for u in (np.zeros(rows), np.full(rows, np.nextafter(1, 0)), rng.random(rows)):
        assert mask[np.arange(rows), Categorical(n).sample(masked, u)].all()
    assert mask[np.arange(rows), Categorical(n).greedy(masked)].all()
    even = mask_illegal(np.zeros_like(y), mask, Mask(slice(None), (n,)))
    drawn = np.array([Categorical(n).sample(even[:1], u[:1]) for u in rng.random((400, 1))])
    assert set(drawn.ravel()) == set(np.flatnonzero(mask[0]))


@pytest.mark.slow
@pytest.mark.parametrize("algorithm, options", [
    ("a2c", {"actor_lr": 0.01, "critic_lr": 0.01}), ("a2c", {"actor_lr": 0.01, "shared_body": True}),
    ("a2c", {"actor_lr": 0.01, "critic_lr": 0.01, "advantage": "qv"}), ("ppo", {"lr": 0.01, "rollout": 32}),
], ids=str)
def test_learns_among_legal_actions(algorithm, options, backend):
    """The environment raises an error at an illegal action. Each of 20 other seeds learnt it."""
    agent = scratchac.train(algorithm, Forbidden, 6000, hidden=(16,), action_mask=True, backend=backend, **options)
    assert evaluate(agent, Forbidden, 200).mean() > 0.9


def test_compiled_loops_know_no_masks():
    pytest.importorskip("numba")
    envs = VectorEnv(Forbidden, 8, 0)
    for algorithm in ("a2c", "ppo"):
        plain, masked = (scratchac.make_agent(algorithm, Forbidden, action_mask=on) for on in (False, True))
        with kernels.using("numba"):
            assert plain.fast_path(envs) and masked.fast_path(envs) is None


@pytest.mark.parametrize("mask", [[0, 0, 0], [0, 2, 1], [1, 0.5, 0], [1, np.nan, 0], [-1, 1, 0]], ids=str)
def test_masks_that_are_none(mask):
    s = np.array([[1.0, 1, 1], [0, 1, 1], mask])
    with pytest.raises(UserError, match="row 2 of the observations: the mask must be 1 for legal actions, one at least, and 0"):
        mask_illegal(np.zeros((3, 3)), s, Mask(slice(-3, None), (3,)))


@pytest.mark.parametrize("algorithm", ["a2c", "ppo"])
@pytest.mark.parametrize("env, options, message", [
    ("Pendulum-v1", {}, "must be Discrete"), ("CartPole-v1", {"normalise_obs": True}, "normalise_obs would change them"),
    (lambda: Narrow(), {}, r"its shape is \(3,\)"),
], ids=["continuous", "normalised", "narrow"])
def test_where_there_can_be_no_mask(algorithm, env, options, message):
    with pytest.raises(UserError, match=message):
        scratchac.make_agent(algorithm, env, action_mask=True, **options)


def part(**names):
    return gym.spaces.Dict({name: gym.spaces.MultiBinary(n) for name, n in names.items()})


@pytest.mark.parametrize("space, place", [
    (part(action_mask=4, board=4), slice(0, 4)), (gym.spaces.Dict(me=part(action_mask=4, board=4)), slice(0, 4)),
    (gym.spaces.Tuple((part(board=2, action_mask=4), Box(0, 1, (3,)))), slice(0, 4)),
    (part(board=2, legal=4), slice(2, 6)), (gym.spaces.Tuple((Box(0, 1, (3,)), gym.spaces.MultiBinary(4))), slice(3, 7)),
    (part(board=6), slice(2, 6)),
    (part(board=4, legal=3), "last part, without an entry action_mask, of the observations has 3 numbers, not one for each of 4"),
    (part(action_mask=3, board=4), "entry action_mask of the observations has 3 numbers"),
    (gym.spaces.Dict(one=part(action_mask=4), two=part(action_mask=4)), "2 entries action_mask")])
def test_where_the_mask_is(space, place):
    """The entry of that name, however deep, or the last part if it has a number for each action."""
    class Masked(Forbidden):
        observation_space = space

    if isinstance(place, str):
        with pytest.raises(UserError, match=place):
            scratchac.make_agent("ppo", Masked, action_mask=True)
    else:
        assert scratchac.make_agent("ppo", Masked, action_mask=True).masked.features == place


class Narrow(Forbidden):
    observation_space = Box(0, 1, (3,), np.float32)


def test_a_mask_that_is_none_stops_the_training_and_names_the_step(tmp_path):
    class Forgetful(Forbidden):
        steps = 0

        def step(self, action):
            type(self).steps += 1
            obs, *rest = super().step(action)
            return obs, *rest

        def reset(self, **kwargs):
            obs, info = super().reset(**kwargs)
            return (obs * 0 if self.steps > 20 else obs), info

    with pytest.raises(EnvironmentFailed, match=r"at about step \d\d: row 0 of the observations: the mask must be 1"):
        scratchac.train("a2c", Forgetful, 200, action_mask=True, envs=1, out=tmp_path / "run")
    assert (tmp_path / "run" / "checkpoint.npz").exists()
