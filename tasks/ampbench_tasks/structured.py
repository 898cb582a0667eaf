"""What the structured tasks have in common: checked options, missing observations, golden statistics.

Their graphs have several latent variables, and their sizes are options. A pattern of missing observations, or of
irregular times, is part of a task's definition: it comes from a fixed seed, so that one spec is one task.
"""

from __future__ import annotations

from inspect import signature
from typing import ClassVar

import numpy as np

from ampbench.errors import UsageError
from ampbench.interfaces import HasGolden, HasLikelihood, HasReference, Task
from ampbench.interfaces.golden import Golden
from ampbench_tasks import packaged

PATTERN_SEED = 20160
"""Of every missing pattern and of every irregular grid of times."""


class Structured(Task, HasReference, HasLikelihood, HasGolden):
    """A task whose graph depends on options; golden statistics exist for the default ones.

    Attributes:
        folder: where its golden statistics are.
    """

    folder: ClassVar[str]

    def __init__(self, **options: float) -> None:
        self._options = options

    def golden(self) -> Golden:
        """The statistics of an independent implementation in numpy; raises UsageError unless options are default."""
        for name, parameter in signature(type(self)).parameters.items():
            if self._options[name] != parameter.default:
                raise UsageError(
                    f"task {self.folder} has golden statistics for its default options only: {name} is "
                    f"{self._options[name]}, the default is {parameter.default}; verify {self.folder} without options"
                )
        return packaged.golden(self.folder)


def at_least(name: str, value: int, least: int) -> int:
    """Return an option's value; raises :class:`UsageError` if it is below the least possible one."""
    if value < least:
        raise UsageError(f"option {name} is {value}, but at least {least} is needed; write {name}={least} or more")
    return value


def share(name: str, value: float) -> float:
    """Return an option that is a share; raises :class:`UsageError` if it is not at least 0 and below 1."""
    if not 0 <= value < 1:
        raise UsageError(f"option {name} is {value}, but a share of at least 0 and below 1 is needed; try {name}=0.5")
    return value


def kept(count: int, missing: float) -> tuple[int, ...]:
    """Return which of ``count`` observations are there, in ascending order, if a share is missing; at least one is."""
    gone = min(round(share("missing", missing) * count), count - 1)
    order = np.random.RandomState(PATTERN_SEED).permutation(count)
    return tuple(sorted(int(i) for i in order[gone:]))
