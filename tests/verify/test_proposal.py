"""Proposals of certification: mixtures of Student t distributions, fitted to draws."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_t
from torch import Generator

from ampbench.verify.proposal import Proposal, fit


def test_proposals_are_normalised_densities() -> None:
    draws = torch.randn(2000, 2, generator=Generator().manual_seed(0), dtype=torch.float64)
    proposal = fit(torch.cat([draws - 4, 0.3 * draws + 1]), 0)
    assert len(proposal.weights) > 1
    line = torch.linspace(-40, 40, 801, dtype=torch.float64)
    mass = proposal.log_prob(torch.cartesian_prod(line, line)).exp().sum() * 0.1**2
    assert float(mass) == pytest.approx(1, abs=0.01)
    u = proposal.sample(20_000, Generator().manual_seed(1))
    assert float((u[:, 0] < 0).double().mean()) == pytest.approx(0.5, abs=0.03)


def test_proposals_have_the_density_of_scipys_student_t() -> None:
    """The mixture is on purpose independent of the samplers that it certifies, and so is its test."""
    rng = np.random.default_rng(0)
    roots, means, weights, freedom = np.tril(rng.normal(size=(2, 3, 3))), rng.normal(size=(2, 3)), [0.3, 0.7], 6.25
    roots[:, range(3), range(3)] = rng.uniform(0.5, 2, (2, 3))
    u = 5 * rng.standard_normal((100, 3))
    parts = [multivariate_t(mean, root @ root.T, freedom).logpdf(u) for mean, root in zip(means, roots, strict=True)]
    mixture = np.logaddexp(np.log(weights[0]) + parts[0], np.log(weights[1]) + parts[1])
    for k, expected in ((slice(0, 1), parts[0]), (slice(0, 2), mixture)):
        weight = torch.tensor(weights[k], dtype=torch.float64)
        proposal = Proposal(weight / weight.sum(), torch.from_numpy(means[k]), torch.from_numpy(roots[k]), freedom)
        assert proposal.log_prob(torch.from_numpy(u)).numpy() == pytest.approx(expected, abs=1e-9)
