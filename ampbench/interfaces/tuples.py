"""Tuples: what a divergence compares at one site, and the densities that are known there."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ampbench.errors import UsageError


class Densities:
    """The densities that are known at a site, in network coordinates; a site where none is known has this one.

    A divergence that needs a density asks the tuples for it; where it is unknown, the answer is an error that says why.
    """

    def family(self, tuples: Tuples) -> Tensor:
        """Return log q(variable | context), shape (*,), differentiable in φ.

        Raises:
            UsageError: a family at this site has no density.
        """
        raise UsageError("no family is known here, so that its density cannot be evaluated")

    def likelihood(self, tuples: Tuples) -> Tensor:
        """Return log p(context | variable) up to a constant, shape (*,), differentiable in the tuples and in θ.

        Raises:
            UsageError: a factor of the model that it needs has no density, or reaches outside the tuple.
        """
        raise UsageError("no model is known here, so that its likelihood cannot be evaluated")

    def prior(self, tuples: Tuples) -> Tensor:
        """Return the sum of log p(x_j | pa(x_j)) over the learned x_j of the variable that have a density, shape (*,).

        Those whose parents lie outside the tuple do not count; without any left it is 0. Differentiable in θ.
        """
        return tuples.joint.new_zeros(tuples.joint.shape[:-1])


UNKNOWN = Densities()


@dataclass(frozen=True)
class Tuples:
    """What one chain shows at one site.

    Attributes:
        variable: shape (*, D): the inferred part, x_i.
        context: shape (*, C): the part that it was inferred from, pã(x_i).
        densities: the densities that are known at this site.
    """

    variable: Tensor
    context: Tensor
    densities: Densities = UNKNOWN

    @property
    def joint(self) -> Tensor:
        """Both parts, shape (*, D + C)."""
        return torch.cat([self.variable, self.context], dim=-1)

    def detach(self) -> Tuples:
        """The same numbers, cut from the graph of gradients."""
        return Tuples(self.variable.detach(), self.context.detach(), self.densities)
