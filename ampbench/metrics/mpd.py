r"""Median predictive distance: the median distance of posterior predictive simulations to the observation.

.. math:: \operatorname{median}_i \|x_i - x_o\|_2, \qquad x_i \sim p(x \mid \theta_i),\ \theta_i \sim q(\theta \mid x_o)

This metric needs no reference, only the simulator. It is no distance between posteriors: where noise dominates, the
exact posterior's value is far from 0, and a posterior that is too narrow can have a lower value than the exact one.

References:
    Lueckmann et al. 2021, *Benchmarking simulation-based inference*, arXiv:2101.04653, appendix.
"""

from __future__ import annotations

from typing import final

from torch import Tensor

from ampbench.errors import MetricError
from ampbench.graph import Simulator, join
from ampbench.interfaces import Measurement, NeedsSetting, Setting
from ampbench.metrics.checks import check_set, latent_parts
from ampbench.metrics.uncertainty import bootstrap_error
from ampbench.options import at_least


@final
class MedianPredictiveDistance(NeedsSetting):
    """Median L2 distance of posterior predictive simulations to the observation.

    Arguments:
        simulations: number of simulations, one for each of the first samples.
        seed: seed of the simulations and of the bootstrap.
    """

    def __init__(self, simulations: int = 1000, seed: int = 1) -> None:
        at_least(self, simulations=(simulations, 2))
        self.simulations = simulations
        self.seed = seed

    def measure_in(self, setting: Setting, samples: Tensor) -> Measurement:
        """Return the median distance, in the observation's units, with its bootstrap standard error."""
        check_set("mpd", "samples", samples, min_size=2)
        n, task = min(self.simulations, len(samples)), setting.task
        simulator = Simulator(task.graph, task.observed, n, self.seed)
        predicted = join(simulator.sample(n, latent_parts("mpd", task, samples[:n].cpu())), simulator.observed)
        distances = (predicted - setting.observation.x).norm(dim=1)
        if bad := int((~distances.isfinite()).sum()):
            raise MetricError(f"mpd: {bad} of {n} simulations from the posterior are NaN or infinite")
        return Measurement(
            float(distances.quantile(0.5)),
            {
                "version": "1",
                "norm": "L2",
                "simulations": n,
                "seed": self.seed,
                "n_samples": len(samples),
                "standard_error": bootstrap_error(lambda part: part.quantile(0.5), distances, seed=self.seed),
            },
        )
