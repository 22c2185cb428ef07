"""EnvPool's environments: true transitions, Gymnasium's spaces, and what is refused."""

import sys
from types import SimpleNamespace

import gymnasium as gym
import numpy as np
import pytest

import scratchac
from scratchac.__main__ import main
from scratchac.environments.make import make
from scratchac.environments.pixels import wrap
from scratchac.environments.pool import INSTALL, PoolEnv
from scratchac.environments.vector import VectorEnv
from scratchac.errors import EnvironmentFailed, UserError

pytest.importorskip("envpool", reason="the extra `envpool` is not installed")
TRACK = {"size": 24, "stack": 3, "repeat": 2}


def played(env, n, steps, seed=0, **kwargs):
    """Rows (obs, actions, reward, next_obs, term, trunc, next start) of random actions."""
    envs, rng, rows = PoolEnv(env, n, seed, **kwargs), np.random.default_rng(seed), []
    obs, space = envs.reset(), envs.action_space
    for _ in range(steps):
        discrete = isinstance(space, gym.spaces.Discrete)
        actions = rng.integers(space.n, size=n) if discrete else rng.uniform(space.low, space.high, (n, *space.shape)).astype("f4")
        start, reward, next_obs, term, trunc = envs.step(actions)
        rows.append((obs, actions, reward, next_obs, term, trunc, start))
        obs = start
    envs.close()
    return rows


@pytest.mark.parametrize("n", [1, 8])
def test_every_transition_is_true(n):
    """A step of CartPole moves x by 0.02 ẋ, whatever the action is. So no step after an end is a transition.

    An episode ends as the pole or the cart is too far, and only then; every step earns 1; the next episode begins within ± 0.05.
    """
    ends = 0
    for obs, _, reward, next_obs, term, trunc, start in played("CartPole-v1", n, 200):
        np.testing.assert_allclose(next_obs[:, 0], obs[:, 0] + 0.02 * obs[:, 1], atol=1e-6)
        assert reward.tolist() == [1.0] * n and not trunc.any()
        np.testing.assert_array_equal(term, (np.abs(next_obs[:, 2]) > np.deg2rad(12)) | (np.abs(next_obs[:, 0]) > 2.4))
        np.testing.assert_array_equal(start[~term], next_obs[~term])
        assert (np.abs(start[term]) <= 0.05).all()
        ends += term.sum()
    assert ends >= 4 * n


def test_returns_are_the_lengths_of_episodes():
    """Of CartPole, as the loops count them: a step that ignored its action would be one of reward 0."""
    rows = []
    scratchac.train("a2c", "CartPole-v1", 2000, vector="envpool", on_row=rows.append)
    assert rows[-1]["episodes"] > 50 and all(row["return_mean"] == row["length_mean"] for row in rows)


def test_a_time_limit_is_a_truncation():
    """Pendulum never ends by itself, and its limit is 200 steps. Its last observation is not the next episode's first one."""
    rows = played("Pendulum-v1", 2, 401)
    assert [t for t, row in enumerate(rows, start=1) if row[5].any()] == [200, 400]
    assert not any(row[4].any() for row in rows)
    *_, next_obs, _, trunc, start = rows[199]
    assert trunc.all() and (np.abs(next_obs - start).max(1) > 1e-3).all() and (np.abs(start[:, 2]) <= 1).all()


def test_a_terminal_state_in_the_last_step_is_both():
    """As in Gymnasium. EnvPool by itself calls it a truncation, and so its value would be bootstrapped."""
    envs = PoolEnv("CartPole-v1", 1, 0)
    envs.reset()
    length = next(t for t in range(1, 100) if envs.step(np.zeros(1, int))[3][0])
    for limit, expected in ((length - 1, (False, True)), (length, (True, True)), (length + 1, (True, False))):
        short = PoolEnv("CartPole-v1", 1, 0, max_episode_steps=limit)
        short.reset()
        ends = [tuple(bool(x[0]) for x in short.step(np.zeros(1, int))[3:]) for _ in range(min(limit, length))]
        assert ends == [(False, False)] * (len(ends) - 1) + [expected]
        short.close()
    envs.close()


def test_the_same_seed_gives_the_same_run_with_any_number_of_threads(monkeypatch):
    def run(threads, seed):
        monkeypatch.setattr(PoolEnv, "threads", threads)
        return [np.concatenate([np.ravel(x) for x in row]) for row in played("LunarLander-v3", 4, 150, seed)]

    first = run(1, 0)
    np.testing.assert_array_equal(first, run(2, 0))
    assert not np.array_equal(first, run(2, 1))
    starts = played("CartPole-v1", 8, 1)[0][0]
    assert len(np.unique(starts, axis=0)) == 8
    a, b = (scratchac.train("ppo", "CartPole-v1", 256, rollout=32, vector="envpool").model.flat for _ in range(2))
    np.testing.assert_array_equal(a, b)


def test_reset_begins_from_the_seeds():
    envs = PoolEnv("CartPole-v1", 3, 5)
    first = envs.reset()
    envs.step(np.zeros(3, int))
    np.testing.assert_array_equal(envs.reset(), first)
    obs, lost = envs.load_state(envs.state())
    np.testing.assert_array_equal(obs, first)
    assert lost == [0, 1, 2]
    envs.close()


@pytest.mark.parametrize("env, kwargs", [
    ("CartPole-v1", {}), ("LunarLander-v3", {}), ("LunarLander-v3", {"continuous": True}),
    ("LunarLanderContinuous-v3", {"continuous": False}), ("BipedalWalker-v3", {"hardcore": True}), ("FrozenLake-v1", {}),
    ("HalfCheetah-v5", {"exclude_current_positions_from_observation": False}), ("CarRacing-v3", {"pixels": TRACK})])
def test_agents_see_the_spaces_of_gymnasium(env, kwargs):
    if env.startswith("HalfCheetah"):
        pytest.importorskip("mujoco")
    envs, own = PoolEnv(env, 2, 0, **kwargs), VectorEnv(env, 1, 0, **kwargs)
    assert (envs.observation_space, envs.action_space) == (own.observation_space, own.action_space)
    obs = envs.reset()
    sent, pool = [], envs.pool
    envs.pool = SimpleNamespace(step=lambda actions, which: sent.append(actions) or pool.step(actions, which), reset=pool.reset,
                                close=pool.close)
    seen = envs.step(np.stack([envs.action_space.sample()] * 2))
    for x in (obs, seen[0], seen[2]):
        assert x.shape == (2, *own.observation_space.shape) and x.dtype == own.observation_space.dtype
    assert [x.dtype for x in seen[1:2] + seen[3:]] == [np.float64, bool, bool]
    discrete = isinstance(own.action_space, gym.spaces.Discrete)
    assert sent[0].dtype == (np.int32 if discrete else np.float64 if env.startswith("HalfCheetah") else np.float32)
    assert sent[0].shape == (2, *own.action_space.shape)
    envs.close()
    own.close()


def test_one_hot_observations():
    """EnvPool's FrozenLake returns the numbers of fields, and Gymnasium's `Discrete` is flattened."""
    rows = played("FrozenLake-v1", 4, 30)
    assert all(x.sum(1).tolist() == [1.0] * 4 for row in rows for x in (row[0], row[3], row[6]))
    assert all(row[6][row[4], 0].all() for row in rows) and any(row[4].any() for row in rows)
    assert not any(row[3][row[4], 0].any() for row in rows)


@pytest.mark.parametrize("env", ["CartPole-v1", "MountainCar-v0", "InvertedPendulum-v5"])
def test_dynamics_are_those_of_gymnasium(env):
    """The same actions from the same state."""
    if env.endswith("v5"):
        pytest.importorskip("mujoco")
    own = gym.make(env)
    own.reset()
    rows = played(env, 2, 8)
    x = rows[0][0][0].astype(np.float64)
    if env.endswith("v5"):
        own.unwrapped.set_state(x[:2], x[2:])
    else:
        own.unwrapped.state = x
    for _, actions, reward, next_obs, *_ in rows:
        obs, r, *_ = own.step(actions[0])
        np.testing.assert_allclose(next_obs[0], obs, atol=1e-6)
        assert reward[0] == pytest.approx(r)


def test_answers_in_another_order_and_truncations_of_its_own():
    """`env_id` says whose answer is whose; an environment may truncate an episode for another reason than its limit."""
    envs = PoolEnv("CartPole-v1", 3, 0)
    envs.reset()
    envs.close()
    order = np.array([2, 0, 1])

    def answer(which):
        return np.repeat(which[:, None], 4, 1).astype(np.float32), {"env_id": which}

    def step(actions, which):
        obs, info = answer(order)
        return obs, order.astype(np.float32), order == 0, order == 1, info

    envs.pool = SimpleNamespace(step=step, reset=lambda which: answer(which[::-1]), close=lambda: None)
    obs, reward, next_obs, term, trunc = envs.step(np.zeros(3, int))
    assert next_obs[:, 0].tolist() == obs[:, 0].tolist() == reward.tolist() == [0, 1, 2]
    assert term.tolist() == [True, False, False] and trunc.tolist() == [False, True, False]
    assert envs.lengths.tolist() == [0, 0, 1]


class Replay(gym.Env):
    """Returns what one slot of a PoolEnv with the frames of CarRacing returned."""

    def __init__(self, first, rows):
        self.observation_space, self.action_space = gym.spaces.Box(0, 255, (96, 96, 3), np.uint8), gym.spaces.Box(-1, 1, (3,))
        self.first, self.rows = first, rows

    def reset(self, *, seed=None, options=None):
        return self.first, {}

    def step(self, action):
        self.first, *came = self.rows.pop(0)
        return *came, {}


@pytest.mark.parametrize("patience, limit, ends", [(None, 5, [2, 5, 8]), (3, 50, [3])])
def test_pictures_are_those_of_the_wrappers(patience, limit, ends):
    """The same raw frames, through `pixels.wrap` one by one and in the environments.

    With a limit of 5 steps an episode ends in its third repetition of two. The first tile earns a reward, and then no step does.
    """
    pixels = TRACK | ({"patience": patience} if patience else {})
    seen, raw = (PoolEnv("CarRacing-v3", 2, 3, max_episode_steps=limit, **more) for more in ({"pixels": pixels}, {}))
    start, firsts = seen.reset(), raw.reset()
    action, replays = np.zeros((2, 3), np.float32), [[], []]
    for _ in range(limit * 3 if patience is None else 8):                   # steps without repetition
        first, reward, frame, term, trunc = raw.step(action)
        for i in range(2):
            replays[i].append((first[i], frame[i], float(reward[i]), bool(term[i]), bool(trunc[i])))
    slots = [wrap(Replay(firsts[i], replays[i]), pixels, training=True) for i in range(2)]
    np.testing.assert_array_equal(start, [slot.reset()[0] for slot in slots])
    for t in range(ends[-1] + 1):
        start, reward, next_obs, _, trunc = seen.step(action)
        for i, slot in enumerate(slots):
            obs, r, _, cut, _ = slot.step(action[i])
            np.testing.assert_array_equal(next_obs[i], obs)
            assert (reward[i], trunc[i]) == (pytest.approx(r), cut) and cut == (t in ends)
            if cut and patience is None:
                np.testing.assert_array_equal(start[i], slot.reset()[0])
                assert (start[i] == start[i][0]).all() and not np.array_equal(start[i], next_obs[i])
    seen.close()
    raw.close()


@pytest.mark.parametrize("env, kwargs, message", [
    ("CartPol-v1", {}, "did you mean CartPole-v1"), ("Taxi-v4", {}, "EnvPool has no Taxi-v4"),
    ("mymod:Mine-v0", {}, 'vector="envpool" takes ids of Gymnasium.s own environments, not mymod:Mine-v0'),
    (lambda: make("CartPole-v1"), {}, 'own environments, not <lambda>; vector="sync" does'),
    ("Blackjack-v1", {}, r"the observations of EnvPool's Blackjack-v1 are Box.* and Gymnasium's Tuple"),
    ("LunarLander-v3", {"gravity": -5}, "unknown argument of EnvPool's LunarLander-v3 'gravity'; there are: max_episode_steps"),
    ("CarRacing-v3", {"lap_complete_procent": 0.5}, "CarRacing-v3 does not take these arguments"),
    ("CarRacing-v3", {"continuous": False}, "unknown argument of EnvPool's CarRacing-v3 'continuous'; there are: lap_complete_"),
    ("BipedalWalker-v3", {"hardcore": "maybe"}, "EnvPool's BipedalWalker-v3 does not take these arguments"),
    ("HalfCheetah-v5", {"xml_file": "half_cheetah.xml"}, "unknown argument of EnvPool's HalfCheetah-v5 'xml_file'"),
    ("LunarLander-v3", {"randomise": True}, 'randomise needs vector="sync" or async'),
    ("CartPole-v1", {"step_timeout": 1.0}, 'step_timeout needs vector="async"'),
    ("CartPole-v1", {"pixels": {"repeat": 2}}, "pixels needs coloured pictures")])
def test_what_is_refused_is_one_line(env, kwargs, message):
    if env == "HalfCheetah-v5":
        pytest.importorskip("mujoco")
    with pytest.raises(UserError, match=message) as caught:
        PoolEnv(env, 2, 0, **kwargs)
    assert "\n" not in str(caught.value)


def test_an_id_of_this_program_is_refused(monkeypatch):
    monkeypatch.setitem(gym.registry, "CartPole-v1", gym.envs.registration.EnvSpec("CartPole-v1", lambda: make("Pendulum-v1")))
    with pytest.raises(UserError, match="takes ids of Gymnasium's own environments, not CartPole-v1"):
        PoolEnv("CartPole-v1", 2, 0)


@pytest.mark.parametrize("words, message", [
    ("a3c", "--vector sync is all there is"), ("a2c --vector envpol", "invalid choice"),
    ("a2c --env Pendulum-v1 --vector envpool --env-args g=5", "unknown argument of EnvPool's Pendulum-v1 'g'")])
def test_the_command_line_refuses_it_too(words, message, capsys, tmp_path):
    vector = [] if "--vector" in words else ["--vector", "envpool"]
    assert main(["train", *words.split(), *vector, "--quiet", "--out", str(tmp_path / "run")]) == 2
    told = capsys.readouterr().err
    assert message in told and len(told.splitlines()) == 1 and not list(tmp_path.iterdir())


def test_without_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "envpool", None)
    with pytest.raises(UserError, match='vector="envpool" needs a package that is missing: ') as caught:
        scratchac.train("a2c", "CartPole-v1", 40, vector="envpool")
    assert INSTALL in str(caught.value)


def test_an_error_of_envpool_is_that_of_an_environment():
    envs = PoolEnv("CartPole-v1", 2, 0)
    envs.reset()
    with pytest.raises(EnvironmentFailed, match=r"EnvPool raised RuntimeError: .*Expected shape"):
        envs.step(np.zeros((2, 3), int))
    envs.close()


@pytest.mark.parametrize("algorithm, env, options", [
    ("sac", "LunarLander-v3", {"env_args": {"continuous": True}, "learning_starts": 64, "batch_size": 32, "steps": 80}),
    ("reinforce", "CartPole-v1", {"steps": 60})])
def test_training(algorithm, env, options):
    agent = scratchac.train(algorithm, env, vector="envpool", **options)
    assert agent.step >= options["steps"]


def test_a_run_is_resumed_with_new_episodes_and_says_so(quick_end, tmp_path, capsys):
    """Also with --new-episodes, which asks for just that, and so is not told. Evaluation plays Gymnasium's environment."""
    path = tmp_path / "run"
    words = f"train a2c --env CartPole-v1 --steps 2000 --vector envpool --stop-after 1000 --quiet --no-video --out {path}"
    assert main(words.split()) == 0
    assert '"vector": "envpool"' in (path / "config.json").read_text()
    capsys.readouterr()
    scratchac.resume(path, 1500)
    assert capsys.readouterr().err == "scratchac: EnvPool's environments cannot be restored: all of them begin new episodes\n"
    agent = scratchac.resume(path, 2000, new_episodes=True)
    assert agent.step == 2000 and capsys.readouterr().err == ""
    assert len(scratchac.evaluate(agent, "CartPole-v1", 2)) == 2
