"""Handling of SIGTERM, which clusters and containers send: it interrupts a command like Ctrl-C.

References:
    *signal(7)*, Linux manual pages, https://man7.org/linux/man-pages/man7/signal.7.html
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Terminated(KeyboardInterrupt):
    """Raised on SIGTERM; a KeyboardInterrupt, so that clean-up after Ctrl-C also runs after SIGTERM."""


def exit_status(interruption: KeyboardInterrupt) -> tuple[str, int]:
    """Return a word for an interruption (terminated or interrupted), and the conventional exit code of a shell."""
    return ("terminated", 143) if isinstance(interruption, Terminated) else ("interrupted", 130)


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise :class:`Terminated` in the main thread on SIGTERM; has no effect in other threads.

    A second SIGTERM is ignored, since it would interrupt the clean-up; schedulers send SIGKILL after a delay anyway.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def terminate(number: int, frame: FrameType | None) -> None:
        # not SIG_IGN, which child processes would inherit
        signal.signal(signal.SIGTERM, lambda number, frame: None)
        raise Terminated

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
