r"""Neural spline flow, a flexible density for Karaletsos 2016, section 5.6, eq. 12.

.. math:: x = \mu_\phi(\tilde{\mathrm{pa}}) + \sigma_\phi(\tilde{\mathrm{pa}}) \odot
              g_\phi(\epsilon; \tilde{\mathrm{pa}}), \qquad \epsilon \sim \mathcal N(0, I), \qquad
          \log q = \log \mathcal N(g^{-1}(z); 0, I) + \log\left|\frac{\partial g^{-1}}{\partial z}\right|
                   - \sum_d \log \sigma_d, \quad z = \frac{x - \mu}{\sigma}

with g a composition of autoregressive rational-quadratic splines. A spline acts on :math:`[-5, 5]` and is the identity
outside, so that a composition of splines leaves the mass outside of that interval at the standard Gaussian's 6e-7. The
affine map standardises x, so that the splines act at about unit scale for any location and width of the posterior.

References:
    Durkan, Bekasov, Murray, Papamakarios 2019, *Neural spline flows*, arXiv:1906.04032.
    Rozet et al. 2022, *Zuko: normalizing flows in PyTorch*, doi:10.5281/zenodo.7625672.
"""

from __future__ import annotations

import math
from typing import final

from torch import Tensor
from torch.distributions import Distribution
from torch.nn.functional import softplus
from zuko.flows import MAF

from ampbench.interfaces import Conditional, Family, HasDensity
from ampbench.networks import ContextFeatures, ResidualMLP
from ampbench.options import at_least, half_open
from ampbench_families.gaussian import MIN_SCALE
from ampbench_families.spline import RationalQuadraticSpline

UNIT_SCALE_OFFSET = math.log(math.e - 1)
"""Added to the free parameter of the scale: softplus(UNIT_SCALE_OFFSET) = 1, the scale before training."""


@final
class Flow(Family):
    """Build neural spline flows.

    Arguments:
        transforms: number of autoregressive transforms, in alternating order of the components.
        bins: number of pieces of each spline.
        width: units of each hidden layer of a transform.
        depth: hidden layers of each transform.
        features: number of features of the context that a residual network of twice ``width`` learns.
        dropout: share of the outputs of this network's blocks that are dropped at random in training.
        coupling: whether each transform changes half of the components given the other half. Sampling then takes two
            passes through each transform, rather than one per component of x.
    """

    packages = ("zuko",)

    def __init__(
        self,
        transforms: int = 3,
        bins: int = 8,
        width: int = 64,
        depth: int = 2,
        features: int = 64,
        dropout: float = 0.2,
        coupling: bool = False,
    ) -> None:
        at_least(self, transforms=(transforms, 1), bins=(bins, 2), width=(width, 1))
        at_least(self, depth=(depth, 0), features=(features, 1))
        half_open(self, dropout=(dropout, 0, 1))
        self.transforms = transforms
        self.bins = bins
        self.width = width
        self.depth = depth
        self.features = features
        self.dropout = dropout
        self.coupling = coupling

    def __call__(self, features: int, context: int) -> Conditional:
        """Build q(x | context)."""
        seen = ContextFeatures(context, self.features, 2 * self.width, self.dropout)
        splines = MAF(
            features,
            seen.outputs,
            univariate=RationalQuadraticSpline,
            shapes=[(3 * self.bins - 1,)],
            passes=2 if self.coupling else None,
            transforms=self.transforms,
            hidden_features=(self.width,) * self.depth,
        )
        return _Flow(seen, ResidualMLP(seen.outputs, 2 * features, self.width, depth=0), splines)


class _Flow(Conditional, HasDensity):
    def __init__(self, embed: ContextFeatures, affine: ResidualMLP, splines: MAF) -> None:
        super().__init__()
        self.embed = embed
        self.affine = affine
        self.splines = splines

    def forward(self, context: Tensor) -> Tensor:
        seen = self.embed(context)
        location, scale = self.frame(seen)
        return location + scale * self.distribution(seen).rsample()

    def log_prob(self, value: Tensor, context: Tensor) -> Tensor:
        seen = self.embed(context)
        location, scale = self.frame(seen)
        return self.distribution(seen).log_prob((value - location) / scale) - scale.log().sum(-1)

    def frame(self, seen: Tensor) -> tuple[Tensor, Tensor]:
        """Return location μ and scale σ, each (*, D), of z = (x − μ) / σ."""
        location, free = self.affine(seen).chunk(2, dim=-1)
        return location, softplus(free + UNIT_SCALE_OFFSET) + MIN_SCALE

    def distribution(self, seen: Tensor) -> Distribution:
        """Return the distribution of z, with batch shape (*,)."""
        if seen.shape[-1]:
            return self.splines(seen)
        return self.splines(None).expand(seen.shape[:-1])
