from __future__ import annotations

import torch

from ampbench.seeding import seeded
from ampbench.statistics.scoring_rules import log_score


def test_the_true_law_scores_best() -> None:
    """Propriety: for truths from N(0, 1), forecasts N(m, s²) score best at m = 0, s = 1."""
    with seeded(0):
        truth, noise = torch.randn(20_000, 1), torch.randn(32, 20_000, 1)
    scores = {
        (mean, scale): float(log_score(mean + scale * noise, truth).mean())
        for mean, scale in [(0, 1), (0.4, 1), (-0.4, 1), (0, 0.7), (0, 1.4), (0, 0.1)]
    }
    assert min(scores, key=scores.__getitem__) == (0, 1)


def test_fine_structure_matters_as_much_as_coarse() -> None:
    """Blurring a narrow law by its own width costs the same at any width: the score has no length scale."""
    costs = []
    for width in (1.0, 0.001):
        with seeded(0):
            truth, noise = width * torch.randn(20_000, 1), torch.randn(32, 20_000, 1)
        costs.append(log_score(2 * width * noise, truth).mean() - log_score(width * noise, truth).mean())
    assert torch.allclose(costs[0], costs[1], atol=2e-3)
    assert costs[0] > 0.01


def test_coinciding_samples_cost_a_finite_score() -> None:
    assert bool(torch.isfinite(log_score(torch.zeros(4, 3, 2), torch.zeros(3, 2))).all())


def test_nothing_depends_on_the_default_device() -> None:
    """Indices made on another device than the samples would read uninitialised memory here."""
    with seeded(0):
        samples, truth = torch.randn(8, 50, 2), torch.randn(50, 2)
    expected = log_score(samples, truth)
    with torch.device("meta"):
        assert torch.equal(log_score(samples, truth), expected)
