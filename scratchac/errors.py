"""Errors that a user can correct. The message is one line that says what would be right; the command line exits with 2."""

import difflib
import traceback
from types import FrameType

from scratchac.wording import spoken


class UserError(ValueError):
    """A request cannot be fulfilled; the message says what would be right."""

    def __init__(self, message: object = ""):
        super().__init__(spoken(str(message)))


class CheckpointError(UserError):
    """A checkpoint is damaged, or does not fit what it is loaded into; nothing of it has been loaded."""


class WriteError(UserError):
    """A file cannot be written, because the disk is full or the folder is not writable; its previous content is still there."""


class TrainingError(RuntimeError):
    """Training stopped: on NaN or infinity in an observation, an action, a reward or a gradient, or for a reason of a subclass."""

    def __init__(self, message: object = ""):
        super().__init__(spoken(str(message)))


class EnvironmentFailed(TrainingError):
    """An environment raised an error, or its process died; the parameters learnt until then are valid."""


class WorkerDied(TrainingError):
    """A worker failed or was killed; the parameters learnt until then are valid."""


def unknown(kind: str, name: object, known: list[str], otherwise: str | None = None) -> "UserError":
    """UserError for a misspelt name: the nearest known ones first; if none is near, `otherwise` or else all of them."""
    near = difflib.get_close_matches(str(name), known, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else otherwise or f"there are: {', '.join(known) or 'none'}"
    return UserError(f"unknown {kind} {name!r}; {hint}")


def find_name(kind: str, name: str, known: list[str], otherwise: str | None = None) -> str:
    """The known name that is `name`, or else the only one that contains it. Raises UserError if there is none, or several.

    `otherwise` is said instead of all names if none is near.
    """
    near = [x for x in known if x == name] or [x for x in known if name.lower() in x.lower()]
    if len(near) > 1:
        raise UserError(f"{kind} {name!r} may be {', '.join(map(repr, near))}")
    if not near:
        raise unknown(kind, name, known, otherwise)
    return near[0]


def one_line(error: BaseException, with_type: bool = True) -> str:
    """An error of someone else's code in one line: type and message or, if there is no message, where it was raised."""
    try:
        text = " ".join(str(error).split())
    except Exception:                                       # its own __str__ fails
        text = ""
    if text:
        return f"{type(error).__name__}: {text}" if with_type else text
    places = [f" in {place.filename}, line {place.lineno}" for place in traceback.extract_tb(error.__traceback__)]
    return f"{type(error).__name__}{places[-1] if places else ''}"


def frames(error: BaseException) -> list[FrameType]:
    """The frames through which an error came, the one that raised it last."""
    return [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
