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
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from ampbench import files
from ampbench.errors import ResultsError
from ampbench.results import atomic, schema
from ampbench.results.checksums import Damage, read_checked
from ampbench.results.columns import Column
from ampbench.results.store import listed
from ampbench.running.tally import Activity, Best, Snapshot

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

WRITE_INTERVAL = 2.0
"""Seconds between two writes of the status file."""
MAX_SILENCE = 60.0
"""Seconds without a write after which a sweep on another machine counts as ended."""
MAX_STATUS_BYTES = 2**20
"""Largest status file."""
MAX_SECONDS = 1e15
"""Longest duration in a status file: that of an estimate of a large sweep after its first run."""


def _duration(name: str, optional: bool = False) -> Column:
    return Column(name, float, "", optional=optional, minimum=0, maximum=MAX_SECONDS)


def _number(name: str) -> Column:
    return Column(name, int, "", minimum=0)


OWNER = (Column("host", str, "", blank=True), _number("pid"), Column("began", str, "", form=schema.TIME))
PROGRESS = (*map(_number, ("total", "done", "failed")), _duration("seconds"), _duration("left", optional=True))
ACTIVITY = (Column("fit", str, ""), Column("step", str, ""), *map(_number, ("done", "total")), _duration("seconds"))
BEST = (
    *(Column(name, str, "") for name in ("task", "metric", "method")),
    *map(_number, ("budget", "n")),
    Column("mean", float, ""),
)
"""The fields of a status file: of the sweep, :class:`Snapshot`, :class:`Activity` and :class:`Best`."""


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
        self._lock: IO[bytes] | None = None

    def __enter__(self) -> Heartbeat:
        remove_dead(self._path.parent.parent)
        with suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = _opened(self._path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT)
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
    found = [status for status in _read_all(results) if isinstance(status, SweepStatus)]
    return sorted(found, key=lambda status: status.began)


def damaged_statuses(results: Path) -> list[Damage]:
    """Return the damaged status files of a results directory, or that their folder is unreadable."""
    return [status for status in _read_all(results) if isinstance(status, Damage)]


def remove_dead(results: Path) -> None:
    """Remove the status files of killed sweeps of this machine: the next sweep continues their work."""
    with suppress(ResultsError):  # the folder is unreadable
        for path in _paths(results):
            status = _read(path)
            if isinstance(status, SweepStatus) and status.certain and not status.alive:
                with suppress(OSError):  # it is of another user
                    path.unlink(missing_ok=True)
                    path.with_suffix(".lock").unlink(missing_ok=True)


def _paths(results: Path) -> list[Path]:
    """Return the paths of the status files; raises :class:`ResultsError` if their folder is unreadable."""
    return [path for path in listed(results / "active") if path.suffix == ".json" and path.name[0] != "."]


def _read_all(results: Path) -> list[SweepStatus | Damage]:
    try:
        return [status for path in _paths(results) if (status := _read(path))]
    except ResultsError as error:
        return [Damage(results / "active", str(error))]


def _read(path: Path) -> SweepStatus | Damage | None:
    """Read a status file; None if its sweep has just ended."""

    def parse() -> SweepStatus:
        what = json.loads(files.read_bytes(path, MAX_STATUS_BYTES))
        age = max(0.0, time.time() - path.stat().st_mtime)
        host, pid, began = (_checked(column, what[column.name]) for column in OWNER)
        held = _held(path.with_suffix(".lock"))
        certain = held is True or (held is False and host == platform.node())
        alive = bool(held) if certain else age < MAX_SILENCE
        return SweepStatus(host, pid, began, age, alive, certain, _snapshot(what["state"]))

    return read_checked(path, parse)


def _snapshot(state: dict[str, Any]) -> Snapshot:
    running = tuple(Activity(**_fields(doing, ACTIVITY)) for doing in state.pop("running"))
    best = state.pop("best")
    return Snapshot(
        running=running, best=None if best is None else Best(**_fields(best, BEST)), **_fields(state, PROGRESS)
    )


def _fields(content: Mapping[str, Any], columns: Sequence[Column]) -> dict[str, Any]:
    """Return the fields of an object, which must be those of the columns, each with an allowed value."""
    if sorted(content) != sorted(column.name for column in columns):
        raise ValueError(f"it has the fields {', '.join(content)}")
    return {column.name: _checked(column, content[column.name]) for column in columns}


def _checked(column: Column, value: Any) -> Any:
    if fault := column.fault(value):
        raise ValueError(fault)
    return value


def _opened(path: Path, flags: int) -> IO[bytes]:
    """Open a lock file without waiting for the other end of a FIFO, and without following a link."""
    flags |= sum(getattr(os, name, 0) for name in ("O_NONBLOCK", "O_NOFOLLOW", "O_CLOEXEC"))
    mode = "r+b" if flags & os.O_RDWR else "rb"
    return open(path, mode, buffering=0, opener=lambda name, _: os.open(name, flags, 0o666))


def _lock(file: IO[bytes]) -> None:
    if fcntl:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _held(path: Path) -> bool | None:
    """Return whether a process holds a lock; None if this cannot be known."""
    if not fcntl:
        return None
    try:
        with _opened(path, os.O_RDONLY) as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return False
    except BlockingIOError:
        return True
    except OSError:
        return None
