"""Compiled off-policy updates: the numbers of the reference in float64, for one thread and for several, and when they are used."""

from unittest.mock import Mock

import gymnasium as gym
import numpy as np
import pytest

import kernels
import scratchac
from scratchac import algorithms, optim
from scratchac.algorithms.sac_pixels import PixelSAC
from scratchac.distributions import log_softmax
from scratchac.environments.vector import VectorEnv
from scratchac.errors import TrainingError
from scratchac.gradcheck import TOLERANCE, numerical_gradient
from scratchac.gradcheck.differences import relative_error
from scratchac.nn import MLP
from scratchac.training import compiled_off_policy
from scratchac.training.loops import train

pieces = pytest.importorskip("kernels.numba_off_policy", reason="Numba is not installed")
updates = pytest.importorskip("kernels.numba_off_policy_updates")
discrete = pytest.importorskip("kernels.numba_discrete_soft")

CASES = {                                               # algorithm and options
    "sac": {"alpha": 0.3, "alpha_lr": 0.05},
    "sac, entropy target on a schedule": {"alpha": 0.3, "alpha_lr": 0.05, "entropy_target": "linear:0.6:-2"},
    "sac, log σ clipped, α on a schedule": {"log_std": "clamp", "learn_alpha": False, "alpha": "linear:0.5:0.1"},
    "sac, correlated noise": {"alpha": 0.3, "noise": "ou", "noise_scale": "linear:0.9:0.2"},
    "td3": {},
    "td3, large noise, delay of 3": {"delay": 3, "target_noise": 0.9, "target_noise_clip": 0.7, "activation": "tanh"},
    "ddpg": {"activation": "tanh", "gamma": 0.5},
    "discrete-sac": {"alpha": 0.3, "alpha_lr": 0.05},
    "discrete-sac, α on a schedule": {"learn_alpha": False, "alpha": "linear:0.5:0.1", "activation": "tanh"},
}
COMMON = {"hidden": (7, 5), "batch_size": 12, "buffer_size": 60, "learning_starts": 12, "actor_lr": 0.01, "critic_lr": 0.02,
          "tau": 0.1, "steps": 100}


def agent_for(case, actions=2, **options):
    """An agent in float64 with 40 transitions, some of them terminal, and with parameters and log σ of every size."""
    cls = algorithms.find(case.split(",")[0])
    whole = case.startswith("discrete")
    box = gym.spaces.Box(-1, 1, (actions,), np.float64)
    agent = cls(cls.config_class(**COMMON | CASES[case] | options), gym.spaces.Box(-1, 1, (3,), np.float64),
                gym.spaces.Discrete(3, start=1) if whole else box, seed=1, dtype=np.float64)
    rng = np.random.default_rng(0)
    agent.theta.flat[:] += 0.5 * rng.standard_normal(agent.theta.flat.size)
    agent.theta.views["b3"][0] = 2.5                                        # beyond the bound of log σ, where that is clipped
    agent.memory.add(obs=rng.standard_normal((40, 3)), rewards=rng.standard_normal(40),
                     next_obs=rng.standard_normal((40, 3)), term=(rng.random(40) < 0.3).astype(float), trunc=np.zeros(40),
                     actions=rng.integers(3, size=40) if whole else rng.uniform(-1, 1, (40, actions)))
    return agent


def reference(agent, count):
    with kernels.using("numpy"):
        return [agent.update(agent.memory.sample(agent.batch_rng, agent.config.batch_size)) for _ in range(count)]


def compiled(agent, count):
    with kernels.using("numba"):
        assert agent.fast_path() is not None
        own = compiled_off_policy.compile_for(agent)
        return [own.update() for _ in range(count)]


def numbers(state):
    """All arrays and numbers of an agent's state, by name."""
    if isinstance(state, dict):
        return {f"{name} {key}": x for name, part in state.items() for key, x in numbers(part).items()}
    return {"": np.asarray(state)}


def assert_same(ours, theirs):
    ours, theirs = numbers(ours), numbers(theirs)
    assert ours.keys() == theirs.keys()
    for name, x in theirs.items():
        if x.dtype.kind in "US":
            assert ours[name] == x, name
        else:
            np.testing.assert_allclose(ours[name].astype(float), x.astype(float), rtol=1e-9, atol=1e-12, err_msg=name)


def assert_same_updates(ours, theirs, count):
    """Metrics of several updates, then parameters, target networks, moments, log α and generators."""
    our_metrics, metrics = compiled(ours, count), reference(theirs, count)
    assert_same(ours.state(), theirs.state())
    for mine, row in zip(our_metrics, metrics, strict=True):
        assert mine == pytest.approx(row, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("case", CASES)
def test_updates_are_those_of_the_reference(case):
    ours, theirs = agent_for(case), agent_for(case)
    assert_same_updates(ours, theirs, 7)
    other = agent_for(case, gamma=0.98)
    compiled(other, 7)
    with pytest.raises(AssertionError):                                     # and not of any other agent
        assert_same(other.state(), theirs.state())


@pytest.mark.parametrize("case", ["sac", "td3"])
def test_a_minibatch_of_one_row(case):
    """It has entropy and noise, too. Some of the seven rows are not terminal."""
    assert_same_updates(*(agent_for(case, batch_size=1) for _ in range(2)), 7)


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("case", ["sac", "td3", "ddpg", "discrete-sac"])
def test_updates_in_pieces_are_those_of_the_reference(case, count, monkeypatch):
    """Gradients of pieces of a minibatch add up: of 13 rows, 5 pieces for the actor, 2 or 5 for each critic, whose outputs are few.

    The function for one thread stands in for that for several, which is called where two cores are asked for.
    """
    module, kind = {"sac": (updates, "soft"), "discrete-sac": (discrete, "discrete_soft")}.get(case, (updates, "deterministic"))
    several = Mock(side_effect=getattr(module, f"{kind}_one"))
    monkeypatch.setattr(module, f"{kind}_several", several)
    monkeypatch.setattr(updates, "pieces", lambda rows, parameters: count)
    monkeypatch.setattr(compiled_off_policy, "cores", lambda: 2)
    assert_same_updates(*(agent_for(case, actions=9, batch_size=13, learning_starts=13) for _ in range(2)), 4)
    assert several.call_count == (2 if count > 1 else 0)                    # `Faster` asks for them in turn


@pytest.mark.slow
@pytest.mark.parametrize("case", ["sac", "td3", "ddpg", "discrete-sac"])
def test_two_cores_give_the_bits_of_one(case, monkeypatch):
    monkeypatch.setattr(updates, "pieces", lambda rows, parameters: 5)
    flat = []
    for two in (False, True):
        monkeypatch.setattr(compiled_off_policy.Faster, "way", lambda self, two=two: two)
        agent = agent_for(case, batch_size=13, learning_starts=13)
        metrics = compiled(agent, 4)
        parts = [agent.theta.flat, agent.w.flat, agent.critic_optimiser.v, *(list(x.values()) for x in metrics)]
        flat.append(np.concatenate(parts))
    np.testing.assert_array_equal(*flat)


def test_an_actor_that_waits_reports_no_loss(monkeypatch):
    returned, update = [], updates.deterministic_update
    monkeypatch.setattr(updates, "deterministic_update", lambda *given: returned.append(update(*given)) or returned[-1])
    compiled(agent_for("td3"), 2)
    assert returned[0][0] == 0 != returned[1][0]


def test_noise_and_action_of_the_target_policy_are_clipped():
    """a′ = clip(±0.5 + clip(2 · noise, ±0.7), ±1)."""
    agent = agent_for("td3")
    own = compiled_off_policy.compile_for(agent)
    own.rows[1][:] = 1
    agent.theta_target.flat[:] = 0
    agent.theta_target.views["b3"][:] = np.arctanh([0.5, -0.5])
    own.noise[:3] = [[0.1, -0.1], [1, -1], [-1, 1]]
    pieces.smoothed_rows(own.actor, own.noise, 2.0, 0.7, own.rows, 0, 3)
    np.testing.assert_allclose(own.rows[3][:3, 3:], [[0.7, -0.7], [1, -1], [-0.2, 0.2]])


def test_deviation_of_a_clipped_logarithm():
    """log σ is cut to [−20, 2], where its slope is 0."""
    own = compiled_off_policy.compile_for(agent_for("sac, log σ clipped, α on a schedule"))
    y = np.array([[-25.0, 3.0, 0.0, 0.0], [-19.0, 1.5, 0.0, 0.0]])
    pieces.sample_rows(y, True, np.zeros((2, 2)), own.drawn, 0, 2)
    _, std, slope, _ = own.drawn
    np.testing.assert_allclose(std[:2], np.exp([[-20, 2], [-19, 1.5]]))
    assert slope[:2].tolist() == [[0, 0], [1, 1]]


@pytest.mark.parametrize("rows, parameters, count", [
    (256, 200_000, 2), (100, 13_000, 1), (256, 9_765, 1), (256, 9_766, 2), (127, 200_000, 1), (128, 200_000, 2)])
def test_large_minibatches_are_cut_in_two(rows, parameters, count):
    """From 2,500,000 rows times parameters, if each piece gets at least 64 rows."""
    assert updates.pieces(rows, parameters) == count


def gradients(case):
    """An agent whose gradients are those of an update that moves no parameters, and the rows of the update."""
    agent = agent_for(case, actor_lr=1e-300, critic_lr=1e-300, tau=1e-300, delay=1) if case == "td3" else agent_for(
        case, actor_lr=1e-300, critic_lr=1e-300, tau=1e-300)
    with kernels.using("numba"):
        own = compiled_off_policy.compile_for(agent)
        own.update()
    return agent, own


@pytest.mark.parametrize("case", ["sac", "td3", "ddpg"])
def test_gradient_of_the_critics(case):
    """Against finite differences of L = Σₖ mean ½(Qₖ(s, a) − target)², and of a loss without the first half of the rows."""
    agent, own = gradients(case)
    s, _, sa, _, _, _, target, *_ = own.rows
    rng = np.random.default_rng(1)
    sa = np.concatenate([s, rng.uniform(-1, 1, (len(s), 2))], axis=1)
    own.rows[2][:] = sa                             # the actor's step has put its own actions there
    for k in range(own.rows[10].shape[0]):
        pieces.critic_rows(own.critic, agent.dw.flat, k, np.empty(3), own.rows, 0, len(s))

    def loss(first=0):
        q = agent.critic.forward(agent.w, sa)[0][..., 0]
        return float((0.5 * (q - target) ** 2)[..., first:].sum() / len(s))

    agrees(agent.dw.flat, loss, agent.w.flat)


@pytest.mark.parametrize("case", ["sac", "sac, log σ clipped, α on a schedule", "td3", "ddpg"])
def test_gradient_of_the_actor(case):
    """Against finite differences of the actor's loss through the action, and of that loss without the first half of the rows."""
    agent, own = gradients(case)
    s = own.rows[0].copy()

    def loss(first=0):
        y = agent.actor.forward(agent.theta, s)[0]
        if case.startswith("sac"):
            a, logp, _ = agent.dist.sample(y, own.noise[1])
            q = agent.critic.forward(agent.w, np.concatenate([s, a], axis=1))[0][..., 0].min(axis=0)
            return float((alpha * logp - q)[first:].sum() / len(s))
        q = agent.critic.forward(agent.w, np.concatenate([s, np.tanh(y)], axis=1))[0]
        return -float((q[0] if agent.critic.stack else q)[first:].sum() / len(s))

    alpha = CASES["sac"]["alpha"] if case == "sac" else 0.5
    agrees(agent.dtheta.flat, loss, agent.theta.flat)


def test_gradients_with_discrete_actions():
    """Of both losses, Σₖ mean ½(Qₖ(s, a) − target)² and mean Σᵢ πᵢ(α log πᵢ − min_k Qₖᵢ)."""
    agent, own = gradients("discrete-sac")
    s, _, a, _, _, target, *_ = own.rows

    def critics(first=0):
        q = agent.critic.forward(agent.w, s)[0][:, np.arange(len(s)), a]
        return float((0.5 * (q - target) ** 2)[..., first:].sum() / len(s))

    def actor(first=0):
        log_pi = log_softmax(agent.actor.forward(agent.theta, s)[0])
        f = alpha * log_pi - agent.critic.forward(agent.w, s)[0].min(axis=0)
        return float((np.exp(log_pi) * f)[first:].sum() / len(s))

    alpha = CASES["discrete-sac"]["alpha"]
    agrees(agent.dw.flat, critics, agent.w.flat)
    agrees(agent.dtheta.flat, actor, agent.theta.flat)


def test_actions_without_probability():
    """exp of the differences between these logits overflows, unless the largest is subtracted."""
    ours, theirs = agent_for("discrete-sac"), agent_for("discrete-sac")
    for agent in (ours, theirs):
        agent.theta.views["b3"][:] = [0, 900, -900]
    assert_same_updates(ours, theirs, 3)
    assert np.isfinite(ours.theta.flat).all()


def agrees(grad, loss, parameters):
    assert relative_error(grad.copy(), numerical_gradient(loss, parameters)) < TOLERANCE
    assert relative_error(grad.copy(), numerical_gradient(lambda: loss(6), parameters)) > 0.01


@pytest.mark.parametrize("case", CASES)
def test_actions_are_those_of_the_reference(case):
    ours, theirs = agent_for(case), agent_for(case)
    obs = np.array([[0.3, -2.0, 5.0]])
    with kernels.using("numba"):
        own = compiled_off_policy.compile_for(ours)
        mine = [own.sample(obs) for _ in range(3)]
    np.testing.assert_allclose(mine, [theirs.sample(obs) for _ in range(3)], rtol=1e-9)
    assert mine[0].base is None or mine[0].base is not mine[1].base         # an action stays what it was
    assert_same(ours.state(), theirs.state())


def env_for(algorithm):
    return "CartPole-v1" if algorithm == "discrete-sac" else "Pendulum-v1"


def trained(algorithm, backend, steps=90, **options):
    reports, env = [], env_for(algorithm)
    with kernels.using(backend):
        agent = scratchac.make_agent(algorithm, env, 3, steps=400, hidden=(8,), learning_starts=30, batch_size=20,
                                     buffer_size=70, **options)
        envs = VectorEnv(env, agent.n_envs, 3, max_episode_steps=25)
        train(agent, envs, steps, lambda agent, interaction, metrics, _, updates: reports.append(
            [agent.step, updates, interaction.episodes.finished, *(metrics.get(name, 0) for name in agent.metrics)]) or False)
    return agent, reports


@pytest.mark.parametrize("algorithm, options", [
    ("sac", {}), ("sac", {"envs": 2, "train_every": 4, "gradient_steps": 3}), ("td3", {"noise": "ou", "envs": 2}), ("ddpg", {}),
    ("sac", {"noise": "ou", "envs": 2}),
    ("discrete-sac", {"envs": 2})])
def test_training_is_that_of_the_reference(algorithm, options):
    """Steps, reports, episodes, what is promised and realised, across the end of the replay buffer."""
    (ours, our_reports), (theirs, reports) = trained(algorithm, "numba", **options), trained(algorithm, "numpy", **options)
    np.testing.assert_allclose(our_reports, reports, rtol=2e-3, atol=1e-4)
    np.testing.assert_allclose(ours.theta.flat, theirs.theta.flat, rtol=1e-2, atol=1e-4)
    assert ours.rng.bit_generator.state == theirs.rng.bit_generator.state
    assert ours.batch_rng.bit_generator.state == theirs.batch_rng.bit_generator.state


@pytest.mark.parametrize("algorithm", ["sac", "td3", "ddpg", "discrete-sac"])
def test_a_value_that_is_not_finite_ends_training_as_in_the_reference(algorithm):
    """A reward of NaN is found before it is stored; parameters of NaN by the critics' loss."""
    messages, env = [], env_for(algorithm)
    for backend in ("numpy", "numba"):
        for spoil in (lambda agent, envs: agent.w.flat.fill(np.nan),
                      lambda agent, envs: setattr(envs.members[0], "step", lambda a: (envs.reset()[0], np.nan, False, False, {}))):
            with kernels.using(backend):
                agent = scratchac.make_agent(algorithm, env, 3, hidden=(8,), learning_starts=20, batch_size=20)
                envs = VectorEnv(env, 1, 3)
                spoil(agent, envs)
                with pytest.raises(TrainingError) as error:
                    train(agent, envs, 100, lambda *_: False)
                messages.append(str(error.value))
    assert messages[:2] == messages[2:]


OTHERS = {                                              # what is not compiled: the reference runs, and nothing is said
    "normalised observations": ("sac", {"normalise_obs": True}, lambda agent: None),
    "another optimiser": ("td3", {}, lambda agent: setattr(agent, "critic_optimiser", optim.SGD(agent.w.flat))),
    "an optimiser of another vector": ("td3", {}, lambda agent: setattr(agent, "critic_optimiser", optim.Adam(agent.w.flat + 1))),
    "a critic of another shape": ("ddpg", {}, lambda agent: setattr(agent, "critic", MLP((4, 9, 1), "relu"))),
}


@pytest.mark.parametrize("case", OTHERS)
def test_what_is_not_compiled_runs_the_reference_without_a_message(case, capsys):
    algorithm, options, change = OTHERS[case]
    agent = scratchac.make_agent(algorithm, "Pendulum-v1", 0, hidden=(8,), **options)
    with kernels.using("numba"):
        assert case == "normalised observations" or agent.fast_path() is not None
        change(agent)
        assert agent.fast_path() is None
    assert capsys.readouterr().err == ""


def test_pictures_run_the_reference_without_a_message(capsys):
    agent = PixelSAC(PixelSAC.config_class(hidden=(8,), buffer_size=300), gym.spaces.Box(0, 255, (3, 16, 16), np.uint8),
                     gym.spaces.Box(-1, 1, (1,)))
    with kernels.using("numba"):
        assert agent.fast_path() is None
    assert capsys.readouterr().err == ""


def test_hindsight_has_the_compiled_update():
    class Reaching(gym.Env):
        action_space = gym.spaces.Box(-1, 1, (1,), np.float32)
        observation_space = gym.spaces.Dict({name: gym.spaces.Box(-9, 9, (1,), np.float32)
                                             for name in ("observation", "achieved_goal", "desired_goal")})

        def compute_reward(self, achieved, desired, info):
            return -(np.abs(achieved - desired) > 0.5).astype(float).sum(axis=-1)

        def reset(self, **kwargs):
            super().reset(**kwargs)
            self.t, self.x = 0, np.zeros(1, np.float32)
            return self.seen(), {}

        def seen(self):
            return {"observation": self.x, "achieved_goal": self.x, "desired_goal": np.ones(1, np.float32)}

        def step(self, action):
            self.t, self.x = self.t + 1, (self.x + action).astype(np.float32)
            return self.seen(), float(self.compute_reward(self.x, np.ones(1), {})), False, self.t == 6, {}

    theta = {}
    for backend in ("numpy", "numba"):
        agent = scratchac.train("sac", Reaching, 60, backend=backend, hidden=(8,), learning_starts=20, batch_size=20, hindsight=2,
                                buffer_size=100)
        theta[backend] = agent.theta.flat
        with kernels.using(backend):
            assert (agent.fast_path() is not None) == (backend == "numba")
    np.testing.assert_allclose(theta["numba"], theta["numpy"], rtol=1e-2, atol=1e-4)


@pytest.mark.parametrize("name", ["draw", "sample", "add"])
def test_a_replaced_method_of_the_replay_buffer_is_called(name):
    with kernels.using("numba"):
        agent = scratchac.make_agent("sac", "Pendulum-v1", 0, hidden=(8,), learning_starts=20, batch_size=20)
        replaced = Mock(side_effect=getattr(agent.memory, name))
        setattr(agent.memory, name, replaced)
        train(agent, VectorEnv("Pendulum-v1", 1, 0), 22, lambda *_: False)
    assert replaced.called


def test_a_silent_unit_keeps_no_subnormal_moments():
    """The moments of a gradient that stays 0 decay to 0; in the reference they decay to subnormal numbers and stay there."""
    left = {}
    for backend in ("numpy", "numba"):
        p, g, m, v = np.ones((4, 3), np.float32)
        with kernels.using(backend):
            for t in range(1, 1_000):
                optim.adam(p, g if t == 1 else 0 * g, m, v, 1e-3, 0.9, 0.999, 1e-8, t)
        left[backend] = p, m
    assert (left["numpy"][1] > 0).all() and (left["numba"][1] == 0).all()
    np.testing.assert_allclose(left["numba"][0], left["numpy"][0], rtol=1e-6)
    v = np.full(3, 1e-38, np.float32)
    with kernels.using("numba"):
        optim.rmsprop(np.ones(3, np.float32), np.zeros(3, np.float32), v, 1e-3, 0.9, 1e-5)
    assert v.tolist() == [0, 0, 0]


@pytest.mark.parametrize("algorithm, method", [("sac", "SAC"), ("td3", "TD3"), ("ddpg", "DDPG"),
                                               ("discrete-sac", "DiscreteSAC")])
def test_a_run_says_which_compiled_update_trains_it(algorithm, method, capsys):
    scratchac.train(algorithm, env_for(algorithm), 22, backend="numba", quiet=False, hidden=(8,), learning_starts=20, batch_size=20)
    assert capsys.readouterr().err.splitlines()[0] == (
        f"scratchac: backend numba runs the compiled {algorithm.replace('-', '_')}_update in place of {method}.update; "
        'backend="numpy" runs that code itself')
