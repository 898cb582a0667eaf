"""Conformance of a metric that judges samples by their setting, without a reference."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from functools import partial
from typing import final

import torch
from torch import Tensor
from torch.distributions import Independent, Normal

from ampbench.graph import Graph, density, simulator
from ampbench.interfaces import HasDensity, HasLikelihood, NeedsSetting, Observation, Posterior, Setting, Task
from ampbench.seeding import seeded
from ampbench.testing.expect import expect, left_alone
from ampbench.testing.metric import (
    SEED_INSIDE,
    bad_sets,
    expect_finite_or_refused,
    expect_measurement,
    in_full,
    is_refused,
)


class SettingMetricConformance(ABC):
    """The properties of a metric that judges samples by their setting, without a reference.

    Attributes:
        uses_samples: whether the value depends on the samples, and not on the posterior alone.
    """

    uses_samples = True

    @abstractmethod
    def make(self) -> NeedsSetting:
        """Make the metric under test."""

    def setting(self) -> Setting:
        """A Gaussian model with two parameters and their exact posterior."""
        return Setting(_Gaussian(), Observation(torch.tensor([1.0, 0.0]), torch.tensor([0.5, 0.5]), 0), _Exact())

    def samples(self, n: int = 300) -> Tensor:
        """Return n samples of the exact posterior."""
        with seeded(0):
            return _Exact().sample(self.setting().observation.x, n)

    def test_measures(self) -> None:
        """The value is finite, and reproducible with its provenance; the type of the samples does not matter."""
        at, samples = self.make().measure_in, self.samples()
        with left_alone({"samples": samples}, at):
            measured = expect_measurement(at(self.setting(), samples), at)
        again = self.make().measure_in(self.setting(), self.samples())
        expect(again == measured, f"two calls gave {in_full(measured)} and {in_full(again)}", "equal", at, SEED_INSIDE)
        double = self.make().measure_in(self.setting(), self.samples().double())
        close = abs(double.value - measured.value) < 1e-3 * max(1.0, abs(measured.value))
        expect(close, f"samples in double precision score {double.value:.6g}", f"{measured.value:.6g}", at)

    def test_the_value_depends_on_the_posterior(self) -> None:
        """The value for a posterior far from the exact one, and its samples, differs from that for the exact one."""
        at, setting = self.make().measure_in, self.setting()
        exact = at(setting, self.samples()).value
        wrong = replace(setting, posterior=_Exact(shift=1.5))
        far = at(wrong, self.samples() + 1.5).value
        expect(
            far != exact,
            f"the exact posterior and one that is shifted by two standard deviations both score {exact:.4g}",
            "different values",
            at,
            "use the samples, or the density of setting.posterior",
        )

    def test_constant_components(self) -> None:
        """Where a component does not vary, or no row does, there is a finite value, or an error."""
        at = self.make().measure_in
        for factor in (torch.tensor([1.0, 0.0]), torch.zeros(2)):
            samples = self.samples() * factor
            act = partial(self.make().measure_in, self.setting(), samples)
            expect_finite_or_refused(act, "a component does not vary", at)

    def test_outliers(self) -> None:
        """Distant samples give a finite value or an error."""
        at = self.make().measure_in
        for distance in (1e4, 1e12, 1e30):
            samples = self.samples() + distance
            act = partial(self.make().measure_in, self.setting(), samples)
            expect_finite_or_refused(act, f"samples are at the distance {distance:g}", at)

    def test_refuses_bad_input(self) -> None:
        """NaN, infinite values and samples of another shape give an error, not a number."""
        at, good = self.make().measure_in, self.samples(100)
        for what, bad in (bad_sets(good) | {"infinite values": torch.full((100, 2), torch.inf)}).items():
            fits = bad.ndim == 2 and bad.shape[1] == 2
            if len(bad) != 1 and (fits or self.uses_samples):  # some metrics judge a single row
                refused = is_refused(partial(self.make().measure_in, self.setting(), bad))
                advice = "begin with ampbench.metrics.checks.check_set(name, 'samples', samples, min_size)"
                expect(refused, f"samples with {what} gave a number", "a MetricError", at, advice)


@final
class _Gaussian(Task, HasLikelihood):
    """theta ~ N(0, 1)², x ~ N(theta, 1): the posterior is N(x / 2, 1 / 2)."""

    version, source = "1", "conformance of metrics"
    graph = Graph(
        density("theta", Independent(Normal(torch.zeros(2), torch.ones(2)), 1), size=2),
        simulator("x", lambda theta: theta + torch.randn_like(theta), ["theta"], size=2),
    )

    def log_likelihood(self, theta: Tensor, x: Tensor) -> Tensor:
        """Return log p(x | theta) up to a constant, shape (n,)."""
        return -(theta - x).square().sum(-1) / 2


@final
class _Exact(Posterior, HasDensity):
    """The exact posterior of :class:`_Gaussian`, or one that is shifted."""

    def __init__(self, shift: float = 0.0) -> None:
        self.shift = shift

    def sample(self, observation: Tensor, n: int) -> Tensor:
        """Draw (n, 2)."""
        return observation / 2 + self.shift + torch.randn(n, 2) / 2**0.5

    def log_prob(self, value: Tensor, context: Tensor) -> Tensor:
        """Return the log density, shape (n,)."""
        return Normal(context / 2 + self.shift, 0.5**0.5).log_prob(value).sum(-1)
