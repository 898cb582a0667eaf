r"""A learned factor as a conditional of the model: a density of values, computed in network coordinates.

.. math:: \log \hat p(x \mid \mathrm{pa}) = \log \hat p_u\big(u(x) \mid u(\mathrm{pa})\big)
          + \log\left|\det \frac{\partial u}{\partial x}\right|

Of whole numbers x it is a probability, see :mod:`ampbench.amp.factors.dequantisation`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, constraints

from ampbench.amp.chains import BottomUp
from ampbench.amp.factors.dequantisation import POINTS, points_within, quantised
from ampbench.graph import join
from ampbench.graph.coordinates import Coordinates


class FactorConditional(nn.Module):
    """p̂(x | pa(x)) between values: the conditional of a learned node of a graph.

    Arguments:
        density: the chain that consists of the factor.
        coordinates: of the variable and its parents.
        whole: whether the variable is dequantised.
    """

    def __init__(self, density: BottomUp, coordinates: Mapping[str, Coordinates], whole: bool) -> None:
        super().__init__()
        self.density = density
        self.whole = whole
        (self._factor,) = density.factors
        self._coordinates = coordinates

    def forward(self, *parents: Tensor | int) -> Distribution:
        """Return the distribution of x given values (n, D_j) of the parents; without parents, given the number n."""
        if not self._factor.context:
            assert isinstance(parents[0], int)
            context = torch.zeros(parents[0], 0)
        else:
            values = dict(zip(self._factor.context, parents, strict=True))
            encoded = {name: self._coordinates[name].encode(torch.as_tensor(value)) for name, value in values.items()}
            context = join(encoded, self._factor.context)
        made = WholeFactorDistribution if self.whole else FactorDistribution
        return made(self.density, self._coordinates[self._factor.variable], context)


class FactorDistribution(Distribution):
    """p̂(x | pa) for given parents, with batch shape (n,) and event shape (D,), on the CPU.

    Arguments:
        density: the chain that consists of the factor.
        coordinates: of the variable.
        context: coordinates of the parents, shape (n, C).
    """

    arg_constraints: dict[str, constraints.Constraint] = {}  # noqa: RUF012 — torch's convention
    has_rsample = False

    def __init__(self, density: BottomUp, coordinates: Coordinates, context: Tensor) -> None:
        (factor,) = density.factors
        self._draw, self._density = density.conditional(factor), density.density(factor)
        self._device, self._coordinates = density.device, coordinates
        self._context = context.to(density.device)
        super().__init__(context.shape[:-1], torch.Size([coordinates.features]), validate_args=False)

    @torch.no_grad()
    def sample(self, sample_shape: torch.Size | list[int] | tuple[int, ...] = ()) -> Tensor:
        """Draw x, shape (*sample_shape, n, D)."""
        context = self._context.expand(*sample_shape, *self._context.shape)
        return self._coordinates.decode(self._draw(context).cpu())

    @torch.no_grad()
    def log_prob(self, value: Tensor) -> Tensor:
        """Return log p̂(x | pa), shape (n,), for x (n, D)."""
        coordinates = self._coordinates.encode(value).to(self._device)
        inner = self._density.log_prob(coordinates, self._context)
        return inner.cpu() + self._coordinates.log_slope(value).to(inner)


class WholeFactorDistribution(FactorDistribution):
    """P̂(x | pa) of dequantised whole numbers; arguments as for :class:`FactorDistribution`."""

    def sample(self, sample_shape: torch.Size | list[int] | tuple[int, ...] = ()) -> Tensor:
        """Draw x, shape (*sample_shape, n, D)."""
        return quantised(super().sample(sample_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        """Return log P̂(x | pa), shape (n,), for x (n, D)."""
        y, log_slope = points_within(value)
        found = torch.stack([super(WholeFactorDistribution, self).log_prob(each) for each in y])
        return (found + log_slope).logsumexp(0) - math.log(POINTS)
