"""Densities of posteriors: they belong to the samples, under bounds too; `nltp` sees them; no others are claimed."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Bernoulli, Dirichlet, Independent, LogNormal, Uniform, constraints

from ampbench.graph import Graph, Simulator, density, simulator
from ampbench.interfaces import HasDensity, Observation, Setting, Task, fit
from ampbench.metrics.nltp import NLTP
from ampbench.registry import Registry
from ampbench.testing import check_density

FLOW = "flow(width=16,depth=1,transforms=1)"
X = torch.tensor([0.4, 0.7, 0.1])


def bounded() -> Graph:
    """a in a box, and b above 0; x sees a closely, so that the posterior reaches the bound at 0."""

    def simulate(a: Tensor, b: Tensor) -> Tensor:
        return torch.cat([a, b], 1).repeat(1, 2)[:, :3] + 0.3 * torch.randn(len(a), 3)

    return Graph(
        density("a", Independent(Uniform(torch.zeros(1), torch.ones(1)), 1)),
        density("b", lambda a: Independent(LogNormal(a - 1, 0.5), 1), ["a"], constraints.positive),
        simulator("x", simulate, ["a", "b"], size=3),
    )


def simplex() -> Graph:
    """w on a simplex of three components."""
    return Graph(
        density("w", Dirichlet(torch.ones(3)), (), constraints.simplex),
        simulator("x", lambda w: w + 0.3 * torch.randn(len(w), 3), ["w"], size=3),
    )


@pytest.mark.parametrize(
    "spec",
    [
        "prior",
        "rejection-abc",
        f"amp:divergence=forward-kl,family={FLOW},steps=100",
        "amp:divergence=forward-kl,family=gaussian,families.a=mixture,steps=100",
        "amp:divergence=mmd,family=gaussian,steps=20",
    ],
)
def test_density_under_bounds(spec: str, registry: Registry) -> None:
    posterior = fit(registry.build("methods", spec), Simulator(bounded(), ["x"], 500, seed=0))
    check_density(posterior, X, 20_000)
    assert isinstance(posterior, HasDensity)
    outside = torch.tensor([[1.1, 0.5], [0.5, -0.1], [0.5, 0.5]])
    assert posterior.log_prob(outside, X.expand(3, -1)).isinf().tolist() == [True, True, False]


@pytest.mark.parametrize("spec", [f"amp:divergence=forward-kl,family={FLOW},steps=50", "rejection-abc"])
def test_density_on_a_simplex(spec: str, registry: Registry) -> None:
    """Of all components but the last, as torch's Dirichlet has it: on a grid over the triangle it sums to one."""
    posterior = fit(registry.build("methods", spec), Simulator(simplex(), ["x"], 500, seed=0))
    assert isinstance(posterior, HasDensity)
    axis = (torch.arange(150) + 0.5) / 150
    free = torch.cartesian_prod(axis, axis)
    theta = torch.cat([free, 1 - free.sum(1, keepdim=True)], 1)[free.sum(1) < 0.999]
    assert float(posterior.log_prob(theta, X.expand(len(theta), -1)).exp().sum()) / 150**2 == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("spec", ["npe:max_epochs=20", "snpe:max_epochs=5,rounds=2", "tsnpe:max_epochs=5,rounds=2"])
def test_density_of_the_toolbox(spec: str, registry: Registry) -> None:
    pytest.importorskip("sbi")
    posterior = fit(registry.build("methods", spec), Simulator(bounded(), ["x"], 300, seed=0))
    if hasattr(posterior, "fit_to"):
        posterior = posterior.fit_to(X, lambda done, total: None).posterior
    check_density(posterior, X)


@pytest.mark.parametrize(
    "spec",
    ["amp:family=implicit,steps=2", f"amp:family={FLOW},families.b=implicit,steps=2", "rejection-abc:smooth=false"],
)
def test_no_density_is_claimed(spec: str, registry: Registry) -> None:
    posterior = fit(registry.build("methods", spec), Simulator(bounded(), ["x"], 300, seed=0))
    assert not isinstance(posterior, HasDensity)


def test_bits_have_no_smooth_density(registry: Registry) -> None:
    bits = density("bits", Independent(Bernoulli(torch.tensor([0.3, 0.6])), 1))
    graph = Graph(bits, simulator("x", lambda b: b + torch.randn_like(b), ["bits"], size=2))
    assert not isinstance(fit(registry.build("methods", "rejection-abc"), Simulator(graph, ["x"], 300, 0)), HasDensity)


def test_nltp_is_that_of_the_density(gaussian_graph: Graph, registry: Registry) -> None:
    posterior = fit(registry.build("methods", "prior"), Simulator(gaussian_graph, ["x"], 0, seed=0))
    task: Task = registry.build("tasks", "gaussian_linear")  # not looked at
    setting = Setting(task, Observation(torch.tensor([1.0]), torch.tensor([0.3]), 0), posterior)
    assert NLTP().measure_in(setting, torch.zeros(5, 1)).value == pytest.approx(0.5 * (math.log(2 * math.pi) + 0.09))
