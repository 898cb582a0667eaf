r"""A broad proposal around reference draws: a mixture of Student t distributions.

Scikit-learn fits Gaussian mixtures to a part of the draws, with twice as many components each time, until the density
of the rest of them no longer rises. The covariances are then widened, and the tails made heavy. How much depends on the
dimension: in :math:`D` dimensions a covariance widened by :math:`c` costs :math:`(c^2 / (2 c - 1))^{D/2}` of the
effective sample size, so that :math:`c = 1 + 1/D`, and :math:`\nu = 4 + D^2 / 4` degrees of freedom.

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

CANDIDATES = (1, 2, 4, 8, 16)
RISE = 0.01
"""A larger mixture must raise the mean log density of unseen draws by this much."""
PER_PARAMETER = 4
"""Draws that every parameter of a mixture must have."""


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
        """Draw n times, shape (n, D)."""
        which = torch.multinomial(self.weights, n, replacement=True, generator=generator)
        return self.means[which] + self.noise(which, generator)

    def noise(self, which: Tensor, generator: Generator) -> Tensor:
        """Deviations from the means of the given components (n,), shape (n, D)."""
        dim = self.means.shape[1]
        normal = torch.randn(len(which), dim, 1, generator=generator, dtype=self.means.dtype)
        chi2 = torch._standard_gamma(
            torch.full((len(which),), self.freedom / 2, dtype=self.means.dtype), generator=generator
        )
        return (self.roots[which] @ normal)[..., 0] * (self.freedom / (2 * chi2)).sqrt()[:, None]

    def log_prob(self, u: Tensor) -> Tensor:
        """Log density at (n, D), shape (n,)."""
        return torch.logsumexp(self._log_parts(u), dim=0)

    def nearest(self, u: Tensor) -> Tensor:
        """The component that most likely made each of (n, D), shape (n,)."""
        return self._log_parts(u).argmax(0)

    def _log_parts(self, u: Tensor) -> Tensor:
        """log of weight times density, shape (K, n)."""
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
    for k in CANDIDATES[1:]:
        if k * dim * (dim + 3) / 2 * PER_PARAMETER > cut:
            break
        larger = _gaussians(z[:cut], k, seed)
        if larger.score(z[cut:]) < best.score(z[cut:]) + RISE:
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
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # nearly fitted is fitted well enough
        model = GaussianMixture(components, max_iter=30, tol=1e-2, reg_covar=1e-7, random_state=seed % 2**32)
        return model.fit(z)
