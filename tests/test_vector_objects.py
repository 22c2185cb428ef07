"""Vectorised environments as objects: true transitions in all three modes, evaluation, and what is refused."""

from functools import partial

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorWrapper
from gymnasium.vector.utils import batch_space
from gymnasium.wrappers import vector as wrappers
from probes import summary_of

import scratchac
from scratchac import returns
from scratchac.environments.instance import maker_of
from scratchac.environments.vector import VectorEnv
from scratchac.environments.vector_object import VectorObject
from scratchac.errors import EnvironmentFailed, TrainingError, UserError
from scratchac.experiments.given import arguments_from
from scratchac.experiments.run import Run
from scratchac.training.memory import Batch as Rows
from scratchac.training.memory import without_idle

MODES = list(AutoresetMode)
SMALL = {"hidden": (4,), "rollout": 10, "quiet": True}


class Clock(gym.Env):
    """Observations (episode, step, a number drawn at the reset). An episode has 2 steps more than its number, modulo 3.

    Every other episode is truncated. A step earns what it takes to tell it from all others.
    """

    observation_space, action_space = Box(-np.inf, np.inf, (3,), np.float32), Box(-1, 1, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.episode = 0 if seed is not None else self.episode + 1
        self.t, self.drawn = 0, self.np_random.random()
        return self.seen(), {}

    def seen(self):
        return np.array([self.episode, self.t, self.drawn], np.float32)

    def step(self, action):
        self.t += 1
        over = self.t == 2 + self.episode % 3
        return self.seen(), 10.0 * self.episode + self.t, over and self.episode % 2 == 0, over and self.episode % 2 == 1, {}


def clocks(n, mode, kind=SyncVectorEnv):
    return kind([Clock] * n, autoreset_mode=mode)


class Batch(gym.vector.VectorEnv):
    """One of its own kind: clocks of different speeds, all in arrays that it uses again, with one seed for all of them."""

    def __init__(self, n, mode):
        self.num_envs, self.metadata = n, {"autoreset_mode": mode}
        self.single_observation_space, self.single_action_space = Clock.observation_space, Clock.action_space
        self.observation_space, self.action_space = (batch_space(x, n) for x in (Clock.observation_space, Clock.action_space))
        self.obs, self.over = np.zeros((n, 3), np.float32), np.zeros(n, bool)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.over[:] = False
        mask = (options or {}).get("reset_mask", np.ones(self.num_envs, bool))
        if seed is not None:
            self.obs[:] = -1, 0, 0
        self.begin(mask)
        return self.obs, {}

    def begin(self, mask):
        self.obs[mask] = np.stack([self.obs[mask, 0] + 1, np.zeros(mask.sum()), self.np_random.random(mask.sum())], 1)

    def step(self, actions):
        late, mode, info = self.over.copy(), self.metadata["autoreset_mode"], {}
        self.obs[~late, 1] += 1
        if mode is AutoresetMode.NEXT_STEP:
            self.begin(late)
        over = ~late & (self.obs[:, 1] >= 2 + (self.obs[:, 0] + np.arange(self.num_envs)) % 3)
        reward, odd = 10 * self.obs[:, 0] + self.obs[:, 1], self.obs[:, 0] % 2 == 1
        self.over[:] = over if mode is AutoresetMode.NEXT_STEP else False
        if mode is AutoresetMode.SAME_STEP:
            info = {"final_obs": self.obs.copy()}
            self.begin(over)
        return self.obs, reward, over & ~odd, over & odd, info


class Around(VectorWrapper):
    """Changes nothing."""


def rows_of(envs, steps):
    """The transitions of each environment in order, with the first observation after those that ended an episode."""
    obs, rows = envs.reset(), [[] for _ in range(envs.n)]
    for _ in range(steps):
        start, reward, next_obs, term, trunc = envs.step(np.zeros((envs.n, 1), np.float32))
        for i in range(envs.n):
            if envs.idle is not None and envs.idle[i]:
                rows[i][-1][-3:] = start[i]
            else:
                rows[i].append(np.concatenate([obs[i], [reward[i], term[i], trunc[i]], next_obs[i], start[i]]))
        obs = start
    return rows


# -- transitions ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("wrapped", [False, True])
def test_transitions_are_those_of_our_own_environments(mode, wrapped):
    """The same seed gives the same ones, also those of later episodes. Around a wrapper NEXT_STEP has idle steps: fewer count."""
    own = rows_of(VectorEnv(Clock, 3, 5), 30)
    made = clocks(3, mode)
    envs = VectorObject(maker_of(Around(made) if wrapped else made), 3, 5)
    for one, other in zip(rows_of(envs, 30), own, strict=True):
        idle = mode is AutoresetMode.NEXT_STEP and wrapped
        assert len(one) < 27 if idle else len(one) == 30
        np.testing.assert_array_equal(one[:-1], other[: len(one) - 1])          # the start after the last one may be to come


@pytest.mark.parametrize("mode", MODES)
def test_every_transition_of_a_vectorised_environment_is_true(mode):
    """It follows within one episode and begins where the last one has ended. The array that it uses again harms nothing."""
    for i, rows in enumerate(rows_of(VectorObject(maker_of(Batch(4, mode)), 4, 1), 40)):
        assert len(rows) == 40 or (mode is AutoresetMode.NEXT_STEP and 25 < len(rows) < 35)
        for k, row in enumerate(rows[:-1]):
            (episode, t, drawn), (reward, term, trunc), next_obs, start = row[:3], row[3:6], row[6:9], row[9:]
            assert next_obs.tolist() == [episode, t + 1, drawn] and reward == 10 * episode + t + 1
            over = t + 1 == 2 + (episode + i) % 3
            assert (term, trunc) == (over and episode % 2 == 0, over and episode % 2 == 1)
            assert start[:2].tolist() == ([episode + 1, 0] if over else [episode, t + 1])
            np.testing.assert_array_equal(rows[k + 1][:3], start)


def test_a_seed_begins_the_same_episodes():
    firsts = [VectorObject(maker_of(made), 4, seed).reset() for made, seed in (
        (Batch(4, MODES[0]), 1), (Batch(4, MODES[0]), 1), (Batch(4, MODES[0]), 2))]
    np.testing.assert_array_equal(firsts[0], firsts[1])
    assert not np.array_equal(firsts[0], firsts[2]) and len(np.unique(firsts[0][:, 2])) == 4


def test_the_seed_also_reaches_what_no_reset_seeds():
    class Deaf(Batch):
        def reset(self, *, seed=None, options=None):
            return super().reset(options=options)

    one, other = (VectorObject(maker_of(Deaf(2, MODES[0])), 2, seed=4).reset() for _ in range(2))
    np.testing.assert_array_equal(one, other)


def test_environments_that_wait_show_a_first_observation():
    """Of an episode that they have begun; the last one may have no legal action. A reset ends the waiting."""
    envs = VectorObject(maker_of(Batch(3, AutoresetMode.NEXT_STEP)), 3, 0)
    first = envs.reset()
    for _ in range(20):
        start, _, next_obs, term, trunc = envs.step(np.zeros((3, 1)))
        first = np.where((next_obs[:, 1] == 0)[:, None], next_obs, first)
        np.testing.assert_array_equal(start[term | trunc], first[term | trunc])
        np.testing.assert_array_equal(start[~(term | trunc)], next_obs[~(term | trunc)])
    while not envs.waiting.any():
        envs.step(np.zeros((3, 1)))
    envs.reset()
    assert envs.idle is None and envs.step(np.zeros((3, 1)))[2][:, 1].tolist() == [1] * 3 and envs.idle is None


class Mixed(Clock):
    """A Clock with a Dict of a vector and a number."""

    observation_space, action_space = Dict({"at": Discrete(3), "x": Box(-9, 9, (2,), np.float64)}), Discrete(2)

    def seen(self):
        return {"at": self.episode % 3, "x": np.array([self.t, self.drawn])}


class Picture(Clock):
    """A Clock with pictures, which tell the step."""

    observation_space, action_space = Box(0, 255, (16, 16, 1), np.uint8), Discrete(2, start=3)

    def seen(self):
        return np.full((16, 16, 1), self.t, np.uint8)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", [Mixed, Picture])
def test_other_observations_are_those_of_our_own_environments(kind, mode):
    own, envs = VectorEnv(kind, 2, 0), VectorObject(maker_of(SyncVectorEnv([kind, kind], autoreset_mode=mode)), 2, 0)
    assert (envs.observation_space, envs.action_space) == (own.observation_space, own.action_space)
    np.testing.assert_array_equal(own.reset(), envs.reset())
    for _ in range(8):
        for one, other in zip(own.step(np.array([3, 4])), envs.step(np.array([3, 4])), strict=True):
            np.testing.assert_array_equal(one, other)
            assert one.dtype == other.dtype


def test_actions_are_elements_of_the_action_space():
    class Asks(Batch):
        def step(self, actions):
            assert self.action_space.contains(actions)
            actions[:] = 0
            return super().step(actions)

    for single in (Discrete(3, start=-1), Box(-2, 5, (2,), np.float32), Box(0, 9, (1,), np.int64)):
        made = Asks(3, AutoresetMode.NEXT_STEP)
        made.single_action_space, made.action_space = single, batch_space(single, 3)
        assert scratchac.train("a2c", made, 60, **SMALL).step >= 60
    actions = np.ones((3, 1), np.int64)                                     # a rollout may hold this array
    envs = VectorObject(maker_of(made), 3, 0)
    envs.reset()
    envs.step(actions)
    assert actions.all()


# -- learning ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ends", [False, True])
def test_a_rollout_without_idle_steps_gives_the_same_advantages(ends, rng):
    """Of two environments with 6 steps, 2 and 1 of them idle, those of GAE on each one alone, and of all other estimators."""
    idle = np.zeros((6, 2), bool)
    idle[[0, 3], 0] = idle[5, 1] = True
    r, v, v2 = rng.standard_normal((3, 6, 2))
    done = np.zeros((6, 2), bool)
    done[2, 0] = done[4, 1] = done[1, 1] = True
    done[5, 0] = ends                                                       # at the last step, or an episode goes on
    term = done & (np.arange(6)[:, None] != 2)
    rows = Rows(v, v2, r, v2, term.astype(float), (done & ~term).astype(float), np.full((6, 2), 1))
    b = without_idle(rows, [x if x.any() else None for x in idle])
    assert b.rewards.shape == (9, 1) and without_idle(rows, [None] * 6) is rows
    assert b.trunc.ravel().tolist() == [0, 1, 0, 0 if ends else 1, 0, 0, 0, 0, 0]
    for name in ("gae", "lambda_return", "monte_carlo", "n_step"):
        extra = {"gae": (0.9, 0.8), "lambda_return": (0.9, 0.8), "monte_carlo": (0.9,), "n_step": (0.9, 2)}[name]
        estimate = getattr(returns, name)

        def values(*x, name=name):
            return x if name == "gae" else x[1:]

        alone = []
        for i in range(2):
            real = ~idle[:, i]
            x = [np.asarray(y[real, i : i + 1], float) for y in (v, v2, term, done)]
            alone.append(estimate(r[real, i : i + 1], *values(x[0], x[1]), *x[2:], *extra))
        together = estimate(b.rewards, *values(b.obs, b.next_obs), b.term, b.done, *extra)
        np.testing.assert_allclose(together, np.concatenate(alone))


@pytest.mark.parametrize("algorithm, n", [("a2c", 3), ("ppo", 3), ("reinforce", 1), ("actor-critic", 1), ("td3", 3), ("sac", 1)])
def test_nothing_is_learnt_from_an_idle_step(algorithm, n, monkeypatch):
    """All transitions that an agent learns from are true, none counts twice, and episodes have their own lengths and returns."""
    class Diary(scratchac.Callback):
        def on_episode(self, agent, total, length):
            episodes.append((total, length))

    seen, episodes = [], []
    family = scratchac.algorithms.find(algorithm)
    options = {"hidden": (4,), "quiet": True, "callbacks": [Diary()]}
    options |= {"rollout": 7} if n == 3 and family.family == "on-policy" else {}
    options |= {"batch_size": 21} if algorithm == "ppo" else {}
    if family.family == "off-policy":
        options |= {"learning_starts": 40, "batch_size": 8, "normalise_obs": True}
    else:
        update = family.update
        monkeypatch.setattr(family, "update", lambda self, batch: seen.append(batch) or update(self, batch))
    agent = scratchac.train(algorithm, Batch(n, AutoresetMode.NEXT_STEP), 120, **options)
    if family.family == "off-policy":
        size = len(agent.memory)
        obs, next_obs, reward, term = (agent.memory.data[name][:size] for name in ("obs", "next_obs", "rewards", "term"))
    else:
        size = sum(batch.rewards.size for batch in seen)
        obs, next_obs = (np.concatenate([getattr(b, x).reshape(-1, 3) for b in seen]) for x in ("obs", "next_obs"))
        reward, term = (np.concatenate([getattr(b, x).ravel() for b in seen]) for x in ("rewards", "term"))
    assert size == agent.step >= 120
    np.testing.assert_array_equal(next_obs, obs + np.array([0, 1, 0]))
    np.testing.assert_array_equal(reward, 10 * obs[:, 0] + next_obs[:, 1])
    assert len(np.unique(obs, axis=0)) == size                              # the number drawn tells environments apart
    assert not term[obs[:, 0] % 2 == 1].any() and term[obs[:, 0] % 2 == 0].any()
    assert len(episodes) > 25
    for total, length in episodes:                                          # 1 + … + length, and 10 · episode in each step
        assert 2 <= length <= 4 and (total - length * (length + 1) / 2) % (10 * length) == 0
    if agent.normaliser:
        assert agent.normaliser.count == size
        np.testing.assert_allclose(agent.normaliser.mean, obs.mean(axis=0, dtype=float), rtol=1e-6)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("algorithm, options", [("a2c", SMALL | {"scale_rewards": True}),
                                                ("ddpg", {"hidden": (4,), "quiet": True, "learning_starts": 20, "batch_size": 8})])
def test_an_agent_learns_the_same_as_in_our_own_environments(algorithm, options, mode):
    one = scratchac.train(algorithm, clocks(2, mode), 100, seed=3, **options)
    other = scratchac.train(algorithm, Clock, 100, seed=3, envs=2, **options)
    for name, group in one.networks()._asdict().items():
        if hasattr(group, "flat"):
            np.testing.assert_array_equal(group.flat, getattr(other.networks(), name).flat)


def test_envs_is_the_number_of_the_object():
    made = gym.make_vec("CartPole-v1", num_envs=3)                          # Gymnasium's own in arrays, with a preset of ours
    assert scratchac.train("a2c", made, 60, **SMALL).config.envs == 3
    assert scratchac.make_agent("a2c", made).config.envs == 3
    assert scratchac.train("a2c", made, 60, envs=3, **SMALL).config.envs == 3
    with pytest.raises(UserError, match="envs=4, and this CartPole-v1 has 3 environments"):
        scratchac.train("a2c", made, 60, envs=4, **SMALL)


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_environments_in_processes(mode):
    made = clocks(2, mode, AsyncVectorEnv)
    one = scratchac.train("a2c", made, 100, seed=3, **SMALL)
    np.testing.assert_array_equal(one.model.flat, scratchac.train("a2c", Clock, 100, seed=3, envs=2, **SMALL).model.flat)
    made.reset()                                                            # it has not been closed
    made.close()


# -- the end of a run ----------------------------------------------------------------------------------------------------


def test_a_run_is_evaluated_in_single_environments_with_their_wrappers(tmp_path, quick_end):
    """Those that make_vec puts around each one: every reward is halved. A wrapper that only looks on is none that counts."""
    made = gym.make_vec("CartPole-v1", 2, "sync", wrappers=[lambda env: gym.wrappers.TransformReward(env, lambda r: r / 2)],
                        max_episode_steps=7)
    agent = scratchac.train("a2c", wrappers.RecordEpisodeStatistics(made), 60, out=tmp_path / "run", eval_every=30, **SMALL)
    config, summary = Run.open(tmp_path / "run").config, summary_of(tmp_path / "run")
    assert (config["vector"], config["env"], config["env_is_callable"]) == ("object", "CartPole-v1", True)
    assert "vector" not in arguments_from(tmp_path / "run", env="CartPole-v1")                      # that of another training
    assert summary["eval_episodes"] == 1 and summary["eval_mean"] == 3.5 == scratchac.evaluate(agent, made, 2).mean()


def test_single_environments_have_the_wrappers_of_a_spec(tmp_path, quick_end):
    """The spec of a wrapped environment says which wrappers it has, and make_vec puts them around each one."""
    halved = gym.wrappers.ClipReward(gym.make("CartPole-v1", max_episode_steps=7), 0, 0.5)
    scratchac.train("a2c", gym.make_vec(halved.spec, 2, "sync"), 60, out=tmp_path / "run", **SMALL)
    assert summary_of(tmp_path / "run")["eval_mean"] == 3.5


def test_single_environments_are_those_of_the_first_function(tmp_path, quick_end):
    scratchac.train("a2c", clocks(2, MODES[0]), 60, out=tmp_path / "run", **SMALL)
    assert summary_of(tmp_path / "run")["eval_mean"] == 1 + 2               # two steps of episode 0


@pytest.mark.parametrize("make, why", [
    (lambda: wrappers.ClipReward(clocks(2, MODES[0]), 0, 1), "the wrapper ClipReward of this SyncVectorEnv may change the task"),
    (lambda: Around(clocks(2, MODES[0])), "the wrapper test_vector_objects.Around of this SyncVectorEnv may"),
    (lambda: Batch(2, MODES[0]), "this Batch does not say how one of its environments is made"),
    (lambda: SyncVectorEnv([partial(list.__getitem__, [Clock()], 0)]), "gives an environment that is trained in")])
def test_without_single_environments_there_is_no_evaluation(make, why, tmp_path, quick_end, capsys):
    scratchac.train("a2c", make(), 60, out=tmp_path / "run", **SMALL | {"quiet": False})
    assert summary_of(tmp_path / "run")["eval_episodes"] == 0
    assert why in capsys.readouterr().err
    for asked in ({"eval_every": 30}, {"eval_episodes": 3, "out": tmp_path / "other"}):
        with pytest.raises(UserError, match=f"evaluations play in single environments, and .*{why}"):
            scratchac.train("a2c", make(), 60, **SMALL, **asked)
    assert not (tmp_path / "other").exists()


def test_a_run_is_resumed_with_new_episodes_and_says_so(tmp_path, quick_end, capsys):
    path = tmp_path / "run"
    for mode in MODES[:2]:
        scratchac.train("a2c", Batch(2, mode), 200, out=path / mode.value, stop_after=100, **SMALL)
        with pytest.raises(UserError, match="this run was trained on the callable Batch; from Python: "):
            scratchac.resume(path / mode.value)
        with pytest.raises(UserError, match=r"trained in a vectorised environment \(gymnasium.vector.VectorEnv\), not in Clock"):
            scratchac.resume(path / mode.value, env=Clock)
        with pytest.raises(UserError, match="envs=2, and this Batch has 3"):
            scratchac.resume(path / mode.value, env=Batch(3, mode))
        capsys.readouterr()
        made = Batch(2, mode)
        assert scratchac.resume(path / mode.value, 150, env=made, quiet=True).step >= 150
        told = "the environments of the vectorised Batch cannot be restored: all of them begin new episodes"
        assert capsys.readouterr().err == f"scratchac: {told}\n" and made.obs[0, 0] > 0
        assert scratchac.resume(path / mode.value, env=made, new_episodes=True, quiet=True).step >= 200
        assert capsys.readouterr().err == ""


# -- what is refused -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm, options, message", [
    ("reinforce", {}, "Reinforce learns in one environment, and this Batch has 2"),
    ("actor-critic", {}, "ActorCritic learns in one environment, and this Batch has 2"),
    ("a3c", {}, "every worker makes an environment of its own, from an id or a callable, and this Batch is 2"),
    ("a2c", {"vector": "async"}, 'vector="async" is for environments that are made here; this Batch steps its own'),
    ("a2c", {"env_args": {"x": 1}}, "this Batch is made already, so it takes no env_args"),
    ("a2c", {"randomise": True}, "so it takes no randomise"),
    ("a2c", {"scale_rewards": True}, "scale_rewards needs every step of every environment"),
    ("td3", {"hindsight": 4}, "hindsight computes rewards with a single environment")])
def test_settings_that_do_not_go_with_an_object(algorithm, options, message):
    with pytest.raises(UserError, match=message) as caught:
        scratchac.train(algorithm, Batch(2, AutoresetMode.NEXT_STEP), 60, quiet=True, **options)
    assert "\n" not in str(caught.value)


def test_objects_that_say_too_little():
    made = Batch(2, None)
    for metadata in ({}, {"autoreset_mode": "sometimes"}, None):
        made.metadata = metadata
        with pytest.raises(UserError, match="this Batch does not say when it begins new episodes: its metadata need"):
            scratchac.train("a2c", made, 60, **SMALL)
    made.num_envs = 0
    with pytest.raises(UserError, match="num_envs of this Batch is 0, not a number"):
        scratchac.train("a2c", made, 60, **SMALL)
    made.num_envs, made.metadata, made.single_action_space = 2, {"autoreset_mode": "NextStep"}, None
    with pytest.raises(UserError, match="the single_action_space of this Batch is none of Gymnasium's"):
        scratchac.train("a2c", made, 60, **SMALL)


def at(step, **changes):
    """A Batch of which one value is another one at that step; `mode` and `ignores` may be given too."""
    class Faulty(Batch):
        steps = 0

        def reset(self, *, seed=None, options=None):
            return super().reset(seed=seed, options=None if changes.get("ignores") else options)

        def step(self, actions):
            self.steps += 1
            came = dict(zip(("obs", "reward", "term", "trunc", "info"), super().step(actions), strict=True))
            if self.steps == step and "error" in changes:
                raise changes["error"]
            came |= {name: x for name, x in changes.items() if name in came and self.steps >= step}
            return tuple(came.values())

    return Faulty(2, changes.get("mode", AutoresetMode.NEXT_STEP))


@pytest.mark.parametrize("made, kind, message", [
    (at(5, error=KeyError("lost")), EnvironmentFailed, "the vectorised Faulty at step 5 raised KeyError: 'lost'"),
    (at(4, obs=np.zeros((2, 4))), EnvironmentFailed, r"at step 4 raised ValueError: the observation is float64 of shape \(2, 4\)"),
    (at(4, obs=np.full((2, 3), "x")), EnvironmentFailed, "at step 4 raised ValueError: the observation is <U1"),
    (at(3, reward=1.0), EnvironmentFailed, r"the rewards are float64 of shape \(\), not one of each of 2 environments"),
    (at(3, trunc=np.zeros(2)), EnvironmentFailed, r"the truncations are float64 of shape \(2,\)"),
    (at(2, info={}, mode=AutoresetMode.SAME_STEP), EnvironmentFailed, "without info.'final_obs'., its last observation"),
    (at(2, info=[], mode=AutoresetMode.SAME_STEP), EnvironmentFailed, "without info.'final_obs'., its last observation"),
    (at(4, term=np.ones(2, bool)), EnvironmentFailed, "an episode has ended in the step that began it"),
    (at(99, ignores=True, mode=AutoresetMode.DISABLED), EnvironmentFailed, "has changed other environments than those of the mask"),
    (at(6, obs=np.full((2, 3), np.nan, np.float32)), TrainingError, "of environment [01] are not finite at about step"),
    (at(6, reward=np.array([1, np.inf])), TrainingError, "rewards of environment 1 are not finite at about step")])
def test_errors_are_one_line(made, kind, message):
    with pytest.raises(kind, match=message) as caught:
        scratchac.train("a2c", made, 200, **SMALL)
    assert "\n" not in str(caught.value)


def test_an_object_is_trained_in_and_not_made_by_a_callable():
    with pytest.raises(UserError, match="<lambda> is a vectorised environment, and here is place for a single one"):
        scratchac.train("a2c", lambda: Batch(2, MODES[0]), 60, **SMALL)
