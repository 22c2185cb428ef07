"""The microscope's sums are right: its values and gradient three ways, means as theory says, variances in the known order."""

import json
import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from scratchac import distributions, losses, nn, returns
from scratchac.__main__ import main
from scratchac.lab import exact
from scratchac.lab.microscope import Microscope
from scratchac.lab.patch import Patch
from scratchac.lab.worlds import Corridor

MATH = Path(exact.__file__).parents[1] / "MATH.md"


@pytest.fixture(scope="module")
def micro():
    return Microscope(gamma=0.9, critic_error=0.3)


@pytest.fixture(scope="module")
def undiscounted():
    return Microscope(gamma=0.9, critic_error=0.3, discount=False)


def mean(micro, psi):
    return micro.probabilities() @ micro.gradients(psi)


def variance(micro, psi):
    return micro.estimate(psi).variance


# -- the world -----------------------------------------------------------------------------------------------------------


def test_every_trajectory_is_listed_once():
    paths = Corridor().paths
    assert paths.s.shape == (8, 8776)
    rows = np.concatenate([paths.s, paths.a, paths.s2, paths.r])
    assert len(np.unique(rows, axis=1).T) == 8776
    assert (paths.s2[:-1] == paths.s[1:]).all() and (paths.r[paths.alive == 0] == 0).all()
    # A coin for each action: the probabilities that are left must add up to 1.
    assert abs(paths.chance @ 0.5 ** paths.alive.sum(axis=0) - 1) < 1e-14


def test_one_step_by_hand():
    world = Corridor()
    assert world.outcomes(world.start, 1) == [(0.8, 5, -0.05), (0.2, 3, -0.25)]         # to cell 3, or by a slip to cell 1; t = 1
    assert world.outcomes(5, 1) == [(0.8, 24, 0.95), (0.2, 7, -0.25)]                   # into the last cell, or back to the middle
    assert world.outcomes(22, 0)[0][1] == 24                                            # the limit, in the middle


@pytest.mark.parametrize("gamma", [0.5, 0.9, 1.0])
def test_values_and_gradient_three_ways(gamma):
    """J by the Bellman equation is J by enumeration; ∇J by the theorem is the one by differences."""
    micro = Microscope(gamma)
    p = micro.probabilities()
    assert abs(p.sum() - 1) < 1e-13
    assert abs(p @ micro.reward_to_go()[0] - micro.J()) < 1e-13
    np.testing.assert_allclose(micro.gradient(), micro.differences(), rtol=0, atol=1e-10)
    assert np.linalg.norm(micro.gradient()) > 0.05


def test_each_trajectory_has_its_own_gradient(micro):
    """The stack's backward pass gives what a network of its own gives for one trajectory, computed from ∂log π/∂y = 1[a] − π."""
    m, psi, pi = 4321, micro.reinforce(), micro.policy()
    expected = np.zeros((24, 2))
    for t in range(int(micro.paths.alive[:, m].sum())):
        s, a = micro.paths.s[t, m], micro.paths.a[t, m]
        expected[s] += psi[t, m] * (np.eye(2)[a] - pi[s])
    np.testing.assert_allclose(micro.gradients(psi)[m], np.append(expected.ravel(), expected.sum(axis=0)), rtol=0, atol=1e-14)


# -- means ---------------------------------------------------------------------------------------------------------------


def test_a_baseline_leaves_the_mean_alone(micro):
    v, g, whole = micro.values()[0], micro.reinforce(), micro.whole_return()
    strange = np.random.default_rng(5).normal(0, 3, 25)
    for psi in (whole, g, micro.reinforce(micro.J()), micro.reinforce(v), micro.reinforce(-v), micro.reinforce(strange),
                micro.reinforce(micro.optimal_baseline(g)), micro.reinforce(micro.learned_baseline()), micro.advantages()):
        np.testing.assert_allclose(mean(micro, psi), micro.gradient(), rtol=0, atol=1e-12)


def test_a_baseline_that_sees_the_action_does_not(micro):
    psi = micro.reinforce() - micro.weight * micro.paths.a
    assert np.abs(mean(micro, psi) - micro.gradient()).max() > 0.01


def test_with_the_true_values_gae_is_unbiased_for_every_lambda(micro):
    v = micro.values()[0]
    for lam in (0, 0.3, 0.95, 1):
        np.testing.assert_allclose(mean(micro, micro.gae(lam, v)), micro.gradient(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("discount", [True, False])
def test_a_wrong_critic_biases_as_predicted(discount, micro, undiscounted):
    used = micro if discount else undiscounted
    v = used.critic()
    for lam in (0, 0.5, 1):
        np.testing.assert_allclose(mean(used, used.gae(lam, v)), used.predicted_gae(lam, v), rtol=0, atol=1e-12)
    for k in (1, 2, 5):
        np.testing.assert_allclose(mean(used, used.k_step(k, v)), used.predicted_k_step(k, v), rtol=0, atol=1e-12)


def test_limits_of_lambda_and_k(micro):
    v = micro.critic()
    np.testing.assert_allclose(micro.gae(1, v), micro.reinforce(v), rtol=0, atol=1e-13)
    np.testing.assert_array_equal(micro.gae(0, v), micro.k_step(1, v))
    np.testing.assert_allclose(micro.k_step(8, v), micro.reinforce(v), rtol=0, atol=1e-13)


def test_bias_falls_with_lambda_and_grows_with_the_error(micro):
    seen = [micro.estimate(micro.gae(lam, micro.critic())) for lam in (0, 0.5, 0.9, 1)]
    assert all(a.bias > 1.9 * b.bias and a.cosine < b.cosine for a, b in pairwise(seen))
    assert seen[0].bias > 0.9 and seen[-1].bias < 1e-12
    # The bias is linear in the error: Â is, and so is the mean.
    twice = micro.estimate(micro.gae(0, micro.critic(0.6)))
    assert abs(twice.bias - 2 * seen[0].bias) < 1e-12


def test_without_the_discount_it_is_another_field_and_no_gradient(undiscounted):
    v, q = undiscounted.values()
    field = mean(undiscounted, undiscounted.gae(1, v))
    np.testing.assert_allclose(field, undiscounted.field(1.0, q), rtol=0, atol=1e-12)
    assert np.linalg.norm(field - undiscounted.gradient()) > 0.2 * np.linalg.norm(undiscounted.gradient())
    assert undiscounted.asymmetry(undiscounted.gamma) < 1e-8 < 0.04 < undiscounted.asymmetry(1.0)


# -- variances -----------------------------------------------------------------------------------------------------------


def test_variance_is_that_of_samples(micro):
    """The one test that samples: 40,000 trajectories, drawn with a fixed seed."""
    psi = micro.gae(0.5, micro.critic())
    p, one = micro.probabilities(), micro.estimate(psi)
    g = micro.gradients(psi)[np.random.default_rng(0).choice(len(p), size=40_000, p=p / p.sum())]
    assert abs(g.var(axis=0).sum() / one.variance - 1) < 0.03
    assert abs(one.episodes - one.variance / (micro.gradient() @ micro.gradient())) < 1e-12


def test_baselines_in_order(micro):
    g = micro.reinforce()
    best = micro.optimal_baseline(g)
    order = [variance(micro, x) for x in (micro.advantages(), micro.reinforce(best), micro.reinforce(micro.values()[0]),
                                          micro.reinforce(micro.J()), g, micro.reinforce(-micro.values()[0]))]
    assert order == sorted(order) and order[-1] > 2 * order[-2] > 4 * order[1]
    for s in (1, 3, 13):                                                    # to either side of the best one it grows
        for change in (-0.1, 0.1):
            assert variance(micro, micro.reinforce(best + change * (np.arange(25) == s))) > order[1]


def test_a_critic_that_learns_removes_more_and_more(micro):
    seen = [variance(micro, micro.reinforce(micro.learned_baseline(steps))) for steps in (0, 3, 20)]
    assert seen[0] > seen[1] > seen[2] and abs(seen[0] - variance(micro, micro.reinforce())) < 1e-12
    assert 0.99 * seen[-1] < variance(micro, micro.reinforce(micro.values()[0])) < seen[-1]


@pytest.mark.parametrize("gamma, plain", [(0.7, 1), (1.0, -1)])
def test_causality_reduces_variance_under_the_best_baselines(gamma, plain):
    """Without a baseline it depends: for γ = 1 past costs make G₀ smaller, as a baseline would, and that is worth more."""
    micro = Microscope(gamma)
    whole, togo = ((x, x - micro.baseline(micro.optimal_baseline(x))) for x in (micro.whole_return(), micro.reinforce()))
    assert variance(micro, togo[1]) < 0.95 * variance(micro, whole[1])
    assert plain * variance(micro, togo[0]) < plain * variance(micro, whole[0])


# -- outside of the corridor ---------------------------------------------------------------------------------------------


def test_two_gradients_have_one_mean():
    differences, seen = exact.two_gradients()
    for moments in seen.values():
        np.testing.assert_allclose(moments.mean, differences, rtol=0, atol=1e-7)
    through, score, with_mean, with_bad = (moments.variance for moments in seen.values())
    assert (through < 0.2 * with_mean).all() and (with_mean < score).all() and (2 * score < with_bad).all()


def test_exp_of_q_over_alpha_never_lowers_q():
    right, wrong = (np.array([exact.soft_iteration(seed, 0.5, inverted) for seed in range(40)]) for inverted in (False, True))
    assert right[:, 0].min() > -1e-12
    assert (wrong[:, 0] < -1e-6).mean() > 0.5 and right[:, 1].mean() > wrong[:, 1].mean() + 0.5


def test_a_split():
    np.testing.assert_allclose(exact.a_split(through_target=False), [0.5, 1, 0], rtol=0, atol=1e-12)
    np.testing.assert_allclose(exact.a_split(through_target=True), [0.5, 0.75, 0.25], rtol=0, atol=1e-12)


# -- it looks at the library ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("function, old, new", [
    (returns.td_target, "(1 - term)", "(1 - 0 * term)"), (returns.gae, "gamma * lam * (1 - done)", "gamma * lam * (1 - 0 * done)"),
    (losses.policy_gradient, "(-1 / len(logp))", "-1.0"), (distributions.Categorical.backward, "dy -= dlogp[:, None]", "pass"),
    (nn.linear_backward, "np.sum(dz, axis=-2, out=db)", "np.mean(dz, axis=-2, out=db)")],
    ids=lambda x: getattr(x, "__name__", ""))
def test_a_mistake_in_the_library_is_seen(function, old, new, micro):
    """V of the end is not 0 here, as a critic's would not be, and the rows behind it have a reward, as another episode's would."""
    v = micro.values()[0] + (np.arange(25) == 24)
    micro.paths.r[micro.paths.alive == 0] = 3
    try:
        np.testing.assert_allclose(mean(micro, micro.gae(0.9, v) + micro.baseline(1)), micro.gradient(), rtol=0, atol=1e-12)
        with Patch(function, old, new):
            assert np.abs(mean(micro, micro.gae(0.9, v) + micro.baseline(1)) - micro.gradient()).max() > 1e-3
    finally:
        micro.paths.r[micro.paths.alive == 0] = 0


# -- the command ---------------------------------------------------------------------------------------------------------


def test_the_command_prints_the_sums(capsys, monkeypatch):
    from scratchac.tools import microscope as tool

    for name, fewer in (("MDPS", 2), ("STEPS", (2,)), ("LAMBDAS", (0.5,))):
        monkeypatch.setattr(tool, name, fewer)
    assert main(["microscope", "--gamma", "0.8", "--critic-error", "0.2", "--lam", "0.4", "--no-discount", "--json"]) == 0
    seen = json.loads(capsys.readouterr().out)
    micro = Microscope(0.8, 0.2, discount=False)
    assert seen["J"] == micro.J()
    row = seen["estimators"]["GAE with V̂ = V + 0.2 ε(s)"]["λ = 0.4"]
    assert row["variance"] == variance(micro, micro.gae(0.4, micro.critic()))
    shown = tool.text(seen, discount=False)
    assert f"λ = 0.4{row['bias']:36.1e}{row['variance']:10.4f}" in shown and "1 instead of γᵗ" in shown
    assert all(len(line) <= 132 for line in shown.splitlines())
    headings = [re.sub(r"^#+ (<a .*></a>)?", "", line) for line in MATH.read_text().splitlines() if line.startswith("#")]
    named = re.findall("“(.+?)”", " ".join(shown.split()))
    assert len(named) == 8 and set(named) <= set(headings)
    assert all(word in shown for word in ("5 cells in a row", "critic after 20 steps: ", "best b(s): ", "example 11.2"))


@pytest.mark.parametrize("gamma, discount, unbiased", [(0.9, True, True), (0.9, False, False), (1.0, False, True)])
def test_headings_say_unbiased_only_of_what_is(gamma, discount, unbiased, monkeypatch):
    from scratchac.tools import microscope as tool

    for name, fewer in (("STEPS", (2,)), ("LAMBDAS", (0.0, 0.5))):
        monkeypatch.setattr(tool, name, fewer)
    groups = tool.estimates(Microscope(gamma, discount=discount, world=Corridor(limit=5)), 0.5)
    (first, rows), (second, more), *_ = groups.items()
    assert ("unbiased, whatever" in first) == ("unbiased" in second) == unbiased
    for name, row in (rows | more).items():
        assert (row.bias < 1e-12) == (unbiased or "G₀" in name), name
    if not unbiased:                                                        # "the same": whatever the baseline, for every λ
        biases = [row.bias for name, row in (rows | more).items() if "G₀" not in name]
        assert "G₀ is unbiased" in first and "same bias" in first and np.ptp(biases) < 1e-12 and biases[0] > 0.01


@pytest.mark.parametrize("arguments, message", [
    ("--gamma 0", "--gamma must be in [0.01, 1], not 0"), ("--gamma nan", "--gamma must be"),
    ("--lam -0.1", "--lam must be in [0, 1]"),
    ("--critic-error inf", "--critic-error must be in [0, 100]"), ("--batch 0", "--batch must be"),
    ("--gama 1", "did you mean --gamma"),
    ("--page taken.html", "taken.html exists already"), ("--page no/where.html", "no/where.html cannot be written")])
def test_mistakes_are_one_line(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken.html").write_text("mine")
    assert main(["microscope", *arguments.split()]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and len(captured.err.strip().splitlines()) == 1 and message in captured.err
    assert [path.name for path in tmp_path.iterdir()] == ["taken.html"] and (tmp_path / "taken.html").read_text() == "mine"


@pytest.mark.slow
def test_the_picture(tmp_path, capsys):
    assert main(["microscope", "--picture", str(tmp_path / "a.xyz")]) == 2 and "a.xyz" in capsys.readouterr().err
    assert main(["microscope", "--picture", str(tmp_path / "a.png")]) == 0
    assert (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG" and capsys.readouterr().out.strip() == str(tmp_path / "a.png")


# -- the page ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def written(tmp_path):
    assert main(["microscope", "--page", str(tmp_path / "micro.html")]) == 0
    return tmp_path / "micro.html"


@pytest.mark.slow
def test_the_page_computes_what_numpy_does(written, visit):
    page = visit(written)
    assert page.evaluate("scratchac.made.chance.length") == 8776
    for gamma, lam, error, discount in [(g, lam, e, d) for g, d in ((0.5, True), (0.9, False), (0.97, True), (1.0, False))
                                        for lam, e in ((0.0, 0.3), (0.65, 1.0), (0.95, 0.05), (1.0, 0.0))]:
        got = page.evaluate("""given => {
            const x = scratchac.look(given);
            return {...x, gradient: [...x.gradient], mean: [...x.mean]};
        }""", {"gamma": gamma, "lam": lam, "error": error, "discount": discount})
        micro = Microscope(gamma, error, discount)
        one = micro.estimate(micro.gae(lam, micro.critic()))
        assert abs(got["J"] - micro.J()) < 1e-10
        np.testing.assert_allclose(got["gradient"], micro.gradient(), rtol=0, atol=1e-10)
        np.testing.assert_allclose(got["mean"], one.mean, rtol=0, atol=1e-10)
        for name in ("bias", "variance", "cosine", "episodes"):
            assert abs(got[name] - getattr(one, name)) < 1e-10 * max(1, abs(got[name])), name


@pytest.mark.slow
def test_the_page_is_worked_by_keys(written, visit):
    page = visit(written, viewport={"width": 1100, "height": 900})
    shown = lambda: [page.inner_text(f"#{name}") for name in ("bias", "angle", "deviation", "episodes", "best")]  # noqa: E731
    before = shown()
    assert before[0] == "28.7%" and before[3] == "14.9"                     # as the command prints: 2.9e-01 and 14.9
    page.focus("#lam")
    page.keyboard.press("End")
    assert page.inner_text("#lam-shown") == "1.00" and shown()[:2] == ["0.0%", "0.0°"]
    page.focus("#error")
    page.keyboard.press("Home")
    assert page.evaluate("scratchac.settings.error") == 0
    page.focus("#batch")
    page.keyboard.press("End")
    assert page.inner_text("#batch-shown") == "1000" and page.get_attribute("#batch", "aria-valuetext") == "1000 episodes"
    page.focus("#discount")
    page.keyboard.press("Space")
    assert page.evaluate("scratchac.settings.discount") is False and shown()[0] != "0.0%"
    named = page.locator("input").evaluate_all("all => all.map((input) => input.labels.length)")
    assert named == [1] * 5 and all(page.locator("svg").evaluate_all("all => all.map((svg) => svg.ariaLabel.length > 20)"))


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_on_a_phone(scheme, written, visit):
    """It fits 320 pixels, its controls are 44 high, and text stands out from the card by 4.5 to 1."""
    page = visit(written, viewport={"width": 320, "height": 640}, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    boxes = [x.bounding_box() for x in page.locator("input[type=range], label.switch").all()]
    assert len(boxes) == 5 and min(box["height"] for box in boxes) >= 44
    inside = """all => all.every((x) => { const box = x.getBoundingClientRect(); return box.left >= 0 && box.right <= 320; })"""
    assert page.locator("svg text, svg path, dd, figcaption span").evaluate_all(inside)
    colours = page.evaluate("""["--ink", "--muted", "--card"].map((name) => {
        const probe = document.body.appendChild(document.createElement("i"));
        probe.style.color = `var(${name})`;
        const rgb = getComputedStyle(probe).color.match(/[\\d.]+/g).map(Number);
        probe.remove();
        return rgb;
    })""")
    linear = [np.array([c / 255 / 12.92 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in rgb[:3]]) for rgb in colours]
    ink, muted, card = (float(x @ [0.2126, 0.7152, 0.0722]) for x in linear)
    for text in (ink, muted):
        assert (max(text, card) + 0.05) / (min(text, card) + 0.05) >= 4.5


def test_the_page_asks_for_nothing():
    source = "".join((Path(exact.__file__).parents[1] / "tools/page" / name).read_text()
                     for name in ("micro.html", "micro.js", "microscope.js", "micro.css"))
    assert "default-src 'none'" in source
    world = Corridor()                                                      # the page's words for it have its numbers
    for number in (world.left_reward, -world.step_reward, -world.slip_reward):
        assert f"{number:g}" in source.split("<footer>")[1]
    assert not any(word in source for word in ("https:", "fetch(", "import(", "XMLHttpRequest", "@import", "src="))
