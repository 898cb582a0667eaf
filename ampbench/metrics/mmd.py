r"""Maximum mean discrepancy, squared, unbiased, with one Gaussian kernel as wide as the median distance.

Both sets are z-scored by the reference. 0 in expectation if the distributions agree; single values may be slightly
negative.

References:
    Gretton et al. 2012, *A kernel two-sample test*, JMLR 13.
"""

from __future__ import annotations

from typing import final

from torch import Tensor

from ampbench.interfaces import Measurement, Metric
from ampbench.kernels import median_distance, unbiased_mmd2
from ampbench.metrics.checks import check


@final
class MMD(Metric):
    """Unbiased MMD² with the median heuristic."""

    def measure(self, samples: Tensor, reference: Tensor) -> Measurement:
        """Return MMD²."""
        check("mmd", samples, reference, least=2)
        location, scale = reference.mean(0), reference.std(0)
        p, q = (reference - location) / scale, (samples - location) / scale
        width = median_distance(p, q, most=1000)
        return Measurement(
            float(unbiased_mmd2(p, q, [width], paired=False)),
            {
                "kernel": "gaussian",
                "bandwidth": float(width),
                "z_score": "reference",
                "estimator": "unbiased squared",
                "n_samples": len(samples),
                "n_reference": len(reference),
            },
        )
