r"""Total variation distance.

.. math:: \mathrm{TV}(p, q) = \tfrac12 \int |p - q|, \qquad
          f(r) = \tfrac12 |r - 1|, \qquad T = \tfrac12 \tanh d, \qquad f^*(T) = T

Here f is not smooth, and the optimal T is the step function ½ sign(p − q), which ½ tanh d approaches as d grows. So d
has the sign of the log-ratio, but not its size. Away from the step the gradient for the families vanishes, so that this
divergence is harder to descend than the others.

References:
    Nowozin, Cseke, Tomioka 2016, *f-GAN*, arXiv:1606.00709.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from ampbench_divergences.f_divergence import FDivergence


@final
class TotalVariation(FDivergence):
    """Total variation distance; the arguments are those of :class:`FDivergence`."""

    def output(self, logits: Tensor) -> Tensor:
        """Return ½ tanh d."""
        return torch.tanh(logits) / 2

    def conjugate(self, logits: Tensor) -> Tensor:
        """Return ½ tanh d: on its domain f* is the identity."""
        return self.output(logits)
