r"""Gaussian mixture: a wide and a narrow Gaussian with a common mean.

.. math::
    \theta \sim \mathcal U(-10, 10)^2, \qquad
    x \sim \tfrac12 \mathcal N(\theta, I_2) + \tfrac12 \mathcal N(\theta, 0.1^2 I_2)

The component is drawn once per simulation, for both dimensions. The posterior is the same mixture around x,
truncated to the prior's box.

References:
    Sisson, Fan, Tanaka 2007, *Sequential Monte Carlo without likelihoods*.
    Lueckmann et al. 2021, *Benchmarking simulation-based inference*, arXiv:2101.04653, T.7.
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
from ampbench_tasks.rejection import truncated

BOUND = 10.0
NARROW_SCALE = 0.1


@final
class GaussianMixture(Classic):
    """Gaussian mixture: theta of size 2, x of size 2."""

    folder = samples_folder = "gaussian_mixture"
    version = "1"
    source = "Sisson et al. 2007; Lueckmann et al. 2021, T.7"
    algorithm = "closed form, truncated to the box by rejection"

    @cached_property
    def graph(self) -> Graph:
        """The graph theta → x."""
        prior = Independent(Uniform(-BOUND * torch.ones(2), BOUND * torch.ones(2)), 1)
        return Graph(density("theta", prior), simulator("x", simulate, ["theta"], size=2))

    def log_likelihood(self, theta: Tensor, x: Tensor) -> Tensor:
        """Return log p(x | theta), in which both dimensions share the component."""
        parts = [Normal(theta, scale).log_prob(x).sum(-1) for scale in (1.0, NARROW_SCALE)]
        return torch.logaddexp(*parts) - math.log(2)

    def reference(self, observation: Tensor, n: int, seed: int) -> Tensor:
        """Draw exactly from the posterior, shape (n, 2)."""
        x = self.check_observation(observation)
        generator = Generator().manual_seed(seed)
        return truncated(lambda m: x + _noise(m, generator), lambda theta: (theta.abs() <= BOUND).all(1), n)


def simulate(theta: Tensor) -> Tensor:
    """Draw x given theta (n, 2), shape (n, 2)."""
    return theta + _noise(len(theta), None, theta.device)


def _noise(n: int, generator: Generator | None, device: torch.device | None = None) -> Tensor:
    """Draw from ½ N(0, I) + ½ N(0, 0.1² I), shape (n, 2)."""
    narrow = torch.rand(n, 1, generator=generator, device=device) < 0.5
    return torch.where(narrow, NARROW_SCALE, 1.0) * torch.randn(n, 2, generator=generator, device=device)
