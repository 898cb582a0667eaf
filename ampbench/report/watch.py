"""Watching results directories while a sweep writes into them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

INTERVAL = 2.0
"""Time, in seconds, between two looks at the directories."""
RELOAD = 15
"""Time, in seconds, after which the open page loads the file again."""

State = tuple[tuple[str, int], ...]


def state(paths: Sequence[Path]) -> State:
    """Return names and times of change of the folders of runs, the bundles and the exported files.

    A finished run is renamed into its folder, which changes the time of that folder; no record is read.
    """
    found = []
    for path in paths:
        for part in (path, *_entries(path / "runs"), *_entries(path / "bundles")):
            try:
                found.append((str(part), part.stat().st_mtime_ns))
            except (OSError, ValueError):
                continue  # it is not there yet, or was removed meanwhile
    return tuple(found)


def watch(paths: Sequence[Path], write: Callable[[], None], sleep: Callable[[float], None] = time.sleep) -> None:
    """Call ``write`` now, and whenever the results have changed; an interruption ends it.

    Arguments:
        paths: the results directories.
        write: writes the report.
        sleep: waits for a number of seconds.
    """
    last: State | None = None
    while True:
        now = state(paths)
        if now != last:
            write()
            last = now
        sleep(INTERVAL)


def _entries(folder: Path) -> list[Path]:
    try:
        return [Path(each) for each in sorted(os.scandir(folder), key=lambda each: each.name)]
    except OSError:
        return []
