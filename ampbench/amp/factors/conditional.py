r"""A learned factor as a conditional of the model: a density of values, computed in network coordinates.

.. math:: \log \hat p(x \mid \mathrm{pa}) = \log \hat p_u\big(u(x) \mid u(\mathrm{pa})\big)
          + \log\left|\det \frac{\partial u}{\partial x}\right|
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, constraints

from ampbench.graph.coordinates import Coordinates
from ampbench.interfaces import Conditional, HasDensity

if TYPE_CHECKING:

    class _DensityConditional(Conditional, HasDensity): ...


class FactorConditional(nn.Module):
    """p̂(x | pa(x)) between values: the conditional of a learned node of a graph.

    Arguments:
        conditional: the density in network coordinates.
        coordinates: of the variable and of its parents.
        name: the variable.
        parents: its parents.
    """

    def __init__(
        self,
        conditional: _DensityConditional,
        coordinates: Mapping[str, Coordinates],
        name: str,
        parents: Sequence[str],
    ) -> None:
        super().__init__()
        self.conditional = conditional
        self._variable = coordinates[name]
        self._parents = [coordinates[parent] for parent in parents]

    def forward(self, *parents: Tensor | int) -> Distribution:
        """Return the distribution of x given values (n, D_j) of the parents, or n draws of a variable without any."""
        if isinstance(parents[0], int):
            context = torch.zeros(parents[0], 0)
        else:
            encoded = zip(self._parents, parents, strict=True)
            context = torch.cat([each.encode(value) for each, value in encoded if isinstance(value, Tensor)], -1)
        return FactorDistribution(self.conditional, self._variable, context)


class FactorDistribution(Distribution):
    """p̂(x | pa) for given parents, with batch shape (n,) and event shape (D,).

    Arguments:
        conditional: the density in network coordinates.
        coordinates: of the variable.
        context: coordinates of the parents, shape (n, C).
    """

    arg_constraints: dict[str, constraints.Constraint] = {}  # noqa: RUF012 — torch's convention
    has_rsample = False

    def __init__(self, conditional: _DensityConditional, coordinates: Coordinates, context: Tensor) -> None:
        self._conditional, self._coordinates, self._context = conditional, coordinates, context
        super().__init__(context.shape[:-1], torch.Size([coordinates.features]), validate_args=False)

    @torch.no_grad()
    def sample(self, sample_shape: torch.Size | list[int] | tuple[int, ...] = ()) -> Tensor:
        """Draw x, shape (*sample_shape, n, D)."""
        context = self._context.expand(*sample_shape, *self._context.shape)
        return self._coordinates.decode(self._conditional(context))

    def log_prob(self, value: Tensor) -> Tensor:
        """Return log p̂(x | pa), shape (n,), for x (n, D)."""
        inner = self._conditional.log_prob(self._coordinates.encode(value), self._context)
        return inner + self._coordinates.log_slope(value).to(inner)
