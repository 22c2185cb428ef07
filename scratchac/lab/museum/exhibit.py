"""What an exhibit is: a bug as edits of the library's source, or as other hyperparameters, and what gives it away."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from scratchac.lab.museum.bases import BASES, Base
from scratchac.lab.patch import Patch, place, source

Edit = tuple[Callable[..., Any], str, str]              # function, a piece of its source, what stands there instead
TELLS = ("return", "auc", "value", "entropy", "alpha", "q", "witness")


@dataclass(frozen=True)
class Exhibit:
    """One bug.

    line        what the bug is
    base        name of the training on which it is shown (bases.py)
    edits       changes of the source
    settings    hyperparameters that differ instead
    seen        what one sees
    noticed     how one would have noticed
    tells       the metrics that give it away; "return" is not among them if the bug does not show there
    witness     a quick computation with the library's own functions in the place of the bug; it takes `settings` as arguments
    number      what the witness computes
    right       its number without the bug
    wrong       its number with it
    """

    name: str
    line: str
    base: str
    seen: str
    noticed: str
    tells: tuple[str, ...]
    witness: Callable[..., float]
    number: str
    right: float
    wrong: float
    edits: tuple[Edit, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def training(self) -> Base:
        """The base."""
        return BASES[self.base]

    def patches(self) -> list[Patch]:
        """One Patch for each function: several edits of one function become one, from the first to the last of them."""
        made = []
        for function in dict.fromkeys(edit[0] for edit in self.edits):
            text = source(function)[0]
            spots = sorted((text.index(Patch(*edit).old), edit[1], edit[2]) for edit in self.edits if edit[0] is function)
            start, end = spots[0][0], spots[-1][0] + len(spots[-1][1])
            old = new = text[start:end]
            for _, before, after in spots:
                new = new.replace(before, after)
            made.append(Patch(function, old, new))
        return made

    @contextmanager
    def applied(self) -> Iterator[None]:
        """A block in which the edits are made. Changed hyperparameters are not: they are arguments."""
        with ExitStack() as stack:
            for patch in self.patches():
                stack.enter_context(patch)
            yield

    def measure(self, wrong: bool) -> float:
        """The witness's number, with the bug or without."""
        if not wrong:
            return float(self.witness())
        with self.applied():
            return float(self.witness(**self.settings))

    def diff(self) -> str:
        """File, line and changed lines of each edit, and the changed hyperparameters."""
        from scratchac import api

        parts = [Patch(*edit).diff() for edit in self.edits]
        base = self.training
        if self.settings:
            config = api.make_agent(base.algorithm, base.env, preset={}, steps=base.steps, **base.settings).config
            parts += [f"hyperparameter {name}\n- {getattr(config, name)}\n+ {value}" for name, value in self.settings.items()]
        return "\n".join(parts)

    def places(self) -> list[tuple[str, int, int]]:
        """(file from the folder of the project, first line, last line) of each edit."""
        return [(place(edit[0]), *Patch(*edit).lines()) for edit in self.edits]
