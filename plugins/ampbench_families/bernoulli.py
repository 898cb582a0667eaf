r"""Bernoulli family for binary latents: vectors of 0 and 1, independent given the context.

.. math:: x_d = \mathbb 1[\ell_d + g_d > 0], \qquad \ell = \ell_\phi(\tilde{\mathrm{pa}}),
          \qquad g_d \sim \text{Logistic}(0, 1), \qquad q(x_d = 1) = \sigma(\ell_d)

with the straight-through gradient of :math:`\sigma((\ell + g) / \tau)`, whose bias :mod:`ampbench_families.relaxation`
explains. Bits that depend on each other given their context belong in one ``categorical``, or in variables of their
own.

References:
    Maddison, Mnih, Teh 2017, *The concrete distribution*, arXiv:1611.00712, appendix B.
"""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Tensor
from torch.nn.functional import softplus

from ampbench.interfaces import Conditional, Family, HasDensity
from ampbench.networks import ResidualMLP
from ampbench.options import at_least, between
from ampbench_families.relaxation import straight_through


@final
class Bernoulli(Family):
    """Build conditionals over 0/1 vectors (``constraints.boolean``).

    Arguments:
        temperature: τ of the relaxation that carries the gradient.
        width: units of each hidden layer.
        depth: number of residual blocks.
    """

    def __init__(self, temperature: float = 0.5, width: int = 128, depth: int = 3) -> None:
        at_least(self, width=(width, 1), depth=(depth, 0))
        between(self, temperature=(temperature, 0, math.inf))
        self.temperature = temperature
        self.width = width
        self.depth = depth

    def __call__(self, features: int, context: int) -> Conditional:
        """Build q(x | context)."""
        return _Bits(ResidualMLP(context, features, self.width, self.depth), self.temperature)


class _Bits(Conditional, HasDensity):
    def __init__(self, logits: ResidualMLP, temperature: float) -> None:
        super().__init__()
        self.logits = logits
        self.temperature = temperature

    def forward(self, context: Tensor) -> Tensor:
        logits = self.logits(context)
        noisy = logits + torch.rand_like(logits).logit(eps=1e-7)
        return straight_through((noisy > 0).to(logits.dtype), (noisy / self.temperature).sigmoid())

    def log_prob(self, value: Tensor, context: Tensor) -> Tensor:
        logits = self.logits(context)
        return (value * logits - softplus(logits)).sum(-1)
