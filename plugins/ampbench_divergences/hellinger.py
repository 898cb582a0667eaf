r"""Squared Hellinger divergence.

.. math:: H^2(p, q) = \int (\sqrt p - \sqrt q)^2 = 2 - 2 \int \sqrt{p q}, \qquad
          f(r) = (\sqrt r - 1)^2, \qquad T = 1 - e^{-d/2}, \qquad f^*(T) = e^{d/2} - 1

It is symmetric and at most 2. The exponents of T and f*(T) are only half of the log-ratio.

References:
    Nowozin, Cseke, Tomioka 2016, *f-GAN*, arXiv:1606.00709.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from ampbench.interfaces import HasLogRatio
from ampbench_divergences.f_divergence import FDivergence


@final
class Hellinger(FDivergence, HasLogRatio):
    """Squared Hellinger divergence; the arguments are those of :class:`FDivergence`."""

    def output(self, logits: Tensor) -> Tensor:
        """Return 1 − exp(−d/2)."""
        return -torch.expm1(-logits / 2)

    def conjugate(self, logits: Tensor) -> Tensor:
        """Return exp(d/2) − 1."""
        return torch.expm1(logits / 2)
