"""What can be said about a sweep while it goes on: frozen values, for whoever listens.

The command line's display listens, the log files and the heartbeat do, and what a worker says to its parent is the same
events through a pipe.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ampbench.results import Record, Run


@dataclass(frozen=True)
class Fitting:
    """A fit has done so many of its steps; it begins with 0 of 0, and some methods tell no more."""

    run: Run
    done: int = 0
    total: int = 0


@dataclass(frozen=True)
class Sampling:
    """The posterior is being sampled."""

    run: Run


@dataclass(frozen=True)
class Measuring:
    """The reference is being sampled, or a metric computed."""

    run: Run
    what: str


@dataclass(frozen=True)
class Finished:
    """A run is stored."""

    record: Record


@dataclass(frozen=True)
class Note:
    """Something else happened that the user should know."""

    text: str


Event = Fitting | Sampling | Measuring | Finished | Note
Listener = Callable[[Event], None]
"""Called with each event, from one thread."""


def both(first: Listener, second: Listener) -> Listener:
    """Return two listeners as one."""

    def tell(event: Event) -> None:
        first(event)
        second(event)

    return tell
