r"""Categorical family for discrete latents: one-hot vectors.

.. math:: x = \operatorname{onehot} \arg\max_k (\ell_k + g_k), \qquad \ell = \ell_\phi(\tilde{\mathrm{pa}}),
          \qquad g_k \sim \text{Gumbel}(0, 1), \qquad q(x = e_k) = \operatorname{softmax}(\ell)_k

with the straight-through gradient of :math:`\operatorname{softmax}((\ell + g) / \tau)`, whose bias
:mod:`ampbench_families.relaxation` explains. A variable of D components is one choice among D categories.

References:
    Jang, Gu, Poole 2017, *Categorical reparameterization with Gumbel-softmax*, arXiv:1611.01144.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from ampbench_families.relaxation import DiscreteConditional, DiscreteFamily, straight_through


class _CategoricalConditional(DiscreteConditional):
    def forward(self, context: Tensor) -> Tensor:
        logits = self.logits(context)
        noisy = logits - torch.empty_like(logits).exponential_().log()  # −log of an exponential variate is Gumbel
        hard = one_hot(noisy.argmax(-1), logits.shape[-1]).to(logits.dtype)
        return straight_through(hard, (noisy / self.temperature).softmax(-1))

    def log_prob(self, value: Tensor, context: Tensor) -> Tensor:
        return (value * self.logits(context).log_softmax(-1)).sum(-1)


@final
class Categorical(DiscreteFamily):
    """Build conditionals over one-hot vectors (``constraints.one_hot``); arguments as for :class:`DiscreteFamily`."""

    conditional = _CategoricalConditional
