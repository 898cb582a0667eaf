"""Ranks, coverage and TARP on Gaussians whose posterior is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from ampbench.seeding import seeded
from ampbench.statistics.calibration import (
    coverage,
    random_points,
    rank_statistics,
    tarp_statistics,
    uniformity_p_values,
)

B, L = 400, 99


def gaussian(scale: float = 1.0, shift: float = 0.0) -> tuple[Tensor, Tensor, Tensor]:
    """theta ~ N(0, I), x ~ N(theta, I) in the plane; draws of N(x/2 + shift, scale² I/2): exact at (1, 0)."""
    with seeded(1):
        theta = torch.randn(B, 2)
        x = theta + torch.randn(B, 2)
        draws = x / 2 + shift + scale * 0.5**0.5 * torch.randn(L, B, 2)
    return theta, x, draws


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_exact_posteriors_pass() -> None:
    theta, x, draws = gaussian()
    u = rank_statistics(theta, draws, generator())
    near = tarp_statistics(
        theta, draws, random_points(x, torch.zeros(2), torch.ones(2), generator()), torch.ones(2), generator()
    )
    p_values = [p for column in [*u.T, near] for p in uniformity_p_values(column.numpy())]
    assert min(p_values) * len(p_values) > 0.01


@pytest.mark.parametrize(("scale", "shift"), [(0.7, 0.0), (1.4, 0.0), (1.0, 0.3)])
def test_wrong_widths_and_means_are_found(scale: float, shift: float) -> None:
    theta, _, draws = gaussian(scale, shift)
    u = rank_statistics(theta, draws, generator())
    assert min(uniformity_p_values(u[:, 0].numpy())) < 1e-3


@pytest.mark.parametrize("scale", [0.6, 1.0, 1.6])
def test_coverage_is_the_normal_law_s(scale: float) -> None:
    """An interval of nominal mass a, scaled by s, holds Φ(s z) − Φ(−s z)."""
    theta, _, draws = gaussian(scale)
    u = rank_statistics(theta, draws, generator())
    for level in (0.5, 0.9):
        expected = 2 * stats.norm.cdf(scale * stats.norm.ppf((1 + level) / 2)) - 1
        error = np.sqrt(expected * (1 - expected) / B)
        assert coverage(u, level).numpy() == pytest.approx(expected, abs=4 * error + 0.01)  # 0.01: 99 draws


def test_points_that_depend_on_x_tell_the_posterior_from_the_prior() -> None:
    theta, x, _ = gaussian()
    with seeded(2):
        prior = torch.randn(L, B, 2)
    assert (
        min(uniformity_p_values(rank_statistics(theta, prior, generator())[:, 0].numpy())) > 1e-2
    )  # ranks of theta alone are blind
    points = random_points(x, torch.zeros(2), torch.ones(2), generator())
    assert min(uniformity_p_values(tarp_statistics(theta, prior, points, torch.ones(2), generator()).numpy())) < 1e-4


def test_ties_are_broken_evenly() -> None:
    """Discrete draws of the right law have uniform rank_statistics, too."""
    with seeded(3):
        truth, draws = torch.randint(3, (2000,)), torch.randint(3, (L, 2000))
    assert min(uniformity_p_values(rank_statistics(truth, draws, generator()).numpy())) > 1e-3


def test_the_whole_part_is_the_rank() -> None:
    theta, _, draws = gaussian()
    u = rank_statistics(theta, draws, generator())
    assert torch.equal((u * (L + 1)).floor().long(), (draws < theta).sum(0))
