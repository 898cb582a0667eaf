r"""Mixtures of multivariate Student t distributions, fitted to weighted draws.

.. math:: q(u) = \sum_k \alpha_k\, t_\nu(u; \mu_k, \Sigma_k)

An EM step for draws :math:`u_i` with weights :math:`w_i`, responsibilities :math:`\rho_{ik}`, and
:math:`\gamma_{ik} = (\nu + D) / (\nu + \delta_{ik})` for squared Mahalanobis distances :math:`\delta_{ik}`:

.. math::
    \alpha_k = \sum_i w_i \rho_{ik}, \quad
    \mu_k = \frac{\sum_i w_i \rho_{ik} \gamma_{ik} u_i}{\sum_i w_i \rho_{ik} \gamma_{ik}}, \quad
    \Sigma_k = \frac{1}{\alpha_k} \sum_i w_i \rho_{ik} \gamma_{ik} (u_i - \mu_k)(u_i - \mu_k)^\top

A wide defensive component around all draws is added at the end.

References:
    Hesterberg 1995, *Weighted average importance sampling and defensive mixture distributions*,
    doi:10.1080/00401706.1995.10484303.
    Peel & McLachlan 2000, *Robust mixture modelling using the t distribution*, doi:10.1023/A:1008981510081.
    Cappé, Douc, Guillin, Marin, Robert 2008, *Adaptive importance sampling in general mixture classes*,
    arXiv:0710.4242.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributions import Chi2

DEGREES_OF_FREEDOM = 8.0
"""ν: small enough that the weights of exponential tails are bounded, large enough for ten dimensions."""
EM_STEPS = 12
DEFENSIVE_WEIGHT, DEFENSIVE_SCALE = 0.1, 4.0
"""Weight of the defensive component, and its covariance in units of the covariance of all draws."""
MIN_WEIGHT = 0.01
"""Smallest weight of a component; components below it are dropped."""


@dataclass(frozen=True)
class Mixture:
    """A mixture of K Student t distributions over D dimensions.

    Attributes:
        weights: α, shape (K,).
        means: μ, shape (K, D).
        factors: lower Cholesky factors of Σ, shape (K, D, D).
    """

    weights: Tensor
    means: Tensor
    factors: Tensor

    def sample(self, n: int) -> Tensor:
        """Draw n vectors, shape (n, D), with the global generator."""
        chosen = torch.multinomial(self.weights, n, replacement=True)
        normal = torch.randn(n, self.means.shape[1], dtype=self.means.dtype)
        chi2 = Chi2(self.means.new_tensor(DEGREES_OF_FREEDOM)).sample(torch.Size([n, 1]))
        scaled = normal * (DEGREES_OF_FREEDOM / chi2).sqrt()
        return self.means[chosen] + (self.factors[chosen] @ scaled[..., None])[..., 0]

    def log_prob(self, u: Tensor) -> Tensor:
        """Return log q(u), shape (n,), for u of shape (n, D)."""
        return self.log_parts(self.distances(u)).logsumexp(1)

    def distances(self, u: Tensor) -> Tensor:
        """Return the squared Mahalanobis distances to each component, shape (n, K)."""
        centred = (u[None] - self.means[:, None]).transpose(1, 2)  # (K, D, n)
        return torch.linalg.solve_triangular(self.factors, centred, upper=False).square().sum(1).T

    def log_parts(self, distances: Tensor) -> Tensor:
        """Return log α_k + log t_k, shape (n, K)."""
        size = self.means.shape[1]
        normaliser = (
            math.lgamma((DEGREES_OF_FREEDOM + size) / 2)
            - math.lgamma(DEGREES_OF_FREEDOM / 2)
            - size / 2 * math.log(DEGREES_OF_FREEDOM * math.pi)
        )
        log_det = self.factors.diagonal(dim1=1, dim2=2).log().sum(1)
        return (
            self.weights.log()
            + normaliser
            - log_det
            - (DEGREES_OF_FREEDOM + size) / 2 * torch.log1p(distances / DEGREES_OF_FREEDOM)
        )


def fit(u: Tensor, weights: Tensor, components: int) -> Mixture:
    """Fit a mixture to draws u, shape (n, D), with weights, shape (n,), that sum to one."""
    size = u.shape[1]
    mean = weights @ u
    spread = _covariance(u - mean, weights)
    centres = u[torch.multinomial(weights, components, replacement=True)]
    narrow = spread * components ** (-2 / size)
    mixture = Mixture(
        torch.full((components,), 1 / components, dtype=u.dtype),
        centres,
        _cholesky(narrow.expand(components, size, size)),
    )
    for _ in range(EM_STEPS):
        mixture = _step(mixture, u, weights, spread)
    return _defended(mixture, mean, spread)


def _defended(mixture: Mixture, mean: Tensor, spread: Tensor) -> Mixture:
    """Add a wide component around all draws, which bounds the weights where the fit is too narrow."""
    return Mixture(
        torch.cat([(1 - DEFENSIVE_WEIGHT) * mixture.weights, mixture.weights.new_tensor([DEFENSIVE_WEIGHT])]),
        torch.cat([mixture.means, mean[None]]),
        torch.cat([mixture.factors, _cholesky(DEFENSIVE_SCALE * spread)[None]]),
    )


def _step(mixture: Mixture, u: Tensor, weights: Tensor, spread: Tensor) -> Mixture:
    """Return the mixture after an EM step.

    Covariances are shrunk slightly towards the overall covariance; components with too few effective draws are dropped.
    """
    size = u.shape[1]
    distances = mixture.distances(u)
    responsible = weights[:, None] * torch.softmax(mixture.log_parts(distances), 1)  # w ρ, (n, K)
    share = responsible.sum(0)
    effective = share.square() / responsible.square().sum(0)
    alive = (share > MIN_WEIGHT) & (effective > 2 * size)
    if not bool(alive.any()):
        alive = share == share.max()
    responsible, share, effective = responsible[:, alive], share[alive], effective[alive]
    pulled = responsible * (DEGREES_OF_FREEDOM + size) / (DEGREES_OF_FREEDOM + distances[:, alive])  # w ρ γ
    means = (pulled.T @ u) / pulled.sum(0)[:, None]
    centred = u[None] - means[:, None]  # (K, n, D)
    covariances = (centred * pulled.T[:, :, None]).transpose(1, 2) @ centred / share[:, None, None]
    blend = (size / (effective + size))[:, None, None]
    covariances = (1 - blend) * covariances + blend * spread
    return Mixture(share / share.sum(), means, _cholesky(covariances))


def _covariance(centred: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted covariance of centred draws (n, D)."""
    return (centred * weights[:, None]).T @ centred


def _cholesky(covariances: Tensor) -> Tensor:
    """Return Cholesky factors; a jitter on the diagonal makes degenerate covariances positive definite."""
    jitter = 1e-9 * covariances.diagonal(dim1=-2, dim2=-1).mean(-1) + 1e-12
    eye = torch.eye(covariances.shape[-1], dtype=covariances.dtype)
    return torch.linalg.cholesky(covariances + jitter[..., None, None] * eye)
