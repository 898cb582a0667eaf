r"""Are posteriors calibrated? Ranks and coverage over many fresh observations, from samples alone.

If :math:`\theta^* \sim p(\theta)`, :math:`x \sim p(x \mid \theta^*)` and
:math:`\theta_1, \dots, \theta_L \sim p(\theta \mid x)`, then for every function g the place of :math:`g(\theta^*, x)`
among the :math:`g(\theta_l, x)`,

.. math:: u = \frac{\#\{l : g(\theta_l, x) < g(\theta^*, x)\} + v\,(\text{ties} + 1)}{L + 1},
          \qquad v \sim \mathrm{U}(0, 1)

is uniform on (0, 1). Every method below is a choice of g:

- simulation-based calibration (SBC): the components of theta, and functions of all of them;
- expected coverage: the central interval of a component with mass a holds the truth if :math:`|2u - 1| \le a`;
- tests of accuracy with random points (TARP): the distance to a point that may depend on x alone.

Functions of theta alone cannot tell a posterior from the prior, so that the points of TARP depend on x here. A
posterior may pass all of this and still say little: calibration is judged beside a score
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
    """Return the place of each true value among its draws, uniform on (0, 1) if they have one law.

    Arguments:
        truth: shape ``(*,)``.
        draws: shape ``(L, *)``, L draws for each.
        generator: breaks ties.

    Returns:
        Shape ``(*,)``, float64.

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
    """Return test quantities of theta: its components, its distance to the centre, the products of neighbours.

    Arguments:
        theta: shape ``(*, D)``.
        centre: where distances are measured from, shape (D,).
        spread: the unit of length of each component, shape (D,).

    Returns:
        Shape ``(*, K)``, float64; see :func:`quantity_names`.
    """
    z = ((theta - centre) / spread).double()
    columns = [theta.double(), z.square().sum(-1, keepdim=True)]
    if theta.shape[-1] > 1:
        columns.append((z[..., :-1] * z[..., 1:]).sum(-1, keepdim=True))
    return torch.cat(columns, dim=-1)


def quantity_names(components: Sequence[str]) -> list[str]:
    """Name the test quantities, given the names of theta's components."""
    names = [*components, "the distance to the prior's median"]
    return [*names, "the products of neighbours"] if len(components) > 1 else names


def tarp_statistics(truth: Tensor, draws: Tensor, points: Tensor, spread: Tensor, generator: torch.Generator) -> Tensor:
    """Return the places of the distances to points, shape (B,).

    Arguments:
        truth: shape (B, D).
        draws: shape (L, B, D).
        points: shape (B, D): functions of the observations, not of the truth.
        spread: shape (D,): the unit of length of each component.
        generator: breaks ties.
    """
    far, near = (torch.linalg.vector_norm((theta - points) / spread, dim=-1) for theta in (draws, truth))
    return rank_statistics(near, far, generator)


def random_points(x: Tensor, centre: Tensor, spread: Tensor, generator: torch.Generator) -> Tensor:
    """Return a point near the prior for each observation: a random, smooth function of x.

    Arguments:
        x: the observations, shape (B, L).
        centre: of the prior, shape (D,).
        spread: of the prior, shape (D,).
        generator: draws the function.

    Returns:
        Shape (B, D).
    """
    z = (x - x.median(0).values).double()
    z = z / z.abs().mean(0).clamp(min=1e-12)
    weights = torch.randn(x.shape[1], len(centre), generator=generator, dtype=torch.float64) / x.shape[1] ** 0.5
    return (centre + 2 * spread * torch.tanh(z @ weights)).to(centre)


def coverage(u: Tensor, level: float) -> Tensor:
    """Return how often central intervals hold the truth, given its places (B, K): shape (K,).

    Example:
        >>> coverage(torch.tensor([[0.01], [0.3], [0.5], [0.7]]), 0.5)
        tensor([0.7500])
    """
    return ((2 * u - 1).abs() <= level).float().mean(0)


def uniformity_p_values(values: NDArray[np.float64]) -> list[float]:
    """Test values (n,) for uniformity on (0, 1), and their distance to 1/2, which shows too wide and too narrow.

    Returns:
        Two p-values of Kolmogorov and Smirnov's test.
    """
    folded = 2 * np.abs(values - 0.5)
    return [float(stats.kstest(each, "uniform", method="exact").pvalue) for each in (values, folded)]
