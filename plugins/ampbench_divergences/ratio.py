r"""Base class of divergences with an adversary that learns the density ratio as a classifier, by eq. 7.

.. math:: d(t) = \log p(t) - \log q(t) \quad\text{at the minimum of}\quad
          -\mathbb E_p[\log \sigma(d)] - \mathbb E_q[\log(1 - \sigma(d))]
"""

from __future__ import annotations

from abc import ABC
from dataclasses import replace

from torch import Tensor, nn

from ampbench.interfaces import Divergence, Tuples
from ampbench.networks import Adversary, classification_loss
from ampbench.options import at_least


class RatioDivergence(Divergence, ABC):
    """A divergence with an adversary that estimates log p − log q; a subclass defines the families' loss.

    Arguments:
        width: units of each hidden layer of the adversary.
        depth: number of residual blocks of the adversary.
    """

    def __init__(self, width: int = 128, depth: int = 3) -> None:
        at_least(self, width=(width, 1), depth=(depth, 0))
        self.width = width
        self.depth = depth

    def adversary(self, features: int) -> nn.Module:
        """Build a network with one logit per tuple."""
        return Adversary(features, self.width, self.depth)

    def adversary_loss(self, adversary: nn.Module, p: Tuples, q: Tuples) -> Tensor:
        """Return eq. 7."""
        return classification_loss(adversary, p, q)


def with_other_contexts(p: Tuples, q: Tuples) -> Tuples:
    """Return variables of p paired with contexts of other rows of q: independent draws of p(z) and of the context.

    Arguments:
        p: tuples of the top-down chain, with variables (B, D).
        q: tuples that provide the contexts, (B, C) or (L, B, C).

    Returns:
        Tuples with variables (B, D) or (L, B, D), and the shifted contexts of q.
    """
    variable = p.variable.expand(*q.context.shape[:-1], -1)
    return replace(q, variable=variable, context=q.context.roll(1, dims=-2))
