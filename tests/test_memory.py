"""The replay buffer and the rollout keep whole transitions, in order, in their dtypes."""

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kernels
from scratchac.errors import UserError
from scratchac.training.memory import Batch, ReplayBuffer, Rollout

BOX = gym.spaces.Box(-np.inf, np.inf, (2,), np.float64)


def rows(first, n):
    """Transitions with numbers from `first` on, which every field tells."""
    i = np.arange(first, first + n, dtype=float)
    obs = np.stack([i, -i], axis=1)
    return {"obs": obs, "actions": i[:, None] / 1000, "rewards": i, "next_obs": obs + 0.5, "term": i % 2 == 0, "trunc": i % 3 == 0}


@settings(max_examples=60, deadline=None)
@given(capacity=st.integers(1, 12), sizes=st.lists(st.integers(1, 12), max_size=10))
def test_the_ring_holds_the_last_transitions(capacity, sizes):
    """However many rows are added at a time, the last `capacity` rows are kept, each with all its fields."""
    memory, total = ReplayBuffer(capacity, BOX, (1,)), 0
    for n in sizes:
        n = min(n, capacity)
        memory.add(**rows(total, n))
        total += n
    held = sorted(memory.data["rewards"][: len(memory)])
    assert held == list(range(max(0, total - capacity), total))
    for i in range(len(memory)):
        number = memory.data["rewards"][i]
        assert memory.data["obs"][i].tolist() == [number, -number]
        assert memory.data["next_obs"][i].tolist() == [number + 0.5, -number + 0.5]
        assert memory.data["term"][i] == (number % 2 == 0) and memory.data["trunc"][i] == (number % 3 == 0)


def test_samples_are_uniform_and_whole(rng):
    """Each of 5 rows is drawn equally often, within 5 standard errors over 50,000 draws."""
    memory = ReplayBuffer(10, BOX, (1,))
    memory.add(**rows(0, 5))
    drawn = np.concatenate([memory.sample(rng, 5).rewards for _ in range(10_000)]).astype(int)
    assert (np.abs(np.bincount(drawn, minlength=5) / 50_000 - 0.2) < 5 * np.sqrt(0.16 / 50_000)).all()
    batch = memory.sample(rng, 5)
    assert np.array_equal(batch.obs[:, 0], batch.rewards) and batch.obs.dtype == batch.rewards.dtype == np.float32


def test_a_batch_larger_than_what_was_collected():
    memory = ReplayBuffer(10, BOX, (1,))
    memory.add(**rows(0, 3))
    with pytest.raises(UserError, match="3 transitions"):
        memory.sample(np.random.default_rng(0), 4)


def test_pictures_stay_uint8():
    memory = ReplayBuffer(4, gym.spaces.Box(0, 255, (3, 3), np.uint8), (), np.int64)
    picture = np.full((1, 3, 3), 255, np.uint8)
    memory.add(obs=picture, actions=[1], rewards=[0.0], next_obs=picture, term=[False], trunc=[False])
    batch = memory.sample(np.random.default_rng(0), 1)
    assert batch.obs.dtype == np.uint8 and batch.obs.max() == 255 and batch.actions.dtype == np.int64


def test_more_than_the_memory_of_the_machine():
    with pytest.raises(UserError, match=r"needs .* GiB of memory and there are"):
        ReplayBuffer(10**12, BOX, (1,))


def test_as_many_transitions_as_fit(monkeypatch):
    """A transition has 2 + 1 + 1 + 2 + 1 + 1 numbers of 4 bytes, 32 in all, so 10 of them fill 320 bytes."""
    monkeypatch.setattr(kernels.backend, "memory", lambda: 320)
    assert ReplayBuffer(10, BOX, (1,)).nbytes == 320
    with pytest.raises(UserError, match="at most 8 transitions would fit"):         # a fifth is left to others
        ReplayBuffer(11, BOX, (1,))


def test_values_are_copied():
    memory, row = ReplayBuffer(4, BOX, (1,)), rows(1, 1)
    memory.add(**row)
    row["obs"][:] = 99
    assert memory.data["obs"][0].tolist() == [1, -1]


def test_state_goes_round(rng):
    first, second = ReplayBuffer(5, BOX, (1,)), ReplayBuffer(5, BOX, (1,))
    first.add(**rows(0, 4))
    first.add(**rows(4, 3))
    second.load_state(first.state())
    first.add(**rows(7, 1))
    second.add(**rows(7, 1))
    assert all(np.array_equal(first.data[name], second.data[name]) for name in first.data) and first.cursor == second.cursor


@pytest.mark.parametrize("wrong", [
    {}, {"rewards": [1.0, 2.0]}, {"rewards": np.zeros((2, 1))}, {"rewards": np.zeros(6)}, {"cursor": None}, {"cursor": 1.0},
    {"cursor": -1}, {"cursor": 5}], ids=str)
def test_what_cannot_be_a_state(wrong):
    """No state at all, no array, of two axes, of more rows than fit; no position, no whole number, none of the five rows."""
    memory = ReplayBuffer(5, BOX, (1,))
    memory.add(**rows(0, 5))
    with pytest.raises(ValueError, match="the replay buffer"):
        memory.like(memory.state() | wrong if wrong else None)
    assert memory.like(memory.state()).keys() == memory.state().keys()


@pytest.mark.parametrize("T", [1, 2, 3])
def test_rollout_keeps_the_order_and_the_dtypes(T):
    rollout = Rollout(np.float32)
    for t in range(T):
        rollout.add(np.full((2, 4), t, np.float64), np.array([t, t]), np.array([0.5, t]), np.full((2, 4), t + 1.0),
                    np.array([False, True]), np.array([False, False]), np.array([t, t]))
    batch = rollout.take()
    assert batch.obs.shape == (T, 2, 4) and batch.obs.dtype == batch.term.dtype == np.float32
    assert batch.actions.dtype.kind == batch.t.dtype.kind == "i"
    assert batch.rewards.tolist() == [[0.5, t] for t in range(T)] and batch.done[:, 1].all() and len(rollout) == 0


def test_an_episode_is_done_at_a_terminal_state_and_at_a_limit():
    ends = np.array([[0.0, 1, 0, 1]]), np.array([[0.0, 0, 1, 1]])
    batch = Batch(np.zeros((1, 4, 1)), np.zeros((1, 4)), np.zeros((1, 4)), np.zeros((1, 4, 1)), *ends, np.zeros((1, 4)))
    assert batch.done.tolist() == [[0, 1, 1, 1]]
