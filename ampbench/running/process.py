"""Work in a child process, which may raise, hang or end the process without harm to its parent.

The child sends messages through a pipe; the parent limits the time of each step, and reports how the child ended.

=====================================  ==================================================================
too much memory                        the allocation fails, as an exception, at the limit
a step takes too long                  the parent kills the child: ``timeout``
``os._exit``, a segmentation fault     ``crashed``
``kill -9``, a lost machine            ``killed``
=====================================  ==================================================================

Children are forked from a server process (multiprocessing's ``forkserver``) that has torch imported and nothing else
done: a child costs 0.02 s instead of the 3 s of a fresh interpreter, and inherits no threads, locks or GPU. It finds
the modules that its parent finds, the user's own too: multiprocessing hands it ``sys.path`` and the working directory.
The memory limit is ``RLIMIT_DATA``, for the reasons in docs/decisions/0010-execution.md.

References:
    Python documentation, *multiprocessing: contexts and start methods*,
    https://docs.python.org/3/library/multiprocessing.html
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import connection, forkserver
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any, Protocol

from ampbench.interfaces.executor import Limits
from ampbench.running.child import LOST_STATUS, NO_MEMORY_STATUS, Completed, Send, child_main
from ampbench.running.preload import ALWAYS, PRELOAD

POLL_INTERVAL = 0.2
"""Seconds between two looks of the parent at the clock, and at whether it should stop."""
MAX_START_SECONDS = 300.0
"""Seconds that a child may take to begin: the first one waits until the server has imported everything."""
MAX_OUTPUT = 4000
"""Characters of a child's output that are kept with a failure."""
SIGNALS_FROM_OUTSIDE = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
"""Signals that a process does not send to itself: somebody, or the system when memory is short."""


class Stop(Protocol):
    """Says whether a job should stop, as a :class:`threading.Event` does."""

    def is_set(self) -> bool:
        """Whether it should."""


class Stopped(Exception):  # noqa: N818 — not an error
    """The job was stopped from outside."""


@dataclass(frozen=True)
class Ending:
    """How a child ended early.

    Attributes:
        kind: of :data:`ampbench.results.record.FAILURES`.
        message: on one line.
    """

    kind: str
    message: str


class Clock:
    """Watches that each step of a child ends in time: its start, and then every step that is told.

    Arguments:
        allowed: seconds for each step but the first; None for any time.
    """

    def __init__(self, allowed: float | None) -> None:
        self._allowed: float | None = MAX_START_SECONDS
        self._then = allowed
        self._step: object = None
        self._activity = "the start of its worker process"
        self._since = time.monotonic()  # not wall-clock time, which may jump

    def step(self, step: object, doing: str) -> None:
        """Note what the child is doing; another step than before has all its time before it."""
        if step != self._step:
            self._since = time.monotonic()
        self._step, self._activity, self._allowed = step, doing, self._then

    def late(self) -> str:
        """Return what takes longer than it may, "" if nothing does."""
        if self._allowed is None or time.monotonic() - self._since <= self._allowed:
            return ""
        return f"{self._activity} took longer than the {self._allowed:g} s allowed"


def run_in_child(
    work: Callable[[Send], None],
    limits: Limits,
    output: Path,
    on_message: Callable[[Any], None],
    clock: Clock,
    stop: Stop,
) -> Ending | None:
    """Run ``work`` in a child process until it ends.

    Arguments:
        work: what to do, given a function that sends messages; it must be picklable, as the messages are.
        limits: what it may use; its time is up to the clock.
        output: a file for what it prints.
        on_message: called with each message; it moves the clock on.
        clock: says when a step takes too long.
        stop: when it is set, the child is killed and :class:`Stopped` raised.

    Returns:
        None if the work is complete, else how the child ended.

    Raises:
        AmpbenchError: that ``work`` has raised; every other exception of it ends the process.
    """
    receiver, sender = multiprocessing.Pipe(duplex=False)
    child = multiprocessing.get_context("forkserver").Process(
        target=child_main, args=(work, limits, output, sender), name="ampbench worker"
    )
    try:
        try:
            _SERVER.start(child)
        except (OSError, EOFError) as error:  # the fork server is gone; the next start makes a new one
            ending: Ending | None = Ending("killed", f"no worker process could be started: {error}")
        else:
            sender.close()
            ending = _follow(child, receiver, on_message, clock, stop)
    finally:
        receiver.close()
        _kill(child)
    if ending and ending.kind == "killed":
        time.sleep(
            POLL_INTERVAL
        )  # who ends a worker, such as a cluster at a time limit, may be ending this process too
        if stop.is_set():
            raise Stopped
    return ending


class _Server:
    """The process that children are forked from: what it has loaded, and how many threads its libraries may start."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # the environment belongs to all threads
        self._environment: Mapping[str, str] = {}
        self.prepare((), 1)

    def prepare(self, modules: Iterable[str], threads: int) -> None:
        """Choose what the next server has, if this one has gone or there is none yet."""
        names = ["ampbench.running.worker", "sklearn.neural_network", *ALWAYS, *modules]
        limits = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
        self._environment = {PRELOAD: ",".join(names), **dict.fromkeys(limits, str(threads))}

    def start(self, child: ForkServerProcess | None = None) -> None:
        """Start a child, and the server before it if there is none."""
        path = os.pathsep.join(each or os.getcwd() for each in sys.path)  # the server must find what this process does
        with self._lock, _environment({**self._environment, "PYTHONPATH": path}):
            multiprocessing.set_forkserver_preload(["ampbench.running.preload"])
            forkserver.ensure_running()
            if child:
                child.start()


_SERVER = _Server()


def start_server(modules: Iterable[str], threads: int) -> None:
    """Start the process that children are forked from, so that it imports modules meanwhile; the first call decides."""
    _SERVER.prepare(modules, threads)
    _SERVER.start()


def _follow(
    child: ForkServerProcess, receiver: Connection, on_message: Callable[[Any], None], clock: Clock, stop: Stop
) -> Ending | None:
    """Listen to a child until it has ended, one way or the other."""
    through = False
    while True:
        ready = connection.wait([receiver, child.sentinel], timeout=POLL_INTERVAL)
        if receiver in ready:
            try:
                message = receiver.recv()
            except (EOFError, OSError):  # it has ended
                pass
            else:
                if not isinstance(message, Completed):
                    on_message(message)
                elif message.error:
                    raise message.error
                else:
                    through = True
                continue
        if stop.is_set():
            raise Stopped
        if late := clock.late():
            return Ending("timeout", late)
        if child.sentinel in ready or receiver in ready:
            child.join()
            return None if through else _cause(child.exitcode)


def _cause(status: int | None) -> Ending:
    """What an exit status says about a child that was not through: a kind of failure, and a message."""
    if status is None or status == LOST_STATUS:
        return Ending("killed", "its worker process was lost")
    if status == NO_MEMORY_STATUS:
        return Ending("memory", "its worker process ran out of memory")
    if status >= 0:
        return Ending("crashed", f"its worker process ended itself with exit status {status}")
    name = signal.Signals(-status).name
    if -status in SIGNALS_FROM_OUTSIDE:
        return Ending(
            "killed", f"its worker process was killed by {name}, by hand or by the system when memory is short"
        )
    return Ending("crashed", f"its worker process crashed with {name}")


def last_output(output: Path) -> str:
    """The end of what a child printed; if it crashed, where it was."""
    with suppress(OSError):
        text = output.read_text(encoding="utf-8", errors="replace")
        before, modules, after = text.rpartition("\nExtension modules:")  # where faulthandler tells no more
        text = before if modules else after
        return text[-MAX_OUTPUT:]
    return ""


def _kill(child: ForkServerProcess) -> None:
    """End a child and whatever it has started."""
    if child.pid is not None and child.is_alive():
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
        child.kill()
        child.join()


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
