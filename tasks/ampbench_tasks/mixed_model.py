r"""Exact posterior of a Gaussian linear model with random intercepts, up to a grid of its two scales.

With :math:`g = (\mu, \beta)` and :math:`z_i = (1, x_i)` for observation i of the :math:`n_j` ones of group j,

.. math::
    g \sim \mathcal N(0, s_0^2 I), \qquad \alpha_j \sim \mathcal N(\mu, \sigma_\alpha^2), \qquad
    y_i \sim \mathcal N(\alpha_{j[i]} + x_i^\top \beta,\; \sigma_y^2)

Given both scales all is Gaussian. The mean of a group, :math:`\bar y_j \sim \mathcal N(\bar z_j^\top g, 1 / p_j)` with
:math:`p_j = n_j / (\sigma_y^2 + n_j \sigma_\alpha^2)`, is independent of the deviations from it,
:math:`\tilde y_i = y_i - \bar y_{j[i]}` with :math:`\tilde z_i = z_i - \bar z_{j[i]}`. With

.. math::
    P &= s_0^{-2} I + \sigma_y^{-2} \sum_i \tilde z_i \tilde z_i^\top + \sum_j p_j \bar z_j \bar z_j^\top, \qquad
    b = \sigma_y^{-2} \sum_i \tilde z_i \tilde y_i + \sum_j p_j \bar z_j \bar y_j, \\
    c &= \sigma_y^{-2} \sum_i \tilde y_i^2 + \sum_j p_j \bar y_j^2

the posterior of the scales, and that of the other parameters given the scales, follow:

.. math::
    \log p(y \mid \sigma_\alpha, \sigma_y) &= -\tfrac12 \Bigl[\sum_j \bigl((n_j - 1) \log \sigma_y^2
        - \log p_j \bigr) + \log \det P + c - b^\top P^{-1} b \Bigr] + \text{const} \\
    g \mid \sigma_\alpha, \sigma_y, y &\sim \mathcal N(P^{-1} b, P^{-1}) \\
    \alpha_j \mid g, \sigma_\alpha, \sigma_y, y &\sim
        \mathcal N\bigl(\mu + \sigma_\alpha^2 p_j (\bar y_j - \bar z_j^\top g),\;
        \sigma_\alpha^2 \sigma_y^2 p_j / n_j\bigr)

The sums over i are computed once. They are those of y less its least-squares fit, and the prior mean of g is moved
accordingly, so that no precision is lost where :math:`\sigma_y` is small. The logarithms of both scales are drawn by
:mod:`ampbench_tasks.grid`.

References:
    Gelman et al. 2013, *Bayesian Data Analysis*, third edition, chapter 15, http://www.stat.columbia.edu/~gelman/book/.
    Lindley, Smith 1972, *Bayes estimates for the linear model*, doi:10.1111/j.2517-6161.1972.tb00885.x.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from ampbench_tasks import grid

BOUNDS = ((-40.0, 3.0), (-25.0, 3.0))
"""Bounds of log σ_α and of log σ_y, for priors of both scales with a light tail beyond 1."""
CHUNK_SIZE = 8192
"""Number of pairs of scales treated together."""


@dataclass(frozen=True, eq=False)
class Design:
    """The groups and the predictors of N observations.

    Attributes:
        group: group of each observation, 0 to J − 1, shape (N,), int64.
        predictors: shape (N, k), float64.
    """

    group: Tensor
    predictors: Tensor


class Model:
    """The posterior, given both scales.

    Arguments:
        design: of the observations.
        y: observations, shape (N,), float64.
        deviation: s_0, the prior standard deviation of μ and β.
    """

    def __init__(self, design: Design, y: Tensor, deviation: float) -> None:
        rows = torch.cat([torch.ones(len(y), 1, dtype=torch.float64), design.predictors], dim=1)
        self._fit = torch.linalg.lstsq(rows, y[:, None], driver="gelsd").solution[:, 0]  # of g, (d,)
        table = torch.cat([rows, (y - rows @ self._fit)[:, None]], dim=1)  # z_i and y_i, (N, d + 1)
        self._count = torch.bincount(design.group).double()  # n_j, (J,)
        total = table.new_zeros(len(self._count), table.shape[1]).index_add(0, design.group, table)
        self._means = total / self._count[:, None]  # (J, d + 1)
        deviations = table - self._means[design.group]
        self._within = deviations.T @ deviations  # (d + 1, d + 1)
        self._prior_precision = deviation**-2

    def log_marginal(self, scales: Tensor) -> Tensor:
        """Return log p(y | σ_α, σ_y) up to a constant, shape (m,), for scales (m, 2)."""
        return torch.cat([self._log_marginal(chunk) for chunk in scales.split(CHUNK_SIZE)])

    def _log_marginal(self, scales: Tensor) -> Tensor:
        factor, white, c = self._normal_equations(scales)
        misfit = (c - white.square().sum(1)).clamp(min=0)
        inner = 2 * (self._count - 1).sum() * scales[:, 1].log() - self._precisions(scales).log().sum(1)
        return -(inner + 2 * factor.diagonal(dim1=1, dim2=2).log().sum(1) + misfit) / 2

    def draw(self, scales: Tensor, generator: Generator) -> Tensor:
        """Draw (μ, β, α) given scales (n, 2), shape (n, d + J)."""
        factor, white, _ = self._normal_equations(scales)
        size = white.shape[1]
        noise = torch.randn(len(scales), size + len(self._count), dtype=torch.float64, generator=generator)
        right = (white + noise[:, :size])[..., None]
        moved = torch.linalg.solve_triangular(factor.mT, right, upper=True)[..., 0]  # g less its fit, (n, d)
        g, p = self._fit + moved, self._precisions(scales)
        misfit = self._means[:, -1] - moved @ self._means[:, :-1].T  # (n, J)
        deviation = scales[:, :1] * scales[:, 1:] * (p / self._count).sqrt()
        alpha = g[:, :1] + scales[:, :1].square() * p * misfit + deviation * noise[:, size:]
        return torch.cat([g, alpha], dim=1)

    def _precisions(self, scales: Tensor) -> Tensor:
        """Return p_j, shape (m, J)."""
        between, within = scales.square().T[:, :, None]
        return self._count / (within + self._count * between)

    def _normal_equations(self, scales: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the Cholesky factor F of P, (m, d, d), F⁻¹ b, (m, d), and c, (m,), all for g less its fit."""
        size = len(self._fit)
        outer = (self._means[:, :, None] * self._means[:, None]).flatten(1)  # (J, (d + 1)²)
        moments = self._within / scales[:, 1, None, None] ** 2
        moments = moments + (self._precisions(scales) @ outer).unflatten(1, self._within.shape)
        p = moments[:, :size, :size] + self._prior_precision * torch.eye(size, dtype=torch.float64)
        b = moments[:, :size, size] - self._prior_precision * self._fit
        factor = torch.linalg.cholesky(p)
        white = torch.linalg.solve_triangular(factor, b[..., None], upper=False)[..., 0]
        return factor, white, moments[:, size, size] + self._prior_precision * self._fit @ self._fit


def sample(
    design: Design, y: Tensor, deviation: float, log_prior: Callable[[Tensor, Tensor], Tensor], n: int, seed: int
) -> Tensor:
    """Draw n times from the posterior of (μ, σ_α, σ_y, β, α), shape (n, 3 + k + J), float32.

    Arguments:
        design: groups and predictors.
        y: observations, shape (N,), float64.
        deviation: s_0, the prior standard deviation of μ and β.
        log_prior: log p(σ_α, σ_y) up to a constant, from two tensors (m,) to (m,).
        n: number of draws.
        seed: of the random numbers; it determines the draws.
    """
    model, generator = Model(design, y, deviation), Generator().manual_seed(seed)

    def log_density(between: Tensor, within: Tensor) -> Tensor:
        logs = torch.stack([between, within], dim=1)
        return log_prior(*logs.exp().T) + logs.sum(1) + model.log_marginal(logs.exp())

    scales = grid.draw(log_density, BOUNDS, n, generator).exp()
    rest = model.draw(scales, generator)
    return torch.cat([rest[:, :1], scales, rest[:, 1:]], dim=1).float()
