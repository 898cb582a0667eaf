"""The guardian of the fork server: no process of a sweep outlives the sweep, however the sweep ends (Linux).

::

    sweep ── guardian ── fork server ── workers ── processes that plugins start

A process whose parent ends becomes a child of the nearest ancestor that is a *subreaper*, also if it has left session
and process group (a daemon). Workers are subreapers, so that daemons live as long as their worker. The guardian is one:
whatever else than the fork server becomes its child has lost its worker, gets SIGTERM, and a second later SIGKILL. The
second is for processes that end by themselves with their worker after they have removed temporary files, as joblib's
do. If the sweep or the fork server ends, the guardian kills the fork server; its workers end with it.

The guardian needs no file descriptor, which a child could inherit, to know that the sweep lives: the number of its own
parent process says so. If the guardian is killed, the fork server takes its place and ends all.

References:
    *prctl(2)* (``PR_SET_CHILD_SUBREAPER``, ``PR_SET_PDEATHSIG``), Linux manual pages,
    https://man7.org/linux/man-pages/man2/prctl.2.html
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import FrameType

POLL_INTERVAL = 0.1
"""Seconds between two looks at the parent process and at new children."""
GRACE = 1.0
"""Seconds between SIGTERM and SIGKILL."""

_SET_PARENT_DEATH_SIGNAL, _SET_CHILD_SUBREAPER = 1, 36
_parent = 0
"""The process whose children end with it; 0 where there is no guardian."""


def guard(sweep: int) -> None:
    """Fork: the child returns and goes on as the fork server; this process becomes its guardian, and never returns.

    Arguments:
        sweep: number of the process that started this one.
    """
    global _parent
    if sys.platform != "linux" or not _children_file().exists():
        return
    adopt_orphans()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the sweep decides what Ctrl-C means
    ends = {each for each in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(each) != signal.SIG_IGN}  # nohup
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD, *ends})
    _parent = os.getpid()
    server = os.fork()
    if server:
        _watch(sweep, server, ends)
        os._exit(0)
    signal.signal(signal.SIGTERM, _end_all)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    end_with_parent(signal.SIGTERM)
    _parent = os.getpid()


def end_with_parent(number: signal.Signals) -> None:
    """Let a signal end this process as soon as the process that forked it ends (Linux)."""
    if sys.platform == "linux":
        _prctl(_SET_PARENT_DEATH_SIGNAL, number)
        if _parent and os.getppid() != _parent:  # it had ended before
            os.kill(os.getpid(), number)


def adopt_orphans() -> None:
    """Become the parent of all descendants whose parent ends (Linux)."""
    if sys.platform == "linux":
        _prctl(_SET_CHILD_SUBREAPER, 1)


def _prctl(option: int, value: int) -> None:
    ctypes.CDLL(None).prctl(option, ctypes.c_ulong(value), *[ctypes.c_ulong(0)] * 3)


def _watch(sweep: int, server: int, ends: set[signal.Signals]) -> None:
    """End every orphan, and the fork server with the sweep; return when no child is left.

    The folder of the server's socket is then removed, if the sweep, which removes it otherwise, has ended before.
    """
    folder = _socket_folder()
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    for number in map(int, os.listdir("/proc/self/fd")):
        if number > 2:  # such as the socket of the fork server
            with suppress(OSError):
                os.close(number)
    orphans, asked = _Orphans(GRACE), False
    while orphans.collect():
        if server in orphans.children and (asked or os.getppid() != sweep):
            os.kill(server, signal.SIGKILL)
        orphans.end({server})
        arrived = signal.sigtimedwait({signal.SIGCHLD, *ends}, POLL_INTERVAL)
        asked = asked or (arrived is not None and arrived.si_signo in ends)
    if folder and os.getppid() != sweep:
        shutil.rmtree(folder, ignore_errors=True)


def _socket_folder() -> Path | None:
    """Return the temporary folder of multiprocessing in which the socket of the fork server lies."""
    for number in map(int, os.listdir("/proc/self/fd")):
        with suppress(OSError), socket.socket(fileno=os.dup(number)) as found:
            name = found.getsockname() if found.family == socket.AF_UNIX else ""
            if isinstance(name, str) and (folder := Path(name).parent).name.startswith("pymp-"):
                return folder
    return None


def _end_all(number: int, frame: FrameType | None) -> None:
    """Handle SIGTERM in the fork server: end all workers, and all that they started."""
    if os.getpid() != _parent:  # a worker, before it sets its own handlers
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)
        return
    adopt_orphans()
    orphans = _Orphans(0)
    while orphans.collect():
        orphans.end(set())
        time.sleep(0.01)
    os._exit(0)


class _Orphans:
    """The children of this process, each with the time when it was told to end.

    A number cannot come to mean another process: it stays in use until this process has collected the exit status.
    """

    def __init__(self, grace: float) -> None:
        self._grace = grace
        self._told: dict[int, float] = {}
        self.children: set[int] = set()

    def collect(self) -> bool:
        """Collect the children that have ended, and look for new ones; returns whether there are any."""
        with suppress(ChildProcessError):
            while pid := os.waitpid(-1, os.WNOHANG)[0]:
                self._told.pop(pid, None)
        self.children = {int(number) for number in _children_file().read_text().split()}
        return bool(self.children)

    def end(self, spared: set[int]) -> None:
        """Send SIGTERM to each new child, and SIGKILL to each that had its time."""
        now = time.monotonic()
        for pid in self.children - spared:
            late = now - self._told.setdefault(pid, now) >= self._grace
            if late or self._told[pid] == now:
                with suppress(PermissionError):  # it has become another user's
                    os.kill(pid, signal.SIGKILL if late else signal.SIGTERM)


def _children_file() -> Path:
    """Return the file of the kernel with the numbers of this process's children."""
    return Path(f"/proc/self/task/{os.getpid()}/children")
