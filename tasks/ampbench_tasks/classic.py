"""Base class of the ten classic tasks, whose observations, statistics and reference samples are shipped.

References:
    Lueckmann et al. 2021, *Benchmarking simulation-based inference*, arXiv:2101.04653.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor

from ampbench.interfaces import HasGolden, HasLikelihood, HasReference, Observation, ShipsReference, Task
from ampbench.interfaces.golden import Golden
from ampbench_tasks import packaged


class Classic(Task, HasReference, HasLikelihood, HasGolden, ShipsReference):
    """A task of Lueckmann et al. 2021.

    Attributes:
        folder: folder of its observations and golden statistics.
        samples_folder: folder of its reference samples; tasks with equal posteriors share one.
    """

    folder: ClassVar[str]
    samples_folder: ClassVar[str]

    def observations(self) -> Mapping[int, Observation]:
        """Return the ten published observations by number."""
        return packaged.observations(self.folder)

    def golden(self) -> Golden:
        """Return the statistics of an independent implementation in numpy."""
        return packaged.golden(self.folder)

    def shipped_reference(self, number: int) -> Tensor:
        """Return the stored 10,000 posterior samples of a published observation, shape (10000, D)."""
        self.numbered(number)
        return packaged.reference(self.samples_folder, number)
