r"""Gradients through discrete samples: the Gumbel-softmax relaxation, straight through.

.. math:: \text{hard} = \operatorname{onehot} \arg\max_k (\ell_k + g_k), \qquad
          \text{soft} = \operatorname{softmax}\!\left(\frac{\ell + g}{\tau}\right), \qquad g_k \sim \text{Gumbel}(0, 1)

The hard value has exactly the distribution with logits :math:`\ell`; adversaries and later factors receive it. The
gradient is that of the soft value. It is **biased** for two reasons: it takes the derivative of the loss between the
corners, where the loss is never evaluated, and the soft value has another mean than the hard one. For one bit at p = ½
and a linear loss, the gradient is 0.67 of the exact one at :math:`\tau = 1`, 0.86 at ½ and 0.99 at ⅒, while its
variance grows like :math:`1/\tau`. A fixed point at which the adversary is constant, as at q = p, remains a fixed
point. Divergences that use the density alone (``forward-kl``) do not differentiate samples, and have no bias.

References:
    Jang, Gu, Poole 2017, *Categorical reparameterization with Gumbel-softmax*, arXiv:1611.01144.
    Maddison, Mnih, Teh 2017, *The concrete distribution*, arXiv:1611.00712.
    Bengio, Léonard, Courville 2013, *Estimating or propagating gradients through stochastic neurons*, arXiv:1308.3432.
"""

from __future__ import annotations

import math
from abc import ABC
from typing import ClassVar

from torch import Tensor

from ampbench.interfaces import Conditional, Family, HasDensity
from ampbench.networks import ResidualMLP
from ampbench.options import at_least, between


class DiscreteFamily(Family, ABC):
    """Base class of families over discrete vectors whose logits are the output of a network.

    Arguments:
        temperature: τ of the relaxation that carries the gradient.
        width: units of each hidden layer.
        depth: number of residual blocks.

    Attributes:
        conditional: the class of the conditionals; a subclass sets it.
    """

    conditional: ClassVar[type[DiscreteConditional]]

    def __init__(self, temperature: float = 0.5, width: int = 128, depth: int = 3) -> None:
        at_least(self, width=(width, 1), depth=(depth, 0))
        between(self, temperature=(temperature, 0, math.inf))
        self.temperature = temperature
        self.width = width
        self.depth = depth

    def __call__(self, features: int, context: int) -> Conditional:
        """Build q(x | context)."""
        return self.conditional(ResidualMLP(context, features, self.width, self.depth), self.temperature)


class DiscreteConditional(Conditional, HasDensity, ABC):
    """Base class of conditionals over discrete vectors; a subclass draws samples and evaluates log q.

    Arguments:
        logits: network from contexts (*, C) to logits ℓ (*, D).
        temperature: τ of the relaxation.
    """

    def __init__(self, logits: ResidualMLP, temperature: float) -> None:
        super().__init__()
        self.logits = logits
        self.temperature = temperature


def straight_through(hard: Tensor, soft: Tensor) -> Tensor:
    """Return the hard values, to the last bit, with the gradient of the soft values."""
    return hard + (soft - soft.detach())  # adds an exact 0; (hard + soft) − soft may be 1.0000001
