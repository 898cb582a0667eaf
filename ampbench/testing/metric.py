"""Conformance of a metric: the properties on which runs rely."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch

from ampbench.errors import AmpbenchError
from ampbench.interfaces import (
    Metric,
)
from ampbench.seeding import seeded


class MetricConformance(ABC):
    """The properties on which runs rely, of a metric that is lowest for equal distributions."""

    @abstractmethod
    def make(self) -> Metric:
        """Make the metric under test."""

    def test_orders_distributions(self) -> None:
        """Samples of one distribution score lower than shifted ones; the value and its provenance are reproducible."""
        with seeded(0):
            reference, same = torch.randn(500, 2), torch.randn(500, 2)
        near, far = self.make().measure(same, reference), self.make().measure(same + 1.5, reference)
        assert near.value < far.value
        assert near == self.make().measure(same, reference)
        assert all(isinstance(value, str | int | float) for value in near.provenance.values())

    def test_refuses_bad_input(self) -> None:
        """NaN, mismatched sizes and empty input give an error, not a number."""
        good = torch.zeros(100, 2)
        for bad in (torch.full((100, 2), torch.nan), torch.zeros(100, 3), torch.zeros(0, 2)):
            try:
                self.make().measure(bad, good)
            except AmpbenchError:
                continue
            raise AssertionError(f"samples of shape {tuple(bad.shape)} were not refused")
