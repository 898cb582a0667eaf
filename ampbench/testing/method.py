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
from ampbench.testing.expect import (
    SEED_ADVICE,
    NonconformanceError,
    expect,
    expect_equal,
    expect_tensor,
    left_alone,
)


def _simulate(theta: Tensor) -> Tensor:
    weights = torch.tensor([[1.0, 0.0, 0.5], [0.0, 1.0, 0.5]])
    return theta @ weights + 0.3 * torch.randn(len(theta), 3)


def _drawn(posterior: Posterior, x: Any, n: Any) -> Tensor:
    with seeded(1):
        return posterior.sample(x, n)


def _refused(culprit: str, posterior: Posterior, x: Any, n: Any) -> None:
    """Check that a posterior refuses its arguments by an error that names the culprit."""
    what, at = f"the observation {x!r} and {n!r} draws", posterior.sample
    try:
        posterior.sample(x, n)
    except UsageError as error:
        expect(culprit in str(error), f"{what} gave the error {error}", f"an error that names {culprit}", at)
    else:
        raise NonconformanceError(f"{what} were accepted", f"a UsageError that names {culprit}", at)


def check_density(posterior: Posterior, x: Tensor, n: int = 4000) -> None:
    """Assert that n samples given x, (L,), are of the density: the mean of 1{theta in a box} / q is the box's volume.

    The box holds the middle half of each component, so that the weights are bounded, and their error is known.
    """
    with seeded(1):
        samples = posterior.sample(x, n)
        assert isinstance(posterior, HasDensity)
        at = posterior.log_prob
        density = at(samples, x.expand(n, -1))
    expect_tensor(density, "the log-density of samples", (n,), at)
    low, high = samples.quantile(torch.tensor([0.25, 0.75]), 0)
    inside = ((samples > low) & (samples < high)).all(1)
    share = torch.where(inside, (-density).exp(), torch.zeros(())) / (high - low).prod()
    error = float(share.std()) / n**0.5
    expect(
        abs(float(share.mean()) - 1) < 5 * error,
        f"the mean of 1 / density over samples in a box is {float(share.mean()):.3g} volumes of the box",
        f"1 within {5 * error:.2g}, as for samples of this density",
        at,
        "sample must draw from the density that log_prob evaluates: compare location, scale and normalisation of both",
    )


class MethodConformance(ABC):
    """The properties of a method on which runs rely; ``make`` should choose options that train for seconds only.

    Attributes:
        budget: of every fit.
        least: the fewest simulations that a fit may take; 0 for a reference point that needs none.
        clear: distance of the means of draws given distant observations, in standard errors, that is expected; 0 for
            any, where options that train for seconds leave the posterior near the prior.
    """

    budget = 300
    least = 1
    clear = 5.0

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
        source, method = self.source(), self.make()
        posterior = fit(method, source)
        expect(
            isinstance(posterior, Posterior),
            f"it is a {type(posterior).__name__}",
            "a Posterior",
            method.fit,
            "return it from fit",
        )
        x = torch.tensor([0.1, -0.2, 0.0])
        spent = source.spent
        if isinstance(posterior, Sequential):
            with seeded(1):
                fitted = posterior.fit_to(x, silent)
            posterior, spent = fitted.posterior, spent + fitted.simulations
        wanted = f"{self.least} to {self.budget}"
        expect(self.least <= spent <= self.budget, f"the fit took {spent} simulations", wanted, method.fit)
        with left_alone({"observation": x}, posterior.sample):
            samples = posterior.sample(x, 50)
        expect_tensor(samples, "50 samples of two parameters", (50, 2), posterior.sample)
        if isinstance(posterior, HasDensity):
            check_density(posterior, x)

    def test_samples_vary_and_depend_on_the_observation(self) -> None:
        """Draws differ from each other, and those given distant observations have distant means.

        A fit that takes no simulations is a reference point, such as the prior, and need not depend on the observation.
        """
        source = self.source()
        posterior = fit(self.make(), source)
        at = posterior.sample
        means, spreads = [], []
        for sign in (-1, 1):
            x = sign * torch.tensor([1.5, 1.5, 1.5])
            samples = _drawn(posterior, x, 400)
            means.append(samples.mean(0))
            spreads.append(samples.std(0))
        for component, spread in enumerate(spreads[0].tolist()):
            expect(
                spread > 0,
                f"component {component} of 400 draws is always {float(means[0][component]):.3g}",
                "draws that differ",
                at,
                "draw n times, each with noise of its own",
            )
        if not source.spent and not isinstance(posterior, Sequential):
            return
        distance = float((means[1] - means[0]).norm())
        error = float(torch.stack(spreads).square().sum() / 400) ** 0.5
        expect(
            distance > self.clear * error,
            f"the means of 400 draws given x = (−1.5, −1.5, −1.5) and (1.5, 1.5, 1.5) have the distance {distance:.2g}",
            f"more than {self.clear * error:.2g}; that of the exact posterior is about 3.8",
            at,
            "condition on the observation: it is the first argument of sample",
        )

    def test_gaps_are_read_or_refused(self) -> None:
        """Evidence with missing entries gives finite samples, also when restored, or a refusal that names it."""
        x, method = torch.tensor([0.1, torch.nan, 0.0]), self.make()
        try:
            posterior = fit(method, self.source_with_gaps())
            with seeded(1):
                samples = posterior.sample(x, 20)
        except UsageError as error:
            told = str(error)
            expect("gaps" in told, f"the error is: {told}", "an error that names the gaps", method.fit)
            return
        expect(isinstance(method, ReadsGaps), "it fitted data with gaps", "a method that is a ReadsGaps", type(method))
        expect_tensor(samples, "20 samples given an observation with a gap", (20, 2), posterior.sample)
        if isinstance(posterior, HasDensity):
            density = posterior.log_prob(samples, x.expand(20, -1))
            expect(density.shape == (20,), f"its density has shape {tuple(density.shape)}", "(20,)", posterior.log_prob)
        if isinstance(posterior, HasState):
            state = tensors.parse(tensors.dump(posterior.state()))
            with seeded(1):
                again = rebuild(self.make(), self.source_with_gaps(), state).sample(x, 20)
            expect_equal(samples, again, "a sample of the restored posterior", posterior.state)

    def test_same_seed_same_numbers(self) -> None:
        """Two fits with one seed give the same samples."""
        drawn = []
        for _ in range(2):
            method = self.make()
            posterior = fit(method, self.source())
            with seeded(1):
                drawn.append(posterior.sample(torch.zeros(3), 20))
        expect_equal(drawn[0], drawn[1], "a sample after a second fit with one seed", method.fit, SEED_ADVICE)

    def test_observations_and_numbers_in_other_types(self) -> None:
        """Lists, arrays and tables of any real type give the draws of a tensor, and several observations one set each.

        Numbers of draws that make no sense are refused.
        """
        posterior, values = fit(self.make(), self.source()), [0.125, -0.25, 0.5]
        at = posterior.sample
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
            expect_equal(expected, _drawn(posterior, given, 3), f"a sample given the observation {given!r}", at)
        for given in (torch.tensor(values).double(), torch.tensor([values]).requires_grad_(), {"x": values}):
            expect_equal(expected, _drawn(posterior, given, 3), f"a sample given the observation {given!r}", at)
        real = _drawn(posterior, torch.tensor([0.0, 1.0, 2.0]), 3)
        expect_equal(real, _drawn(posterior, [0, 1, 2], 3), "a sample given whole numbers", at)
        several = _drawn(posterior, np.array([values, values]), 3)
        expect_tensor(several, "3 samples given two observations", (2, 3, 2), at)
        expect_equal(expected, several[0], "a sample given the first of two observations", at)
        whole: list[Any] = [3.0, (3,), np.int64(3), torch.tensor(3)]
        for n in whole:
            expect_equal(expected, _drawn(posterior, values, n), f"a sample of n = {n!r} draws", at)
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
        kind = type(posterior)
        expect_equal(expected, _drawn(copy.deepcopy(posterior), x, 3), "a sample of a copy", kind)
        try:
            written = pickle.dumps(posterior)
        except UsageError as error:
            told = str(error)
            expect("ampbench.save" in told, f"pickling gave: {told}", "an error that names ampbench.save", kind)
        else:
            expect_equal(expected, _drawn(pickle.loads(written), x, 3), "a sample of a pickled posterior", kind)

    def test_a_restored_posterior_is_the_same(self) -> None:
        """A method that restores posteriors needs no simulation for it; they draw the same numbers."""
        method = self.make()
        if not isinstance(method, CanRestore):
            return
        posterior = fit(method, self.source())
        wanted = "a HasState, since the method is a CanRestore"
        expect(
            isinstance(posterior, HasState), f"the posterior is a {type(posterior).__name__}", wanted, type(posterior)
        )
        assert isinstance(posterior, HasState)
        state = tensors.parse(tensors.dump(posterior.state()))
        restored = rebuild(self.make(), self.source(), state)
        same = isinstance(restored, HasState) and tensors.dump(restored.state()) == tensors.dump(state)
        expect(same, "the restored posterior has another state", "the state that it was restored from", method.restore)
        drawn = []
        for each in (posterior, restored):
            with seeded(1):
                drawn.append(each.sample(torch.zeros(3), 20))
        expect_equal(drawn[0], drawn[1], "a sample of the restored posterior", method.restore)
        if isinstance(posterior, HasHistory):
            kept = isinstance(restored, HasHistory) and restored.history.equals(posterior.history)
            expect(kept, "the restored posterior has another history", "the same history", method.restore)
