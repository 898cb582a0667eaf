r"""Two moons: a posterior with two thin, crescent-shaped modes.

.. math::
    \theta &\sim \mathcal U(-1, 1)^2 \\
    a &\sim \mathcal U(-\pi/2, \pi/2), \quad r \sim \mathcal N(0.1, 0.01^2) \\
    x &= \bigl(r \cos a + 0.25 - |\theta_1 + \theta_2| / \sqrt 2,\; r \sin a + (-\theta_1 + \theta_2) / \sqrt 2\bigr)

The posterior is sampled exactly by inverting the simulator: given draws of (a, r), the difference of the
parameters and the absolute value of their sum are known. The map is a rotation, so that its Jacobian is 1; the draws
are truncated to the support of the prior.

References:
    Greenberg, Nonnenmacher, Macke 2019, *Automatic posterior transformation*, arXiv:1905.07488.
    Lueckmann et al. 2021, *Benchmarking simulation-based inference*, arXiv:2101.04653, T.8.
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

SQRT_2 = math.sqrt(2)
RADIUS, WIDTH = 0.1, 0.01


@final
class TwoMoons(Classic):
    """Two moons: theta of size 2, x of size 2."""

    folder = samples_folder = "two_moons"
    version = "1"
    source = "Greenberg et al. 2019; Lueckmann et al. 2021, T.8"
    algorithm = "inversion of the simulator, truncated to the box by rejection"

    @cached_property
    def graph(self) -> Graph:
        """The graph theta → x."""
        prior = Independent(Uniform(-torch.ones(2), torch.ones(2)), 1)
        return Graph(density("theta", prior), simulator("x", simulate, ["theta"], size=2))

    def log_likelihood(self, theta: Tensor, x: Tensor) -> Tensor:
        """Return the log-density of the crescent: in polar coordinates N(r; 0.1, 0.01²) / (π r) on the right half."""
        u = x[..., 0] - 0.25 + (theta[..., 0] + theta[..., 1]).abs() / SQRT_2
        v = x[..., 1] + (theta[..., 0] - theta[..., 1]) / SQRT_2
        radius = torch.hypot(u, v)
        log_density = Normal(RADIUS, WIDTH).log_prob(radius) - (math.pi * radius).log()
        return torch.where(u > 0, log_density, -torch.inf)

    def reference(self, observation: Tensor, n: int, seed: int) -> Tensor:
        """Draw exactly from the posterior, shape (n, 2)."""
        generator = Generator().manual_seed(seed)
        first, second = self.check_observation(observation)

        def propose(m: int) -> Tensor:
            moon = _moon(m, generator)
            half = moon[:, 0] - first  # |theta_1 + theta_2| / sqrt(2), impossible if negative
            difference = second - moon[:, 1]  # (theta_2 - theta_1) / sqrt(2)
            sign = torch.randint(0, 2, (m,), generator=generator) * 2 - 1
            total = torch.where(half >= 0, sign * half, torch.nan)
            return torch.stack([total - difference, total + difference], dim=1) / SQRT_2

        return truncated(propose, lambda theta: (theta.abs() <= 1).all(1), n)


def simulate(theta: Tensor) -> Tensor:
    """Draw x given theta (n, 2), shape (n, 2)."""
    shift = torch.stack([-(theta[:, 0] + theta[:, 1]).abs(), theta[:, 1] - theta[:, 0]], dim=1) / SQRT_2
    return _moon(len(theta), None, theta.device) + shift


def _moon(n: int, generator: Generator | None, device: torch.device | None = None) -> Tensor:
    """Draw points on the crescent, shape (n, 2)."""
    angle = math.pi * (torch.rand(n, generator=generator, device=device) - 0.5)
    radius = RADIUS + WIDTH * torch.randn(n, generator=generator, device=device)
    return torch.stack([radius * angle.cos() + 0.25, radius * angle.sin()], dim=1)
