"""The museum of bugs: each exhibit changes what it says, its witness tells, and the commands that show and hide it."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from scratchac.__main__ import main
from scratchac.errors import UserError
from scratchac.experiments import plots
from scratchac.lab.breaks import noticed
from scratchac.lab.museum import EXHIBITS, matrix, measure, probes
from scratchac.lab.museum.bases import BASES, SECOND
from scratchac.lab.museum.exhibit import TELLS
from scratchac.lab.museum.matrix import row
from scratchac.tools import museum

NAMES = list(EXHIBITS)


@pytest.mark.parametrize("name", NAMES)
def test_the_witness_tells_and_the_source_is_whole_again(name):
    """The edits are made within the block alone: the witness is right before it, wrong in it, and right after it."""
    one = EXHIBITS[name]
    numbers = [one.measure(False), one.measure(True), one.measure(False)]
    assert numbers == pytest.approx([one.right, one.wrong, one.right], abs=1e-4)
    assert one.right != one.wrong


def test_an_error_in_the_block_puts_the_source_back():
    one = EXHIBITS["phantom-transition"]
    codes = [patch.function.__code__ for patch in one.patches()]
    with pytest.raises(ZeroDivisionError), one.applied():
        assert [patch.function.__code__ for patch in one.patches()] != codes
        raise ZeroDivisionError
    assert [patch.function.__code__ for patch in one.patches()] == codes


@pytest.mark.parametrize("name", NAMES)
def test_an_exhibit_is_complete(name):
    """It is one sentence each, without measured numbers, and says where it is."""
    one = EXHIBITS[name]
    for sentence in (one.line, one.seen, one.noticed):
        assert re.fullmatch(r"[A-ZQVGα∂].*[^.]\.", sentence), sentence
    assert not re.search(r"\d\.\d", one.seen + one.noticed)
    assert one.base in BASES and set(one.tells) <= set(TELLS) and bool(one.edits) != bool(one.settings)
    diff = one.diff()
    assert "\n- " in diff and "\n+ " in diff
    for path, first, last in one.places():
        assert f"{path}:{first} " in diff and first <= last


def test_changed_hyperparameters_are_in_the_diff():
    assert EXHIBITS["no-target-network"].diff() == "hyperparameter tau\n- 0.005\n+ 1.0"


@pytest.mark.slow
def test_several_edits_are_noticed_together():
    """Forward and backward pass without the correction agree with each other, so that fewer checks notice both than one."""
    _, backward = EXHIBITS["no-tanh-correction"].patches()
    both = {one.check for one in noticed(EXHIBITS["no-tanh-correction"].applied())}
    assert both < {one.check for one in noticed(backward)}


@pytest.mark.slow
def test_a_row_of_the_matrix():
    """What is outside the range over seeds counts, what is inside does not, and what was not measured is absent."""
    seen = {"right": {"return": [1, 3], "value": [0, 2]}, "wrong": {"return": [0, 0.5], "value": [1, 1], "alpha": [1, 1]}}
    seen["second"] = {"right": {"return": [1, 1]}, "wrong": {"return": [1, 1]}}
    found = row(EXHIBITS["softmax-not-subtracted"], seen)
    assert found.pop("gradcheck") > 0
    assert found == {"witness": True, "probe": 0, "value": False, "return": True, "second": False}


def test_the_table_of_the_matrix(monkeypatch, tmp_path):
    """Numbers are numbers, 0 of them is no, and a column that an exhibit does not have is empty and is not counted."""
    monkeypatch.setattr(matrix, "FIGURES", tmp_path / "matrix.json")
    assert matrix.table() == []
    rows = {"one": {"gradcheck": 0, "witness": True, "probe": 2, "q": False}, "two": {"gradcheck": 1, "witness": True, "probe": 0}}
    (tmp_path / "matrix.json").write_text(json.dumps({"exhibits": rows}))
    titles, one, two, noticed = matrix.table()
    assert titles[:4] == ["exhibit", "gradient checks", "witness", "probes"]
    assert one[:6] == ["one", "no", "yes", "2", "", "no"] and two[:6] == ["two", "1", "yes", "no", "", ""]
    assert noticed[:6] == ["noticed", "1 of 2", "2 of 2", "1 of 2", "0 of 0", "0 of 1"]


TRAINED = "actor-critic", "a2c", "ppo", "ddpg", "td3", "sac"


@pytest.mark.slow
@pytest.mark.parametrize("probe", [probe for name in TRAINED for probe in probes.of(name)],
                         ids=lambda probe: f"{probe.algorithm}-{probe.name}")
def test_the_right_code_passes_a_probe(probe):
    """On a seed that its tolerance was not chosen with."""
    assert probe.passes(probe.run(seed=5))


@pytest.mark.slow
@pytest.mark.parametrize("name, failing", [("terminal-bootstrapped", {"walk"}), ("gae-last-row", {"clock", "walk"})])
def test_a_bug_fails_the_probe_of_its_kind(name, failing):
    one = EXHIBITS[name]
    assert failing <= {probe.name for probe in probes.of(one.training.algorithm) if not probe.passes(probe.run(one))}


def test_a_probe_whose_training_stops_fails():
    probe = replace(probes.of("a2c")[0], settings={"actor_lr": 1e30, "critic_lr": 1e30, "max_grad_norm": 0.0})
    with np.errstate(all="ignore"):
        found = probe.run()
    assert np.isnan(found) and not probe.passes(found) and probes.table([probe], [found]).startswith("FAILS")
    assert probes.of("reinforce") == []


def test_each_base_has_a_second_task_of_the_same_algorithm():
    assert {EXHIBITS[name].base for name in NAMES} == set(SECOND)
    for base, second in SECOND.items():
        assert second != base and BASES[second].algorithm == BASES[base].algorithm


def test_figures_name_exhibits_as_they_are():
    """museum.json has the base, seeds, steps and witness of each exhibit, and one number for each seed."""
    done = measure.measured()
    assert done and set(done) <= set(NAMES)
    for name, seen in done.items():
        one = EXHIBITS[name]
        assert (seen["base"], tuple(seen["seeds"]), seen["steps"]) == (one.base, one.training.seeds, one.training.steps)
        assert (seen["witness"]["right"], seen["witness"]["wrong"]) == pytest.approx((one.right, one.wrong), rel=1e-3)
        second, base = seen["second"], BASES[SECOND[one.base]]
        assert (second["base"], tuple(second["seeds"]), second["steps"]) == (SECOND[one.base], base.seeds, base.steps)
        assert all(len(second[side]["return"]) == len(base.seeds) for side in ("right", "wrong"))
        for side in (seen["right"], seen["wrong"]):
            assert {len(values) for values in side.values()} == {len(seen["seeds"])}
            assert all(0 < len(curve) <= 60 for curve in side["curves"])


@pytest.mark.parametrize("name", NAMES)
def test_what_gives_an_exhibit_away_was_measured(name):
    """Each metric in `tells` is outside the right version's range over seeds; a return below it is among them."""
    seen = measure.measured().get(name)
    if seen is None:
        pytest.skip("not trained yet")
    right, wrong, tells = seen["right"], seen["wrong"], EXHIBITS[name].tells
    assert all(measure.apart(right[metric], wrong[metric]) for metric in tells)
    assert ("return" in tells) == (np.median(wrong["return"]) < min(right["return"]))


def test_the_list_names_all(capsys):
    assert main(["museum"]) == 0
    shown = capsys.readouterr().out
    assert all(re.search(rf"^{name} ", shown, re.M) for name in NAMES)


def test_an_exhibit_side_by_side(capsys, tmp_path):
    """A short training: both versions, the witness, the lines, the sentences and the picture."""
    out = tmp_path / "curves.png"
    assert main(["museum", "rewards-cl", "--steps", "400", "--seeds", "0", "--out", str(out)]) == 0
    shown, one = capsys.readouterr().out, EXHIBITS["rewards-clipped"]
    assert one.seen in shown and one.noticed in shown and one.diff() in shown and "10 and, with the bug, 1\n" in shown
    assert re.search(r"^return +\S+ \[.*\] +\S+ \[", shown, re.M) and out.read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize("words, message", [
    (["trunc"], "may be"), (["nothing"], "exhibit 'nothing'"), (["--out", "x.png"], "need the name"),
    (["--answer", "A"], "go with --blind"),
    (["gae-last-row", "--blind"], "chooses an exhibit itself"), (["gae-last-row", "--steps", "0"], "at least 1")])
def test_museum_refuses(words, message, capsys):
    assert main(["museum", *words]) == 2
    assert message in capsys.readouterr().err


def test_blind_hides_the_name_until_an_answer(capsys):
    """One of the two answers is right, and only an answer names the exhibit."""
    codes = []
    for seed in range(3):
        assert main(["museum", "--blind", "--seed", str(seed)]) == 0
        assert not any(name in capsys.readouterr().out for name in NAMES)
        for answer in "AB":
            try:
                codes.append(main(["museum", "--blind", "--seed", str(seed), "--answer", answer]))
            except SystemExit as stop:
                codes.append(stop.code)
            shown = capsys.readouterr().out
            assert any(f"has the bug {name}." in shown for name in NAMES) and ("\nRight: " in shown) == (codes[-1] == 0)
        assert sorted(codes[-2:]) == [0, 1]
    assert codes[0::2] != codes[:1] * 3                     # not always A


def test_blind_draws_both_curves_without_names(monkeypatch, tmp_path, capsys):
    drawn = []
    monkeypatch.setattr(plots, "save", lambda figure, path: drawn.append(figure))
    assert main(["museum", "--blind", "--seed", "1", "--out", str(tmp_path / "blind.png")]) == 0
    ax, = drawn[0].axes
    assert [text.get_text() for text in drawn[0].legends[0].get_texts()][:2] == ["A", "B"]
    assert not [name for name in EXHIBITS if name in ax.get_title(loc="left")] and "blind.png" in capsys.readouterr().out


def test_blind_without_figures_is_one_line(monkeypatch, tmp_path):
    monkeypatch.setattr(measure, "FIGURES", tmp_path / "none.json")
    monkeypatch.setattr(measure, "measured", measure.measured.__wrapped__)
    with pytest.raises(UserError, match=r"museum\.json is missing"):
        museum.guess(0, None, None)


@pytest.mark.slow
def test_a_hunt(capsys):
    """No action names the bug; its line is right by any tail of the path, another line and another file are not."""
    one = museum.hunted(1)
    assert one.name == museum.hunted(1).name and len({museum.hunted(seed).name for seed in range(20)}) > 10
    for action in ("start", "gradcheck", "probe", "number"):
        assert main(["hunt", action, "--seed", "1"]) == 0
        assert one.name not in capsys.readouterr().out
    path, first, _ = one.places()[0]
    for place in (f"{path}:{first}", f"./{path}:{first}", f"{path.rpartition('/')[2]}:{first}"):
        assert main(["hunt", "answer", place, "--seed", "1"]) == 0
        assert f"Right. It is {one.name}" in capsys.readouterr().out
    for place, said in ((f"{path}:{first + 400}", "The file is right"), (f"scratchac/version.py:{first}", "not there")):
        with pytest.raises(SystemExit) as stop:
            main(["hunt", "answer", place, "--seed", "1"])
        shown = capsys.readouterr().out
        assert stop.value.code == 1 and said in shown and one.name not in shown
    assert main(["hunt", "reveal", "--seed", "1"]) == 0 and one.diff() in capsys.readouterr().out


@pytest.mark.parametrize("words, message", [
    (["answer"], "takes a place"), (["train", "returns.py:3"], "takes a place"), (["answer", "returns.py"], "FILE:LINE"),
    (["answer", ":3"], "FILE:LINE"), (["--seed", "-1"], "at least 0"), (["--out", "x.png"], "hunt train")])
def test_hunt_refuses(words, message, capsys):
    assert main(["hunt", *words]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.slow
def test_the_quickest_exhibit_trains_as_the_figures_say():
    """Learnt from signs, the sure reward of 1 is preferred; learnt from rewards, the one that is worth 5."""
    right, wrong = (measure.train("a2c-wager", one, 0) for one in (None, EXHIBITS["rewards-clipped"]))
    assert right["return"] > 4 and wrong["return"] == 1
    assert np.isfinite([right["value"], wrong["value"]]).all() and wrong["value"] == pytest.approx(1, abs=0.1)
