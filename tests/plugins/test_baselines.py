"""Baselines: the prior, the exact posterior, rejection ABC."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.distributions import Bernoulli, Independent, Normal, Uniform

from ampbench.errors import UsageError
from ampbench.graph import Graph, Simulator, density, simulator
from ampbench.graph.prior import LatentPrior
from ampbench.interfaces import HasReference, Task, fit
from ampbench.metrics.c2st import C2ST
from ampbench.registry import Plugin, Registry
from ampbench.seeding import seeded
from ampbench.testing import MethodConformance
from ampbench_baselines.prior import Prior
from ampbench_baselines.reference import Reference
from ampbench_baselines.rejection_abc import RejectionABC, leave_one_out_width


class TestPrior(MethodConformance):
    least = 0

    def make(self) -> Prior:
        return Prior()


class TestRejectionABC(MethodConformance):
    def make(self) -> RejectionABC:
        return RejectionABC(accept=30)


def test_the_prior_is_the_prior(gaussian_graph: Graph) -> None:
    posterior = fit(Prior(), Simulator(gaussian_graph, ["x"], 1, seed=0))
    with seeded(0):
        samples = posterior.sample(torch.ones(1), 4000)
    assert abs(float(samples.mean())) < 5 / 4000**0.5
    assert abs(float(samples.std()) - 1) < 5 / 8000**0.5


def test_the_reference_scores_one_half(registry: Registry) -> None:
    """C2ST between two independent sets of exact samples is 0.5 up to its noise."""
    task: Task = registry.build("tasks", "two_moons")
    assert isinstance(task, HasReference)
    source = Simulator(task.graph, task.observed, 10, seed=0)
    posterior = fit(Reference().with_task(task), source)
    assert source.spent == 0
    x = task.numbered(1).x
    with seeded(0):
        samples = posterior.sample(x, 1000)
    reference = task.reference(x, 1000, seed=1)
    assert not torch.equal(samples, reference)
    score = C2ST().measure(samples, reference)
    assert abs(score.value - 0.5) < 5 * 0.5 / 2000**0.5


def test_the_reference_needs_a_task_with_one(registry: Registry, gaussian_graph: Graph) -> None:
    with pytest.raises(UsageError, match="needs the task, not only its simulator"):
        fit(Reference(), Simulator(gaussian_graph, ["x"], 1, seed=0))
    with pytest.raises(UsageError, match="but Epidemic has none"):
        Reference().with_task(registry.build("tasks", "epidemic"))


@pytest.mark.parametrize(("accept", "smooth"), [(200, True), (200, False)])
def test_rejection_abc_finds_the_posterior(gaussian_graph: Graph, accept: int, smooth: bool) -> None:
    """theta | x is N(x / 2, 1 / 2); ABC with 2 % of 10,000 simulations accepted is close to it."""
    posterior = fit(RejectionABC(accept, smooth), Simulator(gaussian_graph, ["x"], 10_000, seed=0))
    with seeded(0):
        samples = posterior.sample(torch.tensor([1.0]), 4000)
    assert abs(float(samples.mean()) - 0.5) < 5 * (0.5 / accept) ** 0.5
    assert abs(float(samples.std()) - 0.5**0.5) < 5 * (0.5 / (2 * accept)) ** 0.5
    assert len(samples.unique()) > 3900 if smooth else len(samples.unique()) == accept


def test_rejection_abc_with_bounds_and_bits() -> None:
    """Smoothed samples stay in the support; bits stay bits."""
    graph = Graph(
        density("share", Independent(Uniform(torch.zeros(1), torch.ones(1)), 1)),
        density("coin", Independent(Bernoulli(torch.full((1,), 0.5)), 1)),
        simulator("x", lambda s, c: s + c + 0.05 * torch.randn_like(s), ["share", "coin"]),
    )
    posterior = fit(RejectionABC(accept=50), Simulator(graph, ["x"], 1000, seed=0))
    with seeded(0):
        share, coin = posterior.sample(torch.tensor([0.95]), 1000).T
    assert bool(((share >= 0) & (share <= 1)).all())
    assert set(coin.tolist()) <= {0.0, 1.0}


def test_a_constant_component_does_not_affect_the_distance(gaussian_graph: Graph) -> None:
    graph = Graph(gaussian_graph["theta"], simulator("x", lambda t: torch.cat([t, t * 0 + 7], 1), ["theta"]))
    posterior = fit(RejectionABC(accept=20), Simulator(graph, ["x"], 500, seed=0))
    assert bool(posterior.sample(torch.tensor([0.5, 7.0]), 50).isfinite().all())


def test_bad_settings(gaussian_graph: Graph) -> None:
    with pytest.raises(UsageError, match="cannot accept 100 of 99 simulations"):
        fit(RejectionABC(), Simulator(gaussian_graph, ["x"], 99, seed=0))
    with pytest.raises(UsageError, match="needs accept of at least 3, got accept=2"):
        RejectionABC(accept=2)
    posterior = fit(RejectionABC(accept=5), Simulator(gaussian_graph, ["x"], 99, seed=0))
    with pytest.raises(UsageError, match=r"shape \(2,\), expected \(1,\)"):
        posterior.sample(torch.zeros(2), 3)


def test_leave_one_out_width_follows_the_structure() -> None:
    """The width is near Silverman's for a standard normal, and much smaller for two narrow clusters."""
    with seeded(0):
        normal = torch.randn(200, 1)
    silverman = (200 * 3 / 4) ** (-1 / 5)
    assert 0.3 * silverman < float(leave_one_out_width(normal)) < 2 * silverman
    clusters = 0.01 * normal + torch.sign(normal)
    assert float(leave_one_out_width(clusters)) < 0.05


def observed_above() -> Graph:
    def child(parent: Tensor) -> Independent:
        return Independent(Normal(parent, 1.0), 1)

    root = Independent(Normal(torch.zeros(1), torch.ones(1)), 1)
    return Graph(density("x", root), density("z", child, ["x"]))


def test_the_joint_prior(chain: Graph) -> None:
    prior = LatentPrior(chain, ["z1", "z2"])
    assert prior.latents == ("z2", "z1")
    assert prior.event_shape == (2,)
    with seeded(0):
        theta = prior.sample((20_000,))
    covariance = torch.cov(theta.T)
    assert torch.allclose(covariance, torch.tensor([[1.0, 1.0], [1.0, 2.0]]), atol=0.1)
    exact = torch.distributions.MultivariateNormal(torch.zeros(2), torch.tensor([[1.0, 1.0], [1.0, 2.0]]))
    assert torch.allclose(prior.log_prob(theta[:50].reshape(5, 10, 2)), exact.log_prob(theta[:50]).reshape(5, 10))
    assert prior.split(theta)["z1"].shape == (20_000, 1)


def test_the_joint_prior_runs_no_simulator() -> None:
    def simulate(theta: Tensor) -> Tensor:
        raise AssertionError("simulated")

    uniform = Independent(Uniform(torch.zeros(2), torch.ones(2)), 1)
    graph = Graph(
        density("a", uniform),
        density("b", Independent(Normal(torch.zeros(1), torch.ones(1)), 1)),
        simulator("x", lambda a, b: simulate(a), ["a", "b"]),
    )
    prior = LatentPrior(graph, ["a", "b"])
    assert prior.sample().shape == (3,)
    outside = torch.tensor([[0.5, 0.5, 9.0], [0.5, 1.5, 0.0]])
    assert prior.support.check(outside).tolist() == [True, False]
    assert prior.log_prob(outside)[1] == -torch.inf


def test_a_prior_below_an_observed_variable() -> None:
    prior = LatentPrior(observed_above(), ["z"])
    assert prior.fault == "latent variable 'z' depends on the observed 'x'"
    assert prior.sample((3,)).shape == (3, 1)


def test_a_hook_registers_them() -> None:
    import ampbench_baselines

    registry = Registry()
    registry.register(Plugin("ampbench_baselines", "ampbench", "0", "ampbench_baselines"), ampbench_baselines)
    assert list(registry.entries("methods")) == ["prior", "reference", "rejection-abc"]
    assert registry.build("methods", "rejection-abc:accept=7,smooth=false").smooth is False
