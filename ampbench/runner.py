"""From runs to records: build, fit, sample, measure, store.

Runs that differ only in the observation share one amortised fit. Each finished run is stored at once; stored ones are
skipped. Whatever a plugin raises costs its own run, never the others.
"""

from __future__ import annotations

import json
import math
import platform
import subprocess
import time
import traceback
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from itertools import groupby
from pathlib import Path
from typing import Protocol

import torch
from pluggy import HookCaller
from torch import Tensor

import ampbench
from ampbench.api import fit
from ampbench.errors import AmpbenchError, MetricError, SimulationError, TrainingError
from ampbench.interfaces import Method, Metric, Oracle, Posterior, Sequential, Task
from ampbench.references import reference_samples
from ampbench.registry import Registry
from ampbench.results import Store
from ampbench.run import Measured, Record, Run
from ampbench.seeding import derive, seeded
from ampbench.simulator import Simulator
from ampbench.spec import Spec

PACKAGES = ("ampbench", "torch", "numpy", "pandas", "scikit-learn", "sbi")
"""The packages whose versions a record notes, where they are installed."""


class Listener(Protocol):
    """Who is told how the runs go: the command line's display."""

    def fitting(self, run: Run, done: int, total: int) -> None:
        """A fit has done so many of its steps; it begins with 0 of 0, and some methods tell no more."""

    def measuring(self, run: Run, what: str) -> None:
        """The posterior is being sampled or a metric computed."""

    def finished(self, record: Record) -> None:
        """A run is stored."""

    def note(self, text: str) -> None:
        """Something else happened that the user should know."""


@dataclass(frozen=True)
class _Fitted:
    """A fit that several observations share."""

    posterior: Posterior
    seconds: float
    simulations: int


@dataclass(frozen=True)
class _Judged:
    """What came of one observation; ``own`` is the fit to it alone, by a sequential method."""

    error: str
    traceback: str = ""
    samples: Tensor | None = None
    metrics: Mapping[str, Measured] = field(default_factory=dict)
    seconds: float = 0.0
    own: _Fitted | None = None


def execute(runs: Iterable[Run], registry: Registry, store: Store, device: str, listener: Listener) -> list[Record]:
    """Execute runs and store each as soon as it is finished.

    Arguments:
        runs: what to do; the caller has left out what is stored already, see :func:`pending`.
        registry: where components come from.
        store: where records go.
        device: any torch device.
        listener: told how it goes.

    Returns:
        The new records, failures included.
    """
    records = []
    for _, group in groupby(sorted(runs, key=lambda run: run.fit_key), key=lambda run: run.fit_key):
        records += _execute_together(list(group), registry, store, device, listener)
    return records


def pending(runs: Iterable[Run], store: Store) -> list[Run]:
    """Return the runs without a good result; a failed one is tried again."""
    stored = ((run, store.get(run.key)) for run in runs)
    return [run for run, record in stored if record is None or not record.ok]


def _execute_together(
    runs: list[Run], registry: Registry, store: Store, device: str, listener: Listener
) -> list[Record]:
    """Fit once, then judge each observation."""
    for run in runs:
        _tell(listener, registry.hook.run_started, run=run)
    records = []
    fitted: _Fitted | None = None
    try:
        task: Task = registry.build("tasks", runs[0].task)
        fitted = _fit(task, runs[0], registry, device, listener)
        posterior: Posterior | None = fitted.posterior
    except (Exception, SystemExit) as error:
        failure = _failure(error)
        posterior = error.posterior if isinstance(error, TrainingError) else None
    if posterior is not None:
        _tell(listener, registry.hook.fit_finished, run=runs[0], posterior=posterior)
    for run in runs:
        judged = _judge(task, run, registry, fitted.posterior, listener) if fitted else failure
        record = _record(run, judged, judged.own or fitted, device)
        store.put(record, None if judged.samples is None else judged.samples.numpy())
        listener.finished(record)
        _tell(listener, registry.hook.run_finished, run=run, record=record)
        records.append(record)
    return records


def _fit(task: Task, run: Run, registry: Registry, device: str, listener: Listener) -> _Fitted:
    method: Method = registry.build("methods", run.resolved)
    if isinstance(method, Oracle):
        method = method.told(task)
    listener.fitting(run, 0, 0)
    source = Simulator(task.graph, task.observed, run.budget, run.seed)
    start = time.perf_counter()
    posterior = fit(method, source, device, lambda done, total: listener.fitting(run, done, total))
    return _Fitted(posterior, time.perf_counter() - start, source.spent)


def _judge(task: Task, run: Run, registry: Registry, posterior: Posterior, listener: Listener) -> _Judged:
    """Sample the posterior of one observation and compare it with the reference."""
    own = None
    try:
        x = task.numbered(run.observation).x
        if isinstance(posterior, Sequential):
            own = _fit_to(posterior, x, run, listener)
            posterior = own.posterior
        listener.measuring(run, "posterior samples")
        start = time.perf_counter()
        with seeded(derive(run.seed, "posterior", run.observation)):
            samples = _checked(posterior.sample(x, run.samples), run)
        seconds = time.perf_counter() - start
        listener.measuring(run, "reference samples")
        reference = reference_samples(task, run.observation, run.samples)
    except (Exception, SystemExit) as error:
        return _failure(error)
    metrics = {
        Spec.parse(text).name: _measure(text, samples, reference, registry, run, listener) for text in run.metrics
    }
    errors = [f"metric {name}: {measured.error}" for name, measured in metrics.items() if measured.error]
    return _Judged("; ".join(errors), samples=samples, metrics=metrics, seconds=seconds, own=own)


def _fit_to(posterior: Sequential, x: Tensor, run: Run, listener: Listener) -> _Fitted:
    """Fit a sequential method to one observation; time and simulations are those of this observation."""
    listener.fitting(run, 0, 0)
    start = time.perf_counter()
    with seeded(derive(run.seed, "fit", run.observation)):
        fitted = posterior.fit_to(x, lambda done, total: listener.fitting(run, done, total))
    return _Fitted(fitted.posterior, time.perf_counter() - start, fitted.simulations)


def _measure(
    text: str, samples: Tensor, reference: Tensor, registry: Registry, run: Run, listener: Listener
) -> Measured:
    listener.measuring(run, Spec.parse(text).name)
    try:
        metric: Metric = registry.build("metrics", text)
        measurement = metric.measure(samples, reference)
        if not math.isfinite(measurement.value):
            raise MetricError(f"the value is {measurement.value}")
        json.dumps(dict(measurement.provenance), allow_nan=False)  # a record holds numbers and strings only
    except (Exception, SystemExit) as error:
        return Measured(None, _describe(error))
    return Measured(float(measurement.value), "", dict(measurement.provenance))


def _checked(samples: Tensor, run: Run) -> Tensor:
    """Return posterior samples as float32 on the CPU, or say what is wrong with them."""
    if not isinstance(samples, Tensor) or samples.ndim != 2 or len(samples) != run.samples:
        shape = tuple(samples.shape) if isinstance(samples, Tensor) else type(samples).__name__
        raise SimulationError(f"the posterior returned {shape} for {run.samples} samples, expected ({run.samples}, D)")
    if bad := int((~torch.isfinite(samples)).any(1).sum()):
        raise SimulationError(f"{bad} of {len(samples)} posterior samples are NaN or infinite")
    return samples.detach().cpu().float()


def _failure(error: BaseException) -> _Judged:
    return _Judged(_describe(error), "".join(traceback.format_exception(error)))


def _describe(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, AmpbenchError) else f"{type(error).__name__}: {text}"


def _record(run: Run, judged: _Judged, fitted: _Fitted | None, device: str) -> Record:
    return Record(
        run=run,
        status="failed" if judged.error else "ok",
        error=judged.error,
        traceback=judged.traceback,
        metrics=judged.metrics,
        fit_seconds=fitted.seconds if fitted else 0.0,
        sample_seconds=judged.seconds,
        simulations=fitted.simulations if fitted else 0,
        device=device,
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
        versions=versions(),
        commit=commit(),
    )


def _tell(listener: Listener, hook: HookCaller, **arguments: object) -> None:
    """Call every plugin's life-cycle hook; a tracker that raises is reported, and costs nothing else."""
    for implementation in reversed(hook.get_hookimpls()):  # one by one: pluggy would stop at the first that raises
        try:
            implementation.function(*(arguments[name] for name in implementation.argnames))
        except (Exception, SystemExit) as error:
            plugin = implementation.plugin_name
            listener.note(f"the life-cycle hook {hook.name} of plugin {plugin!r} failed: {_describe(error)}")


@cache
def versions() -> Mapping[str, str]:
    """Versions of Python and of the packages that matter."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


@cache
def commit() -> str:
    """The commit of ampbench's source checkout, with "+" if it was changed; "" outside a checkout."""
    folder = Path(ampbench.__file__).parent

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()

    try:
        if not git("ls-files", "hookspecs.py"):  # a checkout, but of something else
            return ""
        return git("rev-parse", "--short=12", "HEAD") + ("+" if git("status", "--porcelain", "--", ".") else "")
    except (OSError, subprocess.SubprocessError):
        return ""
