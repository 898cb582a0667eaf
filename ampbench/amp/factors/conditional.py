r"""A learned factor as a conditional of the model: a density of values, computed in network coordinates.

.. math:: \log \hat p(x \mid \mathrm{pa}) = \log \hat p_u\big(u(x) \mid u(\mathrm{pa})\big)
          + \log\left|\det \frac{\partial u}{\partial x}\right|

Of whole numbers x it is a probability, see :mod:`ampbench.amp.factors.dequantisation`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, constraints

from ampbench.amp.factors.dequantisation import POINTS, points_within, quantised
from ampbench.amp.factors.fitting import LearnedFactor
from ampbench.graph import join

MAX_TRIES = 20
"""Draws of a value that is outside the range of the simulations."""


class FactorConditional(nn.Module):
    """p̂(x | pa(x)) between values: the conditional of a learned node of a graph.

    Arguments:
        learned: the learned factor.
    """

    def __init__(self, learned: LearnedFactor) -> None:
        super().__init__()
        self.density = learned.density
        self._learned = learned

    def forward(self, *parents: Tensor | int) -> FactorDistribution:
        """Return the distribution of x given values (n, D_j) of the parents; without parents, given the number n."""
        learned = self._learned
        if not learned.factor.context:
            assert isinstance(parents[0], int)
            context = torch.zeros(parents[0], 0)
        else:
            values = dict(zip(learned.factor.context, parents, strict=True))
            encode = {name: each.encode for name, each in learned.coordinates.items()}
            encoded = {name: encode[name](torch.as_tensor(value).cpu()) for name, value in values.items()}
            context = join(encoded, learned.factor.context)
        return (WholeFactorDistribution if learned.whole else FactorDistribution)(learned, context)


class FactorDistribution(Distribution):
    """p̂(x | pa) for given parents, with batch shape (n,) and event shape (D,), on the CPU.

    A learned density has tails that the simulator does not have, and a single extreme value determines the scales of
    the networks that are trained on its draws. Draws outside the range of the simulations are therefore replaced by new
    ones, and after :data:`MAX_TRIES` by the nearest values inside. The density is that without limits.

    Arguments:
        learned: the learned factor.
        context: coordinates of the parents, shape (n, C).
    """

    arg_constraints: dict[str, constraints.Constraint] = {}  # noqa: RUF012 — torch's convention
    has_rsample = False

    def __init__(self, learned: LearnedFactor, context: Tensor) -> None:
        density = learned.density
        (factor,) = density.factors
        self._draw, self._density = density.conditional(factor), density.density(factor)
        self._device, self._coordinates = density.device, learned.coordinates[factor.variable]
        self._low, self._high = learned.limits
        self._context = context.to(density.device)
        event = torch.Size([self._coordinates.features])
        super().__init__(context.shape[:-1], event, validate_args=False)

    @torch.no_grad()
    def sample(self, sample_shape: torch.Size | list[int] | tuple[int, ...] = ()) -> Tensor:
        """Draw x, shape (*sample_shape, n, D)."""
        context = self._context.expand(*sample_shape, *self._context.shape)
        drawn = self._values(context)
        for _ in range(MAX_TRIES):
            outside = ((drawn < self._low) | (drawn > self._high)).any(-1)
            if not bool(outside.any()):
                return drawn
            drawn[outside] = self._values(context[outside.to(context.device)])
        return drawn.clamp(self._low, self._high)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return log p̂(x | pa), shape (n,), for x (n, D), differentiable in the parents."""
        value = value.cpu()
        coordinates = self._coordinates.encode(value).to(self._device)
        inner = self._density.log_prob(coordinates, self._context)
        return inner.cpu() + self._coordinates.log_slope(value).to(inner)

    def _values(self, context: Tensor) -> Tensor:
        return self._coordinates.decode(self._draw(context).cpu())


class WholeFactorDistribution(FactorDistribution):
    """P̂(x | pa) of dequantised whole numbers; arguments as for :class:`FactorDistribution`."""

    def log_prob(self, value: Tensor) -> Tensor:
        """Return log P̂(x | pa), shape (n,), for x (n, D)."""
        y, log_slope = points_within(value)
        found = torch.stack([super(WholeFactorDistribution, self).log_prob(each) for each in y])
        return (found + log_slope).logsumexp(0) - math.log(POINTS)

    def _values(self, context: Tensor) -> Tensor:
        return quantised(super()._values(context))
