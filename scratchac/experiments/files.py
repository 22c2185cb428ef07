"""Files that are either whole or not there at all, whenever the process is killed and however full the disk is."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from scratchac.errors import WriteError


@contextlib.contextmanager
def atomic_file(path: Any, keep: Path | None = None) -> Iterator[IO[bytes]]:
    """A binary file that takes the place of `path` when the block ends well, and leaves `path` as it was when it does not.

    keep    the name under which what `path` was before stays; where file systems have no hard links, it does not

    Raises WriteError for a full disk, a folder that is missing or closed to us, and the like.
    """
    path = Path(path)
    temporary = path.with_name(f"{path.name}.tmp")          # always the same: what a killed process leaves is written over
    try:
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())                         # the bytes first, then the name
        if keep is not None and path.exists():
            with contextlib.suppress(OSError):
                _replace_by_link(path, Path(keep))
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        raise WriteError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _replace_by_link(path: Path, link: Path) -> None:
    """Give the file `path` the further name `link`, which may be taken: not for an instant is there no file of that name."""
    fresh = link.with_name(f"{link.name}.tmp")
    fresh.unlink(missing_ok=True)
    os.link(path, fresh)
    os.replace(fresh, link)
    fresh.unlink(missing_ok=True)                           # replacing does nothing where both are names of one file already


def _sync_folder(folder: Path) -> None:
    if not hasattr(os, "O_DIRECTORY"):                      # Windows has no such thing
        return
    handle = os.open(folder, os.O_DIRECTORY)
    try:
        with contextlib.suppress(OSError):                  # nor have some network file systems; the file is in its place
            os.fsync(handle)
    finally:
        os.close(handle)
