"""Errors that a user can mend: one line that says what would be right. The command line prints it and exits with 2."""

import difflib


class UserError(ValueError):
    """What was asked for cannot be done, and the message says what can."""


class CheckpointError(UserError):
    """A checkpoint is damaged, or belongs to something else; nothing of it has been loaded."""


class WriteError(UserError):
    """A file cannot be written, the disk being full or the folder closed to us; what it was before is still there."""


class TrainingError(RuntimeError):
    """Training stopped on a value that cannot be learnt from: NaN or infinity in an observation, a reward or a gradient."""


class EnvironmentFailed(TrainingError):
    """An environment raised an error, or its process died; what had been learnt until then is sound."""


class WorkerDied(TrainingError):
    """A worker failed or was killed; what had been learnt until then is sound."""


def unknown(kind: str, name: object, known: list[str]) -> "UserError":
    """UserError for a misspelt name: the nearest known ones first, all of them if none is near."""
    near = difflib.get_close_matches(str(name), known, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are: {', '.join(known) or 'none'}"
    return UserError(f"unknown {kind} {name!r}; {hint}")
