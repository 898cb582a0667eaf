from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from ampbench.errors import BudgetExceeded, GraphError, SimulationError
from ampbench.graph import Graph, Simulator, density, simulator


def test_counts_and_refuses(gaussian_graph: Graph) -> None:
    source = Simulator(gaussian_graph, ["x"], budget=10, seed=0)
    source.sample(4)
    source.sample(6, {"theta": torch.zeros(6, 1)})
    assert (source.spent, source.remaining) == (10, 0)
    with pytest.raises(BudgetExceeded, match="1 simulations asked for, but only 0 of the budget of 10 remain"):
        source.sample(1)
    assert source.spent == 10


def test_nothing_is_drawn_over_budget() -> None:
    calls = []
    prior = simulator("theta", lambda n: calls.append(n) or torch.zeros(n, 1))
    source = Simulator(Graph(prior, simulator("x", lambda t: t, ["theta"])), ["x"], budget=5, seed=0)
    with pytest.raises(BudgetExceeded):
        source.sample(6)
    assert not calls


def test_the_seed_rules_torch_numpy_and_random() -> None:
    def noise(theta: torch.Tensor) -> torch.Tensor:
        numbers = np.random.randn(len(theta), 1) + random.random()
        return theta + torch.rand_like(theta) + torch.as_tensor(numbers)

    graph = Graph(simulator("theta", lambda n: torch.randn(n, 1)), simulator("x", noise, ["theta"]))
    torch.manual_seed(7)
    state = torch.random.get_rng_state()
    first, again = (Simulator(graph, ["x"], 9, seed=1).sample(9)["x"] for _ in range(2))
    other = Simulator(graph, ["x"], 9, seed=2).sample(9)["x"]
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(state, torch.random.get_rng_state()), "the caller's generator was touched"


def test_calls_differ(gaussian_graph: Graph) -> None:
    source = Simulator(gaussian_graph, ["x"], 10, seed=0)
    assert not torch.equal(source.sample(5)["x"], source.sample(5)["x"])


def test_something_must_be_latent_and_something_observed(gaussian_graph: Graph) -> None:
    for observed in ([], ["theta", "x"]):
        with pytest.raises(GraphError, match="nothing to infer"):
            Simulator(gaussian_graph, observed, 10, seed=0)
    with pytest.raises(GraphError, match="unknown variable 'y'"):
        Simulator(gaussian_graph, ["y"], 10, seed=0)


def test_sizes_must_not_change() -> None:
    sizes = iter([1, 2])
    theta = simulator("theta", lambda n: torch.zeros(n, 1))
    graph = Graph(theta, simulator("x", lambda t: torch.zeros(len(t), next(sizes)), ["theta"]))
    source = Simulator(graph, ["x"], 10, seed=0)
    source.sample(1)
    with pytest.raises(SimulationError, match="'x' returned 2 components, but 1 in an earlier call"):
        source.sample(1)


def test_at_least_one(gaussian_graph: Graph) -> None:
    with pytest.raises(SimulationError, match="0 simulations asked for"):
        Simulator(gaussian_graph, ["x"], 10, seed=0).sample(0)


def test_density_priors_too(gaussian_graph: Graph) -> None:
    assert gaussian_graph["theta"].kind == "density"
    assert density("t", gaussian_graph["theta"].distribution()).size == 1
