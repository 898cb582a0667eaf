"""Learned factors of whole numbers, against known probabilities."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.distributions import Binomial, Independent, Normal, Poisson, constraints

from ampbench import registry
from ampbench.amp.factors import LearnedFactors
from ampbench.amp.factors.dequantisation import POINTS, dequantised, is_whole, points_within, quantised
from ampbench.amp.factors.fitting import black_boxes, learn_factor
from ampbench.amp.factors.posterior import FactorPosterior
from ampbench.amp.factors.surrogate import surrogate
from ampbench.amp.method import AMP
from ampbench.graph import Graph, Simulator, density, simulator
from ampbench.interfaces import fit, rebuild, silent
from ampbench.seeding import seeded
from ampbench_families.flow import Flow
from ampbench_families.gaussian import Gaussian
from ampbench_families.mixture import Mixture

PRIOR = Independent(Normal(torch.zeros(2), torch.ones(2)), 1)
CPU = torch.device("cpu")


def zero_inflated(theta: Tensor) -> Tensor:
    return torch.poisson(torch.exp(theta + 1)) * (torch.rand_like(theta) < 0.5)


def binomial(theta: Tensor) -> Tensor:
    return torch.binomial(torch.full_like(theta, 1000.0), theta.sigmoid())


def log_zero_inflated(theta: Tensor, x: Tensor) -> Tensor:
    inside = Poisson(torch.exp(theta + 1)).log_prob(x).exp() / 2
    return (inside + (x == 0) / 2).log().sum(-1)


def log_binomial(theta: Tensor, x: Tensor) -> Tensor:
    return Binomial(1000, theta.sigmoid()).log_prob(x).sum(-1)


CASES = {
    "zero-inflated": (zero_inflated, log_zero_inflated, constraints.nonnegative_integer, Flow(2, width=32, dropout=0)),
    "binomial": (binomial, log_binomial, constraints.integer_interval(0, 1000), Mixture(width=64, depth=2)),
}


def amp(steps: int) -> AMP:
    return AMP(registry.load().build("divergences", "forward-kl"), Gaussian(width=32, depth=1), steps=steps)


@pytest.mark.parametrize("name", CASES)
def test_probabilities_are_near_the_true_ones(name: str) -> None:
    """The held-out Kullback-Leibler divergence is small in comparison with the entropy, 3.6 and 8.4 nats."""
    draw, truth, support, family = CASES[name]
    graph = Graph(density("theta", PRIOR), simulator("x", draw, ["theta"], constraints.independent(support, 1), size=2))
    with seeded(0):
        values = Simulator(graph, ["x"], 3000, seed=0).sample(3000)
        (factor,) = black_boxes(graph)
        found = learn_factor(factor, graph, values, {"": family}, amp(1000).settings, CPU, silent)
        model = surrogate(graph, [found])
        fresh = Simulator(graph, ["x"], 2000, seed=1).sample(2000)
        gap = truth(fresh["theta"], fresh["x"]) - model.log_prob(fresh, ["x"])
        drawn = model.complete(2000, {"theta": fresh["theta"]})["x"]
    assert bool((drawn == drawn.round()).all())
    assert float((drawn == 0).float().mean()) == pytest.approx(float((fresh["x"] == 0).float().mean()), abs=0.04)
    assert -3 * float(gap.std()) / 2000**0.5 <= float(gap.mean()) < 0.12


def test_the_probabilities_of_a_learned_factor_sum_to_one() -> None:
    draw, _, support, _ = CASES["zero-inflated"]
    prior = Independent(Normal(torch.zeros(1), torch.ones(1)), 1)
    graph = Graph(density("theta", prior), simulator("x", draw, ["theta"], constraints.independent(support, 1), size=1))
    with seeded(0):
        values = Simulator(graph, ["x"], 1000, seed=0).sample(1000)
        (factor,) = black_boxes(graph)
        found = learn_factor(factor, graph, values, {"": Mixture(width=32, depth=2)}, amp(500).settings, CPU, silent)
    counts = torch.arange(-50.0, 400)[:, None]
    total = surrogate(graph, [found]).log_prob({"theta": torch.zeros(len(counts), 1), "x": counts}, ["x"]).exp().sum()
    assert float(total) == pytest.approx(1, abs=0.05), "up to the error of the points"


def test_dequantised_values_are_those_of_the_cell() -> None:
    x = torch.tensor([[-1000.0, -1.0, 0.0, 1.0, 7.0, 1e6]])
    with seeded(0):
        assert torch.equal(quantised(dequantised(x.double().expand(1000, 6))), x.double().expand(1000, 6))
    y, log_slope = points_within(x.double())
    assert y.shape == (POINTS, 1, 6)
    assert log_slope.shape == (POINTS, 1)
    assert torch.equal(quantised(y), x.double().expand(POINTS, 1, 6))


def test_the_slope_is_the_derivative() -> None:
    x = torch.tensor([[-3.0, 0.0, 250.0]], dtype=torch.float64)
    step = 1e-4
    (low, log_slope), (high, _) = points_within(x - step / 2), points_within(x + step / 2)
    measured = ((high - low) / step).log().sum(-1)
    assert torch.allclose(measured, points_within(x)[1], atol=1e-6)
    assert torch.allclose(measured, log_slope, atol=1e-3)


@pytest.mark.parametrize(
    ("support", "whole"),
    [
        (constraints.nonnegative_integer, True),
        (constraints.independent(constraints.integer_interval(0, 9), 1), True),
        (constraints.boolean, False),
        (constraints.one_hot, False),
        (constraints.real, False),
        (constraints.cat([constraints.positive, constraints.nonnegative_integer], -1, [1, 1]), False),
    ],
)
def test_whole_numbers_are_recognised(support: constraints.Constraint, whole: bool) -> None:
    assert is_whole(support) == whole


def test_the_whole_method_learns_counts() -> None:
    draw, _, support, _ = CASES["binomial"]
    graph = Graph(density("theta", PRIOR), simulator("x", draw, ["theta"], constraints.independent(support, 1), size=2))
    method, source = LearnedFactors(amp(20), Gaussian(width=16), draws=300), Simulator(graph, ["x"], 300, seed=0)
    posterior = fit(method, source)
    assert isinstance(posterior, FactorPosterior)
    assert [each.whole for each in posterior.factors] == [True]
    again = rebuild(method, source, posterior.state())
    drawn = []
    for each in (posterior, again):
        with seeded(1):
            drawn.append(each.sample(torch.tensor([300.0, 600.0]), 20))
    assert torch.equal(*drawn)
    assert posterior.diagnose(Simulator(graph, ["x"], 200, seed=5).sample(200))["tuple"].tolist()[-1] == "(x | theta)"
