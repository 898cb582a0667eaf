r"""Base class of f-divergences, by the variational bound of f-GAN.

.. math:: D_f(p \| q) = \int q\, f\!\left(\tfrac pq\right)
          = \max_T\; \mathbb E_p[T] - \mathbb E_q[f^*(T)],
          \qquad T = f'(p / q) \;\text{at the maximum}

for a convex f with f(1) = 0 and conjugate f\*. The adversary ascends the bound and the families descend it. The
adversary's logit d passes through an output activation T(d), chosen such that d is the log-ratio at the maximum, as for
the other adversaries:

.. math:: T(d) = f'(e^d), \qquad f^*(T(d)) = e^d f'(e^d) - f(e^d), \qquad d = \log p - \log q
          \;\text{at the maximum.}

So T stays in the domain of f\*, the bound of an untrained adversary (d near 0) is near 0, the gradient penalty acts on
the log-ratio for every f, and no conjugate needs an inverse function. Both terms of the bound are in the families'
loss: gradients reach φ through samples of q, and learned conditionals θ through samples of p.

References:
    Nowozin, Cseke, Tomioka 2016, *f-GAN*, arXiv:1606.00709, sections 2 and 3, tables 1 and 6.
    Nguyen, Wainwright, Jordan 2010, *Estimating divergence functionals*, arXiv:0809.0853.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from ampbench.interfaces import Divergence, Tuples
from ampbench.networks import Adversary
from ampbench.options import at_least, between


class FDivergence(Divergence, ABC):
    """An f-divergence; a subclass gives T and f*(T) as functions of the log-ratio d.

    Arguments:
        width: units of each hidden layer of the adversary.
        depth: number of residual blocks of the adversary.
        limit: bound on the absolute value of log-ratios, which keeps their exponentials finite.

    Raises:
        UsageError: the limit is not positive and finite.
    """

    def __init__(self, width: int = 128, depth: int = 3, limit: float = 10.0) -> None:
        at_least(self, width=(width, 1), depth=(depth, 0))
        between(self, limit=(limit, 0, math.inf))
        self.width = width
        self.depth = depth
        self.limit = limit

    @abstractmethod
    def output(self, logits: Tensor) -> Tensor:
        """Return T = f'(exp d), shape (*,), for logits d of shape (*,)."""

    @abstractmethod
    def conjugate(self, logits: Tensor) -> Tensor:
        """Return f*(T) = exp(d) f'(exp d) − f(exp d), shape (*,), for logits d of shape (*,)."""

    def adversary(self, features: int) -> nn.Module:
        """Build a network with one log-ratio per tuple."""
        return _Limited(Adversary(features, self.width, self.depth), self.limit)

    def adversary_loss(self, adversary: nn.Module, p: Tuples, q: Tuples) -> Tensor:
        """Return minus the bound."""
        return -self.family_loss(adversary, p, q)

    def family_loss(self, adversary: nn.Module, p: Tuples, q: Tuples) -> Tensor:
        """Return the bound E_p[T] − E_q[f*(T)], an estimate of the divergence."""
        return self.output(adversary(p)).mean() - self.conjugate(adversary(q)).mean()


class _Limited(nn.Module):
    """An adversary with logits limited smoothly to ±limit; beyond a hard limit the gradient would be 0."""

    def __init__(self, adversary: Adversary, limit: float) -> None:
        super().__init__()
        self.adversary = adversary
        self.limit = limit

    def forward(self, tuples: Tuples) -> Tensor:
        return self.limit * torch.tanh(self.adversary(tuples) / self.limit)
