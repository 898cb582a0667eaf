r"""Sequential Monte Carlo ABC with the sbi toolbox.

A population of weighted parameters passes through a decreasing sequence of tolerances ε. Each parameter vector of a new
population is drawn from the previous population, perturbed by a Gaussian kernel, and kept if its simulated data are
nearer to the observation than ε; its weight is the prior density divided by the density of the proposal.

References:
    Beaumont, Cornuet, Marin, Robert 2009, *Adaptive approximate Bayesian computation*, arXiv:0805.2256.
    Lueckmann et al. 2021, *Benchmarking simulation-based inference*, arXiv:2101.04653: the default settings.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Literal, final

import torch
from torch import Tensor

from ampbench.errors import SimulationError, UsageError
from ampbench.graph import Simulator, join
from ampbench.interfaces import Posterior, Progress, check_observation
from ampbench.options import at_least, between
from ampbench_sbi.population import Population
from ampbench_sbi.sequential import PerObservation
from ampbench_sbi.toolbox import ToolboxMethod, density_prior, quiet, toolbox
from ampbench_sbi.tries import bounded_rejection, perturbed
from ampbench_sbi.units import probed

FIRST_ROUND_POPULATIONS = 5
"""Simulations of the first round, in units of the population size, as in Lueckmann et al. 2021."""


@final
class SMCABC(ToolboxMethod):
    """Sequential Monte Carlo ABC, fitted to one observation after another.

    Arguments:
        population: number of parameter vectors; 0 means 100, or 1,000 for budgets over 10,000.
        decay: the next tolerance is this quantile of the distances of a population.
        kernel_scale: covariance of the perturbation, in units of the covariance of the previous population.
        distance: ``l2``, ``l1`` or ``mse``, between data that are not standardised.
        adjust: whether to adjust the last population by weighted linear regression (Beaumont et al. 2002).
        kde: whether to smooth the last population by a kernel density estimate.
    """

    drop_bias = ""  # a failed simulation is infinitely far from the observation, and never kept

    def __init__(
        self,
        population: int = 0,
        decay: float = 0.2,
        kernel_scale: float = 0.5,
        distance: Literal["l2", "l1", "mse"] = "l2",
        adjust: bool = False,
        kde: bool = True,
    ) -> None:
        if population:
            at_least(self, population=(population, 2))
        between(self, decay=(decay, 0, 1), kernel_scale=(kernel_scale, 0, math.inf))
        self.population = population
        self.decay = decay
        self.kernel_scale = kernel_scale
        self.distance = distance
        self.adjust = adjust
        self.kde = kde

    def fit(self, simulator: Simulator, device: torch.device, progress: Progress) -> Posterior:
        """Return a posterior that spends the budget when it is fitted to an observation."""
        toolbox("method 'smc-abc'")
        density_prior("smc-abc", simulator, torch.device("cpu"))
        size = self.population or (1000 if simulator.budget > 10_000 else 100)
        if size > simulator.budget:
            raise UsageError(
                f"method 'smc-abc' needs a budget of at least one population: the budget is {simulator.budget}, "
                f"the population {size}; change 'population'"
            )
        return PerObservation(simulator, partial(self._fit_to, size))

    def _fit_to(self, size: int, simulator: Simulator, observation: Tensor, progress: Progress) -> Posterior:
        prior, tries = probed(density_prior("smc-abc", simulator, torch.device("cpu"))), perturbed()

        def simulate(theta: Tensor) -> Tensor:
            tries.restart()
            values = simulator.attempt(len(theta), prior.split(theta))
            x = join(values, simulator.observed)
            check_observation(observation, x.shape[1])
            x = torch.where(torch.isfinite(x), x, torch.inf)
            if simulator.spent == len(theta) and (left := len(theta) - simulator.failures) < size:
                raise SimulationError(
                    f"method 'smc-abc' needs {size} simulations that did not fail for its first population, but only "
                    f"{left} of {len(theta)} are left; raise the budget, or lower 'population'"
                )
            if x.dtype != torch.get_default_dtype():
                lost = ", ".join(simulator.observed)
                raise UsageError(
                    f"method 'smc-abc' computes distances in single precision, which loses {lost} to rounding; "
                    "subtract their location in the simulator, or take 'rejection-abc'"
                )
            progress(simulator.spent, simulator.budget)
            return x

        with quiet():
            infer = toolbox("method 'smc-abc'").SMCABC(
                simulate, prior, self.distance, simulation_batch_size=simulator.budget, show_progress_bars=False
            )
            with bounded_rejection(infer, tries):
                theta, summary = infer(
                    observation[None].float(),
                    num_particles=size,
                    num_initial_pop=max(size, min(FIRST_ROUND_POPULATIONS * size, simulator.budget // 2)),
                    num_simulations=simulator.budget,
                    epsilon_decay=self.decay,
                    distance_based_decay=True,
                    kernel_variance_scale=self.kernel_scale,
                    lra=self.adjust,
                    lra_with_weights=self.adjust,
                    return_summary=True,
                )
        simulator.warn_of_failures()
        return Population(theta, summary["weights"][-1].exp(), self.kde, prior, observation.float())
