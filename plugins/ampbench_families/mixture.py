r"""Mixture of Gaussians, with exact gradients to all its parameters: Karaletsos 2016, section 5.6, eq. 12.

.. math:: q(x \mid \tilde{\mathrm{pa}}) = \sum_k w_k \prod_d \mathcal N(x_d; \mu_{kd}, \sigma_{kd}^2)

A sample is drawn from a randomly chosen component. Its gradient is computed by :mod:`ampbench_families.pathwise`; it is
unbiased for every parameter, including the weights.

References:
    Figurnov, Mohamed, Mnih 2018, *Implicit reparameterization gradients*, arXiv:1805.08498, section 4.3.
    Bishop 1994, *Mixture density networks*, Aston University NCRG/94/004.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn
from torch.distributions import Categorical, Normal
from torch.nn.functional import softplus

from ampbench.interfaces import Conditional, Family, HasDensity
from ampbench.networks import ResidualMLP
from ampbench.options import at_least
from ampbench_families.gaussian import MIN_SCALE
from ampbench_families.pathwise import pathwise


@final
class Mixture(Family):
    """Build mixtures of Gaussians with diagonal covariances.

    Arguments:
        components: number of Gaussians.
        width: units of each hidden layer.
        depth: number of residual blocks.
    """

    def __init__(self, components: int = 8, width: int = 128, depth: int = 3) -> None:
        at_least(self, components=(components, 1), width=(width, 1), depth=(depth, 0))
        self.components = components
        self.width = width
        self.depth = depth

    def __call__(self, features: int, context: int) -> Conditional:
        """Build q(x | context)."""
        network = ResidualMLP(context, self.components * (1 + 2 * features), self.width, self.depth)
        means = slice(self.components, self.components * (1 + features))
        nn.init.normal_(network.last.bias.data[means])  # equal components would get equal gradients and stay equal
        return _Mixture(network, self.components, features)


class _Mixture(Conditional, HasDensity):
    def __init__(self, network: ResidualMLP, components: int, features: int) -> None:
        super().__init__()
        self.network = network
        self.sizes = [components, components * features, components * features]
        self.shape = (components, features)

    def forward(self, context: Tensor) -> Tensor:
        log_weight, mean, scale = self.parts(context)
        chosen = Categorical(logits=log_weight).sample()[..., None, None].expand(*mean.shape[:-2], 1, mean.shape[-1])
        drawn = torch.normal(mean.gather(-2, chosen), scale.gather(-2, chosen)).squeeze(-2)
        return pathwise(drawn.detach(), log_weight, mean, scale)

    def log_prob(self, value: Tensor, context: Tensor) -> Tensor:
        log_weight, mean, scale = self.parts(context)
        return (log_weight + Normal(mean, scale).log_prob(value[..., None, :]).sum(-1)).logsumexp(-1)

    def parts(self, context: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return log weights (*, K), means and standard deviations (*, K, D)."""
        logits, mean, free = self.network(context).split(self.sizes, dim=-1)
        scale = softplus(free.unflatten(-1, self.shape)) + MIN_SCALE
        return logits.log_softmax(-1), mean.unflatten(-1, self.shape), scale
