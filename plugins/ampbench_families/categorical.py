r"""Categorical family for discrete latents: one-hot vectors.

.. math:: x = \operatorname{onehot} \arg\max_k (\ell_k + g_k), \qquad \ell = \ell_\phi(\tilde{\mathrm{pa}}),
          \qquad g_k \sim \text{Gumbel}(0, 1), \qquad q(x = e_k) = \operatorname{softmax}(\ell)_k

with the straight-through gradient of :math:`\operatorname{softmax}((\ell + g) / \tau)`, whose bias
:mod:`ampbench_families.relaxation` explains. A variable of D components is one choice among D.

References:
    Jang, Gu, Poole 2017, *Categorical reparameterization with Gumbel-softmax*, arXiv:1611.01144.
"""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from ampbench.interfaces import Conditional, Family, HasDensity
from ampbench.networks import ResidualMLP
from ampbench.options import at_least, between
from ampbench_families.relaxation import straight_through


@final
class Categorical(Family):
    """Build conditionals over one-hot vectors (``constraints.one_hot``).

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
        return _Choice(ResidualMLP(context, features, self.width, self.depth), self.temperature)


class _Choice(Conditional, HasDensity):
    def __init__(self, logits: ResidualMLP, temperature: float) -> None:
        super().__init__()
        self.logits = logits
        self.temperature = temperature

    def forward(self, context: Tensor) -> Tensor:
        logits = self.logits(context)
        noisy = logits - torch.empty_like(logits).exponential_().log()  # −log of an exponential variate is Gumbel
        hard = one_hot(noisy.argmax(-1), logits.shape[-1]).to(logits.dtype)
        return straight_through(hard, (noisy / self.temperature).softmax(-1))

    def log_prob(self, value: Tensor, context: Tensor) -> Tensor:
        return (value * self.logits(context).log_softmax(-1)).sum(-1)
