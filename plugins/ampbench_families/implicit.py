r"""Noise-injected, nonparametric family: Karaletsos 2016, section 5.6, eq. 13.

.. math:: x = f_\phi(\tilde{\mathrm{pa}}(x), \epsilon), \qquad \epsilon \sim \mathcal N(0, I)

The samples can follow any distribution that the network can shape from its noise; no density exists or is needed. The
noise must have at least as many components as x, or the samples would fill a lower-dimensional surface only.

With ``features``, f sees the context and features of it that a residual network with dropout learns; the particles of
an item leave out the same. That keeps few simulations from being learned by heart, where the divergence compares
several particles with one context (``energy``, ``riesz``); an adversary that sees one at a time would take the dropout
for noise.

With ``injected`` every residual block h ← h + b(h + A ε′) has noise ε′ of its own, so that late layers can add fine
detail without carrying noise through all earlier ones.

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
        noise: components of ε; 0 takes twice those of x, and at least 8.
        width: units of each hidden layer.
        depth: number of residual blocks.
        injected: whether noise enters every residual block as well.
        features: how many features of the context a residual network of that width learns.
        dropout: share of that network's blocks left out at random in training.
        asinh: whether the context is bent before f and that network see it, which tames heavy tails; see
            :class:`ampbench.networks.ContextFeatures`.
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
        """What the network sees: the context, features of it, and noise."""
        return torch.cat([self.embed(context), self.fresh(context)], dim=-1)

    def fresh(self, context: Tensor) -> Tensor:
        """Noise (*, noise) for contexts (*, C)."""
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
