"""Faults: exceptions of plugins and of the user's code. They become text here, and are told apart from an interruption.

Such code may raise anything: ``SystemExit``, an exception of its own, one whose text is 50 MB or cannot be had. Whoever
calls it catches ``BaseException`` and begins with :func:`pass_interruption`, so that Ctrl-C is never taken for a fault.
No function here raises what an exception does when it is asked for its text.
"""

from __future__ import annotations

import signal
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType

from ampbench.errors import AmpbenchError

MAX_MESSAGE = 2_000
"""Characters of a message that are kept."""
MAX_TRACEBACK = 20_000
"""Characters of a traceback that are kept."""


class _Watch:
    """The signals that interrupt this process: whether they are watched, and whether one has arrived.

    Attributes:
        watching: whether handlers of ampbench see these signals.
        seen: whether one has arrived.
    """

    watching = False
    seen = False


@contextmanager
def watched_interruptions() -> Iterator[Callable[[], None]]:
    """Within the block, a KeyboardInterrupt counts as a fault until the function that is yielded has been called."""
    before = _Watch.watching, _Watch.seen
    _Watch.watching, _Watch.seen = True, False

    def arrived() -> None:
        _Watch.seen = True

    try:
        yield arrived
    finally:
        _Watch.watching, _Watch.seen = before


def pass_interruption(error: BaseException) -> None:
    """Raise an exception again if it is an interruption by the user or the system, and no fault.

    A KeyboardInterrupt is a fault where no signal can have caused it: in a process that ignores Ctrl-C, as workers do,
    or in a command that was not interrupted.
    """
    ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    if _Watch.seen or not (_Watch.watching or ignored):
        if issubclass(type(error), KeyboardInterrupt):
            raise error
        if _Watch.seen:
            raise KeyboardInterrupt from error


def describe(error: BaseException) -> str:
    """Return on one line what an exception says; one that was not raised on purpose is named by its type."""
    told = message(error)
    return told if told and issubclass(type(error), AmpbenchError) else f"{_name(error)}: {told}"


def named(error: BaseException) -> str:
    """Return type and message of an exception on one line."""
    return f"{_name(error)}: {message(error)}"


def message(error: BaseException) -> str:
    """Return the message of an exception on one line; see :func:`text`."""
    return " ".join(text(error).split())


def text(error: BaseException) -> str:
    """Return the message of an exception; of more than :data:`MAX_MESSAGE` characters the middle is left out."""
    try:
        found = "".join([str(error)])  # of class str itself, since methods of a subclass may raise
    except BaseException as second:
        pass_interruption(second)
        return f"(its text cannot be had: {_name(second)})"
    return shortened(found, MAX_MESSAGE)


def trace(error: BaseException) -> str:
    """Return the traceback of an exception, in which each message and the whole are shortened."""
    try:
        parts = traceback.format_exception(error)
    except BaseException as second:
        pass_interruption(second)
        parts = [*_frames(error), named(error)]
    return shortened("".join(shortened(part, MAX_MESSAGE) for part in parts), MAX_TRACEBACK)


def traceback_of(error: BaseException) -> TracebackType | None:
    """Return the traceback of an exception, which a property of its class may hide."""
    found: TracebackType | None = BaseException.__dict__["__traceback__"].__get__(error)
    return found


def shortened(content: str, limit: int) -> str:
    """Return a text with its middle left out if it is longer than ``limit``, and a mark with the number of characters.

    Example:
        >>> shortened("0123456789", 4)
        '01 … [6 characters left out] … 89'
    """
    left_out = len(content) - 2 * (limit // 2)
    if len(content) <= limit:
        return content
    return f"{content[: limit // 2]} … [{left_out:,} characters left out] … {content[left_out + limit // 2 :]}"


def _name(error: BaseException) -> str:
    """Return the name of an exception's class, which a property of its metaclass may hide."""
    name: str = type.__dict__["__name__"].__get__(type(error))
    return shortened(name, MAX_MESSAGE)


def _frames(error: BaseException) -> list[str]:
    """Return where an exception was raised, if a property of its class hides its traceback or its cause."""
    try:
        return traceback.format_tb(traceback_of(error))
    except Exception:  # of a loader of source code
        return []
