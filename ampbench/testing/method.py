"""Conformance of a method: the properties on which runs rely, densities and states included."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor
from torch.distributions import Independent, Normal

from ampbench.errors import UsageError
from ampbench.graph import Graph, Simulator, density, simulator
from ampbench.interfaces import (
    CanRestore,
    HasDensity,
    HasHistory,
    HasState,
    Method,
    Posterior,
    Sequential,
    fit,
    rebuild,
    silent,
)
from ampbench.interfaces.method import ReadsGaps
from ampbench.results import tensors
from ampbench.seeding import seeded


def check_density(posterior: Posterior, x: Tensor, n: int = 4000) -> None:
    """Assert that n samples given x, (L,), are of the density: the mean of 1{theta in a box} / q is the box's volume.

    The box holds the middle half of each component, so that the weights are bounded, and their error is known.
    """
    with seeded(1):
        samples = posterior.sample(x, n)
        assert isinstance(posterior, HasDensity)
        density = posterior.log_prob(samples, x.expand(n, -1))
    assert density.shape == (n,)
    low, high = samples.quantile(torch.tensor([0.25, 0.75]), 0)
    inside = ((samples > low) & (samples < high)).all(1)
    share = torch.where(inside, (-density).exp(), torch.zeros(())) / (high - low).prod()
    assert abs(float(share.mean()) - 1) < 5 * float(share.std()) / n**0.5


class MethodConformance(ABC):
    """The properties of a method on which runs rely; ``make`` should choose options that train for seconds only.

    Attributes:
        budget: of every fit.
        least: the fewest simulations that a fit may take; 0 for a reference point that needs none.
    """

    budget = 300
    least = 1

    @abstractmethod
    def make(self) -> Method:
        """Make the method under test."""

    def source(self) -> Simulator:
        """A Gaussian model with two parameters and three observed components."""
        prior = Independent(Normal(torch.zeros(2), torch.ones(2)), 1)
        weights = torch.tensor([[1.0, 0.0, 0.5], [0.0, 1.0, 0.5]])
        simulate = simulator("x", lambda theta: theta @ weights + 0.3 * torch.randn(len(theta), 3), ["theta"])
        return Simulator(Graph(density("theta", prior), simulate), ["x"], self.budget, seed=0)

    def source_with_gaps(self) -> Simulator:
        """The model of :meth:`source`, of which two observed components may be missing."""
        whole = self.source().graph

        def simulate(theta: Tensor) -> Tensor:
            x = whole.sample(len(theta), {"theta": theta})["x"]
            there = torch.rand_like(x) < torch.tensor([1.0, 0.7, 0.7])
            return torch.where(there, x, torch.nan)

        graph = Graph(whole["theta"], simulator("x", simulate, ["theta"], gaps=True))
        return Simulator(graph, ["x"], self.budget, seed=0)

    def test_fit_and_sample(self) -> None:
        """The posterior returns finite samples of the right shape, within the budget, and of its density if any."""
        source = self.source()
        posterior = fit(self.make(), source)
        x = torch.tensor([0.1, -0.2, 0.0])
        spent = source.spent
        if isinstance(posterior, Sequential):
            with seeded(1):
                fitted = posterior.fit_to(x, silent)
            posterior, spent = fitted.posterior, spent + fitted.simulations
        assert self.least <= spent <= self.budget
        samples = posterior.sample(x, 50)
        assert samples.shape == (50, 2)
        assert bool(torch.isfinite(samples).all())
        if isinstance(posterior, HasDensity):
            check_density(posterior, x)

    def test_gaps_are_read_or_refused(self) -> None:
        """Evidence with missing entries gives finite samples, also when restored, or a refusal that names it."""
        x = torch.tensor([0.1, torch.nan, 0.0])
        try:
            posterior = fit(self.make(), self.source_with_gaps())
            with seeded(1):
                samples = posterior.sample(x, 20)
        except UsageError as error:
            told = str(error)
            assert "gaps" in told, told
            return
        assert isinstance(self.make(), ReadsGaps)
        assert bool(torch.isfinite(samples).all())
        if isinstance(posterior, HasDensity):
            assert posterior.log_prob(samples, x.expand(20, -1)).shape == (20,)
        if isinstance(posterior, HasState):
            state = tensors.parse(tensors.dump(posterior.state()))
            with seeded(1):
                assert torch.equal(rebuild(self.make(), self.source_with_gaps(), state).sample(x, 20), samples)

    def test_same_seed_same_numbers(self) -> None:
        """Two fits with one seed give the same samples."""
        drawn = []
        for _ in range(2):
            posterior = fit(self.make(), self.source())
            with seeded(1):
                drawn.append(posterior.sample(torch.zeros(3), 20))
        assert torch.equal(*drawn)

    def test_a_restored_posterior_is_the_same(self) -> None:
        """A method that restores posteriors needs no simulation for it; they draw the same numbers."""
        if not isinstance(self.make(), CanRestore):
            return
        posterior = fit(self.make(), self.source())
        assert isinstance(posterior, HasState)
        state = tensors.parse(tensors.dump(posterior.state()))
        restored = rebuild(self.make(), self.source(), state)
        assert isinstance(restored, HasState)
        assert tensors.dump(restored.state()) == tensors.dump(state)
        drawn = []
        for each in (posterior, restored):
            with seeded(1):
                drawn.append(each.sample(torch.zeros(3), 20))
        assert torch.equal(*drawn)
        if isinstance(posterior, HasHistory):
            assert isinstance(restored, HasHistory)
            assert restored.history.equals(posterior.history)
