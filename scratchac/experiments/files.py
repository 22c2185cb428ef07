"""Files that are written completely or not at all, and files of unknown origin that are looked at before they are read.

Nothing here writes through a symbolic link: one in a folder that somebody else made could lead to any file of the user's.
"""

import contextlib
import errno
import json
import os
import secrets
import stat
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from scratchac.errors import WriteError

MOST_BYTES = 2**26              # of a text file that is read


@contextlib.contextmanager
def atomic_file(path: Any, keep: Path | None = None) -> Iterator[IO[bytes]]:
    """A binary file that replaces `path` if the block succeeds; if it fails, `path` stays as it was. A link is replaced itself.

    Until then it has a name that nobody can know before, so that several writers of one path do not meet.

    keep    a path at which the previous file is kept, if the file system has hard links

    Raises WriteError for a full disk, a folder that is missing or not writable, and the like.
    """
    path = Path(path)
    temporary = _unused(path)
    try:
        with open(temporary, "xb") as file:                 # x: it must not exist, not even as a link
            yield file
            file.flush()
            with contextlib.suppress(OSError):              # some file systems cannot do this; a full disk has told it by now
                os.fsync(file.fileno())                     # the content must be on the disk before the name
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


def write_arrays(file: IO[bytes], arrays: Mapping[str, np.ndarray]) -> None:
    """The format of `np.savez`, which in NumPy 2.0 may pickle and leaves the archive open where the disk is full."""
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def remove_unfinished(path: Path) -> None:
    """Remove what killed processes have left of `atomic_file(path)`. Nobody may be writing `path` now."""
    for left in path.parent.glob(f".{path.name}.*.tmp"):
        with contextlib.suppress(OSError):
            left.unlink()


def _unused(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")


def _replace_by_link(path: Path, link: Path) -> None:
    """Give the file `path` the further name `link`, which may exist already; at every moment there is a file of that name."""
    fresh = _unused(link)
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


# -- reading -------------------------------------------------------------------------------------------------------------


def open_file(path: Any, most: float = float("inf")) -> IO[bytes]:
    """A regular file of at most `most` bytes, open to be read. Raises ValueError for anything else, and OSError."""
    # Without O_NONBLOCK (not on Windows) this would wait for the other end of a pipe.
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise ValueError("it is not a regular file")
        if found.st_size > most:
            raise ValueError(f"it has {found.st_size:,} bytes, and at most {most:,} are read")
        return open(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def read_json(path: Any) -> Any:
    """The value in a JSON file. Raises ValueError for a file that is too large, nested too deeply or not JSON, and OSError."""
    with open_file(path, MOST_BYTES) as file:
        try:
            return json.loads(file.read())
        except RecursionError:
            raise ValueError("it is nested too deeply") from None


def append(path: Path, data: bytes) -> None:
    """Append bytes to a file, all or none. Raises OSError, also if it is a link."""
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
    with open(handle, "ab", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        try:
            if file.write(data) < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            with contextlib.suppress(OSError):              # a device has no length
                file.truncate(size)
            raise
