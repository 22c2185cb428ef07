"""Convolutions, the encoder, agents that learn from pictures, and the wrappers that make pictures."""

import json

import gymnasium as gym
import numpy as np
import pytest
from PIL import Image
from probes import Match

import kernels
import scratchac
from scratchac import algorithms
from scratchac.conv import Encoder, add_windows, conv2d, layer_norm, layer_norm_backward
from scratchac.environments.make import make
from scratchac.environments.spaces import space_from_json, space_to_json
from scratchac.environments.vector import VectorEnv
from scratchac.errors import EnvironmentFailed, UserError
from scratchac.experiments import conclusion
from scratchac.nn import Parameters, side_by_side
from scratchac.training.memory import ReplayBuffer, Rollout, Transitions

SMALL = gym.spaces.Box(0, 255, (3, 16, 17), np.uint8)
ACTIONS = gym.spaces.Box(-1, 1, (2,))


class Spot(Match):
    """An episode is one step; a bright spot on the left or the right of a dark picture tells which action pays."""

    observation_space = gym.spaces.Box(0, 255, (16, 16, 1), np.uint8)

    def __init__(self, continuous=False):
        if continuous:
            self.action_space = gym.spaces.Box(-1, 1, (1,))

    def draw(self, obs):
        picture = np.zeros((16, 16, 1), np.uint8)
        row, column = self.np_random.integers(1, 13, 2) // [1, 4] + [0, 9 if self.sign > 0 else 1]
        picture[row : row + 3, column : column + 3] = 255
        return picture

    def reset(self, **kwargs):
        obs, info = super().reset(**kwargs)
        return self.draw(obs), info

    def step(self, action):
        if isinstance(self.action_space, gym.spaces.Discrete):
            obs, *rest = super().step(action)
        else:
            obs, rest = None, [-float((action[0] - 0.5 * self.sign) ** 2), True, False, {}]
        return self.draw(obs), *rest


class Colours(gym.Env):
    """Each pixel of a step's picture is the number of the step, in all colours. Every third step pays 1."""

    observation_space, action_space = gym.spaces.Box(0, 255, (20, 24, 3), np.uint8), gym.spaces.Discrete(2)
    metadata = {"render_modes": ["rgb_array"]}           # noqa: RUF012

    def __init__(self, limit=100, render_mode=None):
        self.limit, self.render_mode = limit, render_mode

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return self.render(), {}

    def step(self, action):
        self.t += 1
        return self.render(), float(self.t % 3 == 0), False, self.t >= self.limit, {}

    def render(self):
        return np.full((20, 24, 3), self.t, np.uint8)


class Canvas(Colours):
    """Colours that draws into the same array again and again."""

    array = np.zeros((20, 24, 3), np.uint8)

    def render(self):
        self.array[:] = self.t
        return self.array


# -- convolution -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("k, stride", [(3, 2), (2, 3), (1, 1), (4, 1)])
def test_convolution_is_its_definition(k, stride, rng):
    """Loops over every index of the sum give the same, also where the stride does not divide a side or is less than the window."""
    x, W, b = rng.standard_normal((2, 7, 6, 3)), rng.standard_normal((k, k, 3, 5)), rng.standard_normal(5)
    y, windows = conv2d(x, W, b, stride)
    assert y.shape == (2, (7 - k) // stride + 1, (6 - k) // stride + 1, 5)
    for n, i, j, f in np.ndindex(y.shape):
        total = b[f]
        for p, q, c in np.ndindex(k, k, 3):
            total += x[n, i * stride + p, j * stride + q, c] * W[p, q, c, f]
        assert y[n, i, j, f] == pytest.approx(max(total, 0))
    # ⟨windows(x), u⟩ = ⟨x, add_windows(u)⟩: adding back is the transpose of copying out.
    u = rng.standard_normal((windows[..., 0].size, k * k * 3))
    added = add_windows(u, x.shape, W, stride)
    assert (windows * u.reshape(windows.shape)).sum() == pytest.approx((x * added).sum())


def test_a_known_convolution():
    """The edge detector [−1, 1] (with an empty second row) finds a step from 0 to 5."""
    x = np.tile([0.0, 0, 5, 5], (2, 1)).reshape(1, 2, 4, 1)
    W = np.array([[-1.0, 1], [0, 0]]).reshape(2, 2, 1, 1)
    assert conv2d(x, W, np.zeros(1), 1)[0].ravel().tolist() == [0, 5, 0]
    assert conv2d(x, W, np.array([-2.0]), 1)[0].ravel().tolist() == [0, 3, 0]


# -- the encoder -----------------------------------------------------------------------------------------------------


def encoder(shape=(3, 16, 17), dtype=np.float64):
    made = Encoder(shape)
    params = Parameters(made.shapes(), dtype)
    made.initialise(params, np.random.default_rng(0))
    return made, params


def test_uint8_is_scaled_not_wrapped_and_layouts_agree(rng):
    """A picture has the same features as uint8 and as floats, with channels first and last, and each row of them is normalised."""
    made, params = encoder()
    pictures = rng.integers(256, size=(4, *made.shape), dtype=np.uint8)
    features, cache = made.forward(params, pictures)
    np.testing.assert_allclose(made.forward(params, pictures.astype(float))[0], features)
    last = Encoder((16, 17, 3))
    np.testing.assert_allclose(last.forward(params, np.moveaxis(pictures, 1, -1))[0], features)
    z = np.arctanh(features)
    np.testing.assert_allclose([z.mean(axis=1), z.std(axis=1)], [[0] * 4, [1] * 4], atol=1e-3)
    assert cache[0][0][0] == (4, 16, 17, 3)
    assert not last.channels_first and made.channels_first


def test_the_smallest_picture():
    assert Encoder((1, 16, 16)).sides == [(16, 16), (7, 7), (3, 3), (1, 1)]
    with pytest.raises(UserError, match="too small"):
        Encoder((1, 16, 15))


def test_the_layers_of_the_encoder():
    """Of 84 × 84 pixels (84 − 4)//2 + 1 = 41 are left, then 20, then 9."""
    assert Encoder((3, 84, 84)).shapes() == {
        "K1": (4, 4, 3, 16), "c1": (16,), "K2": (3, 3, 16, 32), "c2": (32,), "K3": (3, 3, 32, 32), "c3": (32,),
        "W": (9 * 9 * 32, 128), "b": (128,)}


def test_filters_begin_anew_with_their_gains():
    """As matrices of k²C rows, orthogonal filters have the gain √2 and the last layer 1; He's formula has its own."""
    made, params = encoder()
    params.flat[:] = 7
    made.initialise(params, np.random.default_rng(1))
    for name, gain in (("K1", np.sqrt(2)), ("K2", np.sqrt(2)), ("K3", np.sqrt(2)), ("W", 1)):
        np.testing.assert_allclose(np.linalg.svd(params[name].reshape(-1, params[name].shape[-1]))[1], gain, rtol=1e-12)
    assert not any(params[name].any() for name in ("c1", "c2", "c3", "b"))
    made.initialise(params, np.random.default_rng(1), "he")
    assert params["K3"].std() == pytest.approx(np.sqrt(2 / (9 * 32)), rel=0.05)


def test_any_range_of_values_becomes_0_to_1(rng):
    """Pictures p of [0, 255] and p/100 − 1 of [−1, 1.55] have the same features."""
    made, params = encoder()
    pictures = rng.integers(256, size=(4, *made.shape), dtype=np.uint8)
    shifted = Encoder(made.shape, low=-1.0, high=1.55).forward(params, pictures / 100 - 1)[0]
    np.testing.assert_allclose(shifted, made.forward(params, pictures)[0], rtol=1e-9)


def test_layer_norm_by_hand():
    """The row (1, 3) has the mean 2 and the variance 1; a row of equal numbers becomes 0. Leading axes are free."""
    z, deviation = layer_norm(np.array([[1.0, 3.0], [5.0, 5.0]]), eps=0.0625)
    np.testing.assert_allclose(deviation, [[np.sqrt(1.0625)], [0.25]])
    np.testing.assert_allclose(z, [[-1 / np.sqrt(1.0625), 1 / np.sqrt(1.0625)], [0, 0]])
    x, dz = np.random.default_rng(0).standard_normal((2, 3, 4, 5))
    z, deviation = layer_norm(x)
    dx = layer_norm_backward(dz, z, deviation)
    for k in range(3):
        np.testing.assert_allclose(z[k], layer_norm(x[k])[0])
        np.testing.assert_allclose(dx[k], layer_norm_backward(dz[k], z[k], deviation[k]))


def test_backward_leaves_its_cache_alone_and_float32_stays(rng):
    made, params = encoder(dtype=np.float32)
    features, cache = made.forward(params, rng.integers(256, size=(2, *made.shape), dtype=np.uint8))
    dx = rng.standard_normal(features.shape, np.float32)
    grads, again = params.zeros_like(), params.zeros_like()
    scaled = made.backward(params, cache, dx, grads, input_gradient=True)
    assert made.backward(params, cache, dx, again) is None
    assert np.array_equal(grads.flat, again.flat) and grads.flat.any()
    assert features.dtype == scaled.dtype == np.float32 and scaled.shape == (2, 16, 17, 3)


def test_shifted_pictures_are_pieces_of_the_padded_one(rng):
    """Every shift occurs, each picture has its own, and all channels of a picture move together."""
    made = Encoder((2, 16, 17))
    numbers = np.arange(2 * 16 * 17).reshape(2, 16, 17)
    shifted = made.shift(np.stack([numbers] * 300), rng)
    assert shifted.shape == (300, 2, 16, 17)
    assert np.array_equal(shifted[:, 1], shifted[:, 0] + 16 * 17)
    middles = {int(x) for x in shifted[:, 0, 8, 8]}
    assert middles == {17 * (8 + up) + 8 + left for up in range(-2, 3) for left in range(-2, 3)}
    last = Encoder((16, 17, 2)).shift(np.stack([np.moveaxis(numbers, 0, -1)] * 300), np.random.default_rng(12345))
    assert last.shape == (300, 16, 17, 2) and np.array_equal(np.moveaxis(last, -1, 1), shifted)


# -- agents ----------------------------------------------------------------------------------------------------------


def make_agent(algorithm, observation_space, action_space=ACTIONS, **options):
    config = algorithms.find(algorithm).config_class(**options)
    return algorithms.make(algorithm, config, observation_space, action_space)


def sac(**options):
    return make_agent("sac", SMALL, **({"hidden": (8,), "batch_size": 8, "learning_starts": 8, "buffer_size": 50} | options))


def minibatch(rng, rows=8):
    obs, next_obs = rng.integers(256, size=(2, rows, *SMALL.shape), dtype=np.uint8)
    a, r = rng.uniform(-1, 1, (rows, 2)).astype(np.float32), rng.standard_normal(rows, np.float32)
    return Transitions(obs, a, r, next_obs, np.zeros(rows, np.float32))


@pytest.mark.parametrize("algorithm", ["ppo", "sac"])
def test_a_new_agent_has_drawn_its_weights(algorithm):
    agent = sac() if algorithm == "sac" else make_agent(algorithm, SMALL).model
    for params in (agent.theta, agent.w, agent.phi):
        assert all(params[name].all() if name[0] in "KW" else not params[name].any() for name in params.shapes)


def test_the_targets_of_sac_are_copied_and_saved(rng):
    """After an update online and target parameters differ, and both are saved, each in its own place."""
    agent, saved = sac(), sac()
    assert np.array_equal(agent.target, agent.online) and not np.shares_memory(agent.target, agent.online)
    agent.update(minibatch(rng))
    saved.load_state(agent.state())
    assert np.array_equal(saved.target, agent.target) and np.array_equal(saved.online, agent.online)
    assert not np.array_equal(saved.target, saved.online)


def test_sac_takes_pictures_with_actions_in_a_box_alone():
    agent = make_agent("sac", SMALL, gym.spaces.Box(np.float32([-1, -3]), np.float32([2, 5])))
    np.testing.assert_array_equal(agent.dist.to_env(np.array([[-1, -1], [0, 0.5], [1, 1]])), [[-1, -3], [0.5, 3], [2, 5]])
    with pytest.raises(UserError, match=r"^sac needs continuous actions, a Box, not Discrete"):
        make_agent("sac", SMALL, gym.spaces.Discrete(2))


def test_only_the_critics_loss_trains_sacs_encoder(rng):
    """With the critics' optimiser held still, the encoder stays as it is, bit by bit, while the actor moves."""
    agent, batch = sac(), minibatch(rng)
    agent.critic_optimiser.step = lambda grad, lr: None
    phi, theta = agent.phi.flat.copy(), agent.theta.flat.copy()
    agent.update(batch)
    assert np.array_equal(agent.phi.flat, phi) and not np.array_equal(agent.theta.flat, theta)
    moving = sac()
    moving.update(batch)
    assert not np.array_equal(moving.phi.flat, phi)
    np.testing.assert_allclose(moving.phi_target.flat, phi + 0.005 * (moving.phi.flat - phi), rtol=1e-4, atol=1e-7)


def test_rates_and_a_given_temperature_follow_their_schedules(rng):
    """Halfway through training, what falls linearly to 0 is half of what it was."""
    options, batch = {"learn_alpha": False, "steps": 100}, minibatch(rng)
    moving = sac(actor_lr="linear:0.02:0", critic_lr="linear:0.02:0", alpha="linear:0.4:0", **options)
    constant = sac(actor_lr=0.01, critic_lr=0.01, alpha=0.2, **options)
    for agent in (moving, constant):
        agent.step = 50
        assert agent.update(batch)["alpha"] == pytest.approx(0.2) == agent.temperature()
    np.testing.assert_allclose(moving.online, constant.online, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(moving.theta.flat, constant.theta.flat, rtol=1e-5, atol=1e-6)


def test_sac_learns_from_shifted_pictures_only(rng, monkeypatch):
    """An update encodes the observations once and the next ones twice, and each time what `shift` has made of them."""
    agent, batch, seen = sac(), minibatch(rng), []
    monkeypatch.setattr(Encoder, "shift", lambda self, pictures, rng: pictures // 2)
    forward = Encoder.forward
    monkeypatch.setattr(Encoder, "forward", lambda self, params, x: (seen.append((params, x)), forward(self, params, x))[1])
    agent.update(batch)
    expected = [(agent.phi, batch.obs), (agent.phi, batch.next_obs), (agent.phi_target, batch.next_obs)]
    assert len(seen) == 3
    for (params, pictures), (wanted, original) in zip(seen, expected, strict=True):
        assert params is wanted and np.array_equal(pictures, original // 2)


def test_a_rollout_and_a_replay_keep_bytes(rng):
    memory = ReplayBuffer(10, SMALL, (2,))
    pictures = rng.integers(256, size=(4, *SMALL.shape), dtype=np.uint8)
    memory.add(obs=pictures, actions=np.zeros((4, 2)), rewards=np.zeros(4), next_obs=pictures, term=np.zeros(4), trunc=np.zeros(4))
    assert memory.sample(rng, 3).obs.dtype == np.uint8 and memory.data["next_obs"].nbytes == 10 * 3 * 16 * 17
    rollout = Rollout()
    for _ in range(2):
        rollout.add(pictures, np.zeros(4), np.zeros(4), pictures, np.zeros(4, bool), np.zeros(4, bool), np.zeros(4, int))
    assert rollout.take().obs.dtype == np.uint8


@pytest.mark.parametrize("shape", [(3, 16, 17), (16, 17, 3)])
def test_spaces_of_pictures_go_through_json(shape):
    space = gym.spaces.Box(0, 255, shape, np.uint8)
    assert space_from_json(json.loads(json.dumps(space_to_json(space)))) == space


@pytest.mark.parametrize("algorithm", ["ppo", "sac"])
def test_act_takes_one_picture_or_several(algorithm, rng):
    agent = sac() if algorithm == "sac" else make_agent(algorithm, SMALL)
    pictures = rng.integers(256, size=(5, *SMALL.shape), dtype=np.uint8)
    if algorithm == "ppo":
        assert agent.behaviour.see(pictures).dtype == np.uint8                  # a quarter of the memory, until the encoder
    together = agent.act(pictures, explore=False)
    assert together.shape == (5, 2)
    np.testing.assert_allclose(agent.act(pictures[3], explore=False), together[3], rtol=1e-4, atol=1e-6)


def test_the_initial_spread_of_ppo():
    """A Gaussian's σ is the one asked for, or the start of its schedule. Discrete actions have none."""
    for given in (0.3, "linear:0.3:0.1"):
        agent = make_agent("ppo", gym.spaces.Box(-1, 1, (3,)), initial_std=given)
        np.testing.assert_allclose(np.exp(agent.model.policy(np.zeros((1, 3), np.float32))[0, :2]), 0.3, rtol=1e-6)
    make_agent("ppo", gym.spaces.Box(-1, 1, (3,)), gym.spaces.Discrete(2), initial_std=0.3)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_ppo_finds_the_spot(backend):
    """Guessing is worth .5. Each of 20 other seeds solved it."""
    if backend == "numba":
        pytest.importorskip("numba")
    agent = scratchac.train("ppo", Spot, steps=2_000, rollout=32, batch_size=64, epochs=4, lr=1e-3, hidden=(16,), backend=backend)
    assert scratchac.evaluate(agent, Spot, 100).mean() > 0.9


@pytest.mark.slow
def test_sac_finds_the_spot():
    """The best action is ±½, and the action 0 is worth −.25. Over 20 seeds the outcome was between −.09 and 0."""
    agent = scratchac.train("sac", Spot, steps=600, env_args={"continuous": True}, batch_size=32, learning_starts=100, hidden=(32,),
                            buffer_size=600, alpha=0.01, learn_alpha=False, critic_lr=3e-3, actor_lr=3e-3, gamma=0.0)
    assert scratchac.evaluate(agent, Spot, 100, continuous=True).mean() > -0.15


def test_pictures_on_a_device(monkeypatch):
    """On the stand-in for a GPU no array of the host meets one of the device, and the same is learnt; convolutions wait there."""
    monkeypatch.setitem(kernels.BACKENDS, "double", ("device_double", "DeviceBackend", ""))
    options = {"env_args": {"continuous": True}, "batch_size": 8, "learning_starts": 10, "buffer_size": 30, "hidden": (8,)}
    reference = scratchac.train("sac", Spot, 14, backend="numpy", **options)
    ours = scratchac.train("sac", Spot, 14, backend="double", **options)
    assert np.array_equal(ours.online, reference.online) and np.array_equal(ours.theta.flat, reference.theta.flat)


@pytest.mark.slow
def test_a_run_on_pictures_is_resumed(tmp_path, monkeypatch):
    """The folder alone brings back the settings of the pictures, the parameters and the replay buffer of bytes."""
    pytest.importorskip("Box2D")
    monkeypatch.setattr(conclusion, "EVALUATION_EPISODES", 1)
    options = {"batch_size": 8, "learning_starts": 10, "buffer_size": 60, "hidden": (8,)}
    pixels = {"size": 16, "stack": 2, "repeat": 50}
    scratchac.train("sac", "CarRacing-v3", steps=14, out=tmp_path / "run", env_args={"pixels": pixels}, **options)
    agent = scratchac.resume(tmp_path / "run", steps=18)
    assert agent.step == 18 and len(agent.memory) == 18 and agent.memory.data["obs"].shape == (60, 2, 16, 16)
    assert scratchac.load(tmp_path / "run").act(np.zeros((2, 16, 16), np.uint8)).shape == (3,)


# -- pictures by wrappers ----------------------------------------------------------------------------------------------


def test_frames_are_grey_small_and_stacked():
    env = make(Colours, pixels={"size": 16, "stack": 3, "repeat": 2})
    first, _ = env.reset(seed=0)
    assert first.shape == (3, 16, 16) and first.dtype == np.uint8
    obs, reward, *_ = env.step(0)
    assert obs[:, 0, 0].tolist() == [0, 0, 2] and reward == 0
    obs, reward, *_ = env.step(0)
    assert obs[:, 0, 0].tolist() == [0, 2, 4] and reward == 1


@pytest.mark.parametrize("picture, message", [
    (np.full((20, 24, 3), 0.7), "the value 0.7, and the dtype of its space is uint8"),
    (np.full((20, 24, 3), 300), "the value 300"), (np.zeros((24, 20, 3), np.uint8), r"of shape \(24, 20, 3\), and its space says"),
    (np.zeros((20, 24, 4), np.uint8), r"of shape \(20, 24, 4\)")], ids=["between", "large", "turned", "transparent"])
def test_pictures_that_their_space_does_not_hold_are_an_error(picture, message):
    """Grey, they would be pictures of bytes, and of the right size."""
    class Wrong(Colours):
        def render(self):
            return super().render() if self.t < 2 else picture

    venv = VectorEnv(Wrong, 1, 0, pixels={"size": 16, "repeat": 2})
    venv.reset()
    with pytest.raises(EnvironmentFailed, match=f"environment 0 at step 1 of its episode raised ValueError: .*{message}"):
        venv.step([0])


def test_patience_ends_episodes_of_training_alone():
    """Every third frame pays, so a patience of 2 actions runs out at once and one of 3 never does."""
    for patience, training, expected in ((2, True, 2), (3, True, 50), (2, False, 50)):
        env = make(Colours, pixels={"size": 16, "patience": patience}, training=training, limit=50)
        env.reset()
        steps, over = 0, False
        while not over:
            *_, term, trunc, _ = env.step(0)
            steps, over = steps + 1, trunc
            assert not term
        assert steps == expected
    venv = VectorEnv(Colours, 2, 0, pixels={"size": 16, "patience": 2})
    venv.reset()
    assert not venv.step([0, 0])[4].any() and venv.step([0, 0])[4].all()
    venv.close()


def test_a_film_has_every_frame():
    from scratchac.experiments.video import render

    class Still:
        def act(self, obs, explore):
            return 0

    for env, settings in ((Colours, {"size": 16, "repeat": 4}), (Canvas, {"size": 16, "repeat": 4}), (Canvas, None)):
        frames = render(Still(), env, pixels=settings, limit=10)
        assert [frame[0, 0, 0] for frame in frames] == list(range(11))


def test_grey_is_that_of_gymnasium():
    """The same weights of red, green and blue; it rounds down, and Pillow to the nearest."""
    class Painted(Colours):
        def render(self):
            return np.random.default_rng(self.t).integers(0, 256, (20, 24, 3)).astype(np.uint8)

    env = Painted()
    plain, _ = env.reset(seed=0)
    ours = make(Painted, pixels={"size": 20, "stack": 1}).reset(seed=0)[0]
    theirs = gym.wrappers.GrayscaleObservation(env).observation(plain)
    box = np.asarray(Image.fromarray(theirs).resize((20, 20), Image.Resampling.BOX))
    assert np.ptp(theirs) > 100 and np.abs(ours[0].astype(int) - box).max() <= 1


def test_frames_that_nobody_sees_do_not_matter():
    """CarRacing draws one frame in eight; its picture and the sum of its rewards are what drawing all of them gives."""
    pytest.importorskip("Box2D")
    single, repeated = (make("CarRacing-v3", pixels={"size": 96, "stack": 1, "repeat": repeat}) for repeat in (1, 8))
    single.reset(seed=3)
    repeated.reset(seed=3)
    for action in np.float32([[0, 1, 0], [0.3, 0.5, 0], [-1, 0, 0.2]]):
        total = 0.0
        for _ in range(8):
            obs, reward, *_ = single.step(action)
            total += reward
        seen, rewards, *_ = repeated.step(action)
        assert np.array_equal(seen, obs) and rewards == pytest.approx(total)
    single.close()
    repeated.close()


@pytest.mark.parametrize("settings, message", [
    ({"sise": 48}, "did you mean size"), ({"size": 0}, "at least 1"), ({"repeat": 2.5}, "whole number"), ("grey", "takes size"),
    ({"stack": True}, "whole number"),
])
def test_wrong_settings_are_told_in_one_line(settings, message):
    with pytest.raises(UserError, match=message) as caught:
        make(Colours, pixels=settings)
    assert "\n" not in str(caught.value)


def test_what_is_no_picture_is_told():
    with pytest.raises(UserError, match="needs coloured pictures"):
        make("CartPole-v1", pixels={})
    for algorithm in algorithms.ALGORITHMS:
        if algorithm not in ("ppo", "sac"):
            with pytest.raises(UserError, match="ppo and sac"):
                scratchac.make_agent(algorithm, Spot)
    with pytest.raises(UserError, match="normalise_obs"):
        scratchac.make_agent("ppo", Spot, normalise_obs=True)


def test_flat_vectors_side_by_side():
    flat, (a, b, c) = side_by_side([{"x": (2, 3)}, {}, {"y": (4,)}], np.float32)
    flat[:] = np.arange(10)
    assert a["x"].tolist() == [[0, 1, 2], [3, 4, 5]] and b.flat.size == 0 and c["y"].tolist() == [6, 7, 8, 9]
    c["y"][0] = -1
    assert flat[6] == -1 and flat.dtype == np.float32
