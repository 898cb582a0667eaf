"""Ctrl-C, SIGTERM of clusters and containers, SIGHUP of a closed terminal: one line, and the exit code of a shell.

================================  =======================================================================
before and after a command        the process ends at once
in a command that imports         the process ends at once: there is nothing to clean up yet, and libraries
modules                           turn an exception in their imports into other ones
in a command                      an exception, which ends the command
in :func:`interruptible`          an exception, which the command handles
================================  =======================================================================

The exit codes are 130, 143 and 129. A signal that is ignored from the start, as in the background of a shell or by
nohup, stays ignored. This module imports little, so that it is there early.

References:
    *signal(7)*, Linux manual pages, https://man7.org/linux/man-pages/man7/signal.7.html
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from ampbench.faults import watched_interruptions

ENDING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
"""The signals that other processes send to end a command."""
SIGNALS = (signal.SIGINT, *ENDING)


class Terminated(KeyboardInterrupt):
    """Raised on SIGTERM and SIGHUP; a KeyboardInterrupt, so that clean-up after Ctrl-C also runs after them.

    Arguments:
        number: the signal.
    """

    def __init__(self, number: int = signal.SIGTERM) -> None:
        super().__init__()
        self.number = number


def exit_status(interruption: KeyboardInterrupt) -> tuple[str, int]:
    """Return a word for an interruption (terminated or interrupted), and the conventional exit code of a shell."""
    if isinstance(interruption, Terminated):
        return "terminated", 128 + interruption.number
    return "interrupted", 130


def end(interruption: KeyboardInterrupt) -> int:
    """Print that the command was interrupted, in the way that is safe in a signal handler; return its exit code."""
    word, code = exit_status(interruption)
    _leave_lost_terminal()
    os.write(2, f"ampbench: {word}\n".encode())
    return code


def watch() -> None:
    """Handle the signals from now on, until the process has ended."""
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _end_at_once)


@contextmanager
def in_command() -> Iterator[None]:
    """Let the signals end the command with KeyboardInterrupt or :class:`Terminated`; see the table of the module."""
    with _handling(_interrupt_command):
        yield


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise KeyboardInterrupt in the main thread on Ctrl-C, :class:`Terminated` on SIGTERM and SIGHUP.

    It has no effect in other threads. A second SIGTERM or SIGHUP is ignored, since it would interrupt the clean-up;
    schedulers send SIGKILL after a delay anyway.
    """
    with _handling(_interrupt):
        yield


@contextmanager
def _handling(raising: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    changed = {number: old for number, old in before.items() if old not in (signal.SIG_IGN, None)}
    with watched_interruptions() as arrived:

        def handle(number: int, frame: FrameType | None) -> None:
            arrived()
            raising(number, frame)

        for number in changed:
            signal.signal(number, handle)
        try:
            yield
        finally:
            for number, old in changed.items():
                signal.signal(number, old)


def _end_at_once(number: int, frame: FrameType | None) -> None:
    os._exit(end(_exception(number)))


def _interrupt(number: int, frame: FrameType | None) -> None:
    if number in ENDING:
        for each in ENDING:
            if signal.getsignal(each) is not signal.SIG_IGN:
                signal.signal(each, _ignore)
        _leave_lost_terminal()
    raise _exception(number)


def _interrupt_command(number: int, frame: FrameType | None) -> None:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            _end_at_once(number, frame)
        frame = frame.f_back
    _interrupt(number, frame)


def _ignore(number: int, frame: FrameType | None) -> None:
    """Do nothing; SIG_IGN would be inherited by child processes."""


def _exception(number: int) -> KeyboardInterrupt:
    return Terminated(number) if number in ENDING else KeyboardInterrupt()


def _leave_lost_terminal() -> None:
    """Let output go nowhere if its terminal was closed, where each write would raise an error."""
    for stream in (1, 2):
        try:
            os.write(stream, b"")
        except OSError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream)
            os.close(nowhere)
