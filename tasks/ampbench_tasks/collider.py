r"""Collider: given an observation of their product, two independent causes are dependent and bimodal.

.. math:: z_1 \sim \mathcal N(0, 1), \qquad z_2 \sim \mathcal N(0, 1), \qquad x \sim \mathcal N(z_1 z_2, s^2)

with :math:`s = 0.3`.

Given :math:`z_1` the model is linear in :math:`z_2`, so that the posterior is exact:

.. math::
    p(z_1 \mid x) \propto \mathcal N(z_1; 0, 1)\, \mathcal N(x; 0, z_1^2 + s^2), \qquad
    z_2 \mid z_1, x \sim \mathcal N\Bigl(\frac{z_1 x}{z_1^2 + s^2}, \frac{s^2}{z_1^2 + s^2}\Bigr)

:math:`z_1` is drawn from its one-dimensional density, see :mod:`ampbench_tasks.line`. Its modes are at
:math:`\pm \sqrt{|x|}` or nearer to zero.

References:
    Pearl 1988, *Probabilistic Reasoning in Intelligent Systems*, section 2.3 (explaining away).
"""

from __future__ import annotations

from typing import final

import torch
from torch import Generator, Tensor
from torch.distributions import Independent, Normal

from ampbench.graph import Graph, density, simulator
from ampbench_tasks import line
from ampbench_tasks.structured import Structured

NOISE = 0.3
TAIL_WIDTH = 12.0
"""Distance from the outermost mode, in prior standard deviations, beyond which the density is negligible."""


@final
class Collider(Structured):
    """Collider z_1 → x ← z_2 with x the noisy product, exact: bimodal in the two latents."""

    folder = "collider"
    version = "1"
    source = "Pearl 1988, section 2.3"
    algorithm = "inverse distribution function of z_1, then conjugacy"

    def __init__(self) -> None:
        super().__init__()
        cause = Independent(Normal(torch.zeros(1), torch.ones(1)), 1)
        self._graph = Graph(
            density("z_1", cause), density("z_2", cause), simulator("x", simulate, ["z_1", "z_2"], size=1)
        )

    @property
    def graph(self) -> Graph:
        """The graph z_1 → x ← z_2."""
        return self._graph

    def reference(self, observation: Tensor, n: int, seed: int) -> Tensor:
        """Draw exactly from the posterior, shape (n, 2)."""
        x = float(self.check_observation(observation))
        generator = Generator().manual_seed(seed)
        bound = abs(x) ** 0.5 + TAIL_WIDTH
        z1 = line.draw(lambda z: _log_first(z, x), -bound, bound, n, generator)
        variance = z1**2 + NOISE**2
        noise = torch.randn(n, dtype=torch.float64, generator=generator)
        z2 = z1 * x / variance + NOISE / variance.sqrt() * noise
        return torch.stack([z1, z2], dim=1).float()

    def log_likelihood(self, theta: Tensor, x: Tensor) -> Tensor:
        """Return log p(x | theta), shape (*,), float64."""
        return Normal(theta.double().prod(-1), NOISE).log_prob(x.double()[..., 0])


def simulate(z1: Tensor, z2: Tensor) -> Tensor:
    """Draw x given both causes (n, 1), shape (n, 1)."""
    return z1 * z2 + NOISE * torch.randn_like(z1)


def _log_first(z1: Tensor, x: float) -> Tensor:
    """Return log p(z_1 | x) up to a constant."""
    variance = z1**2 + NOISE**2
    return -(z1**2 + variance.log() + x**2 / variance) / 2
