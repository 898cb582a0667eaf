"""Reading of files that other people may have written: regular files of a bounded size.

Opening a FIFO waits for a writer, a device such as ``/dev/zero`` has no end, and a sparse file may be larger than the
memory. A path is therefore examined before it is opened, opened without waiting, examined again, since another file may
have taken its place, and read up to its size, which has a bound. Symbolic links are followed: a link to a regular file
within the bound is read like that file.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

MAX_TEXT_BYTES = 16 * 2**20
"""Largest file of text: a sweep, the request of an analysis, an observation; other kinds have smaller bounds."""
MAX_DATA_BYTES = 4 * 2**30
"""Largest file of numbers: samples, states of posteriors, simulations, tables; also their size in memory."""

_FLAGS = os.O_RDONLY | sum(getattr(os, name, 0) for name in ("O_NONBLOCK", "O_CLOEXEC", "O_NOCTTY", "O_BINARY"))
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class UnusualFileError(OSError):
    """A path names no regular file, or one that is too large; ``strerror`` says what it is."""


@contextmanager
def opened(path: str | Path, limit: int) -> Iterator[BufferedReader]:
    """Open a regular file of at most ``limit`` bytes for reading.

    Raises:
        UnusualFileError: it is no regular file, or larger; or no file can have this name.
        OSError: it does not exist, or cannot be opened.
    """
    _check(_examined(path), path, limit)
    with open(path, "rb", opener=lambda name, _: os.open(name, _FLAGS)) as file:
        _check(os.fstat(file.fileno()), path, limit)
        yield file


def read_bytes(path: str | Path, limit: int = MAX_TEXT_BYTES) -> bytes:
    """Return the content of a regular file of at most ``limit`` bytes; raises as :func:`opened` does."""
    with opened(path, limit) as file:
        size = os.fstat(file.fileno()).st_size
        content = file.read(size + 1)
    if len(content) > size:
        raise UnusualFileError(errno.EFBIG, "it grew while it was read", str(path))
    return content


def read_text(path: str | Path, limit: int = MAX_TEXT_BYTES, encoding: str = "utf-8") -> str:
    """Return the text of a regular file; raises as :func:`opened` does, and ValueError for another encoding."""
    return read_bytes(path, limit).decode(encoding)


def read_end(path: str | Path, size: int) -> bytes:
    """Return the last bytes of a regular file of any size; raises as :func:`opened` does."""
    with opened(path, sys.maxsize) as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - size))
        return file.read(size)


def append_line(path: Path, text: str) -> None:
    """Append a line to a file in one write, without waiting for a reader of a FIFO; create missing folders.

    Raises:
        OSError: the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_NONBLOCK", 0)
    with open(path, "a", encoding="utf-8", opener=lambda name, _: os.open(name, flags, 0o666)) as file:
        file.write(text + "\n")


def is_folder(path: Path) -> bool:
    """Return whether a path is a folder; raises OSError if nobody can tell, as for a name that is too long."""
    try:
        return stat.S_ISDIR(_examined(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def _examined(path: str | Path) -> os.stat_result:
    try:
        return os.stat(path)
    except ValueError as error:  # of a NUL character, or of one that file names cannot hold
        raise UnusualFileError(errno.EINVAL, f"no file can have this name: {error}", str(path)) from error


def _check(found: os.stat_result, path: str | Path, limit: int) -> None:
    if not stat.S_ISREG(found.st_mode):
        kind = _KINDS.get(stat.S_IFMT(found.st_mode), "no file")
        raise UnusualFileError(errno.EINVAL, f"it is {kind}, where a regular file should be", str(path))
    if found.st_size > limit:
        raise UnusualFileError(errno.EFBIG, f"it has {found.st_size:,} bytes, more than {limit:,}", str(path))
