"""What an exercise is: a question, random inputs, the library's own answer, and known mistakes as changes of the library's source.

The stub that a learner fills in is written from these fields, so that it cannot differ from what the grader asks for.
"""

import inspect
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from scratchac.lab.patch import Patch, place

Learner = Callable[..., Any]                            # the function that a learner writes

WIDTH = 100                                             # of a line of text in a stub


@dataclass(frozen=True)
class Training:
    """Where the learner's function runs in an algorithm: in place of `function`, with the same arguments.

    adapt   the learner's function → what is called instead of `function`; it is itself if both take the same
    """

    algorithm: str
    env: str
    steps: int
    function: Callable[..., Any]
    adapt: Callable[[Learner], Callable[..., Any]] = lambda learner: learner
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Exercise:
    """One exercise. Its function has the exercise's name and the parameters of `solution`.

    line        what is asked, in the list
    question    the same in full
    formula     its equations
    gives       parameter → shape and meaning
    results     result → shape; a function with several results returns a tuple of them
    inputs      a Generator → the arguments, of new arrays
    solution    the library's function, or a short composition of several
    lines       the functions to show as the solution; `solution` alone if none are given
    math        the section of MATH.md
    mistakes    a sentence → (function, a piece of its source, what stands there instead)
    """

    name: str
    minutes: int
    line: str
    question: str
    formula: str
    gives: dict[str, str]
    results: dict[str, str]
    inputs: Callable[[np.random.Generator], tuple[Any, ...]]
    solution: Callable[..., Any]
    math: str
    mistakes: dict[str, tuple[Callable[..., Any], str, str]]
    lines: tuple[Callable[..., Any], ...] = ()
    training: Training | None = None

    @property
    def function(self) -> str:
        """The name of the function in the stub."""
        return self.name.replace("-", "_")

    @property
    def sources(self) -> tuple[Callable[..., Any], ...]:
        """The functions whose lines are the solution."""
        return self.lines or (self.solution,)

    def patch(self, mistake: str) -> Patch:
        """A known mistake, as a change of the library."""
        return Patch(*self.mistakes[mistake])

    def stub(self, number: int) -> str:
        """The file that a learner fills in."""
        wide = max(map(len, [*self.gives, *self.results]))
        table = [*(f"    {name:{wide}}  {text}" for name, text in self.gives.items()), "", "returns", "",
                 *(f"    {name:{wide}}  {text}" for name, text in self.results.items())]
        read: dict[str, list[str]] = {}
        for function in self.sources:
            if not function.__module__.startswith("scratchac.lab"):
                read.setdefault(place(function), []).append(inspect.unwrap(function).__qualname__)
        files = "; ".join(f"{file} ({', '.join(names)})" for file, names in read.items())
        afterwards = textwrap.fill(f"Afterwards:        {files}", WIDTH, subsequent_indent=19 * " ", break_on_hyphens=False)
        afterwards += f"\n{'':19}scratchac exercise train . {self.name}" if self.training else ""
        parts = [f"{number}. {self.name} ({self.minutes} minutes)", textwrap.fill(self.question, WIDTH, break_on_hyphens=False),
                 textwrap.indent(self.formula, "    "), "\n".join(table),
                 f"Page:              “{self.math}” in scratchac/MATH.md\n"
                 f"The first input:   from scratchac.lab.exercises import EXERCISES\n"
                 f"                   EXERCISES[\"{self.name}\"].inputs(np.random.default_rng(0))\n"
                 f"In this folder:    scratchac exercise check . {self.name}\n"
                 f"If you are stuck:  scratchac exercise solution {self.name}\n{afterwards}"]
        returned = ", ".join(self.results)
        return ('"""' + "\n\n".join(parts) + f'\n"""\n\nimport numpy as np\n\n\ndef {self.function}({", ".join(self.gives)}):\n'
                f'    raise NotImplementedError("return {returned}")\n')

