from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import Independent, Normal, Poisson, Uniform, constraints

from ampbench.errors import GraphError, SimulationError
from ampbench.graph import Factor, Graph, density, join, learned, simulator
from ampbench.seeding import seeded

PRIOR = Independent(Normal(torch.zeros(2), torch.ones(2)), 1)


def echo(theta: torch.Tensor) -> torch.Tensor:
    return theta


def test_kinds_of_nodes() -> None:
    """Density, simulator (also numpy) and learned nodes sample together, in topological order."""
    graph = Graph(
        simulator("x", lambda z, t: np.asarray(z) * 2, ["z", "theta"]),
        learned("z", nn.Linear(2, 3), ["theta"]),
        density("theta", PRIOR),
    )
    values = graph.sample(5)
    assert list(values) == ["theta", "z", "x"]
    assert [tuple(value.shape) for value in values.values()] == [(5, 2), (5, 3), (5, 3)]
    assert values["z"].requires_grad
    assert torch.equal(values["x"], 2 * values["z"].detach())


def test_learned_node_may_return_a_distribution() -> None:
    class Conditional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(2, 2)

        def forward(self, parent: torch.Tensor) -> Independent:
            return Independent(Normal(self.layer(parent), 1.0), 1)

    node = learned("z", Conditional(), ["theta"])
    assert node.sample(4, (torch.zeros(4, 2),)).requires_grad
    assert node.distribution(torch.zeros(4, 2)).log_prob(torch.zeros(4, 2)).shape == (4,)


def test_simulator_root_gets_the_number_of_draws() -> None:
    graph = Graph(simulator("theta", lambda n: torch.rand(n, 1)), simulator("x", echo, ["theta"]))
    assert graph.sample(3)["x"].shape == (3, 1)


def test_given_values_are_kept() -> None:
    graph = Graph(density("theta", PRIOR), simulator("x", echo, ["theta"]))
    theta = torch.ones(4, 2)
    assert torch.equal(graph.sample(4, {"theta": theta})["x"], theta)
    with pytest.raises(SimulationError, match=r"'theta' has shape \(3, 2\), expected \(4, 2\)"):
        graph.sample(4, {"theta": torch.ones(3, 2)})


def test_ancestral_samples_have_the_models_moments(chain: Graph) -> None:
    with seeded(0):
        values = chain.sample(40_000)
    covariance = torch.cov(join(values, ["z2", "z1", "x"]).T)
    assert torch.allclose(covariance, torch.tensor([[1.0, 1, 1], [1, 2, 2], [1, 2, 3]]), atol=0.06)


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ((), "at least one node"),
        (([density("a", PRIOR)],), r"made of nodes, got list; write Graph\(node, node"),
        ((density("a", PRIOR), density("a", PRIOR)), "two nodes are named 'a'"),
        ((simulator("x", echo, ["thta"]), density("theta", PRIOR)), r"'x' has the unknown parent 'thta'.*x, theta"),
        ((simulator("a", echo, ["b"]), simulator("b", echo, ["a"])), "cycle: (a -> b -> a|b -> a -> b)"),
        ((simulator("a", echo, ["a"]),), "cycle: a -> a"),
    ],
)
def test_ill_formed_graphs(nodes: tuple, message: str) -> None:
    with pytest.raises(GraphError, match=message):
        Graph(*nodes)


def test_a_prior_must_be_a_vector() -> None:
    with pytest.raises(GraphError, match=r"'theta'.*batch shape \(2, 3\) and event shape \(\)"):
        density("theta", Normal(torch.zeros(2, 3), 1.0))


def test_unknown_variables_are_named() -> None:
    graph = Graph(density("theta", PRIOR), simulator("x", echo, ["theta"]))
    for ask in (lambda: graph["y"], lambda: graph.inverse({"y"}), lambda: graph.sample(1, {"y": torch.zeros(1, 1)})):
        with pytest.raises(GraphError, match=r"unknown variable 'y'; this graph has theta, x"):
            ask()


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (lambda theta: theta[:3, 0], r"'x' has shape \(3,\), expected \(4, D\)"),
        (lambda theta: theta[:2], r"'x' has shape \(2, 2\), expected \(4, D\)"),
        (lambda theta: theta / 0 * 0, "'x' has NaN or infinite values in 4 of 4 rows"),
        (lambda theta: "text", "'x' returned str, not a tensor or array"),
    ],
)
def test_bad_simulations_are_named(output: object, message: str) -> None:
    graph = Graph(density("theta", PRIOR), simulator("x", output, ["theta"]))
    with pytest.raises(SimulationError, match=message):
        graph.sample(4)


def test_support_and_size_are_checked() -> None:
    positive = simulator("x", lambda t: -t.abs() - 1, ["theta"], support=constraints.positive)
    with pytest.raises(SimulationError, match="'x' has values outside its support"):
        Graph(density("theta", PRIOR), positive).sample(2)
    with pytest.raises(SimulationError, match=r"expected \(2, 3\)"):
        Graph(density("theta", PRIOR), simulator("x", echo, ["theta"], size=3)).sample(2)


def test_only_densities_have_a_log_prob() -> None:
    assert density("theta", Independent(Uniform(torch.zeros(1), torch.ones(1)), 1)).distribution()
    with pytest.raises(GraphError, match=r"'x' \(simulator\) has no density"):
        simulator("x", echo, ["theta"]).distribution(torch.zeros(2, 2))


def test_a_support_that_was_not_declared() -> None:
    rate = density("rate", Independent(Normal(torch.ones(1), torch.ones(1)), 1))
    graph = Graph(rate, density("count", lambda rate: Independent(Poisson(rate.exp()), 1), ["rate"]))
    message = r"node 'count' has the support Real\(\), but .* distribution on .*IntegerGreaterThan"
    with pytest.raises(GraphError, match=message):
        graph.log_prob({"rate": torch.ones(2, 1), "count": torch.tensor([[1.0], [2.0]])}, ["count"])


def test_log_prob_outside_the_support() -> None:
    """Minus infinity there, also where no value at all lies inside."""
    graph = Graph(density("theta", Independent(Uniform(torch.zeros(1), torch.ones(1)), 1)))
    assert graph.log_prob({"theta": torch.tensor([[2.0], [0.5]])}, ["theta"]).tolist() == [-torch.inf, 0.0]
    assert graph.log_prob({"theta": torch.tensor([[2.0], [3.0]])}, ["theta"]).tolist() == [-torch.inf, -torch.inf]


def test_learned_needs_a_module() -> None:
    with pytest.raises(GraphError, match=r"'z' needs a torch.nn.Module, got function"):
        learned("z", echo, ["theta"])


def test_join() -> None:
    values = {"a": torch.zeros(3, 4, 1), "b": torch.zeros(3, 4, 2)}
    assert join(values, ["b", "a"]).shape == (3, 4, 3)
    assert join(values, []).shape == (3, 4, 0)


def test_factors() -> None:
    graph = Graph(density("theta", PRIOR), simulator("x", echo, ["theta"]))
    assert graph.factors() == (Factor("theta"), Factor("x", ("theta",)))
