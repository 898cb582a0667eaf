r"""Gaussian family with full covariance: Karaletsos 2016, section 5.6, eq. 12.

.. math:: x = \mu_\phi(\tilde{\mathrm{pa}}) + L_\phi(\tilde{\mathrm{pa}})\,\epsilon,
          \qquad \epsilon \sim \mathcal N(0, I)

with L lower triangular and a positive diagonal, so that :math:`q = \mathcal N(\mu, L L^\top)` has a density.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor
from torch.distributions import MultivariateNormal
from torch.nn.functional import softplus

from ampbench.interfaces import Conditional, Family, HasDensity
from ampbench.networks import ResidualMLP

SMALLEST = 1e-4
"""Least standard deviation along the diagonal of L, in standardised coordinates."""


@final
class Gaussian(Family):
    """Build Gaussian conditionals with full covariance.

    Arguments:
        width: units of each hidden layer.
        depth: number of residual blocks.
    """

    def __init__(self, width: int = 128, depth: int = 3) -> None:
        self.width = width
        self.depth = depth

    def __call__(self, features: int, context: int) -> Conditional:
        """Build q(x | context)."""
        outputs = features + features * (features + 1) // 2
        return _Normal(ResidualMLP(context, outputs, self.width, self.depth), features)


class _Normal(Conditional, HasDensity):
    def __init__(self, network: ResidualMLP, features: int) -> None:
        super().__init__()
        self.network = network
        self.features = features

    def forward(self, context: Tensor) -> Tensor:
        return self.law(context).rsample()

    def log_prob(self, value: Tensor, context: Tensor) -> Tensor:
        return self.law(context).log_prob(value)

    def law(self, context: Tensor) -> MultivariateNormal:
        """The Gaussian itself, with batch shape (*,)."""
        outputs = self.network(context)
        mean, entries = outputs[..., : self.features], outputs[..., self.features :]
        rows, columns = torch.tril_indices(self.features, self.features, device=context.device)
        free = outputs.new_zeros(*entries.shape[:-1], self.features, self.features)
        free[..., rows, columns] = entries
        scale = softplus(free.diagonal(dim1=-2, dim2=-1)) + SMALLEST
        return MultivariateNormal(mean, scale_tril=free.tril(-1) + torch.diag_embed(scale), validate_args=False)
