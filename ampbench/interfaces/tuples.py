"""Tuples of variables at one site, as a chain samples them, and the densities that are known at the site."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ampbench.errors import UsageError


class Densities:
    """The densities that are known at a site, in network coordinates. This base class knows none.

    A divergence that needs a density takes it from its tuples; an unknown density raises an error with the reason.
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
            UsageError: a factor of the model in this likelihood has no density, or depends on variables outside the
                tuple.
        """
        raise UsageError("no model is known here, so that its likelihood cannot be evaluated")

    def prior(self, tuples: Tuples) -> Tensor:
        """Return the sum of log p(x_j | pa(x_j)), shape (*,), over the learned x_j in ``variable``.

        The sum has only factors with a density, and with all parents in the tuple; an empty sum is 0. It is
        differentiable in θ.
        """
        return tuples.joint.new_zeros(tuples.joint.shape[:-1])


UNKNOWN = Densities()


@dataclass(frozen=True)
class Tuples:
    """Samples of one chain at one site. Other tuples of the site are made by :func:`dataclasses.replace`.

    Attributes:
        variable: the inferred variables x_i, shape ``(*, D)``.
        context: their context pã(x_i), shape ``(*, C)``.
        densities: the densities that are known at this site.
        place: where the tuples were taken, if evidence outside them belongs to them; for the engine.
        reading: network through which adversaries read the context, ``(*, C)`` to ``(*, C′)``; None: as it is.
    """

    variable: Tensor
    context: Tensor
    densities: Densities = UNKNOWN
    place: object = None
    reading: Callable[[Tensor], Tensor] | None = None

    @property
    def joint(self) -> Tensor:
        """Variable and context, joined, shape ``(*, D + C)``, or ``(*, D + C′)`` if a network reads the context."""
        return torch.cat([self.variable, self.read().context], dim=-1)

    def read(self) -> Tuples:
        """Return tuples with the context as adversaries read it, ``(*, C′)``, which no network reads any more."""
        return self if self.reading is None else replace(self, context=self.reading(self.context), reading=None)

    def detach(self) -> Tuples:
        """Return the tuples without gradients."""
        return replace(self, variable=self.variable.detach(), context=self.context.detach())
