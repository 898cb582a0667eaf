"""Draws from a density in the plane: known distribution functions, at their levels, and what is refused."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from ampbench.errors import SimulationError
from ampbench_tasks import grid

WIDE = ((-50.0, 90.0), (-60.0, 60.0))


def drawn_with_levels(log_density: grid.LogDensity, bounds: grid.Box, refine: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Draws (5000, 2), and the uniform numbers (2, 5000) of which they are the quantiles."""
    draws = grid.draw(log_density, bounds, 5000, torch.Generator().manual_seed(1), refine)
    levels = torch.rand(2, 5000, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return draws.numpy(), levels.numpy()


@pytest.mark.parametrize(
    ("centre", "deviations", "correlation"),
    [
        ((0.3, -1.7), (1.0, 1.0), 0.0),
        ((12.3, -7.7), (2.0, 0.3), 0.9),
        ((math.pi, -math.e), (1e-4, 3e-3), -0.5),
        ((3.3, 4.4), (0.01, 0.01), 0.99),
        ((-1.1, 2.2), (1.0, 0.001), -0.97),
    ],
)
def test_gaussians(centre: tuple[float, float], deviations: tuple[float, float], correlation: float) -> None:
    """Also far narrower than a cell of the bounds, and as a diagonal ridge between the nodes."""

    def log_density(u: Tensor, v: Tensor) -> Tensor:
        a, b = (u - centre[0]) / deviations[0], (v - centre[1]) / deviations[1]
        return -(a**2 - 2 * correlation * a * b + b**2) / (2 * (1 - correlation**2))

    draws, levels = drawn_with_levels(log_density, WIDE)
    a, b = ((draws - centre) / deviations).T
    conditional = (b - correlation * a) / math.sqrt(1 - correlation**2)
    assert np.abs(stats.norm.cdf(a) - levels[0]).max() < 5e-4
    assert np.abs(stats.norm.cdf(conditional) - levels[1]).max() < 5e-3
    assert abs(conditional.std() / stats.norm.ppf(levels[1]).std() - 1) < 2e-3
    assert abs(np.corrcoef(a, conditional)[0, 1] - np.corrcoef(*stats.norm.ppf(levels))[0, 1]) < 1e-3


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (stats.logistic(), stats.gumbel_r(2, 0.1)),
        (stats.gumbel_l(-3, 5e-3), stats.loggamma(0.5)),
        (stats.norm(0, 0.2), stats.logistic(20, 0.01)),
    ],
)
def test_skewed_and_heavy_tails(first: stats.rv_continuous, second: stats.rv_continuous) -> None:
    def log_density(u: Tensor, v: Tensor) -> Tensor:
        with np.errstate(over="ignore"):
            return torch.from_numpy(first.logpdf(u.numpy()) + second.logpdf(v.numpy())).clamp(min=-1e30)

    draws, levels = drawn_with_levels(log_density, WIDE)
    assert np.abs(first.cdf(draws[:, 0]) - levels[0]).max() < 5e-4
    assert np.abs(second.cdf(draws[:, 1]) - levels[1]).max() < 5e-4


def test_curved_ridge() -> None:
    """v ~ N(u², 0.5²) given u ~ N(0, 1): not quadratic, and no side of the box is a principal axis."""

    def log_density(u: Tensor, v: Tensor) -> Tensor:
        return -(u**2) / 2 - ((v - u**2) / 0.5) ** 2 / 2

    draws, levels = drawn_with_levels(log_density, ((-30.0, 30.0), (-30.0, 90.0)))
    assert np.abs(stats.norm.cdf(draws[:, 0]) - levels[0]).max() < 2e-3
    assert stats.kstest((draws[:, 1] - draws[:, 0] ** 2) / 0.5, "norm").pvalue > 1e-3
    assert abs(((draws[:, 1] - draws[:, 0] ** 2) / 0.5).std() - 1) < 5 / math.sqrt(2 * 5000)


def test_two_modes_that_the_grid_resolves() -> None:
    def log_density(u: Tensor, v: Tensor) -> Tensor:
        return torch.logaddexp(-((u - 5) ** 2) / 2, math.log(3) - ((u + 5) ** 2) / 2) - v**2 / 2

    draws, levels = drawn_with_levels(log_density, ((-30.0, 30.0), (-30.0, 30.0)))
    cdf = 0.25 * stats.norm(5).cdf(draws[:, 0]) + 0.75 * stats.norm(-5).cdf(draws[:, 0])
    assert np.abs(cdf - levels[0]).max() < 5e-4


def gaussian(u: Tensor, v: Tensor) -> Tensor:
    return -(u**2 + v**2) / 2


def test_a_finer_grid_changes_nothing() -> None:
    (coarse, _), (fine, _) = (drawn_with_levels(gaussian, WIDE, refine) for refine in (1, 4))
    assert 0 < np.abs(coarse - fine).max() < 0.01
    assert np.abs(coarse.std(0) / fine.std(0) - 1).max() < 3e-4


@pytest.mark.parametrize(
    ("log_density", "bounds", "message"),
    [
        (gaussian, ((-5.0, 9.0), (-60.0, 60.0)), "the density reaches the bounds of its grid, [-5, "),
        (lambda u, v: gaussian(u, v) - torch.where(v > 0, torch.inf, 0), WIDE, "the log density is -inf at"),
        (
            lambda u, v: gaussian(u, v) * torch.nan,
            WIDE,
            "the log density is nan at (-50, -60); it must be finite on [-50, 90] × [-60, 60]",
        ),
        (lambda u, v: gaussian(u, v) - 10 * (u > 0.1234), WIDE, "the log density varies too fast: on a grid of 512"),
    ],
)
def test_refusals(log_density: grid.LogDensity, bounds: grid.Box, message: str) -> None:
    with pytest.raises(SimulationError, match=re.escape(message)):
        grid.draw(log_density, bounds, 10, torch.Generator().manual_seed(0))
