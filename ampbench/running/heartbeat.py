"""Status files of running sweeps, for ``ampbench status`` in another terminal.

A sweep writes a snapshot to ``DIR/active/<host>-<pid>.json`` every two seconds, and holds a lock on the file ``.lock``
beside it. The system frees the lock when the process ends, for whatever reason. On the machine of the sweep the lock
therefore shows with certainty whether the sweep is running, whatever the clock does and even if the process number is
reused. The locks of another machine may not be visible; then only the time since the last write is known.
"""

from __future__ import annotations

import json
import os
import platform
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from ampbench.results import atomic
from ampbench.running.tally import Activity, Best, Snapshot

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

WRITE_INTERVAL = 2.0
"""Seconds between two writes of the status file."""
MAX_SILENCE = 60.0
"""Seconds without a write after which a sweep on another machine counts as ended."""


@dataclass(frozen=True)
class SweepStatus:
    """The status of a sweep.

    Attributes:
        host, pid: machine and process of the sweep.
        began: start of the sweep, as ISO 8601 in UTC.
        age: seconds since the last write, by the clock of this machine.
        alive: whether the sweep is running.
        certain: whether ``alive`` is certain.
        state: progress at the last write.
    """

    host: str
    pid: int
    began: str
    age: float
    alive: bool
    certain: bool
    state: Snapshot


class Heartbeat:
    """Writes the status file while its context lasts, and removes it afterwards. A full disk is ignored.

    Arguments:
        results: the results directory.
        state: returns the progress; called from another thread.
    """

    def __init__(self, results: Path, state: Callable[[], Snapshot]) -> None:
        self._path = results / "active" / f"{platform.node()}-{os.getpid()}.json"
        self._state = state
        self._began = datetime.now(UTC).isoformat(timespec="seconds")
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        self._lock: IO[str] | None = None

    def __enter__(self) -> Heartbeat:
        remove_dead(self._path.parent.parent)
        with suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = open(self._path.with_suffix(".lock"), "w", encoding="utf-8")
            _lock(self._lock)
        self._write()
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._over.set()
        self._thread.join()
        with suppress(OSError):
            self._path.unlink(missing_ok=True)
            self._path.with_suffix(".lock").unlink(missing_ok=True)
        if self._lock:
            self._lock.close()

    def _beat(self) -> None:
        while not self._over.wait(WRITE_INTERVAL):
            self._write()

    def _write(self) -> None:
        what = {"host": platform.node(), "pid": os.getpid(), "began": self._began, "state": asdict(self._state())}
        with suppress(OSError):
            atomic.write(self._path, json.dumps(what).encode())


def sweep_statuses(results: Path) -> list[SweepStatus]:
    """Return the statuses of the sweeps that write into a results directory, the oldest first."""
    found = [status for path in sorted((results / "active").glob("*.json")) if (status := _read(path))]
    return sorted(found, key=lambda status: status.began)


def remove_dead(results: Path) -> None:
    """Remove the status files of killed sweeps of this machine: the next sweep continues their work."""
    for path in (results / "active").glob("*.json"):
        status = _read(path)
        if status and status.certain and not status.alive:
            path.unlink(missing_ok=True)
            path.with_suffix(".lock").unlink(missing_ok=True)


def _read(path: Path) -> SweepStatus | None:
    """Read a status file; None if its sweep has just ended, or the file is damaged."""
    try:
        what = json.loads(path.read_text(encoding="utf-8"))
        age = max(0.0, time.time() - path.stat().st_mtime)
        state = what.pop("state")
        running = tuple(Activity(**doing) for doing in state.pop("running"))
        best = state.pop("best")
        snapshot = Snapshot(running=running, best=Best(**best) if best else None, **state)
        host, pid, began = str(what["host"]), int(what["pid"]), str(what["began"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    held = _held(path.with_suffix(".lock"))
    certain = held is True or (held is False and host == platform.node())
    return SweepStatus(host, pid, began, age, bool(held) if certain else age < MAX_SILENCE, certain, snapshot)


def _lock(file: IO[str]) -> None:
    if fcntl:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _held(path: Path) -> bool | None:
    """Return whether a process holds a lock; None if this cannot be known."""
    if not fcntl:
        return None
    try:
        with open(path, encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return False
    except BlockingIOError:
        return True
    except OSError:
        return None
