"""The interactive pages compute what NumPy does, ask for nothing, and can be used on a phone and with the keyboard."""

import math
import re
from functools import cache

import numpy as np
import pytest

from scratchac.distributions import log_softmax, tanh_gaussian
from scratchac.lab import conditioning
from scratchac.site import labs


@cache
def written():
    return labs.pages()


@pytest.fixture
def show(tmp_path, visit):
    """Open one of the pages."""
    def show(name, **options):
        path = tmp_path / f"{name}.html"
        path.write_text(written()[path.name], encoding="utf-8")
        return visit(path, **options)

    return show


# -- the references themselves -------------------------------------------------------------------------------------------


def test_a_trial_is_td_by_hand():
    """δ = r + γV′ − V before the weights change; with λ = 1 each weight moves by the step size times its discounted sum of δ."""
    w = np.zeros((conditioning.STEPS + 1, 1))
    w[conditioning.REWARD - 2] = 0.5
    delta, after = conditioning.trial(w, conditioning.reward_at(conditioning.REWARD), lr=0.1, lam=1.0, gamma=0.9)
    expected = np.zeros(conditioning.STEPS)
    expected[conditioning.REWARD - 3 : conditioning.REWARD] = 0.9 * 0.5, -0.5, 1
    np.testing.assert_allclose(delta[:, 0], expected, rtol=0, atol=1e-15)
    assert w[conditioning.REWARD - 1] == 0                                  # the old weights stay as they were
    for t in range(conditioning.STEPS + 1):
        g = 0.9 ** (conditioning.REWARD - 1 - t) if conditioning.CUE <= t < conditioning.REWARD else 0
        assert abs(after[t, 0] - w[t, 0] - 0.1 * (g - w[t, 0])) < 1e-15, t


def test_the_error_moves_to_the_cue_and_an_omitted_reward_is_a_dip():
    delta = conditioning.condition([1] * 300 + [0], [0.2] * 301)[..., 0]
    assert abs(delta[299, conditioning.CUE - 1] - conditioning.GAMMA ** (conditioning.REWARD - conditioning.CUE)) < 1e-3
    assert abs(delta[299, conditioning.REWARD - 1]) < 1e-3 and abs(delta[300, conditioning.REWARD - 1] + 1) < 1e-3


# -- the pages compute what NumPy does -----------------------------------------------------------------------------------


TRIALS = ["reward"] * 12 + ["omitted"] + ["reward"] * 3 + ["early", "early"] + ["reward"] * 2


@pytest.mark.slow
def test_conditioning_in_the_page(show):
    page = show("dopamine")
    settings = [(lam, lr, gamma) for lam in (0.0, 0.4, 0.9, 1.0) for lr, gamma in ((0.2, 0.98), (1.0, 0.8), (0.05, 1.0))]
    early = conditioning.REWARD - labs.EARLY
    for lam, lr, gamma in settings:
        seen = page.evaluate("""([settings, kinds]) => {
            Object.assign(scratchac.settings, settings);
            scratchac.startAgain();
            for (const kind of kinds) scratchac.run(kind);
            return scratchac.state();
        }""", [{"lam": lam, "lr": lr, "gamma": gamma}, TRIALS])
        w = np.zeros((conditioning.STEPS + 1, 1))
        for kind, one in zip(TRIALS, seen["trials"], strict=True):
            np.testing.assert_allclose(one["v"], w[:-1, 0], rtol=0, atol=1e-10)
            r = conditioning.reward_at(early if kind == "early" else conditioning.REWARD, float(kind != "omitted"))
            delta, w = conditioning.trial(w, r, lr, lam, gamma)
            np.testing.assert_allclose(one["delta"], delta[:, 0], rtol=0, atol=1e-10)
        np.testing.assert_allclose(seen["w"], w[:, 0], rtol=0, atol=1e-10)
        assert abs(w).max() > 0.1
        assert page.inner_text("#at-cue") == f"{delta[conditioning.CUE - 1, 0]:.3f}".replace("-", "−")


def integrals(mu, log_std, points=4001):
    """By the library's log π and the width (1 − tanh² u) du of a strip of actions: areas of the densities, and both entropies."""
    eps, (mu, log_std) = np.linspace(-8, 8, points)[:, None], np.full((2, points, 1), [[[mu]], [[log_std]]])
    _, logp, u = tanh_gaussian(mu, log_std, eps)
    du = np.exp(log_std[0, 0]) * 16 / (points - 1)
    logu = (-0.5 * eps ** 2 - log_std - 0.5 * math.log(2 * math.pi))[:, 0]
    da = du / np.cosh(u[:, 0]) ** 2                                         # 1 − tanh² = 1 / cosh²
    p = np.exp(logp)
    return {"before": np.exp(logu).sum() * du, "after": p @ da, "without": np.exp(logu) @ da, "entropy": -(p * logp) @ da,
            "claimed": -(p * logu) @ da}


@pytest.mark.slow
def test_densities_in_the_page(show):
    page = show("tanh_gaussian")
    for mu, log_std in [(m, s) for m in (-2.5, 0.0, 0.5, 1.3) for s in (-2.5, -0.2, 0.75, 2.0)]:
        seen = page.evaluate("([mu, logStd]) => scratchac.areas(mu, logStd)", [mu, log_std])
        for reference in (integrals(mu, log_std), integrals(mu, log_std, 16001)):          # more points change nothing
            for name, number in reference.items():
                assert abs(seen[name] - number) < 1e-10, (name, mu, log_std)
        assert abs(seen["after"] - 1) < 1e-10 and abs(seen["before"] - 1) < 1e-10 and seen["without"] < 0.999
        assert abs(seen["claimed"] - log_std - 0.5 * math.log(2 * math.pi * math.e)) < 1e-10    # the entropy of u
        for a in (-0.999, -0.4, 0.0, 0.7, 0.95):
            one = page.evaluate("([a, mu, logStd]) => scratchac.logDensities(a, mu, logStd)", [a, mu, log_std])
            eps = (np.arctanh(a) - mu) / np.exp(log_std)
            again, logp, u = tanh_gaussian(*(np.array([[x]]) for x in (mu, log_std, eps)))
            assert abs(again[0, 0] - a) < 1e-12
            assert abs(one["logp"] - logp[0]) < 1e-10 * max(1, abs(logp[0])) and abs(one["u"] - u[0, 0]) < 1e-10
            assert abs(one["slope"] - math.log1p(-a * a)) < 1e-10
            assert abs(one["without"] - one["logp"] - one["slope"]) < 1e-10 * max(1, abs(logp[0]))
    deciles = page.evaluate("scratchac.DECILES")
    below = [0.5 * (1 + math.erf(x / math.sqrt(2))) for x in deciles]
    np.testing.assert_allclose(below, np.arange(1, 10) / 10, rtol=0, atol=1e-6)


@pytest.mark.slow
def test_soft_policies_in_the_page(show, rng):
    page = show("soft_policies")
    for alpha in (0.05, 0.3, 1.0, 2.5, 5.0):
        for q in (*rng.uniform(-2, 2, (3, 3)), np.ones(3)):
            seen = page.evaluate("([q, alpha]) => scratchac.policies(q, alpha)", [q.tolist(), alpha])
            soft = {}
            for name, logits in (("right", q / alpha), ("wrong", alpha * q)):
                logp = log_softmax(logits)
                p = np.exp(logp)
                entropy = -(p * logp).sum()
                soft[name] = p @ q + alpha * entropy
                np.testing.assert_allclose(seen[name]["p"], p, rtol=0, atol=1e-10)
                for key, number in (("entropy", entropy), ("expected", p @ q), ("soft", soft[name])):
                    assert abs(seen[name][key] - number) < 1e-10, (name, key, alpha, q)
            assert abs(seen["value"] - alpha * np.log(np.exp(q / alpha).sum())) < 1e-10
            assert abs(seen["value"] - soft["right"]) < 1e-10                             # the maximum is reached,
            assert soft["right"] - soft["wrong"] > (1e-4 if alpha != 1 and np.ptp(q) else -1e-12)     # and not by the other


# -- use -----------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_buttons_and_sliders_are_worked_by_keys(show):
    page = show("dopamine")
    page.focus("#twenty")
    page.keyboard.press("Enter")
    page.focus("#omit")
    page.keyboard.press("Space")
    assert page.inner_text("#trials") == "21" and "no reward" in page.inner_text("#kind")
    page.focus("#lam")
    page.keyboard.press("End")
    assert page.inner_text("#lam-shown") == "1.00" and page.evaluate("scratchac.settings.lam") == 1
    page.focus("#again")
    page.keyboard.press("Enter")
    assert page.inner_text("#trials") == "0"

    page = show("tanh_gaussian")
    page.focus("#logStd")
    page.keyboard.press("End")
    expected = integrals(0.5, 2.0)
    assert page.inner_text("#after") == "1.0000" and page.inner_text("#without") == f"{expected['without']:.4f}"
    assert page.inner_text("#entropy") == f"{expected['entropy']:.3f}".replace("-", "−")

    page = show("soft_policies")
    page.focus("#q3")
    page.keyboard.press("End")
    assert page.evaluate("scratchac.settings.q3") == 2
    assert float(page.inner_text("#right-2")) > float(page.inner_text("#right-0"))
    page.locator("[data-action='0']").scroll_into_view_if_needed()
    box = page.locator("[data-action='0']").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 400)            # far below the picture: the least value there is
    page.mouse.up()
    page.mouse.move(box["x"], box["y"])                                     # the button is up: nothing is dragged any more
    assert page.evaluate("scratchac.settings.q1") == -2 and page.inner_text("#q1-shown") == "−2.00"


@pytest.mark.slow
@pytest.mark.parametrize("name", labs.NAMES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone(name, scheme, show):
    """Nothing is wider than 360 pixels, controls are 44 high, drawings have names, and the answer is folded at first."""
    page = show(name, viewport={"width": 360, "height": 740}, color_scheme=scheme)
    if name == "dopamine":
        page.click("#twenty")
    assert page.locator("details[open]").count() == 0
    page.click("summary")
    assert page.locator("details[open] p").first.is_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    outside = """all => all.filter((x) => {
        const box = x.getBoundingClientRect();
        return box.left < 0 || box.right > 360;
    }).map((x) => x.outerHTML)"""
    assert page.locator("svg text, svg line, td, th, figcaption span").evaluate_all(outside) == []
    boxes = [x.bounding_box() for x in page.locator("input, button, summary").all()]
    assert len(boxes) >= 4 and min(box["height"] for box in boxes) >= 44
    assert page.locator("input").evaluate_all("all => all.every((input) => input.labels.length === 1)")
    assert all(page.locator("svg").evaluate_all("all => all.map((svg) => svg.ariaLabel.length > 20)"))


def test_the_pages_are_whole_and_ask_for_nothing():
    assert conditioning.REWARD - conditioning.CUE == 10 and "A cue, ten steps later" in written()["dopamine.html"]
    assert sorted(written()) == sorted(["microscope.html", *(f"{name}.html" for name in labs.NAMES)])
    for name, page in written().items():
        assert "default-src 'none'" in page and not re.search(r"\{\{[\w.]+\}\}", page), name
        assert name == "microscope.html" or page.count("<details>") == page.count("<b>Question.</b>") == 1, name
        assert not re.search(r"https:|fetch\(|import\(|XMLHttpRequest|@import|src=", page), name
