"""Observations of any space: flattened in one place, kept with the run, and never converted in silence."""

import json
from copy import deepcopy

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, Graph, MultiBinary, MultiDiscrete, Sequence, Text, Tuple
from hypothesis import given
from hypothesis import strategies as st

import scratchac
from scratchac.__main__ import main
from scratchac.conv import Encoder
from scratchac.environments import spaces
from scratchac.environments.flattened import Flattened, alike, observed
from scratchac.environments.make import make
from scratchac.environments.vector import VectorEnv
from scratchac.errors import EnvironmentFailed, UserError
from scratchac.nn import Parameters
from scratchac.tools.export import export

NESTED = Dict({"b": Discrete(3, start=-1), "a": Tuple([Box(-1, 1, (2, 2), np.float32), MultiBinary(3)]),
               "c": Dict({"x": MultiDiscrete([[2, 3], [4, 2]]), "y": Box(0, 9, (), np.int64)})})
LEAVES = st.one_of(
    st.builds(lambda n, start: Discrete(n, start=start), st.integers(1, 6), st.integers(-3, 3)),
    st.builds(lambda n: MultiDiscrete(n), st.lists(st.integers(1, 4), min_size=1, max_size=3)),
    st.builds(lambda shape: MultiBinary(shape), st.lists(st.integers(1, 3), min_size=1, max_size=2)),
    st.builds(lambda shape, kind: Box(-5, 5, shape, kind), st.lists(st.integers(1, 3), max_size=3).map(tuple),
              st.sampled_from([np.float32, np.float64, np.int8, np.int64])))
SPACES = st.recursive(LEAVES, lambda inner: st.one_of(
    st.lists(inner, min_size=1, max_size=3).map(Tuple),
    st.dictionaries(st.text("abc", min_size=1, max_size=2), inner, min_size=1, max_size=3).map(Dict)), max_leaves=5)


class Seen(gym.Env):
    """Observations are samples of a space; action 1 pays 1. Episodes have three steps."""

    action_space = Discrete(2)

    def __init__(self, space=NESTED, wrong=None):
        self.observation_space, self.wrong = deepcopy(space), wrong

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.observation_space.seed(int(self.np_random.integers(2**31)))
        self.t = 0
        return self.observation_space.sample(), {}

    def step(self, action):
        self.t += 1
        obs = self.observation_space.sample() if self.wrong is None or self.t < 2 else self.wrong
        return obs, float(action), self.t == 3, False, {}


class Which(gym.Env):
    """An episode is one step; one of four states is seen, and the action of the same number pays 1."""

    action_space = Discrete(4)

    def __init__(self, space):
        self.observation_space = space

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.state = int(self.np_random.integers(4))
        return self.observe(), {}

    def observe(self):
        pair = divmod(self.state, 2)
        if isinstance(self.observation_space, Discrete):
            return self.state
        if isinstance(self.observation_space, Dict):
            return {"row": pair[0], "rest": (np.array([pair[1]], np.int8),)}
        return np.eye(4, dtype=self.observation_space.dtype)[self.state].reshape(self.observation_space.shape)

    def step(self, action):
        return self.observe(), float(action == self.state), True, False, {}


MORE = ["CliffWalking-v1", "Taxi-v4", "Blackjack-v1"]


# -- the vector ------------------------------------------------------------------------------------------------------------


@given(SPACES, st.integers(0, 1000))
def test_the_numbers_are_those_of_gymnasium(space, seed):
    space.seed(seed)
    flat, x = Flattened(space), space.sample()
    np.testing.assert_array_equal(flat.flatten(x), gym.spaces.flatten(space, x).astype(np.float32))
    assert flat.flatten(x).dtype == np.float32 and flat.contains(flat.flatten(x))
    assert spaces.space_to_json(spaces.observation_space_from_json(json.loads(json.dumps(spaces.space_to_json(space))))) \
        == spaces.space_to_json(space)


def test_a_dict_by_hand():
    flat = Flattened(NESTED)
    inner = {"x": np.array([[1, 0], [3, 1]]), "y": np.array(7)}
    x = {"b": 1, "a": (np.float32([[0.5, -1], [0, 1]]), np.array([1, 0, 1])), "c": inner}
    assert flat.flatten(x).tolist() == [0.5, -1, 0, 1, 1, 0, 1, 0, 0, 1, 0, 1, 1, 0, 0, 0, 0, 0, 1, 0, 1, 7]
    assert flat.parts == {"a": slice(0, 7), "b": slice(7, 10), "c": slice(10, 22)}
    assert str(flat).endswith("flattened to 22 numbers")


@pytest.mark.parametrize("space, wrong, message", [
    (Discrete(3), 3, "the value 3, which is not in Discrete"), (Discrete(3), -1, "has the value -1"),
    (Discrete(3), 1.5, "has the value 1.5, and the dtype of its space is int64"),
    (Discrete(3), [1], "shape"), (Discrete(3), object(), "object of shape"),
    (MultiDiscrete([2, 3]), [1, 3], "has the value 3"),
    (MultiBinary(2), [0, 2], "has the value 2"),
    (Box(0, 9, (2, 2), np.int32), np.full((2, 2), 0.7), "has the value 0.7"),
    (Box(0, 255, (2, 2), np.uint8), [[300, 0], [0, 0]], "300"),
    (Box(-1, 1, (2, 2)), np.full((2, 2), 1e300), r"has the value 1e\+300"),
    (Box(-1, 1, (2, 2)), [[1, 2], [3]], "not numbers of shape"),
    (Tuple([Discrete(2), Discrete(3)]), (0,), "a Tuple of 2 entries"),
    (Tuple([Discrete(2), Discrete(3)]), (0, 3), r"\[1\] has the value 3"),
    (Dict(a=Discrete(2)), {"b": 0}, "has the entries b, and its space a"), (Dict(a=Discrete(2)), 0, "has no entries: int"),
    (Dict(a=Dict(b=Discrete(2))), {"a": {"b": 2}}, r"\['a'\]\['b'\] has the value 2"),
])
def test_what_is_not_in_the_space_is_an_error_with_its_place(space, wrong, message):
    """In a step, it names the environment and the step as well."""
    with pytest.raises(ValueError, match=message):
        Flattened(space).flatten(wrong)
    with pytest.raises(EnvironmentFailed, match=f"environment 0 at step 2 of its episode raised ValueError: .*{message}"):
        scratchac.train("a2c", lambda: Seen(space, wrong), 40, hidden=(4,))


@pytest.mark.parametrize("space, message", [
    (Dict(a=Discrete(2), b=Text(3)), r"its part \['b'\] is Text.*FilterObservation"), (Sequence(Discrete(2)), "it is Sequence"),
    (Graph(Box(0, 1, (2,)), None), "it is Graph"), (Dict(), "it has 0 numbers"), (Box(0, 1, (0,)), "it has 0 numbers"),
    (Discrete(10**7), "it has 10,000,000 numbers"),
])
def test_what_has_no_numbers_is_refused(space, message):
    for algorithm in ("reinforce", "ppo", "discrete-sac"):
        with pytest.raises(UserError, match=message) as caught:
            scratchac.make_agent(algorithm, lambda: Seen(space))
        assert "\n" not in str(caught.value)


# -- agents ----------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("space", [Discrete(4), Dict(row=Discrete(2), rest=Tuple([MultiBinary(1)])), Box(0, 1, (2, 2), np.int8),
                                   Box(0, 1, (1, 2, 2), np.float64)], ids=str)
def test_every_observation_is_used(space):
    """The policy that tells all four states apart gets 1 in each episode, one that cannot see a part of them at most ½."""
    agent = scratchac.train("ppo", lambda: Which(space), 6_000, rollout=32, lr=0.01, hidden=(16,))
    assert scratchac.evaluate(agent, lambda: Which(space), 50).mean() == 1


def test_an_agent_takes_an_element_of_the_space_or_vectors(rng):
    agent = scratchac.make_agent("a2c", Seen)
    NESTED.seed(1)
    elements = [NESTED.sample() for _ in range(5)]
    vectors = np.stack([agent.flattened.flatten(x) for x in elements])
    assert [agent.act(x, explore=False) for x in elements] == agent.act(vectors, explore=False).tolist()
    assert agent.act(vectors[0], explore=False) == agent.act(elements[0], explore=False)
    with pytest.raises(UserError, match=r"an element of Dict.*22 float32 numbers"):
        agent.act({"a": 1})
    lake = scratchac.make_agent("a2c", "FrozenLake-v1")
    with pytest.raises(UserError, match=r"element of Discrete\(16\)"):      # neither a state nor one vector of floats
        lake.act(np.arange(16))
    assert lake.act(5) in range(4)


@pytest.mark.slow
@pytest.mark.parametrize("algorithm, options", [
    ("a2c", {"rollout": 5}), *(pytest.param(*x, marks=pytest.mark.slow) for x in (
        ("ppo", {"rollout": 8, "batch_size": 8}), ("actor-critic", {}),
        ("discrete-sac", {"batch_size": 8, "learning_starts": 8, "buffer_size": 500})))])
def test_a_run_is_resumed_to_the_same_bytes_and_loaded_without_its_environment(algorithm, options, tmp_path, quick_end):
    whole = scratchac.train(algorithm, Seen, 200, out=tmp_path / "whole", hidden=(4,), **options)
    scratchac.train(algorithm, Seen, 200, out=tmp_path / "part", stop_after=90, hidden=(4,), **options)
    resumed = scratchac.resume(tmp_path / "part", env=Seen)
    for kept in (resumed, scratchac.load(tmp_path / "part")):
        for name, value in whole.keeps().items():
            if isinstance(value, np.ndarray):
                np.testing.assert_array_equal(value, kept.keeps()[name])
        NESTED.seed(2)
        assert alike(kept.flattened, whole.flattened) and kept.act(NESTED.sample()) in (0, 1)


def test_an_environment_of_another_layout_does_not_fit(tmp_path, quick_end):
    agent = scratchac.train("a2c", lambda: Seen(Dict(a=Discrete(2), b=Discrete(3))), 50, out=tmp_path / "run", hidden=(4,))
    for other in (Dict(a=Discrete(3), b=Discrete(2)), Dict(a=Discrete(2), c=Discrete(3)), Discrete(5), MultiDiscrete([2, 3])):
        with pytest.raises(UserError, match=r"was made for observations Dict.* flattened to 5 numbers"):
            scratchac.evaluate(agent, lambda other=other: Seen(other), 1)
    with pytest.raises(UserError, match="was trained with the space"):
        scratchac.resume(tmp_path / "run", 100, env=lambda: Seen(Discrete(5)))


def test_processes_send_the_same_vectors():
    seen = []
    for vector in ("sync", "async"):
        envs = VectorEnv(Seen, 2, 0, vector)
        seen.append([envs.reset(), *(x for _ in range(4) for x in envs.step(np.array([0, 1])))])
        envs.close()
    for a, b in zip(*seen, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("env", ["FrozenLake-v1", *(pytest.param(x, marks=pytest.mark.slow) for x in MORE)])
def test_environments_of_gymnasium_train_from_the_command_line(env, tmp_path, quick_end, monkeypatch, capsys):
    if env not in gym.registry:
        pytest.skip("of another version of Gymnasium")
    monkeypatch.chdir(tmp_path)
    arguments = ["--steps", "64", "--rollout", "4", "--envs", "2", "--hidden", "4", "--no-video", "--eval-episodes", "1"]
    limit = [] if env.startswith("Black") else ["--env-args", "max_episode_steps=9"]
    assert main(["train", "a2c", "--env", env, *arguments, *limit]) == 0
    assert "flattened to" in capsys.readouterr().err
    assert main(["evaluate", f"runs/a2c-{env}-seed0", "--episodes", "2"]) == 0


def test_the_doctor_tells_what_agents_see(capsys):
    assert main(["doctor", "--env", "Blackjack-v1"]) == 0
    lines = dict(line.split(None, 1) for line in capsys.readouterr().out.splitlines())
    assert lines["observations"] == "Tuple(Discrete(32), Discrete(11), Discrete(2)) flattened to 45 numbers"
    assert "discrete-sac" in lines["algorithms"] and "td3" not in lines["algorithms"]


def test_a_flattened_policy_is_exported(tmp_path, quick_end):
    onnx, runtime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    agent = scratchac.train("a2c", Seen, 50, out=tmp_path / "run", hidden=(4,))
    path = export(tmp_path / "run", "onnx")
    NESTED.seed(3)
    obs = np.stack([gym.spaces.flatten(NESTED, NESTED.sample()) for _ in range(20)]).astype(np.float32)
    played, = runtime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, {"obs": obs})
    np.testing.assert_array_equal(played, agent.act(obs, explore=False))
    facts = {prop.key: prop.value for prop in onnx.load(path).metadata_props}
    assert alike(Flattened(spaces.space_from_json(json.loads(facts.pop("observation_space")))), agent.flattened)
    assert facts == {"environment": "Seen", "env_args": "{}", "algorithm": "a2c", "steps": str(agent.step), "seed": "0"}


@pytest.mark.parametrize("damage", [{"kind": "Dict", "parts": [["a", {"kind": "Nothing"}]]},
                                    {"kind": "Tuple", "parts": 3},
                                    {"kind": "MultiDiscrete", "n": [0], "start": [0], "dtype": "int64"},
                                    {"kind": "MultiBinary", "n": "x"},
                                    {"kind": "Box", "low": [0], "high": [1], "dtype": "float32", "shape": [2, 2]},
                                    {"kind": "Picture", "shape": [3, 16, 16], "range": 3}])
def test_a_damaged_description_of_a_space_is_refused(damage):
    with pytest.raises(UserError, match=r"config.json describes no valid space"):
        spaces.observation_space_from_json(damage)


# -- pictures --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("space, picture", [
    (Box(0, 255, (96, 96, 3), np.uint8), True), (Box(0, 255, (4, 84, 84), np.uint8), True), (Box(0, 1, (3, 16, 17)), True),
    (Box(-1, 1, (16, 16, 1), np.float64), True), (Box(0, 255, (7, 7, 3), np.uint8), False),
    (Box(-np.inf, np.inf, (3, 32, 32)), False),
    (Box(0, 1, (20, 20, 20)), False), (Box(0, 1, (84, 84)), False), (Box(0, 255, (64, 64, 3), np.int64), False),
    (Box(np.zeros((1, 16, 16)), 1 + np.arange(256.0).reshape(1, 16, 16), dtype=np.float64), False)], ids=str)
def test_pictures_stay_pictures(space, picture):
    seen = observed(space)
    assert (seen is space) == picture and (isinstance(seen, Flattened) and seen.shape == (np.prod(space.shape),)) != picture
    again = spaces.observation_space_from_json(json.loads(json.dumps(spaces.space_to_json(seen))))
    assert again == seen and again.dtype == seen.dtype


@pytest.mark.parametrize("low, high", [(0, 1), (-1, 1), (0, 255)])
@pytest.mark.parametrize("shape", [(2, 16, 17), (16, 17, 2)])
def test_floats_have_the_features_of_the_same_picture_in_bytes(low, high, shape, rng):
    numbers = rng.integers(256, size=(3, *shape), dtype=np.uint8)
    of_bytes = spaces.encoder_for(Box(0, 255, shape, np.uint8))
    of_floats = spaces.encoder_for(Box(low, high, shape, np.float32))
    assert of_bytes == Encoder(shape)
    params = Parameters(of_bytes.shapes(), np.float64)
    of_bytes.initialise(params, rng)
    features = of_floats.forward(params, low + numbers / 255 * (high - low))[0]
    np.testing.assert_allclose(features, of_bytes.forward(params, numbers)[0], rtol=1e-6, atol=1e-6)
    assert features.std() > 0.01


@pytest.mark.parametrize("algorithm, actions, options", [
    ("ppo", Discrete(2), {"rollout": 8, "batch_size": 8, "envs": 1}),
    ("sac", Box(-1, 1, (1,)), {"batch_size": 4, "learning_starts": 4, "buffer_size": 100, "train_every": 8})])
@pytest.mark.parametrize("shape", [(3, 16, 17), (16, 17, 3)])
def test_agents_learn_from_pictures_of_floats(algorithm, actions, options, shape, tmp_path, quick_end):
    class Drawn(Seen):
        action_space = actions

        def step(self, action):
            return super().step(float(np.sum(action)))

    env = lambda: Drawn(Box(0, 1, shape))  # noqa: E731
    agent = scratchac.train(algorithm, env, 32, hidden=(4,), out=tmp_path / "run", **options)
    loaded, obs = scratchac.load(tmp_path / "run"), make(env).reset(seed=0)[0]
    assert obs.dtype == np.float32 and obs.shape == shape
    np.testing.assert_array_equal(loaded.act(obs, explore=False), agent.act(obs, explore=False))


# -- what fits -------------------------------------------------------------------------------------------------------------


class MyBox(Box):
    """A subclass of one of Gymnasium's spaces."""


DRAWN = Box(0, 255, (16, 16, 1), np.uint8)


@pytest.mark.parametrize("space, other", [
    (DRAWN, Box(0, 1, (16, 16, 1))), (Box(0, 1, (16, 16, 1)), DRAWN), (Box(0, 1, (16, 16, 1)), Box(-1, 1, (16, 16, 1))),
    (MultiDiscrete([2, 3]), MultiDiscrete([3, 2])), (Box(0, 1, (8,)), Discrete(8)), (Discrete(8), Box(0, 1, (8,))),
    (Box(0, 1, (2, 3)), Box(0, 1, (3, 2))), (MultiBinary(4), Discrete(4)), (MultiBinary([2, 2]), MultiBinary(4))], ids=str)
def test_spaces_in_which_the_same_numbers_mean_something_else_do_not_fit(space, other):
    agent = scratchac.make_agent("ppo", lambda: Seen(space))
    with pytest.raises(UserError, match=r"was made for observations"):
        scratchac.evaluate(agent, lambda: Seen(other), 1)
    assert len(scratchac.evaluate(agent, lambda: Seen(space), 1)) == 1


@pytest.mark.parametrize("space", [MyBox(0, 1, (2, 2)), Dict(a=MyBox(0, 1, (2,)))], ids=str)
def test_a_subclass_of_a_space_fits_the_run_trained_on_it(space, tmp_path, quick_end):
    scratchac.train("a2c", lambda: Seen(space), 50, hidden=(4,), out=tmp_path / "run")
    assert len(scratchac.evaluate(scratchac.load(tmp_path / "run"), lambda: Seen(space), 2)) == 2


@pytest.mark.parametrize("key", [(1, 2), b"a", frozenset("a"), np.int64(3)], ids=str)
def test_keys_that_a_run_cannot_keep_are_refused(key):
    with pytest.raises(UserError, match="keys are text or whole numbers"):
        scratchac.make_agent("a2c", lambda: Seen(Dict({key: Discrete(2)})))
    scratchac.make_agent("a2c", lambda: Seen(Dict({3: Discrete(2)})))


def test_small_dtypes_do_not_overflow():
    space = MultiDiscrete([3, 120, 120], dtype=np.int8, start=[-100, 0, 0])
    flat = Flattened(space)
    assert np.flatnonzero(flat.flatten([-99, 119, 5])).tolist() == [1, 122, 128]
    with pytest.raises(ValueError, match="the value 100"):
        flat.flatten([100, 0, 5])


@pytest.mark.parametrize("space", [Box(0, 999, (2,)), Dict(a=Box(0, 999, (2,)))], ids=str)
def test_masked_arrays_are_refused(space):
    wrong = np.ma.array([0.1, 999], mask=[0, 1])
    with pytest.raises(EnvironmentFailed, match="masked array"):
        scratchac.train("a2c", lambda: Seen(space, {"a": wrong} if isinstance(space, Dict) else wrong), 20, hidden=(4,))


def test_small_pictures_are_exported_as_vectors(tmp_path, quick_end):
    pytest.importorskip("onnxruntime")
    scratchac.train("a2c", lambda: Seen(Box(0, 255, (7, 7, 3), np.uint8)), 50, hidden=(4,), out=tmp_path / "run")
    assert export(tmp_path / "run", "onnx").exists()
