"""Known likelihood factors, in network coordinates."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch.distributions import (
    Binomial,
    Distribution,
    Gamma,
    Independent,
    LogNormal,
    Normal,
    Poisson,
    constraints,
)

from ampbench.amp.densities import KnownLikelihood, LearnedPrior
from ampbench.amp.sites import Site
from ampbench.errors import UsageError
from ampbench.graph import Graph, density, learned, simulator
from ampbench.graph.coordinates import Coordinates
from ampbench.networks import ImplicitConditional, NormalConditional
from ampbench.seeding import seeded


def rates() -> Graph:
    """z ~ Gamma(2, 1), x | z ~ LogN(log z, 0.5): both positive, so that coordinates are not the values."""
    prior = Independent(Gamma(torch.full((1,), 2.0), torch.ones(1)), 1)
    positive = constraints.independent(constraints.positive, 1)
    return Graph(
        density("z", prior),
        density("x", lambda z: Independent(LogNormal(z.log(), 0.5), 1), ["z"], positive, size=1),
    )


def test_it_is_the_models_density_up_to_a_function_of_the_context() -> None:
    graph = rates()
    with seeded(0):
        values = graph.sample(200)
    coordinates = {name: Coordinates(value, graph[name].support) for name, value in values.items()}
    encoded = {name: coordinates[name].encode(value)[None] for name, value in values.items()}  # a particle dimension
    log_likelihood = KnownLikelihood(graph, coordinates, Site(("z",), ("x",)))
    found = log_likelihood(encoded)
    assert found.shape == (1, 200)
    exact = Normal(values["z"].log(), 0.5).log_prob(values["x"].log()).squeeze(1) - values["x"].log().squeeze(1)
    assert torch.allclose(found[0], exact, atol=1e-4)


@pytest.mark.parametrize(
    ("law", "support"),
    [
        (lambda z: Poisson(50 * z.exp()), constraints.nonnegative_integer),
        (lambda z: Binomial(100, logits=z), constraints.integer_interval(0, 100)),
    ],
    ids=["Poisson", "Binomial"],
)
def test_counts_keep_their_likelihood(
    law: Callable[[torch.Tensor], Distribution], support: constraints.Constraint
) -> None:
    """To network coordinates and back, a count is the same count: 2.9999998 would be impossible."""
    prior = Independent(Normal(torch.zeros(1), torch.ones(1)), 1)
    counts = constraints.independent(support, 1)
    graph = Graph(density("z", prior), density("x", lambda z: Independent(law(z), 1), ["z"], counts, size=1))
    values = graph.sample(500)
    coordinates = {name: Coordinates(value, graph[name].support) for name, value in values.items()}
    encoded = {name: coordinates[name].encode(value) for name, value in values.items()}
    found = KnownLikelihood(graph, coordinates, Site(("z",), ("x",)))(encoded)
    assert torch.allclose(found, law(values["z"]).log_prob(values["x"]).squeeze(1), atol=1e-2)


def test_gradients_reach_the_inferred_variable() -> None:
    graph = rates()
    with seeded(0):
        values = graph.sample(50)
    coordinates = {name: Coordinates(value, graph[name].support) for name, value in values.items()}
    encoded = {name: coordinates[name].encode(value) for name, value in values.items()}
    encoded["z"].requires_grad_(True)
    log_likelihood = KnownLikelihood(graph, coordinates, Site(("z",), ("x",)))
    (slope,) = torch.autograd.grad(log_likelihood(encoded).sum(), encoded["z"])
    h = 1e-2
    with torch.no_grad():
        up, down = (log_likelihood({**encoded, "z": encoded["z"] + step}) for step in (h, -h))
    assert torch.allclose(slope.squeeze(1), (up - down) / (2 * h), rtol=0.02, atol=0.02)


def test_what_is_unknown_is_said_when_it_is_asked_for() -> None:
    root = Independent(Normal(torch.zeros(1), torch.ones(1)), 1)

    def child(parent: torch.Tensor) -> Independent:
        return Independent(Normal(parent, 1.0), 1)

    graph = Graph(
        density("a", root),
        density("b", child, ["a"], size=1),
        density("c", child, ["b"], size=1),
        simulator("x", lambda c: c + torch.randn_like(c), ["c"], size=1),
    )
    cases = {
        Site(("c",), ("x",)): "x is a simulator",
        Site(("b",), ("a",)): "a is a root",
        Site(("a",), ("c",)): "c depends on b, which is outside the tuple",
    }
    for site, reason in cases.items():
        function = KnownLikelihood(graph, {}, site)  # building it is no error
        with pytest.raises(UsageError, match=reason):
            function({})


def test_a_known_cause_beside_the_inferred_one_does_not_matter() -> None:
    """s and y have the effect x: log p(y, x | s) = log p(y) + log p(x | y, s)."""
    root = Independent(Normal(torch.zeros(1), torch.ones(1)), 1)
    effect = density("x", lambda y, s: Independent(Normal(y + 2 * s, 0.5), 1), ["y", "s"], size=1)
    graph = Graph(density("y", root), density("s", root), effect)
    with seeded(0):
        values = graph.sample(50)
    coordinates = {name: Coordinates(value, graph[name].support) for name, value in values.items()}
    encoded = {name: coordinates[name].encode(value) for name, value in values.items()}
    found = KnownLikelihood(graph, coordinates, Site(("s",), ("y", "x")))(encoded)
    y, s, x = (values[name].squeeze(1) for name in "ysx")
    assert torch.allclose(found, Normal(0.0, 1.0).log_prob(y) + Normal(y + 2 * s, 0.5).log_prob(x), atol=1e-3)


def test_learned_variables_have_a_prior_of_their_own() -> None:
    """Of z1 → z2 → z3 → x, all learned but z1, z2 counts with z1 in the tuple; implicit z3 never does."""
    transition, implicit = (each(1, 1, width=4, depth=1) for each in (NormalConditional, ImplicitConditional))
    graph = Graph(
        density("z1", Independent(Normal(torch.zeros(1), torch.ones(1)), 1)),
        learned("z2", transition, ["z1"], size=1),
        learned("z3", implicit, ["z2"], size=1),
        learned("x", NormalConditional(1, 1, width=4, depth=1), ["z3"], size=1),
    )
    with seeded(0), torch.no_grad():
        values = graph.sample(50)
    coordinates = {name: Coordinates(value, graph[name].support) for name, value in values.items()}
    encoded = {name: coordinates[name].encode(value)[None] for name, value in values.items()}
    found = LearnedPrior(graph, coordinates, Site(("z3", "z2", "z1"), ("x",)))(encoded)
    assert torch.allclose(found[0], transition(values["z1"]).log_prob(values["z2"]), atol=1e-4)
    assert all(slope is not None for slope in torch.autograd.grad(found.sum(), list(transition.parameters())))
    assert not LearnedPrior(graph, coordinates, Site(("z3", "z2"), ("x",)))(encoded).any()


def test_a_learned_root_has_a_prior() -> None:
    class Root(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mean = torch.nn.Parameter(torch.ones(1))

        def forward(self, n: int) -> Independent:
            return Independent(Normal(self.mean.expand(n, 1), 1.0), 1)

    graph = Graph(learned("z", root := Root(), size=1), density("x", lambda z: Independent(Normal(z, 1.0), 1), ["z"]))
    with seeded(0), torch.no_grad():
        values = graph.sample(50)
    coordinates = {name: Coordinates(value, graph[name].support) for name, value in values.items()}
    encoded = {name: coordinates[name].encode(value) for name, value in values.items()}
    found = LearnedPrior(graph, coordinates, Site(("z",), ("x",)))(encoded)
    assert torch.allclose(found, root(50).log_prob(values["z"]), atol=1e-4)
