"""Handling of SIGTERM, which clusters and containers send, and of SIGHUP, which says that the terminal was closed.

Both interrupt a command like Ctrl-C.

References:
    *signal(7)*, Linux manual pages, https://man7.org/linux/man-pages/man7/signal.7.html
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

NUMBERS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
"""The signals that end a command."""


class Terminated(KeyboardInterrupt):
    """Raised on a signal; a KeyboardInterrupt, so that clean-up after Ctrl-C also runs after the signal.

    Arguments:
        number: of the signal.
    """

    def __init__(self, number: int = signal.SIGTERM) -> None:
        super().__init__(number)
        self.number = number


def exit_status(interruption: KeyboardInterrupt) -> tuple[str, int]:
    """Return a word for an interruption (terminated or interrupted), and the conventional exit code of a shell."""
    if isinstance(interruption, Terminated):
        return "terminated", 128 + interruption.number
    return "interrupted", 130


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise :class:`Terminated` in the main thread on SIGTERM or SIGHUP; has no effect in other threads.

    A signal that was ignored before stays ignored, as nohup wants it. A second signal has no effect, since it would
    interrupt the clean-up; schedulers send SIGKILL after a delay anyway.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    found = {each: signal.getsignal(each) for each in NUMBERS}
    before = {each: handler for each, handler in found.items() if handler not in (signal.SIG_IGN, None)}

    def terminate(number: int, frame: FrameType | None) -> None:
        for each in before:  # not SIG_IGN, which child processes would inherit
            signal.signal(each, lambda number, frame: None)
        _leave_lost_terminal()
        raise Terminated(number)

    for each in before:
        signal.signal(each, terminate)
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _leave_lost_terminal() -> None:
    """Let output go nowhere if its terminal was closed, where each write would raise an error."""
    for stream in (1, 2):
        try:
            os.write(stream, b"")
        except OSError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream)
            os.close(nowhere)
