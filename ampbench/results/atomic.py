"""Atomic writing of files.

The content is written to a temporary file in the target folder, flushed to disk, and renamed, which replaces an older
file atomically. A reader sees the complete old or the complete new content, also if a writer is killed or several write
at once. No locks are needed, which are unreliable on network file systems.

References:
    Pillai et al. 2014, *All File Systems Are Not Created Equal: On the Complexity of Crafting Crash-Consistent
    Applications*, OSDI, https://www.usenix.org/conference/osdi14/technical-sessions/presentation/pillai.
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

TEMPORARY_PREFIX = ".writing-"
"""Prefix of the names of unfinished files."""

ATTEMPTS = 3
UNSUPPORTED_ERRNOS = {errno.EINVAL, errno.EBADF, errno.ENOTSUP, errno.EACCES}
"""Error numbers by which a system reports that it cannot flush a folder."""


def write(path: Path, content: bytes) -> None:
    """Write a file atomically and durably; create missing folders.

    Raises:
        OSError: the disk is full, the folder is read-only, …; no unfinished file is left then.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with replacing(path) as file:
                file.write(content)
            return
        except FileNotFoundError:  # a clean-up has removed the folder or the unfinished file
            if attempt == ATTEMPTS:
                raise


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open an unfinished file for writing, and put it in the place of a file, durably, unless an error is raised.

    Raises:
        OSError: as for :func:`write`.
    """
    _make(path.parent)
    temporary = path.with_name(TEMPORARY_PREFIX + secrets.token_hex(8))
    try:
        with open(temporary, "xb") as file:  # tempfile would create it with permissions for its owner only
            yield file
            file.flush()
            os.fsync(file.fileno())
        _replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    _sync(path.parent)


def _replace(temporary: Path, path: Path) -> None:
    """Put a file in the place of another one, or of an empty folder, which no part of this program makes."""
    try:
        os.replace(temporary, path)
    except IsADirectoryError:
        path.rmdir()  # raises OSError unless it is empty
        os.replace(temporary, path)


def _make(folder: Path) -> None:
    if not folder.is_dir():
        _make(folder.parent)
        folder.mkdir(exist_ok=True)
        _sync(folder.parent)


def _sync(folder: Path) -> None:
    """Flush the directory entries of a folder to disk, where the system supports it."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in UNSUPPORTED_ERRNOS:
            raise
