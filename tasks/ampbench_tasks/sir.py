r"""SIR: an epidemic, observed through tests of a thousand people.

.. math::
    \beta \sim \mathrm{LogN}(\ln 0.4, 0.5), &\qquad \gamma \sim \mathrm{LogN}(\ln 0.125, 0.2) \\
    S' = -\beta \frac{S I}{N}, \quad I' = \beta \frac{S I}{N} - \gamma I, &\qquad N = 10^6,\; I(0) = 1,\; R(0) = 0 \\
    x_i \sim \mathrm{Binomial}(1000, I(t_i) / N), &\qquad t_i = 0, 17, \dots, 153

The equations are solved for S / N and log(I / N). With 80 steps between observations the error of I / N, against
DOP853 at 1e-11, is a small share of the binomial noise over the prior; a test measures it.

References:
    Kermack & McKendrick 1927, *A contribution to the mathematical theory of epidemics*, doi:10.1098/rspa.1927.0118.
    Lueckmann et al. 2021, *Benchmarking simulation-based inference*, arXiv:2101.04653, T.9.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import final

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, LogNormal, constraints

from ampbench.graph import Graph, density, simulator
from ampbench_tasks.ode import DifferentialEquationTask, rk4

INTERVAL, INTERVALS, SUBSTEPS = 17.0, 9, 80
COARSE_SUBSTEPS = 20
"""Steps of the approximate likelihood to which the proposal is adapted; the error stays below a fifth of the noise."""
POPULATION = 1e6
TESTS = 1000


@final
class SIR(DifferentialEquationTask):
    """SIR: theta of size 2, x of size 10."""

    folder = samples_folder = "sir"
    version = "1"
    source = "Kermack & McKendrick 1927; Lueckmann et al. 2021, T.9"
    substeps, coarse_substeps = SUBSTEPS, COARSE_SUBSTEPS

    @cached_property
    def prior(self) -> Distribution:
        """The log-normal prior of theta."""
        location = torch.tensor([math.log(0.4), math.log(0.125)])
        return Independent(LogNormal(location, torch.tensor([0.5, 0.2])), 1)

    @cached_property
    def graph(self) -> Graph:
        """The graph theta → x."""
        counts = constraints.independent(constraints.integer_interval(0, TESTS), 1)
        return Graph(density("theta", self.prior), simulator("x", simulate, ["theta"], counts, size=10))

    def solved_log_likelihood(self, theta: Tensor, x: Tensor, substeps: int) -> Tensor:
        """Return the binomial log-likelihood without the binomial coefficient, a function of x; shape (*,)."""
        share = infected(theta, substeps)
        return (torch.xlogy(x, share) + torch.special.xlog1py(TESTS - x, -share)).sum(-1)


def simulate(theta: Tensor) -> Tensor:
    """Draw x given theta (n, 2), shape (n, 10)."""
    share = infected(theta)
    return torch.binomial(torch.full_like(share, TESTS), share)


def infected(theta: Tensor, substeps: int = SUBSTEPS) -> Tensor:
    """Return the share I / N at the observation times: (n, 2) to (n, 10)."""
    beta, gamma = theta.T

    def field(state: Tensor) -> Tensor:
        susceptible, log_infected = state.T
        force = beta * susceptible
        return torch.stack([-force * log_infected.exp(), force - gamma], dim=1)

    start = torch.tensor([1 - 1 / POPULATION, -math.log(POPULATION)], dtype=theta.dtype, device=theta.device)
    return rk4(field, start.expand(len(theta), 2), INTERVAL, INTERVALS, substeps)[..., 1].exp().clamp(0, 1)
