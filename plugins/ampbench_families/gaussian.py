r"""Gaussian family with full or diagonal covariance: Karaletsos 2016, section 5.6, eq. 12.

.. math:: x = \mu_\phi(\tilde{\mathrm{pa}}) + L_\phi(\tilde{\mathrm{pa}})\,\epsilon,
          \qquad \epsilon \sim \mathcal N(0, I)

with L lower triangular (or diagonal) and a positive diagonal, so that :math:`q = \mathcal N(\mu, L L^\top)` has a
density.

References:
    Karaletsos 2016, *Adversarial message passing for graphical models*, arXiv:1612.05048.
    Kingma & Welling 2014, *Auto-encoding variational Bayes*, arXiv:1312.6114 (the reparametrisation).
"""

from __future__ import annotations

from typing import Literal, final

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, MultivariateNormal, Normal
from torch.nn.functional import softplus

from ampbench.interfaces import Conditional, Family, HasDensity
from ampbench.networks import ResidualMLP
from ampbench.options import at_least

MIN_SCALE = 1e-4
"""Minimum of the diagonal entries of L, in standardised coordinates."""


@final
class Gaussian(Family):
    """Build Gaussian conditionals.

    Arguments:
        covariance: ``full``, or ``diagonal``: fewer outputs, but no correlations between the components of x.
        width: units of each hidden layer.
        depth: number of residual blocks.
    """

    def __init__(self, covariance: Literal["full", "diagonal"] = "full", width: int = 128, depth: int = 3) -> None:
        at_least(self, width=(width, 1), depth=(depth, 0))
        self.covariance = covariance
        self.width = width
        self.depth = depth

    def __call__(self, features: int, context: int) -> Conditional:
        """Build q(x | context)."""
        full = self.covariance == "full"
        entries = features * (features + 1) // 2 if full else features
        return _Normal(ResidualMLP(context, features + entries, self.width, self.depth), features, full)


class _Normal(Conditional, HasDensity):
    def __init__(self, network: ResidualMLP, features: int, full: bool) -> None:
        super().__init__()
        self.network = network
        self.features = features
        self.full = full

    def forward(self, context: Tensor) -> Tensor:
        return self.distribution(context).rsample()

    def log_prob(self, value: Tensor, context: Tensor) -> Tensor:
        return self.distribution(context).log_prob(value)

    def distribution(self, context: Tensor) -> Distribution:
        """Return the Gaussian, with batch shape (*,)."""
        outputs = self.network(context)
        mean, entries = outputs[..., : self.features], outputs[..., self.features :]
        if not self.full:
            return Independent(Normal(mean, softplus(entries) + MIN_SCALE, validate_args=False), 1, validate_args=False)
        rows, columns = torch.tril_indices(self.features, self.features, device=context.device)
        free = outputs.new_zeros(*entries.shape[:-1], self.features, self.features)
        free[..., rows, columns] = entries
        scale = softplus(free.diagonal(dim1=-2, dim2=-1)) + MIN_SCALE
        return MultivariateNormal(mean, scale_tril=free.tril(-1) + torch.diag_embed(scale), validate_args=False)
