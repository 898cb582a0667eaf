r"""Maximum mean discrepancy: feature-based message passing, Karaletsos 2016, section 5.5.

.. math:: \mathrm{MMD}^2(p, q) = \mathbb E\,k(t, t') + \mathbb E\,k(s, s') - 2\,\mathbb E\,k(t, s)

with t from p, s from q and a characteristic kernel k: a mean of Gaussians whose bandwidths are multiples of the median
distance. Only the families are trained. So there is no oscillation, but the kernel does not adapt to fine structure.

With ``features`` above 0 the kernel compares learned features instead, :math:`k(h_\xi(t), h_\xi(t'))`, which ascend
MMD² (MMD-GAN). The bandwidths are then fixed around 1: with the median distance, MMD² would not depend on the scale of
the features, and the engine's penalty on their gradients, which keeps them smooth (Bińkowski et al. 2018), would shrink
them to 0.

References:
    Gretton et al. 2012, *A kernel two-sample test*, JMLR 13.
    Li, Swersky, Zemel 2015, *Generative moment matching networks*, arXiv:1502.02761.
    Li et al. 2017, *MMD GAN: towards deeper understanding of moment matching network*, arXiv:1705.08584.
    Bińkowski et al. 2018, *Demystifying MMD GANs*, arXiv:1801.01401.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn

from ampbench.interfaces import Divergence, Tuples
from ampbench.networks import ResidualMLP
from ampbench.options import at_least
from ampbench.statistics.kernels import median_distance, unbiased_mmd2


class FeatureMap(nn.Module):
    """The map from tuples (*, D + C) to the features (*, F) that the kernel compares."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, tuples: Tuples) -> Tensor:
        """Return the features of the joint tuple."""
        return self.network(tuples.joint)


@final
class MMD(Divergence):
    """Maximum mean discrepancy of the joint tuple, in network coordinates or of learned features.

    Arguments:
        bandwidths: number of kernels; their widths decrease by factors of 2, from the median distance or around 1.
        features: number of learned features; 0: the kernel compares the coordinates.
        width: units of each hidden layer of the feature map.
        depth: number of residual blocks of the feature map.

    Raises:
        UsageError: no bandwidth, or a negative number of features.
    """

    def __init__(self, bandwidths: int = 5, features: int = 0, width: int = 128, depth: int = 3) -> None:
        at_least(self, bandwidths=(bandwidths, 1), features=(features, 0), width=(width, 1), depth=(depth, 0))
        self.bandwidths = bandwidths
        self.features = features
        self.width = width
        self.depth = depth

    def adversary(self, features: int) -> nn.Module:
        """Build the feature map: the identity if no features are learned."""
        learned = self.features > 0
        return FeatureMap(ResidualMLP(features, self.features, self.width, self.depth) if learned else nn.Identity())

    def adversary_loss(self, adversary: nn.Module, p: Tuples, q: Tuples) -> Tensor:
        """Return −MMD² of learned features, or 0 if no features are learned."""
        return -self.family_loss(adversary, p, q) if self.features else p.joint.new_zeros(())

    def family_loss(self, adversary: nn.Module, p: Tuples, q: Tuples) -> Tensor:
        """Return the unbiased MMD², averaged over the particles of q."""
        reference, drawn = adversary(p), adversary(q)
        particles = drawn.reshape(-1, *reference.shape)
        widths = [self._largest_bandwidth(reference, particles[0]) / 2**h for h in range(self.bandwidths)]
        return torch.stack([unbiased_mmd2(reference, each, widths, paired=True) for each in particles]).mean()

    def _largest_bandwidth(self, reference: Tensor, drawn: Tensor) -> Tensor:
        if self.features:
            return reference.new_tensor(2.0 ** ((self.bandwidths - 1) / 2))
        return median_distance(reference, drawn, most=128)
