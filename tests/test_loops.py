"""What reaches the agents from the real training loops: every field of every transition, in its place.

The environment counts: in episode k its observation is 100k + t, and the reward is that plus an eighth of the action.
"""

import gymnasium as gym
import numpy as np
import pytest
from probes import BOX

import scratchac
from scratchac.algorithms.a2c import A2C
from scratchac.algorithms.reinforce import Reinforce
from scratchac.algorithms.sac import SAC
from scratchac.lab.patch import Patch
from scratchac.training import loops
from scratchac.training.episodes import Episodes

LIMIT = 4
FIELDS = "obs, actions, rewards, next_obs, term, trunc"


class Clock(gym.Env):
    """Odd episodes are truncated at LIMIT, even ones terminate there. The reward is the observation before it, plus action / 8."""

    observation_space = BOX

    def __init__(self, continuous=False):
        self.action_space = gym.spaces.Box(-1, 1, (1,)) if continuous else gym.spaces.Discrete(3)
        self.episode = -1

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t, self.episode = 0, self.episode + 1
        return self.here(), {}

    def here(self):
        return np.array([100 * self.episode + self.t], np.float32)

    def step(self, action):
        reward = float(self.here()[0]) + float(np.ravel(action)[0]) / 8
        self.t += 1
        over = self.t == LIMIT
        return self.here(), reward, over and self.episode % 2 == 0, over and self.episode % 2 == 1, {}


def require_transitions(obs, actions, rewards, next_obs, term, trunc):
    """Of one environment, in order of time, (T,) each."""
    episode, t = np.divmod(obs, 100)
    assert np.array_equal(t, np.arange(len(obs)) % LIMIT) and np.array_equal(episode, np.arange(len(obs)) // LIMIT)
    assert np.array_equal(next_obs, obs + 1)                            # also where the episode ends
    np.testing.assert_allclose(rewards - obs, actions / 8, atol=1e-4)
    last = t == LIMIT - 1
    assert np.array_equal(term, last & (episode % 2 == 0)) and np.array_equal(trunc, last & (episode % 2 == 1))


def on_policy(monkeypatch, cls, name, **options):
    """The batches of a training, each (T, N, …)."""
    batches = []

    def update(agent, batch):
        batches.append(batch)
        agent.step += batch.rewards.size
        return dict.fromkeys(agent.metrics, 0.0)

    monkeypatch.setattr(cls, "update", update)
    scratchac.train(name, Clock, 48, hidden=(4,), backend="numpy", **options)
    return batches


def joined(batches, i):
    """The transitions of environment i, in order of time."""
    return [np.concatenate([np.ravel(getattr(batch, name)[:, i]) for batch in batches]) for name in FIELDS.split(", ")]


def test_returns_and_lengths_of_episodes_by_hand():
    """The first environment ends after 1 + 2 and after 4, the second after ½ + ¼ + ⅛; both then go on."""
    episodes = Episodes(2)
    for rewards, done in (((1, 0.5), (0, 0)), ((2, 0.25), (1, 0)), ((4, 0.125), (1, 1)), ((8, 16), (0, 0))):
        episodes.add(np.array(rewards), np.array(done))
    restored = Episodes(2)
    restored.load_state(episodes.state())
    for one in (episodes, restored):
        assert list(one.recent) == [(3.0, 2), (4.0, 1), (0.875, 3)] and one.finished == 3
        assert one.returns.tolist() == [8, 16] and one.lengths.tolist() == [1, 1]


def test_the_last_hundred_episodes_are_kept():
    episodes = Episodes(1)
    for i in range(103):
        episodes.add(np.array([i]), np.array([1]))
    assert [total for total, _ in episodes.recent] == list(range(3, 103)) and episodes.finished == 103


@pytest.mark.parametrize("rollout", [3, 8])
def test_rollouts(rollout, monkeypatch):
    batches = on_policy(monkeypatch, A2C, "a2c", envs=2, rollout=rollout)
    assert [batch.rewards.shape for batch in batches] == [(rollout, 2)] * (24 // rollout)
    for i in range(2):
        require_transitions(*joined(batches, i))
        assert np.array_equal(np.concatenate([batch.t[:, i] for batch in batches]), np.arange(24) % LIMIT)


def test_whole_episodes(monkeypatch):
    batches = on_policy(monkeypatch, Reinforce, "reinforce")
    assert [batch.rewards.shape for batch in batches] == [(LIMIT, 1)] * 12
    require_transitions(*joined(batches, 0))


@pytest.mark.parametrize("name", ["ddpg", "td3", "sac", "discrete-sac"])
@pytest.mark.parametrize("n", [1, 3])
def test_the_replay_buffer(name, n):
    env = Clock if name == "discrete-sac" else lambda: Clock(continuous=True)
    # The learning rates are too small to matter: the reward is large.
    options = {"envs": n, "hidden": (4,), "learning_starts": 24, "batch_size": 4, "buffer_size": 100, "backend": "numpy",
               "actor_lr": 1e-9, "critic_lr": 1e-9}
    agent = scratchac.train(name, env, 72, **options)
    data = agent.memory.data
    assert len(agent.memory) == 72
    for i in range(n):
        require_transitions(*(np.ravel(data[field][i:72:n]) for field in FIELDS.split(", ")))


WRONG = {
    "s′ stored as s": (loops.train_on_policy, "rollout.add(interaction.obs, actions", "rollout.add(next_obs, actions"),
    "the next episode's s stored as s′": (loops.train_on_policy, "next_obs, term, trunc, t)", "next_start, term, trunc, t)"),
    "term and trunc exchanged": (loops.train_on_policy, "next_obs, term, trunc, t)", "next_obs, trunc, term, t)"),
    "t of after the step": (loops.train_on_policy, "t = episodes.lengths.copy()", "t = episodes.lengths.copy() + 1"),
    "s is not moved on": (loops.train_on_policy, "interaction.obs = next_start", "interaction.obs = next_obs"),
}


@pytest.mark.parametrize("name", WRONG)
def test_these_tests_notice(name, monkeypatch):
    with Patch(*WRONG[name]), pytest.raises(AssertionError):
        test_rollouts(3, monkeypatch)


OFF = {
    "s′ stored as s": ("agent.memory.add(obs=obs", "agent.memory.add(obs=next_obs"),
    "the next episode's s stored as s′": ("next_obs=next_obs, term=term", "next_obs=next_start, term=term"),
    "a truncation stored as an ending": ("term=term, trunc=trunc", "term=term | trunc, trunc=trunc"),
    "another action stored": ("obs=obs, actions=actions, rewards", "obs=obs, actions=0 * actions, rewards"),
}


@pytest.mark.parametrize("name", OFF)
def test_these_tests_notice_off_policy(name):
    with Patch(loops.train_off_policy, *OFF[name]), pytest.raises(AssertionError):
        test_the_replay_buffer("sac", 3)


def test_updates_come_as_often_as_they_should(monkeypatch):
    """Off-policy: from learning_starts on, `gradient_steps` after every `train_every` steps."""
    seen = []

    def update(agent, batch):
        seen.append(agent.step)
        return dict.fromkeys(agent.metrics, 0.0)

    monkeypatch.setattr(SAC, "update", update)
    scratchac.train("sac", lambda: Clock(continuous=True), 60, hidden=(4,), learning_starts=20, train_every=4, gradient_steps=3,
                    batch_size=4, buffer_size=100, envs=1, backend="numpy")
    assert seen == [step for step in range(20, 61, 4) for _ in range(3)]
