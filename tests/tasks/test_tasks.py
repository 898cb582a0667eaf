"""The tasks are the published ones: definitions, traps, observations, and exact references."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal

from ampbench.errors import SimulationError, UsageError
from ampbench.interfaces import HasReference, Task
from ampbench.seeding import seeded
from ampbench.simulator import Simulator
from ampbench.testing import TaskConformance
from ampbench_tasks.gaussian_linear import GaussianLinear
from ampbench_tasks.gaussian_mixture import GaussianMixture
from ampbench_tasks.rejection import truncated
from ampbench_tasks.two_moons import TwoMoons

TASKS = [TwoMoons(), GaussianLinear(), GaussianMixture()]


class TestTwoMoons(TaskConformance):
    def make(self) -> TwoMoons:
        return TwoMoons()


class TestGaussianLinear(TaskConformance):
    def make(self) -> GaussianLinear:
        return GaussianLinear()


class TestGaussianMixture(TaskConformance):
    def make(self) -> GaussianMixture:
        return GaussianMixture()


@pytest.mark.parametrize("task", TASKS, ids=lambda task: type(task).__name__)
def test_ten_published_observations(task: Task) -> None:
    assert sorted(task.published()) == list(range(1, 11))
    with pytest.raises(UsageError, match=r"unknown observation 11 of task .*; known: 1, 2, .*10"):
        task.observation(11)


def simulate(task: Task, theta: Tensor) -> Tensor:
    source = Simulator(task.graph, ["x"], len(theta), seed=0)
    return source.sample(len(theta), {"theta": theta})["x"]


def test_gaussian_scales_are_variances() -> None:
    x = simulate(GaussianLinear(), torch.zeros(100_000, 10))
    prior = Simulator(GaussianLinear().graph, ["x"], 100_000, 0).sample(100_000)["theta"]
    assert torch.allclose(x.var(0), torch.full((10,), 0.1), rtol=0.03)
    assert torch.allclose(prior.var(0), torch.full((10,), 0.1), rtol=0.03)


def test_one_mixture_component_for_both_dimensions() -> None:
    """A sample is near in both dimensions, or far in both; independent choices would mix."""
    x = simulate(GaussianMixture(), torch.zeros(100_000, 2)).abs()
    near = (x < 0.3).float().mean(0)
    expected = 0.5 * (2 * Normal(0.0, 0.1).cdf(torch.tensor(0.3)) - 1) + 0.5 * (
        2 * Normal(0.0, 1.0).cdf(torch.tensor(0.3)) - 1
    )
    assert torch.allclose(near, expected.expand(2), atol=0.01)
    narrow, wide = 0.9973**2, 0.2358**2
    assert abs(float((x < 0.3).all(1).float().mean()) - 0.5 * (narrow + wide)) < 0.01


def test_two_moons_crescent() -> None:
    """With theta = 0 the points lie on a half circle of radius 0.1 ± 0.01 around (0.25, 0), open to the left."""
    x = simulate(TwoMoons(), torch.zeros(50_000, 2)) - torch.tensor([0.25, 0.0])
    radius = x.norm(dim=1)
    assert abs(float(radius.mean()) - 0.1) < 1e-3
    assert abs(float(radius.std()) - 0.01) < 1e-3
    assert float((x[:, 0] > 0).float().mean()) == 1.0
    shifted = simulate(TwoMoons(), torch.tensor([[0.5, 0.2]]).expand(50_000, 2))
    expected = torch.tensor([0.25 + 0.2 / math.pi - 0.7 / math.sqrt(2), -0.3 / math.sqrt(2)])
    assert torch.allclose(shifted.mean(0), expected, atol=2e-3)


def two_moons_likelihood(x: Tensor, theta: Tensor) -> Tensor:
    """Density with the factor 1 / (π r) that others forget."""
    p0 = x[0] + (theta[:, 0] + theta[:, 1]).abs() / math.sqrt(2) - 0.25
    p1 = x[1] - (theta[:, 1] - theta[:, 0]) / math.sqrt(2)
    radius = torch.sqrt(p0**2 + p1**2)
    return torch.where(p0 > 0, Normal(0.1, 0.01).log_prob(radius).exp() / (math.pi * radius), 0.0)


def mixture_likelihood(x: Tensor, theta: Tensor) -> Tensor:
    parts = [Normal(theta, scale).log_prob(x).sum(1).exp() for scale in (1.0, 0.1)]
    return (parts[0] + parts[1]) / 2


@pytest.mark.parametrize(
    ("task", "likelihood"),
    [(TwoMoons(), two_moons_likelihood), (GaussianMixture(), mixture_likelihood)],
    ids=["two_moons", "gaussian_mixture"],
)
def test_references_agree_with_importance_sampling(task: Task, likelihood: object) -> None:
    """Posterior moments by importance sampling from the prior near the reference, an independent second route."""
    assert isinstance(task, HasReference)
    for number in (1, 2, 3):
        x = task.observation(number).x
        reference = task.reference(x, 50_000, seed=0)
        low, high = reference.min(0).values - 0.05, reference.max(0).values + 0.05
        bound = 1.0 if isinstance(task, TwoMoons) else 10.0
        with seeded(number):
            theta = low + (high - low) * torch.rand(1_000_000, 2)
        weights = likelihood(x, theta) * (theta.abs() <= bound).all(1)
        weights = weights / weights.sum()
        assert 1 / weights.square().sum() > 3000, "too few effective samples to judge"
        mean = (weights[:, None] * theta).sum(0)
        second = (weights[:, None] * theta**2).sum(0)
        spread = reference.std(0)
        assert torch.allclose(reference.mean(0), mean, atol=float(0.04 * spread.max()))
        assert torch.allclose((reference**2).mean(0), second, rtol=0.03, atol=float(0.04 * spread.max()))


def test_impossible_observations_are_refused() -> None:
    with pytest.raises(SimulationError, match="practically impossible"):
        truncated(lambda m: torch.zeros(m, 1), lambda theta: theta[:, 0] > 0, 1)
