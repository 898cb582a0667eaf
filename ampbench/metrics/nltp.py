r"""Negative log probability of the true parameters, :math:`-\log q(\theta_o \mid x_o)`.

It needs the parameters that made the observation, and a posterior with a normalised density: implicit families, thinned
draws and Markov chains have none. Where a network's mass leaks out of the prior, the share that stays is estimated from
10,000 draws. Averaged over observations from the prior it is a proper score; the value of a single observation says
little, and the exact posterior's is not 0.

References:
    Lueckmann et al. 2021, *Benchmarking simulation-based inference*, arXiv:2101.04653, appendix.
    Gneiting & Raftery 2007, *Strictly proper scoring rules, prediction, and estimation*.
"""

from __future__ import annotations

from typing import final

from torch import Tensor

from ampbench.errors import MetricError
from ampbench.interfaces import HasDensity, Measurement, NeedsSetting, Setting
from ampbench.seeding import derive, seeded


@final
class NLTP(NeedsSetting):
    """Negative log posterior density of the parameters that made the observation."""

    def measure_in(self, setting: Setting, samples: Tensor) -> Measurement:
        """Return −log q(θ_o | x_o), in nats; the samples are not used."""
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
            raise MetricError("nltp: nobody knows the parameters that made this observation")
        with seeded(derive(0, "nltp")):  # a normalising constant may be an estimate
            value = -float(posterior.log_prob(truth.theta[None], truth.x[None]))
        return Measurement(value, {"version": "1", "unit": "nats", "standard_error": 0.0})
