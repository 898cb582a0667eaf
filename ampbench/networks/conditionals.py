r"""Learned conditionals p_θ(x | pa(x)) for :func:`ampbench.graph.learned`.

``NormalConditional``
    :math:`\mathcal N(f_\theta(\mathrm{pa}), \sigma_\theta^2)`: has a density, and samples that carry gradients;
``BernoulliConditional``
    bits with probabilities :math:`\sigma(f_\theta(\mathrm{pa}))`: has a density, but no gradient through samples, so
    that it is taught by its likelihood (``kl-likelihood``);
``ImplicitConditional``
    :math:`f_\theta(\mathrm{pa}, \epsilon)`, an implicit observation model: samples only (eq. 13 of Karaletsos 2016).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli, Distribution, Independent, Normal

from ampbench.networks.residual import ResidualMLP

MIN_DEVIATION = 1e-3
"""Smallest standard deviation."""


class _NetworkConditional(nn.Module, ABC):
    """A network whose input is the joined parents.

    Arguments:
        parents: number of components of all parents together.
        features: D, number of components of the variable.
        width: units of each hidden layer.
        depth: number of residual blocks.
    """

    def __init__(self, parents: int, features: int, width: int = 128, depth: int = 2) -> None:
        super().__init__()
        self.network = ResidualMLP(parents + self.noise(features), features, width, depth)

    def noise(self, features: int) -> int:
        """The number of noise components in the input of the network."""
        return 0

    @abstractmethod
    def forward(self, *parents: Tensor) -> Distribution | Tensor:
        """Return p(x | parents), or samples of it, for parents (n, D_j)."""


class NormalConditional(_NetworkConditional):
    """A Gaussian with a learned standard deviation for each component, which does not depend on the parents.

    ``scale`` is the standard deviation to start from: the noise that is expected, in units of the variable.
    """

    def __init__(self, parents: int, features: int, width: int = 128, depth: int = 2, scale: float = 1.0) -> None:
        super().__init__(parents, features, width, depth)
        self.log_scale = nn.Parameter(torch.full((features,), math.log(scale)))

    def forward(self, *parents: Tensor) -> Distribution:
        """Return the Gaussian, with batch shape (n,)."""
        return Independent(Normal(self.network(torch.cat(parents, -1)), self.log_scale.exp() + MIN_DEVIATION), 1)


class BernoulliConditional(_NetworkConditional):
    """Independent bits, with probabilities that depend on the parents."""

    def forward(self, *parents: Tensor) -> Distribution:
        """Return the distribution of the bits, with batch shape (n,)."""
        return Independent(Bernoulli(logits=self.network(torch.cat(parents, -1))), 1)


class ImplicitConditional(_NetworkConditional):
    """A network of parents and noise, without a density."""

    def noise(self, features: int) -> int:
        """The number of noise components, from 8 to 32: images lie near a surface of few dimensions."""
        return min(max(8, features), 32)

    def forward(self, *parents: Tensor) -> Tensor:
        """Return one sample per row, shape (n, D)."""
        joined = torch.cat(parents, -1)
        noise = self.network.first.in_features - joined.shape[-1]
        return self.network(torch.cat([joined, torch.randn(len(joined), noise, device=joined.device)], -1))
