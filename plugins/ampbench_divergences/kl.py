r"""Reverse Kullback-Leibler divergence: Karaletsos 2016, section 5.3, eq. 9.

.. math:: \mathrm{KL}(q \| p) = \mathbb E_q\!\left[\log \frac{1 - D}{D}\right] = \mathbb E_q[-d]

with D the optimal adversary of eq. 7 and d its logit. It seeks modes: it punishes mass of q where p has none.
"""

from __future__ import annotations

from typing import final

from torch import Tensor, nn

from ampbench.adversary import Adversary, classification_loss
from ampbench.interfaces import Divergence
from ampbench.tuples import Tuples


@final
class KL(Divergence):
    """Reverse Kullback-Leibler divergence KL(q‖p).

    Arguments:
        width: units of each hidden layer of the adversary.
        depth: its number of residual blocks.
    """

    def __init__(self, width: int = 128, depth: int = 3) -> None:
        self.width = width
        self.depth = depth

    def adversary(self, features: int) -> nn.Module:
        """Build one logit per tuple."""
        return Adversary(features, self.width, self.depth)

    def adversary_loss(self, adversary: nn.Module, p: Tuples, q: Tuples) -> Tensor:
        """Return eq. 7."""
        return classification_loss(adversary, p, q)

    def family_loss(self, adversary: nn.Module, p: Tuples, q: Tuples) -> Tensor:
        """Return eq. 9, E_q[−d]."""
        return -adversary(q).mean()
