"""An exported policy acts as NumPy does, in a web page (shown by a real browser) and in ONNX's runtime."""

import re
import sys
from dataclasses import asdict
from itertools import pairwise

import gymnasium as gym
import numpy as np
import pytest

import scratchac
from scratchac.__main__ import main
from scratchac.distributions import Categorical, Deterministic
from scratchac.environments.spaces import space_to_json
from scratchac.experiments.reporter import COUNTERS
from scratchac.experiments.run import Run
from scratchac.tools.export import PAGES, export, policy_of

SMALL = {"hidden": (16, 16)}
OFF = {**SMALL, "buffer_size": 300}
CASES = {                                               # every algorithm, every distribution, both activations
    "reinforce": ("reinforce", "CartPole-v1", SMALL),
    "reinforce-baseline": ("reinforce-baseline", "CartPole-v1", SMALL | {"activation": "relu"}),
    "actor-critic": ("actor-critic", "MountainCarContinuous-v0", SMALL),
    "a2c": ("a2c", "Acrobot-v1", SMALL | {"normalise_obs": True, "scale_rewards": True}),
    "a2c, Q − V": ("a2c", "CartPole-v1", SMALL | {"advantage": "qv", "normalise_obs": True}),
    "a2c, shared body": ("a2c", "Pendulum-v1", SMALL | {"shared_body": True, "critic_steps": 1}),
    "a2c, shared body, σ(s)": ("a2c", "Pendulum-v1", SMALL | {"shared_body": True, "critic_steps": 1,
                               "state_dependent_std": True}),
    "a3c": ("a3c", "Pendulum-v1", SMALL | {"state_dependent_std": True}),
    "a3c, in the box's own units": ("a3c", "Pendulum-v1", SMALL | {"scale_actions": False}),
    "ppo": ("ppo", "Pendulum-v1", SMALL | {"normalise_obs": True, "scale_rewards": True}),
    "ddpg": ("ddpg", "MountainCarContinuous-v0", OFF | {"hidden": (16,)}),
    "td3": ("td3", "Pendulum-v1", OFF | {"activation": "tanh"}),
    "sac": ("sac", "Pendulum-v1", OFF),
    "sac, clamp, normalised": ("sac", "Pendulum-v1", OFF | {"log_std": "clamp", "normalise_obs": True}),
    "discrete-sac": ("discrete-sac", "Acrobot-v1", OFF),
    "discrete-sac, normalised": ("discrete-sac", "CartPole-v1", OFF | {"normalise_obs": True}),
}


def save(agent, path, algorithm, env, changed=None):
    """A run's folder, as `train` would leave it, but for what is made for people; `changed` replaces what config.json says."""
    made = gym.make(env)
    run = Run.create(path, {
        "algorithm": algorithm, "env": env, "env_is_callable": False, "seed": 0, "backend": "numpy", "vector": "sync",
        "randomise": False, "env_args": {}, "hyperparameters": asdict(agent.config),
        "observation_space": space_to_json(made.observation_space), "action_space": space_to_json(made.action_space),
        **(changed or {})})
    run.save(agent.state(), COUNTERS | {"target": max(1, agent.step), "sums": {}}, None)
    return path


def disturbed(algorithm, env, **hyperparameters):
    """An agent that has learnt nothing, but whose networks, normalisers and temperature are those of one that has."""
    rng = np.random.default_rng(1)
    agent = scratchac.make_agent(algorithm, env, **hyperparameters)
    for part in (getattr(agent, name) for name in ("model", "params", "theta", "w") if hasattr(agent, name)):
        part.flat += 0.3 * rng.standard_normal(part.flat.shape).astype(np.float32)
    if getattr(agent, "normaliser", None):
        agent.normaliser.update(0.7 + 1.5 * rng.standard_normal((50, len(agent.normaliser.mean))))
    if getattr(agent, "scaler", None):
        agent.scaler.std.update(3 * rng.standard_normal(50))
    if hasattr(agent, "log_alpha"):
        agent.log_alpha[:] = -1.5
    return agent


@pytest.fixture(params=CASES)
def case(request, tmp_path):
    algorithm, env, hyperparameters = CASES[request.param]
    agent = disturbed(algorithm, env, **hyperparameters)
    return agent, save(agent, tmp_path / "run", algorithm, env), env


def observations(env, rows, seed=0):
    """Normally distributed observations; every tenth is so far out that a normaliser clips it."""
    obs = np.random.default_rng(seed).standard_normal((rows, *gym.make(env).observation_space.shape)).astype(np.float32)
    obs[::10] *= 20
    return obs


# -- in a browser ----------------------------------------------------------------------------------------------------


PLAY = """([rows, noises]) => {
    const {policy, act, value, prospect, tdError} = scratchac;
    return rows.map((obs, i) => {
        const greedy = act(policy, obs), sampled = act(policy, obs, noises[i]), next = rows[(i + 1) % rows.length];
        const seen = {obs, raw: sampled.raw, reward: -1.5, next}, eps = [noises[i]].flat();
        return {greedy: greedy.env, sampled: sampled.env, raw: sampled.raw, value: policy.critic && value(policy, obs, sampled.raw),
                on: policy.critic && tdError(policy, {...seen, terminated: false}, eps),
                over: policy.critic && tdError(policy, {...seen, terminated: true}, eps)};
    });
}"""


@pytest.mark.slow
def test_the_page_acts_and_values_as_numpy_does(case, visit):
    agent, folder, env = case
    obs = observations(env, 100)
    rng = np.random.default_rng(2)
    dist = agent.dist
    if isinstance(dist, Deterministic):                                     # a tanh actor, and noise of its own
        noise = 0.3 * rng.standard_normal((100, 1))
        raw = np.clip(agent.greedy(obs) + noise, -1, 1)
    elif agent.family == "off-policy":
        noise = dist.noise(rng, 100)
        raw = dist.sample(agent.actor.forward(agent.theta, agent.see(obs))[0], noise)
        raw = raw[0] if isinstance(raw, tuple) else raw
    else:
        noise = dist.noise(rng, 100)
        raw = dist.sample(agent.behaviour.policy(agent.behaviour.see(obs)), noise)

    page = visit(export(folder))
    got = page.evaluate(PLAY, [obs.tolist(), noise.tolist()])
    close = {"rtol": 1e-5, "atol": 1e-5}
    np.testing.assert_allclose([x["greedy"] for x in got], agent.act(obs, explore=False), **close)
    np.testing.assert_allclose([x["sampled"] for x in got], agent.dist.to_env(raw), **close)
    np.testing.assert_allclose([x["raw"] for x in got], raw, **close)
    assert len(np.unique([x["greedy"] for x in got])) > 1
    if agent.networks().critic is None:
        assert page.evaluate("scratchac.policy.critic") is None
        return
    now, future = critic(agent, obs, raw, np.roll(obs, -1, axis=0), noise)
    c = 1 / agent.scaler.std.std if getattr(agent, "scaler", None) else 1
    np.testing.assert_allclose([x["value"] for x in got], now, **close)
    np.testing.assert_allclose([x["over"] for x in got], -1.5 * c - now, **close)
    np.testing.assert_allclose([x["on"] for x in got], -1.5 * c + agent.config.gamma * future - now, **close)


def critic(agent, obs, raw, next_obs, noise):
    """V(s) or the smaller Q(s, a), and the value of s′ as in the algorithm's target, but by the online networks."""
    if agent.family != "off-policy":
        return tuple(agent.model.value(agent.behaviour.see(x))[:, 0] for x in (obs, next_obs))
    s, s2 = agent.see(obs), agent.see(next_obs)
    if isinstance(agent.dist, Deterministic):
        a2, alpha, logp = agent.greedy(next_obs), 0, 0
    elif isinstance(agent.dist, Categorical):
        q, log_pi = (f(s2) for f in (lambda s: agent.critic.forward(agent.w, s)[0].min(axis=0),
                                           lambda s: np.log(softmax(agent.actor.forward(agent.theta, s)[0]))))
        return agent.value(obs, raw), (np.exp(log_pi) * (q - np.exp(agent.log_alpha) * log_pi)).sum(axis=1)
    else:
        (a2, logp, _), alpha = agent.dist.sample(agent.actor.forward(agent.theta, s2)[0], noise), np.exp(agent.log_alpha)

    def smaller(s, a):
        q = agent.critic.forward(agent.w, np.concatenate([s, a], axis=1).astype(np.float32))[0][..., 0]
        return q.min(axis=0) if q.ndim > 1 else q

    return smaller(s, raw), smaller(s2, a2) - alpha * logp


def softmax(y):
    e = np.exp(y - y.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


WALK = """([env, actions, starts, settings]) => {
    const world = scratchac.physics[env], seen = [];
    let state = starts[0], episode = 0, t = 0;
    for (const action of actions) {
        const {state: next, reward, terminated} = world.step(state, action, {push: [0, 0], ...settings});
        const over = terminated || ++t >= world.limit;
        seen.push([...next, ...world.observe(next), reward, terminated, over]);
        state = over ? starts[++episode] : next;
        if (over) t = 0;
    }
    return seen;
}"""


@pytest.fixture(scope="module")
def any_page(tmp_path_factory):
    agent = disturbed("a2c", "CartPole-v1", **SMALL)
    return export(save(agent, tmp_path_factory.mktemp("page") / "run", "a2c", "CartPole-v1"))


@pytest.mark.slow
@pytest.mark.parametrize("env, kwargs, gravity, settings", [
    *((env, {}, None, {}) for env in PAGES), ("CartPole-v1", {"sutton_barto_reward": True}, 15.0, {"sutton_barto_reward": True}),
    ("Pendulum-v1", {"g": 3.0}, 3.0, {}), ("MountainCarContinuous-v0", {"goal_velocity": 0.05}, None, {"goal_velocity": 0.05})])
def test_physics_is_gymnasiums(env, kwargs, gravity, settings, any_page, visit):
    """The same 1,100 actions give the same states, rewards and ends of episodes in the page and in Gymnasium."""
    made, rng = gym.make(env, **kwargs), np.random.default_rng(3)
    if env == "CartPole-v1" and gravity:
        made.unwrapped.gravity = gravity
    starts, seen, actions = [], [], []

    def begin(**seed):
        made.reset(**seed)
        if env == "CartPole-v1" and len(starts) % 3 == 1:                   # near the end of the track, which chance hardly reaches
            made.unwrapped.state = np.array([2.3 * (-1) ** len(starts), (-1.0) ** len(starts), 0, 0])
        starts.append(made.unwrapped.state.tolist())

    begin(seed=0)
    for i in range(1_100):
        if env in ("CartPole-v1", "Acrobot-v1"):
            action = int(rng.integers(made.action_space.n))
        elif env == "Pendulum-v1":
            action = [float(rng.integers(-128, 129)) / 64]                  # exact in float32, three times as much too
        else:                                                               # along with the car, most of the time: it gets there
            action = [float(np.sign(made.unwrapped.state[1] or 1)) if i % 5 else float(rng.integers(-64, 65)) / 64]
        obs, reward, term, trunc, _ = made.step(action if isinstance(action, int) else np.array(action, np.float32))
        seen.append([*made.unwrapped.state, *obs, float(reward), float(term), float(term or trunc)])
        actions.append(action)
        if term or trunc:
            begin()
    assert len(starts) > 1
    got = visit(any_page).evaluate(WALK, [env, actions, starts, {"gravity": gravity or {
        "CartPole-v1": 9.8, "Pendulum-v1": 10, "Acrobot-v1": 9.8, "MountainCarContinuous-v0": 0.0025}[env], **settings}])
    np.testing.assert_allclose(np.array(got, float)[:200], np.array(seen)[:200], rtol=0, atol=1e-6)
    np.testing.assert_allclose(np.array(got, float), np.array(seen), rtol=0, atol=1e-4)


def until(page, condition):
    """Wait for a condition. Playwright's own function uses eval, which the page forbids."""
    for _ in range(500):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(20)
    raise AssertionError(f"never: {condition}")


@pytest.mark.slow
def test_a_trained_cart_stays_up(tmp_path, visit):
    """From Gymnasium's first states it stays up for 500 steps in five episodes; under a strong push it falls."""
    agent = scratchac.train("ppo", "CartPole-v1", seed=0)
    page = visit(export(save(agent, tmp_path / "run", "ppo", "CartPole-v1")))
    made = gym.make("CartPole-v1")
    made.reset(seed=1)
    starts = [made.reset() and made.unwrapped.state.tolist() for _ in range(5)]
    balance = """([starts, push]) => starts.map((state) => {
        const {policy, act, physics} = scratchac, world = physics["CartPole-v1"];
        let steps = 0, terminated = false;
        for (; steps < 500 && !terminated; steps++) {
            const {env} = act(policy, world.observe(state));
            ({state, terminated} = world.step(state, env, {gravity: 9.8, push: [push, 0]}));
        }
        return steps;
    })"""
    assert page.evaluate(balance, [starts, 0]) == [500] * 5
    assert min(page.evaluate(balance, [starts, 12])) < 100


@pytest.mark.slow
def test_the_page_is_played_and_disturbed(any_page, visit):
    page = visit(any_page, viewport={"width": 1280, "height": 860})
    steps = "scratchac.game.ticks"
    until(page, f"{steps} > 3")
    page.keyboard.press("Space")
    assert page.inner_text("#pause") == "Play"
    stopped = page.evaluate(steps)
    page.wait_for_timeout(100)
    assert page.evaluate(steps) == stopped
    page.keyboard.press("r")
    assert page.evaluate("scratchac.game.steps") == 0

    page.keyboard.down("ArrowRight")                                        # a push plays on, and stays until the key is let go
    until(page, "scratchac.settings.push[0] > 5")
    page.keyboard.up("ArrowRight")
    until(page, "scratchac.settings.push[0] === 0")
    world = page.locator("#world").bounding_box()
    page.mouse.move(world["x"] + 5, world["y"] + world["height"] / 2)
    page.mouse.down()
    until(page, "scratchac.settings.push[0] < -5")
    page.mouse.up()
    until(page, "scratchac.settings.push[0] === 0")

    assert page.evaluate("scratchac.settings.gravity") == 9.8 and page.is_disabled("#gravity-default")
    page.focus("#gravity")
    page.keyboard.press("ArrowRight")                                       # moves the slider and pushes nothing
    assert page.evaluate("scratchac.settings.gravity") == 9.9 and page.evaluate("scratchac.settings.push[0]") == 0
    page.click("#gravity-default")
    assert page.evaluate("scratchac.settings.gravity") == 9.8
    page.click("text=Sample the actions")
    assert page.evaluate("scratchac.game.sampled")
    until(page, "scratchac.game.over !== null")                             # an episode ends, and the next one begins
    assert "fell after" in page.inner_text("#verdict") and page.inner_text("#returns") != "–"
    until(page, "scratchac.game.over === null")


@pytest.mark.slow
def test_the_page_has_the_time_limit_of_the_training(tmp_path, visit):
    folder = tmp_path / "run"
    scratchac.train("sac", "Pendulum-v1", 50, out=folder, env_args={"max_episode_steps": 30}, learning_starts=20, batch_size=16,
                    **SMALL)
    page = visit(export(folder))
    until(page, "scratchac.game.over !== null")
    assert page.inner_text("#verdict").startswith("stopped at the time limit after 30 steps")
    assert page.inner_text("#steps").endswith("/ 30")


@pytest.mark.slow
def test_an_episode_without_a_time_limit_has_none_on_the_page(tmp_path, visit):
    folder = tmp_path / "run"
    scratchac.train("sac", "Pendulum-v1", 50, out=folder, env_args={"max_episode_steps": -1}, learning_starts=20, batch_size=16,
                    eval_episodes=0, **SMALL)                               # an evaluation would go on for 100,000 steps
    page = visit(export(folder))
    until(page, "scratchac.game.steps > 5")
    assert page.inner_text("#steps").endswith("/ ∞")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a2c", "ppo", "sac", "ddpg", "reinforce"])
def test_a_page_on_a_phone(name, tmp_path, visit):
    """The page fits the screen, its controls are 44 pixels high, and with reduced motion nothing moves before it is asked to."""
    algorithm, env, hyperparameters = CASES[name]
    path = export(save(disturbed(algorithm, env, **hyperparameters), tmp_path / "run", algorithm, env))
    page = visit(path, viewport={"width": 360, "height": 740}, color_scheme="dark", reduced_motion="reduce", has_touch=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    boxes = {x.get_attribute("id"): x.bounding_box() for x in page.locator("button, input[type=range], label.switch").all()}
    assert len(boxes) == 8 and min(box["height"] for box in boxes.values()) >= 44
    assert page.evaluate("scratchac.game.ticks") == 0
    page.tap("#pause")
    until(page, "scratchac.game.ticks > 5")
    assert page.is_visible("#delta-figure") == (name != "reinforce")
    drawn = """[...document.querySelectorAll("canvas")].filter((canvas) => canvas.clientHeight).filter((canvas) =>
        canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.some((byte) => byte > 0)).length"""
    until(page, f"{drawn} === {3 if name == 'reinforce' else 4}")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a2c", "sac"])
@pytest.mark.parametrize("width, height", [(844, 390), (667, 375), (568, 320)])
def test_a_page_on_a_phone_held_sideways(name, width, height, tmp_path, visit):
    """All controls are on the first screen, 44 pixels high, and the world has half of its height."""
    algorithm, env, hyperparameters = CASES[name]
    path = export(save(disturbed(algorithm, env, **hyperparameters), tmp_path / "run", algorithm, env))
    page = visit(path, viewport={"width": width, "height": height}, has_touch=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    controls = page.locator("button, input[type=range], label.switch").all()
    boxes = [x.bounding_box() for x in controls]
    assert len(boxes) == 8 and sorted(box["width"] for box in boxes)[1] >= 80                # but for the button Default
    assert all(44 <= box["height"] <= box["y"] + box["height"] <= height for box in boxes)
    world = page.locator("#world").bounding_box()
    assert world["y"] >= 0 and height / 2 <= world["height"] <= world["y"] + world["height"] <= height


STRIPES = """() => {
    const {game} = scratchac, canvas = document.getElementById("actions"), texts = [];
    game.paused = true;
    game.history = Array.from({length: 200}, (_, i) =>
        ({...game.history.at(-1), first: i === 0, tick: 1003 + i, probabilities: [i % 2, 1 - i % 2]}));
    const ours = CanvasRenderingContext2D.prototype, write = ours.fillText;
    ours.fillText = function (text, ...at) { texts.push(String(text)); write.call(this, text, ...at); };
    drawThoughts();
    ours.fillText = write;
    const width = canvas.width - 60, row = canvas.getContext("2d").getImageData(0, Math.round((canvas.height - 23) / 2), width, 1);
    const pixels = new Uint32Array(row.data.buffer);
    return [texts, [...pixels.keys()].filter((x) => x && pixels[x] !== pixels[x - 1])];
}"""


@pytest.mark.slow
@pytest.mark.parametrize("width", [360, 1280])
def test_the_curves_have_a_time_axis_and_a_policy_of_two_extremes_makes_no_stripes(width, any_page, visit):
    """Its probabilities are 0 and 1 by turns: what is drawn are means over several steps, in columns of 8 pixels at least."""
    page = visit(any_page, viewport={"width": width, "height": 860})
    until(page, "scratchac.game.ticks > 3")
    texts, edges = page.evaluate(STRIPES)
    assert texts.count("now") == 3 and {"−200 steps", "−100"} <= set(texts)
    assert len(edges) > 10 and all(b - a >= 8 for a, b in pairwise(edges[1:-1]))
    steps = int(re.fullmatch(r"π: means of (\d+) steps", page.inner_text("#means"))[1])
    assert 2 <= steps <= 8


@pytest.mark.slow
def test_no_string_leaves_its_script(tmp_path, visit):
    agent = disturbed("a2c", "CartPole-v1", **SMALL)
    said = {"note": "</script><script>fail()</script><!-- {{policy}}"}
    page = visit(export(save(agent, tmp_path / "run", "a2c", "CartPole-v1", {"env_args": said})))
    assert page.evaluate("scratchac.policy.env_args") == said


# -- in ONNX's runtime -------------------------------------------------------------------------------------------------


def test_onnx_acts_as_numpy_does(case):
    onnx, runtime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    agent, folder, env = case
    path = export(folder, "onnx")
    onnx.checker.check_model(onnx.load(path), full_check=True)
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for rows in (1, 100):
        obs = observations(env, rows, seed=rows)
        played, = session.run(None, {"obs": obs})
        expected = agent.act(obs, explore=False)
        assert played.shape == expected.shape and played.dtype == (np.int64 if expected.ndim == 1 else np.float32)
        np.testing.assert_allclose(played, expected, rtol=1e-5, atol=1e-5)
    assert len(np.unique(played)) > 1


def test_the_noise_of_the_page_is_that_of_the_last_step(tmp_path, quick_end):
    agent = scratchac.train("ddpg", "Pendulum-v1", 100, noise_scale="linear:1.0:0.01", learning_starts=50, batch_size=8,
                            hidden=(4,), out=tmp_path / "run")
    for one in agent, scratchac.load(tmp_path / "run"):
        assert policy_of(one)["head"]["noise"]["scale"] == pytest.approx(0.01)


def test_onnx_starts_counting_where_the_environment_does(tmp_path):
    pytest.importorskip("onnxruntime")
    from onnxruntime import InferenceSession

    from scratchac.algorithms.a2c import A2C, Config

    space = gym.spaces.Box(-1, 1, (3,)), gym.spaces.Discrete(4, start=5)
    agent = A2C(Config(**SMALL), *space)
    folder = save(agent, tmp_path / "run", "a2c", "CartPole-v1",
                  {"observation_space": space_to_json(space[0]), "action_space": space_to_json(space[1])})
    obs = np.random.default_rng(0).standard_normal((50, 3)).astype(np.float32)
    played, = InferenceSession(export(folder, "onnx"), providers=["CPUExecutionProvider"]).run(None, {"obs": obs})
    np.testing.assert_array_equal(played, agent.act(obs, explore=False))
    assert played.min() >= 5


@pytest.mark.parametrize("algorithm, start, options", [
    ("a2c", 0, {}), ("a2c", 5, {"shared_body": True, "critic_steps": 1}), ("a2c", 0, {"advantage": "qv"}), ("ppo", 0, {})], ids=str)
def test_onnx_takes_legal_actions_only(algorithm, start, options, tmp_path):
    """The last four features of an observation are a mask, as in a game. Without it, other actions would be the likeliest."""
    pytest.importorskip("onnxruntime")
    from onnxruntime import InferenceSession

    from scratchac import algorithms

    space, rng = (gym.spaces.Box(-9, 9, (7,)), gym.spaces.Discrete(4, start=start)), np.random.default_rng(3)
    agent_class = algorithms.find(algorithm)
    agent = agent_class(agent_class.config_class(**SMALL, action_mask=True, **options), *space)
    agent.model.flat += rng.standard_normal(agent.model.flat.shape).astype(np.float32)
    folder = save(agent, tmp_path / "run", algorithm, "CartPole-v1",
                  {"observation_space": space_to_json(space[0]), "action_space": space_to_json(space[1])})
    session = InferenceSession(export(folder, "onnx"), providers=["CPUExecutionProvider"])
    for rows in (1, 200):
        obs = rng.standard_normal((rows, 7)).astype(np.float32)
        mask = obs[:, -4:] = np.maximum(np.eye(4)[rng.integers(4, size=rows)], rng.random((rows, 4)) < 0.3)
        played, = session.run(None, {"obs": obs})
        np.testing.assert_array_equal(played, agent.act(obs, explore=False))
        assert mask[np.arange(rows), played - start].all()
    obs[:, -4:] = 1
    assert (mask[np.arange(rows), agent.act(obs, explore=False) - start] == 0).any()


def test_a_policy_for_a_game_is_exported(tmp_path, quick_end):
    pytest.importorskip("pettingzoo")
    runtime = pytest.importorskip("onnxruntime")
    from scratchac.environments.games import Game

    options = {"action_mask": True, "envs": 2, "rollout": 8, "batch_size": 8, **SMALL}
    agent = scratchac.train("ppo", "tictactoe_v3", 64, out=tmp_path / "run", **options)
    session = runtime.InferenceSession(export(tmp_path / "run", "onnx"), providers=["CPUExecutionProvider"])
    game = Game("tictactoe_v3")
    for seed in range(20):
        obs, over = game.reset(seed=seed)[0], False
        while not over:
            action = session.run(None, {"obs": obs[None]})[0][0]
            assert action == agent.act(obs, explore=False)
            obs, _, over, _, _ = game.step(action)          # an illegal action is an error


# -- mistakes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments, message", [
    ("run --format pdf", "html"), ("nowhere", "nowhere is not a run"), ("there", "there is not a run"), ("", "RUN"),
    ("run --out taken.html", "taken.html exists already"), ("run --out no/where.html", "no/where.html cannot be written"),
    ("lander", "LunarLander-v3 has no page; these have: CartPole-v1, Pendulum-v1, Acrobot-v1, MountainCarContinuous-v0"),
    ("pictures", "sees pictures, here of shape (96, 96, 3)"), ("pictures --format onnx", "sees pictures"),
    ("run --format onnx", "pip install onnx onnxruntime"),
])
def test_mistakes(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "onnx", None)                          # as if it were not installed
    agent = disturbed("a2c", "CartPole-v1", **SMALL)
    save(agent, tmp_path / "run", "a2c", "CartPole-v1")
    save(agent, tmp_path / "lander", "a2c", "CartPole-v1", {"env": "LunarLander-v3"})
    save(agent, tmp_path / "pictures", "a2c", "CartPole-v1", {"observation_space": {"kind": "Picture", "shape": [96, 96, 3]}})
    (tmp_path / "there").mkdir()
    (tmp_path / "taken.html").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    assert main(["export", *arguments.split()]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and len(captured.err.strip().splitlines()) == 1
    assert captured.err.startswith("scratchac: ") and message in captured.err
    assert sorted(tmp_path.rglob("*")) == before and (tmp_path / "taken.html").read_text() == "mine"


def test_the_command_names_the_file(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    save(disturbed("a2c", "CartPole-v1", **SMALL), tmp_path / "run", "a2c", "CartPole-v1")
    assert main(["export", "run"]) == 0 and capsys.readouterr().out == "run/policy.html\n"
    assert main(["export", "run"]) == 2 and "exists already" in capsys.readouterr().err
    assert main(["export", "run", "--out", "mine.html"]) == 0 and (tmp_path / "mine.html").exists()
