"""A function in a process of its own: it may raise, hang, or end the process, and costs nobody else anything.

The child tells through a pipe what it does; the parent watches that each step of it ends in time, and how it ends.

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
    *getrlimit(2)*, *prctl(2)*, Linux manual pages, https://man7.org/linux/man-pages/man2/getrlimit.2.html
"""

from __future__ import annotations

import ctypes
import faulthandler
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

import torch
from threadpoolctl import threadpool_limits

from ampbench.errors import AmpbenchError
from ampbench.interfaces.executor import Limits
from ampbench.running.preload import ALWAYS, PRELOAD

POLL = 0.2
"""Seconds after which the parent looks up: at the clock, and whether it should stop."""
START = 300.0
"""Seconds that a child may take to begin: the first one waits until the server has imported everything."""
LONGEST = 4000
"""Characters of a child's output that are kept with a failure."""
GIBIBYTE = 2**30
OUTSIDE = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
"""Signals that a process does not send to itself: somebody, or the system when memory is short."""
LOST, NO_MEMORY = 255, 77
"""Exit statuses: the fork server has gone, and its children with it; a child ran out of memory even for its report."""


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
        self._allowed: float | None = START
        self._then = allowed
        self._step: object = None
        self._doing = "the start of its worker process"
        self._since = time.monotonic()  # not wall-clock time, which may jump

    def step(self, step: object, doing: str) -> None:
        """Note what the child is doing; another step than before has all its time before it."""
        if step != self._step:
            self._since = time.monotonic()
        self._step, self._doing, self._allowed = step, doing, self._then

    def late(self) -> str:
        """Return what takes longer than it may, "" if nothing does."""
        if self._allowed is None or time.monotonic() - self._since <= self._allowed:
            return ""
        return f"{self._doing} took longer than the {self._allowed:g} s allowed"


Send = Callable[[Any], None]


def confined(
    work: Callable[[Send], None],
    limits: Limits,
    output: Path,
    hear: Callable[[Any], None],
    clock: Clock,
    stop: Stop,
) -> Ending | None:
    """Run ``work`` in a child process until it ends.

    Arguments:
        work: what to do, given a function that sends messages; it must be picklable, as the messages are.
        limits: what it may use; its time is up to the clock.
        output: a file for what it prints.
        hear: told each message; it moves the clock on.
        clock: says when a step takes too long.
        stop: when it is set, the child is killed and :class:`Stopped` raised.

    Returns:
        None if it came to its end, else how it ended.

    Raises:
        AmpbenchError: that ``work`` has raised; every other exception of it ends the process.
    """
    receiver, sender = multiprocessing.Pipe(duplex=False)
    child = multiprocessing.get_context("forkserver").Process(
        target=_child, args=(work, limits, output, sender), name="ampbench worker"
    )
    try:
        try:
            _SERVER.start(child)
        except (OSError, EOFError) as error:  # the fork server is gone; the next start makes a new one
            ending: Ending | None = Ending("killed", f"no worker process could be started: {error}")
        else:
            sender.close()
            ending = _follow(child, receiver, hear, clock, stop)
    finally:
        receiver.close()
        _kill(child)
    if ending and ending.kind == "killed":
        time.sleep(POLL)  # who ends a worker, such as a cluster at a time limit, may be ending this process too
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
    child: ForkServerProcess, receiver: Connection, hear: Callable[[Any], None], clock: Clock, stop: Stop
) -> Ending | None:
    """Listen to a child until it has ended, one way or the other."""
    through = False
    while True:
        ready = connection.wait([receiver, child.sentinel], timeout=POLL)
        if receiver in ready:
            try:
                message = receiver.recv()
            except (EOFError, OSError):  # it has ended
                pass
            else:
                if not isinstance(message, _Through):
                    hear(message)
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


@dataclass(frozen=True)
class _Through:
    """The last notice of a child: it is through with its job, or something is wrong that concerns all jobs."""

    error: AmpbenchError | None = None


def _cause(status: int | None) -> Ending:
    """What an exit status says about a child that was not through: a kind of failure, and a message."""
    if status is None or status == LOST:
        return Ending("killed", "its worker process was lost")
    if status == NO_MEMORY:
        return Ending("memory", "its worker process ran out of memory")
    if status >= 0:
        return Ending("crashed", f"its worker process ended itself with exit status {status}")
    name = signal.Signals(-status).name
    if -status in OUTSIDE:
        return Ending(
            "killed", f"its worker process was killed by {name}, by hand or by the system when memory is short"
        )
    return Ending("crashed", f"its worker process crashed with {name}")


def last_words(output: Path) -> str:
    """The end of what a child printed; if it crashed, where it was."""
    with suppress(OSError):
        text = output.read_text(encoding="utf-8", errors="replace")
        before, modules, after = text.rpartition("\nExtension modules:")  # where faulthandler tells no more
        text = before if modules else after
        return text[-LONGEST:]
    return ""


def _kill(child: ForkServerProcess) -> None:
    """End a child and whatever it has started."""
    if child.pid is not None and child.is_alive():
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
        child.kill()
        child.join()


def _child(work: Callable[[Send], None], limits: Limits, output: Path, sender: Connection) -> None:
    """The child process: everything that may go wrong happens below here."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C means
    with suppress(PermissionError):
        os.setsid()  # so that what a plugin starts can be ended with it
    _die_with_parent()
    _redirect(output)
    _limit_memory(limits.memory)

    def send(message: Any) -> None:
        try:
            sender.send(message)
        except OSError:  # nobody listens any more; it must not look like a fault of the plugin that reports progress
            os._exit(LOST)

    try:
        torch.set_num_threads(limits.threads)
        with threadpool_limits(limits.threads):
            work(send)
    except AmpbenchError as error:
        sender.send(_Through(error))
    except MemoryError as error:
        error.__traceback__ = None  # whose frames hold on to what filled it
        os._exit(NO_MEMORY)
    else:
        sender.send(_Through())


def _die_with_parent() -> None:
    """End this process as soon as the fork server ends, which ends with the parent, however it ends (Linux)."""
    if sys.platform == "linux":
        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL, 0, 0, 0)


def _redirect(path: Path) -> None:
    """Send what plugins print, and where they crash, to a file of their own."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    except OSError:  # nowhere to write it: the store will say so
        target = os.open(os.devnull, os.O_WRONLY)
    sys.stdout.flush()
    for stream in (1, 2):
        os.dup2(target, stream)
    os.close(target)
    faulthandler.enable()


def _limit_memory(gibibytes: float | None) -> None:
    """Make allocations beyond the limit fail, as MemoryError or torch's error."""
    if gibibytes is not None and sys.platform == "linux":
        import resource

        limit = int(gibibytes * GIBIBYTE)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


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
