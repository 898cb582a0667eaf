r"""M/G/1: a queue with one server, of which only the departures are observed.

.. math::
    \theta_1, \; \theta_2 - \theta_1 \sim \mathcal U(0, 10), \qquad \theta_3 \sim \mathcal U(0, 1/3)

Customers arrive at the times V_1 < V_2 < … of a Poisson process of rate θ_3, and are served one after another, each
with the service time S_i ~ U(θ_1, θ_2). With departures X_i, X_0 = 0, the data are the times between departures,

.. math:: x_i = X_i - X_{i-1} = S_i + \max(0, V_i - X_{i-1})

for ``customers`` customers, 20 by default. The node theta is (θ_1, θ_2 − θ_1, θ_3), so that its support is a box.

**Likelihood.** Given x, the service times are possible if and only if every x_i ≥ θ_1 and
:math:`a_i \le V_i \le b_i` with :math:`b_i = X_i - \theta_1`, and :math:`a_i = X_i - \theta_2` where x_i > θ_2;
else V_i has no lower bound. Their density is constant, so that

.. math:: p(x \mid \theta) = (\theta_2 - \theta_1)^{-L} \Pr(a_i \le V_i \le b_i \; \forall i)

The probability is that of a counting process N(t) ~ Poisson(θ_3 t): at least i arrivals by b_i, fewer than i by a_i.
Times are in order (b_{i-1} < a_i < b_i), so that one pass over them, with a vector of the probabilities of N(t) − i,
gives this probability: all terms are positive, and rounding is the only error. An x_i > θ_2 implies that the server has
been idle, and then N(t) is known exactly.

Shestopaloff & Neal sample (θ, V) by Markov chain Monte Carlo; the tests use their sampler as an independent check. The
closed form of the integral over V gives independent draws, without a burn-in.

References:
    Shestopaloff & Neal 2014, *On Bayesian inference for the M/G/1 queue with efficient MCMC sampling*, arXiv:1401.5548.
    Blum & François 2010, *Non-linear regression models for ABC*, arXiv:0809.4178 (the priors).
    Noé 1972, *The calculation of distributions of two-sided Kolmogorov-Smirnov type statistics*,
    doi:10.1214/aoms/1177692700 (probabilities of order statistics between bounds).
"""

from __future__ import annotations

from functools import cached_property
from typing import final

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, Uniform, constraints

from ampbench.errors import SimulationError, UsageError
from ampbench.graph import Graph, density, simulator
from ampbench.interfaces import HasGolden, HasLikelihood, HasReference, Task
from ampbench.interfaces.golden import Golden
from ampbench_tasks import packaged
from ampbench_tasks.importance import posterior_draws

CUSTOMERS = 20
UPPER_BOUNDS = (10.0, 10.0, 1 / 3)


@final
class MG1(Task, HasReference, HasLikelihood, HasGolden):
    """M/G/1 queue: theta = (θ_1, θ_2 − θ_1, θ_3) of size 3, x of size ``customers``.

    Raises:
        UsageError: there are no customers.
    """

    version = "1"
    source = "Blum & François 2010; Shestopaloff & Neal 2014"
    algorithm = "adaptive importance sampling with weighted acceptance"

    def __init__(self, customers: int = CUSTOMERS) -> None:
        if customers < 1:
            raise UsageError(f"mg1 needs at least one customer, got customers={customers}")
        self.customers = customers

    @cached_property
    def prior(self) -> Distribution:
        """The prior, uniform on the box."""
        return Independent(Uniform(torch.zeros(3), torch.tensor(UPPER_BOUNDS)), 1)

    @cached_property
    def graph(self) -> Graph:
        """The graph theta → x."""
        times = constraints.independent(constraints.nonnegative, 1)
        return Graph(density("theta", self.prior), simulator("x", self.simulate, ["theta"], times, self.customers))

    def simulate(self, theta: Tensor) -> Tensor:
        """Draw x given theta (n, 3), shape (n, customers)."""
        shortest, spread, rate = theta.double().T[:, :, None]  # (n, 1) each
        uniform = torch.rand(len(theta), self.customers, dtype=torch.float64, device=theta.device)
        arrivals = (torch.empty_like(uniform).exponential_() / rate).cumsum(1)
        departed = torch.zeros_like(arrivals[:, 0])
        gaps = []
        for service, arrival in zip((shortest + spread * uniform).T, arrivals.T, strict=True):
            gaps.append(service + (arrival - departed).clamp(min=0))
            departed = departed + gaps[-1]
        return torch.stack(gaps, dim=1).float()

    def log_likelihood(self, theta: Tensor, x: Tensor) -> Tensor:
        """Return log p(x | theta) from the probability of the arrival times that are consistent with x."""
        return log_likelihood(theta, x)

    def reference(self, observation: Tensor, n: int, seed: int) -> Tensor:
        """Draw exactly from the posterior by importance sampling, shape (n, 3)."""
        x = self.check_observation(observation).double()
        if not (fastest := float(x.min())) > 0:
            raise SimulationError(
                f"the posterior cannot be sampled: the shortest time between departures is {fastest:g}, "
                "but every service takes some time"
            )
        # θ_1 ≤ S_i ≤ x_i for all i; with this bound the adaptation also reaches narrow posteriors.
        possible = Independent(
            Uniform(torch.zeros(3), torch.tensor([min(UPPER_BOUNDS[0], fastest), *UPPER_BOUNDS[1:]])), 1
        )
        return posterior_draws(possible, lambda theta: log_likelihood(theta, x), n, seed)

    def golden(self) -> Golden:
        """Return the statistics of an independent implementation in numpy.

        Raises:
            UsageError: an option differs from its default.
        """
        return packaged.golden_of_defaults("mg1", {"customers": self.customers}, {"customers": CUSTOMERS})


def log_likelihood(theta: Tensor, x: Tensor) -> Tensor:
    """Return log p(x | theta), shape (*,), for theta (*, 3) and x (*, L), broadcast."""
    shape = torch.broadcast_shapes(theta.shape[:-1], x.shape[:-1])
    thetas = theta.double().expand(*shape, 3).reshape(-1, 3)
    gaps = x.double().expand(*shape, x.shape[-1]).reshape(-1, x.shape[-1])
    result = thetas.new_full((len(thetas),), -torch.inf)
    possible = gaps.min(1).values >= thetas[:, 0]
    result[possible] = _log_density(thetas[possible], gaps[possible])
    return result.reshape(shape)


def _log_density(theta: Tensor, gaps: Tensor) -> Tensor:
    """Return log p(x | theta), shape (m,), for gaps (m, L) that are at least θ_1."""
    shortest, spread, rate = theta.T
    longest, departures, customers = shortest + spread, gaps.cumsum(1), gaps.shape[1]
    # Row k: probability that N(t) exceeds the number of arrivals needed so far by k; last row: that all have arrived.
    surplus = theta.new_zeros(customers + 1, len(theta))
    surplus[0] = 1
    now = torch.zeros_like(shortest)
    total = -customers * spread.log()
    for i in range(customers):
        idle = gaps[:, i] > longest
        until = torch.where(idle, departures[:, i] - longest, now)  # a_i, until which an idle server saw no arrival
        quiet = surplus[0] * torch.exp(-rate * (until - now))
        surplus = torch.cat([torch.where(idle, quiet, surplus[0])[None], torch.where(idle, 0.0, surplus[1:])])
        now = departures[:, i] - shortest  # b_i
        surplus = _advance(surplus, rate * (now - until))[1:]
        size = surplus.sum(0)
        total, surplus = total + size.log(), surplus / size.clamp(min=1e-300)
    return total


def _advance(surplus: Tensor, expected: Tensor) -> Tensor:
    """Return probabilities (K, m) convolved with Poisson distributions of mean ``expected``, (m,).

    The last row is the probability of all larger values.
    """
    k = torch.arange(len(surplus), dtype=surplus.dtype, device=surplus.device)[:, None]
    arrivals = torch.exp(torch.xlogy(k, expected) - expected - torch.lgamma(k + 1))  # (K, m)
    result = torch.zeros_like(surplus)
    for row in range(len(surplus) - 1):
        result[row:-1] += surplus[row] * arrivals[: len(surplus) - 1 - row]
    result[-1] = (surplus.sum(0) - result[:-1].sum(0)).clamp(min=0)
    return result
