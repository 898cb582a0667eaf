"""Metrics on two sets of samples."""

from __future__ import annotations

import torch

from ampbench.registry import load
from ampbench.seeding import seeded

from .common import Brief


class Metrics(Brief):
    """Two sets of 2,000 samples, in 2 and in 10 dimensions."""

    params = (
        ("c2st", "c2st-early", "c2st-rf", "mmd", "energy-distance", "sliced-wasserstein", "spread"),
        (2, 10),
    )
    param_names = ("metric", "dimensions")

    def setup(self, metric: str, dimensions: int) -> None:
        self.metric = load().build("metrics", metric)
        with seeded(0):
            self.samples = torch.randn(2000, dimensions)
            self.reference = torch.randn(2000, dimensions)

    def time_measure(self, metric: str, dimensions: int) -> None:
        self.metric.measure(self.samples, self.reference)
