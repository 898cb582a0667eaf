r"""Calibration of posteriors: ranks and coverage over many fresh observations, from samples alone.

If :math:`\theta^* \sim p(\theta)`, :math:`x \sim p(x \mid \theta^*)` and
:math:`\theta_1, \dots, \theta_L \sim p(\theta \mid x)`, then for every function g the normalised rank of
:math:`g(\theta^*, x)` among the :math:`g(\theta_l, x)`,

.. math:: u = \frac{\#\{l : g(\theta_l, x) < g(\theta^*, x)\} + v\,(\text{ties} + 1)}{L + 1},
          \qquad v \sim \mathrm{U}(0, 1)

is uniform on (0, 1). Every diagnostic below is a choice of g:

- simulation-based calibration (SBC): the components of theta, and functions of all of them;
- expected coverage: the central interval of a component with mass a contains the truth if :math:`|2u - 1| \le a`;
- tests of accuracy with random points (TARP): the distance to a point that may depend on x alone.

Functions of theta alone cannot distinguish a posterior from the prior; therefore the points of TARP depend on x. A
posterior may be calibrated and yet uninformative: calibration is reported together with a score
(:mod:`ampbench.statistics.scoring_rules`).

References:
    Talts, Betancourt, Simpson, Vehtari, Gelman 2018, *Validating Bayesian inference algorithms with simulation-based
    calibration*, arXiv:1804.06788.
    Hermans, Delaunoy, Rozet, Wehenkel, Begy, Louppe 2022, *A trust crisis in simulation-based inference?*,
    arXiv:2110.06581.
    Lemos, Coogan, Hezaveh, Perreault-Levasseur 2023, *Sampling-based accuracy testing of posterior estimators for
    general inference*, arXiv:2302.03026.
    Modrák, Moon, Kim, Bürkner, Huurre, Faltejsková, Gelman, Vehtari 2023, *Simulation-based calibration checking for
    Bayesian computation: the choice of test quantities shapes sensitivity*, arXiv:2211.02383.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor


def rank_statistics(truth: Tensor, draws: Tensor, generator: torch.Generator) -> Tensor:
    """Return the normalised rank of each true value among its draws, uniform on (0, 1) if they have one distribution.

    Arguments:
        truth: true values, shape ``(*,)``.
        draws: L draws for each true value, shape ``(L, *)``.
        generator: random numbers that break ties.

    Returns:
        The ranks u, shape ``(*,)``, float64.

    Example:
        >>> generator = torch.Generator().manual_seed(0)
        >>> u = rank_statistics(torch.tensor([2.5]), torch.tensor([[1.0], [2.0], [3.0]]), generator)
        >>> bool(2 / 4 <= u <= 3 / 4)
        True
    """
    ties = (draws == truth).sum(0)
    within = torch.rand(ties.shape, generator=generator, dtype=torch.float64) * (ties + 1)
    return ((draws < truth).sum(0) + within) / (len(draws) + 1)


def quantities(theta: Tensor, centre: Tensor, spread: Tensor) -> Tensor:
    """Return test quantities of theta: components, squared distance to a centre, sum of products of neighbours.

    Arguments:
        theta: shape ``(*, D)``.
        centre: the point from which distances are measured, shape (D,).
        spread: the unit of length of each component, shape (D,).

    Returns:
        The K quantities, shape ``(*, K)``, float64; see :func:`quantity_names`.
    """
    z = ((theta - centre) / spread).double()
    columns = [theta.double(), z.square().sum(-1, keepdim=True)]
    if theta.shape[-1] > 1:
        columns.append((z[..., :-1] * z[..., 1:]).sum(-1, keepdim=True))
    return torch.cat(columns, dim=-1)


def quantity_names(components: Sequence[str]) -> list[str]:
    """Return the names of the test quantities, given the names of theta's components."""
    names = [*components, "the distance to the prior's median"]
    return [*names, "the products of neighbours"] if len(components) > 1 else names


def tarp_statistics(truth: Tensor, draws: Tensor, points: Tensor, spread: Tensor, generator: torch.Generator) -> Tensor:
    """Return the TARP statistics: the normalised ranks of the truths' distances to points, shape (B,).

    Arguments:
        truth: true theta, shape (B, D).
        draws: L draws for each, shape (L, B, D).
        points: functions of the observations, not of the truth, shape (B, D).
        spread: the unit of length of each component, shape (D,).
        generator: random numbers that break ties.
    """
    far, near = (torch.linalg.vector_norm((theta - points) / spread, dim=-1) for theta in (draws, truth))
    return rank_statistics(near, far, generator)


def random_points(x: Tensor, centre: Tensor, spread: Tensor, generator: torch.Generator) -> Tensor:
    """Return a point near the prior for each observation: a random, smooth function of x.

    Arguments:
        x: the observations, shape (B, L); NaN counts as the median of its component.
        centre: centre of the prior, shape (D,).
        spread: spread of the prior, shape (D,).
        generator: random numbers that define the function.

    Returns:
        The points, shape (B, D).
    """
    z = torch.where(x.isnan(), 0.0, x - x.nanmedian(0).values).double()
    z = z / z.abs().mean(0).clamp(min=1e-12)
    weights = torch.randn(x.shape[1], len(centre), generator=generator, dtype=torch.float64) / x.shape[1] ** 0.5
    return (centre + 2 * spread * torch.tanh(z @ weights)).to(centre)


def coverage(u: Tensor, level: float) -> Tensor:
    """Return how often central intervals contain the truth, shape (K,), given its normalised ranks (B, K).

    Example:
        >>> coverage(torch.tensor([[0.01], [0.3], [0.5], [0.7]]), 0.5)
        tensor([0.7500])
    """
    return ((2 * u - 1).abs() <= level).float().mean(0)


def uniformity_p_values(values: NDArray[np.float64]) -> list[float]:
    """Test ranks (n,) and their distances to 1/2, which detect posteriors of wrong width, for uniformity.

    Returns:
        The two p-values of Kolmogorov-Smirnov tests.
    """
    folded = 2 * np.abs(values - 0.5)
    return [float(stats.kstest(each, "uniform", method="exact").pvalue) for each in (values, folded)]
