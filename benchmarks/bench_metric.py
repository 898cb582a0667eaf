"""Metrics on two sets of samples."""

from __future__ import annotations

import torch

from ampbench.metrics.c2st import C2ST
from ampbench.metrics.mmd import MMD
from ampbench.seeding import seeded


class Metrics:
    """Two sets of 2,000 samples, in 2 and in 10 dimensions."""

    params = (2, 10)
    param_names = ("dimensions",)
    timeout = 300

    def setup(self, dimensions: int) -> None:
        with seeded(0):
            self.samples = torch.randn(2000, dimensions)
            self.reference = torch.randn(2000, dimensions)

    def time_c2st(self, dimensions: int) -> None:
        C2ST().measure(self.samples, self.reference)

    def time_mmd(self, dimensions: int) -> None:
        MMD().measure(self.samples, self.reference)
