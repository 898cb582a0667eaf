r"""Gaussian linear with a uniform prior: the posterior is a Gaussian truncated to the box.

.. math::
    \theta \sim \mathcal U(-1, 1)^{10}, \qquad x \sim \mathcal N(\theta, 0.1\, I_{10}), \qquad
    \theta_i \mid x \sim \mathcal N(x_i, 0.1) \text{ truncated to } [-1, 1]

0.1 is a variance. The posterior is sampled by inverting its distribution function in double precision, in the
nearer tail, so that the draws are accurate also for an observation far outside the box.

References:
    Lueckmann et al. 2021, *Benchmarking simulation-based inference*, arXiv:2101.04653, T.2.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import final

import torch
from torch import Generator, Tensor
from torch.distributions import Independent, Normal, Uniform

from ampbench.graph import Graph, density, simulator
from ampbench_tasks.classic import Classic
from ampbench_tasks.gaussian_linear import simulate

SIZE = 10
SCALE = math.sqrt(0.1)


@final
class GaussianLinearUniform(Classic):
    """Gaussian linear with a uniform prior: theta of size 10, x of size 10."""

    folder = samples_folder = "gaussian_linear_uniform"
    version = "1"
    source = "Lueckmann et al. 2021, T.2"
    algorithm = "inverse distribution function, per component"

    @cached_property
    def graph(self) -> Graph:
        """The graph theta → x."""
        prior = Independent(Uniform(-torch.ones(SIZE), torch.ones(SIZE)), 1)
        return Graph(density("theta", prior), simulator("x", simulate, ["theta"], size=SIZE))

    def log_likelihood(self, theta: Tensor, x: Tensor) -> Tensor:
        """Return the Gaussian log-density of x."""
        return Normal(theta, SCALE).log_prob(x).sum(-1)

    def reference(self, observation: Tensor, n: int, seed: int) -> Tensor:
        """Draw exactly from the truncated Gaussian, shape (n, 10)."""
        x = self.check_observation(observation).double()
        uniform = torch.rand(n, SIZE, generator=Generator().manual_seed(seed), dtype=torch.float64)
        mirror = torch.where(x > 0, 1.0, -1.0)  # so that the box lies in the lower tail, where Φ is accurate
        low, high = (_lower_tail((bound - mirror * x) / SCALE) for bound in (-1.0, 1.0))
        z = torch.special.ndtri(low + (high - low) * uniform)
        return (mirror * (mirror * x + SCALE * z)).clamp(-1, 1).float()


def _lower_tail(z: Tensor) -> Tensor:
    """Return Φ(z), accurate also far below zero, where torch.special.ndtr returns 0."""
    return torch.erfc(-z / math.sqrt(2)) / 2
