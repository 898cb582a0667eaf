"""Runs: one fit for all observations, failures that cost only themselves, and resumption."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor
from torch.distributions import Independent, Normal

from ampbench import hookimpl
from ampbench.errors import FitWarning, MetricError, UsageError
from ampbench.graph import Graph, Simulator, density, simulator
from ampbench.interfaces import (
    HasReference,
    Measurement,
    Method,
    Metric,
    Observation,
    Posterior,
    Progress,
    Task,
    UnfinishedFitError,
)
from ampbench.interfaces.events import Event, Note
from ampbench.registry import Plugin, Registry
from ampbench.results import Record, Run, load
from ampbench.results.store import Store
from ampbench.running import jobs, runner, sweep
from ampbench.running.context import Services

FITS: list[str] = []


class Normals(Task, HasReference):
    """theta ~ N(0, 1), x ~ N(theta, 1)."""

    version = "1"
    source = "a test"

    @cached_property
    def graph(self) -> Graph:
        prior = Independent(Normal(torch.zeros(1), torch.ones(1)), 1)
        return Graph(density("theta", prior), simulator("x", lambda t: t + torch.randn_like(t), ["theta"]))

    def observations(self) -> Mapping[int, Observation]:
        return {i: Observation(torch.tensor([i / 2]), torch.tensor([0.0]), i) for i in (1, 2, 3)}

    def reference(self, observation: Tensor, n: int, seed: int) -> Tensor:
        return observation / 2 + 0.5**0.5 * torch.randn(n, 1, generator=torch.Generator().manual_seed(seed))


def construct(fault: str) -> None:
    """What a constructor may do that says nothing about its options."""
    if fault == "no licence":
        raise OSError("no licence on this machine")
    if fault == "exit at once":
        raise SystemExit("gone at once")
    if fault == "package":
        try:
            importlib.import_module("only_on_workers")
        except ImportError as error:
            raise UsageError("pip install only-on-workers") from error


class Exact(Method):
    """The exact posterior, or a fault."""

    def __init__(self, fault: str = "", spend: int = 5) -> None:
        construct(fault)
        self.fault, self.spend = fault, spend

    def fit(self, simulator: Simulator, device: torch.device, progress: Progress) -> Posterior:
        FITS.append(self.fault)
        simulator.sample(self.spend)
        progress(1, 1)
        if self.fault == "raise":
            raise RuntimeError("cannot fit")
        if self.fault == "diverge":
            raise UnfinishedFitError("a loss became nan", ExactPosterior(""))
        if self.fault == "warn":
            warnings.warn("(theta | x) is told apart", FitWarning, stacklevel=1)
        if self.fault == "exit":
            raise SystemExit("gone")
        return ExactPosterior(self.fault)


class ExactPosterior(Posterior):
    def __init__(self, fault: str) -> None:
        self.fault = fault

    def sample(self, observation: Tensor, n: int) -> Tensor:
        samples = observation / 2 + 0.5**0.5 * torch.randn(n, 1)
        if self.fault == "nan":
            samples[0] = torch.nan
        if self.fault == "short":
            return samples[1:]
        if self.fault == "one observation" and observation[0] == 1.0:
            raise RuntimeError("not this one")
        return samples


class Mean(Metric):
    """Difference of means."""

    def __init__(self, fault: str = "") -> None:
        construct(fault)
        self.fault = fault

    def measure(self, samples: Tensor, reference: Tensor) -> Measurement:
        if self.fault == "nan":
            return Measurement(float("nan"))
        if self.fault == "provenance":
            return Measurement(0.5, {"error": float("nan")})
        if self.fault == "speechless":
            raise MetricError
        return Measurement(float((samples.mean() - reference.mean()).abs()), {"n": len(samples)})


class Silent:
    def __init__(self) -> None:
        self.notes: list[str] = []

    def __call__(self, event: Event) -> None:
        if isinstance(event, Note):
            self.notes.append(event.text)


def make_registry(**lifecycle: Callable[..., object]) -> Registry:
    registry = Registry()
    components = SimpleNamespace(
        tasks=hookimpl(lambda: {"normals": Normals}),
        methods=hookimpl(lambda: {"exact": Exact}),
        metrics=hookimpl(lambda: {"mean": Mean}),
        **{name: hookimpl(function) for name, function in lifecycle.items()},
    )
    registry.register(Plugin("test", "test", "0", "test"), components)
    return registry


def execute(
    folder: Path, methods: list[str], registry: Registry | None = None, listener: Silent | None = None, **more: object
) -> list[Record]:
    registry = registry or make_registry()
    asked = {"tasks": ["normals"], "metrics": ["mean"], "budgets": [10], "samples": 100, "methods": methods, **more}
    store = Store(folder)
    todo = jobs.pending(sweep.runs(sweep.check(asked, "test"), registry), store)
    return runner.execute(todo, Services(registry, store, "cpu", listener or Silent()))


def test_one_fit_serves_all_observations_and_is_not_repeated(tmp_path: Path) -> None:
    FITS.clear()
    records = execute(tmp_path, ["exact"])
    assert [record.run.observation for record in records] == [1, 2, 3]
    assert all(record.ok and record.simulations == 5 for record in records)
    assert len(FITS) == 1
    assert execute(tmp_path, ["exact"]) == []
    assert execute(tmp_path, ["exact:spend=5"]) == [], "a default written out is the same run"
    assert len(execute(tmp_path, ["exact"], seeds=[1])) == 3


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("raise", "RuntimeError: cannot fit"),
        ("exit", "SystemExit: gone"),
        ("nan", "1 of 100 posterior samples are NaN or infinite"),
        ("no licence", "method 'exact' .*OSError: no licence on this machine"),
        ("exit at once", "SystemExit: gone at once"),
        ("package", "pip install only-on-workers"),
        ("short", r"the posterior returned \(99, 1\) for 100 samples, expected \(100, D\)"),
    ],
)
def test_a_fault_costs_its_own_runs(tmp_path: Path, fault: str, message: str) -> None:
    import re

    execute(tmp_path, [f"exact:fault={fault}", "exact"])
    frame = load(tmp_path)
    failed = frame[frame["status"] == "failed"]
    assert len(failed) == 3
    assert all(re.search(message, error) for error in failed["error"])
    assert (frame[frame["method"] == "exact"]["status"] == "ok").all()


def test_only_the_failed_observation_is_tried_again(tmp_path: Path) -> None:
    first = execute(tmp_path, ["exact:fault=one observation"])
    assert [record.ok for record in first] == [True, False, True]
    assert "RuntimeError: not this one" in first[1].traceback
    again = execute(tmp_path, ["exact:fault=one observation"])
    assert [record.run.observation for record in again] == [2]
    assert len(load(tmp_path)) == 3


def test_a_task_without_observations_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Normals, "observations", lambda self: {})
    with pytest.raises(UsageError, match="task 'normals' has no numbered observations"):
        execute(tmp_path, ["exact"])


def test_too_many_simulations_are_a_failure(tmp_path: Path) -> None:
    (record, *_) = execute(tmp_path, ["exact:spend=11"])
    assert record.error == "11 simulations asked for, but only 10 of the budget of 10 remain"


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("nan", "the value is nan"),
        ("provenance", "ValueError: provenance.error is nan, where text or"),
        ("speechless", "MetricError: "),
        ("no licence", "metric 'mean' .*OSError: no licence on this machine"),
        ("package", "pip install only-on-workers"),
    ],
)
def test_a_metric_without_a_number_gives_its_reason(tmp_path: Path, fault: str, reason: str) -> None:
    execute(tmp_path, ["exact"], metrics=[f"mean:fault={fault}"])
    frame = load(tmp_path)
    assert frame["mean"].isna().all()
    assert frame["error"].str.match(f"metric mean: {reason}").all()


def test_same_seed_same_numbers_in_any_order(tmp_path: Path) -> None:
    execute(tmp_path / "a", ["exact"])
    execute(tmp_path / "b", ["exact"], observations=[3])
    execute(tmp_path / "b", ["exact"], observations=[1, 2])
    assert load(tmp_path / "a")["mean"].tolist() == load(tmp_path / "b")["mean"].tolist()


def test_lifecycle_hooks_see_runs_and_cannot_break_them(tmp_path: Path) -> None:
    seen: list[tuple[str, int]] = []

    def run_started(run: Run) -> None:
        seen.append(("started", run.observation))

    def run_finished(run: Run, record: Record) -> None:
        seen.append(("finished", run.observation))
        raise RuntimeError("tracker down")

    listener = Silent()
    records = execute(tmp_path, ["exact"], make_registry(run_started=run_started, run_finished=run_finished), listener)
    assert all(record.ok for record in records)
    assert seen.count(("started", 2)) == seen.count(("finished", 2)) == 1
    note = "the life-cycle hook run_finished of plugin 'test' failed: RuntimeError: tracker down"
    assert listener.notes == [note] * 3


@pytest.mark.parametrize("error", [RuntimeError("tracker down"), SystemExit("tracker down")])
def test_a_raising_tracker_does_not_silence_another(tmp_path: Path, error: BaseException) -> None:
    """Whichever is called first."""
    seen: list[str] = []

    def sound(run: Run, posterior: Posterior) -> None:
        assert isinstance(posterior, ExactPosterior)
        seen.append(run.task)

    def broken(run: Run) -> None:
        raise error

    registry = make_registry(fit_finished=broken)
    for name in ("sound", "broken"):
        hook = sound if name == "sound" else broken
        registry.register(Plugin(name, name, "0", name), SimpleNamespace(fit_finished=hookimpl(hook)))
    listener = Silent()
    records = execute(tmp_path, ["exact"], registry, listener)
    assert all(record.ok for record in records)
    assert seen == ["normals"], "once for the three observations that share the fit"
    assert [note.split("'")[1] for note in listener.notes] == ["broken", "test"]


def test_a_failed_fit_shows_what_it_had(tmp_path: Path) -> None:
    """A training error brings the last good posterior to the trackers; any other error has none to show."""
    seen: list[Posterior] = []
    registry = make_registry(fit_finished=lambda run, posterior: seen.append(posterior))
    records = execute(tmp_path, ["exact:fault=diverge", "exact:fault=raise"], registry)
    assert not any(record.ok for record in records)
    assert [type(posterior) for posterior in seen] == [ExactPosterior]


def test_what_a_fit_warns_of_is_noted(tmp_path: Path) -> None:
    """And the run counts all the same."""
    listener = Silent()
    records = execute(tmp_path, ["exact:fault=warn"], listener=listener)
    assert all(record.ok for record in records)
    assert len(listener.notes) == 1
    assert listener.notes[0].endswith("(theta | x) is told apart")


def test_samples_are_kept_beside_the_record(tmp_path: Path) -> None:
    (record, *_) = execute(tmp_path, ["exact"])
    assert Store(tmp_path).samples(record.run.key).shape == (100, 1)


def test_a_machine_with_other_versions_is_refused(tmp_path: Path) -> None:
    """As a worker of a cluster may have them: the result would be stored under a key that says otherwise."""
    registry = make_registry()
    asked = {"tasks": ["normals"], "metrics": ["mean"], "budgets": [10], "samples": 100, "methods": ["exact"]}
    (run, *_) = sweep.runs(sweep.check(asked, "test"), registry)
    assert any(package.startswith("torch==") for package in run.packages)
    other = tuple("torch==1.0.*" if package.startswith("torch==") else package for package in run.packages)
    store = Store(tmp_path)
    with pytest.raises(UsageError, match=r"computes with torch==.*planned with torch==1\.0\.\*; install the same"):
        runner.execute([replace(run, packages=other)], Services(registry, store, "cpu", Silent()))
    assert list(store.records()) == []
