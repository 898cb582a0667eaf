r"""What divergences built on the density ratio share: an adversary that learns it as a classifier, by eq. 7.

.. math:: d(t) = \log p(t) - \log q(t) \quad\text{at the minimum of}\quad
          -\mathbb E_p[\log \sigma(d)] - \mathbb E_q[\log(1 - \sigma(d))]
"""

from __future__ import annotations

from abc import ABC

from torch import Tensor, nn

from ampbench.interfaces import Divergence, Tuples
from ampbench.networks import Adversary, classification_loss
from ampbench.options import at_least


class RatioDivergence(Divergence, ABC):
    """A divergence whose adversary estimates log p − log q; a subclass says what the families make of it.

    Arguments:
        width: units of each hidden layer of the adversary.
        depth: its number of residual blocks.
    """

    def __init__(self, width: int = 128, depth: int = 3) -> None:
        at_least(self, width=(width, 1), depth=(depth, 0))
        self.width = width
        self.depth = depth

    def adversary(self, features: int) -> nn.Module:
        """Build one logit per tuple."""
        return Adversary(features, self.width, self.depth)

    def adversary_loss(self, adversary: nn.Module, p: Tuples, q: Tuples) -> Tensor:
        """Return eq. 7."""
        return classification_loss(adversary, p, q)


def beside_another_context(p: Tuples, q: Tuples) -> Tuples:
    """Return variables of p beside contexts of q, each of another row: independent draws of p(z) and of the context.

    Arguments:
        p: the top-down chain, shape (B, D).
        q: whose contexts to take, shape (B, C) or (L, B, C).

    Returns:
        Tuples of q's shape.
    """
    variable = p.variable.expand(*q.context.shape[:-1], -1)
    return Tuples(variable, q.context.roll(1, dims=-2), q.densities)
