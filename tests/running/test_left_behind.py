"""Nothing is left behind: no worker, server or process that a plugin started, however worker, server or sweep ends."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from left_behind import KINDS, leave, read

from ampbench.interfaces import Limits
from ampbench.running.calls import CallError, call_in_child
from ampbench.running.guardian import GRACE

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux gives a process the orphans below it")

HUNG = ("hang in C", "spin", "ignore signals")
SWEEP = """
import sys, threading
from functools import partial
from pathlib import Path
from left_behind import leave
from ampbench.interfaces import Limits
from ampbench.running.calls import call_in_child
for then in sys.argv[2:]:
    work = partial(leave, Path(sys.argv[1], then), then)
    threading.Thread(target=call_in_child, args=(work, Limits()), kwargs={"needs_main": False}).start()
"""


def until(condition: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.05)


def below(pid: int) -> set[int]:
    """The numbers of all processes below one."""
    found = set()
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            for child in map(int, (thread / "children").read_text().split()):
                found |= {child} | below(child)
    return found


@pytest.mark.parametrize("then", ["return", "raise", "exit", "kill", "hang in C"])
def test_what_a_worker_started_ends_with_it(tmp_path: Path, alive: Callable[[int], bool], then: str) -> None:
    """After a normal end too; in a session of its own, deaf to signals, or without its parent."""
    pids = tmp_path / "pids"
    limits = Limits(seconds=2 if then == "hang in C" else None)
    with contextlib.nullcontext() if then == "return" else pytest.raises(CallError):
        call_in_child(partial(leave, pids, then), limits)
    assert len(read(pids)) == 1 + len(KINDS)
    until(lambda: not any(map(alive, read(pids))), GRACE + 2)


def test_what_a_worker_started_lives_as_long_as_it(tmp_path: Path, alive: Callable[[int], bool]) -> None:
    """Also a daemon, and while other workers end."""
    pids, stop = tmp_path / "pids", threading.Event()

    def work() -> None:
        with contextlib.suppress(Exception):
            call_in_child(partial(leave, pids, "ignore signals"), Limits(), stop=stop)

    thread = threading.Thread(target=work)
    thread.start()
    until(lambda: len(read(pids)) == 1 + len(KINDS))
    with pytest.raises(CallError):
        call_in_child(partial(leave, tmp_path / "others", "exit"), Limits())
    until(lambda: not any(map(alive, read(tmp_path / "others"))), GRACE + 2)
    assert all(map(alive, read(pids)))
    stop.set()
    thread.join()
    until(lambda: not any(map(alive, read(pids))), GRACE + 2)


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@pytest.mark.parametrize("number", [signal.SIGKILL, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
@pytest.mark.parametrize("target", ["guardian", "server"])
def test_all_end_with_the_fork_server(
    tmp_path: Path, alive: Callable[[int], bool], target: str, number: signal.Signals
) -> None:
    """And the next call starts another server."""
    pids = tmp_path / "pids"
    servers = set[int]()

    def kill() -> None:
        until(lambda: len(read(pids)) == 1 + len(KINDS))
        worker = int(pids.read_text().splitlines()[0])
        server, guardian = parent(worker), parent(parent(worker))
        servers.update({server, guardian})
        os.kill(server if target == "server" else guardian, number)

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(CallError, match="its worker process was"):
        call_in_child(partial(leave, pids, "spin"), Limits())
    killer.join()
    until(lambda: not any(map(alive, servers | read(pids))), GRACE + 2)
    call_in_child(partial(leave, tmp_path / "again", "return"), Limits())


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A folder with a short path: the name of a socket in it has at most 107 bytes."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGKILL,
        *(pytest.param(each, marks=pytest.mark.slow) for each in (signal.SIGTERM, signal.SIGHUP, signal.SIGSEGV)),
    ],
)
def test_all_end_with_the_sweep(
    tmp_path: Path, temporary: Path, alive: Callable[[int], bool], number: signal.Signals
) -> None:
    """Three workers, which hang in C and in Python, and ignore signals, each with a process of each kind."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "TMPDIR": str(temporary)}
    sweep = subprocess.Popen([sys.executable, "-c", SWEEP, str(tmp_path), *HUNG], env=environment)
    until(lambda: all(len(read(tmp_path / then)) == 1 + len(KINDS) for then in HUNG))
    left = below(sweep.pid)
    assert len(left) >= 3 + 3 * (1 + len(KINDS)), "resource tracker, guardian, server; workers and what they started"
    sweep.send_signal(number)
    sweep.wait()
    until(lambda: not any(map(alive, left)), GRACE + 2)
    files = [path for path in temporary.iterdir() if not path.name.startswith("torchinductor")]  # torch's cache
    assert not files
