"""Work in a child process, which may raise, hang or end the process without harm to its parent.

The child sends messages through a pipe; the parent limits the time of each step, and reports how the child ended. What
a child started ends with it, and all end with the parent: see :mod:`ampbench.running.guardian`.

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
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from multiprocessing import connection, forkserver, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

from ampbench import files
from ampbench.errors import UsageError
from ampbench.interfaces.executor import Limits
from ampbench.running.child import Completed, OutOfMemory, Send, child_main
from ampbench.running.preload import ALWAYS, OWNER, PRELOAD

POLL_INTERVAL = 0.2
"""Seconds between two checks of the clock and of the stop request."""
MAX_START_SECONDS = 300.0
"""Time limit of the start of a child; the first child waits until the fork server has imported all modules."""
MAX_READ_BYTES = 2**20
"""Bytes at the end of an output in which its last words are looked for."""
MAX_OUTPUT = 4000
"""Characters of a child's output that are kept with a failure."""
SIGNALS_FROM_OUTSIDE = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
"""Signals from other processes, or from the system when memory is short."""


class Stop(Protocol):
    """A request to stop, such as a :class:`threading.Event`."""

    def is_set(self) -> bool:
        """Return whether the job should stop."""


class Stopped(Exception):  # noqa: N818 — not an error
    """The job was stopped from outside."""


@dataclass(frozen=True)
class Ending:
    """The end of a child before its work was complete.

    Attributes:
        kind: one of :data:`ampbench.results.record.FAILURES`.
        message: the reason, on one line.
    """

    kind: str
    message: str


class Clock:
    """The time limit of each step of a child: of its start, and of every step that it reports.

    Arguments:
        allowed: seconds for each step after the start; None for no limit.
    """

    def __init__(self, allowed: float | None) -> None:
        self._allowed: float | None = MAX_START_SECONDS
        self._then = allowed
        self._step: object = None
        self._activity = "the start of its worker process"
        self._since = time.monotonic()  # not wall-clock time, which may jump
        self._interrupted: tuple[float, str, float | None] | None = None

    def step(self, step: object, doing: str) -> None:
        """Set the step of the child; the time of a new step begins now."""
        if step != self._step:
            self._since = time.monotonic()
        self._step, self._activity, self._allowed = step, doing, self._then

    def interrupt(self, doing: str, allowed: float) -> None:
        """Interrupt the step by something with a time limit of its own, which may follow another interruption."""
        now = time.monotonic()
        if self._interrupted is None:
            self._interrupted = (now - self._since, self._activity, self._allowed)
        self._since, self._activity, self._allowed = now, doing, allowed

    def resume(self) -> None:
        """Go on with the interrupted step, if there is one."""
        if self._interrupted is not None:
            spent, self._activity, self._allowed = self._interrupted
            self._since, self._interrupted = time.monotonic() - spent, None

    def late(self) -> str:
        """Return a message if the step has exceeded its time limit, or else ""."""
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
    needs_main: bool = True,
) -> Ending | None:
    """Run ``work`` in a child process until it ends.

    Arguments:
        work: called in the child with a function that sends messages; work and messages must be picklable.
        limits: threads and memory of the child; the clock limits its time.
        output: the file for standard output and standard error of the child.
        on_message: called with each message; it sets the steps of the clock.
        clock: the time limits.
        stop: when it is set, the child is killed and :class:`Stopped` raised.
        needs_main: whether the child imports the main module, of which ``work`` may have functions. A script that calls
            this function at its top level would call it again in the child.

    Returns:
        None if the work is complete, else how the child ended.

    Raises:
        AmpbenchError: the one that ``work`` raised; any other exception ends the child.
    """
    receiver, sender = multiprocessing.Pipe(duplex=False)
    child = multiprocessing.get_context("forkserver").Process(
        target=child_main, args=(work, limits, output, sender), name="ampbench worker"
    )
    try:
        try:
            _SERVER.start(child, needs_main)
        except (OSError, EOFError) as error:  # the fork server is gone; the next start makes a new one
            ending: Ending | None = Ending("killed", f"no worker process could be started: {error}")
        else:
            sender.close()
            ending = _follow(child, receiver, on_message, clock, stop)
    finally:
        receiver.close()
        _kill(child)
    if ending and ending.kind == "killed":
        # what ends a worker, such as a cluster at a time limit, may be ending this process too
        time.sleep(POLL_INTERVAL)
        if stop.is_set():
            raise Stopped
    return ending


class _Server:
    """The fork server: its preloaded modules, and the number of threads of its libraries."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # the environment belongs to all threads
        self._environment: Mapping[str, str] = {}
        self.prepare((), 1)

    def prepare(self, modules: Iterable[str], threads: int) -> None:
        """Set modules and threads of the next fork server; a running one does not change."""
        names = ["ampbench.running.worker", "sklearn.neural_network", *ALWAYS, *modules]
        limits = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
        self._environment = {PRELOAD: ",".join(names), **dict.fromkeys(limits, str(threads))}

    def start(self, child: ForkServerProcess | None = None, needs_main: bool = True) -> None:
        """Start a child, and before it the fork server if none is running."""
        path = os.pathsep.join(each or os.getcwd() for each in sys.path)  # the server must find what this process does
        main = nullcontext() if needs_main else _without_main()
        environment = {**self._environment, OWNER: str(os.getpid()), "PYTHONPATH": path}
        with self._lock, main, _environment(environment):
            multiprocessing.set_forkserver_preload(["ampbench.running.preload"])
            resource_tracker.ensure_running()  # it unblocks SIGINT
            with _without_ctrl_c():
                _ensure_running()
            if child:
                child.start()


def _ensure_running() -> None:
    """Start the fork server if none is running; raises :class:`UsageError` if its socket cannot have a name."""
    try:
        forkserver.ensure_running()
    except OSError as error:
        if "AF_UNIX" not in str(error):
            raise
        raise UsageError(
            f"no worker process can be started: the path of the folder for temporary files, {tempfile.gettempdir()}, "
            "has more than 75 characters, so that no socket can have a name in it; set TMPDIR to a shorter path"
        ) from error


_SERVER = _Server()


def start_server(modules: Iterable[str], threads: int) -> None:
    """Start the fork server, which imports modules in the background; later calls have no effect while it runs."""
    _SERVER.prepare(modules, threads)
    _SERVER.start()


def _follow(
    child: ForkServerProcess, receiver: Connection, on_message: Callable[[Any], None], clock: Clock, stop: Stop
) -> Ending | None:
    """Pass the messages of a child on until it ends."""
    complete = short = False
    sources: list[Connection | int] = [receiver, child.sentinel]
    while True:
        ready = connection.wait(sources, timeout=POLL_INTERVAL)
        if receiver in ready:
            try:
                message = receiver.recv()
            except (EOFError, OSError):  # it has ended, or closed the pipe
                sources.remove(receiver)
            else:
                match message:
                    case Completed(error) if error:
                        raise error
                    case Completed():
                        complete = True
                    case OutOfMemory():
                        short = True
                    case _:
                        on_message(message)
                continue
        if stop.is_set():
            raise Stopped
        if late := clock.late():
            return Ending("timeout", late)
        if child.sentinel in ready:
            status = _exit_status(child)
            if complete:
                return None
            return Ending("memory", "its worker process ran out of memory") if short else _cause(status)


def _exit_status(child: ForkServerProcess) -> int | None:
    """Wait for the end of a child; returns its exit status, negative for a signal, or None if the server has gone.

    :attr:`multiprocessing.Process.exitcode` would be 255 in the last case, as if the child had ended itself with it.
    """
    try:
        status: int | None = forkserver.read_signed(child.sentinel)
    except (OSError, EOFError):
        status = None
    child.join()
    return status


def _cause(status: int | None) -> Ending:
    """Return the kind of failure and the message for the exit status of a child whose work was not complete."""
    if status is None:
        return Ending("killed", "its worker process was lost")
    if status >= 0:
        return Ending("crashed", f"its worker process ended itself with exit status {status}")
    name = signal.Signals(-status).name if -status in set(signal.Signals) else f"signal {-status}"
    if -status in SIGNALS_FROM_OUTSIDE:
        return Ending(
            "killed", f"its worker process was killed by {name}, by hand or by the system when memory is short"
        )
    return Ending("crashed", f"its worker process crashed with {name}")


def last_output(output: Path) -> str:
    """Return the end of a child's output, which after a crash shows where it crashed."""
    with suppress(OSError):
        text = files.read_end(output, MAX_READ_BYTES).decode(errors="replace")
        before, modules, after = text.rpartition("\nExtension modules:")  # where faulthandler tells no more
        text = before if modules else after
        return text[-MAX_OUTPUT:]
    return ""


def _kill(child: ForkServerProcess) -> None:
    """Kill a child and the processes that it started."""
    if child.pid is not None and child.is_alive():
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
        child.kill()
        child.join()


@contextmanager
def _without_main() -> Iterator[None]:
    """Put an empty module in the place of the main module, which multiprocessing would let a new child import."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


@contextmanager
def _without_ctrl_c() -> Iterator[None]:
    """Block SIGINT in this thread, and in processes that it starts: Ctrl-C in a terminal would reach their imports."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


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
