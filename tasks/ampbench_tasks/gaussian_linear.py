r"""Gaussian linear: the mean of a Gaussian, with a conjugate prior.

.. math::
    \theta \sim \mathcal N(0, 0.1\, I_{10}), \qquad x \sim \mathcal N(\theta, 0.1\, I_{10}), \qquad
    \theta \mid x \sim \mathcal N(x / 2, 0.05\, I_{10})

The numbers are variances, not standard deviations.

References:
    Lueckmann et al. 2021, *Benchmarking simulation-based inference*, arXiv:2101.04653, T.1.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import final

import torch
from torch import Generator, Tensor
from torch.distributions import Independent, Normal

from ampbench.graph import Graph, density, simulator
from ampbench_tasks.classic import Classic

SIZE = 10
VARIANCE = 0.1


@final
class GaussianLinear(Classic):
    """Gaussian linear: theta of size 10, x of size 10."""

    folder = samples_folder = "gaussian_linear"
    version = "1"
    source = "Lueckmann et al. 2021, T.1"
    algorithm = "closed form"

    @cached_property
    def graph(self) -> Graph:
        """The graph theta → x."""
        prior = Independent(Normal(torch.zeros(SIZE), math.sqrt(VARIANCE) * torch.ones(SIZE)), 1)
        return Graph(density("theta", prior), simulator("x", simulate, ["theta"], size=SIZE))

    def log_likelihood(self, theta: Tensor, x: Tensor) -> Tensor:
        """Return the Gaussian log-density of x."""
        return Normal(theta, math.sqrt(VARIANCE)).log_prob(x).sum(-1)

    def reference(self, observation: Tensor, n: int, seed: int) -> Tensor:
        """Draw exactly from the posterior N(x / 2, 0.05 I), shape (n, 10)."""
        noise = torch.randn(n, SIZE, generator=Generator().manual_seed(seed))
        return self.check_observation(observation) / 2 + math.sqrt(VARIANCE / 2) * noise


def simulate(theta: Tensor) -> Tensor:
    """Draw x given theta (n, 10), shape (n, 10)."""
    return theta + math.sqrt(VARIANCE) * torch.randn_like(theta)
