"""The child's side of :mod:`ampbench.running.process`: limits, output, and how a child ends.

References:
    *getrlimit(2)*, Linux manual pages, https://man7.org/linux/man-pages/man2/getrlimit.2.html
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

from ampbench.errors import AmpbenchError
from ampbench.interfaces.executor import Limits
from ampbench.running.guardian import adopt_orphans, end_with_parent
from ampbench.threads import limited_threads

GIBIBYTE = 2**30
STEP_INTERVAL = 0.2
"""Seconds between two messages about the progress of a step."""
Send = Callable[[Any], None]
"""Sends a message to the parent; it must be picklable."""


@dataclass(frozen=True)
class Completed:
    """The last message of a child.

    Attributes:
        error: what its work raised, if that concerns every job, or None.
    """

    error: AmpbenchError | None = None


@dataclass(frozen=True)
class OutOfMemory:
    """The last message of a child that has no memory left, not even to report what it did."""


def child_main(work: Callable[[Send], None], limits: Limits, output: Path, sender: Connection) -> None:
    """Do the work of a child process, under its limits.

    Arguments:
        work: called with a function that sends messages to the parent.
        limits: threads and memory.
        output: the file that takes standard output and standard error.
        sender: the child's end of the pipe.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C means
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # that of the fork server is its own
    with suppress(PermissionError):
        os.setsid()  # so that what a plugin starts can be ended with it
    end_with_parent(signal.SIGKILL)
    adopt_orphans()
    _let_server_end()
    _redirect(output)
    _limit_memory(limits.memory)

    out_of_memory = ForkingPickler.dumps(OutOfMemory())  # while there is memory

    def send(message: Any) -> None:
        try:
            sender.send(message)
        except OSError:  # the parent has gone; the plugin that reports progress must not get the error
            os._exit(1)

    try:
        with limited_threads(limits.threads):
            work(send)
    except AmpbenchError as error:
        sender.send(Completed(error))
    except MemoryError as error:
        error.__traceback__ = None  # its frames hold the objects that filled the memory
        sender.send_bytes(out_of_memory)
        os._exit(1)
    else:
        sender.send(Completed())


def _let_server_end() -> None:
    """Close the pipe by which the fork server knows that its owner lives: every child is handed its write end."""
    server: Any = forkserver._forkserver
    if server._forkserver_alive_fd is not None:
        os.close(server._forkserver_alive_fd)
        server._forkserver_alive_fd = None


def _redirect(path: Path) -> None:
    """Redirect standard output and standard error, crash reports included, to a file."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    except OSError:  # the results directory cannot be written, which the store reports
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

        limit, (_, allowed) = int(gibibytes * GIBIBYTE), resource.getrlimit(resource.RLIMIT_DATA)
        if allowed != resource.RLIM_INFINITY:
            limit = min(limit, allowed)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
