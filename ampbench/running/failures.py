"""Failures: why a run, or a fit of an assessment, has no result."""

from __future__ import annotations

import sysconfig
import traceback
from dataclasses import dataclass
from pathlib import Path

import torch

from ampbench.errors import AmpbenchError, SamplesError

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


def failure(error: BaseException) -> Failure:
    """Return the failure that an exception means."""
    return Failure(_kind(error), describe(error), "".join(traceback.format_exception(error)))


def describe(error: BaseException) -> str:
    """Return on one line what an exception says; one that was not raised on purpose is named by its type."""
    text = " ".join(str(error).split())
    return text if text and isinstance(error, AmpbenchError) else f"{type(error).__name__}: {text}"


def describe_with_line(error: BaseException) -> str:
    """Return :func:`describe`'s text and, unless the exception was raised on purpose, the line of code that raised it.

    It is the innermost line that belongs to no installed package: most likely it is the user's.
    """
    if isinstance(error, AmpbenchError):
        return describe(error)
    libraries = tuple(sysconfig.get_paths()[name] for name in ("stdlib", "purelib", "platlib"))
    frames = traceback.extract_tb(error.__traceback__)
    own = [each for each in frames if not each.filename.startswith(libraries)] or frames
    where = f" ({Path(own[-1].filename).name}, line {own[-1].lineno}, in {own[-1].name})" if own else ""
    return describe(error) + where


def _kind(error: BaseException) -> str:
    if isinstance(error, SamplesError):
        return "invalid-samples"
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return "memory"
    return "memory" if any(text in str(error) for text in OUT_OF_MEMORY_TEXTS) else "error"
