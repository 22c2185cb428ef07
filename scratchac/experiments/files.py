"""Files that are written completely or not at all, even if the process is killed or the disk is full."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from scratchac.errors import WriteError


@contextlib.contextmanager
def atomic_file(path: Any, keep: Path | None = None) -> Iterator[IO[bytes]]:
    """A binary file that replaces `path` if the block succeeds; if it fails, `path` stays as it was.

    keep    a path at which the previous file is kept, if the file system has hard links

    Raises WriteError for a full disk, a folder that is missing or not writable, and the like.
    """
    path = Path(path)
    temporary = path.with_name(f"{path.name}.tmp")          # always the same name: the file of a killed process is overwritten
    try:
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())                         # the content must be on the disk before the name
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
    """Give the file `path` the further name `link`, which may exist already; at every moment there is a file of that name."""
    fresh = link.with_name(f"{link.name}.tmp")
    fresh.unlink(missing_ok=True)
    os.link(path, fresh)
    os.replace(fresh, link)
    fresh.unlink(missing_ok=True)                           # os.replace does nothing if both are names of one file already


def _sync_folder(folder: Path) -> None:
    if not hasattr(os, "O_DIRECTORY"):                      # Windows
        return
    handle = os.open(folder, os.O_DIRECTORY)
    try:
        with contextlib.suppress(OSError):                  # some network file systems cannot do this; the file is in its place
            os.fsync(handle)
    finally:
        os.close(handle)
