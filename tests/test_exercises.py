"""Exercises: the grader passes what is right, names every known mistake, and answers anything else with one clear line."""

import inspect
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from gymnasium import spaces

from scratchac import api, returns
from scratchac.__main__ import main
from scratchac.algorithms.ddpg import DDPG
from scratchac.errors import UserError
from scratchac.lab import grading, practice
from scratchac.lab.exercises import EXERCISES, NAMES, file_name, find, values
from scratchac.lab.grading import INPUTS, Verdict, grade
from scratchac.training.memory import Transitions

MATH = Path(api.__file__).with_name("MATH.md")
GAE = EXERCISES["gae"]

RIGHT = """
import numpy as np
def gae(r, v, v_next, term, done, gamma, lam):
    adv, carry = np.zeros_like(r), 0
    for t in reversed(range(len(r))):
        carry = r[t] + gamma * (1 - term[t]) * v_next[t] - v[t] + gamma * lam * (1 - done[t]) * carry
        adv[t] = carry
    return adv
"""
TIME_LIMIT = RIGHT.replace("(1 - term[t])", "(1 - done[t])")


def under(exercise, mistake):
    """A function that gives the library's results under a mistake, on the inputs of the grader in their order."""
    with exercise.patch(mistake), grading._quiet():
        results = iter([exercise.solution(*exercise.inputs(np.random.default_rng(seed))) for seed in range(INPUTS)])
    return lambda *args: next(results)


@pytest.fixture
def folder(tmp_path, monkeypatch, capsys):
    """A working directory with stubs in `mine`."""
    monkeypatch.chdir(tmp_path)
    assert main(["exercise", "start", "mine"]) == 0
    capsys.readouterr()
    return tmp_path / "mine"


def code_of(words):
    """The exit code of a command."""
    try:
        return main(words)
    except SystemExit as stop:
        return stop.code


# -- what is right, and every known mistake ------------------------------------------------------------------------------------


def test_the_order_and_the_names():
    assert NAMES == ["discounted-return", "n-step", "gae", "softmax-gradient", "gaussian-gradient", "policy-gradient-loss",
                     "dense-backward", "mlp-backward", "adam", "ppo-clip", "replay-buffer", "q-network", "policy-network",
                     "ddpg-update", "td3-target", "tanh-gaussian-logp", "tanh-gaussian-backward", "sac-actor-step", "temperature",
                     "convolution-backward"]
    assert find("03_gae.py") is find("3") is find("gae") is GAE


@pytest.mark.parametrize("name", NAMES)
def test_the_solution_passes_and_each_mistake_is_told_from_all_others(name):
    exercise = EXERCISES[name]
    assert list(inspect.signature(exercise.solution).parameters) == list(exercise.gives)
    assert grade(exercise, exercise.solution) == Verdict("passed")
    assert 2 <= len(exercise.mistakes) <= 10
    for mistake in exercise.mistakes:
        verdict = grade(exercise, under(exercise, mistake))
        assert (verdict.status, verdict.diagnosis) == ("wrong", mistake)


@pytest.mark.parametrize("name", NAMES)
def test_an_unknown_mistake_has_a_first_wrong_coordinate_and_no_diagnosis(name):
    exercise = EXERCISES[name]

    def last_number_off(*args):
        results = exercise.solution(*args)
        results = [np.array(x, float) for x in (results if len(exercise.results) > 1 else (results,))]
        results[-1].flat[-1] += 1e-3
        return results if len(results) > 1 else results[0]

    verdict = grade(exercise, last_number_off)
    last = np.array(exercise.solution(*exercise.inputs(np.random.default_rng(0)))[-1] if len(exercise.results) > 1 else
                    exercise.solution(*exercise.inputs(np.random.default_rng(0))))
    where = list(exercise.results)[-1] + (f"[{', '.join(str(n - 1) for n in last.shape)}]" if last.ndim else "")
    assert verdict.status == "wrong" and verdict.diagnosis == ""
    assert verdict.text.startswith(f"{where}: expected {last.flat[-1]:+.6g}, found")


def test_a_difference_within_rounding_passes_and_a_larger_one_does_not():
    assert grade(GAE, lambda *args: returns.gae(*args) * (1 + 1e-13)).status == "passed"
    assert grade(GAE, lambda *args: returns.gae(*args) * (1 + 1e-7)).status == "wrong"


def test_two_mistakes_at_once_are_not_taken_for_one():
    def both(r, v, v_next, term, done, gamma, lam):
        return returns.gae(r, v, v_next, done, done, gamma, 1.0)

    assert grade(GAE, both).diagnosis == ""


def test_results_that_fit_two_mistakes_are_no_diagnosis(monkeypatch):
    first = next(iter(GAE.mistakes))
    monkeypatch.setitem(GAE.mistakes, "the same in other words", GAE.mistakes[first])
    assert grade(GAE, under(GAE, first)).diagnosis == ""


@pytest.mark.parametrize("name, change, pattern", [
    ("gae", lambda x: x / 4, "every number is 0.25 times what is expected"),
    ("gae", lambda x: -x, "every number has the wrong sign"),
    ("gae", lambda x: 0 * x, "every number is 0"),
    ("gae", lambda x: x[::-1], "the numbers of adv are right, but in another order"),
    ("ddpg-update", lambda x: (-x[0], x[1]), "every number of dq has the wrong sign"),
    ("ddpg-update", lambda x: (-x[0], 2 * x[1]), ""),
    ("dense-backward", lambda x: (3 * x[0], 3 * x[1], x[2]), "every number of dx and dW is 3 times what is expected"),
    ("tanh-gaussian-backward", lambda x: x[::-1], "the results are in another order: (dlog_std, dmu)"),
    ("tanh-gaussian-backward", lambda x: (x[0], x[1][:, ::-1]), "the numbers of dlog_std are right, but in another order"),
    ("gae", lambda x: x + 1, ""), ("gae", lambda x: x * np.nan, ""), ("temperature", lambda x: x + 1, ""),
])
def test_what_all_wrong_numbers_have_in_common(name, change, pattern):
    exercise = EXERCISES[name]
    verdict = grade(exercise, lambda *args: change(exercise.solution(*args)))
    assert (verdict.status, verdict.diagnosis) == ("wrong", pattern)


def test_a_known_mistake_goes_before_a_common_factor():
    exercise = EXERCISES["policy-gradient-loss"]                # 1/B is missing in the gradient: six times what is expected
    verdict = grade(exercise, lambda *args: (exercise.solution(*args)[0], 6 * exercise.solution(*args)[1]))
    assert verdict.diagnosis == "1/B is missing in the gradient"


# -- what is not a result ------------------------------------------------------------------------------------------------------


def in_place(r, v, v_next, term, done, gamma, lam):
    adv = returns.gae(r, v, v_next, term, done, gamma, lam)
    r *= gamma
    return adv


@pytest.mark.parametrize("learner, message", [
    (lambda *args: returns.gae(*args)[0], "adv must be (T, N), here (6, 4), and has shape (4,)"),
    (lambda *args: None, "adv must be an array of numbers, not NoneType; does the function return it?"),
    (lambda *args: [[1], [1, 2]], "adv must be an array of numbers, not list"),
    (lambda *args: returns.gae(*args) * 1j, "adv must be an array of numbers, not ndarray"),
    (lambda *args: 1 / 0, "raises ZeroDivisionError: division by zero"),
    (in_place, "changes its input r in place; work on a copy"),
])
def test_what_cannot_be_compared_is_one_line(learner, message):
    assert grade(GAE, learner) == Verdict("failed", message)


def test_a_backward_pass_wants_an_array():
    """The exercise's own dq_da: a number would fail somewhere inside."""
    def number(s, a, r, s2, term, gamma, pi, q, pi_target, q_target, dq_da):
        return r, dq_da(s, pi(s), -1 / len(s))

    text = grade(EXERCISES["ddpg-update"], number).text
    assert text == "raises ValueError: the third argument of dq_da must be an array (B,), here (5,), and has shape ()"

    def one_critic(s, mu, log_std, eps, alpha, q, dq_da):
        return 0.0, mu, dq_da(s, mu, q(s, mu)[0])

    text = grade(EXERCISES["sac-actor-step"], one_critic).text
    assert text.endswith("of dq_da must be an array (2, B), here (2, 6), and has shape (6,)")


def test_several_results_are_counted():
    adam = EXERCISES["adam"]
    assert "3 results, (p, m, v), not one ndarray" in grade(adam, lambda *args: adam.solution(*args)[0]).text
    assert "3 results, (p, m, v), not 2 of them" in grade(adam, lambda *args: adam.solution(*args)[:2]).text


def test_a_function_that_is_not_complete_has_begun():
    def tanh_alone(dy, x, y, W, activation):
        if activation == "relu":
            raise NotImplementedError
        return EXERCISES["dense-backward"].solution(dy, x, y, W, activation)

    verdict = grade(EXERCISES["dense-backward"], tanh_alone)
    assert verdict.status == "failed" and verdict.text.startswith("raises NotImplementedError on input ")


def test_nan_is_a_wrong_number():
    verdict = grade(GAE, lambda *args: returns.gae(*args) * np.nan)
    assert verdict.status == "wrong" and verdict.text.endswith("found nan")


@pytest.mark.slow
def test_files_are_graded_in_another_process(tmp_path):
    """One after the other; a file that ends the process does not stop the others, and one that does not end is stopped."""
    cases = [
        (RIGHT, "passed", ""),
        (TIME_LIMIT, "wrong", "adv["),
        ("def gae(:", "failed", "has a syntax error in line 1: "),
        ("def gae(r, v):\n    return r", "failed", "gae must take (r, v, v_next, term, done, gamma, lam), in this order"),
        (RIGHT.replace("term, done", "done, term"), "failed", "gae must take (r, v, v_next, term, done, gamma, lam), in this"),
        (RIGHT.replace("lam):", "lam, *, quick=True):").replace("gamma", "g"), "passed", ""),
        ("def gea(*args):\n    return 0", "failed", "e6.py has no function gae"),
        ("def gae(*args):\n\n    return args[0][:, 99]", "failed", "raises IndexError: index 99 is out of bounds"),
        ("import os\nos._exit(3)", "failed", "ended the process that graded it (it ended with exit code 3)"),
        ("def gae(*args):\n    raise NotImplementedError", "not begun", ""),
        ("raise SystemExit('no')", "failed", "raises SystemExit: no (line 1)"),
        ("def gae(*args):\n    while True:\n        pass", "failed", "is not ready after 1 seconds: an endless loop?"),
    ]
    paths = [tmp_path / f"e{i}.py" for i in range(len(cases))]
    for path, (text, _, _) in zip(paths, cases, strict=True):
        path.write_text(text)
    verdicts = list(grading.check([GAE] * len(cases), paths, seconds=1))
    for verdict, (_, status, text) in zip(verdicts, cases, strict=True):
        assert verdict.status == status and verdict.text.startswith(text), verdict
    assert verdicts[1].diagnosis.startswith("the bootstrap is cut at `done` instead of `term`")
    assert verdicts[7].text.endswith("(line 3)")


# -- the solutions that repeat a step are the steps of the agents ----------------------------------------------------------------


def test_the_stand_in_gives_the_gradients_of_a_real_agent(rng):
    config = api.make_agent("ddpg", "Pendulum-v1", hidden=(8,)).config
    agent = DDPG(config, spaces.Box(-1.0, 1.0, (3,)), spaces.Box(-2.0, 2.0, (1,)), dtype=np.float64)
    agent.theta_target.flat[:] += 0.1
    agent.w_target.flat[:] += 0.1
    s, a, r, s2 = rng.standard_normal((7, 3)), rng.uniform(-1, 1, (7, 1)), rng.standard_normal(7), rng.standard_normal((7, 3))
    term = np.array([1.0, 0, 0, 1, 0, 0, 0])
    w, theta = agent.w.flat.copy(), agent.theta.flat.copy()

    def critic(params):
        return lambda s, a: agent.critic.forward(params, np.concatenate([s, a], axis=1))[0][:, 0]

    def dq_da(s, a, dq):
        _, cache = agent.critic.forward(agent.w, np.concatenate([s, a], axis=1))
        return agent.critic.backward(agent.w, cache, dq[:, None], None, input_gradient=True)[:, 3:]

    dq, du = values.ddpg_update(s, a, r, s2, term, 0.99, lambda s: agent.pi(agent.theta, s)[0], critic(agent.w),
                                lambda s: agent.pi(agent.theta_target, s)[0], critic(agent.w_target), dq_da)
    for network, params, x, dy in ((agent.critic, agent.w, np.concatenate([s, a], axis=1), dq[:, None]),
                                   (agent.actor, agent.theta, s, du)):
        grads = params.zeros_like()
        network.backward(params, network.forward(params, x)[1], dy, grads)
        mine = grads.flat.copy()
        if network is agent.critic:
            agent.critic_step(Transitions(s, a, r, s2, term), agent.schedules(0))
            assert np.allclose(agent.dw.flat, mine, rtol=1e-12) and not np.array_equal(agent.w.flat, w)
            agent.w.flat[:] = w
        else:
            agent.actor_step(s, agent.schedules(0))
            assert np.allclose(agent.dtheta.flat, mine, rtol=1e-12) and not np.array_equal(agent.theta.flat, theta)


# -- stubs and commands ----------------------------------------------------------------------------------------------------------


def test_every_stub_is_complete_and_not_begun(folder, capsys):
    files = sorted(path.name for path in folder.iterdir())
    assert files == [file_name(exercise) for exercise in EXERCISES.values()]
    for exercise in EXERCISES.values():
        text = (folder / file_name(exercise)).read_text()
        assert exercise.math in " ".join(text.split()) and all(line in text for line in exercise.formula.splitlines())
        before, afterwards = text.split("Afterwards:")
        assert "Page:" in before and ".py" not in before and ".py" in afterwards, "the answer's file comes last"
        assert ("exercise train" in afterwards) == (exercise.training is not None)
        assert [line for line in text.splitlines() if "import" in line.split()[:1]] == ["import numpy as np"]
        assert max(map(len, text.splitlines())) <= 132, exercise.name
    assert code_of(["exercise", "check", "mine"]) == 1
    shown = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in shown[:20]] == ["–"] * 20 and shown[-1] == "0 of 20 passed, 20 not begun"


def test_start_never_overwrites(folder, capsys):
    (folder / "03_gae.py").write_text(RIGHT)
    (folder / "02_n_step.py").unlink()
    assert main(["exercise", "start", "mine"]) == 0
    shown = capsys.readouterr().out
    assert "03_gae.py" in shown.splitlines()[0] and "02_n_step.py" not in shown.splitlines()[0] and "1 files" in shown
    assert (folder / "03_gae.py").read_text() == RIGHT


@pytest.mark.slow
def test_check_marks_one_and_says_what_it_is(folder, capsys):
    (folder / "03_gae.py").write_text(RIGHT)
    assert code_of(["exercise", "check", "mine", "gae"]) == 0
    assert capsys.readouterr().out.split() == ["✓", "3", "gae"]
    (folder / "03_gae.py").write_text(TIME_LIMIT)
    assert code_of(["exercise", "check", "mine/03_gae.py"]) == 1
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("✗  3  gae  adv[") and "expected" in first and "found" in first
    assert second.strip().startswith("the bootstrap is cut at `done` instead of `term`: a time limit")


def test_list_and_solution(capsys):
    assert main(["exercise"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in shown[:20]] == NAMES and "`scratchac exercise start DIR`" in shown[-1]
    assert [" train  " in line for line in shown[:20]] == [bool(EXERCISES[name].training) for name in NAMES]
    for name in NAMES:
        assert main(["exercise", "solution", name]) == 0
        shown = capsys.readouterr().out
        assert all(inspect.getsource(inspect.unwrap(function)) in shown for function in EXERCISES[name].sources)
    assert main(["exercise", "solution", "3"]) == 0
    line = inspect.getsourcelines(returns.gae)[1]
    assert capsys.readouterr().out.startswith(f"scratchac/returns.py:{line}\n\ndef gae(")


@pytest.mark.parametrize("words, message", [
    (["chekc"], "unknown action 'chekc'; did you mean check?"), (["check", "nowhere"], "there is no folder nowhere"),
    (["check", "gae"], "there is no folder gae; exercise gae in the present folder: scratchac exercise check . gae"),
    (["check", ".", "backward"], "exercise 'backward' may be"), (["solution", "geometry"], "unknown exercise 'geometry'"),
    (["train", ".", "gae"], "there is no 03_gae.py"), (["start", "file/below"], "cannot be written to file/below"),
    (["check"], "required"),
])
def test_what_is_refused(words, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    assert main(["exercise", *words]) == 2
    assert message in capsys.readouterr().err


def test_train_refuses_what_is_not_begun_and_says_what_has_no_training(folder, capsys):
    assert main(["exercise", "train", "mine", "gae"]) == 2
    assert "gae is not begun" in capsys.readouterr().err
    assert main(["exercise", "train", "mine", "td3-target"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1


@pytest.mark.slow
def test_a_mistake_is_trained_beside_the_librarys_own(folder, monkeypatch, capsys):
    short = replace(GAE, training=replace(GAE.training, steps=100))
    monkeypatch.setitem(EXERCISES, "gae", short)
    monkeypatch.setattr(practice, "EPISODES", 2)
    theirs = practice.mean_return(short.training, api.train("a2c", "CartPole-v1", 100, 3, backend="numpy"))
    for text, lines in ((TIME_LIMIT, 3), (RIGHT, 1)):
        (folder / "03_gae.py").write_text(text)
        assert main(["exercise", "train", "mine", "gae", "--seed", "3", "--quiet"]) == 0
        shown = capsys.readouterr().out.splitlines()
        assert len(shown) == lines and "with your gae" in shown[-2 if lines == 3 else 0]
        if lines == 3:
            assert shown[2].startswith(f"with the library's own on the same seed: {theirs:.1f} after 100 steps.")


def test_an_error_in_training_is_one_line(folder, monkeypatch, capsys):
    (folder / "03_gae.py").write_text(RIGHT + """
right = gae
def gae(*args):
    if args[0].dtype != np.float64:
        raise ValueError("no float32")
    return right(*args)
""")
    assert main(["exercise", "train", "mine", "gae", "--quiet"]) == 2
    assert "gae raises ValueError: no float32" in capsys.readouterr().err


TRAINED = [name for name, exercise in EXERCISES.items() if exercise.training]


def apart(function, solution):
    """A solution that calls the library's own `function` also while another one is installed in its place."""
    function = inspect.unwrap(function)
    own = function.__code__

    def mine(*args):
        installed, function.__code__ = function.__code__, own
        try:
            return solution(*args)
        finally:
            function.__code__ = installed
    return mine


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAINED)
def test_training_with_the_solution_is_that_of_the_library(name):
    """The same parameters; nearly the same where the function gets other numbers than the library's, as log π for logits."""
    exercise = EXERCISES[name]
    training = exercise.training
    steps = 520 if training.algorithm == "sac" else 300
    before = api.make_agent(training.algorithm, training.env, **training.options).networks().theta.flat
    theirs = api.train(training.algorithm, training.env, steps, backend="numpy", **training.options).networks().theta.flat
    calls, mine = [], apart(training.function, exercise.solution)
    found = practice.train(training, lambda *args: calls.append(name) or mine(*args), steps=steps).networks().theta.flat
    assert calls and not np.array_equal(before, theirs)
    if name in ("softmax-gradient", "gaussian-gradient", "temperature"):
        assert np.allclose(found, theirs, atol=1e-4)
    else:
        assert np.array_equal(found, theirs)


@pytest.mark.slow
def test_training_with_a_mistake_is_not_that_of_the_library(folder, capsys):
    (folder / "03_gae.py").write_text(TIME_LIMIT)
    mine = apart(returns.gae, returns.gae)
    right = practice.train(GAE.training, mine, steps=300).networks().theta.flat
    wrong = practice.train(GAE.training, lambda *args: -mine(*args), steps=300).networks().theta.flat
    assert not np.array_equal(right, wrong)
    assert main(["exercise", "train", "mine", "gae", "--quiet"]) == 0
    first, second, _ = capsys.readouterr().out.splitlines()
    assert first.startswith("✗ adv[") and "a time limit is treated as an ending" in first
    assert "mean return of 20 episodes" in second and "30,000 steps" in second


# -- the derivations ---------------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not MATH.exists(), reason="there is no MATH.md")
def test_the_sections_exist():
    headings = [line.lstrip("#").rpartition("</a>")[2].strip() for line in MATH.read_text().splitlines() if line.startswith("#")]
    for name, exercise in EXERCISES.items():
        assert exercise.math in headings, name


def test_find_refuses():
    with pytest.raises(UserError, match="may be 'dense-backward', 'mlp-backward'"):
        find("backward")
