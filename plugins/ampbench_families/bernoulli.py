r"""Bernoulli family for binary latents: vectors of 0 and 1, independent given the context.

.. math:: x_d = \mathbb 1[\ell_d + g_d > 0], \qquad \ell = \ell_\phi(\tilde{\mathrm{pa}}),
          \qquad g_d \sim \text{Logistic}(0, 1), \qquad q(x_d = 1) = \sigma(\ell_d)

with the straight-through gradient of :math:`\sigma((\ell + g) / \tau)`, whose bias :mod:`ampbench_families.relaxation`
explains. Bits that depend on each other given their context need one ``categorical``, or one variable for each bit.

References:
    Maddison, Mnih, Teh 2017, *The concrete distribution*, arXiv:1611.00712, appendix B.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor
from torch.nn.functional import softplus

from ampbench_families.relaxation import DiscreteConditional, DiscreteFamily, straight_through


class _BernoulliConditional(DiscreteConditional):
    def forward(self, context: Tensor) -> Tensor:
        logits = self.logits(context)
        noisy = logits + torch.rand_like(logits).logit(eps=1e-7)
        return straight_through((noisy > 0).to(logits.dtype), (noisy / self.temperature).sigmoid())

    def log_prob(self, value: Tensor, context: Tensor) -> Tensor:
        logits = self.logits(context)
        return (value * logits - softplus(logits)).sum(-1)


@final
class Bernoulli(DiscreteFamily):
    """Build conditionals over 0/1 vectors (``constraints.boolean``); arguments as for :class:`DiscreteFamily`."""

    conditional = _BernoulliConditional
