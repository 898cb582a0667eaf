"""From runs to records, in this process: fit, sample, measure, store.

Runs that differ only in the observation share one amortised fit. It is fitted once, all its observations are sampled at
once, and what was drawn is stored; only then is each compared with its reference, which may take far longer. So a run
that is interrupted while it is measured, or a metric that is asked for later, costs no second fit. The fit is stored
before it is sampled, if its method can restore it; then an observation that is asked for later costs none either.

Each finished run is stored at once. Whatever a plugin raises costs its own run, never the others; that a plugin can
hang, or end the process, is dealt with by :mod:`ampbench.running.worker`.
"""

from __future__ import annotations

import math
import platform
import time
import traceback
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import groupby

import numpy as np
import torch
from pluggy import HookCaller
from torch import Tensor

from ampbench.atlas.checks import examine, failed
from ampbench.errors import (
    AmpbenchError,
    FitWarning,
    MetricError,
    ResultsError,
    SamplesError,
    UsageError,
)
from ampbench.graph import Simulator
from ampbench.graph.prior import LatentPrior, not_finite, parameter_names
from ampbench.interfaces import (
    CanRestore,
    HasState,
    Method,
    Metric,
    NeedsSetting,
    Oracle,
    Posterior,
    Sequential,
    Setting,
    ShipsReference,
    Task,
    UnfinishedFitError,
    fit,
    rebuild,
)
from ampbench.interfaces.events import Finished, Fitting, Listener, Measuring, Note, Sampling
from ampbench.metrics.references import compares, reference_samples
from ampbench.registry import Registry
from ampbench.results import Record, Run
from ampbench.results.checksums import Damage
from ampbench.results.parsing import check_provenance
from ampbench.results.provenance import commit, versions
from ampbench.results.record import Check, Draw, Measured, Origin
from ampbench.results.store import Store
from ampbench.running.preload import ALWAYS, preload
from ampbench.seeding import derive, seeded
from ampbench.spec import Spec

OUT_OF_MEMORY = ("can't allocate memory", "not enough memory")
"""How torch says on the CPU that memory is short: as a plain RuntimeError."""


@dataclass(frozen=True)
class Failure:
    """Why there is no result.

    Attributes:
        kind: of :data:`ampbench.results.record.FAILURES`.
        message: on one line.
        traceback: where the error was raised.
    """

    kind: str
    message: str
    traceback: str = ""


@dataclass(frozen=True)
class _Drawn:
    """The posterior samples (n, D) of one observation, how they came about, and from what, unless they were stored."""

    samples: np.ndarray
    draw: Draw
    posterior: Posterior | None = None


@dataclass(frozen=True)
class _Measurements:
    """What the metrics say, how long they took with the reference, what went wrong with some, and what checks say."""

    metrics: Mapping[str, Measured] = field(default_factory=dict)
    seconds: float = 0.0
    failure: Failure | None = None
    checks: tuple[Check, ...] | None = None


def execute(runs: Iterable[Run], registry: Registry, store: Store, device: str, listener: Listener) -> list[Record]:
    """Execute runs in this process and store each as soon as it is finished.

    Arguments:
        runs: what to do; the caller has left out what is stored already, see :func:`pending`.
        registry: where components come from.
        store: where records go.
        device: any torch device.
        listener: told how it goes.

    Returns:
        The new records, failures included.

    Raises:
        ResultsError: the store cannot be written; whatever else was computed would be lost.
    """
    records = []
    for group in fits(runs):
        records += _execute_together(group, registry, store, device, listener)
    return records


def pending(runs: Iterable[Run], store: Store) -> list[Run]:
    """Return the runs without a good result; a failed or damaged one is tried again."""
    return [run for run in runs if not store.done(run)]


def fits(runs: Iterable[Run]) -> list[tuple[Run, ...]]:
    """Group runs by the fit that they share."""
    ordered = sorted(runs, key=lambda run: run.fit_key)
    return [tuple(group) for _, group in groupby(ordered, key=lambda run: run.fit_key)]


def fail(
    run: Run, failure: Failure, registry: Registry, store: Store, device: str, listener: Listener, known: Draw | None
) -> Record:
    """Record that a run has failed, and tell everybody."""
    record = _record(run, failure, known, _Measurements(), device)
    return _put(record, None, registry, store, listener)


def _execute_together(
    runs: Sequence[Run], registry: Registry, store: Store, device: str, listener: Listener
) -> list[Record]:
    """Fit once and draw for each observation, unless that is stored; then measure each."""
    _check_versions(runs[0], registry)
    for run in runs:
        _tell(listener, registry.hook.run_started, run=run)
    try:
        task: Task = registry.build("tasks", runs[0].task)
    except (Exception, SystemExit) as error:
        failure = _failure(error)
        return [fail(run, failure, registry, store, device, listener, None) for run in runs]
    drawn = _draws(task, runs, registry, store, device, listener)
    records = []
    for run in runs:
        have = drawn[run]
        if isinstance(have, Failure):
            records.append(fail(run, have, registry, store, device, listener, None))
            continue
        measured = _measure_all(task, run, have, registry, listener)
        record = _record(run, measured.failure, have.draw, measured, device)
        records.append(_put(record, have.samples, registry, store, listener))
    return records


def _check_versions(run: Run, registry: Registry) -> None:
    """Refuse to compute what belongs to other versions of packages, as another machine of a cluster may have them.

    The result would be stored under a key that says otherwise.
    """
    if not run.packages:
        return
    try:
        fitted = registry.packages("tasks", run.task) | registry.packages("methods", run.resolved)
        judged = frozenset[str]().union(*(registry.packages("metrics", text) for text in run.metrics))
    except AmpbenchError:  # a component that is not to be had here: the run will say so
        return
    here = (fitted - {*run.packages}) | (judged - {*run.metric_packages})
    planned = ({*run.packages} - fitted) | ({*run.metric_packages} - judged)
    if here or planned:
        raise UsageError(
            f"{platform.node()} computes with {', '.join(sorted(here)) or 'fewer packages'}, but the sweep was planned "
            f"with {', '.join(sorted(planned)) or 'fewer'}; install the same versions on all machines"
        )


def _draws(
    task: Task, runs: Sequence[Run], registry: Registry, store: Store, device: str, listener: Listener
) -> dict[Run, _Drawn | Failure]:
    """Return posterior samples of each run: stored ones, or else of one fit, kept or new, for all that lack them."""
    stored = {run: have for run in runs if (have := store.draw(run))}
    lacking = [run for run in runs if run not in stored]
    posterior = _remembered(task, runs[0], registry, store, device, listener) if stored else None
    outcome: dict[Run, _Drawn | Failure] = {run: _Drawn(have[1], have[0], posterior) for run, have in stored.items()}
    if not lacking:
        return outcome
    try:
        fitted = _fitted(task, lacking[0], registry, store, device, listener)
    except ResultsError:
        raise
    except (Exception, SystemExit) as error:
        if isinstance(error, UnfinishedFitError):
            _tell(listener, registry.hook.fit_finished, run=lacking[0], posterior=error.posterior)
        return outcome | dict.fromkeys(lacking, _failure(error))
    return outcome | {run: _draw(task, run, fitted, store, device, listener) for run in lacking}


@dataclass(frozen=True)
class _Fitted:
    """A fit that several observations share."""

    posterior: Posterior
    origin: Origin


def _fitted(task: Task, run: Run, registry: Registry, store: Store, device: str, listener: Listener) -> _Fitted:
    """Return the fit that is kept, or else a new one, which is kept if that can be."""
    method = _method(task, run, registry)
    if isinstance(method, CanRestore) and (kept := _kept(task, run, method, store, device, listener)):
        return kept
    fitted = _fit(task, run, method, device, listener)
    _tell(listener, registry.hook.fit_finished, run=run, posterior=fitted.posterior)
    if isinstance(method, CanRestore) and isinstance(fitted.posterior, HasState):
        _keep(run, fitted.posterior, fitted.origin, store, listener)
    return fitted


def _remembered(
    task: Task, run: Run, registry: Registry, store: Store, device: str, listener: Listener
) -> Posterior | None:
    """Return the posterior of a kept fit, if a metric may ask it for more than its stored samples."""
    if all(compares(text, registry) for text in run.metrics):
        return None
    try:
        method = _method(task, run, registry)
    except (Exception, SystemExit):  # samples are there: only such metrics are the poorer for it, and say so
        return None
    kept = _kept(task, run, method, store, device, listener) if isinstance(method, CanRestore) else None
    return kept.posterior if kept else None


def _method(task: Task, run: Run, registry: Registry) -> Method:
    method: Method = registry.build("methods", run.resolved)
    return method.told(task) if isinstance(method, Oracle) else method


def _kept(task: Task, run: Run, method: Method, store: Store, device: str, listener: Listener) -> _Fitted | None:
    """Return the fit that is stored; None, with a note, if it is damaged or cannot be restored."""
    found = store.fit(run)
    if isinstance(found, Damage):
        listener(Note(f"{run}: {found}; the kept fit is left aside"))
    if not isinstance(found, tuple):
        return None
    origin, state = found
    preload((*ALWAYS, *method.imports))
    try:
        return _Fitted(rebuild(method, _source(task, run), state, device), origin)
    except (Exception, SystemExit) as error:
        listener(Note(f"{run}: the kept fit cannot be restored, and is left aside: {_describe(error)}"))
        return None


def _keep(run: Run, posterior: HasState, origin: Origin, store: Store, listener: Listener) -> None:
    """Store a fit; that it cannot be kept costs nothing else, unless the store cannot be written at all."""
    try:
        store.put_fit(run, posterior.state(), origin)
    except ResultsError:
        raise
    except (Exception, SystemExit) as error:
        listener(Note(f"{run}: the fit cannot be kept: {_describe(error)}"))


def _source(task: Task, run: Run) -> Simulator:
    return Simulator(task.graph, task.observed, run.budget, run.seed)


def _fit(task: Task, run: Run, method: Method, device: str, listener: Listener) -> _Fitted:
    listener(Fitting(run))
    preload((*ALWAYS, *method.imports))  # what it costs to import a library is no property of the method
    source = _source(task, run)
    start = time.perf_counter()
    with _warnings_noted(run, listener):
        posterior = fit(method, source, device, lambda done, total: listener(Fitting(run, done, total)))
        seconds = time.perf_counter() - start
    return _Fitted(posterior, Origin(seconds, source.spent, device, versions(), commit()))


@contextmanager
def _warnings_noted(run: Run, listener: Listener) -> Iterator[None]:
    """Tell the listener what a fit warns its user of; other warnings go their way."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", FitWarning)
        yield
    for each in caught:
        if issubclass(each.category, FitWarning):
            listener(Note(f"{run}: {each.message}"))
        else:
            warnings.warn_explicit(each.message, each.category, each.filename, each.lineno)


def _draw(task: Task, run: Run, fitted: _Fitted, store: Store, device: str, listener: Listener) -> _Drawn | Failure:
    """Sample the posterior of one observation, and store what was drawn."""
    try:
        x = task.numbered(run.observation).x
        if isinstance(fitted.posterior, Sequential):
            fitted = _fit_to(fitted.posterior, x, run, fitted.origin, listener)
        listener(Sampling(run))
        start = time.perf_counter()
        with seeded(derive(run.seed, "posterior", run.observation)):
            samples = _checked(fitted.posterior.sample(x, run.samples), run, task)
        seconds = time.perf_counter() - start
    except (Exception, SystemExit) as error:
        return _failure(error)
    draw = Draw(sample_seconds=seconds, **vars(fitted.origin))
    store.put_draw(run, samples.numpy(), draw)
    return _Drawn(samples.numpy(), draw, fitted.posterior)


def _fit_to(posterior: Sequential, x: Tensor, run: Run, origin: Origin, listener: Listener) -> _Fitted:
    """Fit a sequential method to one observation; time and simulations are those of this observation."""
    listener(Fitting(run))
    start = time.perf_counter()
    with seeded(derive(run.seed, "fit", run.observation)):
        fitted = posterior.fit_to(x, lambda done, total: listener(Fitting(run, done, total)))
    seconds = time.perf_counter() - start
    return _Fitted(fitted.posterior, replace(origin, fit_seconds=seconds, simulations=int(fitted.simulations)))


def _measure_all(task: Task, run: Run, drawn: _Drawn, registry: Registry, listener: Listener) -> _Measurements:
    """Compute every metric of one observation's posterior samples."""
    start = time.perf_counter()
    samples, reference = torch.from_numpy(drawn.samples), None
    setting = Setting(task, task.numbered(run.observation), drawn.posterior)
    try:
        if any(compares(text, registry) for text in run.metrics):
            listener(Measuring(run, "reference samples"))
            reference = reference_samples(task, run.observation, run.samples)
    except (Exception, SystemExit) as error:
        return _Measurements(failure=_failure(error), checks=look(task, run, samples))
    metrics, failures = {}, []
    for text in run.metrics:
        name = Spec.parse(text).name
        measured = _measure(text, samples, reference, setting, registry, run, listener)
        if isinstance(measured, Failure):
            failures.append(Failure(measured.kind, f"metric {name}: {measured.message}", measured.traceback))
            measured = Measured(None, measured.message)
        metrics[name] = measured
    seconds = time.perf_counter() - start
    listener(Measuring(run, "failure atlas"))
    return _Measurements(metrics, seconds, _joined(failures), look(task, run, samples, reference))


def look(task: Task, run: Run, samples: Tensor, reference: Tensor | None = None) -> tuple[Check, ...]:
    """Check samples (n, D) of a run for failures; never raises.

    Arguments:
        task, run: what they belong to.
        samples: shape (n, D).
        reference: shape (m, D); without it stored reference samples are taken, where the task ships them.
    """
    try:
        if reference is None and isinstance(task, ShipsReference):
            reference = task.shipped_reference(run.observation)[: run.samples]
        return examine(task, samples, reference)
    except (Exception, SystemExit) as error:
        return (failed("all checks", _describe(error)),)


def _joined(failures: list[Failure]) -> Failure | None:
    if not failures:
        return None
    kind = "memory" if any(failure.kind == "memory" for failure in failures) else "metric"
    return Failure(kind, "; ".join(each.message for each in failures), "\n".join(each.traceback for each in failures))


def _measure(
    text: str,
    samples: Tensor,
    reference: Tensor | None,
    setting: Setting,
    registry: Registry,
    run: Run,
    listener: Listener,
) -> Measured | Failure:
    listener(Measuring(run, Spec.parse(text).name))
    try:
        metric: Metric = registry.build("metrics", text)
        if isinstance(metric, NeedsSetting):
            measurement = metric.measure_in(setting, samples)
        else:
            assert reference is not None
            measurement = metric.measure(samples, reference)
        if not math.isfinite(measurement.value):
            raise MetricError(f"the value is {measurement.value}")
        check_provenance(measurement.provenance, "provenance")
    except (Exception, SystemExit) as error:
        return _failure(error)
    return Measured(float(measurement.value), "", dict(measurement.provenance))


def _checked(samples: Tensor, run: Run, task: Task) -> Tensor:
    """Return posterior samples as float32 on the CPU, or say what is wrong with them."""
    if not isinstance(samples, Tensor) or samples.ndim != 2 or len(samples) != run.samples:
        shape = tuple(samples.shape) if isinstance(samples, Tensor) else type(samples).__name__
        raise SamplesError(f"the posterior returned {shape} for {run.samples} samples, expected ({run.samples}, D)")
    if not bool(samples.isfinite().all()):
        raise SamplesError(not_finite(samples, parameter_names(LatentPrior(task.graph, task.latents))))
    return samples.detach().cpu().float()


def _failure(error: BaseException) -> Failure:
    return Failure(_kind(error), _describe(error), "".join(traceback.format_exception(error)))


def _kind(error: BaseException) -> str:
    if isinstance(error, SamplesError):
        return "invalid-samples"
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or any(text in str(error) for text in OUT_OF_MEMORY):
        return "memory"
    return "error"


def _describe(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text if text and isinstance(error, AmpbenchError) else f"{type(error).__name__}: {text}"


def _record(run: Run, failure: Failure | None, draw: Draw | None, measured: _Measurements, device: str) -> Record:
    """What is to be stored; where samples were drawn, the versions are those of the fit."""
    return Record(
        run=run,
        status="failed" if failure else "ok",
        error=failure.message if failure else "",
        traceback=failure.traceback if failure else "",
        metrics=measured.metrics,
        fit_seconds=draw.fit_seconds if draw else 0.0,
        sample_seconds=draw.sample_seconds if draw else 0.0,
        simulations=draw.simulations if draw else 0,
        device=draw.device if draw else device,
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
        versions=draw.versions if draw else versions(),
        commit=draw.commit if draw else commit(),
        kind=failure.kind if failure else "",
        metric_seconds=measured.seconds,
        checks=measured.checks,
    )


def _put(record: Record, samples: np.ndarray | None, registry: Registry, store: Store, listener: Listener) -> Record:
    store.put(record, samples)
    listener(Finished(record))
    _tell(listener, registry.hook.run_finished, run=record.run, record=record)
    return record


def _tell(listener: Listener, hook: HookCaller, **arguments: object) -> None:
    """Call every plugin's life-cycle hook; a tracker that raises is reported, and costs nothing else."""
    for implementation in reversed(hook.get_hookimpls()):  # one by one: pluggy would stop at the first that raises
        try:
            implementation.function(*(arguments[name] for name in implementation.argnames))
        except (Exception, SystemExit) as error:
            plugin = implementation.plugin_name
            listener(Note(f"the life-cycle hook {hook.name} of plugin {plugin!r} failed: {_describe(error)}"))
