r"""Exact posterior of a Gaussian hierarchy, shared by the tasks with plates.

.. math::
    \mu \sim \mathcal N(0, s_0^2), \qquad \tau \sim p(\tau), \qquad \theta_j \sim \mathcal N(\mu, \tau^2), \qquad
    \bar y_j \sim \mathcal N(\theta_j, 1 / w_j)

Given :math:`\tau` everything is conjugate. With :math:`p_j = w_j / (1 + w_j \tau^2)`, the precision of
:math:`\bar y_j` about :math:`\mu`, and :math:`P = s_0^{-2} + \sum_j p_j`, :math:`M = \sum_j p_j \bar y_j / P`,

.. math::
    \log p(\bar y \mid \tau) &= -\tfrac12 \Bigl[\sum_j \log(1 + w_j \tau^2) + \log P
        + \sum_j p_j (\bar y_j - M)^2 + M^2 / s_0^2\Bigr] + \text{const} \\
    \mu \mid \tau, \bar y &\sim \mathcal N(M, 1 / P) \\
    \theta_j \mid \mu, \tau, \bar y &\sim \mathcal N\bigl(\mu + \tau^2 p_j (\bar y_j - \mu),\; \tau^2 p_j / w_j\bigr)

A group without observations has :math:`w_j = 0`, and the last variance is then :math:`\tau^2`. :math:`\log \tau` is
drawn from its one-dimensional density (:mod:`ampbench_tasks.line`), which decreases at least exponentially towards both
ends, for a prior of :math:`\tau` with a light tail and also for a half-Cauchy.

References:
    Gelman et al. 2013, *Bayesian Data Analysis*, third edition, section 5.4, http://www.stat.columbia.edu/~gelman/book/.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Generator, Tensor
from torch.distributions import Distribution, Independent, Normal

from ampbench_tasks import line

LOG_TAU_BOUND = 40.0
"""Bound of |log τ|; the prior mass beyond it is below exp(−36) in all tasks with plates."""


def group(mu: Tensor, tau: Tensor) -> Distribution:
    """Return p(θ_j | μ, τ) for μ and τ of shape (n, 1); τ = 0, which may occur in float32, gives a point mass."""
    return Independent(Normal(mu, tau.clamp(min=torch.finfo(tau.dtype).tiny)), 1)


def sample(
    estimates: Tensor,
    precisions: Tensor,
    deviation: float,
    log_prior: Callable[[Tensor], Tensor],
    n: int,
    seed: int,
) -> Tensor:
    """Draw n times from the posterior of (μ, τ, θ_1, …, θ_J), shape (n, 2 + J), float32.

    Arguments:
        estimates: ȳ, shape (J,), any finite value for a group without observations.
        precisions: w, shape (J,), zero for a group without observations.
        deviation: s_0, the prior standard deviation of μ.
        log_prior: log p(τ) up to a constant, from τ (m,) to (m,).
        n: number of draws.
        seed: of the random numbers; it determines the draws.
    """
    y, w = estimates.double(), precisions.double()
    generator = Generator().manual_seed(seed)

    def log_density(u: Tensor) -> Tensor:
        return log_prior(u.exp()) + u + log_marginal(y, w, deviation, u.exp())

    tau = line.draw(log_density, -LOG_TAU_BOUND, LOG_TAU_BOUND, n, generator).exp()
    noise = torch.randn(n, 1 + len(y), dtype=torch.float64, generator=generator)
    mean, precision, _ = _conditional_mu(y, w, deviation, tau)
    mu = mean + noise[:, 0] / precision.sqrt()
    factor = 1 + w * tau[:, None] ** 2  # (n, J)
    shrink = w * tau[:, None] ** 2 / factor  # τ² p_j
    theta = mu[:, None] + shrink * (y - mu[:, None]) + tau[:, None] / factor.sqrt() * noise[:, 1:]
    return torch.cat([mu[:, None], tau[:, None], theta], dim=1).float()


def log_marginal(y: Tensor, w: Tensor, deviation: float, tau: Tensor) -> Tensor:
    """Return log p(ȳ | τ) up to a constant, shape (m,), for τ (m,)."""
    mean, precision, p = _conditional_mu(y, w, deviation, tau)
    misfit = (p * (y - mean[:, None]) ** 2).sum(1) + (mean / deviation) ** 2
    return -(torch.log1p(w * tau[:, None] ** 2).sum(1) + precision.log() + misfit) / 2


def _conditional_mu(y: Tensor, w: Tensor, deviation: float, tau: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the mean and the precision of μ given τ (m,), and the precisions p_j, shape (m, J)."""
    p = w / (1 + w * tau[:, None] ** 2)
    precision = deviation**-2 + p.sum(1)
    return p @ y / precision, precision, p
