r"""Noise-injected, nonparametric family: Karaletsos 2016, section 5.6, eq. 13.

.. math:: x = f_\phi(\tilde{\mathrm{pa}}(x), \epsilon), \qquad \epsilon \sim \mathcal N(0, I)

The samples can follow any distribution that the network can shape from its noise; no density exists or is needed. The
noise must have at least as many components as x, or the samples would fill a lower-dimensional surface only.

References:
    Bouchacourt et al. 2016, *DISCO nets*, arXiv:1606.02556.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from ampbench.interfaces import Conditional, Family
from ampbench.networks import ResidualMLP


@final
class Implicit(Family):
    """Build implicit conditionals.

    Arguments:
        noise: components of ε; 0 takes twice those of x, and at least 8.
        width: units of each hidden layer.
        depth: number of residual blocks.
    """

    def __init__(self, noise: int = 0, width: int = 128, depth: int = 3) -> None:
        self.noise = noise
        self.width = width
        self.depth = depth

    def __call__(self, features: int, context: int) -> Conditional:
        """Build q(x | context)."""
        noise = self.noise or max(8, 2 * features)
        return _Sampler(ResidualMLP(context + noise, features, self.width, self.depth), noise)


class _Sampler(Conditional):
    def __init__(self, network: ResidualMLP, noise: int) -> None:
        super().__init__()
        self.network = network
        self.noise = noise

    def forward(self, context: Tensor) -> Tensor:
        noise = torch.randn(*context.shape[:-1], self.noise, device=context.device, dtype=context.dtype)
        return self.network(torch.cat([context, noise], dim=-1))
