r"""Stochastic Lotka-Volterra: predators and prey as a Markov jump process, observed through nine statistics.

.. math::
    \theta &= \ln(k_1, k_2, k_3, k_4) \sim \mathcal U(-5, 2)^4 \\
    X &\to X + 1 \text{ at rate } k_1 X Y, \quad X \to X - 1 \text{ at } k_2 X \\
    Y &\to Y + 1 \text{ at } k_3 Y, \quad Y \to Y - 1 \text{ at } k_4 X Y

X predators, Y prey; X(0) = 50, Y(0) = 100; recorded at t = 0, 0.2, …, 30. x holds, in this order: the means of X and
Y; ln(variance + 1) of X and Y; the autocorrelations of X at lags 1 and 2; those of Y; the correlation of X with Y.
Correlations of a constant series are 0.

Populations may explode. After 10,000 events the state stays constant until t = 30; this limit is part of the
definition, so that every simulation ends and none is discarded. (The source raises an error at its limit, and divides
the statistics by the scales of a pilot run; this task does neither.)

The likelihood is intractable: this task is forward-only.

References:
    Wilkinson 2011, *Stochastic modelling for systems biology*, section 6.3, doi:10.1201/b11812.
    Papamakarios & Murray 2016, *Fast ε-free inference of simulation models with Bayesian conditional density
    estimation*, arXiv:1605.06376, appendix F; statistics as in https://github.com/gpapamak/snl.
"""

from __future__ import annotations

from functools import cached_property
from typing import final

import torch
from torch import Tensor
from torch.distributions import Independent, Uniform

from ampbench.graph import Graph, density, simulator
from ampbench.interfaces import HasGolden, Task
from ampbench.interfaces.golden import Golden
from ampbench_tasks import packaged
from ampbench_tasks.gillespie import trajectories

START_POPULATIONS = (50.0, 100.0)
INTERVAL, COUNT = 0.2, 150
MAX_EVENTS = 10_000
CHANGES = ((1.0, 0.0), (-1.0, 0.0), (0.0, 1.0), (0.0, -1.0))


@final
class StochasticLotkaVolterra(Task, HasGolden):
    """Stochastic Lotka-Volterra: theta of size 4, x of size 9; forward-only."""

    version = "1"
    source = "Papamakarios & Murray 2016, appendix F"

    @cached_property
    def graph(self) -> Graph:
        """The graph theta → x."""
        prior = Independent(Uniform(-5 * torch.ones(4), 2 * torch.ones(4)), 1)
        return Graph(density("theta", prior), simulator("x", simulate, ["theta"], size=9))

    def golden(self) -> Golden:
        """Return the statistics of an independent implementation in numpy."""
        return packaged.golden("stochastic_lotka_volterra")


def simulate(theta: Tensor) -> Tensor:
    """Draw x given theta (n, 4), shape (n, 9)."""
    return statistics(populations(theta)).float()


def populations(theta: Tensor) -> Tensor:
    """Simulate predators and prey at the recorded times: (n, 4) to (n, 151, 2), float64."""
    start = torch.tensor(START_POPULATIONS, dtype=torch.float64, device=theta.device)
    changes = torch.tensor(CHANGES, dtype=torch.float64, device=theta.device)
    return trajectories(theta.double().exp(), start, rates, changes, INTERVAL, COUNT, MAX_EVENTS)


def rates(speeds: Tensor, state: Tensor) -> Tensor:
    """Return the rates of predator birth, predator death, prey birth and prey death, shape (n, 4)."""
    predators, prey = state.T
    return speeds * torch.stack([predators * prey, predators, prey, predators * prey], dim=1)


def statistics(series: Tensor) -> Tensor:
    """Return the nine summary statistics: (n, T, 2) to (n, 9)."""
    mean, variance = series.mean(1), series.var(1)
    scale = variance.sqrt()[:, None]
    scaled = torch.where(scale > 0, (series - mean[:, None]) / scale, 0.0)
    degrees = series.shape[1] - 1
    lags = [(scaled[:, :-lag] * scaled[:, lag:]).sum(1) / degrees for lag in (1, 2)]
    auto = torch.stack(lags, dim=2).flatten(1)  # X at lags 1 and 2, then Y
    cross = scaled.prod(2).sum(1, keepdim=True) / degrees
    return torch.cat([mean, variance.log1p(), auto, cross], dim=1)
