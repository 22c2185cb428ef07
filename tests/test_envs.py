"""Environments side by side: their seeds, their spaces, and the observation that really followed an action."""

import inspect
import json
import multiprocessing
import random
import subprocess
import sys
import warnings
from functools import partial
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from probes import Aliasing, Bandit, Constant, Counter

import scratchac
from scratchac.distributions import Categorical, Gaussian
from scratchac.environments import make as making
from scratchac.environments import spaces, vector
from scratchac.environments.make import Named, make
from scratchac.environments.vector import VectorEnv
from scratchac.errors import EnvironmentFailed, UserError
from scratchac.experiments import video
from scratchac.training import evaluation
from scratchac.training.memory import Rollout

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("env", [Counter, Aliasing])
@pytest.mark.parametrize("vector", ["sync", "async"])
def test_every_transition_is_true(env, vector):
    """The counter's s′ is always s + 1.

    So no transition is made up at an episode's end, the last observation is not the next episode's first one, and no array is
    overwritten later.
    """
    venv = VectorEnv(env, 3, seed=0, vector=vector)
    rollout, obs = Rollout(), venv.reset()
    for _ in range(10):
        actions = np.zeros(3, int)
        start, reward, next_obs, term, trunc = venv.step(actions)
        rollout.add(obs, actions, reward, next_obs, term, trunc, np.zeros(3, int))
        obs = start
    venv.close()
    batch = rollout.take()
    np.testing.assert_array_equal(batch.next_obs, batch.obs + 1)
    # Episodes last 3 steps: after a terminal row, the next one starts at the next hundred.
    assert batch.term[:, 0].tolist() == [0, 0, 1, 0, 0, 1, 0, 0, 1, 0]
    assert (batch.obs[:, 0, 0] % 100).tolist() == [0, 1, 2, 0, 1, 2, 0, 1, 2, 0]
    assert len(np.unique(batch.obs[:, 0, 0] // 100)) == 4


class Holding(gym.Env):
    """An environment that passes everything on to another one, without being one of Gymnasium's wrappers."""

    def __init__(self, inner):
        self.inner, self.observation_space, self.action_space = inner, inner.observation_space, inner.action_space

    def reset(self, *, seed=None, options=None):
        return self.inner.reset(seed=seed, options=options)

    def step(self, action):
        return self.inner.step(action)


@pytest.mark.parametrize("around", [lambda env: env, lambda env: gym.wrappers.TimeLimit(env, 5), Holding,
                                    lambda env: gym.wrappers.TimeLimit(Holding(env), 5)])
@pytest.mark.slow
def test_one_environment_in_two_slots_is_refused(around):
    """Each slot would step the others' episode. A single slot may take it."""
    one, agent = Counter(), scratchac.make_agent("a2c", Counter)
    with pytest.raises(UserError, match="must make a new one at each call"):
        scratchac.evaluate(agent, lambda: around(one), 10)
    for mode in ("sync", "async"):
        with pytest.raises(UserError, match="must make a new one at each call"):
            scratchac.train("a2c", lambda: around(one), 40, vector=mode)
    pool = iter([Counter(), Counter(), one, one])
    with pytest.raises(UserError, match="must make a new one at each call"):
        VectorEnv(lambda: next(pool), 4, 0).reset()
    assert scratchac.evaluate(agent, lambda: around(one), 1).tolist() == scratchac.evaluate(agent, Counter, 1).tolist()
    assert len(scratchac.evaluate(agent, lambda: around(Counter()), 10)) == 10


class Says(gym.Env):
    """Observes `values` one after another, which its space may not be able to hold; an episode has three steps and pays them."""

    action_space = gym.spaces.Discrete(2)

    def __init__(self, dtype, values):
        self.observation_space = gym.spaces.Box(0, 100, (1,), dtype)
        self.values = values

    def reset(self, *, seed=None, options=None):
        self.t = 0
        return np.array([self.values[0]]), {}

    def step(self, action):
        self.t += 1
        return np.array([self.values[self.t]]), float(self.values[self.t]), self.t == 3, False, {}


@pytest.mark.parametrize("dtype, values, lost", [
    (np.int32, [0, 1, 0.7, 2], "0.7"), (np.uint8, [0, 1, 300, 2], "300"), (np.uint8, [0, 1, -1, 2], "-1"),
    (np.int8, [0, 1, 2.0**40, 2], "1099511627776.0"), (np.int64, [0, 1, np.nan, 2], "nan"),
    (np.float32, [0, 1, 1e300, 2], "1e\\+300"),
    (np.float16, [0, 1, 70_000, 2], "70000")])
def test_an_observation_that_its_space_cannot_hold_is_an_error(dtype, values, lost):
    """In training as in evaluation: environment, step and value are named."""
    agent = scratchac.make_agent("a2c", lambda: Says(dtype, [0] * 4))
    message = f"environment 0 at step 2 of its episode.*{lost}.*{np.dtype(dtype)}"
    with pytest.raises(EnvironmentFailed, match=message):
        scratchac.evaluate(agent, lambda: Says(dtype, values), 1)
    for mode in ("sync", "async"):
        with pytest.raises(EnvironmentFailed, match=message):
            scratchac.train("a2c", lambda: Says(dtype, values), 100, vector=mode, envs=1)


@pytest.mark.parametrize("dtype, values", [
    (np.float32, np.array([0.1, 0.2, 1 / 3, 0.7])), (np.float32, np.array([0, 1, 2, 3])),
    (np.int32, np.array([0.0, 1.0, 2.0, 3.0])), (np.uint8, np.array([0, 1, 255, 3])),
    (np.float64, np.array([0, 1, 2, 3], np.float32)), (np.int64, np.array([1, 0, 1, 1], bool))])
def test_training_and_evaluation_see_the_same_observations(dtype, values):
    """Digits may get lost, and whole numbers may come as floats; everyone sees the value that the space can hold."""
    seen = []
    venv = VectorEnv(lambda: Says(dtype, values), 1, 0)
    seen.append([venv.reset(), *(venv.step(np.zeros(1, int))[2] for _ in range(3))])

    class Onlooker:
        def act(self, obs, explore):
            seen[-1].append(obs)
            return np.zeros(len(obs), int)

    seen.append([])
    assert scratchac.evaluate(Onlooker(), lambda: Says(dtype, values), 1) == [sum(values[1:].astype(float))]
    for trained, evaluated, value in zip(*seen, values, strict=False):
        assert trained.dtype == evaluated.dtype == dtype and trained == evaluated == dtype(value)


def test_term_and_trunc_are_kept_apart():
    for ends, expected in (("term", (1, 0)), ("trunc", (0, 1)), ("both", (1, 1))):
        venv = VectorEnv(Constant, 1, seed=0, limit=1, ends=ends)
        venv.reset()
        _, _, _, term, trunc = venv.step(np.zeros(1, int))
        assert (int(term[0]), int(trunc[0])) == expected
        venv.close()


def test_environments_start_differently_and_repeatably():
    starts = []
    for seed in (0, 0, 1):
        venv = VectorEnv("CartPole-v1", 4, seed)
        np.random.rand()  # noqa: NPY002                        # a stray draw from the global generator changes nothing
        starts.append(venv.reset())
        venv.close()
    assert len(np.unique(starts[0][:, 0])) == 4
    assert np.array_equal(starts[0], starts[1]) and not np.array_equal(starts[0], starts[2])


def test_distribution_follows_the_space():
    discrete = spaces.make_distribution(gym.spaces.Discrete(3, start=5))
    assert isinstance(discrete, Categorical) and (discrete.n, discrete.start) == (3, 5)
    box = spaces.make_distribution(gym.spaces.Box(-1, 1, (2,)))
    assert isinstance(box, Gaussian) and (box.outputs, box.constants) == (4, 2)


@pytest.mark.parametrize("env, message", [
    ("LunarLander-v33", "did you mean LunarLander-v3"), ("CartPol-v1", "did you mean CartPole-v1"),
    ("nonsense", "unknown environment"), (3, "Gymnasium id or a callable"),
    ("LunarLander-v2", "use `LunarLander-v3`"), ("Humanoid-v3", "gymnasium-robotics"),
])
def test_unknown_environments(env, message):
    with pytest.raises(UserError, match=message):
        make(env)


def test_wrong_environment_arguments():
    with pytest.raises(UserError, match="gravity"):
        make("CartPole-v1", gravity=-5)


class Faulty(Counter):
    """Its constructor, which takes `size` and whatever else, fails in a `way`."""

    def __init__(self, way="", size=3, **others):
        super().__init__(size)
        if way == "type":
            len(size)
        if way == "inner":
            self.grow(size=size)
        if way == "passed on":
            Counter(**others)
        if way == "silent":
            raise AssertionError
        if way == "id":
            gym.make("Nope-v0")
        if way == "import":
            import nothing_of_that_name  # noqa: F401
        if way == "their hint":
            raise gym.error.DependencyNotInstalled("MuJoCo is missing, run\n`pip install theirs[mujoco]`")
        if way == "their cartpole":
            gym.make("CartPole-v1", gravity=3)

    def grow(self):
        pass


@pytest.fixture
def registered():
    for name, entry_point in (("Faulty-v0", Faulty), ("Abstract-v0", "mymod:Mine"), ("Needy-v0", lambda size: Counter(size))):
        gym.register(name, entry_point)
    yield
    for name in ("Faulty-v0", "Abstract-v0", "Needy-v0"):
        del gym.registry[name]


@pytest.mark.parametrize("env", [Faulty, "Faulty-v0"], ids=str)
@pytest.mark.parametrize("arguments, message", [
    ({"way": "type"}, "cannot be made: TypeError: object of type 'int' has no len()"),
    ({"way": "inner", "size": 3}, "cannot be made: TypeError: Faulty.grow() got an unexpected keyword argument 'size'"),
    ({"way": "passed on", "mass": 3}, "does not take these arguments: Counter.__init__() got an unexpected keyword argument 'ma"),
    ({"way": "silent"}, f"cannot be made: AssertionError in {__file__}, line "),
    ({"way": "id"}, "cannot be made: NameNotFound: Environment `Nope` doesn't exist."),
    ({"way": "import"}, "cannot be made: ModuleNotFoundError: No module named 'nothing_of_that_name'"),
    ({"way": "their hint"}, "needs a package that is missing: MuJoCo is missing, run `pip install theirs[mujoco]`"),
    ({"way": "their cartpole"}, "cannot be made: TypeError: CartPoleEnv.__init__() got an unexpected keyword argument 'gravity'"),
])
def test_what_goes_wrong_in_a_constructor(env, arguments, message, registered):
    with pytest.raises(UserError) as caught:
        make(env, **arguments)
    assert str(caught.value).startswith(f"{'Faulty' if env is Faulty else env} {message}") and "\n" not in str(caught.value)


def without(size):
    """A function that needs an argument."""


@pytest.mark.parametrize("env, arguments, message", [
    (without, {}, "without needs other arguments than none (env_args, or --env-args NAME=VALUE): without() missing 1 required"),
    ("Needy-v0", {}, "Needy-v0 needs other arguments than none"), ("Needy-v0", {"x": 1}, "Needy-v0 does not take these arguments"),
    (without, {"x": 1}, "without does not take these arguments: without() got an unexpected keyword argument 'x'"),
    (partial(gym.make, "CartPole-v1"), {"x": 1}, "partial does not take these arguments: CartPoleEnv.__init__() got an unexpected"),
    (lambda: gym.make("CartPole-v1", x=1), {}, "<lambda> cannot be made: TypeError: CartPoleEnv.__init__() got an unexpected"),
    (lambda: gym.make("Nope-v0"), {}, "<lambda> cannot be made: NameNotFound"),
    ("CartPole", {}, "unknown environment 'CartPole'; did you mean CartPole-v1"),
    ("CartPole-v7", {}, "unknown environment 'CartPole-v7'; did you mean CartPole-v1"),
    ("probes:Falty-v0", {}, "unknown environment 'probes:Falty-v0'; did you mean probes:Faulty-v0"),
    ("nowhere_at_all:X-v0", {}, "nowhere_at_all:X-v0: there is no module nowhere_at_all in PYTHONPATH or the installed"),
    (Named("nowhere_at_all:X-v0"), {}, "nowhere_at_all:X-v0: there is no module nowhere_at_all in the working directory, "),
    ("tictactoe_v3", {"x": 1}, "tictactoe_v3 does not take these arguments"),
    (lambda: 3, {}, "<lambda> gave 3, not"),
])
def test_what_is_wrong_with_a_call(env, arguments, message, registered):
    with pytest.raises(UserError) as caught, warnings.catch_warnings():
        warnings.simplefilter("error")
        make(env, **arguments)
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)


def test_gymnasiums_own_environments_have_the_command_that_installs_them(monkeypatch):
    for name in [name for name in sys.modules if name.startswith(("gymnasium.envs.box2d", "Box2D"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "Box2D", None)                         # as if it were not installed
    for env, name in (("LunarLander-v3", "LunarLander-v3"), (lambda: gym.make("LunarLander-v3"), "<lambda>")):
        with pytest.raises(UserError, match=rf"^{name} needs a package that is missing: pip install 'gymnasium\[box2d\]>=1.4'$"):
            make(env)


def test_a_warning_comes_once(monkeypatch):
    monkeypatch.setattr(making, "WARNED", set())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(3):
            make("CartPole-v0").close()
    assert len(caught) == 1 and "out of date" in str(caught[0].message)


def test_an_error_of_a_step_without_text_says_where():
    class Silent(Counter):
        def step(self, action):
            raise AssertionError

    venv = VectorEnv(Silent, 1, 0)
    venv.reset()
    with pytest.raises(EnvironmentFailed, match=rf"environment 0 at step 1 .* raised AssertionError in {__file__}, line \d+$"):
        venv.step(np.zeros(1, int))


def test_a_limit_of_steps_for_any_id():
    venv = VectorEnv("Pendulum-v1", 1, 0, max_episode_steps=3)
    venv.reset()
    assert [bool(venv.step(np.zeros((1, 1)))[4][0]) for _ in range(6)] == [False, False, True] * 2


@pytest.mark.parametrize("function", [VectorEnv.__init__, making.make, vector._rewindable, vector._alone, evaluation.evaluate,
                                      video.record, video.render])
def test_names_that_an_argument_of_an_environment_cannot_have(function):
    """Every parameter beside **kwargs is in the list, but for the settings of `make` that are meant to be given."""
    names = {name for name, p in inspect.signature(function).parameters.items() if p.kind is not p.VAR_KEYWORD}
    assert names - {"pixels"} <= making.TAKEN
    for name in names - {"pixels"}:
        with pytest.raises(UserError, match=f"cannot have the name {name},"):
            making.check_arguments({name: 3})


def test_processes_end_with_a_program_that_forgets_them():
    program = "from scratchac.environments.vector import VectorEnv; v = VectorEnv('CartPole-v1', 2, 0, 'async'); " \
              "v.reset(); raise SystemExit(3)"
    assert subprocess.run([sys.executable, "-c", program], timeout=60).returncode == 3


def test_unknown_vector_mode():
    with pytest.raises(UserError, match="did you mean async"):
        VectorEnv("CartPole-v1", 1, 0, vector="asink")


def test_actions_with_another_start():
    """The environment takes the actions 5, 6 and 7 and refuses all others."""
    venv = VectorEnv(Bandit, 2, 0, start=5)
    dist = spaces.make_distribution(venv.action_space)
    venv.reset()
    venv.step(dist.to_env(np.array([0, 2])))
    with pytest.raises(EnvironmentFailed, match="AssertionError"):
        venv.step(np.array([0, 2]))
    venv.close()


def test_domain_randomisation_stays_within_its_bounds_and_varies():
    pytest.importorskip("Box2D")
    env = make("LunarLander-v3", randomise=np.random.default_rng(0))
    drawn = []
    for _ in range(200):
        env.reset()
        lander = env.unwrapped
        drawn.append((lander.gravity, lander.wind_power, lander.turbulence_power, lander.enable_wind))
        assert lander.world.gravity[1] == pytest.approx(lander.gravity)     # the world really has it
    gravity, wind, turbulence, windy = np.array(drawn).T
    assert -11.99 <= gravity.min() < -11 and -8 < gravity.max() <= -0.01
    assert 0.01 <= wind.min() < 13 and 17 < wind.max() <= 19.99             # clipped at 1.99 it would be constant
    assert turbulence.min() >= 0.01 and turbulence.max() <= 1.99
    assert 0.3 < windy.mean() < 0.7


def test_every_environment_has_worlds_of_its_own():
    pytest.importorskip("Box2D")
    venv = VectorEnv("LunarLander-v3", 3, seed=0, randomise=True)
    venv.reset()
    assert len({env.unwrapped.gravity for env in venv.members}) == 3
    venv.close()


def test_only_the_lander_can_be_randomised():
    with pytest.raises(UserError, match="LunarLander only"):
        make("CartPole-v1", randomise=np.random.default_rng(0))


def test_mujoco_leaves_no_file_behind(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    env = make("HalfCheetah-v5")                       # its XML has a deprecated attribute
    env.reset(seed=0)
    env.unwrapped.data.qvel[:] = np.nan                     # an unstable simulation is worth a word
    env.step(np.zeros(6))
    assert not list(tmp_path.iterdir())
    said = capfd.readouterr().err
    assert "deprecated" not in said and said.count("MuJoCo: ") == 1


class Unseeded(gym.Env):
    """Draws from every generator but its own."""

    observation_space = gym.spaces.Box(-np.inf, np.inf, (1,), np.float64)

    def __init__(self):
        self.action_space = gym.spaces.Discrete(1000)
        self.drawn = np.random.rand()  # noqa: NPY002                       # a world that its constructor draws

    def observe(self):
        return np.array([np.random.rand() + random.random() + int(self.action_space.sample()) + self.drawn])  # noqa: NPY002

    def reset(self, *, seed=None, options=None):
        self.t = 0
        return self.observe(), {}

    def step(self, action):
        self.t += 1
        return self.observe(), float(self.observe()[0]), self.t == 5, False, {}


@pytest.mark.parametrize("vector", ["sync", "async"])
def test_the_same_seed_is_the_same_run_whatever_an_environment_draws_from(vector):
    """The global generators of the program go on as if nothing had happened, and an agent draws from none of them."""
    def run(seed):
        np.random.seed(run.calls)  # noqa: NPY002
        random.seed(run.calls)
        run.calls += 1
        expected = np.random.RandomState(run.calls - 1).rand(), random.Random(run.calls - 1).random()
        agent = scratchac.train("a2c", Unseeded, 200, seed, vector=vector, hidden=(4,), envs=2)
        returns = scratchac.evaluate(agent, Unseeded, 12, seed)
        assert (np.random.rand(), random.random()) == expected  # noqa: NPY002
        return [*agent.model.flat, *returns]

    run.calls = 1
    first, again, other = run(3), run(3), run(4)
    assert first == again != other


@pytest.mark.parametrize("algorithm, env, other", [
    ("a2c", lambda: Bandit(start=0), lambda: Bandit(start=1)), ("ppo", "CartPole-v1", "Acrobot-v1"),
    ("sac", "Pendulum-v1", lambda: gym.wrappers.RescaleAction(gym.make("Pendulum-v1"), np.float32([-1]), np.float32([1]))),
    ("a2c", "Pendulum-v1", lambda: gym.wrappers.RescaleAction(gym.make("Pendulum-v1"), np.float32([-2]), np.float32([1]))),
    ("discrete-sac", "CartPole-v1", "Acrobot-v1")])
def test_an_environment_that_does_not_fit_is_refused(algorithm, env, other, tmp_path):
    """Other actions, other bounds, other observations: in evaluation, in films, and on resume."""
    from scratchac.experiments.video import render

    options = {"learning_starts": 10, "batch_size": 4} if "sac" in algorithm else {}
    agent = scratchac.train(algorithm, env, 20_000, hidden=(4,), out=tmp_path / "run", stop_after=20, **options)
    scratchac.evaluate(agent, env, 1)
    with pytest.raises(UserError, match="the agent was made for"):
        scratchac.evaluate(agent, other, 1)
    if algorithm == "sac":
        with pytest.raises(UserError, match="the agent was made for"):
            render(agent, "MountainCarContinuous-v0")
    with pytest.raises(UserError, match=r"start a new run there|was trained with the space"):
        scratchac.resume(tmp_path / "run", env=other)


def test_resuming_on_another_callable_is_recorded(tmp_path):
    """The run continues from the step on which config.json says so; a run on an id stays there."""
    scratchac.train("a2c", lambda: Constant(), 400, out=tmp_path / "run", stop_after=200, hidden=(4,))
    scratchac.resume(tmp_path / "run", env=Constant)
    assert json.loads((tmp_path / "run" / "config.json").read_text())["resumed"] == [[200, "Constant"]]
    scratchac.train("a2c", "CartPole-v1", 400, out=tmp_path / "id", stop_after=200, hidden=(4,))
    with pytest.raises(UserError, match="trained on CartPole-v1, not on <lambda>: start a new run"):
        scratchac.resume(tmp_path / "id", env=lambda: gym.make("CartPole-v1"))


class OldGenerator(Counter):
    """Its generator is the old RandomState, as that of dm_control's environments is."""

    @property
    def np_random(self):
        return np.random.RandomState(0)


class NoGenerator(Counter):
    """It refuses to show a generator."""

    @property
    def np_random(self):
        raise RuntimeError("this simulator has no generator")


@pytest.mark.parametrize("env", [OldGenerator, NoGenerator])
@pytest.mark.parametrize("vector", ["sync", "async"])
def test_what_only_serves_resuming_never_ends_training(env, vector, tmp_path, capsys):
    """Later episodes of such an environment cannot be restored: on resume it begins a new one, and this is said."""
    scratchac.train("a2c", env, 400, out=tmp_path / "run", stop_after=200, envs=2, hidden=(4,), vector=vector)
    assert scratchac.resume(tmp_path / "run", env=env).step == 400
    told = capsys.readouterr().err
    assert all(f"do not restore environment {i}; it begins a new episode" in told for i in (0, 1))
# -- processes -----------------------------------------------------------------------------------------------------------


class Ragged(Counter):
    """Its `info` holds arrays of different shapes, a key that is a number or a dict, a function, and a key of Gymnasium's own."""

    def reset(self, **kwargs):
        obs, _ = super().reset(**kwargs)
        return obs, {"x": np.zeros(self.np_random.integers(9)), "y": 3 if self.np_random.random() < 0.5 else {"z": 1},
                     "final_obs": 7}

    def step(self, action):
        obs, *rest, _ = super().step(action)
        return obs, *rest, {"x": np.zeros(1 + self.t), "y": {"z": 1} if self.t % 2 else 3, "f": lambda: 0}


def test_processes_take_any_info():
    venv = VectorEnv(Ragged, 3, 0, "async")
    venv.reset()
    seen = [venv.step(np.zeros(3, int)) for _ in range(4)]
    venv.close()
    assert [obs[0, 0] for obs, *_ in seen] == [1, 2, 100, 101] and [next_obs[2, 0] for _, _, next_obs, *_ in seen] == [1, 2, 3, 101]


class Picky(Counter):
    """Made in a process other than the first one, its constructor fails in a `way`."""

    def __init__(self, way, parent):
        super().__init__()
        if multiprocessing.current_process().pid != parent:
            if way == "exit":
                raise SystemExit(3)
            if way == "spaces":
                self.observation_space = gym.spaces.Box(0, 1, (7,))
            else:
                raise {"os": FileNotFoundError(2, "No such file or directory", "map.txt"), "silent": AssertionError(),
                       "value": ValueError("no licence")}[way]


@pytest.mark.parametrize("way, message", [
    ("os", r"environment \d: Picky cannot be made: FileNotFoundError: \[Errno 2\] No such file or directory: 'map.txt'$"),
    ("value", r"environment \d: Picky cannot be made: ValueError: no licence$"),
    ("silent", r"environment \d: Picky cannot be made: AssertionError in .*test_envs.py, line \d+$"),
    ("exit", r"the process of environment 0, 1, 2 died as it made its environment"),
    ("spaces", r"^--vector async is not possible: .*spaces"),
])
@pytest.mark.slow
def test_a_worker_that_cannot_make_its_environment(way, message):
    with pytest.raises(UserError, match=message), warnings.catch_warnings():
        warnings.simplefilter("error")
        VectorEnv(Picky, 3, 0, "async", way=way, parent=multiprocessing.current_process().pid)
    assert not multiprocessing.active_children()


def test_a_space_that_processes_do_not_take():
    class Own(Counter):
        observation_space = gym.Space((1,), float)

    with pytest.raises(UserError, match=r"^--vector async is not possible: "):
        VectorEnv(Own, 2, 0, "async")


@pytest.mark.slow
@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_ids_of_a_script_are_known_to_processes_however_they_start(method, tmp_path):
    """The script registers a class of its own, only where it is run itself."""
    (tmp_path / "script.py").write_text(f"""
import multiprocessing
import sys

sys.path.insert(0, {str(ROOT / "tests")!r})

if __name__ == "__main__":
    import gymnasium as gym
    import numpy as np
    from probes import Constant

    import scratchac
    from scratchac.environments.vector import VectorEnv
    from scratchac.tools.sweep import Sweep

    class Mine(Constant):
        limit = 3

    multiprocessing.set_start_method({method!r})
    gym.register("Mine-v0", Mine)
    venv = VectorEnv("Mine-v0", 2, 0, "async")
    venv.reset()
    print(venv.step(np.zeros(2, int))[1].sum())
    venv.close()
    print(scratchac.train("a3c", "Mine-v0", 40, envs=2, backend="numpy").step >= 40)
    Sweep("a2c", "Mine-v0", [0], {{}}, "sweep", steps=40, backend="numpy").run(quiet=True)
""")
    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["2.0", "True"] and (tmp_path / "sweep" / "seed0" / "summary.json").exists()
