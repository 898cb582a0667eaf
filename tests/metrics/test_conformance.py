"""The conformance of every registered metric."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from ampbench.errors import MetricError
from ampbench.interfaces import Metric, NeedsSetting
from ampbench.registry import Registry, load
from ampbench.seeding import seeded
from ampbench.testing import MetricConformance, SettingMetricConformance

METRICS: dict[str, Metric] = {name: load().build("metrics", name) for name in load().entries("metrics")}
COMPARING = [name for name, metric in METRICS.items() if not isinstance(metric, NeedsSetting)]
JUDGING = [name for name, metric in METRICS.items() if isinstance(metric, NeedsSetting)]
CLASSIFIERS = [name for name in COMPARING if name.startswith("c2st")]


def quick(names: list[str]) -> list[Any]:
    """All names, the slow ones marked."""
    return [pytest.param(name, marks=pytest.mark.slow if name == "c2st-sklearn" else ()) for name in names]


@pytest.mark.parametrize("name", quick(COMPARING))
class TestComparing(MetricConformance):
    @pytest.fixture(autouse=True)
    def _name(self, name: str) -> None:
        self.name = name

    def make(self) -> Metric:
        return METRICS[self.name]

    def far(self, samples: Tensor) -> Tensor:
        """The spread ignores shifts."""
        return 4 * samples if self.name == "spread" else super().far(samples)


@pytest.mark.parametrize("name", JUDGING)
class TestJudging(SettingMetricConformance):
    @pytest.fixture(autouse=True)
    def _name(self, name: str) -> None:
        self.name = name
        self.uses_samples = name != "nltp"

    def make(self) -> NeedsSetting:
        metric = METRICS[self.name]
        assert isinstance(metric, NeedsSetting)
        return metric


@pytest.mark.parametrize("name", quick(CLASSIFIERS))
@pytest.mark.parametrize(("n", "m"), [(2000, 100), (100, 2000)])
def test_chance_is_one_half_for_unequal_sizes(name: str, n: int, m: int) -> None:
    """Not the share of the larger class, 0.952; the choice of rows is in the provenance."""
    with seeded(0):
        measured = METRICS[name].measure(torch.randn(n, 2), torch.randn(m, 2))
    assert measured.value == pytest.approx(0.5, abs=4 / (4 * 200) ** 0.5)
    assert measured.provenance["n_samples"] == measured.provenance["n_reference"] == 100
    assert measured.provenance["chosen"] == f"100 of 2000 {'samples' if n > m else 'reference samples'}"


@pytest.mark.parametrize("name", quick(CLASSIFIERS))
def test_provenance_of_equal_sizes_is_as_before(name: str) -> None:
    with seeded(0):
        measured = METRICS[name].measure(torch.randn(100, 2), torch.randn(100, 2))
    entries = ["version", "classifier", "z_score", "folds", "seed", "n_samples", "n_reference", "standard_error"]
    assert list(measured.provenance) == entries


@pytest.mark.parametrize("name", ["c2st", "c2st-rf"])
def test_scores_below_chance_are_explained(name: str) -> None:
    """Copies up to rounding: the counterpart of a test row is in the other class of the training rows."""
    with seeded(0):
        reference = torch.randn(300, 2)
    measured = METRICS[name].measure(reference + 1e-6, reference)
    assert measured.value < 0.42
    assert str(measured.provenance["remark"]).startswith("below chance: ")


@pytest.mark.parametrize("name", COMPARING)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p, "200 of 200 samples are rows of the reference too"),
        (lambda p: p[50:150], "100 of 100 samples are rows of the reference too"),
        (lambda p: torch.cat([p[:10], 1 + p[10:]]), "10 of 200 samples are rows of the reference too"),
        (lambda p: p + 1e30, "the samples are up to .* reference standard deviations away"),
        (lambda p: p.to(torch.complex64), "the samples are complex numbers"),
        (lambda p: p[:, :0], r"the shape of the samples is \(200, 0\)"),
    ],
)
def test_messages_name_metric_and_culprit(name: str, change: Callable[[Tensor], Tensor], message: str) -> None:
    with seeded(0):
        reference = torch.randn(200, 2)
    with pytest.raises(MetricError, match=f"{name}: {message}"):
        METRICS[name].measure(change(reference), reference)


@pytest.mark.parametrize("levels", [2**8, 2**14, 2**20])
def test_grids_share_rows_by_chance(levels: int) -> None:
    """Independent sets of a distribution on a grid have rows in common, and are compared."""
    with seeded(0):
        samples, reference = (torch.randint(levels, (3000, 1)) / levels for _ in range(2))
    assert abs(METRICS["mmd"].measure(samples, reference).value) < 0.01


def test_constant_components_are_found_whatever_their_value() -> None:
    """The standard deviation of 300 times 0.1 is not exactly 0."""
    reference = torch.cat([torch.randn(300, 1), torch.full((300, 1), 0.1)], 1)
    with pytest.raises(MetricError, match="mmd: component 1 of the reference is constant"):
        METRICS["mmd"].measure(torch.randn(300, 2), reference)


def test_ksd_needs_samples_that_differ() -> None:
    with pytest.raises(MetricError, match="half of the pairs of 300 samples coincide"):
        METRICS["ksd"].measure_in(TestJudging().setting(), torch.zeros(300, 2))


def test_every_metric_is_here(registry: Registry) -> None:
    assert sorted(COMPARING + JUDGING) == sorted(registry.entries("metrics"))
