"""What a run is, and what comes of it: frozen values.

A run's key is the hash of all that determines its result, so that equal keys mean equal results, on any machine.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

SCHEMA = 2
"""Version of the stored form; raised when the form of a record changes."""

FAILURES: Mapping[str, str] = {
    "error": "task, method or reference raised",
    "timeout": "it took longer than allowed",
    "memory": "it took more memory than allowed",
    "killed": "its process was killed from outside, or lost",
    "crashed": "its process ended itself",
    "invalid-samples": "the posterior returned NaN, another shape, or too few samples",
    "metric": "the samples are there, but a metric has no value",
    "not-run": "it was never reached: the process of its fit ended too often",
}
"""The kinds of failure."""


@dataclass(frozen=True)
class Run:
    """All that determines a result.

    Attributes:
        task, task_version: the task's spec with every option written out, and the version of its definition.
        method: the method's spec as it was asked for, with its options sorted; rows are grouped by it.
        resolved: the same with every option written out.
        budget: number of simulations allowed.
        observation: number of the task's observation.
        seed: seed of simulations, training and posterior sampling.
        samples: how many posterior (and reference) samples are compared.
        metrics: the metrics' specs with every option written out.
        packages: what task and method are computed with, such as ``torch==2.13.*``; see :meth:`Registry.packages`.
        metric_packages: the same for the metrics.
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

    @property
    def key(self) -> str:
        """The hash under which the result is stored; ``method`` is a label only."""
        return self._hash("method")

    @property
    def draw_key(self) -> str:
        """The hash under which the posterior samples are stored, whatever metrics judge them."""
        return self._hash("method", "metrics", "metric_packages")

    @property
    def origin_key(self) -> str:
        """The hash under which the fit is stored, whatever observations and samples it is asked for."""
        return self._hash("method", "metrics", "metric_packages", "observation", "samples")

    @property
    def question(self) -> str:
        """The hash of what was asked for, whatever versions answer it."""
        return self._hash("method", "task_version", "packages", "metric_packages")

    @property
    def fit_key(self) -> tuple[str, str, int, int]:
        """What determines the fitted posterior, which all observations of a task share."""
        return self.task, self.resolved, self.budget, self.seed

    @property
    def fit_digest(self) -> str:
        """The hash of the fit's key: the name of its log, and what decides about its shard."""
        return hashlib.sha256(json.dumps(self.fit_key).encode()).hexdigest()[:12]

    def _hash(self, *without: str) -> str:
        determines = {name: value for name, value in vars(self).items() if name not in without}
        for name in ("packages", "metric_packages"):
            if not determines.get(name):  # as if there were no such field: the keys of schema 1 stay what they were
                determines.pop(name, None)
        text = json.dumps({"schema": 1, **determines}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:20]

    def __str__(self) -> str:
        return f"{self.task} | {self.method} | budget {self.budget} | observation {self.observation} | seed {self.seed}"


@dataclass(frozen=True)
class Measured:
    """A metric's value, or the reason why there is none, with its provenance."""

    value: float | None
    error: str = ""
    provenance: Mapping[str, str | int | float] = field(default_factory=dict)


@dataclass(frozen=True)
class Check:
    """What one check of :mod:`ampbench.atlas.checks` says about the samples of a run.

    Attributes:
        name: one of :data:`ampbench.atlas.checks.CHECKS`.
        value: how large the failure is; 0, or 1 for a factor, if there is none.
        threshold: what the value has to exceed to be a finding.
        text: where it is worst, or what else should be known.
        how: how the value was computed.
    """

    name: str
    value: float
    threshold: float
    text: str = ""
    how: str = ""

    @property
    def found(self) -> bool:
        """Whether this is a finding."""
        return self.value > self.threshold

    def __str__(self) -> str:
        return f"{self.name} {self.value:.2g}" if self.value < 0.1 else f"{self.name} {self.value:.2f}"


@dataclass(frozen=True)
class Origin:
    """How a fit came about; the state of its posterior is stored beside it.

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
    """How the posterior samples of a run came about; the samples themselves are stored beside it.

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
        status: ``ok``, or ``failed``; a failed run is tried again when it is asked for again.
        error, traceback: empty if all went well.
        metrics: by metric name.
        fit_seconds: wall-clock seconds of the fit that this run's posterior came from, shared by its observations.
        sample_seconds: wall-clock seconds of drawing the posterior samples.
        simulations: how many simulations the method used.
        device: where it ran.
        finished: when, as ISO 8601 in UTC.
        versions: of Python and of the packages that matter.
        commit: of ampbench's source checkout, "" if installed from a wheel.
        kind: of failure, one of :data:`FAILURES`; empty if all went well, or if an old record does not say.
        metric_seconds: wall-clock seconds of reference samples and metrics.
        checks: of the failure atlas; None if nobody looked, as in older records and where there are no samples.
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
        """The checks that found something."""
        return tuple(check for check in self.checks or () if check.found)

    @property
    def ok(self) -> bool:
        """Whether the run and all its metrics went well."""
        return self.status == "ok"
