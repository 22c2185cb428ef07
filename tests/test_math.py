"""scratchac/MATH.md: its examples run, its links lead somewhere, its formulas can be shown, and it covers the mathematics."""

import ast
import doctest
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import pytest
from latex2mathml.converter import convert
from markdown_it import MarkdownIt

from scratchac import gradcheck
from scratchac.lab.breaks import BREAKS

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "scratchac/MATH.md").read_text()
MODULES = ("nn", "conv", "distributions", "losses", "returns", "optim", "exploration", "normalise", "schedules")
EXERCISES = ("discounted-return", "n-step", "gae", "softmax-gradient", "gaussian-gradient", "policy-gradient-loss",
             "dense-backward", "mlp-backward", "adam", "ppo-clip", "replay-buffer", "q-network", "policy-network", "ddpg-update",
             "td3-target", "tanh-gaussian-logp", "tanh-gaussian-backward", "sac-actor-step", "temperature", "convolution-backward")
KINDS = ("code", "checked by", "break", "exercise")
FENCE = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
NO_DERIVATION = "## What has no derivation, and why"


class Derivation(NamedTuple):
    anchor: str
    text: str
    links: list[tuple[str, str]]            # (kind, target), from the line of links


def derivations(text):
    parts = re.split(r'^### (?:<a id="([\w-]+)"></a>)?', text.split(NO_DERIVATION)[0], flags=re.MULTILINE)[1:]
    found = []
    for anchor, part in zip(parts[::2], parts[1::2], strict=True):
        part = re.split(r"^## ", part, flags=re.MULTILINE)[0]
        lines = [line for line in part.splitlines() if line.startswith("`code: ")]
        entries = [tuple(entry.strip("`").split(": ", 1)) for line in lines for entry in line.split(" · ")]
        found.append(Derivation(anchor or "", part, entries))
    return found


@cache
def names_in(path):
    """Functions, classes and methods ("Class.method") that a Python file defines."""
    body = ast.parse(path.read_text()).body if path.exists() else []
    kinds = (ast.FunctionDef, ast.ClassDef)
    names = {node.name for node in body if isinstance(node, kinds)}
    return names | {f"{node.name}.{inner.name}" for node in body if isinstance(node, ast.ClassDef)
                    for inner in node.body if isinstance(inner, kinds)}


def prose(text):
    """The text without its code."""
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE))


def formulas(text):
    """All formulas, of $…$ and $$…$$, in the order of the text."""
    return [display or inline for display, inline in re.findall(r"\$\$([^$]+)\$\$|\$([^$\n]+)\$", text)]


@cache
def as_shown(formula):
    """The text of a formula's MathML, where an unknown command keeps its backslash; or a backslash and what went wrong."""
    try:
        return "".join(ElementTree.fromstring(convert(formula)).itertext())
    except Exception as error:              # the converter's and the parser's own
        return f"\\ {error!r}"


# -- what can be wrong: each function returns a list of complaints ---------------------------------------------------


def wrong_examples(text, only=None):
    preamble, complaints = {}, []
    for name, part in [("example", text.split("\n## Values")[0]), *((one.anchor, one.text) for one in derivations(text))]:
        if only not in (None, name) and name != "example":
            continue
        source = "\n".join(FENCE.findall(part))
        test = doctest.DocTestParser().get_doctest(source, preamble, name, "MATH.md", 0)            # copies the preamble's names
        if not test.examples:
            complaints.append(f"{name}: no worked numbers")
        doctest.DocTestRunner(verbose=False).run(test, clear_globs=False, out=complaints.append)
        preamble = test.globs if name == "example" else preamble
    return complaints


def wrong_link(kind, target):
    reason = re.fullmatch(r"none, .{10,}", target)
    if kind == "code":
        path, _, name = target.partition("#")
        right = name in names_in(ROOT / path)
    elif kind == "checked by":
        check = re.fullmatch(r'gradcheck "(.+)"', target)
        path, _, name = target.partition("::")
        right = check[1] in gradcheck.CHECKS if check else path.startswith("tests/test_") and name in names_in(ROOT / path)
    elif kind == "break":
        right = target in BREAKS or reason
    else:
        right = kind == "exercise" and (target in EXERCISES or reason)
    return not right


def wrong_links(text):
    complaints = []
    for one in derivations(text):
        complaints += [f"{one.anchor}: {kind}: {target} leads nowhere" for kind, target in one.links if wrong_link(kind, target)]
        complaints += [f"{one.anchor}: no link of the kind {kind}" for kind in KINDS if kind not in dict(one.links)]
        complaints += [f"{one.anchor}: its links are not one line"] * (len(re.findall(r"^`code: ", one.text, re.MULTILINE)) != 1)
    for target in re.findall(r"\]\(([^)#:]+)[)#]", text):
        complaints += [f"{target} does not exist"] * (not (ROOT / "scratchac" / target).exists())
    return complaints


def wrong_anchors(text):
    anchors = re.findall(r'<a id="([\w-]+)"></a>', text)
    anchors += [re.sub(r"[^\w -]", "", title).strip().lower().replace(" ", "-")
                for title in re.findall(r"^##+ (?!<a)(.+)$", text, re.MULTILINE)]
    complaints = [f"#{anchor} occurs twice" for anchor in set(anchors) if anchors.count(anchor) > 1]
    complaints += [f"a heading without an anchor: {one.text[:40]}" for one in derivations(text) if not one.anchor]
    return complaints + [f"#{anchor} leads nowhere" for anchor in re.findall(r"\]\(#([^)]*)\)", text) if anchor not in anchors]


def wrong_formulas(text):
    complaints = [f"an odd number of $: {line}" for line in prose(text).splitlines() if line.count("$") % 2]
    for formula in formulas(prose(text)):
        shown = as_shown(formula)
        complaints += [f"{formula} becomes {shown}"] * ("\\" in shown)
        complaints += [f"braces in {formula}"] * (formula.count("{") != formula.count("}"))
    # Markdown must not take a part of a formula for its own: \, for an escape, _ for emphasis, [ ]( ) for a link.
    blocks = MarkdownIt("commonmark").enable("table").parse(text)
    seen = "\n\n".join("".join(child.content if child.type == "text" else "\n" if child.type == "softbreak" else "\0"
                               for child in block.children) for block in blocks if block.type == "inline")
    kept = formulas(seen)
    return complaints + [f"Markdown changes {formula}" for formula in formulas(prose(text)) if formula not in kept]


def not_covered(text):
    targets = [target.removeprefix("scratchac/") for one in derivations(text) for kind, target in one.links if kind == "code"]
    linked = {re.sub(r"\.py#(\w+).*", r".\1", target) for target in targets}
    listed = re.findall(r"`(\w+\.\w+)`", text.split(NO_DERIVATION)[1].split("\n## ")[0])
    public = {f"{module}.{name}" for module in MODULES for name in names_in(ROOT / f"scratchac/{module}.py")
              if "." not in name and not name.startswith("_")}
    complaints = [f"{name}: neither derived nor excused" for name in sorted(public - linked - set(listed))]
    return complaints + [f"{name}: excused, but derived or unknown" for name in listed if name in linked or name not in public]


def long_proofs(text):
    complaints = []
    for one in derivations(text):
        proofs = re.findall(r"^\*\*Proof\.\*\*(?:[^∎]*)∎", one.text, re.MULTILINE)
        complaints += [f"{one.anchor}: {len(proofs)} proofs"] * (len(proofs) != 1)
        complaints += [f"{one.anchor}: no statement"] * ("**Statement.**" not in one.text)
        complaints += [f"{one.anchor}: a proof of more than 15 lines" for proof in proofs if len(proof.splitlines()) > 15]
    return complaints


def wrong_references(text):
    """Works are cited as Author Year or Author (Year), with et al. or & between; the bibliography has what is cited and no more."""
    body, works = text.split("\n## References\n")
    entries = re.findall(r"^- (.+?) \((\d{4})\)", works, re.MULTILINE)
    listed = {(re.findall(r"[A-Z]\w+", authors)[0], year) for authors, year in entries}
    chapters = [path.read_text() for path in sorted((ROOT / "scratchac" / "course").glob("*.md"))]          # they cite from here
    cited = set(re.findall(r"([A-Z]\w+)(?:\s+et al\.|\s+& \w+)?\s+\(?((?:19|20)\d\d)", "\n".join([body, *chapters])))
    return [f"{name} {year} is cited or listed alone" for name, year in sorted(listed ^ cited)]


# -- tests -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("anchor", [one.anchor for one in derivations(TEXT)])
def test_worked_numbers(anchor):
    assert not wrong_examples(TEXT, anchor)


@pytest.mark.parametrize("complaints", [wrong_links, wrong_anchors, wrong_formulas, wrong_references, not_covered, long_proofs])
def test_nothing_is_wrong(complaints):
    assert complaints(TEXT) == []


def test_every_exercise_has_its_derivation():
    assert {target for one in derivations(TEXT) for kind, target in one.links if kind == "exercise"} >= set(EXERCISES)


def test_symbols_are_those_of_the_manual():
    """A row of the table in manual/reading.md is here, too, with the same shape and the same name in the code."""
    def rows(text):
        lines = text.split("\n| symbol |")[1].split("\n\n")[0].splitlines()[2:]
        return [tuple(cell.strip() for cell in line.split(" |")[2:4]) for line in lines]

    reading = rows((ROOT / "manual/reading.md").read_text())
    assert len(reading) >= 20 and rows(TEXT)[: len(reading)] == reading


@pytest.mark.parametrize("complaints, old, new", [
    (wrong_examples, "[2.75, 3.5, 3.0]", "[2.75, 3.5, 3.1]"),
    (wrong_links, "returns.py#gae`", "returns.py#gea`"),
    (wrong_links, "ddpg.py#DDPG.actor_step", "ddpg.py#DDPG.step"),
    (wrong_links, "scratchac/nn.py#linear`", "scratchac/no.py#linear`"),
    (wrong_links, "::test_gae_follows_its_definition", "::test_gae"),
    (wrong_links, 'gradcheck "MLP: input"', 'gradcheck "MLP: inputs"'),
    (wrong_links, "`break: tanh correction`", "`break: tanh`"),
    (wrong_links, "`exercise: ppo-clip`", "`exercise: ppo`"),
    (wrong_links, " · `exercise: ppo-clip`", ""),
    (wrong_links, "none, it is one line`", "none`"),
    (wrong_anchors, "(#references)", "(#reference)"),
    (wrong_anchors, '<a id="adam"></a>', '<a id="gae"></a>'),
    (wrong_formulas, r"\hat V = V + e", r"\hatt V = V + e"),
    (wrong_formulas, r"\frac z\sigma", r"\frac{z"),
    (wrong_formulas, r"dx = dz W^{\top}", r"dx = dz\, W^{\top}"),
    (wrong_formulas, r"$\tau$ |", r"$\tau |"),
    (wrong_references, "(Huber 1964.)", "(Huber 1965.)"),
    (not_covered, "`optim.clip_global_norm`", "clipping"),
    (not_covered, "`conv.Encoder`", "`conv.Encoder`, `conv.Decoder`"),
    (long_proofs, "**Proof.** $", "**Proof.** " + "\n" * 15 + "$"),
    (long_proofs, "**Proof.** $", "$"),
])
def test_a_mistake_is_noticed(complaints, old, new):
    assert old in TEXT
    only = {"only": "return"} if complaints is wrong_examples else {}
    assert not complaints(TEXT, **only) and complaints(TEXT.replace(old, new, 1), **only)
