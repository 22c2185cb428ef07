"""The subcommands `museum` and `hunt`: bugs beside the right code, and bugs to find."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import tyro

from scratchac.errors import UserError, find_name

Name = Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[NAME]")]
Action = Annotated[Literal["start", "train", "gradcheck", "probe", "number", "answer", "reveal"], tyro.conf.Positional]
Place = Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[FILE:LINE]")]


def museum(name: Name = None, seeds: str | None = None, steps: int | None = None, out: Path | None = None, blind: bool = False,
           seed: int = 0, answer: Literal["A", "B"] | None = None) -> None:
    """List famous bugs, the exhibits; or train without one and with it, and show both side by side.

    Args:
        name: name of an exhibit, or a part of it; if not given, all are listed
        seeds: seeds to train on, such as 0-2; if not given, those of the exhibit
        steps: environment steps of each training; if not given, those of the exhibit
        out: draw the learning curves into this file
        blind: show the figures of a right and a wrong version, A and B, and ask which is which; nothing is trained
        seed: with --blind, which pair is shown; another number is another pair
        answer: with --blind, the version that is the wrong one, as you think
    """
    from scratchac.lab.museum import EXHIBITS

    if out is not None:
        require_drawable(out)
    if blind:
        if name or seeds or steps:
            raise UserError("--blind chooses an exhibit itself, and trains nothing: it takes --seed, --answer and --out alone")
        guess(seed, answer, out)
    elif answer or seed:
        raise UserError("--answer and --seed go with --blind; --seeds says on which seeds to train")
    elif name is None:
        if seeds or steps or out:
            raise UserError("--seeds, --steps and --out need the name of an exhibit; `scratchac museum` lists them")
        wide = max(map(len, EXHIBITS))
        print("\n".join(f"{one.name:{wide}}  {one.line}" for one in EXHIBITS.values()))
        print("\n`scratchac museum NAME` trains with the bug and without; `scratchac museum --blind` asks which is which.")
    else:
        show(EXHIBITS[find_name("exhibit", name, list(EXHIBITS), "scratchac museum lists them")], seeds, steps, out)


def require_drawable(out: Path) -> None:
    """Raise UserError unless `draw` can make this file. Before the trainings, which take minutes."""
    from scratchac.experiments import plots

    plots.require_replaceable(out)


def show(one: Any, seeds: str | None, steps: int | None, out: Path | None) -> None:
    """An exhibit: its lines, its witness, both trainings, and what they show."""
    from scratchac.lab.museum import measure
    from scratchac.tools.flags import seeds_from

    base = one.training
    chosen = base.seeds if seeds is None else seeds_from(seeds)
    if steps is not None and steps < 1:
        raise UserError("--steps must be at least 1")
    print(f"{one.line}\n\n{one.diff()}\n\n{one.number}: {one.measure(False):.4g} and, with the bug, {one.measure(True):.4g}\n")
    title = replace(base, steps=steps or base.steps).title
    print(f"{title}, seeds {', '.join(map(str, chosen))}", flush=True)
    right, wrong = (measure.side([measure.train(one.base, bug, seed, steps) for seed in chosen]) for bug in (None, one))
    print(f"median [lowest … highest] over seeds\n{measure.table(right, wrong)}\n")
    for side in (right, wrong):
        for stop in filter(None, side.get("stopped", [])):
            print(f"{'right' if side is right else 'wrong'}: training stopped {stop}")
    print(f"What one sees. {one.seen}\nHow to notice. {one.noticed}")
    if out is not None:
        draw(f"{one.name}: {title}", {"right": right, "wrong": wrong}, out)


def draw(title: str, sides: dict[str, dict[str, Any]], out: Path) -> None:
    """Write the learning curves of both versions, with the range over seeds, and print the file's name."""
    from scratchac import style
    from scratchac.experiments import plots

    figure, (ax,) = style.panels(1, width=6.4, height=3.6)
    style.frame(ax, title, y="return: mean and range over seeds")
    style.steps(ax)
    entries = {label: {"color": colour} for label, colour in zip(sides, (style.COLOURS[0], style.COLOURS[3]), strict=True)}
    for label, side in sides.items():
        runs = [np.array(curve, float) for curve in side["curves"] if curve]
        if plots.band(ax, [run[:, 0] for run in runs], [run[:, 1] for run in runs], label, entries[label]["color"]):
            entries |= {plots.PARTLY: {"color": "0.4", "ls": ":"}}
    style.legend(figure, entries)
    print(plots.replace(figure, out))


def guess(seed: int, answer: str | None, out: Path | None) -> None:
    """The figures of an exhibit as A and B. Raises UserError without the file of figures."""
    from scratchac.lab.museum import EXHIBITS, measure

    if seed < 0:
        raise UserError("--seed must be at least 0")
    done = measure.measured()
    if not done:
        raise UserError("demos/results/museum.json is missing: it comes with the repository, and demos/results/museum.py makes it")
    rng = np.random.default_rng(seed)
    name = str(rng.choice([name for name in done if name in EXHIBITS]))
    sides = ["right", "wrong"] if rng.random() < 0.5 else ["wrong", "right"]
    one, seen = EXHIBITS[name], done[name]
    print(f"{one.training.title}, {len(seen['seeds'])} seeds; median [lowest … highest]\n"
          + measure.table(seen[sides[0]], seen[sides[1]], ("A", "B")))
    print(f"\n{'return after':>14}  {'A':>10}  {'B':>10}")
    for step in np.linspace(0.1, 1, 10) * seen["steps"]:
        cells = [np.median([np.interp(step, *np.array(curve, float).T) for curve in seen[side]["curves"] if curve])
                 for side in sides]
        print(f"{step:8,.0f} steps  {cells[0]:10.4g}  {cells[1]:10.4g}")
    if out is not None:
        draw(one.training.title, {"A": seen[sides[0]], "B": seen[sides[1]]}, out)
    if answer is None:
        print(f"\nWhich one has a bug? scratchac museum --blind --seed {seed} --answer A (or B)")
        return
    wrong = "AB"[sides.index("wrong")]
    print(f"\n{'Right' if answer == wrong else 'No'}: {wrong} has the bug {name}. {one.line}\n{one.seen}\n{one.noticed}")
    if answer != wrong:
        raise SystemExit(1)


def hunt(action: Action = "start", place: Place = None, seed: int = 0, out: Path | None = None) -> None:
    """Find the line of a bug that is not named. It is made in memory only; the files keep the right code.

    Args:
        action: start: say what is trained, and list the actions; train: train without the bug and with it; gradcheck: list the
            gradient checks that notice it; probe: train in small worlds in which the result is known; number: print a number that
            the bug changes; answer FILE:LINE: say where you think it is; reveal: show it
        place: with answer, a file of the library and a line in it, such as scratchac/returns.py:40
        seed: which bug; another number may be another bug
        out: with train, draw the learning curves into this file
    """
    one = hunted(seed)
    if (place is not None) != (action == "answer"):
        raise UserError("`scratchac hunt answer FILE:LINE` takes a place, such as scratchac/returns.py:40, and nothing else does")
    if out is not None and action != "train":
        raise UserError("--out draws the learning curves of `scratchac hunt train`")
    if out is not None:
        require_drawable(out)
    if action == "start":
        begin(one, seed)
    elif action == "train":
        train(one, out)
    elif action == "answer":
        judge(one, str(place))
    else:
        {"gradcheck": gradcheck, "probe": probe, "number": number, "reveal": reveal}[action](one)


def hunted(seed: int) -> Any:
    """The exhibit of a seed: one of those that change the source. Raises UserError for a negative seed."""
    from scratchac.lab.museum import EXHIBITS

    if seed < 0:
        raise UserError("--seed must be at least 0")
    return np.random.default_rng(seed).choice(np.array([one for one in EXHIBITS.values() if one.edits], object))


def begin(one: Any, seed: int) -> None:
    """What is known."""
    print(f"One place of the library is changed, in memory only, for the training of {one.training.title}.\n"
          "The files show the right code: which of its lines has been changed?\n\n"
          + "\n".join(f"scratchac hunt {what} --seed {seed}"
                      for what in ("train", "gradcheck", "probe", "number", "answer FILE:LINE", "reveal")))


def train(one: Any, out: Path | None) -> None:
    """One seed of both versions."""
    from scratchac.lab.museum import measure

    base = one.training
    print(f"{base.title}, seed {base.seeds[0]}", flush=True)
    right, wrong = (measure.side([measure.train(one.base, bug, base.seeds[0])]) for bug in (None, one))
    print(measure.table(right, wrong, names=("without", "with the bug")))
    if out is not None:
        draw(base.title, {"without": right, "with the bug": wrong}, out)


def gradcheck(one: Any) -> None:
    """The checks that notice."""
    from scratchac.gradcheck.differences import CHECKS
    from scratchac.lab.breaks import noticed

    seen = noticed(one.applied())
    print("\n".join([*(f"{check.check}: {check.wrong} of {check.coordinates} coordinates differ" for check in seen),
                     f"{len(seen)} of {len(CHECKS)} checks notice it."]))


def probe(one: Any) -> None:
    """The probes of the algorithm with the bug."""
    from scratchac.lab.museum import probes

    own = probes.of(one.training.algorithm)
    print(probes.table(own, [probe.run(one) for probe in own]))


def number(one: Any) -> None:
    """The witness's number with the bug."""
    print(f"{one.number}: {one.measure(True):.4g}\nIs that what it should be?")


def judge(one: Any, place: str) -> None:
    """Say whether a place is that of the bug. Exit code 1 if it is not. Raises UserError unless it is FILE:LINE."""
    file, colon, line = place.rpartition(":")
    if not colon or not line.isdecimal() or not file:
        raise UserError(f"an answer is FILE:LINE, such as scratchac/returns.py:40, not {place!r}")
    same = [(path, first, last) for path, first, last in one.places() if f"/{path}".endswith(f"/{file.removeprefix('./')}")]
    if any(first <= int(line) <= last for _, first, last in same):
        print(f"Right. It is {one.name}: {one.line}\n\n{one.diff()}")
        return
    print(("The file is right, and the line is not." if same else "It is not there.") + " The source is as it was: look again.")
    raise SystemExit(1)


def reveal(one: Any) -> None:
    """The bug."""
    print(f"{one.name}: {one.line}\n\n{one.diff()}\n\n{one.seen}\n{one.noticed}")
