"""Conformance of a method: the properties on which runs rely, densities and states included."""

from __future__ import annotations

import copy
import pickle
from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import torch
from pandas import DataFrame
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


def _simulate(theta: Tensor) -> Tensor:
    weights = torch.tensor([[1.0, 0.0, 0.5], [0.0, 1.0, 0.5]])
    return theta @ weights + 0.3 * torch.randn(len(theta), 3)


def _drawn(posterior: Posterior, x: Any, n: Any) -> Tensor:
    with seeded(1):
        return posterior.sample(x, n)


def _refused(culprit: str, posterior: Posterior, x: Any, n: Any) -> None:
    """Assert that a posterior refuses its arguments by an error that names the culprit."""
    try:
        posterior.sample(x, n)
    except UsageError as error:
        assert culprit in str(error), f"{error} does not name {culprit}"  # noqa: PT017 — plugins have no pytest
    else:
        raise AssertionError(f"{culprit} was accepted: {x!r}, {n!r}")


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
        graph = Graph(density("theta", prior), simulator("x", _simulate, ["theta"]))
        return Simulator(graph, ["x"], self.budget, seed=0)

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

    def test_observations_and_numbers_in_other_types(self) -> None:
        """Lists, arrays and tables of any real type give the draws of a tensor, and several observations one set each.

        Numbers of draws that make no sense are refused.
        """
        posterior, values = fit(self.make(), self.source()), [0.125, -0.25, 0.5]
        expected = _drawn(posterior, torch.tensor(values), 3)
        table = DataFrame([values])
        for given in (
            values,
            tuple(values),
            np.array(values),
            np.array(values, np.float32),
            [values],
            table,
            table.iloc[0],
        ):
            assert torch.equal(_drawn(posterior, given, 3), expected)
        for given in (torch.tensor(values).double(), torch.tensor([values]).requires_grad_(), {"x": values}):
            assert torch.equal(_drawn(posterior, given, 3), expected)
        assert torch.equal(_drawn(posterior, [0, 1, 2], 3), _drawn(posterior, torch.tensor([0.0, 1.0, 2.0]), 3))
        several = _drawn(posterior, np.array([values, values]), 3)
        assert several.shape == (2, 3, 2)
        assert torch.equal(several[0], expected)
        whole: list[Any] = [3.0, (3,), np.int64(3), torch.tensor(3)]
        for n in whole:
            assert torch.equal(_drawn(posterior, values, n), expected)
        refused: list[Any] = [0, -1, 1.5, True, "3", (2, 3), None]
        for n in refused:
            _refused("the number of draws", posterior, values, n)
        bad: list[Any] = [None, "0.1", ["a", "b", "c"], [[1.0, 2.0], [3.0]], [1j, 0, 0], {"y": values}]
        for given in [*bad, torch.zeros(2, 2, 3)]:
            _refused("the observation", posterior, given, 3)

    def test_copies_and_pickles_are_the_same(self) -> None:
        """A copy of a posterior draws its numbers, and so does a pickled one, unless pickling is refused."""
        posterior, x = fit(self.make(), self.source()), torch.zeros(3)
        expected = _drawn(posterior, x, 3)
        assert torch.equal(_drawn(copy.deepcopy(posterior), x, 3), expected)
        try:
            written = pickle.dumps(posterior)
        except UsageError as error:
            assert "ampbench.save" in str(error)  # noqa: PT017 — otherwise it can be read again
        else:
            assert torch.equal(_drawn(pickle.loads(written), x, 3), expected)

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
