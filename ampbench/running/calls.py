"""Calls of a function in a child process: its return value, progress, and a time limit for each step."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import TypeVar

from ampbench.errors import AmpbenchError
from ampbench.faults import pass_interruption
from ampbench.interfaces import Limits, Progress, silent
from ampbench.running.child import STEP_INTERVAL, Send
from ampbench.running.failures import describe_with_line
from ampbench.running.process import Clock, Stop, last_output, run_in_child
from ampbench.running.throttle import Throttle

T = TypeVar("T")
StartStep = Callable[[str], Progress]
"""Called with the name of a step when it begins; returns the function that is called with its progress."""


class CallError(AmpbenchError):
    """A call in a child process returned nothing; the message says why.

    Attributes:
        output: the end of what the process printed, or where it crashed.
    """

    def __init__(self, message: str, output: str = "") -> None:
        super().__init__(message)
        self.output = output


def call_in_child(
    work: Callable[[StartStep], T],
    limits: Limits,
    progress: Progress = silent,
    stop: Stop | None = None,
    needs_main: bool = True,
) -> T:
    """Call a function in a child process.

    Arguments:
        work: picklable; it names its steps, each of which may take the time of the limits.
        limits: what the process may use; a killed one is not started again.
        progress: called with the progress of each step.
        stop: when it is set, the child is killed and :class:`ampbench.running.process.Stopped` raised.
        needs_main: see :func:`ampbench.running.process.run_in_child`.

    Returns:
        What ``work`` returns, which is pickled on the way.

    Raises:
        CallError: it raised, hung, or ended its process.
    """
    clock = Clock(limits.seconds)
    answers: list[_Returned | _Raised] = []

    def on_message(message: object) -> None:
        match message:
            case _Step(name, done, total):
                clock.step(name, name)
                progress(done, total)
            case _Returned() | _Raised():
                answers.append(message)

    with _output() as output:
        stop = stop or threading.Event()
        ending = run_in_child(partial(_answer, work), limits, output, on_message, clock, stop, needs_main)
        printed = last_output(output)
    if ending:
        raise CallError(ending.message, printed)
    (answer,) = answers
    if isinstance(answer, _Raised):
        raise CallError(answer.message, printed)
    value: T = answer.value  # type: ignore[assignment]
    return value


@contextmanager
def _output() -> Iterator[Path]:
    """Return the path of a new file for the output of a child; on Linux it has no name, so that no kill leaves it."""
    if sys.platform == "linux":
        with TemporaryFile() as file:
            yield Path(f"/proc/{os.getpid()}/fd/{file.fileno()}")
    else:
        with TemporaryDirectory(prefix="ampbench-") as folder:
            yield Path(folder) / "output"


@dataclass(frozen=True)
class _Step:
    """A child has begun a step, or is some way through it."""

    name: str
    done: int = 0
    total: int = 0


@dataclass(frozen=True)
class _Returned:
    """The value that the work returned."""

    value: object


@dataclass(frozen=True)
class _Raised:
    """The text of the exception that the work raised."""

    message: str


def _answer(work: Callable[[StartStep], object], send: Send) -> None:
    """Do the work in the child, and send what it returned or raised."""

    def start(name: str) -> Progress:
        throttle = Throttle(STEP_INTERVAL)

        def progress(done: int, total: int) -> None:
            if throttle.due() or done == total:
                send(_Step(name, done, total))

        send(_Step(name))
        return progress

    try:
        answer: _Returned | _Raised = _Returned(work(start))
    except BaseException as error:
        pass_interruption(error)
        answer = _Raised(describe_with_line(error))
    send(answer)
