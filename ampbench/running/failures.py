"""Failures: why a run, or a fit of an assessment, has no result."""

from __future__ import annotations

import sysconfig
import traceback
from dataclasses import dataclass
from pathlib import Path

import torch

from ampbench.errors import AmpbenchError, SamplesError
from ampbench.faults import MAX_MESSAGE, MAX_TRACEBACK, describe, message, shortened, trace, traceback_of
from ampbench.registry import culprit

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


def failure(error: BaseException) -> Failure:
    """Return the failure that an exception means; it names the plugin whose code raised what was not on purpose."""
    plugin = None if issubclass(type(error), AmpbenchError) else culprit(error)
    told = f" (raised in plugin {plugin})" if plugin else ""
    return Failure(_kind(error), describe(error) + told, trace(error))


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
