"""What reaches the agents from the real training loops: every field of every transition, in its place.

The environment counts: in episode k its observation is 100k + t, and the reward is that plus an eighth of the action.
"""

import itertools
from types import SimpleNamespace

import gymnasium as gym
import numpy as np
import pytest
from probes import BOX

import scratchac
from scratchac.algorithms.a2c import A2C
from scratchac.algorithms.reinforce import Reinforce
from scratchac.algorithms.sac import SAC
from scratchac.environments.vector import VectorEnv
from scratchac.errors import EnvironmentFailed, TrainingError
from scratchac.lab.patch import Patch
from scratchac.training import loops
from scratchac.training.episodes import Episodes
from scratchac.training.interaction import Interaction

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
    episodes.record(np.array([[5.5, 2.0], [6.0, 7.0]]))                     # as a compiled loop has added them up
    assert list(episodes.recent)[3:] == [(5.5, 2), (6.0, 7)] and episodes.finished == 5


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


# -- what the loops report, and what stops them --------------------------------------------------------------------------------


SMALL = {"hidden": (4,), "learning_starts": 8, "batch_size": 4, "buffer_size": 100}


def continuous():
    return Clock(continuous=True)


def reports_of(name, env, monkeypatch, steps, end=lambda agent: False, prepare=lambda agent: None, **options):
    """(step, episodes so far, metrics, seconds, updates) of each report. No update learns, and each takes one second."""
    agent, seen, ticks = scratchac.make_agent(name, env, 0, **options), [], itertools.count()
    monkeypatch.setattr(loops, "time", SimpleNamespace(perf_counter=lambda: next(ticks)))
    agent.update = lambda batch: {"critic_loss": 0.0}
    prepare(agent)

    def report(agent, interaction, metrics, seconds, updates):
        seen.append((agent.step, list(interaction.episodes.recent), metrics, seconds, updates))
        return end(agent)

    envs = VectorEnv(env, agent.n_envs, 0)
    loops.train(agent, envs, steps, report)
    envs.close()
    return seen


def test_reports_on_policy(monkeypatch):
    """After each rollout; all episodes count, however they ended. A true report ends training."""
    def count(agent):
        agent.update = lambda batch: setattr(agent, "step", agent.step + batch.rewards.size) or {}

    seen = reports_of("a2c", Clock, monkeypatch, 48, lambda agent: agent.step == 32, count, hidden=(4,), envs=2, rollout=8)
    assert [(step, len(recent), seconds, updates) for step, recent, _, seconds, updates in seen] == [(16, 4, 1, 1), (32, 8, 1, 1)]
    assert all(length == LIMIT for _, length in seen[-1][1])


def test_reports_off_policy(monkeypatch):
    """After each step; metrics, updates and seconds only where there was an update, here 2 of them every 4 steps from 8 on."""
    seen = reports_of("sac", continuous, monkeypatch, 48, lambda agent: agent.step == 17, train_every=4, gradient_steps=2, **SMALL)
    assert [step for step, *_ in seen] == list(range(1, 18))
    for step, recent, metrics, seconds, updates in seen:
        learning = step >= 8 and step % 4 == 0
        assert (seconds, updates, bool(metrics)) == ((1, 2, True) if learning else (0, 0, False))
        assert [length for _, length in recent] == [LIMIT] * (step // LIMIT)


def test_metrics_are_means_over_the_updates_of_a_round(monkeypatch):
    losses = itertools.count()

    def prepare(agent):
        agent.update = lambda batch: {"critic_loss": float(next(losses))}

    seen = reports_of("sac", continuous, monkeypatch, 16, prepare=prepare, train_every=4, gradient_steps=3, **SMALL)
    assert [metrics["critic_loss"] for _, _, metrics, _, updates in seen if updates] == [1.0, 4.0, 7.0]


@pytest.mark.parametrize("name, env, options, kept", [
    ("ddpg", "Pendulum-v1", {"noise": "ou", "envs": 2, **SMALL}, lambda agent: agent.noise.x),
    ("sac", "Pendulum-v1", {"noise": "ou", "envs": 2, **SMALL}, lambda agent: agent.noise.x),
    ("ppo", "CartPole-v1", {"scale_rewards": True, "envs": 2, "batch_size": 64}, lambda agent: agent.scaler.running),
    ("actor-critic", "CartPole-v1", {"lam_actor": 0.9}, lambda agent: agent.trace)])
def test_what_is_kept_of_an_episode_is_forgotten_with_it(name, env, options, kept):
    """Where a resumed run begins new episodes, and not where it goes on within those that it had."""
    for anew in (False, True):
        agent = scratchac.make_agent(name, env, 0, **options)
        envs = VectorEnv(env, agent.n_envs, 0)
        first = Interaction(agent, envs)
        first.begin()
        envs.step(agent.dist.to_env(agent.sample(first.obs)))
        kept(agent)[:] = 1.0
        Interaction(agent, envs).begin(first.state() | {"new_episodes": anew})
        assert (kept(agent) == (0.0 if anew else 1.0)).all()
        envs.close()


def test_what_the_critic_promised_and_what_came(monkeypatch):
    """γ = ½, no actions, Q(s, ·) = s: episode k promises 100k, and brings Σ ½ᵗ(100k + t), with ½⁴(100k + 4) at a time limit."""
    restarted = []

    def prepare(agent):
        agent.value = lambda obs, actions: obs[:, 0].astype(float)
        agent.random = agent.sample = agent.greedy = lambda rows: np.zeros((rows if isinstance(rows, int) else len(rows), 1))
        agent.restart = lambda done: restarted.append(bool(done[0]))

    *_, (_, _, metrics, _, _) = reports_of("sac", continuous, monkeypatch, 16, prepare=prepare, gamma=0.5, **SMALL)
    came = [sum(0.5**t * (100 * k + t) for t in range(4)) + (k % 2) * 0.5**4 * (100 * k + 4) for k in range(4)]
    assert metrics == {"critic_loss": 0.0, "q_promised": 150, "q_realised": pytest.approx(np.mean(came))}
    assert restarted == [t % LIMIT == LIMIT - 1 for t in range(16)]


class Wrong(Clock):
    """The first observation of an episode, the last one, or the rewards are no numbers."""

    def __init__(self, where, continuous):
        super().__init__(continuous)
        self.where = where

    def here(self):
        return super().here() * (np.nan if self.t == {"first": 0, "last": LIMIT}.get(self.where) else 1)

    def step(self, action):
        obs, _, *rest = super().step(action)
        return obs, np.nan if self.where == "rewards" else 1.0, *rest


@pytest.mark.parametrize("name", ["a2c", "sac"])
@pytest.mark.parametrize("where, what", [("first", "observations"), ("last", "next_observations"), ("rewards", "rewards")])
def test_what_is_no_number_is_named(name, where, what):
    step = LIMIT - 1 if where == "last" else 0
    with pytest.raises(TrainingError, match=f"^{what} of environment 0 are not finite at about step {step}"):
        scratchac.train(name, lambda: Wrong(where, name == "sac"), 48, envs=1, backend="numpy",
                        **(SMALL if name == "sac" else {"rollout": 8, "hidden": (4,)}))


@pytest.mark.parametrize("name", ["a2c", "sac"])
def test_actions_that_are_no_numbers_never_reach_the_environment(name, monkeypatch):
    def prepare(agent):
        agent.sample, agent.step = lambda obs: np.full((len(obs), 1), np.nan, np.float32), 8

    monkeypatch.setattr(Clock, "step", lambda *_: pytest.fail("it was reached"))
    with pytest.raises(TrainingError, match=r"^actions of environment 0 are not finite at about step 8"):
        reports_of(name, continuous, monkeypatch, 48, prepare=prepare, envs=1, **(SMALL if name == "sac" else {"hidden": (4,)}))


def test_a_loss_that_is_no_number(monkeypatch):
    for loss in (np.nan, np.inf):
        with pytest.raises(TrainingError, match="at step 8: critic_loss is not finite"):
            reports_of("sac", continuous, monkeypatch, 48, prepare=lambda agent, loss=loss: setattr(
                agent, "update", lambda batch: {"critic_loss": loss}), **SMALL)


def test_an_episode_that_does_not_end(monkeypatch):
    """Where an update needs a whole episode it has a greatest length, which it may just reach. Rollouts have their own."""
    monkeypatch.setattr(loops, "LONGEST", LIMIT)
    test_whole_episodes(monkeypatch)
    monkeypatch.setattr(loops, "LONGEST", LIMIT - 1)
    on_policy(monkeypatch, A2C, "a2c", envs=2, rollout=8)
    with pytest.raises(EnvironmentFailed, match="an episode has not ended"):
        test_whole_episodes(monkeypatch)
