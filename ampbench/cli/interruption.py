"""A request to end is an interruption: SIGTERM, which clusters and containers send, stops a command as Ctrl-C does.

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
    """SIGTERM has come; whoever cleans up after Ctrl-C does so now."""


def how(interruption: KeyboardInterrupt) -> tuple[str, int]:
    """Return in a word how an interruption ends a command, and the exit code that a shell would give it."""
    return ("terminated", 143) if isinstance(interruption, Terminated) else ("interrupted", 130)


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise :class:`Terminated` in the main thread when SIGTERM comes; in another thread do nothing.

    A second SIGTERM is passed over, since it would cut the cleaning up short; SIGKILL comes after a while anyway.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def terminate(number: int, frame: FrameType | None) -> None:
        # not SIG_IGN, which programs started now would inherit
        signal.signal(signal.SIGTERM, lambda number, frame: None)
        raise Terminated

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
