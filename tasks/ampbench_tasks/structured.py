"""Base class of the structured tasks: missing observations, irregular times, golden statistics.

The graphs of these tasks have several latent variables, and their sizes are options. A pattern of missing observations,
or of irregular times, is part of a task's definition: it comes from a fixed seed, so that a spec determines its task.
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
"""Seed of every pattern of missing observations and of every irregular grid of times."""


class Structured(Task, HasReference, HasLikelihood, HasGolden):
    """A task whose graph depends on options; golden statistics exist for the default ones.

    Attributes:
        folder: folder of its golden statistics.
    """

    folder: ClassVar[str]

    def __init__(self, **options: float) -> None:
        self._options = options

    def golden(self) -> Golden:
        """Return the statistics of an independent implementation in numpy.

        Raises:
            UsageError: an option differs from its default.
        """
        for name, parameter in signature(type(self)).parameters.items():
            if self._options[name] != parameter.default:
                raise UsageError(
                    f"task {self.folder} has golden statistics for its default options only: {name} is "
                    f"{self._options[name]}, the default is {parameter.default}; verify {self.folder} without options"
                )
        return packaged.golden(self.folder)


def kept(count: int, missing: float) -> tuple[int, ...]:
    """Return the indices of the observations, of ``count``, that are not missing, in ascending order.

    ``missing`` is the share of missing observations, in [0, 1); at least one observation is left.
    """
    gone = min(round(missing * count), count - 1)
    order = np.random.RandomState(PATTERN_SEED).permutation(count)
    return tuple(sorted(int(i) for i in order[gone:]))
