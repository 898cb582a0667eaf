"""Files that appear whole or not at all.

The content goes into a file of another name in the same folder, is flushed to disk, and takes its place by one rename,
which replaces an older file in the same instant. A reader sees the old content or the new, never a part and never
nothing, whoever is killed and however many write; no locks are needed, which network file systems do not keep well.

References:
    Pillai et al. 2014, *All File Systems Are Not Created Equal: On the Complexity of Crafting Crash-Consistent
    Applications*, OSDI, https://www.usenix.org/conference/osdi14/technical-sessions/presentation/pillai.
"""

from __future__ import annotations

import errno
import os
import secrets
from pathlib import Path

TEMPORARY = ".writing-"
"""How the names of unfinished files begin."""

ATTEMPTS = 3
UNSUPPORTED = {errno.EINVAL, errno.EBADF, errno.ENOTSUP, errno.EACCES}
"""What systems answer that cannot flush a folder."""


def write(path: Path, content: bytes) -> None:
    """Write a file atomically and durably, and make the folders above it.

    Raises:
        OSError: the disk is full, the folder is read-only, …; nothing is left behind then.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return _write(path, content)
        except FileNotFoundError:  # somebody tidied up, and took the folder or the unfinished file away
            if attempt == ATTEMPTS:
                raise


def _write(path: Path, content: bytes) -> None:
    _make(path.parent)
    temporary = path.with_name(TEMPORARY + secrets.token_hex(8))
    try:
        with open(temporary, "xb") as file:  # not tempfile's: the rights should be those of any other file
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    _sync(path.parent)


def _make(folder: Path) -> None:
    if not folder.is_dir():
        _make(folder.parent)
        folder.mkdir(exist_ok=True)
        _sync(folder.parent)


def _sync(folder: Path) -> None:
    """Flush the names in a folder, where the system can."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
