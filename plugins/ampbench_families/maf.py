r"""Masked autoregressive flow: a density for Karaletsos 2016, section 5.6, eq. 12, composed of affine maps.

.. math:: z_d = \frac{x_d - \mu_\phi(x_{<d}; \tilde{\mathrm{pa}})}{\sigma_\phi(x_{<d}; \tilde{\mathrm{pa}})}, \qquad
          \log q = \log \mathcal N(z; 0, I) - \sum_d \log \sigma_d

for each of several transforms, in alternating order of the components. A transform is a Gaussian given the preceding
components, so that the flow suits conditionals of simulators with additive noise; ``flow``, whose transforms are
splines, suits sharp and skewed ones. Its density takes one pass through each transform, its samples one per component.

References:
    Papamakarios, Pavlakou, Murray 2017, *Masked autoregressive flow for density estimation*, arXiv:1705.07057.
    Rozet et al. 2022, *Zuko: normalizing flows in PyTorch*, doi:10.5281/zenodo.7625672.
"""

from __future__ import annotations

from typing import final

from torch import Tensor
from torch.distributions import Distribution
from zuko.flows import MAF

from ampbench.interfaces import Conditional, Family, HasDensity
from ampbench.options import at_least


@final
class MaskedAutoregressive(Family):
    """Build masked autoregressive flows.

    Arguments:
        transforms: number of autoregressive transforms.
        width: units of each hidden layer of a transform.
        depth: hidden layers of each transform.
    """

    packages = ("zuko",)

    def __init__(self, transforms: int = 5, width: int = 64, depth: int = 2) -> None:
        at_least(self, transforms=(transforms, 1), width=(width, 1), depth=(depth, 0))
        self.transforms = transforms
        self.width = width
        self.depth = depth

    def __call__(self, features: int, context: int) -> Conditional:
        """Build q(x | context)."""
        return _Flow(MAF(features, context, transforms=self.transforms, hidden_features=(self.width,) * self.depth))


class _Flow(Conditional, HasDensity):
    def __init__(self, transforms: MAF) -> None:
        super().__init__()
        self.transforms = transforms

    def forward(self, context: Tensor) -> Tensor:
        return self.distribution(context).rsample()

    def log_prob(self, value: Tensor, context: Tensor) -> Tensor:
        return self.distribution(context).log_prob(value)

    def distribution(self, context: Tensor) -> Distribution:
        """Return the distribution, with batch shape (*,)."""
        if context.shape[-1]:
            return self.transforms(context)
        return self.transforms(None).expand(context.shape[:-1])
