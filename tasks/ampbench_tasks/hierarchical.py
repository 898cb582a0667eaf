r"""Hierarchical Gaussian with plates: groups whose means vary by an unknown amount.

.. math::
    \mu \sim \mathcal N(0, 2^2), \qquad \tau \sim \mathcal N^+(0, 1), \qquad \theta_j \sim \mathcal N(\mu, \tau^2),
    \qquad y_{ij} \sim \mathcal N(\theta_j, 1)

:math:`\mathcal N^+` is the half-normal. The posterior depends on the mean and on the number of the observations of
each group; it is drawn exactly, see :mod:`ampbench_tasks.plates`. If some of the y are missing, plates differ in size,
and a group may have no observation.

References:
    Gelman et al. 2013, *Bayesian Data Analysis*, third edition, chapter 5, http://www.stat.columbia.edu/~gelman/book/.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import final

import torch
from torch import Tensor
from torch.distributions import HalfNormal, Independent, Normal

from ampbench.graph import Graph, Node, Plate, density, simulator
from ampbench.options import at_least, half_open
from ampbench_tasks import plates
from ampbench_tasks.structured import Structured, kept

MU_DEVIATION = 2.0
TAU_SCALE = 1.0
NOISE = 1.0


@final
class Hierarchical(Structured):
    """Hierarchical Gaussian with plates, exact: latents mu, tau, theta_1 … theta_groups, observed y_1 … y_groups.

    Arguments:
        groups: number of groups.
        size: number of observations of each group.
        missing: share of all observations that is missing; at least one observation is left.

    Attributes:
        counts: number of observations of each group, shape (groups,).

    Raises:
        UsageError: groups or size below 1, missing outside [0, 1).
    """

    folder = "hierarchical"
    version = "1"
    source = "Gelman et al. 2013, chapter 5"
    algorithm = "inverse distribution function of tau, then conjugacy"

    def __init__(self, groups: int = 8, size: int = 5, missing: float = 0.0) -> None:
        at_least(self, groups=(groups, 1), size=(size, 1))
        half_open(self, missing=(missing, 0, 1))
        super().__init__(groups=groups, size=size, missing=missing)
        group = torch.tensor(kept(groups * size, missing)) // size  # group of each observation, shape (L,)
        self._group = group
        self.counts = torch.bincount(group, minlength=groups)
        self._graph = Graph(*_roots(), *_plates(self.counts.tolist()))
        if not missing:
            self._graph = self._graph.repeating(template(groups, size), {"group": groups})
        self.observed = tuple(name for name in self._graph.names if name.startswith("y_"))

    @property
    def graph(self) -> Graph:
        """The graph (mu, tau) → theta_j → y_j."""
        return self._graph

    def reference(self, observation: Tensor, n: int, seed: int) -> Tensor:
        """Draw exactly from the posterior of (mu, tau, theta), shape (n, 2 + groups)."""
        x = self.check_observation(observation).double()
        total = torch.zeros(len(self.counts), dtype=torch.float64).index_add(0, self._group, x)
        means = total / self.counts.clamp(min=1)
        return plates.sample(means, self.counts / NOISE**2, MU_DEVIATION, _log_prior, n, seed)

    def log_likelihood(self, theta: Tensor, x: Tensor) -> Tensor:
        """Return log p(x | theta), shape (*,), float64."""
        means = theta.double()[..., 2 + self._group]
        return Normal(means, NOISE).log_prob(x.double()).sum(-1)


def template(groups: int | tuple[int, int], size: int = 5) -> Graph:
    """Return the graph with the axis ``group`` in place of single groups: latents mu, tau and theta, observed y.

    Arguments:
        groups: the number of groups, or the smallest and the largest one.
        size: number of observations of each group.
    """
    group = [Plate("group", groups)]
    return Graph(
        *_roots(),
        density("theta", plates.group, ["mu", "tau"], size=1, along=group),
        simulator("y", _members(size), ["theta"], size=size, along=group),
    )


def _roots() -> list[Node]:
    return [
        density("mu", Independent(Normal(torch.zeros(1), MU_DEVIATION * torch.ones(1)), 1)),
        density("tau", Independent(HalfNormal(TAU_SCALE * torch.ones(1)), 1)),
    ]


def _plates(counts: list[int]) -> list[Node]:
    nodes = []
    for j, count in enumerate(counts, start=1):
        nodes.append(density(f"theta_{j}", plates.group, ["mu", "tau"], size=1))
        if count:
            nodes.append(simulator(f"y_{j}", _members(count), [f"theta_{j}"], size=count))
    return nodes


def _members(count: int) -> Callable[[Tensor], Tensor]:
    """Return the simulator of a group's observations."""

    def measure(theta: Tensor) -> Tensor:
        means = theta.expand(-1, count)
        return means + NOISE * torch.randn_like(means)

    return measure


def _log_prior(tau: Tensor) -> Tensor:
    """Return log p(τ) up to a constant, shape (m,)."""
    return -((tau / TAU_SCALE) ** 2) / 2
