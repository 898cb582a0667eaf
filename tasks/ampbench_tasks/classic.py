"""What the ten classic tasks have in common: everything about them is published or shipped.

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
        folder: where its observations and golden statistics are.
        samples_folder: where its reference samples are; two tasks may have the same posteriors.
    """

    folder: ClassVar[str]
    samples_folder: ClassVar[str]

    def observations(self) -> Mapping[int, Observation]:
        """The ten published observations."""
        return packaged.observations(self.folder)

    def golden(self) -> Golden:
        """The statistics of an independent implementation in numpy."""
        return packaged.golden(self.folder)

    def shipped_reference(self, number: int) -> Tensor:
        """The stored 10,000 posterior samples of a published observation, shape (10000, D)."""
        self.numbered(number)
        return packaged.reference(self.samples_folder, number)
