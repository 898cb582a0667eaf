r"""Conditionals of latents outside a plate, whose posterior contracts as the number of its repeats grows.

.. math:: v = a_\phi(\bar m) + \frac{u}{\sqrt{1 + R}}, \qquad u \sim q_\phi(u \mid S, e), \qquad
          \log q(v) = \log q_\phi(u \mid S, e) + \tfrac D2 \log(1 + R)

with R the number of repeats, of all plates together, and a network a of the pooled message :math:`\bar m` that does not
receive R. By the Bernstein-von Mises theorem the posterior of identified parameters has a standard deviation of the
order of :math:`R^{-1/2}`, and its mean converges at that rate to a function of the moments of the evidence. The
distribution of u then has a limit, and a family that was trained on few repeats can be used on many.

References:
    van der Vaart 1998, *Asymptotic statistics*, chapter 10.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ampbench.interfaces import Conditional, HasDensity
from ampbench.networks import ResidualMLP

WIDTH = 64
"""Units of each hidden layer of a."""


class Contracting(Conditional):
    """A family in coordinates u.

    Arguments:
        family: q(u | context).
        features: D, number of components of v.
        pooled: by plate, the columns of its message in the context, of which the last is :math:`(1 + R)^{-1/2}`.
    """

    def __init__(self, family: Conditional, features: int, pooled: Sequence[slice]) -> None:
        super().__init__()
        self.family = family
        self.pooled = list(pooled)
        self.anchor = ResidualMLP(sum(part.stop - part.start - 1 for part in pooled), features, WIDTH, depth=1)

    def forward(self, context: Tensor) -> Tensor:
        """Draw v."""
        location, scale = self.frame(context)
        return location + scale * self.family(context)

    def frame(self, context: Tensor) -> tuple[Tensor, Tensor]:
        """Return a, (*, D), and the scale, (*, 1)."""
        moments = [context[..., part.start : part.stop - 1] for part in self.pooled]
        counts = torch.stack([context[..., part.stop - 1].square().reciprocal() - 1 for part in self.pooled]).sum(0)
        return self.anchor(torch.cat(moments, dim=-1)), (1 + counts).rsqrt()[..., None]


class ContractingDensity(Contracting, HasDensity):
    """A family with a density in coordinates u."""

    def log_prob(self, value: Tensor, context: Tensor) -> Tensor:
        """Return log q(v | context), shape (*,)."""
        location, scale = self.frame(context)
        assert isinstance(self.family, HasDensity)
        return self.family.log_prob((value - location) / scale, context) - value.shape[-1] * scale[..., 0].log()


def contracting(family: Conditional, features: int, pooled: Sequence[slice]) -> Conditional:
    """Return the family in coordinates u, or the family where no plate has a message."""
    if not pooled:
        return family
    kind = ContractingDensity if isinstance(family, HasDensity) else Contracting
    return kind(family, features, pooled)
