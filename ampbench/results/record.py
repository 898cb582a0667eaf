"""Runs and their records: frozen dataclasses.

The key of a run is a hash of all inputs that determine its result, so that equal keys mean equal results, on any
machine.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property

from ampbench.counts import whole

SCHEMA_VERSION = 2
"""Version of the file format; incremented when the format of a record changes."""

FAILURES: Mapping[str, str] = {
    "error": "task, method or reference raised an error",
    "timeout": "it took longer than allowed",
    "memory": "it took more memory than allowed",
    "killed": "its process was killed by another process or the system, or was lost",
    "crashed": "its process ended abnormally by itself",
    "invalid-samples": "the posterior returned NaN, another shape, or too few samples",
    "metric": "the posterior samples are stored, but a metric has no value",
    "not-run": "it was not started, because the process of its fit ended too often",
}
"""The kinds of failure."""


@dataclass(frozen=True)
class Run:
    """The inputs that determine a result.

    Attributes:
        task, task_version: the task's spec with every option written out, and the version of its definition.
        method: the method's spec as requested, with sorted options; rows are grouped by it.
        resolved: the method's spec with every option written out.
        budget: number of simulations allowed.
        observation: number of the task's observation.
        seed: seed of simulations, training and posterior sampling.
        samples: number of posterior (and reference) samples that are compared.
        metrics: the metrics' specs with every option written out.
        packages: packages that compute task and method, such as ``torch==2.13.*``; see :meth:`Registry.packages`.
        metric_packages: packages that compute the metrics.
    """

    task: str
    task_version: str
    method: str
    resolved: str
    budget: int
    observation: int
    seed: int
    samples: int
    metrics: tuple[str, ...]
    packages: tuple[str, ...] = ()
    metric_packages: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("budget", "observation", "seed", "samples"):  # the keys are hashes of their texts
            object.__setattr__(self, name, whole(name, getattr(self, name)))

    @cached_property
    def key(self) -> str:
        """The hash that names the stored result; ``method`` is only a label and not part of it."""
        return self._hash("method")

    @property
    def draw_key(self) -> str:
        """The hash that names the stored posterior samples; it is independent of the metrics."""
        return self._hash("method", "metrics", "metric_packages")

    @property
    def origin_key(self) -> str:
        """The hash that names the stored fit; it is independent of metrics, observation and number of samples."""
        return self._hash("method", "metrics", "metric_packages", "observation", "samples")

    @property
    def question(self) -> str:
        """The hash of the request; it is independent of the versions of task and packages."""
        return self._hash("method", "task_version", "packages", "metric_packages")

    @property
    def fit_key(self) -> tuple[str, str, int, int]:
        """The inputs that determine the fitted posterior, which all observations of a task share."""
        return self.task, self.resolved, self.budget, self.seed

    @property
    def fit_digest(self) -> str:
        """The hash of :attr:`fit_key`; it names the log of the fit and selects its shard."""
        return hashlib.sha256(json.dumps(self.fit_key).encode()).hexdigest()[:12]

    def _hash(self, *without: str) -> str:
        determines = {name: getattr(self, name) for name in _INPUTS if name not in without}
        for name in ("packages", "metric_packages"):
            if not determines.get(name):  # an empty field is left out, so that keys of schema 1 stay valid
                determines.pop(name, None)
        text = json.dumps({"schema": 1, **determines}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:20]

    def __str__(self) -> str:
        return f"{self.task} | {self.method} | budget {self.budget} | observation {self.observation} | seed {self.seed}"


_INPUTS = tuple(each.name for each in fields(Run))


@dataclass(frozen=True)
class Measured:
    """A metric's value, or the error if there is none, with its provenance."""

    value: float | None
    error: str = ""
    provenance: Mapping[str, str | int | float] = field(default_factory=dict)


@dataclass(frozen=True)
class Check:
    """The result of one check of :mod:`ampbench.atlas.checks` on the samples of a run.

    Attributes:
        name: one of :data:`ampbench.atlas.checks.CHECKS`.
        value: size of the failure; without a failure 0, or 1 if the value is a ratio.
        threshold: a larger value is a finding.
        text: location of the largest failure, or a remark.
        how: method by which the value was computed.
    """

    name: str
    value: float
    threshold: float
    text: str = ""
    how: str = ""

    @property
    def found(self) -> bool:
        """Whether the value exceeds the threshold."""
        return self.value > self.threshold

    def __str__(self) -> str:
        return f"{self.name} {self.value:.2g}" if self.value < 0.1 else f"{self.name} {self.value:.2f}"


@dataclass(frozen=True)
class Origin:
    """The provenance of a stored fit.

    Attributes:
        fit_seconds, simulations, device, versions, commit: as in :class:`Record`.
    """

    fit_seconds: float
    simulations: int
    device: str
    versions: Mapping[str, str]
    commit: str


@dataclass(frozen=True)
class Draw:
    """The provenance of stored posterior samples.

    Attributes:
        fit_seconds, sample_seconds, simulations, device, versions, commit: as in :class:`Record`.
    """

    fit_seconds: float
    sample_seconds: float
    simulations: int
    device: str
    versions: Mapping[str, str]
    commit: str


@dataclass(frozen=True)
class Record:
    """A run and its outcome: numbers and strings only.

    Attributes:
        status: ``ok``, or ``failed``; a failed run is repeated when it is requested again.
        error, traceback: empty without a failure.
        metrics: results by metric name.
        fit_seconds: wall-clock seconds of the fit that this run's posterior came from, shared by its observations.
        sample_seconds: wall-clock seconds of drawing the posterior samples.
        simulations: number of simulations used by the method.
        device: device of the fit.
        finished: time of completion, as ISO 8601 in UTC.
        versions: versions of Python and of packages; see :func:`ampbench.results.provenance.versions`.
        commit: commit of ampbench's source checkout, "" if installed from a wheel.
        kind: kind of failure, one of :data:`FAILURES`; empty without a failure, and in old records.
        metric_seconds: wall-clock seconds of reference samples and metrics.
        checks: results of the failure atlas; None if it was not run, as in older records and without samples.
    """

    run: Run
    status: str
    error: str
    traceback: str
    metrics: Mapping[str, Measured]
    fit_seconds: float
    sample_seconds: float
    simulations: int
    device: str
    finished: str
    versions: Mapping[str, str]
    commit: str
    kind: str = ""
    metric_seconds: float = 0.0
    checks: tuple[Check, ...] | None = None

    @property
    def findings(self) -> tuple[Check, ...]:
        """The checks whose value exceeds their threshold."""
        return tuple(check for check in self.checks or () if check.found)

    @property
    def ok(self) -> bool:
        """Whether the run and all its metrics succeeded."""
        return self.status == "ok"
