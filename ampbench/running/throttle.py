"""Throttling: at most one notice per interval."""

from __future__ import annotations

import math
import time


class Throttle:
    """Says when the next notice is due.

    Arguments:
        seconds: the shortest interval between two notices.

    Example:
        >>> throttle = Throttle(60)
        >>> throttle.due(), throttle.due()
        (True, False)
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._next = -math.inf

    def due(self) -> bool:
        """Return whether a notice is due; if it is, the next interval begins."""
        if time.monotonic() < self._next:
            return False
        self.restart()
        return True

    def restart(self) -> None:
        """Begin an interval, because a notice was given."""
        self._next = time.monotonic() + self._seconds
