r"""Posterior of a hierarchy of scalars whose likelihoods are known on nodes, shared by tasks with plates.

.. math::
    (\mu, \tau) \sim p(\mu, \tau), \qquad \theta_j \sim \mathcal N(\mu, \tau^2), \qquad
    L_j(\theta_j) = p(y_j \mid \theta_j)

:math:`\log L_j` is tabulated on equidistant nodes, and interpolated by polynomials of degree 7 through the eight
nearest ones. A fine grid has 20 cells between two nodes, of width w. The marginal likelihood

.. math:: p(y \mid \mu, \tau) = \prod_j \int \mathcal N(\theta; \mu, \tau^2)\, L_j(\theta)\, \mathrm d \theta

needs two rules, since the Gaussian may be narrower than the grid: for :math:`\tau \ge 4 w` the trapezoidal rule on the
fine grid, whose error decreases as :math:`\exp(-2 \pi^2 \tau^2 / w^2)`; for :math:`\tau < 4 w` Gauss-Hermite quadrature
with 24 points, of which each takes :math:`L_j` from the eight nearest points of the fine grid. Both rules are linear in
:math:`L_j`, so that a matrix product gives the integrals of all groups. :math:`(\mu, \log \tau)` is drawn by
:mod:`ampbench_tasks.grid`.

:math:`\theta_j` given :math:`(\mu, \tau)` is drawn by its inverse distribution function from a piecewise linear
density: on the fine grid if :math:`\tau \ge 4 w`, otherwise on 128 cells over :math:`\mu \pm 6.5 \tau`. This adds at
most :math:`w^2 / 6` to the variance of a conditional distribution.

References:
    Trefethen, Weideman 2014, *The exponentially convergent trapezoidal rule*, doi:10.1137/130932132.
    Gelman et al. 2013, *Bayesian Data Analysis*, third edition, section 5.3, http://www.stat.columbia.edu/~gelman/book/.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Generator, Tensor

from ampbench_tasks import grid
from ampbench_tasks.line import position

STENCIL = 8
"""Number of points of an interpolating polynomial."""
CELLS_BETWEEN_NODES = 20
MIN_TAU_CELLS = 4
"""Smallest τ, in cells of the fine grid, for which integrals are sums over the fine grid."""
HERMITE_POINTS = 24
NARROW_CELLS, NARROW_DEVIATIONS = 128, 6.5
"""Number of cells of a grid about μ, and its half-width in units of τ."""
MIN_LIKELIHOOD_RATIO = 1e-15
"""Cells where the likelihood is below this share of its maximum are left out."""
CHUNK_SIZE = 2048
"""Number of points (μ, τ) treated together."""


@dataclass(frozen=True, eq=False)
class Table:
    """Logarithms of J likelihoods on equidistant nodes.

    Attributes:
        low: the first node.
        spacing: distance of the nodes.
        values: log L_j at the nodes, shape (J, G), float64.
        refine: factor by which the fine grid, and the other rules, are finer than the default ones.
    """

    low: float
    spacing: float
    values: Tensor
    refine: int = 1

    @cached_property
    def fine(self) -> Tensor:
        """The points of the fine grid, shape (F,)."""
        cells = (self.values.shape[1] - 1) * CELLS_BETWEEN_NODES * self.refine
        return self.low + self.width * torch.arange(cells + 1, dtype=torch.float64)

    @property
    def width(self) -> float:
        """The width of a cell of the fine grid."""
        return self.spacing / (CELLS_BETWEEN_NODES * self.refine)

    @cached_property
    def log_fine(self) -> Tensor:
        """log L_j on the fine grid, less its maximum, shape (J, F)."""
        index, weight = _stencil((self.fine - self.low) / self.spacing, self.values.shape[1])
        values = (self.values[:, index] * weight).sum(-1)
        return values - values.max(1, keepdim=True).values

    def log_likelihood(self, theta: Tensor) -> Tensor:
        """Return log L_j(θ_j), shape (*, J), for θ (*, J); θ is moved to the range of the nodes."""
        index, weight = _stencil((theta.double() - self.low) / self.spacing, self.values.shape[1])
        return (self.values[torch.arange(len(self.values))[:, None], index] * weight).sum(-1)

    def log_marginal(self, points: Tensor) -> Tensor:
        """Return log p(y | μ, τ) up to a constant, shape (m,), for points (μ, τ) of shape (m, 2); τ may be zero."""
        likelihood = self.log_fine.exp().T.contiguous()
        parts = [(self._rule(chunk) @ likelihood).clamp(min=1e-300).log().sum(1) for chunk in points.split(CHUNK_SIZE)]
        return torch.cat(parts)

    def _rule(self, points: Tensor) -> Tensor:
        """Return the weights of the values of a function in its mean under N(μ, τ²), shape (m, F)."""
        mu, tau = points.T[:, :, None]
        narrow = tau[:, 0] < MIN_TAU_CELLS * self.width
        safe = tau.clamp(min=MIN_TAU_CELLS * self.width)
        rule = (-(((self.fine - mu) / safe) ** 2) / 2).exp() * self.width / (safe * math.sqrt(2 * math.pi))
        if bool(narrow.any()):
            rule[narrow] = self._narrow_rule(mu[narrow], tau[narrow])
        return rule

    def _narrow_rule(self, mu: Tensor, tau: Tensor) -> Tensor:
        at, share = (
            torch.from_numpy(each) for each in np.polynomial.hermite_e.hermegauss(HERMITE_POINTS * self.refine)
        )
        index, weight = _stencil((mu + tau * at - self.low) / self.width, len(self.fine))  # (m, Q, 8)
        weight = weight * share[:, None] / math.sqrt(2 * math.pi)
        return torch.zeros(len(mu), len(self.fine), dtype=torch.float64).scatter_add_(
            1, index.flatten(1), weight.flatten(1)
        )

    def draw(self, mu: Tensor, tau: Tensor, generator: Generator) -> Tensor:
        """Draw θ_j given μ and τ, shape (n, 1) each; shape (n, J)."""
        level = torch.rand(len(mu), len(self.values), dtype=torch.float64, generator=generator)
        result = torch.empty_like(level)
        narrow = tau[:, 0] < MIN_TAU_CELLS * self.width
        for rows, method in ((narrow, self._draw_narrow), (~narrow, self._draw_wide)):
            if bool(rows.any()):
                result[rows] = method(mu[rows], tau[rows], level[rows])
        return result

    def _draw_wide(self, mu: Tensor, tau: Tensor, level: Tensor) -> Tensor:
        """Draw θ_j on the cells of the fine grid, shape (n, J)."""
        reach = 2 * NARROW_DEVIATIONS * tau
        inside = (self.fine >= (mu - reach).min()) & (self.fine <= (mu + reach).max())
        columns = []
        for j, log_likelihood in enumerate(self.log_fine):
            kept = inside & (log_likelihood > math.log(MIN_LIKELIHOOD_RATIO))
            points = self.fine[kept]
            log_f = log_likelihood[kept] - ((points - mu) / tau) ** 2 / 2
            columns.append(points[0] + self.width * _invert(log_f, level[:, j]))
        return torch.stack(columns, dim=1)

    def _draw_narrow(self, mu: Tensor, tau: Tensor, level: Tensor) -> Tensor:
        """Draw θ_j on cells about μ, whose width is a share of τ, shape (n, J)."""
        z = torch.linspace(-NARROW_DEVIATIONS, NARROW_DEVIATIONS, NARROW_CELLS * self.refine + 1, dtype=torch.float64)
        index, weight = _stencil((mu + tau * z - self.low) / self.width, len(self.fine))
        columns = []
        for j, log_likelihood in enumerate(self.log_fine):
            log_f = (log_likelihood[index] * weight).sum(-1) - z**2 / 2
            columns.append(z[0] + (z[1] - z[0]) * _invert(log_f, level[:, j]))
        return mu + tau * torch.stack(columns, dim=1)


def sample(table: Table, log_prior: Callable[[Tensor], Tensor], bounds: grid.Box, n: int, seed: int) -> Tensor:
    """Draw n times from the posterior of (μ, τ, θ_1, …, θ_J), shape (n, 2 + J), float32.

    Arguments:
        table: the likelihoods.
        log_prior: log p(μ, τ) up to a constant, from points (m, 2) to (m,).
        bounds: of μ and log τ; the prior is negligible outside.
        n: number of draws.
        seed: of the random numbers; it determines the draws.
    """
    generator = Generator().manual_seed(seed)

    def log_density(mu: Tensor, log_tau: Tensor) -> Tensor:
        at = torch.stack([mu, log_tau.exp()], dim=1)
        return log_prior(at) + log_tau + table.log_marginal(at)

    points = grid.draw(log_density, bounds, n, generator)
    points = torch.stack([points[:, 0], points[:, 1].exp()], dim=1)
    return torch.cat([points, table.draw(points[:, :1], points[:, 1:], generator)], dim=1).float()


def _stencil(where: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the points, and their weights, that interpolate at positions in units of the spacing: (*, 8) each.

    The weights are Lagrange's polynomials of degree 7. A position outside the ``count`` points is moved to their end.
    """
    where = where.clamp(0, count - 1)
    first = (where.floor().long() - STENCIL // 2 + 1).clamp(0, count - STENCIL)
    distance = (where - first)[..., None] - torch.arange(STENCIL, dtype=torch.float64)
    weights = [math.prod(distance[..., m] / (k - m) for m in range(STENCIL) if m != k) for k in range(STENCIL)]
    return first[..., None] + torch.arange(STENCIL), torch.stack(weights, dim=-1)  # type: ignore[arg-type]


def _invert(log_f: Tensor, level: Tensor) -> Tensor:
    """Return where the distribution function of a piecewise linear density equals the level, in cells; shape (n,).

    The logarithm of the density is given at the ends of the cells, shape (n, c + 1), the level has shape (n,).
    """
    f = (log_f - log_f.max(1, keepdim=True).values).exp()
    mass = ((f[:, 1:] + f[:, :-1]) / 2).cumsum(1)
    target = level[:, None] * mass[:, -1:]
    cell = torch.searchsorted(mass, target, right=True).clamp(max=mass.shape[1] - 1)
    rest = target - torch.where(cell > 0, mass.gather(1, (cell - 1).clamp(min=0)), 0.0)
    left = f.gather(1, cell)
    return (cell + position(left, f.gather(1, cell + 1) - left, rest))[:, 0]
