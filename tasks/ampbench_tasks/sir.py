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
from ampbench_tasks.classic import Classic
from ampbench_tasks.importance import posterior_draws
from ampbench_tasks.ode import rk4

INTERVAL, INTERVALS, SUBSTEPS = 17.0, 9, 80
COARSE = 20
"""Of the likelihood that the proposal is adapted to; the error stays below a fifth of the noise."""
POPULATION = 1e6
TESTS = 1000


@final
class SIR(Classic):
    """SIR: theta of size 2, x of size 10."""

    folder = samples_folder = "sir"
    version = "1"
    source = "Kermack & McKendrick 1927; Lueckmann et al. 2021, T.9"
    algorithm = "adaptive importance sampling with weighted acceptance"

    @cached_property
    def prior(self) -> Distribution:
        """Log-normal."""
        location = torch.tensor([math.log(0.4), math.log(0.125)])
        return Independent(LogNormal(location, torch.tensor([0.5, 0.2])), 1)

    @cached_property
    def graph(self) -> Graph:
        """theta → x."""
        counts = constraints.independent(constraints.integer_interval(0, TESTS), 1)
        return Graph(density("theta", self.prior), simulator("x", simulate, ["theta"], counts, size=10))

    def log_likelihood(self, theta: Tensor, x: Tensor) -> Tensor:
        """Binomial, up to the binomial coefficient, which is a function of x alone."""
        return _log_likelihood(theta, x, SUBSTEPS)

    def reference(self, observation: Tensor, n: int, seed: int) -> Tensor:
        """Draw exactly by importance sampling, shape (n, 2)."""
        x = self.check_observation(observation).double()
        return posterior_draws(
            self.prior,
            lambda theta: _log_likelihood(theta, x, SUBSTEPS),
            n,
            seed,
            rough=lambda theta: _log_likelihood(theta, x, COARSE),
        )


def simulate(theta: Tensor) -> Tensor:
    """Draw x given theta (n, 2), shape (n, 10)."""
    share = infected(theta)
    return torch.binomial(torch.full_like(share, TESTS), share)


def _log_likelihood(theta: Tensor, x: Tensor, substeps: int) -> Tensor:
    share = infected(theta, substeps)
    return (torch.xlogy(x, share) + torch.special.xlog1py(TESTS - x, -share)).sum(-1)


def infected(theta: Tensor, substeps: int = SUBSTEPS) -> Tensor:
    """The share I / N at the observed times: (n, 2) to (n, 10)."""
    beta, gamma = theta.T

    def field(state: Tensor) -> Tensor:
        susceptible, log_infected = state.T
        force = beta * susceptible
        return torch.stack([-force * log_infected.exp(), force - gamma], dim=1)

    start = torch.tensor([1 - 1 / POPULATION, -math.log(POPULATION)], dtype=theta.dtype, device=theta.device)
    return rk4(field, start.expand(len(theta), 2), INTERVAL, INTERVALS, substeps)[..., 1].exp().clamp(0, 1)
