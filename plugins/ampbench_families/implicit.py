r"""Noise-injected, nonparametric family: Karaletsos 2016, section 5.6, eq. 13.

.. math:: x = f_\phi(\tilde{\mathrm{pa}}(x), \epsilon), \qquad \epsilon \sim \mathcal N(0, I)

The samples can have any distribution that the network can generate from its noise; q has no density, and needs none.
The noise must have at least as many components as x; with fewer, the samples would lie on a lower-dimensional surface.

With ``features``, the inputs of f are the context and features of it that a residual network with dropout learns; all
particles of one item of evidence share a dropout mask. Dropout reduces overfitting to few simulations if the divergence
compares several particles of one context (``energy``, ``riesz``). It does not suit divergences whose adversary compares
one particle at a time, because there the variation by dropout is indistinguishable from that by the noise ε.

With ``injected``, every residual block h ← h + b(h + A ε′) has independent noise ε′, so that late layers can add fine
detail without noise that passes through all earlier layers.

References:
    Bouchacourt, Mudigonda, Nowozin 2016, *DISCO nets*, arXiv:1606.02556.
    Karras, Laine, Aila 2019, *A style-based generator architecture* (StyleGAN), arXiv:1812.04948, section 3.2.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from ampbench.interfaces import Conditional, Family
from ampbench.networks import ContextFeatures, ResidualMLP
from ampbench.options import at_least, half_open


@final
class Implicit(Family):
    """Build implicit conditionals.

    Arguments:
        noise: number of components of ε; 0: twice the number of components of x, at least 8.
        width: units of each hidden layer.
        depth: number of residual blocks.
        injected: whether noise enters every residual block too.
        features: number of features of the context that a residual network of this width learns.
        dropout: share of the outputs of this network's blocks that are dropped at random in training.
        asinh: whether the context is transformed by asinh before the networks receive it, which compresses heavy tails;
            see :class:`ampbench.networks.ContextFeatures`.
    """

    def __init__(
        self,
        noise: int = 0,
        width: int = 128,
        depth: int = 3,
        injected: bool = False,
        features: int = 0,
        dropout: float = 0.0,
        asinh: bool = False,
    ) -> None:
        at_least(self, noise=(noise, 0), width=(width, 1), depth=(depth, 0), features=(features, 0))
        half_open(self, dropout=(dropout, 0, 1))
        self.noise = noise
        self.width = width
        self.depth = depth
        self.injected = injected
        self.features = features
        self.dropout = dropout
        self.asinh = asinh

    def __call__(self, features: int, context: int) -> Conditional:
        """Build q(x | context)."""
        noise = self.noise or max(8, 2 * features)
        seen = ContextFeatures(context, self.features, self.width, self.dropout, self.asinh)
        network = ResidualMLP(seen.outputs + noise, features, self.width, self.depth)
        return _Injected(seen, network, noise) if self.injected else _Sampler(seen, network, noise)


class _Sampler(Conditional):
    def __init__(self, embed: ContextFeatures, network: ResidualMLP, noise: int) -> None:
        super().__init__()
        self.embed = embed
        self.network = network
        self.noise = noise

    def forward(self, context: Tensor) -> Tensor:
        return self.network(self.inputs(context))

    def inputs(self, context: Tensor) -> Tensor:
        """Return the inputs of the network: the context, features of it, and noise."""
        return torch.cat([self.embed(context), self.fresh(context)], dim=-1)

    def fresh(self, context: Tensor) -> Tensor:
        """Return noise (*, noise) for contexts (*, C)."""
        return torch.randn(*context.shape[:-1], self.noise, device=context.device, dtype=context.dtype)


class _Injected(_Sampler):
    def __init__(self, embed: ContextFeatures, network: ResidualMLP, noise: int) -> None:
        super().__init__(embed, network, noise)
        width = network.last.in_features
        self.injections = nn.ModuleList(nn.Linear(noise, width, bias=False) for _ in network.blocks)

    def forward(self, context: Tensor) -> Tensor:
        hidden = self.network.first(self.inputs(context))
        for block, inject in zip(self.network.blocks, self.injections, strict=True):
            hidden = hidden + block(hidden + inject(self.fresh(context)))
        return self.network.last(silu(hidden))
