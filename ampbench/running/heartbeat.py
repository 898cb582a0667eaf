"""A sign of life of each sweep, for ``ampbench status`` in another terminal.

A sweep rewrites ``DIR/active/<host>-<pid>.json`` every two seconds with a snapshot, and holds a lock on the file
``.lock`` beside it. The system frees the lock when the process ends, however it ends, so that on the same machine the
lock says for certain whether the sweep is alive: neither a clock that jumps nor a reused process number can deceive it.
Of a sweep on another machine, whose locks may not be seen here, only the age of its last sign is known.
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

EVERY = 2.0
"""Seconds between two signs."""
SILENT = 60.0
"""Seconds after which a sweep on another machine is taken for dead."""


@dataclass(frozen=True)
class SweepStatus:
    """What is known of a sweep.

    Attributes:
        host, pid: where it runs.
        began: when, as ISO 8601 in UTC.
        age: seconds since the last sign, by this machine's clock.
        alive: whether the sweep is going on.
        certain: whether that is known for certain.
        state: where it stood at the last sign.
    """

    host: str
    pid: int
    began: str
    age: float
    alive: bool
    certain: bool
    state: Snapshot


class Heartbeat:
    """Gives signs of life while its context lasts; afterwards there is no trace of it. A full disk costs signs only.

    Arguments:
        results: the results directory.
        state: returns the state to tell, from any thread.
    """

    def __init__(self, results: Path, state: Callable[[], Snapshot]) -> None:
        self._path = results / "active" / f"{platform.node()}-{os.getpid()}.json"
        self._state = state
        self._began = datetime.now(UTC).isoformat(timespec="seconds")
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        self._lock: IO[str] | None = None

    def __enter__(self) -> Heartbeat:
        forget_the_dead(self._path.parent.parent)
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
        while not self._over.wait(EVERY):
            self._write()

    def _write(self) -> None:
        what = {"host": platform.node(), "pid": os.getpid(), "began": self._began, "state": asdict(self._state())}
        with suppress(OSError):
            atomic.write(self._path, json.dumps(what).encode())


def sweep_statuses(results: Path) -> list[SweepStatus]:
    """Return what is known of the sweeps that write into a results directory, the oldest first."""
    found = [sign for path in sorted((results / "active").glob("*.json")) if (sign := _read(path))]
    return sorted(found, key=lambda sign: sign.began)


def forget_the_dead(results: Path) -> None:
    """Remove the signs of sweeps on this machine that were killed: the next sweep goes on with their work."""
    for path in (results / "active").glob("*.json"):
        sign = _read(path)
        if sign and sign.certain and not sign.alive:
            path.unlink(missing_ok=True)
            path.with_suffix(".lock").unlink(missing_ok=True)


def _read(path: Path) -> SweepStatus | None:
    """Read a sign; None if its sweep has just ended, or it is no sign."""
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
    return SweepStatus(host, pid, began, age, bool(held) if certain else age < SILENT, certain, snapshot)


def _lock(file: IO[str]) -> None:
    if fcntl:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _held(path: Path) -> bool | None:
    """Whether somebody holds a lock; None if this cannot be known."""
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
