"""Conformance of a metric: the properties on which runs rely, and the inputs that make metrics silently wrong."""

from __future__ import annotations

import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from ampbench.errors import AmpbenchError
from ampbench.interfaces import (
    Measurement,
    Metric,
)
from ampbench.seeding import seeded
from ampbench.testing.expect import expect, left_alone, refused


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
        metric = self.make()
        at = metric.measure
        samples, reference = self.sets(self.n, self.n)
        with left_alone({"samples": samples, "reference": reference}, at):
            measured = expect_measurement(at(samples, reference), at)
        near, far = self.values()
        expect(
            near < far,
            f"samples of the reference's distribution score {near:.4g}, and samples of another one {far:.4g}",
            "the lower score for the samples of the reference's distribution",
            at,
            "lower must be better: change the sign, or use both sets",
        )
        again = expect_measurement(self.make().measure(samples, reference), at)
        expect(again == measured, f"two calls gave {in_full(measured)} and {in_full(again)}", "equal", at, SEED_INSIDE)

    def test_samples_of_one_distribution_score_alike(self) -> None:
        """Scores of several sets of the reference's distribution lie together, compared with that of another one."""
        metric = self.make()
        _, reference = self.sets(self.n, self.n)
        far = metric.measure(self.far(self.sets(self.n, self.n)[0]), reference).value
        near = []
        for seed in range(1, 4):
            with seeded(seed):
                near.append(metric.measure(torch.randn(self.n, 2), reference).value)
        expect(
            max(near) - min(near) < (far - min(near)) / 2,
            f"three sets of the reference's distribution score {', '.join(f'{value:.3g}' for value in near)}, and "
            f"another distribution {far:.3g}",
            "scores of the first three that differ by less than half of their distance to the last",
            metric.measure,
            "the value must depend on the distributions, and little on the sets",
        )

    def test_unequal_sizes(self) -> None:
        """Samples of one distribution score as equal ones do, however many there are of each."""
        near, far = self.values()
        at = self.make().measure
        for n, m in ((100, 1000), (1000, 100)):
            samples, reference = self.sets(n, m)
            first = expect_measurement(at(samples, reference), at)
            expect(
                first.value < (near + far) / 2,
                f"{n} samples and {m} of the reference, of one distribution, score {first.value:.4g}",
                f"about {near:.4g}, as for equal numbers, and not {far:.4g}, as for another distribution",
                at,
                "take means instead of sums, and choose equal numbers where the score depends on them",
            )
            again = self.make().measure(samples, reference)
            expect(again == first, f"two calls gave {in_full(first)} and {in_full(again)}", "equal", at, SEED_INSIDE)

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
        at = self.make().measure
        for name, (samples, other) in pairs.items():
            with warnings.catch_warnings(record=True) as warned:
                warnings.simplefilter("always")
                told = is_refused(partial(self.make().measure, samples, other)) or warned
            wanted = "a MetricError or a warning, since the sets are not independent"
            expect(told, f"a set was compared with {name} without a word", wanted, at, STANDARDISED)

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
        at = self.make().measure
        for name, change in changes.items():
            near, far = self.values(change)
            expect(
                -math.inf < near < far < math.inf,
                f"where the values are {name}, equal distributions score {near:.4g}, and different ones {far:.4g}",
                "finite scores, the first one lower",
                at,
                STANDARDISED,
            )

    def test_types_may_differ(self) -> None:
        """A set in double precision and one in single precision are compared as two of one type."""
        samples, reference = self.sets(self.n, self.n)
        near, far = self.values()
        at = self.make().measure
        for a, b in ((samples.double(), reference), (samples, reference.double())):
            value = at(a, b).value
            what = f"{a.dtype} samples and a {b.dtype} reference score {value:.4g}"
            expect(abs(value - near) < 0.1 * (far - near), what, f"about {near:.4g}", at, STANDARDISED)

    def test_constant_components(self) -> None:
        """Where a component does not vary there is a finite value, or an error."""
        samples, reference = self.sets(self.n, self.n)
        flat = torch.tensor([1.0, 0.0])
        at = self.make().measure
        for a, b in (
            (samples * flat, reference),
            (samples, reference * flat + 0.1),
            (samples * flat, reference * flat),
        ):
            expect_finite_or_refused(partial(self.make().measure, a, b), "a component does not vary", at)

    def test_outliers(self) -> None:
        """One distant row, and a distant set, give a finite value or an error."""
        samples, reference = self.sets(self.n, self.n)
        at = self.make().measure
        for distance in (1e4, 1e12, 1e30):
            one = samples.clone()
            one[3] = distance
            for far in (one, samples + distance):
                what = f"samples are at the distance {distance:g}"
                expect_finite_or_refused(partial(self.make().measure, far, reference), what, at)

    def test_refuses_bad_input(self) -> None:
        """NaN, infinite values, mismatched sizes and too few rows give an error, not a number."""
        good, _ = self.sets(100, 1)
        at = self.make().measure
        for what, bad in bad_sets(good).items():
            for name, sets in (("samples", (bad, good + 1)), ("the reference", (good, bad))):
                refused = is_refused(partial(self.make().measure, *sets))
                expect(refused, f"{name} with {what} gave a number", "a MetricError", at, STANDARDISED)


RETURN = "return Measurement(float(…), {…}), of ampbench.interfaces"
STANDARDISED = "begin with ampbench.metrics.checks.standardised(name, samples, reference, min_size), which sees to this"
SEED_INSIDE = "a metric seeds itself, so that one pair of sets has one value: with ampbench.seeding.seeded(0): …"


def expect_measurement(measured: object, at: object) -> Measurement:
    """Return a measurement with a finite value, and provenance that can be stored."""
    kind = type(measured).__name__
    expect(isinstance(measured, Measurement), f"it returned a {kind}", "a Measurement(value, provenance)", at, RETURN)
    assert isinstance(measured, Measurement)
    value: object = measured.value
    expect(isinstance(value, float), f"the value is of type {type(value).__name__}", "a float", at, "return float(…)")
    finite = math.isfinite(measured.value)
    expect(finite, f"the value is {measured.value}", "a finite number, or a MetricError", at, STANDARDISED)
    odd = {name: entry for name, entry in measured.provenance.items() if not isinstance(entry, str | int | float)}
    expect(not odd, f"the provenance has the entries {odd}", "texts and numbers", at)
    return measured


def in_full(measured: Measurement) -> str:
    """Return a value with its provenance, for a message."""
    return f"{measured.value} {dict(measured.provenance)}"


def bad_sets(good: Tensor) -> dict[str, Tensor]:
    """Return sets that do not fit a good one, of shape (n, 2), by what is wrong."""
    nan, infinite = good.clone(), good.clone()
    nan[3, 1], infinite[3, 1] = torch.nan, -torch.inf
    return {
        "one NaN": nan,
        "one infinite value": infinite,
        "nothing but NaN": good * torch.nan,
        "three components, not two": torch.cat([good, good[:, :1] + 1], 1),
        "one component, not two": good[:, :1],
        "one axis": good[:, 0],
        "no component": good[:, :0],
        "no row": good[:0],
        "one row": good[:1],
    }


def is_refused(measure: Callable[[], Measurement]) -> bool:
    """Return whether a measurement ends with an error of ampbench."""
    return refused(measure, AmpbenchError)


def expect_finite_or_refused(measure: Callable[[], Measurement], what: str, at: object) -> None:
    """Expect that a measurement has a finite value, or ends with an error of ampbench; it may warn."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = measure().value
    except AmpbenchError:
        return
    expect(math.isfinite(value), f"where {what}, the value is {value}", "a finite number, or a MetricError", at)
