"""Weights of mixtures: closed forms, and the score that they have."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Normal

from ampbench.seeding import seeded
from ampbench.statistics.scoring_rules import log_score
from ampbench.statistics.stacking import kernel_means, stack_densities, stack_kernels


def test_the_weights_of_densities_are_those_of_the_data() -> None:
    """Of a mixture of densities that do not overlap, the likelihood is largest at the shares of the data."""
    rows = torch.tensor([[0.0, -math.inf]] * 30 + [[-math.inf, 0.0]] * 70)
    assert stack_densities(rows).tolist() == pytest.approx([0.3, 0.7], abs=1e-6)


def test_the_parts_of_a_mixture_are_found() -> None:
    with seeded(0):
        wide = torch.rand(20_000) < 0.25
        value = torch.randn(20_000) * torch.where(wide, 3.0, 0.5)
    parts = [Normal(0, 3), Normal(0, 0.5), Normal(5, 1)]
    weights = stack_densities(torch.stack([each.log_prob(value) for each in parts], 1))
    assert weights.tolist() == pytest.approx([0.25, 0.75, 0], abs=0.02)


def test_a_few_rows_without_density_do_not_decide() -> None:
    """The logarithmic score of the first alone is infinite, and it keeps most of the weight."""
    rows = torch.tensor([[1.0, 0.0]] * 95 + [[-math.inf, 0.0]] * 5)
    weights = stack_densities(rows)
    exact = (0.95 * math.e - 1) / (math.e - 1)  # where the derivative of 0.95 log(1 + w (e − 1)) + 0.05 log(1 − w) is 0
    assert weights.tolist() == pytest.approx([exact, 1 - exact], abs=1e-6)
    assert stack_densities(torch.cat([rows, torch.full((50, 2), -math.inf)])).tolist() == weights.tolist()


def test_without_any_density_the_weights_are_equal() -> None:
    assert stack_densities(torch.full((3, 2), -math.inf)).tolist() == [0.5, 0.5]


def test_the_score_of_one_posterior_is_the_log_distance_score() -> None:
    with seeded(0):
        samples, truth = torch.randn(1, 16, 50, 2), torch.randn(50, 2)
    a, b = kernel_means(samples, truth)
    assert float(a - b / 2) == pytest.approx(float(log_score(samples[0], truth).mean()), abs=1e-5)


def test_the_weights_of_draws_minimise_the_score() -> None:
    """The truth is a mixture of the first two posteriors."""
    with seeded(0):
        first = torch.rand(4000) < 0.3
        truth = (torch.randn(4000) * 0.2 + torch.where(first, -2.0, 2.0))[:, None]
        samples = torch.randn(3, 16, 4000, 1) * 0.2 + torch.tensor([-2.0, 2.0, 5.0])[:, None, None, None]
    a, b = kernel_means(samples, truth)
    weights = stack_kernels(a, b)
    assert weights.tolist() == pytest.approx([0.3, 0.7, 0], abs=0.05)
    for other in torch.distributions.Dirichlet(torch.ones(3)).sample((200,)):
        assert float(weights.float() @ a - weights.float() @ b @ weights.float() / 2) <= float(
            other @ a - other @ b @ other / 2 + 1e-6
        )
