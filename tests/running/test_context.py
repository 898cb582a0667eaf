"""The context of runs that share a fit: components are built when they are first used, and once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor
from torch.distributions import Independent, Normal

from ampbench import hookimpl
from ampbench.graph import Graph, Simulator, density, simulator
from ampbench.interfaces import HasReference, Measurement, Method, Metric, Observation, Posterior, Progress, Task
from ampbench.registry import Plugin, Registry
from ampbench.results import Run
from ampbench.results.store import Store
from ampbench.running import runner, sweep
from ampbench.running.context import Context, Services
from ampbench.running.failures import Failure

BUILT: Counter[str] = Counter()


class Counted:
    def __init__(self) -> None:
        BUILT[type(self).__name__] += 1


class Normals(Counted, Task, HasReference):
    """theta ~ N(0, 1)², x ~ N(theta, 1)."""

    version = "1"
    source = "a test"

    @cached_property
    def graph(self) -> Graph:
        prior = Independent(Normal(torch.zeros(2), torch.ones(2)), 1)
        return Graph(density("theta", prior), simulator("x", lambda t: t + torch.randn_like(t), ["theta"]))

    def observations(self) -> Mapping[int, Observation]:
        return {i: Observation(torch.full((2,), i / 2), torch.zeros(2), i) for i in (1, 2, 3)}

    def reference(self, observation: Tensor, n: int, seed: int) -> Tensor:
        return observation / 2 + 0.5**0.5 * torch.randn(n, 2, generator=torch.Generator().manual_seed(seed))


class Exact(Counted, Method):
    def fit(self, simulator: Simulator, device: torch.device, progress: Progress) -> Posterior:
        return ExactPosterior()


class Flat(Counted, Method):
    """Forgets a parameter."""

    def fit(self, simulator: Simulator, device: torch.device, progress: Progress) -> Posterior:
        return FlatPosterior()


class ExactPosterior(Posterior):
    def sample(self, observation: Tensor, n: int) -> Tensor:
        return observation / 2 + 0.5**0.5 * torch.randn(n, 2)


class FlatPosterior(ExactPosterior):
    def sample(self, observation: Tensor, n: int) -> Tensor:
        return super().sample(observation, n)[:, :1]


class First(Counted, Metric):
    def measure(self, samples: Tensor, reference: Tensor) -> Measurement:
        return Measurement(float((samples.mean() - reference.mean()).abs()))


class Second(First):
    pass


class Broken(Counted, Metric):
    def __init__(self) -> None:
        super().__init__()
        raise OSError("no licence on this machine")

    def measure(self, samples: Tensor, reference: Tensor) -> Measurement:
        raise AssertionError


@pytest.fixture
def registry() -> Registry:
    registry = Registry()
    components = SimpleNamespace(
        tasks=hookimpl(lambda: {"normals": Normals}),
        methods=hookimpl(lambda: {"exact": Exact, "flat": Flat}),
        metrics=hookimpl(lambda: {"first": First, "second": Second, "broken": Broken}),
    )
    registry.register(Plugin("test", "test", "0", "test"), components)
    return registry


def runs(registry: Registry, **more: object) -> list[Run]:
    asked = {"tasks": ["normals"], "methods": ["exact"], "budgets": [10], "samples": 100, **more}
    planned = sweep.runs(sweep.check(asked, "test"), registry)
    BUILT.clear()
    return planned


def test_each_component_is_built_once_for_all_observations(registry: Registry, tmp_path: Path) -> None:
    planned = runs(registry, metrics=["first", "second", "broken"])
    records = runner.execute(planned, Services(registry, Store(tmp_path), "cpu", lambda event: None))
    assert len(records) == 3
    assert BUILT == {"Normals": 1, "Exact": 1, "First": 1, "Second": 1, "Broken": 1}
    assert all("no licence" in record.error for record in records)
    assert all(record.metrics["first"].value is not None for record in records)


def test_nothing_is_built_before_it_is_used(registry: Registry, tmp_path: Path) -> None:
    context = Context(tuple(runs(registry, metrics=["first"])), Services(registry, Store(tmp_path), "cpu", print))
    assert BUILT == {}
    assert context.parameters == ("theta[0]", "theta[1]")
    assert BUILT == {"Normals": 1}


def test_a_metric_that_cannot_be_built_is_a_failure(registry: Registry, tmp_path: Path) -> None:
    (run, *_) = planned = runs(registry, metrics=["broken"])
    context = Context(tuple(planned), Services(registry, Store(tmp_path), "cpu", print))
    assert isinstance(context.metrics["broken"], Failure)
    assert not context.compares(run)
    assert context.asks_posterior(run), "it may be one that asks, for all that is known"


def test_samples_of_another_dimension_are_invalid(registry: Registry, tmp_path: Path) -> None:
    planned = runs(registry, methods=["flat"], metrics=["first"])
    records = runner.execute(planned, Services(registry, Store(tmp_path), "cpu", lambda event: None))
    assert {record.kind for record in records} == {"invalid-samples"}
    assert "(100, 1) for 100 samples, expected (100, D) with D = 2" in records[0].error
