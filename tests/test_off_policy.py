"""The updates of DDPG, TD3, SAC and discrete SAC on transitions with a known answer."""

import copy
from types import SimpleNamespace

import gymnasium as gym
import numpy as np
import pytest
from probes import Bandit, Constant, Match, Target

import scratchac
from scratchac import algorithms
from scratchac.algorithms.sac_pixels import PixelSAC
from scratchac.environments.vector import VectorEnv
from scratchac.errors import UserError
from scratchac.exploration import GaussianNoise, OrnsteinUhlenbeck
from scratchac.training.episodes import Promises
from scratchac.training.evaluation import evaluate
from scratchac.training.loops import train
from scratchac.training.memory import Transitions

CONTINUOUS = ["ddpg", "td3", "sac"]
ALL = [*CONTINUOUS, "discrete-sac"]
SMALL = {"hidden": (16,), "batch_size": 32, "learning_starts": 32, "buffer_size": 1000}


def make(algorithm, dtype=np.float64, **options):
    cls = algorithms.find(algorithm)
    actions = gym.spaces.Discrete(3) if algorithm == "discrete-sac" else gym.spaces.Box(np.float32([-1, -3]), np.float32([2, 5]))
    return cls(cls.config_class(**(SMALL | options)), gym.spaces.Box(-1, 1, (3,)), actions, seed=0, dtype=dtype)


def minibatch(algorithm, rng, rows=32, dtype=np.float64, **fields):
    a = rng.integers(3, size=rows) if algorithm == "discrete-sac" else rng.uniform(-1, 1, (rows, 2)).astype(dtype)
    s, s2 = rng.standard_normal((2, rows, 3)).astype(dtype)
    batch = Transitions(s, a, rng.standard_normal(rows).astype(dtype), s2, np.zeros(rows, dtype))
    return batch._replace(**fields)


# -- actions ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", CONTINUOUS)
def test_actions_stay_in_the_box(algorithm, rng):
    agent = make(algorithm, np.float32, envs=50)
    box = gym.spaces.Box(np.float32([-1, -3]), np.float32([2, 5]))
    for raw in (agent.random(50), agent.sample(5 * rng.standard_normal((50, 3))), agent.greedy(5 * rng.standard_normal((50, 3)))):
        assert np.abs(raw).max() <= 1
        assert all(box.contains(a) for a in agent.dist.to_env(raw))


# -- targets -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ALL)
def test_a_new_agent_has_drawn_its_weights_and_copied_its_targets(algorithm):
    agent = make(algorithm)
    for params in (agent.theta, agent.w):
        assert all(params[name].all() if name[0] == "W" else not params[name].any() for name in params.shapes)
    assert np.array_equal(agent.w_target.flat, agent.w.flat) and not np.shares_memory(agent.w_target.flat, agent.w.flat)
    if algorithm in ("ddpg", "td3"):
        assert np.array_equal(agent.theta_target.flat, agent.theta.flat)
        assert not np.shares_memory(agent.theta_target.flat, agent.theta.flat)


@pytest.mark.parametrize("algorithm", ["sac", "discrete-sac"])
def test_the_value_is_that_of_the_smaller_critic(algorithm, rng):
    agent, batch = make(algorithm), minibatch(algorithm, rng)
    if algorithm == "sac":
        q = agent.critic.forward(agent.w, np.concatenate([batch.obs, batch.actions], axis=1))[0][..., 0]        # (2, B)
    else:
        q = agent.critic.forward(agent.w, batch.obs)[0][:, np.arange(32), batch.actions]
    assert 0 < (q[0] < q[1]).sum() < 32
    np.testing.assert_array_equal(agent.value(batch.obs, batch.actions), np.minimum(*q))


@pytest.mark.parametrize("algorithm", ALL)
def test_a_terminal_state_has_the_reward_as_its_target(algorithm, rng):
    """If every row is terminal, neither the value nor the entropy of s′ counts: Q goes to r and `td_error` to 0."""
    agent = make(algorithm, critic_lr=0.01, gamma=0.99)
    batch = minibatch(algorithm, rng, rows=4, term=np.ones(4), rewards=np.array([1.0, -2.0, 0.5, 3.0]))
    for _ in range(800):
        metrics = agent.update(batch)
    assert metrics["td_error"] < 0.05
    np.testing.assert_allclose(agent.value(batch.obs, batch.actions), batch.rewards, atol=0.1)


@pytest.mark.parametrize("algorithm", ALL)
def test_after_a_terminal_state_nothing_counts(algorithm, rng):
    """If every row is terminal, an update with other next observations is the same one: the actor is trained at s alone."""
    first, second = (make(algorithm, **({"delay": 1} if algorithm == "td3" else {})) for _ in range(2))
    batch = minibatch(algorithm, rng, term=np.ones(32))
    assert first.update(batch) == second.update(batch._replace(next_obs=batch.next_obs[::-1] + 1))
    assert np.array_equal(first.w.flat, second.w.flat) and np.array_equal(first.theta.flat, second.theta.flat)


@pytest.mark.parametrize("algorithm", ["ddpg", "td3"])
def test_truncation_is_not_termination(algorithm):
    """A reward of 1 for ever is worth 1/(1−γ) = 5 if every step is truncated, and 1 if every step terminates."""
    for ends, expected in (("trunc", 5.0), ("term", 1.0)):
        def env(ends=ends):
            made = Constant(limit=1, ends=ends)
            made.action_space = gym.spaces.Box(-1, 1, (1,))
            return made

        agent = scratchac.train(algorithm, env=env, steps=700, gamma=0.8, critic_lr=0.02, tau=0.1, **SMALL)
        assert agent.value(np.zeros((1, 1)), np.zeros((1, 1)))[0] == pytest.approx(expected, rel=0.1)


def test_td3_takes_the_smaller_target(rng):
    """The target critics always give 3 and −1, so the target is r + γ·(−1)."""
    agent = make("td3", gamma=0.5, critic_lr=1e-9)
    agent.w_target.flat[:] = 0
    agent.w_target["b2"][:] = [[3.0], [-1.0]]
    agent.w.flat[:] = 0
    metrics = agent.update(minibatch("td3", rng, rewards=np.full(32, 10.0)))
    assert metrics["td_error"] == pytest.approx(10 - 0.5)


def actions_of_targets(agent, monkeypatch):
    """A list to which every call of the target critics adds its actions (B, A)."""
    seen, forward = [], type(agent.critic).forward

    def spy(mlp, params, x):
        if params is agent.w_target:
            seen.append(x[:, 3:])
        return forward(mlp, params, x)

    monkeypatch.setattr(type(agent.critic), "forward", spy)
    return seen


def test_td3_noise_is_own_for_every_row_and_feature_and_clipped(rng, monkeypatch):
    agent = make("td3", target_noise=0.2, target_noise_clip=0.3)
    seen = actions_of_targets(agent, monkeypatch)
    batch = minibatch("td3", rng)
    clean, eps = agent.pi(agent.theta_target, batch.next_obs)[0], copy.deepcopy(agent.rng).standard_normal((32, 2))
    agent.update(batch)
    noise = seen[0] - clean
    np.testing.assert_allclose(noise, np.clip(0.2 * eps, -0.3, 0.3))
    assert len(np.unique(noise.round(12))) > 50 and np.abs(noise).max() <= 0.3 + 1e-12 and 0.1 < noise.std() < 0.25


def test_td3_keeps_the_targets_actions_in_the_box(rng, monkeypatch):
    agent = make("td3", target_noise=5.0, target_noise_clip=5.0)
    seen = actions_of_targets(agent, monkeypatch)
    agent.update(minibatch("td3", rng))
    assert (seen[0].min(), seen[0].max()) == (-1, 1)


def test_td3_moves_the_actor_every_second_update(rng):
    agent, batch = make("td3", delay=2), minibatch("td3", rng)
    moved = []
    for _ in range(4):
        before = agent.theta.flat.copy(), agent.w_target.flat.copy()
        agent.update(batch)
        moved.append((not np.array_equal(before[0], agent.theta.flat), not np.array_equal(before[1], agent.w_target.flat)))
    assert moved == [(False, False), (True, True), (False, False), (True, True)] and agent.updates == 4


@pytest.mark.parametrize("algorithm", ALL)
def test_the_actors_step_leaves_the_critic_alone(algorithm, rng):
    """The critic's optimiser does nothing here, so only the actor's step could move the critic's parameters or moments."""
    class Frozen:
        def step(self, grad, lr):
            pass

    agent = make(algorithm, **({"delay": 1} if algorithm == "td3" else {}))
    moments = agent.critic_optimiser.m.copy()
    agent.critic_optimiser.step = Frozen().step
    w, theta = agent.w.flat.copy(), agent.theta.flat.copy()
    agent.update(minibatch(algorithm, rng))
    assert np.array_equal(agent.w.flat, w) and np.array_equal(agent.critic_optimiser.m, moments)
    assert not np.array_equal(agent.theta.flat, theta)


@pytest.mark.parametrize("algorithm", ALL)
def test_targets_follow_by_tau_and_share_no_memory(algorithm, rng):
    for tau in (0.0, 0.3, 1.0):
        agent = make(algorithm, tau=tau, **({"delay": 1} if algorithm == "td3" else {}))
        pairs = [(agent.w, agent.w_target), *([(agent.theta, agent.theta_target)] if algorithm in ("ddpg", "td3") else [])]
        for _, target in pairs:
            target.flat[:] = 7.0
        agent.update(minibatch(algorithm, rng))
        for online, target in pairs:
            np.testing.assert_allclose(target.flat, (1 - tau) * 7 + tau * online.flat)
            if tau == 1.0:
                assert np.array_equal(target.flat, online.flat)
            assert not np.shares_memory(online.flat, target.flat) and not (online.flat == 7).all()


def test_alpha_rises_while_the_policy_is_too_certain(rng):
    """Where the entropy is below H̄ the temperature α rises, and where it is above, α falls."""
    for algorithm in ("sac", "discrete-sac"):
        agent, batch = make(algorithm), minibatch(algorithm, rng)
        if algorithm == "sac":
            agent.theta["b2"][: agent.dist.features] = -3          # σ = e^{−5+3.5(tanh(−3)+1)}: nearly deterministic
        else:
            agent.theta["b2"][0] = 10.0
        before = agent.log_alpha[0]
        agent.update(batch)
        assert agent.log_alpha[0] > before
        agent = make(algorithm)                                    # fresh: wide, near uniform
        before = agent.log_alpha[0]
        agent.update(batch)
        assert agent.log_alpha[0] < before


@pytest.mark.parametrize("algorithm", ["sac", "discrete-sac"])
def test_fixed_alpha_follows_its_schedule(algorithm, rng):
    agent = make(algorithm, learn_alpha=False, alpha="linear:0.4:0.2", steps=100)
    assert agent.update(minibatch(algorithm, rng))["alpha"] == pytest.approx(0.4)
    agent.step = 50
    assert agent.update(minibatch(algorithm, rng))["alpha"] == pytest.approx(0.3)
    assert agent.temperature() == pytest.approx(0.3)                        # no step of its optimiser has followed


@pytest.mark.parametrize("algorithm", ALL)
def test_learning_rates_follow_their_schedules(algorithm, rng):
    """Halfway through training, rates that fall linearly to 0 are half of what they were.

    Adam's first step changes a parameter by its rate, or by less where the gradient is hardly above 0.
    """
    agent = make(algorithm, steps=100, actor_lr="linear:0.02:0", critic_lr="linear:0.06:0",
                 **({"alpha_lr": "linear:0.2:0"} if "sac" in algorithm else {}), **({"delay": 1} if algorithm == "td3" else {}))
    agent.step = 50
    theta, w, alpha = agent.theta.flat.copy(), agent.w.flat.copy(), agent.temperature()
    agent.update(minibatch(algorithm, rng))
    assert np.abs(agent.theta.flat - theta).max() == pytest.approx(0.01, rel=1e-4)
    assert np.abs(agent.w.flat - w).max() == pytest.approx(0.03, rel=1e-4)
    if "sac" in algorithm:
        assert abs(np.log(agent.temperature() / alpha)) == pytest.approx(0.1, rel=1e-4)


# -- exploration -------------------------------------------------------------------------------------------------------


def test_noises(rng):
    gaussian, ou = GaussianNoise(0.5, (2, 3)), OrnsteinUhlenbeck(0.5, (2, 3))
    draws = {noise: np.array([noise.sample(rng) for _ in range(20_000)]) for noise in (gaussian, ou)}
    assert draws[gaussian].std() == pytest.approx(0.5, rel=0.02)
    assert draws[ou].std() == pytest.approx(0.5 / np.sqrt(1 - 0.85**2), rel=0.05)

    def inertia(x):
        return np.corrcoef(x[:-1, 0, 0], x[1:, 0, 0])[0, 1]

    assert abs(inertia(draws[gaussian])) < 0.05 and inertia(draws[ou]) == pytest.approx(0.85, abs=0.03)
    ou.restart(np.array([True, False]))
    assert not ou.x[0].any() and ou.x[1].all()



# -- the loop ----------------------------------------------------------------------------------------------------------


def test_random_actions_first_then_updates():
    agent = make("ddpg", learning_starts=40, envs=2, train_every=4, gradient_steps=3, steps=100)
    venv = VectorEnv(lambda: gym.wrappers.TimeLimit(_Box3(), 7), 2, seed=0)
    updates = []
    train(agent, venv, 100, lambda *a: updates.append((agent.step, a[-1])) and False)
    venv.close()
    assert [n for step, n in updates if step < 40] == [0] * 19
    assert [n for step, n in updates if 40 <= step <= 50] == [3, 0, 3, 0, 3, 0]
    assert len(agent.memory) == 100 and agent.memory.data["trunc"].sum() == 14 and not agent.memory.data["term"].any()


class _Box3(gym.Env):
    observation_space, action_space = gym.spaces.Box(-1, 1, (3,)), gym.spaces.Box(np.float32([-1, -3]), np.float32([2, 5]))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(3, np.float32), {}

    def step(self, action):
        assert self.action_space.contains(action)
        return np.zeros(3, np.float32), 0.0, False, False, {}


@pytest.mark.parametrize("algorithm", CONTINUOUS)
def test_finds_the_best_action(algorithm):
    """The reward is −(a − ½)² in a box of [−1, 2]. The bound was calibrated on 10 other seeds."""
    agent = scratchac.train(algorithm, env=Target, steps=1000, actor_lr=3e-3, critic_lr=1e-2, **SMALL)
    assert abs(float(agent.act(np.ones(1), explore=False)[0]) - 0.5) < 0.25


@pytest.mark.parametrize("env", [Match, lambda: Bandit(start=5)], ids=["Match", "Bandit"])
def test_discrete_sac_learns(env):
    agent = scratchac.train("discrete-sac", env=env, steps=1000, actor_lr=3e-3, critic_lr=1e-2, entropy_target=0.2, **SMALL)
    assert evaluate(agent, env, episodes=20).mean() == 1


@pytest.mark.parametrize("algorithm", ALL)
def test_float32_stays_float32(algorithm, rng):
    agent = make(algorithm, np.float32)
    for _ in range(10):
        agent.update(minibatch(algorithm, rng, dtype=np.float32))
    arrays = {name: x for name, x in agent.keeps().items() if isinstance(x, np.ndarray) and name not in ("updates", "actor_loss")}
    optimisers = [x for name, x in agent.keeps().items() if name.endswith("optimiser")]
    assert {x.dtype for x in arrays.values()} | {x.m.dtype for x in optimisers} == {np.dtype(np.float32)}


@pytest.mark.parametrize("algorithm", ALL)
def test_same_seed_same_run_and_state_goes_round(algorithm, tmp_path, quick_end):
    env = "CartPole-v1" if algorithm == "discrete-sac" else "Pendulum-v1"
    first, again = (scratchac.train(algorithm, env=env, steps=60, seed=3, out=tmp_path / name, **SMALL) for name in "ab")
    assert np.array_equal(first.theta.flat, again.theta.flat) and np.array_equal(first.w.flat, again.w.flat)
    loaded = scratchac.load(tmp_path / "a")
    for _ in range(3):
        first.update(first.memory.sample(first.batch_rng, 32))
        loaded.update(loaded.memory.sample(loaded.batch_rng, 32))
    assert np.array_equal(first.theta.flat, loaded.theta.flat) and np.array_equal(first.w_target.flat, loaded.w_target.flat)


# -- bad input ---------------------------------------------------------------------------------------------------------


class Switches(Match):
    action_space = gym.spaces.MultiBinary(3)


@pytest.mark.parametrize("algorithm, env, options, message", [
    *[(algorithm, "CartPole-v1", {}, "discrete-sac") for algorithm in CONTINUOUS],
    ("discrete-sac", "Pendulum-v1", {}, "needs Discrete actions, .*; sac takes these"),
    ("discrete-sac", Switches, {}, "needs Discrete actions, .*; a2c and ppo take these"),
    ("sac", "Pendulum-v1", {"batch_size": 512, "learning_starts": 100}, "learning_starts"),
    ("sac", "Pendulum-v1", {"batch_size": 512, "learning_starts": 1000, "buffer_size": 100}, "buffer_size"),
    ("td3", "Pendulum-v1", {"buffer_size": 10**12}, "GiB"),
    ("td3", "Pendulum-v1", {"action_noise_clip": 0.5}, "unknown hyperparameter"),
    ("td3", "Pendulum-v1", {"tau": 1.5}, "tau"),
])
def test_clear_errors(algorithm, env, options, message):
    with pytest.raises(UserError, match=message):
        scratchac.make_agent(algorithm, env, **options)


@pytest.mark.parametrize("algorithm", ALL)
def test_observations_are_refused_before_actions(algorithm):
    """The message about actions names algorithms that take these, and they would not take such observations either."""
    actions = gym.spaces.Box(-1, 1, (2,)) if algorithm == "discrete-sac" else gym.spaces.Discrete(3)
    with pytest.raises(UserError, match=r"^observation space"):
        algorithms.make(algorithm, make(algorithm).config, gym.spaces.Box(-1, 1, (2, 2)), actions)


def test_unbounded_actions():
    def env():
        made = Target()
        made.action_space = gym.spaces.Box(-np.inf, np.inf, (1,))
        return made

    with pytest.raises(UserError, match="no finite bounds"):
        scratchac.make_agent("sac", env)


@pytest.mark.parametrize("algorithm, env", [("ddpg", "Pendulum-v1"), ("td3", "MountainCarContinuous-v0"), ("sac", "Pendulum-v1"),
                                            ("discrete-sac", "Acrobot-v1")])
def test_a_short_training_learns(algorithm, env, capsys):
    """By default learning starts within the first tenth; a training that would end before is refused, from Python and a shell."""
    from scratchac.__main__ import main

    short = scratchac.make_agent(algorithm, env, steps=4_000, preset=None)
    assert 1 <= short.config.learning_starts <= 500
    agent = scratchac.train(algorithm, env, 300, hidden=(4,), batch_size=8, learning_starts=300 // 10)
    assert agent.actor_optimiser.t > 0
    with pytest.raises(UserError, match="steps=300 end before learning_starts=301: there would be no update"):
        scratchac.train(algorithm, env, 300, batch_size=8, learning_starts=301)
    with pytest.raises(UserError, match="steps=300 end before train_every=301: there would be no update"):
        scratchac.train(algorithm, env, 300, batch_size=8, learning_starts=8, train_every=301)
    assert main(["train", algorithm, "--env", env, "--steps", "300", "--learning-starts", "301", "--batch-size", "8"]) != 0
    assert "there would be no update" in capsys.readouterr().err


def test_the_default_is_the_same_from_a_shell(monkeypatch):
    """The command line hands on what was given alone, so that defaults which depend on it are made once."""
    import functools
    from types import SimpleNamespace

    from scratchac import api
    from scratchac.__main__ import main

    given = {}
    monkeypatch.setattr(api, "train", functools.wraps(api.train)(
        lambda **options: given.update(options) or SimpleNamespace(step=2000)))
    main(["train", "td3", "--env", "MountainCarContinuous-v0", "--steps", "2000", "--batch-size", "64", "--quiet"])
    assert {"steps": 2000, "batch_size": 64}.items() <= given.items() and "learning_starts" not in given
    assert scratchac.make_agent("td3", "MountainCarContinuous-v0", steps=2_000, batch_size=64).config.learning_starts == 200
    assert scratchac.make_agent("td3", "MountainCarContinuous-v0").config.learning_starts == 10_000


@pytest.mark.parametrize("algorithm", ["ddpg", "td3"])
@pytest.mark.parametrize("noise", ["gaussian", "ou"])
def test_what_acts_outside_of_training_gets_noise_of_its_own(algorithm, noise):
    """Its standard deviation is that of training: σ, or σ/√(1 − (1−θ)²), and the noise of training is not touched."""
    agent = scratchac.make_agent(algorithm, "Pendulum-v1", envs=2, noise=noise, noise_scale=0.1)
    agent.theta.flat[:] = 0
    before = agent.noise.state()
    obs = np.zeros((20_000, 3), np.float32)
    drawn = agent.explore(obs)[:, 0]
    assert drawn.std() == pytest.approx(0.1 if noise == "gaussian" else 0.1 / np.sqrt(1 - 0.85**2), rel=0.03)
    assert abs(np.corrcoef(drawn[1:], drawn[:-1])[0, 1]) < 0.03 and len(np.unique(drawn)) > 19_000
    np.testing.assert_equal(agent.noise.state(), before)
    assert scratchac.evaluate(agent, "Pendulum-v1", 3, explore=True).shape == (3,)
    assert agent.act(obs[0]).shape == (1,) and agent.act(obs[:2]).shape == (2, 1)               # as many as environments
    np.testing.assert_equal(agent.noise.state(), before)


def test_noise_of_sac_is_added_in_training_alone():
    """To what the policy draws, in [−1, 1]; elsewhere, and where actions are sampled to be evaluated, the policy draws alone."""
    noisy = scratchac.make_agent("sac", "Pendulum-v1", noise="ou", noise_scale=0.3)
    plain = scratchac.make_agent("sac", "Pendulum-v1")
    obs, far = np.full((1, 3), 0.5, np.float32), []
    for _ in range(50):
        x, state = noisy.noise.x.copy(), noisy.rng.bit_generator.state
        drawn = plain.sample(obs)                                       # the same random numbers up to here
        a = noisy.sample(obs)
        np.testing.assert_allclose(a, np.clip(drawn + noisy.noise.x, -1, 1), rtol=1e-6)
        np.testing.assert_allclose(noisy.noise.x - 0.85 * x, 0.3 * after(state, 1).standard_normal((1, 1)), rtol=1e-6)
        plain.rng.bit_generator.state = noisy.rng.bit_generator.state
        far.append(abs(float(noisy.noise.x[0, 0])))
    assert max(far) > 0.5
    before = noisy.noise.state()
    np.testing.assert_array_equal(noisy.explore(obs), plain.explore(obs))
    np.testing.assert_array_equal(noisy.act(obs), plain.act(obs))
    np.testing.assert_equal(noisy.noise.state(), before)
    assert plain.noise is None and "noise" not in plain.state()


def test_a_scale_without_noise_is_refused():
    with pytest.raises(UserError, match="noise_scale needs noise"):
        scratchac.make_agent("sac", "Pendulum-v1", noise_scale=0.3)


def test_noise_of_sac_from_pictures():
    """Pictures have an agent of their own: it adds the noise, and keeps it."""
    agent = PixelSAC(PixelSAC.config_class(hidden=(8,), buffer_size=300, noise="ou", noise_scale=0.5),
                     gym.spaces.Box(0, 255, (3, 16, 16), np.uint8), gym.spaces.Box(-1, 1, (1,)))
    agent.sample(np.zeros((1, 3, 16, 16), np.uint8))
    assert abs(agent.noise.x[0, 0]) > 0 and "noise" in agent.state()


def after(state, numbers):
    """A generator in that state that has drawn so many normal numbers."""
    rng = np.random.default_rng()
    rng.bit_generator.state = state
    rng.standard_normal(numbers)
    return rng


@pytest.mark.parametrize("algorithm", ["ddpg", "td3", "sac"])
def test_the_scale_of_the_noise_follows_its_schedule(algorithm):
    agent = scratchac.make_agent(algorithm, "Pendulum-v1", noise="gaussian", noise_scale="linear:0.4:0.2", steps=2000, hidden=(4,))
    for step, scale in ((0, 0.4), (1000, 0.3), (2000, 0.2)):
        agent.step = step
        agent.sample(np.zeros((1, 3), np.float32))
        assert agent.noise.scale == pytest.approx(scale)


def test_promises_by_hand():
    """γ = ½. Rewards 1, 2 before a terminal state: 1 + ½·2 = 2. The same before a limit, where Q is 8: 1 + ½·2 + ¼·8 = 4."""
    class Critic:
        schedules = staticmethod(lambda progress: SimpleNamespace(gamma=0.5))
        greedy = staticmethod(lambda obs: -obs)
        value = staticmethod(lambda obs, actions: np.where(actions[:, 0] < 0, 8.0, obs[:, 0]))

    promises, obs = Promises(Critic(), 2), np.array([[3.0], [5.0]])
    assert promises.metrics() == {}
    promises.begin(np.array([True, True]), obs, np.ones((2, 1)))
    promises.add(np.array([1.0, 1.0]), obs, np.zeros(2), np.zeros(2))
    promises.begin(np.array([False, False]), obs + 100, np.ones((2, 1)))
    promises.add(np.array([2.0, 2.0]), obs, np.array([1, 0]), np.array([1, 1]))
    assert list(promises.kept) == [(3, 2), (5, 4)] and promises.metrics() == {"q_promised": 4, "q_realised": 3}
    promises.begin(np.array([False, True]), obs, np.ones((2, 1)))           # the next episode begins with nothing
    promises.add(np.array([0.0, 6.0]), obs, np.array([0, 1]), np.array([0, 1]))
    assert promises.kept[-1] == (5, 6) and promises.metrics() == {"q_promised": 13 / 3, "q_realised": 4}
    promises.begin(np.array([True, True]), obs, np.ones((2, 1)))
    promises.add(np.array([1.0, 1.0]), obs, np.zeros(2), np.zeros(2))
    restored = Promises(Critic(), 2)
    restored.load_state(promises.state())
    for one in (promises, restored):
        one.add(np.array([2.0, 0.0]), obs, np.array([1, 0]), np.array([1, 0]))
        assert list(one.kept) == [(3, 2), (5, 4), (5, 6), (3, 2)]
    for _ in range(20):                                                     # the last 20 count
        one.begin(np.array([True, False]), obs, np.ones((2, 1)))
        one.add(np.array([7.0, 0.0]), obs, np.array([1, 0]), np.array([1, 0]))
    assert one.metrics() == {"q_promised": 3, "q_realised": 7}
    one.load_state(one.state() | {"kept": np.ones((20, 2))})
    assert one.metrics() == {"q_promised": 1, "q_realised": 1}


def test_noise_with_inertia_starts_at_zero():
    """So its first value is σ times the normal number that was drawn, and the second 0.85 times that and another one."""
    noise, drawn = OrnsteinUhlenbeck(0.3, (2, 1)), np.random.default_rng(7).standard_normal((2, 2, 1))
    rng = np.random.default_rng(7)
    np.testing.assert_allclose(noise.sample(rng), 0.3 * drawn[0])
    np.testing.assert_allclose(noise.sample(rng), 0.85 * 0.3 * drawn[0] + 0.3 * drawn[1])
    again = OrnsteinUhlenbeck(0.3, (2, 1))
    again.load_state(noise.state())
    np.testing.assert_array_equal(again.sample(np.random.default_rng(8)), noise.sample(np.random.default_rng(8)))


def test_fresh_noise_has_the_spread_of_noise_after_many_steps():
    """σ/√(1 − .8²) = σ/.6 for θ = .2, and σ itself without inertia; the noise between steps does not change."""
    drawn = np.random.default_rng(7).standard_normal((4, 3))
    noise = OrnsteinUhlenbeck(0.3, (2, 1), theta=0.2)
    np.testing.assert_allclose(noise.fresh(np.random.default_rng(7), (4, 3)), 0.3 / 0.6 * drawn)
    np.testing.assert_allclose(GaussianNoise(0.3, (2, 1)).fresh(np.random.default_rng(7), (4, 3)), 0.3 * drawn)
    assert not noise.x.any() and noise.x.shape == (2, 1)
