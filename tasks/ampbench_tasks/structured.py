"""Base classes of the structured tasks: missing observations, irregular times, golden statistics, stored samples.

The graphs of these tasks have several latent variables, and their sizes are options. A pattern of missing observations,
or of irregular times, is part of a task's definition: it comes from a fixed seed, so that a spec determines its task.
"""

from __future__ import annotations

from collections.abc import Mapping
from inspect import signature
from typing import ClassVar

import numpy as np
from torch import Tensor

from ampbench.errors import UsageError
from ampbench.interfaces import HasGolden, HasLikelihood, HasReference, Observation, ShipsReference, Task
from ampbench.interfaces.golden import Golden
from ampbench_tasks import packaged

PATTERN_SEED = 20160
"""Seed of every pattern of missing observations and of every irregular grid of times."""


class Sized(Task, HasLikelihood, HasGolden):
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
        self.require_defaults("golden statistics")
        return packaged.golden(self.folder)

    def require_defaults(self, what: str) -> None:
        """Raise :class:`UsageError` if an option differs from its default; ``what`` exists for the defaults only."""
        for name, parameter in signature(type(self)).parameters.items():
            if self._options[name] != parameter.default:
                raise UsageError(
                    f"task {self.folder} has {what} for its default options only: {name} is "
                    f"{self._options[name]}, the default is {parameter.default}; verify {self.folder} without options"
                )


class Structured(Sized, HasReference):
    """A task of :class:`Sized` whose posterior can be drawn for any observation."""


class Stored(Sized, ShipsReference):
    """A task of :class:`Sized` whose posterior is known by stored samples of its numbered observations only.

    The numbered observations are stored too, since the samples belong to these values, whatever the random number
    generator draws. Both exist for the default options only.
    """

    def example(self, number: int) -> Observation:
        """Return the observation that is stored as a number: by default the simulation of the seed ``number``."""
        return self.observation(number)

    def observations(self) -> Mapping[int, Observation]:
        """Return the stored observations; with other than the default options, simulations of the seeds 1 to 10."""
        try:
            self.require_defaults("stored observations")
        except UsageError:
            return super().observations()
        return packaged.observations(self.folder)

    def shipped_reference(self, number: int) -> Tensor:
        """Return the stored samples of a numbered observation, shape (2000, D).

        Raises:
            UsageError: an option differs from its default, or there is no such observation.
        """
        self.require_defaults("stored samples")
        self.numbered(number)
        return packaged.reference(self.folder, number)


def kept(count: int, missing: float) -> tuple[int, ...]:
    """Return the indices of the observations, of ``count``, that are not missing, in ascending order.

    ``missing`` is the share of missing observations, in [0, 1); at least one observation is left.
    """
    gone = min(round(missing * count), count - 1)
    order = np.random.RandomState(PATTERN_SEED).permutation(count)
    return tuple(sorted(int(i) for i in order[gone:]))
