"""The learning lab: patches change one place of a function for a block, and nothing else."""

import inspect
import re

import numpy as np
import pytest

import kernels
import scratchac
from scratchac import distributions, gradcheck, nn, returns
from scratchac.__main__ import main
from scratchac.algorithms.a2c import A2C
from scratchac.algorithms.reinforce import Reinforce
from scratchac.lab.breaks import BREAKS, noticed, patch_of
from scratchac.lab.patch import Installed, Patch

ONE_STEP = [np.array([[x]]) for x in (1.0, 0.5, 2.0, 0.0, 0.0)]         # r, v, v′, term, done of one step


def test_a_patch_changes_every_alias_and_is_undone():
    by_name, code = returns.td_target, returns.td_target.__code__
    r, v, v2, term, done = ONE_STEP
    with Patch(returns.td_target, "(1 - term)", "(1 - 0 * term)"):
        assert by_name(r, v2, term + 1, 0.9) == 1 + 0.9 * 2             # the bootstrap of a terminal state
        assert returns.gae(r, v, v2, term + 1, done + 1, 0.9, 1.0) == 1 + 0.9 * 2 - 0.5
    assert returns.td_target.__code__ is code and by_name(r, v2, term + 1, 0.9) == 1


def test_a_patch_is_undone_when_its_block_fails():
    code = returns.td_target.__code__
    with pytest.raises(ZeroDivisionError), Patch(returns.td_target, "(1 - term)", "1"):
        raise ZeroDivisionError
    assert returns.td_target.__code__ is code and kernels.backend.name == "numpy"


def test_text_that_is_missing_or_ambiguous_is_refused():
    with pytest.raises(ValueError, match=r"'gamma \* gamma' occurs 0 times in returns.gae"):
        Patch(returns.gae, "gamma * gamma", "")
    with pytest.raises(ValueError, match=r"'lam' occurs \d+ times in returns.gae"):
        Patch(returns.gae, "lam", "")


def test_methods_with_a_superclass_and_kernels_can_be_patched():
    with Patch(Reinforce.__init__, "output_gain=0.01", "output_gain=0.0"):
        agent = scratchac.make_agent("reinforce", "CartPole-v1")
        assert agent.net.forward(agent.params, np.ones((1, 4), np.float32))[0].tolist() == [[0, 0]]
    with Patch(nn.linear_backward, "np.sum(dz, axis=-2, out=db)", "db[...] = 7"):
        x, W = np.ones((2, 3)), np.ones((3, 1))
        dW, db = np.empty((3, 1)), np.empty(1)
        nn.linear_backward(np.ones((2, 1)), x, None, W, "identity", dW, db)
        assert db.tolist() == [7]


def test_a_traceback_names_the_line_of_the_file():
    lines, first = inspect.getsourcelines(returns.td_target)
    here = next(i for i, line in enumerate(lines) if "return" in line and "term" in line)
    with pytest.raises(ZeroDivisionError) as raised, Patch(returns.td_target, "(1 - term)", "(1 / 0)"):
        returns.td_target(*(ONE_STEP[i] for i in (0, 2, 3)), 0.9)
    assert raised.traceback[-1].lineno + 1 == first + here and raised.traceback[-1].path.name == "returns.py"


@pytest.mark.parametrize("backend", ["numpy", pytest.param("numba", marks=pytest.mark.slow)])
def test_no_backend_passes_a_patch_by(backend):
    """Compiled code stands for a module only while it is whole: without its gradient the critic stays as it was made."""
    if backend == "numba":
        pytest.importorskip("numba")
    with Patch(A2C.gradient, "h.value_coef * dv", "0 * dv"):
        before = scratchac.make_agent("a2c", "CartPole-v1", hidden=(4,)).networks().w
        after = scratchac.train("a2c", "CartPole-v1", backend=backend, steps=200, hidden=(4,)).networks().w
    assert before.flat.tolist() == after.flat.tolist()


def test_the_backend_of_before_is_active_again():
    numba = pytest.importorskip("numba") and kernels.load("numba")
    with kernels.using("numba"):
        with Patch(returns.gae, " - v", " + v"):
            assert kernels.backend.name == "numpy"
            with kernels.using("numba"):
                assert kernels.registry._running["scratchac.returns.reverse_scan"] is kernels.registry.REFERENCES[
                    "scratchac.returns.reverse_scan"]
        assert kernels.backend.name == numba.name
        assert kernels.registry._running["scratchac.returns.reverse_scan"] is numba.overrides["reverse_scan"]


def test_an_own_function_takes_the_place_of_the_librarys():
    seen = []

    def mine(r, v_next, term, gamma):
        seen.append(gamma)
        return r * 0 + helper()

    def helper():
        return 3.0

    r, v, v2, term, done = ONE_STEP
    with Installed(returns.td_target, mine):
        assert returns.gae(r, v, v2, term, done, 0.9, 1.0) == 3 - 0.5
    assert seen == [0.9] and returns.gae(r, v, v2, term, done, 0.9, 1.0) == 1 + 0.9 * 2 - 0.5


def test_own_backward_passes_are_checked_as_the_librarys():
    def right(self, cache, dlogp, dentropy):
        a, pi, log_pi, entropy = cache
        onehot = np.eye(pi.shape[-1])[a]
        return (onehot - pi) * dlogp[:, None] - pi * (log_pi + entropy[:, None]) * dentropy[:, None]

    def wrong(self, cache, dlogp, dentropy):
        return right(self, cache, dlogp, -dentropy)

    with Installed(distributions.Categorical.backward, right):
        assert gradcheck.run("Categorical: entropy").passed
    with Installed(distributions.Categorical.backward, wrong):
        assert not gradcheck.run("Categorical: entropy").passed


# -- gradcheck to look at ------------------------------------------------------------------------------------------------------


def test_breaks_are_noticed_by_named_checks_which_give_their_numbers():
    seen = {one.check: one for one in noticed(patch_of("MSE: 1/B"))}
    assert {"MSE value loss", "A2C update, discrete, two networks"} <= set(seen)
    for one in seen.values():
        assert 0 < one.wrong <= one.coordinates and one.expected != one.found and one.error > gradcheck.TOLERANCE


def test_every_break_says_where_it_is():
    for name in BREAKS:
        diff = patch_of(name).diff()
        place, *lines = diff.splitlines()
        assert place.startswith("scratchac/") and {line[0] for line in lines} == {"-", "+"}, name


def test_show_prints_expected_and_found(capsys, tmp_path):
    assert main(["gradcheck", "--show", "Huber value", "--picture", str(tmp_path / "h.png")]) == 0
    shown = capsys.readouterr().out
    assert shown.splitlines()[1].startswith("L = mean of ½e² where |e| ≤ 1") and "(6,)" in shown.splitlines()[1]
    assert "the mistake that the check must catch (not clipped): 6.7e-01" in shown
    assert "expected (differences)" in shown and "1e-05" in shown and (tmp_path / "h.png").stat().st_size > 10_000


def test_every_check_says_what_its_loss_and_its_array_are():
    for name, (check, _) in gradcheck.CHECKS.items():
        assert re.fullmatch(r"L = [^\n]+, by [^\n]+\.", check.__doc__ or ""), name


@pytest.mark.parametrize("flag, names", [("--show", gradcheck.CHECKS), ("--break", BREAKS)])
def test_names_are_listed_one_per_line(flag, names, capsys):
    assert main(["gradcheck", flag, "list"]) == 0
    assert capsys.readouterr().out.splitlines() == list(names)


def test_a_picture_that_cannot_be_written_is_one_line(capsys, tmp_path):
    for path, message in ((tmp_path / "none" / "h.png", "cannot be written"), (tmp_path / "h.xyz", "cannot draw")):
        assert main(["gradcheck", "--show", "Huber value", "--picture", str(path)]) == 2
        error = capsys.readouterr().err
        assert message in error and len(error.splitlines()) == 1 and not path.exists()


def test_break_prints_the_diff_and_the_checks(capsys):
    assert main(["gradcheck", "--break", "Huber"]) == 0
    shown = capsys.readouterr().out
    assert "- return float" in shown and "checks notice it" in shown and "scratchac/losses.py:" in shown


@pytest.mark.parametrize("words, message", [
    (["--show", "nothing"], "unknown check 'nothing'; scratchac gradcheck --show list prints all names\n"),
    (["--break", "entropy"], "break 'entropy' may be"),
    (["--show", "huber", "--break", "huber"], "one of --show, --break and --json"), (["--picture", "x.png"], "only with --show"),
])
def test_what_is_refused(words, message, capsys):
    assert main(["gradcheck", *words]) == 2
    assert message in capsys.readouterr().err
