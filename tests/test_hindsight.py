"""Hindsight experience replay: the transitions that it stores, and that they teach what others cannot."""

import subprocess
import sys
from importlib.util import find_spec

import gymnasium as gym
import numpy as np
import pytest
from damage import same
from probes import Constant, Reach

import scratchac
from scratchac.algorithms.saving import load_state, state
from scratchac.environments.make import make
from scratchac.errors import EnvironmentFailed, UserError
from scratchac.experiments.run import Run
from scratchac.training.hindsight import HindsightBuffer
from scratchac.training.memory import ReplayBuffer

SPACE = make(Reach).observation_space
SMALL = {"hidden": (8,), "batch_size": 16, "learning_starts": 32, "buffer_size": 500}


def buffer(k=2, n=1, capacity=100, env=None, rng=None):
    memory = HindsightBuffer(capacity, SPACE, (2,), np.float32, np.float32, k, n, rng or np.random.default_rng(0))
    memory.meet(env or Reach())
    return memory


class Chosen:
    """A generator whose next draw is given."""

    def __init__(self, draw):
        self.draw = draw

    def integers(self, low, high, size):
        assert low.ravel().tolist() == list(range(high)) and self.draw.shape == size
        return self.draw


def flat(time, achieved, desired):
    """An observation: its parts, in their places. Both coordinates of a position are the same."""
    obs = np.empty(SPACE.shape, np.float32)
    for name, x in (("observation", time), ("achieved_goal", achieved), ("desired_goal", desired)):
        obs[SPACE.parts[name]] = x
    return obs


def play(memory, paths, desired=9.0, ends="trunc"):
    """Add the steps along a path of positions for each environment, side by side, until the longest path ends.

    An episode ends at the end of its path; an environment with a shorter path then begins again.
    """
    n = [len(path) - 1 for path in paths]
    for t in range(max(n)):
        at = [t % length for length in n]
        obs, next_obs = (np.stack([flat(i + d, path[i + d], desired) for i, path in zip(at, paths, strict=True)]) for d in (0, 1))
        last = np.array([i + 1 == length for i, length in zip(at, n, strict=True)])
        memory.add(obs=obs, actions=np.stack([[t, -t]] * len(paths)) / 10, rewards=np.full(len(paths), -1.0), next_obs=next_obs,
                   term=last & (ends == "term"), trunc=last & (ends == "trunc"))


def stored(memory, name, part=None):
    """The rows of one of the buffer's arrays, or of one part of observations, of which both coordinates are the same."""
    rows = memory.data[name][: len(memory)]
    return rows.tolist() if part is None else rows[:, SPACE.parts[part]][:, -1].tolist()


# -- which transitions, by hand --------------------------------------------------------------------------------------------


def test_the_transitions_of_an_episode_by_hand():
    """Positions 0, 1, 3, 2, and two further goals for each step: of step 0 they are 2 and 1, of step 1 3 and 2, of step 2 2."""
    memory = buffer(rng=Chosen(np.array([[2, 0], [1, 2], [2, 2]])))
    play(memory, [[0, 1, 3, 2]])
    goals = [9, 9, 9, 2, 1, 3, 2, 2, 2]
    assert stored(memory, "obs", "desired_goal") == stored(memory, "next_obs", "desired_goal") == goals
    assert stored(memory, "obs", "achieved_goal") == [0, 1, 3, 0, 0, 1, 1, 3, 3]
    assert stored(memory, "next_obs", "achieved_goal") == [1, 3, 2, 1, 1, 3, 3, 2, 2]
    assert stored(memory, "obs", "observation") == [0, 1, 2, 0, 0, 1, 1, 2, 2]
    assert stored(memory, "next_obs", "observation") == [1, 2, 3, 1, 1, 2, 2, 3, 3]
    assert stored(memory, "rewards") == [-1, -1, -1, -1, 0, 0, -1, 0, 0]
    assert stored(memory, "actions") == np.float32([[t / 10, -t / 10] for t in (0, 1, 2, 0, 0, 1, 1, 2, 2)]).tolist()
    assert stored(memory, "term") == [0] * 9 and stored(memory, "trunc") == [0, 0, 1, 0, 0, 0, 0, 1, 1]


@pytest.mark.parametrize("has, expected", [(True, [0, 0, 1, 0, 1, 1, 0, 1, 1]), (False, [0, 0, 1, 0, 0, 0, 0, 1, 1])])
def test_the_end_is_the_environments_for_the_further_goal_or_the_steps_own(has, expected):
    env = Reach(ends=True)
    env.compute_terminated = env.compute_terminated if has else None
    memory = buffer(env=env, rng=Chosen(np.array([[2, 0], [1, 2], [2, 2]])))
    play(memory, [[0, 1, 3, 2]], ends="term")
    assert stored(memory, "term") == expected


def test_what_was_achieved_is_the_first_argument():
    """Goals 2, 1, 3, 2, 2, 2 where 1, 1, 3, 3, 2, 2 were reached: reward and end tell the two apart."""
    env = Reach()
    env.compute_reward = lambda achieved, desired, info: achieved[:, 0] - 10 * desired[:, 0]
    env.compute_terminated = lambda achieved, desired, info: achieved[0] < desired[0]
    memory = buffer(env=env, rng=Chosen(np.array([[2, 0], [1, 2], [2, 2]])))
    play(memory, [[0, 1, 3, 2]])
    assert stored(memory, "rewards")[3:] == [-19, -9, -27, -17, -18, -18] and stored(memory, "term")[3:] == [1, 0, 0, 0, 0, 0]


def test_real_transitions_are_sampled_at_once_and_further_ones_once_the_episode_has_ended(rng):
    memory, lengths = buffer(k=3), []
    for _ in range(2):
        memory.add(**{name: x[:1] for name, x in one_step().items()})
        lengths.append(len(memory))
    assert lengths == [1, 2]
    play(memory, [[0, 1]])                                                  # another episode, so the first one has been lost
    assert len(memory) == 2 + 2 * 3 + 1 + 3


def one_step(position=0.0, n=1, **fields):
    obs = np.stack([flat(0, position, 9)] * n)
    return {"obs": obs, "actions": np.zeros((n, 2)), "rewards": np.full(n, -1.0), "next_obs": obs, "term": np.zeros(n, bool),
            "trunc": np.zeros(n, bool)} | fields


# -- which goals -----------------------------------------------------------------------------------------------------------


class Anywhere:
    """Draws from the whole episode: the strategy "episode" instead of "future"."""

    def __init__(self):
        self.rng = np.random.default_rng(0)

    def integers(self, low, high, size):
        return self.rng.integers(0, high, size=size)


@pytest.mark.parametrize("rng, right", [(np.random.default_rng(0), True), (Anywhere(), False)])
def test_goals_are_uniform_over_what_was_reached_later(rng, right):
    """Of step t in an episode of four, each of the 4 − t later positions is the goal equally often, within 5 standard errors."""
    memory = buffer(k=10_000, capacity=50_000, rng=rng)
    play(memory, [[0, 1, 2, 3, 4]])
    before, goals = (np.array(stored(memory, "obs", part), int)[4:] for part in ("observation", "desired_goal"))
    uniform = True
    for t in range(4):
        shares = np.bincount(goals[before == t], minlength=5) / 10_000
        p = np.where(np.arange(5) > t, 1 / (4 - t), 0)
        uniform &= bool((np.abs(shares - p) <= 5 * np.sqrt(p * (1 - p) / 10_000)).all())
    assert uniform == right


def test_episodes_of_several_environments_do_not_mix():
    """Of two and of three steps, which end at different times: each has goals of its own episode alone, each step 2 of them."""
    memory = buffer(n=2, capacity=1000)
    play(memory, [[10, 11, 12], [20, 21, 22, 23]])
    play(memory, [[10, 11, 12], [20, 21, 22, 23]])
    goals, places = (np.array(stored(memory, "obs", part)) for part in ("desired_goal", "achieved_goal"))
    further = goals != 9
    assert (goals[further] // 10 == places[further] // 10).all() and (goals[further] > places[further]).all()
    # The first environment has two whole episodes of 2 steps and, after each, 1 step, of which the last one is still under way.
    assert further.sum() == 2 * (2 + 1 + 2) + 2 * (3 + 3) and (~further).sum() == 12


def test_an_episode_that_does_not_go_on_is_not_glued_to_the_next():
    """A resumed run may begin a new episode in place of the one under way: the two have no goal in common."""
    memory = buffer(k=20, capacity=1000)
    for position in (0, 1, 50, 51):
        memory.add(**one_step(position, next_obs=flat(0, position + 1, 9)[None], trunc=np.array([position == 51])))
    places, goals = (np.array(stored(memory, "obs", part)) for part in ("achieved_goal", "desired_goal"))
    assert len(memory) == 4 + 4 * 20 and ((goals == 9) | ((goals > 40) == (places > 40))).all()


def test_steps_are_copied():
    """Some environments return the same array at every step."""
    memory, obs = buffer(k=1), flat(0, 1, 9)[None]
    memory.add(**one_step(obs=obs, next_obs=obs))
    obs[:] = 5
    memory.add(**one_step(1, trunc=np.array([True])))
    assert sorted(stored(memory, "obs", "achieved_goal")) == [1, 1, 1, 1]


@pytest.mark.parametrize("capacity", [2, 3, 7, 40])
def test_a_ring_that_is_too_small_holds_whole_transitions(capacity, monkeypatch):
    """Rewards and goals of every row belong together, whichever rows have been overwritten, and no call writes a row twice."""
    memory, add = buffer(k=4, n=2, capacity=capacity), ReplayBuffer.add
    rows_added = []
    monkeypatch.setattr(ReplayBuffer, "add", lambda self, **rows: (rows_added.append(len(rows["rewards"])), add(self, **rows)))
    for _ in range(3):
        play(memory, [[1, 2, 3, 4, 5, 6], [10, 11, 12]])
        assert len(memory) == capacity and max(rows_added) == min(capacity, 5 * 4)
        before, achieved, goals = (np.array(stored(memory, *place)) for place in (
            ("obs", "achieved_goal"), ("next_obs", "achieved_goal"), ("next_obs", "desired_goal")))
        assert stored(memory, "obs", "desired_goal") == goals.tolist() and (achieved == before + 1).all()
        assert stored(memory, "rewards") == (-(achieved != goals).astype(float)).tolist()


@pytest.mark.parametrize("shape", [(1,), (2, 3)])
def test_goals_reach_the_environment_in_its_own_shape_and_dtype(shape):
    class Board(gym.Env):
        goals = gym.spaces.MultiBinary(shape)
        observation_space = gym.spaces.Dict(
            {"observation": gym.spaces.Box(-1, 1, (1,)), "achieved_goal": goals, "desired_goal": goals})
        action_space = gym.spaces.Box(-1, 1, (1,))

        def compute_reward(self, achieved_goal, desired_goal, info):
            assert achieved_goal.shape[1:] == shape and achieved_goal.dtype == desired_goal.dtype == np.int8
            return (achieved_goal == desired_goal).reshape(len(desired_goal), -1).all(axis=1).astype(int)

    space = make(Board).observation_space
    memory = HindsightBuffer(10, space, (1,), np.float32, np.float32, 1, 1, np.random.default_rng(0))
    memory.meet(Board())
    obs, zero = np.zeros((1, *space.shape)), np.zeros(1)
    memory.add(obs=obs, actions=zero[None], rewards=zero, next_obs=obs + 1, term=zero, trunc=zero + 1)
    assert stored(memory, "rewards") == [0, 1]


# -- saved and restored ----------------------------------------------------------------------------------------------------


def agent(**options):
    return scratchac.make_agent("td3", Reach, hindsight=2, envs=2, **(SMALL | options))


def test_without_hindsight_nothing_changes():
    """A plain buffer and the same streams of random numbers as ever."""
    plain, other = (scratchac.make_agent("td3", Reach, seed=3, hindsight=k, **SMALL) for k in (0, 1))
    assert type(plain.memory) is ReplayBuffer and type(other.memory) is HindsightBuffer
    _, rng, batch_rng = np.random.default_rng(3).spawn(3)
    for one in (plain, other):
        assert one.rng.bit_generator.state == rng.bit_generator.state
        assert one.batch_rng.bit_generator.state == batch_rng.bit_generator.state
    assert np.array_equal(plain.theta.flat, other.theta.flat)


def test_a_state_goes_round_in_mid_episode():
    first, second = agent(), agent()
    for one in (first, second):
        one.memory.meet(Reach())
    play(second.memory, [[5, 6, 7], [5, 6, 7, 8]])                          # what is restored takes the place of this
    first.memory.add(**one_step(1, n=2))
    load_state(second, state(first))
    for one in (first, second):                                             # which go on where the step above has led
        play(one.memory, [[1, 2, 3], [1, 2, 3, 4]])
    assert len(first.memory) == 8 + 2 * (3 + 4)
    for name in first.memory.data:
        np.testing.assert_array_equal(first.memory.data[name][: len(first.memory)], second.memory.data[name][: len(second.memory)])


def test_a_state_has_no_steps_of_an_episode_that_has_ended():
    first, second = agent(), agent()
    first.memory.meet(Reach())
    first.memory.add(**one_step(1, n=2, trunc=np.array([True, False])))
    load_state(second, state(first))
    assert [len(episode) for episode in second.memory.episodes] == [0, 1]


@pytest.mark.parametrize("wrong", [None, np.array([[0]]), np.array([2]), np.array([-1]), np.array([0.0]), np.array([0, 1])])
def test_a_state_of_other_episodes_is_refused(wrong):
    """No array, of two axes, of an environment that there is not, no whole number, more environments than steps."""
    one = agent()
    one.memory.add(**one_step(n=2))
    saved = state(one)
    saved["memory"]["environments"] = wrong
    saved["memory"]["episodes"] = {name: x[:1] for name, x in saved["memory"]["episodes"].items()}
    with pytest.raises(ValueError, match=r"episodes( are|\.)"):
        load_state(agent(), saved)


@pytest.mark.slow
@pytest.mark.parametrize("algorithm, normalise", [("ddpg", False), ("td3", True), ("sac", False)])
def test_a_run_resumed_in_mid_episode_has_the_same_bytes(algorithm, normalise, tmp_path, quick_end):
    """Also with running statistics, which see the real observations alone."""
    options = {"env": Reach, "steps": 200, "hindsight": 2, "envs": 2, "normalise_obs": normalise, "seed": 3, **SMALL}
    scratchac.train(algorithm, out=tmp_path / "whole", **options)
    scratchac.train(algorithm, out=tmp_path / "parts", stop_after=90, **options)
    kept = Run.open(tmp_path / "parts").restore()[0]
    assert not normalise or kept["normaliser"]["count"] == 90
    assert kept["step"] == 90 and kept["memory"]["environments"].tolist() == [0] * 5 + [1] * 5
    scratchac.resume(tmp_path / "parts", env=Reach)
    same(tmp_path / "whole", tmp_path / "parts")


@pytest.mark.slow
@pytest.mark.skipif(find_spec("gymnasium_robotics") is None, reason="Gymnasium-Robotics is not installed")
def test_a_run_in_a_maze_resumed_has_the_same_bytes(tmp_path):
    """In other processes, since Gymnasium-Robotics changes Gymnasium's own ids as it is imported."""
    words = ["train", "td3", "--env", "gymnasium_robotics:PointMaze_UMaze-v3", "--env-args", "continuing_task=False",
             "max_episode_steps=30", "--hindsight", "2", "--buffer-size", "2000", "--learning-starts", "100", "--batch-size", "16",
             "--hidden", "8", "--steps", "600", "--seed", "3", "--backend", "numpy"]
    for call in ([*words, "--out", "whole"], [*words, "--out", "parts", "--stop-after", "250"], ["resume", "parts", "--trust"]):
        subprocess.run([sys.executable, "-m", "scratchac", *call, "--quiet", "--no-video"], check=True, cwd=tmp_path)
    same(tmp_path / "whole", tmp_path / "parts")


# -- what cannot be done ---------------------------------------------------------------------------------------------------


class Silent(Reach):
    compute_reward = None

    def step(self, action):
        raise AssertionError("no training begins")


class OneAtATime(Silent):
    def compute_reward(self, achieved_goal, desired_goal, info):
        return -float(np.linalg.norm(achieved_goal - desired_goal) > 0.1)


class Raising(Silent):
    def compute_reward(self, achieved_goal, desired_goal, info):
        return info["who"]


class Unending(Silent):
    def compute_reward(self, achieved_goal, desired_goal, info):
        return np.zeros(len(desired_goal))

    def compute_terminated(self, achieved_goal, desired_goal, info):
        raise NotImplementedError("who knows")


class Aimless(Silent):
    observation_space = gym.spaces.Dict({x: space for x, space in Reach.observation_space.items() if x != "desired_goal"})


class Uneven(Silent):
    observation_space = gym.spaces.Dict(Reach.observation_space.spaces | {"desired_goal": gym.spaces.Box(-1, 1, (3,))})


class Pictures(Constant):
    observation_space, action_space = gym.spaces.Box(0, 255, (48, 48, 3), np.uint8), Reach.action_space


@pytest.mark.parametrize("env, message", [
    ("Pendulum-v1", r"observations with an achieved_goal and a desired_goal \(a Dict\), not Box"),
    (Pictures, r"an achieved_goal and a desired_goal \(a Dict\), not Box\(0, 255"),
    (Aimless, r"an achieved_goal and a desired_goal \(a Dict\), not Dict"),
    (Silent, r"compute_reward\(achieved_goal, desired_goal, info\), and Silent has none"),
    (OneAtATime, r"OneAtATime: compute_reward must return 3 rewards for as many goals, and returned float64 of shape \(\)"),
    (Raising, "Raising: compute_reward raised KeyError: 'who'"),
    (Unending, "Unending: compute_terminated raised NotImplementedError: who knows"),
    (Uneven, "goals that are boxes of one shape, not Box"),
])
def test_environments_without_goals_are_refused_before_there_is_a_folder(env, message, tmp_path):
    with pytest.raises(UserError, match=message) as error:
        scratchac.train("sac", env=env, hindsight=4, out=tmp_path / "run", **SMALL)
    assert "\n" not in str(error.value) and not (tmp_path / "run").exists()


@pytest.mark.parametrize("k", [-1, 0.5, True])
def test_a_number_of_goals_that_is_none(k):
    with pytest.raises(UserError, match="hindsight must be"):
        scratchac.make_agent("td3", Reach, hindsight=k)


@pytest.mark.parametrize("wrong, message", [
    (lambda n: np.full(n, np.inf), "a reward that is not finite"), (lambda n: np.full(n, "x"), "80 rewards .* <U1 of shape"),
    (lambda n: np.ones((n, 1)), r"80 rewards .* float64 of shape \(80, 1\)"),
    (lambda n: 1 / 0, "compute_reward raised ZeroDivisionError")])
def test_rewards_that_go_wrong_later_stop_training(wrong, message, tmp_path, quick_end):
    class Late(Reach):
        def compute_reward(self, achieved_goal, desired_goal, info):
            n = len(desired_goal)
            return wrong(n) if n > 3 else super().compute_reward(achieved_goal, desired_goal, info)     # those of an episode

    with pytest.raises(EnvironmentFailed, match=message):
        scratchac.train("td3", env=Late, hindsight=4, steps=200, out=tmp_path / "run", **SMALL)
    assert (tmp_path / "run" / "checkpoint.npz").exists()


def test_rewards_that_a_wrapper_has_changed_are_told(capsys):
    """The further goals' are those of `compute_reward`, which knows no wrapper. It is told once, and of changed rewards alone."""
    options = {"hindsight": 1, "steps": 100, "quiet": True} | SMALL
    scratchac.train("td3", env=Reach, **options)
    assert "compute_reward" not in capsys.readouterr().err
    scratchac.train("td3", env=lambda: gym.wrappers.TransformReward(Reach(), lambda reward: reward - 1), **options)
    told = [line for line in capsys.readouterr().err.splitlines() if "compute_reward" in line]
    assert len(told) == 1 and "a reward of -2 where its compute_reward, which hindsight uses for further goals, gives -1" in told[0]


# -- what it is good for ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_environments_in_processes(quick_end):
    """The rewards are computed in this process, by an environment that was made here."""
    trained = scratchac.train("td3", env=Reach, hindsight=1, envs=2, vector="async", steps=100, **SMALL)
    assert len(trained.memory) == 2 * 80 + 20                               # two episodes of 20 steps each have ended


@pytest.mark.slow
def test_goals_that_chance_hardly_finds_are_reached_with_hindsight_alone():
    """Optimal play returns about −4.7."""
    options = {"steps": 3000, "hidden": (32, 32), "batch_size": 64, "learning_starts": 400, "gamma": 0.9, "tau": 0.02,
               "noise_scale": 0.3}
    returns = {k: scratchac.evaluate(scratchac.train("td3", env=Reach, hindsight=k, backend="numpy", **options), Reach, 50)
               for k in (4, 0)}
    assert (returns[4] > -20).mean() > 0.9 and returns[4].mean() > -7
    assert (returns[0] > -20).mean() < 0.5 and returns[0].mean() < -15
