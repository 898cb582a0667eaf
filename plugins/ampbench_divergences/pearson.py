r"""Pearson's χ² divergence.

.. math:: \chi^2(p \| q) = \int \frac{(p - q)^2}{q}, \qquad
          f(r) = (r - 1)^2, \qquad T = 2 (e^d - 1), \qquad f^*(T) = e^{2d} - 1

It is infinite if q has much lighter tails than p, and then no adversary can estimate it; a Gaussian q needs more than
half of the variance of a Gaussian p.

References:
    Nowozin, Cseke, Tomioka 2016, *f-GAN*, arXiv:1606.00709.
    Kanamori, Hido, Sugiyama 2009, *A least-squares approach to direct importance estimation*, JMLR 10.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from ampbench.interfaces import HasLogRatio
from ampbench_divergences.f_divergence import FDivergence


@final
class Pearson(FDivergence, HasLogRatio):
    """Pearson's χ² divergence; the arguments are those of :class:`FDivergence`."""

    def output(self, logits: Tensor) -> Tensor:
        """Return 2 (exp(d) − 1)."""
        return 2 * torch.expm1(logits)

    def conjugate(self, logits: Tensor) -> Tensor:
        """Return exp(2d) − 1."""
        return torch.expm1(2 * logits)
