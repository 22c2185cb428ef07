"""Actions of several numbers: independent categorical distributions for whole ones, and boxes of any number of axes."""

import json
from functools import partial
from importlib.util import find_spec

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete
from probes import OneStep

import kernels
import scratchac
from scratchac.distributions import Categorical, Gaussian, MultiCategorical
from scratchac.environments import spaces
from scratchac.environments.vector import VectorEnv
from scratchac.errors import UserError
from scratchac.policies import Mask, mask_illegal
from scratchac.tools.export import export

ON_POLICY, OFF_POLICY = ["reinforce", "reinforce-baseline", "actor-critic", "a2c", "ppo"], ["ddpg", "td3", "sac"]
FEW = {"batch_size": 8, "learning_starts": 8, "hidden": (4,)}
NUMBERS = [MultiDiscrete([3, 2, 4]), MultiDiscrete([[2, 3], [4, 2]], start=[[-1, 0], [5, 1]]),
           MultiDiscrete([5], dtype=np.int32), MultiBinary(3), MultiBinary([2, 2])]
BOXES = [Box(-1, 1, ()), Box(0, 3, (), np.int64), Box(-1, 1, (2, 2)), Box(-2, 5, (1, 2, 1), np.float64),
         Box(0, 255, (2, 1), np.uint8)]

REST = [*NUMBERS[2:], *BOXES[:2], *BOXES[3:]]


class Wanted(OneStep):
    """The reward is minus the mean distance of the action's numbers from `goal`, a place in [0, 1] between their bounds."""

    def __init__(self, space, goal=1.0, played=None):
        self.action_space, self.goal, self.played = space, goal, [] if played is None else played

    def reward(self, action):
        self.played.append(action)
        if isinstance(self.action_space, Box):
            low, high = self.action_space.low.astype(float), self.action_space.high.astype(float)
        else:
            low = getattr(self.action_space, "start", np.zeros(self.action_space.shape))
            high = low + getattr(self.action_space, "nvec", 2) - 1
        return -float(np.abs((action - low) / (high - low) - self.goal).mean())


class Legal(OneStep):
    """Two numbers of 3 and 2 choices. The mask leaves one legal pair, another in each episode; the mask comes first."""

    observation_space = Dict(action_mask=MultiBinary(5), zeros=Box(0, 0, (2,)))
    action_space = MultiDiscrete([3, 2])

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.legal = self.np_random.integers([3, 2])
        return self.observe(), {}

    def observe(self):
        return {"action_mask": np.concatenate([np.eye(3, dtype=np.int8)[self.legal[0]], np.eye(2, dtype=np.int8)[self.legal[1]]]),
                "zeros": np.zeros(2, np.float32)}

    def step(self, action):
        if not (action == self.legal).all():
            raise AssertionError(f"{action} is illegal")
        return self.observe(), 1.0, True, False, {}


def test_probabilities_multiply_and_entropies_add(rng):
    """Three factors of 3, 2 and 4 choices; and by hand: p = ½ · ⅓ of one pair, H = ln 2 + ln 3."""
    dist = MultiCategorical(np.array([3, 2, 4]), np.zeros(3, int))
    y, a = rng.standard_normal((50, 9)), rng.integers([3, 2, 4], size=(50, 3))
    logp, entropy, _ = dist.evaluate(y, a)
    parts = [Categorical(n).evaluate(y[:, i : i + n], a[:, k])[:2] for k, (i, n) in enumerate([(0, 3), (3, 2), (5, 4)])]
    np.testing.assert_allclose(logp, np.sum([p for p, _ in parts], axis=0))
    np.testing.assert_allclose(entropy, np.sum([h for _, h in parts], axis=0))
    even = MultiCategorical(np.array([2, 3]), np.zeros(2, int))
    logp, entropy, _ = even.evaluate(np.zeros((1, 5), np.float32), np.array([[1, 2]]))
    assert logp[0] == pytest.approx(-np.log(6)) and entropy[0] == pytest.approx(np.log(6)) and logp.dtype == np.float32
    total = sum(np.exp(dist.evaluate(y[:1], np.array([[i, j, k]]))[0][0]) for i in range(3) for j in range(2) for k in range(4))
    assert total == pytest.approx(1)


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_samples_have_the_probabilities_of_their_factors(backend, rng):
    """Over 100,000 draws each share is within 5 standard errors, and the factors are independent."""
    try:
        active = kernels.load(backend)
    except kernels.BackendError as error:
        pytest.skip(str(error))
    dist, rows = MultiCategorical(np.array([3, 2]), np.zeros(2, int)), 100_000
    p = np.array([0.2, 0.5, 0.3]), np.array([0.9, 0.1])
    y = np.log(np.tile(np.concatenate(p), (rows, 1))).astype(np.float32)
    with kernels.using(active.name):
        a = dist.sample(y, dist.noise(rng, rows))
    assert a.shape == (rows, 2)
    for i in range(3):
        for j in range(2):
            expected = p[0][i] * p[1][j]
            share = ((a[:, 0] == i) & (a[:, 1] == j)).mean()
            assert abs(share - expected) < 5 * np.sqrt(expected * (1 - expected) / rows)
    assert dist.greedy(y[:1]).tolist() == [[1, 0]]


def test_each_factor_needs_a_legal_choice(rng):
    y, masked = rng.standard_normal((2, 5)), Mask(slice(1, 6), (3, 2))
    good = np.array([[9, 0, 1, 0, 1, 1], [9, 1, 1, 1, 0, 1]], float)
    assert (mask_illegal(y, good, masked)[0] > -1e8).tolist() == [False, True, False, True, True]
    for wrong in ([9, 1, 1, 1, 0, 0], [9, 0, 0, 0, 1, 1], [9, 0.5, 1, 1, 1, 1]):
        with pytest.raises(UserError, match=r"row 1 of the observations.*each of the factors of 3, 2 choices"):
            mask_illegal(y, np.array([good[0], wrong]), masked)
    three = Mask(slice(None), (1, 2, 2))
    assert (mask_illegal(y[:1], np.array([[1, 0, 1, 1, 0]]), three) > -1e8).tolist() == [[True, False, True, True, False]]
    for wrong in ([0, 1, 1, 1, 1], [1, 0, 0, 1, 1], [1, 1, 1, 0, 0]):
        with pytest.raises(UserError, match="row 0 of the observations"):
            mask_illegal(y[:1], np.array([wrong]), three)


@pytest.mark.parametrize("algorithm, options", [("a2c", {"rollout": 4}), ("ppo", {"rollout": 8, "batch_size": 8})])
def test_the_mask_is_the_entry_of_a_dict_and_illegal_pairs_are_never_played(algorithm, options, tmp_path, quick_end):
    agent = scratchac.train(algorithm, Legal, 100, action_mask=True, hidden=(4,), out=tmp_path / "run", **options)
    assert scratchac.evaluate(agent, Legal, 10).tolist() == [1.0] * 10
    assert scratchac.evaluate(agent, Legal, 10, explore=True).tolist() == [1.0] * 10
    pytest.importorskip("onnxruntime")
    export(tmp_path / "run", "onnx")                                        # compares actions with the agent's, masks included
    with pytest.raises(UserError, match="the entry action_mask of the observations has 5 numbers"):
        class Three(Legal):
            action_space = Discrete(3)

        scratchac.make_agent(algorithm, Three, action_mask=True)


@pytest.mark.parametrize("space", [*NUMBERS[:2], BOXES[2], *(pytest.param(x, marks=pytest.mark.slow) for x in REST)], ids=str)
@pytest.mark.parametrize("algorithm", [*ON_POLICY, *OFF_POLICY, pytest.param("a3c", marks=pytest.mark.slow)])
def test_every_action_is_one_of_the_space(algorithm, space, tmp_path, quick_end):
    """In training, at random and learnt, in evaluation, after loading; off-policy agents refuse whole numbers that are no box."""
    env = partial(Wanted, space)
    options = FEW if algorithm in OFF_POLICY else {"hidden": (4,)} | ({"envs": 1} if algorithm == "a3c" else {})
    if algorithm in OFF_POLICY and not isinstance(space, Box):
        with pytest.raises(UserError, match=f"{algorithm} needs continuous actions, a Box.*a2c, ppo and others take these"):
            scratchac.train(algorithm, env, 40, **options)
        return
    played = []
    agent = scratchac.train(algorithm, env, 40, out=tmp_path / "run", eval_episodes=2, **options)
    for explore in (False, True):
        scratchac.evaluate(agent, lambda: Wanted(space, played=played), 5, explore=explore)
    assert len(played) == 10 and all(np.shape(a) == space.shape for a in played)
    loaded = scratchac.load(tmp_path / "run")
    np.testing.assert_array_equal(loaded.act(np.ones((3, 1)), explore=False), agent.act(np.ones((3, 1)), explore=False))
    assert space.contains(np.asarray(agent.act(np.ones(1)))) and spaces.fits(loaded.dist, space)


LEARNERS = {"reinforce": {"lr": 0.02}, "reinforce-baseline": {"actor_lr": 0.02, "critic_lr": 0.02},
            "actor-critic": {"actor_lr": 0.01}, "a2c": {"rollout": 4, "actor_lr": 0.01}, "ppo": {"rollout": 32, "lr": 0.01}}


SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in LEARNERS if name not in ("a2c", "ppo")]


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["a2c", "ppo", *SLOW])
@pytest.mark.parametrize("space, goal", [(NUMBERS[0], 1.0), (NUMBERS[3], 0.0)], ids=str)
def test_every_factor_is_learnt(algorithm, space, goal):
    """The best action has every number at its last, or its first, choice."""
    agent = scratchac.train(algorithm, lambda: Wanted(space, goal), 6_000, hidden=(8,), **LEARNERS[algorithm])
    assert scratchac.evaluate(agent, lambda: Wanted(space, goal), 3).tolist() == [0, 0, 0]


QUICK = {"batch_size": 64, "learning_starts": 200, "steps": 1500}


@pytest.mark.slow
@pytest.mark.parametrize("algorithm, options", [
    ("ppo", {"rollout": 32, "lr": 0.01, "steps": 8_000}), ("ddpg", QUICK), ("td3", QUICK),
    ("sac", QUICK | {"alpha": 0.01, "learn_alpha": False})])
@pytest.mark.parametrize("space", [Box(-1, 3, ()), Box(-1, 3, (2, 2))], ids=str)
def test_boxes_of_any_shape_are_learnt(algorithm, options, space):
    """The best action is at ¾ of each number's range."""
    agent = scratchac.train(algorithm, lambda: Wanted(space, 0.75), hidden=(16,), **options)
    assert scratchac.evaluate(agent, lambda: Wanted(space, 0.75), 1)[0] > -0.1


@pytest.mark.parametrize("space", [NUMBERS[1], *(pytest.param(x, marks=pytest.mark.slow) for x in [NUMBERS[4], *BOXES[:3]])],
                         ids=str)
def test_processes_and_resume_give_the_same_bytes(space, tmp_path, quick_end):
    env = lambda: Wanted(space)  # noqa: E731
    options = {"rollout": 8, "batch_size": 8, "envs": 2, "hidden": (4,), "eval_episodes": 0}
    whole = scratchac.train("ppo", env, 96, out=tmp_path / "whole", **options)
    scratchac.train("ppo", env, 96, out=tmp_path / "part", stop_after=40, **options)
    resumed = scratchac.resume(tmp_path / "part", env=env)
    elsewhere = scratchac.train("ppo", env, 96, vector="async", **options)
    for other in (resumed, elsewhere):
        np.testing.assert_array_equal(whole.model.flat, other.model.flat)


def test_the_distribution_follows_the_space():
    discrete = spaces.make_distribution(Discrete(3, start=5))
    assert isinstance(discrete, Categorical) and (discrete.n, discrete.start) == (3, 5)
    several = spaces.make_distribution(NUMBERS[1])
    assert isinstance(several, MultiCategorical) and (several.sizes, several.outputs, several.shape) == ((2, 3, 4, 2), 11, (2, 2))
    assert several.to_env(np.array([[1, 2, 0, 1]])).tolist() == [[[0, 2], [5, 2]]]
    box = spaces.make_distribution(Box(-1, 1, (2, 2)))
    assert isinstance(box, Gaussian) and (box.outputs, box.constants, box.shape) == (8, 4, (2, 2))


@pytest.mark.parametrize("space", [gym.spaces.Text(3), gym.spaces.Tuple([Discrete(2)]), Dict(a=Discrete(2)), Box(0, 1, (0,)),
                                   Box(0, 1, (2, 0))])
def test_unsupported_action_spaces(space):
    with pytest.raises(UserError, match="is not supported; it must be Discrete, MultiDiscrete, MultiBinary or a Box"):
        spaces.make_distribution(space)


def test_an_agent_is_refused_where_its_actions_do_not_fit():
    agent = scratchac.make_agent("ppo", lambda: Wanted(NUMBERS[0]))
    for other in (*NUMBERS[1:], MultiDiscrete([3, 2, 4], start=[0, 0, 1]), MultiDiscrete([3, 2]), Discrete(24), Box(0, 1, (3,))):
        with pytest.raises(UserError, match=r"was made for actions of shape \(3,\), with 3, 2, 4 choices"):
            scratchac.evaluate(agent, lambda other=other: Wanted(other), 1)
    agent = scratchac.make_agent("ppo", lambda: Wanted(BOXES[2]))
    with pytest.raises(UserError, match=r"was made for actions of shape \(2, 2\) from"):
        scratchac.evaluate(agent, lambda: Wanted(Box(-1, 1, (4,))), 1)


@pytest.mark.parametrize("space", [*NUMBERS, *BOXES], ids=str)
def test_a_space_comes_back_from_json(space):
    again = spaces.space_from_json(json.loads(json.dumps(spaces.space_to_json(space))))
    assert again == space and again.shape == space.shape and spaces.fits(spaces.make_distribution(space), again)


EXPORTED = [*(("ppo", space) for space in (*NUMBERS, *BOXES)), ("sac", BOXES[1]), ("td3", BOXES[2])]


@pytest.mark.parametrize("algorithm, space", EXPORTED, ids=str)
def test_a_policy_of_any_shape_is_exported(algorithm, space, tmp_path, quick_end):
    runtime = pytest.importorskip("onnxruntime")
    options = FEW if algorithm != "ppo" else {"rollout": 8, "batch_size": 8}
    options |= {"hidden": (4,), "eval_episodes": 0}
    agent = scratchac.train(algorithm, lambda: Wanted(space), 40, out=tmp_path / "run", **options)
    graph = runtime.InferenceSession(export(tmp_path / "run", "onnx"), providers=["CPUExecutionProvider"])
    obs = np.linspace(-3, 3, 20, dtype=np.float32)[:, None]
    played, = graph.run(None, {"obs": obs})
    assert played.shape == (20, *space.shape)
    np.testing.assert_allclose(played, agent.act(obs, explore=False), rtol=1e-4, atol=1e-4)


def test_compiled_updates_are_for_one_number_alone():
    for algorithm in ("a2c", "ppo", "actor-critic"):
        agent = scratchac.make_agent(algorithm, lambda: Wanted(NUMBERS[0]))
        envs = VectorEnv(lambda: Wanted(NUMBERS[0]), agent.n_envs, 0)
        try:
            with kernels.using("numba"):
                assert agent.fast_path(envs) is None
        except kernels.BackendError as error:
            pytest.skip(str(error))
        finally:
            envs.close()


@pytest.mark.parametrize("low, high, dtype", [
    (2**60 + 5, 2**60 + 10, np.int64), (2**53 + 1, 2**53 + 4, np.int64), (2**64 - 10, 2**64 - 1, np.uint64),
    (-2**63, -2**63 + 3, np.int64), (-128, 127, np.int8)])
def test_whole_numbers_of_any_size_are_elements_and_equally_likely(low, high, dtype, rng):
    """A float cannot hold the large ones."""
    box = Box(np.array([low], dtype), np.array([high], dtype), dtype=dtype)
    dist = spaces.make_distribution(box)
    actions = dist.to_env(np.float32([[-9], [-1], [1], [9]]))
    assert actions.dtype == dtype and [int(a[0]) for a in actions] == [low, low, high, high]
    drawn = [int(a[0]) - low for a in dist.to_env(rng.uniform(-1, 1, (20_000, 1)))]
    shares = np.bincount(drawn, minlength=high - low + 1) / 20_000
    p = 1 / (high - low + 1)
    assert len(shares) == high - low + 1 and (np.abs(shares - p) < 5 * np.sqrt(p / 20_000)).all()
    if abs(low) > 2**53:
        with pytest.raises(UserError, match="beyond 2\\^53"):
            spaces.make_distribution(box, scaled=False)


@pytest.mark.parametrize("kind", [np.int32, np.uint8])
def test_the_numbers_of_a_discrete_have_its_dtype(kind, tmp_path, quick_end):
    try:
        space = Discrete(3, start=5, dtype=kind)
    except TypeError:
        pytest.skip("this Gymnasium has Discrete spaces of int64 alone")
    played = []
    agent = scratchac.train("a2c", lambda: Wanted(space, played=played), 50, hidden=(4,), out=tmp_path / "run")
    if find_spec("numba"):                                                  # its loops have actions of int64
        for algorithm in ("a2c", "actor-critic"):
            scratchac.train(algorithm, lambda: Wanted(space, played=played), 50, hidden=(4,), backend="numba")
    assert {action.dtype for action in played} == {np.dtype(kind)}
    assert space.contains(agent.act(np.ones(1))) and scratchac.load(tmp_path / "run").act(np.ones(1)).dtype == kind
    with pytest.raises(UserError, match="3 actions from 5 on"):
        scratchac.evaluate(agent, lambda: Wanted(Discrete(3, start=5)), 1)


@pytest.mark.parametrize("low, high, dtype", [(2**40, 2**40 + 5, np.uint64), (1e9, 1e9 + 1, np.float64),
                                              (2**26 + 1, 2**26 + 9, np.int64)])
def test_a_graph_that_float32_cannot_hold_is_not_written(low, high, dtype, tmp_path, quick_end):
    pytest.importorskip("onnxruntime")
    scratchac.train("td3", lambda: Wanted(Box(low, high, (1,), dtype)), 40, out=tmp_path / "run", **FEW)
    with pytest.raises(UserError, match="does not play as the agent does; nothing is written"):
        export(tmp_path / "run", "onnx")
    assert not (tmp_path / "run" / "policy.onnx").exists()
