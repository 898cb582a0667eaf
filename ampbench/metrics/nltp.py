r"""Negative log probability of the true parameters, :math:`-\log q(\theta_o \mid x_o)`.

This metric needs the true parameters of the observation, and a posterior with a normalised density, which implicit
families, resampled draws and Markov chains do not have. If a density estimator has mass outside the prior's support,
the share inside is estimated from 10,000 draws. The average over observations from the prior predictive distribution is
a proper score; the value for a single observation is of little meaning, and the exact posterior's value is not 0.

References:
    Lueckmann et al. 2021, *Benchmarking simulation-based inference*, arXiv:2101.04653, appendix.
    Gneiting & Raftery 2007, *Strictly proper scoring rules, prediction, and estimation*.
"""

from __future__ import annotations

import math
from typing import final

from torch import Tensor

from ampbench.errors import MetricError
from ampbench.interfaces import HasDensity, Measurement, NeedsSetting, Setting
from ampbench.metrics.checks import check_set
from ampbench.seeding import derive, seeded


@final
class NLTP(NeedsSetting):
    """Negative log posterior density of the true parameters of the observation."""

    def measure_in(self, setting: Setting, samples: Tensor) -> Measurement:
        """Return −log q(θ_o | x_o), in nats; the samples are checked, but not used."""
        check_set("nltp", "samples", samples, min_size=1)
        posterior, truth = setting.posterior, setting.observation
        if posterior is None:
            raise MetricError(
                "nltp: the samples were stored by an earlier run, and of the posterior nothing is kept; ask for nltp "
                "in the first run, or use a new results directory"
            )
        if not isinstance(posterior, HasDensity):
            raise MetricError(
                f"nltp: a {type(posterior).__name__} has no density; use a method that has one, or another metric"
            )
        if truth.theta.isnan().any():
            raise MetricError("nltp: the true parameters of this observation are unknown")
        with seeded(derive(0, "nltp")):  # a normalising constant may be an estimate
            value = -float(posterior.log_prob(truth.theta[None], truth.x[None]))
        if not math.isfinite(value):
            raise MetricError(f"nltp: the log density of the posterior at the true parameters is {-value}")
        return Measurement(value, {"version": "1", "unit": "nats", "standard_error": 0.0})
