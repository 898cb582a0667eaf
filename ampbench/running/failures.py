"""Failures: why a run, or a fit of an assessment, has no result."""

from __future__ import annotations

import sysconfig
import traceback
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import torch

from ampbench.errors import AmpbenchError, SamplesError
from ampbench.faults import MAX_MESSAGE, MAX_TRACEBACK, describe, message, shortened, trace, traceback_of
from ampbench.registry import Plugin

OUT_OF_MEMORY_TEXTS = ("can't allocate memory", "not enough memory")
"""Texts of the RuntimeError by which torch reports a lack of memory on the CPU."""


@dataclass(frozen=True)
class Failure:
    """Why there is no result.

    Attributes:
        kind: one of :data:`ampbench.results.record.FAILURES`.
        message: on one line.
        traceback: where the error was raised.
    """

    kind: str
    message: str
    traceback: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "message", shortened(self.message, MAX_MESSAGE))
        object.__setattr__(self, "traceback", shortened(self.traceback, MAX_TRACEBACK))


def failure(error: BaseException, plugins: Iterable[Plugin] = ()) -> Failure:
    """Return the failure that an exception means.

    Arguments:
        error: the exception.
        plugins: the one whose code raised it is named, unless the exception was raised on purpose.
    """
    culprit = None if issubclass(type(error), AmpbenchError) else _culprit(traceback_of(error), plugins)
    return Failure(_kind(error), describe(error) + (f" (raised in plugin {culprit})" if culprit else ""), trace(error))


def describe_with_line(error: BaseException) -> str:
    """Return :func:`ampbench.faults.describe`'s text and, unless the exception was raised on purpose, where it was.

    That is the innermost line that belongs to no installed package: most likely it is the user's.
    """
    if issubclass(type(error), AmpbenchError):
        return describe(error)
    libraries = tuple(sysconfig.get_paths()[name] for name in ("stdlib", "purelib", "platlib"))
    frames = traceback.extract_tb(traceback_of(error))
    own = [each for each in frames if not each.filename.startswith(libraries)] or frames
    where = f" ({Path(own[-1].filename).name}, line {own[-1].lineno}, in {own[-1].name})" if own else ""
    return describe(error) + where


def _kind(error: BaseException) -> str:
    kind = type(error)
    if issubclass(kind, SamplesError):
        return "invalid-samples"
    if issubclass(kind, MemoryError | torch.OutOfMemoryError):
        return "memory"
    return "memory" if any(text in message(error) for text in OUT_OF_MEMORY_TEXTS) else "error"


def _culprit(trace: TracebackType | None, plugins: Iterable[Plugin]) -> Plugin | None:
    """Return the plugin in whose package an exception was raised: of several, the one that was called last."""
    owners = {plugin.package: plugin for plugin in plugins if plugin.package != "ampbench"}  # it calls all others
    found = None
    while trace is not None:
        found = owners.get(str(trace.tb_frame.f_globals.get("__name__")).partition(".")[0], found)
        trace = trace.tb_next
    return found
