from __future__ import annotations

import torch

from ampbench.seeding import seeded
from ampbench.testing import FamilyConformance
from ampbench_families.gaussian import Gaussian
from ampbench_families.implicit import Implicit


class TestImplicit(FamilyConformance):
    def make(self) -> Implicit:
        return Implicit(width=32, depth=1)


class TestGaussian(FamilyConformance):
    def make(self) -> Gaussian:
        return Gaussian(width=32, depth=1)


def test_gaussian_has_a_full_covariance() -> None:
    with seeded(0):
        law = Gaussian(width=32, depth=1)(3, 2).law(torch.randn(1, 2))
    covariance = law.covariance_matrix[0]
    assert bool((covariance[~torch.eye(3, dtype=torch.bool)].abs() > 1e-6).all())


def test_implicit_samples_fill_all_dimensions() -> None:
    """By default the noise has more components than the variable, so that samples are not confined to a surface."""
    with seeded(0):
        samples = Implicit(width=64, depth=1)(20, 1)(torch.zeros(500, 1))
    assert torch.linalg.matrix_rank(samples - samples.mean(0)) == 20
