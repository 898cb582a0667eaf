r"""Eight schools: effects of coaching on test scores in eight schools, with known standard errors.

.. math::
    \mu \sim \mathcal N(0, 5^2), \qquad \tau \sim \mathcal C^+(0, 5), \qquad \theta_j \sim \mathcal N(\mu, \tau^2),
    \qquad y_j \sim \mathcal N(\theta_j, \sigma_j^2)

:math:`\mathcal C^+` is the half-Cauchy. Priors are those of posteriordb. Observation 1 is the real data, with unknown
parameters; observations 2 to 10 are simulated. The posterior is drawn exactly, see :mod:`ampbench_tasks.plates`.

References:
    Rubin 1981, *Estimation in parallel randomized experiments*, doi:10.3102/10769986006004377.
    Magnusson et al. 2025, *posteriordb: testing, benchmarking and developing Bayesian inference algorithms*,
    arXiv:2407.04967, model ``eight_schools_centered``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

import torch
from torch import Tensor
from torch.distributions import HalfCauchy, Independent, Normal

from ampbench.graph import Graph, Node, Plate, covariate, density, simulator
from ampbench.interfaces import Observation
from ampbench_tasks import plates
from ampbench_tasks.structured import Structured

EFFECTS = (28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0)
ERRORS = (15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0)
SCALE = 5.0


@final
class EightSchools(Structured):
    """Eight schools, exact: latents mu, tau, theta_1 … theta_8, observed y_1 … y_8; observation 1 is the real data."""

    folder = "eight_schools"
    version = "1"
    source = "Rubin 1981; priors of posteriordb"
    algorithm = "inverse distribution function of tau, then conjugacy"

    def __init__(self) -> None:
        super().__init__()
        schools = [node for j, error in enumerate(ERRORS, start=1) for node in _school(j, error)]
        self._graph = Graph(*_roots(), *schools).repeating(template(), {})
        self.observed = tuple(f"y_{j}" for j in range(1, len(ERRORS) + 1))

    @property
    def graph(self) -> Graph:
        """The graph (mu, tau) → theta_j → y_j."""
        return self._graph

    def observations(self) -> Mapping[int, Observation]:
        """Return the real data as number 1, with unknown parameters (NaN), and simulations of the seeds 2 to 10."""
        real = Observation(torch.tensor(EFFECTS), torch.full((2 + len(EFFECTS),), torch.nan), seed=-1)
        return {1: real} | {number: self.observation(number) for number in range(2, 11)}

    def reference(self, observation: Tensor, n: int, seed: int) -> Tensor:
        """Draw exactly from the posterior of (mu, tau, theta), shape (n, 10)."""
        x = self.check_observation(observation)
        precisions = torch.tensor(ERRORS, dtype=torch.float64) ** -2
        return plates.sample(x, precisions, SCALE, _log_prior, n, seed)

    def log_likelihood(self, theta: Tensor, x: Tensor) -> Tensor:
        """Return log p(x | theta), shape (*,), float64."""
        errors = torch.tensor(ERRORS, dtype=torch.float64, device=theta.device)
        return Normal(theta.double()[..., 2:], errors).log_prob(x.double()).sum(-1)


def template() -> Graph:
    """Return the graph with the axis ``school`` in place of single schools, and the standard errors as a covariate."""
    school = [Plate("school", len(ERRORS))]

    def measure(theta: Tensor, error: Tensor) -> Tensor:
        return theta + error * torch.randn_like(theta)

    return Graph(
        *_roots(),
        density("theta", plates.group, ["mu", "tau"], size=1, along=school),
        covariate("error", torch.tensor(ERRORS)[:, None], along=school),
        simulator("y", measure, ["theta", "error"], size=1, along=school),
    )


def _roots() -> list[Node]:
    return [
        density("mu", Independent(Normal(torch.zeros(1), SCALE * torch.ones(1)), 1)),
        density("tau", Independent(HalfCauchy(SCALE * torch.ones(1)), 1)),
    ]


def _school(j: int, error: float) -> list[Node]:
    def measure(theta: Tensor) -> Tensor:
        return theta + error * torch.randn_like(theta)

    return [
        density(f"theta_{j}", plates.group, ["mu", "tau"], size=1),
        simulator(f"y_{j}", measure, [f"theta_{j}"], size=1),
    ]


def _log_prior(tau: Tensor) -> Tensor:
    """Return log p(τ) up to a constant, shape (m,)."""
    return -torch.log1p((tau / SCALE) ** 2)
