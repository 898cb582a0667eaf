r"""Unbiased squared maximum mean discrepancy, with one Gaussian kernel whose bandwidth is the median distance.

Both sets are z-scored by the reference. The expectation is 0 if the distributions agree; single values may be slightly
negative.

References:
    Gretton et al. 2012, *A kernel two-sample test*, JMLR 13.
"""

from __future__ import annotations

from typing import final

from torch import Tensor

from ampbench.interfaces import Measurement, Metric
from ampbench.metrics.checks import standardised
from ampbench.metrics.uncertainty import block_error
from ampbench.statistics.kernels import median_distance, unbiased_mmd2


@final
class MMD(Metric):
    """Unbiased MMD² with the median heuristic, on the samples' device."""

    def measure(self, samples: Tensor, reference: Tensor) -> Measurement:
        """Return the estimate of MMD², with its standard error."""
        q, p = standardised("mmd", samples, reference, min_size=4)
        width = median_distance(p, q, most=1000)

        def unbiased(p: Tensor, q: Tensor) -> Tensor:
            return unbiased_mmd2(p, q, [width], paired=False)

        return Measurement(
            float(unbiased(p, q)),
            {
                "version": "1",
                "kernel": "gaussian",
                "bandwidth": float(width),
                "z_score": "reference",
                "estimator": "unbiased squared",
                "n_samples": len(samples),
                "n_reference": len(reference),
                "standard_error": block_error(unbiased, p, q),
            },
        )
