"""The child's side of :mod:`ampbench.running.process`: limits, output, and how a child ends.

References:
    *getrlimit(2)*, *prctl(2)*, Linux manual pages, https://man7.org/linux/man-pages/man2/getrlimit.2.html
"""

from __future__ import annotations

import ctypes
import faulthandler
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from ampbench.errors import AmpbenchError
from ampbench.interfaces.executor import Limits
from ampbench.threads import limited_threads

GIBIBYTE = 2**30
STEP_INTERVAL = 0.2
"""Seconds between two messages about the progress of a step."""
LOST_STATUS, NO_MEMORY_STATUS = 255, 77
"""Exit statuses: the parent has gone; the child ran out of memory even for its report."""
Send = Callable[[Any], None]
"""Sends a message to the parent; it must be picklable."""


@dataclass(frozen=True)
class Completed:
    """The last message of a child.

    Attributes:
        error: what its work raised, if that concerns every job, or None.
    """

    error: AmpbenchError | None = None


def child_main(work: Callable[[Send], None], limits: Limits, output: Path, sender: Connection) -> None:
    """Do the work of a child process, under its limits.

    Arguments:
        work: called with a function that sends messages to the parent.
        limits: threads and memory.
        output: the file that takes standard output and standard error.
        sender: the child's end of the pipe.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C means
    with suppress(PermissionError):
        os.setsid()  # so that what a plugin starts can be ended with it
    _die_with_parent()
    _redirect(output)
    _limit_memory(limits.memory)

    def send(message: Any) -> None:
        try:
            sender.send(message)
        except OSError:  # the parent has gone; the plugin that reports progress must not get the error
            os._exit(LOST_STATUS)

    try:
        with limited_threads(limits.threads):
            work(send)
    except AmpbenchError as error:
        sender.send(Completed(error))
    except MemoryError as error:
        error.__traceback__ = None  # its frames hold the objects that filled the memory
        os._exit(NO_MEMORY_STATUS)
    else:
        sender.send(Completed())


def _die_with_parent() -> None:
    """End this process as soon as the fork server ends, which ends with the parent, however it ends (Linux)."""
    if sys.platform == "linux":
        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL, 0, 0, 0)


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

        limit = int(gibibytes * GIBIBYTE)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
