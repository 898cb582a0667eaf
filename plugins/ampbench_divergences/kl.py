r"""Reverse Kullback-Leibler divergence: Karaletsos 2016, section 5.3, eq. 9.

.. math:: \mathrm{KL}(q \| p) = \mathbb E_q\!\left[\log \frac{1 - D}{D}\right] = \mathbb E_q[-d]

with D the optimal adversary of eq. 7 and d its logit. It is mode-seeking: it penalises mass of q where p has none.

References:
    Sønderby et al. 2017, *Amortised MAP inference for image super-resolution*, arXiv:1610.04490.
"""

from __future__ import annotations

from typing import final

from torch import Tensor, nn

from ampbench.interfaces import HasLogRatio, Tuples
from ampbench.options import at_least
from ampbench_divergences.ratio import RatioDivergence


@final
class KL(RatioDivergence, HasLogRatio):
    """Reverse Kullback-Leibler divergence KL(q‖p).

    Arguments:
        width: units of each hidden layer of the adversary.
        depth: number of residual blocks of the adversary.
        refine: maximum number of steps for which the adversary is trained alone after the training of the families,
            as a share of the training's steps; 0: none.
    """

    def __init__(self, width: int = 128, depth: int = 3, refine: float = 1.0) -> None:
        super().__init__(width, depth)
        at_least(self, refine=(refine, 0))
        self.refine = refine

    def family_loss(self, adversary: nn.Module, p: Tuples, q: Tuples) -> Tensor:
        """Return eq. 9, E_q[−d]."""
        return -adversary(q).mean()
