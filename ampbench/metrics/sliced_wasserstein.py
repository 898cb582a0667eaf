r"""Sliced Wasserstein distance: the mean of one-dimensional transport costs over random directions.

.. math:: \mathrm{SW}_1(p, q) = \mathbb E_{u}\, W_1(u^\top t,\; u^\top s), \qquad u \text{ uniform on the sphere}

Both sets are z-scored by the reference, so that the unit is a posterior standard deviation. Each W₁ is exact (scipy).
The estimate is positive even if the distributions agree, of the order of n^(−1/2). The standard error is that of the
random directions; it does not include the noise of the samples.

References:
    Bonneel et al. 2015, *Sliced and Radon Wasserstein barycenters of measures*, JMIV 51.
"""

from __future__ import annotations

from typing import final

import numpy as np
from torch import Tensor

from ampbench.interfaces import Measurement, Metric
from ampbench.metrics.checks import standardised
from ampbench.options import at_least


@final
class SlicedWasserstein(Metric):
    """Sliced 1-Wasserstein distance.

    Arguments:
        directions: number of random directions; in one dimension all are equivalent.
        seed: seed of the directions.
    """

    packages = ("scipy",)

    def __init__(self, directions: int = 200, seed: int = 1) -> None:
        at_least(self, directions=(directions, 2))
        self.directions = directions
        self.seed = seed

    def measure(self, samples: Tensor, reference: Tensor) -> Measurement:
        """Return the estimate of SW₁, with its standard error over directions."""
        from scipy.stats import wasserstein_distance

        q, p = (part.cpu().numpy() for part in standardised("sliced-wasserstein", samples, reference, min_size=2))
        features = q.shape[1]
        directions = np.random.default_rng(self.seed).standard_normal((self.directions, features))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        costs = np.array([wasserstein_distance(q @ direction, p @ direction) for direction in directions])
        return Measurement(
            float(costs.mean()),
            {
                "version": "1",
                "order": 1,
                "z_score": "reference",
                "directions": self.directions,
                "seed": self.seed,
                "n_samples": len(samples),
                "n_reference": len(reference),
                "standard_error": float(costs.std(ddof=1) / len(costs) ** 0.5),
            },
        )
