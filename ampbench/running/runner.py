"""From runs to records, in this process: fit, sample, measure, store.

Runs that differ only in the observation share one amortised fit. It is fitted once, all its observations are sampled at
once, and the samples are stored; only then is each compared with its reference, which may take far longer. So a run
that is interrupted while it is measured, or a metric that is asked for later, costs no second fit. The fit is stored
before it is sampled, if its method can restore it; then an observation that is asked for later costs no fit either.

Each finished run is stored at once. Whatever a plugin raises costs its own run, never the others. A plugin that hangs,
or ends the process, is handled by :mod:`ampbench.running.worker`.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable
from datetime import UTC, datetime

import numpy as np

from ampbench.errors import UsageError
from ampbench.faults import pass_interruption
from ampbench.interfaces.events import Finished
from ampbench.results import Record, Run
from ampbench.results.provenance import commit, versions
from ampbench.results.record import Draw
from ampbench.running.components import packages
from ampbench.running.context import Context, Services
from ampbench.running.failures import Failure, failure
from ampbench.running.jobs import group_by_fit
from ampbench.running.measuring import Measurements, measure_all
from ampbench.running.sampling import Drawn, draw_all


def execute(runs: Iterable[Run], services: Services) -> list[Record]:
    """Execute runs in this process and store each as soon as it is finished.

    Arguments:
        runs: the caller has left out those that are stored already, see
            :func:`ampbench.running.jobs.pending`.
        services: see :class:`ampbench.running.context.Services`.

    Returns:
        The new records, failures included.

    Raises:
        ResultsError: the store cannot be written; whatever else was computed would be lost.
        UsageError: this machine has other versions of packages than the sweep was planned with.
    """
    return [record for group in group_by_fit(runs) for record in _execute_group(Context(group, services))]


def _execute_group(context: Context) -> list[Record]:
    """Fit once and draw for each observation, unless that is stored; then measure each."""
    services = context.services
    _check_versions(context)
    for run in context.runs:
        services.call_hook("run_started", run=run)
    try:
        context.task  # noqa: B018 — built here, since without a task no run of the group can begin
    except BaseException as error:
        pass_interruption(error)
        return [record_failure(run, failure(error), services) for run in context.runs]
    drawn = draw_all(context)
    return [_finish(context, run, drawn[run]) for run in context.runs]


def _finish(context: Context, run: Run, drawn: Drawn | Failure) -> Record:
    """Measure the samples of a run, and store its record."""
    if isinstance(drawn, Failure):
        return record_failure(run, drawn, context.services)
    measured = measure_all(context, run, drawn)
    record = _record(run, measured.failure, drawn.draw, measured, context.services.device)
    return _put(record, drawn.samples, context.services)


def record_failure(run: Run, failure: Failure, services: Services, draw: Draw | None = None) -> Record:
    """Store the record of a failed run, and notify listener and plugins.

    Arguments:
        run: the run that failed.
        failure: why.
        services: see :class:`ampbench.running.context.Services`.
        draw: how its stored samples were made, if there are any.
    """
    return _put(_record(run, failure, draw, Measurements(), services.device), None, services)


def _check_versions(context: Context) -> None:
    """Refuse to compute what belongs to other versions of packages, as another machine of a cluster may have them.

    The result would be stored under a key that says otherwise.
    """
    run, registry = context.runs[0], context.services.registry
    if not run.packages:
        return
    try:
        fitted = packages(registry, context.task, context.method, run.task, run.resolved)
        judged = frozenset[str]().union(*(registry.packages("metrics", text) for text in run.metrics))
    except BaseException as error:  # a component is not installed, or cannot be built: the run will report it
        pass_interruption(error)
        return
    here = (fitted - {*run.packages}) | (judged - {*run.metric_packages})
    planned = ({*run.packages} - fitted) | ({*run.metric_packages} - judged)
    if here or planned:
        raise UsageError(
            f"{platform.node()} computes with {', '.join(sorted(here)) or 'fewer packages'}, but the sweep was planned "
            f"with {', '.join(sorted(planned)) or 'fewer'}; install the same versions on all machines"
        )


def _record(run: Run, failure: Failure | None, draw: Draw | None, measured: Measurements, device: str) -> Record:
    """Return the record to store; where samples were drawn, device and versions are those of the fit."""
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


def _put(record: Record, samples: np.ndarray | None, services: Services) -> Record:
    services.store.put(record, samples)
    services.listener(Finished(record))
    services.call_hook("run_finished", run=record.run, record=record)
    return record
