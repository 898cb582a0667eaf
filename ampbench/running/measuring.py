"""Metrics and atlas checks of one observation's posterior samples."""

from __future__ import annotations

import math
import reprlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ampbench.atlas.checks import check_samples, check_weights, failed
from ampbench.errors import MetricError
from ampbench.faults import describe, pass_interruption
from ampbench.interfaces import HasEffectiveShare, Measurement, Metric, NeedsSetting, Setting, ShipsReference, Task
from ampbench.interfaces.events import Measuring
from ampbench.metrics.references import reference_samples
from ampbench.results import Run
from ampbench.results.parsing import check_provenance
from ampbench.results.record import Check, Measured
from ampbench.running.context import Context
from ampbench.running.failures import Failure, failure
from ampbench.running.sampling import Drawn
from ampbench.spec import Spec


@dataclass(frozen=True)
class Measurements:
    """Metrics and checks of one run.

    Attributes:
        metrics: by name.
        seconds: wall-clock time of all metrics, reference samples included.
        failure: why some metrics have no value, or None.
        checks: of the failure atlas; None if there are no samples.
    """

    metrics: Mapping[str, Measured] = field(default_factory=dict)
    seconds: float = 0.0
    failure: Failure | None = None
    checks: tuple[Check, ...] | None = None


def measure_all(context: Context, run: Run, drawn: Drawn) -> Measurements:
    """Compute every metric of one observation's posterior samples; never raises what a metric raises."""
    listener = context.services.listener
    start = time.perf_counter()
    samples, reference = torch.from_numpy(drawn.samples), None
    setting = Setting(context.task, context.task.numbered(run.observation), drawn.posterior)
    try:
        if context.compares(run):
            listener(Measuring(run, "reference samples"))
            reference = reference_samples(context.task, run.observation, run.samples)
    except BaseException as error:
        pass_interruption(error)
        return Measurements(failure=failure(error), checks=_checks(context.task, run, samples, None, setting))
    metrics, failures = {}, []
    for spec in run.metrics:
        name = Spec.parse(spec).name
        listener(Measuring(run, name))
        measured = _measure(context.metrics[spec], samples, reference, setting)
        if isinstance(measured, Failure):
            failures.append(Failure(measured.kind, f"metric {name}: {measured.message}", measured.traceback))
            measured = Measured(None, measured.message)
        metrics[name] = measured
    seconds = time.perf_counter() - start
    listener(Measuring(run, "failure atlas"))
    checks = _checks(context.task, run, samples, reference, setting)
    return Measurements(metrics, seconds, _joined(failures), checks)


def atlas_checks(task: Task, run: Run, samples: Tensor, reference: Tensor | None = None) -> tuple[Check, ...]:
    """Check samples of a run for failures; never raises.

    Arguments:
        task, run: what the samples belong to.
        samples: shape (n, D).
        reference: shape (m, D); without it stored reference samples are taken, where the task ships them.
    """
    try:
        if reference is None and isinstance(task, ShipsReference):
            reference = task.shipped_reference(run.observation)[: run.samples]
        return tuple(map(_finite, check_samples(task, samples, reference)))
    except BaseException as error:
        pass_interruption(error)
        return (failed("all checks", describe(error)),)


def _checks(task: Task, run: Run, samples: Tensor, reference: Tensor | None, setting: Setting) -> tuple[Check, ...]:
    """Check samples, and the weights by which they were resampled; never raises."""
    checks = atlas_checks(task, run, samples, reference)
    if not isinstance(setting.posterior, HasEffectiveShare):
        return checks
    try:
        return (*checks, _finite(check_weights(setting.posterior, setting.observation.x)))
    except BaseException as error:
        pass_interruption(error)
        return (*checks, failed("uneven weights", describe(error)))


def _finite(check: Check) -> Check:
    return check if math.isfinite(check.value) else failed(check.name, f"it is {check.value}")


def _measure(
    metric: Metric | Failure, samples: Tensor, reference: Tensor | None, setting: Setting
) -> Measured | Failure:
    if isinstance(metric, Failure):
        return metric
    try:
        if isinstance(metric, NeedsSetting):
            measurement = metric.measure_in(setting, samples)
        else:
            assert reference is not None
            measurement = metric.measure(samples, reference)
        return _checked(measurement)
    except BaseException as error:
        pass_interruption(error)
        return failure(error)


def _checked(measurement: object) -> Measured:
    """Return what a metric returned; raises :class:`MetricError` unless it is a finite number with its provenance."""
    if not isinstance(measurement, Measurement):
        raise MetricError(f"it returned {reprlib.repr(measurement)}, expected a Measurement")
    given = measurement.value
    try:
        value = math.nan if isinstance(given, str) else float(given)
    except (TypeError, ValueError, ArithmeticError, RuntimeError):
        value = math.nan
    if not math.isfinite(value):
        raise MetricError(f"the value is {reprlib.repr(given)}, expected a finite number")
    check_provenance(measurement.provenance, "provenance")
    return Measured(value, "", dict(measurement.provenance))


def _joined(failures: Sequence[Failure]) -> Failure | None:
    if not failures:
        return None
    kind = "memory" if any(each.kind == "memory" for each in failures) else "metric"
    return Failure(kind, "; ".join(each.message for each in failures), "\n".join(each.traceback for each in failures))
