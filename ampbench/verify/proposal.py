r"""A proposal distribution that covers reference draws: a mixture of Student t distributions.

Scikit-learn fits Gaussian mixtures to three quarters of the draws and doubles the number of components until the mean
log density of the remaining draws no longer rises. The covariances are then widened, and the Gaussians replaced by
Student t distributions. By how much depends on the dimension: in :math:`D` dimensions a covariance widened by a factor
:math:`c` divides the effective sample size by :math:`(c^2 / (2 c - 1))^{D/2}`, so that :math:`c = 1 + 1/D` is chosen,
and :math:`\nu = 4 + D^2 / 4` degrees of freedom.

This Student t mixture is on purpose independent of the samplers that it certifies (``ampbench_tasks.student``); its
density is tested against ``scipy.stats.multivariate_t``.

References:
    Hesterberg 1995, *Weighted average importance sampling and defensive mixture distributions*,
    doi:10.1080/00401706.1995.10484303.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from torch import Generator, Tensor
from torch.distributions import Chi2

COMPONENT_COUNTS = (1, 2, 4, 8, 16)
"""Candidates for the number of components."""
MIN_DENSITY_GAIN = 0.01
"""Gain in mean log density of held-out draws, in nats, that justifies twice as many components."""
DRAWS_PER_PARAMETER = 4
"""Smallest number of draws for each parameter of a mixture."""


@dataclass(frozen=True)
class Proposal:
    """A mixture of Student t distributions with common degrees of freedom.

    Attributes:
        weights: shape (K,).
        means: shape (K, D).
        roots: lower Cholesky factors of the scale matrices, shape (K, D, D).
        freedom: degrees of freedom.
    """

    weights: Tensor
    means: Tensor
    roots: Tensor
    freedom: float

    def sample(self, n: int, generator: Generator) -> Tensor:
        """Return n draws, shape (n, D)."""
        which = torch.multinomial(self.weights, n, replacement=True, generator=generator)
        return self.means[which] + self.noise(which, generator)

    def noise(self, which: Tensor, generator: Generator) -> Tensor:
        """Return random deviations from the means of the given components (n,), shape (n, D)."""
        dim = self.means.shape[1]
        normal = torch.randn(len(which), dim, 1, generator=generator, dtype=self.means.dtype)
        chi2 = Chi2(self.means.new_full((len(which),), self.freedom))
        with torch.random.fork_rng(devices=[]):  # torch's distributions draw from the global generator only
            torch.set_rng_state(generator.get_state())
            scale = (self.freedom / chi2.sample()).sqrt()
            generator.set_state(torch.get_rng_state())
        return (self.roots[which] @ normal)[..., 0] * scale[:, None]

    def log_prob(self, u: Tensor) -> Tensor:
        """Return the log density at u (n, D), shape (n,)."""
        return torch.logsumexp(self._log_parts(u), dim=0)

    def nearest(self, u: Tensor) -> Tensor:
        """Return the most probable component of each point u (n, D), shape (n,)."""
        return self._log_parts(u).argmax(0)

    def _log_parts(self, u: Tensor) -> Tensor:
        """Return the log of weight times density of each component at u (n, D), shape (K, n)."""
        dim, nu = self.means.shape[1], self.freedom
        constant = math.lgamma((nu + dim) / 2) - math.lgamma(nu / 2) - dim / 2 * math.log(nu * math.pi)
        parts = []
        for weight, mean, root in zip(self.weights, self.means, self.roots, strict=True):
            z = torch.linalg.solve_triangular(root, (u - mean).T, upper=False)
            kernel = -(nu + dim) / 2 * torch.log1p(z.square().sum(0) / nu)
            parts.append(weight.log() + constant - root.diagonal().log().sum() + kernel)
        return torch.stack(parts)


def fit(draws: Tensor, seed: int) -> Proposal:
    """Fit a proposal to draws (n, D) in unconstrained coordinates, float64."""
    centre, spread = draws.mean(0), draws.std(0).clamp(min=1e-12)
    order = torch.randperm(len(draws), generator=Generator().manual_seed(seed))
    z = ((draws - centre) / spread)[order].numpy()
    dim, cut = z.shape[1], len(z) * 3 // 4
    best = _gaussians(z[:cut], 1, seed)
    for k in COMPONENT_COUNTS[1:]:
        if k * dim * (dim + 3) / 2 * DRAWS_PER_PARAMETER > cut:
            break
        larger = _gaussians(z[:cut], k, seed)
        if larger.score(z[cut:]) < best.score(z[cut:]) + MIN_DENSITY_GAIN:
            break
        best = larger
    widened = torch.from_numpy(best.covariances_) * (1 + 1 / dim)
    return Proposal(
        weights=torch.from_numpy(best.weights_),
        means=centre + spread * torch.from_numpy(best.means_),
        roots=spread[:, None] * torch.linalg.cholesky(widened),
        freedom=4 + dim**2 / 4,
    )


def _gaussians(z: NDArray[np.float64], components: int, seed: int) -> GaussianMixture:
    """Fit a Gaussian mixture to standardised draws (n, D)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # an approximate fit suffices
        model = GaussianMixture(components, max_iter=30, tol=1e-2, reg_covar=1e-7, random_state=seed % 2**32)
        return model.fit(z)
