"""Stamps of files: numbers that change whenever a file is written, replaced, renamed, or given other times.

A stamp is inode, size, time of modification and time of change. The system sets the time of change at every change, and
no program can set it back; an edit that keeps size and time of modification is noticed by it. Two changes may have one
time, since clocks have ticks, of up to two seconds on some file systems: a file whose last change is younger than
:data:`SETTLED_S` may change again without another stamp, and what was read of it is not to be kept.

References:
    *Racy Git*, https://git-scm.com/docs/racy-git.
"""

from __future__ import annotations

import os

Stamp = tuple[int, int, int, int]
"""Inode, bytes, and the times of modification and of change in nanoseconds."""

UNKNOWN: Stamp = (0, 0, 0, -1)
"""The stamp of a file that cannot be looked at; no file has it."""
SETTLED_S = 10.0
"""Age of a change, in seconds, from which any later change has another time."""
SUPPORTED = os.name == "posix"
"""Whether the system has times of change; Windows has times of creation in their place."""

_MASK = 2**63 - 1  # arrays of signed integers hold inodes and times of any year


def of(found: os.stat_result) -> Stamp:
    """Return the stamp of a file that was looked at."""
    return found.st_ino & _MASK, found.st_size, found.st_mtime_ns & _MASK, found.st_ctime_ns & _MASK


def of_path(path: str) -> Stamp | None:
    """Return the stamp of a file, None if there is none, or :data:`UNKNOWN` if nobody can tell."""
    try:
        return of(os.stat(path))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError):
        return UNKNOWN


def joint(one: Stamp | None, other: Stamp | None) -> Stamp | None:
    """Return a stamp that changes whenever that of one of two files does; the only stamp, if there is one."""
    if one is None or other is None:
        return one or other
    if UNKNOWN in (one, other):
        return UNKNOWN
    return one[0] ^ other[0], (one[1] + other[1]) & _MASK, one[2] ^ other[2], max(one[3], other[3])


def is_settled(found: Stamp, now_ns: int) -> bool:
    """Whether every change of a file after a time, in nanoseconds since the epoch, changes its stamp."""
    return 0 <= found[-1] < now_ns - SETTLED_S * 1e9
