from __future__ import annotations

import pytest
import torch
from torch.distributions import (
    Beta,
    Dirichlet,
    Distribution,
    Independent,
    LogNormal,
    MultivariateNormal,
    Uniform,
    constraints,
)

from ampbench.graph.coordinates import Coordinates
from ampbench.seeding import seeded

ONE = torch.ones(2)


@pytest.mark.parametrize(
    "law",
    [
        Independent(Uniform(-ONE, 3 * ONE), 1),
        Independent(LogNormal(ONE, ONE), 1),
        Independent(Beta(ONE, 2 * ONE), 1),
        MultivariateNormal(5 * ONE, 9 * torch.eye(2)),
        Dirichlet(torch.ones(3)),
    ],
    ids=lambda law: type(getattr(law, "base_dist", law)).__name__,
)
def test_round_trip_standardised_and_inside(law: Distribution) -> None:
    with seeded(0):
        values = law.sample((1000,))
        coordinates = Coordinates(values, law.support)
        encoded = coordinates.encode(values)
        assert torch.allclose(encoded.mean(0), torch.zeros(2), atol=1e-4)
        assert torch.allclose(encoded.std(0), torch.ones(2), atol=1e-4)
        assert torch.allclose(coordinates.decode(encoded), values, rtol=1e-3, atol=1e-4)
        anywhere = coordinates.decode(100 * torch.randn(1000, 2))
        assert bool(law.support.check(anywhere).all())


def test_boundaries_and_constants_stay_finite() -> None:
    values = torch.tensor([[0.0, 0.5], [1.0, 0.5], [0.5, 0.5]])
    encoded = Coordinates(values, constraints.unit_interval).encode(values)
    assert bool(torch.isfinite(encoded).all())


@pytest.mark.parametrize("support", [constraints.nonnegative_integer, constraints.integer_interval(0, 2000)])
def test_counts_come_back_exactly(support: constraints.Constraint) -> None:
    values = torch.arange(2001.0)[:, None]
    coordinates = Coordinates(values[torch.randint(2001, (100,))], support)
    encoded = coordinates.encode(values)
    assert encoded.abs().max() < 4, "standardised"
    assert torch.equal(coordinates.decode(encoded), values)


def test_counts_pass_gradients_on() -> None:
    """A sampler of counts may be differentiated straight through."""
    coordinates = Coordinates(torch.tensor([[0.0], [1.0], [5.0]]), constraints.nonnegative_integer)
    u = torch.zeros(1, 1, requires_grad=True)
    coordinates.decode(u).sum().backward()
    assert torch.equal(u.grad, coordinates.scale[None])


@pytest.mark.parametrize(
    "support",
    [constraints.boolean, constraints.independent(constraints.boolean, 1), constraints.one_hot],
    ids=["boolean", "vector", "one-hot"],
)
def test_bits_stay_bits(support: constraints.Constraint) -> None:
    values = torch.eye(3)[torch.tensor([0, 0, 1])]
    coordinates = Coordinates(values, support)
    assert torch.equal(coordinates.encode(values), values)
    assert torch.equal(coordinates.decode(values), values)


@pytest.mark.parametrize(
    "law",
    [
        Independent(Uniform(-ONE, 3 * ONE), 1),
        Uniform(-ONE, 3 * ONE),
        Independent(LogNormal(ONE, ONE), 1),
        MultivariateNormal(5 * ONE, 9 * torch.eye(2)),
        Dirichlet(torch.ones(3)),
    ],
    ids=["box", "elementwise", "positive", "real", "simplex"],
)
def test_slope_is_that_of_the_map(law: Distribution) -> None:
    """Against automatic differentiation of the map back; of a simplex all components but the last are free."""
    with seeded(0):
        values = law.sample((50,))
    coordinates = Coordinates(values, law.support)
    slopes = coordinates.log_slope(values[:5].reshape(5, 1, -1))
    assert slopes.shape == (5, 1)
    for value, slope in zip(values, slopes[:, 0], strict=False):
        jacobian = torch.autograd.functional.jacobian(coordinates.decode, coordinates.encode(value))
        assert float(slope) == pytest.approx(-float(jacobian[: coordinates.size].det().abs().log()), abs=1e-3)


def test_slope_outside_the_support_and_of_bits() -> None:
    box = Coordinates(torch.rand(20, 2), constraints.independent(constraints.unit_interval, 1))
    assert (box.log_slope(torch.tensor([[0.5, 0.5], [0.5, 1.5], [-1.0, 2.0]])) == -torch.inf).tolist() == [0, 1, 1]
    bits = Coordinates(torch.eye(2), constraints.independent(constraints.boolean, 1))
    assert bits.log_slope(torch.tensor([[0.0, 1.0], [0.5, 0.5]])).tolist() == [0.0, -torch.inf]
