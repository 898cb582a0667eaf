"""Events of a sweep, as frozen values, and the listeners that are called with them.

The display of the command line, the log files and the heartbeat are listeners. A worker process sends its events to its
parent through a pipe.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ampbench.results import Record, Run


@dataclass(frozen=True)
class Fitting:
    """A fit is going on. Its first event has 0 of 0 steps; methods that do not report progress have no other."""

    run: Run
    done: int = 0
    total: int = 0


@dataclass(frozen=True)
class Sampling:
    """The posterior is being sampled."""

    run: Run


@dataclass(frozen=True)
class Measuring:
    """Reference samples are being drawn, a metric or the checks of the failure atlas computed.

    Attributes:
        run: the run.
        what: the metric's name, or what else is computed.
    """

    run: Run
    what: str


@dataclass(frozen=True)
class Finished:
    """A run has ended, and its record is stored."""

    record: Record


@dataclass(frozen=True)
class Note:
    """A message for the user."""

    text: str


Event = Fitting | Sampling | Measuring | Finished | Note
Listener = Callable[[Event], None]
"""Called with each event, from one thread at a time."""


def both(first: Listener, second: Listener) -> Listener:
    """Return a listener that calls two listeners."""

    def call_both(event: Event) -> None:
        first(event)
        second(event)

    return call_both
