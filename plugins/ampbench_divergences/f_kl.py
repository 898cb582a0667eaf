r"""Forward Kullback-Leibler divergence KL(p‖q) from samples alone, as an f-divergence.

.. math:: f(r) = r \log r - r + 1, \qquad T = d, \qquad f^*(T) = e^d - 1, \qquad
          \mathrm{KL}(p \| q) = \max_d\; \mathbb E_p[d] - \mathbb E_q[e^d] + 1

It is mass-covering: it penalises small q where p has mass. For families that have a density, ``forward-kl`` computes
the same divergence without an adversary.

References:
    Nguyen, Wainwright, Jordan 2010, *Estimating divergence functionals*, arXiv:0809.0853.
    Nowozin, Cseke, Tomioka 2016, *f-GAN*, arXiv:1606.00709.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from ampbench.interfaces import HasLogRatio
from ampbench_divergences.f_divergence import FDivergence


@final
class FKL(FDivergence, HasLogRatio):
    """Forward Kullback-Leibler divergence KL(p‖q); the arguments are those of :class:`FDivergence`."""

    def output(self, logits: Tensor) -> Tensor:
        """Return d."""
        return logits

    def conjugate(self, logits: Tensor) -> Tensor:
        """Return exp(d) − 1."""
        return torch.expm1(logits)
