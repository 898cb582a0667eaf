r"""Maximum mean discrepancy: feature-based message passing, Karaletsos 2016, section 5.5.

.. math:: \mathrm{MMD}^2(p, q) = \mathbb E\,k(t, t') + \mathbb E\,k(s, s') - 2\,\mathbb E\,k(t, s)

with t from p, s from q and a characteristic kernel: a mean of Gaussians whose bandwidths are multiples of the median
distance. Nothing is trained but the families, so nothing can oscillate, and nothing adapts to fine structure either.

References:
    Gretton et al. 2012, *A kernel two-sample test*, JMLR 13.
    Li, Swersky, Zemel 2015, *Generative moment matching networks*, arXiv:1502.02761.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn

from ampbench.errors import UsageError
from ampbench.interfaces import Divergence
from ampbench.kernels import median_distance, unbiased_mmd2
from ampbench.tuples import Tuples


@final
class MMD(Divergence):
    """Maximum mean discrepancy of the joint tuple, in network coordinates.

    Arguments:
        bandwidths: how many kernels; their widths fall by factors of 2 from the median distance.
    """

    def __init__(self, bandwidths: int = 5) -> None:
        if bandwidths < 1:
            raise UsageError(f"mmd needs at least one bandwidth, got {bandwidths}")
        self.bandwidths = bandwidths

    def adversary(self, features: int) -> nn.Module:
        """Return the identity: the kernel's feature space takes the adversary's place."""
        return nn.Identity()

    def adversary_loss(self, adversary: nn.Module, p: Tuples, q: Tuples) -> Tensor:
        """Return 0: there is nothing to train."""
        return p.joint.new_zeros(())

    def family_loss(self, adversary: nn.Module, p: Tuples, q: Tuples) -> Tensor:
        """Return the unbiased MMD², averaged over the particles of q."""
        reference = p.joint
        particles = q.joint.reshape(-1, *reference.shape)
        median = median_distance(reference, particles[0], most=128)
        widths = [median / 2**h for h in range(self.bandwidths)]
        return torch.stack([unbiased_mmd2(reference, drawn, widths, paired=True) for drawn in particles]).mean()
