"""Running statistics of observations, and the scale of rewards."""

import numpy as np
import pytest

from scratchac.normalise import ObservationNormaliser, RewardScaler, RunningMeanStd


def test_running_statistics_equal_those_of_all_rows(rng):
    rows = 1000 + rng.standard_normal((100, 3))                 # a large mean: naive sums of squares would lose digits
    stats = RunningMeanStd((3,))
    for part in np.split(rows, [1, 10, 40]):
        stats.update(part)
    np.testing.assert_allclose(stats.mean, rows.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(stats.std, rows.std(axis=0), rtol=1e-6)


def test_before_any_data_nothing_changes():
    assert ObservationNormaliser((2,))(np.array([[3.0, -4.0]])).tolist() == [[3.0, -4.0]]


def test_observations_by_hand():
    """Rows 1 and 3 have the mean 2 and the standard deviation 1, so 4 becomes 2 and 0.5 becomes −1.5."""
    normaliser = ObservationNormaliser((1,))
    normaliser.update(np.array([[1.0], [3.0]]))
    np.testing.assert_allclose(normaliser(np.array([[4.0], [0.5]])), [[2.0], [-1.5]], rtol=1e-7)


def test_observations_are_clipped():
    normaliser = ObservationNormaliser((1,))
    normaliser.update(np.zeros((5, 1)))                         # a feature that never moved has variance 0
    assert normaliser(np.array([[5.0]])).tolist() == [[10.0]]


def test_reward_scaler_divides_by_the_std_of_the_running_return():
    """With γ = .5 and rewards 1, 1, 1, whose second ends an episode, R is 1, 1.5, and then 1 again."""
    scaler = RewardScaler(1)
    scaled = scaler(np.ones((3, 1)), np.array([[0.0], [1.0], [0.0]]), 0.5)
    np.testing.assert_allclose(scaled, 1 / np.std([1, 1.5, 1]), rtol=1e-6)
    assert scaler.running.tolist() == [1.0]                     # carried over to the next rollout


@pytest.mark.parametrize("reward", [1.0, 0.1, -123.4])
def test_rewards_stay_as_they_are_while_nothing_varies(reward):
    """Divided by a deviation of 0, they would be enormous."""
    scaler, rewards, ends = RewardScaler(3), np.full((7, 3), reward), np.ones((7, 3))
    for _ in range(5):
        assert (scaler(rewards, ends, 0.9) == rewards).all()
    assert abs(scaler(1.5 * rewards, ends, 0.9)).max() == pytest.approx(1.5 * abs(reward) * scaler.scale)
    assert scaler.scale == pytest.approx(1 / scaler.std.std) != 1


def test_environments_do_not_leak_into_each_other():
    scaler = RewardScaler(2)
    scaler(np.array([[1.0, 0.0], [1.0, 0.0]]), np.zeros((2, 2)), 0.9)
    assert scaler.running.tolist() == [pytest.approx(1.9), 0.0]


@pytest.mark.parametrize("make", [lambda: ObservationNormaliser((3,)), lambda: RunningMeanStd((3,))])
def test_state_goes_round(make, rng):
    first, second = make(), make()
    first.update(rng.standard_normal((9, 3)))
    second.load_state(first.state())
    assert np.array_equal(first.mean, second.mean) and np.array_equal(first.std, second.std)


def test_the_state_of_a_reward_scaler_goes_round(rng):
    """Another one that takes it over scales the next rewards to the last bit alike."""
    first, second = RewardScaler(2), RewardScaler(2)
    first(rng.standard_normal((5, 2)), np.zeros((5, 2)), 0.9)
    second.load_state(first.state())
    rewards = rng.standard_normal((5, 2))
    np.testing.assert_array_equal(first(rewards, np.zeros((5, 2)), 0.9), second(rewards, np.zeros((5, 2)), 0.9))
