r"""Jeffreys divergence: both Kullback-Leibler divergences, KL(p‖q) + KL(q‖p).

.. math:: J(p, q) = \int (p - q) \log \frac pq, \qquad
          f(r) = (r - 1) \log r, \qquad T = d + 1 - e^{-d}, \qquad f^*(T) = e^d - 1 + d

As a function of T, the conjugate needs Lambert's W (Nowozin et al. 2016, table 6); as a function of the log-ratio, it
does not.

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
class Jeffreys(FDivergence, HasLogRatio):
    """Jeffreys divergence KL(p‖q) + KL(q‖p); the arguments are those of :class:`FDivergence`."""

    def output(self, logits: Tensor) -> Tensor:
        """Return d + 1 − exp(−d)."""
        return logits - torch.expm1(-logits)

    def conjugate(self, logits: Tensor) -> Tensor:
        """Return exp(d) − 1 + d."""
        return torch.expm1(logits) + logits
