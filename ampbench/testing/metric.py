"""Conformance of a metric: the properties on which runs rely, and the inputs that make metrics silently wrong."""

from __future__ import annotations

import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import final

import torch
from torch import Tensor
from torch.distributions import Independent, Normal

from ampbench.errors import AmpbenchError
from ampbench.graph import Graph, density, simulator
from ampbench.interfaces import (
    HasDensity,
    HasLikelihood,
    Measurement,
    Metric,
    NeedsSetting,
    Observation,
    Posterior,
    Setting,
    Task,
)
from ampbench.seeding import seeded


class MetricConformance(ABC):
    """The properties on which runs rely, of a metric that compares samples with a reference.

    Attributes:
        n: number of rows of a set.
    """

    n = 120

    @abstractmethod
    def make(self) -> Metric:
        """Make the metric under test."""

    def far(self, samples: Tensor) -> Tensor:
        """Return samples (n, D) of another distribution, which score higher: shifted ones by default."""
        return samples + 1.5

    def sets(self, n: int, m: int) -> tuple[Tensor, Tensor]:
        """Return n samples and m reference samples of one distribution, two components each."""
        with seeded(0):
            return torch.randn(n, 2), torch.randn(m, 2)

    def values(self, change: Callable[[Tensor], Tensor] = lambda values: values) -> tuple[float, float]:
        """Return the scores of samples of the reference's distribution and of another one, after a change of both."""
        samples, reference = self.sets(self.n, self.n)
        near, far = (self.make().measure(change(each), change(reference)) for each in (samples, self.far(samples)))
        return near.value, far.value

    def test_orders_distributions(self) -> None:
        """Samples of one distribution score lower than others; the value and its provenance are reproducible."""
        near, far = self.values()
        assert near < far
        samples, reference = self.sets(self.n, self.n)
        measured = self.make().measure(samples, reference)
        assert measured.value == near
        assert measured == self.make().measure(samples, reference)
        assert all(isinstance(value, str | int | float) for value in measured.provenance.values())

    def test_unequal_sizes(self) -> None:
        """Samples of one distribution score as equal ones do, however many there are of each."""
        near, far = self.values()
        for n, m in ((100, 1000), (1000, 100)):
            samples, reference = self.sets(n, m)
            first = self.make().measure(samples, reference)
            assert first.value < (near + far) / 2, f"{first.value} for {n} samples and {m} of the reference"
            assert first == self.make().measure(samples, reference)

    def test_shared_rows(self) -> None:
        """A set that is compared with itself, or with a part of itself, gives an error or a warning."""
        _, reference = self.sets(self.n, self.n)
        whole = (10 * reference).round()
        order = torch.randperm(self.n, generator=torch.Generator().manual_seed(0))
        pairs = {
            "itself": (reference, reference),
            "itself in another order": (reference[order], reference),
            "itself in double precision": (reference.double(), reference),
            "a part": (reference[: self.n // 2], reference),
            "the larger part": (reference, reference[self.n // 3 :]),
            "counts": (whole, whole),
        }
        for name, (samples, other) in pairs.items():
            with warnings.catch_warnings(record=True) as warned:
                warnings.simplefilter("always")
                assert _refused(partial(self.make().measure, samples, other)) or warned, name

    def test_types_and_scales(self) -> None:
        """The order of scores does not depend on the type, the unit and the origin of the values."""
        changes: dict[str, Callable[[Tensor], Tensor]] = {
            "double precision": lambda values: values.double(),
            "half precision": lambda values: values.half(),
            "counts": lambda values: (100 * values).round().int(),
            "large": lambda values: 1e30 * values,
            "small": lambda values: 1e-30 * values,
            "very large": lambda values: 1e300 * values.double(),
            "far from 0": lambda values: 1.2e9 + values.double(),
            "one component": lambda values: values[:, :1],
        }
        for name, change in changes.items():
            near, far = self.values(change)
            assert -math.inf < near < far < math.inf, name

    def test_types_may_differ(self) -> None:
        """A set in double precision and one in single precision are compared as two of one type."""
        samples, reference = self.sets(self.n, self.n)
        near, far = self.values()
        for a, b in ((samples.double(), reference), (samples, reference.double())):
            assert abs(self.make().measure(a, b).value - near) < 0.1 * (far - near)

    def test_constant_components(self) -> None:
        """Where a component does not vary there is a finite value, or an error."""
        samples, reference = self.sets(self.n, self.n)
        flat = torch.tensor([1.0, 0.0])
        for a, b in (
            (samples * flat, reference),
            (samples, reference * flat + 0.1),
            (samples * flat, reference * flat),
        ):
            _check_finite_or_refused(partial(self.make().measure, a, b))

    def test_outliers(self) -> None:
        """One distant row, and a distant set, give a finite value or an error."""
        samples, reference = self.sets(self.n, self.n)
        for distance in (1e4, 1e12, 1e30):
            one = samples.clone()
            one[3] = distance
            for far in (one, samples + distance):
                _check_finite_or_refused(partial(self.make().measure, far, reference))

    def test_refuses_bad_input(self) -> None:
        """NaN, infinite values, mismatched sizes and too few rows give an error, not a number."""
        good, _ = self.sets(100, 1)
        for bad in _bad(good):
            assert _refused(partial(self.make().measure, bad, good + 1)), f"samples of shape {tuple(bad.shape)}"
            assert _refused(partial(self.make().measure, good, bad)), f"reference of shape {tuple(bad.shape)}"


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
        measured = self.make().measure_in(self.setting(), self.samples())
        assert math.isfinite(measured.value)
        assert measured == self.make().measure_in(self.setting(), self.samples())
        assert all(isinstance(value, str | int | float) for value in measured.provenance.values())
        double = self.make().measure_in(self.setting(), self.samples().double())
        assert abs(double.value - measured.value) < 1e-3 * max(1.0, abs(measured.value))

    def test_constant_components(self) -> None:
        """Where a component does not vary, or no row does, there is a finite value, or an error."""
        for factor in (torch.tensor([1.0, 0.0]), torch.zeros(2)):
            samples = self.samples() * factor
            _check_finite_or_refused(partial(self.make().measure_in, self.setting(), samples))

    def test_outliers(self) -> None:
        """Distant samples give a finite value or an error."""
        for distance in (1e4, 1e12, 1e30):
            samples = self.samples() + distance
            _check_finite_or_refused(partial(self.make().measure_in, self.setting(), samples))

    def test_refuses_bad_input(self) -> None:
        """NaN, infinite values and samples of another shape give an error, not a number."""
        for bad in (*_bad(self.samples(100)), torch.full((100, 2), torch.inf)):
            fits = bad.ndim == 2 and bad.shape[1] == 2
            if len(bad) != 1 and (fits or self.uses_samples):  # some metrics judge a single row
                assert _refused(partial(self.make().measure_in, self.setting(), bad)), f"shape {tuple(bad.shape)}"


def _bad(good: Tensor) -> tuple[Tensor, ...]:
    """Return sets that do not fit a good one, of shape (n, 2)."""
    nan, infinite = good.clone(), good.clone()
    nan[3, 1], infinite[3, 1] = torch.nan, -torch.inf
    wide = torch.cat([good, good[:, :1] + 1], 1)
    return nan, infinite, good * torch.nan, wide, good[:, :1], good[:, 0], good[:, :0], good[:0], good[:1]


def _refused(measure: Callable[[], Measurement]) -> bool:
    """Return whether a measurement ends with an error of ampbench."""
    try:
        measure()
    except AmpbenchError:
        return True
    return False


def _check_finite_or_refused(measure: Callable[[], Measurement]) -> None:
    """Assert that a measurement has a finite value, or ends with an error of ampbench; it may warn."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = measure().value
    except AmpbenchError:
        return
    assert math.isfinite(value)


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
    """The exact posterior of :class:`_Gaussian`."""

    def sample(self, observation: Tensor, n: int) -> Tensor:
        """Draw (n, 2)."""
        return observation / 2 + torch.randn(n, 2) / 2**0.5

    def log_prob(self, value: Tensor, context: Tensor) -> Tensor:
        """Return the log density, shape (n,)."""
        return Normal(context / 2, 0.5**0.5).log_prob(value).sum(-1)
