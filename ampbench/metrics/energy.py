r"""Unbiased squared energy distance.

.. math:: \mathcal E^2(p, q) = 2\,\mathbb E\|s - t\| - \mathbb E\|s - s'\| - \mathbb E\|t - t'\|

with s, s′ from q and t, t′ from p, both z-scored by the reference, and means over distinct pairs. The expectation is 0
if and only if the distributions agree, and then single values may be negative. The energy distance has no bandwidth; it
is sensitive to large scales, and hardly to fine structure.

References:
    Székely & Rizzo 2013, *Energy statistics: a class of statistics based on distances*, JSPI 143.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from ampbench.interfaces import Measurement, Metric
from ampbench.metrics.checks import standardised
from ampbench.metrics.uncertainty import block_error


@final
class EnergyDistance(Metric):
    """Unbiased squared energy distance, on the samples' device."""

    def measure(self, samples: Tensor, reference: Tensor) -> Measurement:
        """Return the estimate of ℰ², with its standard error."""
        q, p = standardised("energy-distance", samples, reference, min_size=4)
        return Measurement(
            float(_unbiased(q, p)),
            {
                "version": "1",
                "z_score": "reference",
                "estimator": "unbiased squared",
                "n_samples": len(samples),
                "n_reference": len(reference),
                "standard_error": block_error(_unbiased, q, p),
            },
        )


def _unbiased(q: Tensor, p: Tensor) -> Tensor:
    n, m = len(q), len(p)
    return 2 * _sum(q, p) / (n * m) - _sum(q, q) / (n * (n - 1)) - _sum(p, p) / (m * (m - 1))


def _sum(a: Tensor, b: Tensor) -> Tensor:
    """Return the sum of all pairs' distances, in float64, by blocks of rows so that 10,000 samples fit in memory."""
    return torch.stack([torch.cdist(rows, b).sum(dtype=torch.float64) for rows in a.split(1024)]).sum()
