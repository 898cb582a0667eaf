"""Components that raise anything, anywhere, and return anything: each costs its own runs, and the culprit is named."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import Independent, Normal

from ampbench import hookimpl
from ampbench.cli.interruption import interruptible
from ampbench.errors import AmpbenchError, PluginError, SimulationError
from ampbench.graph import Graph, Simulator, density, simulator
from ampbench.hookspecs import Lazy
from ampbench.interfaces import (
    Fitted,
    HasEffectiveShare,
    HasReference,
    Measurement,
    Method,
    Metric,
    NeedsSetting,
    Observation,
    Posterior,
    Progress,
    Sequential,
    Setting,
    Task,
)
from ampbench.interfaces.events import Event, Note
from ampbench.metrics.references import reference_samples
from ampbench.registry import Plugin, Registry
from ampbench.results import Record
from ampbench.results.store import Store
from ampbench.running import jobs, runner, sweep
from ampbench.running.context import Services


class Wordless(BaseException):
    """Neither an Exception, nor with a text."""

    def __str__(self) -> str:
        raise SystemExit(0)

    __repr__ = __str__


RAISED: Mapping[str, Callable[[], BaseException]] = {
    "SystemExit": lambda: SystemExit(0),
    "KeyboardInterrupt": KeyboardInterrupt,
    "GeneratorExit": GeneratorExit,
    "StopIteration": StopIteration,
    "RecursionError": RecursionError,
    "Wordless": Wordless,
}
WHERE: dict[str, str] = {}
"""The place at which something is raised, and what."""


def at(place: str) -> None:
    if place in WHERE:
        raise RAISED[WHERE[place]]()


class Normals(Task, HasReference):
    """theta ~ N(0, 1), x ~ N(theta, 1)."""

    source = "a test"

    def __init__(self) -> None:
        at("task")

    @property
    def version(self) -> str:  # type: ignore[override]
        at("version")
        return "1"

    @cached_property
    def graph(self) -> Graph:
        def draw(theta: Tensor) -> Tensor:
            at("simulator")
            return theta + torch.randn_like(theta)

        at("graph")
        return Graph(
            density("theta", Independent(Normal(torch.zeros(1), torch.ones(1)), 1)), simulator("x", draw, ["theta"])
        )

    def observations(self) -> Mapping[int, Observation]:
        at("observations")
        return {i: Observation(torch.tensor([i / 2]), torch.tensor([0.0]), i) for i in (1, 2)}

    def reference(self, observation: Tensor, n: int, seed: int) -> Tensor:
        at("reference")
        return observation / 2 + 0.5**0.5 * torch.randn(n, 1, generator=torch.Generator().manual_seed(seed))


class Exact(Method):
    """The exact posterior."""

    def fit(self, simulator: Simulator, device: torch.device, progress: Progress) -> Posterior:
        simulator.sample(5)
        return ExactPosterior()


class ExactPosterior(Posterior):
    def sample(self, observation: Tensor, n: int) -> Tensor:
        return observation / 2 + 0.5**0.5 * torch.randn(n, 1)


class Raising(Exact):
    """The exact posterior, with faults."""

    def __init__(self) -> None:
        at("method")

    @property
    def imports(self) -> tuple[str, ...]:  # type: ignore[override]
        at("imports")
        return ()

    def fit(self, simulator: Simulator, device: torch.device, progress: Progress) -> Posterior:
        at("fit")
        super().fit(simulator, device, progress)
        return RaisingPosterior()


class RaisingPosterior(ExactPosterior):
    def sample(self, observation: Tensor, n: int) -> Tensor:
        at("sample")
        return super().sample(observation, n)


class Mean(Metric):
    """Difference of means."""

    def measure(self, samples: Tensor, reference: Tensor) -> Measurement:
        at("measure")
        return Measurement(float((samples.mean() - reference.mean()).abs()))


class Own(NeedsSetting):
    """Mean of the samples."""

    def __init__(self) -> None:
        at("metric")

    def measure_in(self, setting: Setting, samples: Tensor) -> Measurement:
        at("measure in")
        return Measurement(float(samples.mean()))


@pytest.fixture(autouse=True)
def _command() -> Iterator[None]:
    """As in a command that nobody interrupts."""
    with interruptible():
        yield
    WHERE.clear()


def make_registry(**more: Any) -> Registry:
    registry = Registry()
    hooks: dict[str, Any] = {
        "tasks": lambda: {"normals": Normals},
        "methods": lambda: {"exact": Exact, "raising": Raising},
        "metrics": lambda: {"mean": Mean, "own": Own},
    }
    implementation = SimpleNamespace(**{name: hookimpl(function) for name, function in (hooks | more).items()})
    registry.register(Plugin("mine", "mine-dist", "1.2", "mine_module"), implementation)
    return registry


def execute(folder: Path, registry: Registry, **asked: object) -> tuple[dict[str, list[Record]], list[str]]:
    """The records of each method, and the notes."""
    notes: list[str] = []

    def listener(event: Event) -> None:
        if isinstance(event, Note):
            notes.append(event.text)

    content = {"tasks": ["normals"], "methods": ["raising", "exact"], "metrics": ["mean", "own"], "budgets": [10]}
    content |= {"observations": [1]}
    wanted = sweep.runs(sweep.check(content | {"samples": 60} | asked, "test"), registry)
    store = Store(folder)
    records = runner.execute(jobs.pending(wanted, store), Services(registry, store, "cpu", listener))
    assert {store.get(run.key) is not None for run in wanted} == {True}
    return {name: [each for each in records if each.run.method == name] for name in ("raising", "exact")}, notes


@pytest.mark.parametrize("raised", RAISED)
@pytest.mark.parametrize("place", ["method", "imports", "fit", "sample"])
def test_a_method_costs_its_own_runs(tmp_path: Path, place: str, raised: str) -> None:
    WHERE[place] = raised
    found, _ = execute(tmp_path, make_registry())
    assert [(record.kind, raised in record.error) for record in found["raising"]] == [("error", True)]
    assert all(record.ok for record in found["exact"])


@pytest.mark.parametrize("raised", RAISED)
@pytest.mark.parametrize(("place", "metric"), [("measure", "mean"), ("metric", "own"), ("measure in", "own")])
def test_a_metric_costs_its_own_value(tmp_path: Path, place: str, metric: str, raised: str) -> None:
    WHERE[place] = raised
    found, _ = execute(tmp_path, make_registry())
    for record in found["exact"]:
        assert record.kind == "metric"
        assert record.error.startswith(f"metric {metric}: ")
        assert raised in record.error
        assert {name for name, measured in record.metrics.items() if measured.value is None} == {metric}


@pytest.mark.parametrize("raised", RAISED)
@pytest.mark.parametrize("place", ["reference", "simulator", "graph"])
def test_a_task_costs_its_own_runs(tmp_path: Path, place: str, raised: str) -> None:
    WHERE[place] = raised
    found, _ = execute(tmp_path, make_registry())
    for record in [*found["raising"], *found["exact"]]:
        assert record.kind == "error"
        assert raised in record.error


@pytest.mark.parametrize("raised", RAISED)
@pytest.mark.parametrize("place", ["task", "version", "observations"])
def test_a_task_that_cannot_be_asked_is_named(tmp_path: Path, place: str, raised: str) -> None:
    WHERE[place] = raised
    with pytest.raises(PluginError, match=rf"'normals'.*{raised}") as caught:
        execute(tmp_path, make_registry())
    assert "plugin 'mine' (mine_module, from mine-dist 1.2)" in str(caught.value)


@pytest.mark.parametrize("raised", RAISED)
@pytest.mark.parametrize("place", ["run_started", "fit_finished", "run_finished"])
def test_a_life_cycle_hook_costs_a_note(tmp_path: Path, place: str, raised: str) -> None:
    def hook(run: object) -> None:
        raise RAISED[raised]()

    found, notes = execute(tmp_path, make_registry(**{place: hook}))
    assert all(record.ok for record in found["exact"])
    assert {f"{place} of plugin 'mine'" in note and raised in note for note in notes} == {True}


@pytest.mark.parametrize("raised", RAISED)
@pytest.mark.parametrize("kind", ["tasks", "methods", "metrics", "divergences", "families", "executors"])
def test_a_hook_that_raises_names_its_plugin(kind: str, raised: str) -> None:
    def hook() -> None:
        raise RAISED[raised]()

    with pytest.raises(PluginError, match=rf"'mine'.*mine-dist 1.2.*{raised}.*AMPBENCH_DISABLE_PLUGINS=mine"):
        make_registry(**{kind: hook})


class Doc:
    __doc__ = 3  # type: ignore[assignment]
    source = property(lambda self: 1 / 0)


@pytest.mark.parametrize(
    ("components", "message"),
    [
        ({3: Exact}, "name of method 3 is a int, not a text"),
        ({None: Exact}, "name of method None is a NoneType"),
        ([("a", Exact)], "hook methods returned a list, not"),
        ({"a": Lazy(3)}, "target of method 'a' is a int"),  # type: ignore[arg-type]
        ({"a": Lazy("a:b", summary=None)}, "summary of method 'a' is a NoneType"),  # type: ignore[arg-type]
        ({"a": Lazy("a:b", source=b"x")}, "source of method 'a' is a bytes"),  # type: ignore[arg-type]
        ({"a": Lazy("a:b", labels={"D": 3})}, "label 'D' of method 'a' is a int"),  # type: ignore[dict-item]
        ({"a": Lazy("a:b", labels=["D"])}, "AttributeError: 'list'"),  # type: ignore[arg-type]
    ],
)
def test_what_a_hook_returns_is_checked(components: object, message: str) -> None:
    with pytest.raises(PluginError, match=rf"plugin 'mine'.*{message}.*AMPBENCH_DISABLE_PLUGINS=mine"):
        make_registry(methods=lambda: components)


def test_a_docstring_that_is_none_costs_nothing() -> None:
    registry = make_registry(divergences=lambda: {"doc": Doc})
    assert (registry.entries("divergences")["doc"].summary, registry.entries("divergences")["doc"].source) == ("", "")


def test_a_broken_plugin_leaves_nothing_behind() -> None:
    registry = make_registry()
    hooks = SimpleNamespace(
        methods=hookimpl(lambda: {"theirs": Exact}), run_started=hookimpl(lambda run: None), metrics=hookimpl(lambda: 3)
    )
    with pytest.raises(PluginError, match="hook metrics returned"):
        registry.register(Plugin("theirs", "theirs", "1", "theirs"), hooks)
    assert "theirs" not in registry.entries("methods")
    assert not registry.hook.run_started.get_hookimpls()


class Splatted:
    packages = "torch"


class Hinted:
    def __init__(self, width: 1 / 0 = 3) -> None: ...  # type: ignore[valid-type]


class Unwritable:
    def __init__(self, width: object = Wordless()) -> None: ...


@pytest.mark.parametrize(
    ("component", "act", "message"),
    [
        (Splatted, "packages", "does not say on which packages it depends: TypeError: packages is 'torch'"),
        (Hinted, "resolve", "has options that cannot be read from 'odd': ZeroDivisionError"),
        (Unwritable, "resolve", "has an option whose default cannot be written in a spec: SystemExit"),
    ],
)
def test_attributes_and_options_of_any_type(component: object, act: str, message: str) -> None:
    registry = make_registry(families=lambda: {"odd": component})
    with pytest.raises(PluginError, match=f"family 'odd' of plugin 'mine'.*{message}"):
        getattr(registry, act)("families", "odd")


SAMPLES: Mapping[str, Callable[[Tensor], object]] = {
    r"\(60, 2\)": lambda s: torch.cat([s, s], 1),
    r"\(59, 1\)": lambda s: s[1:],
    r"\(120, 1\)": lambda s: torch.cat([s, s]),
    r"\(60,\)": lambda s: s[:, 0],
    r"\(60, 1, 1\)": lambda s: s[:, :, None],
    r"\(1, 60\)": lambda s: s.T,
    r"\(\)": lambda s: s.sum(),
    r"\(0, 1\)": lambda s: s[:0],
    r"\(60, 1\) of torch.int64": lambda s: s.long(),
    r"\(60, 1\) of torch.bool": lambda s: s > 0,
    r"\(60, 1\) of torch.complex64": lambda s: s.to(torch.complex64),
    r"a tensor without plain values \(torch.sparse_coo": lambda s: s.to_sparse(),
    r"a tensor without plain values \(torch.strided, meta": lambda s: s.to("meta"),
    "ndarray": lambda s: s.numpy(),
    "list": lambda s: s.tolist(),
    "generator": lambda s: (row for row in s),
    "NoneType": lambda s: None,
    "dict": lambda s: {"theta": s},
}
NOT_FINITE: Mapping[str, Callable[[Tensor], object]] = {
    r"60 of 60 {} are NaN or infinite: theta \(60 NaN\)": lambda s: s * torch.nan,
    r"60 of 60 {} are NaN or infinite: theta \(60 infinite\)": lambda s: s * torch.inf,
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        *[(change, rf"the posterior returned {seen}.* for 60 samples, expected \(60, D\) with D = 1")
          for seen, change in SAMPLES.items()],
        *[(change, told.format("posterior samples")) for told, change in NOT_FINITE.items()],
    ],
)  # fmt: skip
def test_wrong_samples_are_the_fault_of_the_method(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Tensor], object], message: str
) -> None:
    right = ExactPosterior.sample
    monkeypatch.setattr(RaisingPosterior, "sample", lambda self, x, n: change(right(self, x, n)))
    found, _ = execute(tmp_path, make_registry())
    for record in found["raising"]:
        assert record.kind == "invalid-samples"
        assert re.match(message, record.error), record.error
    assert all(record.ok for record in found["exact"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        *[(change, rf"the reference returned {seen}.* for 60 samples, expected \(60, D\) with D = 1")
          for seen, change in SAMPLES.items()],
        *[(change, told.format("reference samples")) for told, change in NOT_FINITE.items()],
    ],
)  # fmt: skip
def test_wrong_reference_samples_are_the_fault_of_the_task(
    monkeypatch: pytest.MonkeyPatch, change: Callable[[Tensor], object], message: str
) -> None:
    right = Normals.reference
    monkeypatch.setattr(Normals, "reference", lambda self, x, n, seed: change(right(self, x, n, seed)))
    with pytest.raises(SimulationError, match=f"task Normals, observation 1: {message}"):
        reference_samples(Normals(), 1, 60)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "it returned None, expected a Measurement"),
        (0.5, "it returned 0.5, expected a Measurement"),
        ((0.5, {}), r"it returned \(0.5, {}\), expected a Measurement"),
        (Measurement("0.5"), "the value is '0.5', expected a finite number"),  # type: ignore[arg-type]
        (Measurement(None), "the value is None"),  # type: ignore[arg-type]
        (Measurement(float("nan")), "the value is nan"),
        (Measurement(-float("inf")), "the value is -inf"),
        (Measurement(10**400), "the value is 1000"),
        (Measurement(1j), "the value is 1j"),  # type: ignore[arg-type]
        (Measurement(np.ones(2)), r"the value is array\(\[1., 1.\]\)"),  # type: ignore[arg-type]
        (Measurement(torch.ones(2)), r"the value is tensor\(\[1., 1.\]\)"),  # type: ignore[arg-type]
        (Measurement(1.0, None), "provenance is None"),  # type: ignore[arg-type]
        (Measurement(1.0, {3: 1}), "provenance has an entry with the name 3"),  # type: ignore[dict-item]
        (Measurement(1.0, {"n": [1]}), r"provenance.n is \[1\]"),  # type: ignore[dict-item]
    ],
)
def test_a_wrong_value_is_the_fault_of_the_metric(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: object, message: str
) -> None:
    monkeypatch.setattr(Own, "measure_in", lambda self, setting, samples: value)
    found, _ = execute(tmp_path, make_registry(), methods=["exact"])
    (record,) = found["exact"]
    assert record.kind == "metric"
    assert record.error.startswith("metric own: ")
    with pytest.raises(AmpbenchError, match=message):
        raise AmpbenchError(record.error)
    assert record.metrics["own"].value is None
    assert record.metrics["mean"].value is not None


class Counting(Exact):
    """A sequential method that counts its simulations wrongly."""

    def fit(self, simulator: Simulator, device: torch.device, progress: Progress) -> Posterior:
        return CountingPosterior()


class CountingPosterior(ExactPosterior, Sequential):
    def fit_to(self, observation: Tensor, progress: Progress) -> Fitted:
        return Fitted(ExactPosterior(), COUNT[0])


COUNT: list[Any] = []


@pytest.mark.parametrize("count", [-1, 11, 10**400, 0.5, float("nan"), "5", None, True])
def test_a_wrong_count_of_simulations_is_a_failure(tmp_path: Path, count: object) -> None:
    COUNT[:] = [count]
    registry = make_registry(methods=lambda: {"exact": Counting})
    found, _ = execute(tmp_path, registry, methods=["exact"])
    (record,) = found["exact"]
    assert record.kind == "error"
    assert "simulations" in record.error


def test_values_beyond_the_range_of_checks_are_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The failure atlas has infinite values there, which no record may hold."""
    right = ExactPosterior.sample
    monkeypatch.setattr(RaisingPosterior, "sample", lambda self, x, n: right(self, x, n).double() * 1e300)
    found, _ = execute(tmp_path, make_registry(), metrics=["own"])
    for record in found["raising"]:
        assert record.ok
        assert record.findings


class Weighted(Exact):
    """Draws that are resampled by importance weights."""

    def fit(self, simulator: Simulator, device: torch.device, progress: Progress) -> Posterior:
        simulator.sample(5)
        return WeightedPosterior()


class WeightedPosterior(ExactPosterior, HasEffectiveShare):
    def effective_share(self, observation: Tensor) -> float:
        if SHARE[0] is None:
            raise RuntimeError("no share today")
        return SHARE[0]  # type: ignore[no-any-return]


SHARE: list[Any] = []


@pytest.mark.parametrize(
    ("share", "finding"),
    [
        (0.5, ""),
        (0.05, "uneven weights 0.95"),
        (float("nan"), "check failed 1.00 uneven weights: it is nan"),
        (None, "check failed 1.00 uneven weights: RuntimeError: no share today"),
        ("0.5", "check failed 1.00 uneven weights: "),
    ],
)
def test_the_effective_share_of_resampled_draws_is_in_the_record(tmp_path: Path, share: object, finding: str) -> None:
    SHARE[:] = [share]
    registry = make_registry(methods=lambda: {"exact": Weighted})
    found, _ = execute(tmp_path, registry, methods=["exact"])
    (record,) = found["exact"]
    assert record.ok
    assert record.checks is not None
    if share == 0.5:
        assert [check.value for check in record.checks if check.name == "uneven weights"] == [0.5]
    told = [f"{check} {check.text}" for check in record.checks if check.found and "uneven" in f"{check} {check.text}"]
    assert len(told) == bool(finding)
    assert all(finding in each for each in told)
